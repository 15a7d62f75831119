/**
 * AuditEvents of the REST API in the shape of IHE BALP (Basic Audit Log Patterns), as text.
 *
 * Every request leaves one, so they are glued from parts and never go through JSON.stringify as a whole. They carry
 * identifiers and references only: no name, no content, no token. A failure keeps the shape, carries the
 * OperationOutcome and claims no profile.
 *
 * @see https://profiles.ihe.net/ITI/BALP/content.html
 */
import type { Issue } from '../fhir/failure.ts';
import { uuidv7 } from '../fhir/uuid.ts';

/** Who asks, from where, in which request: what every AuditEvent says. */
export type AuditContext = {
  /** X-Request-Id, ours or the caller's. */
  readonly requestId: string;
  readonly clinic: string;
  /** The FHIR base that answers, e.g. 'http://127.0.0.1:8080/fhir'. */
  readonly observer: string;
  readonly agent: {
    /** Client id of the token; 'system' for the service itself. */
    readonly clientId: string;
    /** jti of the token. */
    readonly tokenId?: string;
    /** Network address of the caller. */
    readonly address?: string;
  };
};

/** One row of audit_event; `body` is the AuditEvent as FHIR JSON. */
export type AuditRow = {
  readonly eventId: string;
  readonly recorded: string;
  readonly patientId: string | null;
  readonly agent: string;
  readonly type: string;
  readonly subtype: string;
  readonly action: AuditAction;
  readonly outcome: AuditOutcome;
  readonly requestId: string;
  readonly body: string;
  /** Further patients of the same search, each an event of its own that is made on reading (shared-event.ts). */
  readonly alsoAbout?: readonly string[];
};

export type AuditAction = 'C' | 'R' | 'U' | 'D' | 'E';

/** 0 success, 4 refused (4xx), 8 failed (5xx), 12 the service itself is in trouble. */
export type AuditOutcome = 0 | 4 | 8 | 12;

/** What was touched; without a version where none is known (a refused attempt). */
export type AuditedVersion = { readonly type: string; readonly id: string; readonly version?: number };

export type RestEvent = {
  readonly context: AuditContext;
  /** A code of http://hl7.org/fhir/restful-interaction: 'read', 'search-type', 'transaction', 'operation', … */
  readonly interaction: string;
  readonly action: AuditAction;
  readonly outcome: AuditOutcome;
  /** The one patient concerned: an event about several patients is one event for each. */
  readonly patientId?: string | null;
  /** One entry is the entity[data] of the profiles; several are listed by their resource type. */
  readonly entities: readonly AuditedVersion[];
  /** The request as it came, of searches and operations: method, URL and body, never a credential. */
  readonly query?: string;
  /** The audit trail itself was looked at: type 'Audit Log Used' and not 'RESTful operation'. */
  readonly ofAuditLog?: boolean;
  /** Why it was refused; only with an outcome other than 0. */
  readonly outcomeIssues?: readonly Issue[];
};

/** The row of one REST interaction, success or failure. */
export function restEvent(event: RestEvent, now: Date): AuditRow {
  return restEvents(event, [event.patientId ?? null], now)[0] as AuditRow;
}

/** The same interaction, once for each patient concerned; once without a patient when there is none. */
export function restEvents(event: RestEvent, patientIds: Iterable<string | null>, now: Date): AuditRow[] {
  const { context, interaction, action, outcome } = event;
  const recorded = now.toISOString();
  const type = event.ofAuditLog === true ? '110101' : 'rest';
  const head = `"type":${coding(type === 'rest' ? 'http://terminology.hl7.org/CodeSystem/audit-event-type' : DCM, type)},"subtype":[{"system":"http://hl7.org/fhir/restful-interaction","code":"${interaction}"}],"action":"${action}","recorded":"${recorded}","outcome":"${outcome}",${outcomeDescription(event)}"agent":[${agents(context, action)}],${source(context)},"entity":[${restEntities(event)}${requestEntity(context)}`;
  const contained = containedOutcome(event);
  const rows: AuditRow[] = [];
  for (const patientId of new Set(patientIds)) {
    const eventId = uuidv7(now);
    const patient = patientId === null ? '' : `,${patientEntity(patientId)}`;
    rows.push({
      eventId,
      recorded,
      patientId,
      agent: context.agent.clientId,
      type,
      subtype: interaction,
      action,
      outcome,
      requestId: context.requestId,
      body: `{"resourceType":"AuditEvent","id":"${eventId}",${profileClaim(event, patientId)}${contained}${head}${patient}]}`,
    });
  }
  return rows.length === 0 ? restEvents(event, [null], now) : rows;
}

const DCM = 'http://dicom.nema.org/resources/ontology/DCM';
const PROFILES = 'https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit';

/** The successful interactions for which BALP has a profile; a transaction, an operation or a history has none. */
const profileOf: Readonly<Record<string, string>> = {
  create: 'Create',
  read: 'Read',
  vread: 'Read',
  update: 'Update',
  patch: 'Update',
  delete: 'Delete',
  'search-type': 'Query',
  'search-system': 'Query',
};

