/**
 * Migrations: the .sql files of `migrations/`, applied once each to every clinic's schema, in the order of their
 * numbers, forward only. One process migrates at a time; a file commits together with the row that says so.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { Failure, issue } from '../fhir/failure.ts';
import { clinicSchema } from './pool.ts';

export type MigrationFile = { readonly name: string; readonly sql: string; readonly digest: string };

export type MigrationReport = {
  readonly schema: string;
  /** Names of the files applied now; empty when the schema was up to date. */
  readonly applied: readonly string[];
};

export type MigrateOptions = {
  /** Clinics whose schemas are wanted beside those that exist; ['default'] when absent. */
  readonly clinics?: readonly string[];
  /** Whether BullMQ keeps its queue in this database. */
  readonly queue: boolean;
  /** Ours when absent. */
  readonly files?: readonly MigrationFile[];
};

const MIGRATION_LOCK = [0x4b4150, 3] as const; // beside the locks of embedded.ts

/**
 * Brings the schema of each clinic, and BullMQ's, up to date.
 * @throws Failure `conflict` when a file that was applied has changed since, or is not among ours
 */
export async function migrate(url: string, options: MigrateOptions): Promise<readonly MigrationReport[]> {
  const files = options.files ?? readMigrations();
  const client = new pg.Client({ connectionString: url, application_name: 'kap-bridge migrate' });
  await client.connect();
  try {
    await client.query('select pg_advisory_lock($1, $2)', [...MIGRATION_LOCK]);
    const reports: MigrationReport[] = [];
    for (const schema of await schemas(client, options.clinics ?? ['default'])) {
      reports.push(await migrateSchema(client, schema, files));
    }
    if (options.queue) reports.push(await migrateQueue(client));
    return reports;
  } finally {
    await client.end(); // the lock goes with it
  }
}

/** What `migrate` would apply to the clinics, as 'schema/file'. Reads only, without the lock. */
export async function pendingMigrations(
  url: string,
  clinics: readonly string[] = ['default'],
): Promise<readonly string[]> {
  const files = readMigrations();
  const client = new pg.Client({ connectionString: url, application_name: 'kap-bridge migrate' });
  await client.connect();
  try {
    const pending: string[] = [];
    for (const schema of await schemas(client, clinics)) {
      const applied = (await isMigrated(client, schema)) ? await appliedIn(client, schema) : [];
      pending.push(...pendingOf(schema, files, applied).map((file) => `${schema}/${file.name}`));
    }
    return pending;
  } finally {
    await client.end();
  }
}

/** The files as they are on disk, with their digests. */
export function readMigrations(folder: string = join(import.meta.dirname, 'migrations')): readonly MigrationFile[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.sql'))
    .sort()
    .map((name) => {
      const sql = readFileSync(join(folder, name), 'utf8');
      return { name, sql, digest: createHash('sha256').update(sql).digest('hex') };
    });
}

async function schemas(client: pg.Client, wanted: readonly string[]): Promise<readonly string[]> {
  const { rows } = await client.query<{ name: string }>(
    `select nspname as name from pg_namespace
      where nspname ~ '^clinic_' and to_regclass(format('%I.schema_migration', nspname)) is not null`,
  );
  return [...new Set([...wanted.map(clinicSchema), ...rows.map((row) => row.name)])].sort();
}

async function migrateSchema(
  client: pg.Client,
  schema: string,
  files: readonly MigrationFile[],
): Promise<MigrationReport> {
  const name = client.escapeIdentifier(schema);
  await client.query(`create schema if not exists ${name}`);
  await client.query(`set search_path = ${name}`);
  await client.query(
    `create table if not exists schema_migration (
       name       text collate "C" primary key,
       digest     text not null,               -- SHA-256 of the file as applied
       applied_at timestamptz not null default now()
     )`,
  );
  const pending = pendingOf(schema, files, await appliedIn(client, schema));
  for (const file of pending) await applyFile(client, schema, file);
  return { schema, applied: pending.map((file) => file.name) };
}

type Applied = { readonly name: string; readonly digest: string };

async function isMigrated(client: pg.Client, schema: string): Promise<boolean> {
  const { rows } = await client.query<{ there: boolean }>(
    "select to_regclass(format('%I.schema_migration', $1::text)) is not null as there",
    [schema],
  );
  return rows[0]?.there === true;
}

async function appliedIn(client: pg.Client, schema: string): Promise<readonly Applied[]> {
  const { rows } = await client.query<Applied>(
    `select name, digest from ${client.escapeIdentifier(schema)}.schema_migration order by name`,
  );
  return rows;
}

/** What is left to apply, once all that was applied is known to be what we have. */
function pendingOf(
  schema: string,
  files: readonly MigrationFile[],
  applied: readonly Applied[],
): readonly MigrationFile[] {
  const ours = new Map(files.map((file) => [file.name, file]));
  for (const { name, digest } of applied) {
    const file = ours.get(name);
    if (file === undefined) {
      throw refused(
        `Schema ${schema} has the migration ${name}, which this version does not know: use the newer version`,
      );
    }
    if (file.digest !== digest) {
      throw refused(
        `The migration ${name} was changed after it was applied to schema ${schema}: restore the file and put the change into a new one`,
      );
    }
  }
  const last = applied.at(-1)?.name ?? '';
  const done = new Set(applied.map((row) => row.name));
  const pending = files.filter((file) => !done.has(file.name));
  const late = pending.find((file) => file.name < last);
  if (late !== undefined) {
    throw refused(
      `The migration ${late.name} comes before ${last}, which schema ${schema} has already: give it a later number`,
    );
  }
  return pending;
}

async function applyFile(client: pg.Client, schema: string, file: MigrationFile): Promise<void> {
  try {
    await client.query('begin');
    await client.query(file.sql);
    await client.query('insert into schema_migration (name, digest) values ($1, $2)', [file.name, file.digest]);
    await client.query('commit');
  } catch (cause) {
    await client.query('rollback');
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`Migration ${file.name} of schema ${schema} failed and was undone: ${reason}`, { cause });
  }
}

// BullMQ refuses to work on a schema that was not migrated; its own lock makes this safe beside other processes.
async function migrateQueue(client: pg.Client): Promise<MigrationReport> {
  const { runMigrations, DEFAULT_SCHEMA } = await import('bullmq');
  const before = await queueVersion(client, DEFAULT_SCHEMA);
  const after = await runMigrations(client, DEFAULT_SCHEMA);
  return { schema: DEFAULT_SCHEMA, applied: after === before ? [] : [`version ${after}`] };
}

async function queueVersion(client: pg.Client, schema: string): Promise<number> {
  const { rows } = await client.query<{ there: boolean }>(
    `select to_regclass('${schema}.migration') is not null as there`,
  );
  if (!rows[0]?.there) return 0;
  const { rows: versions } = await client.query<{ version: number }>(
    `select coalesce(max(version), 0) as version from ${schema}.migration`,
  );
  return versions[0]?.version ?? 0;
}

function refused(text: string): Failure {
  return new Failure('conflict', issue('conflict', text));
}
