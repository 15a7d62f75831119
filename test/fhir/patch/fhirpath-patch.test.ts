/** FHIRPath Patch. @see https://hl7.org/fhir/R4/fhirpatch.html */
import type { Resource } from '@medplum/fhirtypes';
import fc from 'fast-check';
import { loadDefinitions } from '../../../src/fhir/definitions.ts';
import { Failure } from '../../../src/fhir/failure.ts';
import { createPatchReader } from '../../../src/fhir/patch/patch-reader.ts';
import { createValidator } from '../../../src/fhir/validation/validator.ts';

const definitions = loadDefinitions();
const { validate } = createValidator(definitions);
const reader = createPatchReader(definitions, validate);

type Part = Record<string, unknown>;

function operation(...part: Part[]): Part {
  return { name: 'operation', part };
}

function applied(resource: object, ...operations: Part[]): unknown {
  const patch = reader.fhirPathPatch(
    { resourceType: 'Parameters', ...(operations.length === 0 ? {} : { parameter: operations }) },
    'Parameters',
  );
  return patch(structuredClone(resource) as Resource);
}

const type = (valueCode: string): Part => ({ name: 'type', valueCode });
const path = (valueString: string): Part => ({ name: 'path', valueString });
const named = (valueString: string): Part => ({ name: 'name', valueString });
const index = (name: string, valueInteger: number): Part => ({ name, valueInteger });
const value = (given: object): Part => ({ name: 'value', ...given });

const patient = {
  resourceType: 'Patient',
  identifier: [
    { system: 'http://a', value: '1' },
    { system: 'http://b', value: '2' },
    { system: 'http://c', value: '3' },
  ],
  birthDate: '1980-05-17',
  _birthDate: { extension: [{ url: 'http://t', valueTime: '04:00:00' }] },
  name: [{ family: 'Example', given: ['Ann', null, 'Cat'], _given: [null, { id: 'g1' }, null] }],
  maritalStatus: { coding: [{ system: 'http://m', code: 'M' }], text: 'married' },
  contact: [{ name: { text: 'a' }, gender: 'female' }],
  communication: [{ language: { text: 'de' }, preferred: true }],
  extension: [
    { url: 'http://x', valueString: 'x' },
    { url: 'http://y', extension: [{ url: 'z', valueInteger: 1 }] },
  ],
};

