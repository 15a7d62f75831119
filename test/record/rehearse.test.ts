import type { Procedure, Resource } from '@medplum/fhirtypes';
import { Failure } from '../../src/fhir/failure.ts';
import { kapCoding } from '../../src/kap/codes.ts';
import { installProtocol } from '../../src/record/install-protocol.ts';
import type { WriteRequest } from '../../src/record/record.ts';
import { openTestClinic, type TestClinic, writeContext } from './clinic.ts';

let clinic: TestClinic;
beforeAll(async () => {
  clinic = await openTestClinic();
  await installProtocol(clinic.parts.store, clinic.record, [], writeContext('update'));
  for (const id of ['one', 'two']) await clinic.record.write([put({ resourceType: 'Patient', id })], writeContext());
  await clinic.record.write([put(session('infusion', 'kap-infusion', 'one'))], writeContext());
});
afterAll(() => clinic.database.drop());

function put(resource: Resource, changes: Partial<WriteRequest> = {}): WriteRequest {
  const { resourceType: type, id } = resource;
  return { method: 'PUT', type, id: id as string, resource: structuredClone(resource), place: type, ...changes };
}

function session(id: string, code: Parameters<typeof kapCoding>[0], patient: string, of?: string): Procedure {
  return {
    resourceType: 'Procedure',
    id,
    status: 'completed',
    code: { coding: [kapCoding(code)] },
    subject: { reference: `Patient/${patient}` },
    performedPeriod: { start: '2026-09-01T10:00:00Z', end: '2026-09-01T11:00:00Z' },
    ...(of === undefined ? {} : { reasonReference: [{ reference: `Procedure/${of}` }] }),
  };
}

async function refusal(run: Promise<unknown>): Promise<unknown> {
  const error = await run.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return error instanceof Failure ? { code: error.code, issues: error.issues } : error;
}

async function rows(): Promise<unknown> {
  const { rows } = await clinic.database.clinicPool().query(
    `select (select count(*) from resource_version) as versions, (select count(*) from audit_event) as events,
            (select count(*) from idx_token) as tokens, (select count(*) from delivery) as deliveries`,
  );
  return rows[0];
}

test.each<[string, () => WriteRequest]>([
  [
    'a new resource',
    () => ({ method: 'POST', type: 'Patient', resource: { resourceType: 'Patient' }, place: 'Patient' }),
  ],
  ['an update', () => put({ resourceType: 'Patient', id: 'one', gender: 'other' })],
  ['an update that creates', () => put({ resourceType: 'Patient', id: 'three' })],
  ['a deletion', () => ({ method: 'DELETE', type: 'Patient', id: 'two', place: 'Patient' })],
  ['the same content again', () => put({ resourceType: 'Patient', id: 'one' })],
  [
    'a change in a course, whose rules would add findings',
    () => put(session('therapy', 'kap-integration-session', 'one', 'infusion')),
  ],
])('%s that is allowed is not refused and leaves nothing behind', async (_case, request) => {
  const before = await rows();
  expect(await refusal(clinic.record.rehearse([request()], writeContext()))).toBeUndefined();
  expect(await rows()).toEqual(before);
});

test.each<[string, () => WriteRequest]>([
  ['a stale version', () => put({ resourceType: 'Patient', id: 'one', gender: 'other' }, { ifMatch: [9] })],
  ['an id that is taken', () => put({ resourceType: 'Patient', id: 'one' }, { onlyNew: true })],
  ['no valid R4', () => put({ resourceType: 'Patient', id: 'one', gender: 'x' } as unknown as Resource)],
  [
    'a therapy of another patient’s infusion',
    () => put(session('therapy', 'kap-integration-session', 'two', 'infusion')),
  ],
])('%s is refused as the write would refuse it', async (_case, request) => {
  const rehearsed = await refusal(clinic.record.rehearse([request()], writeContext()));
  expect(rehearsed).toMatchObject({ code: expect.any(String) });
  expect(rehearsed).toEqual(await refusal(clinic.record.write([request()], writeContext())));
});
