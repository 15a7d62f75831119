/**
 * Input that is made to cost: it must cost no more than its size, and be answered like any other.
 *
 * Ceilings are generous (a loaded machine), and far below what anything but linear time would take.
 */
import type { StructureDefinition } from '@medplum/fhirtypes';
import { loadDefinitions } from '../../../src/fhir/definitions.ts';
import { baseStructures } from '../../../src/fhir/profiles/base-structures.ts';
import { profileOf } from '../../../src/fhir/profiles/profile.ts';
import type { Profiles } from '../../../src/fhir/profiles/registry.ts';
import { withSnapshot } from '../../../src/fhir/profiles/snapshot.ts';
import { elementsOf } from '../../../src/fhir/validation/invariants/elements.ts';
import { invariantOf } from '../../../src/fhir/validation/invariants/source.ts';
import { primitives } from '../../../src/fhir/validation/primitives.ts';
import { createValidator } from '../../../src/fhir/validation/validator.ts';
import { emptyScope } from './engine.ts';
import type { Json } from './valid-resource.ts';

const definitions = loadDefinitions();
const validator = createValidator(definitions);

/** Milliseconds that the call takes, and what it gives. */
function timed<T>(run: () => T): { readonly ms: number; readonly result: T } {
  const start = performance.now();
  const result = run();
  return { ms: performance.now() - start, result };
}

const MANY = 100_000;
const list = <T>(make: (at: number) => T, length = MANY) => Array.from({ length }, (_item, at) => make(at));
const observation = { resourceType: 'Observation', status: 'final', code: { text: 'x' } };

test.each<[string, () => Json]>([
  ['a text of 10 MB', () => ({ ...observation, note: [{ text: 'x'.repeat(10_000_000) }] })],
  ['an attachment of 10 MB', () => ({ resourceType: 'Binary', contentType: 'a/b', data: 'AAAA'.repeat(2_500_000) })],
  [
    'a narrative of 10 MB',
    () => ({ ...observation, text: { status: 'generated', div: `<div>${'<p>a</p>'.repeat(1_250_000)}</div>` } }),
  ],
  [
    'a narrative of tags that stay open',
    () => ({ ...observation, text: { status: 'generated', div: `<div>${'<p>'.repeat(1_000_000)}` } }),
  ],
  [
    'a narrative of ampersands',
    () => ({ ...observation, text: { status: 'generated', div: `<div>${'&'.repeat(1_000_000)}</div>` } }),
  ],
  [
    'a narrative with a million attributes',
    () => ({
      ...observation,
      text: { status: 'generated', div: `<div${list((n) => ` data-${n}="x"`).join('')}>a</div>` },
    }),
  ],
  ['100,000 extensions', () => ({ ...observation, extension: list(() => ({ url: 'http://a', valueCode: 'x' })) })],
  [
    '100,000 extensions that are wrong',
    () => ({ ...observation, extension: list(() => ({ url: 'a b', valueCode: 5 })) }),
  ],
  ['100,000 elements that nobody knows', () => ({ ...observation, ...Object.fromEntries(list((n) => [`x${n}`, n])) })],
  [
    '100,000 names of a patient',
    () => ({ resourceType: 'Patient', name: list((n) => ({ family: `${n}`, given: ['a', 'b'] })) }),
  ],
  ['100,000 nulls', () => ({ resourceType: 'Patient', name: [{ given: list(() => null) }] })],
  ['100,000 components', () => ({ ...observation, component: list(() => ({ code: { text: 'x' }, valueInteger: 1 })) })],
  [
    '100,000 entries',
    () => ({
      resourceType: 'Bundle',
      type: 'collection',
      entry: list((n) => ({ fullUrl: `urn:x:${n}`, resource: { resourceType: 'Patient' } })),
    }),
  ],
  [
    '100,000 entries of one url',
    () => ({
      resourceType: 'Bundle',
      type: 'collection',
      entry: list(() => ({ fullUrl: 'urn:x', resource: { resourceType: 'Patient' } })),
    }),
  ],
  [
    '20,000 contained resources',
    () => ({ ...observation, contained: list((n) => ({ resourceType: 'Patient', id: `p${n}` }), 20_000) }),
  ],
  [
    '20,000 references to 20,000 contained resources',
    () => ({
      ...observation,
      hasMember: list((n) => ({ reference: `#p${n}` }), 20_000),
      contained: list((n) => ({ ...observation, id: `p${n}` }), 20_000),
    }),
  ],
  [
    '100,000 questions',
    () => ({ resourceType: 'Questionnaire', status: 'draft', item: list((n) => ({ linkId: `${n}`, type: 'string' })) }),
  ],
  [
    '100,000 concepts',
    () => ({
      resourceType: 'CodeSystem',
      status: 'draft',
      content: 'complete',
      concept: list((n) => ({ code: `${n}` })),
    }),
  ],
  [
    '50,000 versions of 50,000 resources of a guide',
    () => ({
      resourceType: 'ImplementationGuide',
      url: 'http://a',
      name: 'A',
      status: 'draft',
      packageId: 'a.b',
      fhirVersion: list(() => '4.0.1', 50_000),
      definition: {
        resource: list((n) => ({ reference: { reference: `Patient/${n}` }, fhirVersion: ['4.0.1'] }), 50_000),
      },
    }),
  ],
  [
    '30,000 elements of a profile',
    () => ({
      resourceType: 'StructureDefinition',
      url: 'http://a',
      name: 'A',
      status: 'draft',
      kind: 'resource',
      abstract: false,
      type: 'Basic',
      derivation: 'constraint',
      baseDefinition: 'http://hl7.org/fhir/StructureDefinition/Basic',
      snapshot: {
        element: list(
          (n) => ({
            id: `${n}`,
            path: n === 0 ? 'Basic' : `Basic.x${n}`,
            definition: 'x',
            min: 0,
            max: '1',
            base: { path: 'Basic', min: 0, max: '1' },
          }),
          30_000,
        ),
      },
    }),
  ],
])('%s takes time in proportion to its size', (_case, make) => {
  const resource = make();
  const { ms, result } = timed(() => validator.check(resource, { warnings: true }));
  expect(result.length).toBeLessThanOrEqual(201);
  expect(ms).toBeLessThan(20_000);
});

