import type { CodeSystem, Resource, ValueSet } from '@medplum/fhirtypes';
import { createClinicPool, type Pool } from '../../src/postgres/pool.ts';
import { terminologyOf } from '../../src/postgres/terminology.ts';
import { openTestClinic, type TestClinic, writeContext } from '../record/clinic.ts';

let clinic: TestClinic;
/** As another process has it. */
let other: Pool;

beforeAll(async () => {
  clinic = await openTestClinic();
  other = createClinicPool(clinic.database.url, 'default');
});
afterAll(async () => {
  await other.end();
  await clinic.database.drop();
});

const put = (resource: Resource) =>
  clinic.record.write(
    [{ method: 'PUT', type: resource.resourceType, id: resource.id as string, resource, place: resource.resourceType }],
    writeContext('update'),
  );
const remove = (type: string, id: string) =>
  clinic.record.write([{ method: 'DELETE', type, id, place: type }], writeContext('delete'));

const URL = 'https://test.example/ValueSet/v';
const valueSet = (id: string, changes: Partial<ValueSet> = {}): ValueSet => ({
  resourceType: 'ValueSet',
  id,
  url: URL,
  status: 'active',
  ...changes,
});
const found = async (pool: Pool, version?: string) =>
  (await (await terminologyOf(pool).open()).find('ValueSet', URL, version))?.id;

test('what one process writes, changes and deletes is what the other finds next', async () => {
  expect(await found(other)).toBeUndefined();
  await put(valueSet('a', { version: '1' }));
  expect(await found(other)).toBe('a');
  await put(valueSet('b', { version: '2' }));
  expect(await found(other)).toBe('b');
  expect(await found(other, '1')).toBe('a');
  await put(valueSet('b', { version: '2', status: 'retired' }));
  expect(await found(other)).toBe('a');
  await remove('ValueSet', 'a');
  expect(await found(other)).toBe('b');
  await remove('ValueSet', 'b');
  expect(await found(other)).toBeUndefined();
});

test('the state is the same object until something of terminology is written', async () => {
  const store = terminologyOf(other);
  const before = await store.open();
  await put({ resourceType: 'Patient', id: 'p' });
  expect(await store.open()).toBe(before);
  await put(valueSet('c'));
  expect(await store.open()).not.toBe(before);
});

test('many who ask while others write each see what was written before they asked', async () => {
  const seen = await Promise.all(
    Array.from({ length: 20 }, async (_, n) => {
      await put(valueSet(`n${n}`, { url: `https://test.example/ValueSet/n${n}` }));
      const resources = await terminologyOf(other).open();
      return (await resources.find('ValueSet', `https://test.example/ValueSet/n${n}`))?.id;
    }),
  );
  expect(seen).toEqual(Array.from({ length: 20 }, (_, n) => `n${n}`));
});

test('what the clinic stores comes before what is shipped, and supplements are found by their system', async () => {
  const gender = 'http://hl7.org/fhir/administrative-gender';
  const own: CodeSystem = {
    resourceType: 'CodeSystem',
    id: 'own',
    url: gender,
    status: 'active',
    content: 'complete',
    concept: [{ code: 'x' }],
  };
  const german: CodeSystem = {
    resourceType: 'CodeSystem',
    id: 'german',
    url: 'https://test.example/german',
    status: 'active',
    content: 'supplement',
    supplements: gender,
    concept: [{ code: 'x', designation: [{ language: 'de', value: 'Iks' }] }],
  };
  const resources = () => terminologyOf(other).open();
  expect((await (await resources()).find('CodeSystem', gender))?.id).toBe('administrative-gender');
  await put(own);
  await put(german);
  expect((await (await resources()).find('CodeSystem', gender))?.id).toBe('own');
  expect((await (await resources()).supplements(gender)).map(({ id }) => id)).toEqual(['german']);
  expect((await (await resources()).byId('CodeSystem', 'own'))?.concept).toEqual([{ code: 'x' }]);
});
