import type { Bundle, Resource } from '@medplum/fhirtypes';
import { createPatchReader } from '../../src/fhir/patch/patch-reader.ts';
import { type ImportedItem, importUnit, itemOf, unitsOf } from '../../src/record/import.ts';
import { ImportRepeats } from '../../src/record/import-repeats.ts';
import { setPolicy } from '../../src/record/package-changes.ts';
import type { Strictness } from '../../src/record/packages.ts';
import type { WriteRequest } from '../../src/record/record.ts';
import { packageOf, WARD_PATIENT, wardFiles, wardPatient } from '../profile-package.ts';
import { BASE, fhir, openTestClinic, type TestClinic, writeContext } from './clinic.ts';
import { load, openRecordOf } from './loading.ts';

let clinic: TestClinic;
beforeAll(async () => {
  clinic = await openTestClinic();
  await load(clinic, packageOf({ files: wardFiles() }));
});
afterAll(() => clinic.database.drop());

const rows = async (text: string, values: unknown[] = []) =>
  (await clinic.database.clinicPool().query(text, values)).rows;
const put = (resource: Resource): WriteRequest => ({
  method: 'PUT',
  type: resource.resourceType,
  id: resource.id as string,
  resource,
  place: resource.resourceType,
});
const policy = (strictness: Strictness | null) =>
  setPolicy(clinic.parts, WARD_PATIENT, strictness, openRecordOf(clinic).context('tester', 'update'));
const write = (...requests: WriteRequest[]) => clinic.record.write(requests, writeContext());
const read = async (type: string, id: string) => JSON.parse((await clinic.record.read(type, id)).content) as Resource;

const rules = {
  isResourceType: (type: string) => fhir.definitions.isResourceType(type),
  patches: createPatchReader(fhir.definitions, (resource, place) => fhir.validator.validate(resource, place)),
  baseUrls: [BASE],
};
async function imported(resource: Resource, dryRun = false): Promise<ImportedItem> {
  const unit = { isTransaction: false, items: [itemOf(resource, 'file:1')] };
  const [item] = await importUnit(clinic.record, unit, writeContext('batch'), { dryRun, repeats: new ImportRepeats() });
  return item as ImportedItem;
}
async function importedBundle(bundle: Bundle): Promise<readonly ImportedItem[]> {
  const items: ImportedItem[] = [];
  const repeats = new ImportRepeats();
  for (const unit of unitsOf(bundle, (at) => `entry[${at}]`, rules)) {
    items.push(...(await importUnit(clinic.record, unit, writeContext('batch'), { dryRun: false, repeats })));
  }
  return items;
}

/** Claims the profile and has no identifier. */
const unmet = (id: string) => wardPatient({ id, identifier: undefined }) as Resource;
const NOT_MET = { system: 'https://kap.example.org/fhir/CodeSystem/kap', code: 'profile-not-met' };
const FOUND = { code: 'required', expression: 'Patient.identifier', profile: `${WARD_PATIENT}|1.0.0` };

test.each<Strictness>(['reject', 'warn', 'tag'])(
  'what is written live is refused under the policy %s',
  async (word) => {
    await policy(word);
    const refused = { code: 'business-rule', issues: [FOUND] };
    const { id: _id, ...fresh } = unmet('x') as Resource & { id: string };
    await expect(
      write({ method: 'POST', type: 'Patient', resource: fresh as Resource, place: 'Patient' }),
    ).rejects.toMatchObject(refused);
    await expect(write(put(unmet('live')))).rejects.toMatchObject(refused);
    await expect(
      write({
        method: 'PUT',
        type: 'Patient',
        criteria: 'identifier=none',
        resource: fresh as Resource,
        place: 'Patient',
      }),
    ).rejects.toMatchObject(refused);
    expect(await rows("select 1 from resource where type = 'Patient'")).toEqual([]);
    await policy(null);
  },
);

