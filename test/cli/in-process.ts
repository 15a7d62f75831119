/** `kap-bridge` in the process of the test: as `command`, without the second that each start of a process takes. One at a time. */
import { runCommand } from '../../src/cli/main.ts';
import type { Ended } from './command.ts';

const wiring = {
  startService: () => {
    throw new TypeError('a service is started in a process of its own');
  },
};

export async function commandHere(
  args: readonly string[],
  environment: Readonly<Record<string, string>>,
): Promise<Ended> {
  const before = { env: { ...process.env }, write: process.stdout.write, error: console.error };
  let out = '';
  let err = '';
  Object.assign(process.env, environment);
  process.stdout.write = ((text: string) => {
    out += text;
    return true;
  }) as typeof process.stdout.write;
  console.error = (text: unknown) => {
    err += `${String(text)}\n`;
  };
  try {
    const code = await runCommand(args, wiring);
    return { code, out, err };
  } finally {
    process.stdout.write = before.write;
    console.error = before.error;
    for (const name of Object.keys(environment)) {
      if (before.env[name] === undefined) delete process.env[name];
      else process.env[name] = before.env[name];
    }
  }
}
