import fc from 'fast-check';
import { loadDefinitions } from '../../src/fhir/definitions.ts';
import { Failure } from '../../src/fhir/failure.ts';
import { searchParameterRegistry } from '../../src/fhir/search-parameters.ts';
import { parseSearch, type SearchFilter, type SearchQuery, selfLink } from '../../src/fhir/search-query.ts';

const registry = searchParameterRegistry(loadDefinitions());
const now = Date.parse('2026-01-01T00:00:00Z');

function parsed(url: string, strict = true): SearchQuery {
  const [type = '', query = ''] = url.split('?');
  const options = { strict, now, baseUrl: 'https://clinic.example/fhir' };
  return parseSearch(type, new URLSearchParams(query), registry, options);
}

function filter(url: string): SearchFilter {
  const [only, ...others] = parsed(url).filters;
  expect(others).toEqual([]);
  return only as SearchFilter;
}

function refusal(url: string, strict = true): Failure {
  try {
    parsed(url, strict);
  } catch (error) {
    if (error instanceof Failure) return error;
    throw error;
  }
  throw new Error(`${url} was not refused`);
}

test.each<[string, unknown]>([
  ['code', [{ code: 'code' }]],
  ['http://loinc.org|1-2', [{ system: 'http://loinc.org', code: '1-2' }]],
  ['|1-2', [{ system: '', code: '1-2' }]],
  ['http://loinc.org|', [{ system: 'http://loinc.org' }]],
  ['a,b|c', [{ code: 'a' }, { system: 'b', code: 'c' }]],
  ['a\\,b,c\\|d,e\\\\f,g\\$h', [{ code: 'a,b' }, { code: 'c|d' }, { code: 'e\\f' }, { code: 'g$h' }]],
])('token %s', (value, values) => {
  expect(filter(`Observation?code=${encodeURIComponent(value)}`)).toMatchObject({ kind: 'token', not: false, values });
});

test('the system of a plain code is that of its value set, and no other', () => {
  const value = (text: string) => filter(`Encounter?status=${encodeURIComponent(text)}`);
  expect(value('http://hl7.org/fhir/encounter-status|finished')).toMatchObject({
    values: [{ system: '', code: 'finished' }],
  });
  expect(value('http://x|finished')).toMatchObject({ values: [{ system: 'http://x', code: 'finished' }] });
});

test.each<[string, unknown]>([
  ['Patient/p1', ['Patient/p1']],
  ['Patient/p1/_history/2', ['Patient/p1']],
  ['https://clinic.example/fhir/Patient/p1', ['Patient/p1']],
  ['https://other.example/fhir/Patient/p1', ['https://other.example/fhir/Patient/p1']],
  ['urn:uuid:1', ['urn:uuid:1']],
])('reference %s', (value, values) => {
  expect(filter(`Observation?patient=${encodeURIComponent(value)}`)).toMatchObject({ kind: 'reference', values });
});

test('an id alone stands for each type that the parameter may name', () => {
  expect(filter('Observation?patient=p1')).toMatchObject({ values: ['Patient/p1'] });
  expect(filter('Observation?subject=p1')).toMatchObject({
    values: ['Group/p1', 'Device/p1', 'Patient/p1', 'Location/p1'],
  });
  expect(filter('Observation?subject:Device=p1')).toMatchObject({ values: ['Device/p1'] });
  expect(refusal('Observation?subject:Device=Patient/p1').issues[0]?.code).toBe('value');
});

