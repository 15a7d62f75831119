/**
 * How one FHIR request is served: who asks, what for, may they, do it, write down that it happened, answer.
 *
 * Nothing about a patient leaves before its audit row is durable: the row of a read is awaited before the answer, the row
 * of a write commits with it. A refusal leaves a row too, and when that cannot be written, the answer is 503.
 */
import { randomUUID } from 'node:crypto';
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { requirePermission } from '../access/scopes.ts';
import type { Grant } from '../access/tokens.ts';
import { type AuditAction, type AuditContext, restEvent } from '../audit/event.ts';
import type { FhirXml } from '../fhir/xml/xml.ts';
import { inForm } from './answer-form.ts';
import { readBody } from './body.ts';
import { type AllowedOrigins, corsHeaders, isPreflight, preflightHeaders } from './cors.ts';
import type { Clinic, FhirAnswer, FhirRequest, Interaction, MakeDocument, Target } from './exchange.ts';
import { MethodNotAllowed, outcomeText, type Refusal, refusalOf } from './failures.ts';
import {
  type AnswerForm,
  AS_STORED,
  answerForm,
  answerFormOfRefusal,
  FHIR_JSON,
  formatOfBody,
  isFormBody,
  isXmlBody,
} from './media-types.ts';
import type { RequestLog } from './request-log.ts';
import { isNoneMatch } from './rest/unmodified.ts';
import { allowedAt, type Routes, routeOf, targetOf } from './routes.ts';

export type FhirService = {
  readonly clinic: Clinic;
  readonly routes: Routes;
  /** Documents that need no token, by path: '/metadata'. */
  readonly open: ReadonlyMap<string, MakeDocument>;
  isResourceType(name: string): boolean;
  readonly xml: FhirXml;
  readonly corsOrigins: AllowedOrigins;
  readonly log: RequestLog;
  readonly now: () => Date;
};

/** Serves a request whose url is relative to the FHIR base. Never rejects. */
export async function serveFhir(
  service: FhirService,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const startedAt = performance.now();
  const { trail } = service.clinic;
  trail.begun();
  const givenId = request.headers['x-request-id'];
  const requestId = requestIdOf(givenId);
  const target = targetOf(request.method ?? 'GET', request.url ?? '/');
  const attempt: Attempt = { context: contextOf(service.clinic, request, requestId), target };
  let answer: FhirAnswer;
  try {
    const open = withoutToken(service, request, attempt);
    const made = open === undefined ? await interact(service, request, attempt) : await open;
    attempt.form ??= isFhir(made) ? answerForm(request.headers.accept, target.query) : AS_STORED;
    answer = inForm(made, attempt.form, service.xml, target.method);
    if (answer.audit.length > 0) await trail.record(answer.audit);
    for (const fault of answer.unexpected ?? []) service.log.failed(requestId, fault);
  } catch (error) {
    const refused = await refuse(service, attempt, error);
    const form = attempt.form ?? answerFormOfRefusal(request.headers.accept, target.query);
    answer = inForm(refused, form, service.xml, target.method);
  } finally {
    trail.ended();
  }
  const headers = { ...requestHeaders(requestId, givenId), ...corsHeaders(service.corsOrigins, request.headers) };
  send(response, answer, headers);
  service.log.answered({
    requestId,
    method: request.method ?? '',
    pattern: attempt.pattern ?? 'none',
    interaction: attempt.interaction?.name ?? 'none',
    status: answer.status,
    milliseconds: performance.now() - startedAt,
  });
}

/** Whether there is something whose form can be chosen. */
function isFhir({ body, headers }: FhirAnswer): boolean {
  const contentType = headers?.['content-type'];
  return body !== undefined && (contentType === undefined || contentType === FHIR_JSON);
}

/** What is known of a request so far; a refusal tells it to the audit trail. */
type Attempt = {
  context: AuditContext;
  readonly target: Target;
  pattern?: string;
  interaction?: Interaction;
  form?: AnswerForm;
};

