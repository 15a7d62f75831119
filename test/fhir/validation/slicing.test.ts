import { checker, definitionOf, type Json, TEST } from './profiled.ts';
import { by, code, OPEN, observation, panel, part, sliced, value } from './slices.ts';

test.each<[string, object, number, Json[], string[]]>([
  ['items of slices and others', OPEN, 0, [part('a', value), part('x'), part('b')], []],
  [
    'what a slice needs is asked of its items alone',
    OPEN,
    0,
    [part('x'), part('a')],
    ['required Observation.component[1].value'],
  ],
  ['a slice that must be there', OPEN, 1, [part('b')], ['required Observation.component']],
  ['a slice that must be there, where nothing is', OPEN, 1, [], ['required Observation.component']],
  [
    'more items than a slice may have',
    OPEN,
    0,
    [part('a', value), part('a', value)],
    ['structure Observation.component'],
  ],
  ['as many as it may have', OPEN, 0, [part('b'), part('b')], []],
  ['more than it may have', OPEN, 0, [part('b'), part('b'), part('b')], ['structure Observation.component']],
  [
    'a closed slicing and an item of no slice',
    by('pattern', 'code', 'closed'),
    0,
    [part('a', value), part('x')],
    ['structure Observation.component[1]'],
  ],
  ['a closed slicing and items of slices', by('pattern', 'code', 'closed'), 0, [part('b'), part('a', value)], []],
  [
    'what is open at the end stands there',
    by('pattern', 'code', 'openAtEnd'),
    0,
    [part('a', value), part('b'), part('x')],
    [],
  ],
  [
    'what is open at the end stands before',
    by('pattern', 'code', 'openAtEnd'),
    0,
    [part('a', value), part('x'), part('b')],
    ['structure Observation.component[1]'],
  ],
  ['slices in their order', by('pattern', 'code', 'open', true), 0, [part('a', value), part('x'), part('b')], []],
  [
    'slices in another order',
    by('pattern', 'code', 'open', true),
    0,
    [part('b'), part('a', value)],
    ['structure Observation.component[1]'],
  ],
  [
    'an item of two slices is of the first',
    OPEN,
    0,
    [
      {
        code: {
          coding: [
            { system: 's', code: 'b' },
            { system: 's', code: 'a' },
          ],
        },
      },
    ],
    ['required Observation.component[0].value'],
  ],
])('slices of components: %s', (_what, slicing, min, components, expected) => {
  expect(checker([panel(slicing, [], min)]).findings(observation(components))).toEqual(expected);
});

describe('re-slicing', () => {
  const method = (name: string) => ({ interpretation: [{ text: name }] });
  const profile = definitionOf('p', 'Observation', {
    elements: [
      { path: 'Observation.component', slicing: OPEN as never },
      {
        id: 'Observation.component:a',
        path: 'Observation.component',
        sliceName: 'a',
        slicing: by('value', 'interpretation.text', 'closed') as never,
      },
      { id: 'Observation.component:a.code', path: 'Observation.component.code', patternCodeableConcept: code('a') },
      { id: 'Observation.component:a/one', path: 'Observation.component', sliceName: 'a/one', min: 1, max: '1' },
      { id: 'Observation.component:a/one.interpretation', path: 'Observation.component.interpretation', min: 1 },
      {
        id: 'Observation.component:a/one.interpretation.text',
        path: 'Observation.component.interpretation.text',
        min: 1,
        fixedString: 'one',
      },
      { id: 'Observation.component:a/one.value[x]', path: 'Observation.component.value[x]', min: 1 },
      { id: 'Observation.component:a/two', path: 'Observation.component', sliceName: 'a/two' },
      { id: 'Observation.component:a/two.interpretation', path: 'Observation.component.interpretation', min: 1 },
      {
        id: 'Observation.component:a/two.interpretation.text',
        path: 'Observation.component.interpretation.text',
        min: 1,
        fixedString: 'two',
      },
    ],
  });
  const { findings } = checker([profile]);

  test.each<[string, Json[], string[]]>([
    [
      'each in its place',
      [part('a', { ...method('one'), ...value }), part('a', method('two')), part('b', method('three'))],
      [],
    ],
    ['no item of the slice at all', [part('b')], []],
    ['a slice of the slice that must be there', [part('a', method('two'))], ['required Observation.component']],
    [
      'what is closed within the slice',
      [part('a', { ...method('one'), ...value }), part('a', method('three'))],
      ['structure Observation.component[1]'],
    ],
    ['what a slice of the slice needs', [part('a', method('one'))], ['required Observation.component[0].value']],
  ])('%s', (_what, components, expected) => {
    expect(findings(observation(components))).toEqual(expected);
  });
});

