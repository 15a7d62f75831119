import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { type EmbeddedPostgres, openEmbeddedPostgres } from '../../src/postgres/embedded.ts';
import { isAlive, livePostmaster } from '../../src/postgres/embedded-process.ts';
import { serviceProcess } from './service-process.ts';

const folders: string[] = [];

function dataDir(parent = tmpdir()): string {
  const folder = mkdtempSync(join(parent, 'kap-bridge-embedded-'));
  folders.push(folder);
  return folder;
}

/** With a cluster made before: making one takes longer than most tests. */
function preparedDataDir(): string {
  const folder = dataDir();
  execFileSync('cp', ['-a', join(prepared, 'postgres'), folder]); // with owners and modes
  return folder;
}

let prepared: string;
beforeAll(async () => {
  prepared = dataDir();
  await (await openEmbeddedPostgres(prepared, { as: 'service' })).close();
});

const clusterOf = (folder: string) => join(folder, 'postgres', 'data');

afterAll(async () => {
  for (const folder of folders) {
    const running = livePostmaster(clusterOf(folder));
    if (running !== null) process.kill(running.pid, 'SIGINT');
    while (livePostmaster(clusterOf(folder)) !== null) await new Promise((resolve) => setTimeout(resolve, 20));
    rmSync(folder, { recursive: true, force: true });
  }
});

async function ask<T extends pg.QueryResultRow>(url: string, sql: string): Promise<T[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<T>(sql)).rows;
  } finally {
    await client.end();
  }
}

test('the first start makes a durable UTF-8 cluster on the loopback address with a password only its owner can read', async () => {
  const folder = dataDir();
  const server = await openEmbeddedPostgres(folder, { as: 'service' });
  try {
    expect(server.effect).toBe('started');
    const [settings] = await ask(
      server.url,
      `select current_setting('fsync') as fsync, current_setting('synchronous_commit') as commit,
              current_setting('listen_addresses') as listens, current_setting('server_encoding') as encoding,
              current_setting('timezone') as timezone, current_setting('data_checksums') as checksums,
              (select datcollate from pg_database where datname = current_database()) as locale,
              (select rolsuper from pg_roles where rolname = current_user) as superuser`,
    );
    expect(settings).toEqual({
      fsync: 'on',
      commit: 'on',
      listens: '127.0.0.1',
      encoding: 'UTF8',
      timezone: 'UTC',
      checksums: 'on',
      locale: 'C',
      superuser: false,
    });
    expect(statSync(join(folder, 'postgres', 'password')).mode & 0o777).toBe(0o600);
    expect(statSync(clusterOf(folder)).mode & 0o777).toBe(0o700);
    const wrong = new URL(server.url);
    wrong.password = 'guessed';
    await expect(ask(wrong.href, 'select 1')).rejects.toMatchObject({ code: '28P01' });
  } finally {
    await server.close();
  }
});

test('the second start finds what the first one stored, on the same port', async () => {
  const folder = preparedDataDir();
  const first = await openEmbeddedPostgres(folder, { as: 'service' });
  await ask(first.url, 'create table kept as select 42 as answer');
  await first.close();
  expect(livePostmaster(clusterOf(folder))).toBeNull();
  const second = await openEmbeddedPostgres(folder, { as: 'service' });
  expect(second.url).toBe(first.url);
  expect(await ask(second.url, 'select answer from kept')).toEqual([{ answer: 42 }]);
  await second.close();
});

test('a command beside a running service joins its server and leaves it running', async () => {
  const folder = preparedDataDir();
  const service = await openEmbeddedPostgres(folder, { as: 'service' });
  const command = await openEmbeddedPostgres(folder, { as: 'command' });
  expect(command).toMatchObject({ effect: 'joined', url: service.url });
  await command.close();
  expect(await ask(service.url, 'select 1 as one')).toEqual([{ one: 1 }]);
  await service.close();
  expect(livePostmaster(clusterOf(folder))).toBeNull();
});

test('whoever leaves last stops the server, in whatever order they came', async () => {
  const folder = preparedDataDir();
  const command = await openEmbeddedPostgres(folder, { as: 'command' });
  const service = await openEmbeddedPostgres(folder, { as: 'service' });
  await command.close();
  expect(await ask(service.url, 'select 1 as one')).toEqual([{ one: 1 }]);
  await service.close();
  expect(livePostmaster(clusterOf(folder))).toBeNull();
});

test('several processes that start at once on an empty folder share one server', async () => {
  const folder = dataDir();
  const servers = await Promise.all(Array.from({ length: 4 }, () => openEmbeddedPostgres(folder, { as: 'command' })));
  expect(new Set(servers.map((server) => server.url)).size).toBe(1);
  for (const server of servers) await server.close();
  expect(livePostmaster(clusterOf(folder))).toBeNull();
});

test('a second service on the folder is refused and told which process has it', async () => {
  const folder = preparedDataDir();
  const owner = await serviceProcess(folder);
  await expect(openEmbeddedPostgres(folder, { as: 'service' })).rejects.toMatchObject({
    code: 'conflict',
    message: expect.stringContaining(`process ${owner.pid}`),
  });
  expect(await ask(owner.said.url ?? '', 'select 1 as one')).toEqual([{ one: 1 }]);
  await owner.stop();
});

test('after kill -9 of the service its server lives on and the next service adopts it, nothing lost', async () => {
  const folder = preparedDataDir();
  const killed = await serviceProcess(folder);
  await ask(killed.said.url ?? '', 'create table kept as select 42 as answer');
  await killed.kill9();
  const orphan = livePostmaster(clusterOf(folder));
  expect(orphan).not.toBeNull();
  const next = await openEmbeddedPostgres(folder, { as: 'service' });
  expect(next.effect).toBe('joined');
  expect(await ask(next.url, 'select answer from kept')).toEqual([{ answer: 42 }]);
  await next.close();
  expect(livePostmaster(clusterOf(folder))).toBeNull();
});

