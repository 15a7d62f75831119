/** A clinic's record for a command, joined as the service joins it. */
import { randomUUID } from 'node:crypto';
import { userInfo } from 'node:os';
import { type Command, InvalidArgumentError } from 'commander';
import type { ClinicProfiles, ProfileOptions } from '../record/clinic-profiles.ts';
import type { RecordParts } from '../record/drafts.ts';
import type { FhirParts } from '../record/open-record.ts';
import type { WriteContext } from '../record/record.ts';
import type { OpenPostgres } from './context.ts';

export type OpenRecord = {
  readonly parts: RecordParts;
  readonly fhir: FhirParts;
  readonly profiles: ClinicProfiles;
  /** Of what a person does at the command line. */
  context(by: string, interaction: string): WriteContext & { readonly by: string };
};

/** Ended with the command. @throws Failure `not-found` without such a clinic */
export async function openRecord(
  { config, clinicPool }: OpenPostgres,
  clinic: string,
  options: ProfileOptions = {},
): Promise<OpenRecord> {
  const [{ openSealing }, { fhirBase }, { loadDefinitions }, { openClinicProfiles }, { fhirParts, recordParts }] =
    await Promise.all([
      import('../access/secrets.ts'),
      import('../fhir/base-url.ts'),
      import('../fhir/definitions.ts'),
      import('../record/clinic-profiles.ts'),
      import('../record/open-record.ts'),
    ]);
  const [{ profileStore }, { createRecordStore }, { sealingFingerprints }, { rebuildSearchRows }] = await Promise.all([
    import('../postgres/profiles.ts'),
    import('../postgres/record-store.ts'),
    import('../postgres/sealing-key.ts'),
    import('../postgres/search/rebuild.ts'),
  ]);
  const pool = await clinicPool(clinic);
  const sealing = await openSealing(config.dataDir, sealingFingerprints(pool));
  const fhir = fhirParts(loadDefinitions());
  await rebuildSearchRows(pool, fhir.extractors);
  const store = createRecordStore({ clinic, pool, registry: fhir.registry, cursorKey: sealing.derive('cursor') });
  const base = fhirBase(config.baseUrl, clinic);
  const baseUrls = [...new Set([base, `${config.baseUrl}/clinics/${clinic}/fhir`])];
  const profiles = await openClinicProfiles(profileStore(pool), fhir.profiles, options);
  return {
    parts: recordParts({ clinic, store, fhir, profiles, baseUrls }),
    fhir,
    profiles,
    context: (by, interaction) => ({
      requestId: randomUUID(),
      clinic,
      observer: base,
      agent: { clientId: by },
      interaction,
      by,
    }),
  };
}

export function clinicOf(command: Command): Command {
  return command.option('--clinic <name>', 'the clinic it is for', 'default');
}

export function operatorOf(command: Command): Command {
  return command.option('--by <person>', 'who does this, for the audit trail', named, userInfo().username);
}

/** An entry of the audit trail that names nobody is none. */
function named(person: string): string {
  if (person.trim() !== '') return person.trim();
  throw new InvalidArgumentError('Say who it is.');
}
