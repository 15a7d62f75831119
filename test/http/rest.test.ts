import type { Bundle, Observation, OperationOutcome } from '@medplum/fhirtypes';
import { BASE, patient, startTestService, type TestService, weightOf } from './service.ts';

let service: TestService;
let token: string;
let patientId: string;

beforeAll(async () => {
  service = await startTestService();
  token = await service.token();
  patientId = (await as().post('/fhir/Patient', patient).expect(201)).body.id;
});
afterAll(() => service.close());

function as() {
  return service.as(token);
}

async function createWeight(kilograms = 70): Promise<Observation> {
  return (await as().post('/fhir/Observation', weightOf(patientId, kilograms)).expect(201)).body;
}

test('a created resource is answered with its version, its place and its text', async () => {
  const answer = await as().post('/fhir/Observation', weightOf(patientId, 70)).expect(201);
  const { id, meta } = answer.body as Observation;
  expect(answer.headers).toMatchObject({
    etag: 'W/"1"',
    location: `${BASE}/Observation/${id}/_history/1`,
    'content-type': 'application/fhir+json; charset=utf-8',
    'cache-control': 'no-store',
    'last-modified': new Date(meta?.lastUpdated as string).toUTCString(),
  });
  expect(meta?.versionId).toBe('1');
  const read = await as().get(`/fhir/Observation/${id}`).expect(200);
  expect(read.text).toBe(answer.text);
  expect(read.headers).toMatchObject({ etag: 'W/"1"', 'content-type': 'application/fhir+json; charset=utf-8' });
});

test.each([
  ['minimal', ''],
  ['OperationOutcome', 'OperationOutcome'],
  ['representation', 'Observation'],
])('Prefer: return=%s decides what a write is answered with', async (preference, resourceType) => {
  const request = as().post('/fhir/Observation', weightOf(patientId, 70)).set('prefer', `return=${preference}`);
  const { text } = await request.expect(201);
  expect(text === '' ? '' : JSON.parse(text).resourceType).toBe(resourceType);
});

test('every version stays readable, and the history lists them, newest first', async () => {
  const { id } = await createWeight(70);
  for (const kilograms of [71, 72]) {
    const updated = await as()
      .put(`/fhir/Observation/${id}`, { ...weightOf(patientId, kilograms), id })
      .expect(200);
    expect(updated.headers.location).toBe(`${BASE}/Observation/${id}/_history/${kilograms - 69}`);
  }
  await as().delete(`/fhir/Observation/${id}`).expect(204);
  for (const version of [1, 2, 3]) {
    const { body } = await as().get(`/fhir/Observation/${id}/_history/${version}`).expect(200);
    expect(body.valueQuantity.value).toBe(69 + version);
  }
  await as().get(`/fhir/Observation/${id}/_history/4`).expect(410);
  await as().get(`/fhir/Observation/${id}/_history/9`).expect(404);
  const { body: history } = await as().get(`/fhir/Observation/${id}/_history`).expect(200);
  expect(history).toMatchObject({ resourceType: 'Bundle', type: 'history', total: 4 });
  expect((history as Bundle).entry?.map(({ request, response }) => [request?.method, response?.status])).toEqual([
    ['DELETE', '204 No Content'],
    ['PUT', '200 OK'],
    ['PUT', '200 OK'],
    ['POST', '201 Created'],
  ]);
});

test('a history in pages is complete', async () => {
  const { id } = await createWeight(70);
  for (const kilograms of [71, 72, 73, 74]) {
    await as()
      .put(`/fhir/Observation/${id}`, { ...weightOf(patientId, kilograms), id })
      .expect(200);
  }
  const versions: string[] = [];
  let url: string | undefined = `${BASE}/Observation/${id}/_history?_count=2`;
  while (url !== undefined) {
    const { body } = await as().get(url.replace(BASE, '/fhir')).expect(200);
    const page = body as Bundle;
    versions.push(...(page.entry ?? []).map(({ resource }) => resource?.meta?.versionId as string));
    url = page.link?.find(({ relation }) => relation === 'next')?.url;
  }
  expect(versions).toEqual(['5', '4', '3', '2', '1']);
});

test('a deletion is 204 however often it is asked for, and 410 to whoever reads afterwards', async () => {
  const { id } = await createWeight();
  await as().delete(`/fhir/Observation/${id}`).expect(204);
  await as().delete(`/fhir/Observation/${id}`).expect(204);
  await as().delete('/fhir/Observation/never-was').expect(204);
  await as().get(`/fhir/Observation/${id}`).expect(410);
  await as().get('/fhir/Observation/never-was').expect(404);
});

test('a PUT to an id that is not there creates it, with 201', async () => {
  const id = 'chosen-by-the-client';
  const answer = await as()
    .put(`/fhir/Observation/${id}`, { ...weightOf(patientId, 70), id })
    .expect(201);
  expect(answer.headers.location).toBe(`${BASE}/Observation/${id}/_history/1`);
});

