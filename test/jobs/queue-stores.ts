/** The two stores of the wake queue, for tests that must hold on both. Redis is a server of the test's own. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import type { QueueStore } from '../../jobs/queue.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { freePort } from '../free-port.ts';

export type OpenStore = {
  readonly store: QueueStore;
  /** For a worker process: REDIS_URL, or nothing. */
  readonly environment: Record<string, string>;
  /** Forgets every job. */
  wipe(): Promise<void>;
  /** Takes the store away and brings it back empty; only where it is not the record's own database. */
  outage?(during: () => Promise<void>): Promise<void>;
  close(): Promise<void>;
};

export const hasRedis = spawnSync('redis-server', ['--version']).status === 0;
if (!hasRedis) {
  process.stderr.write(
    '\n!!! NO redis-server HERE: EVERY REDIS TEST OF THE QUEUE IS SKIPPED (apt-get install redis-server) !!!\n\n',
  );
}

export const QUEUE_STORES: readonly ('postgres' | 'redis')[] = hasRedis ? ['postgres', 'redis'] : ['postgres'];

export async function openStore(kind: 'postgres' | 'redis', databaseUrl: string): Promise<OpenStore> {
  return kind === 'postgres' ? onPostgres(databaseUrl) : onRedis();
}

function onPostgres(databaseUrl: string): OpenStore {
  const pool = createPool(databaseUrl, { max: 8 }, 'bullmq');
  return {
    store: { kind: 'postgres', pool },
    environment: {},
    async wipe() {
      const { rows } = await pool.query<{ name: string }>(
        "select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname = 'bullmq' and tablename not like '%migration%'",
      );
      await untilNoDeadlock(() => pool.query(`truncate ${rows.map(({ name }) => name).join(', ')}`));
    },
    close: () => pool.end(),
  };
}

/** The queue works on while it is wiped; its locks and those of `truncate` can cross, and PostgreSQL ends one of them. */
async function untilNoDeadlock(work: () => Promise<unknown>): Promise<void> {
  for (;;) {
    try {
      await work();
      return;
    } catch (error) {
      if ((error as { code?: string }).code !== '40P01') throw error;
    }
  }
}

async function onRedis(): Promise<OpenStore> {
  const folder = mkdtempSync(join(tmpdir(), 'kap-bridge-redis-'));
  const port = await freePort();
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--appendonly', 'yes', '--save', ''];
  const start = () => spawn('redis-server', [...args, '--maxmemory-policy', 'noeviction'], { stdio: 'ignore' });
  let server = start();
  const url = `redis://127.0.0.1:${port}`;
  const client = new Redis(url, { maxRetriesPerRequest: null, retryStrategy: () => 50 });
  client.on('error', () => undefined);
  await client.ping();
  return {
    store: { kind: 'redis', url },
    environment: { REDIS_URL: url },
    async wipe() {
      await client.flushall();
    },
    async outage(during) {
      await ended(server);
      rmSync(folder, { recursive: true, force: true });
      mkdirSync(folder);
      await during();
      server = start();
      await client.ping();
    },
    async close() {
      client.disconnect();
      await ended(server);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function ended(child: ChildProcess): Promise<void> {
  const exit = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await exit;
}
