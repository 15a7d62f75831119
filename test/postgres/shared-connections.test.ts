/** Small statements of many requests on a few connections. */
import { sharedConnections } from '../../src/postgres/shared-connections.ts';
import { createTestDatabase, type TestDatabase } from '../postgres.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

const pidOf = 'select pg_backend_pid() as pid';

test('statements that come together share the connections, and each has its own answer', async () => {
  const pool = database.clinicPool();
  const shared = sharedConnections(pool, 2);
  const asked = Array.from({ length: 50 }, (_, n) => n);
  const answers = await Promise.all(
    asked.map((n) => shared.query<{ n: number; pid: number }>({ text: `${pidOf}, $1::integer as n`, values: [n] })),
  );
  expect(answers.map(({ rows }) => rows[0]?.n)).toEqual(asked);
  expect(new Set(answers.map(({ rows }) => rows[0]?.pid)).size).toBe(2);
  expect(pool.idleCount).toBe(pool.totalCount);
});

test('a statement that fails leaves those beside it alone', async () => {
  const shared = sharedConnections(database.clinicPool(), 1);
  const [before, failing, after] = await Promise.allSettled([
    shared.query({ text: 'select 1 as one' }),
    shared.query({ text: 'select 1 / 0' }),
    shared.query({ text: 'select 2 as two' }),
  ]);
  expect(before).toMatchObject({ value: { rows: [{ one: 1 }] } });
  expect(failing).toMatchObject({ reason: { code: '22012' } });
  expect(after).toMatchObject({ value: { rows: [{ two: 2 }] } });
});

test('a connection that is lost is replaced for the next statement', async () => {
  const pool = database.clinicPool();
  const shared = sharedConnections(pool, 1);
  const { rows } = await shared.query<{ pid: number }>({ text: pidOf });
  const [lost] = await Promise.allSettled([
    shared.query({ text: 'select pg_sleep(60)' }),
    database.pool.query('select pg_terminate_backend($1)', [rows[0]?.pid]),
  ]);
  expect(lost.status).toBe('rejected');
  expect((await shared.query({ text: 'select 3 as three' })).rows).toEqual([{ three: 3 }]);
});
