/** Sections 3.1.1.4.15 to 3.1.1.4.24. @see https://hl7.org/fhir/R4/search.html#chaining */
import fc from 'fast-check';
import { escaped, splitAt, unescaped } from '../../../src/fhir/search/escaping.ts';
import { filter, parsed, plain, refusal } from './parsed.ts';

test('3.1.1.4.15 chained parameters: through a type, or through each that has the parameter', () => {
  expect(plain(filter('DiagnosticReport?subject:Patient.name', 'peter'))).toEqual({
    kind: 'chain',
    parameter: 'DiagnosticReport.subject',
    target: 'Patient',
    filter: { kind: 'string', parameter: 'Patient.name', match: 'prefix', values: ['peter'] },
  });
  expect(plain(filter('DiagnosticReport?subject.name', 'peter'))).toMatchObject({
    kind: 'any',
    filters: [{ target: 'Patient' }, { target: 'Location' }, { parameter: 'DiagnosticReport.name' }],
  });
  expect(plain(filter('Observation?patient.name', 'peter'))).toMatchObject({ kind: 'chain', target: 'Patient' });
});

test('3.1.1.4.15 chained parameters: modifiers and other chains may follow', () => {
  expect(plain(filter('Observation?patient.organization.partof:Organization.name:exact', 'A'))).toMatchObject({
    target: 'Patient',
    filter: {
      target: 'Organization',
      filter: { filters: [{ target: 'Organization', filter: { match: 'exact', values: ['A'] } }, {}] },
    },
  });
  expect(plain(filter('Observation?patient._has:Encounter:patient:status', 'finished'))).toMatchObject({
    target: 'Patient',
    filter: { kind: 'has', parameter: 'Encounter.patient', filter: { kind: 'token' } },
  });
  expect(plain(filter('DiagnosticReport?result.code-value-quantity', '2823-3$gt5.4'))).toMatchObject({
    target: 'Observation',
    filter: { kind: 'composite' },
  });
  expect(plain(filter('Observation?patient._list', '42'))).toMatchObject({ filter: { kind: 'list', values: ['42'] } });
});

test('3.1.1.5.5 contained resources: the last link of a chain may lead into one, but not to what has no value there', () => {
  const kinds = (name: string) => {
    const made = plain(filter(name, name.endsWith('missing') ? 'true' : 'a')) as {
      kind: string;
      filters?: { kind: string }[];
    };
    return made.filters?.map(({ kind }) => kind) ?? [made.kind];
  };
  expect(kinds('MedicationRequest?medication.code')).toEqual(['chain', 'token']);
  expect(kinds('MedicationRequest?medication.code:not')).toEqual(['chain']);
  expect(kinds('MedicationRequest?medication.code:missing')).toEqual(['chain']);
  expect(kinds('MedicationRequest?medication._id')).toEqual(['chain']);
  expect(kinds('MedicationRequest?patient.name')).toEqual(['chain']);
});

test('3.1.1.4.15 chained parameters: four links and more are served', () => {
  const deep = 'Observation?encounter.service-provider.partof.partof.partof.name';
  expect(JSON.stringify(plain(filter(deep, 'a'))).match(/"chain"/g)).toHaveLength(5);
});

test('3.1.1.4.16 reverse chaining: also within each other', () => {
  expect(plain(filter('Patient?_has:Observation:patient:code', '1234-5'))).toEqual({
    kind: 'has',
    parameter: 'Observation.patient',
    filter: { kind: 'token', parameter: 'Observation.code', not: false, values: [{ code: '1234-5' }] },
  });
  expect(plain(filter('Patient?_has:Observation:patient:_has:AuditEvent:entity:agent', 'MyUserId'))).toMatchObject({
    filter: { kind: 'has', parameter: 'AuditEvent.entity', filter: { kind: 'reference' } },
  });
  expect(plain(filter('Practitioner?_has:Encounter:practitioner:subject:Patient.name', 'a'))).toMatchObject({
    filter: { kind: 'chain', target: 'Patient' },
  });
});

test.each<[string, string, object]>([
  [
    'Observation?component-code-value-quantity',
    'http://loinc.org|8480-6$lt60',
    {
      values: [
        [
          { kind: 'token', parameter: 'Observation.component-code' },
          {
            kind: 'quantity',
            parameter: 'Observation.component-value-quantity',
            values: [{ prefix: 'lt', value: 60 }],
          },
        ],
      ],
    },
  ],
  [
    'Group?characteristic-value',
    'gender$mixed,owner$Eve',
    {
      values: [
        [{}, { values: [{ code: 'mixed' }] }],
        [{}, { values: [{ code: 'Eve' }] }],
      ],
    },
  ],
  [
    'Questionnaire?context-type-value',
    'focus$http://snomed.info/sct|408934002',
    { values: [[{ parameter: 'Questionnaire.context-type' }, { parameter: 'Questionnaire.context' }]] },
  ],
  ['Observation?code-value-string', 'a\\$b$x\\,y', { values: [[{ values: [{ code: 'a$b' }] }, { values: ['xy'] }]] }],
])('3.1.1.4.17 composite: %s=%s', (name, value, expected) => {
  expect(plain(filter(name, value))).toMatchObject({ kind: 'composite', ...expected });
});

test('3.1.1.4.17 composite: a part that stands elsewhere in the resource need not share an element', () => {
  expect(plain(filter('MolecularSequence?chromosome-variant-coordinate', '1$ge10$le20'))).toMatchObject({
    kind: 'all',
    filters: [
      { kind: 'token', parameter: 'MolecularSequence.chromosome' },
      {
        kind: 'composite',
        values: [[{ parameter: 'MolecularSequence.variant-start' }, { parameter: 'MolecularSequence.variant-end' }]],
      },
    ],
  });
});

