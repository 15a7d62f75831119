/**
 * What every command shares: `--json`, examples in its help, the PostgreSQL that runs or one for the time of the command.
 *
 * A command file exports `register(program: Command): void`, names its command with `addCommand`, and does its work
 * inside `withPostgres`. It throws Failure and leaves exit codes to main.ts. Heavy parts are imported inside the
 * action, so that `--help` stays quick.
 */
import type { Command } from 'commander';
import { type Config, readConfig } from '../config.ts';
import { Failure, issue } from '../fhir/failure.ts';
import { openEmbeddedPostgres } from '../postgres/embedded.ts';
import { migrate, pendingMigrations } from '../postgres/migrate.ts';
import { createClinicPool, type Pool, requireClinic } from '../postgres/pool.ts';
import { EXIT } from './exit-codes.ts';

export type CommandDescription = {
  readonly name: string;
  readonly description: string;
  /** Command lines after `kap-bridge`, at least one. */
  readonly examples: readonly [string, ...string[]];
};

/** A command with `--json` and its examples; options and action are the caller's. */
export function addCommand(parent: Command, { name, description, examples }: CommandDescription): Command {
  return parent
    .command(name)
    .description(description)
    .option('--json', 'print JSON for scripts')
    .addHelpText('after', `\nExamples:\n${examples.map((example) => `  kap-bridge ${example}`).join('\n')}\n`);
}

/** Prints a result: one JSON document with `--json`, otherwise what `text` makes of it. */
export function print<T>(command: Command, value: T, text: (value: T) => string): void {
  const json = command.opts<{ json?: boolean }>().json === true;
  process.stdout.write(`${json ? JSON.stringify(value, null, 2) : text(value)}\n`);
}

export type OpenPostgres = {
  readonly config: Config;
  readonly url: string;
  /** On the schema of a clinic, up to date. Ended with the command. @throws Failure `not-found` without such a clinic */
  clinicPool(clinic: string): Promise<Pool>;
};

/**
 * Does work on the service's PostgreSQL: DATABASE_URL, or the embedded one, which is joined where it runs and started
 * for this command where it does not. Tables of the embedded one are brought up to date.
 * @throws Failure `conflict` when the tables behind DATABASE_URL are not up to date
 */
export async function withPostgres<T>(work: (postgres: OpenPostgres) => Promise<T>): Promise<T> {
  const { config } = readConfig();
  return config.databaseUrl === undefined ? onEmbedded(config, work) : onServer(config, config.databaseUrl, work);
}

async function onServer<T>(config: Config, url: string, work: (postgres: OpenPostgres) => Promise<T>): Promise<T> {
  if ((await pendingMigrations(url)).length > 0) {
    throw new Failure('conflict', issue('conflict', 'The tables are not up to date: run kap-bridge migrate first'));
  }
  return withPools(config, url, work);
}

async function onEmbedded<T>(config: Config, work: (postgres: OpenPostgres) => Promise<T>): Promise<T> {
  const embedded = await openEmbeddedPostgres(config.dataDir, { as: 'command' });
  // A command that is interrupted must not leave a server behind that only it has started.
  const interrupted = () => void embedded.close().finally(() => process.exit(EXIT.interrupted));
  process.once('SIGINT', interrupted);
  process.once('SIGTERM', interrupted);
  try {
    await migrate(embedded.url, { queue: config.redisUrl === undefined });
    return await withPools(config, embedded.url, work);
  } finally {
    process.off('SIGINT', interrupted);
    process.off('SIGTERM', interrupted);
    await embedded.close();
  }
}

async function withPools<T>(config: Config, url: string, work: (postgres: OpenPostgres) => Promise<T>): Promise<T> {
  const pools: Pool[] = [];
  const clinicPool = async (clinic: string): Promise<Pool> => {
    const pool = createClinicPool(url, clinic, { applicationName: 'kap-bridge command' });
    pools.push(pool);
    await requireClinic(pool);
    return pool;
  };
  try {
    return await work({ config, url, clinicPool });
  } finally {
    await Promise.all(pools.map((pool) => pool.end()));
  }
}
