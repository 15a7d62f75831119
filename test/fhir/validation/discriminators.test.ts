import type { StructureDefinition } from '@medplum/fhirtypes';
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
import { by, code, observation, part, sliced } from './slices.ts';

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
