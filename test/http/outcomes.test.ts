/**
 * Every refusal says what it is: status, issue code, the standard's message where it has one, words, place.
 *
 * @see https://hl7.org/fhir/R4/http.html and https://hl7.org/fhir/R4/operationoutcome.html
 */
import type { OperationOutcome } from '@medplum/fhirtypes';
import type supertest from 'supertest';
import { fhir } from '../record/clinic.ts';
import { type Caller, patient, startTestService, type TestService } from './service.ts';

let service: TestService;
let caller: Caller;
let token: string;
let patientId: string;

beforeAll(async () => {
  service = await startTestService();
  token = await service.token();
  caller = service.as(token);
  patientId = (JSON.parse((await caller.post('/fhir/Patient', patient)).text) as { id: string }).id;
  await caller.put('/fhir/Patient/gone', { ...patient, id: 'gone', identifier: [{ value: 'twin' }] });
  await caller.delete('/fhir/Patient/gone');
  await caller.put('/fhir/Patient/twin-1', { ...patient, id: 'twin-1', identifier: [{ value: 'twins' }] });
  await caller.put('/fhir/Patient/twin-2', { ...patient, id: 'twin-2', identifier: [{ value: 'twins' }] });
});
afterAll(() => service.close());

type Send = () => supertest.Test;
/** Status, issue code, message or '' where the standard has none, expression or ''. */
type Expected = readonly [status: number, code: string, message: string, expression: string];

const raw = (test: supertest.Test, body: string, type = 'application/fhir+json') =>
  test.set('authorization', `Bearer ${token}`).set('content-type', type).send(body);

const valid = (changes: object) => ({ ...patient, ...changes });
const vitals = { resourceType: 'Observation', status: 'final', code: { text: 'x' } };
const transaction = (...entry: object[]) => ({ resourceType: 'Bundle', type: 'transaction', entry });

