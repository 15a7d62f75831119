/**
 * `kap-bridge demo`: the example course, from the clinic's software to a second, independent FHIR server.
 *
 * Everything on the way is the real thing: the service of `kap-bridge start`, its command line for token and target,
 * HTTP in and out. The EHR is another process with another house's code. Run again, nothing changes anywhere: the
 * course carries its own identifiers, and the EHR remembers.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { z } from 'zod';
import { type Config, readConfig } from '../config.ts';
import type { DeliveryLedger, DeliveryRecord } from '../ehr/ledger.ts';
import { fhirBase } from '../fhir/base-url.ts';
import { Failure, issue } from '../fhir/failure.ts';
import { deliveryLedger } from '../postgres/delivery-ledger.ts';
import { openEmbeddedPostgres } from '../postgres/embedded.ts';
import { createClinicPool } from '../postgres/pool.ts';
import { addCommand, print } from './context.ts';
import { inspectChart } from './demo/chart.ts';
import { kapBridge } from './demo/command.ts';
import { type Course, EXAMPLES, patientOf, play, psychotherapyNotes, readCourse } from './demo/course.ts';
import { type Ehr, startEhr } from './demo/ehr-process.ts';
import { type FhirClient, fhirClient } from './demo/fhir-client.ts';
import { type EncounterRow, encounterRows, encounterTable } from './demo/outcome.ts';
import { EXIT } from './exit-codes.ts';
import type { StartService } from './start.ts';

type Options = { readonly exit?: boolean; readonly loadOnly?: boolean; readonly json?: boolean };

type Report = {
  readonly encounters: readonly EncounterRow[];
  readonly recorded: { readonly resources: number; readonly created: number };
  /** Absent with --load-only. */
  readonly ehr?: {
    readonly base: string;
    /** Deliveries of this target by their state. */
    readonly deliveries: Readonly<Record<string, number>>;
    /** Writes that the EHR accepted in this run. */
    readonly created: number;
    readonly updated: number;
  };
};

const TARGET = 'demo-ehr';
const MRN_SYSTEM = 'https://harborlight.example.org/id/mrn';
const DELIVERED_WITHIN_MS = 60_000;
/** A psychotherapy note is withheld by this rule, and by no other. */
const WITHHELD_BY = 'R-21';

export function register(program: Command, startService: StartService): void {
  const command = addCommand(program, {
    name: 'demo',
    description: 'record the example course and deliver it to an EHR stand-in, a FHIR server of its own',
    examples: ['demo', 'demo --exit', 'demo --load-only --exit', 'demo --exit --json'],
  });
  command
    .option('--exit', 'end when done; otherwise both servers stay up until Ctrl-C')
    .option('--load-only', 'record the course, without an EHR')
    .action(async (options: Options) => {
      const stop = new AbortController();
      for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop.abort());
      const closers: Closer[] = [];
      try {
        const { report, lookFurther } = await demo(options, startService, closers, stop.signal);
        print(command, report, () => textOf(report, lookFurther, options));
        if (options.exit !== true) await untilAborted(stop.signal);
      } catch (error) {
        if (!stop.signal.aborted) throw error;
        await closeAll(closers);
        process.exit(EXIT.interrupted);
      } finally {
        await closeAll(closers);
      }
    });
}

type Closer = () => Promise<void>;

async function closeAll(closers: Closer[]): Promise<void> {
  for (const close of closers.splice(0).reverse()) await close();
}

