/** Runs another command of kap-bridge, as a person would beside the running service, and reads its JSON. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { Failure, issue } from '../../fhir/failure.ts';

/**
 * @param input for its standard input: secrets do not belong on a command line, where every process can read them
 * @throws Failure `business-rule` with what it said when it does not succeed
 */
export async function kapBridge(args: readonly string[], input = ''): Promise<unknown> {
  const child = spawn(process.execPath, [process.argv[1] as string, ...args, '--json'], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  child.stdin.on('error', () => undefined); // it ended before it read; its exit code tells why
  child.stdin.end(input);
  const [out, said, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  if (code === 0) return JSON.parse(out);
  const words = `kap-bridge ${args.slice(0, 2).join(' ')} ended with ${code}: ${said.trim()}`;
  throw new Failure('business-rule', issue('processing', words));
}