const cases: readonly (readonly [name: string, send: Send, expected: Expected])[] = [
  // 400: what cannot be read, or is no valid FHIR
  [
    'malformed JSON',
    () => raw(service.http.post('/fhir/Patient'), '{"resourceType":"Patient","name":[{"family":}]}'),
    [400, 'structure', 'MSG_BAD_SYNTAX', 'Patient.name[0].family'],
  ],
  [
    'a repeated key',
    () => raw(service.http.post('/fhir/Patient'), '{"resourceType":"Patient","active":true,"active":false}'),
    [400, 'structure', 'MSG_BAD_SYNTAX', 'Patient.active'],
  ],
  ['no object', () => raw(service.http.post('/fhir/Patient'), '[]'), [400, 'structure', 'MSG_JSON_OBJECT', '']],
  ['an empty body', () => raw(service.http.post('/fhir/Patient'), ''), [400, 'required', 'MSG_RESOURCE_REQUIRED', '']],
  ['no resourceType', () => caller.post('/fhir/Patient', {}), [400, 'required', '', 'Patient.resourceType']],
  [
    'another type than the url',
    () => caller.post('/fhir/Patient', { resourceType: 'Device' }),
    [400, 'invalid', 'MSG_RESOURCE_TYPE_MISMATCH', 'Patient.resourceType'],
  ],
  [
    'an unknown type in the body',
    () => caller.post('/fhir/Patient', { resourceType: 'Patent' }),
    [400, 'structure', 'MSG_UNKNOWN_TYPE', 'Patient.resourceType'],
  ],
  [
    'an unknown element',
    () => caller.post('/fhir/Patient', valid({ colour: 'red' })),
    [400, 'structure', 'MSG_UNKNOWN_CONTENT', 'Patient.colour'],
  ],
  [
    'a missing element',
    () => caller.post('/fhir/Observation', { resourceType: 'Observation', code: { text: 'x' } }),
    [400, 'required', '', 'Observation.status'],
  ],
  [
    'a wrong value',
    () => caller.post('/fhir/Patient', valid({ birthDate: '1980-02-30' })),
    [400, 'value', 'MSG_DATE_FORMAT', 'Patient.birthDate'],
  ],
  [
    'a code outside of its value set',
    () => caller.post('/fhir/Patient', valid({ gender: 'f' })),
    [400, 'code-invalid', '', 'Patient.gender'],
  ],
  [
    'a wrong value in a choice',
    () => caller.post('/fhir/Observation', { ...vitals, valueQuantity: { value: '7' } }),
    [400, 'structure', '', 'Observation.value.ofType(Quantity).value'],
  ],
  [
    'an id that is none',
    () => caller.put('/fhir/Patient/x', valid({ id: 'a b' })),
    [400, 'value', 'MSG_ID_INVALID', 'Patient.id'],
  ],
  [
    'an update without id',
    () => caller.put('/fhir/Patient/x', patient),
    [400, 'invalid', 'MSG_RESOURCE_ID_MISSING', 'Patient.id'],
  ],
  [
    'an update with another id',
    () => caller.put('/fhir/Patient/x', valid({ id: 'y' })),
    [400, 'invalid', 'MSG_RESOURCE_ID_MISMATCH', 'Patient.id'],
  ],
  ['a url id that is none', () => caller.get('/fhir/Patient/a_b'), [400, 'value', 'MSG_ID_INVALID', 'http.id']],
  [
    'an unknown search parameter',
    () => caller.get('/fhir/Patient?colour=red'),
    [400, 'invalid', 'MSG_PARAM_UNKNOWN', 'http.colour'],
  ],
  [
    'an unknown modifier',
    () => caller.get('/fhir/Patient?name:red=x'),
    [400, 'not-supported', 'MSG_PARAM_MODIFIER_INVALID', 'http.name:red'],
  ],
  [
    'a wrong search value',
    () => caller.get('/fhir/Patient?birthdate=yesterday'),
    [400, 'value', 'MSG_DATE_FORMAT', 'http.birthdate'],
  ],
  [
    'an unknown sort',
    () => caller.get('/fhir/Patient?_sort=colour'),
    [400, 'invalid', 'MSG_SORT_UNKNOWN', 'http._sort'],
  ],
  [
    'a wrong If-Match',
    () => caller.put('/fhir/Patient/x', valid({ id: 'x' })).set('if-match', 'three'),
    [400, 'value', 'MSG_PARAM_INVALID', 'http.If-Match'],
  ],
  [
    'an If-None-Exist without a criterion',
    () => caller.post('/fhir/Patient', patient).set('if-none-exist', '?'),
    [400, 'required', 'SEARCH_NONE', 'http.If-None-Exist'],
  ],
  [
    'a wrong element of an entry',
    () =>
      caller.post(
        '/fhir',
        transaction({ resource: valid({ gender: 'f' }), request: { method: 'POST', url: 'Patient' } }),
      ),
    [400, 'code-invalid', '', 'Bundle.entry[0].resource.gender'],
  ],
  [
    'a reference of an entry that leads nowhere',
    () =>
      caller.post(
        '/fhir',
        transaction({
          resource: { ...vitals, subject: { reference: 'Patient/none' } },
          request: { method: 'POST', url: 'Observation' },
        }),
      ),
    [400, 'not-found', 'MSG_LOCAL_FAIL', 'Bundle.entry[0].resource.subject.reference'],
  ],
  // 401 to 406
  ['no token', () => service.http.get('/fhir/Patient'), [401, 'login', 'MSG_AUTH_REQUIRED', '']],
  ['a type that FHIR does not have', () => caller.get('/fhir/Patent'), [404, 'not-supported', 'MSG_UNKNOWN_TYPE', '']],
  ['an unknown id', () => caller.get('/fhir/Patient/none'), [404, 'not-found', 'MSG_NO_EXIST', '']],
  [
    'an unknown version',
    () => caller.get(`/fhir/Patient/${patientId}/_history/9`),
    [404, 'not-found', 'MSG_NO_EXIST', ''],
  ],
  [
    'an unknown operation',
    () => caller.get('/fhir/Patient/$nothing'),
    [404, 'not-supported', 'MSG_UNKNOWN_OPERATION', ''],
  ],
  [
    'a method that is not possible',
    () => caller.delete('/fhir/metadata'),
    [405, 'not-supported', 'MSG_OP_NOT_ALLOWED', ''],
  ],
  [
    'an answer in a format that there is not',
    () => caller.get('/fhir/Patient').set('accept', 'text/turtle'),
    [406, 'not-supported', 'MSG_BAD_FORMAT', 'http.Accept'],
  ],
  [
    'a _format that there is not',
    () => caller.get('/fhir/Patient?_format=ttl'),
    [406, 'not-supported', 'MSG_BAD_FORMAT', 'http._format'],
  ],
  // 410, 412, 413, 415, 422
  ['what was deleted', () => caller.get('/fhir/Patient/gone'), [410, 'deleted', 'MSG_DELETED_ID', '']],
  [
    'a stale version',
    () => caller.put(`/fhir/Patient/${patientId}`, valid({ id: patientId })).set('if-match', 'W/"9"'),
    [412, 'conflict', 'MSG_VERSION_AWARE_CONFLICT', 'http.If-Match'],
  ],
  [
    'a condition with several matches',
    () => caller.put('/fhir/Patient?identifier=twins', patient),
    [412, 'multiple-matches', 'UPDATE_MULTIPLE_MATCHES', 'Patient'],
  ],
  [
    'a conditional delete with several matches',
    () => caller.delete('/fhir/Patient?identifier=twins'),
    [412, 'multiple-matches', 'DELETE_MULTIPLE_MATCHES', 'Patient'],
  ],
  [
    'a body in a format that there is not',
    () => raw(service.http.post('/fhir/Patient'), '<a/>', 'text/turtle'),
    [415, 'not-supported', 'MSG_BAD_FORMAT', 'http.Content-Type'],
  ],
  [
    'an invariant that is broken',
    () => caller.post('/fhir/Patient', valid({ contact: [{ gender: 'female' }] })),
    [422, 'invariant', '', 'Patient.contact[0]'],
  ],
  [
    'a rule of the clinic',
    () =>
      caller.post('/fhir/Observation', {
        ...vitals,
        meta: { security: [{ system: 'http://terminology.hl7.org/CodeSystem/v3-Confidentiality', code: 'SECRET' }] },
      }),
    [422, 'code-invalid', '', 'Observation.meta.security[0]'],
  ],
];

