/** What was measured, beside the peer's figures, the limits of the machine and what is required. */
import type { Measurement } from './load.ts';
import type { PostgresLimit } from './postgres-limit.ts';

export type Peer = {
  readonly name: string;
  readonly conditions: string;
  readonly requestsPerSecond: Readonly<Record<string, number>>;
  readonly cpuMsPerRequest: Readonly<Record<string, { readonly server: number; readonly postgres: number }>>;
  /** What the machine could take where the peer was measured, per second, by name of the limit. */
  readonly limits: Readonly<Record<string, number>>;
  /** Times the peer that each scenario must reach at least. */
  readonly required: Readonly<Record<string, number>>;
};

export type Report = {
  readonly date: string;
  readonly node: string;
  readonly cores: number;
  readonly conditions: string;
  readonly scenarios: readonly ScenarioResult[];
  readonly postgresLimits: readonly PostgresLimit[];
  readonly httpLimits: readonly Measurement[];
  readonly memory: { readonly afterSeedingMiB: number; readonly atEndMiB: number };
  /** Of a start on an existing data folder. */
  readonly startToReadySeconds: number;
  readonly firstStartToReadySeconds: number;
  /** In words; empty when all that was measured is as required. */
  readonly missed: readonly string[];
};

export type ScenarioResult = Measurement & {
  readonly timesPeer: number | null;
  /** CPU of the peer and its PostgreSQL per request, by ours: says the same as timesPeer, but survives a busy machine. */
  readonly cpuTimesPeer: number | null;
  readonly required: number | null;
  /** Share of the limit of its kind, 1 for as fast as the machine can. */
  readonly ofLimit: number | null;
  readonly requiredOfLimit: number | null;
  /** Share of the machine that went neither to the service, PostgreSQL nor the generator. */
  readonly noisePercent: number;
};

const MEMORY_MIB_AT_MOST = 400;
const START_SECONDS_AT_MOST = 4;

/** Which limit a scenario is held against, and the share of it that is required. */
const LIMITS: Readonly<Record<string, { readonly limit: string; readonly required?: number }>> = {
  read: { limit: 'Express, primary-key SELECT', required: 0.5 },
  vread: { limit: 'Express, primary-key SELECT' },
  history: { limit: 'Express, primary-key SELECT' },
  create: { limit: 'INSERT of one Observation', required: 0.13 },
  update: { limit: 'INSERT of one Observation' },
  transaction: { limit: '23 single INSERTs in a transaction', required: 0.4 },
};

export function judged(
  measured: readonly Measurement[],
  peer: Peer,
  limits: { readonly postgres: readonly PostgresLimit[]; readonly http: readonly Measurement[] },
  cores: number,
): ScenarioResult[] {
  const rates = new Map([
    ...limits.http.map((limit) => [limit.scenario, limit.requestsPerSecond] as const),
    ...limits.postgres.map((limit) => [limit.name, limit.commitsPerSecond] as const),
  ]);
  return measured.map((m) => {
    const peerRate = peer.requestsPerSecond[m.scenario];
    const heldAgainst = LIMITS[m.scenario];
    const limit = heldAgainst && rates.get(heldAgainst.limit);
    return {
      ...m,
      cpuTimesPeer: cpuRatio(m, peer),
      timesPeer: peerRate === undefined ? null : m.requestsPerSecond / peerRate,
      required: peer.required[m.scenario] ?? null,
      ofLimit: limit === undefined ? null : m.requestsPerSecond / limit,
      requiredOfLimit: heldAgainst?.required ?? null,
      noisePercent: ((m.cpuMsPerRequest.other ?? 0) * m.requestsPerSecond) / (10 * cores),
    };
  });
}

function cpuRatio(m: Measurement, peer: Peer): number | null {
  const theirs = peer.cpuMsPerRequest[m.scenario];
  if (theirs === undefined) return null;
  const { service = 0, postgres = 0 } = m.cpuMsPerRequest;
  return (theirs.server + theirs.postgres) / (service + postgres);
}

