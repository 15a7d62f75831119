import { userInfo } from 'node:os';
import { type Command, Option } from 'commander';
import type { DeliveryState } from '../ehr/deliveries.ts';
import type { DeliveryDetail, DeliveryFilter, DeliveryLedger, DeliveryRecord } from '../ehr/ledger.ts';
import { Failure, issue } from '../fhir/failure.ts';
import { addCommand, print, withPostgres } from './context.ts';
import { table } from './table.ts';

const STATES: readonly DeliveryState[] = [
  'waiting',
  'sending',
  'unknown',
  'accepted',
  'verified',
  'superseded',
  'withheld',
  'cancelled',
  'dead-letter',
];

type Filters = {
  readonly clinic: string;
  readonly target?: string;
  readonly state?: DeliveryState[];
  readonly reasonLike?: string;
  readonly class?: string;
  readonly type?: string;
  readonly patient?: string;
  readonly since?: string;
  readonly until?: string;
  readonly limit: string;
};
type Mending = Filters & {
  readonly reason: string;
  readonly by: string;
  readonly preview?: boolean;
  readonly perMinute: string;
};

export function register(program: Command): void {
  const delivery = program.command('delivery').description('what was, is and could not be delivered to EHRs');

  const list = addCommand(delivery, {
    name: 'list',
    description: 'deliveries, newest first; patients are masked',
    examples: ['delivery list --state dead-letter', 'delivery list --target mercy --type Encounter --since 2026-03-01'],
  });
  filtersOf(list).action(async (filters: Filters) =>
    print(list, await withLedger(filters.clinic, (ledger) => ledger.list(filterOf(filters)).then(masked)), listing),
  );

  const show = addCommand(delivery, {
    name: 'show',
    description: 'one delivery with every attempt and what people did to it',
    examples: ['delivery show 7d0e5c0a-6a6b-4f7e-9a53-0a8f1f9d2b11'],
  });
  show
    .argument('<id>')
    .option('--clinic <name>', 'the clinic it belongs to', 'default')
    .action(async (id: string, { clinic }: Filters) => {
      const detail = await withLedger(clinic, (ledger) => ledger.show(uuid(id)));
      print(show, maskedOne(detail), detailed);
    });

  const replay = addCommand(delivery, {
    name: 'replay',
    description:
      'send dead letters (or accepted deliveries) again, once their cause is mended; never as a second resource',
    examples: [
      'delivery replay 7d0e5c0a-6a6b-4f7e-9a53-0a8f1f9d2b11 --reason "code mapped"',
      'delivery replay 7d0e5c0a-6a6b-4f7e-9a53-0a8f1f9d2b11 --state accepted --reason "the EHR lost it"',
      'delivery replay --target mercy --reason-like refused --reason "mapping of 2026-03-04" --preview',
    ],
  });
  mendingOf(replay, 'replayed')
    .option('--per-minute <n>', 'how many become due within a minute', '600')
    .action(async (ids: string[], options: Mending) => {
      const filter = mendable(ids, options);
      const perMinute = positive('--per-minute', options.perMinute);
      const chosen = await withLedger(options.clinic, (ledger) =>
        options.preview === true
          ? ledger.list({ ...filter, states: filter.states ?? ['dead-letter'] })
          : ledger.replay(filter, { actor: options.by, reason: reasonOf(options) }, perMinute),
      );
      print(replay, outcome(chosen, options), (value) => mended(value, 'replayed'));
    });

  const cancel = addCommand(delivery, {
    name: 'cancel',
    description: 'end dead letters for good, so that what waits behind them goes on',
    examples: ['delivery cancel 7d0e5c0a-6a6b-4f7e-9a53-0a8f1f9d2b11 --reason "entered by hand at the EHR"'],
  });
  mendingOf(cancel, 'cancelled').action(async (ids: string[], options: Mending) => {
    const filter = { ...mendable(ids, options), states: ['dead-letter'] as const };
    const chosen = await withLedger(options.clinic, (ledger) =>
      options.preview === true
        ? ledger.list(filter)
        : ledger.cancel(filter, { actor: options.by, reason: reasonOf(options) }),
    );
    print(cancel, outcome(chosen, options), (value) => mended(value, 'cancelled'));
  });
}

function filtersOf(command: Command): Command {
  return command
    .option('--clinic <name>', 'the clinic they belong to', 'default')
    .option('--target <name>', 'of this EHR')
    .addOption(new Option('--state <state...>', 'in these states').choices([...STATES]))
    .option('--reason-like <text>', 'whose reason contains this')
    .option('--class <class>', 'whose last attempt ended so, e.g. refused')
    .option('--type <type>', 'of this resource type')
    .option('--patient <id>', 'of this patient (logical id)')
    .option('--since <time>', 'recorded at or after')
    .option('--until <time>', 'recorded before')
    .option('--limit <n>', 'at most so many', '100');
}

function mendingOf(command: Command, done: string): Command {
  return filtersOf(command.argument('[ids...]', 'deliveries; without them the filters choose'))
    .option('--reason <text>', `why they are ${done}; kept with each`)
    .option('--by <person>', 'who does this', userInfo().username)
    .option('--preview', 'show what would be chosen, change nothing');
}

async function withLedger<T>(clinic: string, work: (ledger: DeliveryLedger) => Promise<T>): Promise<T> {
  const [{ deliveryLedger }, { fhirBase }] = await Promise.all([
    import('../postgres/delivery-ledger.ts'),
    import('../fhir/base-url.ts'),
  ]);
  return withPostgres(async ({ clinicPool, config }) =>
    work(deliveryLedger(await clinicPool(clinic), { clinic, observer: fhirBase(config.baseUrl, clinic) })),
  );
}

