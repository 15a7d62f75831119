import type { Issue } from './failure.ts';
import { type DetailsJson, detailsOf } from './messages.ts';

/** An OperationOutcome as JSON values. @see https://hl7.org/fhir/R4/operationoutcome.html */
export type OperationOutcomeJson = {
  readonly resourceType: 'OperationOutcome';
  readonly issue: readonly {
    readonly severity: Issue['severity'];
    readonly code: Issue['code'];
    readonly details: DetailsJson;
    readonly diagnostics: string;
    /** Parameters and headers only: R4 names them here and not yet in `expression`, R5 the other way round. */
    readonly location?: readonly [string];
    readonly expression?: readonly [string];
  }[];
};

const ALL_OK: Issue = { severity: 'information', code: 'informational', diagnostics: 'All OK' };

/** Without issues it says so, since an OperationOutcome must have one. */
export function operationOutcome(issues: readonly Issue[]): OperationOutcomeJson {
  const list = issues.length === 0 ? [ALL_OK] : issues;
  return {
    resourceType: 'OperationOutcome',
    issue: list.map(({ severity, code, diagnostics, expression, message }) => ({
      severity,
      code,
      details: detailsOf(code, message),
      diagnostics,
      ...(expression?.startsWith('http.') ? { location: [expression] } : {}),
      ...(expression === undefined ? {} : { expression: [expression] }),
    })),
  };
}
