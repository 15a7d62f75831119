import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createTestDatabase, type TestDatabase } from '../postgres.ts';
import { BASE_URL, packageOf, WARD_PATIENT, wardFiles } from '../profile-package.ts';
import { usCorePackage, withPackages } from '../us-core/package-file.ts';
import { command, type Ended } from './command.ts';
import { commandHere } from './in-process.ts';

let database: TestDatabase;
let folder: string;
let environment: Record<string, string>;

beforeEach(async () => {
  database = await createTestDatabase();
  folder = mkdtempSync(join(tmpdir(), 'kap-bridge-profiles-'));
  environment = { DATABASE_URL: database.url, KAP_DATA_DIR: folder };
});
afterEach(async () => {
  await database.drop();
  rmSync(folder, { recursive: true, force: true });
});

const kap = (...args: string[]) => commandHere(args, environment);

function file(name: string, bytes: Buffer | string): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

const ward = (version = '1.0.0', more: readonly object[] = []) =>
  packageOf({ version, files: wardFiles(version, more) });
const BIRTH_DATE = { id: 'Patient.birthDate', path: 'Patient.birthDate', min: 1 };

async function rows<T extends object>(text: string): Promise<T[]> {
  return (await database.clinicPool().query<T>(text)).rows;
}

const living = () => rows<{ id: string }>('select id from resource where not deleted');

