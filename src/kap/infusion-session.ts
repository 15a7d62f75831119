import type { CodeableConcept, Identifier, Procedure, ServiceRequest } from '@medplum/fhirtypes';
import type { Issue } from '../fhir/failure.ts';
import { millisecondsOf } from './instant.ts';
import { type RatedScale, readScores } from './instruments.ts';
import { refuseOtherContent } from './message.ts';
import { fault, type Given, type Placed } from './parameters.ts';
import { compact, type PlannedCourse, refuseDisorder, sameInstant } from './session.ts';
import { businessIdentifier } from './transaction.ts';
import { implausible, pressureProblem, VITAL_SIGNS, type VitalSign, type VitalSigns } from './vital-signs.ts';
import { describeCsvProblem, readVitalsCsv } from './vitals-csv.ts';

/** What a well-formed $record-infusion says. */
export type InfusionSession = {
  readonly status: 'completed' | 'stopped' | 'not-done';
  readonly statusReason?: CodeableConcept;
  readonly correction: boolean;
  /** Number from 1, and its order where the plan has one. */
  readonly number: number;
  readonly order?: ServiceRequest;
  /** The Procedure that is recorded for it. */
  readonly recorded?: Procedure;
  /** What every identifier of the session begins with. */
  readonly key: string;
  readonly identifier?: Identifier;
  readonly arrival?: string;
  readonly start?: string;
  readonly end?: string;
  readonly departure?: string;
  readonly doseMg?: number;
  readonly weightKg?: number;
  readonly wasteMg?: number;
  readonly readings: readonly VitalSigns[];
  readonly scales: readonly RatedScale[];
};

const STATUSES = ['completed', 'stopped', 'not-done'] as const;

/** Reads and judges; faults go to `issues`, and then the answer is not to be used. */
export function readInfusionSession(
  given: Given,
  course: PlannedCourse,
  digest: string,
  issues: Issue[],
): InfusionSession {
  const status = readStatus(given, issues);
  const times = readTimes(given, status, issues);
  const correction = given.boolean('correction')?.value ?? false;
  const planned = plannedSession(given, course, times.start?.value, issues);
  const identifier = given.identifier('identifier')?.value;
  const key = keyOf(course, planned, status, identifier, times.arrival?.value);
  const recorded = course.withIdentifier('Procedure', businessIdentifier('Procedure', key));
  const dose = milligrams(given, 'dose', issues);
  if (status !== 'not-done' && given.quantity('dose') === undefined) missing('dose', issues);
  const waste = milligrams(given, 'waste', issues);
  if (waste !== undefined && given.reference('witness') === undefined) {
    issues.push(
      fault('required', 'Waste of a controlled drug needs a witness.', given.quantity('waste')?.place ?? given.place),
    );
  }
  const weight = kilograms(given, issues);
  if (correction && recorded === undefined) {
    issues.push(
      fault(
        'not-found',
        'There is nothing recorded of this session to correct.',
        given.boolean('correction')?.place ?? given.place,
      ),
    );
  }
  if (!correction && recorded !== undefined) refuseAnotherSession(recorded, times, digest, issues);
  if (status === 'not-done') refuseDrug(given, issues);
  else refuseOverlap(course, recorded, times, issues);
  const discharge = given.part('discharge')?.text('at');
  if (discharge !== undefined && isOutside(discharge.value, times)) {
    issues.push(fault('business-rule', 'The assessment lies outside of the visit.', discharge.place));
  }
  return {
    status,
    correction,
    ...planned,
    key,
    ...(given.concept('statusReason') && { statusReason: given.concept('statusReason')?.value as CodeableConcept }),
    ...(recorded && { recorded }),
    ...(identifier && { identifier }),
    ...(times.arrival && { arrival: times.arrival.value }),
    ...(times.start && { start: times.start.value }),
    ...(times.end && { end: times.end.value }),
    ...(times.departure && { departure: times.departure.value }),
    ...(dose !== undefined && { doseMg: dose }),
    ...(weight !== undefined && { weightKg: weight }),
    ...(waste !== undefined && { wasteMg: waste }),
    readings: readReadings(given, times, issues),
    scales: readScores(given, issues),
  };
}

function readStatus(given: Given, issues: Issue[]): InfusionSession['status'] {
  const status = given.text('status');
  const known = STATUSES.find((candidate) => candidate === (status?.value ?? 'completed'));
  if (known === undefined)
    issues.push(fault('code-invalid', `status must be one of ${STATUSES.join(', ')}.`, status?.place ?? ''));
  if (known !== undefined && known !== 'completed' && given.concept('statusReason') === undefined) {
    issues.push(fault('required', `An infusion that is ${known} needs a statusReason.`, status?.place ?? given.place));
  }
  return known ?? 'completed';
}

type Times = { readonly [Name in 'arrival' | 'start' | 'end' | 'departure']?: Placed<string> };

