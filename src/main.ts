/**
 * The wiring of the service: PostgreSQL, migrations, the record of each clinic, HTTP and the worker, as the role asks.
 * What was opened is closed in the opposite order, also when a later part does not start.
 */
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { promisify } from 'node:util';
import { type Logger, pino, stdTimeFunctions } from 'pino';
import type { QueueStore } from '../jobs/queue.ts';
import { startCourseReview } from '../jobs/review-courses.ts';
import { startRelay, startWorker, type Waker } from '../jobs/worker.ts';
import { jwks, type Sealing } from './access/keys.ts';
import { openSealing } from './access/secrets.ts';
import { createTokenVerifier } from './access/tokens.ts';
import { type ApiProcess, type Siblings, startApiProcesses } from './api-processes.ts';
import type { RunningService } from './cli/start.ts';
import type { Config } from './config.ts';
import { fhirBase } from './fhir/base-url.ts';
import { type Definitions, loadDefinitions } from './fhir/definitions.ts';
import { Failure, issue } from './fhir/failure.ts';
import { shippedProfiles } from './fhir/profiles/shipped.ts';
import { validatorCache } from './fhir/validation/code-cache.ts';
import { createValidator } from './fhir/validation/validator.ts';
import { createApp } from './http/app.ts';
import type { Clinic } from './http/exchange.ts';
import type { Dependency } from './http/health.ts';
import { createMetrics, type Metrics } from './http/metrics.ts';
import { close, listen } from './http/server.ts';
import { createAuditReader, createAuditTrail } from './postgres/audit.ts';
import { deliveryParts } from './postgres/delivery-parts.ts';
import { openEmbeddedPostgres } from './postgres/embedded.ts';
import { migrate } from './postgres/migrate.ts';
import { createClinicPool, createPool, type Pool } from './postgres/pool.ts';
import { profileStore } from './postgres/profiles.ts';
import { untilReachable } from './postgres/reachable.ts';
import { createRecordStore } from './postgres/record-store.ts';
import { sealingFingerprints } from './postgres/sealing-key.ts';
import { rebuildSearchRows } from './postgres/search/rebuild.ts';
import { createSigningKeyStore } from './postgres/signing-keys.ts';
import { terminologyOf } from './postgres/terminology.ts';
import { startTextIndexer } from './postgres/text-index.ts';
import { openClinicProfiles, type ProfileSet } from './record/clinic-profiles.ts';
import { createCourseReader } from './record/course-reader.ts';
import { createRecord } from './record/create-record.ts';
import { installGuide, installProtocol } from './record/install-protocol.ts';
import { type FhirParts, fhirParts, recordParts } from './record/open-record.ts';
import type { WriteContext } from './record/record.ts';
import { guideDefinitions, shippedProtocol } from './record/shipped-definitions.ts';

/** Resolves when requests will succeed. @throws Failure when a part cannot start; nothing is left open then */
export async function startService(config: Config): Promise<RunningService> {
  const base = fhirBase(config.baseUrl, 'default');
  const { workers, role } = config;
  const { logger, close } = await startParts(config, async (parts) => {
    if (workers === 1) await serve(parts, await openClinics(parts));
    else await serveByChildren(parts);
    parts.logger.info({ role, workers, base }, 'ready');
  });
  return {
    fhirBase: base,
    async close() {
      logger.info('stopping');
      await close();
      logger.info('stopped');
    },
  };
}

/** One of several API processes, as the parent has it (api-processes.ts). */
export async function startApiProcess(config: Config, siblings: Siblings): Promise<ApiProcess> {
  const metrics = createMetrics();
  const { close } = await startParts(config, async (parts) => {
    await serve(parts, await openClinics(parts), {
      metrics: { ...metrics, text: siblings.metricsText },
      dependencies: [{ name: 'api processes', check: siblings.requireAll }],
    });
  });
  return { ownMetrics: metrics.values, close };
}

