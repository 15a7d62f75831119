import type { Resource } from '@medplum/fhirtypes';
import { startTestService, type TestService } from '../service.ts';

let service: TestService;
let token: string;

const subject = { reference: 'Patient/p1' };
const url = 'http://example.org/born-at';
const chart: readonly Resource[] = [
  { resourceType: 'Organization', id: 'org', active: true, name: 'Clinic' },
  { resourceType: 'Practitioner', id: 'nurse', active: true, name: [{ family: 'Nurse' }] },
  {
    resourceType: 'Patient',
    id: 'p1',
    active: true,
    gender: 'female',
    birthDate: '2016-05-18',
    _birthDate: { extension: [{ url, valueDateTime: '2016-05-18T10:28:45Z' }] },
    extension: [{ url, valueString: 'some value' }],
    name: [
      { use: 'official', family: 'Example', given: ['Pat', 'Q'] },
      { use: 'usual', given: ['P'] },
    ],
    maritalStatus: { text: 'Never' },
    contained: [{ resourceType: 'Organization', id: 'in', name: 'Inside' }],
    managingOrganization: { reference: '#in' },
    generalPractitioner: [{ reference: 'Practitioner/nurse' }, { reference: 'Organization/org' }],
  } as Resource,
  { resourceType: 'Patient', id: 'p2', active: false, gender: 'male', name: [{ family: 'Other' }] },
  {
    resourceType: 'Patient',
    id: 'p3',
    gender: 'other',
    name: [{ family: 'Third' }],
    managingOrganization: { display: 'one' },
  },
  ...Array.from(
    { length: 25 },
    (_, i): Resource => ({
      resourceType: 'Observation',
      id: `o${String(i).padStart(2, '0')}`,
      status: i === 0 ? 'preliminary' : 'final',
      code: { coding: [{ system: 'http://loinc.org', code: '29463-7' }] },
      subject,
      effectiveDateTime: `2026-01-${String(i + 1).padStart(2, '0')}`,
      valueQuantity: { value: 60, unit: 'kg' },
    }),
  ),
];

beforeAll(async () => {
  service = await startTestService();
  token = await service.token();
  for (const each of chart) await service.as(token).put(`/fhir/${each.resourceType}/${each.id}`, each).expect(201);
  await service.http
    .put('/fhir/Observation/dose')
    .set('authorization', `Bearer ${token}`)
    .set('content-type', 'application/fhir+json')
    .send(
      '{"resourceType":"Observation","id":"dose","status":"final","code":{"text":"dose"},"valueQuantity":{"value":0.50,"unit":"mg/kg"}}',
    )
    .expect(201);
});
afterAll(() => service.close());

function ask(query: string, variables: object = {}, path = '/fhir/$graphql', as = token) {
  return service.http.post(path).set('authorization', `Bearer ${as}`).send({ query, variables });
}

