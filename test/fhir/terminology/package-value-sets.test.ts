/** What the value sets of a package allow in a binding. @see https://hl7.org/fhir/R4/valueset.html#compositions */
import type { CodeSystem, Resource, ValueSet, ValueSetComposeInclude, ValueSetExpansion } from '@medplum/fhirtypes';
import fc from 'fast-check';
import { valueSetOf } from '../../../src/fhir/definitions.ts';
import { digestValueSets } from '../../../src/fhir/profiles/value-sets.ts';

const COLOURS = 'https://test.example/CodeSystem/colours';
const SNOMED = 'http://snomed.info/sct';
const X = 'https://test.example/ValueSet/x';

const colours: CodeSystem = {
  resourceType: 'CodeSystem',
  url: COLOURS,
  version: '2',
  status: 'active',
  content: 'complete',
  valueSet: 'https://test.example/ValueSet/all-colours',
  concept: [
    {
      code: 'red',
      display: 'Red',
      concept: [{ code: 'crimson' }, { code: 'scarlet', property: [{ code: 'status', valueCode: 'retired' }] }],
    },
    { code: 'blue', concept: [{ code: 'navy', property: [{ code: 'dark', valueBoolean: true }] }] },
  ],
};

function setOf(
  include: ValueSetComposeInclude[],
  exclude?: ValueSetComposeInclude[],
  more: Partial<ValueSet> = {},
): ValueSet {
  return {
    resourceType: 'ValueSet',
    url: X,
    status: 'active',
    compose: { include, ...(exclude && { exclude }) },
    ...more,
  };
}

function digest(valueSet: ValueSet, ...others: Resource[]) {
  const [found] = digestValueSets([valueSet.url ?? ''], [valueSet, colours, ...others]);
  if (found === undefined) throw new Error('every canonical has a digest');
  return found;
}

const coloursOf = (valueSet: ValueSet, ...others: Resource[]) => digest(valueSet, ...others).codes[COLOURS] ?? [];

test.each<[string, ValueSetComposeInclude, readonly string[]]>([
  ['a whole code system', {}, ['red', 'crimson', 'scarlet', 'blue', 'navy']],
  ['listed codes, known or not', { concept: [{ code: 'red' }, { code: 'ochre' }] }, ['red', 'ochre']],
  ['is-a', { filter: [{ property: 'concept', op: 'is-a', value: 'red' }] }, ['red', 'crimson', 'scarlet']],
  ['descendent-of', { filter: [{ property: 'concept', op: 'descendent-of', value: 'red' }] }, ['crimson', 'scarlet']],
  ['is-not-a', { filter: [{ property: 'concept', op: 'is-not-a', value: 'red' }] }, ['blue', 'navy']],
  ['equality of a property', { filter: [{ property: 'dark', op: '=', value: 'true' }] }, ['navy']],
  ['a regular expression', { filter: [{ property: 'code', op: 'regex', value: '.*l.*' }] }, ['scarlet', 'blue']],
  [
    'several filters, which must all hold',
    {
      filter: [
        { property: 'concept', op: 'is-a', value: 'red' },
        { property: 'code', op: 'regex', value: 'c.*' },
      ],
    },
    ['crimson'],
  ],
])('%s is listed', (_about, part, expected) => {
  const found = digest(setOf([{ system: COLOURS, ...part }]));
  expect(found.codes[COLOURS]).toEqual(expected);
  expect(found).toMatchObject({ open: [], unknown: false });
});

