import type { AuditEvent } from '@medplum/fhirtypes';
import fc from 'fast-check';
import { type AuditRow, restEvent } from '../../src/audit/event.ts';
import type { AuditReader, AuditSearch, RecordedEvent } from '../../src/audit/reader.ts';
import { sharedEvent } from '../../src/audit/shared-event.ts';
import { createAuditReader, createAuditTrail } from '../../src/postgres/audit.ts';
import { createClinicPool } from '../../src/postgres/pool.ts';
import { createTestDatabase, type TestDatabase } from '../postgres.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

function context() {
  return {
    context: {
      requestId: 'req-1',
      clinic: 'default',
      observer: 'http://127.0.0.1:8080/fhir',
      agent: { clientId: 'ehr-1', tokenId: 'jti-1', address: '127.0.0.1' },
    },
  };
}

function row(patientId: string | null, at = new Date()): AuditRow {
  const entities = [{ type: 'Observation', id: 'o1', version: 1 }];
  return restEvent({ ...context(), interaction: 'read', action: 'R', outcome: 0, patientId, entities }, at);
}

async function storedBodies(rows: readonly AuditRow[]): Promise<Map<string, string>> {
  const ids = rows.map(({ eventId }) => eventId);
  const { rows: found } = await database
    .clinicPool()
    .query<{ event_id: string; body: string }>(
      'select event_id, body from audit_event where event_id = any($1::uuid[])',
      [ids],
    );
  return new Map(found.map(({ event_id, body }) => [event_id, body]));
}

test('whatever comes at the same time, each row is there when its own request is answered, byte for byte', async () => {
  const trail = createAuditTrail(database.clinicPool());
  const patient = fc.option(fc.constantFrom('p1', 'p2'), { nil: null });
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(patient, { maxLength: 5 }), { minLength: 1, maxLength: 40 }),
      async (requests) => {
        const all = requests.map((patients) => patients.map((patientId) => row(patientId)));
        await Promise.all(
          all.map(async (rows) => {
            await trail.record(rows);
            const stored = await storedBodies(rows);
            for (const { eventId, body } of rows) expect(stored.get(eventId)).toBe(body);
          }),
        );
        expect(trail.waiting()).toBe(0);
      },
    ),
    { numRuns: 15 },
  );
});

test('two thousand requests at once share a few commits, and every one has its row', async () => {
  const pool = database.clinicPool();
  const trail = createAuditTrail(pool);
  const rows = Array.from({ length: 2000 }, () => row('p3'));
  const before = await insertions();
  await Promise.all(rows.map((each) => trail.record(each)));
  expect((await storedBodies(rows)).size).toBe(2000);
  expect((await insertions()) - before).toBeLessThan(50);
});

/** Transactions that inserted something, by the number of different transaction ids in the table. */
async function insertions(): Promise<number> {
  const { rows } = await database
    .clinicPool()
    .query<{ n: string }>('select count(distinct xmin::text) as n from audit_event');
  return Number(rows[0]?.n);
}

test('a row that cannot be written rejects as transient, and later ones are written again', async () => {
  const pool = createClinicPool(database.url, 'nowhere');
  try {
    await expect(createAuditTrail(pool).record(row('p1'))).rejects.toMatchObject({ code: 'transient' });
  } finally {
    await pool.end();
  }
  const trail = createAuditTrail(database.clinicPool());
  const good = row('p1');
  await expect(trail.record({ ...row('p1'), eventId: 'not a uuid' })).rejects.toMatchObject({ code: 'transient' });
  await trail.record(good);
  expect((await storedBodies([good])).size).toBe(1);
});

test('pages of the audit trail are complete and without repeats, newest first, shared rows included', async () => {
  const trail = createAuditTrail(database.clinicPool());
  const reader = createAuditReader(database.clinicPool());
  const start = new Date('2026-01-01T00:00:00Z').getTime();
  const search = {
    ...context(),
    interaction: 'search-type',
    action: 'E',
    outcome: 0,
    entities: [],
    query: 'GET x',
  } as const;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.uniqueArray(fc.constantFrom('q1', 'q2', 'q3', 'q4'), { maxLength: 4 }), {
        minLength: 1,
        maxLength: 12,
      }),
      fc.integer({ min: 1, max: 5 }),
      fc.option(fc.constantFrom('q1', 'q2'), { nil: undefined }),
      fc.nat(1_000_000),
      async (searches, count, patientId, minute) => {
        const from = new Date(start + minute * 60_000);
        // Several within one millisecond: the order among them must be stable too.
        const rows = searches.map((patients, i) =>
          sharedEvent(search, patients, new Date(from.getTime() + Math.floor(i / 3))),
        );
        const earlier = await allPages(reader, { from, before: new Date(from.getTime() + 60_000), count: 1000 });
        await trail.record(rows);
        const seen = await allPages(reader, {
          from,
          before: new Date(from.getTime() + 60_000),
          count,
          ...(patientId && { patientId }),
        });
        const expected = searches.flatMap((patients) => (patients.length === 0 ? [null] : patients));
        const about = expected.filter((each) => patientId === undefined || each === patientId);
        const known = new Set(earlier.map(({ id }) => id));
        const fresh = seen.filter(({ id }) => !known.has(id));
        expect(new Set(seen.map(({ id }) => id)).size).toBe(seen.length);
        expect(fresh.map(({ body }) => patientIn(body) ?? '').sort()).toEqual(about.map((each) => each ?? '').sort());
        for (const { id, body } of fresh) {
          expect((JSON.parse(body) as AuditEvent).id).toBe(id);
          expect(await reader.read(id)).toBe(body);
        }
      },
    ),
    { numRuns: 25 },
  );
});

async function allPages(reader: AuditReader, search: AuditSearch): Promise<RecordedEvent[]> {
  const { events, next } = await reader.search(search);
  return next === undefined ? [...events] : [...events, ...(await allPages(reader, { ...search, after: next }))];
}

function patientIn(body: string): string | undefined {
  const { entity } = JSON.parse(body) as AuditEvent;
  return entity?.find(({ type }) => type?.code === '1')?.what?.reference?.slice('Patient/'.length);
}

test('what was recorded cannot be changed or removed', async () => {
  const pool = database.clinicPool();
  await createAuditTrail(pool).record(row('p1'));
  for (const statement of ["update audit_event set body = ''", 'delete from audit_event', 'truncate audit_event']) {
    await expect(pool.query(statement)).rejects.toThrow(/append only/);
  }
});
