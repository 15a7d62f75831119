import type { StructureDefinition } from '@medplum/fhirtypes';
import { type Profile, profileOf, withoutProse } from '../../../src/fhir/profiles/profile.ts';
import { type Parents, withSnapshot } from '../../../src/fhir/profiles/snapshot.ts';
import { all } from './definition.ts';

/** A difference that is no fault, and why: `us-core-patient Patient.name types`. */
export type Explanation = readonly [difference: RegExp, why: string];

/**
 * What validation would use otherwise in the snapshot that is made of the differential than in the published one: id of
 * the profile, of the element, and the part of it.
 *
 * @throws Failure when the differential is refused
 */
export function differencesFromPublished(published: StructureDefinition, parents: Parents): string[] {
  const { snapshot: _published, ...rest } = published;
  const [made, expected] = [withSnapshot(rest as StructureDefinition, parents), published].map((each) =>
    partsOf(profileOf(each)),
  );
  const keys = new Set([...(made?.keys() ?? []), ...(expected?.keys() ?? [])]);
  return [...keys]
    .filter((key) => made?.get(key) !== expected?.get(key))
    .map((key) => `${published.id} ${key}`)
    .sort();
}

/** `Patient.name min` to its value, as JSON. */
function partsOf(profile: Profile): Map<string, string> {
  const parts = new Map<string, string>();
  for (const { id, children, slices, mustSupport: _unused, ...rest } of all(withoutProse(profile).root)) {
    parts.set(`${id} children`, JSON.stringify(children.map(({ name }) => name)));
    parts.set(`${id} slices`, JSON.stringify(slices.map(({ sliceName }) => sliceName)));
    for (const [name, value] of Object.entries(rest))
      parts.set(`${id} ${name}`, JSON.stringify(value === Number.POSITIVE_INFINITY ? '*' : value));
  }
  return parts;
}

/** Differences that nothing explains, and explanations that explain nothing. */
export function unexplained(differences: readonly string[], explanations: readonly Explanation[]): string[] {
  const isExplained = (difference: string) => explanations.some(([pattern]) => pattern.test(difference));
  const unused = explanations.filter(([pattern]) => !differences.some((each) => pattern.test(each)));
  return [...differences.filter((each) => !isExplained(each)), ...unused.map(([pattern]) => `unused: ${pattern}`)];
}