async function interact(service: FhirService, request: IncomingMessage, attempt: Attempt): Promise<FhirAnswer> {
  const { clinic } = service;
  const { target } = attempt;
  const verified = clinic.tokens.verify(request.headers.authorization);
  const grant = verified instanceof Promise ? await verified : verified;
  attempt.context = knownContext(attempt.context, grant);

  const { pattern, interaction } = routeOf(service.routes, target, service.isResourceType);
  attempt.pattern = pattern;
  attempt.interaction = interaction;
  const { headers } = request;
  const isForm = interaction.takesBody && interaction.negotiates !== true && isFormBody(headers['content-type']);
  // Whom no format of ours suits is told so before anything is done; a form may still name one.
  if (interaction.negotiates !== true && !isForm) attempt.form = answerForm(headers.accept, target.query);
  if (interaction.scopeOfType) requirePermission(grant.scopes, target.type, interaction.name);

  const body = interaction.takesBody ? await readBody(request) : NO_BODY;
  if (isForm) attempt.form = answerForm(headers.accept, `${target.query}&${body.toString('latin1')}`);
  const asked = {
    clinic,
    grant,
    context: attempt.context,
    target,
    headers,
    body,
    now: service.now(),
    documents: service.open,
  };
  if (interaction.negotiates === true) attempt.form = answerFormOfRefusal(headers.accept, target.query);
  else if (body.length > 0 && isXmlBody(headers['content-type'])) return interaction.handle(asJson(asked, service.xml));
  return interaction.handle(asked);
}

const NO_BODY = Buffer.alloc(0);

/** The same request as if it had been sent as JSON: behind this line there is no other form. */
function asJson(request: FhirRequest, xml: FhirXml): FhirRequest {
  formatOfBody(request.headers['content-type']);
  const headers = { ...request.headers, 'content-type': 'application/fhir+json' };
  return { ...request, headers, body: Buffer.from(xml.toJson(request.body)) };
}

/** The answer to what anybody may ask; undefined for everything that needs a token. */
function withoutToken(
  service: FhirService,
  { method, headers }: IncomingMessage,
  attempt: Attempt,
): FhirAnswer | Promise<FhirAnswer> | undefined {
  const { target } = attempt;
  const make = target.type === '' ? service.open.get(target.shape) : undefined;
  if (method === 'OPTIONS') {
    if (isPreflight(method, headers)) return { status: 204, headers: preflightHeaders(headers), audit: [] };
    const allowed = make === undefined ? allowedAt(service.routes, target, service.isResourceType) : OPEN_METHODS;
    return { status: 204, headers: { allow: allowed.join(', ') }, audit: [] };
  }
  if (make === undefined) return undefined;
  if (target.method !== 'GET') throw new MethodNotAllowed(target.method, OPEN_METHODS);
  return showOpen(service, make, attempt, headers);
}

const OPEN_METHODS = ['GET', 'HEAD', 'OPTIONS'];

async function showOpen(
  service: FhirService,
  make: MakeDocument,
  attempt: Attempt,
  asked: IncomingHttpHeaders,
): Promise<FhirAnswer> {
  const { query } = attempt.target;
  const { body, contentType, etag } = await make(query);
  // SMART's documents are JSON whatever is accepted.
  const form = contentType === FHIR_JSON ? answerForm(asked.accept, query) : AS_STORED;
  attempt.form = AS_STORED;
  const headers = {
    'cache-control': 'public, max-age=60',
    vary: 'Accept, Origin',
    ...(etag === undefined ? {} : { etag: `W/"${etag}"` }),
  };
  if (etag !== undefined && isNoneMatch(asked['if-none-match'], etag)) return { status: 304, headers, audit: [] };
  const whole = { status: 200, headers: { ...headers, 'content-type': contentType }, body, audit: [] };
  return etag === undefined || form === AS_STORED ? whole : knownInForm(service, whole, form, etag);
}

/** Documents of a megabyte in another form, made once: anybody may ask for them. */
const inOtherForms = new Map<string, FhirAnswer>();
const MAX_KEPT = 32;

function knownInForm(service: FhirService, whole: FhirAnswer, form: AnswerForm, etag: string): FhirAnswer {
  const key = `${etag} ${form.format} ${form.pretty}`;
  const known = inOtherForms.get(key) ?? inForm(whole, form, service.xml, 'GET');
  if (inOtherForms.size >= MAX_KEPT) inOtherForms.clear();
  inOtherForms.set(key, known);
  return known;
}

