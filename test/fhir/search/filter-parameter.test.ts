/** @see https://hl7.org/fhir/R4/search_filter.html */
import { filter, plain, refusal } from './parsed.ts';

const name = (match: string, value: string) => ({ kind: 'string', parameter: 'Patient.name', match, values: [value] });
const gender = { kind: 'token', parameter: 'Patient.gender', not: false, values: [{ code: 'female' }] };

test.each<[string, string, object]>([
  ['Patient', 'name eq "Peter"', name('whole', 'peter')],
  ['Patient', 'name co "pet"', name('contains', 'pet')],
  ['Patient', 'name sw Pet', name('prefix', 'pet')],
  ['Patient', 'name ew ter', name('suffix', 'ter')],
  ['Patient', 'gender eq female', gender],
  [
    'Patient',
    'gender ne female',
    {
      kind: 'all',
      filters: [
        { kind: 'missing', missing: false },
        { kind: 'not', filter: gender },
      ],
    },
  ],
  ['Patient', 'birthdate pr true', { kind: 'missing', missing: false }],
  ['Patient', 'birthdate pr false', { kind: 'missing', missing: true }],
  ['Patient', 'birthdate ge 1996-06-06', { kind: 'date', values: [{ prefix: 'ge' }] }],
  ['Patient', 'birthdate po 1996', { kind: 'date', values: [{ prefix: 'ap', low: Date.parse('1996-01-01') }] }],
  ['Patient', 'gender eq female and name sw an', { kind: 'all', filters: [gender, name('prefix', 'an')] }],
  [
    'Patient',
    'gender eq female or name sw an and name sw b',
    { kind: 'all', filters: [{ kind: 'any' }, name('prefix', 'b')] },
  ],
  ['Patient', 'gender eq female or (name sw an and name sw b)', { kind: 'any', filters: [gender, { kind: 'all' }] }],
  ['Patient', 'not (gender eq female)', { kind: 'not', filter: gender }],
  ['Patient', 'family eq "O\\"Neil, Jr"', { values: ['oneil jr'] }],
  [
    'Observation',
    'code eq http://loinc.org|1234-5 and subject.name co "peter"',
    { kind: 'all', filters: [{ values: [{ system: 'http://loinc.org', code: '1234-5' }] }, { kind: 'any' }] },
  ],
  ['Observation', 'code in http://vs', { kind: 'terms', relation: 'in' }],
  ['Observation', 'code ni http://vs', { kind: 'terms', relation: 'not-in' }],
  ['Observation', 'code ss http://snomed.info/sct|1', { kind: 'terms', relation: 'above' }],
  ['Observation', 'code sb http://snomed.info/sct|1', { kind: 'terms', relation: 'below' }],
  ['Observation', 'code co head', { kind: 'text', values: ['head'] }],
  ['Observation', 'subject re Patient/1', { kind: 'reference', values: ['Patient/1'] }],
  [
    'Observation',
    'value-quantity gt "5.4|http://unitsofmeasure.org|mm[Hg]"',
    { kind: 'quantity', values: [{ prefix: 'gt', code: 'mm[Hg]' }] },
  ],
  [
    'Observation',
    'patient[gender eq female].birthdate ge 2000',
    {
      kind: 'chain',
      target: 'Patient',
      filter: { kind: 'all', filters: [{ parameter: 'Patient.gender' }, { parameter: 'Patient.birthdate' }] },
    },
  ],
  [
    'Observation',
    'patient.organization.name eq clinic',
    { kind: 'chain', filter: { kind: 'chain', target: 'Organization' } },
  ],
  ['ValueSet', 'url sw http://acme.org/', { kind: 'uri', match: 'below' }],
])('%s: %s', (type, text, expected) => {
  expect(plain(filter(`${type}?_filter`, text))).toMatchObject(expected);
});

test.each<[string, string, RegExp]>([
  ['name', 'invalid', /operator/],
  ['name eq', 'invalid', /no value/],
  ['name is a', 'invalid', /operator/],
  ['name eq "a', 'invalid', /its end at character 9/],
  ['(name eq a', 'invalid', /no '\)'/],
  ['name eq a b', 'invalid', /more than/],
  ['not name eq a', 'invalid', /no '\('/],
  ['bogus eq a', 'invalid', /bogus/],
  ['name.family eq a', 'invalid', /reference/],
  ['name gt a', 'not-supported', /operator/],
  ['birthdate co 1996', 'not-supported', /operator/],
  ['_text pr true', 'not-supported', /operator/],
  ['_content ne a', 'not-supported', /operator/],
  ['_id co a', 'not-supported', /_id/],
  ['birthdate ge soon', 'value', /YYYY/],
  ['name pr maybe', 'value', /true or false/],
])('%s is refused', (text, code, words) => {
  const [issue] = refusal(`Patient?_filter=${encodeURIComponent(text)}`).issues;
  expect(issue).toMatchObject({ code, expression: 'http._filter' });
  expect(issue?.diagnostics).toMatch(words);
});
