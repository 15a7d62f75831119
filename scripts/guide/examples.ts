/** Whether each example gives what it promises: a valid one nothing, an invalid one the issues that are listed, and no others. */

import type { CodeSystem, ValueSet } from '@medplum/fhirtypes';
import { loadDefinitions } from '../../src/fhir/definitions.ts';
import { boundValueSets } from '../../src/fhir/profiles/bindings.ts';
import { profileOf } from '../../src/fhir/profiles/profile.ts';
import { type Profiles, profilesOf } from '../../src/fhir/profiles/registry.ts';
import { shippedProfiles } from '../../src/fhir/profiles/shipped.ts';
import { digestValueSets } from '../../src/fhir/profiles/value-sets.ts';
import { createValidator, type ProfileIssue, type Validator } from '../../src/fhir/validation/validator.ts';
import { type Example, type ExamplePromise, FHIR_PROFILES, type GuideSource, ofType } from './source.ts';

export type ExampleResult = {
  readonly example: Example;
  /** Errors, and of the warnings those that the example is about. */
  readonly issues: readonly ProfileIssue[];
  /** What is not as promised. */
  readonly faults: readonly string[];
};

/** The profiles of the folder, by the snapshots that stand in it. */
export function profilesOfGuide(source: GuideSource): Profiles {
  if (source.folder === FHIR_PROFILES) return shippedProfiles();
  const definitions = ofType(source, 'StructureDefinition').map(({ resource }) => resource);
  const profiles = definitions.filter(({ snapshot }) => snapshot !== undefined).map(profileOf);
  const terminology = source.definitions
    .map(({ resource }) => resource)
    .filter(
      (one): one is ValueSet | CodeSystem => one.resourceType === 'ValueSet' || one.resourceType === 'CodeSystem',
    );
  const valueSets = digestValueSets(boundValueSets(profiles), terminology);
  return profilesOf([{ name: 'guide', version: '1.0.0', profiles, valueSets }], shippedProfiles());
}

export function validatorOfGuide(source: GuideSource): Validator {
  return createValidator(loadDefinitions(), profilesOfGuide(source));
}

/** By id of the profile. `progress` hears of each folder before its examples are checked. */
export function checkExamples(
  source: GuideSource,
  validator: Validator,
  progress: (words: string) => void = () => {},
): ReadonlyMap<string, readonly ExampleResult[]> {
  // An extension is checked wherever it stands; its examples are resources that carry it.
  const asked = new Map(
    ofType(source, 'StructureDefinition').map(({ resource: { id = '', url = '', type } }) => [
      id,
      type === 'Extension' ? [] : [url],
    ]),
  );
  let done = 0;
  return new Map(
    [...source.examples.values()].map(({ profile, examples }) => {
      done++;
      progress(`examples of ${profile} (${done} of ${source.examples.size})`);
      return [profile, examples.map((example) => resultOf(example, asked.get(profile), validator))];
    }),
  );
}

function resultOf(example: Example, profiles: readonly string[] | undefined, validator: Validator): ExampleResult {
  if (profiles === undefined) return { example, issues: [], faults: ['no profile has the name of this folder'] };
  const all = validator.check(example.resource, { profiles, warnings: true });
  const wanted = promisedBy(example.promise);
  const ofWarnings = new Set(wanted.filter((key) => key.startsWith('warning ')));
  const issues = all.filter((one) => one.severity === 'error' || ofWarnings.has(keyOf(one)));
  return { example, issues, faults: [...unlisted(example), ...differences(wanted, issues)] };
}

function unlisted({ isValid, promise }: Example): string[] {
  if (isValid)
    return promise?.code === undefined && promise?.issues === undefined ? [] : ['a valid example promises an issue'];
  if (promise?.breaks === undefined) return ['examples.json does not say which rule it breaks'];
  return promisedBy(promise).length > 0 ? [] : ['examples.json does not say which issue it gives'];
}

function promisedBy(promise: ExamplePromise | undefined): string[] {
  if (promise === undefined) return [];
  const { code, expression, severity, issues } = promise;
  const list = issues ?? (code === undefined ? [] : [{ code, expression, severity }]);
  return list.map((one) => keyOf({ ...one, severity: one.severity ?? 'error' }));
}

function keyOf({
  severity,
  code,
  expression,
}: {
  severity: string;
  code: string;
  expression?: string | undefined;
}): string {
  return `${severity} ${code} at ${expression ?? 'no place'}`;
}

/** Both ways, each as often as it occurs. */
function differences(wanted: readonly string[], issues: readonly ProfileIssue[]): string[] {
  const left = [...wanted];
  const found: string[] = [];
  for (const one of issues) {
    const at = left.indexOf(keyOf(one));
    if (at < 0) found.push(`${keyOf(one)} is not promised (${one.diagnostics})`);
    else left.splice(at, 1);
  }
  return [...found, ...left.map((key) => `${key} is promised, and is not found`)];
}