test('64 levels are looked at, 65 are refused', () => {
  const nested = (levels: number) => {
    let extension: Json = { url: 'a', valueCode: 'x' };
    // The resource, and two levels for each extension.
    for (let level = 3; level + 2 <= levels; level += 2) extension = { url: 'a', extension: [extension] };
    return {
      resourceType: 'Patient',
      extension: [levels % 2 === 0 ? { ...extension, valueHumanName: undefined } : extension],
    };
  };
  const depth = (value: unknown): number =>
    typeof value === 'object' && value !== null ? 1 + Math.max(0, ...Object.values(value).map(depth)) : 0;
  const deep = nested(63);
  expect(depth(deep)).toBe(63);
  expect(validator.check(deep)).toEqual([]);
  const sixtyFour = { ...deep, extension: undefined, contained: undefined, name: undefined } as Json;
  let list: unknown = 'x';
  for (let level = 1; level < 64; level++) list = [list];
  expect(depth({ ...sixtyFour, name: list })).toBe(64);
  expect(validator.check({ ...sixtyFour, name: list }).map(({ code }) => code)).not.toContain('too-costly');
  expect(validator.check({ ...sixtyFour, name: [list] }).map(({ code }) => code)).toEqual(['too-costly']);
});

/** For each form, what makes a careless regular expression try everything again and again. */
const PATHOLOGICAL: readonly string[] = [
  'a'.repeat(200_000),
  ' '.repeat(200_000),
  'a '.repeat(100_000),
  `${'a '.repeat(100_000)} `,
  '0'.repeat(200_000),
  '1'.repeat(200_000),
  `2024-01-01T10:00:00.${'9'.repeat(200_000)}`,
  `10:00:00.${'9'.repeat(200_000)}x`,
  `urn:oid:1${'.1'.repeat(100_000)}x`,
  `urn:oid:1${'.0'.repeat(100_000)}.`,
  `urn:uuid:${'a'.repeat(200_000)}`,
  `${'AAAA '.repeat(40_000)}*`,
  `${'A'.repeat(200_001)}=`,
  `${'A=='.repeat(60_000)}`,
  '\n\t'.repeat(100_000),
  '\u00a0'.repeat(200_000),
  `<div>${'<'.repeat(200_000)}`,
  `<div ${' '.repeat(200_000)}x`,
  `<div>${'<!--'.repeat(50_000)}`,
  `<div>${'<!-- a --'.repeat(20_000)}</div>`,
  `<div ${'a="'.repeat(60_000)}`,
  `<div><a href="${'&#32;'.repeat(40_000)}">x</a></div>`,
  `<div>${'&amp'.repeat(50_000)}</div>`,
  `<${'div'.repeat(60_000)}>`,
  `${'http://a/'.repeat(20_000)} `,
];

