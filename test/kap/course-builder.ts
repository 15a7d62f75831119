/** Builds the resources of one synthetic patient's course, as small as the rules allow. */
import type {
  CarePlan,
  CareTeam,
  Consent,
  DetectedIssue,
  Encounter,
  EpisodeOfCare,
  MedicationAdministration,
  Observation,
  Procedure,
  Resource,
  ServiceRequest,
} from '@medplum/fhirtypes';
import { concept, kapConcept, LOINC, NUCC, SYSTEM } from '../../src/kap/codes.ts';
import { type Evaluation, evaluateCourse } from '../../src/kap/evaluate.ts';
import { defaultPolicy, type Policy } from '../../src/kap/policy.ts';
import type { RuleId } from '../../src/kap/rules/outcome.ts';

export const PATIENT = { reference: 'Patient/p' };
export const ENGINE = { reference: 'Device/rules', display: 'KAP rules engine' };
export const NOW = '2026-03-10T18:00:00-07:00';

/** A dateTime so many minutes after another, at the same offset. */
export function plus(dateTime: string, minutes: number): string {
  const offset = dateTime.endsWith('Z') ? 'Z' : dateTime.slice(-6);
  const sign = offset.startsWith('-') ? -1 : 1;
  const shift = offset === 'Z' ? 0 : sign * (Number(offset.slice(1, 3)) * 60 + Number(offset.slice(4, 6)));
  const at = new Date(Date.parse(dateTime) + Math.round((minutes + shift) * 60_000));
  return `${at.toISOString().slice(0, 19)}${offset}`;
}

/** Who is in the course, cleared and consented: what every other resource rests on. */
export function setting(): Resource[] {
  const episode: EpisodeOfCare = {
    resourceType: 'EpisodeOfCare',
    id: 'eoc',
    status: 'active',
    patient: PATIENT,
    type: [kapConcept('kap-course')],
  };
  const team: CareTeam = {
    resourceType: 'CareTeam',
    id: 'team',
    subject: PATIENT,
    participant: [{ role: [concept(NUCC.psychiatry)], member: { reference: 'Practitioner/md' } }],
  };
  const plan: CarePlan = {
    resourceType: 'CarePlan',
    id: 'plan',
    status: 'active',
    intent: 'order',
    subject: PATIENT,
  };
  return [{ resourceType: 'Patient', id: 'p' }, episode, team, plan, consent(), consult()];
}

export function consent(changed: Partial<Consent> = {}): Consent {
  return {
    resourceType: 'Consent',
    id: 'consent',
    status: 'active',
    scope: concept({ system: SYSTEM.consentScope, code: 'treatment' }),
    category: [kapConcept('consent-ketamine-treatment')],
    patient: PATIENT,
    dateTime: '2026-02-17T09:50:00-08:00',
    policy: [{ uri: 'https://kap.example.org/policy/ketamine-informed-consent/3' }],
    provision: { period: { start: '2026-02-17', end: '2027-02-17' } },
    ...changed,
  };
}

export function consult(changed: Partial<Encounter> = {}): Encounter {
  return {
    ...visit('consult', 'kap-consult', '2026-02-17T09:00:00-08:00', '2026-02-17T10:00:00-08:00'),
    participant: [{ individual: { reference: 'Practitioner/md' } }],
    ...changed,
  };
}

export function visit(
  id: string,
  code: 'kap-consult' | 'kap-infusion-session' | 'kap-integration-session',
  start: string,
  end: string,
): Encounter {
  return {
    resourceType: 'Encounter',
    id,
    status: 'finished',
    class: { system: SYSTEM.actCode, code: 'AMB' },
    type: [kapConcept(code)],
    subject: PATIENT,
    episodeOfCare: [{ reference: 'EpisodeOfCare/eoc' }],
    period: { start, end },
  };
}

export type InfusionOptions = {
  readonly procedure?: Partial<Procedure>;
  readonly encounter?: Partial<Encounter>;
  readonly administration?: Partial<MedicationAdministration>;
  /** Minutes after the start at which all three vital signs are measured; by default without a gap. */
  readonly vitalsAt?: readonly number[];
  readonly weight?: number;
  readonly dose?: number;
};

