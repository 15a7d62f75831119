/**
 * The course of one patient, read from the plain resources of the record: infusions with what was measured around
 * them, therapy sessions, scores, consents, consults and orders. Nothing here judges; the rules do.
 *
 * What was entered in error, cancelled or never begun is no fact and does not appear. The order of the resources does
 * not matter: everything is sorted by time, then by reference.
 */
import type {
  CarePlan,
  CareTeam,
  Consent,
  Encounter,
  EpisodeOfCare,
  Goal,
  MedicationAdministration,
  Observation,
  Practitioner,
  PractitionerRole,
  Procedure,
  QuestionnaireResponse,
  Reference,
  Resource,
  ServiceRequest,
} from '@medplum/fhirtypes';
import { anyHasCode, hasCode, hasKapCode, type KapCode, LOINC, SYSTEM } from './codes.ts';
import { HOUR, type Moment, momentOf } from './moments.ts';

/** `Type/id` of a resource of the record. */
export type Key = string;

export type Infusion = {
  readonly key: Key;
  readonly procedure: Procedure;
  readonly encounter: Encounter | undefined;
  /** '' where no episode of care is known. */
  readonly episode: Key;
  readonly state: 'planned' | 'running' | 'completed' | 'stopped';
  /** From 1 within its episode, by start; 0 while it has no start. */
  readonly number: number;
  readonly start: Moment | undefined;
  readonly end: Moment | undefined;
  readonly administrations: readonly MedicationAdministration[];
  /** By time. */
  readonly readings: readonly Reading[];
};

export type VitalKind = 'blood pressure' | 'heart rate' | 'SpO2';

/** One vital sign that look at. Pressures in mm[Hg]; absent when not measured or in another unit. */
export type Reading = {
  readonly key: Key;
  readonly kind: VitalKind;
  readonly moment: Moment;
  readonly systolic?: number;
  readonly diastolic?: number;
};

export type Therapy = {
  /** The Procedure, or the Encounter where there is no Procedure. */
  readonly key: Key;
  readonly procedure: Procedure | undefined;
  readonly encounter: Encounter | undefined;
  readonly episode: Key;
  /** As written: may be a date without time. */
  readonly startText: string | undefined;
  readonly start: Moment | undefined;
  readonly end: Moment | undefined;
  /** Procedures that it names as its reason, or as the act it is part of. */
  readonly names: readonly Key[];
  /** Where it names them, for a refusal. */
  readonly namesIn: Procedure | Encounter;
};

export type Course = {
  readonly patient: Key | undefined;
  readonly byKey: ReadonlyMap<Key, Resource>;
  /** Started ones first, by start. */
  readonly infusions: readonly Infusion[];
  readonly therapies: readonly Therapy[];
  /** Administrations that belong to no infusion of the course. */
  readonly looseAdministrations: readonly MedicationAdministration[];
  readonly observations: readonly Observation[];
  readonly consents: readonly Consent[];
  readonly consults: readonly Encounter[];
  readonly orders: readonly ServiceRequest[];
  readonly carePlans: readonly CarePlan[];
  readonly goals: readonly Goal[];
  readonly responses: readonly QuestionnaireResponse[];
};

export function keyOf(resource: Resource): Key {
  return `${resource.resourceType}/${resource.id}`;
}

/** `Type/id` of a literal reference, its version cut off; undefined for none and for other servers' resources. */
export function target(reference: Reference | undefined): Key | undefined {
  const text = reference?.reference;
  if (text === undefined || text.includes(':')) return undefined;
  const version = text.indexOf('/_history/');
  return version < 0 ? text : text.slice(0, version);
}

export function courseOf(resources: readonly Resource[]): Course {
  const keyed = resources.map((resource) => [keyOf(resource), resource] as const);
  keyed.sort(([a], [b]) => compareText(a, b));
  return new CourseReader(new Map(keyed)).course();
}

