/** Sections 3.1.1.4.4 to 3.1.1.4.14. @see https://hl7.org/fhir/R4/search.html#ptypes */
import { filter, now, plain, refusal } from './parsed.ts';

const UCUM = 'http://unitsofmeasure.org';

test.each<[string, string, object]>([
  ['Patient?gender:missing', 'true', { kind: 'missing', missing: true }],
  ['Patient?birthdate:missing', 'false', { kind: 'missing', missing: false }],
  ['Patient?family:exact', 'Müller', { match: 'exact', values: ['Müller'] }],
  ['Patient?family:contains', 'Müll', { match: 'contains', values: ['mull'] }],
  ['Patient?family', "O'Brien-Ångström", { match: 'prefix', values: ['obrienangstrom'] }],
  ['Patient?name', 'Anna  \tLee', { match: 'prefix', values: ['anna lee'] }],
  ['Patient?address', 'Große Straße 5', { match: 'prefix', values: ['grosse strasse 5'] }],
  ['Encounter?status:not', 'finished', { kind: 'token', not: true }],
  ['Condition?code:text', 'Headache', { kind: 'text', values: ['headache'] }],
])('3.1.1.4.4 modifiers and 3.1.1.4.8 string: %s=%s', (name, value, expected) => {
  expect(filter(name, value)).toMatchObject(expected);
});

test.each([
  ['100', 100, 99.5, 100.5],
  ['100.00', 100, 99.995, 100.005],
  ['1e2', 100, 95, 105],
  ['1.00e2', 100, 99.5, 100.5],
  ['5.40', 5.4, 5.395, 5.405],
  ['-3', -3, -3.5, -2.5],
  ['0.1', 0.1, 0.05, 0.15],
  ['+2.0', 2, 1.95, 2.05],
])('3.1.1.4.6 number: %s is %d, from %d to %d', (value, number, low, high) => {
  expect(filter('RiskAssessment?probability', value)).toMatchObject({
    values: [{ prefix: 'eq', value: number, low, high }],
  });
});

test.each(['eq', 'ne', 'gt', 'lt', 'ge', 'le', 'sa', 'eb', 'ap'])('3.1.1.4.5 prefixes: %s', (prefix) => {
  expect(filter('RiskAssessment?probability', `${prefix}0.8`)).toMatchObject({ values: [{ prefix, value: 0.8 }] });
  expect(filter('Patient?birthdate', `${prefix}1980`)).toMatchObject({ values: [{ prefix }] });
  expect(filter('Observation?value-quantity', `${prefix}5||mg`)).toMatchObject({ values: [{ prefix, code: 'mg' }] });
});

test.each([
  ['2025', 'eq', '2025-01-01T00:00:00.000Z', '2025-12-31T23:59:59.999Z'],
  ['ge2025-02', 'ge', '2025-02-01T00:00:00.000Z', '2025-02-28T23:59:59.999Z'],
  ['lt2024-02-29', 'lt', '2024-02-29T00:00:00.000Z', '2024-02-29T23:59:59.999Z'],
  ['2025-03-09T10:00', 'eq', '2025-03-09T10:00:00.000Z', '2025-03-09T10:00:59.999Z'],
  ['2025-03-09T10:00Z', 'eq', '2025-03-09T10:00:00.000Z', '2025-03-09T10:00:59.999Z'],
  ['sa2025-03-09T10:00:00+02:00', 'sa', '2025-03-09T08:00:00.000Z', '2025-03-09T08:00:00.999Z'],
  ['sa2025-03-09T10:00:00 02:00', 'sa', '2025-03-09T08:00:00.000Z', '2025-03-09T08:00:00.999Z'],
  ['eb2025-03-09T10:00:00.5Z', 'eb', '2025-03-09T10:00:00.500Z', '2025-03-09T10:00:00.599Z'],
  ['2016-12-31T23:59:60Z', 'eq', '2017-01-01T00:00:00.000Z', '2017-01-01T00:00:00.999Z'],
  ['0099-12', 'eq', '0099-12-01T00:00:00.000Z', '0099-12-31T23:59:59.999Z'],
])('3.1.1.4.7 date: %s covers what its precision says, in UTC', (value, prefix, low, high) => {
  expect(filter('Observation?date', value)).toMatchObject({
    values: [{ prefix, low: Date.parse(low), high: Date.parse(high) }],
  });
});

