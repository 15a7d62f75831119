import type { Resource } from '@medplum/fhirtypes';
import { startTestService, type TestService } from '../service.ts';

let service: TestService;
let token: string;

const subject = { reference: 'Patient/p1' };
const chart: Resource[] = [
  { resourceType: 'Practitioner', id: 'nurse', name: [{ family: 'Ní Dhomhnaill' }] },
  {
    resourceType: 'Patient',
    id: 'p1',
    active: true,
    birthDate: '1980-05-17',
    name: [
      { use: 'official', family: 'Example', given: ['Pat', 'Q'] },
      { use: 'nickname', given: ['P'] },
    ],
    contact: [{ name: { text: 'Friend' } }],
    generalPractitioner: [{ reference: 'Practitioner/nurse' }, { reference: '#gp' }],
    contained: [{ resourceType: 'Practitioner', id: 'gp', name: [{ family: 'Inside' }] }],
  },
  { resourceType: 'Patient', id: 'p2', name: [{ family: 'Other' }] },
  ...Array.from(
    { length: 3 },
    (_, i): Resource => ({
      resourceType: 'Observation',
      id: `o${i}`,
      status: 'final',
      code: { coding: [{ system: 'http://loinc.org', code: '29463-7' }] },
      subject,
      performer: [{ reference: 'Practitioner/nurse' }],
      effectiveDateTime: `2026-01-0${i + 1}`,
      valueQuantity: { value: 60 + i, unit: 'kg' },
    }),
  ),
  {
    resourceType: 'DocumentReference',
    id: 'note',
    status: 'current',
    subject,
    type: { coding: [{ system: 'https://kap.example.org/fhir/CodeSystem/kap', code: 'psychotherapy-note' }] },
    content: [{ attachment: { contentType: 'text/plain', data: 'aGk=' } }],
  },
];

beforeAll(async () => {
  service = await startTestService();
  token = await service.token();
  for (const each of chart) await service.as(token).put(`/fhir/${each.resourceType}/${each.id}`, each).expect(201);
});
afterAll(() => service.close());

function ask(query: string, more: object = {}, path = '/fhir/$graphql', as = token) {
  return service.http
    .post(path)
    .set('authorization', `Bearer ${as}`)
    .set('content-type', 'application/json')
    .send(JSON.stringify({ query, ...more }));
}

test.each<[string, string, object]>([
  [
    'a resource by its id',
    '{ Patient(id: "p1") { id active birthDate } }',
    { Patient: { id: 'p1', active: true, birthDate: '1980-05-17' } },
  ],
  [
    'names and aliases',
    '{ a: Patient(id: "p1") { name { family given } } b: Patient(id: "p2") { name { family } } }',
    {
      a: {
        name: [
          { family: 'Example', given: ['Pat', 'Q'] },
          { family: null, given: ['P'] },
        ],
      },
      b: { name: [{ family: 'Other' }] },
    },
  ],
  [
    'those of a list that have a value',
    '{ Patient(id: "p1") { name(use: "official") { family } } }',
    { Patient: { name: [{ family: 'Example' }] } },
  ],
  [
    'a part of a list',
    '{ Patient(id: "p1") { name(_offset: 1, _count: 1) { given } } }',
    { Patient: { name: [{ given: ['P'] }] } },
  ],
  [
    'elements within elements',
    '{ Patient(id: "p1") { contact { name { text } } } }',
    { Patient: { contact: [{ name: { text: 'Friend' } }] } },
  ],
  [
    'choices of types',
    '{ Observation(id: "o1") { valueQuantity { value unit } valueString } }',
    { Observation: { valueQuantity: { value: 61, unit: 'kg' }, valueString: null } },
  ],
  [
    'a search',
    '{ ObservationList(subject: "Patient/p1", _sort: "-date", _count: 2) { id } }',
    { ObservationList: [{ id: 'o2' }, { id: 'o1' }] },
  ],
  [
    'a search by a name with a dash',
    '{ ObservationList(value_quantity: "gt61") { id } }',
    { ObservationList: [{ id: 'o2' }] },
  ],
  [
    'a connection',
    '{ ObservationConnection(subject: "Patient/p1", _count: 1, _sort: "date") { count pagesize edges { mode resource { id } } } }',
    { ObservationConnection: { count: 3, pagesize: 1, edges: [{ mode: 'match', resource: { id: 'o0' } }] } },
  ],
  [
    'what is referred to, contained ones as well',
    '{ Patient(id: "p1") { generalPractitioner { resource { ... on Practitioner { name { family } } } } } }',
    {
      Patient: {
        generalPractitioner: [
          { resource: { name: [{ family: 'Ní Dhomhnaill' }] } },
          { resource: { name: [{ family: 'Inside' }] } },
        ],
      },
    },
  ],
  [
    'what refers to it',
    '{ Patient(id: "p1") { ObservationList(_reference: "subject", _sort: "date") { id } } }',
    { Patient: { ObservationList: [{ id: 'o0' }, { id: 'o1' }, { id: 'o2' }] } },
  ],
  [
    'fragments',
    'query { Patient(id: "p1") { ...f } } fragment f on Patient { id resourceType }',
    { Patient: { id: 'p1', resourceType: 'Patient' } },
  ],
  [
    'no psychotherapy note',
    '{ DocumentReferenceList(subject: "Patient/p1") { id } DocumentReferenceConnection(subject: "Patient/p1") { count } }',
    { DocumentReferenceList: [], DocumentReferenceConnection: { count: 0 } },
  ],
])('a query answers %s', async (_what, query, data) => {
  const { body, headers } = await ask(query).expect(200);
  expect(body).toEqual({ data });
  expect(headers['content-type']).toMatch(/^application\/json/);
});

