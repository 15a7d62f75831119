/** One finding about a request or a resource, as in OperationOutcome.issue. Names no patient. */
export type Issue = {
  readonly severity: 'fatal' | 'error' | 'warning' | 'information';
  readonly code: IssueCode;
  /** For a person: what is wrong, and what to do. */
  readonly diagnostics: string;
  /** FHIRPath of the place, e.g. `Bundle.entry[3].resource.component[0].valueQuantity`. */
  readonly expression?: string;
};

/** @see https://hl7.org/fhir/R4/valueset-issue-type.html */
export type IssueCode =
  | 'invalid'
  | 'structure'
  | 'required'
  | 'value'
  | 'invariant'
  | 'security'
  | 'login'
  | 'unknown'
  | 'expired'
  | 'forbidden'
  | 'suppressed'
  | 'processing'
  | 'not-supported'
  | 'duplicate'
  | 'multiple-matches'
  | 'not-found'
  | 'deleted'
  | 'too-long'
  | 'code-invalid'
  | 'extension'
  | 'too-costly'
  | 'business-rule'
  | 'conflict'
  | 'transient'
  | 'lock-error'
  | 'no-store'
  | 'exception'
  | 'timeout'
  | 'incomplete'
  | 'throttled'
  | 'informational';

/** What kind of refusal it is; each edge (HTTP, CLI, job) translates it once. */
export type FailureCode =
  | 'invalid'
  | 'unauthenticated'
  | 'forbidden'
  | 'not-found'
  | 'method-not-allowed'
  | 'not-acceptable'
  | 'conflict'
  | 'deleted'
  | 'precondition-failed'
  | 'too-large'
  | 'unsupported-media-type'
  | 'business-rule'
  | 'too-many-requests'
  | 'transient';

/** A refusal we expect. Its issues reach the caller and name no patient; `cause` stays with us. */
export class Failure extends Error {
  override readonly name = 'Failure';
  readonly code: FailureCode;
  readonly issues: readonly Issue[];

  constructor(code: FailureCode, issues: Issue | readonly Issue[], options?: ErrorOptions) {
    const list = Array.isArray(issues) ? (issues as readonly Issue[]) : [issues as Issue];
    super(list.map((issue) => issue.diagnostics).join('; '), options);
    this.code = code;
    this.issues = list;
  }
}

/** An error-severity issue, the common case. */
export function issue(code: IssueCode, diagnostics: string, expression?: string): Issue {
  return { severity: 'error', code, diagnostics, ...(expression === undefined ? {} : { expression }) };
}