async function demo(
  options: Options,
  startService: StartService,
  closers: Closer[],
  signal: AbortSignal,
): Promise<{ report: Report; lookFurther: readonly string[] }> {
  const say = progress();
  const config = demoConfig();
  const course = readCourse();

  say('starting the service');
  const service = await startService(config);
  closers.push(() => service.close());
  say(`the service is ready: ${service.fhirBase}`);
  const record = fhirClient(service.fhirBase, await mintToken());

  if (options.loadOnly === true) {
    const recorded = await playAll(course, record, say, signal, async () => '');
    const patient = await patientOf(course, record);
    const encounters = await encounterRows(record, patient, []);
    return { report: { encounters, recorded }, lookFurther: lookFurther(service.fhirBase, patient, undefined) };
  }

  const ehr = await startTarget(config, closers, say);
  const before = await ehr.ledger();
  const ledger = await openLedger(config, closers);
  let ended = (await untilDelivered(ledger, signal)).length;
  // As in a clinic's week: one session is at the EHR before the next, so a late correction finds its first version there.
  const recorded = await playAll(course, record, say, signal, async () => {
    const before = ended;
    ended = (await untilDelivered(ledger, signal)).length;
    return ended === before ? '' : `, ${counted(ended - before, 'deliver', 'y', 'ies')}`;
  });
  const patient = await patientOf(course, record);
  const deliveries = await untilDelivered(ledger, signal);
  if (deliveries.length === 0) throw recordedBefore();
  const chart = await inspectChart(fhirClient(ehr.baseUrl, await ehr.token()), deliveries, psychotherapyNotes(course));
  const encounters = await encounterRows(record, patient, deliveries);
  const after = await ehr.ledger();
  const report: Report = {
    encounters,
    recorded,
    ehr: {
      base: ehr.baseUrl,
      deliveries: countBy(deliveries, ({ state }) => state),
      created: after.created - before.created,
      updated: after.updated - before.updated,
    },
  };
  const problems = [...problemsOf(deliveries), ...undelivered(encounters), ...chart.problems];
  if (problems.length > 0) {
    console.error(encounterTable(encounters, true));
    throw new Failure(
      'business-rule',
      problems.map((problem) => issue('processing', problem)),
    );
  }
  say(`looked into the EHR: ${chart.resources} resources, each there once, no psychotherapy note among them`);
  return { report, lookFurther: lookFurther(service.fhirBase, patient, deliveries) };
}

/** One process, whatever the environment says; quiet unless it was asked to speak. */
function demoConfig(): Config {
  const { config, settings } = readConfig();
  const asked = settings.find(({ name }) => name === 'KAP_LOG_LEVEL')?.source !== 'default';
  return { ...config, role: 'all', logLevel: asked ? config.logLevel : 'warn' };
}

async function mintToken(): Promise<string> {
  const answer = await kapBridge(['token', '--scope', 'system/*.cruds', '--ttl', '3600', '--client', 'demo']);
  return z.object({ access_token: z.string() }).parse(answer).access_token;
}

/** The EHR, up and known as a target. */
async function startTarget(config: Config, closers: Closer[], say: (text: string) => void): Promise<Ehr> {
  const ehr = await startEhr(join(config.dataDir, 'demo-ehr'), join(EXAMPLES, 'ehr-patient.json'));
  closers.push(() => ehr.stop());
  say(`the EHR is ready, a process of its own: ${ehr.baseUrl}`);
  const targets = z
    .array(z.object({ targetId: z.string(), baseUrl: z.string() }))
    .parse(await kapBridge(['target', 'list']));
  const known = targets.find(({ targetId }) => targetId === TARGET);
  if (known === undefined) {
    await kapBridge(addTarget(ehr), ehr.clientSecret);
    say(`added as target ${TARGET}, with a client secret`);
  } else if (known.baseUrl !== ehr.baseUrl) {
    const words =
      `The record knows the demo's EHR as ${known.baseUrl}, and this is another one: the folder demo-ehr of ` +
      'KAP_DATA_DIR was lost. Run the demo on a new KAP_DATA_DIR or database';
    throw new Failure('conflict', issue('conflict', words));
  }
  return ehr;
}

/** Tier 1: @medplum/fhir-router honours PUT Type?identifier=…, so a lost answer is mended by sending again. */
function addTarget(ehr: Ehr): string[] {
  return [
    ...['target', 'add', TARGET, '--base-url', ehr.baseUrl, '--identifier-system', MRN_SYSTEM],
    ...['--auth', 'client-secret', '--client-id', ehr.clientId, '--secret-file', '-', '--tier', '1'],
  ];
}

/** @param settled resolves when what the step caused has been delivered, with words about it */
async function playAll(
  course: Course,
  record: FhirClient,
  say: (text: string) => void,
  signal: AbortSignal,
  settled: () => Promise<string>,
): Promise<Report['recorded']> {
  let resources = 0;
  let created = 0;
  for (const step of course.steps) {
    signal.throwIfAborted();
    const played = await play(step, record);
    resources += played.resources;
    created += played.created;
    const what = played.created === 0 ? 'nothing new' : counted(played.created, 'new resource');
    say(`${step.title}: ${what}${await settled()}`);
  }
  return { resources, created };
}

/** A target receives what is recorded from the moment it is there. */
function recordedBefore(): Failure {
  const words =
    'The course was recorded before the EHR was a target (demo --load-only), so nothing is delivered to it. ' +
    'Run the demo on a new KAP_DATA_DIR';
  return new Failure('conflict', issue('conflict', words));
}

