/** Which version of the protocol judges what: every infusion is judged by the one that its own plan of care follows. */
import type { Reference, Resource } from '@medplum/fhirtypes';
import { type Course, type Infusion, type Key, target } from './course.ts';
import type { Policy } from './policy.ts';

export type CoursePolicies = {
  /** For whatever belongs to no infusion: that of the course that runs. */
  readonly running: Policy;
  /** For an infusion, and for what is stated about it. */
  readonly of: (infusion: Key) => Policy;
};

/** @param byCanonical the policies of the protocols that the patient's plans of care follow, by their canonical */
export function coursePolicies(
  course: Course,
  running: Policy,
  byCanonical: ReadonlyMap<string, Policy>,
): CoursePolicies {
  const found = new Map<Key, Policy>();
  for (const infusion of course.infusions) {
    const policy = byCanonical.get(protocolOf(infusion, course) ?? '');
    if (policy !== undefined) found.set(infusion.key, policy);
  }
  return { running, of: (infusion) => found.get(infusion) ?? running };
}

/** The protocol of the plan that the infusion, or its order, is based on. */
function protocolOf({ procedure, encounter }: Infusion, { byKey }: Course): string | undefined {
  const read = (references: readonly Reference[] | undefined): Resource[] =>
    (references ?? []).flatMap((reference) => byKey.get(target(reference) ?? '') ?? []);
  const direct = [...read(procedure.basedOn), ...read(encounter?.basedOn)];
  const ordered = direct.flatMap((each) => (each.resourceType === 'ServiceRequest' ? read(each.basedOn) : []));
  for (const each of [...direct, ...ordered]) {
    if (each.resourceType === 'CarePlan') return each.instantiatesCanonical?.[0];
  }
  return undefined;
}
