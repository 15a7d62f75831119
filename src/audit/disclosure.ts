/**
 * The AuditEvent of one request to an EHR: what was disclosed about whom, to whom, and what is known of the outcome.
 *
 * BALP PrivacyDisclosure.Source, claimed for successes only. A request whose answer is not known counts as a
 * disclosure. Identifiers and references only.
 *
 * @see https://profiles.ihe.net/ITI/BALP/StructureDefinition-IHE.BasicAudit.PrivacyDisclosure.Source.html
 */
import { uuidv7 } from '../fhir/uuid.ts';
import type { AuditRow } from './event.ts';

export type Disclosure = {
  /** What was asked of the EHR. */
  readonly interaction: 'create' | 'update' | 'read' | 'search-type';
  readonly outcome: 0 | 4 | 8;
  /** For outcomes other than 0; no content. */
  readonly description: string;
  readonly targetId: string;
  /** FHIR base of the EHR. */
  readonly baseUrl: string;
  readonly patientId: string;
  readonly deliveryId: string;
  readonly attemptNo: number;
  /** Absent when only an identifier was asked for. */
  readonly sent?: {
    /** 'Type/id/_history/version' */
    readonly reference: string;
    readonly securityLabels: readonly object[];
    readonly sha256: Buffer | null;
  };
};

const DCM = 'http://dicom.nema.org/resources/ontology/DCM';
const OBJECT_ROLE = 'http://terminology.hl7.org/CodeSystem/object-role';
const ENTITY_TYPE = 'http://terminology.hl7.org/CodeSystem/audit-entity-type';
const PROFILE = 'https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.PrivacyDisclosure.Source';
const TREATMENT = { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/v3-ActReason', code: 'TREAT' }] };

/** @param observer our FHIR base */
export function disclosureEvent(facts: Disclosure, clinic: string, observer: string, now: Date): AuditRow {
  const eventId = uuidv7(now);
  const recorded = now.toISOString();
  const requestId = `${facts.deliveryId}.${facts.attemptNo}`;
  const service = { identifier: { value: observer } };
  const body = {
    resourceType: 'AuditEvent',
    id: eventId,
    ...(facts.outcome === 0 ? { meta: { profile: [PROFILE] } } : {}),
    type: { system: DCM, code: '110106', display: 'Export' },
    subtype: [
      { system: 'http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle', code: 'disclose' },
      { system: 'http://hl7.org/fhir/restful-interaction', code: facts.interaction },
    ],
    action: 'R',
    recorded,
    outcome: String(facts.outcome),
    ...(facts.outcome === 0 ? {} : { outcomeDesc: facts.description }),
    purposeOfEvent: [TREATMENT],
    agent: [
      {
        type: { coding: [{ system: DCM, code: '110153' }] },
        who: service,
        requestor: true,
        network: { address: observer, type: '5' },
        purposeOfUse: [TREATMENT],
      },
      {
        type: { coding: [{ system: DCM, code: '110152' }] },
        who: { identifier: { value: facts.targetId } },
        requestor: false,
        network: { address: facts.baseUrl, type: '5' },
      },
    ],
    source: {
      site: clinic,
      observer: service,
      type: [{ system: 'http://terminology.hl7.org/CodeSystem/security-source-type', code: '4' }],
    },
    entity: [
      {
        what: { reference: `Patient/${facts.patientId}` },
        type: { system: ENTITY_TYPE, code: '1' },
        role: { system: OBJECT_ROLE, code: '1' },
      },
      ...(facts.sent === undefined ? [] : [sentEntity(facts.sent)]),
      {
        what: { identifier: { value: requestId } },
        type: { system: 'https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType', code: 'XrequestId' },
      },
    ],
  };
  return {
    eventId,
    recorded,
    patientId: facts.patientId,
    agent: 'system',
    type: '110106',
    subtype: 'disclose',
    action: 'R',
    outcome: facts.outcome,
    requestId,
    body: JSON.stringify(body),
  };
}

function sentEntity({ reference, securityLabels, sha256 }: NonNullable<Disclosure['sent']>): object {
  return {
    what: { reference },
    type: { system: ENTITY_TYPE, code: '2' },
    role: { system: OBJECT_ROLE, code: '4' },
    ...(securityLabels.length === 0 ? {} : { securityLabel: securityLabels }),
    ...(sha256 === null ? {} : { detail: [{ type: 'sha256 of the payload', valueString: sha256.toString('hex') }] }),
  };
}
