/**
 * What an answer of an EHR means. One table for every target; the first row that fits decides.
 *
 * The classes say what is known, not what to do: src/ehr/decide.ts turns a class into the delivery's next state.
 */
import type { Answer, Exchange, RemoteRequest, RequestPurpose } from './exchange.ts';

export type AnswerClass =
  /** Stored; its id is known. */
  | 'accepted'
  /** Success is claimed, nothing proves it. */
  | 'unproven'
  | 'throttled'
  /** Surely not processed, or harmless to repeat. */
  | 'transient'
  /** It may have been stored. */
  | 'unknown'
  | 'version-conflict'
  /** More than one resource there has our identifier. */
  | 'duplicate'
  /** No token, or the token is refused. */
  | 'authorization'
  /** Nothing can be delivered before somebody changes the target or its revision. */
  | 'misconfigured'
  /** This content will never be accepted. */
  | 'refused'
  /** What we knew there is gone, merged or moved. */
  | 'gone'
  | 'locked'
  /** A person at the target must act, e.g. break the glass. */
  | 'human-policy';

export type Vendor = 'generic' | 'epic' | 'ecw' | 'oracle';

export type Classified = {
  readonly class: AnswerClass;
  /** Where the written or read resource lies. Present when accepted. */
  readonly remote?: RemoteResource;
  readonly httpStatus?: number;
  /** Not before this moment may the target be asked again. */
  readonly retryAfter?: Date;
  readonly remoteRequestId?: string;
  /** Issue codes and expressions, or a reason without content; never PHI. */
  readonly excerpt: string;
};

export type RemoteResource = {
  readonly type: string;
  readonly id: string;
  readonly version?: string;
  /** What the target says it stored, where it says so. */
  readonly resource?: Readonly<Record<string, unknown>>;
};

type Facts = {
  readonly purpose: RequestPurpose;
  readonly vendor: Vendor;
  readonly exchange: Exchange;
  /** 0 without an answer. */
  readonly status: number;
  readonly answer?: Answer;
  /** Codes of OperationOutcome.issue and their details. */
  readonly codes: ReadonlySet<string>;
  readonly remote?: RemoteResource;
};

type Row = { readonly class: AnswerClass; readonly when: (facts: Facts) => boolean };

const WRITES: readonly RequestPurpose[] = ['create', 'conditional-create', 'conditional-update', 'update'];
const REDIRECTS: readonly number[] = [301, 302, 303, 307, 308];
const LOGIN_PAGE = /log-?in|sign-?in|auth|sso|adfs/i;

const isWrite = (facts: Facts) => WRITES.includes(facts.purpose);
const is2xx = (facts: Facts) => facts.status >= 200 && facts.status < 300;
const refusedToken = (facts: Facts) => (facts.exchange.outcome === 'no-token' ? facts.exchange.refusal : undefined);
const nothingLeft = (facts: Facts) => facts.exchange.outcome === 'no-answer' && facts.exchange.firstByteAt === null;
const answerLost = (facts: Facts) => facts.exchange.outcome === 'no-answer' && facts.exchange.firstByteAt !== null;
const says = (facts: Facts, vendor: Vendor, ...codes: string[]) =>
  facts.vendor === vendor && codes.some((code) => facts.codes.has(code));

