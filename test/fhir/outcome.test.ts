import { loadDefinitions } from '../../src/fhir/definitions.ts';
import { issue } from '../../src/fhir/failure.ts';
import { operationOutcome } from '../../src/fhir/outcome.ts';
import { createValidator } from '../../src/fhir/validation/validator.ts';

test('issues become an OperationOutcome that is valid R4, with and without a place', () => {
  const outcome = operationOutcome([
    issue('required', 'status is required here', 'Observation.status'),
    issue('login', 'A bearer token is needed'),
  ]);
  expect(outcome.issue).toEqual([
    { severity: 'error', code: 'required', diagnostics: 'status is required here', expression: ['Observation.status'] },
    { severity: 'error', code: 'login', diagnostics: 'A bearer token is needed' },
  ]);
  expect(createValidator(loadDefinitions()).validate(outcome)).toEqual([]);
});

test('nothing wrong is an outcome too', () => {
  expect(operationOutcome([]).issue).toEqual([
    { severity: 'information', code: 'informational', diagnostics: 'All OK' },
  ]);
});
