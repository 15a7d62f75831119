import type { Bundle, Resource } from '@medplum/fhirtypes';
import { createPatchReader } from '../../src/fhir/patch/patch-reader.ts';
import { type ImportedItem, importUnit, itemOf, unitsOf } from '../../src/record/import.ts';
import { ImportRepeats } from '../../src/record/import-repeats.ts';
import { BASE, fhir, openTestClinic, type TestClinic, writeContext } from './clinic.ts';

let clinic: TestClinic;
beforeAll(async () => {
  clinic = await openTestClinic();
});
afterAll(() => clinic.database.drop());

const patient = (id: string, more: object = {}) => ({ resourceType: 'Patient', id, ...more }) as Resource;
const rules = {
  isResourceType: (type: string) => fhir.definitions.isResourceType(type),
  patches: createPatchReader(fhir.definitions, (resource, place) => fhir.validator.validate(resource, place)),
  baseUrls: [BASE],
};

/** Lines of a file, written two at a time. */
async function importLines(lines: readonly Resource[], dryRun = false): Promise<ImportedItem[]> {
  const repeats = new ImportRepeats();
  const items = lines.map((line, at) => itemOf(line, `a.ndjson:${at + 1}`));
  const imported: ImportedItem[] = [];
  for (let at = 0; at < items.length; at += 2) {
    const unit = { isTransaction: false, items: items.slice(at, at + 2) };
    imported.push(...(await importUnit(clinic.record, unit, writeContext('batch'), { dryRun, repeats })));
  }
  return imported;
}
const effects = (items: readonly ImportedItem[]) => items.map(({ where, effect }) => `${where} ${effect}`);
const versions = async (id: string) => Number((await clinic.record.read('Patient', id)).version);

test('of one id with different content in an import the first is taken, and to repeat the import changes nothing', async () => {
  const lines = [
    patient('one', { gender: 'female' }),
    patient('one', { gender: 'male' }),
    patient('two'),
    patient('one', { gender: 'female' }),
    patient('one', { gender: 'other' }),
  ];
  expect(effects(await importLines(lines, true))).toEqual([
    'a.ndjson:1 accepted',
    'a.ndjson:2 refused',
    'a.ndjson:3 accepted',
    'a.ndjson:4 accepted',
    'a.ndjson:5 refused',
  ]);
  const first = await importLines(lines);
  expect(effects(first)).toEqual([
    'a.ndjson:1 created',
    'a.ndjson:2 refused',
    'a.ndjson:3 created',
    'a.ndjson:4 unchanged',
    'a.ndjson:5 refused',
  ]);
  expect(first[1]?.issues).toMatchObject([{ code: 'duplicate', expression: 'Patient.id' }]);
  expect(first[1]?.issues[0]?.diagnostics).toContain('a.ndjson:1,');
  const again = await importLines(lines);
  expect(again.map(({ effect }) => effect)).toEqual(['unchanged', 'refused', 'unchanged', 'unchanged', 'refused']);
  expect(await versions('one')).toBe(1);
});

test('another import may bring a newer state of a resource', async () => {
  await importLines([patient('newer')]);
  expect(await importLines([patient('newer', { active: true })])).toMatchObject([{ effect: 'updated' }]);
});

test('a transaction that holds an id twice is refused at the second, like one whose fault is found when it is written', async () => {
  const entry = (resource: Resource) => ({
    resource,
    request: { method: 'PUT' as const, url: `${resource.resourceType}/${resource.id}` },
  });
  const imported = async (...resources: readonly Resource[]) => {
    const bundle: Bundle = { resourceType: 'Bundle', type: 'transaction', entry: resources.map(entry) };
    const options = { dryRun: false, repeats: new ImportRepeats() };
    const [unit] = unitsOf(bundle, (at) => `course.json entry[${at}]`, rules);
    if (unit === undefined) throw new Error('no unit');
    return importUnit(clinic.record, unit, writeContext('transaction'), options);
  };
  const codes = (items: readonly ImportedItem[]) =>
    items.map(({ where, effect, issues }) => `${where} ${effect} ${issues.map(({ code }) => code)}`);
  expect(codes(await imported(patient('t1'), patient('t2'), patient('t1', { active: true })))).toEqual([
    'course.json entry[0] refused informational',
    'course.json entry[1] refused informational',
    'course.json entry[2] refused duplicate',
  ]);
  const nowhere = { link: [{ other: { reference: 'Patient/nowhere' }, type: 'seealso' }] };
  expect(codes(await imported(patient('t1'), patient('t2', nowhere)))).toEqual([
    'course.json entry[0] refused informational',
    'course.json entry[1] refused not-found',
  ]);
  await expect(clinic.record.read('Patient', 't1')).rejects.toMatchObject({ code: 'not-found' });
});

test('entries of two Bundles with one urn:uuid are two things: the later one is refused, and replaces nothing', async () => {
  const fullUrl = 'urn:uuid:00000000-0000-4000-8000-000000000001';
  const imported = async (...resources: readonly Resource[]) => {
    const entry = resources.map((resource) => ({ fullUrl, resource }));
    const [unit] = unitsOf({ resourceType: 'Bundle', type: 'collection', entry }, (at) => `entry[${at}]`, rules);
    if (unit === undefined) throw new Error('a Bundle with entries is a unit');
    return importUnit(clinic.record, unit, writeContext('batch'), { dryRun: false, repeats: new ImportRepeats() });
  };
  const here = { resourceType: 'Patient', gender: 'female' } as Resource;
  expect(await imported(here)).toMatchObject([{ effect: 'created' }]);
  expect(await imported(here)).toMatchObject([{ effect: 'unchanged' }]);
  const [other] = await imported({ resourceType: 'Patient', gender: 'male' } as Resource);
  expect(other).toMatchObject({ effect: 'refused', issues: [{ code: 'conflict' }] });
  expect(other?.issues[0]?.diagnostics).toContain('another Bundle');
  expect(await versions('00000000-0000-4000-8000-000000000001')).toBe(1);
});
