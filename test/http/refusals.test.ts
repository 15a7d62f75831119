import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import type { OperationOutcome } from '@medplum/fhirtypes';
import type { Test } from 'supertest';
import { patient, startTestService, type TestService, weightOf } from './service.ts';

let service: TestService;
let token: string;

beforeAll(async () => {
  service = await startTestService();
  token = await service.token();
});
afterAll(() => service.close());

function as() {
  return service.as(token);
}

function raw(path: string, contentType: string, body: string | Buffer): Test {
  return service.http
    .post(path)
    .set('authorization', `Bearer ${token}`)
    .set('content-type', contentType)
    .serialize((sent) => sent as string)
    .send(body);
}

const JSON_TYPE = 'application/fhir+json';

type Refused = readonly [about: string, send: () => Test, status: number, code: string, says: RegExp];

const refused: readonly Refused[] = [
  [
    'malformed JSON',
    () => raw('/fhir/Patient', JSON_TYPE, '{"resourceType":"Patient",\n "active": tru}'),
    400,
    'structure',
    /line 2|column/,
  ],
  ['an empty body', () => raw('/fhir/Patient', JSON_TYPE, ''), 400, 'required', /empty/],
  [
    'no body at all',
    () => service.http.post('/fhir/Patient').set('authorization', `Bearer ${token}`),
    400,
    'required',
    /empty/,
  ],
  ['a list instead of a resource', () => raw('/fhir/Patient', JSON_TYPE, '[]'), 400, 'structure', /object/],
  [
    'a repeated key',
    () => raw('/fhir/Patient', JSON_TYPE, '{"resourceType":"Patient","active":true,"active":false}'),
    400,
    'structure',
    /already has/,
  ],
  [
    'bytes that are not UTF-8',
    () => raw('/fhir/Patient', JSON_TYPE, Buffer.from([0x7b, 0xff, 0xfe, 0x7d])),
    400,
    'structure',
    /UTF-8/i,
  ],
  ['another type than the url says', () => as().post('/fhir/Observation', patient), 400, 'invalid', /type/i],
  ['another id than the url says', () => as().put('/fhir/Patient/a', { ...patient, id: 'b' }), 400, 'invalid', /id/],
  ['no id in an update', () => as().put('/fhir/Patient/a', patient), 400, 'invalid', /id/],
  ['an unknown element', () => as().post('/fhir/Patient', { ...patient, colour: 'blue' }), 400, 'structure', /colour/],
  [
    'a code outside a required binding',
    () => as().post('/fhir/Patient', { ...patient, gender: 'blue' }),
    400,
    'code-invalid',
    /gender|code/i,
  ],
  ['a resource type that R4 has not', () => as().get('/fhir/Patience/1'), 404, 'not-supported', /Patience/],
  ['an id that cannot be one', () => as().get('/fhir/Patient/a_b'), 400, 'value', /id/],
  ['an id that is far too long', () => as().get(`/fhir/Patient/${'a'.repeat(65)}`), 400, 'value', /64/],
  ['a url with more after the id', () => as().get('/fhir/Patient/1/x/y/z'), 404, 'not-supported', /nothing/],
  ['a broken percent encoding', () => as().get('/fhir/Patient/%E0%A4%A'), 400, 'value', /id/],
  [
    'an operation that does not exist',
    () => as().post('/fhir/Patient/1/$no-such', {}),
    404,
    'not-supported',
    /nothing/,
  ],
  ['a version that cannot be one', () => as().get('/fhir/Patient/1/_history/abc'), 404, 'not-found', /version/],
  [
    'XML without its namespace',
    () => raw('/fhir/Patient', 'application/fhir+xml', '<Patient/>'),
    400,
    'structure',
    /namespace.*line 1/,
  ],
  ['Turtle', () => raw('/fhir/Patient', 'text/turtle', '<x>'), 415, 'not-supported', /application\/fhir\+json/],
  [
    'another character set',
    () => raw('/fhir/Patient', `${JSON_TYPE}; charset=latin1`, '{}'),
    415,
    'not-supported',
    /utf-8/,
  ],
  [
    'a body compressed in another way than gzip',
    () => raw('/fhir/Patient', JSON_TYPE, '{}').set('content-encoding', 'br'),
    415,
    'not-supported',
    /gzip/,
  ],
  [
    'a body that is not the gzip it is said to be',
    () => raw('/fhir/Patient', JSON_TYPE, '{}').set('content-encoding', 'gzip'),
    400,
    'structure',
    /gzip/,
  ],
  [
    'another FHIR version',
    () => raw('/fhir/Patient', `${JSON_TYPE}; fhirVersion=5.0`, '{}'),
    415,
    'not-supported',
    /R4/,
  ],
  [
    'a caller who takes Turtle alone',
    () => as().get('/fhir/Patient/1').set('accept', 'text/turtle'),
    406,
    'not-supported',
    /json/,
  ],
  ['_format=ttl', () => as().get('/fhir/Patient/1?_format=ttl'), 406, 'not-supported', /json/],
  [
    'a Bundle that is neither transaction nor batch',
    () => as().post('/fhir', { resourceType: 'Bundle', type: 'collection' }),
    400,
    'value',
    /transaction/,
  ],
  ['another resource sent to the base', () => as().post('/fhir', patient), 400, 'invalid', /Bundle/],
  [
    'entries that are not objects',
    () => as().post('/fhir', { resourceType: 'Bundle', type: 'transaction', entry: [1] }),
    400,
    'structure',
    /object/,
  ],
  [
    'an entry with a misspelt condition',
    () =>
      as().post('/fhir', {
        resourceType: 'Bundle',
        type: 'transaction',
        entry: [{ resource: patient, request: { method: 'POST', url: 'Patient', ifNonExist: '_id=1' } }],
      }),
    400,
    'structure',
    /ifNonExist/,
  ],
  ['a form that is sent as JSON', () => raw('/fhir/Patient/_search', JSON_TYPE, '{}'), 415, 'not-supported', /form/],
  ['a _count that is no number', () => as().get('/fhir/Patient/x/_history?_count=many'), 400, 'value', /_count/],
];

