/** `kap-bridge` as a person or a script runs it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

const COMMAND = join(import.meta.dirname, '..', '..', 'bin', 'kap-bridge.mjs');

export type Ended = { readonly code: number | null; readonly out: string; readonly err: string };

export function startCommand(args: readonly string[], environment: Readonly<Record<string, string>>): ChildProcess {
  const { PATH = '', TMPDIR = '/tmp' } = process.env;
  return spawn(process.execPath, ['--no-warnings', COMMAND, ...args], {
    env: { PATH, TMPDIR, KAP_LOG_LEVEL: 'warn', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

export async function command(args: readonly string[], environment: Readonly<Record<string, string>>): Promise<Ended> {
  return ended(startCommand(args, environment));
}

export async function ended(child: ChildProcess): Promise<Ended> {
  if (!child.stdout || !child.stderr) throw new Error('no output to read');
  const [out, err, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close') as Promise<[number | null]>,
  ]);
  return { code, out, err };
}