test.each([
  ['2025', 'eq', '2025-01-01T00:00:00.000Z', '2025-12-31T23:59:59.999Z'],
  ['ge2025-02', 'ge', '2025-02-01T00:00:00.000Z', '2025-02-28T23:59:59.999Z'],
  ['lt2024-02-29', 'lt', '2024-02-29T00:00:00.000Z', '2024-02-29T23:59:59.999Z'],
  ['2025-03-09T10:00', 'eq', '2025-03-09T10:00:00.000Z', '2025-03-09T10:00:59.999Z'],
  ['sa2025-03-09T10:00:00+02:00', 'sa', '2025-03-09T08:00:00.000Z', '2025-03-09T08:00:00.999Z'],
  ['eb2025-03-09T10:00:00.5Z', 'eb', '2025-03-09T10:00:00.500Z', '2025-03-09T10:00:00.599Z'],
  ['0099-12', 'eq', '0099-12-01T00:00:00.000Z', '0099-12-31T23:59:59.999Z'],
])('date %s covers what its precision says, in UTC', (value, prefix, low, high) => {
  expect(filter(`Observation?date=${encodeURIComponent(value)}`)).toMatchObject({
    values: [{ prefix, low: Date.parse(low), high: Date.parse(high) }],
  });
});

test('a plus sign that was not encoded is still a zone', () => {
  expect(filter('Observation?date=2025-03-09T10:00:00+02:00')).toEqual(filter('Observation?date=2025-03-09T08:00:00Z'));
});

test('an approximate date reaches a tenth of its distance from now', () => {
  const gap = (now - Date.parse('2025-01-01')) / 10;
  expect(filter('Observation?date=ap2025-01-01')).toMatchObject({
    values: [{ low: Date.parse('2025-01-01') - gap, high: Date.parse('2025-01-02') - 1 + gap }],
  });
});

test.each([
  ['5.40', 5.4, 5.395, 5.405],
  ['100', 100, 99.5, 100.5],
  ['1e2', 100, 50, 150],
  ['-3', -3, -3.5, -2.5],
  ['0.1', 0.1, 0.05, 0.15],
])('number %s reaches half of its last digit to each side', (value, number, low, high) => {
  expect(filter(`RiskAssessment?probability=${value}`)).toMatchObject({ values: [{ value: number, low, high }] });
});

test('a quantity has a system and a code, or a unit', () => {
  expect(filter('Observation?value-quantity=gt5|http://unitsofmeasure.org|mg')).toMatchObject({
    values: [{ prefix: 'gt', value: 5, system: 'http://unitsofmeasure.org', code: 'mg' }],
  });
  expect(filter('Observation?value-quantity=5||mg').kind).toBe('quantity');
});

test('modifiers say how to compare', () => {
  expect(filter('Patient?family:exact=Müller')).toMatchObject({ match: 'exact', values: ['Müller'] });
  expect(filter('Patient?family:contains=Müll')).toMatchObject({ match: 'contains', values: ['mull'] });
  expect(filter('Patient?family=Müll')).toMatchObject({ match: 'prefix', values: ['mull'] });
  expect(filter('Encounter?status:not=finished')).toMatchObject({ not: true });
  expect(filter('Encounter?date:missing=true')).toMatchObject({ kind: 'missing', missing: true });
});

test('the answer is described by control parameters', () => {
  const url =
    'Encounter?_sort=-date,status&_count=5&_total=accurate&_include=Encounter:patient&_revinclude=Procedure:encounter:Encounter';
  expect(parsed(url)).toMatchObject({
    count: 5,
    total: 'accurate',
    countOnly: false,
    sort: [
      { parameter: { code: 'date' }, descending: true },
      { parameter: { code: 'status' }, descending: false },
    ],
    includes: [
      { direction: 'forward', parameter: { code: 'patient' } },
      { direction: 'reverse', parameter: { type: 'Procedure', code: 'encounter' }, target: 'Encounter' },
    ],
  });
  expect(parsed('Encounter').count).toBe(20);
  expect(parsed('Encounter?_count=1000000').count).toBe(1000);
  expect(parsed('Encounter?_count=0').countOnly).toBe(true);
  expect(parsed('Encounter?_summary=count').countOnly).toBe(true);
});

test('the self link repeats what was used, and nothing else', () => {
  const query = parsed('Patient?name=a%2Cb&bogus=1&_format=json&_cursor=abc&_count=3', false);
  expect(selfLink(query).toString()).toBe('name=a%2Cb&_count=3');
  expect(query.cursor).toBe('abc');
  expect(query.ignored).toMatchObject([{ severity: 'warning', code: 'invalid', expression: 'http.bogus' }]);
});