test.each(refused)('%s is refused with a clear OperationOutcome', async (_about, send, status, code, says) => {
  const answer = await send();
  const outcome = answer.body as OperationOutcome;
  expect([answer.status, outcome.resourceType]).toEqual([status, 'OperationOutcome']);
  expect(outcome.issue[0]).toMatchObject({ severity: 'error', code });
  expect(outcome.issue.map(({ diagnostics }) => diagnostics).join(' ')).toMatch(says);
  expect(answer.text).not.toMatch(/\bat .*\.ts\b/);
});

test('nothing that was refused is stored, and each refusal leaves its AuditEvent', async () => {
  await service.newAuditEvents();
  const before = await countOfVersions();
  for (const [, send, status] of refused) {
    await send();
    const [event, ...more] = await service.newAuditEvents();
    expect(more).toEqual([]);
    expect(event).toMatchObject({
      outcome: status < 500 ? '4' : '8',
      contained: [{ resourceType: 'OperationOutcome' }],
    });
    expect(event?.meta?.profile).toBeUndefined();
  }
  expect(await countOfVersions()).toBe(before);
});

async function countOfVersions(): Promise<number> {
  const { rows } = await service.clinic.database
    .clinicPool()
    .query<{ n: string }>('select count(*) as n from resource_version');
  return Number(rows[0]?.n);
}

test('a body over 10 MB is refused before it is read, and the next request is served', async () => {
  const large = JSON.stringify({ ...patient, text: { status: 'generated', div: 'x'.repeat(10 * 1024 * 1024) } });
  const answer = await raw('/fhir/Patient', JSON_TYPE, large);
  expect(answer.status).toBe(413);
  expect((answer.body as OperationOutcome).issue[0]?.code).toBe('too-long');
  await as().get('/fhir/metadata').expect(200);
});

