import type { ElementDefinition, StructureDefinition } from '@medplum/fhirtypes';
import type { Issue } from '../../../src/fhir/failure.ts';
import { compileProfile } from '../../../src/fhir/validation/profile/profile-checks.ts';
import {
  checker,
  definitionOf,
  definitions,
  extensionOf,
  type Json,
  profilesFrom,
  TEST,
  valueSet,
} from './profiled.ts';

type Element = Partial<ElementDefinition>;
type DiscriminatorType = 'value' | 'pattern' | 'type' | 'exists' | 'profile';
const by = (
  type: DiscriminatorType,
  path: string,
  rules: 'open' | 'closed' | 'openAtEnd' = 'open',
  ordered = false,
) => ({
  discriminator: [{ type, path }],
  rules,
  ordered,
});
const code = (text: string): Json => ({ coding: [{ system: 's', code: text }] });
const observation = (component: readonly Json[]): Json => ({
  resourceType: 'Observation',
  status: 'final',
  code: code('panel'),
  ...(component.length === 0 ? {} : { component }),
});
const part = (name: string, more: Json = {}): Json => ({ code: code(name), ...more });

/** Components a and b by the pattern of their code; `a` needs a value. */
function panel(slicing: object, more: readonly Element[] = [], min = 0): StructureDefinition {
  return definitionOf('p', 'Observation', {
    elements: [
      { path: 'Observation.component', slicing: slicing as never },
      { id: 'Observation.component:a', path: 'Observation.component', sliceName: 'a', min, max: '1' },
      { id: 'Observation.component:a.code', path: 'Observation.component.code', patternCodeableConcept: code('a') },
      { id: 'Observation.component:a.value[x]', path: 'Observation.component.value[x]', min: 1 },
      ...more.filter(({ id }) => id?.startsWith('Observation.component:a/')),
      { id: 'Observation.component:b', path: 'Observation.component', sliceName: 'b', max: '2' },
      { id: 'Observation.component:b.code', path: 'Observation.component.code', patternCodeableConcept: code('b') },
      ...more.filter(({ id }) => !id?.startsWith('Observation.component:a/')),
    ],
  });
}

const value = { valueInteger: 1 };
const OPEN = by('pattern', 'code');

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

/** One slice `s` of `path`, told by the discriminator, of which `more` says something; at most one such item. */
function sliced(
  type: string,
  path: string,
  discriminator: object,
  more: readonly Element[],
  slice: Element = {},
): StructureDefinition {
  return definitionOf('p', type, {
    elements: [
      { path, slicing: discriminator as never },
      { id: `${path}:s`, path, sliceName: 's', max: '1', ...slice },
      ...more.map((element) => ({ ...element, id: element.id ?? (element.path ?? '').replace(path, `${path}:s`) })),
    ],
  });
}

/** Whether two such items are too many, that is, whether they are of the slice. */
function areOfSlice(
  definitions: readonly StructureDefinition[],
  make: (item: Json) => Json,
  item: Json,
  sets?: never[],
): boolean {
  const { findings } = checker(definitions, sets);
  const found = findings(make(item));
  expect(found.length).toBeLessThanOrEqual(1);
  return found.length === 1;
}

function faults(...sources: StructureDefinition[]): readonly Issue[] {
  const profiles = profilesFrom(sources);
  const profile = profiles.profile(sources[0]?.url ?? '');
  return profile === undefined ? [] : compileProfile(profile, profiles, definitions);
}

const twice = (item: Json) => observation([item, item]);
const names = (item: Json): Json => ({ resourceType: 'Patient', name: [item, item] });
const identifiers = (item: Json): Json => ({ resourceType: 'Patient', identifier: [item, item] });
const members = (item: Json): Json => ({ ...observation([]), hasMember: [item, item] });
const C = 'Observation.component';