test.each([
  ['the current version', 'W/"1"', 200],
  ['the current version as a strong tag', '"1"', 200],
  ['an older version', 'W/"9"', 412],
  ['no version at all', 'W/"abc"', 412],
  ['something that is no tag', '1', 400],
])('If-Match with %s (%s) answers %i', async (_case, tag, status) => {
  const { id } = await createWeight();
  await as()
    .put(`/fhir/Observation/${id}`, { ...weightOf(patientId, 71), id })
    .set('if-match', tag)
    .expect(status);
});

test('If-None-Match: * creates and never overwrites', async () => {
  const url = '/fhir/Patient/if-none-match';
  const put = () => as().put(url, { resourceType: 'Patient', id: 'if-none-match' }).set('if-none-match', '*');
  await put().expect(201);
  await put().expect(412);
  await as()
    .get(`${url}/_history`)
    .expect(200)
    .expect(({ body }) => expect(body.total).toBe(1));
});

test.each([
  ['if-none-match', 'W/"1"', 304],
  ['if-none-match', '"5", W/"1"', 304],
  ['if-none-match', '*', 304],
  ['if-none-match', 'W/"2"', 200],
  ['if-modified-since', 'Wed, 01 Jan 2200 00:00:00 GMT', 304],
  ['if-modified-since', 'Wed, 01 Jan 2020 00:00:00 GMT', 200],
  ['if-modified-since', 'not a date', 200],
])('a read with %s: %s answers %i', async (header, value, status) => {
  const { id } = await createWeight();
  const { text, headers } = await as().get(`/fhir/Observation/${id}`).set(header, value).expect(status);
  expect(headers.etag).toBe('W/"1"');
  expect(text === '').toBe(status === 304);
});

test('HEAD tells what GET would, without the body', async () => {
  const { id } = await createWeight();
  const answer = await service.http.head(`/fhir/Observation/${id}`).set('authorization', `Bearer ${token}`).expect(200);
  expect(answer.headers.etag).toBe('W/"1"');
  expect(answer.text ?? '').toBe('');
});

test('a conditional create makes one resource however often it is sent', async () => {
  const identified = { ...patient, identifier: [{ system: 'https://kap.example.org/id/patient', value: 'ONCE' }] };
  const criteria = 'identifier=https://kap.example.org/id/patient|ONCE';
  const first = await as().post('/fhir/Patient', identified).set('if-none-exist', criteria).expect(201);
  for (const condition of [criteria, `?${criteria}`, `Patient?${criteria}`]) {
    const again = await as().post('/fhir/Patient', identified).set('if-none-exist', condition).expect(200);
    expect(again.body.id).toBe(first.body.id);
  }
  await as().post('/fhir/Patient', identified).expect(201);
  await as().post('/fhir/Patient', identified).set('if-none-exist', criteria).expect(412);
  await as().post('/fhir/Patient', identified).set('if-none-exist', '').expect(400);
});

test('a conditional update creates, then updates, and refuses more than one match', async () => {
  const identified = { ...patient, identifier: [{ system: 'https://kap.example.org/id/patient', value: 'COND' }] };
  const url = '/fhir/Patient?identifier=https://kap.example.org/id/patient|COND';
  const created = await as().put(url, identified).expect(201);
  const updated = await as()
    .put(url, { ...identified, gender: 'other' })
    .expect(200);
  expect(updated.body).toMatchObject({ id: created.body.id, gender: 'other', meta: { versionId: '2' } });
  await as().post('/fhir/Patient', identified).expect(201);
  await as().put(url, identified).expect(412);
  await as().put('/fhir/Patient', identified).expect(400);
});

test('a conditional delete removes the one match and refuses several', async () => {
  const identified = { ...patient, identifier: [{ system: 'https://kap.example.org/id/patient', value: 'GONE' }] };
  const url = '/fhir/Patient?identifier=https://kap.example.org/id/patient|GONE';
  const { body } = await as().post('/fhir/Patient', identified).expect(201);
  await as().delete(url).expect(204);
  await as().get(`/fhir/Patient/${body.id}`).expect(410);
  await as().delete(url).expect(204);
  await as().post('/fhir/Patient', identified).expect(201);
  await as().post('/fhir/Patient', identified).expect(201);
  await as().delete(url).expect(412);
  await as().delete('/fhir/Patient').expect(400);
});

test('a search answers by GET and by POST with the same matches, links and modes', async () => {
  await createWeight(80);
  const byGet = await as().get(`/fhir/Observation?patient=${patientId}&code=29463-7&_count=2`).expect(200);
  const byPost = await service.http
    .post('/fhir/Observation/_search?_count=2')
    .set('authorization', `Bearer ${token}`)
    .type('form')
    .send(`patient=${patientId}&code=29463-7`)
    .expect(200);
  const [one, other] = [byGet.body as Bundle, byPost.body as Bundle];
  expect(one.type).toBe('searchset');
  expect(other.entry).toEqual(one.entry);
  for (const { fullUrl, resource, search } of one.entry ?? []) {
    expect(fullUrl).toBe(`${BASE}/Observation/${resource?.id}`);
    expect(search?.mode).toBe('match');
  }
  expect(one.link?.[0]).toEqual({
    relation: 'self',
    url: `${BASE}/Observation?patient=${patientId}&code=29463-7&_count=2`,
  });
});