test('a body over 10 MB without a length is cut off at the limit', async () => {
  const { readBody } = await import('../../src/http/body.ts');
  const server = createServer((request, response) => {
    readBody(request, 1000).then(
      (body) => response.end(createHash('sha256').update(body).digest('hex')),
      (error: Error) => response.writeHead(413, { connection: 'close' }).end(error.message),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const { port } = server.address() as { port: number };
    const chunked = async (size: number) => {
      const body = new ReadableStream({
        start(controller) {
          for (let sent = 0; sent < size; sent += 100) controller.enqueue(new Uint8Array(100));
          controller.close();
        },
      });
      return fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body, duplex: 'half' } as RequestInit);
    };
    expect((await chunked(1000)).status).toBe(200);
    expect((await chunked(2000)).status).toBe(413);
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

test.each([
  ['no token', undefined, 'login'],
  ['a token that is none', 'Bearer abc', 'login'],
  ['another scheme', 'Basic dXNlcjpwYXNz', 'login'],
])('%s is 401 with a challenge, and leaves an AuditEvent', async (_about, authorization, code) => {
  await service.newAuditEvents();
  const request = service.http.get('/fhir/Patient/1');
  const answer = await (authorization === undefined ? request : request.set('authorization', authorization));
  expect(answer.status).toBe(401);
  expect(answer.headers['www-authenticate']).toBe('Bearer');
  expect((answer.body as OperationOutcome).issue[0]?.code).toBe(code);
  const [event] = await service.newAuditEvents();
  expect(event).toMatchObject({ outcome: '4', agent: [{ who: { identifier: { value: 'anonymous' } } }, {}] });
});

test('without a token nothing tells which urls exist', async () => {
  for (const path of ['/fhir/Patient/1', '/fhir/NoSuchType/1', '/fhir/Patient/1/$no-such', '/fhir/x/y/z/a/b']) {
    await service.http.get(path).expect(401);
  }
});

test.each([
  ['read', 'system/Observation.cuds', () => (as: Caller) => as.get('/fhir/Observation/1'), 'system/Observation.r'],
  ['search', 'system/Observation.crud', () => (as: Caller) => as.get('/fhir/Observation'), 'system/Observation.s'],
  [
    'create',
    'system/Observation.rs',
    () => (as: Caller) => as.post('/fhir/Observation', weightOf('1', 70)),
    'system/Observation.c',
  ],
  [
    'update',
    'system/Observation.crds',
    () => (as: Caller) => as.put('/fhir/Observation/1', weightOf('1', 70)),
    'system/Observation.u',
  ],
  ['delete', 'system/Observation.crus', () => (as: Caller) => as.delete('/fhir/Observation/1'), 'system/Observation.d'],
  [
    'history',
    'system/Observation.s',
    () => (as: Caller) => as.get('/fhir/Observation/1/_history'),
    'system/Observation.r',
  ],
  [
    'the condition of a create',
    'system/Observation.cru',
    () => (as: Caller) => as.post('/fhir/Observation', weightOf('1', 70)).set('if-none-exist', '_id=1'),
    'system/Observation.s',
  ],
  [
    'the condition of an update',
    'system/Observation.cru',
    () => (as: Caller) => as.put('/fhir/Observation?_id=1', weightOf('1', 70)),
    'system/Observation.s',
  ],
  [
    'the condition of a deletion',
    'system/Observation.d',
    () => (as: Caller) => as.delete('/fhir/Observation?_id=1'),
    'system/Observation.s',
  ],
  [
    'a conditional reference',
    'system/Observation.cruds',
    () => (as: Caller) => {
      const resource = { ...weightOf('1', 70), subject: { reference: 'Patient?_id=1' } };
      const entry = [{ resource, request: { method: 'POST', url: 'Observation' } }];
      return as.post('/fhir', { resourceType: 'Bundle', type: 'transaction', entry });
    },
    'system/Patient.s',
  ],
  ['another type', 'system/Patient.cruds', () => (as: Caller) => as.get('/fhir/Observation/1'), 'system/Observation.r'],
  [
    'the audit trail',
    'system/Patient.cruds',
    () => (as: Caller) => as.get('/fhir/AuditEvent?date=2026'),
    'system/AuditEvent.s',
  ],
  [
    'an operation',
    'system/Patient.cruds',
    () => (as: Caller) => as.post('/fhir/CarePlan/1/$record-infusion', {}),
    'system/CarePlan.r',
  ],
  [
    'an entry of a transaction',
    'system/Patient.cruds',
    () => (as: Caller) =>
      as.post('/fhir', {
        resourceType: 'Bundle',
        type: 'transaction',
        entry: [
          { resource: patient, request: { method: 'POST', url: 'Patient' } },
          { resource: weightOf('1', 70), request: { method: 'POST', url: 'Observation' } },
        ],
      }),
    'system/Observation.c',
  ],
] as const)(
  'a token without the scope for %s is 403, names the scope and leaves an AuditEvent',
  async (_about, scope, request, needed) => {
    const limited = service.as(await service.token(scope));
    await service.newAuditEvents();
    const answer = await request()(limited);
    expect(answer.status).toBe(403);
    const [found] = (answer.body as OperationOutcome).issue;
    expect(found?.code).toBe('forbidden');
    expect(found?.diagnostics).toContain(needed);
    const [event, ...more] = await service.newAuditEvents();
    expect(more).toEqual([]);
    expect(event?.outcome).toBe('4');
  },
);

type Caller = ReturnType<TestService['as']>;

test('an entry of a batch needs the scope of what its url really asks for', async () => {
  const limited = service.as(await service.token('system/Observation.r'));
  const entry = [{ request: { method: 'GET', url: 'Observation?code=http://loinc.org|29463-7' } }];
  const { body } = await limited.post('/fhir', { resourceType: 'Bundle', type: 'batch', entry }).expect(200);
  expect(body.entry[0].response).toMatchObject({
    status: '403 Forbidden',
    outcome: { issue: [{ diagnostics: expect.stringContaining('system/Observation.s') }] },
  });
});

test('discovery is open and everything else is not', async () => {
  const metadata = await service.http.get('/fhir/metadata').expect(200);
  expect(metadata.body).toMatchObject({ resourceType: 'CapabilityStatement', fhirVersion: '4.0.1', kind: 'instance' });
  await service.http.get('/fhir/.well-known/smart-configuration').expect(200);
  const { body } = await service.http.get('/fhir/.well-known/jwks.json').expect(200);
  expect(body.keys[0]).toMatchObject({ kty: 'EC', crv: 'P-384', use: 'sig' });
  expect(body.keys[0].d).toBeUndefined();
});

test.each([
  ['abc-123.X_y', true],
  ['a'.repeat(128), true],
  ['a'.repeat(129), false],
  ['with space', false],
  ['"quoted"', false],
])('the request id %j is echoed as it is: %s', async (id, kept) => {
  const { headers } = await service.http.get('/fhir/Patient/1').set('x-request-id', id).expect(401);
  expect(headers['x-request-id'] === id).toBe(kept);
  expect(headers['x-request-id']).toMatch(/^[A-Za-z0-9._-]{1,128}$/);
  expect(headers['x-correlation-id']).toBe(kept ? undefined : id);
});

test('another clinic is not found, and this one is reached by its name as well', async () => {
  await service.http.get('/clinics/elsewhere/fhir/Patient/1').set('authorization', `Bearer ${token}`).expect(404);
  await service.http.get('/clinics/default/fhir/metadata').expect(200);
  await service.http.get('/nowhere').expect(404);
});
