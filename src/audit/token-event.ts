/** The AuditEvent of a token that was issued: to whom, for what, until when; never the token. */
import { uuidv7 } from '../fhir/uuid.ts';
import { type AuditRow, coding } from './event.ts';

export type IssuedToken = {
  readonly clinic: string;
  /** The FHIR base the token is for. */
  readonly base: string;
  readonly clientId: string;
  /** jti */
  readonly tokenId: string;
  readonly scope: string;
  /** Seconds since 1970. */
  readonly expiresAt: number;
};

const DCM = 'http://dicom.nema.org/resources/ontology/DCM';

/** Issued by an operator at the command line, not through a token endpoint: so the shape of ITI-71 without its profile. */
export function tokenIssued(issued: IssuedToken, now: Date): AuditRow {
  const eventId = uuidv7(now);
  const recorded = now.toISOString();
  const request = `grant=operator client_id=${issued.clientId} scope=${issued.scope} exp=${issued.expiresAt}`;
  const body = `{"resourceType":"AuditEvent","id":"${eventId}","type":${coding(DCM, '110114')},"subtype":[${coding('urn:ihe:event-type-code', 'ITI-71')}],"action":"E","recorded":"${recorded}","outcome":"0","agent":[{"type":{"coding":[${coding(DCM, '110150')}]},"who":{"identifier":{"value":"${issued.clientId}"}},"requestor":true,"policy":["urn:ietf:params:oauth:jti:${issued.tokenId}"]},{"type":{"coding":[${coding(DCM, '110152')}]},"who":{"identifier":{"value":"${issued.base}"}},"requestor":false,"network":{"address":"${issued.base}","type":"5"}}],"source":{"site":"${issued.clinic}","observer":{"identifier":{"value":"${issued.base}"}},"type":[${coding('http://terminology.hl7.org/CodeSystem/security-source-type', '6')}]},"entity":[{"type":${coding('http://terminology.hl7.org/CodeSystem/audit-entity-type', '2')},"role":${coding('http://terminology.hl7.org/CodeSystem/object-role', '24')},"query":"${Buffer.from(request).toString('base64')}"}]}`;
  return {
    eventId,
    recorded,
    patientId: null,
    agent: issued.clientId,
    type: '110114',
    subtype: 'ITI-71',
    action: 'E',
    outcome: 0,
    requestId: issued.tokenId,
    body,
  };
}