function filterOf(filters: Filters): DeliveryFilter {
  const { target, state, reasonLike, type, patient, since, until } = filters;
  return {
    limit: positive('--limit', filters.limit),
    ...(target === undefined ? {} : { targetId: target }),
    ...(state === undefined ? {} : { states: state }),
    ...(reasonLike === undefined ? {} : { reason: reasonLike }),
    ...(filters.class === undefined ? {} : { class: filters.class }),
    ...(type === undefined ? {} : { resourceType: type }),
    ...(patient === undefined ? {} : { patientId: patient }),
    ...(since === undefined ? {} : { from: moment('--since', since) }),
    ...(until === undefined ? {} : { before: moment('--until', until) }),
  };
}

/** A mending names deliveries or at least one filter: "all" must be meant. */
function mendable(ids: string[], options: Mending): DeliveryFilter {
  const filter = filterOf(options);
  if (ids.length > 0) return { ...filter, ids: ids.map(uuid), limit: Math.max(filter.limit, ids.length) };
  const { limit: _limit, states: _states, ...narrowing } = filter;
  if (Object.keys(narrowing).length === 0) {
    throw new Failure('invalid', issue('required', 'Name deliveries, or choose them with a filter such as --target'));
  }
  return filter;
}

function reasonOf({ reason }: Mending): string {
  if (reason !== undefined && reason.trim() !== '') return reason.trim();
  throw new Failure('invalid', issue('required', '--reason is missing: it is kept with each delivery'));
}

function uuid(text: string): string {
  if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)) return text;
  throw new Failure(
    'not-found',
    issue('not-found', `There is no delivery ${text}: an id is a UUID, as delivery list shows`),
  );
}

function positive(option: string, text: string): number {
  if (/^[1-9]\d{0,6}$/.test(text)) return Number(text);
  throw new Failure('invalid', issue('value', `${option} must be a number from 1 to 9999999`));
}

function moment(option: string, text: string): Date {
  const at = new Date(text);
  if (!Number.isNaN(at.getTime())) return at;
  throw new Failure(
    'invalid',
    issue('value', `${option} must be a date or a time, e.g. 2026-03-01 or 2026-03-01T08:00Z`),
  );
}

/** Enough of an id to tell two patients apart on a screen, not enough to look one up. */
function maskedOne<T extends { readonly patientId: string }>(record: T): T {
  return { ...record, patientId: `…${record.patientId.slice(-4)}` };
}

function masked<T extends { readonly patientId: string }>(records: readonly T[]): T[] {
  return records.map(maskedOne);
}

type Mended = { readonly preview: boolean; readonly count: number; readonly deliveries: readonly DeliveryRecord[] };

function outcome(chosen: readonly DeliveryRecord[], { preview }: Mending): Mended {
  return { preview: preview === true, count: chosen.length, deliveries: masked(chosen) };
}

function mended({ preview, count, deliveries }: Mended, done: string): string {
  const head = preview ? `${count} would be ${done}` : `${count} ${done}`;
  return count === 0 ? head : `${head}\n${listing(deliveries)}`;
}

function listing(records: readonly DeliveryRecord[]): string {
  const headings = [
    'delivery',
    'target',
    'patient',
    'resource',
    'intent',
    'state',
    'tries',
    'since',
    'remote',
    'reason',
  ];
  return table(
    headings,
    records.map((each) => [
      each.deliveryId,
      each.targetId,
      each.patientId,
      `${each.resourceType}/${each.resourceId}/${each.version}`,
      each.intent,
      each.blocksLane ? `${each.state} (stops lane)` : each.state,
      each.attempts,
      each.createdAt,
      each.remote,
      each.laneHold === null ? each.reason : `held: ${each.laneHold}`,
    ]),
  );
}

function detailed(detail: DeliveryDetail): string {
  const facts = table(
    ['delivery', detail.deliveryId],
    [
      ['target', detail.targetId],
      ['patient', detail.patientId],
      ['resource', `${detail.resourceType}/${detail.resourceId}/_history/${detail.version}`],
      ['intent', detail.intent],
      ['state', detail.state],
      ['reason', detail.reason],
      ['lane', detail.laneHold === null ? 'free' : `held: ${detail.laneHold}`],
      ['identifier', detail.businessIdentifier],
      ['remote', detail.remote],
      ['payload sha256', detail.payloadSha256],
      ['audit event', detail.auditEvent],
      ['superseded by', detail.supersededBy],
      ['waits for', detail.waitsFor],
      ['recorded', detail.createdAt],
      ['due', detail.dueAt],
      ['ended', detail.endedAt],
    ],
  );
  const attempts = table(
    ['attempt', 'kind', 'started', 'ended', 'class', 'http', 'remote request', 'what it said'],
    detail.history.map((each) => [
      each.attemptNo,
      each.kind,
      each.startedAt,
      each.endedAt ?? 'no answer known',
      each.class,
      each.httpStatus,
      each.remoteRequestId,
      each.excerpt,
    ]),
  );
  const people = detail.interventions.map(
    ({ action, at, actor, reason, fromState }) =>
      `${at.toISOString()}  ${action} from ${fromState} by ${actor}: ${reason}`,
  );
  return [facts, '', attempts, ...(people.length === 0 ? [] : ['', ...people])].join('\n');
}
