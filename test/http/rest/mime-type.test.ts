/** https://hl7.org/fhir/R4/http.html#mime-type, #parameters and https://hl7.org/fhir/R4/xml.html over HTTP. */
import { gzipSync } from 'node:zlib';
import type { Test } from 'supertest';
import { BASE, patient, startTestService, type TestService, weightOf } from '../service.ts';

let service: TestService;
let token: string;
let id: string;

beforeAll(async () => {
  service = await startTestService();
  token = await service.token();
  id = (await service.as(token).post('/fhir/Patient', patient).expect(201)).body.id;
});
afterAll(() => service.close());

const JSON_TYPE = 'application/fhir+json; charset=utf-8';
const XML_TYPE = 'application/fhir+xml; charset=utf-8';

const as = () => service.as(token);

function get(path: string, accept?: string): Test {
  const test = as().get(path);
  return accept === undefined ? test : test.set('accept', accept);
}

function send(method: 'post' | 'put', path: string, contentType: string, body: string | Buffer): Test {
  return service.http[method](path)
    .set('authorization', `Bearer ${token}`)
    .set('content-type', contentType)
    .serialize((sent) => sent as string)
    .send(body);
}

const text = (answer: { text: string; body: unknown }) => answer.text ?? (answer.body as Buffer).toString();

test.each([
  [undefined, '', 'json'],
  ['*/*', '', 'json'],
  ['application/fhir+json', '', 'json'],
  ['application/json', '', 'json'],
  ['text/json', '', 'json'],
  ['json', '', 'json'],
  ['APPLICATION/FHIR+JSON', '', 'json'],
  ['application/fhir+json; charset=UTF-8', '', 'json'],
  ['application/fhir+json; fhirVersion=4.0', '', 'json'],
  ['application/fhir+json; fhirVersion="4.0"', '', 'json'],
  ['application/fhir+json; fhirVersion=4.0.1', '', 'json'],
  ['application/*', '', 'json'],
  ['application/fhir+xml', '', 'xml'],
  ['application/xml', '', 'xml'],
  ['text/xml', '', 'xml'],
  ['application/fhir+xml; fhirVersion=4.0', '', 'xml'],
  ['application/fhir+json;q=0.5, application/fhir+xml', '', 'xml'],
  ['application/fhir+json;q=0.5, application/fhir+xml;q=0.4', '', 'json'],
  ['application/fhir+xml, application/fhir+json', '', 'xml'],
  ['application/fhir+json, application/fhir+xml', '', 'json'],
  ['application/fhir+xml, */*;q=0.1', '', 'xml'],
  ['application/fhir+json;q=0, */*', '', 'xml'],
  ['*/*, application/fhir+xml;q=0.1', '', 'json'],
  ['application/fhir+xml; fhirVersion=5.0, application/fhir+json; fhirVersion=4.0', '', 'json'],
  ['text/turtle, application/fhir+json;q=0.2', '', 'json'],
  ['text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8', '', 'json'],
  ['application/fhir+json', '?_format=xml', 'xml'],
  ['application/fhir+xml', '?_format=json', 'json'],
  ['text/html', '?_format=json', 'json'],
  [undefined, '?_format=application/fhir%2Bxml', 'xml'],
  [undefined, '?_format=application/fhir+xml', 'xml'],
  [undefined, '?_format=application%2Fxml', 'xml'],
  [undefined, '?_format=text/xml', 'xml'],
  [undefined, '?%5Fformat=text/xml', 'xml'],
  [undefined, '?_format=text/json', 'json'],
  [undefined, '?_format=application/json', 'json'],
  [undefined, '?_format=', 'json'],
  ['application/fhir+xml', '?_pretty=true', 'xml'],
])('Accept: %s and %s are answered in %s', async (accept, query, format) => {
  const answer = await get(`/fhir/Patient/${id}${query}`, accept).expect(200);
  expect(answer.headers['content-type']).toBe(format === 'xml' ? XML_TYPE : JSON_TYPE);
  expect(
    text(answer)
      .trimStart()
      .startsWith(format === 'xml' ? '<?xml' : '{'),
  ).toBe(true);
  expect(answer.headers['content-length']).toBe(String(Buffer.byteLength(text(answer))));
});

test.each([
  ['text/turtle', ''],
  ['application/rdf+xml', ''],
  ['text/html', ''],
  ['image/png', ''],
  ['application/fhir+json;q=0', ''],
  ['application/fhir+json; fhirVersion=5.0', ''],
  ['application/fhir+json; fhirVersion=3.0', ''],
  ['application/fhir+json; charset=latin1', ''],
  [';', ''],
  [undefined, '?_format=ttl'],
  [undefined, '?_format=html'],
  ['application/fhir+json', '?_format=x'],
  [undefined, '?_format=application/fhir%2Bjson;fhirVersion=3.0'],
])('Accept: %s and %s are 406, said in JSON', async (accept, query) => {
  for (const path of [`/fhir/Patient/${id}`, '/fhir/Patient', '/fhir/metadata', `/fhir/Patient/${id}/_history`]) {
    const answer = await get(`${path}${query}`, accept).expect(406);
    expect(answer.headers['content-type']).toBe(JSON_TYPE);
    expect(answer.body).toMatchObject({ resourceType: 'OperationOutcome', issue: [{ code: 'not-supported' }] });
  }
});

