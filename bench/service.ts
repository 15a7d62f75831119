/** The service under load: one process, as `kap-bridge start` runs it, on a data folder of its own. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

const ROOT = join(import.meta.dirname, '..');
const COMMAND = join(ROOT, 'bin', 'kap-bridge.mjs');
const READY_WITHIN_MS = 60_000;

export type Service = {
  readonly pid: number;
  /** FHIR base, no slash at the end. */
  readonly base: string;
  /** From the start of the process to the first 200 of /readyz. */
  readonly startToReadySeconds: number;
  /** Ends it as an operator would, and waits. */
  stop(): Promise<void>;
};

export type ServiceOptions = {
  readonly dataDir: string;
  readonly port: number;
  /** Of node, before the command: ['--cpu-prof']. */
  readonly nodeOptions?: readonly string[];
};

/** @throws Error with the end of its log when it does not become ready */
export async function startService({ dataDir, port, nodeOptions = [] }: ServiceOptions): Promise<Service> {
  const logFile = join(dataDir, '..', 'service.log');
  const log = openSync(logFile, 'a', 0o600);
  const startedAt = performance.now();
  const child = spawn(process.execPath, [...optionsOfNpmStart(), ...nodeOptions, COMMAND, 'start'], {
    env: environment(dataDir, port),
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  const end = () => child.kill('SIGTERM');
  process.once('exit', end);
  child.once('exit', () => process.off('exit', end));
  const url = `http://127.0.0.1:${port}`;
  await untilReady(child, `${url}/readyz`, logFile);
  return {
    pid: child.pid as number,
    base: `${url}/fhir`,
    startToReadySeconds: (performance.now() - startedAt) / 1000,
    async stop() {
      if (child.exitCode !== null) return;
      child.kill('SIGTERM');
      await once(child, 'exit');
    },
  };
}

/** What `npm start` tells node: without it other memory would be measured. */
function optionsOfNpmStart(): string[] {
  const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { scripts: { start: string } };
  return scripts.start.split(' ').filter((word) => word.startsWith('--'));
}

/** A bearer token as an operator gets it. */
export async function mintToken(dataDir: string, port: number): Promise<string> {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [COMMAND, 'token', '--scope', 'system/*.cruds', '--ttl', '7200'],
    { env: environment(dataDir, port) },
  );
  return stdout.trim();
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

/** Nothing of the caller's environment may turn this into another service. */
function environment(dataDir: string, port: number): NodeJS.ProcessEnv {
  return {
    PATH: process.env.PATH,
    HOME: process.env.HOME,
    KAP_DATA_DIR: dataDir,
    KAP_PORT: String(port),
    KAP_LOG_LEVEL: 'warn',
  };
}

async function untilReady(child: ChildProcess, url: string, logFile: string): Promise<void> {
  const deadline = Date.now() + READY_WITHIN_MS;
  while (child.exitCode === null && Date.now() < deadline) {
    const status = await fetch(url).then(
      (answer) => answer.status,
      () => 0, // not listening yet
    );
    if (status === 200) return;
    await sleep(10);
  }
  child.kill('SIGTERM');
  throw new Error(`the service did not become ready:\n${readFileSync(logFile, 'utf8').slice(-2000)}`);
}
