/**
 * How one FHIR request is served: who asks, what for, may they, do it, write down that it happened, answer.
 *
 * Nothing about a patient leaves before its audit row is durable: the row of a read is awaited before the answer, the row
 * of a write commits with it. A refusal leaves a row too, and when that cannot be written, the answer is 503.
 */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { requirePermission } from '../access/scopes.ts';
import type { Grant } from '../access/tokens.ts';
import { type AuditAction, type AuditContext, restEvent } from '../audit/event.ts';
import { readBody } from './body.ts';
import type { Clinic, FhirAnswer, Interaction, Target } from './exchange.ts';
import { outcomeText, type Refusal, refusalOf } from './failures.ts';
import { FHIR_JSON, requireJsonAnswer } from './media-types.ts';
import type { RequestLog } from './request-log.ts';
import { type Routes, routeOf, targetOf } from './routes.ts';

export type FhirService = {
  readonly clinic: Clinic;
  readonly routes: Routes;
  /** Documents that need no token, by path: '/metadata'. */
  readonly open: ReadonlyMap<string, MakeDocument>;
  isResourceType(name: string): boolean;
  readonly log: RequestLog;
  readonly now: () => Date;
};

type OpenDocument = { readonly body: string; readonly contentType: string };
export type MakeDocument = (clinic: Clinic) => OpenDocument | Promise<OpenDocument>;

/** Serves a request whose url is relative to the FHIR base. Never rejects. */
export async function serveFhir(
  service: FhirService,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const startedAt = performance.now();
  const requestId = requestIdOf(request.headers['x-request-id']);
  const target = targetOf(request.method ?? 'GET', request.url ?? '/');
  const attempt: Attempt = { context: contextOf(service.clinic, request, requestId), target };
  let answer: FhirAnswer;
  try {
    const open = openDocument(service, target);
    answer = open === undefined ? await interact(service, request, attempt) : await open;
    if (answer.audit.length > 0) await service.clinic.trail.record(answer.audit);
  } catch (error) {
    answer = await refuse(service, attempt, error);
  }
  send(response, answer, requestId);
  service.log.answered({
    requestId,
    method: request.method ?? '',
    pattern: attempt.pattern ?? 'none',
    interaction: attempt.interaction?.name ?? 'none',
    status: answer.status,
    milliseconds: performance.now() - startedAt,
  });
}

/** What is known of a request so far; a refusal tells it to the audit trail. */
type Attempt = {
  context: AuditContext;
  readonly target: Target;
  pattern?: string;
  interaction?: Interaction;
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
  requireJsonAnswer(request.headers.accept, formatOf(target.query));
  if (interaction.scopeOfType) requirePermission(grant.scopes, target.type, interaction.name);

  return interaction.handle({
    clinic,
    grant,
    context: attempt.context,
    target,
    headers: request.headers,
    body: interaction.takesBody ? await readBody(request) : NO_BODY,
    now: service.now(),
  });
}

const NO_BODY = Buffer.alloc(0);

/** Undefined for everything that needs a token. */
function openDocument(service: FhirService, { method, shape, type }: Target): Promise<FhirAnswer> | undefined {
  const make = type === '' && method === 'GET' ? service.open.get(shape) : undefined;
  return make && showOpen(make, service.clinic);
}

async function showOpen(make: MakeDocument, clinic: Clinic): Promise<FhirAnswer> {
  const { body, contentType } = await make(clinic);
  const headers = { 'content-type': contentType, 'cache-control': 'public, max-age=60' };
  return { status: 200, headers, body, audit: [] };
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

function send(response: ServerResponse, answer: FhirAnswer, requestId: string): void {
  const headers: Record<string, string | number> = {
    'x-request-id': requestId,
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
  headers['content-length'] = Buffer.byteLength(answer.body);
  response.writeHead(answer.status, headers).end(answer.body);
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

function formatOf(query: string): string | undefined {
  if (!query.includes('_format=')) return undefined;
  return new URLSearchParams(query).get('_format')?.replace(' ', '+') ?? undefined;
}