test.each([
  ['Observation?dat=2025', 'invalid', 'http.dat', /Did you mean date,/],
  ['Observation?_sort=dat', 'invalid', 'http._sort', /date/],
  ['Observation?date=yesterday', 'value', 'http.date', /YYYY/],
  ['Observation?date=2025-02-30', 'value', 'http.date', /YYYY/],
  ['Observation?date=xx2025', 'value', 'http.date', /YYYY/],
  ['Observation?value-quantity=five', 'value', 'http.value-quantity', /number/],
  ['RiskAssessment?probability=1|a', 'value', 'http.probability', /alone/],
  ['Observation?code=|', 'value', 'http.code', /system or a code/],
  ['Observation?code=a|b|c', 'value', 'http.code', /token/],
  ['Observation?code=a,,b', 'value', 'http.code', /empty/],
  ['Observation?code=', 'value', 'http.code', /no value/],
  ['Observation?code=a%00b', 'value', 'http.code', /NUL/],
  [`Observation?code=${'x'.repeat(5000)}`, 'value', 'http.code', /characters/],
  ['Observation?patient=not an id', 'value', 'http.patient', /reference/],
  ['Patient?name=%20', 'value', 'http.name', /letter/],
  ['Observation?_count=-1', 'value', 'http._count', /whole number/],
  ['Observation?_count=1&_count=2', 'value', 'http._count', /once/],
  ['Observation?_include=Patient:organization', 'value', 'http._include', /iterate/],
  ['Observation?_include=Observation:code', 'value', 'http._include', /reference parameter/],
  ['Observation?_revinclude=Encounter:patient', 'value', 'http._revinclude', /never refers/],
  ['Observation?code:in=http://x', 'not-supported', 'http.code:in', /:not, :missing/],
  ['Observation?subject.name=a', 'not-supported', 'http.subject.name', /Chained/],
  ['Patient?_has:Observation:patient:code=a', 'not-supported', 'http._has:Observation:patient:code', /_has/],
  ['Observation?_include:iterate=Observation:subject', 'not-supported', 'http._include:iterate', /iterate/],
  ['Observation?code-value-quantity=a$1', 'not-supported', 'http.code-value-quantity', /composite/],
  [`Observation?code=${Array(501).fill('a').join(',')}`, 'too-costly', undefined, /500/],
])('%s is refused, and says where and why', (url, code, expression, words) => {
  const [issue] = refusal(url).issues;
  expect(issue).toMatchObject({ severity: 'error', code, ...(expression === undefined ? {} : { expression }) });
  expect(issue?.diagnostics).toMatch(words);
});

test('everything wrong is reported at once', () => {
  const failure = refusal('Observation?date=x&bogus=1&code:text=a');
  expect(failure.code).toBe('invalid');
  expect(failure.issues.map(({ expression }) => expression)).toEqual(['http.date', 'http.bogus', 'http.code:text']);
});

test('a modifier that is not supported is refused although unknown parameters are not', () => {
  expect(refusal('Observation?code:in=x', false).issues[0]?.code).toBe('not-supported');
});

test('a reported value never repeats what was sent', () => {
  const failure = refusal('Patient?birthdate=Jane%20Doe');
  expect(failure.message).not.toMatch(/Jane/);
});

test('no text makes the parser fail in another way than by refusing', () => {
  const names = fc.oneof(
    fc.constantFrom('code', 'date', 'patient', 'value-quantity', '_sort', '_include'),
    fc.string(),
  );
  fc.assert(
    fc.property(
      fc.array(fc.tuple(names, fc.string({ unit: 'binary' })), { maxLength: 5 }),
      fc.boolean(),
      (params, strict) => {
        try {
          parseSearch('Observation', params, registry, { strict });
        } catch (error) {
          expect(error).toBeInstanceOf(Failure);
        }
      },
    ),
  );
});