describe('discriminators', () => {
  test.each<[string, StructureDefinition[], (item: Json) => Json, Json, boolean]>([
    [
      'value: a fixed value',
      [
        sliced('Patient', 'Patient.identifier', by('value', 'system'), [
          { path: 'Patient.identifier.system', fixedUri: 'u' },
        ]),
      ],
      identifiers,
      { system: 'u', value: '1' },
      true,
    ],
    [
      'value: another fixed value',
      [
        sliced('Patient', 'Patient.identifier', by('value', 'system'), [
          { path: 'Patient.identifier.system', fixedUri: 'u' },
        ]),
      ],
      identifiers,
      { system: 'v', value: '1' },
      false,
    ],
    [
      'value: a pattern',
      [sliced('Observation', C, by('value', 'code'), [{ path: `${C}.code`, patternCodeableConcept: code('a') }])],
      twice,
      { code: { ...code('a'), text: 'x' } },
      true,
    ],
    [
      'pattern: a fixed concept is exact',
      [sliced('Observation', C, by('pattern', 'code'), [{ path: `${C}.code`, fixedCodeableConcept: code('a') }])],
      twice,
      { code: { ...code('a'), text: 'x' } },
      false,
    ],
    [
      'value: a fixed value deeper down the path',
      [
        sliced('Observation', C, by('value', 'code.coding.code'), [
          { path: `${C}.code` },
          { path: `${C}.code.coding` },
          { path: `${C}.code.coding.code`, fixedCode: 'a' },
        ]),
      ],
      twice,
      { code: { coding: [{ code: 'a', display: 'x' }] } },
      true,
    ],
    [
      'value: values below the path',
      [
        sliced('Observation', C, by('value', 'code'), [
          { path: `${C}.code` },
          { path: `${C}.code.coding`, min: 1 },
          { path: `${C}.code.coding.code`, min: 1, fixedCode: 'a' },
        ]),
      ],
      twice,
      part('a'),
      true,
    ],
    [
      'value: other values below the path',
      [
        sliced('Observation', C, by('value', 'code'), [
          { path: `${C}.code` },
          { path: `${C}.code.coding`, min: 1 },
          { path: `${C}.code.coding.code`, min: 1, fixedCode: 'a' },
        ]),
      ],
      twice,
      part('b'),
      false,
    ],
    [
      'value: $this of a datatype',
      [
        sliced('Observation', 'Observation.category', by('pattern', '$this'), [], {
          patternCodeableConcept: code('a'),
        }),
      ],
      (item) => ({ ...observation([]), category: [item, item] }),
      code('a'),
      true,
    ],
    [
      'value: $this of a primitive',
      [sliced('Patient', 'Patient.name', by('value', 'use'), [{ path: 'Patient.name.use', patternCode: 'official' }])],
      names,
      { use: 'official', family: 'x' },
      true,
    ],
    [
      'exists: it is there',
      [sliced('Patient', 'Patient.name', by('exists', 'period'), [{ path: 'Patient.name.period', min: 1 }])],
      names,
      { period: { start: '2020' } },
      true,
    ],
    [
      'exists: it is not',
      [sliced('Patient', 'Patient.name', by('exists', 'period'), [{ path: 'Patient.name.period', min: 1 }])],
      names,
      { family: 'x' },
      false,
    ],
    [
      'exists: it may not be there',
      [sliced('Patient', 'Patient.name', by('exists', 'period'), [{ path: 'Patient.name.period', max: '0' }])],
      names,
      { family: 'x' },
      true,
    ],
    [
      'exists: it may not, and is',
      [sliced('Patient', 'Patient.name', by('exists', 'period'), [{ path: 'Patient.name.period', max: '0' }])],
      names,
      { period: { start: '2020' } },
      false,
    ],
    [
      'type: of a choice',
      [sliced('Observation', C, by('type', 'value'), [{ path: `${C}.value[x]`, type: [{ code: 'Quantity' }] }])],
      twice,
      part('x', { valueQuantity: { value: 1 } }),
      true,
    ],
    [
      'type: another of a choice',
      [sliced('Observation', C, by('type', 'value'), [{ path: `${C}.value[x]`, type: [{ code: 'Quantity' }] }])],
      twice,
      part('x', { valueInteger: 1 }),
      false,
    ],
    [
      'value: one type of a choice',
      [
        sliced('Observation', C, by('value', 'value.ofType(Quantity).code'), [
          { path: `${C}.value[x]`, type: [{ code: 'Quantity' }] },
          { path: `${C}.value[x].code`, patternCode: 'mg' },
        ]),
      ],
      twice,
      part('x', { valueQuantity: { code: 'mg', system: 'u' } }),
      true,
    ],
    [
      'type: of the target of a reference, as it says',
      [
        sliced('Observation', 'Observation.hasMember', by('type', 'resolve()'), [], {
          type: [{ code: 'Reference', targetProfile: ['http://hl7.org/fhir/StructureDefinition/MolecularSequence'] }],
        }),
      ],
      members,
      { reference: 'MolecularSequence/1' },
      true,
    ],
    [
      'type: of another target',
      [
        sliced('Observation', 'Observation.hasMember', by('type', 'resolve()'), [], {
          type: [{ code: 'Reference', targetProfile: ['http://hl7.org/fhir/StructureDefinition/MolecularSequence'] }],
        }),
      ],
      members,
      { reference: 'Observation/1' },
      false,
    ],
    [
      'value: in an extension',
      [
        sliced('Patient', 'Patient.name', by('value', `extension('${TEST}kind').value`), [
          { path: 'Patient.name.extension' },
          {
            id: 'Patient.name:s.extension:kind',
            path: 'Patient.name.extension',
            sliceName: 'kind',
            min: 1,
            type: [{ code: 'Extension', profile: [`${TEST}kind`] }],
          },
        ]),
        extensionOf('kind', {
          elements: [{ path: 'Extension.value[x]', min: 1, type: [{ code: 'code' }], fixedCode: 'a' }],
        }),
      ],
      names,
      { family: 'x', extension: [{ url: `${TEST}kind`, valueCode: 'a' }] },
      true,
    ],
  ])('%s', (_what, definitions, make, item, expected) => {
    expect(areOfSlice(definitions, make, item)).toBe(expected);
  });

  test.each<[string, StructureDefinition, Json, string[]]>([
    [
      'a pattern on the slice itself',
      sliced('Patient', 'Patient.identifier', by('value', 'system', 'closed'), [], {
        patternIdentifier: { system: 'u' },
      }),
      identifiers({ system: 'u', value: '1' }),
      ['structure Patient.identifier'],
    ],
    [
      'a pattern on the slice itself, of something else',
      sliced('Patient', 'Patient.identifier', by('value', 'system'), [], { patternIdentifier: { system: 'u' } }),
      identifiers({ system: 'v', value: '1' }),
      [],
    ],
    [
      'a pattern above the path',
      sliced(
        'Observation',
        C,
        {
          discriminator: [
            { type: 'value', path: 'code.coding.code' },
            { type: 'value', path: 'code.coding.system' },
          ],
          rules: 'open',
        },
        [{ path: `${C}.code`, patternCodeableConcept: code('a') }],
      ),
      twice({
        code: {
          coding: [
            { system: 't', code: 'z' },
            { system: 's', code: 'a' },
          ],
        },
      }),
      ['structure Observation.component'],
    ],
    [
      'a pattern above the path with two items, of which one is there',
      sliced('Observation', C, by('value', 'code.coding.code'), [
        { path: `${C}.code`, patternCodeableConcept: { coding: [{ code: 'a' }, { code: 'b' }] } },
      ]),
      twice(part('a')),
      [],
    ],
    [
      'two discriminators and a pattern of both',
      sliced(
        'Patient',
        'Patient.telecom',
        {
          discriminator: [
            { type: 'value', path: 'system' },
            { type: 'value', path: 'use' },
          ],
          rules: 'open',
        },
        [],
        { patternContactPoint: { system: 'phone', use: 'work' } },
      ),
      { resourceType: 'Patient', telecom: [1, 2].map(() => ({ system: 'phone', use: 'work', value: '1' })) },
      ['structure Patient.telecom'],
    ],
  ])('value: %s', (_what, definition, resource, expected) => {
    expect(checker([definition]).findings(resource)).toEqual(expected);
    expect(faults(definition)).toEqual([]);
  });

  test('value: in the resource of an entry, by the profile that the slice gives it', () => {
    const coded = definitionOf('coded', 'Observation', {
      elements: [{ path: 'Observation.code', patternCodeableConcept: code('a') }],
    });
    const profile = sliced('Bundle', 'Bundle.entry', by('value', 'resource.code'), [
      { path: 'Bundle.entry.resource', min: 1, type: [{ code: 'Observation', profile: [`${TEST}coded`] }] },
    ]);
    const entries = (name: string): Json => ({
      resourceType: 'Bundle',
      type: 'collection',
      entry: [1, 2].map(() => ({ resource: { ...observation([]), code: code(name) } })),
    });
    const { findings } = checker([profile, coded]);
    expect(findings(entries('a'))).toEqual(['structure Bundle.entry']);
    expect(findings(entries('b'))).toEqual([]);
    expect(faults(profile, coded)).toEqual([]);
  });

  test.each<[string, StructureDefinition]>([
    [
      'a path that no element has',
      sliced('Patient', 'Patient.name', by('value', 'colour'), [], { patternHumanName: { use: 'old' } }),
    ],
    ['a path that is no path', sliced('Patient', 'Patient.name', by('value', "where(use = 'old').family"), [], {})],
    [
      'slices of a closed list that nobody can tell',
      sliced('Patient', 'Patient.name', by('value', 'use', 'closed'), [{ path: 'Patient.name.family', min: 1 }]),
    ],
    [
      'a fixed value that is none',
      definitionOf('p', 'Patient', { elements: [{ path: 'Patient.birthDate', fixedDate: 'yesterday' }] }),
    ],
    [
      'an expression that cannot be read',
      definitionOf('p', 'Patient', {
        elements: [
          {
            path: 'Patient.name',
            constraint: [{ key: 't-1', severity: 'error', human: 'x', expression: 'family.(((' }],
          },
        ],
      }),
    ],
  ])('%s makes a definition useless', (_what, definition) => {
    expect(faults(definition)).toHaveLength(1);
  });

  test('value: a required binding', () => {
    const profile = sliced('Observation', C, by('value', 'code'), [
      { path: `${C}.code`, binding: { strength: 'required', valueSet: `${TEST}set` } },
    ]);
    const { findings } = checker([profile], [valueSet('set', { s: ['a', 'b'] })]);
    expect(findings(twice(part('b')))).toEqual(['structure Observation.component']);
    expect(findings(twice(part('c')))).toEqual([]);
  });

  test('several discriminators must all hold', () => {
    const profile = sliced(
      'Patient',
      'Patient.identifier',
      {
        discriminator: [
          { type: 'value', path: 'system' },
          { type: 'value', path: 'use' },
        ],
        rules: 'open',
      },
      [
        { path: 'Patient.identifier.use', fixedCode: 'official' },
        { path: 'Patient.identifier.system', fixedUri: 'u' },
      ],
    );
    const { findings } = checker([profile]);
    expect(findings(identifiers({ use: 'official', system: 'u' }))).toEqual(['structure Patient.identifier']);
    expect(findings(identifiers({ use: 'usual', system: 'u' }))).toEqual([]);
    expect(findings(identifiers({ use: 'official', system: 'v' }))).toEqual([]);
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
