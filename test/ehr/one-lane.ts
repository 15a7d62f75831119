/** One patient whom the EHR knows, a clinic and an EHR for each test; what the EHR got and what became of it. */
import { createTestDatabase, type TestDatabase } from '../postgres.ts';
import { type Clinic, openClinic, patient, registered } from './clinic.ts';
import { type EhrStandIn, type Fault, type LedgerEntry, startEhrStandIn } from './ehr-stand-in.ts';

export let clinic: Clinic;
export let ehr: EhrStandIn;
export const patientId = 'p1';

/** For the top of a test file. */
export function eachWithOneLane(): void {
  let database: TestDatabase;
  beforeEach(async () => {
    database = await createTestDatabase();
    clinic = openClinic(database.clinicPool());
    ehr = await startEhrStandIn();
    ehr.register(registered(patientId));
    await clinic.record(patient(patientId));
  });
  afterEach(async () => {
    await clinic.close();
    await ehr.close();
    await database.drop();
  });
}

export async function ends(): Promise<[string, string | null][]> {
  return (await clinic.deliveries()).map((each) => [each.state, each.state_reason]);
}

export async function states(): Promise<string[]> {
  return (await clinic.deliveries()).map((each) => each.state);
}

export function writes(type: string): LedgerEntry[] {
  return ehr.ledger.filter((each) => each.type === type && each.method !== 'GET');
}

/** The first write of a type meets the fault, all later requests a good day. */
export function onFirstWrite(fault: Fault, type = 'Encounter'): void {
  let done = false;
  ehr.options = {
    ...ehr.options,
    fault({ method, type: asked }) {
      if (method === 'GET' || asked !== type || done) return undefined;
      done = true;
      return fault;
    },
  };
}

/** Every write of a type meets the fault. */
export function onWrites(fault: Fault, type = 'Encounter'): void {
  const faulty = ({ method, type: asked }: { method: string; type: string }) => method !== 'GET' && asked === type;
  ehr.options = { ...ehr.options, fault: (request) => (faulty(request) ? fault : undefined) };
}
