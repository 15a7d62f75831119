/** Whatever is sent, the answer is below 500, explains itself, and the next request is served. */

import type { Server, ServerResponse } from 'node:http';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import fc from 'fast-check';
import { close, listen, portOf } from '../../src/http/server.ts';
import { patient, startTestService, type TestService } from './service.ts';

let service: TestService;
let server: Server;
let token: string;

beforeAll(async () => {
  service = await startTestService();
  token = await service.token();
  server = await listen(service.app, 0, '127.0.0.1');
});
afterAll(async () => {
  await close(server);
  await service.close();
});

type Sent = { method: string; path: string; headers: Record<string, string>; body: string | Buffer };

function send({ method, path, headers, body }: Sent): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      {
        port: portOf(server),
        host: '127.0.0.1',
        method,
        path,
        headers: { authorization: `Bearer ${token}`, 'content-length': Buffer.byteLength(body), ...headers },
      },
      (response) => {
        const parts: Buffer[] = [];
        response.on('data', (part: Buffer) => parts.push(part));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(parts).toString() }));
      },
    );
    request.on('error', reject);
    request.end(body);
  });
}

const segment = fc.oneof(
  fc.constantFrom(
    'Patient',
    'Observation',
    'AuditEvent',
    'Binary',
    '_history',
    '_search',
    '$apply',
    'metadata',
    '..',
    '',
    '1',
    '%2e',
    '%00',
  ),
  fc.webSegment(),
);
const value = fc.oneof(
  fc.webQueryParameters(),
  fc
    .constantFrom("' OR 1=1--", '%', '%00', '\\', 'ge2026', '|', '$', ',,', '1e400', 'a'.repeat(3000), '%F0%9F%92%A9')
    .map((text) => `${text.replaceAll(' ', '+')}`),
);
const name = fc.constantFrom(
  '_id',
  'identifier',
  'name',
  'birthdate',
  '_count',
  '_cursor',
  '_sort',
  '_include',
  'date',
  'patient',
  '_total',
  '_format',
  'x:y',
);
const query = fc.array(fc.tuple(name, value), { maxLength: 4 });
const body = fc.oneof(
  fc.constantFrom(
    '',
    '{}',
    '[]',
    'null',
    '{"resourceType":',
    '{"resourceType":"Patient","__proto__":{"a":1}}',
    `${'['.repeat(500)}`,
  ),
  fc.json(),
  fc.json().map((text) => `{"resourceType":"Patient","name":${text}}`),
  fc.json().map((text) => `{"resourceType":"Bundle","type":"transaction","entry":${text}}`),
  fc.json().map((text) => `{"resourceType":"Bundle","type":"batch","entry":[{"request":${text}}]}`),
  fc.uint8Array({ maxLength: 64 }).map((bytes) => Buffer.from(bytes)),
);

test('no request that a client can make is answered with 5xx, and every refusal is an OperationOutcome', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom('GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'),
      fc.array(segment, { maxLength: 5 }),
      query,
      fc.constantFrom(
        'application/fhir+json',
        'application/json',
        'application/x-www-form-urlencoded',
        'text/plain',
        ';',
      ),
      body,
      fc.dictionary(
        fc.constantFrom('if-match', 'if-none-exist', 'prefer', 'accept', 'if-modified-since'),
        fc.constantFrom('W/"1"', 'x', '', '*/*', '%', '"'),
      ),
      async (method, segments, parameters, contentType, sent, headers) => {
        const search = parameters.map(([key, text]) => `${key}=${text}`).join('&');
        const path = `/fhir/${segments.join('/')}${search === '' ? '' : `?${search}`}`.replace(/[^\x21-\x7e]/g, '');
        const answer = await send({ method, path, headers: { 'content-type': contentType, ...headers }, body: sent });
        expect(answer.status).toBeLessThan(500);
        if (answer.status >= 400) expect(JSON.parse(answer.text)).toMatchObject({ resourceType: 'OperationOutcome' });
      },
    ),
    { numRuns: 200 },
  );
  await service.as(token).post('/fhir/Patient', patient).expect(201);
});

test.each([
  ['/clinics/%E0%A4%A/fhir/Patient/1', 400],
  ['/fhirx/Patient/1', 404],
  ['/FHIR/Patient/1', 404],
  [`/fhir/Patient/1?x=${'a'.repeat(17_000)}`, 431],
])('%.40s is answered with %i', async (path, status) => {
  expect((await send({ method: 'GET', path, headers: {}, body: '' })).status).toBe(status);
});

test('a connection that sends half a body and leaves harms nobody', async () => {
  const socket = connect(portOf(server), '127.0.0.1');
  socket.write(
    `POST /fhir/Patient HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${token}\r\ncontent-type: application/fhir+json\r\ncontent-length: 1000\r\n\r\n{"resource`,
  );
  await new Promise((resolve) => setTimeout(resolve, 50));
  socket.destroy();
  expect((await send({ method: 'GET', path: '/fhir/metadata', headers: {}, body: '' })).status).toBe(200);
});

test('closing the server lets a request on its way end', async () => {
  const arrived = Promise.withResolvers<ServerResponse>();
  const other = await listen((_request, response) => arrived.resolve(response), 0, '127.0.0.1');
  const answered = fetch(`http://127.0.0.1:${portOf(other)}/`).then((response) => response.text());
  const response = await arrived.promise;
  const closed = close(other);
  response.end('done');
  await closed;
  expect(await answered).toBe('done');
});
