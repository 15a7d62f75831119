/**
 * A real PostgreSQL under the data folder: the default when there is no DATABASE_URL.
 *
 *   <data>/postgres/data       the cluster
 *   <data>/postgres/password   of the role kap_bridge, 0600
 *   <data>/postgres/port       the loopback port it had last, kept while it is free; the socket lies beside it
 *   <data>/postgres/log        what PostgreSQL says; no statement, no value
 *
 * Processes agree through PostgreSQL itself. Each one that uses the server holds a shared advisory lock on a
 * connection of its own for as long as it does; the service holds an exclusive one beside it. So
 * - a command beside a running service joins the server that runs;
 * - a second service on the folder is refused, with the number of the process that has it;
 * - whoever leaves last stops the server;
 * - after `kill -9` of the service its locks are gone with its connection, and the server, which lives on in a session
 *   of its own, is adopted by the next process. A server that was killed as well recovers from its log on start.
 * A new cluster is made beside its place and renamed into it, so it is there whole or not at all.
 */

import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { Failure, issue } from '../fhir/failure.ts';
import {
  isAlive,
  type Launcher,
  launcher,
  livePostmaster,
  removeStaleSockets,
  unavailable,
} from './embedded-process.ts';

export type EmbeddedOptions = {
  /** One service at a time owns a data folder; commands come and go beside it. */
  readonly as: 'service' | 'command';
  /** Settings of the server beyond ours: `{ fsync: 'off' }`. Only tests have a reason. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Called when the server ended unasked and could not be started again. */
  readonly onLost?: (error: unknown) => void;
};

export type EmbeddedPostgres = {
  /** Of database and role kap_bridge, password included: never to be logged. */
  readonly url: string;
  /** 'joined' when the server was running already. */
  readonly effect: 'started' | 'joined';
  /** Leaves the server, and stops it unless another process uses it. */
  close(): Promise<void>;
};

const READY_WITHIN_MS = 120_000; // recovery after a crash replays up to max_wal_size
const STOP_WITHIN_MS = 60_000;

/**
 * An eighth of the memory of the machine or of the container around, in MB. It is taken as the record grows: a page that
 * is not in it costs a search a copy and a checksum.
 */
function sharedBuffers(): string {
  const limit = process.constrainedMemory();
  const bytes = limit > 0 ? Math.min(limit, totalmem()) : totalmem();
  return `${Math.min(Math.max(Math.round(bytes / 8 / 2 ** 20), 128), 4096)}MB`;
}

const SETTINGS = {
  listen_addresses: '127.0.0.1',
  unix_socket_permissions: '0600',
  max_connections: '100',
  fsync: 'on',
  synchronous_commit: 'on',
  shared_buffers: sharedBuffers(),
  // A checkpoint after each gigabyte would write every page of the index anew in the log, in the middle of a load.
  max_wal_size: '4GB',
  checkpoint_timeout: '15min',
  jit: 'off',
  // Rows that were just loaded are read through the table until a vacuum has seen them.
  autovacuum_naptime: '10s',
  timezone: 'UTC',
  log_timezone: 'UTC',
  log_checkpoints: 'off',
  // Statements and details of errors can carry what a patient said.
  log_min_error_statement: 'panic',
  log_error_verbosity: 'terse',
};

/**
 * Joins the PostgreSQL of a data folder; starts it, and makes it, where needed.
 * @throws Failure `conflict` when another live service has the folder, `invalid` when the folder is not ours to use,
 * `transient` when it cannot run here
 */
export async function openEmbeddedPostgres(dataDir: string, options: EmbeddedOptions): Promise<EmbeddedPostgres> {
  const home = join(dataDir, 'postgres');
  const cluster = join(home, 'data');
  prepareFolder(dataDir, home);
  if (!existsSync(home)) await createCluster(await launcher(dataDir, cluster), dataDir, home);

  const password = readFileSync(join(home, 'password'), 'utf8').trim();
  const first = await joinServer(home, cluster, password, options);
  let membership = first.membership;
  let closing = false;

  // Only for a service: a server that was killed comes back on the same port, and the pools reconnect by themselves.
  async function stayJoined(): Promise<void> {
    while (!closing) {
      await membership.ended;
      if (closing) return;
      ({ membership } = await joinServer(home, cluster, password, options));
    }
  }
  const staying = options.as === 'service' ? stayJoined().catch((error) => options.onLost?.(error)) : Promise.resolve();

  return {
    url: urlOf(home, first.port, password),
    effect: first.effect,
    async close() {
      closing = true;
      const left = membership;
      await left.leave(cluster);
      await staying;
      // The server had just been lost: what came back for it must not stay behind.
      if (membership !== left) await membership.leave(cluster);
    },
  };
}

