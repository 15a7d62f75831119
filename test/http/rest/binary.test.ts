/** https://hl7.org/fhir/R4/binary.html#rest */
import type { Bundle } from '@medplum/fhirtypes';
import type { Test } from 'supertest';
import { BASE, patient, startTestService, type TestService } from '../service.ts';

let service: TestService;
let token: string;
let patientId: string;

beforeAll(async () => {
  service = await startTestService();
  token = await service.token();
  patientId = (await service.as(token).post('/fhir/Patient', patient).expect(201)).body.id;
});
afterAll(() => service.close());

const PDF = Buffer.from([0x25, 0x50, 0x44, 0x46, 0x00, 0xff, 0xfe, 0x0a]);
const FHIR = 'application/fhir+json; charset=utf-8';

function send(method: 'post' | 'put', path: string, contentType: string, body: string | Buffer): Test {
  return service.http[method](path)
    .set('authorization', `Bearer ${token}`)
    .set('content-type', contentType)
    .serialize((sent) => sent as string)
    .send(body);
}

const idIn = (location: string | undefined) => /Binary\/([^/]+)\/_history/.exec(location ?? '')?.[1] as string;

function get(path: string, accept?: string, as = token): Test {
  const test = service.http.get(path).set('authorization', `Bearer ${as}`).buffer(true).parse(collected);
  return accept === undefined ? test.unset('accept') : test.set('accept', accept);
}

const collected: Parameters<Test['parse']>[0] = (response, done) => {
  const parts: Buffer[] = [];
  response.on('data', (part: Buffer) => parts.push(part));
  response.on('end', () => done(null, Buffer.concat(parts)));
};

let pdf: string;
beforeAll(async () => {
  const created = await send('post', '/fhir/Binary', 'application/pdf', PDF).expect(201);
  expect(created.headers.etag).toBe('W/"1"');
  expect(created.text).toBe('');
  pdf = idIn(created.headers.location);
});

test.each([
  [undefined, 'application/pdf'],
  ['*/*', 'application/pdf'],
  ['application/pdf', 'application/pdf'],
  ['application/*', 'application/pdf'],
  ['text/html,application/xhtml+xml,*/*;q=0.8', 'application/pdf'],
  ['image/png', 'application/pdf'],
  ['application/fhir+json', FHIR],
  ['application/fhir+json; fhirVersion=4.0', FHIR],
  ['application/json', FHIR],
  ['application/fhir+xml', 'application/fhir+xml; charset=utf-8'],
])('with Accept %s a PDF comes as %s', async (accept, contentType) => {
  for (const path of [`/fhir/Binary/${pdf}`, `/fhir/Binary/${pdf}/_history/1`]) {
    const answer = await get(path, accept).expect(200);
    expect(answer.headers['content-type']).toBe(contentType);
    expect(answer.headers.etag).toBe('W/"1"');
    const body = answer.body as Buffer;
    if (contentType === 'application/pdf') expect(body.equals(PDF)).toBe(true);
    else if (contentType === FHIR) {
      expect(JSON.parse(body.toString())).toMatchObject({
        contentType: 'application/pdf',
        data: PDF.toString('base64'),
      });
    } else expect(body.toString()).toContain(`<data value="${PDF.toString('base64')}"/>`);
  }
});

test('_format asks for FHIR, and a browser runs nothing of what it is given', async () => {
  const asked = await get(`/fhir/Binary/${pdf}?_format=json`).expect(200);
  expect(asked.headers['content-type']).toBe(FHIR);
  const page = await send('post', '/fhir/Binary', 'text/html; charset=utf-8', '<script>alert(1)</script>').expect(201);
  const { headers } = await get(`/fhir/Binary/${idIn(page.headers.location)}`, 'text/html').expect(200);
  expect(headers).toMatchObject({
    'content-type': 'text/html; charset=utf-8',
    'x-content-type-options': 'nosniff',
    'content-security-policy': "default-src 'none'; sandbox",
  });
  expect(headers['content-disposition']).toMatch(/^attachment/);
});

test('a Binary as FHIR is stored as the Binary that it is, in JSON and in XML', async () => {
  const binary = { resourceType: 'Binary', contentType: 'text/plain', data: 'aGVsbG8=' };
  const json = await send('post', '/fhir/Binary', 'application/fhir+json', JSON.stringify(binary)).expect(201);
  expect(json.body).toMatchObject(binary);
  const xml =
    '<?xml version="1.0"?><!-- x --><Binary xmlns="http://hl7.org/fhir"><contentType value="text/plain"/><data value="aGVsbG8="/></Binary>';
  const created = await send('post', '/fhir/Binary', 'application/fhir+xml', xml).expect(201);
  for (const id of [json.body.id, created.body.id]) {
    expect((await get(`/fhir/Binary/${id}`, 'text/plain').expect(200)).body.toString()).toBe('hello');
  }
});

