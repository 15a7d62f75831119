/**
 * A course as data for a chart: infusions with what was measured around them, therapy beside its window, scores over
 * time, what the rules found. Facts alone: what is absent was not recorded, and nothing depends on the present.
 */
import type {
  AdverseEvent,
  CarePlan,
  CodeableConcept,
  Coding,
  DetectedIssue,
  MedicationAdministration,
  Observation,
  Resource,
} from '@medplum/fhirtypes';
import { hasCode, hasKapCode, KAP, type KapCode, LOINC, SYSTEM } from './codes.ts';
import { type Course, compareText, courseOf, effectiveOf, type Infusion, type Key, keyOf, target } from './course.ts';
import { coursePolicies } from './course-policies.ts';
import { HOUR, hours, later, type Moment, momentOf, rounded } from './moments.ts';
import type { Policy } from './policy.ts';
import { matchSessions, type Session, type SessionClass } from './rules/integration-window.ts';
import { bandOf, scoreOf } from './rules/scores.ts';

export type Timeline = {
  readonly carePlan: Key;
  readonly title: string | undefined;
  readonly status: string;
  /** Canonical of the protocol, with its version. */
  readonly protocol: string | undefined;
  /** Started ones first, by start. */
  readonly infusions: readonly TimelineInfusion[];
  /** By start; those that belong to no infusion of the plan have no `infusion`. */
  readonly sessions: readonly TimelineSession[];
  readonly scales: readonly TimelineScale[];
  /** By time. */
  readonly findings: readonly TimelineFinding[];
  readonly adverseEvents: readonly TimelineEvent[];
};

export type TimelineInfusion = {
  readonly key: Key;
  /** From 1; 0 while it has no start. */
  readonly number: number;
  readonly state: Infusion['state'];
  readonly start: Moment | undefined;
  readonly end: Moment | undefined;
  /** Given, not ordered. */
  readonly doseMg: number | undefined;
  readonly doseMgPerKg: number | undefined;
  readonly bloodPressure: readonly PressurePoint[];
  /** Modified Observer's Assessment of Alertness/Sedation, 5 (awake) to 0. */
  readonly sedation: readonly Point[];
  /** CADSS total, 0 to 92. */
  readonly dissociation: readonly Point[];
  /** When its integration session is due, by the policy of its own plan. */
  readonly window: { readonly from: Moment; readonly to: Moment } | undefined;
  readonly policy: Pick<
    Policy,
    | 'integrationWindowStartHours'
    | 'integrationWindowEndHours'
    | 'bloodPressureHoldSystolic'
    | 'bloodPressureHoldDiastolic'
    | 'bloodPressureStopSystolic'
    | 'bloodPressureStopDiastolic'
  >;
};

export type Point = { readonly key: Key; readonly at: Moment; readonly value: number };
/** mm[Hg] */
export type PressurePoint = {
  readonly key: Key;
  readonly at: Moment;
  readonly systolic: number | undefined;
  readonly diastolic: number | undefined;
};

export type TimelineSession = {
  readonly key: Key;
  readonly infusion: Key | undefined;
  readonly start: Moment | undefined;
  readonly end: Moment | undefined;
  /** From the end of the infusion to the start of the session; absent where one of them is not known. */
  readonly hoursAfter: number | undefined;
  readonly class: SessionClass | undefined;
};

export type TimelineScale = {
  readonly title: string;
  readonly code: Coding;
  readonly highest: number;
  /** From the lowest on; empty where the policy has none. */
  readonly bands: readonly { readonly from: number; readonly name: string }[];
  readonly points: readonly (Point & { readonly band: string | undefined })[];
};

export type TimelineFinding = {
  readonly key: Key;
  readonly at: Moment | undefined;
  readonly text: string;
  readonly severity: string | undefined;
  readonly detail: string | undefined;
  readonly infusion: Key | undefined;
};

export type TimelineEvent = {
  readonly key: Key;
  readonly at: Moment | undefined;
  readonly text: string;
  readonly seriousness: string | undefined;
  readonly infusion: Key | undefined;
};

/**
 * @param resources of the patient: those that may be shown
 * @param policies of the protocols, by canonical; `running` where none of them is meant
 */
