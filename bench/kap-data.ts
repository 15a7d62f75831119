/**
 * Deterministic data of ketamine-assisted psychotherapy, valid against base FHIR R4.
 *
 * Everything is a function of (seed, patient number, session number): two runs with one seed send the same resources,
 * whatever the concurrency. The peer's figures in peer.json were measured with these very resources, so a change here
 * makes every ratio meaningless; test/bench/kap-data.test.ts holds their digest.
 */
import type {
  Bundle,
  BundleEntry,
  CarePlan,
  Condition,
  Encounter,
  MedicationAdministration,
  Observation,
  Patient,
  Procedure,
  Quantity,
  Resource,
} from '@medplum/fhirtypes';

const LOINC = 'http://loinc.org';
const UCUM = 'http://unitsofmeasure.org';
const OBSERVATION_CATEGORY = 'http://terminology.hl7.org/CodeSystem/observation-category';
const SNOMED = 'http://snomed.info/sct';
const CPT = 'http://www.ama-assn.org/go/cpt';

export const PHQ9 = '44261-6';
const GAD7 = '70274-6';
export const INFUSIONS = 6;
export const RESOURCES_PER_INFUSION = 23;

export type Random = {
  next(): number;
  /** Both ends included. */
  int(low: number, high: number): number;
  pick<T>(list: readonly T[]): T;
  uuid(): string;
};

export type SessionKind = 'infusion' | 'therapy';
type VitalSign = 'bp' | 'hr' | 'spo2' | 'rr';

/** A small seeded generator: mulberry32 over an FNV-1a hash of the key. */
export function rng(...key: readonly (string | number)[]): Random {
  let h = 0x811c9dc5;
  for (const c of key.join('|')) h = Math.imul(h ^ c.charCodeAt(0), 0x01000193) >>> 0;
  const next = () => {
    h = (h + 0x6d2b79f5) >>> 0;
    let t = Math.imul(h ^ (h >>> 15), 1 | h);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  const hex = () =>
    Math.floor(next() * 0x100000000)
      .toString(16)
      .padStart(8, '0');
  return {
    next,
    int: (low, high) => low + Math.floor(next() * (high - low + 1)),
    pick: <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)] as T,
    uuid: () => {
      const s = hex() + hex() + hex() + hex();
      return `${s.slice(0, 8)}-${s.slice(8, 12)}-4${s.slice(13, 16)}-a${s.slice(17, 20)}-${s.slice(20, 32)}`;
    },
  };
}

const GIVEN =
  'Ana Ben Chidi Dana Eli Farah Grace Hugo Imani Jonas Kira Luis Mei Noor Omar Pia Quinn Rosa Sam Tara'.split(' ');
const FAMILY =
  'Abbott Baker Castillo Dahl Evans Fischer Garcia Haddad Ito Jensen Khan Lopez Moreau Nguyen Okafor Patel Reyes Silva Tran Weber'.split(
    ' ',
  );
const CITIES: readonly (readonly [city: string, state: string, postalCode: string])[] = [
  ['Portland', 'OR', '97205'],
  ['Denver', 'CO', '80203'],
  ['Austin', 'TX', '78701'],
  ['Boston', 'MA', '02116'],
];

const OFFSET_HOURS = -5;
const EPOCH = Date.UTC(2025, 0, 6);
const MINUTES_PER_DAY = 1440;
/** The seeded sessions all lie within this many days of the epoch. */
const SEED_DAYS = 260;
const pad = (n: number) => String(n).padStart(2, '0');

/** Clinic-local FHIR dateTime (UTC-5) from minutes since 2025-01-06T00:00 clinic time. */
export function dateTime(minutes: number): string {
  const d = new Date(EPOCH + minutes * 60000);
  const day = `${d.getUTCFullYear()}-${pad(d.getUTCMonth() + 1)}-${pad(d.getUTCDate())}`;
  return `${day}T${pad(d.getUTCHours())}:${pad(d.getUTCMinutes())}:00-${pad(-OFFSET_HOURS)}:00`;
}

export function dateOnly(minutes: number): string {
  return dateTime(minutes).slice(0, 10);
}

