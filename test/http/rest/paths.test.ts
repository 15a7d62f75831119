/** Urls and methods: https://hl7.org/fhir/R4/http.html#general, #operations, and RFC 9110 for HEAD, OPTIONS and 405. */
import { BASE, patient, startTestService, type TestService } from '../service.ts';

let service: TestService;
let token: string;
let id: string;

beforeAll(async () => {
  service = await startTestService();
  token = await service.token();
  id = (await service.as(token).post('/fhir/Patient', patient).expect(201)).body.id;
});
afterAll(() => service.close());

type Method = 'get' | 'head' | 'post' | 'put' | 'patch' | 'delete' | 'options';

function send(method: Method, path: string) {
  return service.http[method](path).set('authorization', `Bearer ${token}`);
}

test.each([
  '/fhir/Patient/{id}',
  '/fhir/Patient/{id}/_history/1',
  '/fhir/Patient/{id}/_history',
  '/fhir/Patient/_history',
  '/fhir/_history',
  '/fhir/Patient?_id={id}',
  '/fhir/metadata',
  '/fhir/metadata?mode=terminology',
  '/fhir/.well-known/smart-configuration',
  '/fhir/Patient/never-was',
  '/fhir/Nothing/1',
])('HEAD %s has the status and headers of GET and no body', async (template) => {
  const path = template.replace('{id}', id);
  const varying = ['date', 'x-request-id', 'x-audit-event-id', 'connection', 'keep-alive'];
  const headersOf = (headers: Record<string, string>) =>
    Object.fromEntries(Object.entries(headers).filter(([name]) => !varying.includes(name)));
  const get = await send('get', path);
  const head = await send('head', path);
  expect(head.status).toBe(get.status);
  expect(headersOf(head.headers)).toEqual(headersOf(get.headers));
  expect(Number(head.headers['content-length'])).toBe(Buffer.byteLength(get.text));
  expect(head.text ?? '').toBe('');
});

test.each([
  ['put', '/fhir/metadata', 'GET, HEAD, OPTIONS'],
  ['post', '/fhir/metadata', 'GET, HEAD, OPTIONS'],
  ['delete', '/fhir/.well-known/smart-configuration', 'GET, HEAD, OPTIONS'],
  ['put', '/fhir/Patient/_search', 'POST, OPTIONS'],
  ['delete', '/fhir/Patient/_search', 'POST, OPTIONS'],
  ['post', '/fhir/Patient/{id}', 'GET, PUT, PATCH, DELETE, HEAD, OPTIONS'],
  ['post', '/fhir/Patient/{id}/_history', 'GET, HEAD, OPTIONS'],
  ['delete', '/fhir/Patient/{id}/_history/1', 'GET, HEAD, OPTIONS'],
  ['put', '/fhir/_history', 'GET, HEAD, OPTIONS'],
  ['post', '/fhir/Patient/_history', 'GET, HEAD, OPTIONS'],
  ['post', '/fhir/AuditEvent', 'GET, HEAD, OPTIONS'],
  ['put', '/fhir/AuditEvent/1', 'GET, HEAD, OPTIONS'],
  ['delete', '/fhir/AuditEvent/1', 'GET, HEAD, OPTIONS'],
] as const)('%s %s is 405 and says what is possible', async (method, template, allow) => {
  const answer = await send(method, template.replace('{id}', id)).expect(405);
  expect(answer.headers.allow).toBe(allow);
  expect(answer.body).toMatchObject({ resourceType: 'OperationOutcome', issue: [{ code: 'not-supported' }] });
});

test.each([
  ['/fhir/Nothing'],
  ['/fhir/patient'],
  ['/fhir/Resource'],
  ['/fhir/DomainResource/1'],
  ['/fhir/Patient/{id}/history'],
  ['/fhir/Patient/{id}/_history/1/2'],
  ['/fhir/Patient/{id}/_search'],
  ['/fhir/Patient/_nothing'],
  ['/fhir/Patient/$nothing'],
  ['/fhir/$nothing'],
  ['/fhir/metadata/more'],
  ['/fhir//Patient/{id}'],
  ['/fhir/Patient//{id}'],
  ['/fhir/Patient/{id}//'],
])('%s is 404, whatever the method', async (template) => {
  const path = template.replace('{id}', id);
  for (const method of ['get', 'put', 'delete'] as const) {
    const answer = await send(method, path).expect(404);
    expect(answer.body.resourceType).toBe('OperationOutcome');
  }
});

