import { runnerOn } from '../../src/postgres/search/run.ts';
import { Statement } from '../../src/postgres/search/sql.ts';
import { createTestDatabase, type TestDatabase } from '../postgres.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

test('however many shapes of searches there are, a connection keeps a hundred, those of late', async () => {
  const pool = database.clinicPool('default', { max: 1 });
  const run = runnerOn(pool);
  const ask = (i: number) => run<{ n: number }>(`select ${i} as n`, new Statement());
  for (let i = 0; i < 350; i++) {
    for (let times = 0; times < 3; times++) expect(await ask(i)).toEqual([{ n: i }]);
  }
  const { rows } = await pool.query<{ statement: string }>(
    "select statement from pg_prepared_statements where name like 'search-%'",
  );
  expect(rows.length).toBeLessThanOrEqual(101);
  expect(rows.map(({ statement }) => statement)).toContain('select 349 as n');
  expect(rows.map(({ statement }) => statement)).not.toContain('select 7 as n');
  // One that was given up is prepared again when it comes back.
  for (let times = 0; times < 4; times++) expect(await ask(7)).toEqual([{ n: 7 }]);
});