function patient(seed: string, i: number): Patient {
  const r = rng(seed, 'patient', i);
  const given = r.pick(GIVEN);
  const family = r.pick(FAMILY);
  const [city, state, postalCode] = r.pick(CITIES);
  return {
    resourceType: 'Patient',
    identifier: [
      {
        use: 'usual',
        system: 'http://kap-clinic.example.org/mrn',
        value: `KAP-${seed}-${String(i).padStart(6, '0')}`,
      },
    ],
    active: true,
    name: [{ use: 'official', family, given: [given] }],
    telecom: [{ system: 'phone', value: `555-01${pad(r.int(0, 99))}`, use: 'mobile' }],
    gender: r.pick(['male', 'female', 'other'] as const),
    birthDate: `${r.int(1950, 2003)}-${pad(r.int(1, 12))}-${pad(r.int(1, 28))}`,
    address: [{ use: 'home', line: [`${r.int(1, 990)} Main Street`], city, state, postalCode, country: 'US' }],
  };
}

function entry(resource: Resource, fullUrl: string): BundleEntry {
  return { fullUrl, resource, request: { method: 'POST', url: resource.resourceType } };
}

function transaction(entries: BundleEntry[]): Bundle {
  return { resourceType: 'Bundle', type: 'transaction', entry: entries };
}

