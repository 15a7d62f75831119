import { c1, cases, observation, patient } from './profile-cases.ts';
import { checker, definitionOf, extensionOf, type Json, TEST, valueSet } from './profiled.ts';

describe('cardinality', () => {
  cases('Observation', [
    [
      'an element that must be there is missed',
      { path: 'Observation.subject', min: 1 },
      observation,
      ['required Observation.subject'],
    ],
    [
      'an element that must be there is there',
      { path: 'Observation.subject', min: 1 },
      { ...observation, subject: { display: 'x' } },
      [],
    ],
    [
      'a primitive with an extension alone is there',
      { path: 'Observation.issued', min: 1 },
      { ...observation, _issued: { extension: [{ url: 'http://x.test/y', valueCode: 'unknown' }] } },
      [],
    ],
    [
      'a choice that must be there is missed',
      { path: 'Observation.value[x]', min: 1 },
      observation,
      ['required Observation.value'],
    ],
    ['any type of a choice will do', { path: 'Observation.value[x]', min: 1 }, { ...observation, valueInteger: 1 }, []],
    [
      'an element that may not be there',
      { path: 'Observation.issued', max: '0' },
      { ...observation, issued: '2026-01-01T00:00:00Z' },
      ['structure Observation.issued'],
    ],
    [
      'a list that may not be there',
      { path: 'Observation.component', max: '0' },
      { ...observation, component: [{ code: { text: 'x' } }] },
      ['structure Observation.component'],
    ],
    [
      'a choice that may not be there',
      { path: 'Observation.value[x]', max: '0' },
      { ...observation, valueString: 'x' },
      ['structure Observation.value.ofType(string)'],
    ],
    [
      'too few of a list',
      { path: 'Observation.category', min: 2 },
      { ...observation, category: [{ text: 'a' }] },
      ['required Observation.category'],
    ],
    ['none of a list', { path: 'Observation.category', min: 2 }, observation, ['required Observation.category']],
    [
      'too many of a list',
      { path: 'Observation.category', max: '1' },
      { ...observation, category: [{ text: 'a' }, { text: 'b' }] },
      ['structure Observation.category'],
    ],
    [
      'an element below, only where its parent is',
      [{ path: 'Observation.component' }, { path: 'Observation.component.interpretation', min: 1 }],
      observation,
      [],
    ],
    [
      'an element below, at each item',
      [{ path: 'Observation.component' }, { path: 'Observation.component.interpretation', min: 1 }],
      {
        ...observation,
        component: [{ code: { text: 'a' }, interpretation: [{ text: 'x' }] }, { code: { text: 'b' } }],
      },
      ['required Observation.component[1].interpretation'],
    ],
    [
      'an element of a datatype',
      [{ path: 'Observation.code' }, { path: 'Observation.code.text', min: 1 }],
      observation,
      ['required Observation.code.text'],
    ],
    [
      'an element of the items of a datatype',
      [
        { path: 'Observation.code' },
        { path: 'Observation.code.coding' },
        { path: 'Observation.code.coding.display', min: 1 },
      ],
      observation,
      ['required Observation.code.coding[0].display'],
    ],
    [
      'an element of one type of a choice',
      [
        { path: 'Observation.value[x]', type: [{ code: 'Quantity' }] },
        { path: 'Observation.value[x].unit', min: 1 },
      ],
      { ...observation, valueQuantity: { value: 1 } },
      ['required Observation.value.ofType(Quantity).unit'],
    ],
  ]);
  cases('Patient', [
    [
      'a list of primitives counts entries that have extensions alone',
      [{ path: 'Patient.name' }, { path: 'Patient.name.given', min: 2 }],
      {
        ...patient,
        name: [
          { given: ['a', null], _given: [null, { extension: [{ url: 'http://x.test/y', valueCode: 'masked' }] }] },
        ],
      },
      [],
    ],
    [
      'an extension that a primitive needs',
      [{ path: 'Patient.birthDate' }, { path: 'Patient.birthDate.extension', min: 1 }],
      { ...patient, birthDate: '1980-01-01' },
      ['required Patient.birthDate.extension'],
    ],
  ]);
});