describe('slices of what a Bundle has', () => {
  const adult = definitionOf('adult', 'Patient', { elements: [{ path: 'Patient.birthDate', min: 1 }] });
  const bundle = (entry: readonly Json[]): Json => ({ resourceType: 'Bundle', type: 'collection', entry });
  const profile = (type: 'type' | 'profile') =>
    definitionOf('p', 'Bundle', {
      elements: [
        { path: 'Bundle.entry', slicing: by(type, 'resource', 'closed') as never },
        { id: 'Bundle.entry:patient', path: 'Bundle.entry', sliceName: 'patient', min: 1, max: '1' },
        {
          id: 'Bundle.entry:patient.resource',
          path: 'Bundle.entry.resource',
          min: 1,
          type: [{ code: 'Patient', profile: [`${TEST}adult`] }],
        },
        { id: 'Bundle.entry:device', path: 'Bundle.entry', sliceName: 'device' },
        {
          id: 'Bundle.entry:device.resource',
          path: 'Bundle.entry.resource',
          min: 1,
          type: [
            {
              code: 'Device',
              ...(type === 'type' ? {} : { profile: ['http://hl7.org/fhir/StructureDefinition/Device'] }),
            },
          ],
        },
      ],
    });
  const good = { resource: { resourceType: 'Patient', birthDate: '1980' } };
  const bad = { resource: { resourceType: 'Patient' } };
  const device = { resource: { resourceType: 'Device' } };

  test('by type: the profile of the slice is asked of its resource', () => {
    const { findings } = checker([profile('type'), adult]);
    expect(findings(bundle([device, good]))).toEqual([]);
    expect(findings(bundle([bad]))).toEqual(['required Bundle.entry[0].resource.birthDate']);
    expect(findings(bundle([good, { resource: { resourceType: 'Group', type: 'person', actual: true } }]))).toEqual([
      'structure Bundle.entry[1]',
    ]);
    expect(findings(bundle([device]))).toEqual(['required Bundle.entry']);
  });

  test('by profile: what does not meet it is not of the slice', () => {
    const { findings } = checker([profile('profile'), adult]);
    expect(findings(bundle([device, good]))).toEqual([]);
    expect(findings(bundle([good, bad]))).toEqual(['structure Bundle.entry[1]']);
  });
});

describe('slices by the profile of what a reference leads to', () => {
  const finished = definitionOf('finished', 'Observation', {
    elements: [{ path: 'Observation.status', fixedCode: 'final' }],
  });
  const profile = sliced('Observation', 'Observation.hasMember', by('profile', 'resolve()', 'closed'), [], {
    min: 1,
    type: [{ code: 'Reference', targetProfile: [`${TEST}finished`] }],
  });
  const { findings } = checker([profile, finished]);
  const withMembers = (...statuses: string[]): Json => ({
    ...observation([]),
    contained: statuses.map((status, at) => ({ ...observation([]), id: `m${at}`, status })),
    hasMember: statuses.map((_status, at) => ({ reference: `#m${at}` })),
  });

  test('a target that meets it', () => expect(findings(withMembers('final'))).toEqual([]));
  test('a target that does not', () => {
    expect(findings(withMembers('final', 'amended'))).toEqual(['structure Observation.hasMember[1]']);
  });
  test('a target that is not at hand may be of any slice', () => {
    expect(findings({ ...observation([]), hasMember: [{ reference: 'Observation/elsewhere' }] })).toEqual([]);
  });
});

test('a slice within a slice does not tell the outer ones apart where their pattern does', () => {
  const profile = definitionOf('p', 'Observation', {
    elements: [
      { path: 'Observation.component', slicing: OPEN as never },
      { id: 'Observation.component:a', path: 'Observation.component', sliceName: 'a', min: 1 },
      { id: 'Observation.component:a.code', path: 'Observation.component.code', patternCodeableConcept: code('a') },
      {
        id: 'Observation.component:a.code.coding',
        path: 'Observation.component.code.coding',
        slicing: by('value', 'system') as never,
      },
      {
        id: 'Observation.component:a.code.coding:loinc',
        path: 'Observation.component.code.coding',
        sliceName: 'loinc',
        min: 1,
      },
      {
        id: 'Observation.component:a.code.coding:loinc.system',
        path: 'Observation.component.code.coding.system',
        min: 1,
        fixedUri: 'http://loinc.org',
      },
      {
        id: 'Observation.component:a.code.coding:loinc.display',
        path: 'Observation.component.code.coding.display',
        min: 1,
      },
    ],
  });
  const coding = [
    { system: 's', code: 'a' },
    { system: 'http://loinc.org', code: 'b' },
  ];
  expect(checker([profile]).findings(observation([{ code: { coding } }]))).toEqual([
    'required Observation.component[0].code.coding[1].display',
  ]);
});

test('the slice @default takes what no other slice does', () => {
  const profile = panel(OPEN, [
    { id: 'Observation.component:@default', path: 'Observation.component', sliceName: '@default' },
    { id: 'Observation.component:@default.dataAbsentReason', path: 'Observation.component.dataAbsentReason', min: 1 },
  ]);
  expect(checker([profile]).findings(observation([part('b'), part('x')]))).toEqual([
    'required Observation.component[1].dataAbsentReason',
  ]);
});
