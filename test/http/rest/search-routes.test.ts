/** https://hl7.org/fhir/R4/http.html#search and #vsearch: searches by url, by form, over types and within compartments. */
import type { Bundle } from '@medplum/fhirtypes';
import type { Test } from 'supertest';
import { BASE, patient, startTestService, type TestService, weightOf } from '../service.ts';

let service: TestService;
let token: string;
let one: string;
let other: string;
let weight: string;
let encounter: string;

beforeAll(async () => {
  service = await startTestService();
  token = await service.token();
  const create = async (type: string, body: object) => (await as().post(`/fhir/${type}`, body).expect(201)).body.id;
  one = await create('Patient', patient);
  other = await create('Patient', { ...patient, name: [{ family: 'Other' }] });
  encounter = await create('Encounter', {
    resourceType: 'Encounter',
    status: 'finished',
    class: { system: 'http://terminology.hl7.org/CodeSystem/v3-ActCode', code: 'AMB' },
    subject: { reference: `Patient/${one}` },
    participant: [{ individual: { reference: 'Practitioner/p1' } }],
  });
  weight = await create('Observation', { ...weightOf(one, 80), encounter: { reference: `Encounter/${encounter}` } });
  await create('Observation', weightOf(other, 70));
  await create('Condition', {
    resourceType: 'Condition',
    subject: { reference: `Patient/${one}` },
    code: { text: 'x' },
  });
});
afterAll(() => service.close());

const as = () => service.as(token);

async function found(path: string, scope?: string): Promise<Bundle> {
  const caller = scope === undefined ? as() : service.as(await service.token(scope));
  const { body } = await caller.get(path).expect(200);
  expect(body).toMatchObject({ resourceType: 'Bundle', type: 'searchset' });
  return body as Bundle;
}

const refs = (bundle: Bundle) =>
  (bundle.entry ?? []).map(({ resource }) => `${resource?.resourceType}/${resource?.id}`).sort();
const types = (bundle: Bundle) =>
  [...new Set((bundle.entry ?? []).map(({ resource }) => resource?.resourceType))].sort();
const self = (bundle: Bundle) => bundle.link?.find(({ relation }) => relation === 'self')?.url;

function post(path: string, form: string): Test {
  return service.http.post(path).set('authorization', `Bearer ${token}`).type('form').send(form);
}

test('parameters of a form and of its url count together', async () => {
  const { body } = await post(`/fhir/Observation/_search?patient=${one}`, 'code=29463-7&_count=5').expect(200);
  expect(refs(body)).toEqual([`Observation/${weight}`]);
  expect(self(body)).toBe(`${BASE}/Observation?patient=${one}&code=29463-7&_count=5`);
  expect(refs((await post('/fhir/Observation/_search', `patient=${one}&patient=${other}`).expect(200)).body)).toEqual(
    [],
  );
  await post('/fhir/Observation/_search', 'nothing=x').expect(400);
  await post('/fhir/Observation/_search', '').expect(200);
  const empty = service.http.post('/fhir/Observation/_search').set('authorization', `Bearer ${token}`);
  await empty.expect(200);
});

test('a search over several types finds them all, by url and by form', async () => {
  const bundle = await found(`/fhir?_type=Patient,Observation&_id=${one},${weight}`);
  expect(refs(bundle)).toEqual([`Observation/${weight}`, `Patient/${one}`]);
  expect(self(bundle)).toBe(
    `${BASE}?${new URLSearchParams({ _type: 'Patient,Observation', _id: `${one},${weight}` })}`,
  );
  const byForm = (await post('/fhir/_search', `_type=Patient,Observation&_id=${one},${weight}`).expect(200)).body;
  expect(refs(byForm)).toEqual(refs(bundle));
  expect(self(byForm)).toBe(self(bundle));
  expect(refs(await found(`/fhir/?_id=${one}`))).toEqual([`Patient/${one}`]);
});

test('pages of a search over several types hold every match once', async () => {
  const seen: string[] = [];
  let url: string | undefined = '/fhir?_type=Patient,Observation,Condition,Encounter&_count=2';
  while (url !== undefined) {
    const bundle: Bundle = await found(url);
    seen.push(...refs(bundle));
    url = bundle.link?.find(({ relation }) => relation === 'next')?.url.replace(BASE, '/fhir');
  }
  expect(seen).toHaveLength(6);
  expect(new Set(seen).size).toBe(6);
});