test('3.1.1.4.17 composite: parts of a relationship in either order, since R4 has both', () => {
  const values = (value: string) =>
    (plain(filter('DocumentReference?relationship', value)) as { values: unknown[] }).values;
  expect(values('DocumentReference/1$replaces')).toEqual(values('replaces$DocumentReference/1').toReversed());
});

test.each(['1', '1$2$3', '$2', '1$'])('3.1.1.4.17 composite: %s has not two parts', (value) => {
  expect(refusal(`Observation?code-value-quantity=${encodeURIComponent(value)}`).issues[0]?.code).toBe('value');
});

test('3.1.1.4.19 escaping: what is escaped is meant itself, in each place', () => {
  expect(filter('Observation?code', 'a\\,b,c\\|d,e\\\\f,g\\$h')).toMatchObject({
    values: [{ code: 'a,b' }, { code: 'c|d' }, { code: 'e\\f' }, { code: 'g$h' }],
  });
  expect(filter('Patient?family:exact', 'a\\,b')).toMatchObject({ values: ['a,b'] });
  expect(filter('ValueSet?url', 'http://a/124\\,125')).toMatchObject({ values: ['http://a/124,125'] });
});

test('3.1.1.4.19 escaping: every text can be written so that it comes back', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'binary' }), { minLength: 1 }), (texts) => {
      for (const separator of [',', '|', '$'] as const) {
        const value = texts.map(escaped).join(separator);
        expect(splitAt(value, separator).map(unescaped)).toEqual(texts);
      }
    }),
  );
});

test.each(['a\\b', 'a\\', '\\n'])('3.1.1.4.19 escaping: %s is illegal', (value) => {
  expect(refusal(`Observation?code=${encodeURIComponent(value)}`).issues[0]?.code).toBe('value');
});

test('3.1.1.4.20 text search', () => {
  expect(filter('Condition?_text', '(bone OR liver) and metastases')).toEqual({
    kind: 'fulltext',
    over: 'narrative',
    queries: ['(bone OR liver) and metastases'],
  });
  expect(filter('Condition?_content', 'bone,liver')).toMatchObject({ over: 'content', queries: ['bone', 'liver'] });
});

test('3.1.1.4.21 special parameters: near is a square on the globe', () => {
  const near = plain(filter('Location?near', '47|8|11.1195|km')) as {
    filters: { values: { low: number; high: number }[] }[];
  };
  const [latitude, longitude] = near.filters.map(({ values }) => values[0]);
  expect(latitude?.low).toBeCloseTo(46.9);
  expect(latitude?.high).toBeCloseTo(47.1);
  expect(longitude?.low).toBeLessThan(7.86);
  expect(plain(filter('Location?near', '0|179.99|100|km'))).toMatchObject({ filters: [{}, { values: [{}, {}] }] });
  for (const wrong of ['47', '91|8', '47|8|-1|km', '47|8|1|parsec', 'a|b']) {
    expect(refusal(`Location?near=${encodeURIComponent(wrong)}`).issues[0]?.code).toBe('value');
  }
});

test('3.1.1.4.22 lists are named by their ids', () => {
  expect(filter('Patient?_list', '42,List/43')).toEqual({ kind: 'list', values: ['42', '43'] });
});

test('3.1.1.4.24 the type of resource: several types, with the parameters they share', () => {
  const query = parsed('?_type=Observation,Condition&patient=p1&_sort=-_lastUpdated');
  expect(plain(query.parts)).toMatchObject([
    {
      type: 'Observation',
      filters: [{ parameter: 'Observation.patient' }],
      sort: [{ parameter: 'Observation._lastUpdated', descending: true }],
    },
    { type: 'Condition', filters: [{ parameter: 'Condition.patient' }] },
  ]);
  expect(query.type).toBe('');
  expect(parsed('?_id=1').parts).toHaveLength(146);
  expect(refusal('?_type=Observation,Condition&onset-date=2020').issues).toMatchObject([
    { expression: 'http.onset-date' },
  ]);
  expect(refusal('?patient=1').issues).toMatchObject([{ expression: 'http.patient' }]);
  expect(refusal('?_type=Observation,Banana').issues).toMatchObject([{ code: 'value', expression: 'http._type' }]);
});

test('a compartment is one more condition, of the parameters that make a member', () => {
  const compartment = { type: 'Patient', id: 'p' };
  expect(plain(parsed('Communication?status=done', { compartment }).filters)).toMatchObject([
    {
      kind: 'any',
      filters: [
        { kind: 'reference', parameter: 'Communication.subject', values: ['Patient/p'] },
        { parameter: 'Communication.sender' },
        { parameter: 'Communication.recipient' },
      ],
    },
    { kind: 'token' },
  ]);
  expect(parsed('', { compartment }).parts.map(({ type }) => type)).toEqual(
    expect.arrayContaining(['Patient', 'Observation', 'Encounter']),
  );
  expect(plain(parsed('Patient', { compartment }).filters)).toMatchObject([
    { filters: [{ kind: 'token', parameter: 'Patient._id', values: [{ code: 'p' }] }, { parameter: 'Patient.link' }] },
  ]);
  // Never a member: no resource matches.
  expect(parsed('Medication', { compartment }).filters).toEqual([{ kind: 'any', filters: [] }]);
});
