import { gzipSync } from 'node:zlib';
import type { Resource } from '@medplum/fhirtypes';
import { removePackage } from '../../src/record/package-changes.ts';
import { BASE_URL, packageOf, WARD_PATIENT, wardFiles, wardPatient } from '../profile-package.ts';
import { openTestClinic, type TestClinic, writeContext } from './clinic.ts';
import { load, openRecordOf } from './loading.ts';

let clinic: TestClinic;
beforeAll(async () => {
  clinic = await openTestClinic();
});
afterAll(() => clinic.database.drop());

const rows = async (text: string) => (await clinic.database.clinicPool().query(text)).rows;
const ward = (version = '1.0.0', more: readonly object[] = []) =>
  packageOf({ version, files: wardFiles(version, more) });
const broken = (changes: object) => {
  const files = wardFiles();
  const profile = files['StructureDefinition-ward-patient.json'] as object;
  return packageOf({ files: { ...files, 'StructureDefinition-ward-patient.json': { ...profile, ...changes } } });
};
const circle = () => {
  const profile = wardFiles()['StructureDefinition-ward-patient.json'] as object;
  const one = (id: string, parent: string) => ({
    ...profile,
    id,
    url: `${BASE_URL}/StructureDefinition/${id}`,
    baseDefinition: `${BASE_URL}/StructureDefinition/${parent}`,
    differential: { element: [{ id: 'Patient', path: 'Patient' }] },
  });
  return packageOf({ files: { 'a.json': one('a', 'b'), 'b.json': one('b', 'a') } });
};

test.each<[string, () => Uint8Array, string, RegExp]>([
  ['no gzip', () => Buffer.from('hello'), 'invalid', /gzip/],
  ['empty', () => Buffer.alloc(0), 'invalid', /gzip|empty/],
  ['cut short', () => ward().subarray(0, 300), 'invalid', /gzip|damaged/],
  ['no package', () => gzipSync(Buffer.alloc(1024)), 'invalid', /package\.json/],
  ['for another release of FHIR', () => packageOf({ fhirVersions: ['5.0.0'], files: {} }), 'business-rule', /5\.0\.0/],
  ['broken JSON', () => packageOf({ files: { 'ValueSet-x.json': '{"resourceType":' } }), 'invalid', /ValueSet-x\.json/],
  ['R4 itself', () => packageOf({ name: 'hl7.fhir.r4.core', files: {} }), 'business-rule', /built in/],
  ['without a known parent', () => broken({ baseDefinition: `${BASE_URL}/nowhere` }), 'business-rule', /nowhere/],
  ['its own parent', () => broken({ baseDefinition: WARD_PATIENT }), 'business-rule', /ward-patient/],
  ['a circle of parents', circle, 'business-rule', /StructureDefinition\/a/],
  [
    'with an element that the parent does not have',
    () => ward('1.0.0', [{ id: 'Patient.colour', path: 'Patient.colour', min: 1 }]),
    'business-rule',
    /Patient\.colour/,
  ],
  [
    'with a value set that is none',
    () =>
      packageOf({
        files: { ...wardFiles(), 'v.json': { resourceType: 'ValueSet', status: 'active', compose: { include: 5 } } },
      }),
    'invalid',
    /list|array/i,
  ],
  ['no valid resource', () => broken({ status: 'perhaps' }), 'invalid', /status|perhaps/],
  [
    'two definitions of one id',
    () => packageOf({ files: { ...wardFiles(), 'again.json': wardFiles()['CodeSystem-wards.json'] as object } }),
    'invalid',
    /wards/,
  ],
  [
    'with a definition of our own guide',
    () => broken({ url: 'https://kap.example.org/fhir/StructureDefinition/kap-patient' }),
    'business-rule',
    /our own guide/,
  ],
  [
    'with a code system of our own guide',
    () => {
      const system = wardFiles()['CodeSystem-wards.json'] as object;
      return packageOf({ files: { 'x.json': { ...system, url: 'https://kap.example.org/fhir/CodeSystem/kap' } } });
    },
    'business-rule',
    /our own guide/,
  ],
  [
    'with a type of R4',
    () => broken({ url: 'http://hl7.org/fhir/StructureDefinition/Patient' }),
    'business-rule',
    /a type of R4/,
  ],
])('a package that is %s is refused with the reason, and nothing is loaded', async (_what, bytes, code, words) => {
  const before = await rows('select count(*), (select generation from profile_set) from resource');
  const whole = packageOf({ name: 'test.whole', files: {} });
  await expect(load(clinic, whole, bytes())).rejects.toMatchObject({ code, message: expect.stringMatching(words) });
  expect(await rows('select name from profile_package')).toEqual([]);
  expect(await rows('select count(*), (select generation from profile_set) from resource')).toEqual(before);
});