describe('types', () => {
  cases('Observation', [
    [
      'a type of a choice that is left out',
      { path: 'Observation.value[x]', type: [{ code: 'Quantity' }] },
      { ...observation, valueString: 'x' },
      ['structure Observation.value.ofType(string)'],
    ],
    [
      'a primitive type that is left out, by its extension alone',
      { path: 'Observation.value[x]', type: [{ code: 'Quantity' }] },
      { ...observation, _valueString: { extension: [{ url: 'http://x.test/y', valueCode: 'unknown' }] } },
      ['structure Observation.value.ofType(string)'],
    ],
    [
      'a type of a choice that stays',
      { path: 'Observation.value[x]', type: [{ code: 'Quantity' }, { code: 'string' }] },
      { ...observation, valueString: 'x' },
      [],
    ],
    [
      'a slice of a choice by its type says more of that type',
      [
        { path: 'Observation.value[x]', slicing: { discriminator: [{ type: 'type', path: '$this' }], rules: 'open' } },
        {
          id: 'Observation.value[x]:valueQuantity',
          path: 'Observation.value[x]',
          sliceName: 'valueQuantity',
          type: [{ code: 'Quantity' }],
        },
        { id: 'Observation.value[x]:valueQuantity.code', path: 'Observation.value[x].code', min: 1 },
      ],
      { ...observation, valueQuantity: { value: 1 } },
      ['required Observation.value.ofType(Quantity).code'],
    ],
    [
      'a slice of a choice says nothing of the other types',
      [
        { path: 'Observation.value[x]', slicing: { discriminator: [{ type: 'type', path: '$this' }], rules: 'open' } },
        {
          id: 'Observation.value[x]:valueQuantity',
          path: 'Observation.value[x]',
          sliceName: 'valueQuantity',
          type: [{ code: 'Quantity' }],
        },
        { id: 'Observation.value[x]:valueQuantity.code', path: 'Observation.value[x].code', min: 1 },
      ],
      { ...observation, valueInteger: 1 },
      [],
    ],
    [
      'a closed slicing of a choice leaves the other types out',
      [
        {
          path: 'Observation.value[x]',
          slicing: { discriminator: [{ type: 'type', path: '$this' }], rules: 'closed' },
        },
        {
          id: 'Observation.value[x]:valueQuantity',
          path: 'Observation.value[x]',
          sliceName: 'valueQuantity',
          type: [{ code: 'Quantity' }],
        },
      ],
      { ...observation, valueInteger: 1 },
      ['structure Observation.value.ofType(integer)'],
    ],
    [
      'a slice of a choice that must be there',
      [
        { path: 'Observation.value[x]', slicing: { discriminator: [{ type: 'type', path: '$this' }], rules: 'open' } },
        {
          id: 'Observation.value[x]:valueQuantity',
          path: 'Observation.value[x]',
          sliceName: 'valueQuantity',
          min: 1,
          type: [{ code: 'Quantity' }],
        },
      ],
      { ...observation, valueInteger: 1 },
      ['structure Observation.value.ofType(integer)'],
    ],
  ]);
  cases('Bundle', [
    [
      'a resource of another type in an entry',
      [{ path: 'Bundle.entry' }, { path: 'Bundle.entry.resource', type: [{ code: 'Patient' }] }],
      { resourceType: 'Bundle', type: 'collection', entry: [{ resource: patient }, { resource: observation }] },
      ['structure Bundle.entry[1].resource'],
    ],
  ]);
});