export function timelineOf(
  carePlan: CarePlan,
  resources: readonly Resource[],
  running: Policy,
  policies: ReadonlyMap<string, Policy>,
): Timeline {
  const course = courseOf(resources);
  const policiesOf = coursePolicies(course, running, policies);
  const part = partOf(carePlan, course);
  const infusions = course.infusions.filter(part.hasInfusion);
  const own = new Set(infusions.map(({ key }) => key));
  const { sessions } = matchSessions(course, policiesOf);
  return {
    carePlan: keyOf(carePlan),
    title: carePlan.title,
    status: carePlan.status,
    protocol: carePlan.instantiatesCanonical?.[0],
    infusions: infusions.map((infusion) => infusionOf(infusion, course, policiesOf.of(infusion.key))),
    sessions: sessionsOf(course, sessions, own, part),
    scales: scalesOf(course, running, part),
    findings: findingsOf(resources, own, part),
    adverseEvents: eventsOf(resources, infusions, part),
  };
}

// ---- which facts of the patient belong to the plan

type Part = {
  readonly hasInfusion: (infusion: Infusion) => boolean;
  readonly hasTime: (moment: Moment | undefined) => boolean;
};

/** All, where the patient has one plan; else what is based on it, and what falls into its period. */
function partOf(carePlan: CarePlan, course: Course): Part {
  const plans = course.carePlans.filter(({ instantiatesCanonical }) => instantiatesCanonical !== undefined);
  if (plans.length <= 1) return { hasInfusion: () => true, hasTime: () => true };
  const low = momentOf(carePlan.period?.start)?.at ?? Number.NEGATIVE_INFINITY;
  const high = momentOf(carePlan.period?.end)?.at ?? Number.POSITIVE_INFINITY;
  const hasTime = (moment: Moment | undefined) => moment !== undefined && moment.at >= low && moment.at <= high;
  const key = keyOf(carePlan);
  const hasInfusion = ({ procedure, start }: Infusion) => {
    const based = (procedure.basedOn ?? []).flatMap((reference) => target(reference) ?? []);
    const orders = based.flatMap((each) => course.byKey.get(each) ?? []);
    const ofOrders = orders.flatMap((order) =>
      order.resourceType === 'ServiceRequest' ? (order.basedOn ?? []).flatMap((each) => target(each) ?? []) : [],
    );
    const named = [...based, ...ofOrders].filter((each) => each.startsWith('CarePlan/'));
    return named.length > 0 ? named.includes(key) : hasTime(start);
  };
  return { hasInfusion, hasTime };
}

// ---- infusions

function infusionOf(infusion: Infusion, course: Course, policy: Policy): TimelineInfusion {
  const { key, number, state, start, end, administrations, encounter, readings } = infusion;
  const doseMg = doseOf(administrations);
  const weightKg = weightOf(administrations, course);
  const visit = encounter === undefined ? undefined : keyOf(encounter);
  const around = course.observations.filter(
    (observation) =>
      (observation.partOf ?? []).some((each) => target(each) === key) ||
      (visit !== undefined && target(observation.encounter) === visit),
  );
  const isKap = (code: KapCode) => (observation: Observation) => hasKapCode(observation.code, code);
  return {
    key,
    number,
    state,
    start,
    end,
    doseMg,
    doseMgPerKg: doseMg === undefined || weightKg === undefined ? undefined : rounded(doseMg / weightKg, 2),
    bloodPressure: readings
      .filter(({ kind, systolic, diastolic }) => kind === 'blood pressure' && (systolic ?? diastolic) !== undefined)
      .map(({ key: of, moment, systolic, diastolic }) => ({ key: of, at: moment, systolic, diastolic })),
    sedation: pointsOf(around.filter(isKap('moaa-s'))),
    dissociation: pointsOf(around.filter(isKap('cadss-total'))),
    window:
      end === undefined
        ? undefined
        : {
            from: later(end, policy.integrationWindowStartHours * HOUR),
            to: later(end, policy.integrationWindowEndHours * HOUR),
          },
    policy: {
      integrationWindowStartHours: policy.integrationWindowStartHours,
      integrationWindowEndHours: policy.integrationWindowEndHours,
      bloodPressureHoldSystolic: policy.bloodPressureHoldSystolic,
      bloodPressureHoldDiastolic: policy.bloodPressureHoldDiastolic,
      bloodPressureStopSystolic: policy.bloodPressureStopSystolic,
      bloodPressureStopDiastolic: policy.bloodPressureStopDiastolic,
    },
  };
}