async function refuse(service: FhirService, attempt: Attempt, error: unknown): Promise<FhirAnswer> {
  const refusal = logged(service, attempt, refusalOf(error, attempt.context.requestId));
  try {
    await service.clinic.trail.record(refusalEvent(attempt, refusal, service.now()));
  } catch (auditError) {
    return asAnswer(logged(service, attempt, refusalOf(auditError, attempt.context.requestId)));
  }
  return asAnswer(refusal);
}

function logged(service: FhirService, attempt: Attempt, refusal: Refusal): Refusal {
  if (refusal.unexpected !== undefined) service.log.failed(attempt.context.requestId, refusal.unexpected);
  return refusal;
}

function asAnswer(refusal: Refusal): FhirAnswer {
  return { status: refusal.status, headers: refusal.headers, body: outcomeText(refusal.issues), audit: [] };
}

const attemptedBy: Readonly<Record<string, { readonly name: string; readonly action: AuditAction }>> = {
  GET: { name: 'read', action: 'R' },
  POST: { name: 'create', action: 'C' },
  PUT: { name: 'update', action: 'U' },
  PATCH: { name: 'patch', action: 'U' },
  DELETE: { name: 'delete', action: 'D' },
};

/** What was attempted, as far as it is known: the url of a refused search may be what is wrong with it, so it is kept. */
function refusalEvent({ context, target, interaction }: Attempt, { status, issues }: Refusal, now: Date) {
  const attempted = interaction ?? attemptedBy[target.method] ?? { name: 'operation', action: 'E' as const };
  const names = interaction !== undefined && target.type !== '' && target.id !== '';
  return restEvent(
    {
      context,
      interaction: attempted.name,
      action: attempted.action,
      outcome: status >= 500 ? 8 : 4,
      entities: names ? [{ type: target.type, id: target.id }] : [],
      ...(names ? {} : { query: `${target.method} ${context.observer}${target.url}` }),
      outcomeIssues: issues,
    },
    now,
  );
}

/** @param more than the answer has, whatever it is */
function send(response: ServerResponse, answer: FhirAnswer, more: Readonly<Record<string, string>>): void {
  const headers: Record<string, string | number> = {
    ...more,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'content-security-policy': "default-src 'none'",
  };
  if (answer.audit.length > 0) headers['x-audit-event-id'] = (answer.audit[0] as { eventId: string }).eventId;
  if (answer.headers !== undefined) Object.assign(headers, answer.headers);
  if (answer.body === undefined) {
    if (answer.status !== 204 && answer.status !== 304) headers['content-length'] = 0;
    response.writeHead(answer.status, headers).end();
    return;
  }
  headers['content-type'] ??= FHIR_JSON;
  const bytes = Buffer.byteLength(answer.body);
  headers['content-length'] = bytes;
  // As many bytes as characters is plain ASCII, which needs no encoder.
  response.writeHead(answer.status, headers).end(answer.body, bytes === answer.body.length ? 'latin1' : 'utf8');
}

/** Whose own id for the request is not one for our records gets it back beside ours. @see https://hl7.org/fhir/R4/http.html#custom */
function requestHeaders(requestId: string, given: string | string[] | undefined): Record<string, string> {
  const isOurs = given === undefined || given === requestId;
  return { 'x-request-id': requestId, ...(isOurs ? {} : { 'x-correlation-id': String(given) }) };
}

function requestIdOf(given: string | string[] | undefined): string {
  return typeof given === 'string' && /^[A-Za-z0-9._-]{1,128}$/.test(given) ? given : randomUUID();
}

function contextOf(clinic: Clinic, request: IncomingMessage, requestId: string): AuditContext {
  const address = request.socket.remoteAddress;
  return {
    requestId,
    clinic: clinic.name,
    observer: clinic.base,
    agent: { clientId: 'anonymous', ...(address === undefined ? {} : { address: plainAddress(address) }) },
  };
}

/** An IPv4 address that came over an IPv6 socket, as IPv4. */
function plainAddress(address: string): string {
  return address.startsWith('::ffff:') ? address.slice(7) : address;
}

function knownContext(context: AuditContext, grant: Grant): AuditContext {
  return { ...context, agent: { ...context.agent, clientId: grant.clientId, tokenId: grant.tokenId } };
}