/** By code unit, which is the same on every machine. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** When an Observation was made: the start, where it is a period. */
export function effectiveOf(observation: Observation): Moment | undefined {
  return momentOf(effectiveText(observation));
}

export function effectiveText(observation: Observation): string | undefined {
  return observation.effectiveDateTime ?? observation.effectiveInstant ?? observation.effectivePeriod?.start;
}

const STATE_OF: Readonly<Record<string, Infusion['state']>> = {
  preparation: 'planned',
  'in-progress': 'running',
  'on-hold': 'running',
  completed: 'completed',
  stopped: 'stopped',
};

const NO_FACT = new Set(['entered-in-error', 'cancelled', 'registered', 'unknown']);

/** How far around an infusion a vital sign that names neither procedure nor encounter is still taken as its own. */
const UNLINKED_MARGIN = HOUR;

class CourseReader {
  readonly #byKey: ReadonlyMap<Key, Resource>;
  readonly #byType = new Map<string, Resource[]>();

  constructor(byKey: ReadonlyMap<Key, Resource>) {
    this.#byKey = byKey;
    for (const resource of byKey.values()) {
      const list = this.#byType.get(resource.resourceType);
      if (list === undefined) this.#byType.set(resource.resourceType, [resource]);
      else list.push(resource);
    }
  }