/** The sum in mg; undefined as soon as one dose is missing or in another unit: half a dose must not look like a dose. */
function doseOf(administrations: readonly MedicationAdministration[]): number | undefined {
  if (administrations.length === 0) return undefined;
  let sum = 0;
  for (const { dosage } of administrations) {
    const { value, code, system, unit } = dosage?.dose ?? {};
    if (value === undefined || (code ?? unit) !== 'mg' || (system !== undefined && system !== SYSTEM.ucum))
      return undefined;
    sum += value;
  }
  return rounded(sum, 6);
}

/** The weight that an administration was given by, in kg. */
function weightOf(administrations: readonly MedicationAdministration[], { byKey }: Course): number | undefined {
  for (const { supportingInformation } of administrations) {
    for (const reference of supportingInformation ?? []) {
      const found = byKey.get(target(reference) ?? '');
      if (found?.resourceType !== 'Observation' || !hasCode(found.code, SYSTEM.loinc, LOINC.weight.code as string))
        continue;
      const { value, code } = found.valueQuantity ?? {};
      if (value !== undefined && value > 0 && code === 'kg') return value;
    }
  }
  return undefined;
}

function pointsOf(observations: readonly Observation[]): Point[] {
  return observations
    .flatMap((observation) => {
      const at = effectiveOf(observation);
      const value = scoreOf(observation);
      return at === undefined || value === undefined ? [] : [{ key: keyOf(observation), at, value }];
    })
    .sort((a, b) => byTime(a.at, b.at) || compareText(a.key, b.key));
}

// ---- therapy

function sessionsOf(course: Course, matched: readonly Session[], own: ReadonlySet<Key>, part: Part): TimelineSession[] {
  const byTherapy = new Map(matched.map((session) => [session.therapy.key, session]));
  return course.therapies.flatMap(({ key, start, end }): TimelineSession[] => {
    const session = byTherapy.get(key);
    const isOwn = session === undefined ? part.hasTime(start) : own.has(session.infusion.key);
    if (!isOwn) return [];
    const timing = session?.timing.known === true ? session.timing : undefined;
    return [
      {
        key,
        infusion: session?.infusion.key,
        start,
        end,
        hoursAfter: timing === undefined ? undefined : hours(timing.milliseconds, 2),
        class: timing?.class,
      },
    ];
  });
}

// ---- scores

type Scale = {
  readonly title: string;
  readonly code: Coding;
  readonly highest: number;
  readonly bandNames?: readonly string[];
  /** Lowest scores of the bands above the first. */
  readonly bandsOf?: (policy: Policy) => readonly number[];
};

const kap = (code: KapCode): Coding => ({ system: SYSTEM.kap, code, display: KAP[code] });

/** In the order in which a chart shows them. The CADSS belongs to its infusion. */
const SCALES: readonly Scale[] = [
  {
    title: 'PHQ-9',
    code: LOINC.phq9Total,
    highest: 27,
    bandNames: ['minimal', 'mild', 'moderate', 'moderately severe', 'severe'],
    bandsOf: (policy) => policy.phq9Bands,
  },
  {
    title: 'GAD-7',
    code: LOINC.gad7Total,
    highest: 21,
    bandNames: ['minimal', 'mild', 'moderate', 'severe'],
    bandsOf: (policy) => policy.gad7Bands,
  },
  {
    title: 'PCL-5',
    code: LOINC.pcl5Total,
    highest: 80,
    bandNames: ['', 'provisional PTSD'],
    bandsOf: (policy) => [policy.pcl5Positive],
  },
  {
    title: 'QIDS-SR16',
    code: kap('qids-sr16-total'),
    highest: 27,
    bandNames: ['none', 'mild', 'moderate', 'severe', 'very severe'],
    bandsOf: (policy) => policy.qidsBands,
  },
  {
    title: 'MADRS',
    code: kap('madrs-total'),
    highest: 60,
    bandNames: ['none', 'mild', 'moderate', 'severe'],
    bandsOf: (policy) => policy.madrsBands,
  },
  {
    title: 'Y-BOCS',
    code: kap('ybocs-total'),
    highest: 40,
    bandNames: ['subclinical', 'mild', 'moderate', 'severe', 'extreme'],
    bandsOf: (policy) => policy.ybocsBands,
  },
  { title: 'MEQ-30', code: kap('meq30-total'), highest: 150 },
  {
    title: 'AUDIT',
    code: LOINC.auditTotal,
    highest: 40,
    bandNames: ['', 'positive'],
    bandsOf: (policy) => [policy.auditPositive],
  },
  {
    title: 'DAST-10',
    code: LOINC.dast10Total,
    highest: 10,
    bandNames: ['', 'positive'],
    bandsOf: (policy) => [policy.dast10Positive],
  },
];

