import type { AuditEvent, Bundle } from '@medplum/fhirtypes';
import { Failure, issue } from '../../src/fhir/failure.ts';
import { BASE, patient, startTestService, type TestService, weightOf } from './service.ts';

let service: TestService;
let token: string;
let patientId: string;
let weightId: string;

/** Whether the audit trail can be written; the tests turn it off. */
let isWritable = true;

beforeAll(async () => {
  service = await startTestService({
    trail: (real) => ({
      ...real,
      record: (rows) =>
        isWritable
          ? real.record(rows)
          : Promise.reject(new Failure('transient', issue('transient', 'The audit entry could not be written'))),
    }),
  });
  token = await service.token();
  patientId = (await as().post('/fhir/Patient', patient).expect(201)).body.id;
  weightId = (await as().post('/fhir/Observation', weightOf(patientId, 70)).expect(201)).body.id;
});
afterAll(() => service.close());
afterEach(() => {
  isWritable = true;
});

function as() {
  return service.as(token);
}

function patientsIn(events: readonly AuditEvent[]): (string | undefined)[] {
  return events.map(({ entity }) => entity?.find(({ type }) => type?.code === '1')?.what?.reference);
}

function dataIn({ entity }: AuditEvent): (string | undefined)[] {
  return (entity ?? []).filter(({ role }) => role?.code === '4').map(({ what }) => what?.reference);
}

test('each interaction leaves the events that it should, about its patient and naming its version', async () => {
  const about = `Patient/${patientId}`;
  const id = weightId;
  const interactions: [string, () => PromiseLike<unknown>, number?][] = [
    ['read', () => as().get(`/fhir/Observation/${id}`)],
    ['vread', () => as().get(`/fhir/Observation/${id}/_history/1`)],
    ['read', () => as().get(`/fhir/Observation/${id}`).set('if-none-match', 'W/"1"')],
    ['history-instance', () => as().get(`/fhir/Observation/${id}/_history`)],
    ['search-type', () => as().get(`/fhir/Observation?patient=${patientId}`)],
    ['search-type', () => as().get(`/fhir/Observation?patient=${patientId}&code=no-such`)],
    ['update', () => as().put(`/fhir/Observation/${id}`, { ...weightOf(patientId, 71), id })],
    ['delete', () => as().delete(`/fhir/Observation/${id}`)],
    ['delete', () => as().delete(`/fhir/Observation/${id}`)],
  ];
  for (const [interaction, perform] of interactions) {
    await service.newAuditEvents();
    await perform();
    const events = await service.newAuditEvents();
    expect(events.map(({ subtype, outcome }) => [subtype?.[0]?.code, outcome])).toEqual([[interaction, '0']]);
    expect(patientsIn(events)).toEqual([about]);
    const [event] = events as [AuditEvent];
    expect(event.agent[0]?.who?.identifier?.value).toBe('test-client');
    if (interaction === 'read') expect(dataIn(event)).toEqual([`Observation/${id}/_history/1`]);
    if (interaction === 'update') expect(dataIn(event)).toEqual([`Observation/${id}/_history/2`]);
  }
});

test('a deletion that finds nothing leaves one event', async () => {
  for (const path of ['/fhir/Observation/never-was', '/fhir/Patient?identifier=https://example.org|nobody']) {
    await service.newAuditEvents();
    await as().delete(path).expect(204);
    expect((await service.newAuditEvents()).map(({ subtype }) => subtype?.[0]?.code)).toEqual(['delete']);
  }
});

test('the header of an answer names its event, which can be read at once and tells the request id', async () => {
  const answer = await as().get(`/fhir/Patient/${patientId}`).set('x-request-id', 'my-request').expect(200);
  const { body } = await as().get(`/fhir/AuditEvent/${answer.headers['x-audit-event-id']}`).expect(200);
  expect((body as AuditEvent).entity?.some(({ what }) => what?.identifier?.value === 'my-request')).toBe(true);
});

test('a search that shows several patients leaves an event for each of them', async () => {
  const others = [];
  for (let i = 0; i < 3; i++) others.push((await as().post('/fhir/Patient', { ...patient, gender: 'other' })).body.id);
  const answer = await as().get('/fhir/Patient?gender=other').expect(200);
  expect((answer.body as Bundle).entry).toHaveLength(3);
  for (const other of others) {
    const { body } = await as().get(`/fhir/AuditEvent?patient=${other}&subtype=search-type`).expect(200);
    const [event, ...more] = ((body as Bundle).entry ?? []).map(({ resource }) => resource as AuditEvent);
    expect(more).toEqual([]);
    expect(patientsIn([event as AuditEvent])).toEqual([`Patient/${other}`]);
    await as().get(`/fhir/AuditEvent/${event?.id}`).expect(200);
  }
});

test('what a condition found is shown and therefore on the audit trail', async () => {
  const identified = { ...patient, identifier: [{ system: 'https://kap.example.org/id/patient', value: 'SHOWN' }] };
  const criteria = 'identifier=https://kap.example.org/id/patient|SHOWN';
  const { body } = await as().post('/fhir/Patient', identified).expect(201);
  await service.newAuditEvents();
  await as().post('/fhir/Patient', identified).set('if-none-exist', criteria).expect(200);
  expect(patientsIn(await service.newAuditEvents())).toEqual([`Patient/${body.id}`]);
  const entry = [{ resource: identified, request: { method: 'POST', url: 'Patient', ifNoneExist: criteria } }];
  await as().post('/fhir', { resourceType: 'Bundle', type: 'transaction', entry }).expect(200);
  expect(patientsIn(await service.newAuditEvents())).toEqual([`Patient/${body.id}`]);
});

