/** https://hl7.org/fhir/R4/search.html#summary and #elements, on every interaction that shows resources. */
import type { Bundle, Resource } from '@medplum/fhirtypes';
import { patient, startTestService, type TestService, weightOf } from '../service.ts';

let service: TestService;
let token: string;
let id: string;
let weight: string;

beforeAll(async () => {
  service = await startTestService();
  token = await service.token();
  const text = { status: 'generated', div: '<div xmlns="http://www.w3.org/1999/xhtml">Pat</div>' };
  id = (
    await as()
      .post('/fhir/Patient', { ...patient, text, maritalStatus: { text: 'x' } })
      .expect(201)
  ).body.id;
  weight = (await as().post('/fhir/Observation', weightOf(id, 80)).expect(201)).body.id;
});
afterAll(() => service.close());

const as = () => service.as(token);
const get = async (path: string) => (await as().get(path).expect(200)).body;
const first = (bundle: Bundle) => bundle.entry?.[0]?.resource as unknown as Record<string, unknown>;
const isSubset = (resource: unknown) => JSON.stringify((resource as Resource).meta?.tag ?? []).includes('SUBSETTED');

/** The same resource by every way that there is to it. */
async function everyWay(query: string): Promise<Record<string, unknown>[]> {
  return [
    await get(`/fhir/Patient/${id}?${query}`),
    await get(`/fhir/Patient/${id}/_history/1?${query}`),
    first(await get(`/fhir/Patient?_id=${id}&${query}`)),
    first(await get(`/fhir?_type=Patient&_id=${id}&${query}`)),
    first(await get(`/fhir/Patient/${id}/_history?${query}`)),
    first(await get(`/fhir/Patient/_history?${query}`)),
  ];
}

test.each([
  ['_summary=true', ['name', 'birthDate'], ['text', 'maritalStatus']],
  ['_summary=data', ['name', 'maritalStatus'], ['text']],
  ['_summary=text', ['text'], ['name', 'maritalStatus']],
  ['_elements=maritalStatus', ['maritalStatus'], ['name', 'text']],
  ['_elements=name.family', ['name'], ['birthDate', 'text']],
])('%s shows %j and not %j, marked as a part', async (query, shown, hidden) => {
  for (const resource of await everyWay(query)) {
    expect(resource).toMatchObject({ resourceType: 'Patient', id, meta: { versionId: '1' } });
    expect(isSubset(resource)).toBe(true);
    for (const name of shown) expect(resource).toHaveProperty(name);
    for (const name of hidden) expect(resource).not.toHaveProperty(name);
  }
});

test('_summary=false shows everything, and _summary=count nothing but the total', async () => {
  for (const resource of await everyWay('_summary=false')) {
    expect(isSubset(resource)).toBe(false);
    expect(resource).toHaveProperty('maritalStatus');
  }
  for (const path of [`/fhir/Patient?_id=${id}`, `/fhir/Patient/${id}/_history?`]) {
    const bundle = await get(`${path}&_summary=count`);
    expect(bundle.total).toBe(1);
    expect(bundle.entry).toBeUndefined();
  }
});

test('elements of what is included are those that are named with its type', async () => {
  const search = `/fhir/Observation?_id=${weight}&_include=Observation:subject&_elements=code`;
  const included = (bundle: Bundle) => bundle.entry?.find(({ search }) => search?.mode === 'include')?.resource;
  const whole = await get(search);
  expect(Object.keys(first(whole))).not.toContain('subject');
  expect(isSubset(included(whole))).toBe(false);
  const part = included(await get(`${search},Patient.birthDate`));
  expect(part).toHaveProperty('birthDate');
  expect(part).not.toHaveProperty('name');
});

test.each([
  [`/fhir/Patient/{id}?_summary=maybe`],
  [`/fhir/Patient/{id}?_summary=count`],
  [`/fhir/Patient/{id}?_elements=nothing`],
  [`/fhir/Patient/{id}?_elements=name&_summary=true`],
  [`/fhir/Patient/{id}/_history?_summary=maybe`],
])('%s is refused', async (path) => {
  await as().get(path.replace('{id}', id)).expect(400);
});

test('a part that is sent back is refused, since it would take the place of the whole', async () => {
  const part = await get(`/fhir/Patient/${id}?_summary=true`);
  const { body } = await as().put(`/fhir/Patient/${id}`, part).expect(422);
  expect(body.issue[0]).toMatchObject({ code: 'business-rule', expression: ['Patient.meta.tag[0]'] });
  expect(await get(`/fhir/Patient/${id}`)).toHaveProperty('maritalStatus');
});

test('a part keeps its digits, in JSON and in XML', async () => {
  const observation = { ...weightOf(id, 80), valueQuantity: { value: 1, unit: 'kg' } };
  const text = JSON.stringify(observation).replace('"value":1,', '"value":1.50,');
  const created = await service.http
    .post('/fhir/Observation')
    .set('authorization', `Bearer ${token}`)
    .set('content-type', 'application/fhir+json')
    .send(text)
    .expect(201);
  const url = `/fhir/Observation/${created.body.id}?_elements=value`;
  expect((await as().get(url).expect(200)).text).toContain('"value":1.50');
  expect((await as().get(`${url}&_format=xml`).buffer(true).expect(200)).text).toContain('<value value="1.50"/>');
});
