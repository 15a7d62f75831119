/** Profiles of a few lines for tests: a differential in, what a resource is told out. */
import type { ElementDefinition, StructureDefinition } from '@medplum/fhirtypes';
import type { ValueSetDigest } from '../../../src/fhir/definitions/value-sets.ts';
import { loadDefinitions } from '../../../src/fhir/definitions.ts';
import type { Issue } from '../../../src/fhir/failure.ts';
import { baseStructures } from '../../../src/fhir/profiles/base-structures.ts';
import type { Profile } from '../../../src/fhir/profiles/model.ts';
import { profileOf } from '../../../src/fhir/profiles/profile.ts';
import { type Profiles, profilesOf } from '../../../src/fhir/profiles/registry.ts';
import { withSnapshot } from '../../../src/fhir/profiles/snapshot.ts';
import type { ValidatorCache } from '../../../src/fhir/validation/code-cache.ts';
import { type CheckOptions, createValidator } from '../../../src/fhir/validation/validator.ts';

export type Json = Record<string, unknown>;
export type Differential = Partial<StructureDefinition> & { readonly elements?: readonly Partial<ElementDefinition>[] };

export const definitions = loadDefinitions();
const base = baseStructures();
const BASE = 'http://hl7.org/fhir/StructureDefinition/';
export const TEST = 'https://profiles.test/';

/** A constraint of `type` (a resource type unless `kind` says otherwise) under `https://profiles.test/id`. */
export function definitionOf(id: string, type: string, { elements = [], ...rest }: Differential): StructureDefinition {
  return {
    resourceType: 'StructureDefinition',
    url: TEST + id,
    version: '1.0.0',
    name: id,
    status: 'active',
    kind: /^[A-Z]/.test(type) && definitions.isResourceType(type) ? 'resource' : 'complex-type',
    abstract: false,
    type,
    baseDefinition: BASE + type,
    derivation: 'constraint',
    ...rest,
    differential: {
      element: elements.map((element) => ({ id: element.id ?? element.path, ...element }) as ElementDefinition),
    },
  } as StructureDefinition;
}

/** An extension with one value, or with what `elements` say, allowed on any element. */
export function extensionOf(id: string, { elements = [], ...rest }: Differential): StructureDefinition {
  return definitionOf(id, 'Extension', {
    context: [{ type: 'element', expression: 'Element' }],
    ...rest,
    elements: [{ path: 'Extension' }, { path: 'Extension.url', fixedUri: TEST + id }, ...elements],
  });
}

export function profilesFrom(
  sources: readonly StructureDefinition[],
  valueSets: readonly ValueSetDigest[] = [],
  below?: Profiles,
): Profiles {
  const made = new Map<string, StructureDefinition>();
  const parents = (canonical: string): StructureDefinition | undefined => {
    const url = canonical.split('|')[0] ?? '';
    const present = made.get(url);
    if (present !== undefined) return present;
    const source = sources.find((definition) => definition.url === url);
    if (source === undefined) return base(url);
    const complete = withSnapshot(source, parents);
    made.set(url, complete);
    return complete;
  };
  const profiles: Profile[] = sources.map(({ url = '' }) => profileOf(parents(url) as StructureDefinition));
  return profilesOf([{ name: 'test', version: '1.0.0', profiles, valueSets }], below);
}

/** What is said of a resource checked against the first profile, as `code expression`, or in full. */
export function checker(
  sources: readonly StructureDefinition[],
  valueSets: readonly ValueSetDigest[] = [],
  cache?: ValidatorCache,
) {
  const validator = createValidator(definitions, profilesFrom(sources, valueSets), cache);
  const asked = [sources[0]?.url ?? ''];
  const issues = (resource: unknown, options: CheckOptions = {}): readonly Issue[] =>
    validator.check(resource, { profiles: asked, ...options });
  return {
    validator,
    issues,
    /** Errors alone, unless warnings are asked for. */
    findings: (resource: unknown, options?: CheckOptions) =>
      issues(resource, options).map(({ severity, code, expression }) =>
        severity === 'error' ? `${code} ${expression}` : `${severity} ${code} ${expression}`,
      ),
  };
}

export function valueSet(id: string, codes: Readonly<Record<string, readonly string[]>>): ValueSetDigest {
  return { url: TEST + id, codes, open: [], unknown: false };
}
