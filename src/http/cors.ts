/**
 * Which pages in a browser may talk to the service (https://fetch.spec.whatwg.org/#http-cors-protocol).
 *
 * Any page, unless KAP_CORS_ORIGINS lists some: a request is let in by its bearer token alone, which a page must have
 * been given. There are no cookies, so `Access-Control-Allow-Credentials` is never sent and a foreign page gains nothing
 * by asking from inside a user's browser.
 */
import type { IncomingHttpHeaders } from 'node:http';

/** Origins such as 'https://app.example.org', or all of them. */
export type AllowedOrigins = '*' | readonly string[];

type Headers = Readonly<Record<string, string>>;

const EXPOSED = [
  'Content-Disposition',
  'Content-Location',
  'ETag',
  'Last-Modified',
  'Location',
  'Retry-After',
  'WWW-Authenticate',
  'X-Audit-Event-Id',
  'X-Correlation-Id',
  'X-Request-Id',
  'X-Security-Context',
].join(', ');

const METHODS = 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS';

const REQUEST_HEADERS = [
  'Accept',
  'Authorization',
  'Content-Type',
  'If-Match',
  'If-Modified-Since',
  'If-None-Exist',
  'If-None-Match',
  'Prefer',
  'X-Provenance',
  'X-Request-Id',
  'X-Security-Context',
].join(', ');

/** Seconds that a browser may remember a preflight; Chromium keeps none for longer. */
const MAX_AGE = '7200';

/** What an answer must carry for the page that asked to see it; undefined when no page asked. */
export function corsHeaders(origins: AllowedOrigins, asked: IncomingHttpHeaders): Headers | undefined {
  const { origin } = asked;
  if (origin === undefined) return undefined;
  const allowed = allowedOrigin(origins, origin);
  // What a cache keeps for one origin must not be shown to another.
  const vary = { vary: 'Origin' };
  if (allowed === undefined) return vary;
  return { ...vary, 'access-control-allow-origin': allowed, 'access-control-expose-headers': EXPOSED };
}

/** Whether the browser asks for leave before the request itself. */
export function isPreflight(method: string | undefined, headers: IncomingHttpHeaders): boolean {
  return method === 'OPTIONS' && headers.origin !== undefined && 'access-control-request-method' in headers;
}

/** The answer to a preflight, beside corsHeaders. */
export function preflightHeaders(asked: IncomingHttpHeaders): Headers {
  const wanted = asked['access-control-request-headers'];
  // A wildcard does not cover Authorization: what is asked for is named.
  const named =
    wanted !== undefined && /^[A-Za-z0-9-]+(?: *, *[A-Za-z0-9-]+)*$/.test(wanted) ? wanted : REQUEST_HEADERS;
  return {
    'access-control-allow-methods': METHODS,
    'access-control-allow-headers': named,
    'access-control-max-age': MAX_AGE,
  };
}

function allowedOrigin(origins: AllowedOrigins, origin: string): string | undefined {
  if (origins === '*') return '*';
  return origins.includes(origin) ? origin : undefined;
}
