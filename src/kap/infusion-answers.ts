import type { Coding } from '@medplum/fhirtypes';
import type { Issue } from '../fhir/failure.ts';
import { SYSTEM } from './codes.ts';
import { fault, type Given } from './parameters.ts';

/** Answers that stand for a code. */
export type InfusionAnswers = { readonly pregnancyTest?: Coding };

/** Answers from a short list of their own, checked before anything is built. */
export function readAnswers(given: Given, issues: Issue[]): InfusionAnswers {
  for (const event of given.parts('adverseEvent')) {
    refuseUnlessOneOf(event, 'severity', SEVERITIES, issues);
    refuseUnlessOneOf(event, 'seriousness', SERIOUSNESS, issues);
    refuseUnlessOneOf(event, 'outcome', OUTCOMES, issues);
    refuseUnlessOneOf(event, 'causality', CAUSALITIES, issues);
  }
  const discharge = given.part('discharge');
  refuseUnlessWithin(discharge, 'aldrete', 0, 10, issues);
  refuseUnlessWithin(discharge, 'moaas', 0, 5, issues);
  const checklist = given.part('checklist');
  if (checklist === undefined) return {};
  refuseUnlessOneOf(checklist, 'pregnancy-test', Object.keys(PREGNANCY_TEST), issues);
  const answer = PREGNANCY_TEST[checklist.text('pregnancy-test')?.value ?? ''];
  return answer === undefined ? {} : { pregnancyTest: answer };
}

/** https://hl7.org/fhir/R4/valueset-adverse-event-severity.html and its neighbours. */
const SEVERITIES = ['mild', 'moderate', 'severe'];
const SERIOUSNESS = [
  'Non-serious',
  'Serious',
  'SeriousResultsInDeath',
  'SeriousIsLifeThreatening',
  'SeriousResultsInHospitalization',
  'SeriousResultsInDisability',
  'SeriousIsBirthDefect',
  'SeriousRequiresPreventImpairment',
];
const OUTCOMES = ['resolved', 'recovering', 'ongoing', 'resolvedWithSequelae', 'fatal', 'unknown'];
const CAUSALITIES = [
  'Certain',
  'Probably-Likely',
  'Possible',
  'Unlikely',
  'Conditional-Classified',
  'Unassessable-Unclassifiable',
];

const PREGNANCY_TEST: Readonly<Record<string, Coding>> = {
  negative: { system: SYSTEM.snomed, code: '60001007', display: 'Not pregnant (finding)' },
  positive: { system: SYSTEM.snomed, code: '77386006', display: 'Pregnancy (finding)' },
  'not-applicable': { system: SYSTEM.dataAbsentReason, code: 'not-applicable', display: 'Not Applicable' },
};

function refuseUnlessOneOf(given: Given, name: string, codes: readonly string[], issues: Issue[]): void {
  const placed = given.text(name);
  if (placed !== undefined && !codes.includes(placed.value)) {
    issues.push(fault('code-invalid', `${name} must be one of ${codes.join(', ')}.`, placed.place));
  }
}

function refuseUnlessWithin(given: Given | undefined, name: string, low: number, high: number, issues: Issue[]): void {
  const placed = given?.number(name);
  if (placed !== undefined && (placed.value < low || placed.value > high)) {
    issues.push(fault('value', `${name} lies between ${low} and ${high}.`, placed.place));
  }
}
