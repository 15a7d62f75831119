import { createTestDatabase, type TestDatabase } from '../postgres.ts';
import { type Clinic, encounter, observation, openClinic, patient, registered } from './clinic.ts';
import { type EhrStandIn, type Fault, startEhrStandIn } from './ehr-stand-in.ts';

let database: TestDatabase;
let clinic: Clinic;
let ehr: EhrStandIn;
let patientId: string;
let count = 0;

beforeAll(async () => {
  database = await createTestDatabase();
  clinic = openClinic(database.clinicPool());
});
afterAll(async () => {
  await clinic.close();
  await database.drop();
});
beforeEach(async () => {
  ehr = await startEhrStandIn();
  count += 1;
  patientId = `patient-${count}`;
  ehr.register(registered(patientId));
});
afterEach(async () => {
  await database.clinicPool().query("update ehr_target set hold_reason = 'paused', disabled_at = now()");
  await ehr.close();
});

/** Deliveries of this test's target, in order. */
async function mine(target: string) {
  return (await clinic.deliveries()).filter((each) => each.target_id === target);
}
const states = async (target: string) => (await mine(target)).map((each) => each.state);
const firstWrite =
  (fault: Fault, type = 'Encounter') =>
  ({ method, type: asked }: { method: string; type: string }): Fault | undefined => {
    if (method === 'GET' || asked !== type || faulted) return undefined;
    faulted = true;
    return fault;
  };
let faulted = false;
beforeEach(() => {
  faulted = false;
});

test('an encounter and its observation reach the EHR, the reference rewritten to its id', async () => {
  const target = await clinic.addTarget(ehr);
  await clinic.record(patient(patientId));
  await clinic.record(encounter('e1', patientId));
  await clinic.record(observation('o1', patientId, 'e1'));
  await clinic.settle();
  expect(await states(target)).toEqual(['accepted', 'accepted']);
  const [stored] = ehr.stored('Observation');
  const [visit] = ehr.stored('Encounter');
  expect(stored?.encounter).toEqual({ reference: `Encounter/${visit?.id}` });
  expect(stored?.subject).toEqual({ reference: `Patient/${ehr.stored('Patient')[0]?.id}` });
});

test.each([
  ['the EHR never received it', 'drop-request'],
  ['the EHR stored it but its answer was lost', 'drop-answer'],
  ['the EHR stored it and answered 500', 'store-then-500'],
] as const)('a resource is stored once although %s', async (_case, mishap) => {
  for (const tier of [1, 2, 3] as const) {
    faulted = false;
    ehr.options = { fault: firstWrite(mishap) };
    const target = await clinic.addTarget(ehr, { types: { Encounter: { tier } } });
    await clinic.record(patient(patientId));
    await clinic.record(encounter(`e-${mishap}-${tier}`, patientId));
    await clinic.settle();
    expect(await states(target)).toEqual(['accepted']);
    const made = ehr.creates().filter((each) => each.identifiers.includes(`Encounter-e-${mishap}-${tier}`));
    expect(made).toHaveLength(1);
    await clinic.parts.targets.pause(target, 'test');
  }
});
