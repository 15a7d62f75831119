/** What the profiles of the guide hold their resources to is found wherever it is missing, in each of their valid examples. */

import { readGuide } from '../../../scripts/guide/source.ts';
import { loadDefinitions } from '../../../src/fhir/definitions.ts';
import type { ProfileElement } from '../../../src/fhir/profiles/model.ts';
import { shippedProfiles } from '../../../src/fhir/profiles/shipped.ts';
import { createValidator } from '../../../src/fhir/validation/validator.ts';
import { MAY_BREAK, mutationsOf } from './mutations.ts';
import type { Json } from './valid-resource.ts';

const definitions = loadDefinitions();
const profiles = shippedProfiles();
const validator = createValidator(definitions, profiles);
const valid = [...readGuide().examples.values()].flatMap(({ profile, examples }) =>
  examples
    .filter(({ isValid }) => isValid)
    .map(({ file, resource }) => [profile, file, resource as unknown as Json] as const),
);

test.each(valid)(
  'whatever of base R4 is broken in the example %s/%s is found at its place',
  (_profile, _file, resource) => {
    const missed: string[] = [];
    for (const { kind, resource: broken, expression, codes } of mutationsOf(
      resource,
      definitions,
      (count) => count % 29 === 0,
    )) {
      if (kind === MAY_BREAK) continue;
      const issues = validator.check(broken);
      // A profile may have its own word for a place that it cuts down, such as a code that it fixes.
      const isFound = issues.some(
        (issue) => issue.expression === expression && (codes.includes(issue.code) || issue.profile !== undefined),
      );
      if (!isFound) missed.push(`${kind} at ${expression}: ${JSON.stringify(issues.slice(0, 3))}`);
    }
    expect(missed).toEqual([]);
  },
);

type Required = { readonly owner: Json; readonly key: string; readonly expression: string };

/** Elements that the profile wants and that are there, of lists without slices. */
function* requiredIn(element: ProfileElement, node: Json, expression: string): Generator<Required> {
  for (const child of element.children) {
    const isChoice = child.path.endsWith('[x]');
    const [type] = child.types;
    const key =
      isChoice && type !== undefined ? child.name + type.code.charAt(0).toUpperCase() + type.code.slice(1) : child.name;
    const value = node[key];
    if (value === undefined) continue;
    const at = `${expression}.${child.name === 'div' ? '`div`' : child.name}`; // an operator of FHIRPath
    if (child.min > 0) yield { owner: node, key, expression: at };
    const typed = isChoice && baseTypes(child) > 1 ? `${at}.ofType(${type?.code})` : at;
    if (child.slices.length > 0) continue;
    for (const [n, item] of (Array.isArray(value) ? value : [value]).entries()) {
      if (typeof item !== 'object' || item === null) continue;
      yield* requiredIn(child, item as Json, Array.isArray(value) ? `${typed}[${n}]` : typed);
    }
  }
}

function baseTypes({ path }: ProfileElement): number {
  const parent = path.slice(0, path.lastIndexOf('.'));
  return definitions.elementsOf(parent).find((element) => element.path === path)?.types.length ?? 2;
}

/** An example of an extension is a resource that has it. */
const ofResources = valid.filter(([id, , { resourceType }]) => profileWith(id)?.type === resourceType);

function profileWith(id: string) {
  return profiles.all().find(({ url }) => url.endsWith(`/${id}`));
}

test.each(ofResources)(
  'each element that its profile wants is found missing in the example %s/%s',
  (id, _file, resource) => {
    const profile = profileWith(id);
    expect(profile).toBeDefined();
    if (profile === undefined) return;
    expect(validator.check(resource, { profiles: [profile.url] })).toEqual([]);
    const copy = structuredClone(resource);
    const missed: string[] = [];
    let count = 0;
    for (const { owner, key, expression } of requiredIn(profile.root, copy, profile.type)) {
      count++;
      const value = owner[key];
      delete owner[key];
      const issues = validator.check(copy, { profiles: [profile.url] });
      if (!issues.some((issue) => issue.expression === expression && issue.code === 'required')) {
        missed.push(`${expression}: ${JSON.stringify(issues.slice(0, 3))}`);
      }
      owner[key] = value;
    }
    expect(missed).toEqual([]);
    expect(count).toBeGreaterThan(0);
  },
);
