/** What became of the course: one row for each encounter, read from the record and from the deliveries. */
import type { DetectedIssue, Encounter, Observation, Procedure, Reference, Resource } from '@medplum/fhirtypes';
import type { DeliveryRecord } from '../../ehr/ledger.ts';
import { RULE_FINDING, SYSTEM } from '../../kap/codes.ts';
import { table } from '../table.ts';
import type { FhirClient } from './fhir-client.ts';

export type EncounterRow = {
  readonly encounter: string;
  readonly title: string;
  /** Local time of the clinic, to the minute. */
  readonly start: string;
  /** From the end of the infusion to this session, with what the rules say of it. */
  readonly interval: string | null;
  /** 'R-04 integration-late'. */
  readonly findings: readonly string[];
  readonly remote: string | null;
  readonly state: DeliveryRecord['state'] | null;
  /** From the commit of the encounter's last version to the answer of the EHR. */
  readonly secondsToDelivery: number | null;
};

/** @param deliveries of one target, newest first; none for a course that is only recorded */
export async function encounterRows(
  service: FhirClient,
  patient: string,
  deliveries: readonly DeliveryRecord[],
): Promise<EncounterRow[]> {
  const of = `patient=${patient}&_count=200`;
  const [encounters, observations, procedures, issues] = await Promise.all([
    service.search<Encounter>(`Encounter?${of}&_sort=date`),
    service.search<Observation>(`Observation?${of}&code=${SYSTEM.kap}%7Cinfusion-to-integration-interval`),
    service.search<Procedure>(`Procedure?${of}`),
    service.search<DetectedIssue>(`DetectedIssue?${of}`),
  ]);
  const encounterOf = new Map<string, string>([
    ...encounters.map((each): [string, string] => [keyOf(each), keyOf(each)]),
    ...[...observations, ...procedures].map((each): [string, string] => [keyOf(each), keyIn(each.encounter)]),
  ]);
  const order = new Map(encounters.map((each, place) => [keyOf(each), place]));
  const intervals = new Map(observations.filter(isInForce).map((each) => [keyIn(each.encounter), intervalText(each)]));
  const findings = issues.filter(isInForce).map((found) => ({
    at: lastOf(
      (found.implicated ?? []).map((each) => encounterOf.get(keyIn(each)) ?? ''),
      order,
    ),
    text: findingText(found),
  }));
  const latest = new Map<string, DeliveryRecord>();
  for (const each of deliveries) {
    const key = `${each.resourceType}/${each.resourceId}`;
    if (!latest.has(key)) latest.set(key, each);
  }
  return encounters.map((encounter) => {
    const key = keyOf(encounter);
    const delivery = latest.get(key);
    return {
      encounter: key,
      title: titleOf(encounter),
      start: (encounter.period?.start ?? '').slice(0, 16).replace('T', ' '),
      interval: intervals.get(key) ?? null,
      findings: findings.filter(({ at }) => at === key).map(({ text }) => text),
      remote: delivery?.remote ?? null,
      state: delivery?.state ?? null,
      secondsToDelivery:
        delivery?.endedAt == null ? null : (delivery.endedAt.getTime() - delivery.createdAt.getTime()) / 1000,
    };
  });
}

/** @param withEhr false leaves out what only a delivery can tell */
export function encounterTable(rows: readonly EncounterRow[], withEhr: boolean): string {
  const headings = ['encounter', 'start', 'after infusion', 'rule findings'];
  const atEhr = withEhr ? ['id at the EHR', 'state', 'delivered in'] : [];
  return table(
    [...headings, ...atEhr],
    rows.map((row) => [
      ...[row.title, row.start, row.interval, row.findings.join(', ')],
      ...(withEhr ? [row.remote?.replace(/^Encounter\//, ''), row.state, inSeconds(row.secondsToDelivery)] : []),
    ]),
  );
}

function inSeconds(seconds: number | null): string | null {
  return seconds === null ? null : `${seconds.toFixed(1)} s`;
}

const keyOf = ({ resourceType, id }: Resource) => `${resourceType}/${id}`;
const keyIn = (reference: Reference | undefined) => reference?.reference ?? '';

function isInForce({ status }: { readonly status: string }): boolean {
  return status !== 'cancelled' && status !== 'entered-in-error';
}

function titleOf({ type }: Encounter): string {
  const [first] = type ?? [];
  const kap = first?.coding?.find(({ system }) => system === SYSTEM.kap);
  return first?.text ?? kap?.display ?? first?.coding?.[0]?.display ?? 'Encounter';
}

/** '28.6 h, in window' */
function intervalText({ valueQuantity, interpretation }: Observation): string {
  const hours = valueQuantity?.value === undefined ? 'unknown' : `${Number(valueQuantity.value.toFixed(2))} h`;
  const words = interpretation?.[0];
  const said = words?.text ?? words?.coding?.[0]?.display;
  return said === undefined ? hours : `${hours}, ${said}`;
}

/** A finding about an infusion and its session is shown at the session. */
function lastOf(encounters: readonly string[], order: ReadonlyMap<string, number>): string | undefined {
  const known = encounters.filter((key) => order.has(key));
  return known.sort((a, b) => (order.get(b) ?? 0) - (order.get(a) ?? 0))[0];
}

function findingText(found: DetectedIssue): string {
  const rule = found.identifier?.find(({ system }) => system === RULE_FINDING)?.value?.split('|')[0];
  const code = found.code?.coding?.find(({ system }) => system === SYSTEM.kap)?.code;
  return [rule, code].filter((part) => part !== undefined).join(' ');
}
