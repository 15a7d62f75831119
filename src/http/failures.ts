/** Failures as HTTP: the one place where a refusal becomes a status and an OperationOutcome. */
import { Failure, type FailureCode, type Issue } from '../fhir/failure.ts';
import { operationOutcome } from '../fhir/outcome.ts';

export const statusOf: Readonly<Record<FailureCode, number>> = {
  invalid: 400,
  unauthenticated: 401,
  forbidden: 403,
  'not-found': 404,
  'method-not-allowed': 405,
  'not-acceptable': 406,
  conflict: 409,
  deleted: 410,
  'precondition-failed': 412,
  'too-large': 413,
  'unsupported-media-type': 415,
  'business-rule': 422,
  'too-many-requests': 429,
  transient: 503,
};

/** Headers that belong to a status whatever refused. */
const headersOf: Readonly<Record<number, Readonly<Record<string, string>>>> = {
  401: { 'www-authenticate': 'Bearer' },
  // What is left of the body would be read as the next request.
  413: { connection: 'close' },
  429: { 'retry-after': '1' },
  503: { 'retry-after': '2' },
};

export type Refusal = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly issues: readonly Issue[];
  /** Our own fault: to be logged. Absent for what was expected. */
  readonly unexpected?: unknown;
};

/**
 * What is answered to an error. A Failure keeps its words; a database that does not answer is 503; everything else is a
 * bug of ours, whose words might quote a patient, so the caller gets the request id to ask with and nothing more.
 */
export function refusalOf(error: unknown, requestId: string): Refusal {
  if (error instanceof Failure) return refusal(statusOf[error.code], error.issues, undefined, error);
  if (isOutage(error)) {
    const diagnostics = 'The database does not answer at the moment. Nothing was stored or shown; try again';
    return refusal(503, [{ severity: 'error', code: 'transient', diagnostics }], error);
  }
  const diagnostics = `The service failed on this request. Nothing was stored. Report the request id ${requestId}`;
  return refusal(500, [{ severity: 'fatal', code: 'exception', diagnostics }], error);
}

function refusal(status: number, issues: readonly Issue[], unexpected?: unknown, failure?: Failure): Refusal {
  const headers = { ...headersOf[status], ...(failure instanceof FailureWithHeaders ? failure.headers : {}) };
  const logged = unexpected ?? (status >= 500 ? failure : undefined);
  return { status, headers, issues, ...(logged === undefined ? {} : { unexpected: logged }) };
}

/** A refusal that tells a client in its headers what would do. */
export class FailureWithHeaders extends Failure {
  readonly headers: Readonly<Record<string, string>>;

  constructor(code: FailureCode, issues: Issue | readonly Issue[], headers: Readonly<Record<string, string>>) {
    super(code, issues);
    this.headers = headers;
  }
}

/** 405 with the methods that would do. */
export class MethodNotAllowed extends FailureWithHeaders {
  constructor(method: string, allowed: readonly string[]) {
    const allow = allowed.join(', ');
    const diagnostics = `${method} is not possible here. Possible: ${allow === '' ? 'nothing' : allow}`;
    const message = 'MSG_OP_NOT_ALLOWED';
    super('method-not-allowed', { severity: 'error', code: 'not-supported', diagnostics, message }, { allow });
  }
}

/** Connection refused or lost, too many connections, shutting down, a statement cancelled for its length. */
const OUTAGE_CODE = /^(08...|53...|57P0.|57014|ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|ENOENT)$/;
const OUTAGE_MESSAGE =
  /^(Connection terminated|timeout exceeded when trying to connect|Client has encountered a connection error)/;

function isOutage(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  return OUTAGE_CODE.test(code) || OUTAGE_MESSAGE.test(error.message);
}

/** OperationOutcome as JSON text. */
export function outcomeText(issues: readonly Issue[]): string {
  return JSON.stringify(operationOutcome(issues));
}
