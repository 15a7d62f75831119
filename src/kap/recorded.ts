import type { Bundle } from '@medplum/fhirtypes';
import type { Issue } from '../fhir/failure.ts';

/** What an operation of the clinic comes to: a transaction to record, or every reason why not. */
export type Recorded =
  | { readonly ok: true; readonly bundle: Bundle }
  | {
      readonly ok: false;
      /** `invalid`: the parameters. `business-rule`: the state of the course. `conflict`: another session stands there. */
      readonly code: 'invalid' | 'business-rule' | 'conflict';
      readonly issues: readonly Issue[];
    };

/** A refusal. What is malformed weighs more than a rule, and a rule more than a conflict. */
export function refused(issues: readonly Issue[]): Recorded {
  const has = (code: Issue['code']) => issues.every((issue) => issue.code === code);
  return { ok: false, code: has('conflict') ? 'conflict' : has('business-rule') ? 'business-rule' : 'invalid', issues };
}