test.each<[string, ValueSetComposeInclude]>([
  ['a system that is not here', { system: SNOMED }],
  [
    'a filter over a system that is not here',
    { system: SNOMED, filter: [{ property: 'concept', op: 'is-a', value: '138875005' }] },
  ],
  ['another version of the system', { system: COLOURS, version: '3' }],
  [
    'a concept that this edition has not',
    { system: COLOURS, filter: [{ property: 'concept', op: 'is-a', value: 'green' }] },
  ],
  ['a filter that is none', { system: COLOURS, filter: [{ property: 'code', op: 'regex', value: '(?<=a)b' }] }],
])('%s is open: no code of the system is refused', (_about, part) => {
  const found = digest(setOf([part]));
  expect(found.open).toEqual([part.system]);
  const set = valueSetOf(found);
  expect(set.enumerable).toBe(false);
  expect(set.allows(part.system, 'anything')).toBe(true);
  expect(set.allows('https://test.example/other', 'anything')).toBe(false);
});

test('a fragment of a code system is open, a set of it by listed codes is not', () => {
  const fragment: CodeSystem = { ...colours, url: `${COLOURS}-part`, content: 'fragment' };
  expect(digest(setOf([{ system: fragment.url ?? '' }]), fragment).open).toEqual([fragment.url]);
  expect(digest(setOf([{ system: fragment.url ?? '', concept: [{ code: 'red' }] }]), fragment).open).toEqual([]);
});

test('system and value sets of one include narrow each other, several includes add up', () => {
  const reds = setOf([{ system: COLOURS, filter: [{ property: 'concept', op: 'is-a', value: 'red' }] }], undefined, {
    url: 'https://test.example/ValueSet/reds',
    version: '1',
  });
  const scarletAndNavy: ValueSetComposeInclude = { system: COLOURS, concept: [{ code: 'scarlet' }, { code: 'navy' }] };
  expect(coloursOf(setOf([{ ...scarletAndNavy, valueSet: [reds.url ?? ''] }]), reds)).toEqual(['scarlet']);
  expect(coloursOf(setOf([scarletAndNavy, { valueSet: [`${reds.url}|1`] }]), reds)).toEqual([
    'scarlet',
    'navy',
    'red',
    'crimson',
  ]);
});

test.each<[string, ValueSetComposeInclude, readonly string[]]>([
  ['listed codes', { system: COLOURS, concept: [{ code: 'red' }] }, ['crimson', 'scarlet', 'blue', 'navy']],
  [
    'what a filter finds',
    { system: COLOURS, filter: [{ property: 'concept', op: 'is-a', value: 'red' }] },
    ['blue', 'navy'],
  ],
  ['a whole system', { system: COLOURS }, []],
])('%s may be excluded', (_about, exclude, expected) => {
  expect(coloursOf(setOf([{ system: COLOURS }], [exclude]))).toEqual(expected);
});

test('codes that are left out of an open system by name are refused, all others are not', () => {
  const set = valueSetOf(digest(setOf([{ system: SNOMED }], [{ system: SNOMED, concept: [{ code: '64572001' }] }])));
  expect(set.allows(SNOMED, '64572001')).toBe(false);
  expect(set.allows(SNOMED, '404684003')).toBe(true);
  const whole = valueSetOf(digest(setOf([{ system: SNOMED }, { system: COLOURS }], [{ system: SNOMED }])));
  expect(whole.allows(SNOMED, '404684003')).toBe(false);
  expect(whole.allows(COLOURS, 'red')).toBe(true);
});

test('inactive codes go where the set says so', () => {
  const active = setOf([{ system: COLOURS }]);
  expect(
    coloursOf({ ...active, compose: { ...active.compose, include: [{ system: COLOURS }], inactive: false } }),
  ).toEqual(['red', 'crimson', 'blue', 'navy']);
});

const EXPANSION: ValueSetExpansion = {
  timestamp: '2026-01-01',
  contains: [
    { system: SNOMED, code: 'group', abstract: true, contains: [{ system: SNOMED, code: 'a' }] },
    { display: 'a heading', contains: [{ system: SNOMED, code: 'b' }] },
  ],
};

test('the stored expansion says what the definition cannot', () => {
  const open = [{ system: SNOMED, filter: [{ property: 'concept', op: 'is-a' as const, value: '1' }] }];
  expect(digest(setOf(open, undefined, { expansion: EXPANSION }))).toMatchObject({
    codes: { [SNOMED]: expect.arrayContaining(['a', 'b']) },
    open: [],
    unknown: false,
  });
});