function prepareFolder(dataDir: string, home: string): void {
  // Passage for the user that PostgreSQL runs as under root; what lies inside has modes of its own.
  const mode = process.getuid?.() === 0 ? 0o711 : 0o700;
  try {
    mkdirSync(dataDir, { recursive: true, mode });
    if (existsSync(home)) accessSync(join(home, 'password'), constants.R_OK);
    else accessSync(dataDir, constants.W_OK);
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown';
    const words = `KAP_DATA_DIR ${dataDir} cannot be used: ${WHY_UNUSABLE[code] ?? code}`;
    throw new Failure('invalid', issue('value', words), { cause });
  }
}

const WHY_UNUSABLE: Readonly<Record<string, string>> = {
  EACCES: 'it belongs to another user. Run kap-bridge as that user, or choose a folder of your own',
  EEXIST: 'it is a file, not a folder',
  ENOTDIR: 'a part of it is a file, not a folder',
  ENOENT: 'its postgres/password is missing. Bring the folder back from a backup, or choose another',
  EROFS: 'its file system is read-only',
};

// The socket spares a fifth of the processor time of a small query. TCP stays open beside it for psql and the like.
function urlOf(home: string, port: number, password: string): string {
  const host = existsSync(join(home, `.s.PGSQL.${port}`)) ? encodeURIComponent(home) : '127.0.0.1';
  return `postgres://kap_bridge:${password}@${host}:${port}/kap_bridge`;
}

// An address of a socket has at most 103 bytes on every system that has them. The setting is a list, so a comma in
// the path would divide it but for the quotes.
function socketFolder(home: string): string {
  const fits = Buffer.byteLength(join(home, '.s.PGSQL.65535')) <= 103;
  return fits && process.platform !== 'win32' ? `"${home.replaceAll('"', '""')}"` : '';
}

// ---- making a cluster

async function createCluster(launch: Launcher, dataDir: string, home: string): Promise<void> {
  const draft = join(dataDir, `postgres.new-${process.pid}-${randomBytes(4).toString('hex')}`);
  const cluster = join(draft, 'data');
  try {
    mkdirSync(draft, { mode: 0o700 });
    launch.give(draft);
    // The superuser's password is not kept: nothing of ours needs it, and `postgres --single` asks for none.
    const superuser = join(draft, 'superuser');
    writeFileSync(superuser, secret(), { mode: 0o600 });
    launch.give(superuser);
    await run(launch, 'initdb', [
      ...['-D', cluster, '--username=postgres', `--pwfile=${superuser}`, '--auth=scram-sha-256'],
      ...['--encoding=UTF8', '--locale=C'],
    ]);
    rmSync(superuser);
    const password = secret();
    writeFileSync(join(draft, 'password'), `${password}\n`, { mode: 0o600 });
    await run(launch, 'postgres', ['--single', '-D', cluster, 'postgres'], ownDatabase(password));
    renameSync(draft, home);
  } catch (error) {
    rmSync(draft, { recursive: true, force: true });
    if (!existsSync(home)) throw error; // otherwise another process was faster, and its cluster is as good
  }
}

const secret = () => randomBytes(24).toString('base64url');

// One statement a line, as single-user mode reads them. No superuser: what reaches the database through us stays there.
function ownDatabase(password: string): string {
  return [
    `create role kap_bridge login createdb password '${password}' in role pg_monitor;`,
    'create database kap_bridge owner kap_bridge;',
    '',
  ].join('\n');
}

