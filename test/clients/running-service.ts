/** The service as a process on a port, as a client meets it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { command, ended, startCommand } from '../cli/command.ts';
import { freePort } from '../free-port.ts';

export type RunningService = {
  readonly origin: string;
  /** The FHIR base. */
  readonly base: string;
  /** For everything. */
  readonly token: string;
  stop(): Promise<void>;
};

export async function runService(): Promise<RunningService> {
  const dataDir = mkdtempSync(join(tmpdir(), 'kap-bridge-client-'));
  const port = String(await freePort());
  const environment = { KAP_DATA_DIR: dataDir, KAP_PORT: port };
  const child = startCommand(['start', '--json'], environment);
  const end = ended(child);
  const origin = `http://127.0.0.1:${port}`;
  while ((await fetch(`${origin}/readyz`).catch(() => null))?.status !== 200) {
    if (child.exitCode !== null) throw new Error(`the service ended: ${(await end).err}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const { out } = await command(['token', '--scope', 'system/*.cruds'], environment);
  return {
    origin,
    base: `${origin}/fhir`,
    token: out.trim(),
    stop: async () => {
      child.kill('SIGTERM');
      await end;
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}
