/** @see https://hl7.org/fhir/R4/search.html#errors */
import { parsed, refusal } from './parsed.ts';

test('empty parameters are ignored, and the answer says so', () => {
  const query = parsed('Observation?code=&status=final&_count=');
  expect(query.used).toEqual([['status', 'final']]);
  expect(query.ignored).toMatchObject([
    { severity: 'warning', code: 'value', expression: 'http.code' },
    { severity: 'warning', code: 'value', expression: 'http._count' },
  ]);
});

test('unknown parameters are an error, and a warning where the client wants lenient handling', () => {
  expect(refusal('Condition?myInvalidParameter=true').issues).toMatchObject([
    { severity: 'error', code: 'invalid', expression: 'http.myInvalidParameter', message: 'MSG_PARAM_UNKNOWN' },
  ]);
  expect(parsed('Condition?myInvalidParameter=true', { strict: false })).toMatchObject({
    filters: [],
    used: [],
    ignored: [{ severity: 'warning', expression: 'http.myInvalidParameter' }],
  });
});

test.each<[string, string, string | undefined, RegExp]>([
  ['Observation?dat=2025', 'invalid', 'http.dat', /Did you mean date,/],
  ['Observation?_sort=dat', 'invalid', 'http._sort', /date/],
  ['Observation?date=yesterday', 'value', 'http.date', /YYYY/],
  ['Observation?date=2025-02-30', 'value', 'http.date', /YYYY/],
  ['Observation?date=23.May.2009', 'value', 'http.date', /YYYY/],
  ['Observation?date=xx2025', 'value', 'http.date', /YYYY/],
  ['Observation?value-quantity=five', 'value', 'http.value-quantity', /number/],
  ['RiskAssessment?probability=1|a', 'value', 'http.probability', /alone/],
  ['Observation?code=|', 'value', 'http.code', /system or a code/],
  ['Observation?code=a|b|c', 'value', 'http.code', /token/],
  ['Observation?code=a,,b', 'value', 'http.code', /empty/],
  ['Observation?code=a%00b', 'value', 'http.code', /NUL/],
  [`Observation?code=${'x'.repeat(5000)}`, 'value', 'http.code', /characters/],
  [`Observation?code=${'x'.repeat(50_000)}`, 'value', 'http.code', /characters/],
  ['Observation?patient=not an id', 'value', 'http.patient', /reference/],
  ['Patient?name=%20', 'value', 'http.name', /letter/],
  ['Patient?active=x|true', 'value', 'http.active', /no system/],
  ['Patient?phone=tel|555', 'value', 'http.phone', /no system/],
  ['Patient?name=a\\b', 'value', 'http.name', /backslash/i],
  ['Observation?_count=-1', 'value', 'http._count', /whole number/],
  ['Observation?_count=ten', 'value', 'http._count', /whole number/],
  ['Observation?_count=1&_count=2', 'value', 'http._count', /once/],
  ['Observation?_total=roughly', 'value', 'http._total', /estimate/],
  ['Observation?_summary=short', 'value', 'http._summary', /true, text/],
  ['Observation?_elements=nothing', 'value', 'http._elements', /element/],
  ['Observation?_include=Observation:code', 'value', 'http._include', /reference parameter/],
  ['Observation?_include=Observation', 'value', 'http._include', /reference parameter/],
  ['Observation?_include=Observation:subject:Account', 'value', 'http._include', /never refers/],
  ['Observation?_include:often=Observation:subject', 'not-supported', 'http._include:often', /:iterate/],
  ['Condition?onset-date:text=1995', 'not-supported', 'http.onset-date:text', /:missing/],
  ['Observation?value-quantity:exact=5', 'not-supported', 'http.value-quantity:exact', /:missing/],
  ['Patient?name:text=a', 'not-supported', 'http.name:text', /:contains/],
  ['Observation?code:of-type=a|b|c', 'not-supported', 'http.code:of-type', /:text/],
  ['Patient?identifier:in=http://x', 'not-supported', 'http.identifier:in', /:of-type/],
  ['Observation?subject:below=1', 'not-supported', 'http.subject:below', /:identifier/],
  ['ActivityDefinition?derived-from:identifier=1', 'not-supported', 'http.derived-from:identifier', /:below/],
  ['Observation?code-value-quantity:missing=true', 'not-supported', 'http.code-value-quantity:missing', /none/],
  ['Patient?_id:text=a', 'not-supported', 'http._id:text', /:not/],
  ['Patient?_query=name', 'not-supported', 'http._query', /named queries/],
  ['Patient?_contained=true', 'not-supported', 'http._contained', /contained/i],
  ['Patient?_list=$current-allergies', 'not-supported', 'http._list', /current/],
  ['Patient?_sort=_score', 'invalid', 'http._sort', /sorted/],
  ['Observation?_sort=code-value-quantity', 'not-supported', 'http._sort', /order/],
  ['Observation?code.text=a', 'invalid', 'http.code.text', /reference/],
  ['Observation?subject:Banana.name=a', 'invalid', 'http.subject:Banana.name', /type/],
  ['Observation?subject:Account.name=a', 'invalid', 'http.subject:Account.name', /never refers/],
  ['Observation?subject.bogus=a', 'invalid', 'http.subject.bogus', /bogus/],
  ['Patient?_has:Observation:patient=a', 'invalid', 'http._has:Observation:patient', /_has:Type/],
  ['Patient?_has:Observation:encounter:code=a', 'invalid', 'http._has:Observation:encounter:code', /never refers/],
  [`Observation?code=${Array(501).fill('a').join(',')}`, 'too-costly', undefined, /500/],
  [`Observation?${Array(101).fill('status=final').join('&')}`, 'too-costly', undefined, /100/],
  [`Patient?${'link.'.repeat(20)}name=a`, 'too-costly', undefined, /links|types/],
  ['Provenance?target.target.target.target._id=a', 'too-costly', undefined, /type/],
])('%s is refused, and says where and why', (url, code, expression, words) => {
  const [issue] = refusal(url).issues;
  expect(issue).toMatchObject({ severity: 'error', code, ...(expression === undefined ? {} : { expression }) });
  expect(issue?.diagnostics).toMatch(words);
});

test('everything wrong is reported at once', () => {
  const failure = refusal('Observation?date=x&bogus=1&code:exact=a');
  expect(failure.code).toBe('invalid');
  expect(failure.issues.map(({ expression }) => expression)).toEqual(['http.date', 'http.bogus', 'http.code:exact']);
});

test('a modifier that is not supported is refused although unknown parameters are not', () => {
  expect(refusal('Observation?code:exact=x', { strict: false }).issues).toMatchObject([
    { code: 'not-supported', message: 'MSG_PARAM_MODIFIER_INVALID' },
  ]);
});

test('a reported value never repeats what was sent', () => {
  expect(refusal('Patient?birthdate=Jane%20Doe').message).not.toMatch(/Jane/);
  expect(refusal('Observation?_filter=subject.name%20co%20%22Jane').message).not.toMatch(/Jane/);
});