async function run(launch: Launcher, name: 'initdb' | 'postgres', args: string[], input?: string): Promise<void> {
  const child = launch.start(name, args, 'pipe', input);
  const [out, err, [code]] = await Promise.all([
    child.stdout ? text(child.stdout) : '',
    child.stderr ? text(child.stderr) : '',
    once(child, 'close') as Promise<[number | null]>,
  ]);
  const failed = code !== 0 || /^.*(FATAL|ERROR):.*$/m.test(err);
  if (failed) throw unavailable(`PostgreSQL could not be set up (${name}): ${lastLines(err || out)}`);
}

// ---- joining a server

type Membership = {
  readonly ended: Promise<void>;
  /** Stops the server if nobody else uses it. */
  leave(cluster: string): Promise<void>;
};

type Joined = { readonly membership: Membership; readonly port: number; readonly effect: 'started' | 'joined' };

async function joinServer(home: string, cluster: string, password: string, options: EmbeddedOptions): Promise<Joined> {
  const deadline = Date.now() + READY_WITHIN_MS;
  let launch: Launcher | undefined;
  let effect: Joined['effect'] = 'joined';
  for (;;) {
    const running = livePostmaster(cluster);
    if (running === null) {
      launch ??= await launcher(home, cluster);
      await startServer(launch, home, cluster, options.settings ?? {}, deadline);
      effect = 'started';
    } else if (running.ready) {
      const membership = await becomeMember(urlOf(home, running.port, password), options.as, home);
      if (membership !== null) {
        writeFileSync(join(home, 'port'), `${running.port}\n`);
        return { membership, port: running.port, effect };
      }
    }
    if (Date.now() > deadline) {
      throw unavailable(
        `PostgreSQL in ${home} was not ready within ${READY_WITHIN_MS / 1000} s; see ${join(home, 'log')}`,
      );
    }
    await sleep(10);
  }
}

/** Returns once the server is ready, or has ended because another process started one first. */
async function startServer(
  launch: Launcher,
  home: string,
  cluster: string,
  settings: Readonly<Record<string, string>>,
  deadline: number,
): Promise<void> {
  removeStaleSockets(home, cluster);
  const port = await freePort(join(home, 'port'));
  const logFile = join(home, 'log');
  const start = statSync(logFile, { throwIfNoEntry: false });
  if (start !== undefined && start.size > 10_000_000) renameSync(logFile, `${logFile}.1`);
  const logFrom = statSync(logFile, { throwIfNoEntry: false })?.size ?? 0;
  const log = openSync(logFile, 'a', 0o600);
  const args = Object.entries({
    ...SETTINGS,
    unix_socket_directories: socketFolder(home),
    port: String(port),
    ...settings,
  }).flatMap(([k, v]) => ['-c', `${k}=${v}`]);
  const child = launch.start('postgres', ['-D', cluster, ...args], log);
  closeSync(log);
  child.unref();
  let ended = false;
  child.once('exit', () => {
    ended = true;
  });
  child.once('error', () => {
    ended = true;
  });
  while (!ended && Date.now() < deadline) {
    if (livePostmaster(cluster)?.ready) return;
    await sleep(10);
  }
  const said = readFileSync(logFile, 'utf8').slice(logFrom);
  // Another process was faster, the port was taken meanwhile, or children of a killed server still hold its memory.
  const passes =
    /lock file ".*" already exists|could not bind|shared memory block .* is still in use|data directory .* in use/;
  if (!passes.test(said)) throw unavailable(`PostgreSQL in ${home} does not start: ${lastLines(said)}`);
  await sleep(100);
}

// ---- being a member

// Two-key advisory locks of this database; the first key is ours.
const LOCKS = 0x4b4150;
const SERVICE = 1;
const USERS = 2;

/** null when the server goes away meanwhile. @throws Failure `conflict` when another service has it */
async function becomeMember(url: string, as: EmbeddedOptions['as'], home: string): Promise<Membership | null> {
  const client = new pg.Client({
    connectionString: url,
    application_name: `kap-bridge ${as} ${process.pid}`,
    keepAlive: true,
  });
  const ended = new Promise<void>((resolve) => {
    client.once('end', resolve);
  });
  client.on('error', () => undefined); // 'end' follows
  try {
    await client.connect();
    await client.query('select pg_advisory_lock_shared($1, $2)', [LOCKS, USERS]);
    if (as === 'service') await takeService(client, home);
  } catch (error) {
    await client.end().catch(() => undefined);
    if (error instanceof Failure || !isPassing(error)) throw error;
    return null;
  }
  return {
    ended,
    async leave(cluster) {
      if (await isLast(client)) {
        await untilAlone(client);
        await stopServer(cluster);
      }
      await client.end().catch(() => undefined);
    },
  };
}

