/**
 * Requests to one revision of a target: its base URL, its way of authorization, its headers.
 *
 * A refused token is renewed once within the same attempt. Nothing else is repeated here: what a failure means is
 * src/ehr/classify.ts's to say, and when to try again the lane's.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import type { EhrClient, Exchange, RemoteRequest } from './exchange.ts';
import { createTokenSource, type Fetch, type TokenSource } from './oauth.ts';
import type { EhrTargetRevision } from './target.ts';
import { createTransport, type Transport, type TransportOptions } from './transport.ts';

export type HttpEhrClient = EhrClient & { close(): Promise<void> };

const USER_AGENT = 'kap-bridge/0.1 (+https://kap-bridge.example.org)';
const FHIR_JSON = 'application/fhir+json';

export function createEhrClient(target: EhrTargetRevision, options: Partial<TransportOptions> = {}): HttpEhrClient {
  const transports = new Map<string, Transport>();
  const transportOf = (origin: string): Transport => {
    let transport = transports.get(origin);
    if (transport === undefined) {
      transport = createTransport(origin, { connections: target.dialect.concurrency + 1, ...options });
      transports.set(origin, transport);
    }
    return transport;
  };
  const timeoutMs = target.dialect.requestTimeoutSeconds * 1000;
  const fetch: Fetch = (request) => {
    const url = new URL(request.url);
    const headers = { ...request.headers, 'user-agent': USER_AGENT };
    return transportOf(url.origin).request(
      { ...request, url, headers },
      new Date(Date.now() + Math.min(timeoutMs, 10_000)),
    );
  };
  const authorization = authorizationOf(target, fetch);

  const send = async (request: RemoteRequest, notAfter: Date): Promise<Exchange> => {
    const authorized = await authorization();
    if (typeof authorized !== 'string') return authorized;
    const once = (header: string) => {
      const url = new URL(`${target.baseUrl}/${request.path}`);
      const deadline = new Date(Math.min(notAfter.getTime(), Date.now() + timeoutMs));
      const sent = { method: request.method, url, headers: headersOf(target, request, header) };
      return transportOf(url.origin).request(
        request.body === undefined ? sent : { ...sent, body: request.body },
        deadline,
      );
    };
    const result = await once(authorized);
    if (result.outcome !== 'answer' || result.answer.status !== 401) return result;
    const renewed = await authorization(authorized);
    if (typeof renewed !== 'string') return renewed;
    return renewed === authorized ? result : once(renewed);
  };

  return {
    send,
    async close() {
      await Promise.all([...transports.values()].map((transport) => transport.close()));
    },
  };
}

/** The Authorization header, '' for none; `refused` is one that the target has just answered with 401. */
type Authorization = (refused?: string) => Promise<string | Extract<Exchange, { outcome: 'no-token' }>>;

function authorizationOf(target: EhrTargetRevision, fetch: Fetch): Authorization {
  const { auth } = target.dialect;
  const { credentials } = target;
  if (auth.method === 'none') return async () => '';
  if (auth.method === 'basic') {
    if (credentials.method !== 'basic') throw new Error('The credentials of the target do not fit its method basic');
    const header = `Basic ${Buffer.from(`${auth.username}:${credentials.password}`).toString('base64')}`;
    return async () => header;
  }
  const tokens: TokenSource = createTokenSource(target, auth, fetch);
  return async (refused) => {
    const result = await tokens.token(refused?.replace(/^Bearer /, ''));
    return 'token' in result ? `Bearer ${result.token}` : result;
  };
}

function headersOf(target: EhrTargetRevision, request: RemoteRequest, authorization: string): Record<string, string> {
  const headers: Record<string, string> = {
    accept: FHIR_JSON,
    'user-agent': USER_AGENT,
    'x-request-id': randomUUID(),
    traceparent: `00-${randomBytes(16).toString('hex')}-${randomBytes(8).toString('hex')}-01`,
  };
  if (authorization !== '') headers.authorization = authorization;
  if (request.purpose === 'search') headers.prefer = 'handling=strict';
  if (request.body !== undefined) {
    headers['content-type'] = `${FHIR_JSON}; charset=utf-8`;
    if (target.dialect.preferRepresentation) headers.prefer = 'return=representation';
  }
  if (request.ifMatch !== undefined) headers['if-match'] = request.ifMatch;
  if (request.ifNoneExist !== undefined) headers['if-none-exist'] = request.ifNoneExist;
  return headers;
}
