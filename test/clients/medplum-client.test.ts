/** The calls that applications on @medplum/core make. */
import { MedplumClient, OperationOutcomeError } from '@medplum/core';
import type { Bundle, Observation, Patient } from '@medplum/fhirtypes';
import { type RunningService, runService } from './running-service.ts';

const SYSTEM = 'https://kap.example.org/id/patient';
let service: RunningService;
let client: MedplumClient;
beforeAll(async () => {
  service = await runService();
  client = new MedplumClient({
    baseUrl: `${service.origin}/`,
    fhirUrlPath: 'fhir',
    accessToken: service.token,
    cacheTime: 0,
    autoBatchTime: 0,
  });
});
afterAll(() => service.stop());

const patient = (value: string, family = 'Example'): Patient => ({
  resourceType: 'Patient',
  identifier: [{ system: SYSTEM, value }],
  name: [{ family, given: ['Pat'] }],
});
const weight = (of: Patient, value: number): Observation => ({
  resourceType: 'Observation',
  status: 'final',
  code: { coding: [{ system: 'http://loinc.org', code: '29463-7' }] },
  subject: { reference: `Patient/${of.id}` },
  effectiveDateTime: '2026-03-09T12:00:00-07:00',
  valueQuantity: { value, unit: 'kg', system: 'http://unitsofmeasure.org', code: 'kg' },
});

test('creates, reads, updates, patches and deletes, and is told what happened', async () => {
  const created = await client.createResource(patient('M-1'));
  expect(await client.readResource('Patient', created.id)).toEqual(created);
  const updated = await client.updateResource({ ...created, active: true });
  expect(updated.meta?.versionId).toBe('2');
  const patched = await client.patchResource('Patient', created.id, [{ op: 'replace', path: '/active', value: false }]);
  expect([patched.active, patched.meta?.versionId]).toEqual([false, '3']);
  const history = await client.readHistory('Patient', created.id);
  expect(history.entry?.map(({ resource }) => resource?.meta?.versionId)).toEqual(['3', '2', '1']);
  expect((await client.readVersion('Patient', created.id, '2')).active).toBe(true);
  await client.deleteResource('Patient', created.id);
  await expect(client.readResource('Patient', created.id)).rejects.toThrow(OperationOutcomeError);
});

test('creates only where nothing matches, and updates what matches', async () => {
  const first = await client.createResourceIfNoneExist(patient('M-2'), `identifier=${SYSTEM}|M-2`);
  const again = await client.createResourceIfNoneExist(patient('M-2'), `identifier=${SYSTEM}|M-2`);
  expect(again.id).toBe(first.id);
  const upserted = await client.upsertResource(patient('M-2', 'Changed'), { identifier: `${SYSTEM}|M-2` });
  expect([upserted.id, upserted.name?.[0]?.family]).toEqual([first.id, 'Changed']);
});

test('searches page by page until there is no more, each resource once', async () => {
  const of = await client.createResource(patient('M-3'));
  for (let i = 0; i < 7; i++) await client.createResource(weight(of, 60 + i));
  const seen: string[] = [];
  for await (const page of client.searchResourcePages('Observation', { patient: of.id, _count: '3', _sort: '-date' })) {
    seen.push(...page.map(({ id }) => id));
  }
  expect([seen.length, new Set(seen).size]).toEqual([7, 7]);
  expect((await client.searchOne('Patient', { identifier: `${SYSTEM}|M-3` }))?.id).toBe(of.id);
  const chained = await client.searchResources('Observation', {
    'subject:Patient.identifier': `${SYSTEM}|M-3`,
    'value-quantity': 'ge65',
  });
  expect(chained.length).toBe(2);
});

test('runs batches and transactions', async () => {
  const bundle: Bundle = {
    resourceType: 'Bundle',
    type: 'transaction',
    entry: [
      {
        fullUrl: 'urn:uuid:0f4cbd9d-5c7e-4a09-a5bb-0c5b8c7e5a01',
        resource: patient('M-4'),
        request: { method: 'POST', url: 'Patient' },
      },
      {
        resource: {
          ...weight(patient('M-4'), 70),
          subject: { reference: 'urn:uuid:0f4cbd9d-5c7e-4a09-a5bb-0c5b8c7e5a01' },
        },
        request: { method: 'POST', url: 'Observation' },
      },
    ],
  };
  const answer = await client.executeBatch(bundle);
  expect(answer.entry?.map(({ response }) => response?.status.slice(0, 3))).toEqual(['201', '201']);
  const reads = await client.executeBatch({
    resourceType: 'Bundle',
    type: 'batch',
    entry: [
      { request: { method: 'GET', url: `Patient?identifier=${SYSTEM}|M-4` } },
      { request: { method: 'GET', url: 'Patient/absent' } },
    ],
  });
  expect(reads.entry?.map(({ response }) => response?.status.slice(0, 3))).toEqual(['200', '404']);
});

test('reads everything about a patient, validates, expands, and asks by GraphQL', async () => {
  const of = await client.createResource(patient('M-5'));
  await client.createResource(weight(of, 71));
  const everything = await client.readPatientEverything(of.id);
  const types = everything.entry?.map(({ resource }) => resource?.resourceType);
  expect(types).toEqual(expect.arrayContaining(['Patient', 'Observation']));
  expect((await client.validateResource(patient('M-6'))).resourceType).toBe('OperationOutcome');
  const expanded = await client.valueSetExpand({ url: 'http://hl7.org/fhir/ValueSet/administrative-gender' });
  expect(expanded.expansion?.contains?.map(({ code }) => code).sort()).toEqual(['female', 'male', 'other', 'unknown']);
  const { data } = await client.graphql(
    `{ Patient(id: "${of.id}") { name { family } ObservationList(_reference: patient) { valueQuantity { value } } } }`,
  );
  expect(data.Patient).toEqual({ name: [{ family: 'Example' }], ObservationList: [{ valueQuantity: { value: 71 } }] });
});