test.each(cases)('%s', async (_name, send, [status, code, message, expression]) => {
  const response = await send();
  const outcome = JSON.parse(response.text) as OperationOutcome;
  const [issue] = outcome.issue ?? [];
  expect([response.status, issue?.code, issue?.details?.coding?.[0]?.code ?? '', issue?.expression?.[0] ?? '']).toEqual(
    [status, code, message, expression],
  );
  expect(issue?.details?.text).toMatch(/^[A-Z]/);
  expect(issue?.diagnostics).toMatch(/^.{10,}/);
  expect(issue?.location).toEqual(expression.startsWith('http.') ? [expression] : undefined);
  expect(fhir.validator.validate(outcome)).toEqual([]);
});

test('all that is wrong with a resource is said at once: its shape, its codes, its references, the clinic’s labels', async () => {
  const resource = {
    ...vitals,
    status: 'finished',
    meta: { security: [{ system: 'http://terminology.hl7.org/CodeSystem/v3-Confidentiality', code: 'SECRET' }] },
    subject: { reference: 'Encounter/e' },
    effectiveDateTime: '2025-02-30',
    component: [{ code: { text: 'y' }, valueQuantity: { value: 1 }, dataAbsentReason: { text: 'z' } }],
  };
  const { status, text } = await caller.post('/fhir/Observation', resource);
  const places = ((JSON.parse(text) as OperationOutcome).issue ?? []).map(
    (issue) => `${issue.code} ${issue.expression}`,
  );
  expect(status).toBe(400);
  expect(places.sort()).toEqual([
    'code-invalid Observation.meta.security[0]',
    'code-invalid Observation.status',
    'value Observation.effective.ofType(dateTime)',
    'value Observation.subject.reference',
  ]);
});
