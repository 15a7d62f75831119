/**
 * What this machine's PostgreSQL can take with nothing in front of it: the same Observations as the load sends, into
 * (id uuid primary key, content jsonb), durable, on the server that the service uses.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { infusionBundle, RESOURCES_PER_INFUSION, rng, singleObservation } from './kap-data.ts';
import { round } from './load.ts';

export type PostgresLimit = {
  readonly name: string;
  readonly connections: number;
  readonly commitsPerSecond: number;
  readonly rowsPerSecond: number;
};

export type PostgresLimitOptions = {
  readonly url: string;
  readonly connections: number;
  readonly warmupSeconds: number;
  readonly durationSeconds: number;
};

type Work = { readonly rows: number; readonly run: (client: pg.Client) => Promise<unknown> };

const ONE = { name: 'one', text: 'insert into limit_observation (id, content) values ($1, $2)' };
const MANY = {
  name: 'many',
  text: 'insert into limit_observation (id, content) select * from unnest($1::uuid[], $2::jsonb[])',
};

/** The floors of a single create, of a session row by row, and of a session in one statement. */
export async function measurePostgresLimits(options: PostgresLimitOptions): Promise<PostgresLimit[]> {
  const { insertOne, singly, oneStatement } = work();
  return [
    await measure('INSERT of one Observation, 1 connection', insertOne, { ...options, connections: 1 }),
    await measure('INSERT of one Observation', insertOne, options),
    await measure('23 single INSERTs in a transaction', singly, options),
    await measure('23 rows in one statement', oneStatement, options),
  ];
}

function work(): Record<'insertOne' | 'singly' | 'oneStatement', Work> {
  const r = rng('pg-limit');
  const observations = Array.from({ length: 2048 }, () =>
    JSON.stringify(singleObservation(`Patient/${r.uuid()}`, r.int(0, 300000), r)),
  );
  const sessions = Array.from({ length: 256 }, () =>
    (infusionBundle(`Patient/${r.uuid()}`, r.int(0, 300000), r).entry ?? []).map((e) => JSON.stringify(e.resource)),
  );
  return {
    insertOne: { rows: 1, run: (client) => client.query({ ...ONE, values: [randomUUID(), r.pick(observations)] }) },
    singly: {
      rows: RESOURCES_PER_INFUSION,
      run: async (client) => {
        await client.query('begin');
        for (const text of r.pick(sessions)) await client.query({ ...ONE, values: [randomUUID(), text] });
        await client.query('commit');
      },
    },
    oneStatement: {
      rows: RESOURCES_PER_INFUSION,
      run: (client) => {
        const session = r.pick(sessions);
        return client.query({ ...MANY, values: [session.map(() => randomUUID()), session] });
      },
    },
  };
}

async function measure(name: string, { rows, run }: Work, options: PostgresLimitOptions): Promise<PostgresLimit> {
  const clients = await Promise.all(
    Array.from({ length: options.connections }, async () => {
      const client = new pg.Client({ connectionString: options.url });
      await client.connect();
      return client;
    }),
  );
  const first = clients[0] as pg.Client;
  await first.query('drop table if exists limit_observation');
  await first.query('create table limit_observation (id uuid primary key, content jsonb not null)');
  let counting = false;
  let stopped = false;
  let commits = 0;
  const running = clients.map(async (client) => {
    while (!stopped) {
      await run(client);
      if (counting) commits++;
    }
  });
  await sleep(options.warmupSeconds * 1000);
  counting = true;
  const from = performance.now();
  await sleep(options.durationSeconds * 1000);
  counting = false;
  const seconds = (performance.now() - from) / 1000;
  stopped = true;
  await Promise.all(running);
  await first.query('drop table limit_observation');
  await Promise.all(clients.map((client) => client.end()));
  return {
    name,
    connections: options.connections,
    commitsPerSecond: round(commits / seconds),
    rowsPerSecond: round((commits * rows) / seconds),
  };
}
