/** Batches. @see https://hl7.org/fhir/R4/http.html#transaction ("batch") */
import { startTestService, type TestService } from '../service.ts';
import { bundle, get, identified, observation, post, put, remove, senderOf, someone, statuses } from './sending.ts';

let service: TestService;
let token: string;
const { sent, create, read } = senderOf(
  () => service,
  () => token,
);

beforeAll(async () => {
  service = await startTestService();
  token = await service.token();
});
afterAll(() => service.close());

test('each entry is served for itself, and answered in its place with its own outcome', async () => {
  const id = await create(someone);
  const entries = await sent('batch', [
    get(`Patient/${id}`),
    post({ ...someone, birthDate: 'yesterday' }),
    post(someone),
    get('Patience/1'),
    { request: { method: 'POST', url: 'Patient' } },
    put({ ...someone, id }, undefined, { ifMatch: 'W/"9"' }),
    remove('Patient?identifier=urn:test|nobody'),
    get('Patient/never-was'),
    { resource: someone },
    { request: { method: 'PATCH', url: `Patient/${id}` } },
    get(`Patient/${id}`, { ifNoneMatch: 'W/"1"' }),
    get('Patient?no-such-parameter=1'),
  ]);
  expect(statuses(entries)).toEqual([
    '200',
    '400',
    '201',
    '404',
    '400',
    '412',
    '204',
    '404',
    '400',
    '400',
    '304',
    '400',
  ]);
  for (const { response } of entries.filter(({ response }) => Number(response?.status.slice(0, 3)) >= 400)) {
    expect(response?.outcome?.resourceType).toBe('OperationOutcome');
  }
  expect(entries[1]?.response?.outcome).toMatchObject({
    issue: [{ expression: ['Bundle.entry[1].resource.birthDate'] }],
  });
});

test('a batch is done in the order of a transaction, so that a read sees the writes beside it', async () => {
  const id = await create(identified('in-batch'));
  const entries = await sent('batch', [
    get(`Patient/${id}`),
    put({ ...identified('in-batch'), id, gender: 'other' }),
    post(identified('gone'), undefined, { ifNoneExist: `_id=${await gone()}` }),
    remove('Patient?identifier=urn:test|gone-before'),
  ]);
  expect(statuses(entries)).toEqual(['200', '200', '201', '204']);
  expect(entries[0]?.resource).toMatchObject({ gender: 'other' });
});

function gone(): Promise<string> {
  return create(identified('gone-before'));
}

test('writes of one resource in one batch keep their order', async () => {
  const id = await create(someone);
  const genders = ['male', 'female', 'other', 'unknown'];
  const entries = await sent(
    'batch',
    genders.map((gender) => put({ ...someone, id, gender })),
  );
  expect(entries.map(({ response }) => response?.etag)).toEqual(['W/"2"', 'W/"3"', 'W/"4"', 'W/"5"']);
  expect(await read(`Patient/${id}`)).toMatchObject({ gender: 'unknown' });
});

test('one condition in many entries of a batch creates once', async () => {
  const entries = await sent(
    'batch',
    Array.from({ length: 6 }, () => post(identified('once'), undefined, { ifNoneExist: 'identifier=urn:test|once' })),
  );
  expect(statuses(entries).toSorted()).toEqual(['200', '200', '200', '200', '200', '201']);
});

test('a reference to another entry of a batch is refused in that entry alone', async () => {
  const uuid = 'urn:uuid:6f8c2b1e-0d5f-4a3c-9d27-1f0f5a4f1a01';
  const entries = await sent('batch', [post(someone, uuid), post(observation(uuid))]);
  expect(statuses(entries)).toEqual(['201', '400']);
});

test('an entry of a batch may refer to what is not here yet, as a single write may', async () => {
  const entries = await sent('batch', [
    put({ ...observation('Patient/comes-later'), id: 'comes-first' }),
    put({ ...someone, id: 'comes-later' }),
    post(observation('Patient/never-was')),
    post(observation('Patient?identifier=urn:test|nobody-at-all')),
  ]);
  expect(statuses(entries)).toEqual(['201', '201', '201', '412']);
});

test('a refused entry of a batch leaves its AuditEvent', async () => {
  await service.newAuditEvents();
  await service
    .as(await service.token('system/Patient.c'))
    .post('/fhir', bundle('batch', [post(someone), remove('Patient/1')]))
    .expect(200);
  const events = await service.newAuditEvents();
  expect(events.map(({ outcome }) => outcome).toSorted()).toEqual(['0', '4']);
});

test('Prefer is honoured in each entry of a batch', async () => {
  const entries = await sent('batch', [post(someone), get('Patient?name=nobody')], 'return=minimal');
  expect(entries.map(({ resource }) => resource?.resourceType)).toEqual([undefined, 'Bundle']);
});