describe('bindings', () => {
  const colours = valueSet('colours', { s: ['red', 'green'] });
  const bound = (strength: string, path = 'Observation.code') =>
    checker(
      [
        definitionOf('p', 'Observation', {
          elements: [{ path, binding: { strength, valueSet: `${TEST}colours` } as never }],
        }),
      ],
      [colours],
    );
  const withCode = (code: Json) => ({ ...observation, code });

  test.each<[string, Json, string[]]>([
    ['a coding of the set', withCode({ coding: [{ system: 's', code: 'red' }] }), []],
    ['one of several codings', withCode({ coding: [c1, { system: 's', code: 'red' }] }), []],
    ['a coding that is not in it', withCode({ coding: [c1] }), ['code-invalid Observation.code']],
    [
      'the code of another system',
      withCode({ coding: [{ system: 't', code: 'red' }] }),
      ['code-invalid Observation.code'],
    ],
    ['text alone', withCode({ text: 'red' }), ['code-invalid Observation.code']],
  ])('a required binding: %s', (_what, resource, expected) => {
    expect(bound('required').findings(resource)).toEqual(expected);
  });

  test.each<[string, string, Json, string[]]>([
    ['a Quantity by its code', 'valueQuantity', { value: 1, system: 's', code: 'red' }, []],
    [
      'a Quantity by another code',
      'valueQuantity',
      { value: 1, system: 's', code: 'x' },
      ['code-invalid Observation.value.ofType(Quantity)'],
    ],
    [
      'a Quantity without a code',
      'valueQuantity',
      { value: 1, unit: 'red' },
      ['code-invalid Observation.value.ofType(Quantity)'],
    ],
  ])('a required binding on a choice: %s', (_what, key, value, expected) => {
    expect(bound('required', 'Observation.value[x]').findings({ ...observation, [key]: value })).toEqual(expected);
  });

  test('a concept that is left open, with an extension that says why, is refused by no binding', () => {
    const why = {
      extension: [{ url: 'http://hl7.org/fhir/StructureDefinition/data-absent-reason', valueCode: 'unknown' }],
    };
    expect(bound('required').findings(withCode(why))).toEqual([]);
  });

  test('an extensible binding is a warning where warnings are asked for, a preferred one nothing', () => {
    const resource = withCode({ coding: [c1] });
    expect(bound('extensible').findings(resource)).toEqual([]);
    expect(bound('extensible').findings(resource, { warnings: true })).toEqual([
      'warning invariant Observation',
      'warning code-invalid Observation.code',
    ]);
    expect(bound('preferred').findings(resource, { warnings: true })).toEqual(['warning invariant Observation']);
  });

  test('a value set that is not known refuses nothing, and says so in a warning', () => {
    const { findings } = checker([
      definitionOf('p', 'Observation', {
        elements: [{ path: 'Observation.code', binding: { strength: 'required', valueSet: 'http://x.test/vs' } }],
      }),
    ]);
    expect(findings(observation)).toEqual([]);
    expect(findings(observation, { warnings: true })).toContain('warning not-supported Observation.code');
  });
});

describe('constraints of a profile', () => {
  const constraint = (severity: 'error' | 'warning') => ({
    path: 'Observation.component',
    constraint: [{ key: 't-1', severity, human: 'A component has a value', expression: 'value.exists()' }],
  });
  const resource = { ...observation, component: [{ code: { text: 'a' }, valueInteger: 1 }, { code: { text: 'b' } }] };

  test('an error is told in its own words, at the item', () => {
    const { issues } = checker([definitionOf('p', 'Observation', { elements: [constraint('error') as never] })]);
    expect(issues(resource)).toEqual([
      {
        severity: 'error',
        code: 'invariant',
        diagnostics: 'A component has a value (t-1)',
        expression: 'Observation.component[1]',
        profile: `${TEST}p|1.0.0`,
      },
    ]);
  });

  test('a warning is told where warnings are asked for', () => {
    const { findings } = checker([definitionOf('p', 'Observation', { elements: [constraint('warning') as never] })]);
    expect(findings(resource)).toEqual([]);
    expect(findings(resource, { warnings: true })).toContain('warning invariant Observation.component[1]');
  });
});

