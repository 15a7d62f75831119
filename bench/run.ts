/**
 * `npm run bench`: the workload against the service and the limits of this machine, in one run.
 *
 * Ratios count; absolute times belong to the machine. The service runs as a clinic runs it: one process, embedded
 * PostgreSQL, audit and delivery on. Exits 1 when an answer was wrong, and with --require when a ratio is missed.
 * `--growth` measures the searches in a small clinic and in a large one instead (--small and --large: Observations).
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { type EmbeddedPostgres, openEmbeddedPostgres } from '../src/postgres/embedded.ts';
import { livePostmaster } from '../src/postgres/embedded-process.ts';
import { growthTable, measureGrowth, outgrown } from './growth.ts';
import { type CpuProbe, Load, type Measurement } from './load.ts';
import { benchOptions } from './options.ts';
import { measurePostgresLimits } from './postgres-limit.ts';
import { machineCpu, treeCpuSeconds, treeMemoryMiB } from './proc-cpu.ts';
import { costliest } from './profile.ts';
import { judged, misses, type Peer, table } from './report.ts';
import type { SeededState } from './scenarios.ts';
import { freePort, mintToken, type Service, startService } from './service.ts';
import { sampleStatements } from './statements.ts';

const args = benchOptions();
const { conditions, names } = args;

const PEER = JSON.parse(readFileSync(join(import.meta.dirname, 'peer.json'), 'utf8')) as Peer;
const RESULTS = join(import.meta.dirname, 'results');
const cores = availableParallelism();
const folder = mkdtempSync(join(tmpdir(), 'kap-bench-'));
chmodSync(folder, 0o711); // under root, PostgreSQL runs as another user
const dataDir = join(folder, 'data');
const port = await freePort();
let leaving: Promise<void> | undefined;
const started: { service?: Service; postgres?: EmbeddedPostgres } = {};

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  process.once(signal, () => {
    // What is under way fails now, and need not be told.
    process.on('uncaughtException', () => undefined);
    void leave().finally(() => process.exit(code));
  });
}

try {
  process.exitCode = args.growth ? await growth() : args.profile ? await profile() : await bench();
} finally {
  await leave();
}

/** Also when it is interrupted; a service that is still starting then ends by itself (bench/service.ts) and may leave its folder. */
function leave(): Promise<void> {
  leaving ??= stopAll();
  return leaving;
}

async function stopAll(): Promise<void> {
  await started.service?.stop();
  await started.postgres?.close();
  if (args.keep) say(`kept: ${folder}`);
  else rmSync(folder, { recursive: true, force: true });
}

/** @returns the exit code */
async function bench(): Promise<number> {
  const { state, token, seeded, afterSeedingMiB, firstStart } = await seededService();
  const load = newLoad(token);
  const measured: Measurement[] = [seeded];
  for (const name of names) measured.push(progress(await load.run(name, state)));
  await load.close();
  const atEndMiB = serviceMemoryMiB();
  const limits = args['no-limits'] ? { postgres: [], http: [] } : await measureLimits();

  await started.service?.stop();
  await started.postgres?.close();
  started.service = await startService({ dataDir, port });

  const report = {
    date: new Date().toISOString(),
    node: process.version,
    cores,
    conditions:
      `${cores} cores shared by generator, service and PostgreSQL; ${conditions.connections} connections; ` +
      `${conditions.patients} patients; ${conditions.durationSeconds} s after ${conditions.warmupSeconds} s of warm-up`,
    scenarios: judged(measured, PEER, limits, cores),
    postgresLimits: limits.postgres,
    httpLimits: limits.http,
    memory: { afterSeedingMiB, atEndMiB },
    startToReadySeconds: started.service.startToReadySeconds,
    firstStartToReadySeconds: firstStart,
  };
  const missed = misses(report);
  console.log(`\n${report.conditions}\npeer: ${PEER.name}; ${PEER.conditions}\n`);
  console.log(table({ ...report, missed }, PEER));
  if (args.json !== undefined) writeFileSync(args.json, `${JSON.stringify({ ...report, missed }, null, 1)}\n`);
  const wrong = measured.some((m) => m.wrong > 0);
  return wrong || (args.require && missed.length > 0) ? 1 : 0;
}