test('following the next links of a search gives every match once', async () => {
  const other = (await as().post('/fhir/Patient', patient).expect(201)).body.id;
  const expected = new Set<string>();
  for (let i = 0; i < 7; i++) expected.add((await as().post('/fhir/Observation', weightOf(other, 60 + i))).body.id);
  const seen: string[] = [];
  const relations: (string | undefined)[] = [];
  let url: string | undefined = `/fhir/Observation?patient=${other}&_count=3`;
  while (url !== undefined) {
    const { body } = await as().get(url).expect(200);
    const page = body as Bundle;
    seen.push(...(page.entry ?? []).map(({ resource }) => resource?.id as string));
    relations.push(page.link?.map(({ relation }) => relation).join(' '));
    url = page.link?.find(({ relation }) => relation === 'next')?.url.replace(BASE, '/fhir');
  }
  expect(seen).toHaveLength(7);
  expect(new Set(seen)).toEqual(expected);
  expect(relations).toEqual(['self next', 'self first next', 'self first']);
});

test('an included resource is marked as such, and left out where the token could not read it', async () => {
  const { id } = await createWeight();
  const url = `/fhir/Observation?_id=${id}&_include=Observation:patient`;
  const modes = async (scope: string) => {
    const { body } = await service
      .as(await service.token(scope))
      .get(url)
      .expect(200);
    return (body as Bundle).entry?.map(({ resource, search }) => `${search?.mode} ${resource?.resourceType}`);
  };
  expect(await modes('system/*.rs')).toEqual(['match Observation', 'include Patient']);
  expect(await modes('system/Observation.rs')).toEqual(['match Observation']);
  const reverse = `/fhir/Patient?_id=${patientId}&_revinclude=Observation:patient`;
  await service
    .as(await service.token('system/Patient.rs'))
    .get(reverse)
    .expect(403);
});

test('an unknown search parameter is refused, and with handling=lenient left out and reported', async () => {
  await as().get('/fhir/Observation?no-such-parameter=1').expect(400);
  const { body } = await as()
    .get('/fhir/Observation?no-such-parameter=1')
    .set('prefer', 'handling=lenient')
    .expect(200);
  const outcome = (body as Bundle).entry?.find(({ search }) => search?.mode === 'outcome')
    ?.resource as OperationOutcome;
  expect(outcome.issue[0]).toMatchObject({ severity: 'warning' });
  expect((body as Bundle).link?.[0]?.url).toBe(`${BASE}/Observation`);
});

test('a transaction links its entries, answers each in its place and stores all or nothing', async () => {
  const bundle = {
    resourceType: 'Bundle',
    type: 'transaction',
    entry: [
      {
        fullUrl: 'urn:uuid:6f8c2b1e-0d5f-4a3c-9d27-1f0f5a4f1a01',
        resource: patient,
        request: { method: 'POST', url: 'Patient' },
      },
      {
        resource: { ...weightOf('x', 70), subject: { reference: 'urn:uuid:6f8c2b1e-0d5f-4a3c-9d27-1f0f5a4f1a01' } },
        request: { method: 'POST', url: 'Observation' },
      },
      { request: { method: 'GET', url: `Patient/${patientId}` } },
    ],
  };
  const { body } = await as().post('/fhir', bundle).expect(200);
  const { type, entry } = body as Bundle;
  expect(type).toBe('transaction-response');
  expect(entry?.map(({ response }) => response?.status.slice(0, 3))).toEqual(['201', '201', '200']);
  expect((entry?.[1]?.resource as Observation | undefined)?.subject?.reference).toBe(
    `Patient/${entry?.[0]?.resource?.id}`,
  );
  expect(entry?.[0]?.response?.location).toBe(`${BASE}/Patient/${entry?.[0]?.resource?.id}/_history/1`);
  expect(entry?.[2]?.resource?.id).toBe(patientId);

  const minimal = await as().post('/fhir/', bundle).set('prefer', 'return=minimal').expect(200);
  expect((minimal.body as Bundle).entry?.[0]?.resource).toBeUndefined();
});

test('a batch answers each entry for itself', async () => {
  const bundle = {
    resourceType: 'Bundle',
    type: 'batch',
    entry: [
      { resource: weightOf(patientId, 70), request: { method: 'POST', url: 'Observation' } },
      { resource: { resourceType: 'Observation' }, request: { method: 'POST', url: 'Observation' } },
      { request: { method: 'GET', url: `Observation?patient=${patientId}&_count=1` } },
    ],
  };
  const { body } = await as().post('/fhir', bundle).expect(200);
  const { type, entry } = body as Bundle;
  expect(type).toBe('batch-response');
  expect(entry?.map(({ response }) => response?.status.slice(0, 3))).toEqual(['201', '400', '200']);
  expect(entry?.[1]?.response?.outcome).toMatchObject({ resourceType: 'OperationOutcome' });
  expect(entry?.[2]?.resource).toMatchObject({ resourceType: 'Bundle', type: 'searchset' });
});
