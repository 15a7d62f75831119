/** The calls of the SMART JavaScript client. */
import type { Bundle, Observation, Patient } from '@medplum/fhirtypes';
import FhirClient from 'fhirclient/lib/FhirClient.js';
import { type RunningService, runService } from './running-service.ts';

let service: RunningService;
let client: InstanceType<typeof FhirClient.default>;
const options = () => ({ headers: { authorization: `Bearer ${service.token}` } });
beforeAll(async () => {
  service = await runService();
  client = new FhirClient.default(service.base);
});
afterAll(() => service.stop());

async function create(value: string): Promise<Patient & { id: string }> {
  const body = {
    resourceType: 'Patient',
    identifier: [{ system: 'https://kap.example.org/id/patient', value }],
    name: [{ family: 'Example' }],
  };
  return (await client.create(body, options())) as unknown as Patient & { id: string };
}

test('learns that the service speaks R4', async () => {
  expect(await client.getFhirRelease()).toBe(4);
});

test('creates, updates, patches and deletes', async () => {
  const made = await create('F-1');
  const updated = (await client.update({ ...made, active: true } as never, options())) as unknown as Patient;
  expect([updated.active, updated.meta?.versionId]).toEqual([true, '2']);
  const patched = (await client.patch(
    `Patient/${made.id}`,
    [{ op: 'replace', path: '/active', value: false }],
    options(),
  )) as unknown as Patient;
  expect([patched.active, patched.meta?.versionId]).toEqual([false, '3']);
  await client.delete(`Patient/${made.id}`, options());
  await expect(client.fhirRequest(`Patient/${made.id}`, options())).rejects.toThrow(/410|Gone/);
});

test('walks the pages of a search, and resolves references', async () => {
  const made = await create('F-2');
  const body = {
    resourceType: 'Observation',
    status: 'final',
    code: { text: 'note' },
    subject: { reference: `Patient/${made.id}` },
  };
  for (let i = 0; i < 5; i++) await client.create(body as never, options());
  const seen: Observation[] = [];
  for await (const page of client.pages(`Observation?patient=${made.id}&_count=2`, options())) {
    seen.push(...((page as unknown as Bundle<Observation>).entry ?? []).map(({ resource }) => resource as Observation));
  }
  expect([seen.length, new Set(seen.map(({ id }) => id)).size]).toEqual([5, 5]);
  const each: string[] = [];
  for await (const resource of client.resources(`Observation?patient=${made.id}&_count=3`, options()))
    each.push((resource as { id: string }).id);
  expect(each.length).toBe(5);
  const { subject } = seen[0] as Observation;
  expect(await client.fhirRequest(subject?.reference as string, options())).toMatchObject({ id: made.id });
});