test('another resource sent there is content like any other', async () => {
  const text = JSON.stringify(patient);
  const created = await send('post', '/fhir/Binary', 'application/fhir+json', text).expect(201);
  const read = await get(`/fhir/Binary/${idIn(created.headers.location)}`, 'application/fhir+json').expect(200);
  const { contentType, data } = JSON.parse(read.body.toString());
  expect(contentType).toBe('application/fhir+json');
  expect(Buffer.from(data, 'base64').toString()).toBe(text);
});

test('bytes replace bytes, and the versions stay', async () => {
  await send('put', `/fhir/Binary/${pdf}`, 'image/png', Buffer.from('png')).expect(200);
  const now = await get(`/fhir/Binary/${pdf}`).expect(200);
  expect([now.headers['content-type'], now.headers.etag]).toEqual(['image/png', 'W/"2"']);
  expect((await get(`/fhir/Binary/${pdf}/_history/1`).expect(200)).headers['content-type']).toBe('application/pdf');
  await send('put', '/fhir/Binary/chosen', 'text/plain', 'x').expect(201);
  expect((await get('/fhir/Binary/chosen').expect(200)).body.toString()).toBe('x');
  await get(`/fhir/Binary/${pdf}`).set('if-none-match', 'W/"2"').expect(304);
  const head = await service.http.head(`/fhir/Binary/${pdf}`).set('authorization', `Bearer ${token}`).expect(200);
  expect(head.headers).toMatchObject({ 'content-type': 'image/png', 'content-length': '3' });
});

test.each([
  [';', 'x', 415],
  ['pdf', 'x', 415],
  ['application/pdf', '', 400],
  ['application/fhir+json', '{"resourceType":"Binary",', 400],
  ['application/fhir+json', '{"resourceType":"Binary","data":"?"}', 400],
])('Content-Type %j with %j is %i', async (contentType, body, status) => {
  await send('post', '/fhir/Binary', contentType, body).expect(status);
});

test('a content type that no header can hold does no harm', async () => {
  const binary = { resourceType: 'Binary', contentType: 'text/\u0416', data: 'aGVsbG8=' };
  const created = await service.as(token).post('/fhir/Binary', binary).expect(201);
  const { headers } = await get(`/fhir/Binary/${created.body.id}`).expect(200);
  expect(headers['content-type']).toBe('application/octet-stream');
});

test('a Binary that belongs to a patient is there for those alone who may read patients', async () => {
  const created = await send('post', '/fhir/Binary', 'text/plain', 'secret')
    .set('x-security-context', `Patient/${patientId}`)
    .expect(201);
  const id = idIn(created.headers.location);
  await service.newAuditEvents();
  const read = await get(`/fhir/Binary/${id}`).expect(200);
  expect(read.headers['x-security-context']).toBe(`Patient/${patientId}`);
  const [event] = await service.newAuditEvents();
  expect(event?.entity?.some(({ what }) => what?.reference === `Patient/${patientId}`)).toBe(true);

  const without = await service.token('system/Binary.cruds system/Basic.cruds');
  const hidden = await get(`/fhir/Binary/${id}`, FHIR, without).expect(404);
  const never = await get('/fhir/Binary/never-was', FHIR, without).expect(404);
  expect(hidden.body.toString().replaceAll(id, 'never-was')).toBe(never.body.toString());
  await get(`/fhir/Binary/${id}/_history/1`, FHIR, without).expect(404);
  await get(`/fhir/Binary/${id}/_history`, FHIR, without).expect(404);
  for (const list of ['/fhir/Binary', '/fhir/Binary/_history']) await get(list, FHIR, without).expect(403);
  expect((await get('/fhir/_history?_count=1000', FHIR, without).expect(200)).body.toString()).not.toContain(id);
  const both = await service.token('system/Binary.rs system/Patient.rs');
  expect((await get(`/fhir/Binary/${id}`, 'text/plain', both).expect(200)).body.toString()).toBe('secret');
});

test('in a Bundle a Binary is FHIR', async () => {
  const entry = [{ request: { method: 'GET', url: 'Binary/chosen' } }];
  const { body } = await service.as(token).post('/fhir', { resourceType: 'Bundle', type: 'batch', entry }).expect(200);
  expect((body as Bundle).entry?.[0]?.resource).toMatchObject({ resourceType: 'Binary', contentType: 'text/plain' });
  const list = await get('/fhir/Binary?_id=chosen', FHIR).expect(200);
  expect(JSON.parse(list.body.toString()).entry[0].fullUrl).toBe(`${BASE}/Binary/chosen`);
});
