/** The command line: registers the commands and turns every failure into a message and an exit code, once. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command, CommanderError } from 'commander';
import { Failure, issue } from '../fhir/failure.ts';
import { register as registerConfig } from './config.ts';
import { register as registerDelivery } from './delivery.ts';
import { register as registerDemo } from './demo.ts';
import { EXIT, EXIT_CODE_HELP, exitCodeOf } from './exit-codes.ts';
import { register as registerImport } from './import.ts';
import { register as registerMigrate } from './migrate.ts';
import { register as registerProfiles } from './profiles.ts';
import { register as registerStart, type StartService } from './start.ts';
import { register as registerTarget } from './target.ts';
import { register as registerToken } from './token.ts';

// Codes of Node's sockets, and of PostgreSQL starting or stopping.
const UNREACHABLE = /^(ECONNREFUSED|ECONNRESET|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|57P0[123])$/;
const REFUSED_BY_POSTGRES = /^(28|3D)/;
const FILE_REFUSED = /^(EACCES|EPERM|EROFS|ENOTDIR|EISDIR)$/;

export type Wiring = { readonly startService: StartService };

/** Runs one command. @param args what follows `kap-bridge` @returns its exit code; never rejects */
export async function runCommand(args: readonly string[], wiring: Wiring): Promise<number> {
  const program = createProgram(wiring);
  try {
    await program.parseAsync([...args], { from: 'user' });
    return EXIT.ok;
  } catch (error) {
    return explain(error, args.includes('--json'));
  }
}

function createProgram(wiring: Wiring): Command {
  const program = new Command('kap-bridge')
    .description('FHIR R4 record and exchange service of a ketamine-assisted psychotherapy clinic')
    .version(version())
    .addHelpText('after', EXIT_CODE_HELP)
    .showHelpAfterError('(kap-bridge <command> --help shows how)')
    .exitOverride();
  registerStart(program, wiring.startService);
  registerMigrate(program);
  registerConfig(program);
  registerToken(program);
  registerDemo(program, wiring.startService);
  registerTarget(program);
  registerDelivery(program);
  registerProfiles(program);
  registerImport(program);
  for (const command of everyCommand(program)) command.exitOverride().copyInheritedSettings(program);
  return program;
}

function everyCommand(program: Command): readonly Command[] {
  return program.commands.flatMap((command) => [command, ...everyCommand(command)]);
}

// Beside src in a checkout, beside dist/src in a package.
function version(): string {
  const text = readFileSync(join(import.meta.dirname, '..', '..', 'package.json'), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

/** Tells a person, or a script with `--json`, what went wrong. */
function explain(error: unknown, json: boolean): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage; // commander has spoken
  const failure = error instanceof Failure ? error : outsideFailure(error);
  if (failure === null) {
    // Its other fields stay here: PostgreSQL quotes values in them.
    console.error(error instanceof Error ? error.stack : error);
    return EXIT.unexpected;
  }
  const exitCode = exitCodeOf(failure.code);
  if (json) console.error(JSON.stringify({ error: failure.code, exitCode, issues: failure.issues }));
  else {
    for (const { diagnostics, expression } of failure.issues.slice(0, MAX_LINES)) {
      console.error(lineOf(diagnostics, expression));
    }
    const more = failure.issues.length - MAX_LINES;
    if (more > 0) console.error(`and ${more} more: --json shows all`);
  }
  return exitCode;
}

/** What PostgreSQL, the network or the file system refused; null for anything else. */
function outsideFailure(error: unknown): Failure | null {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (UNREACHABLE.test(code)) {
    const words = `PostgreSQL, or another service, cannot be reached (${code})`;
    return new Failure('transient', issue('transient', words));
  }
  if (REFUSED_BY_POSTGRES.test(code)) {
    const words = `PostgreSQL refuses the user, the password or the database of DATABASE_URL (${code})`;
    return new Failure('invalid', issue('value', words));
  }
  if (FILE_REFUSED.test(code) && error instanceof Error && 'path' in error) {
    return new Failure('invalid', issue('value', `${error.path} cannot be used (${code})`));
  }
  return null;
}

/** Reasons that a person reads at once. */
const MAX_LINES = 50;

function lineOf(diagnostics: string, expression: string | undefined): string {
  return `error: ${expression === undefined ? '' : `${expression}: `}${diagnostics}`;
}