function readTimes(given: Given, status: InfusionSession['status'], issues: Issue[]): Times {
  const times: { -readonly [Name in keyof Times]: Placed<string> } = {};
  for (const name of ['arrival', 'start', 'end', 'departure'] as const) {
    const at = given.text(name);
    if (at !== undefined) times[name] = at;
    else if (status !== 'not-done') missing(name, issues);
  }
  if (status === 'not-done') {
    for (const name of ['start', 'end'] as const) {
      if (times[name])
        issues.push(fault('business-rule', `An infusion that was not done has no ${name}.`, times[name].place));
    }
  }
  refuseDisorder(
    [
      { name: 'arrival', at: times.arrival },
      { name: 'start', at: times.start },
      { name: 'end', at: times.end, strictly: true },
      { name: 'departure', at: times.departure },
    ],
    issues,
  );
  return times;
}

/** Reading reports a missing parameter of the wrong type at its own place; then it is not missing as well. */
function missing(name: string, issues: Issue[]): void {
  if (issues.some(({ diagnostics }) => diagnostics.startsWith(`${name} must`))) return;
  issues.push(fault('required', `${name} is missing.`, 'Parameters.parameter'));
}

/**
 * Which infusion of the plan it is. Without a number it is the one that was recorded with this very start, since the
 * same message may come twice; else the first one whose order is open.
 */
function plannedSession(
  given: Given,
  course: PlannedCourse,
  start: string | undefined,
  issues: Issue[],
): { number: number; order?: ServiceRequest } {
  const orders = course.orders('kap-infusion');
  const at = (index: number) => ({ number: index + 1, ...(orders[index] && { order: orders[index] }) });
  const number = given.number('session');
  if (number !== undefined) {
    if (number.value < 1 || number.value > orders.length) {
      issues.push(fault('business-rule', `The plan has ${orders.length} infusions.`, number.place));
    }
    return at(number.value - 1);
  }
  const named = given.reference('session');
  if (named !== undefined) {
    const order = course.resolve('ServiceRequest', named.value);
    const index = orders.findIndex(({ id }) => order !== undefined && id === order.id);
    if (index < 0) issues.push(fault('not-found', 'This is no infusion order of the CarePlan.', named.place));
    return at(index);
  }
  const same = course
    .procedures('kap-infusion')
    .find(({ performedPeriod }) => sameInstant(performedPeriod?.start, start));
  const ofSame = orders.findIndex(({ id }) =>
    same?.basedOn?.some(({ reference }) => reference === `ServiceRequest/${id}`),
  );
  const open = orders.findIndex(({ status }) => status === 'active' || status === 'draft');
  if (ofSame < 0 && open < 0)
    issues.push(fault('business-rule', 'All infusions of the plan are recorded.', given.place));
  return at(ofSame < 0 ? open : ofSame);
}

/**
 * A slot that was not used may be followed by the infusion itself, so it has a key of its own: that of the arrival,
 * or of the planned time when nobody came.
 */
function keyOf(
  course: PlannedCourse,
  { number, order }: { number: number; order?: ServiceRequest },
  status: InfusionSession['status'],
  identifier: Identifier | undefined,
  arrival: string | undefined,
): string {
  if (identifier?.value !== undefined) return identifier.value;
  const key = `${course.key}-inf-${number}`;
  if (status !== 'not-done') return key;
  const slot = arrival ?? order?.occurrencePeriod?.start;
  return `${key}-not-done${millisecondsOf(slot) === undefined ? '' : `-${compact(slot ?? '')}`}`;
}

function refuseAnotherSession(recorded: Procedure, times: Times, digest: string, issues: Issue[]): void {
  const before = issues.length;
  for (const name of ['start', 'end'] as const) {
    const at = times[name];
    if (at === undefined || sameInstant(recorded.performedPeriod?.[name], at.value)) continue;
    const text = `This session is recorded with another ${name}. Send correction = true to correct it, or name another session.`;
    issues.push(fault('conflict', text, at.place));
  }
  if (issues.length === before) refuseOtherContent(recorded, digest, issues);
}

/** One patient cannot have two infusions at once: the same visit under another number would double the dose. */
function refuseOverlap(course: PlannedCourse, own: Procedure | undefined, times: Times, issues: Issue[]): void {
  const [start, end] = [millisecondsOf(times.start?.value), millisecondsOf(times.end?.value)];
  if (start === undefined || end === undefined || times.start === undefined) return;
  for (const other of course.procedures('kap-infusion')) {
    if (other.id === own?.id || other.status === 'not-done') continue;
    const [from, to] = [millisecondsOf(other.performedPeriod?.start), millisecondsOf(other.performedPeriod?.end)];
    if (from !== undefined && to !== undefined && start < to && from < end) {
      issues.push(fault('conflict', 'Another infusion of this course is recorded for this time.', times.start.place));
    }
  }
}

/** Nothing was given, so nothing may be said about what was. */
function refuseDrug(given: Given, issues: Issue[]): void {
  for (const name of ['dose', 'route', 'medication', 'doseConfirmedBy', 'pump']) {
    const place = given.placeOf(name);
    if (place !== undefined)
      issues.push(fault('business-rule', `An infusion that was not done has no ${name}.`, place));
  }
}

