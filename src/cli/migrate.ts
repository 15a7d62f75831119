import type { Command } from 'commander';
import { readConfig } from '../config.ts';
import { openEmbeddedPostgres } from '../postgres/embedded.ts';
import { type MigrationReport, migrate } from '../postgres/migrate.ts';
import { addCommand, print } from './context.ts';

export function register(program: Command): void {
  const command = addCommand(program, {
    name: 'migrate',
    description: 'bring the tables of every clinic, and of the queue, up to date; safe to run at any time',
    examples: ['migrate', 'migrate --json'],
  });
  command.action(async () => print(command, await migrateDatabase(), shown));
}

async function migrateDatabase(): Promise<readonly MigrationReport[]> {
  const { config } = readConfig();
  const queue = config.redisUrl === undefined;
  if (config.databaseUrl !== undefined) return migrate(config.databaseUrl, { queue });
  const embedded = await openEmbeddedPostgres(config.dataDir, { as: 'command' });
  try {
    return await migrate(embedded.url, { queue });
  } finally {
    await embedded.close();
  }
}

function shown(reports: readonly MigrationReport[]): string {
  return reports
    .map(({ schema, applied }) => `${schema}: ${applied.length === 0 ? 'up to date' : `applied ${applied.join(', ')}`}`)
    .join('\n');
}