test('a package whose definitions cannot be stored is not loaded by half', async () => {
  const context = writeContext('update');
  await load(clinic, ward());
  const key = 'test.clinic#1.0.0';
  const { rows: ids } = await clinic.database
    .clinicPool()
    .query<{ id: string }>("select id from resource where type = 'CodeSystem' and id like 'wards-%'");
  const id = ids[0]?.id as string;
  await removePackage(clinic.parts, key, openRecordOf(clinic).context('tester', 'transaction'));
  // The clinic keeps something of its own under the id that one of the definitions would get.
  const own = { resourceType: 'CodeSystem', id, status: 'active', content: 'not-present' } as const;
  await clinic.record.write([{ method: 'PUT', type: 'CodeSystem', id, resource: own, place: 'CodeSystem' }], context);
  await expect(load(clinic, ward())).rejects.toMatchObject({ code: 'precondition-failed' });
  expect(await rows('select name from profile_package')).toEqual([]);
  expect(await rows("select id from resource where id like 'ward-%' and not deleted")).toEqual([]);
  expect(JSON.parse((await clinic.record.read('CodeSystem', id)).content)).toMatchObject({ content: 'not-present' });
  await clinic.record.write([{ method: 'DELETE', type: 'CodeSystem', id, place: 'CodeSystem' }], context);
});

test('what R4 publishes stays in force, whatever a package says of it', async () => {
  const reason = 'http://hl7.org/fhir/StructureDefinition/data-absent-reason';
  const other = wardFiles()['StructureDefinition-ward.json'] as { differential: { element: { id: string }[] } };
  const element = other.differential.element.map((each) =>
    each.id === 'Extension.value[x]'
      ? { id: each.id, path: each.id, type: [{ code: 'string' }] }
      : each.id === 'Extension.url'
        ? { id: each.id, path: each.id, fixedUri: reason }
        : each,
  );
  const definition = { ...other, url: reason, version: '9.0.0', differential: { element } };
  const { notes } = await load(clinic, packageOf({ name: 'test.reason', files: { 'x.json': definition } }));
  expect(notes.join()).toContain("R4's stay in force");
  const absent = { extension: [{ url: reason, valueCode: 'unknown' }] };
  const resource = { resourceType: 'Patient', _birthDate: absent } as Resource;
  const created = clinic.record.write(
    [{ method: 'POST', type: 'Patient', resource, place: 'Patient' }],
    writeContext(),
  );
  expect(await created).toMatchObject([{ effect: 'created' }]);
});

