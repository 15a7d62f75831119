import { migrate, readMigrations } from '../../src/postgres/migrate.ts';
import { createEmptyDatabase, createTestDatabase, type TestDatabase } from '../postgres.ts';

const copies: TestDatabase[] = [];
afterAll(() => Promise.all(copies.map((copy) => copy.drop())));

async function emptyDatabase(): Promise<TestDatabase> {
  const database = await createEmptyDatabase();
  copies.push(database);
  return database;
}

const file = (name: string, sql: string) => ({ name, sql, digest: `digest of ${sql}` });

test('a copy of the template has all tables of the default clinic', async () => {
  const database = await createTestDatabase();
  copies.push(database);
  const { rows } = await database.clinicPool().query('select name from schema_migration order by name');
  expect(rows.map((row) => row.name)).toEqual(readMigrations().map((migration) => migration.name));
});

test('migrating twice applies nothing the second time', async () => {
  const database = await emptyDatabase();
  const first = await migrate(database.url, { queue: true });
  expect(first.map((report) => report.schema)).toEqual(['clinic_default', 'bullmq']);
  const second = await migrate(database.url, { queue: true });
  expect(second.flatMap((report) => report.applied)).toEqual([]);
});

test('two processes that migrate at once apply each file once', async () => {
  const database = await emptyDatabase();
  const both = await Promise.all([migrate(database.url, { queue: true }), migrate(database.url, { queue: true })]);
  const names = both.flat().flatMap((report) => report.applied);
  expect(names.length).toBe(new Set(names).size);
  expect(names.length).toBe(readMigrations().length + 1);
});

test('each clinic has a schema of its own, and later migrations reach all of them', async () => {
  const database = await emptyDatabase();
  const files = [file('0001-a.sql', 'create table a (id int)')];
  await migrate(database.url, { queue: false, files, clinics: ['default', 'north'] });
  const later = await migrate(database.url, {
    queue: false,
    files: [...files, file('0002-b.sql', 'create table b ()')],
  });
  expect(later).toEqual([
    { schema: 'clinic_default', applied: ['0002-b.sql'] },
    { schema: 'clinic_north', applied: ['0002-b.sql'] },
  ]);
  await database.clinicPool('north').query('insert into a values (1)');
  expect((await database.clinicPool('default').query('select * from a')).rows).toEqual([]);
});

test('a migration that was altered after it was applied is refused', async () => {
  const database = await emptyDatabase();
  await migrate(database.url, { queue: false, files: [file('0001-a.sql', 'create table a ()')] });
  await expect(
    migrate(database.url, { queue: false, files: [file('0001-a.sql', 'create table a (b int)')] }),
  ).rejects.toMatchObject({ code: 'conflict', message: expect.stringContaining('0001-a.sql was changed') });
});

test('a database that is newer than this version is refused', async () => {
  const database = await emptyDatabase();
  const files = [file('0001-a.sql', 'create table a ()'), file('0002-b.sql', 'create table b ()')];
  await migrate(database.url, { queue: false, files });
  await expect(migrate(database.url, { queue: false, files: files.slice(0, 1) })).rejects.toMatchObject({
    code: 'conflict',
  });
});

test('a migration that fails leaves nothing of itself and keeps those before it', async () => {
  const database = await emptyDatabase();
  const files = [file('0001-a.sql', 'create table a ()'), file('0002-b.sql', 'create table b (); select nothing')];
  await expect(migrate(database.url, { queue: false, files })).rejects.toThrow('0002-b.sql');
  const { rows } = await database
    .clinicPool()
    .query("select to_regclass('a') is not null as a, to_regclass('b') is not null as b");
  expect(rows).toEqual([{ a: true, b: false }]);
});
