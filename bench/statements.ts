/**
 * Which statements PostgreSQL is at work on, by looking a few hundred times a second: their shares of the time of all
 * connections, and how much of it they wait for the log to be on disk.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { add, shares } from './profile.ts';

const EVERY_MS = 4;
const LETTERS = 90;

const ACTIVE = `
select regexp_replace(query, '\\s+', ' ', 'g') as query, wait_event
  from pg_stat_activity
 where state = 'active' and backend_type = 'client backend' and pid <> pg_backend_pid()`;

export type StatementSampler = { stop(): Promise<string> };

export async function sampleStatements(url: string): Promise<StatementSampler> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const seen = new Map<string, number>();
  let all = 0;
  let stopped = false;
  const sampling = (async () => {
    while (!stopped) {
      const { rows } = await client.query<{ query: string; wait_event: string | null }>({
        name: 'active',
        text: ACTIVE,
      });
      for (const { query, wait_event } of rows) {
        const waits = wait_event !== null && /^(WAL|Wal)/.test(wait_event) ? ' (waits for the log)' : '';
        add(seen, `${query.trim().slice(0, LETTERS)}${waits}`, 1);
        all += 1;
      }
      await sleep(EVERY_MS);
    }
  })();
  return {
    async stop() {
      stopped = true;
      await sampling;
      await client.end();
      return shares(seen, Math.max(1, all));
    },
  };
}
