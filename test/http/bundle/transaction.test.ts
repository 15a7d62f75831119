/** Transactions. @see https://hl7.org/fhir/R4/http.html#transaction */
import type { BundleEntry, OperationOutcome } from '@medplum/fhirtypes';
import { BASE, startTestService, type TestService } from '../service.ts';
import {
  bundle,
  get,
  identified,
  nameOf,
  observation,
  post,
  put,
  remove,
  senderOf,
  someone,
  statuses,
} from './sending.ts';

let service: TestService;
let token: string;
const { sent, refused, create, read, versions } = senderOf(
  () => service,
  () => token,
);

beforeAll(async () => {
  service = await startTestService();
  token = await service.token();
});
afterAll(() => service.close());

const UUID = 'urn:uuid:6f8c2b1e-0d5f-4a3c-9d27-1f0f5a4f1a01';

function base64(document: unknown): string {
  return Buffer.from(JSON.stringify(document)).toString('base64');
}

function jsonPatch(url: string, document: unknown, more: Record<string, string> = {}): object {
  const resource = { resourceType: 'Binary', contentType: 'application/json-patch+json', data: base64(document) };
  return { resource, request: { method: 'PATCH', url, ...more } };
}

function fhirPathPatch(url: string, ...part: object[]): object {
  const resource = { resourceType: 'Parameters', parameter: [{ name: 'operation', part }] };
  return { resource, request: { method: 'PATCH', url } };
}

test('deletions, creations, updates, patches and reads are answered in the order of the request', async () => {
  const [a, b, c] = [await create(someone), await create(someone), await create(someone)];
  const entries = await sent('transaction', [
    get(`Patient/${b}`),
    jsonPatch(`Patient/${c}`, [{ op: 'add', path: '/gender', value: 'female' }]),
    put({ ...someone, id: b, gender: 'male' }),
    post(someone),
    remove(`Patient/${a}`),
    get(`Patient/${a}`),
    { request: { method: 'HEAD', url: `Patient/${c}` } },
  ]);
  expect(statuses(entries)).toEqual(['200', '200', '200', '201', '204', '410', '200']);
  expect(entries[0]?.resource).toMatchObject({ id: b, gender: 'male' });
  expect(entries[1]?.resource).toMatchObject({ id: c, gender: 'female' });
  expect(entries[5]?.response?.outcome).toMatchObject({ resourceType: 'OperationOutcome' });
  expect(entries[6]?.resource).toBeUndefined();
  expect(entries[6]?.response?.etag).toBe('W/"2"');
});

test('each write is answered with its location, version and time', async () => {
  const [created] = await sent('transaction', [post(someone)]);
  const { location, etag, lastModified, status } = created?.response ?? {};
  expect(status).toBe('201 Created');
  expect(location).toMatch(new RegExp(`^${BASE}/Patient/[^/]+/_history/1$`));
  expect(etag).toBe('W/"1"');
  expect(lastModified).toBe(created?.resource?.meta?.lastUpdated);
});

test.each([
  ['return=minimal', undefined, undefined],
  ['return=representation', 'Patient', undefined],
  ['return=OperationOutcome', undefined, 'OperationOutcome'],
])('Prefer: %s is honoured in each entry', async (prefer, resourceType, outcomeType) => {
  const id = await create(someone);
  const entries = await sent(
    'transaction',
    [post(someone), put({ ...someone, id, gender: 'other' }), remove('Patient/never-was')],
    prefer,
  );
  for (const entry of entries.slice(0, 2)) {
    expect(entry.resource?.resourceType).toBe(resourceType);
    expect(entry.response?.outcome?.resourceType).toBe(outcomeType);
  }
  expect(entries[2]?.response?.outcome?.resourceType).toBe(outcomeType);
});

test('a FHIRPath Patch and a JSON Patch are applied in one transaction with what they refer to', async () => {
  const [one, two] = [await create(someone), await create(someone)];
  const [, , target] = await sent('transaction', [
    fhirPathPatch(
      `Patient/${one}`,
      { name: 'type', valueCode: 'add' },
      { name: 'path', valueString: 'Patient' },
      { name: 'name', valueString: 'generalPractitioner' },
      { name: 'value', valueReference: { reference: UUID } },
    ),
    jsonPatch(`Patient/${two}`, [{ op: 'add', path: '/generalPractitioner', value: [{ reference: UUID }] }]),
    post({ resourceType: 'Practitioner', active: true }, UUID),
  ]);
  for (const id of [one, two]) {
    expect(await read(`Patient/${id}`)).toMatchObject({ generalPractitioner: [{ reference: nameOf(target) }] });
  }
});