test.each(
  Object.entries(primitives).flatMap(([type, check]) => (check.json === 'string' ? [[type, check] as const] : [])),
)('no text makes the check of a %s slow', (_type, { test: check }) => {
  const { ms } = timed(() => PATHOLOGICAL.map(check));
  expect(ms).toBeLessThan(3000);
});

test('names that JavaScript knows are unknown elements like others', () => {
  for (const name of ['constructor', '__proto__', 'toString', 'hasOwnProperty', 'prototype', '_constructor']) {
    const resource = JSON.parse(`{"resourceType":"Patient","name":[{"${name}":{"x":1}}],"${name}":"x"}`) as Json;
    const found = validator.check(resource, { warnings: true }).filter(({ severity }) => severity === 'error');
    expect([name, found.map(({ code }) => code)]).toEqual([name, ['structure', 'structure']]);
  }
  expect(({} as Json).x).toBeUndefined();
  expect(validator.check({ resourceType: 'constructor' })).toHaveLength(1);
  expect(validator.check({ resourceType: '__proto__' })).toHaveLength(1);
  expect(validator.check(JSON.parse('{"__proto__":{"resourceType":"Patient"}}'))).toHaveLength(1);
});

/** A profile of Observation.component with many slices. */
function slicedProfile(slices: number, rules: 'open' | 'closed'): Profiles {
  const structures = baseStructures();
  const definition = withSnapshot(
    {
      resourceType: 'StructureDefinition',
      id: 'many',
      url: 'http://example.org/StructureDefinition/many',
      name: 'Many',
      status: 'draft',
      kind: 'resource',
      abstract: false,
      type: 'Observation',
      derivation: 'constraint',
      baseDefinition: 'http://hl7.org/fhir/StructureDefinition/Observation',
      differential: {
        element: [
          { id: 'Observation', path: 'Observation' },
          {
            id: 'Observation.component',
            path: 'Observation.component',
            slicing: { discriminator: [{ type: 'pattern', path: 'code' }], rules },
          },
          ...list(
            (n) => [
              { id: `Observation.component:s${n}`, path: 'Observation.component', sliceName: `s${n}`, max: '1' },
              {
                id: `Observation.component:s${n}.code`,
                path: 'Observation.component.code',
                patternCodeableConcept: { coding: [{ system: 'http://example.org', code: `c${n}` }] },
              },
            ],
            slices,
          ).flat(),
        ],
      },
    } as unknown as StructureDefinition,
    structures,
  );
  const profile = profileOf(definition);
  return {
    profile: (url) => (url === profile.url ? profile : undefined),
    valueSet: () => undefined,
    all: () => [profile],
  };
}

test('a thousand slices, and a long list for them, take bounded time', () => {
  const profiles = slicedProfile(1000, 'closed');
  const sliced = createValidator(definitions, profiles);
  const component = (n: number) => ({
    code: { coding: [{ system: 'http://example.org', code: `c${n}` }] },
    valueInteger: 1,
  });
  const check = (length: number) =>
    timed(() =>
      sliced.check(
        { ...observation, component: list(component, length) },
        { profiles: ['http://example.org/StructureDefinition/many'] },
      ),
    );
  expect(check(1).result).toEqual([]);
  expect(check(1000).result).toEqual([]);
  const { ms, result } = check(5000);
  expect(result.length).toBeGreaterThan(0);
  expect(result.length).toBeLessThanOrEqual(201);
  expect(ms).toBeLessThan(30_000);
});

test('a list of 100,000 items for a few slices takes bounded time', () => {
  const sliced = createValidator(definitions, slicedProfile(3, 'open'));
  const component = (n: number) => ({
    code: { coding: [{ system: 'http://example.org', code: `c${n}` }] },
    valueInteger: 1,
  });
  const { ms, result } = timed(() =>
    sliced.check(
      { ...observation, component: list(component) },
      { profiles: ['http://example.org/StructureDefinition/many'] },
    ),
  );
  expect(result).toEqual([]);
  expect(ms).toBeLessThan(20_000);
});

