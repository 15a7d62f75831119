/**
 * Runs the statements of searches: prepared under a name where a text comes again, and for a bounded time.
 *
 * A statement that takes longer than its time is cancelled where it runs, and refused as too costly: whoever asked can
 * ask for less. The next request finds a connection that is free.
 */
import pg, { type Pool, type PoolClient } from 'pg';
import { Failure, issue } from '../../fhir/failure.ts';
import { ask } from '../ask.ts';
import { forgetGivenUp, holds, nameOf } from '../prepared.ts';
import type { SharedConnections } from '../shared-connections.ts';
import type { Statement } from './sql.ts';

/** A connection of a transaction, and one that is shared, has the limit of its own, statement_timeout. */
export type Client = Pool | PoolClient | SharedConnections;

/** Answers the rows of a statement. @throws Failure `invalid` with too-costly when it takes too long */
export type Run = <R extends object>(text: string, sql: Statement) => Promise<R[]>;

/** A search takes milliseconds; what takes this long reads a good part of the clinic. */
const LIMIT_MS = 10_000;

export function runnerOn(client: Client, limitMs = LIMIT_MS): Run {
  return async <R extends object>(text: string, { values }: Statement) => {
    const name = nameOf(text);
    const query = { ...(name === undefined ? {} : { name }), text, values: [...values] };
    try {
      if (client instanceof pg.Pool) return (await limited<R>(client, query, limitMs)).rows;
      const { rows } = 'release' in client ? await ask<R>(client, query) : await client.query<R>(query);
      return rows;
    } catch (error) {
      if (error instanceof pg.DatabaseError && error.code === QUERY_CANCELED) throw tooCostly(error);
      throw error;
    }
  };
}

const QUERY_CANCELED = '57014';

function tooCostly(cause: unknown): Failure {
  const words =
    'The search was stopped, since it would read too much of the record. Add a condition that finds few resources, such as a patient, an identifier or a range of dates.';
  return new Failure('invalid', issue('too-costly', words), { cause });
}

// ---- time

async function limited<R extends object>(
  pool: Pool,
  query: pg.QueryConfig,
  limitMs: number,
): Promise<pg.QueryResult<R>> {
  const client = await pool.connect();
  let cancelling: Promise<void> | undefined;
  const timer = setTimeout(() => {
    cancelling = cancel(pool, client);
  }, limitMs);
  try {
    forgetGivenUp(client);
    if (query.name !== undefined) holds(client, query.name);
    return await ask<R>(client, query);
  } finally {
    clearTimeout(timer);
    await cancelling;
    // The cancellation may yet arrive, and would hit another statement of this connection.
    client.release(cancelling !== undefined);
  }
}

/** On a connection of its own: the pool's may all be busy with what must be cancelled. */
async function cancel(pool: Pool, client: PoolClient): Promise<void> {
  const { processID } = client as PoolClient & { readonly processID: number };
  const other = new pg.Client(pool.options);
  try {
    await other.connect();
    await other.query('select pg_cancel_backend($1)', [processID]);
    await other.end();
  } catch {
    // No connection is to be had: statement_timeout ends it.
    await other.end().catch(() => undefined);
  }
}