function milligrams(given: Given, name: 'dose' | 'waste', issues: Issue[]): number | undefined {
  return inUnit(given, name, 'mg', issues);
}

function kilograms(given: Given, issues: Issue[]): number | undefined {
  const kg = inUnit(given, 'weight', 'kg', issues);
  const place = given.quantity('weight')?.place ?? given.place;
  if (kg !== undefined && (kg < 20 || kg > 400))
    issues.push(fault('value', 'weight must lie between 20 and 400 kg.', place));
  return kg;
}

/** A drug or a body weight without its unit is not guessed: 50 may be mg or mL, kg or lb. */
function inUnit(given: Given, name: string, unit: string, issues: Issue[]): number | undefined {
  const placed = given.quantity(name);
  if (placed === undefined) return undefined;
  const { value, code, system, unit: written, comparator } = placed.value;
  const isUcum = system === undefined || system === 'http://unitsofmeasure.org';
  if ((code ?? written) === undefined) {
    issues.push(
      fault('required', `${name} has no unit: give code ${unit} of http://unitsofmeasure.org.`, placed.place),
    );
  } else if (!isUcum || (code ?? written) !== unit) {
    issues.push(fault('value', `${name} must be in ${unit} (UCUM).`, placed.place));
  } else if (comparator !== undefined || value === undefined || value <= 0) {
    issues.push(fault('value', `${name} must be an exact value above 0.`, placed.place));
  } else {
    return value;
  }
  return undefined;
}

function readReadings(given: Given, times: Times, issues: Issue[]): readonly VitalSigns[] {
  const parts = given.parts('vitals');
  const csv = given.text('vitalsCsv') ?? decoded(given, issues);
  if (csv !== undefined && parts.length > 0) {
    issues.push(fault('structure', 'Give vitals or vitalsCsv, not both.', csv.place));
    return [];
  }
  if (csv !== undefined) return readTable(csv, times, issues);
  const seen = new Set<number>();
  return parts.flatMap((part) => {
    const reading = readPart(part, issues);
    const at = part.text('at');
    if (reading === undefined || at === undefined) return [];
    const instant = millisecondsOf(at.value) ?? 0;
    if (seen.has(instant)) issues.push(fault('duplicate', 'Two readings have the same time.', at.place));
    seen.add(instant);
    if (isOutside(at.value, times))
      issues.push(fault('business-rule', 'The reading lies outside of the visit.', at.place));
    return [reading];
  });
}

function readPart(part: Given, issues: Issue[]): VitalSigns | undefined {
  const at = part.text('at');
  const values: Partial<Record<VitalSign, number>> = {};
  const before = issues.length;
  for (const sign of VITAL_SIGNS) {
    const placed = part.number(sign);
    if (placed === undefined) continue;
    const problem = implausible(sign, placed.value);
    if (problem !== undefined) issues.push(fault('value', `${sign} ${problem}.`, placed.place));
    else values[sign] = placed.value;
  }
  const pressure = issues.length === before ? pressureProblem(values) : undefined;
  if (pressure !== undefined) {
    issues.push(fault('value', `${pressure.sign} ${pressure.text}.`, part.number(pressure.sign)?.place ?? part.place));
  }
  return at === undefined ? undefined : { at: at.value, ...values };
}

function decoded(given: Given, issues: Issue[]): Placed<string> | undefined {
  const attachment = given.attachment('vitalsCsv');
  if (attachment === undefined) return undefined;
  const { contentType, data } = attachment.value;
  if (contentType !== undefined && !/^text\/csv\b/.test(contentType)) {
    issues.push(fault('not-supported', 'The table must be text/csv.', `${attachment.place}.contentType`));
    return undefined;
  }
  return { value: Buffer.from(data ?? '', 'base64').toString('utf8'), place: attachment.place };
}

function readTable(csv: Placed<string>, times: Times, issues: Issue[]): readonly VitalSigns[] {
  const start = times.start?.value ?? times.arrival?.value;
  if (start === undefined) {
    issues.push(
      fault('required', 'A vitals table needs start or arrival: its times are read on that clock.', csv.place),
    );
    return [];
  }
  const table = readVitalsCsv(csv.value, start);
  if (!table.ok) {
    issues.push(...table.problems.map((problem) => fault('value', `${describeCsvProblem(problem)}.`, csv.place)));
    return [];
  }
  for (const { row, reading } of table.rows) {
    if (!isOutside(reading.at, times)) continue;
    const problem = { row, column: 'time', text: 'lies outside of the visit' };
    issues.push(fault('business-rule', `${describeCsvProblem(problem)}.`, csv.place));
  }
  return table.rows.map(({ reading }) => reading);
}

/** A reading of another day or another patient: nothing can be measured before arrival or after departure. */
function isOutside(at: string, times: Times): boolean {
  const instant = millisecondsOf(at) ?? 0;
  const arrival = millisecondsOf(times.arrival?.value) ?? Number.NEGATIVE_INFINITY;
  const departure = millisecondsOf(times.departure?.value) ?? Number.POSITIVE_INFINITY;
  return instant < arrival || instant > departure;
}