test('names of parameters and types may stand without quotes, as the specification writes them', async () => {
  const query =
    '{ Patient(id: "p1") { ObservationList(_reference: subject, _count: 1) { subject { resource(type: Patient, optional: true) { ... on Patient { id } } } } generalPractitioner { resource(type: Device) { ... on Practitioner { id } } } } }';
  expect((await ask(query).expect(200)).body.data.Patient).toEqual({
    ObservationList: [{ subject: { resource: { id: 'p1' } } }],
    generalPractitioner: [{ resource: null }, { resource: null }],
  });
  const { body } = await ask('{ Patient(id: "p1") { ObservationList(_reference: encounter) { id } } }').expect(200);
  expect(body.errors[0].extensions.resource.issue[0].code).toBe('value');
});

test('a page goes on where the one before ended', async () => {
  const query =
    'query ($c: String) { ObservationConnection(subject: "Patient/p1", _sort: "date", _count: 2, _cursor: $c) { next edges { resource { id } } } }';
  const first = (await ask(query).expect(200)).body.data.ObservationConnection;
  const second = (await ask(query, { variables: { c: first.next } }).expect(200)).body.data.ObservationConnection;
  expect(second).toEqual({ next: null, edges: [{ resource: { id: 'o2' } }] });
});

test('variables, names of operations, GET and text of type application/graphql mean the same', async () => {
  const query = 'query One($id: ID!) { Patient(id: $id) { id } } query Two { Patient(id: "p2") { id } }';
  const variables = { id: 'p1' };
  const expected = { data: { Patient: { id: 'p1' } } };
  expect((await ask(query, { variables, operationName: 'One' }).expect(200)).body).toEqual(expected);
  const search = new URLSearchParams({ query, operationName: 'One', variables: JSON.stringify(variables) });
  expect((await service.as(token).get(`/fhir/$graphql?${search}`).expect(200)).body).toEqual(expected);
  const sent = service.http.post('/fhir/$graphql').set('authorization', `Bearer ${token}`);
  const text = await sent.set('content-type', 'application/graphql').send('{ Patient(id: "p1") { id } }').expect(200);
  expect(text.body).toEqual(expected);
});

test('on a resource the query is about it', async () => {
  const { body } = await ask(
    '{ id name { family } ObservationList(_reference: patient, _count: 1) { id } }'.replace('patient', '"patient"'),
    {},
    '/fhir/Patient/p1/$graphql',
  ).expect(200);
  expect(body.data).toMatchObject({ id: 'p1', name: [{ family: 'Example' }, { family: null }] });
  expect(body.data.ObservationList).toHaveLength(1);
});