/** What is below its requirement, in words. */
export function misses(report: Omit<Report, 'missed'>): string[] {
  const slow = report.scenarios
    .filter((s) => s.required !== null && s.timesPeer !== null && s.timesPeer < s.required)
    .map((s) => `${s.scenario} is ${times(s.timesPeer)} the peer, ${times(s.required)} is required`);
  const short = report.scenarios
    .filter((s) => s.requiredOfLimit !== null && s.ofLimit !== null && s.ofLimit < s.requiredOfLimit)
    .map((s) => `${s.scenario} is ${share(s.ofLimit)} of its limit, ${share(s.requiredOfLimit)} is required`);
  const { afterSeedingMiB } = report.memory;
  return [
    ...slow,
    ...short,
    ...(afterSeedingMiB < MEMORY_MIB_AT_MOST
      ? []
      : [`the service has ${afterSeedingMiB.toFixed(0)} MiB after seeding, ${MEMORY_MIB_AT_MOST} is the limit`]),
    ...(report.startToReadySeconds < START_SECONDS_AT_MOST
      ? []
      : [`a start takes ${report.startToReadySeconds.toFixed(1)} s, ${START_SECONDS_AT_MOST} is the limit`]),
  ];
}

/** Faster than the machine of the peer means that part of `times the peer` is the machine's. */
export function table(report: Report, peer: Peer): string {
  const machine = (name: string, rate: number) => {
    const there = peer.limits[name];
    return there === undefined ? '' : ` (${times(rate / there)} where the peer was measured)`;
  };
  const lines = [
    columns([
      ...['scenario', 'req/s', 'resources/s', 'p50 ms', 'p95 ms', 'CPU ms: service', 'PostgreSQL'],
      ...['x peer', 'required', 'CPU x peer', 'of limit', 'required', 'noise'],
    ]),
    ...report.scenarios.map((s) =>
      columns([
        s.scenario,
        s.requestsPerSecond.toFixed(0),
        s.resourcesPerSecond?.toFixed(0) ?? '',
        s.p50.toFixed(1),
        s.p95.toFixed(1),
        (s.cpuMsPerRequest.service ?? 0).toFixed(2),
        (s.cpuMsPerRequest.postgres ?? 0).toFixed(2),
        times(s.timesPeer),
        times(s.required),
        times(s.cpuTimesPeer),
        share(s.ofLimit),
        share(s.requiredOfLimit),
        `${s.noisePercent.toFixed(0)} %`,
      ]),
    ),
    '',
    ...report.postgresLimits.map(
      (l) =>
        `limit: ${l.name} (x${l.connections}): ${l.commitsPerSecond.toFixed(0)} commits/s, ${l.rowsPerSecond.toFixed(0)} rows/s${machine(l.name, l.commitsPerSecond)}`,
    ),
    ...report.httpLimits.map(
      (l) => `limit: ${l.scenario}: ${l.requestsPerSecond.toFixed(0)} req/s${machine(l.scenario, l.requestsPerSecond)}`,
    ),
    `memory of the service: ${report.memory.afterSeedingMiB.toFixed(0)} MiB after seeding, ${report.memory.atEndMiB.toFixed(0)} MiB at the end`,
    `start to ready: ${report.startToReadySeconds.toFixed(2)} s on an existing data folder, ${report.firstStartToReadySeconds.toFixed(2)} s on a new one`,
    ...report.missed.map((miss) => `MISSED: ${miss}`),
  ];
  return lines.join('\n');
}

const times = (x: number | null) => (x === null ? '' : `${x.toFixed(1)}x`);

const share = (x: number | null) => (x === null ? '' : `${(100 * x).toFixed(0)} %`);

const WIDTHS = [17, 7, 12, 8, 8, 16, 11, 8, 9, 11, 9, 9, 7];
const columns = (cells: readonly string[]) =>
  cells.map((cell, i) => (i === 0 ? cell.padEnd(WIDTHS[0] ?? 0) : cell.padStart(WIDTHS[i] ?? 0))).join('');
