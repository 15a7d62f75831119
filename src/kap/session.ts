import type {
  CarePlan,
  CodeableConcept,
  Encounter,
  EpisodeOfCare,
  Identifier,
  MedicationRequest,
  Observation,
  Patient,
  Procedure,
  Reference,
  Resource,
  ServiceRequest,
} from '@medplum/fhirtypes';
import type { Issue } from '../fhir/failure.ts';
import { hasKapCode, type KapCode } from './codes.ts';
import { millisecondsOf } from './instant.ts';
import { asBundleReference, fault, type Placed } from './parameters.ts';
import type { Policy } from './policy.ts';
import { identifiersOf } from './transaction.ts';

/** What recording a session of a course needs. */
export type SessionRequest = {
  /** The body of the operation, as parsed JSON. */
  readonly parameters: unknown;
  readonly carePlan: CarePlan;
  /** What the record holds about the patient, with ids and literal references; the CarePlan's own orders among it. */
  readonly course: readonly Resource[];
  readonly policy: Policy;
  readonly newUuid: () => string;
  /** A point in time with offset. */
  readonly now: string;
};

/** The course of one CarePlan, as the record holds it. */
export class PlannedCourse {
  readonly carePlan: CarePlan;
  /** What identifiers of its sessions begin with. */
  readonly key: string;
  readonly subject: Reference<Patient>;
  readonly #resources: readonly Resource[];

  constructor(carePlan: CarePlan, resources: readonly Resource[]) {
    this.carePlan = carePlan;
    this.#resources = resources;
    this.key = carePlan.identifier?.[0]?.value ?? `${carePlan.id}`;
    this.subject = carePlan.subject as Reference<Patient>;
  }

  /** Sessions are recorded under a plan in force. */
  refuseUnlessActive(issues: Issue[]): void {
    if (this.carePlan.status === 'active') return;
    const text = `The CarePlan is ${this.carePlan.status}: sessions are recorded while it is active.`;
    issues.push(fault('business-rule', text, 'CarePlan.status'));
  }

  /** The orders with this code, in the order of CarePlan.activity; those it does not list follow by their time. */
  orders(code: KapCode): readonly ServiceRequest[] {
    const listed = (this.carePlan.activity ?? []).map(({ reference }) => reference?.reference);
    const own = `CarePlan/${this.carePlan.id}`;
    const position = (order: ServiceRequest) => {
      const index = listed.indexOf(`ServiceRequest/${order.id}`);
      return index < 0 ? listed.length : index;
    };
    return this.#ofType('ServiceRequest')
      .filter((order) => hasKapCode(order.code, code))
      .filter((order) => position(order) < listed.length || refersTo(order.basedOn, own))
      .sort((a, b) => position(a) - position(b) || startOf(a) - startOf(b));
  }

