import type { Issue } from './failure.ts';

/** An OperationOutcome as JSON values. @see https://hl7.org/fhir/R4/operationoutcome.html */
export type OperationOutcomeJson = {
  readonly resourceType: 'OperationOutcome';
  readonly issue: readonly {
    readonly severity: Issue['severity'];
    readonly code: Issue['code'];
    readonly diagnostics: string;
    readonly expression?: readonly [string];
  }[];
};

const ALL_OK: Issue = { severity: 'information', code: 'informational', diagnostics: 'All OK' };

/** Without issues it says so, since an OperationOutcome must have one. */
export function operationOutcome(issues: readonly Issue[]): OperationOutcomeJson {
  const list = issues.length === 0 ? [ALL_OK] : issues;
  return {
    resourceType: 'OperationOutcome',
    issue: list.map(({ severity, code, diagnostics, expression }) => ({
      severity,
      code,
      diagnostics,
      ...(expression === undefined ? {} : { expression: [expression] }),
    })),
  };
}