test('an expansion that is not whole says nothing', () => {
  const partial: ValueSetExpansion[] = [
    { ...EXPANSION, total: 100 },
    { ...EXPANSION, offset: 10 },
    { ...EXPANSION, parameter: [{ name: 'limitedExpansion', valueBoolean: true }] },
    { ...EXPANSION, parameter: [{ name: 'filter', valueString: 'a' }] },
    {
      ...EXPANSION,
      extension: [{ url: 'http://hl7.org/fhir/StructureDefinition/valueset-toocostly', valueBoolean: true }],
    },
  ];
  for (const expansion of partial) {
    const found = digest({ resourceType: 'ValueSet', url: X, status: 'active', expansion });
    expect(found).toEqual({ url: X, codes: {}, open: [], unknown: true });
  }
});

test('a set that is not here, of another version, or in a circle refuses nothing', () => {
  const circle = setOf([{ valueSet: ['https://test.example/ValueSet/y'] }]);
  const back = setOf([{ valueSet: [X] }], undefined, { url: 'https://test.example/ValueSet/y' });
  expect(digest(circle, back).unknown).toBe(true);
  const [absent, otherVersion] = digestValueSets(['https://test.example/nowhere', `${X}|9`], [setOf([]), colours]);
  expect(absent?.unknown).toBe(true);
  expect(otherVersion).toMatchObject({ url: `${X}|9`, unknown: true });
});

test('the value set of all codes of a system, and those of SNOMED CT by their url, need no definition', () => {
  const [all, snomed] = digestValueSets(
    ['https://test.example/ValueSet/all-colours', 'http://snomed.info/sct?fhir_vs=isa/138875005'],
    [colours],
  );
  expect(all?.codes[COLOURS]).toHaveLength(5);
  expect(snomed).toMatchObject({ open: [SNOMED], unknown: false });
});

test('the package comes before what is shipped, and what is shipped fills in', () => {
  const GENDER = 'http://hl7.org/fhir/ValueSet/administrative-gender';
  const own = setOf([{ system: COLOURS, concept: [{ code: 'red' }] }], undefined, { url: GENDER });
  expect(digestValueSets([GENDER], [own])[0]?.codes).toEqual({ [COLOURS]: ['red'] });
  expect(digestValueSets([GENDER], [])[0]?.codes).toEqual({
    'http://hl7.org/fhir/administrative-gender': ['male', 'female', 'other', 'unknown'],
  });
  const guide = 'https://kap.example.org/fhir/ValueSet/kap-import-tag';
  expect(Object.values(digestValueSets([guide], [])[0]?.codes ?? {})).toEqual([['profile-not-met']]);
});

test('sets within sets are followed, and without end allow everything', () => {
  const url = (at: number) => `https://test.example/ValueSet/${at}`;
  const chain = Array.from({ length: 3000 }, (_, at) =>
    setOf(at === 0 ? [{ system: COLOURS }] : [{ valueSet: [url(at - 1)] }], undefined, { url: url(at) }),
  );
  const [deep, endless] = digestValueSets([url(100), url(2999)], [...chain, colours]);
  expect(deep?.codes[COLOURS]).toHaveLength(5);
  expect(endless?.unknown).toBe(true);
});

test('sets that include each other many times over are looked at once', () => {
  const url = (at: number) => `https://test.example/ValueSet/${at}`;
  const tower = Array.from({ length: 30 }, (_, at) =>
    setOf(at === 0 ? [{ system: COLOURS }] : [{ valueSet: [url(at - 1)] }, { valueSet: [url(at - 1)] }], undefined, {
      url: url(at),
    }),
  );
  expect(digestValueSets([url(29)], [...tower, colours])[0]?.codes[COLOURS]).toHaveLength(5);
});