/** All deliveries of the demo's EHR, once none is open. @throws Failure `transient` naming what waits too long */
async function untilDelivered(ledger: DeliveryLedger, signal: AbortSignal): Promise<readonly DeliveryRecord[]> {
  const deadline = Date.now() + DELIVERED_WITHIN_MS;
  for (;;) {
    signal.throwIfAborted();
    const deliveries = await ledger.list({ targetId: TARGET, limit: 100_000 });
    const open = deliveries.filter(({ endedAt }) => endedAt === null);
    if (open.length === 0) return deliveries;
    if (open.some(({ laneHold }) => laneHold !== null) || Date.now() > deadline) {
      const reasons = [...new Set(open.map(({ laneHold, reason, state }) => laneHold ?? reason ?? state))];
      const words = `${open.length} deliveries did not end: ${reasons.join('; ')}. See kap-bridge delivery list`;
      throw new Failure('transient', issue('incomplete', words));
    }
    await sleep(100, undefined, { signal });
  }
}

async function openLedger(config: Config, closers: Closer[]): Promise<DeliveryLedger> {
  const url = config.databaseUrl ?? (await joined(config, closers));
  const pool = createClinicPool(url, 'default', { max: 1, applicationName: 'kap-bridge demo' });
  closers.push(() => pool.end());
  return deliveryLedger(pool, { clinic: 'default', observer: fhirBase(config.baseUrl, 'default') });
}

async function joined(config: Config, closers: Closer[]): Promise<string> {
  const postgres = await openEmbeddedPostgres(config.dataDir, { as: 'command' });
  closers.push(() => postgres.close());
  return postgres.url;
}

/** Deliveries that did not end as they should. */
function problemsOf(deliveries: readonly DeliveryRecord[]): string[] {
  const well = new Set(['accepted', 'verified', 'superseded']);
  return deliveries
    .filter(({ state, reason }) => !well.has(state) && !(state === 'withheld' && reason?.startsWith(WITHHELD_BY)))
    .map((each) => `${each.resourceType}/${each.resourceId} ended ${each.state}: ${each.reason ?? 'no reason given'}`);
}

function undelivered(encounters: readonly EncounterRow[]): string[] {
  return encounters
    .filter(({ remote }) => remote === null)
    .map(({ encounter, state }) => `${encounter} is not at the EHR (${state ?? 'no delivery'})`);
}

function countBy<T>(list: readonly T[], key: (each: T) => string): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const each of list) counts[key(each)] = (counts[key(each)] ?? 0) + 1;
  return counts;
}

function lookFurther(base: string, patient: string, deliveries: readonly DeliveryRecord[] | undefined): string[] {
  const token = "$(npx kap-bridge token --scope 'system/*.rs')";
  const id = patient.replace(/^Patient\//, '');
  const findings = `curl -H "Authorization: Bearer ${token}" '${base}/DetectedIssue?patient=${id}'`;
  if (deliveries === undefined) {
    const encounters = `curl -H "Authorization: Bearer ${token}" '${base}/Encounter?patient=${id}&_sort=date'`;
    return [findings, encounters, 'npx kap-bridge config'];
  }
  const encounter = deliveries.find(({ resourceType }) => resourceType === 'Encounter');
  return [
    'npx kap-bridge delivery list --type Encounter',
    `npx kap-bridge delivery show ${encounter?.deliveryId}`,
    findings,
  ];
}

function textOf({ encounters, recorded, ehr }: Report, commands: readonly string[], { exit }: Options): string {
  const states = Object.entries(ehr?.deliveries ?? {}).map(
    ([state, count]) => `${count} ${state}${state === 'withheld' ? ' (psychotherapy notes stay here)' : ''}`,
  );
  return [
    '',
    encounterTable(encounters, ehr !== undefined),
    '',
    `record: ${recorded.created} new resources in this run`,
    ...(ehr === undefined
      ? []
      : [
          `deliveries: ${states.join(', ')}`,
          `EHR: ${ehr.created} new, ${ehr.updated} changed at the EHR in this run (${ehr.base})`,
        ]),
    '',
    exit === true ? 'To look further (curl needs the service: npx kap-bridge start):' : 'To look further:',
    ...commands.map((command) => `  ${command}`),
    ...(exit === true ? [] : ['', 'Ctrl-C ends both servers.']),
  ].join('\n');
}

function counted(count: number, stem: string, one = '', many = 's'): string {
  return `${count} ${stem}${count === 1 ? one : many}`;
}

/** Lines for a person, on standard error, so that --json leaves standard output to scripts. */
function progress(): (text: string) => void {
  const startedAt = performance.now();
  return (text) => console.error(`${((performance.now() - startedAt) / 1000).toFixed(1).padStart(5)} s  ${text}`);
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve());
  });
}