test('who is not there is an error beside the rest of the data', async () => {
  const { body } = await ask('{ a: Patient(id: "none") { id } b: Patient(id: "p1") { id } }').expect(200);
  expect(body.data).toEqual({ a: null, b: { id: 'p1' } });
  expect(body.errors).toHaveLength(1);
  expect(body.errors[0]).toMatchObject({
    path: ['a'],
    extensions: { resource: { resourceType: 'OperationOutcome', issue: [{ code: 'not-found' }] } },
  });
});

test('types that the token may not read are refused by name and absent as references', async () => {
  const few = await service.token('system/Patient.rs');
  const { body } = await ask(
    '{ Patient(id: "p1") { generalPractitioner { resource { ... on Practitioner { id } } } } ObservationList { id } }',
    {},
    '/fhir/$graphql',
    few,
  ).expect(200);
  expect(body.data.Patient.generalPractitioner[0]).toEqual({ resource: null });
  expect(body.data.ObservationList).toBeNull();
  expect(body.errors[0].extensions.resource.issue[0].code).toBe('forbidden');
});

test('a hidden note and one that is not there are the same', async () => {
  const hidden = (await ask('{ DocumentReference(id: "note") { id } }').expect(200)).text;
  const absent = (await ask('{ DocumentReference(id: "gone") { id } }').expect(200)).text;
  expect(hidden.replaceAll('note', '')).toBe(absent.replaceAll('gone', ''));
});

test('one event says about whom something was read', async () => {
  await service.newAuditEvents();
  await ask('{ PatientList { id } }').expect(200);
  const events = await service.newAuditEvents();
  expect(events).toHaveLength(1);
  expect(JSON.stringify(events[0])).toContain('Patient/p1');
});

const deep = (levels: number) =>
  `{ Patient(id: "p1") ${'{ managingOrganization { resource { ... on Patient '.repeat(levels)}{ id }${' } } }'.repeat(levels)} }`;
const wide = `{ ${Array.from({ length: 2100 }, (_, i) => `a${i}: Patient(id: "p1") { id }`).join(' ')} }`;
const bomb = `query { Patient(id: "p1") { ...f0 } } ${Array.from({ length: 30 }, (_, i) => `fragment f${i} on Patient { a${i}: link { other { resource { ...f${i + 1} } } } b${i}: link { other { resource { ...f${i + 1} } } } }`).join(' ')} fragment f30 on Patient { id }`;

test.each([
  ['no GraphQL', 'hello {'],
  ['an unknown field', '{ Patient(id: "p1") { shoeSize } }'],
  ['an unknown type', '{ Person2(id: "p1") { id } }'],
  ['a missing argument', '{ Patient { id } }'],
  ['a mutation', 'mutation { PatientDelete(id: "p1") }'],
  ['data beside the schema', '{ __schema { queryType { name } } Patient(id: "p1") { id } }'],
  ['more levels than fifteen', deep(8)],
  ['more fields than two thousand', wide],
  ['a bomb of fragments', bomb],
  ['a circle of fragments', '{ Patient(id: "p1") { ...f } } fragment f on Patient { ...f }'],
])('%s is refused in the form of GraphQL', async (_case, query) => {
  const { body } = await ask(query).expect(400);
  expect(body.data).toBeUndefined();
  expect(body.errors.length).toBeGreaterThan(0);
  expect(body.errors[0].extensions.resource.resourceType).toBe('OperationOutcome');
});

test('more searches than a hundred are not made', async () => {
  const query = `{ ${Array.from({ length: 120 }, (_, i) => `a${i}: PatientList(_count: 1) { id }`).join(' ')} }`;
  const { body } = await ask(query).expect(200);
  expect(body.errors).toHaveLength(20);
  expect(body.errors[0].extensions.resource.issue[0].code).toBe('too-costly');
});

test.each([
  ['without a query', () => ask('', {}), 400],
  ['with variables that are a list', () => ask('{ PatientList { id } }', { variables: [] }), 400],
  ['without a token', () => service.http.post('/fhir/$graphql').send({ query: '{ PatientList { id } }' }), 401],
  ['with an unknown parameter', () => service.as(token).get('/fhir/$graphql?q=1'), 400],
])('a request %s is refused', async (_case, send, status) => {
  const { body } = await send().expect(status);
  expect(body.resourceType).toBe('OperationOutcome');
});
