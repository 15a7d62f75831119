/** What a value set holds. @see https://hl7.org/fhir/R4/valueset.html#compositions */
import type { CodeSystem, CodeSystemConcept, ValueSet, ValueSetComposeInclude } from '@medplum/fhirtypes';
import fc from 'fast-check';
import type { TerminologyResource } from '../../../src/fhir/terminology/resources.ts';
import { entryOf, shippedTerminology, terminologyIn } from '../../../src/fhir/terminology/shipped.ts';
import { ANY_VERSION, ValueSets } from '../../../src/fhir/terminology/value-set.ts';

const SYSTEM = 'https://test.example/CodeSystem/animals';

const animals: CodeSystem = {
  resourceType: 'CodeSystem',
  url: SYSTEM,
  version: '1',
  status: 'active',
  content: 'complete',
  valueSet: 'https://test.example/ValueSet/all-animals',
  property: [
    { code: 'legs', type: 'integer' },
    { code: 'status', uri: 'http://hl7.org/fhir/concept-properties#status', type: 'code' },
  ],
  concept: [
    {
      code: 'mammal',
      display: 'Mammal',
      concept: [
        { code: 'dog', display: 'Dog', property: [{ code: 'legs', valueInteger: 4 }] },
        { code: 'whale', display: 'Whale', property: [{ code: 'legs', valueInteger: 0 }] },
      ],
    },
    { code: 'bird', display: 'Bird', concept: [{ code: 'owl', property: [{ code: 'legs', valueInteger: 2 }] }] },
    // Its parent is a property, as in v3.
    { code: 'bat', property: [{ code: 'subsumedBy', valueCode: 'mammal' }] },
    {
      code: 'dodo',
      property: [
        { code: 'subsumedBy', valueCode: 'bird' },
        { code: 'status', valueCode: 'retired' },
      ],
    },
  ],
};

function setOf(
  include: ValueSetComposeInclude[],
  exclude: ValueSetComposeInclude[] = [],
  url = 'https://test.example/ValueSet/x',
): ValueSet {
  return {
    resourceType: 'ValueSet',
    url,
    status: 'active',
    compose: { include, ...(exclude.length > 0 && { exclude }) },
  };
}

function setsWith(...resources: TerminologyResource[]): ValueSets {
  return new ValueSets(terminologyIn([animals, ...resources].map(entryOf)));
}

async function codes(valueSet: ValueSet, ...others: TerminologyResource[]): Promise<string[]> {
  return (await setsWith(...others).members(valueSet)).map(({ code }) => code);
}

const ALL = ['mammal', 'dog', 'whale', 'bird', 'owl', 'bat', 'dodo'];

test.each<[string, string, string, string[]]>([
  ['is-a', 'concept', 'mammal', ['mammal', 'dog', 'whale', 'bat']],
  ['descendent-of', 'concept', 'mammal', ['dog', 'whale', 'bat']],
  ['is-not-a', 'concept', 'mammal', ['bird', 'owl', 'dodo']],
  ['generalizes', 'concept', 'dodo', ['bird', 'dodo']],
  ['=', 'legs', '4', ['dog']],
  ['=', 'display', 'Owl', []],
  ['=', 'parent', 'mammal', ['dog', 'whale', 'bat']],
  ['in', 'code', 'dog, owl', ['dog', 'owl']],
  ['not-in', 'legs', '4,2', ['mammal', 'whale', 'bird', 'bat', 'dodo']],
  ['exists', 'legs', 'true', ['dog', 'whale', 'owl']],
  ['exists', 'legs', 'false', ['mammal', 'bird', 'bat', 'dodo']],
  ['regex', 'code', '[a-z]{3}', ['dog', 'owl', 'bat']],
  ['regex', 'code', '(a|aa)+$', []],
])('the filter %s of %s with %s passes what it says', async (op, property, value, expected) => {
  const filter = [{ op, property, value }] as ValueSetComposeInclude['filter'];
  expect(await codes(setOf([{ system: SYSTEM, filter: filter as never }]))).toEqual(expected);
});

test.each<[string, string, string]>([
  ['an operator that is none', 'like', 'x'],
  ['look-around', 'regex', '(?=a)b'],
  ['a back reference', 'regex', '(a)\\1'],
  ['an open bracket', 'regex', '('],
  ['a long pattern', 'regex', 'a'.repeat(2000)],
  ['exists with a word', 'exists', 'maybe'],
])('a filter with %s is refused', async (_case, op, value) => {
  const filter = [{ op, property: 'code', value }] as never;
  await expect(codes(setOf([{ system: SYSTEM, filter }]))).rejects.toMatchObject({ code: 'business-rule' });
});

test('a regular expression that keeps others busy for ever takes linear time', async () => {
  const long: CodeSystem = { ...animals, url: 'https://test.example/long', concept: [{ code: 'a'.repeat(5000) }] };
  const filter = [{ op: 'regex' as const, property: 'code', value: '(a*)*(a+)+b' }];
  expect(await codes(setOf([{ system: long.url as string, filter }]), long)).toEqual([]);
});

