/** @see https://hl7.org/fhir/R4/search.html#return */
import fc from 'fast-check';
import { Failure } from '../../../src/fhir/failure.ts';
import { parseSearch, selfLink } from '../../../src/fhir/search/query.ts';
import { now, parsed, plain, refusal, registry } from './parsed.ts';

test('3.1.1.5.1 sorting: several keys, in one parameter or in several', () => {
  const keys = [
    { parameter: 'Observation.status', descending: false },
    { parameter: 'Observation.date', descending: true },
    { parameter: 'Observation.value-quantity', descending: false },
    { parameter: 'Observation.subject', descending: true },
    { parameter: 'Observation._profile', descending: false },
  ];
  expect(plain(parsed('Observation?_sort=status,-date,value-quantity,-subject,_profile').sort)).toEqual(keys);
  expect(plain(parsed('Observation?_sort=status,-date&_sort=value-quantity,-subject&_sort=_profile').sort)).toEqual(
    keys,
  );
});

test('3.1.1.5.1 sorting: of several keys those that are known, where handling is lenient', () => {
  const query = parsed('Observation?_sort=status,bogus,-date', { strict: false });
  expect(query.used).toEqual([['_sort', 'status,-date']]);
  expect(query.ignored).toMatchObject([{ expression: 'http._sort', message: 'MSG_SORT_UNKNOWN' }]);
});

test('3.1.1.5.2 and 3.1.1.5.3: totals and counts', () => {
  expect(parsed('Encounter')).toMatchObject({ count: 20, total: 'as-it-comes', countOnly: false });
  expect(parsed('Encounter?_total=none').total).toBe('none');
  expect(parsed('Encounter?_count=5&_total=accurate')).toMatchObject({ count: 5, total: 'accurate' });
  expect(parsed('Encounter?_total=estimate').total).toBe('estimate');
  expect(parsed('Encounter?_count=0').countOnly).toBe(true);
  expect(parsed('Encounter?_summary=count').countOnly).toBe(true);
});

test('3.1.1.5.3 page count: the self link says what was used', () => {
  const query = parsed('Encounter?_count=1000000');
  expect(query.count).toBe(1000);
  expect(selfLink(query).toString()).toBe('_count=1000');
});

test('3.1.1.5.4 including: with targets, iterating, and both ways', () => {
  const url =
    'Encounter?_include=Encounter:patient&_include=Encounter:subject:Group&_revinclude=Procedure:encounter:Encounter&_include:iterate=Patient:organization&_revinclude:recurse=Provenance:target';
  expect(plain(parsed(url).includes)).toEqual([
    { direction: 'forward', parameter: 'Encounter.patient', iterate: false },
    { direction: 'forward', parameter: 'Encounter.subject', target: 'Group', iterate: false },
    { direction: 'reverse', parameter: 'Procedure.encounter', target: 'Encounter', iterate: false },
    { direction: 'forward', parameter: 'Patient.organization', iterate: true },
    { direction: 'reverse', parameter: 'Provenance.target', iterate: true },
  ]);
});

test('3.1.1.5.4 including: a wildcard is every reference once', () => {
  const codes = (url: string) => parsed(url).includes.map(({ parameter }) => `${parameter.type}:${parameter.code}`);
  expect(codes('Observation?_include=*')).toEqual(codes('Observation?_include=Observation:*'));
  expect(codes('Observation?_include=*')).toEqual(
    expect.arrayContaining(['Observation:subject', 'Observation:encounter']),
  );
  expect(codes('Observation?_include=*')).not.toContain('Observation:patient');
  expect(codes('Patient?_revinclude=*')).toEqual(expect.arrayContaining(['Observation:subject', 'Provenance:target']));
  expect(codes('Patient?_revinclude=*')).not.toContain('Observation:encounter');
  expect(codes('Patient?_revinclude=Observation:*').toSorted()).toEqual([
    'Observation:focus',
    'Observation:performer',
    'Observation:subject',
  ]);
});

test.each([
  ['Observation?_include=Patient:organization', 'http._include'],
  ['Organization?_revinclude=Observation:patient', 'http._revinclude'],
])('3.1.1.5.4 including: %s adds nothing without :iterate, and the answer says so', (url, expression) => {
  expect(parsed(url)).toMatchObject({ includes: [], ignored: [{ severity: 'warning', expression }] });
});

test('3.1.1.5.5 contained resources are not searched for', () => {
  expect(parsed('Medication?_contained=false&_containedType=container').filters).toEqual([]);
  expect(refusal('Medication?_contained=both').issues[0]?.code).toBe('not-supported');
});

test.each<[string, object | undefined]>([
  ['_summary=true', { kind: 'summary' }],
  ['_summary=text', { kind: 'text' }],
  ['_summary=data', { kind: 'data' }],
  ['_summary=false', undefined],
  [
    '_elements=identifier,active,link',
    { kind: 'elements', elements: [{ path: 'identifier' }, { path: 'active' }, { path: 'link' }] },
  ],
  [
    '_elements=Patient.name,gender',
    { kind: 'elements', elements: [{ path: 'name', type: 'Patient' }, { path: 'gender' }] },
  ],
])('3.1.1.5.8 summary and 3.1.1.5.9 elements: %s', (query, view) => {
  expect(parsed(`Patient?${query}`).view).toEqual(view);
});