test.each([
  '2025-03-09T10',
  '2025-03-09T24:00',
  '2025-3-9',
  '20250309',
  '2025-13',
  '2025-03-09T10:61',
  '2025-03-09T10:00+25:00',
])('3.1.1.4.7 date: %s is none', (value) => {
  expect(refusal(`Observation?date=${encodeURIComponent(value)}`).issues[0]).toMatchObject({
    message: 'MSG_DATE_FORMAT',
  });
});

test('3.1.1.4.7 date: an approximate one reaches a tenth of its distance from now', () => {
  const gap = (now - Date.parse('2025-01-01')) / 10;
  expect(filter('Observation?date', 'ap2025-01-01')).toMatchObject({
    values: [{ low: Date.parse('2025-01-01') - gap, high: Date.parse('2025-01-02') - 1 + gap }],
  });
});

test.each<[string, string, object]>([
  [
    'ValueSet?url',
    'http://acme.org/fhir/ValueSet/123',
    { kind: 'uri', match: 'exact', values: ['http://acme.org/fhir/ValueSet/123'] },
  ],
  ['ValueSet?url:below', 'http://acme.org/fhir/', { match: 'below', values: ['http://acme.org/fhir/'] }],
  ['ValueSet?url:above', 'http://acme.org/fhir/ValueSet/123/_history/5', { match: 'above' }],
  ['ValueSet?url', 'urn:oid:1.2.3.4.5', { match: 'exact', values: ['urn:oid:1.2.3.4.5'] }],
  ['ValueSet?url', 'http://a,http://b', { match: 'exact', values: ['http://a', 'http://b'] }],
  ['Patient?_profile', 'http://a|1', { match: 'exact', values: ['http://a|1'] }],
  ['Patient?_source', 'http://ehr', { kind: 'uri', values: ['http://ehr'] }],
  [
    'ValueSet?url',
    'http://a|1.0',
    {
      kind: 'all',
      filters: [{ values: ['http://a'] }, { kind: 'token', parameter: 'ValueSet.version', values: [{ code: '1.0' }] }],
    },
  ],
])('3.1.1.4.9 uri: %s=%s', (name, value, expected) => {
  expect(plain(filter(name, value))).toMatchObject(expected);
});

test.each(['below', 'above'])('3.1.1.4.9 uri: :%s does not apply to URNs', (modifier) => {
  expect(refusal(`ValueSet?url:${modifier}=urn:oid:1.2.3`).issues[0]?.diagnostics).toMatch(/urn/);
});

test.each<[string, string, unknown]>([
  ['Observation?code', 'code', [{ code: 'code' }]],
  ['Observation?code', 'http://loinc.org|1-2', [{ system: 'http://loinc.org', code: '1-2' }]],
  ['Observation?code', '|1-2', [{ system: '', code: '1-2' }]],
  ['Observation?code', 'http://loinc.org|', [{ system: 'http://loinc.org' }]],
  ['Observation?code', 'a,b|c', [{ code: 'a' }, { system: 'b', code: 'c' }]],
  ['Patient?identifier', '|1.2.3,1.2.3', [{ system: '', code: '1.2.3' }, { code: '1.2.3' }]],
  ['Patient?active', 'true', [{ code: 'true' }]],
  ['Patient?_id', 'a,b', [{ code: 'a' }, { code: 'b' }]],
  ['Encounter?status', 'http://hl7.org/fhir/encounter-status|finished', [{ system: '', code: 'finished' }]],
  ['Encounter?status', 'http://x|finished', [{ system: 'http://x', code: 'finished' }]],
  ['ValueSet?version', '1.0-BETA', [{ code: '1.0-beta' }]],
  [
    'Patient?race',
    'urn:oid:2.16.840.1.113883.6.238|2106-3',
    [{ system: 'urn:oid:2.16.840.1.113883.6.238', code: '2106-3' }],
  ],
])('3.1.1.4.10 token: %s=%s', (name, value, values) => {
  expect(filter(name, value)).toMatchObject({ kind: 'token', not: false, values });
});