test.each([
  [`/fhir/Patient/{id}/`],
  [`/fhir/%50atient/{id}`],
  [`/fhir/Patient/{id}/_history/1/`],
  [`/fhir/Patient/{id}/%5Fhistory/1`],
  [`/clinics/default/fhir/Patient/{id}`],
])('%s is the same resource', async (template) => {
  const { body } = await send('get', template.replace('{id}', id)).expect(200);
  expect(body.id).toBe(id);
});

test('an encoded slash is part of an id and makes it an impossible one', async () => {
  await send('get', `/fhir/Patient%2F${id}`).expect(404);
  await send('get', `/fhir/Patient/a%2Fb`).expect(400);
  await send('get', '/fhir/Patient/%00').expect(400);
  await send('get', '/fhir/Patient/..%2F..%2Fmetadata').expect(400);
});

test('a method is what it is: no parameter and no header turns it into another', async () => {
  await send('get', `/fhir/Patient/${id}?_method=DELETE`).set('x-http-method-override', 'DELETE').expect(200);
  await send('post', `/fhir/Patient/_search?_method=DELETE&_id=${id}`)
    .set('x-http-method', 'DELETE')
    .type('form')
    .send('')
    .expect(400);
  await send('get', `/fhir/Patient/${id}`).expect(200);
});

test.each([
  ['/fhir/Patient/x', 'GET, PUT, PATCH, DELETE, HEAD, OPTIONS'],
  ['/fhir/metadata', 'GET, HEAD, OPTIONS'],
  ['/fhir/Patient/_search', 'POST, OPTIONS'],
])('OPTIONS %s says what is possible, to whom ever asks', async (path, allow) => {
  const answer = await service.http.options(path).expect(204);
  expect(answer.headers.allow).toBe(allow);
});

test('OPTIONS of what is not there is 404', async () => {
  await service.http.options('/fhir/Nothing').expect(404);
});

test('a GET with a body is a GET', async () => {
  const answer = await send('get', `/fhir/Patient/${id}`).type('application/fhir+json').send('{"a":1}').expect(200);
  expect(answer.body.id).toBe(id);
  const search = await send('get', `/fhir/Patient?_id=${id}`).type('form').send('_id=other').expect(200);
  expect(search.body.link[0].url).toBe(`${BASE}/Patient?_id=${id}`);
});

// ---- browsers (https://fetch.spec.whatwg.org/#http-cors-protocol)

const ORIGIN = 'https://app.example.org';

test('a page asks first, and is told what it may send and see', async () => {
  const preflight = await service.http
    .options(`/fhir/Patient/${id}`)
    .set('origin', ORIGIN)
    .set('access-control-request-method', 'PUT')
    .set('access-control-request-headers', 'authorization,content-type,if-match')
    .expect(204);
  expect(preflight.headers).toMatchObject({
    'access-control-allow-origin': '*',
    'access-control-allow-headers': 'authorization,content-type,if-match',
  });
  expect(preflight.headers['access-control-allow-methods']).toContain('PUT');
  expect(preflight.headers['access-control-allow-credentials']).toBeUndefined();

  const read = await send('get', `/fhir/Patient/${id}`).set('origin', ORIGIN).expect(200);
  expect(read.headers['access-control-allow-origin']).toBe('*');
  for (const name of ['ETag', 'Location', 'Last-Modified', 'Content-Location', 'X-Request-Id', 'X-Audit-Event-Id']) {
    expect(read.headers['access-control-expose-headers']).toContain(name);
  }
  for (const path of ['/fhir/metadata', '/fhir/.well-known/smart-configuration', '/fhir/Patient/never-was']) {
    const answer = await send('get', path).set('origin', ORIGIN);
    expect(answer.headers['access-control-allow-origin']).toBe('*');
  }
  const refused = await service.http.get(`/fhir/Patient/${id}`).set('origin', ORIGIN).expect(401);
  expect(refused.headers['access-control-allow-origin']).toBe('*');
});

test('nobody who is no page gets the headers for one', async () => {
  const { headers } = await send('get', `/fhir/Patient/${id}`).expect(200);
  expect(Object.keys(headers).filter((name) => name.startsWith('access-control'))).toEqual([]);
});

test('where origins are listed, others are not let in', async () => {
  const other = await startTestService({ corsOrigins: [ORIGIN] });
  try {
    const preflight = (origin: string) =>
      other.http
        .options('/fhir/Patient/1')
        .set('origin', origin)
        .set('access-control-request-method', 'GET')
        .expect(204);
    expect((await preflight(ORIGIN)).headers).toMatchObject({ 'access-control-allow-origin': ORIGIN, vary: 'Origin' });
    const foreign = (await preflight('https://evil.example.org')).headers;
    expect(foreign['access-control-allow-origin']).toBeUndefined();
    expect(foreign.vary).toBe('Origin');
  } finally {
    await other.close();
  }
});