test('imported history that does not meet a profile is refused, taken with a warning, or tagged, as the policy says', async () => {
  await policy('reject');
  expect(await imported(unmet('history'))).toMatchObject({ effect: 'refused', issues: [FOUND] });
  await policy('warn');
  expect(await imported(unmet('history'), true)).toMatchObject({
    effect: 'accepted',
    issues: [{ severity: 'warning' }],
  });
  expect(await rows("select 1 from resource where id = 'history'")).toEqual([]);
  const warned = await imported(unmet('history'));
  expect(warned).toMatchObject({ effect: 'created', tagged: false, issues: [{ ...FOUND, severity: 'warning' }] });
  expect((await read('Patient', 'history')).meta?.tag).toBeUndefined();
  expect(await imported(unmet('history'))).toMatchObject({ effect: 'unchanged' });

  await policy('tag');
  expect(await imported(unmet('history'))).toMatchObject({ effect: 'updated', tagged: true });
  expect(await imported(unmet('history'))).toMatchObject({ effect: 'unchanged', tagged: true });
  expect((await read('Patient', 'history')).meta?.tag).toEqual([NOT_MET]);
  // Whatever the policy: what is no valid FHIR is refused.
  const invalid = { ...unmet('invalid'), gender: 'm' } as unknown as Resource;
  expect(await imported(invalid)).toMatchObject({ effect: 'refused' });
  await policy(null);
});

test('the tag of an import does not outlive the fault, and a live change has to mend it', async () => {
  await policy('tag');
  await imported(unmet('tagged'));
  const sentBack = await read('Patient', 'tagged');
  await expect(write(put({ ...sentBack, active: true } as Resource))).rejects.toMatchObject({ issues: [FOUND] });
  await expect(
    write({
      method: 'PATCH',
      type: 'Patient',
      id: 'tagged',
      place: 'Patient',
      patch: (of) => ({ ...of, active: true }),
    }),
  ).rejects.toMatchObject({ code: 'business-rule', issues: [FOUND] });
  const identifier = [{ value: '1' }];
  await write({
    method: 'PATCH',
    type: 'Patient',
    id: 'tagged',
    place: 'Patient',
    patch: (of) => ({ ...of, identifier }),
  });
  expect((await read('Patient', 'tagged')).meta?.tag).toBeUndefined();
  await policy(null);
});

test('an import overwrites an import, and nothing that was written here', async () => {
  const first = wardPatient({ id: 'mine' }) as Resource;
  expect(await imported(first)).toMatchObject({ effect: 'created' });
  expect(await imported({ ...first, active: true } as Resource)).toMatchObject({ effect: 'updated' });
  await write(put({ ...first, active: false } as Resource));
  const refused = await imported({ ...first, active: true } as Resource);
  expect(refused).toMatchObject({ effect: 'refused', issues: [{ code: 'conflict' }] });
  expect(refused.issues[0]?.diagnostics).toContain('version 3');
  expect(await imported({ ...first, active: false } as Resource)).toMatchObject({ effect: 'unchanged' });
  await write({ method: 'DELETE', type: 'Patient', id: 'mine', place: 'Patient' });
  expect(await imported(first)).toMatchObject({ effect: 'refused', issues: [{ code: 'conflict' }] });
});

const weight = (id: string, patient: string, more: object = {}): Resource =>
  ({
    resourceType: 'Observation',
    id,
    meta: { source: 'urn:uuid:4e2c1e3c-6c5d-4f0a-9d0a-5a8f0b7f0a11' },
    status: 'final',
    code: { text: 'weight' },
    subject: { reference: patient },
    valueQuantity: { value: 70.5, unit: 'kg' },
    ...more,
  }) as Resource;

test('history is not delivered to EHRs, and that is written down; what happens to it here is', async () => {
  await rows(
    "insert into ehr_target (target_id, active_revision, resource_types) values ('mercy', 1, '{Observation}')",
  );
  await imported({ resourceType: 'Patient', id: 'old' });
  await imported(weight('old-weight', 'Patient/old'));
  const deliveries = () =>
    rows('select resource_id, version_id, state, state_reason, ended_at is not null as ended from delivery order by 2');
  const withheld = {
    resource_id: 'old-weight',
    version_id: 1,
    state: 'withheld',
    state_reason: 'imported history',
    ended: true,
  };
  expect(await deliveries()).toEqual([withheld]);
  expect(await rows('select 1 from lane')).toEqual([]);
  expect((await read('Observation', 'old-weight')).meta?.source).toBe('urn:uuid:4e2c1e3c-6c5d-4f0a-9d0a-5a8f0b7f0a11');
  await write(put(weight('old-weight', 'Patient/old', { note: [{ text: 'corrected' }] })));
  expect(await deliveries()).toEqual([
    withheld,
    { resource_id: 'old-weight', version_id: 2, state: 'waiting', state_reason: null, ended: false },
  ]);
});

