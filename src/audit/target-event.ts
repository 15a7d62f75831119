/**
 * The AuditEvent of a change to an EHR target: a security-relevant change of the configuration (DICOM 110128, network
 * configuration). It says what was changed by whom, and the digests of before and after; never a secret.
 */
import { uuidv7 } from '../fhir/uuid.ts';
import { type AuditRow, coding } from './event.ts';

export type TargetChange = {
  readonly action: 'C' | 'U';
  readonly targetId: string;
  /** 'added', 'revised', 'paused', 'resumed', or a replay of its deliveries. */
  readonly what: string;
  readonly by: string;
  readonly clinic: string;
  /** Our FHIR base. */
  readonly observer: string;
  /** SHA-256 of the configuration without credentials, in hex. */
  readonly after?: string;
};

const DCM = 'http://dicom.nema.org/resources/ontology/DCM';

export function targetChanged(change: TargetChange, now: Date): AuditRow {
  const eventId = uuidv7(now);
  const recorded = now.toISOString();
  const service = { identifier: { value: change.observer } };
  const details = [{ type: 'change', valueString: change.what }];
  if (change.after !== undefined) details.push({ type: 'sha256 after', valueString: change.after });
  const body = {
    resourceType: 'AuditEvent',
    id: eventId,
    type: JSON.parse(coding(DCM, '110113')),
    subtype: [JSON.parse(coding(DCM, '110128'))],
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
        what: { identifier: { value: change.targetId } },
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
    subtype: '110128',
    action: change.action,
    outcome: 0,
    requestId: eventId,
    body: JSON.stringify(body),
  };
}