test('after kill -9 of the service and of its server the next start recovers what was committed', async () => {
  const folder = preparedDataDir();
  const killed = await serviceProcess(folder);
  await ask(killed.said.url ?? '', 'create table kept as select 42 as answer');
  await killed.kill9();
  process.kill(livePostmaster(clusterOf(folder))?.pid ?? 0, 'SIGKILL');
  const next = await openEmbeddedPostgres(folder, { as: 'service' });
  expect(next.effect).toBe('started');
  expect(await ask(next.url, 'select answer from kept')).toEqual([{ answer: 42 }]);
  await next.close();
});

test('a service whose server is killed has it back at the same url', async () => {
  const folder = preparedDataDir();
  const service = await openEmbeddedPostgres(folder, { as: 'service' });
  await ask(service.url, 'create table kept as select 42 as answer');
  process.kill(livePostmaster(clusterOf(folder))?.pid ?? 0, 'SIGKILL');
  await untilAnswers(service);
  expect(await ask(service.url, 'select answer from kept')).toEqual([{ answer: 42 }]);
  await service.close();
  expect(livePostmaster(clusterOf(folder))).toBeNull();
});

test('a service that closes while its killed server comes back leaves none behind', async () => {
  const folder = preparedDataDir();
  const service = await openEmbeddedPostgres(folder, { as: 'service' });
  const killed = livePostmaster(clusterOf(folder))?.pid ?? 0;
  process.kill(killed, 'SIGKILL');
  while ([killed, undefined].includes(livePostmaster(clusterOf(folder))?.pid)) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await service.close();
  expect(livePostmaster(clusterOf(folder))).toBeNull();
});

test('a pid file whose number now belongs to another program does not hinder the start', async () => {
  const folder = preparedDataDir();
  writeFileSync(
    join(clusterOf(folder), 'postmaster.pid'),
    `${process.pid}\n${clusterOf(folder)}\n0\n1\n\n\n0\nready\n`,
  );
  const server = await openEmbeddedPostgres(folder, { as: 'service' });
  expect(server.effect).toBe('started');
  expect(isAlive(process.pid)).toBe(true);
  await server.close();
});

test.each([
  ['a name that urls and settings must quote', `it's "a, b" %41@:?é`],
  ['a path too long for a socket', 'x'.repeat(120)],
])('the data folder may have %s', async (_case, name) => {
  const folder = join(dataDir(), name);
  mkdirSync(folder);
  execFileSync('cp', ['-a', join(prepared, 'postgres'), folder]);
  const server = await openEmbeddedPostgres(folder, { as: 'service' });
  expect(await ask(server.url, 'select 1 as one')).toEqual([{ one: 1 }]);
  await server.close();
});

test('a data folder that cannot be one is refused with the reason', async () => {
  const file = join(dataDir(), 'file');
  writeFileSync(file, '');
  const halved = preparedDataDir();
  rmSync(join(halved, 'postgres', 'password'));
  const open = (folder: string) => openEmbeddedPostgres(folder, { as: 'command' });
  await expect(open(file)).rejects.toThrow('it is a file');
  await expect(open(join(file, 'kap'))).rejects.toThrow('a part of it is a file');
  await expect(open(halved)).rejects.toThrow('postgres/password is missing');
});

test('the log of the server quotes no statement and no value', async () => {
  const folder = preparedDataDir();
  const server = await openEmbeddedPostgres(folder, { as: 'service' });
  await ask(server.url, 'create table person (name text primary key)');
  const insert = () => ask(server.url, "insert into person values ('Jane Doe')");
  await insert();
  await expect(insert()).rejects.toMatchObject({ code: '23505' });
  await server.close();
  const log = readFileSync(join(folder, 'postgres', 'log'), 'utf8');
  expect(log).toContain('duplicate key');
  expect(log).not.toContain('Jane Doe');
});

const asRoot = process.getuid?.() === 0 ? test : test.skip;

asRoot('as root, PostgreSQL runs as another user, also in a folder that only root may enter', async () => {
  const closed = dataDir();
  chmodSync(closed, 0o700);
  const inside = join(closed, 'data');
  mkdirSync(inside);
  const server = await openEmbeddedPostgres(inside, { as: 'service' });
  const uid = statSync(clusterOf(inside)).uid;
  expect(uid).not.toBe(0);
  expect(await ask(server.url, 'select 1 as one')).toEqual([{ one: 1 }]);
  await server.close();
});

// A checkout below /root is closed to other users.
const nobody = { uid: 65_534, gid: 65_534 };
const nobodyReads = spawnSync('test', ['-r', import.meta.filename], { ...nobody, cwd: '/' }).status === 0;

(nobodyReads ? asRoot : test.skip)('a normal user starts it, and root joins what that user started', async () => {
  const folder = dataDir();
  chownSync(folder, nobody.uid, nobody.gid);
  const started = await serviceProcess(folder, 'service', nobody);
  expect(started.said).toMatchObject({ effect: 'started' });
  expect(statSync(clusterOf(folder)).uid).toBe(nobody.uid);
  const command = await openEmbeddedPostgres(folder, { as: 'command' });
  expect(command.effect).toBe('joined');
  await command.close();
  await started.stop();
  expect(livePostmaster(clusterOf(folder))).toBeNull();
});

async function untilAnswers(server: EmbeddedPostgres): Promise<void> {
  for (let attempt = 0; attempt < 500; attempt++) {
    try {
      await ask(server.url, 'select 1');
      return;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}
