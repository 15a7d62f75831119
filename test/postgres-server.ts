/**
 * jest's globalSetup: one embedded PostgreSQL for a whole run, with a migrated template database. Its folder and its
 * port are its own, so several runs in one checkout do not meet. Durability is off: nothing here outlives the run.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { type EmbeddedPostgres, openEmbeddedPostgres } from '../src/postgres/embedded.ts';
import { migrate } from '../src/postgres/migrate.ts';
import { TEMPLATE_DATABASE, TEST_SERVER } from './postgres.ts';

// Without the socket, so that a test can put something between a client and the server.
const SETTINGS = {
  unix_socket_directories: '',
  fsync: 'off',
  synchronous_commit: 'off',
  full_page_writes: 'off',
  max_connections: '200',
};

type Running = { readonly server: EmbeddedPostgres; readonly folder: string };
const running = globalThis as typeof globalThis & { kapTestServer?: Running };

export default async function startServer(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'kap-bridge-test-'));
  tidyUpAfterThisProcess(folder);
  const server = await openEmbeddedPostgres(folder, { as: 'service', settings: SETTINGS });
  const template = new URL(server.url);
  template.pathname = `/${TEMPLATE_DATABASE}`;
  const client = new pg.Client({ connectionString: server.url });
  await client.connect();
  await client.query(`create database ${TEMPLATE_DATABASE}`);
  await client.end();
  await migrate(template.href, { queue: true });
  process.env[TEST_SERVER] = server.url; // workers inherit it
  running.kapTestServer = { server, folder };
}

export async function stopServer(): Promise<void> {
  if (running.kapTestServer === undefined) return;
  const { server, folder } = running.kapTestServer;
  await server.close();
  rmSync(folder, { recursive: true, force: true });
}

// A run that is killed runs no teardown: its end closes this pipe, and the shell at the other end tidies up.
function tidyUpAfterThisProcess(folder: string): void {
  if (process.platform === 'win32') return;
  const tidy = `
    read _
    pid=$(head -n 1 "$1/postgres/data/postmaster.pid" 2>/dev/null) && kill -INT "$pid" && sleep 2
    rm -rf "$1"`;
  const child = spawn('sh', ['-c', tidy, 'sh', folder], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
  child.unref();
  (child.stdin as unknown as { unref(): void }).unref(); // a pipe is a socket, which the types do not say
}