test('a patch under a condition takes its one match', async () => {
  const id = await create(identified('patched'));
  const url = 'Patient?identifier=urn:test|patched';
  const [entry] = await sent('transaction', [jsonPatch(url, [{ op: 'add', path: '/active', value: true }])]);
  expect(entry?.resource).toMatchObject({ id, active: true });
});

type Case = readonly [
  about: string,
  entries: () => Promise<object[]> | object[],
  status: number,
  issues: readonly (readonly [code: string, expression: string])[],
];

const refusedOnes: readonly Case[] = [
  ['no request', () => [{ resource: someone }], 400, [['required', 'Bundle.entry[0].request']]],
  ['an unknown type', () => [get('Patience/1')], 404, [['not-supported', 'Bundle.entry[0].request.url']]],
  [
    'an unknown method',
    () => [{ resource: someone, request: { method: 'COPY', url: 'Patient' } }],
    400,
    [['not-supported', 'Bundle.entry[0].request.method']],
  ],
  [
    'a POST to an id',
    () => [{ resource: someone, request: { method: 'POST', url: 'Patient/1' } }],
    400,
    [['value', 'Bundle.entry[0].request.url']],
  ],
  [
    'a PUT to a type',
    () => [{ resource: someone, request: { method: 'PUT', url: 'Patient' } }],
    400,
    [['value', 'Bundle.entry[0].request.url']],
  ],
  ['a DELETE of a type', () => [remove('Patient')], 400, [['value', 'Bundle.entry[0].request.url']]],
  [
    'a url of another server',
    () => [{ resource: someone, request: { method: 'POST', url: 'https://other.example.org/fhir/Patient' } }],
    400,
    [['not-supported', 'Bundle.entry[0].request.url']],
  ],
  [
    'a body of another type',
    () => [{ ...post(someone), request: { method: 'POST', url: 'Group' } }],
    400,
    [['invalid', 'Bundle.entry[0].resource.resourceType']],
  ],
  [
    'a body with another id',
    () => [{ ...put({ ...someone, id: 'a' }), request: { method: 'PUT', url: 'Patient/b' } }],
    400,
    [['invalid', 'Bundle.entry[0].resource.id']],
  ],
  [
    'no resource',
    () => [{ request: { method: 'POST', url: 'Patient' } }],
    400,
    [['required', 'Bundle.entry[0].resource']],
  ],
  ['a relative fullUrl', () => [post(someone, 'Patient/1')], 400, [['value', 'Bundle.entry[0].fullUrl']]],
  [
    'a fullUrl with a version',
    () => [post(someone, 'https://other.example.org/fhir/Patient/1/_history/2')],
    400,
    [['invariant', 'Bundle.entry[0].fullUrl']],
  ],
  [
    'a fullUrl that disagrees with the id',
    () => [put({ ...someone, id: 'b' }, `${BASE}/Patient/a`)],
    400,
    [['value', 'Bundle.entry[0].fullUrl']],
  ],
  [
    'one fullUrl twice',
    () => [post(someone, UUID), post(someone, UUID)],
    400,
    [['duplicate', 'Bundle.entry[1].fullUrl']],
  ],
  [
    'one resource twice',
    () => [put({ ...someone, id: 'twice' }), remove('Patient/twice')],
    400,
    [['duplicate', 'Bundle.entry[1].resource']],
  ],
  [
    'one condition twice',
    () => [
      post(identified('x'), undefined, { ifNoneExist: 'identifier=urn:test|x' }),
      { resource: identified('x'), request: { method: 'PUT', url: 'Patient?identifier=urn:test%7Cx' } },
    ],
    400,
    [['duplicate', 'Bundle.entry[1].resource']],
  ],
  [
    'a condition that matches what another entry updates by id',
    async () => {
      const id = await create(identified('both-ways'));
      const conditional = {
        resource: identified('both-ways'),
        request: { method: 'PUT', url: 'Patient?identifier=urn:test|both-ways' },
      };
      return [put({ ...identified('both-ways'), id }), conditional];
    },
    400,
    [['duplicate', 'Bundle.entry[1].resource']],
  ],
  [
    'a condition that another entry comes to meet',
    () => [
      post(identified('meets')),
      post(identified('meets'), undefined, { ifNoneExist: 'identifier=urn:test|meets' }),
    ],
    400,
    [['duplicate', 'Bundle.entry[1].resource']],
  ],
  [
    'a condition that a POST does not know',
    () => [post(someone, undefined, { ifMatch: 'W/"1"' })],
    400,
    [['value', 'Bundle.entry[0].request.ifMatch']],
  ],
  [
    'an empty ifNoneExist',
    () => [post(someone, undefined, { ifNoneExist: '?' })],
    400,
    [['required', 'Bundle.entry[0].request.ifNoneExist']],
  ],
  [
    'a stale ifMatch',
    async () => [put({ ...someone, id: await create(someone) }, undefined, { ifMatch: 'W/"7"' })],
    412,
    [['conflict', 'Bundle.entry[0].request.ifMatch']],
  ],
  [
    'several stale ones',
    async () => [
      put({ ...someone, id: await create(someone) }, undefined, { ifMatch: 'W/"7"' }),
      remove(`Patient/${await create(someone)}`, { ifMatch: 'W/"7"' }),
    ],
    412,
    [
      ['conflict', 'Bundle.entry[0].request.ifMatch'],
      ['conflict', 'Bundle.entry[1].request.ifMatch'],
    ],
  ],
  [
    'ifNoneMatch: * where there is one',
    async () => [put({ ...someone, id: await create(someone) }, undefined, { ifNoneMatch: '*' })],
    412,
    [['conflict', 'Bundle.entry[0].request.ifNoneMatch']],
  ],
  [
    'reads of what is not there, or that nobody could answer',
    () => [
      get('Patient/never-was'),
      get('Patient?no-such-parameter=1'),
      get('Patient/_history?_since=then', { ifNoneMatch: '*' }),
      { resource: { resourceType: 'Parameters' }, request: { method: 'POST', url: 'Patient/$validate' } },
    ],
    404,
    [
      ['not-found', 'Bundle.entry[0].request.url'],
      ['invalid', 'Bundle.entry[1].request.url'],
      ['value', 'Bundle.entry[2].request.url'],
      ['required', 'Bundle.entry[3].resource.parameter'],
    ],
  ],
  ['a patch of nothing', () => [jsonPatch('Patient/never-was', [])], 404, [['not-found', 'Bundle.entry[0].resource']]],
  [
    'a patch whose test fails',
    async () => [jsonPatch(`Patient/${await create(someone)}`, [{ op: 'test', path: '/birthDate', value: '2000' }])],
    422,
    [['processing', 'Bundle.entry[0].resource']],
  ],
  [
    'a patch document that is none',
    () => [jsonPatch('Patient/1', { op: 'test' })],
    400,
    [['structure', 'Bundle.entry[0].resource.data']],
  ],
  [
    'a patch in a resource of its own type',
    () => [{ resource: { ...someone, id: '1' }, request: { method: 'PATCH', url: 'Patient/1' } }],
    400,
    [['invalid', 'Bundle.entry[0].resource']],
  ],
  [
    'an operation that writes',
    () => [
      { resource: { resourceType: 'Parameters' }, request: { method: 'POST', url: 'CarePlan/1/$record-infusion' } },
    ],
    400,
    [['not-supported', 'Bundle.entry[0].request.url']],
  ],
  [
    'a Bundle inside',
    () => [{ resource: bundle('batch', []), request: { method: 'POST', url: '' } }],
    400,
    [['not-supported', 'Bundle.entry[0].request.url']],
  ],
  [
    'several errors in several entries',
    () => [
      post({ ...someone, gender: 'blue', birthDate: 'yesterday' }),
      { request: { method: 'POST', url: 'Patient' } },
      get('Patience/1'),
    ],
    400,
    [
      ['required', 'Bundle.entry[1].resource'],
      ['not-supported', 'Bundle.entry[2].request.url'],
      ['code-invalid', 'Bundle.entry[0].resource.gender'],
      ['value', 'Bundle.entry[0].resource.birthDate'],
    ],
  ],
  [
    'conditions that match too many, all of them',
    async () => {
      for (const value of ['many-1', 'many-1', 'many-2', 'many-2']) await create(identified(value));
      return [
        post(identified('many-1'), undefined, { ifNoneExist: 'identifier=urn:test|many-1' }),
        remove('Patient?identifier=urn:test|many-2'),
      ];
    },
    412,
    [
      ['multiple-matches', 'Bundle.entry[1].request.url'],
      ['multiple-matches', 'Bundle.entry[0].request.ifNoneExist'],
    ],
  ],
];

