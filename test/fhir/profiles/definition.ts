import type { ElementDefinition, StructureDefinition } from '@medplum/fhirtypes';
import { Failure } from '../../../src/fhir/failure.ts';
import { baseStructures } from '../../../src/fhir/profiles/base-structures.ts';
import type { Profile, ProfileElement } from '../../../src/fhir/profiles/profile.ts';
import { type Parents, withSnapshot } from '../../../src/fhir/profiles/snapshot.ts';

export const R4 = 'http://hl7.org/fhir/StructureDefinition';
export const OURS = 'https://example.org/fhir/StructureDefinition';

/** An element of a differential as an author writes it: by its id, which says path and slice. */
export type Change = Omit<ElementDefinition, 'path'> & { readonly path?: string };

/** A profile on `type` with this differential. */
export function profileOn(
  type: string,
  changes: readonly Change[],
  over: Partial<StructureDefinition> = {},
): StructureDefinition {
  return {
    resourceType: 'StructureDefinition',
    url: `${OURS}/test-${type.toLowerCase()}`,
    version: '1.0.0',
    name: 'Test',
    status: 'active',
    fhirVersion: '4.0.1',
    kind: /^[A-Z]/.test(type) && type !== 'Extension' && type !== 'Quantity' ? 'resource' : 'complex-type',
    abstract: false,
    type,
    baseDefinition: `${R4}/${type}`,
    derivation: 'constraint',
    differential: { element: [{ id: type, path: type }, ...changes.map(elementOf)] },
    ...over,
  };
}

function elementOf(change: Change): ElementDefinition {
  const { id = '' } = change;
  const [slice] = /:[^.]*$/.exec(id) ?? [];
  const path = change.path ?? id.replace(/:[^.]*/g, '');
  return { path, ...(slice === undefined ? {} : { sliceName: slice.slice(1) }), ...change };
}

/** R4, and these. */
export function parentsOf(...definitions: readonly StructureDefinition[]): Parents {
  const base = baseStructures();
  return (canonical) => {
    const [url, version] = canonical.split('|');
    const own = definitions.find((each) => each.url === url && (version === undefined || each.version === version));
    return own ?? base(canonical);
  };
}

/** A child of a profile that has `changes` over another with `parentChanges`. */
export function childOf(type: string, parentChanges: readonly Change[], changes: readonly Change[]) {
  const parent = profileOn(type, parentChanges, { url: `${OURS}/parent` });
  return withSnapshot(profileOn(type, changes, { baseDefinition: parent.url }), parentsOf(parent));
}

/** The element of a profile with this id. @throws Error when there is none */
export function elementAt({ root }: Profile, id: string): ProfileElement {
  const found = all(root).find((element) => element.id === id);
  if (found === undefined) throw new Error(`no element ${id}`);
  return found;
}

export function all(element: ProfileElement): ProfileElement[] {
  return [element, ...element.children.flatMap(all), ...element.slices.flatMap(all)];
}

/** What is refused, each reason with its place. @throws Error when nothing is */
export function refusal(attempt: () => unknown): string[] {
  try {
    attempt();
  } catch (error) {
    if (error instanceof Failure)
      return error.issues.map(({ diagnostics, expression }) => `${expression}: ${diagnostics}`);
    throw error;
  }
  throw new Error('nothing was refused');
}
