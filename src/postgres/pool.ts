/**
 * Connections to PostgreSQL. Statements name no schema: a pool of a clinic sees that clinic's schema and nothing else,
 * so a query cannot reach another clinic's table.
 */
import pg from 'pg';
import { Failure, issue } from '../fhir/failure.ts';

export type Pool = pg.Pool;

export type PoolOptions = {
  /** Connections at most; 10 when absent. */
  readonly max?: number;
  /** A statement that takes longer is cancelled; 30 s when absent, 0 for no limit. */
  readonly statementTimeoutMs?: number;
  /** Shown in pg_stat_activity. */
  readonly applicationName?: string;
  /** pg's pipeline mode: queries of one client are sent without waiting for earlier answers. */
  readonly pipeline?: boolean;
};

/** The schema of a clinic: 'default' has 'clinic_default'. @throws Failure `not-found` for a name that cannot be one */
export function clinicSchema(clinic: string): string {
  if (!/^[a-z][a-z0-9_]{0,39}$/.test(clinic)) {
    throw new Failure(
      'not-found',
      issue('not-found', 'There is no such clinic: a name is 1 to 40 of a-z, 0-9 and _, and starts with a letter'),
    );
  }
  return `clinic_${clinic}`;
}

/** Its connections pipeline: statements of one transaction need not wait for each other's answers. */
export function createClinicPool(url: string, clinic: string, options: PoolOptions = {}): Pool {
  return createPool(url, { pipeline: true, ...options }, clinicSchema(clinic));
}

/** @throws Failure `not-found` when the schema of the pool does not exist */
export async function requireClinic(pool: Pool): Promise<void> {
  const { rows } = await pool.query<{ there: boolean }>('select current_schema() is not null as there');
  if (rows[0]?.there === true) return;
  throw new Failure('not-found', issue('not-found', 'There is no such clinic in this database'));
}

/** A pool on no schema of ours; what it names must be qualified. */
export function createPool(url: string, options: PoolOptions = {}, schema?: string): Pool {
  const statementTimeoutMs = options.statementTimeoutMs ?? 30_000;
  const pool = new pg.Pool({
    connectionString: url,
    max: options.max ?? 10,
    application_name: options.applicationName ?? 'kap-bridge',
    keepAlive: true,
    connectionTimeoutMillis: 10_000,
    options: serverOptions(schema, statementTimeoutMs),
    ...(options.pipeline === undefined ? {} : { pipeline: options.pipeline }),
  });
  // A connection that breaks while idle leaves the pool by itself; the next query opens another. Without a listener
  // the event would end the process.
  pool.on('error', () => undefined);
  return pool;
}

// As start-up options they hold from the first statement on and survive `reset all`, without a round trip.
function serverOptions(schema: string | undefined, statementTimeoutMs: number): string {
  const set = [
    `statement_timeout=${statementTimeoutMs}`,
    'idle_in_transaction_session_timeout=60000',
    'timezone=UTC',
    // Our statements are written so that one plan serves all values; planning costs as much as most of them run.
    'plan_cache_mode=force_generic_plan',
    // Such a plan is made once, often on tables that are still empty: a scan of the whole table looks cheap then, and
    // the plan stays until statistics are gathered. Every access of ours has an index.
    'enable_seqscan=off',
    'jit=off',
  ];
  if (schema !== undefined) set.push(`search_path=${schema}`);
  return set.map((setting) => `-c ${setting}`).join(' ');
}