/** https://hl7.org/fhir/R4/http.html, and what vendors document beyond it. */
const TABLE: readonly Row[] = [
  // Without an answer.
  { class: 'authorization', when: (f) => refusedToken(f) === 'authorization' },
  { class: 'misconfigured', when: (f) => refusedToken(f) === 'misconfigured' },
  { class: 'throttled', when: (f) => refusedToken(f) === 'throttled' },
  { class: 'transient', when: (f) => refusedToken(f) === 'transient' },
  { class: 'transient', when: nothingLeft },
  { class: 'unknown', when: (f) => answerLost(f) && isWrite(f) },
  { class: 'transient', when: answerLost },
  // The whole target.
  { class: 'authorization', when: (f) => f.status === 401 },
  { class: 'throttled', when: (f) => f.status === 429 || (f.status === 503 && f.answer?.retryAfter !== undefined) },
  { class: 'throttled', when: (f) => !is2xx(f) && (f.codes.has('throttled') || says(f, 'epic', '4135')) },
  { class: 'human-policy', when: (f) => !is2xx(f) && says(f, 'epic', '4130', '4131', '4134') },
  { class: 'misconfigured', when: (f) => f.status === 403 },
  { class: 'misconfigured', when: (f) => f.vendor === 'ecw' && f.status === 308 },
  { class: 'misconfigured', when: (f) => REDIRECTS.includes(f.status) && LOGIN_PAGE.test(f.answer?.location ?? '') },
  { class: 'misconfigured', when: (f) => f.status === 405 || f.status === 406 || f.status === 501 },
  // This patient or this resource.
  { class: 'gone', when: (f) => REDIRECTS.includes(f.status) || (!is2xx(f) && says(f, 'epic', '4107')) },
  { class: 'locked', when: (f) => f.status === 423 || (!is2xx(f) && says(f, 'ecw', '139')) },
  { class: 'duplicate', when: (f) => f.status === 412 && /^conditional/.test(f.purpose) },
  { class: 'version-conflict', when: (f) => (f.status === 412 || f.status === 409) && f.purpose === 'update' },
  { class: 'transient', when: (f) => f.status === 409 && /^conditional/.test(f.purpose) },
  { class: 'gone', when: (f) => (f.status === 404 || f.status === 410) && /^(update|read)$/.test(f.purpose) },
  { class: 'misconfigured', when: (f) => f.status === 404 || f.status === 410 },
  { class: 'unknown', when: (f) => f.status === 408 && f.purpose === 'create' },
  { class: 'transient', when: (f) => f.status === 408 },
  { class: 'refused', when: (f) => f.status >= 400 && f.status < 500 },
  // The target's own failures: after an unconditional POST nobody knows.
  { class: 'unknown', when: (f) => f.status >= 500 && f.purpose === 'create' },
  { class: 'transient', when: (f) => f.status >= 500 },
  // Success, or what looks like it.
  { class: 'misconfigured', when: (f) => is2xx(f) && !isWrite(f) && f.answer?.content.kind === 'html' },
  { class: 'accepted', when: (f) => is2xx(f) && !isWrite(f) && f.answer?.content.kind === 'json' },
  { class: 'transient', when: (f) => !isWrite(f) },
  { class: 'unproven', when: (f) => f.status === 202 || f.answer?.content.kind === 'html' },
  { class: 'unproven', when: (f) => f.answer?.content.kind === 'unreadable' },
  { class: 'accepted', when: (f) => is2xx(f) && f.remote !== undefined },
  { class: 'unproven', when: is2xx },
  { class: 'unknown', when: () => true },
];

export function classify(request: RemoteRequest, exchange: Exchange, vendor: Vendor = 'generic'): Classified {
  const answer = exchange.outcome === 'answer' ? exchange.answer : undefined;
  const remote = answer === undefined ? undefined : remoteOf(request, answer);
  const facts: Facts = {
    purpose: request.purpose,
    vendor,
    exchange,
    status: answer?.status ?? 0,
    ...(answer === undefined ? {} : { answer }),
    codes: answer === undefined ? new Set() : issueCodes(answer),
    ...(remote === undefined ? {} : { remote }),
  };
  const row = TABLE.find((candidate) => candidate.when(facts)) as Row;
  const retryAfter = retryAfterOf(exchange);
  return {
    class: row.class,
    excerpt: excerptOf(exchange),
    ...(remote !== undefined && row.class === 'accepted' ? { remote } : {}),
    ...(answer === undefined ? {} : { httpStatus: answer.status }),
    ...(answer?.remoteRequestId === undefined ? {} : { remoteRequestId: answer.remoteRequestId }),
    ...(retryAfter === undefined ? {} : { retryAfter }),
  };
}