/** Each scenario with the service under Node's sampling profiler, and PostgreSQL looked at. @returns the exit code */
async function profile(): Promise<number> {
  const { state, token } = await seededService();
  let wrong = 0;
  for (const name of names) {
    await started.service?.stop();
    const out = join(RESULTS, name);
    rmSync(out, { recursive: true, force: true });
    mkdirSync(out, { recursive: true });
    started.service = await startService({
      dataDir,
      port,
      nodeOptions: ['--cpu-prof', `--cpu-prof-dir=${out}`, '--cpu-prof-interval=500'],
    });
    const load = newLoad(token);
    const statements = await sampleStatements(started.postgres?.url as string);
    wrong += progress(await load.run(name, state)).wrong;
    const byStatement = await statements.stop();
    await load.close();
    await started.service.stop();
    say(
      `\nthe service, by part and by function:\n${costliest(out, conditions.durationSeconds)}\n\nPostgreSQL, by statement:\n${byStatement}\n`,
    );
  }
  return wrong > 0 ? 1 : 0;
}

/** @returns the exit code */
async function growth(): Promise<number> {
  started.service = await startService({ dataDir, port });
  started.postgres = await openEmbeddedPostgres(dataDir, { as: 'command' });
  const load = newLoad(await mintToken(dataDir, port));
  const measured = await measureGrowth({
    load,
    postgresUrl: started.postgres.url,
    small: args.small,
    large: args.large,
    say,
  });
  await load.close();
  console.log(`\n${growthTable(measured)}`);
  if (args.json !== undefined) writeFileSync(args.json, `${JSON.stringify(measured, null, 1)}\n`);
  return args.require && outgrown(measured).length > 0 ? 1 : 0;
}

async function seededService() {
  say(`starting the service on a new data folder, port ${port}`);
  started.service = await startService({ dataDir, port });
  const firstStart = started.service.startToReadySeconds;
  say(`ready after ${firstStart.toFixed(2)} s; seeding ${conditions.patients} patients`);
  started.postgres = await openEmbeddedPostgres(dataDir, { as: 'command' });
  const token = await mintToken(dataDir, port);
  const load = newLoad(token);
  const { state, measurement } = await load.seed(conditions.patients);
  await load.close();
  const afterSeedingMiB = serviceMemoryMiB();
  progress(measurement);
  return { state: state satisfies SeededState, token, seeded: measurement, afterSeedingMiB, firstStart };
}

async function measureLimits() {
  say('measuring the limits of this machine');
  const url = started.postgres?.url as string;
  const postgres = await measurePostgresLimits({ url, ...conditions });
  const http = [
    ...(await measureHttpLimits('http', 'bare http', url)),
    ...(await measureHttpLimits('express', 'Express', url)),
  ];
  return { postgres, http };
}

async function measureHttpLimits(kind: string, title: string, url: string): Promise<Measurement[]> {
  const server = fork(join(import.meta.dirname, 'http-limit-server.ts'), {
    env: { ...process.env, HTTP_KIND: kind, POSTGRES_URL: url },
  });
  const [serverPort] = (await once(server, 'message')) as [number];
  const load = new Load({ base: `http://127.0.0.1:${serverPort}`, cpu: () => ({}), ...conditions });
  const measured = [
    progress(await load.raw(`${title}, constant 1 KB`, 'const')),
    progress(await load.raw(`${title}, primary-key SELECT`, 'select')),
  ];
  await load.close();
  server.disconnect();
  await once(server, 'exit');
  return measured;
}

function newLoad(token: string): Load {
  return new Load({ base: started.service?.base as string, token, cpu, ...conditions });
}

function postmaster(): number {
  return livePostmaster(join(dataDir, 'postgres', 'data'))?.pid as number;
}

function cpu(): ReturnType<CpuProbe> {
  const server = postmaster();
  const service = treeCpuSeconds(started.service?.pid as number, server);
  const postgres = treeCpuSeconds(server);
  const { user, system } = process.cpuUsage();
  const generator = (user + system) / 1e6;
  const machine = machineCpu();
  return { service, postgres, generator, other: machine.total - machine.idle - service - postgres - generator };
}

function serviceMemoryMiB(): number {
  return treeMemoryMiB(started.service?.pid as number, postmaster());
}

function progress(m: Measurement): Measurement {
  const rate = `${m.requestsPerSecond.toFixed(0).padStart(7)} req/s`;
  const perRequest = Object.entries(m.cpuMsPerRequest).map(([name, ms]) => `${name} ${ms}`);
  say(`${m.scenario.padEnd(30)}${rate}  p50 ${m.p50} ms, p95 ${m.p95} ms  CPU ms: ${perRequest.join(', ') || '-'}`);
  for (const complaint of m.complaints) say(`WRONG (${m.wrong} of them): ${complaint}`);
  return m;
}

function say(text: string): void {
  console.error(text);
}