// The connection of a service that was killed takes a moment to be noticed.
async function takeService(client: pg.Client, home: string): Promise<void> {
  for (let attempt = 0; attempt < 20; attempt++) {
    const { rows } = await client.query<{ taken: boolean }>('select pg_try_advisory_lock($1, $2) as taken', [
      LOCKS,
      SERVICE,
    ]);
    if (rows[0]?.taken) return;
    await sleep(50);
  }
  const { rows } = await client.query<{ holder: string; since: Date }>(
    `select application_name as holder, backend_start as since
       from pg_locks join pg_stat_activity using (pid)
      where locktype = 'advisory' and classid = $1 and objid = $2 and granted
        and pg_locks.database = (select oid from pg_database where datname = current_database())`,
    [LOCKS, SERVICE],
  );
  const holder = rows[0];
  const who = holder === undefined ? 'another kap-bridge' : `process ${holder.holder.split(' ').at(-1)}`;
  const since = holder === undefined ? '' : ` since ${holder.since.toISOString()}`;
  throw new Failure(
    'conflict',
    issue(
      'conflict',
      `${home} belongs to ${who}${since}: a service is running on it. Stop that one, give this one a KAP_DATA_DIR of ` +
        'its own, or let both use one PostgreSQL through DATABASE_URL',
    ),
  );
}

async function isLast(client: pg.Client): Promise<boolean> {
  try {
    const { rows } = await client.query<{ last: boolean }>('select pg_try_advisory_lock($1, $2) as last', [
      LOCKS,
      USERS,
    ]);
    return rows[0]?.last === true;
  } catch (error) {
    if (!isPassing(error)) throw error;
    return false; // it went away already
  }
}

// Pools end before their connections have: a moment's patience spares these an error that would look like one.
async function untilAlone(client: pg.Client): Promise<void> {
  for (let attempt = 0; attempt < 50; attempt++) {
    const { rows } = await client.query<{ others: number }>(
      `select count(*)::int as others from pg_stat_activity
        where backend_type = 'client backend' and pid <> pg_backend_pid()`,
    );
    if (rows[0]?.others === 0) return;
    await sleep(20);
  }
}

async function stopServer(cluster: string): Promise<void> {
  const running = livePostmaster(cluster);
  if (running === null) return;
  process.kill(running.pid, 'SIGINT'); // "fast": ends sessions, writes a checkpoint
  const deadline = Date.now() + STOP_WITHIN_MS;
  while (isAlive(running.pid) && livePostmaster(cluster) !== null) {
    if (Date.now() > deadline) {
      throw unavailable(
        `PostgreSQL in ${cluster} (process ${running.pid}) did not stop within ${STOP_WITHIN_MS / 1000} s`,
      );
    }
    await sleep(10);
  }
}

// Starting up, shutting down, terminated by an administrator, or no longer listening.
function isPassing(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = 'code' in error ? String(error.code) : '';
  return (
    /^(57P0[123]|ENOENT|ECONNREFUSED|ECONNRESET|EPIPE|53300)$/.test(code) ||
    /^Connection terminated|not queryable|closed/i.test(error.message)
  );
}

// ---- small things

async function freePort(remembered: string): Promise<number> {
  const last = existsSync(remembered) ? Number(readFileSync(remembered, 'utf8')) : 0;
  return (await listenOnce(last)) ?? (await listenOnce(0)) ?? 0;
}

async function listenOnce(port: number): Promise<number | null> {
  const server = createServer();
  try {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    return typeof address === 'object' && address !== null ? address.port : null;
  } catch {
    return null; // taken
  } finally {
    server.close();
  }
}

const lastLines = (said: string) => said.trim().split('\n').slice(-5).join(' | ') || 'it said nothing';