test('two packages cannot mean different profiles by one url and version, and may share one', async () => {
  await load(clinic, ward('6.0.0'));
  const files = wardFiles('6.0.0', [{ id: 'Patient.birthDate', path: 'Patient.birthDate', min: 1 }]);
  await expect(load(clinic, packageOf({ name: 'test.other', files }))).rejects.toMatchObject({
    code: 'conflict',
    message: expect.stringMatching(/test\.other#1\.0\.0 and test\.clinic#6\.0\.0/),
  });
  const same = packageOf({ name: 'test.same', files: wardFiles('6.0.0') });
  expect((await load(clinic, same)).packages).toMatchObject([{ effect: 'added' }]);
  for (const key of ['test.same#1.0.0', 'test.clinic#6.0.0']) {
    await removePackage(clinic.parts, key, openRecordOf(clinic).context('tester', 'transaction'));
  }
});

test.each(['foo(((', 'gender.nofunction()'])('a constraint that says %s refuses the package', async (expression) => {
  const constraint = [{ key: 'ward-1', severity: 'error', human: 'Never', expression }];
  await expect(
    load(clinic, ward('7.0.0', [{ id: 'Patient.birthDate', path: 'Patient.birthDate', constraint }])),
  ).rejects.toMatchObject({
    code: 'business-rule',
    issues: [
      {
        diagnostics: expect.stringMatching(/the expression of ward-1 cannot be used/),
        expression: "StructureDefinition.snapshot.element.where(id = 'Patient.birthDate')",
      },
    ],
  });
});

test('a definition refers to the others of its package by the ids that they have here', async () => {
  await load(clinic, ward('3.0.0'));
  const { rows: found } = await clinic.database
    .clinicPool()
    .query<{ id: string }>("select id from resource where type = 'ImplementationGuide' and not deleted");
  const guide = JSON.parse((await clinic.record.read('ImplementationGuide', found[0]?.id as string)).content);
  const reference: string = guide.definition.resource[0].reference.reference;
  const [type = '', id = ''] = reference.split('/');
  expect(JSON.parse((await clinic.record.read(type, id)).content)).toMatchObject({
    url: WARD_PATIENT,
    version: '3.0.0',
  });
});

test('a write under way is checked again when a package is loaded meanwhile, and refused by it', async () => {
  const { parts } = clinic;
  await load(clinic, ward('3.0.0'));
  const stale = await parts.profiles.latest();
  expect(stale.profiles.profile(WARD_PATIENT)?.version).toBe('3.0.0');
  await load(clinic, ward('4.0.0', [{ id: 'Patient.birthDate', path: 'Patient.birthDate', min: 1 }]));
  // As a process that has not asked since: its set is the old one.
  const late = { ...parts, profiles: { current: () => stale, latest: () => parts.profiles.latest() } };
  const { write } = await import('../../src/record/write.ts');
  const before = await rows("select count(*) from resource where type = 'Patient'");
  const request = { method: 'POST', type: 'Patient', resource: wardPatient(), place: 'Patient' } as const;
  await expect(write(late, [request], writeContext())).rejects.toMatchObject({
    code: 'business-rule',
    issues: [{ code: 'required', expression: 'Patient.birthDate', profile: `${WARD_PATIENT}|4.0.0` }],
  });
  expect(await rows("select count(*) from resource where type = 'Patient'")).toEqual(before);
  const dated = { ...request, resource: wardPatient({ birthDate: '1980-05-17' }) };
  expect(await write(late, [dated], writeContext())).toMatchObject([{ effect: 'created' }]);

  // And the other way round: who is refused by a package that is gone is not refused.
  const strict = await parts.profiles.latest();
  for (const version of ['4.0.0', '3.0.0']) {
    await removePackage(parts, `test.clinic#${version}`, openRecordOf(clinic).context('tester', 'transaction'));
  }
  const behind = { ...parts, profiles: { current: () => strict, latest: () => parts.profiles.latest() } };
  expect(await write(behind, [request], writeContext())).toMatchObject([{ effect: 'created' }]);
});

test('clinics with the same packages share what is compiled from them', async () => {
  const clinics = [await openTestClinic(), await openTestClinic()];
  try {
    const sets = [];
    for (const each of clinics) {
      await load(each, ward('5.0.0'));
      sets.push(await each.parts.profiles.latest());
    }
    expect(sets[0]?.profiles.profile(WARD_PATIENT)?.version).toBe('5.0.0');
    expect(sets[0]?.validator).toBe(sets[1]?.validator);
  } finally {
    for (const { database } of clinics) await database.drop();
  }
});