/** One infusion `inf-<n>` with everything the rules look at, all in order by default. */
export function infusion(n: number, start: string, end: string, options: InfusionOptions = {}): Resource[] {
  const arrival = plus(start, -25);
  const minutes = (Date.parse(end) - Date.parse(start)) / 60_000;
  const departure = plus(end, 65);
  const procedure: Procedure = {
    resourceType: 'Procedure',
    id: `inf-${n}`,
    status: 'completed',
    code: kapConcept('kap-infusion'),
    subject: PATIENT,
    encounter: { reference: `Encounter/inf-visit-${n}` },
    performedPeriod: { start, end },
    performer: [{ actor: { reference: 'Practitioner/rn' } }],
    ...options.procedure,
  };
  const administration: MedicationAdministration = {
    resourceType: 'MedicationAdministration',
    id: `dose-${n}`,
    status: 'completed',
    partOf: [{ reference: `Procedure/inf-${n}` }],
    medicationCodeableConcept: { coding: [{ system: SYSTEM.rxNorm, code: '238082' }] },
    subject: PATIENT,
    effectivePeriod: { start, end },
    dosage: { dose: quantity(options.dose ?? 35, 'mg') },
    ...options.administration,
  };
  const during = Array.from({ length: Math.max(0, Math.ceil(minutes / 14) - 1) }, (_, i) => (i + 1) * 14);
  const at = options.vitalsAt ?? [-10, ...during, minutes + 10, minutes + 25, minutes + 40, minutes + 55];
  return [
    { ...visit(`inf-visit-${n}`, 'kap-infusion-session', arrival, departure), ...options.encounter },
    procedure,
    administration,
    weight(`weight-${n}`, plus(start, -12), options.weight ?? 70),
    ...at.flatMap((minute) => vitals(n, start, minute)),
  ];
}

export function quantity(value: number, unit: string): { value: number; unit: string; system: string; code: string } {
  return { value, unit, system: SYSTEM.ucum, code: unit };
}

export function weight(id: string, at: string, kg: number): Observation {
  return { ...measured(id, at), code: concept(LOINC.weight), valueQuantity: quantity(kg, 'kg') };
}

function measured(id: string, at: string): Omit<Observation, 'code'> {
  return {
    resourceType: 'Observation',
    id,
    status: 'final',
    category: [concept({ system: SYSTEM.observationCategory, code: 'vital-signs' })],
    subject: PATIENT,
    effectiveDateTime: at,
  };
}

function vitals(n: number, start: string, minute: number): Observation[] {
  const at = plus(start, minute);
  const name = `${n}-${String(minute).replace('.', '_')}`;
  const partOf = [{ reference: `Procedure/inf-${n}` }];
  return [
    pressure(`bp-${name}`, n, at, 124, 78),
    { ...measured(`hr-${name}`, at), partOf, code: concept(LOINC.heartRate), valueQuantity: quantity(80, '/min') },
    {
      ...measured(`spo2-${name}`, at),
      partOf,
      code: concept([LOINC.pulseOximetry, LOINC.oxygenSaturation]),
      valueQuantity: quantity(98, '%'),
    },
  ];
}

export function pressure(id: string, n: number, at: string, systolic: number, diastolic: number): Observation {
  return {
    ...measured(id, at),
    partOf: [{ reference: `Procedure/inf-${n}` }],
    code: concept(LOINC.bloodPressure),
    component: [
      { code: concept(LOINC.systolic), valueQuantity: quantity(systolic, 'mm[Hg]') },
      { code: concept(LOINC.diastolic), valueQuantity: quantity(diastolic, 'mm[Hg]') },
    ],
  };
}