test('no answer about a patient leaves while the audit trail cannot be written', async () => {
  const id = (await as().post('/fhir/Observation', weightOf(patientId, 70)).expect(201)).body.id;
  isWritable = false;
  const reads = [
    `/fhir/Observation/${id}`,
    `/fhir/Observation/${id}/_history/1`,
    `/fhir/Observation/${id}/_history`,
    `/fhir/Observation?patient=${patientId}`,
    '/fhir/AuditEvent?date=ge2020',
  ];
  for (const path of reads) {
    const answer = await as().get(path);
    expect(answer.status).toBe(503);
    expect(answer.headers['retry-after']).toBeDefined();
    expect(answer.text).not.toContain(id);
    expect(answer.text).not.toContain(patientId);
    expect(answer.body).toMatchObject({ resourceType: 'OperationOutcome', issue: [{ code: 'transient' }] });
  }
  await as().get('/fhir/Observation/never-was').expect(503);
  await service.http.get('/fhir/Observation/1').expect(503);
});

test('AuditEvents are searched by patient, entity, date, action and outcome, and to look is an event too', async () => {
  const id = (await as().post('/fhir/Observation', weightOf(patientId, 70)).expect(201)).body.id;
  await as().get(`/fhir/Observation/${id}`).expect(200);
  await as().get('/fhir/Observation/never-was').expect(404);
  const subtypes = async (query: string) => {
    const { body } = await as().get(`/fhir/AuditEvent?${query}`).expect(200);
    return ((body as Bundle).entry ?? []).map(({ resource }) => (resource as AuditEvent).subtype?.[0]?.code);
  };
  expect(await subtypes(`entity=Observation/${id}`)).toEqual(['read', 'create']);
  expect(await subtypes(`entity=Observation/${id}&action=C`)).toEqual(['create']);
  expect(await subtypes(`entity=Observation/${id}&date=lt2020-01-01`)).toEqual([]);
  expect(await subtypes('entity=Observation/never-was&date=ge2020-01-01&outcome=4')).toContain('read');
  await service.newAuditEvents();
  await subtypes(`patient=${patientId}&_count=1`);
  const [looked] = await service.newAuditEvents();
  expect(looked).toMatchObject({ type: { code: '110101' }, action: 'R' });
  expect(patientsIn([looked as AuditEvent])).toEqual([`Patient/${patientId}`]);
});

test.each([
  ['without a bound', '', 'too-costly'],
  ['by a parameter it has not', 'policy=x&date=2026', 'not-supported'],
  ['in another order', 'date=2026&_sort=date', 'not-supported'],
  ['with an unknown cursor', 'date=2026&_cursor=abc', 'value'],
  ['with an outcome that is none', 'date=2026&outcome=5', 'not-supported'],
])('a search of the audit trail %s is refused', async (_about, query, code) => {
  const { body } = await as().get(`/fhir/AuditEvent?${query}`).expect(400);
  expect(body.issue[0].code).toBe(code);
});

test.each(['ge0001', 'le9999', 'eq9999', 'gt9999', 'lt0001'])(
  'a search of the audit trail takes %s, at the end of what dates can be',
  async (date) => {
    const { body } = await as().get(`/fhir/AuditEvent?date=${date}&_count=1`).expect(200);
    expect(body.entry?.length ?? 0).toBe(['ge0001', 'le9999'].includes(date) ? 1 : 0);
  },
);

test('pages of the audit trail follow one another by their links', async () => {
  const { body: own } = await as().post('/fhir/Patient', patient).expect(201);
  for (let i = 0; i < 5; i++) await as().get(`/fhir/Patient/${own.id}`).expect(200);
  const ids = new Set<string>();
  let url: string | undefined = `/fhir/AuditEvent?patient=${own.id}&subtype=read&_count=2`;
  let pages = 0;
  while (url !== undefined) {
    const page: Bundle = (await as().get(url).expect(200)).body;
    for (const { resource } of page.entry ?? []) ids.add(resource?.id as string);
    url = page.link?.find(({ relation }) => relation === 'next')?.url.replace(BASE, '/fhir');
    pages += 1;
  }
  expect([ids.size, pages]).toEqual([5, 3]);
});

test('the log has one line for each request and nothing that names a patient', async () => {
  service.log.length = 0;
  await as().get(`/fhir/Observation?patient=${patientId}&value-string=Example`);
  await as().get(`/fhir/Patient/${patientId}`).expect(200);
  await as()
    .post('/fhir/Patient', { ...patient, colour: 'Example' })
    .expect(400);
  const lines = service.log.map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(lines.map(({ method, pattern, status }) => [method, pattern, status])).toEqual([
    ['GET', '/:type', expect.any(Number)],
    ['GET', '/:type/:id', 200],
    ['POST', '/:type', 400],
  ]);
  expect(service.log.join('')).not.toMatch(/Example/);
  expect(service.log.join('')).not.toContain(patientId);
});
