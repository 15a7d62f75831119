/** A process that holds the embedded PostgreSQL of a folder as a service does, until it is told to end. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const SCRIPT = `
  const { openEmbeddedPostgres } = await import(${JSON.stringify(join(import.meta.dirname, '../../src/postgres/embedded.ts'))});
  const [dataDir, as] = process.argv.slice(1);
  try {
    const server = await openEmbeddedPostgres(dataDir, { as });
    console.log(JSON.stringify({ url: server.url, effect: server.effect }));
    process.once('SIGTERM', () => server.close());
  } catch (error) {
    console.log(JSON.stringify({ refused: error.code, message: error.message }));
  }
`;

export type ServiceProcess = {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly said: {
    readonly url?: string;
    readonly effect?: string;
    readonly refused?: string;
    readonly message?: string;
  };
  /** Ends it in order. */
  stop(): Promise<void>;
  kill9(): Promise<void>;
};

/** Resolves when PostgreSQL is ready, or refused. `identity` runs it as another user. */
export async function serviceProcess(
  dataDir: string,
  as: 'service' | 'command' = 'service',
  identity: { readonly uid?: number; readonly gid?: number } = {},
): Promise<ServiceProcess> {
  const args = ['--no-warnings', '--input-type=module', '--eval', SCRIPT, '--', dataDir, as];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'], cwd: '/', ...identity });
  if (!child.stdout) throw new Error('no output to read');
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
  const ended = once(child, 'exit');
  return {
    child,
    pid: child.pid ?? 0,
    said: JSON.parse(line),
    async stop() {
      child.kill('SIGTERM');
      await ended;
    },
    async kill9() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}
