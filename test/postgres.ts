/** A database of one's own for a test file: a copy of the migrated template, dropped at the end. */
import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { createClinicPool, createPool, type Pool, type PoolOptions } from '../src/postgres/pool.ts';

/** Name of the environment variable that carries the server's url from globalSetup to the workers. */
export const TEST_SERVER = 'KAP_TEST_SERVER';
export const TEMPLATE_DATABASE = 'kap_template';

export type TestDatabase = {
  readonly url: string;
  /** On no schema of ours. */
  readonly pool: Pool;
  /** On the schema of a clinic; the same pool for the same name. Only 'default' is migrated. */
  clinicPool(clinic?: string, options?: PoolOptions): Pool;
  /** Ends the pools and drops the database. For afterAll. */
  drop(): Promise<void>;
};

export async function createTestDatabase(): Promise<TestDatabase> {
  return copyOf(TEMPLATE_DATABASE);
}

/** Without our tables: for tests of the migrations themselves. */
export async function createEmptyDatabase(): Promise<TestDatabase> {
  return copyOf('template1');
}

async function copyOf(template: string): Promise<TestDatabase> {
  const server = process.env[TEST_SERVER];
  if (server === undefined) throw new Error(`${TEST_SERVER} is not set: jest runs without its globalSetup`);
  const name = `test_${randomBytes(6).toString('hex')}`;
  await onServer(server, `create database ${name} template ${template}`);
  const url = new URL(server);
  url.pathname = `/${name}`;

  const pool = createPool(url.href);
  const clinicPools = new Map<string, Pool>();
  return {
    url: url.href,
    pool,
    clinicPool(clinic = 'default', options = {}) {
      const known = clinicPools.get(clinic) ?? createClinicPool(url.href, clinic, options);
      clinicPools.set(clinic, known);
      return known;
    },
    async drop() {
      await Promise.all([pool, ...clinicPools.values()].map((each) => each.end()));
      await dropWhenLeft(server, name);
    },
  };
}

const OTHERS_AT_WORK = '42501';

/** The server's own vacuum may be at work in it: only a superuser could end that, and it ends soon by itself. */
async function dropWhenLeft(server: string, name: string): Promise<void> {
  for (let left = 100; ; left -= 1) {
    try {
      return await onServer(server, `drop database ${name} with (force)`);
    } catch (error) {
      if (left === 0 || (error as { code?: string }).code !== OTHERS_AT_WORK) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

async function onServer(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}
