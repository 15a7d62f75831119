/** Bad input in bundles and patches: refused or served in bounded time, never a 5xx, and the next request is served. */
import fc from 'fast-check';
import type { Test } from 'supertest';
import { startTestService, type TestService } from '../service.ts';
import { bundle, identified, nameOf, observation, post, senderOf, someone } from './sending.ts';

let service: TestService;
let token: string;
const { create, sent } = senderOf(
  () => service,
  () => token,
);

beforeAll(async () => {
  service = await startTestService();
  token = await service.token();
});
afterAll(() => service.close());

const FHIR = 'application/fhir+json';
const JSON_PATCH = 'application/json-patch+json';

function send(method: 'post' | 'patch', path: string, contentType: string, body: string | Buffer): Test {
  return service.http[method](path)
    .set('authorization', `Bearer ${token}`)
    .set('content-type', contentType)
    .serialize((text) => text as string)
    .send(body);
}

/** JSON texts that hold something nobody should store, as the value of an element. */
const hostile: readonly (readonly [about: string, value: string | Buffer])[] = [
  ['nesting of 100 levels', `${'['.repeat(100)}${']'.repeat(100)}`],
  ['nesting of a million levels', '['.repeat(1_000_000)],
  ['100,000 keys', `{${Array.from({ length: 100_000 }, (_, i) => `"k${i}":${i}`).join(',')}}`],
  ['a repeated key', '{"family":"a","family":"b"}'],
  ['__proto__', '{"__proto__":{"polluted":true}}'],
  ['constructor', '{"constructor":{"prototype":{"polluted":true}}}'],
  ['U+0000', '"a\\u0000b"'],
  ['half a surrogate pair', '"\\ud800"'],
  ['invalid UTF-8', Buffer.from([0x22, 0xc3, 0x28, 0x22])],
  ['a number out of bounds', '1e400'],
  ['no value', ''],
];

const bodies: readonly (readonly [
  kind: string,
  method: 'post' | 'patch',
  contentType: string,
  before: string,
  after: string,
])[] = [
  ['JSON Patch', 'patch', JSON_PATCH, '[{"op":"add","path":"/name/0","value":', '}]'],
  ['JSON Patch, as its path', 'patch', JSON_PATCH, '[{"op":"remove","path":', '}]'],
  [
    'FHIRPath Patch',
    'patch',
    FHIR,
    '{"resourceType":"Parameters","parameter":[{"name":"operation","part":[{"name":"type","valueCode":"add"},{"name":"path","valueString":"Patient"},{"name":"name","valueString":"name"},{"name":"value","valueHumanName":',
    '}]}]}',
  ],
  [
    'transaction',
    'post',
    FHIR,
    '{"resourceType":"Bundle","type":"transaction","entry":[{"resource":{"resourceType":"Patient","name":[',
    ']},"request":{"method":"POST","url":"Patient"}}]}',
  ],
  [
    'transaction, as its request',
    'post',
    FHIR,
    '{"resourceType":"Bundle","type":"transaction","entry":[{"resource":{"resourceType":"Patient"},"request":',
    '}]}',
  ],
  ['transaction, as its entries', 'post', FHIR, '{"resourceType":"Bundle","type":"transaction","entry":', '}'],
];

const cases = bodies.flatMap(([kind, method, contentType, before, after]) =>
  hostile.map(([about, value]) => {
    const body = Buffer.concat([Buffer.from(before), Buffer.from(value), Buffer.from(after)]);
    return [kind, about, method, contentType, body] as const;
  }),
);

test.each(cases)(
  'a %s with %s is refused, and the next one served',
  async (_kind, _about, method, contentType, body) => {
    const id = await create(someone);
    const startedAt = performance.now();
    const answer = await send(method, method === 'patch' ? `/fhir/Patient/${id}` : '/fhir', contentType, body);
    expect(performance.now() - startedAt).toBeLessThan(5000);
    expect([400, 413, 422]).toContain(answer.status);
    expect(answer.body.resourceType).toBe('OperationOutcome');
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
    await service.as(token).get(`/fhir/Patient/${id}`).expect(200);
  },
);