test('a constraint that grows faster than what it looks at is stopped, and then no other is evaluated in this check', () => {
  const check = (expression: string, scope = emptyScope()) =>
    invariantOf({ key: 'x-1', expression }, 'Patient', elementsOf('Patient', definitions), scope);
  const patient = { resourceType: 'Patient', name: list((n) => ({ family: `${n}`, given: ['a', 'b'] }), 300) };
  const scope = { ...emptyScope(), resource: patient, root: patient };
  const { ms, result } = timed(() =>
    check('descendants().select(%resource.descendants().select(%resource.descendants())).count() > 0', scope)(patient),
  );
  expect(result).toBeUndefined();
  expect(ms).toBeLessThan(15_000);
  expect(check('name.distinct().count() = 1', scope)(patient)).toBeUndefined();
});

test('a constraint that goes back to the resource from each of its items is stopped', () => {
  const patient = { resourceType: 'Patient', name: list((n) => ({ family: `${n}` }), 20_000) };
  const scope = { ...emptyScope(), resource: patient, root: patient };
  const check = invariantOf(
    { key: 'x-1', expression: 'name.all(%resource.name.all(%resource.name.family.exists()))' },
    'Patient',
    elementsOf('Patient', definitions),
    scope,
  );
  const { ms, result } = timed(() => check(patient));
  expect(result).toBeUndefined();
  expect(ms).toBeLessThan(15_000);
});

test('a constraint that walks the resource from each element walks it a bounded number of times, then is not decided', () => {
  const walked = { times: 0 };
  const patient = new Proxy(
    { resourceType: 'Patient', name: list((n) => ({ family: `${n}` }), 300) },
    {
      ownKeys: (target) => {
        walked.times++;
        return Reflect.ownKeys(target);
      },
    },
  );
  const scope = { ...emptyScope(), resource: patient, root: patient };
  const check = invariantOf(
    { key: 'x-1', expression: '%resource.descendants().count() > 1' },
    'HumanName',
    elementsOf('HumanName', definitions),
    scope,
  );
  const results = list((n) => check({ family: `${n}` }), 2000);
  expect(results).not.toContain(false);
  expect(results.at(-1)).toBeUndefined();
  // 300 names are more than 600 parts, gone over by two functions; keys are asked for when it is measured and when it is walked.
  expect(walked.times).toBeLessThan(1_000_000 / 600);
  const before = walked.times;
  expect(check({ family: 'x' })).toBeUndefined();
  expect(walked.times).toBe(before);
});

test('a costly constraint takes nothing from those that look at few values of the resource', () => {
  const resource = { ...observation, interpretation: [{ text: 'x' }] };
  const scope = { ...emptyScope(), resource, root: resource, engineWork: 2_000_000 };
  const check = invariantOf(
    { key: 'x-1', expression: 'interpretation.all(%resource.code.text = text)' },
    'Observation',
    elementsOf('Observation', definitions),
    scope,
  );
  expect(check(resource)).toBe(true);
});

test('what the constraints of R4 may look at is enough for a patient of 1,000 names and a bundle of 2,000 entries', () => {
  // With narrative: else the issues would be full of its absence.
  const text = { status: 'generated', div: '<div xmlns="http://www.w3.org/1999/xhtml">a</div>' };
  const patient = {
    resourceType: 'Patient',
    text,
    name: list((n) => ({ family: `${n}`, period: { start: '2020', end: '2021-01-01' } }), 1000),
  };
  const entry = list((n) => ({ fullUrl: `urn:x:${n}`, resource: { ...observation, text, id: `o${n}` } }), 2000);
  for (const resource of [patient, { resourceType: 'Bundle', type: 'collection', entry }]) {
    const found = validator.check(resource, { warnings: true });
    expect(found.map(({ diagnostics }) => diagnostics)).toEqual([]);
  }
});

test('a pattern of a profile that tries everything is tested in time linear in the text', () => {
  const check = invariantOf(
    { key: 'x-1', expression: "family.matches('^(a+)+$')" },
    'HumanName',
    elementsOf('HumanName', definitions),
    emptyScope(),
  );
  const { ms, result } = timed(() => check({ family: `${'a'.repeat(50_000)}!` }));
  expect(result).toBe(false);
  expect(ms).toBeLessThan(5000);
});

test('as many evaluations as a check may have are evaluated, no more', () => {
  const scope = emptyScope();
  const check = invariantOf(
    { key: 'x-1', expression: 'given.distinct().count() > 0' },
    'HumanName',
    elementsOf('HumanName', definitions),
    scope,
  );
  const name = { given: ['a'] };
  expect(check(name)).toBe(true);
  scope.engineWork = 2_000_000;
  expect(check(name)).toBeUndefined();
  scope.engineWork = 0;
  expect(check(name)).toBe(true);
});
