/** What a rule says about one subject: passed, failed with findings, not decidable, or so wrong that it is refused. */
import type { Coding } from '@medplum/fhirtypes';
import type { KapCode } from '../codes.ts';
import type { Key } from '../course.ts';

export type RuleId =
  | 'R-01'
  | 'R-02'
  | 'R-03'
  | 'R-04'
  | 'R-05'
  | 'R-06'
  | 'R-07'
  | 'R-08'
  | 'R-09'
  | 'R-10'
  | 'R-11'
  | 'R-12'
  | 'R-13';

/** A violated rule, as it becomes a DetectedIssue. */
export type Finding = {
  readonly rule: RuleId;
  /** Which of the rule's findings about the subject; absent where there can be only one. */
  readonly part?: string;
  readonly code: KapCode;
  readonly alert: Coding;
  readonly severity: 'high' | 'moderate' | 'low';
  /** Without the rule's name, e.g. `infusion lasted 44.98 min; protocol 45 to 60 min`. */
  readonly detail: string;
  /** dateTime of the fact that made it true. */
  readonly identified: string;
  readonly implicated: readonly Key[];
  readonly evidence?: {
    readonly code: KapCode;
    readonly text: string;
    /** Resources that show it. */
    readonly of?: readonly Key[];
    /** Rule identifier of an Observation that the rules themselves write. */
    readonly ofRule?: string;
  };
};

/** Why a write cannot be stored. Names no patient, no time and no value. */
export type Refusal = {
  readonly severity: 'error';
  readonly code: 'business-rule' | 'value';
  readonly rule: RuleId;
  readonly diagnostics: string;
  /** The resource at fault: `Type/id`. */
  readonly resource: Key;
  /** FHIRPath of the place in it: `Procedure.performed.ofType(Period).end`. */
  readonly expression: string;
  /** Every resource whose change can have caused it, the one at fault among them. */
  readonly involved: readonly Key[];
};

export type Outcome = { readonly rule: RuleId; readonly subject: Key } & (
  | { readonly result: 'pass' }
  | { readonly result: 'fail'; readonly findings: readonly Finding[] }
  | { readonly result: 'indeterminate'; readonly reason: string }
  | { readonly result: 'refused'; readonly refusals: readonly Refusal[] }
);

export function pass(rule: RuleId, subject: Key): Outcome {
  return { rule, subject, result: 'pass' };
}

export function fail(subject: Key, finding: Finding, ...more: readonly Finding[]): Outcome {
  return { rule: finding.rule, subject, result: 'fail', findings: [finding, ...more] };
}

export function indeterminate(rule: RuleId, subject: Key, reason: string): Outcome {
  return { rule, subject, result: 'indeterminate', reason };
}

export function refused(refusal: Refusal): Outcome {
  return { rule: refusal.rule, subject: refusal.resource, result: 'refused', refusals: [refusal] };
}

/** Whether a fact answers a question: three-valued, because missing input is never a pass. */
export type Answer = 'yes' | 'no' | 'unknown';

/** All must be yes; one no is a no. */
export function every(answers: readonly Answer[]): Answer {
  if (answers.includes('no')) return 'no';
  return answers.includes('unknown') ? 'unknown' : 'yes';
}

/** One yes is a yes. */
export function some(answers: readonly Answer[]): Answer {
  if (answers.includes('yes')) return 'yes';
  return answers.includes('unknown') ? 'unknown' : 'no';
}
