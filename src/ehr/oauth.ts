/**
 * Access tokens of EHR targets: OAuth 2.0 client credentials with a client secret or a signed assertion
 * (SMART Backend Services, https://hl7.org/fhir/smart-app-launch/backend-services.html).
 *
 * A token is kept in memory until shortly before it ends. Requests that need one at the same time share one request
 * for it.
 */
import { randomUUID } from 'node:crypto';
import { importPKCS8, SignJWT } from 'jose';
import type { Answer, Exchange } from './exchange.ts';
import type { Credentials, EhrTargetRevision } from './target.ts';
import type { TransportResult } from './transport.ts';

/** A request on any origin, answered like one on the target's own. */
export type Fetch = (request: {
  readonly method: 'GET' | 'POST';
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
}) => Promise<TransportResult>;

export type TokenResult = { readonly token: string } | Extract<Exchange, { outcome: 'no-token' }>;

export type TokenSource = {
  /** @param refused a token the target has just refused: never answered again */
  token(refused?: string): Promise<TokenResult>;
};

type OAuth = Extract<EhrTargetRevision['dialect']['auth'], { method: 'client-secret' | 'private-key-jwt' }>;
type Kept = { readonly token: string; readonly until: number };

/** Renewed this long before its end, so that it does not end on the way. */
const MARGIN_SECONDS = 30;
const DEFAULT_LIFETIME_SECONDS = 300;
const ASSERTION_SECONDS = 240;

export function createTokenSource(target: EhrTargetRevision, auth: OAuth, fetch: Fetch): TokenSource {
  let kept: Kept | undefined;
  let pending: Promise<TokenResult> | undefined;
  let endpoint = auth.tokenEndpoint;
  /** Their clock minus ours; an assertion is judged by their clock. */
  let clockOffsetMs = 0;

  async function obtain(): Promise<TokenResult> {
    if (endpoint === undefined) {
      const found = await discover(target.baseUrl, fetch);
      if (typeof found !== 'string') return found;
      endpoint = found;
    }
    const asked = await fetch({
      method: 'POST',
      url: endpoint,
      headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' },
      body: await form(auth, target.credentials, endpoint, clockOffsetMs),
    });
    if (asked.outcome === 'no-answer') return refusal('transient', `token endpoint: ${asked.reason}`);
    clockOffsetMs = asked.answer.date.getTime() - Date.now();
    const given = tokenOf(asked.answer);
    if (given === undefined) return refusalOf(asked.answer);
    kept = { token: given.token, until: Date.now() + Math.max(0, given.seconds - MARGIN_SECONDS) * 1000 };
    return { token: given.token };
  }

  return {
    token(refused) {
      if (kept !== undefined && kept.token !== refused && kept.until > Date.now()) {
        return Promise.resolve({ token: kept.token });
      }
      pending ??= obtain().finally(() => {
        pending = undefined;
      });
      return pending;
    },
  };
}

/** token_endpoint of `.well-known/smart-configuration`. */
async function discover(baseUrl: string, fetch: Fetch): Promise<string | TokenResult> {
  const result = await fetch({
    method: 'GET',
    url: `${baseUrl}/.well-known/smart-configuration`,
    headers: { accept: 'application/json' },
  });
  if (result.outcome === 'no-answer') return refusal('transient', `smart-configuration: ${result.reason}`);
  const { status, content } = result.answer;
  if (status >= 500 || status === 429) return refusal('transient', `smart-configuration: HTTP ${status}`);
  const endpoint =
    content.kind === 'json' ? (content.value as { token_endpoint?: unknown } | null)?.token_endpoint : null;
  if (status !== 200 || typeof endpoint !== 'string' || !URL.canParse(endpoint)) {
    return refusal('misconfigured', `smart-configuration names no token endpoint (HTTP ${status})`);
  }
  return endpoint;
}

async function form(auth: OAuth, credentials: Credentials, endpoint: string, offsetMs: number): Promise<string> {
  const fields = new URLSearchParams({ grant_type: 'client_credentials', scope: auth.scopes });
  if (auth.method === 'client-secret' && credentials.method === 'client-secret') {
    fields.set('client_id', auth.clientId);
    fields.set('client_secret', credentials.clientSecret);
  } else if (auth.method === 'private-key-jwt' && credentials.method === 'private-key-jwt') {
    fields.set('client_assertion_type', 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer');
    fields.set('client_assertion', await assertion(auth, credentials.privateKey, endpoint, offsetMs));
  } else {
    throw new Error(`The credentials of the target do not fit its method ${auth.method}`);
  }
  return fields.toString();
}

async function assertion(
  auth: Extract<OAuth, { method: 'private-key-jwt' }>,
  privateKey: string,
  endpoint: string,
  offsetMs: number,
): Promise<string> {
  const now = Math.floor((Date.now() + offsetMs) / 1000);
  return new SignJWT({})
    .setProtectedHeader({ alg: auth.algorithm, kid: auth.keyId, typ: 'JWT' })
    .setIssuer(auth.clientId)
    .setSubject(auth.clientId)
    .setAudience(endpoint)
    .setJti(randomUUID())
    .setIssuedAt(now)
    .setExpirationTime(now + ASSERTION_SECONDS)
    .sign(await importPKCS8(privateKey, auth.algorithm));
}

function tokenOf(answer: Answer): { token: string; seconds: number } | undefined {
  if (answer.status !== 200 || answer.content.kind !== 'json') return undefined;
  const body = answer.content.value as { access_token?: unknown; expires_in?: unknown } | null;
  if (typeof body?.access_token !== 'string' || body.access_token === '') return undefined;
  const seconds = Number(body.expires_in ?? DEFAULT_LIFETIME_SECONDS);
  return { token: body.access_token, seconds: Number.isFinite(seconds) ? seconds : DEFAULT_LIFETIME_SECONDS };
}

const OAUTH_ERROR = /^[a-z_]{1,40}$/;

/** RFC 6749 section 5.2: what the error says about whom. */
function refusalOf(answer: Answer): TokenResult {
  const body = answer.content.kind === 'json' ? (answer.content.value as { error?: unknown } | null) : null;
  const error = typeof body?.error === 'string' && OAUTH_ERROR.test(body.error) ? body.error : `HTTP ${answer.status}`;
  const reason = `token endpoint: ${error}`;
  if (answer.status === 429) return refusal('throttled', reason, answer.retryAfter);
  if (answer.status >= 500) return refusal('transient', reason, answer.retryAfter);
  if (answer.status === 401 && error !== 'invalid_client') return refusal('authorization', reason);
  return refusal('misconfigured', reason);
}

function refusal(
  kind: Extract<Exchange, { outcome: 'no-token' }>['refusal'],
  reason: string,
  retryAfter?: string,
): Extract<Exchange, { outcome: 'no-token' }> {
  return { outcome: 'no-token', refusal: kind, reason, ...(retryAfter === undefined ? {} : { retryAfter }) };
}
