import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { OpenStore } from './queue-stores.ts';

export type WorkerProcess = {
  readonly child: ChildProcess;
  kill(signal: NodeJS.Signals): Promise<void>;
};

/** Resolves when the process takes wakes. */
export async function startWorkerProcess(
  databaseUrl: string,
  store: OpenStore,
  environment: Record<string, string> = {},
): Promise<WorkerProcess> {
  const child = spawn(process.execPath, ['--no-warnings', join(import.meta.dirname, 'worker-process.ts')], {
    env: { PATH: process.env.PATH, DATABASE_URL: databaseUrl, ...store.environment, ...environment },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const gone = once(child, 'exit').then(() => {
    throw new Error('The worker process ended before it was ready');
  });
  await Promise.race([once(child.stdout as NodeJS.ReadableStream, 'data'), gone]);
  gone.catch(() => undefined);
  return {
    child,
    async kill(signal) {
      const exited = child.exitCode !== null || child.signalCode !== null;
      if (exited) return;
      child.kill(signal);
      if (signal === 'SIGKILL') await once(child, 'exit');
    },
  };
}

/** Waits for a state, not for a time. */
export async function until(what: string, holds: () => Promise<boolean> | boolean, seconds = 30): Promise<void> {
  const end = Date.now() + seconds * 1000;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`Not within ${seconds} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