test.each(refusedOnes)(
  'a transaction with %s is refused and stores nothing',
  async (_about, entriesOf, status, expected) => {
    const entries = await entriesOf();
    const before = await versions();
    const [got, issues] = await refused('transaction', [...entries, post(someone)]);
    expect([got, issues.map(({ code, expression }) => [code, expression?.[0]])]).toEqual([status, expected]);
    expect(await versions()).toBe(before);
  },
);

test('a transaction reads what it makes', async () => {
  const id = `made-${await versions()}`;
  const entries = await sent('transaction', [
    get(`Patient/${id}`),
    get(`Patient/${id}/_history/1`),
    put({ ...someone, id }),
  ]);
  expect(statuses(entries)).toEqual(['200', '200', '201']);
});

test('what a transaction deletes meets no condition and no reference of its own', async () => {
  const id = await create(identified('replaced'));
  const entries = await sent('transaction', [
    post(identified('replaced'), undefined, { ifNoneExist: 'identifier=urn:test|replaced' }),
    remove(`Patient/${id}`),
  ]);
  expect(statuses(entries)).toEqual(['201', '204']);
  const fresh = nameOf(entries[0]).slice('Patient/'.length);
  const [, issues] = await refused('transaction', [remove(`Patient/${fresh}`), post(observation(`Patient/${fresh}`))]);
  expect(issues).toMatchObject([{ expression: ['Bundle.entry[1].resource.subject.reference'] }]);
  const named = [{ fullUrl: UUID, ...remove(`Patient/${fresh}`) }, post(observation(UUID))];
  expect((await refused('transaction', named))[1]).toMatchObject([{ code: 'not-found' }]);
});