function profileClaim(event: RestEvent, patientId: string | null): string {
  const profile = profileOf[event.interaction];
  const isSearch = profile === 'Query';
  const shaped = event.entities.length === (isSearch ? 0 : 1) && (event.query !== undefined) === isSearch;
  if (
    profile === undefined ||
    event.ofAuditLog === true ||
    event.outcome !== 0 ||
    !shaped ||
    event.context.agent.address === undefined
  )
    return '';
  return `"meta":{"profile":["${PROFILES}.${patientId === null ? '' : 'Patient'}${profile}"]},`;
}

function containedOutcome(event: RestEvent): string {
  if (event.outcome === 0 || event.outcomeIssues === undefined || event.outcomeIssues.length === 0) return '';
  const issue = event.outcomeIssues.map(({ severity, code, diagnostics, expression }) => ({
    severity,
    code,
    diagnostics,
    ...(expression === undefined ? {} : { expression: [expression] }),
  }));
  return `"contained":[{"resourceType":"OperationOutcome","id":"outcome","issue":${JSON.stringify(issue)}}],`;
}

function outcomeDescription(event: RestEvent): string {
  const first = event.outcomeIssues?.[0];
  return event.outcome === 0 || first === undefined ? '' : `"outcomeDesc":${JSON.stringify(first.diagnostics)},`;
}

/**
 * Which side sent and which received: a query, create or update flows from the client to us, a read from us to the
 * client, and a deletion has an application and a custodian.
 */
function agents(context: AuditContext, action: AuditAction): string {
  const [client, server] =
    action === 'R'
      ? [coding(DCM, '110152'), coding(DCM, '110153')]
      : action === 'D'
        ? [
            coding(DCM, '110150'),
            coding('http://terminology.hl7.org/CodeSystem/provenance-participant-type', 'custodian'),
          ]
        : [coding(DCM, '110153'), coding(DCM, '110152')];
  const { clientId, tokenId, address } = context.agent;
  const who = `"who":{"identifier":{"value":${JSON.stringify(clientId)}}}`;
  const from = address === undefined ? '' : `,"network":{"address":${JSON.stringify(address)},"type":"2"}`;
  // The application is the requestor only where no token names who acts through it.
  const application = `{"type":{"coding":[${client}]},${who},"requestor":${tokenId === undefined}${from}}`;
  const service = `{"type":{"coding":[${server}]},"who":{"identifier":{"value":"${context.observer}"}},"requestor":false,"network":{"address":"${context.observer}","type":"5"}}`;
  if (tokenId === undefined) return `${application},${service}`;
  return `${application},${service},{"type":{"coding":[${coding('https://profiles.ihe.net/ITI/BALP/CodeSystem/UserAgentTypes', 'UserOauthAgent')}]},${who},"requestor":true,"policy":["urn:ietf:params:oauth:jti:${tokenId}"]}`;
}

function source(context: AuditContext): string {
  return `"source":{"site":"${context.clinic}","observer":{"identifier":{"value":"${context.observer}"}},"type":[${coding('http://terminology.hl7.org/CodeSystem/security-source-type', '4')}]}`;
}

const SYSTEM_OBJECT = `"type":${coding('http://terminology.hl7.org/CodeSystem/audit-entity-type', '2')},"role":`;
const DOMAIN_RESOURCE = SYSTEM_OBJECT + coding('http://terminology.hl7.org/CodeSystem/object-role', '4');
const QUERY = SYSTEM_OBJECT + coding('http://terminology.hl7.org/CodeSystem/object-role', '24');

/** Everything but the request id and the patient, each part followed by a comma. */
function restEntities(event: RestEvent): string {
  let text = '';
  if (event.query !== undefined) text += `{${QUERY},"query":"${Buffer.from(event.query).toString('base64')}"},`;
  const one = event.entities.length === 1 && event.query === undefined;
  for (const { type, id, version } of event.entities) {
    const what = `{"what":{"reference":"${type}/${id}${version === undefined ? '' : `/_history/${version}`}"},`;
    // The profiles allow one system object: a list is told apart by the types of its resources.
    text += `${what}${one ? DOMAIN_RESOURCE : `"type":${coding('http://hl7.org/fhir/resource-types', type)}`}},`;
  }
  if (event.outcome !== 0 && event.outcomeIssues !== undefined && event.outcomeIssues.length > 0) {
    text += `{"what":{"reference":"#outcome"},"type":${coding('http://hl7.org/fhir/resource-types', 'OperationOutcome')}},`;
  }
  return text;
}

/** The X-Request-Id of the request, by which its events are found together. */
export function requestEntity(context: AuditContext): string {
  return `{"what":{"identifier":{"value":"${context.requestId}"}},"type":${coding('https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType', 'XrequestId')}}`;
}

/** The patient slice: exactly one in an event. */
export function patientEntity(patientId: string): string {
  return `{"what":{"reference":"Patient/${patientId}"},"type":${coding('http://terminology.hl7.org/CodeSystem/audit-entity-type', '1')},"role":${coding('http://terminology.hl7.org/CodeSystem/object-role', '1')}}`;
}

export function coding(system: string, code: string): string {
  return `{"system":"${system}","code":"${code}"}`;
}