  course(): Course {
    const observations = this.#all<Observation>('Observation').filter(({ status }) => !NO_FACT.has(status));
    const administrations = this.#all<MedicationAdministration>('MedicationAdministration').filter(
      ({ status }) => status !== 'entered-in-error' && status !== 'not-done',
    );
    const infusions = numbered(this.#infusions(observations, administrations));
    const linked = new Set(infusions.flatMap((infusion) => infusion.administrations));
    return {
      patient: this.#patient(),
      byKey: this.#byKey,
      infusions,
      therapies: this.#therapies(),
      looseAdministrations: administrations.filter((each) => !linked.has(each)),
      observations,
      consents: this.#all<Consent>('Consent'),
      consults: this.#all<Encounter>('Encounter').filter(
        ({ status, type }) => status === 'finished' && anyHasCode(type, SYSTEM.kap, 'kap-consult'),
      ),
      orders: this.#all<ServiceRequest>('ServiceRequest').filter(({ status }) => status !== 'entered-in-error'),
      carePlans: this.#all<CarePlan>('CarePlan').filter(({ status }) => status !== 'entered-in-error'),
      goals: this.#all<Goal>('Goal').filter(({ lifecycleStatus }) => lifecycleStatus !== 'entered-in-error'),
      responses: this.#all<QuestionnaireResponse>('QuestionnaireResponse').filter(
        ({ status }) => status !== 'entered-in-error',
      ),
    };
  }

  #all<T extends Resource>(type: T['resourceType']): readonly T[] {
    return (this.#byType.get(type) ?? []) as T[];
  }

  #encounter(reference: Reference | undefined): Encounter | undefined {
    const found = this.#byKey.get(target(reference) ?? '');
    return found?.resourceType === 'Encounter' ? found : undefined;
  }

  #patient(): Key | undefined {
    const patient = this.#all('Patient')[0];
    if (patient !== undefined) return keyOf(patient);
    for (const resource of this.#byKey.values()) {
      const { subject, patient: of } = resource as { subject?: Reference; patient?: Reference };
      const key = target(subject ?? of);
      if (key?.startsWith('Patient/')) return key;
    }
    return undefined;
  }

  /** The episode an Encounter belongs to; where it names none, the only episode there is. */
  #episode(encounter: Encounter | undefined): Key {
    const named = target(encounter?.episodeOfCare?.[0]);
    if (named !== undefined) return named;
    const episodes = this.#all<EpisodeOfCare>('EpisodeOfCare').filter(({ status }) => status !== 'entered-in-error');
    return episodes.length === 1 && episodes[0] !== undefined ? keyOf(episodes[0]) : '';
  }

  /**
   * The Procedures that are such an act: by their own KAP code or by that of the order they are based on; in a visit
   * of this kind that has none of these, its first Procedure without any KAP code.
   */
  #acts(act: KapCode, visit: KapCode): Procedure[] {
    const facts = this.#all<Procedure>('Procedure').filter(({ status }) => STATE_OF[status] !== undefined);
    const certain = facts.filter(
      (procedure) =>
        hasKapCode(procedure.code, act) || (!hasAnyKapCode(procedure) && this.#orderOf(procedure, act) !== undefined),
    );
    const covered = new Set(certain.map(({ encounter }) => target(encounter)));
    const byVisit: Procedure[] = [];
    for (const procedure of facts) {
      const key = target(procedure.encounter);
      if (hasAnyKapCode(procedure) || covered.has(key)) continue;
      if (!anyHasCode(this.#encounter(procedure.encounter)?.type, SYSTEM.kap, visit)) continue;
      covered.add(key);
      byVisit.push(procedure);
    }
    return [...certain, ...byVisit];
  }

  #orderOf(procedure: Procedure, act: KapCode): ServiceRequest | undefined {
    for (const reference of procedure.basedOn ?? []) {
      const order = this.#byKey.get(target(reference) ?? '');
      if (order?.resourceType === 'ServiceRequest' && hasKapCode(order.code, act)) return order;
    }
    return undefined;
  }

  #infusions(
    observations: readonly Observation[],
    administrations: readonly MedicationAdministration[],
  ): Omit<Infusion, 'number'>[] {
    const readings = new ReadingIndex(observations);
    return this.#acts('kap-infusion', 'kap-infusion-session').map((procedure) => {
      const key = keyOf(procedure);
      const encounter = this.#encounter(procedure.encounter);
      const visit = encounter === undefined ? undefined : keyOf(encounter);
      const own = administrations.filter(
        (each) =>
          (each.partOf ?? []).some((part) => target(part) === key) ||
          (visit !== undefined && !each.partOf?.length && target(each.context) === visit),
      );
      const state = STATE_OF[procedure.status] as Infusion['state'];
      const start = earliest([procedure.performedPeriod?.start, procedure.performedDateTime], own);
      const ended = state === 'completed' || state === 'stopped';
      const end = ended ? latestEnd(procedure, own) : undefined;
      return {
        key,
        procedure,
        encounter,
        episode: this.#episode(encounter),
        state,
        start,
        end,
        administrations: own,
        readings: readings.around(key, visit, spanOf(encounter, start, end)),
      };
    });
  }

  #therapies(): Therapy[] {
    const procedures = this.#acts('kap-integration-session', 'kap-integration-session');
    const held = procedures
      .filter(({ status }) => status !== 'preparation')
      .map((procedure) => this.#therapy(procedure, this.#encounter(procedure.encounter)));
    const covered = new Set(procedures.map(({ encounter }) => target(encounter)));
    const visits = this.#all<Encounter>('Encounter').filter(
      (encounter) =>
        anyHasCode(encounter.type, SYSTEM.kap, 'kap-integration-session') &&
        (encounter.status === 'finished' || encounter.status === 'in-progress' || encounter.status === 'onleave') &&
        !covered.has(keyOf(encounter)),
    );
    return [...held, ...visits.map((visit) => this.#therapy(undefined, visit))].sort(byStart);
  }

  #therapy(procedure: Procedure | undefined, encounter: Encounter | undefined): Therapy {
    const act = (procedure ?? encounter) as Procedure | Encounter;
    const performed = procedure?.performedPeriod?.start ?? procedure?.performedDateTime;
    const startText = performed ?? encounter?.period?.start;
    const named = (references: readonly Reference[] | undefined): Key[] =>
      (references ?? []).flatMap((reference) => {
        const key = target(reference);
        return key?.startsWith('Procedure/') ? [key] : [];
      });
    const byProcedure = [...named(procedure?.reasonReference), ...named(procedure?.partOf)];
    const byEncounter = named(encounter?.reasonReference);
    return {
      key: keyOf(act),
      procedure,
      encounter,
      episode: this.#episode(encounter),
      startText,
      start: momentOf(startText),
      end: momentOf(procedure?.performedPeriod?.end ?? encounter?.period?.end),
      names: [...new Set([...byProcedure, ...byEncounter])],
      namesIn: byProcedure.length > 0 || encounter === undefined ? act : encounter,
    };
  }
}