/** The first bundle of a course: Patient, Condition, CarePlan. */
export function intakeBundle(seed: string, i: number): Bundle {
  const r = rng(seed, 'intake', i);
  const patientUrl = `urn:uuid:${r.uuid()}`;
  const conditionUrl = `urn:uuid:${r.uuid()}`;
  const carePlanUrl = `urn:uuid:${r.uuid()}`;
  const start = courseStart(seed, i);
  const condition: Condition = {
    resourceType: 'Condition',
    clinicalStatus: {
      coding: [{ system: 'http://terminology.hl7.org/CodeSystem/condition-clinical', code: 'active' }],
    },
    verificationStatus: {
      coding: [{ system: 'http://terminology.hl7.org/CodeSystem/condition-ver-status', code: 'confirmed' }],
    },
    category: [
      { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/condition-category', code: 'problem-list-item' }] },
    ],
    code: {
      coding: [
        {
          system: 'http://hl7.org/fhir/sid/icd-10-cm',
          code: 'F33.2',
          display: 'Major depressive disorder, recurrent severe without psychotic features',
        },
        { system: SNOMED, code: '370143000', display: 'Major depressive disorder' },
      ],
      text: 'Treatment-resistant depression',
    },
    subject: { reference: patientUrl },
    recordedDate: dateTime(start - 7 * MINUTES_PER_DAY),
  };
  const carePlan: CarePlan = {
    resourceType: 'CarePlan',
    status: 'active',
    intent: 'plan',
    title: 'Ketamine-assisted psychotherapy, six infusions',
    subject: { reference: patientUrl },
    period: { start: dateTime(start - 7 * MINUTES_PER_DAY), end: dateTime(start + 40 * MINUTES_PER_DAY) },
    addresses: [{ reference: conditionUrl }],
    activity: [
      {
        detail: {
          code: { text: 'Ketamine infusion, 0.5 mg/kg over 40 minutes' },
          status: 'scheduled',
          scheduledString: 'twice a week for three weeks',
        },
      },
      {
        detail: {
          code: { text: 'Integration psychotherapy, 60 minutes' },
          status: 'scheduled',
          scheduledString: 'on the day after each infusion',
        },
      },
    ],
  };
  return transaction([
    entry(patient(seed, i), patientUrl),
    entry(condition, conditionUrl),
    entry(carePlan, carePlanUrl),
  ]);
}

function courseStart(seed: string, i: number): number {
  return rng(seed, 'start', i).int(7, SEED_DAYS - 30) * MINUTES_PER_DAY;
}

const INFUSION_DAYS = [0, 3, 7, 10, 14, 17];

/** Minutes since the epoch. The therapy of an infusion is on the day after it. */
export function sessionStart(seed: string, i: number, kind: SessionKind, n: number): number {
  const hour = 9 + rng(seed, 'hour', i, kind, n).int(0, 7);
  const day = (INFUSION_DAYS[n % INFUSIONS] as number) + (kind === 'therapy' ? 1 : 0);
  return courseStart(seed, i) + day * MINUTES_PER_DAY + hour * 60;
}

const quantity = (value: number, unit: string, code: string): Quantity => ({ value, unit, system: UCUM, code });

/** What a vital sign is, and its value; `depth` says how far into the infusion it was taken. */
function vitalSign(
  kind: VitalSign,
  r: Random,
  depth: number,
): Pick<Observation, 'code' | 'component' | 'valueQuantity'> {
  switch (kind) {
    case 'bp':
      return {
        code: {
          coding: [{ system: LOINC, code: '85354-9', display: 'Blood pressure panel with all children optional' }],
          text: 'Blood pressure',
        },
        component: [
          {
            code: { coding: [{ system: LOINC, code: '8480-6', display: 'Systolic blood pressure' }] },
            valueQuantity: quantity(r.int(112, 138) + depth * 4, 'mmHg', 'mm[Hg]'),
          },
          {
            code: { coding: [{ system: LOINC, code: '8462-4', display: 'Diastolic blood pressure' }] },
            valueQuantity: quantity(r.int(68, 86) + depth * 2, 'mmHg', 'mm[Hg]'),
          },
        ],
      };
    case 'hr':
      return {
        code: { coding: [{ system: LOINC, code: '8867-4', display: 'Heart rate' }], text: 'Heart rate' },
        valueQuantity: quantity(r.int(62, 92) + depth * 2, 'beats/minute', '/min'),
      };
    case 'spo2':
      return {
        code: {
          coding: [
            { system: LOINC, code: '2708-6', display: 'Oxygen saturation in Arterial blood' },
            { system: LOINC, code: '59408-5', display: 'Oxygen saturation in Arterial blood by Pulse oximetry' },
          ],
          text: 'Oxygen saturation',
        },
        valueQuantity: quantity(r.int(95, 100), '%', '%'),
      };
    case 'rr':
      return {
        code: { coding: [{ system: LOINC, code: '9279-1', display: 'Respiratory rate' }], text: 'Respiratory rate' },
        valueQuantity: quantity(r.int(12, 20), 'breaths/minute', '/min'),
      };
  }
}

function vital(
  kind: VitalSign,
  patientRef: string,
  encounterRef: string | undefined,
  at: number,
  r: Random,
  depth = 0,
): Observation {
  const { code, ...value } = vitalSign(kind, r, depth);
  return {
    resourceType: 'Observation',
    status: 'final',
    category: [{ coding: [{ system: OBSERVATION_CATEGORY, code: 'vital-signs', display: 'Vital Signs' }] }],
    code,
    subject: { reference: patientRef },
    ...(encounterRef === undefined ? {} : { encounter: { reference: encounterRef } }),
    effectiveDateTime: dateTime(at),
    issued: new Date(EPOCH + at * 60000 - OFFSET_HOURS * 3600000 + 30000).toISOString(),
    ...value,
  };
}

function score(
  code: string,
  patientRef: string,
  encounterRef: string | undefined,
  at: number,
  r: Random,
  session = 0,
): Observation {
  const phq = code === PHQ9;
  const value = Math.max(0, r.int(phq ? 14 : 10, phq ? 22 : 18) - session * 2);
  return {
    resourceType: 'Observation',
    status: 'final',
    category: [{ coding: [{ system: OBSERVATION_CATEGORY, code: 'survey', display: 'Survey' }] }],
    code: {
      coding: [
        {
          system: LOINC,
          code,
          display: phq
            ? 'Patient Health Questionnaire 9 item (PHQ-9) total score [Reported]'
            : 'Generalized anxiety disorder 7 item (GAD-7) total score [Reported.PHQ]',
        },
      ],
      text: phq ? 'PHQ-9 total score' : 'GAD-7 total score',
    },
    subject: { reference: patientRef },
    ...(encounterRef === undefined ? {} : { encounter: { reference: encounterRef } }),
    effectiveDateTime: dateTime(at),
    valueQuantity: quantity(value, '{score}', '{score}'),
  };
}

/** Minutes into the infusion, what is measured then, and how deep the effect is. */
const MONITORING: readonly (readonly [minute: number, kinds: readonly VitalSign[], depth: number])[] = [
  [0, ['bp', 'hr', 'spo2', 'rr'], 0],
  [15, ['bp', 'hr', 'spo2'], 1],
  [30, ['bp', 'hr', 'spo2', 'rr'], 2],
  [45, ['bp', 'hr', 'spo2'], 1],
  [60, ['bp', 'hr', 'spo2', 'rr'], 0],
];

function encounter(patientRef: string, start: number, minutes: number, type: string, cpt: string): Encounter {
  return {
    resourceType: 'Encounter',
    status: 'finished',
    class: { system: 'http://terminology.hl7.org/CodeSystem/v3-ActCode', code: 'AMB', display: 'ambulatory' },
    type: [{ coding: [{ system: CPT, code: cpt }], text: type }],
    subject: { reference: patientRef },
    participant: [{ individual: { display: 'Attending clinician' } }],
    period: { start: dateTime(start), end: dateTime(start + minutes) },
    reasonCode: [
      {
        coding: [{ system: 'http://hl7.org/fhir/sid/icd-10-cm', code: 'F33.2' }],
        text: 'Treatment-resistant depression',
      },
    ],
  };
}

function procedure(
  patientRef: string,
  encounterRef: string,
  start: number,
  minutes: number,
  cpt: string,
  text: string,
): Procedure {
  return {
    resourceType: 'Procedure',
    status: 'completed',
    code: { coding: [{ system: CPT, code: cpt }], text },
    subject: { reference: patientRef },
    encounter: { reference: encounterRef },
    performedPeriod: { start: dateTime(start), end: dateTime(start + minutes) },
    performer: [{ actor: { display: 'Attending clinician' } }],
  };
}

function medicationAdministration(
  patientRef: string,
  encounterRef: string,
  start: number,
  r: Random,
): MedicationAdministration {
  return {
    resourceType: 'MedicationAdministration',
    status: 'completed',
    medicationCodeableConcept: {
      coding: [{ system: 'http://www.nlm.nih.gov/research/umls/rxnorm', code: '6130', display: 'ketamine' }],
      text: 'Ketamine',
    },
    subject: { reference: patientRef },
    context: { reference: encounterRef },
    effectivePeriod: { start: dateTime(start), end: dateTime(start + 40) },
    performer: [{ actor: { display: 'Infusion nurse' } }],
    dosage: {
      text: '0.5 mg/kg IV over 40 minutes',
      route: { coding: [{ system: SNOMED, code: '47625008', display: 'Intravenous route' }] },
      dose: quantity(r.int(28, 55), 'mg', 'mg'),
    },
  };
}

/** One infusion session: Encounter, Procedure, MedicationAdministration and 20 Observations, in this order. */
export function infusionBundle(patientRef: string, start: number, r: Random, session = 0): Bundle {
  const e = `urn:uuid:${r.uuid()}`;
  // The order of the draws from `r` is part of the workload: each fullUrl is drawn where the harness drew it.
  const entries = [
    entry(encounter(patientRef, start - 30, 150, 'Ketamine infusion session', '99214'), e),
    entry(procedure(patientRef, e, start, 40, '96365', 'Intravenous infusion of ketamine'), `urn:uuid:${r.uuid()}`),
    entry(medicationAdministration(patientRef, e, start, r), `urn:uuid:${r.uuid()}`),
  ];
  for (const [minute, kinds, depth] of MONITORING) {
    for (const kind of kinds) {
      entries.push(entry(vital(kind, patientRef, e, start + minute, r, depth), `urn:uuid:${r.uuid()}`));
    }
  }
  entries.push(entry(score(PHQ9, patientRef, e, start - 20, r, session), `urn:uuid:${r.uuid()}`));
  entries.push(entry(score(GAD7, patientRef, e, start - 15, r, session), `urn:uuid:${r.uuid()}`));
  return transaction(entries);
}

/** One integration-therapy session: Encounter and Procedure. */
export function therapyBundle(patientRef: string, start: number, r: Random): Bundle {
  const e = `urn:uuid:${r.uuid()}`;
  return transaction([
    entry(encounter(patientRef, start, 60, 'Integration psychotherapy session', '90837'), e),
    entry(procedure(patientRef, e, start, 60, '90837', 'Psychotherapy, 60 minutes'), `urn:uuid:${r.uuid()}`),
  ]);
}

/** A single new Observation of a patient who is there: a vital sign of four kinds, or a PHQ-9 total score. */
export function singleObservation(patientRef: string, at: number, r: Random): Observation {
  const kind = r.pick(['bp', 'hr', 'spo2', 'rr', 'phq9'] as const);
  return kind === 'phq9' ? score(PHQ9, patientRef, undefined, at, r) : vital(kind, patientRef, undefined, at, r);
}