test('scopes are asked for each entry, reads included, before anything is written', async () => {
  const before = await versions();
  const writer = service.as(await service.token('system/Patient.c'));
  const { body } = await writer
    .post('/fhir', bundle('transaction', [post(someone), get('Observation?code=x'), remove('Patient/1')]))
    .expect(403);
  expect((body as OperationOutcome).issue.map(({ expression }) => expression?.[0])).toEqual([
    'Bundle.entry[1].request.url',
    'Bundle.entry[2].request.url',
  ]);
  expect(await versions()).toBe(before);
});

test('whatever a url answers by itself, it answers as an entry', async () => {
  const id = await create(identified('asked'));
  const entries: BundleEntry[] = await sent('transaction', [
    get(`Patient/${id}`),
    get(`Patient/${id}`, { ifNoneMatch: 'W/"1"' }),
    get(`Patient/${id}/_history`),
    get(`Patient/${id}/_history/1`),
    get('Patient?identifier=urn:test|asked'),
    get('metadata'),
    get(`Patient/${id}/$everything`),
    { request: { method: 'POST', url: 'Patient/_search?identifier=urn:test|asked' } },
    {
      resource: { resourceType: 'Parameters', parameter: [{ name: 'resource', resource: someone }] },
      request: { method: 'POST', url: 'Patient/$validate' },
    },
    get(`${BASE}/Patient/${id}`),
    get(`Patient/${id}`, { ifModifiedSince: '2200-01-01T00:00:00Z' }),
  ]);
  expect(statuses(entries)).toEqual(['200', '304', '200', '200', '200', '200', '200', '200', '200', '200', '304']);
  expect(entries.map(({ resource }) => resource?.resourceType)).toEqual([
    'Patient',
    undefined,
    'Bundle',
    'Patient',
    'Bundle',
    'CapabilityStatement',
    'Bundle',
    'Bundle',
    'OperationOutcome',
    'Patient',
    undefined,
  ]);
  expect(entries[0]?.response?.etag).toBe('W/"1"');
  expect(entries[7]?.resource).toMatchObject({ entry: [{ resource: { id } }] });
});

test.each(['document', 'message', 'history', 'searchset', 'collection', 'batch-response'])(
  'a Bundle of type %s sent to the base is refused',
  async (type) => {
    const { body, status } = await service.as(token).post('/fhir', { resourceType: 'Bundle', type });
    expect(status).toBe(400);
    expect((body as OperationOutcome).issue[0]).toMatchObject({ code: 'value', expression: ['Bundle.type'] });
  },
);

test('an empty transaction is answered with an empty response', async () => {
  const { body } = await service.as(token).post('/fhir', { resourceType: 'Bundle', type: 'transaction' }).expect(200);
  expect(body).toEqual({ resourceType: 'Bundle', type: 'transaction-response' });
});

test('2,000 entries are served while others are answered, and 10,000 are refused as too costly', async () => {
  const entries = Array.from({ length: 2000 }, (_, i) =>
    i === 0 ? post(someone, UUID) : post(observation(UUID, { valueInteger: i })),
  );
  const many = sent('transaction', entries, 'return=minimal');
  const waits: number[] = [];
  let isDone = false;
  const done = many.finally(() => {
    isDone = true;
  });
  while (!isDone) {
    const startedAt = performance.now();
    await service.http.get('/healthz').expect(200);
    waits.push(performance.now() - startedAt);
  }
  expect(statuses(await done).filter((status) => status === '201')).toHaveLength(2000);
  expect(Math.max(...waits)).toBeLessThan(5000);
  const tooMany = Array.from({ length: 10_000 }, () => get('Patient/1'));
  const { body } = await service.as(token).post('/fhir', bundle('batch', tooMany)).expect(413);
  expect((body as OperationOutcome).issue[0]?.code).toBe('too-costly');
});