/** The API in processes of its own, the background work in this one. */
async function serveByChildren(parts: Parts): Promise<void> {
  const { config, url, logger, closers } = parts;
  const metrics = createMetrics();
  if (config.role === 'all') {
    addGauges(metrics, await openClinics({ ...parts, config: { ...config, role: 'worker' } }));
  }
  const children = await startApiProcesses<Config>({
    count: config.workers,
    config: { ...config, role: 'api', workers: 1, databaseUrl: url },
    logger,
    ownMetrics: metrics.values,
  });
  closers.push(() => children.close());
}

type Closer = () => Promise<void>;

/** What all clinics of a process share. */
type Parts = {
  readonly config: Config;
  /** Of PostgreSQL, its tables up to date. */
  readonly url: string;
  readonly schemas: readonly { readonly schema: string }[];
  readonly fhir: FhirParts;
  readonly logger: Logger;
  readonly closers: Closer[];
};

async function startParts(
  config: Config,
  start: (parts: Parts) => Promise<void>,
): Promise<{ readonly logger: Logger; readonly close: () => Promise<void> }> {
  const logger = createLogger(config);
  const closers: Closer[] = [];
  dieByLog(logger, closers);
  try {
    const definitions = loadDefinitions();
    const [url] = await Promise.all([openDatabase(config, logger, closers), compileAhead(definitions, logger)]);
    const schemas = await migrate(url, { queue: config.redisUrl === undefined });
    for (const { schema, applied } of schemas) if (applied.length > 0) logger.info({ schema, applied }, 'migrated');
    await start({ config, url, schemas, fhir: fhirParts(definitions), logger, closers });
  } catch (error) {
    await closeAll(closers, logger);
    throw error;
  }
  return { logger, close: () => closeAll(closers, logger) };
}

async function closeAll(closers: Closer[], logger: Logger): Promise<void> {
  for (const closer of closers.splice(0).reverse()) {
    // One part that does not close must not keep the others open.
    await closer().catch((error: unknown) => logger.error({ error: kindOf(error) }, 'a part did not close'));
  }
}

// ---- log

/** Lines of JSON on standard output. Nothing of ours logs a body or an url; this is the second lock on the door. */
function createLogger({ logLevel }: Config): Logger {
  const secrets = ['authorization', 'password', 'token', 'access_token', 'client_secret', 'credentials', 'body'];
  return pino({
    level: logLevel,
    base: { pid: process.pid },
    timestamp: stdTimeFunctions.isoTime,
    redact: { paths: secrets.flatMap((name) => [name, `*.${name}`]), censor: '***' },
  });
}

/** An error that nobody expected ends the process, with its kind and its place: a message could quote the record. */
function dieByLog(logger: Logger, closers: Closer[]): void {
  const die = (error: unknown) => {
    const at = error instanceof Error ? (error.stack ?? '').split('\n').filter((line) => /^ +at /.test(line)) : [];
    logger.fatal(
      { error: kindOf(error), at: at.slice(0, 10).map((line) => line.trim()) },
      'unexpected, the process ends',
    );
    process.exit(1);
  };
  process.on('uncaughtException', die);
  closers.push(async () => {
    process.off('uncaughtException', die);
  });
}

function kindOf(error: unknown): string {
  if (error instanceof Failure) return error.message;
  return error instanceof Error ? error.name : typeof error;
}

// ---- PostgreSQL

async function openDatabase(config: Config, logger: Logger, closers: Closer[]): Promise<string> {
  if (config.databaseUrl !== undefined) {
    await untilReachable(config.databaseUrl, (code, retryInMs) =>
      logger.warn({ code, retryInMs }, 'PostgreSQL does not answer'),
    );
    return config.databaseUrl;
  }
  const embedded = await openEmbeddedPostgres(config.dataDir, {
    as: 'service',
    ...(config.workers === 1 ? {} : { settings: { max_connections: String(connectionsFor(config.workers)) } }),
    onLost(error) {
      logger.fatal({ error: kindOf(error) }, 'PostgreSQL ended and does not start again');
      process.exit(1);
    },
  });
  closers.push(() => embedded.close());
  logger.info({ dataDir: config.dataDir, effect: embedded.effect }, 'PostgreSQL');
  return embedded.url;
}

/** Each process has pools of its own: 10 for a clinic, and as many for the queue. */
function connectionsFor(workers: number): number {
  return 100 + 25 * workers;
}

