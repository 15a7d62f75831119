import fc from 'fast-check';
import { type AuditRow, restEvent } from '../../src/audit/event.ts';
import { createAuditReader, createAuditTrail } from '../../src/postgres/audit.ts';
import { createClinicPool } from '../../src/postgres/pool.ts';
import { createTestDatabase, type TestDatabase } from '../postgres.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

function row(patientId: string | null, at = new Date()): AuditRow {
  return restEvent(
    {
      context: {
        requestId: 'req-1',
        clinic: 'default',
        observer: 'http://127.0.0.1:8080/fhir',
        agent: { clientId: 'ehr-1', tokenId: 'jti-1', address: '127.0.0.1' },
      },
      interaction: 'read',
      action: 'R',
      outcome: 0,
      patientId,
      entities: [{ type: 'Observation', id: 'o1', version: 1 }],
    },
    at,
  );
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

test('pages of the audit trail are complete and without repeats, newest first', async () => {
  const trail = createAuditTrail(database.clinicPool());
  const reader = createAuditReader(database.clinicPool());
  const at = new Date('2026-01-01T00:00:00Z');
  // Several within one millisecond: the order among them must be stable too.
  const rows = Array.from({ length: 25 }, (_, i) => row('p-pages', new Date(at.getTime() + Math.floor(i / 4))));
  await trail.record(rows);
  const seen: string[] = [];
  let after: { recorded: string; id: string } | undefined;
  do {
    const page = await reader.search({ patientId: 'p-pages', count: 4, ...(after === undefined ? {} : { after }) });
    seen.push(...page.events.map(({ id }) => id));
    after = page.next;
  } while (after !== undefined);
  expect(seen).toHaveLength(25);
  expect(new Set(seen)).toEqual(new Set(rows.map(({ eventId }) => eventId)));
});

test('what was recorded cannot be changed or removed', async () => {
  const pool = database.clinicPool();
  await createAuditTrail(pool).record(row('p1'));
  for (const statement of ["update audit_event set body = ''", 'delete from audit_event', 'truncate audit_event']) {
    await expect(pool.query(statement)).rejects.toThrow(/append only/);
  }
});