  /**
   * Procedures of this kind, by their own code or that of their order, in whatever way they were recorded. Those of
   * another plan and those entered in error are left out.
   */
  procedures(code: KapCode): readonly Procedure[] {
    const orders = new Set(this.orders(code).map((order) => `ServiceRequest/${order.id}`));
    const own = `CarePlan/${this.carePlan.id}`;
    return this.#ofType('Procedure').filter(({ status, code: coded, basedOn = [] }) => {
      const named = basedOn.flatMap(({ reference }) => reference ?? []);
      const isKind = hasKapCode(coded, code) || named.some((reference) => orders.has(reference));
      const isOfAnotherPlan = named.some((reference) => reference.startsWith('CarePlan/') && reference !== own);
      return status !== 'entered-in-error' && isKind && !isOfAnotherPlan;
    });
  }

  episode(): EpisodeOfCare | undefined {
    const episodes = this.#ofType('EpisodeOfCare');
    return (
      episodes.find((episode) => identifiersOf(episode).some(({ value }) => value === this.key)) ??
      episodes.find(
        (episode) => episode.status === 'active' && (episode.type ?? []).some((type) => hasKapCode(type, 'kap-course')),
      )
    );
  }

  /** The role of a member of the care team; undefined for whoever is not in it. */
  roleOf(member: Reference): CodeableConcept | undefined {
    const participants = this.#ofType('CareTeam').flatMap(({ participant }) => participant ?? []);
    return participants.find((found) => found.member?.reference === member.reference)?.role?.[0];
  }

  organization(): Reference<never> | undefined {
    return this.episode()?.managingOrganization as Reference<never> | undefined;
  }

  /** The drug order of this course. */
  medicationRequest(): MedicationRequest | undefined {
    const own = `CarePlan/${this.carePlan.id}`;
    return this.#ofType('MedicationRequest').find((order) => order.status === 'active' && refersTo(order.basedOn, own));
  }

  encounterOf(procedure: Procedure): Encounter | undefined {
    return this.#ofType('Encounter').find(
      (encounter) => procedure.encounter?.reference === `Encounter/${encounter.id}`,
    );
  }

  observationsOf(procedure: Procedure): readonly Observation[] {
    const own = `Procedure/${procedure.id}`;
    return this.#ofType('Observation').filter(
      ({ partOf, status }) => status !== 'entered-in-error' && refersTo(partOf, own),
    );
  }

  withIdentifier<T extends Resource['resourceType']>(
    type: T,
    { system, value }: Identifier,
  ): Extract<Resource, { resourceType: T }> | undefined {
    return this.#ofType(type).find((resource) =>
      identifiersOf(resource).some((found) => found.system === system && found.value === value),
    );
  }

  /** The resource of the course that a literal or conditional reference means; undefined when it is not of this course. */
  resolve<T extends Resource['resourceType']>(
    type: T,
    reference: Reference,
  ): Extract<Resource, { resourceType: T }> | undefined {
    const text = asBundleReference(reference).reference ?? '';
    const conditional = /^[A-Za-z]+\?identifier=([^|]*)\|(.*)$/.exec(text);
    if (conditional !== null)
      return this.withIdentifier(type, { system: conditional[1] ?? '', value: conditional[2] ?? '' });
    return this.#ofType(type).find((resource) => text === `${type}/${resource.id}`);
  }

  #ofType<T extends Resource['resourceType']>(type: T): Extract<Resource, { resourceType: T }>[] {
    return this.#resources.filter(
      (resource): resource is Extract<Resource, { resourceType: T }> => resource.resourceType === type,
    );
  }
}

export function refersTo(references: readonly { reference?: string }[] | undefined, target: string): boolean {
  return (references ?? []).some(({ reference }) => reference === target);
}

function startOf(order: ServiceRequest): number {
  return millisecondsOf(order.occurrencePeriod?.start ?? order.occurrenceDateTime) ?? Number.POSITIVE_INFINITY;
}

/** Names given in time order; each later one that is not after the one before is a fault at its place. */
export function refuseDisorder(
  moments: readonly { readonly name: string; readonly at: Placed<string> | undefined; readonly strictly?: boolean }[],
  issues: Issue[],
): void {
  let before: { name: string; milliseconds: number } | undefined;
  for (const { name, at, strictly } of moments) {
    const milliseconds = millisecondsOf(at?.value);
    if (at === undefined || milliseconds === undefined) continue;
    if (before !== undefined && (strictly ? milliseconds <= before.milliseconds : milliseconds < before.milliseconds)) {
      issues.push(
        fault('business-rule', `${name} lies ${strictly ? 'not after' : 'before'} ${before.name}.`, at.place),
      );
    }
    before = { name, milliseconds };
  }
}

/** `20261005T163000Z`: a point in time inside an identifier. */
export function compact(dateTime: string): string {
  return new Date(millisecondsOf(dateTime) ?? Number.NaN).toISOString().replace(/[-:]|\.000/g, '');
}

export function sameInstant(a: string | undefined, b: string | undefined): boolean {
  const first = millisecondsOf(a);
  return first !== undefined && first === millisecondsOf(b);
}

/** Minutes with two decimals; undefined without both ends. */
export function minutesBetween(start: string | undefined, end: string | undefined): number | undefined {
  const [from, to] = [millisecondsOf(start), millisecondsOf(end)];
  return from === undefined || to === undefined ? undefined : Number(((to - from) / 60_000).toFixed(2));
}