// ---- a clinic

type OpenClinic = { readonly clinic: Clinic; readonly pool: Pool; readonly auditRowsWaiting: () => number };

type Shared = Parts & { readonly queue: QueueStore };

async function openClinics(parts: Parts): Promise<ReadonlyMap<string, OpenClinic>> {
  const shared: Shared = { ...parts, queue: openQueueStore(parts.config, parts.url, parts.closers) };
  const clinics = new Map<string, OpenClinic>();
  for (const { schema } of parts.schemas) {
    const name = /^clinic_(.+)$/.exec(schema)?.[1];
    if (name !== undefined) clinics.set(name, await openClinic(shared, name));
  }
  return clinics;
}

function openQueueStore(config: Config, url: string, closers: Closer[]): QueueStore {
  if (config.redisUrl !== undefined) return { kind: 'redis', url: config.redisUrl };
  const pool = createPool(url, { applicationName: 'kap-bridge queue' }, 'bullmq');
  closers.push(() => pool.end());
  return { kind: 'postgres', pool };
}

async function openClinic(shared: Shared, name: string): Promise<OpenClinic> {
  const { config, url, fhir, logger, closers } = shared;
  const now = () => new Date();
  const base = fhirBase(config.baseUrl, name);
  const pool = createClinicPool(url, name, { applicationName: `kap-bridge ${config.role} ${name}` });
  closers.push(() => pool.end());
  const sealing = await openSealing(config.dataDir, sealingFingerprints(pool));
  const waker = await openDelivery(shared, name, pool, sealing);

  const rebuilt = await rebuildSearchRows(pool, fhir.extractors);
  if (rebuilt > 0) logger.info({ clinic: name, resources: rebuilt }, 'search rows made anew');
  const words = startTextIndexer(pool, (error) =>
    logger.warn({ error: kindOf(error) }, 'new texts wait to be indexed'),
  );
  closers.push(() => words.close());
  const store = createRecordStore({
    clinic: name,
    pool,
    registry: fhir.registry,
    cursorKey: sealing.derive('cursor'),
    searchedWords: () => words.wake(),
  });
  const baseUrls = [...new Set([base, `${config.baseUrl}/clinics/${name}/fhir`])];
  const profiles = await openClinicProfiles(profileStore(pool), fhir.profiles, {
    changed: (set) => prepare(set, logger),
  });
  const parts = recordParts({ clinic: name, store, fhir, profiles, baseUrls, now, committed: () => waker.wake() });
  const record = createRecord(parts);
  const ownContext = (): WriteContext => ({
    requestId: randomUUID(),
    clinic: name,
    observer: base,
    agent: { clientId: 'system' },
    interaction: 'update',
  });
  await installProtocol(store, record, shippedProtocol(), ownContext());
  if (config.role !== 'api') {
    const renewed = await installGuide(store, record, guideDefinitions(), ownContext());
    if (renewed.length > 0)
      logger.info({ clinic: name, definitions: renewed.length }, 'definitions of the guide stored');
    const review = startCourseReview(parts, ownContext, logger);
    closers.push(() => review.close());
  }

  const trail = createAuditTrail(pool);
  const clinic: Clinic = {
    name,
    base,
    record,
    trail,
    auditReader: createAuditReader(pool),
    tokens: createTokenVerifier(createSigningKeyStore(pool), base, now),
    courses: createCourseReader(store),
    terminology: terminologyOf(pool),
    profiles,
  };
  return { clinic, pool, auditRowsWaiting: () => trail.waiting() };
}

/** Deliveries: worked on here, or, in a process that only serves the API, put into the queue for those that do. */
async function openDelivery(shared: Shared, clinic: string, pool: Pool, sealing: Sealing): Promise<Waker> {
  const { config, queue, logger, closers } = shared;
  const ownBase = fhirBase(config.baseUrl, clinic);
  const { deliveries, lanes, targets, onlyOne } = deliveryParts(pool, sealing, { clinic, observer: ownBase });
  const relay = { clinic, queue, lanes, log: logger };
  const waker =
    config.role === 'api'
      ? await startRelay(relay)
      : await startWorker({ ...relay, ownBase, deliveries, targets, onlyOne });
  closers.push(() => waker.close());
  return waker;
}