function hasAnyKapCode({ code }: Procedure): boolean {
  return code?.coding?.some(({ system }) => system === SYSTEM.kap) ?? false;
}

function byStart(a: Therapy | Omit<Infusion, 'number'>, b: Therapy | Omit<Infusion, 'number'>): number {
  const [x, y] = [a.start?.at ?? Number.POSITIVE_INFINITY, b.start?.at ?? Number.POSITIVE_INFINITY];
  return x === y ? compareText(a.key, b.key) : x - y;
}

function numbered(infusions: readonly Omit<Infusion, 'number'>[]): Infusion[] {
  const counts = new Map<Key, number>();
  return [...infusions].sort(byStart).map((infusion) => {
    if (infusion.start === undefined) return { ...infusion, number: 0 };
    const number = (counts.get(infusion.episode) ?? 0) + 1;
    counts.set(infusion.episode, number);
    return { ...infusion, number };
  });
}

function earliest(
  own: readonly (string | undefined)[],
  administrations: readonly MedicationAdministration[],
): Moment | undefined {
  for (const text of own) if (text !== undefined) return momentOf(text);
  const starts = administrations.flatMap(
    ({ effectivePeriod, effectiveDateTime }) => momentOf(effectivePeriod?.start ?? effectiveDateTime) ?? [],
  );
  return starts.reduce<Moment | undefined>((a, b) => (a === undefined || b.at < a.at ? b : a), undefined);
}

/** The end of the Procedure; where it has none, that of its last administration. */
function latestEnd(procedure: Procedure, administrations: readonly MedicationAdministration[]): Moment | undefined {
  const own = procedure.performedPeriod?.end;
  if (own !== undefined) return momentOf(own);
  const ends = administrations.map(({ effectivePeriod }) => momentOf(effectivePeriod?.end));
  if (ends.some((end) => end === undefined)) return undefined;
  return ends.reduce<Moment | undefined>(
    (a, b) => (a === undefined || (b !== undefined && b.at > a.at) ? b : a),
    undefined,
  );
}

type Span = { readonly low: number; readonly high: number };

function spanOf(
  encounter: Encounter | undefined,
  start: Moment | undefined,
  end: Moment | undefined,
): Span | undefined {
  const low = momentOf(encounter?.period?.start)?.at ?? (start === undefined ? undefined : start.at - UNLINKED_MARGIN);
  const high = momentOf(encounter?.period?.end)?.at ?? (end === undefined ? undefined : end.at + UNLINKED_MARGIN);
  return low === undefined || high === undefined ? undefined : { low, high };
}

/** Vital signs by what they hang from. */
class ReadingIndex {
  readonly #byPart = new Map<Key, Reading[]>();
  readonly #byVisit = new Map<Key, Reading[]>();
  readonly #loose: Reading[] = [];

