import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { livePostmaster } from '../../src/postgres/embedded-process.ts';
import { createEmptyDatabase, type TestDatabase } from '../postgres.ts';
import { command } from './command.ts';

const COMMANDS = ['demo', 'start', 'migrate', 'token', 'config'];
const dataDir = mkdtempSync(join(tmpdir(), 'kap-bridge-cli-'));
let database: TestDatabase;
beforeAll(async () => {
  database = await createEmptyDatabase();
});
afterAll(async () => {
  await database.drop();
  rmSync(dataDir, { recursive: true, force: true });
});

test('help lists the commands and the exit codes', async () => {
  const { code, out } = await command(['--help'], {});
  expect(code).toBe(0);
  for (const name of COMMANDS) expect(out).toContain(name);
  expect(out).toContain('Exit codes:');
});

test.each(COMMANDS)('%s explains itself with examples and knows --json', async (name) => {
  const { code, out } = await command([name, '--help'], {});
  expect(code).toBe(0);
  expect(out).toContain('Examples:');
  expect(out).toContain('--json');
});

test.each([
  ['an unknown command', ['deliver-everything'], {}],
  ['an unknown option', ['config', '--loud'], {}],
  ['a bad setting', ['config'], { KAP_PORT: 'eighty' }],
])('%s ends with 2 and one line that says so', async (_case, args, environment) => {
  const { code, out, err } = await command(args, environment);
  expect(code).toBe(2);
  expect(out).toBe('');
  expect(err).toMatch(/^error: /);
  expect(err).not.toContain('    at ');
});

test('config shows each setting with its source and no password, also as JSON', async () => {
  const environment = { DATABASE_URL: 'postgres://kap:hunter2@db/kap' };
  const { out } = await command(['config'], environment);
  expect(out).toMatch(/^KAP_PORT +8080 +default$/m);
  const json = await command(['config', '--json'], environment);
  expect(JSON.parse(json.out)).toContainEqual({
    name: 'DATABASE_URL',
    value: 'postgres://kap:***@db/kap',
    source: 'environment',
  });
  expect(out + json.out).not.toContain('hunter2');
});

test('with --json a refusal is JSON as well', async () => {
  const { err } = await command(['config', '--json'], { KAP_PORT: 'eighty' });
  expect(JSON.parse(err)).toMatchObject({ error: 'invalid', exitCode: 2, issues: [{ code: 'value' }] });
});

test('migrate makes the tables of the embedded PostgreSQL and leaves no server behind', async () => {
  const first = await command(['migrate'], { KAP_DATA_DIR: dataDir });
  expect(first).toMatchObject({ code: 0, err: '' });
  expect(first.out).toContain('clinic_default: applied 0001-records.sql');
  const second = await command(['migrate', '--json'], { KAP_DATA_DIR: dataDir });
  expect(JSON.parse(second.out)).toEqual([
    { schema: 'clinic_default', applied: [] },
    { schema: 'bullmq', applied: [] },
  ]);
  expect(livePostmaster(join(dataDir, 'postgres', 'data'))).toBeNull();
});

test('a command on a database that was not migrated is refused and says what to do', async () => {
  const environment = { DATABASE_URL: database.url, KAP_DATA_DIR: dataDir };
  const { code, err } = await command(['token', '--scope', 'system/*.rs'], environment);
  expect(code).toBe(4);
  expect(err).toContain('kap-bridge migrate');
});

test('a database that cannot be reached ends with 5, one that refuses us with 2', async () => {
  const nowhere = new URL(database.url);
  nowhere.port = '1';
  expect(await command(['migrate'], { DATABASE_URL: nowhere.href })).toMatchObject({ code: 5, out: '' });
  const json = await command(['migrate', '--json'], { DATABASE_URL: nowhere.href });
  expect(JSON.parse(json.err)).toMatchObject({ error: 'transient', exitCode: 5 });
  const wrong = new URL(database.url);
  wrong.password = 'hunter2';
  const refused = await command(['migrate'], { DATABASE_URL: wrong.href });
  expect(refused.code).toBe(2);
  expect(refused.err).not.toContain('hunter2');
});
