import { randomBytes } from 'node:crypto';
import type { Resource } from '@medplum/fhirtypes';
import { parseSearch } from '../../src/fhir/search/query.ts';
import { rebuildSearchRows } from '../../src/postgres/search/rebuild.ts';
import { search } from '../../src/postgres/search/search.ts';
import { createTestDatabase, type TestDatabase } from '../postgres.ts';
import { extractors, registry, searchWriter, terminology } from './search-writer.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

const ids = async (text: string) => {
  const query = parseSearch('Observation', [...new URLSearchParams(text)], registry, { strict: true });
  const { matches } = await search(database.clinicPool(), query, { cursorKey: randomBytes(32), terminology });
  return matches.map(({ id }) => id);
};

test('rows that another extraction made are made anew at the start, once', async () => {
  const pool = database.clinicPool();
  const { write, remove } = searchWriter(pool);
  const code = { coding: [{ system: 's', code: 'a', display: 'Alpha' }] };
  const component = [{ code, valueQuantity: { value: 3, system: 'http://unitsofmeasure.org', code: 'mg' } }];
  const observation = (id: string) =>
    ({ resourceType: 'Observation', id, status: 'final', code, component }) as Resource;
  await write(Array.from({ length: 1100 }, (_, i) => observation(`o${i}`)));
  await remove('Observation', 'o7');
  await pool.query('update idx_token set element = 9');
  await pool.query('delete from token_text');
  await pool.query('delete from idx_quantity');
  expect(await ids('component-code-value-quantity=a$3&_id=o3')).toEqual([]);

  const [one, other] = await Promise.all([rebuildSearchRows(pool, extractors), rebuildSearchRows(pool, extractors)]);
  expect([one, other].sort()).toEqual([0, 1099]);
  expect(await ids('component-code-value-quantity=a$3&_id=o3,o7')).toEqual(['o3']);
  expect(await ids('code:text=alpha&_id=o1099')).toEqual(['o1099']);
  expect(await rebuildSearchRows(pool, extractors)).toBe(0);
});

test('a clinic without resources needs no rows', async () => {
  const empty = await createTestDatabase();
  expect(await rebuildSearchRows(empty.clinicPool(), extractors)).toBe(0);
  await empty.drop();
});