  constructor(observations: readonly Observation[]) {
    for (const observation of observations) {
      const reading = readingOf(observation);
      if (reading === undefined) continue;
      const parts = (observation.partOf ?? []).flatMap((part) => target(part) ?? []);
      const visit = target(observation.encounter);
      for (const part of parts) put(this.#byPart, part, reading);
      if (visit !== undefined && parts.length === 0) put(this.#byVisit, visit, reading);
      if (visit === undefined && parts.length === 0) this.#loose.push(reading);
    }
  }

  around(procedure: Key, visit: Key | undefined, span: Span | undefined): Reading[] {
    const loose =
      span === undefined ? [] : this.#loose.filter(({ moment }) => moment.at >= span.low && moment.at <= span.high);
    const own = [...(this.#byPart.get(procedure) ?? []), ...(this.#byVisit.get(visit ?? '') ?? []), ...loose];
    return own.sort((a, b) => a.moment.at - b.moment.at || compareText(a.key, b.key));
  }
}

function put<T>(index: Map<Key, T[]>, key: Key, value: T): void {
  const list = index.get(key);
  if (list === undefined) index.set(key, [value]);
  else list.push(value);
}

function readingOf(observation: Observation): Reading | undefined {
  const kind = kindOf(observation);
  if (kind === undefined || !isMeasured(observation)) return undefined;
  const moment = effectiveOf(observation);
  if (moment === undefined) return undefined;
  const reading = { key: keyOf(observation), kind, moment };
  if (kind !== 'blood pressure') return reading;
  const systolic = pressureOf(observation, LOINC.systolic.code as string);
  const diastolic = pressureOf(observation, LOINC.diastolic.code as string);
  return {
    ...reading,
    ...(systolic === undefined ? {} : { systolic }),
    ...(diastolic === undefined ? {} : { diastolic }),
  };
}

function isMeasured({ valueQuantity, component }: Observation): boolean {
  return (
    valueQuantity?.value !== undefined || (component?.some((each) => each.valueQuantity?.value !== undefined) ?? false)
  );
}

const KIND_OF: Readonly<Record<string, VitalKind>> = {
  '85354-9': 'blood pressure',
  '8867-4': 'heart rate',
  '59408-5': 'SpO2',
  '2708-6': 'SpO2',
};

function kindOf({ code }: Observation): VitalKind | undefined {
  for (const { system, code: value } of code.coding ?? []) {
    const kind = system === SYSTEM.loinc ? KIND_OF[value ?? ''] : undefined;
    if (kind !== undefined) return kind;
  }
  return undefined;
}

function pressureOf({ component }: Observation, code: string): number | undefined {
  const found = component?.find((each) => hasCode(each.code, SYSTEM.loinc, code))?.valueQuantity;
  return found?.system === SYSTEM.ucum && found.code === 'mm[Hg]' ? found.value : undefined;
}

/** Where a practitioner's roles are written: role resources, care teams, qualifications. NUCC codes. */
export function taxonomyOf(practitioner: Key, byKey: ReadonlyMap<Key, Resource>): ReadonlySet<string> {
  const found = new Set<string>();
  const add = (codings: readonly { system?: string; code?: string }[] | undefined): void => {
    for (const { system, code } of codings ?? []) if (system === SYSTEM.nucc && code !== undefined) found.add(code);
  };
  const role = byKey.get(practitioner);
  if (role?.resourceType === 'PractitionerRole') {
    addRole(role, add);
    const person = target(role.practitioner);
    if (person !== undefined) for (const code of taxonomyOf(person, byKey)) found.add(code);
    return found;
  }
  for (const resource of byKey.values()) {
    if (resource.resourceType === 'PractitionerRole' && target(resource.practitioner) === practitioner)
      addRole(resource, add);
    if (resource.resourceType === 'CareTeam') addTeam(resource, practitioner, add);
  }
  for (const { code } of (role as Practitioner | undefined)?.qualification ?? []) add(code.coding);
  return found;
}

type Add = (codings: readonly { system?: string; code?: string }[] | undefined) => void;

function addRole({ code, specialty }: PractitionerRole, add: Add): void {
  for (const each of [...(code ?? []), ...(specialty ?? [])]) add(each.coding);
}

function addTeam({ participant }: CareTeam, member: Key, add: Add): void {
  for (const { member: who, role } of participant ?? []) {
    if (target(who) === member) for (const each of role ?? []) add(each.coding);
  }
}