test.each<[string, string, object]>([
  [
    'Condition?code:in',
    'http://acme.org/fhir/ValueSet/cardiac',
    { kind: 'terms', relation: 'in', values: ['http://acme.org/fhir/ValueSet/cardiac'], place: 'http.code:in' },
  ],
  ['Condition?code:not-in', 'ValueSet/1', { kind: 'terms', relation: 'not-in', values: ['ValueSet/1'] }],
  [
    'Condition?code:below',
    'http://snomed.info/sct|126851005',
    { kind: 'terms', relation: 'below', values: [{ system: 'http://snomed.info/sct', code: '126851005' }] },
  ],
  ['Condition?code:above', 'http://snomed.info/sct|126851005', { kind: 'terms', relation: 'above' }],
  [
    'Patient?identifier:of-type',
    'http://terminology.hl7.org/CodeSystem/v2-0203|MR|446053',
    { rows: 'of-type', values: [{ system: 'http://terminology.hl7.org/CodeSystem/v2-0203', code: 'MR|446053' }] },
  ],
  ['DocumentReference?contenttype:below', 'text/xml', { rows: 'below', values: [{ code: 'text/xml' }] }],
  ['DocumentReference?contenttype', 'text/xml', { kind: 'token', values: [{ code: 'text/xml' }] }],
])('3.1.1.4.10 token: %s=%s', (name, value, expected) => {
  expect(filter(name, value)).toMatchObject(expected);
});

test.each(['MR|446053', 'http://x||446053', '|MR|1', 'http://x|MR|', 'a|b|c|d'])(
  '3.1.1.4.10 token: identifier:of-type=%s lacks a part',
  (value) => {
    expect(refusal(`Patient?identifier:of-type=${encodeURIComponent(value)}`).issues[0]?.diagnostics).toMatch(
      /all three/,
    );
  },
);

test.each<[string, object]>([
  [
    `5.4|${UCUM}|mg`,
    {
      value: 5.4,
      low: 5.35,
      high: 5.45,
      system: UCUM,
      code: 'mg',
      canonical: { code: 'g', value: 0.0054, low: 0.00535, high: 0.00545 },
    },
  ],
  [`5.40e-3|${UCUM}|g`, { value: 0.0054, low: 0.005395, high: 0.005405, canonical: { code: 'g', value: 0.0054 } }],
  ['5.4||mg', { value: 5.4, code: 'mg' }],
  ['5.4', { value: 5.4, low: 5.35 }],
  [`le5.4|${UCUM}|mg`, { prefix: 'le', value: 5.4 }],
  [`ap5.4|${UCUM}|mg`, { prefix: 'ap', low: 5.4 - 0.54, high: 5.4 + 0.54 }],
  [`5|${UCUM}|tablet`, { system: UCUM, code: 'tablet' }],
])('3.1.1.4.11 quantity: %s', (value, expected) => {
  expect(filter('Observation?value-quantity', value)).toMatchObject({ kind: 'quantity', values: [expected] });
});

test('3.1.1.4.11 quantity: without a unit that UCUM knows nothing is converted', () => {
  for (const value of ['5.4||mg', '5.4', `5|${UCUM}|tablet`, `5|${UCUM}`, '5|http://x|mg']) {
    expect(plain(filter('Observation?value-quantity', value))).not.toHaveProperty('values.0.canonical');
  }
});

test.each<[string, string, unknown]>([
  ['Observation?patient', 'Patient/p1', ['Patient/p1']],
  ['Observation?patient', 'Patient/p1/_history/2', ['Patient/p1']],
  ['Observation?patient', 'https://clinic.example/fhir/Patient/p1', ['Patient/p1']],
  ['Observation?patient', 'https://other.example/fhir/Patient/p1', ['https://other.example/fhir/Patient/p1']],
  ['Observation?patient', 'urn:uuid:1', ['urn:uuid:1']],
  ['Observation?patient', 'p1', ['Patient/p1']],
  ['Observation?subject', 'p1', ['Group/p1', 'Device/p1', 'Patient/p1', 'Location/p1']],
  ['Observation?subject:Device', 'p1', ['Device/p1']],
  ['QuestionnaireResponse?questionnaire', 'http://q/1|2.0', ['http://q/1|2.0']],
])('3.1.1.4.12 reference: %s=%s', (name, value, values) => {
  expect(filter(name, value)).toMatchObject({ kind: 'reference', values });
});

test('3.1.1.4.12 reference: by identifier, and by a type that the value contradicts', () => {
  expect(filter('Observation?subject:identifier', 'http://acme.org/fhir/identifier/mrn|123456')).toMatchObject({
    kind: 'token',
    rows: 'identifier',
    values: [{ system: 'http://acme.org/fhir/identifier/mrn', code: '123456' }],
  });
  expect(refusal('Observation?subject:Device=Patient/p1').issues[0]?.code).toBe('value');
});

test('3.1.1.4.13 references and versions: part of a version is asked for with :below', () => {
  expect(filter('ActivityDefinition?derived-from:below', 'http://acme.com/some-profile|1')).toMatchObject({
    kind: 'reference',
    below: true,
    values: ['http://acme.com/some-profile|1'],
  });
});
