import type { IssueCode, MessageCode } from './messages.ts';

export type { IssueCode, MessageCode } from './messages.ts';

/** One finding about a request or a resource, as in OperationOutcome.issue. Names no patient. */
export type Issue = {
  readonly severity: 'fatal' | 'error' | 'warning' | 'information';
  readonly code: IssueCode;
  /** For a person: what is wrong, and what to do. */
  readonly diagnostics: string;
  /**
   * FHIRPath of the place, e.g. `Bundle.entry[3].resource.component[0].value.ofType(Quantity)`; `http.` and the name
   * for a parameter of the url or a header, as R4 has it for OperationOutcome.issue.location.
   */
  readonly expression?: string;
  /** What the standard calls this case, where it has a name for it. */
  readonly message?: MessageCode;
  /** Canonical of the profile that is not met; absent where R4 itself, or a rule of the clinic, has its say. */
  readonly profile?: string;
};

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
export function issue(code: IssueCode, diagnostics: string, expression?: string, message?: MessageCode): Issue {
  return {
    severity: 'error',
    code,
    diagnostics,
    ...(expression === undefined ? {} : { expression }),
    ...(message === undefined ? {} : { message }),
  };
}

/** Codes of issues about rules, as against the shape of what was sent. Profiles are rules, whatever the code. */
const OF_RULES: ReadonlySet<IssueCode> = new Set(['invariant', 'business-rule']);

/**
 * How a resource with these issues is refused: `business-rule` (422) where it is well formed and breaks rules alone, else `invalid` (400).
 *
 * @see https://hl7.org/fhir/R4/http.html#create (Rejecting Updates)
 */
export function refusalOf(issues: readonly Issue[]): 'business-rule' | 'invalid' {
  const isOfRules = ({ code, profile }: Issue) => profile !== undefined || OF_RULES.has(code);
  return issues.every(isOfRules) ? 'business-rule' : 'invalid';
}