test.each([
  ['Patient/{one}/Observation', ['Observation']],
  ['Patient/{one}/Observation?code=29463-7', ['Observation']],
  ['Patient/{one}/Observation?code=other', []],
  ['Patient/{one}/Patient', ['Patient']],
  ['Patient/{one}/*', ['Condition', 'Encounter', 'Observation', 'Patient', 'Provenance']],
  ['Patient/{one}/*?_type=Condition,Encounter', ['Condition', 'Encounter']],
  ['Encounter/{encounter}/Observation', ['Observation']],
  ['Encounter/{encounter}/*', ['Encounter', 'Observation']],
  ['Practitioner/p1/Encounter', ['Encounter']],
  ['Practitioner/p1/*', ['Encounter']],
  ['RelatedPerson/r1/Observation', []],
  ['Device/d1/*', []],
  ['Patient/never-was/*', []],
  ['Patient/{one}/Location', []],
])('GET %s finds %j', async (template, expected) => {
  const path = template.replace('{one}', one).replace('{encounter}', encounter);
  const bundle = await found(`/fhir/${path}`);
  expect(types(bundle)).toEqual(expected);
  expect(JSON.stringify(bundle)).not.toContain(other);
  expect(self(bundle)?.replace(/%2C/g, ',')).toBe(`${BASE}/${path}`);
});

test('a compartment is searched by form as well', async () => {
  const { body } = await post(`/fhir/Patient/${one}/Observation/_search?code=29463-7`, '_count=3').expect(200);
  expect(refs(body)).toEqual([`Observation/${weight}`]);
  expect(self(body)).toBe(`${BASE}/Patient/${one}/Observation?code=29463-7&_count=3`);
});

test.each([
  ['/fhir/Patient/{one}/Nothing', 404],
  ['/fhir/Observation/{one}/Patient', 404],
  ['/fhir/Location/x/*', 404],
  ['/fhir/Patient/a_b/Observation', 400],
  ['/fhir?_type=Nothing', 400],
  ['/fhir?_type=Patient,AuditEvent', 400],
  ['/fhir?birthdate=2026', 400],
  ['/fhir?_type=Patient&nothing=1', 400],
])('GET %s is %i', async (template, status) => {
  await as().get(template.replace('{one}', one)).expect(status);
});

test('types that the token may not search are absent, and refused where they are named', async () => {
  const scope = 'system/Observation.rs system/Condition.r';
  expect(types(await found('/fhir', scope))).toEqual(['Observation']);
  expect(types(await found(`/fhir/Patient/${one}/*`, scope))).toEqual(['Observation']);
  const caller = service.as(await service.token(scope));
  await caller.get('/fhir?_type=Observation,Patient').expect(403);
  await caller.get(`/fhir/Patient/${one}/Condition`).expect(403);
  await caller.get('/fhir/Patient').expect(403);
  await service
    .as(await service.token('system/Condition.r'))
    .get('/fhir')
    .expect(403);
});

test('a condition on resources that the token may not search finds nothing, and is refused where nothing is left', async () => {
  const chained = `/fhir/Observation?subject.name=Example`;
  expect(refs(await found(chained))).toEqual([`Observation/${weight}`]);
  expect(refs(await found(chained, 'system/Observation.rs system/Group.rs system/Location.rs'))).toEqual([]);
  const caller = service.as(await service.token('system/Observation.rs'));
  await caller.get(chained).expect(403);
  await caller.get('/fhir/Observation?subject:Patient.name=Example').expect(403);
  await service
    .as(await service.token('system/Patient.rs'))
    .get('/fhir/Patient?_has:Observation:patient:code=29463-7')
    .expect(403);
  expect(refs(await found('/fhir/Patient?_has:Observation:patient:code=29463-7')).length).toBe(2);
});

test('a search within a compartment is written down for its patient, one over types as what it is', async () => {
  await service.newAuditEvents();
  await found(`/fhir/Patient/${one}/Immunization`);
  await found(`/fhir?_type=Patient&_id=${one}`);
  const [within, over] = await service.newAuditEvents();
  expect(within?.entity?.some(({ what }) => what?.reference === `Patient/${one}`)).toBe(true);
  expect(over?.subtype?.[0]?.code).toBe('search-system');
  const events = await found(`/fhir/Patient/${one}/AuditEvent?_count=2`);
  expect(types(events)).toEqual(['AuditEvent']);
});

test('a condition of a write looks no further than the token may search', async () => {
  const basic = { resourceType: 'Basic', code: { text: 'x' } } as const;
  const create = async (scope: string, condition: string) =>
    (
      await service
        .as(await service.token(scope))
        .post('/fhir/Basic', basic)
        .set('if-none-exist', condition)
    ).status;
  const own = 'system/Basic.cruds';
  expect(await create(own, 'identifier=none')).toBe(201);
  expect(await create(own, 'subject:Patient.name=Example')).toBe(403);
  expect(await create(own, 'subject.name=Example')).toBe(403);
  expect(await create(`${own} system/Patient.rs`, 'subject:Patient.name=Nobody')).toBe(201);
});
