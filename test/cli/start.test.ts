import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { livePostmaster } from '../../src/postgres/embedded-process.ts';
import { freePort } from '../free-port.ts';
import { createTestDatabase, type TestDatabase } from '../postgres.ts';
import { command, ended, startCommand } from './command.ts';

const dataDir = mkdtempSync(join(tmpdir(), 'kap-bridge-start-'));
const running: ChildProcess[] = [];

afterAll(async () => {
  for (const child of running) child.kill('SIGKILL');
  rmSync(dataDir, { recursive: true, force: true });
});

function start(environment: Record<string, string>): ChildProcess {
  const child = startCommand(['start', '--json'], environment);
  running.push(child);
  return child;
}

async function untilReady(child: ChildProcess, port: string): Promise<void> {
  while (child.exitCode === null) {
    const answer = await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => null);
    if (answer?.status === 200) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`the service ended with ${child.exitCode}`);
}

test('the service starts without any setting but its place, serves, and ends in order on SIGTERM', async () => {
  const port = String(await freePort());
  const service = start({ KAP_DATA_DIR: dataDir, KAP_PORT: port });
  const end = ended(service);
  await untilReady(service, port);
  const metadata = await fetch(`http://127.0.0.1:${port}/fhir/metadata`);
  expect(metadata.status).toBe(200);
  expect(await metadata.json()).toMatchObject({ resourceType: 'CapabilityStatement' });

  const token = await command(['token', '--scope', 'system/*.rs'], { KAP_DATA_DIR: dataDir, KAP_PORT: port });
  expect(token).toMatchObject({ code: 0, err: '' });
  const search = await fetch(`http://127.0.0.1:${port}/fhir/PlanDefinition`, {
    headers: { authorization: `Bearer ${token.out.trim()}` },
  });
  expect(search.status).toBe(200);

  const second = await command(['start'], { KAP_DATA_DIR: dataDir, KAP_PORT: String(await freePort()) });
  expect(second.code).toBe(4);
  expect(second.err).toContain(`process ${service.pid}`);

  service.kill('SIGTERM');
  const { code, out, err } = await end;
  expect({ code, err }).toEqual({ code: 0, err: '' });
  expect(out).not.toMatch(/"level":[456]0/);
  const lines = out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as object);
  expect(lines).toContainEqual({ ready: `http://127.0.0.1:${port}/fhir`, pid: service.pid });
  expect(livePostmaster(join(dataDir, 'postgres', 'data'))).toBeNull();
});

test('after kill -9 the next start serves on the same data', async () => {
  const port = String(await freePort());
  const killed = start({ KAP_DATA_DIR: dataDir, KAP_PORT: port });
  await untilReady(killed, port);
  killed.kill('SIGKILL');
  await once(killed, 'exit');
  const next = start({ KAP_DATA_DIR: dataDir, KAP_PORT: port });
  const end = ended(next);
  await untilReady(next, port);
  next.kill('SIGINT');
  expect((await end).code).toBe(0);
  expect(livePostmaster(join(dataDir, 'postgres', 'data'))).toBeNull();
});

test('a port in use is told by its number, and nothing is left behind', async () => {
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const address = taken.address();
  const port = String(typeof address === 'object' ? address?.port : 0);
  const { code, err } = await command(['start'], { KAP_DATA_DIR: dataDir, KAP_PORT: port });
  taken.close();
  expect(code).toBe(5);
  expect(err).toContain(`Port ${port} is in use`);
  expect(livePostmaster(join(dataDir, 'postgres', 'data'))).toBeNull();
});

test('an address that is not of this machine is a bad setting', async () => {
  const { code, err } = await command(['start'], {
    KAP_DATA_DIR: dataDir,
    KAP_HOST: '192.0.2.1',
    KAP_PORT: String(await freePort()),
  });
  expect(code).toBe(2);
  expect(err).toBe('error: KAP_HOST 192.0.2.1 is not an address of this machine\n');
});

describe('on a PostgreSQL of one’s own', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterAll(() => database.drop());

  test.each([
    ['api', 200],
    ['worker', 404],
  ])('the role %s answers health, and FHIR with %i', async (role, status) => {
    const port = String(await freePort());
    const environment = { KAP_ROLE: role, DATABASE_URL: database.url, KAP_DATA_DIR: dataDir, KAP_PORT: port };
    const service = start(environment);
    const end = ended(service);
    await untilReady(service, port);
    expect((await fetch(`http://127.0.0.1:${port}/healthz`)).status).toBe(200);
    expect((await fetch(`http://127.0.0.1:${port}/fhir/metadata`)).status).toBe(status);
    service.kill('SIGTERM');
    expect((await end).code).toBe(0);
  });
});
