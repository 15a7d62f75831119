/**
 * What holds for every history of one patient at one EHR: whatever is recorded, whatever the EHR does and whenever the
 * lane is woken, every delivery ends, nothing is created twice, and the EHR sees the versions in their order.
 */
import fc from 'fast-check';
import { deliveryLedger } from '../../src/postgres/delivery-ledger.ts';
import { createTestDatabase, type TestDatabase } from '../postgres.ts';
import { type Clinic, CONTEXT, encounter, observation, openClinic, patient, registered } from './clinic.ts';
import { type EhrStandIn, type Fault, type Json, startEhrStandIn } from './ehr-stand-in.ts';

let database: TestDatabase;
let ehr: EhrStandIn;

beforeAll(async () => {
  database = await createTestDatabase();
  ehr = await startEhrStandIn();
});
afterAll(async () => {
  await ehr.close();
  await database.drop();
});

type Step = { readonly record: 'visit' | 'value' | 'other visit'; readonly inError: boolean } | 'wake';

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.constant('wake' as const) },
  {
    weight: 2,
    arbitrary: fc.record({
      record: fc.constantFrom('visit', 'value', 'other visit'),
      inError: fc.boolean(),
    }),
  },
);

const mishap: fc.Arbitrary<Fault | undefined> = fc.constantFrom<(Fault | undefined)[]>(
  undefined,
  undefined,
  undefined,
  'drop-request',
  'drop-answer',
  'store-then-500',
  { status: 500 },
  { status: 503 },
  { status: 429, headers: { 'retry-after': '0' } },
  { status: 401 },
  { status: 403 },
  { status: 409 },
  { status: 422, body: '{}' },
  { status: 423 },
  { answerWith: { status: 202, body: '' } },
  { answerWith: { status: 200, headers: { 'content-type': 'text/html' }, body: '<html>' } },
);

const ALLOWED_ENDS = ['accepted', 'superseded', 'withheld', 'cancelled', 'dead-letter'];

test('every history ends, creates nothing twice and keeps the order', async () => {
  let run = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 4, maxLength: 16 }),
      fc.array(mishap, { maxLength: 12 }),
      fc.constantFrom(1 as const, 2 as const, 3 as const),
      async (steps, mishaps, tier) => {
        run += 1;
        const clinic = openClinic(database.clinicPool());
        try {
          await history(clinic, `p${run}`, steps, mishaps, tier);
        } finally {
          await clinic.close();
        }
      },
    ),
    { numRuns: 40, interruptAfterTimeLimit: 40_000, markInterruptAsFailure: false },
  );
});

async function history(
  clinic: Clinic,
  patientId: string,
  steps: readonly Step[],
  mishaps: readonly (Fault | undefined)[],
  tier: 1 | 2 | 3,
): Promise<void> {
  ehr.options = {};
  ehr.ledger.length = 0;
  ehr.register(registered(patientId));
  await clinic.pool.query('update ehr_target set disabled_at = now()');
  await clinic.record(patient(patientId));
  const types = { Encounter: { tier, whenDead: 'pass' }, Observation: { tier } };
  const target = await clinic.addTarget(ehr, { types, settleSeconds: 0, requestTimeoutSeconds: 1 });

  const queue = [...mishaps];
  ehr.options = { fault: () => queue.shift() };
  let version = 0;
  const recorded = new Set<string>();
  for (const each of steps) {
    if (each === 'wake') {
      if (recorded.size > 0) await clinic.work(target, patientId, { maxDeliveries: 1 });
      continue;
    }
    version += 1;
    const id = `${patientId}-${each.record.replace(' ', '-')}`;
    // Only what was recorded before can be an error; and an error stays one.
    const inError = each.inError && recorded.has(id);
    const visit = `${patientId}-visit`;
    const content =
      each.record === 'value'
        ? observation(id, patientId, recorded.has(visit) ? visit : 'none', version)
        : encounter(id, patientId);
    await clinic.record(
      { ...content, language: `x-${version}`, ...(inError ? { status: 'entered-in-error' } : {}) },
      { intent: inError ? 'entered-in-error' : 'put' },
    );
    recorded.add(id);
  }
  // The EHR gets well, and a person lets it receive again.
  ehr.options = {};
  for (let round = 0; round < 3; round += 1) {
    await clinic.parts.targets.resume(target, 'test');
    await clinic.pool.query('update delivery set due_at = now() where ended_at is null');
    await clinic.settle();
  }

  // What refers to a dead letter, or comes after one whose outcome is unknown, waits until a person decided about it.
  const mine = async () => (await clinic.deliveries()).filter((each) => each.target_id === target);
  const open = (await mine()).filter((each) => !ALLOWED_ENDS.includes(each.state));
  // A lane that waits for a person is not woken for ever.
  expect(await clinic.parts.lanes.due(100)).toEqual([]);
  if (open.length > 0) {
    const ledger = deliveryLedger(clinic.pool, CONTEXT);
    const cancelled = await ledger.cancel({ targetId: target, limit: 100 }, { actor: 'test', reason: 'by hand' });
    expect(cancelled.length).toBeGreaterThan(0);
    await clinic.settle();
  }
  const deliveries = await mine();
  for (const each of deliveries) expect(ALLOWED_ENDS).toContain(each.state);

  const creates = new Map<string, number>();
  for (const { identifiers } of ehr.creates()) {
    for (const each of identifiers) creates.set(each, (creates.get(each) ?? 0) + 1);
  }
  for (const [identifier, count] of creates) expect([identifier, count]).toEqual([identifier, 1]);

  const effects = ehr.ledger.filter((each) => each.effect === 'created' || each.effect === 'updated');
  const versionsOf = (entries: typeof effects) =>
    entries.map((each) => Number(String((each.body as Json).language).slice(2)));
  const inOrder = (versions: number[]) => expect(versions).toEqual([...versions].sort((a, b) => a - b));
  for (const identifier of creates.keys())
    inOrder(versionsOf(effects.filter((each) => each.identifiers.includes(identifier))));
  // A value waits for its visit, also when that was refused or replaced by a later version; a visit waits for nobody.
  inOrder(versionsOf(effects.filter((each) => each.type === 'Encounter')));

  for (const type of ['Encounter', 'Observation']) {
    for (const stored of ehr.stored(type).filter((each) => JSON.stringify(each).includes(`-${patientId}-`))) {
      const id = (stored.identifier as { value: string }[])[0]?.value.replace(`${type}-`, '');
      const accepted = deliveries.filter((each) => each.resource_id === id && each.state === 'accepted').at(-1);
      const last = deliveries.filter((each) => each.resource_id === id).at(-1);
      // The last version is there, unless the EHR refused it and a person has to act.
      if (last?.state === 'accepted') expect(accepted?.version_id).toBe(last.version_id);
    }
  }
}