test('a batch with an entry of each kind of mistake is answered entry by entry', async () => {
  const entry = [
    { request: { method: 'GET', url: "Patient?name=' OR 1=1--" } },
    { request: { method: 'GET', url: `Patient?_id=${'a'.repeat(2000)}` } },
    { request: { method: 'GET', url: 'Patient/%00' } },
    { request: { method: 'GET', url: 'Patient?_count=1000000' } },
    { request: { method: 'GET', url: '../../etc/passwd' } },
    { request: { method: 'GET', url: '' } },
    { request: { method: 'DELETE', url: "Patient?identifier=' OR 1=1--" } },
    { request: { method: 'PUT', url: 'Patient?identifier=%' }, resource: someone },
    { request: { method: 'POST', url: 'Patient', ifNoneExist: '%%%' }, resource: someone },
    { request: { method: 'POST', url: '__proto__' }, resource: someone },
    { request: { method: 'constructor', url: 'Patient' }, resource: someone },
    { request: { method: 'POST', url: '$graphql' }, resource: someone },
  ];
  const { body } = await service.as(token).post('/fhir', bundle('batch', entry)).expect(200);
  expect(body.entry).toHaveLength(entry.length);
  for (const { response } of body.entry) expect(Number(response.status.slice(0, 3))).toBeLessThan(500);
});

test('a hostile fullUrl is a name like any other', async () => {
  for (const fullUrl of ['urn:uuid:__proto__', 'urn:uuid:$&', 'urn:uuid:a"b', `urn:uuid:${'x'.repeat(5000)}`]) {
    const [first, second] = await sent('transaction', [post(observation(fullUrl)), post(someone, fullUrl)]);
    expect(first?.resource).toMatchObject({ subject: { reference: nameOf(second) } });
  }
});

test('a narrative with twenty thousand links is rewritten in bounded time', async () => {
  const uuid = 'urn:uuid:6f8c2b1e-0d5f-4a3c-9d27-1f0f5a4f1a01';
  const links = `<a href="${uuid}">x</a>`.repeat(20_000);
  const text = { status: 'additional', div: `<div xmlns="http://www.w3.org/1999/xhtml">${links}</div>` };
  const startedAt = performance.now();
  const [entry] = await sent('transaction', [post(identified('links', { text }), uuid)]);
  expect(performance.now() - startedAt).toBeLessThan(5000);
  expect(JSON.stringify(entry?.resource)).not.toContain(uuid);
});

const anything = fc.oneof(
  fc.jsonValue(),
  fc.constantFrom<unknown>(
    'Patient',
    'Patient/1',
    'Patient?name=x',
    'metadata',
    '$validate',
    'POST',
    'GET',
    'W/"1"',
    '*',
  ),
);
const requests = fc.record(
  {
    method: anything,
    url: anything,
    ifMatch: anything,
    ifNoneMatch: anything,
    ifNoneExist: anything,
    ifModifiedSince: anything,
  },
  { requiredKeys: [] },
);
const resources = fc.oneof(
  fc.constant<unknown>(someone),
  fc.jsonValue(),
  fc.jsonValue().map((value) => ({ resourceType: 'Patient', name: value })),
  fc.jsonValue().map((value) => ({ resourceType: 'Binary', contentType: JSON_PATCH, data: value })),
  fc.jsonValue().map((parameter) => ({ resourceType: 'Parameters', parameter })),
);
const entries = fc.array(
  fc.oneof(
    fc.record({ fullUrl: anything, resource: resources, request: requests }, { requiredKeys: [] }),
    fc.record({
      resource: resources,
      request: fc.record({
        method: fc.constantFrom('PUT', 'POST', 'PATCH', 'DELETE'),
        url: fc.constantFrom('Patient', 'Patient/a', 'Patient?_id=a'),
      }),
    }),
  ),
  { maxLength: 5 },
);

test('no bundle and no patch that a client can make is answered with 5xx', async () => {
  await fc.assert(
    fc.asyncProperty(fc.constantFrom('transaction', 'batch'), entries, async (type, entry) => {
      const { status, body } = await service.as(token).post('/fhir', { resourceType: 'Bundle', type, entry });
      expect(status).toBeLessThan(500);
      for (const { response } of body.entry ?? []) expect(Number(response.status.slice(0, 3))).toBeLessThan(500);
    }),
    { numRuns: 150 },
  );
  const id = await create(someone);
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(FHIR, JSON_PATCH, 'application/json'),
      fc.jsonValue(),
      resources,
      async (contentType, any, resource) => {
        for (const body of [any, [any], resource, [{ op: 'add', path: '/name', value: any }]]) {
          const { status } = await send('patch', `/fhir/Patient/${id}`, contentType, JSON.stringify(body));
          expect(status).toBeLessThan(500);
        }
      },
    ),
    { numRuns: 60 },
  );
});