/** Where a written resource lies: from the returned resource, else Location, else the address we wrote to. */
function remoteOf(request: RemoteRequest, answer: Answer): RemoteResource | undefined {
  const version = /^(?:W\/)?"(.+)"$/.exec(answer.etag ?? '')?.[1];
  const resource = answer.content.kind === 'json' && isRecord(answer.content.value) ? answer.content.value : undefined;
  if (resource?.resourceType === request.type && typeof resource.id === 'string') {
    const meta = isRecord(resource.meta) ? resource.meta.versionId : undefined;
    const known = typeof meta === 'string' ? meta : version;
    return { type: request.type, id: resource.id, resource, ...(known === undefined ? {} : { version: known }) };
  }
  const located = locatedAt(request.type, answer.location);
  if (located !== undefined) return version === undefined ? located : { ...located, version };
  if (request.purpose !== 'update') return undefined;
  const id = request.path.split('/')[1];
  return id === undefined ? undefined : { type: request.type, id, ...(version === undefined ? {} : { version }) };
}

function locatedAt(type: string, location: string | undefined): RemoteResource | undefined {
  const found = new RegExp(`(?:^|/)${type}/([^/?#]+)(?:/_history/([^/?#]+))?$`).exec(location ?? '');
  if (found?.[1] === undefined) return undefined;
  return { type, id: decodeURIComponent(found[1]), ...(found[2] === undefined ? {} : { version: found[2] }) };
}

function issueCodes(answer: Answer): Set<string> {
  const codes = new Set<string>();
  for (const found of issuesOf(answer)) {
    if (typeof found.code === 'string') codes.add(found.code);
    const coding = isRecord(found.details) ? found.details.coding : undefined;
    for (const each of Array.isArray(coding) ? coding : []) {
      if (isRecord(each) && typeof each.code === 'string') codes.add(each.code);
    }
  }
  return codes;
}

function issuesOf(answer: Answer): Record<string, unknown>[] {
  const body = answer.content.kind === 'json' ? answer.content.value : undefined;
  if (!isRecord(body) || body.resourceType !== 'OperationOutcome' || !Array.isArray(body.issue)) return [];
  return body.issue.filter(isRecord);
}

const EXCERPT_LENGTH = 500;
const CODE = /^[A-Za-z0-9._-]{1,64}$/;
/** FHIRPath or an XPath of elements; a quoted literal could carry content. */
const PLACE = /^[A-Za-z0-9_.[\]()/:]{1,160}$/;

/** Codes and places of the issues. `diagnostics` and display texts quote content, so they stay out. */
function excerptOf(exchange: Exchange): string {
  if (exchange.outcome !== 'answer') return exchange.reason.slice(0, EXCERPT_LENGTH);
  const parts = issuesOf(exchange.answer).map((found) => {
    const places = [found.expression, found.location].flatMap((list) => (Array.isArray(list) ? list : []));
    const shown = [found.code, ...codesOfDetails(found)].filter((code) => typeof code === 'string' && CODE.test(code));
    return [...shown, ...places.filter((place) => typeof place === 'string' && PLACE.test(place))].join(' ');
  });
  return parts.join('; ').slice(0, EXCERPT_LENGTH);
}

function codesOfDetails(found: Record<string, unknown>): unknown[] {
  const coding = isRecord(found.details) ? found.details.coding : undefined;
  return Array.isArray(coding) ? coding.filter(isRecord).map((each) => each.code) : [];
}

function retryAfterOf(exchange: Exchange): Date | undefined {
  if (exchange.outcome === 'no-answer') return undefined;
  const text = exchange.outcome === 'answer' ? exchange.answer.retryAfter : exchange.retryAfter;
  if (text === undefined) return undefined;
  const now = exchange.outcome === 'answer' ? exchange.answer.date : new Date();
  if (/^\d+(\.\d+)?$/.test(text)) return new Date(Date.now() + Number(text) * 1000);
  const at = Date.parse(text);
  // By the target's own clock, which may not be ours.
  return Number.isNaN(at) ? undefined : new Date(Date.now() + Math.max(0, at - now.getTime()));
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