test.each([
  ['application/fhir+json', 201],
  ['application/json', 201],
  ['text/json', 201],
  ['application/fhir+json; charset=utf-8', 201],
  ['application/fhir+json; charset="UTF-8"', 201],
  ['application/fhir+json; fhirVersion=4.0', 201],
  ['application/fhir+json; fhirVersion=3.0', 415],
  ['application/fhir+json; charset=utf-16', 415],
  ['text/plain', 415],
  ['text/html', 415],
  ['multipart/form-data', 415],
  ['application/x-www-form-urlencoded', 415],
  ['json', 415],
])('a body of type %s is answered with %i', async (contentType, status) => {
  await send('post', '/fhir/Patient', contentType, JSON.stringify(patient)).expect(status);
});

test.each([
  ['application/fhir+xml', 201],
  ['application/xml', 201],
  ['text/xml; charset=utf-8', 201],
  ['application/fhir+xml; fhirVersion=5.0', 415],
  ['application/xml; charset=iso-8859-1', 415],
])('an XML body of type %s is answered with %i', async (contentType, status) => {
  const body = '<Patient xmlns="http://hl7.org/fhir"><gender value="female"/></Patient>';
  await send('post', '/fhir/Patient', contentType, body).expect(status);
});

test('a body without a type is refused', async () => {
  const answer = await service.http
    .post('/fhir/Patient')
    .set('authorization', `Bearer ${token}`)
    .set('content-type', '')
    .send(JSON.stringify(patient));
  expect(answer.status).toBe(415);
});

test('what is written as XML is read as JSON with the same digits, and back', async () => {
  const body =
    '<Observation xmlns="http://hl7.org/fhir"><status value="final"/><code><text value="a &lt; b"/></code>' +
    '<valueQuantity><value value="0.50"/><unit value="mg"/></valueQuantity></Observation>';
  const created = await send('post', '/fhir/Observation', 'application/fhir+xml', body).expect(201);
  expect(created.headers['content-type']).toBe(JSON_TYPE);
  const observation = created.body.id as string;
  expect((await get(`/fhir/Observation/${observation}`)).text).toContain('"value":0.50');

  const read = text(await get(`/fhir/Observation/${observation}`, 'application/fhir+xml').expect(200));
  expect(read).toContain('<value value="0.50"/>');
  const updated = await send(
    'put',
    `/fhir/Observation/${observation}`,
    'application/fhir+xml',
    read.replace('value="mg"', 'value="g"'),
  )
    .set('accept', 'application/fhir+xml')
    .expect(200);
  expect(updated.headers).toMatchObject({ etag: 'W/"2"', 'content-type': XML_TYPE });
  expect(text(updated)).toContain('<unit value="g"/>');
});

test('searches, histories, bundles and refusals are XML where XML is asked for', async () => {
  const xml = 'application/fhir+xml';
  const search = text(await get(`/fhir/Patient?_id=${id}`, xml).expect(200));
  expect(search).toMatch(/^<\?xml[^>]*><Bundle xmlns="http:\/\/hl7.org\/fhir"><id value="[^"]+"\/>/);
  expect(search).toContain(`<entry><fullUrl value="${BASE}/Patient/${id}"/><resource><Patient><id value="${id}"/>`);
  expect(search).toContain('<search><mode value="match"/></search>');
  const history = text(await get(`/fhir/Patient/${id}/_history`, xml).expect(200));
  expect(history).toContain('<type value="history"/>');
  const missing = await get('/fhir/Patient/never-was', xml).expect(404);
  expect(missing.headers['content-type']).toBe(XML_TYPE);
  expect(text(missing)).toMatch(/<OperationOutcome xmlns="http:\/\/hl7.org\/fhir"><issue><severity value="error"\/>/);
  const anonymous = await service.http.get(`/fhir/Patient/${id}?_format=xml`).expect(401);
  expect(text(anonymous)).toContain('<code value="login"/>');

  const transaction =
    '<Bundle xmlns="http://hl7.org/fhir"><type value="transaction"/><entry><resource><Basic><code><text value="x"/>' +
    '</code></Basic></resource><request><method value="POST"/><url value="Basic"/></request></entry></Bundle>';
  const answer = text(await send('post', '/fhir', xml, transaction).set('accept', xml).expect(200));
  expect(answer).toContain('<type value="transaction-response"/>');
  expect(answer).toMatch(/<response><status value="201 Created"\/><location value=/);
});