/** One integration session `int-<n>` that names infusion `n`, unless told otherwise. */
export function therapy(n: number, start: string, changed: Partial<Procedure> = {}): Resource[] {
  const end = start.includes('T') ? plus(start, 55) : start;
  const procedure: Procedure = {
    resourceType: 'Procedure',
    id: `int-${n}`,
    status: 'completed',
    code: kapConcept('kap-integration-session'),
    subject: PATIENT,
    encounter: { reference: `Encounter/int-visit-${n}` },
    performedPeriod: { start, end },
    reasonReference: [{ reference: `Procedure/inf-${n}` }],
    ...changed,
  };
  return [visit(`int-visit-${n}`, 'kap-integration-session', start, end), procedure];
}

export function order(id: string, code: 'kap-infusion' | 'kap-integration-session', start: string): ServiceRequest {
  return {
    resourceType: 'ServiceRequest',
    id,
    status: 'active',
    intent: 'order',
    code: kapConcept(code),
    subject: PATIENT,
    requisition: { system: 'https://kap.example.org/id/requisition', value: 'R' },
    occurrencePeriod: { start, end: plus(start, 60) },
    requester: { reference: 'Practitioner/md' },
    performer: [{ reference: 'Practitioner/th' }],
  };
}

export function phq9(id: string, at: string, total: number, changed: Partial<Observation> = {}): Observation {
  return survey(id, at, { code: concept(LOINC.phq9Total), valueQuantity: quantity(total, '{score}'), ...changed });
}

export function survey(id: string, at: string, rest: Pick<Observation, 'code'> & Partial<Observation>): Observation {
  return {
    resourceType: 'Observation',
    id,
    status: 'final',
    category: [concept({ system: SYSTEM.observationCategory, code: 'survey' })],
    subject: PATIENT,
    effectiveDateTime: at,
    ...rest,
  };
}

export type Options = {
  readonly policy?: Partial<Policy>;
  readonly policies?: ReadonlyMap<string, Policy>;
  readonly now?: string;
  readonly written?: ReadonlySet<string>;
};

export function evaluate(
  resources: readonly Resource[],
  { policy, policies, now = NOW, written }: Options = {},
): Evaluation {
  let next = 0;
  // Ids continue after those of an earlier evaluation.
  const used = new Set(resources.map(({ id }) => id));
  const newId = (): string => {
    do next += 1;
    while (used.has(`new-${next}`));
    return `new-${next}`;
  };
  return evaluateCourse({
    resources,
    policy: { ...defaultPolicy, ...policy },
    now: new Date(now),
    engine: ENGINE,
    newId,
    ...(policies === undefined ? {} : { policies }),
    ...(written === undefined ? {} : { written }),
  });
}

/** The record after the upserts. */
export function applied(resources: readonly Resource[], { upserts }: Pick<Evaluation, 'upserts'>): Resource[] {
  const record = new Map(resources.map((resource) => [`${resource.resourceType}/${resource.id}`, resource]));
  for (const upsert of upserts) record.set(`${upsert.resourceType}/${upsert.id}`, upsert);
  return [...record.values()];
}

/** `pass`, `fail`, `indeterminate` or `refused` of one rule about one subject; undefined when it did not speak. */
export function verdict(evaluation: Evaluation, rule: RuleId, subject = 'Procedure/inf-1'): string | undefined {
  return evaluation.outcomes.find((outcome) => outcome.rule === rule && outcome.subject === subject)?.result;
}

/** The DetectedIssues of one rule in force. */
export function findings(resources: readonly Resource[], rule: RuleId): DetectedIssue[] {
  return resources.filter(
    (resource): resource is DetectedIssue =>
      resource.resourceType === 'DetectedIssue' &&
      resource.status === 'final' &&
      (resource.detail?.startsWith(`Rule ${rule}:`) ?? false),
  );
}

export function kapCodeOf({ code }: Pick<DetectedIssue, 'code'>): string | undefined {
  return code?.coding?.find(({ system }) => system === SYSTEM.kap)?.code;
}

export function only<T extends Resource>(resources: readonly Resource[], type: T['resourceType'], id?: string): T {
  const found = resources.filter((each) => each.resourceType === type && (id === undefined || each.id === id));
  if (found.length !== 1) throw new Error(`${found.length} ${type} ${id ?? ''}`);
  return found[0] as T;
}
