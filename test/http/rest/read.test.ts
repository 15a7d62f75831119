/** https://hl7.org/fhir/R4/http.html#read, #vread and #cread */
import { patient, startTestService, type TestService } from '../service.ts';

let service: TestService;
let token: string;
let id: string;
let modified: string;

beforeAll(async () => {
  service = await startTestService({ recordNow: () => new Date('2026-03-01T10:00:00.500Z') });
  token = await service.token();
  id = (await service.as(token).post('/fhir/Patient', patient).expect(201)).body.id;
  const updated = await service.as(token).put(`/fhir/Patient/${id}`, { ...patient, id, active: true });
  modified = updated.headers['last-modified'] as string;
});
afterAll(() => service.close());

const get = (path: string) => service.as(token).get(path);

test('a read says which version it shows and when it was written', async () => {
  const { headers, body } = await get(`/fhir/Patient/${id}`).expect(200);
  expect(headers).toMatchObject({ etag: 'W/"2"', 'last-modified': 'Sun, 01 Mar 2026 10:00:00 GMT' });
  expect(body.meta.versionId).toBe('2');
  expect(body.meta.lastUpdated).toMatch(/^2026-03-01T10:00:00\.50\dZ$/);
  expect(modified).toBe('Sun, 01 Mar 2026 10:00:00 GMT');
});

test.each([
  ['if-none-match', 'W/"2"', 304],
  ['if-none-match', '"2"', 304],
  ['if-none-match', 'W/"1", W/"2"', 304],
  ['if-none-match', '"x","2" , "y"', 304],
  ['if-none-match', '*', 304],
  ['if-none-match', 'W/"1"', 200],
  ['if-none-match', 'W/"22"', 200],
  ['if-none-match', '2', 200],
  ['if-none-match', '', 200],
  ['if-modified-since', 'Sun, 01 Mar 2026 10:00:00 GMT', 304],
  ['if-modified-since', 'Sun, 01 Mar 2026 10:00:01 GMT', 304],
  ['if-modified-since', 'Sun, 01 Mar 2026 09:59:59 GMT', 200],
  ['if-modified-since', 'yesterday', 200],
])('%s: %s is answered with %i', async (header, value, status) => {
  const answer = await get(`/fhir/Patient/${id}`).set(header, value);
  expect(answer.status).toBe(status);
  expect(answer.headers.etag).toBe('W/"2"');
  if (status === 304) expect(answer.text).toBe('');
});

test('If-None-Match decides alone where both are sent', async () => {
  const since = 'Sun, 01 Mar 2026 10:00:01 GMT';
  await get(`/fhir/Patient/${id}`).set('if-none-match', 'W/"1"').set('if-modified-since', since).expect(200);
});

test('a version is read conditionally as well, and so are HEAD and XML', async () => {
  await get(`/fhir/Patient/${id}/_history/1`).set('if-none-match', 'W/"1"').expect(304);
  await get(`/fhir/Patient/${id}/_history/1`).set('if-none-match', 'W/"2"').expect(200);
  await service.http
    .head(`/fhir/Patient/${id}`)
    .set('authorization', `Bearer ${token}`)
    .set('if-none-match', '*')
    .expect(304);
  await get(`/fhir/Patient/${id}?_format=xml`).set('if-none-match', 'W/"2"').expect(304);
});

test('a condition does no harm to searches and histories, and a missing resource stays missing', async () => {
  await get(`/fhir/Patient?_id=${id}`).set('if-none-match', '*').expect(200);
  await get(`/fhir/Patient?_id=${id}`).set('if-modified-since', 'Sun, 01 Mar 2099 10:00:00 GMT').expect(200);
  await get(`/fhir/Patient/${id}/_history`).set('if-none-match', '*').expect(200);
  await get('/fhir/Patient/never-was').set('if-none-match', '*').expect(404);
});

test('a read that shows nothing new is written down all the same', async () => {
  await service.newAuditEvents();
  const { headers } = await get(`/fhir/Patient/${id}`).set('if-none-match', '*').expect(304);
  const [event] = await service.newAuditEvents();
  expect(event?.id).toBe(headers['x-audit-event-id']);
});

test('versions are numbers from 1 on, and those that were never are not found', async () => {
  for (const version of ['3', '0', '-1', '01', 'x', '1.0', '99999999999', '%2A']) {
    await get(`/fhir/Patient/${id}/_history/${version}`).expect(404);
  }
  const { body, headers } = await get(`/fhir/Patient/${id}/_history/1`).expect(200);
  expect(body.meta.versionId).toBe('1');
  expect(headers.etag).toBe('W/"1"');
});
