/** The calls of fhir-kit-client. */
import type { Bundle, CapabilityStatement, Observation, OperationOutcome, Patient } from '@medplum/fhirtypes';
import { CapabilityTool, Client } from 'fhir-kit-client';
import { type RunningService, runService } from './running-service.ts';

const SYSTEM = 'https://kap.example.org/id/patient';
let service: RunningService;
let client: Client;
beforeAll(async () => {
  service = await runService();
  client = new Client({ baseUrl: service.base, bearerToken: service.token });
});
afterAll(() => service.stop());

/** The client's own type of a resource names no elements. */
const as = <T>(resource: unknown): T => resource as T;

const patient = (value: string): Patient => ({
  resourceType: 'Patient',
  identifier: [{ system: SYSTEM, value }],
  name: [{ family: 'Example', given: ['Pat'] }],
});

async function create(value: string): Promise<Patient & { id: string }> {
  return as(await client.create({ resourceType: 'Patient', body: as(patient(value)) }));
}

async function refused(call: Promise<unknown>): Promise<{ status?: number; outcome?: OperationOutcome }> {
  try {
    await call;
  } catch (error) {
    const { response } = error as { response?: { status: number; data: OperationOutcome } };
    return { ...(response && { status: response.status, outcome: response.data }) };
  }
  throw new Error('nothing was refused');
}

test('learns from the CapabilityStatement what the service can do', async () => {
  const statement = await client.capabilityStatement();
  const tool = new CapabilityTool(statement);
  expect(as<CapabilityStatement>(statement).fhirVersion).toBe('4.0.1');
  for (const interaction of ['transaction', 'batch', 'search-system', 'history-system']) {
    expect([interaction, tool.serverCan(interaction)]).toEqual([interaction, true]);
  }
  for (const interaction of [
    'read',
    'vread',
    'update',
    'patch',
    'delete',
    'create',
    'search-type',
    'history-type',
    'history-instance',
  ]) {
    expect([interaction, tool.resourceCan('Patient', interaction)]).toEqual([interaction, true]);
  }
  expect(tool.resourceSearch('Observation', 'code-value-quantity')).toBe(true);
  expect(await client.smartAuthMetadata()).toHaveProperty('tokenUrl');
});

test('creates, reads, updates, patches, deletes, and reads the versions', async () => {
  const made = await create('K-1');
  expect(await client.read({ resourceType: 'Patient', id: made.id })).toMatchObject(patient('K-1'));
  await client.update({ resourceType: 'Patient', id: made.id, body: { ...made, active: true } });
  await client.patch({
    resourceType: 'Patient',
    id: made.id,
    jsonPatch: [{ op: 'add', path: '/gender', value: 'female' }],
  });
  expect(await client.vread({ resourceType: 'Patient', id: made.id, version: '2' })).toMatchObject({ active: true });
  const history = as<Bundle>(await client.history({ resourceType: 'Patient', id: made.id }));
  expect(history.entry?.map(({ request }) => request?.method)).toEqual(['PATCH', 'PUT', 'POST']);
  await client.delete({ resourceType: 'Patient', id: made.id });
  expect(await refused(client.read({ resourceType: 'Patient', id: made.id }))).toMatchObject({ status: 410 });
});

test('updates by condition', async () => {
  const made = await create('K-2');
  const { id: _, ...body } = { ...made, active: true };
  const updated = as<Patient>(
    await client.update({
      resourceType: 'Patient',
      searchParams: { identifier: `${SYSTEM}|K-2` },
      body,
    }),
  );
  expect([updated.id, updated.active]).toEqual([made.id, true]);
});

test('searches types, compartments and the whole system, by GET and by POST, and follows the pages', async () => {
  const made = await create('K-3');
  const body: Observation = {
    resourceType: 'Observation',
    status: 'final',
    code: { text: 'note' },
    subject: { reference: `Patient/${made.id}` },
  };
  for (let i = 0; i < 5; i++) await client.create({ resourceType: 'Observation', body: as(body) });
  let bundle = as<Bundle>(
    await client.search({
      resourceType: 'Observation',
      searchParams: { patient: made.id, _count: 2 },
    }),
  );
  let found = bundle.entry?.length ?? 0;
  for (
    let next = client.nextPage({ bundle: as(bundle) });
    next !== undefined;
    next = client.nextPage({ bundle: as(bundle) })
  ) {
    bundle = as(await next);
    found += bundle.entry?.length ?? 0;
  }
  expect(found).toBe(5);
  const compartment = as<Bundle>(
    await client.compartmentSearch({
      resourceType: 'Observation',
      compartment: { resourceType: 'Patient', id: made.id },
    }),
  );
  expect(compartment.entry?.length).toBe(5);
  const posted = as<Bundle>(
    await client.resourceSearch({
      resourceType: 'Patient',
      searchParams: { identifier: `${SYSTEM}|K-3` },
      options: { postSearch: true },
    }),
  );
  expect(posted.entry?.map(({ resource }) => resource?.id)).toEqual([made.id]);
  const system = as<Bundle>(
    await client.systemSearch({
      searchParams: { _type: 'Patient,Observation', _summary: 'count' },
    }),
  );
  expect(system.total).toBeGreaterThanOrEqual(6);
});

test('reads the history of a type and of the system', async () => {
  const made = await create('K-4');
  for (const history of [await client.typeHistory({ resourceType: 'Patient' }), await client.systemHistory()]) {
    expect(as<Bundle>(history).entry?.map(({ resource }) => resource?.id)).toContain(made.id);
  }
});

test('runs a transaction, a batch and operations, and resolves references', async () => {
  const made = await create('K-5');
  const entry = [{ request: { method: 'GET' as const, url: `Patient/${made.id}` } }];
  for (const answer of [
    await client.transaction({ body: { resourceType: 'Bundle', type: 'transaction', entry } }),
    await client.batch({ body: { resourceType: 'Bundle', type: 'batch', entry } }),
  ]) {
    expect(as<Bundle>(answer).entry?.[0]?.resource?.id).toBe(made.id);
  }
  const everything = as<Bundle>(
    await client.operation({
      resourceType: 'Patient',
      id: made.id,
      name: '$everything',
      method: 'GET',
    }),
  );
  expect(everything.entry?.[0]?.resource?.id).toBe(made.id);
  expect(await client.resolve({ reference: `Patient/${made.id}` })).toMatchObject({ id: made.id });
});