const cases: readonly (readonly [about: string, operations: Part[], after: object])[] = [
  ['no operation', [], {}],
  [
    'replace a primitive, its extensions too',
    [operation(type('replace'), path('Patient.birthDate'), value({ valueDate: '1990' }))],
    { birthDate: '1990', _birthDate: undefined },
  ],
  [
    'replace a primitive by one with an extension',
    [
      operation(
        type('replace'),
        path('Patient.birthDate'),
        value({ valueDate: '1990', _valueDate: { extension: [{ url: 'http://t', valueTime: '05:00:00' }] } }),
      ),
    ],
    { birthDate: '1990', _birthDate: { extension: [{ url: 'http://t', valueTime: '05:00:00' }] } },
  ],
  [
    'delete a primitive',
    [operation(type('delete'), path('Patient.birthDate'))],
    { birthDate: undefined, _birthDate: undefined },
  ],
  [
    'delete the extension of a primitive',
    [operation(type('delete'), path(`Patient.birthDate.extension.where(url = 'http://t')`))],
    { _birthDate: undefined },
  ],
  [
    'move within a list',
    [operation(type('move'), path('Patient.identifier'), index('source', 2), index('destination', 0))],
    {
      identifier: [
        { system: 'http://c', value: '3' },
        { system: 'http://a', value: '1' },
        { system: 'http://b', value: '2' },
      ],
    },
  ],
  [
    'move primitives with what stands beside them',
    [operation(type('move'), path('Patient.name.given'), index('source', 1), index('destination', 0))],
    { name: [{ family: 'Example', given: [null, 'Ann', 'Cat'], _given: [{ id: 'g1' }, null, null] }] },
  ],
  [
    'insert into primitives with what stands beside them',
    [operation(type('insert'), path('Patient.name[0].given'), index('index', 0), value({ valueString: 'Zoe' }))],
    { name: [{ family: 'Example', given: ['Zoe', 'Ann', null, 'Cat'], _given: [null, null, { id: 'g1' }, null] }] },
  ],
  [
    'delete a primitive of a list with what stands beside it',
    [operation(type('delete'), path('Patient.name[0].given[1]'))],
    { name: [{ family: 'Example', given: ['Ann', 'Cat'] }] },
  ],
  [
    'insert at the end',
    [
      operation(
        type('insert'),
        path('Patient.identifier'),
        index('index', 3),
        value({ valueIdentifier: { value: '4' } }),
      ),
    ],
    { identifier: [...patient.identifier, { value: '4' }] },
  ],
  [
    'operations see what the ones before them made',
    [
      operation(
        type('add'),
        path('Patient'),
        named('contact'),
        value({ part: [{ name: 'gender', valueCode: 'male' }] }),
      ),
      operation(type('add'), path('Patient.contact[1]'), named('name'), value({ valueHumanName: { text: 'b' } })),
      operation(type('delete'), path('Patient.contact[0]')),
    ],
    { contact: [{ gender: 'male', name: { text: 'b' } }] },
  ],
  [
    'add a choice',
    [operation(type('add'), path('Patient'), named('deceased'), value({ valueDateTime: '2026-01-01' }))],
    { deceasedDateTime: '2026-01-01' },
  ],
  [
    'change the value of an extension',
    [operation(type('replace'), path(`Patient.extension('http://x').value`), value({ valueInteger: 5 }))],
    { extension: [{ url: 'http://x', valueInteger: 5 }, patient.extension[1]] },
  ],
  [
    'an extension in an extension',
    [
      operation(
        type('replace'),
        path(`Patient.extension('http://y').extension('z').value`),
        value({ valueInteger: 2 }),
      ),
    ],
    { extension: [patient.extension[0], { url: 'http://y', extension: [{ url: 'z', valueInteger: 2 }] }] },
  ],
  [
    'delete the last element of an object, and the object with it',
    [
      operation(type('delete'), path('Patient.communication.preferred')),
      operation(type('delete'), path('Patient.communication.language')),
    ],
    { communication: undefined },
  ],
  [
    'the narrative, whose name is a keyword of FHIRPath',
    [
      operation(
        type('add'),
        path('Patient'),
        named('text'),
        value({
          part: [
            { name: 'status', valueCode: 'generated' },
            { name: 'div', valueString: '<div/>' },
          ],
        }),
      ),
      operation(type('replace'), path('Patient.text.div'), value({ valueString: '<div>x</div>' })),
      operation(type('delete'), path(`Patient.extension.where(url = 'http://x.div').value`)),
    ],
    { text: { status: 'generated', div: '<div>x</div>' } },
  ],
  [
    'contained resources',
    [
      operation(
        type('add'),
        path('Patient'),
        named('contained'),
        value({ resource: { resourceType: 'Organization', id: 'o', name: 'O' } }),
      ),
      operation(type('replace'), path(`Patient.contained.where(id = 'o').name`), value({ valueString: 'P' })),
    ],
    { contained: [{ resourceType: 'Organization', id: 'o', name: 'P' }] },
  ],
];

test.each(cases)('%s', (_about, operations, after) => {
  const expected = Object.fromEntries(
    Object.entries({ ...patient, ...after }).filter(([, item]) => item !== undefined),
  );
  expect(applied(patient, ...operations)).toEqual(expected);
});

test('content that is defined elsewhere is known by its name', () => {
  const questionnaire = {
    resourceType: 'Questionnaire',
    status: 'draft',
    item: [{ linkId: '1', type: 'group', item: [{ linkId: '1.1', type: 'string' }] }],
  };
  const patched = applied(
    questionnaire,
    operation(
      type('add'),
      path(`Questionnaire.item.where(linkId = '1').item.where(linkId = '1.1')`),
      named('item'),
      value({
        part: [
          { name: 'linkId', valueString: '1.1.1' },
          { name: 'type', valueCode: 'string' },
        ],
      }),
    ),
  );
  expect(patched).toMatchObject({ item: [{ item: [{ item: [{ linkId: '1.1.1', type: 'string' }] }] }] });
});