test('3.1.1.5.8 summary: text cannot be mixed with includes, nor a summary with elements', () => {
  expect(refusal('Patient?_summary=text&_revinclude=Provenance:target').issues).toMatchObject([
    { expression: 'http._summary' },
  ]);
  expect(refusal('Patient?_summary=true&_elements=id').issues).toMatchObject([{ expression: 'http._elements' }]);
});

test('3.1.1.6 the self link repeats what was used, and nothing else', () => {
  const query = parsed('Patient?name=a%2Cb&bogus=1&_format=json&_cursor=abc&_count=3&gender=', { strict: false });
  expect(selfLink(query).toString()).toBe('name=a%2Cb&_count=3');
  expect(query.cursor).toBe('abc');
  expect(query.ignored.map(({ expression }) => expression)).toEqual(['http.bogus', 'http.gender']);
});

const NAMES = [
  'code',
  'code:in',
  'code:text',
  'code:not',
  'date',
  'date:missing',
  'patient',
  'subject.name',
  'subject:Patient.birthdate',
  'value-quantity',
  'combo-code-value-quantity',
  'identifier:of-type',
  'subject:identifier',
  '_has:Provenance:target:agent',
  '_id',
  '_lastUpdated',
  '_tag',
  '_profile:below',
  '_source',
  '_list',
  '_text',
  '_content',
  '_filter',
  '_sort',
  '_include',
  '_revinclude',
  '_include:iterate',
  '_count',
  '_total',
  '_summary',
  '_elements',
  '_type',
  '_contained',
];
const VALUES = [
  'a',
  'a|b',
  '|b',
  'a|',
  '5.4|http://unitsofmeasure.org|mg',
  'gt5',
  '2025-01',
  'ge2025-01-01T10:00+02:00',
  'Patient/1',
  'http://x|1',
  'true',
  'false',
  'a$5',
  'a,b',
  'a\\,b',
  '*',
  'Observation:subject',
  'Observation:*',
  '-date,code',
  'code,status',
  'none',
  'text',
  '0',
  '7',
  'List/1',
  'code eq a and (date ge 2025 or not(status eq "final"))',
  "' OR 1=1--",
  '(a+)+$',
];

const given = fc.array(
  fc.tuple(
    fc.oneof(fc.constantFrom(...NAMES), fc.string({ unit: 'binary' })),
    fc.oneof(
      fc.constantFrom(...VALUES),
      fc.string({ unit: 'binary' }),
      fc.array(fc.constantFrom(...VALUES), { maxLength: 4 }).map((all) => all.join(' ')),
    ),
  ),
  { maxLength: 5 },
);

test('the self link of a search is the same search', () => {
  fc.assert(
    fc.property(given, fc.constantFrom('Observation', 'Patient', ''), (params, type) => {
      let query: ReturnType<typeof parseSearch>;
      try {
        query = parseSearch(type, params, registry, { strict: false, now });
      } catch (error) {
        if (error instanceof Failure) return;
        throw error;
      }
      const again = parseSearch(type, selfLink(query), registry, { strict: true, now });
      // What is used may still be worth a warning; what was left out is not in the link.
      const { cursor: _, ignored: __, ...rest } = query;
      const { ignored: ___, ...same } = again;
      expect(same).toEqual(rest);
    }),
    { numRuns: 300 },
  );
});

test('no text makes the parser fail in another way than by refusing', () => {
  fc.assert(
    fc.property(given, fc.constantFrom('Observation', 'Provenance', ''), fc.boolean(), (params, type, strict) => {
      try {
        parseSearch(type, params, registry, { strict, now });
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
      }
    }),
    { numRuns: 500 },
  );
});

test.each<[string, string]>([
  ['nested parentheses', `_filter=${'('.repeat(20_000)}`],
  ['many conditions', `_filter=${Array(2000).fill('status eq final').join(' and ')}`],
  ['a filter through every type', `_filter=${'focus.'.repeat(50)}_id eq a`],
  ['a chain through every type', `${'focus.'.repeat(500)}_id=a`],
  ['many reverse chains', `${'_has:Observation:focus:'.repeat(500)}code=a`],
  ['a long number', `value-quantity=${'9'.repeat(30_000)}`],
  ['a large exponent', 'value-quantity=1e999'],
  ['backslashes', `code=${'\\\\'.repeat(10_000)}`],
  ['a regular expression', `code:text=${'(a+)+'.repeat(800)}`],
  ['a long unit', `value-quantity=5|http://unitsofmeasure.org|${'(m.'.repeat(1000)}`],
])('%s take no time to refuse or to read', (_case, query) => {
  const from = performance.now();
  try {
    parsed(`Observation?${query}`);
  } catch (error) {
    expect(error).toBeInstanceOf(Failure);
  }
  expect(performance.now() - from).toBeLessThan(3000);
});