test('what is wrong with a resource in XML is named at the same place as in JSON', async () => {
  const body = '<Patient xmlns="http://hl7.org/fhir"><contact><gender value="blue"/></contact></Patient>';
  const answer = await send('post', '/fhir/Patient', 'application/fhir+xml', body).expect(400);
  expect(JSON.stringify(answer.body)).toContain('Patient.contact[0].gender');
});

test('what was written stays written where XML cannot show it', async () => {
  // A character that JSON has and XML has not.
  const body = { ...patient, name: [{ text: 'one\ufffetwo' }] };
  const answer = await as().post('/fhir/Patient', body).set('accept', 'application/fhir+xml').expect(201);
  expect(text(answer)).toMatch(/<severity value="warning"\/>.*carried out/);
  const created = /Patient\/([^/]+)\/_history/.exec(answer.headers.location ?? '')?.[1];
  await get(`/fhir/Patient/${created}`).expect(200);
  await get(`/fhir/Patient/${created}`, 'application/fhir+xml').expect(406);
});

test('_pretty lays the answer out, and leaves it as it is with false', async () => {
  const plain = (await get(`/fhir/Patient/${id}`)).text;
  expect((await get(`/fhir/Patient/${id}?_pretty=false`)).text).toBe(plain);
  expect((await get(`/fhir/Patient/${id}?_pretty=true`)).text).toBe(`${JSON.stringify(JSON.parse(plain), null, 2)}\n`);
  expect((await get(`/fhir/Patient?_id=${id}&_pretty=true`)).text).toMatch(/^\{\n {2}"resourceType": "Bundle",\n/);
  await get(`/fhir/Patient/${id}?_pretty=yes`).expect(400);
});

test('_format and _pretty count in the form of a POST _search too', async () => {
  const search = (form: string, accept: string, path = '/fhir/Patient/_search') =>
    service.http.post(path).set('authorization', `Bearer ${token}`).set('accept', accept).type('form').send(form);
  const xml = await search(`_id=${id}&_format=xml`, 'application/fhir+json').expect(200);
  expect(xml.headers['content-type']).toBe(XML_TYPE);
  expect(text(await search(`_id=${id}&_pretty=true`, '*/*').expect(200))).toMatch(/^\{\n/);
  expect((await search(`_id=${id}&_format=json`, 'text/turtle').expect(200)).headers['content-type']).toBe(JSON_TYPE);
  await search(`_id=${id}`, 'text/turtle').expect(406);
  await search(`_id=${id}&_format=ttl`, '*/*').expect(406);
  const url = await search(`_id=${id}&_format=xml`, '*/*', '/fhir/Patient/_search?_format=json').expect(200);
  expect(url.headers['content-type']).toBe(JSON_TYPE);
});

test('the links of a page do not repeat how it was asked for, and other languages and charsets are not minded', async () => {
  const { body } = await get(`/fhir/Patient?_id=${id}&_format=json&_pretty=true`)
    .set('accept-charset', 'latin1')
    .set('accept-language', 'de')
    .expect(200);
  expect(body.link[0].url).toBe(`${BASE}/Patient?_id=${id}`);
});

test('the documents of SMART are JSON whatever is accepted, and OPTIONS needs no form', async () => {
  for (const name of ['smart-configuration', 'jwks.json']) {
    const answer = await get(`/fhir/.well-known/${name}`, 'text/plain').expect(200);
    expect(answer.headers['content-type']).toBe('application/json');
    expect((await get(`/fhir/.well-known/${name}?_format=xml`).expect(200)).headers['content-type']).toBe(
      'application/json',
    );
  }
  await service.http.options('/fhir/Patient').set('accept', 'text/plain').expect(204);
});

test('a body may come packed with gzip, up to the same size', async () => {
  const packed = gzipSync(JSON.stringify(weightOf(id, 70)));
  await send('post', '/fhir/Observation', 'application/fhir+json', packed).set('content-encoding', 'gzip').expect(201);
  const bomb = gzipSync(Buffer.alloc(200 * 1024 * 1024, 0x20));
  expect(bomb.length).toBeLessThan(1024 * 1024);
  await send('post', '/fhir/Observation', 'application/fhir+json', bomb).set('content-encoding', 'gzip').expect(413);
  const torn = packed.subarray(0, -10);
  await send('post', '/fhir/Observation', 'application/fhir+json', torn).set('content-encoding', 'gzip').expect(400);
  const answer = await get(`/fhir/Patient/${id}`).set('accept-encoding', 'gzip, deflate, br').expect(200);
  expect(answer.headers['content-encoding']).toBeUndefined();
});