test.each<[string, string, object]>([
  ['an id without quotes', '{ Patient(id: p1) { id, active } }', { Patient: { id: 'p1', active: true } }],
  [
    'extensions of primitives',
    '{ Patient(id: p1) { birthDate _birthDate { extension { valueDateTime } } } }',
    {
      Patient: { birthDate: '2016-05-18', _birthDate: { extension: [{ valueDateTime: '2016-05-18T10:28:45Z' }] } },
    },
  ],
  [
    'an extension by its url',
    `{ Patient(id: p1) { myext: extension(url: "${url}") { value: valueString } } }`,
    { Patient: { myext: [{ value: 'some value' }] } },
  ],
  [
    'names by use',
    '{ Patient(id: p1) { name(use: official) { family } } }',
    { Patient: { name: [{ family: 'Example' }] } },
  ],
  [
    'names by FHIRPath, with offset and count of what is left',
    '{ Patient(id: p1) { a: name(fhirpath: "family.exists()") { family } b: name(fhirpath: "$index > 0") { use } c: name(given: Q) { use } d: name(_offset: 1, _count: 5) { use } } }',
    {
      Patient: {
        a: [{ family: 'Example' }],
        b: [{ use: 'usual' }],
        c: [{ use: 'official' }],
        d: [{ use: 'usual' }],
      },
    },
  ],
  [
    'an element that is no list, if it is as wanted',
    '{ Patient(id: p1) { a: maritalStatus(text: Never) { text } b: maritalStatus(text: "S") { text } } }',
    { Patient: { a: { text: 'Never' }, b: null } },
  ],
  [
    'fields of what is referred to, by the types that it may have',
    '{ Patient(id: p1) { generalPractitioner { reference, resource { resourceType active } } } }',
    {
      Patient: {
        generalPractitioner: [
          { reference: 'Practitioner/nurse', resource: { resourceType: 'Practitioner', active: true } },
          { reference: 'Organization/org', resource: { resourceType: 'Organization', active: true } },
        ],
      },
    },
  ],
  [
    'one resource for each type',
    '{ Patient(id: p1) { generalPractitioner { resource(type: Practitioner) { name { family } } resource(type: Organization) { name } } } }',
    {
      Patient: {
        generalPractitioner: [{ resource: { name: [{ family: 'Nurse' }] } }, { resource: { name: 'Clinic' } }],
      },
    },
  ],
  [
    'types of what is referred to, and nothing of those that are not asked about',
    '{ Patient(id: p1) { generalPractitioner { resource { __typename ... on Practitioner { id } } } } }',
    {
      Patient: {
        generalPractitioner: [
          { resource: { __typename: 'Practitioner', id: 'nurse' } },
          { resource: { __typename: 'Organization' } },
        ],
      },
    },
  ],
  [
    'contained resources, and references to them',
    '{ Patient(id: p1) { contained { id ... on Organization { name } } managingOrganization { resource { name } } } }',
    { Patient: { contained: [{ id: 'in', name: 'Inside' }], managingOrganization: { resource: { name: 'Inside' } } } },
  ],
  [
    'nothing for an optional reference that leads nowhere',
    '{ Patient(id: p3) { managingOrganization { display resource(optional: true) { id } } } }',
    { Patient: { managingOrganization: { display: 'one', resource: null } } },
  ],
  [
    'a search by several values',
    '{ PatientList(_id: [p1, p2, nobody], _sort: _id) { id } }',
    { PatientList: [{ id: 'p1' }, { id: 'p2' }] },
  ],
  [
    'a search by booleans, codes and bare ids',
    '{ PatientList(active: false, gender: male) { id } ObservationList(patient: p1, status: preliminary) { id } }',
    { PatientList: [{ id: 'p2' }], ObservationList: [{ id: 'o00' }] },
  ],
  [
    'a search by _filter and one by FHIRPath',
    '{ PatientList(_filter: "gender eq male or family eq third", _sort: _id) { id } b: PatientList(fhirpath: "name.given.exists()") { id } }',
    { PatientList: [{ id: 'p2' }, { id: 'p3' }], b: [{ id: 'p1' }] },
  ],
  ['a part of a search', '{ PatientList(_sort: _id, _offset: 1, _count: 1) { id } }', { PatientList: [{ id: 'p2' }] }],
  [
    'meta and what is null',
    '{ Patient(id: p2) { meta { versionId } birthDate } }',
    { Patient: { meta: { versionId: '1' }, birthDate: null } },
  ],
])('a query as R4 writes it answers %s', async (_what, query, data) => {
  expect((await ask(query).expect(200)).body).toEqual({ data });
});

test('decimals keep their digits, with and without directives', async () => {
  for (const more of ['', '@flatten']) {
    const { text } = await ask(`{ Observation(id: dose) { valueQuantity(value: "0.5") ${more} { value } } }`).expect(
      200,
    );
    expect(text).toContain('"value":0.50');
  }
});

test('a list is all that matches, and never a part of it that nobody asked for', async () => {
  const { body } = await ask('{ ObservationList(patient: p1) { id } }').expect(200);
  expect(body.data.ObservationList).toHaveLength(25);
});

test('variables may have the types of the specification or those of GraphQL', async () => {
  const query =
    'query ($id: [token], $sort: String, $g: code, $o: Boolean = false) { PatientList(_id: $id, _sort: $sort, gender: $g) { id active @include(if: $o) } }';
  const variables = { id: ['p1', 'p2'], sort: '_id', g: 'male' };
  expect((await ask(query, variables).expect(200)).body).toEqual({ data: { PatientList: [{ id: 'p2' }] } });
  const { body } = await ask('query ($n: String) { PatientList(_count: $n) { id } }', { n: '1' }).expect(400);
  expect(body.errors[0].locations.length).toBeGreaterThan(0);
});