test('of a transaction all or nothing is imported, of a collection each for itself; twice is once', async () => {
  const patient = { fullUrl: 'urn:uuid:9d0a5a8f-0b7f-4a11-8e2c-1e3c6c5d4f0a', resource: wardPatient() as Resource };
  const entry = (resource: Resource) => ({
    resource,
    request: { method: 'POST' as const, url: resource.resourceType },
  });
  const { id: _w, ...first } = weight('x', patient.fullUrl) as Resource & { id: string };
  const bad = { ...first, status: 'perhaps' } as unknown as Resource;
  const transaction = (...observations: Resource[]): Bundle => ({
    resourceType: 'Bundle',
    type: 'transaction',
    entry: [{ ...entry(patient.resource), fullUrl: patient.fullUrl }, ...observations.map(entry)],
  });
  const withIt = { severity: 'information', diagnostics: expect.stringContaining('another entry') };
  expect(await importedBundle(transaction(first as Resource, bad))).toMatchObject([
    { where: 'entry[0]', effect: 'refused', issues: [withIt] },
    { where: 'entry[1]', effect: 'refused', issues: [withIt] },
    { where: 'entry[2]', effect: 'refused', issues: [{ expression: 'Bundle.entry[2].resource.status' }] },
  ]);
  const taken = await importedBundle(transaction(first as Resource));
  expect(taken.map(({ effect }) => effect)).toEqual(['created', 'created']);
  const again = await importedBundle(transaction(first as Resource));
  expect(again.map(({ effect }) => effect)).toEqual(['unchanged', 'unchanged']);

  const collection = (type: Bundle['type']): Bundle => ({
    resourceType: 'Bundle',
    type,
    entry: [
      { fullUrl: 'urn:uuid:11111111-0b7f-4a11-8e2c-1e3c6c5d4f0a', resource: wardPatient() as Resource },
      { resource: bad },
      { resource: weight('w7', 'urn:uuid:11111111-0b7f-4a11-8e2c-1e3c6c5d4f0a') },
    ],
  });
  const each = await importedBundle(collection('collection'));
  expect(each.map(({ effect, where }) => [where, effect])).toEqual([
    ['entry[0]', 'created'],
    ['entry[1]', 'refused'],
    ['entry[2]', 'created'],
  ]);
  expect(await read('Observation', 'w7')).toMatchObject({
    subject: { reference: 'Patient/11111111-0b7f-4a11-8e2c-1e3c6c5d4f0a' },
  });
  expect(() => unitsOf(collection('document'), String, rules)).toThrow(/transaction, batch, collection, searchset/);
});

test('an import of a patient in a course goes through the clinic’s rules, and what they find is not delivered as news', async () => {
  await rows(
    "insert into ehr_target (target_id, active_revision, resource_types) values ('north', 1, '{Encounter,DetectedIssue,Task}') on conflict do nothing",
  );
  await imported({ resourceType: 'Patient', id: 'course' });
  const session = {
    resourceType: 'Encounter',
    id: 'course-session',
    status: 'finished',
    class: { code: 'AMB' },
    type: [{ coding: [{ system: 'https://kap.example.org/fhir/CodeSystem/kap', code: 'kap-infusion-session' }] }],
    subject: { reference: 'Patient/course' },
    period: { start: '2025-03-02T09:00:00Z', end: '2025-03-02T11:00:00Z' },
  } as Resource;
  expect(await imported(session)).toMatchObject({ effect: 'created' });
  expect(await rows("select 1 from course_patient where patient_id = 'course'")).toHaveLength(1);
  expect(await rows("select 1 from delivery where patient_id = 'course' and state <> 'withheld'")).toEqual([]);
});

test('a claim that is added in place is held to the profile', async () => {
  const plain = { resourceType: 'Patient', id: 'plain' } as Resource;
  await write(put(plain));
  const add = (id: string) =>
    clinic.record.changeMeta(
      { type: 'Patient', id, change: 'add', meta: { profile: [WARD_PATIENT] }, place: 'Parameters.parameter[0].value' },
      writeContext('operation'),
    );
  await expect(add('plain')).rejects.toMatchObject({
    code: 'business-rule',
    issues: [{ profile: `${WARD_PATIENT}|1.0.0` }, {}],
  });
  expect((await read('Patient', 'plain')).meta?.profile).toBeUndefined();
  await write(put(wardPatient({ id: 'plain', meta: undefined }) as Resource));
  expect(await add('plain')).toMatchObject({ profile: [WARD_PATIENT] });
});