const dogs = setOf(
  [{ system: SYSTEM, concept: [{ code: 'dog', display: 'Hound' }] }],
  [],
  'https://test.example/ValueSet/dogs',
);
const legged = setOf(
  [{ system: SYSTEM, filter: [{ property: 'legs', op: 'exists', value: 'true' }] }],
  [],
  'https://test.example/ValueSet/legged',
);

test.each<[string, ValueSet, string[]]>([
  ['a whole system', setOf([{ system: SYSTEM }]), ALL],
  [
    'several includes, each code once',
    setOf([{ system: SYSTEM, concept: [{ code: 'owl' }] }, { system: SYSTEM }]),
    ['owl', ...ALL.filter((code) => code !== 'owl')],
  ],
  ['another value set', setOf([{ valueSet: [dogs.url as string] }]), ['dog']],
  ['what two value sets share', setOf([{ valueSet: [dogs.url as string, legged.url as string] }]), ['dog']],
  [
    'a system narrowed by a value set',
    setOf([
      {
        system: SYSTEM,
        filter: [{ property: 'concept', op: 'is-a', value: 'bird' }],
        valueSet: [legged.url as string],
      },
    ]),
    ['owl'],
  ],
  [
    'less what is excluded',
    setOf([{ system: SYSTEM }], [{ valueSet: [legged.url as string] }, { system: SYSTEM, concept: [{ code: 'bat' }] }]),
    ['mammal', 'bird', 'dodo'],
  ],
  ['no system that is excluded as a whole', setOf([{ system: SYSTEM }], [{ system: SYSTEM }]), []],
  [
    'active codes, where it says so',
    { ...setOf([{ system: SYSTEM }]), compose: { inactive: false, include: [{ system: SYSTEM }] } },
    ALL.filter((code) => code !== 'dodo'),
  ],
  [
    'an expansion, where there is no definition',
    {
      resourceType: 'ValueSet',
      status: 'active',
      expansion: {
        timestamp: '2025-01-01',
        contains: [{ system: SYSTEM, code: 'bird', abstract: true, contains: [{ system: SYSTEM, code: 'owl' }] }],
      },
    },
    ['bird', 'owl'],
  ],
  ['the value set that a code system names', setOf([{ valueSet: ['https://test.example/ValueSet/all-animals'] }]), ALL],
])('%s is listed, and asking for one code agrees', async (_case, valueSet, expected) => {
  expect(await codes(valueSet, dogs, legged)).toEqual(expected);
  const sets = setsWith(dogs, legged);
  for (const code of [...ALL, 'unicorn']) {
    expect([code, (await sets.holds(valueSet, { system: SYSTEM, code })).is]).toEqual([
      code,
      expected.includes(code) ? 'in' : 'out',
    ]);
  }
});

test('the words of a value set for a code come before those of the system', async () => {
  const [dog] = await setsWith().members(dogs);
  expect(dog).toMatchObject({ display: 'Hound', version: '1' });
});

test('a value set that includes itself, by whatever way, is refused', async () => {
  const a = setOf([{ valueSet: ['https://test.example/ValueSet/b'] }], [], 'https://test.example/ValueSet/a');
  const b = setOf([{ valueSet: ['https://test.example/ValueSet/a'] }], [], 'https://test.example/ValueSet/b');
  await expect(codes(a, a, b)).rejects.toMatchObject({ code: 'business-rule', issues: [{ code: 'processing' }] });
  await expect(setsWith(a, b).holds(a, { system: SYSTEM, code: 'dog' })).rejects.toMatchObject({
    code: 'business-rule',
  });
});

test('a value set that includes one that is not known cannot be used', async () => {
  const importing = setOf([{ valueSet: ['https://test.example/ValueSet/none'] }]);
  await expect(codes(importing)).rejects.toMatchObject({ code: 'business-rule', issues: [{ code: 'not-found' }] });
});

test('a system whose content is not here can be enumerated, and nothing else', async () => {
  const loinc = 'http://loinc.org';
  const listed = setOf([{ system: loinc, concept: [{ code: '8480-6', display: 'Systolic' }] }]);
  expect(await codes(listed)).toEqual(['8480-6']);
  expect((await setsWith().holds(listed, { system: loinc, code: '8480-6' })).is).toBe('in');
  expect((await setsWith().holds(listed, { system: loinc, code: '1' })).is).toBe('out');
  const whole = setOf([{ system: loinc }]);
  await expect(codes(whole)).rejects.toMatchObject({ code: 'business-rule', issues: [{ code: 'not-supported' }] });
  expect((await setsWith().holds(whole, { system: loinc, code: '8480-6' })).is).toBe('unknown');
});

