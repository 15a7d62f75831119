/** Constraints of R4 and of profiles as a client meets them: refused with the place, the key and the words. */
import type { OperationOutcome } from '@medplum/fhirtypes';
import { startTestService, type TestService } from './service.ts';

let service: TestService;
let token: string;

beforeAll(async () => {
  service = await startTestService();
  token = await service.token();
});

afterAll(() => service.close());

const issues = (outcome: OperationOutcome) =>
  (outcome.issue ?? []).map(({ severity, code, expression, diagnostics }) => ({
    severity,
    code,
    expression,
    key: /\(([a-z]+-\d+[a-z]?)\)/.exec(diagnostics ?? '')?.[1],
  }));

const structure = {
  resourceType: 'StructureDefinition',
  url: 'http://example.org/StructureDefinition/one',
  name: 'One',
  status: 'draft',
  kind: 'resource',
  abstract: false,
  type: 'Basic',
  baseDefinition: 'http://hl7.org/fhir/StructureDefinition/Basic',
  derivation: 'constraint',
};

test.each<[string, object, string, string]>([
  [
    'a profile that walks out of its type',
    {
      ...structure,
      differential: {
        element: [
          { id: 'Basic', path: 'Basic' },
          { id: 'x', path: 'Patient.name' },
        ],
      },
    },
    'sdf-8a',
    'StructureDefinition.differential',
  ],
  [
    'two elements of one id',
    {
      ...structure,
      differential: {
        element: [
          { id: 'Basic', path: 'Basic' },
          { id: 'Basic', path: 'Basic.code' },
        ],
      },
    },
    'sdf-17',
    'StructureDefinition',
  ],
  [
    'a slice at the root',
    { ...structure, differential: { element: [{ id: 'Basic', path: 'Basic', sliceName: 'x' }] } },
    'sdf-23',
    'StructureDefinition',
  ],
  [
    'a maximum that is no number',
    { ...structure, differential: { element: [{ id: 'Basic', path: 'Basic', max: 'many' }] } },
    'eld-3',
    'StructureDefinition.differential.element[0].max',
  ],
  [
    'a minimum above the maximum',
    { ...structure, differential: { element: [{ id: 'Basic', path: 'Basic', min: 2, max: '1' }] } },
    'eld-2',
    'StructureDefinition.differential.element[0]',
  ],
  [
    'a message without a number of its kind',
    {
      resourceType: 'MessageDefinition',
      status: 'draft',
      date: '2025',
      eventUri: 'http://a',
      focus: [{ code: 'Patient', min: 0, max: 'x' }],
    },
    'md-1',
    'MessageDefinition.focus[0]',
  ],
  [
    'a member on behalf of who is no practitioner',
    {
      resourceType: 'CareTeam',
      participant: [{ member: { reference: 'Patient/1' }, onBehalfOf: { reference: 'Organization/1' } }],
    },
    'ctm-1',
    'CareTeam.participant[0]',
  ],
  [
    'a half thing',
    {
      resourceType: 'Basic',
      code: { text: 'x' },
      extension: [{ url: 'http://a', valueCount: { value: 0.5, code: '1', system: 'http://unitsofmeasure.org' } }],
    },
    'cnt-3',
    'Basic.extension[0].value.ofType(Count)',
  ],
])('%s is refused with the constraint and its place', async (_case, resource, key, expression) => {
  const created = await service
    .as(token)
    .post(`/fhir/${(resource as { resourceType: string }).resourceType}`, resource);
  expect(created.status).toBe(422);
  expect(issues(created.body as OperationOutcome)).toContainEqual({
    severity: 'error',
    code: 'invariant',
    expression: [expression],
    key,
  });
});

test('$validate says warnings of R4, too', async () => {
  const valueSet = { resourceType: 'ValueSet', status: 'draft', name: 'my codes' };
  const { status, body } = await service.as(token).post('/fhir/ValueSet/$validate', valueSet);
  expect(status).toBe(200);
  const warned = issues(body as OperationOutcome).filter(({ severity }) => severity === 'warning');
  expect(warned).toContainEqual({ severity: 'warning', code: 'invariant', expression: ['ValueSet'], key: 'vsd-0' });
});

test('a narrative that is not well-formed is refused', async () => {
  const patient = {
    resourceType: 'Patient',
    text: { status: 'generated', div: '<div xmlns="http://www.w3.org/1999/xhtml"><p>a</div>' },
  };
  const { status, body } = await service.as(token).post('/fhir/Patient', patient);
  expect(status).toBe(400);
  expect((body as OperationOutcome).issue?.[0]?.expression).toEqual(['Patient.text.`div`']);
});