test('a package is loaded, listed and removed, and its definitions come and go with it', async () => {
  const path = file('ward.tgz', ward());
  const added = await kap('profiles', 'add', path, '--by', 'it@clinic', '--json');
  expect(added).toMatchObject({ code: 0, err: '' });
  expect(JSON.parse(added.out)).toMatchObject({
    packages: [{ package: 'test.clinic#1.0.0', effect: 'added', definitions: 5 }],
    notes: [],
  });
  const list = await kap('profiles', 'list', '--json');
  expect(JSON.parse(list.out)).toContainEqual(
    expect.objectContaining({
      package: 'test.clinic#1.0.0',
      addedBy: 'it@clinic',
      definitions: 5,
      profiles: expect.arrayContaining([
        { profile: WARD_PATIENT, version: '1.0.0', type: 'Patient', strictness: 'warn' },
      ]),
    }),
  );
  expect((await kap('profiles', 'list')).out).toMatch(/^test\.clinic#1\.0\.0 +2 +5 +warn +\S+ +it@clinic/m);
  expect((await living()).filter(({ id }) => id.startsWith('ward'))).toHaveLength(4);

  expect(await kap('profiles', 'remove', 'test.clinic#1.0.0')).toMatchObject({
    code: 0,
    out: 'test.clinic#1.0.0 was removed, with 5 definitions\n',
  });
  expect((await living()).filter(({ id }) => id.startsWith('ward'))).toEqual([]);
  // One event of the configuration and one of the resources for each change, and one Provenance.
  expect(await rows("select 1 from audit_event where subtype = '110131'")).toHaveLength(2);
  expect(await rows("select 1 from resource where type = 'Provenance'")).toHaveLength(2);
  expect(await kap('profiles', 'add', path)).toMatchObject({ code: 0 });
}, 180_000);

test('the same package twice changes nothing, other content under its name is refused', async () => {
  const path = file('ward.tgz', ward());
  await kap('profiles', 'add', path);
  const before = await rows('select * from resource_version order by rid, version');
  const again = await kap('profiles', 'add', path, path);
  expect(again).toMatchObject({ code: 0, out: 'test.clinic#1.0.0 is loaded already: nothing was changed\n' });
  const other = await kap('profiles', 'add', file('other.tgz', ward('1.0.0', [BIRTH_DATE])));
  expect(other).toMatchObject({ code: 4, out: '', err: expect.stringContaining('from another file') });
  expect(await rows('select * from resource_version order by rid, version')).toEqual(before);
}, 180_000);

test('definitions without ids are named by their urls', async () => {
  const files = Object.entries(wardFiles()).map(([name, { id: _id, ...definition }]: [string, { id?: string }]) => [
    name,
    definition,
  ]);
  const path = file('ward.tgz', packageOf({ files: Object.fromEntries(files) }));
  expect(await kap('profiles', 'add', path)).toMatchObject({
    code: 0,
    out: expect.stringContaining('with 5 definitions'),
  });
  expect((await living()).map(({ id }) => id)).toContainEqual(
    expect.stringMatching(/^ward-patient-1\.0\.0-[0-9a-f]{12}$/),
  );
}, 180_000);

test('two versions lie side by side, and what builds upon a package keeps it from being removed', async () => {
  const dependent = packageOf({
    name: 'test.north',
    dependencies: { 'test.clinic': '2.0.0' },
    files: {
      'StructureDefinition-north.json': {
        ...(wardFiles()['StructureDefinition-ward-patient.json'] as object),
        id: 'north-patient',
        url: `${BASE_URL}/StructureDefinition/north-patient`,
        name: 'NorthPatient',
        baseDefinition: `${WARD_PATIENT}|2.0.0`,
        differential: { element: [{ id: 'Patient', path: 'Patient' }, BIRTH_DATE] },
      },
    },
  });
  const files = [file('one.tgz', ward('1.0.0')), file('two.tgz', ward('2.0.0')), file('north.tgz', dependent)];
  // The one that builds upon another may stand before it.
  expect(await kap('profiles', 'add', ...files.toReversed())).toMatchObject({ code: 0 });
  const ids = (await living()).map(({ id }) => id);
  expect(ids.filter((id) => id.startsWith('ward-patient-'))).toHaveLength(2);
  expect(ids.every((id) => /^[A-Za-z0-9\-.]{1,64}$/.test(id))).toBe(true);

  const kept = await kap('profiles', 'remove', 'test.clinic#2.0.0');
  expect(kept).toMatchObject({ code: 4, err: expect.stringContaining('test.north#1.0.0 builds upon') });
  expect(await kap('profiles', 'remove', 'test.north#1.0.0')).toMatchObject({ code: 0 });
  expect(await kap('profiles', 'remove', 'test.clinic#2.0.0')).toMatchObject({ code: 0 });
  const unnamed = await kap('profiles', 'remove', 'test.clinic');
  expect(unnamed).toMatchObject({ code: 3, err: expect.stringContaining('test.clinic#1.0.0') });
}, 180_000);

test('a policy is set, shown and taken back; it goes with the last package that has the profile', async () => {
  await kap('profiles', 'add', file('ward.tgz', ward()));
  const policy = async (...args: string[]) => JSON.parse((await kap('profiles', 'policy', ...args, '--json')).out);
  expect(await policy('ward-patient')).toMatchObject({ profile: WARD_PATIENT, strictness: 'warn', setBy: null });
  expect(await policy('ward-patient', 'tag', '--by', 'it')).toMatchObject({ strictness: 'tag', setBy: 'it' });
  expect(await policy(`${WARD_PATIENT}|1.0.0`, 'reject')).toMatchObject({ strictness: 'reject' });
  expect((await kap('profiles', 'list')).out).toMatch(/^test\.clinic#1\.0\.0 +2 +5 +(reject, 1 warn|warn, 1 reject)/m);
  expect((await kap('profiles', 'policy')).out).toMatch(/^http:\/\/example\.org\S+\/ward-patient +reject/m);
  expect(await policy('ward-patient', 'default')).toMatchObject({ strictness: 'warn', setBy: null });
  expect(await policy('kap-patient')).toMatchObject({ strictness: 'reject' });

  await policy('ward-patient', 'tag');
  await kap('profiles', 'remove', 'test.clinic#1.0.0');
  expect(await rows('select * from profile_policy')).toEqual([]);
  expect(await kap('profiles', 'policy', 'ward-patient')).toMatchObject({ code: 3 });
  expect(await kap('profiles', 'policy', 'kap-patient', 'perhaps')).toMatchObject({
    code: 2,
    err: expect.stringContaining('reject, warn, tag or default'),
  });
}, 180_000);

test('a broken package is refused with the reason, and nothing of any file is loaded', async () => {
  const nowhere = ward('1.0.0', [{ id: 'Patient.colour', path: 'Patient.colour', min: 1 }]);
  const refused = await kap('profiles', 'add', file('whole.tgz', ward('2.0.0')), file('broken.tgz', nowhere));
  expect(refused).toMatchObject({ code: 4, out: '', err: expect.stringContaining('Patient.colour') });
  expect(refused.err).not.toContain('    at ');
  expect(await rows('select * from profile_package')).toEqual([]);
  expect(await living()).toEqual([]);
}, 180_000);

test('a package that another version of the service has stored is told, and can be removed and added again', async () => {
  const path = file('ward.tgz', ward());
  await kap('profiles', 'add', path);
  await rows(`update profile_package set digest = '{"format":0,"name":"test.clinic","version":"1.0.0"}'`);
  const told = await kap('profiles', 'policy');
  expect(told).toMatchObject({ code: 4, err: expect.stringContaining('test.clinic#1.0.0') });
  expect((await kap('profiles', 'list')).out).toMatch(/^test\.clinic#1\.0\.0 +0 +5/m);
  expect(await kap('profiles', 'remove', 'test.clinic#1.0.0')).toMatchObject({ code: 0 });
  expect(await kap('profiles', 'add', path)).toMatchObject({ code: 0 });
}, 180_000);

test('a file that is not there, a folder, and packages that differ under one name are refused', async () => {
  const one = file('one.tgz', ward());
  expect(await kap('profiles', 'add', join(folder, 'none.tgz'))).toMatchObject({ code: 3 });
  expect(await kap('profiles', 'add', folder)).toMatchObject({ code: 2 });
  const both = await kap('profiles', 'add', one, file('two.tgz', ward('1.0.0', [BIRTH_DATE])), '--json');
  expect(JSON.parse(both.err)).toMatchObject({ error: 'conflict', exitCode: 4 });
  expect(await kap('profiles', 'add')).toMatchObject({ code: 2 });
  expect(await kap('profiles', 'add', one, '--by', ' ')).toMatchObject({ code: 2 });
  expect(await kap('profiles', 'remove', 'nobody#1.0.0')).toMatchObject({ code: 3 });
  expect(await kap('profiles', 'list', '--clinic', 'elsewhere')).toMatchObject({ code: 3 });
}, 180_000);

test('of several who load the same package at once one loads it, and the others find it loaded', async () => {
  const path = file('ward.tgz', ward());
  const ends: Ended[] = await Promise.all(
    [1, 2, 3].map(() => command(['profiles', 'add', path, '--json'], environment)),
  );
  expect(ends.map(({ code, err }) => ({ code, err }))).toEqual(Array(3).fill({ code: 0, err: '' }));
  const effects = ends.map(({ out }) => JSON.parse(out).packages[0].effect as string).sort();
  expect(effects).toEqual(['added', 'unchanged', 'unchanged']);
  expect(await rows('select * from profile_package')).toHaveLength(1);
}, 180_000);

withPackages(
  'both versions of US Core are loaded side by side, every definition of them',
  async () => {
    const added = await kap('profiles', 'add', usCorePackage('6.1.0'), usCorePackage('7.0.0'), '--json');
    expect(added.code).toBe(0);
    expect(JSON.parse(added.out)).toMatchObject({
      packages: [
        { package: 'hl7.fhir.us.core#6.1.0', effect: 'added', definitions: 210 },
        { package: 'hl7.fhir.us.core#7.0.0', effect: 'added', definitions: 211 },
      ],
    });
    const removed = await kap('profiles', 'remove', 'hl7.fhir.us.core#6.1.0');
    expect(removed).toMatchObject({ code: 0, out: expect.stringContaining('with 210 definitions') });
  },
  120_000,
);
