/** What is found in every resource type, wherever it is broken, and where it is found. */
import type { Resource } from '@medplum/fhirtypes';
import fhirpath from 'fhirpath';
import r4 from 'fhirpath/fhir-context/r4';
import { loadDefinitions } from '../../../src/fhir/definitions.ts';
import { createValidator } from '../../../src/fhir/validation/validator.ts';
import { validResources } from '../../fixtures/valid-resources.ts';
import { MAY_BREAK, mutationsOf } from './mutations.ts';
import { fullResource, type Json, minimalResource } from './valid-resource.ts';

const definitions = loadDefinitions();
const validator = createValidator(definitions);
const isValid = (resource: Json) => validator.validate(resource).length === 0;

/** Every fault of a resource that is not named at its place with one of its codes. */
function notFound(resource: Json, every: number, from: number): string[] {
  const missed: string[] = [];
  for (const { kind, resource: broken, expression, codes } of mutationsOf(
    resource,
    definitions,
    (n) => (n + from) % every === 0,
  )) {
    if (kind === MAY_BREAK) continue;
    const issues = validator.validate(broken);
    const isFound = issues.some((issue) => issue.expression === expression && codes.includes(issue.code));
    if (!isFound) missed.push(`${kind} at ${expression}: ${JSON.stringify(issues.slice(0, 2))}`);
    for (const issue of issues)
      if (!leadsSomewhere(issue.expression, broken)) missed.push(`nothing at ${issue.expression}`);
  }
  return missed;
}

/** FHIRPath of an issue selects the element, or what it would stand in. */
function leadsSomewhere(expression: string | undefined, resource: Json): boolean {
  if (expression === undefined) return false;
  const selects = (path: string) => selected(path, resource).length > 0;
  const parent = expression.slice(0, Math.max(expression.lastIndexOf('.'), 0));
  return (
    selects(expression) ||
    (parent !== '' && selects(parent)) ||
    selects(parent.slice(0, Math.max(parent.lastIndexOf('.'), 0)))
  );
}

const compiled = new Map<string, (resource: Json) => unknown[]>();

function selected(path: string, resource: Json): unknown[] {
  let evaluate = compiled.get(path);
  if (evaluate === undefined) {
    evaluate = fhirpath.compile(path, r4, { resolveInternalTypes: false }) as unknown as (resource: Json) => unknown[];
    compiled.set(path, evaluate);
  }
  return evaluate(resource);
}

test.each(definitions.resourceTypes.map((type, at) => [type, at] as const))(
  'whatever is dropped, added or broken in the smallest %s is found at its place',
  (type, at) => {
    expect(notFound(minimalResource(type, definitions), 2, at)).toEqual([]);
  },
);

test('whatever is dropped, added or broken in a full resource is found at its place', () => {
  for (const [at, type] of definitions.resourceTypes.entries()) {
    if (at % 4 !== 1) continue;
    expect(notFound(fullResource(type, definitions, isValid, at), 131, at)).toEqual([]);
  }
});

test('whatever is dropped, added or broken in the resources of a course is found at its place', () => {
  for (const [at, resource] of validResources.entries()) {
    expect(notFound(structuredClone(resource) as Json, 53, at)).toEqual([]);
  }
});

test('a fault in an entry of a bundle and in a contained resource is found at its place', () => {
  const patient = minimalResource('Patient', definitions);
  const inside: Json = {
    resourceType: 'Bundle',
    type: 'collection',
    entry: [{ resource: { ...patient, gender: 'male', name: [{ family: 'x' }] } }],
  };
  expect(notFound(inside, 1, 0)).toEqual([]);
  const container: Json = {
    ...minimalResource('Observation', definitions),
    subject: { reference: '#p' },
    contained: [{ ...patient, id: 'p', birthDate: '2000-01-01' }],
  };
  expect(notFound(container, 1, 0)).toEqual([]);
});

test('the expression of an issue is FHIRPath that an engine takes', () => {
  const bundle = {
    resourceType: 'Bundle',
    type: 'collection',
    entry: [{ resource: { resourceType: 'Observation', valueQuantity: { value: 'x' } } }],
  };
  const places = validator.validate(bundle).map(({ expression = '' }) => expression);
  expect(places).toContain('Bundle.entry[0].resource.value.ofType(Quantity).value');
  expect(
    selected('Bundle.entry[0].resource.value.ofType(Quantity).value', bundle as unknown as Resource as unknown as Json),
  ).toHaveLength(1);
});