type Page = {
  count: number;
  offset: number;
  pagesize: number;
  edges: { mode: string; score: null; resource: { id: string } }[];
} & Record<'first' | 'previous' | 'next' | 'last', string | null>;

const FIELDS = '{ count offset pagesize edges { mode score resource { id } } first previous next last }';
const ids = ({ edges }: Page) => edges.map(({ resource }) => resource.id);
const followed = async (cursor: string | null): Promise<Page> =>
  (await ask(`query ($c: ID) { ObservationConnection(_cursor: $c) ${FIELDS} }`, { c: cursor }).expect(200)).body.data
    .ObservationConnection;

test('a cursor says all of its search: forward, back, to the first page and to the last', async () => {
  const query = `{ Patient(id: p1) { ObservationConnection(_reference: patient, _sort: date, _count: 10) ${FIELDS} } }`;
  const first: Page = (await ask(query).expect(200)).body.data.Patient.ObservationConnection;
  expect(first).toMatchObject({ count: 25, offset: 0, pagesize: 10, previous: null });
  expect(first.edges[0]).toEqual({ mode: 'match', score: null, resource: { id: 'o00' } });
  const second = await followed(first.next);
  expect([second.offset, ids(second)[0]]).toEqual([10, 'o10']);
  const last = await followed(second.last);
  expect([last.offset, ids(last), last.next]).toEqual([20, ['o20', 'o21', 'o22', 'o23', 'o24'], null]);
  const before = await followed(last.previous);
  expect(ids(before)).toEqual(ids(second));
  expect(ids(await followed(before.first))).toEqual(ids(first));
});

test('a page without length has a count, and one behind the end is empty', async () => {
  const { body } = await ask(
    '{ a: ObservationConnection(patient: p1, _count: 0) { count edges { mode } } b: ObservationConnection(patient: p1, _offset: 40) { count offset edges { mode } next } }',
  ).expect(200);
  expect(body.data).toEqual({ a: { count: 25, edges: [] }, b: { count: 25, offset: 40, edges: [], next: null } });
});

test.each([
  ['a cursor of nobody', '{ ObservationConnection(_cursor: "abc") { count } }', 'value'],
  ['another type', '{ PatientConnection(_cursor: $) { count } }', 'value'],
  ['another search', '{ ObservationConnection(_cursor: $, status: final) { count } }', 'value'],
  ['a negative offset', '{ ObservationConnection(_offset: -1) { count } }', 'value'],
  ['a FHIRPath that is none', '{ PatientList(fhirpath: "name..") { id } }', 'value'],
  ['a reference that leads nowhere', '{ Patient(id: p3) { managingOrganization { resource { id } } } }', 'not-found'],
])('%s is an error of its field', async (_what, query, code) => {
  const { next } = (await ask('{ ObservationConnection(patient: p1) { next } }').expect(200)).body.data
    .ObservationConnection;
  const { body } = await ask(query.replace('$', JSON.stringify(next))).expect(200);
  expect(body.errors[0].extensions.resource.issue[0].code).toBe(code);
  expect(body.errors[0].path.length).toBeGreaterThan(0);
});

test.each([
  ['arguments at a primitive', '{ Patient(id: p1) { name { given(_count: 1) } } }'],
  [
    'a cursor below the root',
    '{ Patient(id: p1) { ObservationConnection(_reference: patient, _cursor: "x") { count } } }',
  ],
  ['a reverse look-up without _reference', '{ Patient(id: p1) { ObservationList { id } } }'],
  ['an unknown search parameter', '{ PatientList(shoe: 1) { id } }'],
  ['includes', '{ PatientList(_include: "*") { id } }'],
  ['a type that R4 has not', '{ Patient(id: p1) { managingOrganization { resource(type: Organisation) { id } } } }'],
  ['a field that nothing referred to has', '{ Patient(id: p1) { managingOrganization { resource { birthDate } } } }'],
  ['a subscription', 'subscription { Patient(id: p1) { id } }'],
])('%s is refused with its place', async (_what, query) => {
  const { body } = await ask(query).expect(400);
  expect(body.data).toBeUndefined();
  expect(body.errors[0].locations.length).toBeGreaterThan(0);
});

