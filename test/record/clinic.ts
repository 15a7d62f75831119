/** A clinic's record on a database of its own, joined as the service joins it. */
import { loadDefinitions } from '../../src/fhir/definitions.ts';
import { profileStore } from '../../src/postgres/profiles.ts';
import { createRecordStore } from '../../src/postgres/record-store.ts';
import { openClinicProfiles } from '../../src/record/clinic-profiles.ts';
import { createRecord } from '../../src/record/create-record.ts';
import type { RecordParts } from '../../src/record/drafts.ts';
import { fhirParts, recordParts } from '../../src/record/open-record.ts';
import type { ClinicRecord, WriteContext } from '../../src/record/record.ts';
import { createTestDatabase, type TestDatabase } from '../postgres.ts';

export const fhir = fhirParts(loadDefinitions());

export const BASE = 'http://127.0.0.1:8080/fhir';

export type TestClinic = {
  readonly database: TestDatabase;
  readonly parts: RecordParts;
  readonly record: ClinicRecord;
};

/** `now` is what the record takes for the present; the real one when absent. */
export async function openTestClinic(now?: () => Date): Promise<TestClinic> {
  const database = await createTestDatabase();
  const pool = database.clinicPool();
  const store = createRecordStore({
    clinic: 'default',
    pool,
    cursorKey: Buffer.alloc(32, 7),
    registry: fhir.registry,
  });
  const profiles = await openClinicProfiles(profileStore(pool), fhir.profiles);
  const parts = recordParts({ clinic: 'default', store, fhir, profiles, baseUrls: [BASE], ...(now ? { now } : {}) });
  return { database, parts, record: createRecord(parts) };
}

export function writeContext(interaction = 'create'): WriteContext {
  return {
    interaction,
    requestId: 'test-request',
    clinic: 'default',
    observer: BASE,
    agent: { clientId: 'test-client', tokenId: 'test-token', address: '127.0.0.1' },
  };
}
