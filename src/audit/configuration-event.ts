/**
 * The AuditEvent of a change to the clinic's configuration: a security-relevant change ("Security Alert"), of its network
 * or of its software. It says what was changed by whom, and a digest; never a secret.
 */
import { uuidv7 } from '../fhir/uuid.ts';
import { type AuditRow, coding } from './event.ts';

export type ConfigurationChange = {
  readonly action: 'C' | 'U' | 'D';
  readonly kind: 'network' | 'software';
  /** What is configured: a target, a package, a profile. */
  readonly subject: string;
  readonly what: string;
  readonly by: string;
  readonly clinic: string;
  /** Our FHIR base. */
  readonly observer: string;
  /** SHA-256 of what is then in force, in hex. */
  readonly after?: string;
};

const DCM = 'http://dicom.nema.org/resources/ontology/DCM';
const CODES = { network: '110128', software: '110131' } as const;

export function configurationChanged(change: ConfigurationChange, now: Date): AuditRow {
  const eventId = uuidv7(now);
  const recorded = now.toISOString();
  const subtype = CODES[change.kind];
  const service = { identifier: { value: change.observer } };
  const details = [{ type: 'change', valueString: change.what }];
  if (change.after !== undefined) details.push({ type: 'sha256 after', valueString: change.after });
  const body = {
    resourceType: 'AuditEvent',
    id: eventId,
    type: JSON.parse(coding(DCM, '110113')),
    subtype: [JSON.parse(coding(DCM, subtype))],
    action: change.action,
    recorded,
    outcome: '0',
    agent: [
      {
        type: { coding: [{ system: DCM, code: '110150' }] },
        who: { identifier: { value: change.by } },
        requestor: true,
      },
      { type: { coding: [{ system: DCM, code: '110152' }] }, who: service, requestor: false },
    ],
    source: { site: change.clinic, observer: service },
    entity: [
      {
        what: { identifier: { value: change.subject } },
        type: { system: 'http://terminology.hl7.org/CodeSystem/audit-entity-type', code: '2' },
        role: { system: 'http://terminology.hl7.org/CodeSystem/object-role', code: '13' },
        detail: details,
      },
    ],
  };
  return {
    eventId,
    recorded,
    patientId: null,
    agent: change.by,
    type: '110113',
    subtype,
    action: change.action,
    outcome: 0,
    requestId: eventId,
    body: JSON.stringify(body),
  };
}