test('the newest active version is meant, unless one is named', async () => {
  const edition = (version: string, status: CodeSystem['status'], code: string): CodeSystem => ({
    ...animals,
    url: 'https://test.example/e',
    version,
    status,
    concept: [{ code }],
  });
  const editions = [edition('9', 'active', 'nine'), edition('10', 'active', 'ten'), edition('11', 'draft', 'eleven')];
  const include = { system: 'https://test.example/e' };
  expect(await codes(setOf([include]), ...editions)).toEqual(['ten']);
  expect(await codes(setOf([{ ...include, version: '9' }]), ...editions)).toEqual(['nine']);
  await expect(codes(setOf([{ ...include, version: '8' }]), ...editions)).rejects.toMatchObject({ code: 'not-found' });
  const resources = terminologyIn(editions.map(entryOf));
  const preferring = new ValueSets(resources, {
    ...ANY_VERSION,
    preferred: new Map([['https://test.example/e', '11']]),
  });
  expect((await preferring.members(setOf([include]))).map(({ code }) => code)).toEqual(['eleven']);
  const checking = new ValueSets(resources, { ...ANY_VERSION, checked: new Map([['https://test.example/e', '9']]) });
  await expect(checking.members(setOf([include]))).rejects.toMatchObject({ code: 'business-rule' });
});

test('a supplement adds words to the codes of its system', async () => {
  const supplement: CodeSystem = {
    resourceType: 'CodeSystem',
    url: 'https://test.example/de',
    status: 'active',
    content: 'supplement',
    supplements: SYSTEM,
    concept: [{ code: 'dog', designation: [{ language: 'de', value: 'Hund' }] }, { code: 'unicorn' }],
  };
  const members = await setsWith(supplement).members(setOf([{ system: SYSTEM }]));
  expect(members.find(({ code }) => code === 'dog')?.designations).toEqual([{ language: 'de', value: 'Hund' }]);
  expect(members.map(({ code }) => code)).toEqual(ALL);
});

test('a code system whose hierarchy runs in circles is walked once', async () => {
  const circle: CodeSystemConcept[] = Array.from({ length: 2000 }, (_, at) => ({
    code: `c${at}`,
    property: [{ code: 'parent', valueCode: `c${(at + 1) % 2000}` }],
  }));
  const system: CodeSystem = { ...animals, url: 'https://test.example/circle', concept: circle };
  const filter = [{ property: 'concept', op: 'is-a' as const, value: 'c0' }];
  expect(await codes(setOf([{ system: system.url as string, filter }]), system)).toHaveLength(2000);
});

const shipped = shippedTerminology();

test.each([
  'http://hl7.org/fhir/ValueSet/administrative-gender',
  'http://hl7.org/fhir/ValueSet/patient-contactrelationship',
  'http://hl7.org/fhir/ValueSet/observation-status',
  'http://hl7.org/fhir/ValueSet/encounter-participant-type',
  'http://terminology.hl7.org/ValueSet/v3-ActEncounterCode',
  'http://terminology.hl7.org/ValueSet/v3-Confidentiality',
  'http://terminology.hl7.org/ValueSet/v2-0001',
  'http://hl7.org/fhir/ValueSet/security-labels',
  'http://hl7.org/fhir/ValueSet/iso3166-1-3',
])('every code that %s lists is in it, and codes of others are not', async (url) => {
  const sets = new ValueSets(shipped);
  const valueSet = await sets.valueSet(url);
  const members = await sets.members(valueSet);
  expect(members.length).toBeGreaterThan(0);
  const keys = new Set(members.map(({ system, code }) => `${system}|${code}`));
  const codesOfAll = fc.constantFrom(...members, { system: SYSTEM, code: 'dog' });
  await fc.assert(
    fc.asyncProperty(
      codesOfAll,
      fc.constantFrom('', 'x', '-1'),
      fc.boolean(),
      async ({ system, code }, suffix, swap) => {
        const asked = { system: swap ? 'https://test.example/other' : system, code: code + suffix };
        const { is } = await sets.holds(valueSet, asked);
        expect(is).toBe(keys.has(`${asked.system}|${asked.code}`) ? 'in' : 'out');
      },
    ),
    { numRuns: 200 },
  );
});

test('where a definition needs content that is not here, the stored expansion stands, if it is whole', async () => {
  const code = (text: string) => ({ system: 'http://snomed.info/sct', code: text });
  const ofSnomed: ValueSet = {
    ...setOf([{ system: 'http://snomed.info/sct', filter: [{ property: 'concept', op: 'is-a', value: '1' }] }]),
    expansion: { timestamp: '2026-01-01', total: 2, contains: [{ ...code('a'), contains: [code('b')] }] },
  };
  expect(await codes(ofSnomed)).toEqual(['a', 'b']);
  const sets = setsWith();
  expect(await sets.holds(ofSnomed, code('b'))).toMatchObject({ is: 'in' });
  expect(await sets.holds(ofSnomed, code('c'))).toEqual({ is: 'out' });
  const part = { ...ofSnomed, expansion: { timestamp: '2026-01-01', total: 9, contains: [code('a')] } };
  await expect(codes(part)).rejects.toThrow('content');
  expect(await sets.holds(part, code('c'))).toMatchObject({ is: 'unknown' });
});