test('profiles of primitive types are asked of the value', () => {
  const short = definitionOf('short', 'string', {
    kind: 'primitive-type',
    elements: [
      {
        path: 'string',
        constraint: [
          { key: 't-1', severity: 'error', human: 'It begins with a capital', expression: "matches('^[A-Z]')" },
        ],
      },
      { path: 'string.value', maxLength: 3 },
    ],
  });
  const profile = definitionOf('p', 'Patient', {
    elements: [
      { path: 'Patient.name' },
      { path: 'Patient.name.family', type: [{ code: 'string', profile: [`${TEST}short`] }] },
      { path: 'Patient.name.given', type: [{ code: 'string', profile: [`${TEST}short`] }] },
    ],
  });
  const { findings } = checker([profile, short]);
  expect(findings({ ...patient, name: [{ family: 'Abc', given: ['Ab'] }] })).toEqual([]);
  expect(findings({ ...patient, name: [{ family: 'Abcd', given: ['Ab', 'ab'] }] })).toEqual([
    'too-long Patient.name[0].family',
    'invariant Patient.name[0].given[1]',
  ]);
});

describe('a value of a kindred type', () => {
  cases('Questionnaire', [
    [
      'a string of a code',
      { path: 'Questionnaire.status', patternCode: 'active' },
      { resourceType: 'Questionnaire', status: 'draft' },
      ['value Questionnaire.status'],
    ],
  ]);
  cases('Encounter', [
    [
      'a quantity of a duration',
      { path: 'Encounter.length', maxValueQuantity: { value: 2, system: 'http://unitsofmeasure.org', code: 'h' } },
      {
        resourceType: 'Encounter',
        status: 'finished',
        class: { code: 'AMB' },
        length: { value: 200, system: 'http://unitsofmeasure.org', code: 'min' },
      },
      ['value Encounter.length'],
    ],
  ]);
});

describe('what stands beside a primitive', () => {
  cases('Patient', [
    [
      'an id that it needs',
      [{ path: 'Patient.birthDate' }, { path: 'Patient.birthDate.id', min: 1 }],
      { ...patient, birthDate: '1980' },
      ['required Patient.birthDate.id'],
    ],
    [
      'extensions that each of a list needs',
      [{ path: 'Patient.name' }, { path: 'Patient.name.given' }, { path: 'Patient.name.given.extension', min: 1 }],
      {
        ...patient,
        name: [{ given: ['a', 'b'], _given: [{ extension: [{ url: 'http://x.test/y', valueCode: 'x' }] }, null] }],
      },
      ['required Patient.name[0].given[1].extension'],
    ],
    [
      'nothing, where each of a list is fixed',
      [{ path: 'Patient.name' }, { path: 'Patient.name.given', fixedString: 'a' }],
      {
        ...patient,
        name: [{ given: ['a', 'a'], _given: [null, { extension: [{ url: 'http://x.test/y', valueCode: 'x' }] }] }],
      },
      ['value Patient.name[0].given[1]'],
    ],
  ]);
});

test('an extension on a primitive is found at its place', () => {
  const extension = extensionOf('e', { elements: [{ path: 'Extension.value[x]', min: 1, type: [{ code: 'code' }] }] });
  const profile = definitionOf('p', 'Patient', {
    elements: [
      { path: 'Patient.birthDate' },
      {
        path: 'Patient.birthDate.extension',
        slicing: { discriminator: [{ type: 'value', path: 'url' }], rules: 'open' },
      },
      {
        id: 'Patient.birthDate.extension:e',
        path: 'Patient.birthDate.extension',
        sliceName: 'e',
        min: 1,
        type: [{ code: 'Extension', profile: [`${TEST}e`] }],
      },
    ],
  });
  const { findings } = checker([profile, extension]);
  expect(findings({ ...patient, birthDate: '1980-01-01' })).toEqual(['required Patient.birthDate.extension']);
  expect(
    findings({
      ...patient,
      birthDate: '1980-01-01',
      _birthDate: { extension: [{ url: `${TEST}e`, valueString: 'x' }] },
    }),
  ).toEqual(['structure Patient.birthDate.extension[0].value.ofType(string)']);
  expect(
    findings({ ...patient, birthDate: '1980-01-01', _birthDate: { extension: [{ url: `${TEST}e`, valueCode: 'x' }] } }),
  ).toEqual([]);
});
