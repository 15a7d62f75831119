/**
 * What searches read, in pages of PostgreSQL's buffer: a page deep in a result costs what the first costs, and what finds
 * little reads little, however large the clinic is. Nothing here depends on the clock.
 */
import { randomBytes } from 'node:crypto';
import type { Resource } from '@medplum/fhirtypes';
import type { Pool } from 'pg';
import { parseSearch } from '../../src/fhir/search/query.ts';
import { search } from '../../src/postgres/search/search.ts';
import { createTestDatabase, type TestDatabase } from '../postgres.ts';
import { registry, searchWriter, terminology } from './search-writer.ts';

const options = { cursorKey: randomBytes(32), terminology };
const PATIENTS = 60;
const SESSIONS = 40;
let database: TestDatabase;
/** One connection: what it has read is known once it says so. */
let pool: Pool;

beforeAll(async () => {
  database = await createTestDatabase();
  pool = database.clinicPool('default', { max: 1 });
  const { write } = searchWriter(pool, clock());
  for (let p = 0; p < PATIENTS; p++) await write(chart(p));
  await pool.query('analyze');
});
afterAll(() => database.drop());

/** A second for each resource. */
function clock(): () => number {
  let now = Date.parse('2026-01-01T00:00:00Z');
  return () => {
    now += 1000;
    return now;
  };
}

const coding = (code: string) => ({ coding: [{ system: 's', code }] });

function chart(p: number): Resource[] {
  const subject = { reference: `Patient/p${p}` };
  const resources: unknown[] = [
    {
      resourceType: 'Patient',
      id: `p${p}`,
      identifier: [{ system: 'mrn', value: `${p}` }],
      name: [{ family: `Name${p}` }],
      gender: p % 2 === 0 ? 'male' : 'female',
    },
  ];
  for (let s = 0; s < SESSIONS; s++) {
    const at = new Date(Date.UTC(2025, 0, 1 + s * 7 + (p % 7), 9, p)).toISOString();
    const encounter = { reference: `Encounter/e${p}-${s}` };
    resources.push({
      resourceType: 'Encounter',
      id: `e${p}-${s}`,
      status: 'finished',
      class: { code: 'AMB' },
      subject,
      period: { start: at, end: at },
    });
    for (let o = 0; o < 4; o++) {
      const rare = p === 7 && s === 7 && o === 0;
      resources.push({
        resourceType: 'Observation',
        id: `o${p}-${s}-${o}`,
        status: o === 3 ? 'amended' : 'final',
        code: coding(rare ? 'rare' : `c${o}`),
        subject,
        encounter,
        effectiveDateTime: at,
        valueQuantity: { value: s * 4 + o, system: 'http://unitsofmeasure.org', code: 'mg', unit: 'mg' },
      });
    }
  }
  return resources as Resource[];
}

async function read(): Promise<number> {
  await pool.query('select pg_stat_force_next_flush()');
  const { rows } = await pool.query<{ pages: string }>(
    `select sum(heap_blks_read + heap_blks_hit + coalesce(idx_blks_read, 0) + coalesce(idx_blks_hit, 0)) as pages
       from pg_statio_user_tables`,
  );
  return Number(rows[0]?.pages);
}

async function pageOf(url: string, cursor?: string) {
  const [type = '', text = ''] = url.split('?');
  const params = [...new URLSearchParams(text), ...(cursor === undefined ? [] : [['_cursor', cursor] as const])];
  return search(pool, parseSearch(type, params as [string, string][], registry, { strict: true }), options);
}

/** Pages read by one answer, once its plan is known. */
async function cost(url: string, cursor?: string): Promise<number> {
  for (let i = 0; i < 3; i++) await pageOf(url, cursor);
  const before = await read();
  await pageOf(url, cursor);
  return (await read()) - before;
}

async function cursorOf(url: string, pages: number): Promise<string> {
  let cursor: string | undefined;
  for (let i = 0; i < pages; i++) cursor = (await pageOf(url, cursor)).next;
  if (cursor === undefined) throw new Error(`${url} has no ${pages} pages`);
  return cursor;
}

test.each([
  'Observation?',
  'Observation?code=c1',
  'Observation?code=c1,c2',
  'Observation?code:not=c1',
  'Observation?status=final&_sort=-date',
  'Observation?_sort=-date',
  'Observation?_sort=date,status',
  'Observation?_sort=status',
  'Observation?_sort=-code',
  'Observation?_sort=value-quantity',
  'Observation?_sort=-value-quantity,_id',
  'Observation?_sort=subject',
  'Observation?_sort=-patient',
  'Observation?_sort=_id',
  'Observation?_sort=-_lastUpdated',
  'Observation?patient.gender=male',
  'Observation?date=ge2025-02-01',
  '?_type=Patient,Observation,Encounter',
  '?_type=Patient,Observation,Encounter&_sort=-_lastUpdated',
])('a page deep in %s costs what the first costs', async (url) => {
  const paged = `${url}&_count=10`;
  const first = await cost(paged);
  const deep = await cost(paged, await cursorOf(paged, 150));
  expect(deep).toBeLessThanOrEqual(first * 2 + 50);
});

test.each([
  ['Observation?code=rare', 40],
  ['Observation?code=rare&_sort=-date', 80],
  ['Observation?code=rare&status=final&_sort=status', 80],
  ['Patient?_has:Observation:patient:code=rare', 40],
  ['Patient?_has:Observation:patient:code=rare&_sort=-_lastUpdated', 60],
  ['Encounter?_has:Observation:encounter:code=rare', 40],
  ['Observation?patient.identifier=mrn|7&_count=1', 1200],
  ['Observation?patient.name=name7&code=rare', 2500],
  ['Patient?identifier=mrn|7', 40],
  ['Patient?name=name7', 40],
  ['Observation?value-quantity=0.031|http://unitsofmeasure.org|g&code=rare', 40],
])('%s reads little of the clinic', async (url, most) => {
  expect(await cost(url)).toBeLessThanOrEqual(most);
});