const bad: readonly (readonly [about: string, operations: Part[], code: string])[] = [
  [
    'an index below 0',
    [operation(type('insert'), path('Patient.name'), index('index', -1), value({ valueHumanName: { text: 'x' } }))],
    'invalid',
  ],
  [
    'a value of a type that the choice has not',
    [operation(type('add'), path('Patient'), named('deceased'), value({ valueQuantity: { value: 1 } }))],
    'business-rule',
  ],
  [
    'a part that the element has not',
    [
      operation(
        type('add'),
        path('Patient'),
        named('contact'),
        value({ part: [{ name: 'colour', valueString: 'x' }] }),
      ),
    ],
    'business-rule',
  ],
  [
    'an element that the type has not',
    [operation(type('add'), path('Patient'), named('colour'), value({ valueString: 'x' }))],
    'business-rule',
  ],
  ['the resource itself', [operation(type('delete'), path('Patient'))], 'business-rule'],
  ['a sum', [operation(type('delete'), path('1 + 1'))], 'business-rule'],
  ['a union', [operation(type('delete'), path('Patient.name | Patient.contact'))], 'business-rule'],
  ['a variable', [operation(type('delete'), path('%resource.name'))], 'invalid'],
  [
    'a move beyond the end',
    [operation(type('move'), path('Patient.identifier'), index('source', 0), index('destination', 3))],
    'business-rule',
  ],
  [
    'a list that is none',
    [operation(type('insert'), path('Patient.birthDate'), index('index', 0), value({ valueDate: '1990' }))],
    'business-rule',
  ],
  ['another parameter', [{ name: 'operations', part: [] }], 'invalid'],
  ['a part twice', [operation(type('delete'), path('Patient.name'), path('Patient.name'))], 'invalid'],
  ['a part of another operation', [operation(type('delete'), path('Patient.name'), index('index', 1))], 'invalid'],
];

test.each(bad)('%s is refused', (_about, operations, code) => {
  let thrown: unknown;
  try {
    applied(patient, ...operations);
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(Failure);
  expect((thrown as Failure).code).toBe(code);
});

const steps = fc.constantFrom(
  'name',
  'given',
  'identifier',
  'value',
  'extension',
  'birthDate',
  'contact',
  'colour',
  'deceased',
);
const suffixes = fc.constantFrom(
  '',
  '[0]',
  '[7]',
  '.first()',
  '.last()',
  '.single()',
  '.tail()',
  `.where(use = 'x')`,
  '.ofType(string)',
  '.exists()',
  `.extension('a')`,
);

test('no path and no value makes anything but a Failure', () => {
  const paths = fc.oneof(
    fc
      .array(
        fc.tuple(steps, suffixes).map((pair) => pair.join('')),
        { maxLength: 4 },
      )
      .map((parts) => ['Patient', ...parts].join('.')),
    fc.string(),
    fc.constantFrom('('.repeat(1000), '-'.repeat(1000), 'a.'.repeat(499), `Patient.where(${'where('.repeat(100)}`),
  );
  fc.assert(
    fc.property(
      fc.constantFrom('add', 'insert', 'delete', 'replace', 'move', 'x'),
      paths,
      fc.constantFrom<Part[]>(
        [],
        [named('given'), value({ valueString: 'x' })],
        [index('index', 0), value({ valueInteger: 1 })],
        [value({ part: [] })],
        [index('source', 0), index('destination', 1)],
      ),
      (kind, text, more) => {
        try {
          applied(patient, operation(type(kind), path(text), ...more));
        } catch (error) {
          expect(error).toBeInstanceOf(Failure);
        }
      },
    ),
    { numRuns: 1000 },
  );
});
