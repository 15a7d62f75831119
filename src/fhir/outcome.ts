import type { Issue } from './failure.ts';
import { type DetailsJson, detailsOf } from './messages.ts';

/** An OperationOutcome as JSON values. @see https://hl7.org/fhir/R4/operationoutcome.html */
export type OperationOutcomeJson = {
  readonly resourceType: 'OperationOutcome';
  readonly issue: readonly {
    readonly extension?: readonly [{ readonly url: string; readonly valueString: string }];
    readonly severity: Issue['severity'];
    readonly code: Issue['code'];
    readonly details: DetailsJson;
    readonly diagnostics: string;
    /** Parameters and headers only: R4 names them here and not yet in `expression`, R5 the other way round. */
    readonly location?: readonly [string];
    readonly expression?: readonly [string];
  }[];
};

/** Where an issue comes from; of ours, the profile that is not met. @see https://hl7.org/fhir/R4/extension-operationoutcome-issue-source.html */
const ISSUE_SOURCE = 'http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-source';

const ALL_OK: Issue = { severity: 'information', code: 'informational', diagnostics: 'All OK' };

/** Without issues it says so, since an OperationOutcome must have one. */
export function operationOutcome(issues: readonly Issue[]): OperationOutcomeJson {
  const list = issues.length === 0 ? [ALL_OK] : issues;
  return {
    resourceType: 'OperationOutcome',
    issue: list.map(({ severity, code, diagnostics, expression, message, profile }) => ({
      ...(profile === undefined ? {} : { extension: [{ url: ISSUE_SOURCE, valueString: profile }] }),
      severity,
      code,
      details: detailsOf(code, message),
      diagnostics: profile === undefined ? diagnostics : `${diagnostics} (profile ${profile})`,
      ...(expression?.startsWith('http.') ? { location: [expression] } : {}),
      ...(expression === undefined ? {} : { expression: [expression] }),
    })),
  };
}