// ---- HTTP

/** What an API process among others shows of them. */
type Together = { readonly metrics: Metrics; readonly dependencies: readonly Dependency[] };

/** The FHIR API where the role has it; health and metrics always. */
async function serve(
  { config, logger, fhir, closers }: Parts,
  clinics: ReadonlyMap<string, OpenClinic>,
  { metrics, dependencies }: Together = { metrics: createMetrics(), dependencies: [] },
): Promise<void> {
  const api = config.role !== 'worker';
  addGauges(metrics, clinics);
  const app = createApp({
    clinics: new Map([...clinics].filter(() => api).map(([name, { clinic }]) => [name, clinic])),
    jwks: (name) => jwks(createSigningKeyStore(poolOf(clinics, name))),
    searchParameters: fhir.registry,
    dependencies: [
      ...[...clinics].map(([name, { pool }]): Dependency => ({ name: `postgres ${name}`, check: () => asks(pool) })),
      ...dependencies,
    ],
    logger,
    metrics,
    version: version(),
    now: () => new Date(),
    corsOrigins: config.corsOrigins,
  });
  try {
    const server = await listen(app, config.port, config.host);
    closers.push(() => close(server));
  } catch (cause) {
    throw listenFailure(cause, config) ?? cause;
  }
  if (api) for (const { clinic } of clinics.values()) prepare(clinic.profiles.current(), logger);
}

/** What a person can change about a server that may not listen; undefined for anything else. */
function listenFailure(cause: unknown, { host, port }: Config): Failure | undefined {
  const refusal = (words: string) => new Failure('invalid', issue('value', words), { cause });
  switch (cause instanceof Error && 'code' in cause ? cause.code : undefined) {
    case 'EADDRINUSE': {
      const words = `Port ${port} is in use on ${host}: stop what uses it, or set KAP_PORT`;
      return new Failure('transient', issue('transient', words), { cause });
    }
    case 'EADDRNOTAVAIL':
      return refusal(`KAP_HOST ${host} is not an address of this machine`);
    case 'EACCES':
      return refusal(`This user may not listen on port ${port}: set KAP_PORT to one above 1023`);
    default:
      return undefined;
  }
}

function addGauges(metrics: Metrics, clinics: ReadonlyMap<string, OpenClinic>): void {
  const sum = (of: (open: OpenClinic) => number) => () =>
    [...clinics.values()].reduce((all, open) => all + of(open), 0);
  metrics.gauge(
    'kap_audit_rows_waiting',
    'Audit rows on their way to PostgreSQL',
    sum((open) => open.auditRowsWaiting()),
  );
  metrics.gauge(
    'kap_postgres_waiting',
    'Requests that wait for a connection',
    sum((open) => open.pool.waitingCount),
  );
}

function poolOf(clinics: ReadonlyMap<string, OpenClinic>, name: string): Pool {
  const open = clinics.get(name);
  if (open === undefined) throw new Failure('not-found', issue('not-found', 'There is no such clinic'));
  return open.pool;
}

/** Compiles what is not on disk, such as the profiles of a package; until then each check is made on its first use. */
function prepare({ validator }: ProfileSet, logger: Logger): void {
  validator
    .prepare()
    .catch((error: unknown) => logger.warn({ error: kindOf(error) }, 'checks were not compiled ahead'));
}

/** Once for each release: see src/compile-ahead.ts. Where it fails, this process compiles what it needs. */
async function compileAhead(definitions: Definitions, logger: Logger): Promise<void> {
  const script = join(import.meta.dirname, `compile-ahead${extname(import.meta.filename)}`);
  try {
    if (createValidator(definitions, shippedProfiles(), validatorCache()).isKept()) return;
    await promisify(execFile)(process.execPath, ['--no-warnings', script]);
  } catch (error) {
    logger.warn({ error: kindOf(error) }, 'checks were not compiled ahead');
  }
}

async function asks(pool: Pool): Promise<void> {
  await pool.query('select 1');
}

function version(): string {
  const text = readFileSync(join(import.meta.dirname, '..', 'package.json'), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
