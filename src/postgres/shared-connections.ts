/**
 * A connection on which the small statements of all requests go out one behind the other.
 *
 * A statement of a tenth of a millisecond costs as much again in waking a process for it and in the caches that the next
 * process has to fill. Statements that share a connection are sent without waiting for earlier answers (the pool
 * pipelines), and the same process works them off in one go. One that fails fails alone. One that is slow keeps those
 * behind it waiting: so only statements that read a bounded number of rows may come here.
 *
 * A connection belongs to the pool, and goes back to it whenever nothing is under way.
 */
import pg, { type Pool, type PoolClient } from 'pg';
import { ask } from './ask.ts';

export type SharedConnections = {
  query<R extends pg.QueryResultRow>(config: pg.QueryConfig): Promise<pg.QueryResult<R>>;
};

/** One PostgreSQL process works off such statements faster than one of ours asks for them. */
const CONNECTIONS = 1;

/** A connection while statements are under way on it. */
class Lane {
  underWay = 0;
  readonly #pool: Pool;
  readonly #onLost: (lane: Lane) => void;
  #client: Promise<PoolClient> | undefined;
  #lost: Error | undefined;

  /** @param onLost the connection broke, or there is none to be had: the next statement needs another lane */
  constructor(pool: Pool, onLost: (lane: Lane) => void) {
    this.#pool = pool;
    this.#onLost = onLost;
  }

  async query<R extends pg.QueryResultRow>(config: pg.QueryConfig): Promise<pg.QueryResult<R>> {
    this.underWay += 1;
    this.#client ??= this.#pool.connect();
    const opening = this.#client;
    if (this.underWay === 1) opening.then(this.#watch, this.#fail);
    try {
      return await ask<R>(await opening, config);
    } catch (error) {
      // PostgreSQL says that it ends a connection before the connection is seen to end.
      if (!(error instanceof pg.DatabaseError) || error.severity === 'FATAL') this.#fail(error as Error);
      throw error;
    } finally {
      this.underWay -= 1;
      if (this.underWay === 0) {
        this.#client = undefined;
        opening.then(this.#giveBack, () => undefined); // whoever asked has been told
      }
    }
  }

  readonly #fail = (error: Error): void => {
    this.#lost = error;
    this.#onLost(this);
  };

  readonly #watch = (client: PoolClient): void => {
    client.on('error', this.#fail);
  };

  readonly #giveBack = (client: PoolClient): void => {
    client.off('error', this.#fail);
    client.release(this.#lost);
  };
}

export function sharedConnections(pool: Pool, connections = CONNECTIONS): SharedConnections {
  const newLane = (): Lane =>
    new Lane(pool, (lost) => {
      if (lanes.includes(lost)) lanes[lanes.indexOf(lost)] = newLane();
    });
  const lanes = Array.from({ length: connections }, newLane);
  return {
    query: (config) => lanes.reduce((least, each) => (each.underWay < least.underWay ? each : least)).query(config),
  };
}