test('what is allowed is never less than what the definition holds, whatever is left out of the package', () => {
  const code = fc.constantFrom('red', 'crimson', 'scarlet', 'blue', 'navy');
  const part = fc.oneof(
    fc.constant<ValueSetComposeInclude>({ system: COLOURS }),
    fc
      .uniqueArray(code, { minLength: 1 })
      .map((list) => ({ system: COLOURS, concept: list.map((each) => ({ code: each })) })),
    code.map((value) => ({ system: COLOURS, filter: [{ property: 'concept', op: 'is-a' as const, value }] })),
  );
  fc.assert(
    fc.property(
      fc.array(part, { minLength: 1, maxLength: 3 }),
      fc.array(part, { maxLength: 2 }),
      (include, exclude) => {
        const set = setOf(include, exclude.length === 0 ? undefined : exclude);
        const all = valueSetOf(digest(set));
        const [bare] = digestValueSets([X], [set]);
        if (bare === undefined) throw new Error('every canonical has a digest');
        const without = valueSetOf(bare);
        for (const each of all.codes) expect(without.allows(COLOURS, each)).toBe(true);
      },
    ),
  );
});

test('languages are a grammar: no list of them is whole', () => {
  const [languages] = digestValueSets(['http://hl7.org/fhir/ValueSet/all-languages'], []);
  expect(languages).toMatchObject({ codes: {}, open: ['urn:ietf:bcp:47'] });
});

describe('codes of a system with caseSensitive false', () => {
  const SHOUTED = 'https://test.example/CodeSystem/shouted';
  const shouted: CodeSystem = {
    resourceType: 'CodeSystem',
    url: SHOUTED,
    status: 'active',
    content: 'complete',
    caseSensitive: false,
    concept: [{ code: 'Red' }, { code: 'BLUE' }, { code: 'green' }],
  };
  const allowed = (valueSet: ValueSet, ...others: Resource[]) => {
    const found = valueSetOf(digest(valueSet, shouted, ...others));
    return ['red', 'RED', 'Blue', 'Green', 'pink'].filter((code) => found.allows(SHOUTED, code));
  };

  test.each<[string, ValueSetComposeInclude[], ValueSetComposeInclude[], string[]]>([
    ['the whole system', [{ system: SHOUTED }], [], ['red', 'RED', 'Blue', 'Green']],
    ['a list', [{ system: SHOUTED, concept: [{ code: 'rED' }] }], [], ['red', 'RED']],
    [
      'what is left out in another case',
      [{ system: SHOUTED }],
      [{ system: SHOUTED, concept: [{ code: 'RED' }] }],
      ['Blue', 'Green'],
    ],
  ])('are allowed in any case: %s', (_what, include, exclude, codes) => {
    expect(allowed(setOf(include, exclude.length === 0 ? undefined : exclude))).toEqual(codes);
  });

  test('are the same in sets that narrow each other', () => {
    const other = setOf([{ system: SHOUTED, concept: [{ code: 'blue' }] }], undefined, { url: `${X}/other` });
    const both = setOf([{ system: SHOUTED, concept: [{ code: 'Blue' }, { code: 'red' }], valueSet: [`${X}/other`] }]);
    expect(allowed(both, other)).toEqual(['Blue']);
  });

  test('are the same in an expansion', () => {
    const expansion = { timestamp: '2026-01-01', contains: [{ system: SHOUTED, code: 'red' }] };
    expect(allowed({ ...setOf([]), compose: undefined as never, expansion })).toEqual(['red', 'RED']);
  });

  test('lend that to no other system of the set', () => {
    const mixed = valueSetOf(digest(setOf([{ system: SHOUTED }, { system: COLOURS }]), shouted));
    expect([mixed.allows(COLOURS, 'NAVY'), mixed.codes.has('NAVY'), mixed.codes.has('GREEN')]).toEqual([
      false,
      false,
      true,
    ]);
  });
});