function scalesOf({ observations }: Course, policy: Policy, part: Part): TimelineScale[] {
  return SCALES.flatMap(({ title, code, highest, bandNames = [], bandsOf }) => {
    const own = observations.filter(
      (each) => hasCode(each.code, code.system as string, code.code as string) && part.hasTime(effectiveOf(each)),
    );
    const byKey = new Map(own.map((observation) => [keyOf(observation), observation]));
    const points = pointsOf(own).map((point) => {
      const band = bandOf(byKey.get(point.key) as Observation, policy);
      return { ...point, band: typeof band === 'string' ? KAP[band] : undefined };
    });
    const lowest = bandsOf === undefined ? [] : [0, ...bandsOf(policy)];
    const bands = lowest.map((from, i) => ({ from, name: bandNames[i] ?? '' }));
    return points.length === 0 ? [] : [{ title, code, highest, bands, points }];
  });
}

// ---- what was found

const WITHDRAWN = new Set(['entered-in-error', 'cancelled']);

function findingsOf(resources: readonly Resource[], own: ReadonlySet<Key>, part: Part): TimelineFinding[] {
  return resources
    .filter((each): each is DetectedIssue => each.resourceType === 'DetectedIssue' && !WITHDRAWN.has(each.status))
    .flatMap((found): TimelineFinding[] => {
      const at = momentOf(found.identifiedDateTime ?? found.identifiedPeriod?.start);
      const named = (found.implicated ?? []).flatMap((reference) => target(reference) ?? []);
      const infusion = named.find((key) => own.has(key));
      if (infusion === undefined && !part.hasTime(at)) return [];
      const { severity, detail } = found;
      return [{ key: keyOf(found), at, text: textOf(found.code) ?? 'Finding', severity, detail, infusion }];
    })
    .sort((a, b) => byTime(a.at, b.at) || compareText(a.key, b.key));
}

function eventsOf(resources: readonly Resource[], infusions: readonly Infusion[], part: Part): TimelineEvent[] {
  const byVisit = new Map(
    infusions.flatMap(({ encounter, key }) => (encounter ? [[keyOf(encounter), key] as const] : [])),
  );
  return resources
    .filter((each): each is AdverseEvent => each.resourceType === 'AdverseEvent' && each.actuality === 'actual')
    .flatMap((event): TimelineEvent[] => {
      const at = momentOf(event.date ?? event.detected);
      const infusion = byVisit.get(target(event.encounter) ?? '');
      if (infusion === undefined && !part.hasTime(at)) return [];
      const seriousness = event.seriousness?.coding?.[0]?.code;
      return [{ key: keyOf(event), at, text: textOf(event.event) ?? 'Adverse event', seriousness, infusion }];
    })
    .sort((a, b) => byTime(a.at, b.at) || compareText(a.key, b.key));
}

/** The clinic's own words for it before those of others. */
function textOf(concept: CodeableConcept | undefined): string | undefined {
  const own = concept?.coding?.find(({ system }) => system === SYSTEM.kap);
  return concept?.text ?? own?.display ?? concept?.coding?.find(({ display }) => display !== undefined)?.display;
}

function byTime(a: Moment | undefined, b: Moment | undefined): number {
  const [x, y] = [a?.at ?? Number.POSITIVE_INFINITY, b?.at ?? Number.POSITIVE_INFINITY];
  return x === y ? 0 : x - y;
}