test('a query in Parameters, and in the url beside a body of variables', async () => {
  const parameter = [
    { name: 'query', valueString: 'query ($i: ID!) { Patient(id: $i) { id } }' },
    { name: 'variables', valueString: '{"i":"p1"}' },
  ];
  const sent = (body: object, type: string) =>
    service.http
      .post('/fhir/$graphql')
      .set('authorization', `Bearer ${token}`)
      .set('content-type', type)
      .send(JSON.stringify(body));
  const { body } = await sent({ resourceType: 'Parameters', parameter }, 'application/fhir+json').expect(200);
  expect(body).toEqual({ data: { Patient: { id: 'p1' } } });
  const wrong = { resourceType: 'Parameters', parameter: [{ name: 'query', valueCode: 'x' }, { name: 'colour' }] };
  expect((await sent(wrong, 'application/fhir+json').expect(400)).body.issue[0].expression).toEqual([
    'Parameters.parameter[0]',
  ]);
  await sent({}, 'text/csv').expect(415);
});

test('what may not be searched is not looked at from a search that may', async () => {
  const few = await service.token('system/Observation.rs');
  const seen = await ask('{ ObservationList(_filter: "patient.family eq example") { id } }', {}, '/fhir/$graphql', few);
  expect(seen.body.data.ObservationList ?? []).toEqual([]);
  const hidden = '{ Observation(id: o00) { subject { resource { id } } } }';
  const { body } = await ask(hidden, {}, '/fhir/$graphql', few).expect(200);
  expect(body.data).toEqual({ Observation: { subject: { resource: null } } });
  expect(body.errors[0].extensions.resource.issue[0].code).toBe('not-found');
});

test('versions that a reference names are the ones that are read', async () => {
  await service
    .as(token)
    .put('/fhir/Practitioner/moved', { resourceType: 'Practitioner', id: 'moved', gender: 'male' });
  await service
    .as(token)
    .put('/fhir/Practitioner/moved', { resourceType: 'Practitioner', id: 'moved', gender: 'other' });
  const performer = ['', '/_history/1'].map((version) => ({ reference: `Practitioner/moved${version}` }));
  const observation = { resourceType: 'Observation', id: 'by', status: 'final', code: { text: 'x' }, performer };
  await service
    .as(token)
    .put('/fhir/Observation/by', observation as Resource)
    .expect(201);
  const { body } = await ask(
    '{ Observation(id: by) { performer { resource(type: Practitioner) { gender } } } }',
  ).expect(200);
  expect(body.data.Observation.performer).toEqual([
    { resource: { gender: 'other' } },
    { resource: { gender: 'male' } },
  ]);
});

test('the answer of another operation can be asked about', async () => {
  const asked = (path: string) => service.as(token).get(`/fhir/${path}`);
  const lookup = 'CodeSystem/$lookup?system=http://hl7.org/fhir/administrative-gender&code=female';
  const query = '{display:parameter(name:"display")@first{value:valueString}}';
  const { body, headers } = await asked(`${lookup}&_graphql=${encodeURIComponent(query)}`).expect(200);
  expect(body).toEqual({ data: { display: { value: 'Female' } } });
  expect(headers['content-type']).toMatch(/^application\/json/);
  const ids = encodeURIComponent('{total entry(_count:1){resource{...on Patient{id}}}}');
  expect((await asked(`Patient/p2/$everything?_graphql=${ids}`).expect(200)).body.data.entry).toEqual([
    { resource: { id: 'p2' } },
  ]);
  expect((await asked(`${lookup}&_graphql=${encodeURIComponent('{x}')}`).expect(400)).body.errors).toHaveLength(1);
  expect((await asked(`CodeSystem/$lookup?_graphql=${ids}`)).body.resourceType).toBe('OperationOutcome');
});

test('a query about a resource that is not there is answered as reading it', async () => {
  const { body } = await ask('{ id }', {}, '/fhir/Patient/none/$graphql').expect(404);
  expect(body.data).toBeUndefined();
  expect(body.errors[0].extensions.resource.issue[0].code).toBe('not-found');
  const few = await service.token('system/Observation.rs');
  await ask('{ id }', {}, '/fhir/Patient/p1/$graphql', few).expect(403);
});
