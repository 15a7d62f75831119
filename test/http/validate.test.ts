import type { OperationOutcome, Parameters, Resource } from '@medplum/fhirtypes';
import { type Caller, patient, startTestService, type TestService, weightOf } from './service.ts';

let service: TestService;
let caller: Caller;
let patientId: string;

beforeAll(async () => {
  service = await startTestService();
  caller = service.as(await service.token());
  patientId = (JSON.parse((await caller.post('/fhir/Patient', patient)).text) as { id: string }).id;
});
afterAll(() => service.close());

type Answer = { readonly status: number; readonly outcome: OperationOutcome };

async function sent(path: string, body?: object): Promise<Answer> {
  const { status, text } =
    body === undefined ? await caller.get(`/fhir/${path}`) : await caller.post(`/fhir/${path}`, body);
  return { status, outcome: JSON.parse(text) as OperationOutcome };
}

const found = ({ status, outcome }: Answer) => [
  status,
  ...(outcome.issue ?? []).map(({ severity, code, expression }) => `${severity} ${code} ${expression ?? ''}`.trim()),
];
const errors = (answer: Answer) => found(answer).filter((each) => typeof each === 'number' || each.startsWith('error'));

const wrong = { resourceType: 'Patient', gender: 'f', birthDate: 'yesterday', colour: 'red' };

test('a resource as the body is validated, and all that is wrong comes in one answer of 200', async () => {
  expect(errors(await sent('Patient/$validate', wrong)).sort()).toEqual([
    200,
    'error code-invalid Patient.gender',
    'error structure Patient.colour',
    'error value Patient.birthDate',
  ]);
});

test('a resource in Parameters is validated with its place there', async () => {
  const parameters = {
    resourceType: 'Parameters',
    parameter: [
      { name: 'mode', valueCode: 'create' },
      { name: 'resource', resource: wrong },
    ],
  };
  expect(errors(await sent('Patient/$validate', parameters))).toContain(
    'error code-invalid Parameters.parameter[1].resource.gender',
  );
});

test('what is right is said to be so', async () => {
  const narrated = {
    ...patient,
    text: { status: 'generated', div: '<div xmlns="http://www.w3.org/1999/xhtml">Pat</div>' },
  };
  const answer = await sent('Patient/$validate', narrated);
  expect(found(answer)).toEqual([200, 'information informational']);
});

test('a stored resource is validated without sending it, and its reading is audited for the patient', async () => {
  await service.newAuditEvents();
  expect(errors(await sent(`Patient/${patientId}/$validate`))).toEqual([200]);
  const [event] = await service.newAuditEvents();
  expect(JSON.stringify(event)).toContain(`Patient/${patientId}`);
});

test('warnings are given for what is allowed and yet doubtful', async () => {
  const doubtful = {
    resourceType: 'Observation',
    meta: { profile: ['http://example.org/StructureDefinition/unknown'] },
    status: 'final',
    category: [{ coding: [{ system: 'http://terminology.hl7.org/CodeSystem/observation-category', code: 'zz' }] }],
    code: { text: 'x' },
    interpretation: [
      {
        coding: [
          { system: 'http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation', code: 'H', display: 'Low' },
        ],
      },
    ],
    dataAbsentReason: { coding: [{ system: 'http://example.org', code: 'none' }] },
  };
  expect(found(await sent('Observation/$validate', doubtful))).toEqual([
    200,
    'warning invariant Observation',
    'warning code-invalid Observation.dataAbsentReason',
    'warning not-supported Observation.meta.profile[0]',
    'warning code-invalid Observation.category[0].coding[0]',
    'warning code-invalid Observation.interpretation[0].coding[0]',
  ]);
});

test.each<[string, string, object | undefined, (string | number)[]]>([
  ['an update without an id', 'Patient/$validate?mode=update', patient, [200, 'error required Patient.id']],
  [
    'an update with another id',
    'Patient/p1/$validate?mode=update',
    { ...patient, id: 'p2' },
    [200, 'error invalid Patient.id'],
  ],
  ['an update that creates', 'Patient/p1/$validate?mode=update', { ...patient, id: 'p1' }, [200]],
  ['a creation', 'Patient/$validate?mode=create', patient, [200]],
  [
    'another type than the url',
    'Patient/$validate',
    { resourceType: 'Device' },
    [200, 'error invalid Patient.resourceType'],
  ],
  [
    'a type that is none',
    'Patient/$validate',
    { resourceType: 'Patent' },
    [200, 'error structure Patient.resourceType'],
  ],
  [
    'the profile of the type',
    'Patient/$validate?profile=http://hl7.org/fhir/StructureDefinition/Patient',
    patient,
    [200],
  ],
  [
    'a profile of another type',
    'Patient/$validate?profile=http://hl7.org/fhir/StructureDefinition/Device',
    patient,
    [200, 'error structure Patient'],
  ],
  [
    'Parameters that are themselves what is meant',
    'Parameters/$validate',
    { resourceType: 'Parameters', parameter: [{ name: 'x' }] },
    [200, 'error invariant Parameters.parameter[0]'],
  ],
  [
    'an unknown profile',
    'Patient/$validate?profile=http://example.org/none',
    patient,
    [422, 'error not-found http.profile'],
  ],
  ['an unknown mode', 'Patient/$validate?mode=destroy', patient, [400, 'error code-invalid http.mode']],
  ['an object of no type', 'Patient/$validate', {}, [200, 'error required Patient.resourceType']],
  ['nothing', 'Patient/$validate', undefined, [400, 'error required Parameters.parameter']],
  ['a deletion of no instance', 'Patient/$validate?mode=delete', undefined, [400, 'error required http.mode']],
  ['a deletion of what is not there', 'Patient/none/$validate?mode=delete', undefined, [404, 'error not-found']],
  ['an instance that is not there', 'Patient/none/$validate', undefined, [404, 'error not-found']],
  [
    'an AuditEvent to create',
    'AuditEvent/$validate?mode=create',
    {
      resourceType: 'AuditEvent',
      type: { code: 'x' },
      recorded: '2025-03-01T09:00:00Z',
      agent: [{ requestor: true }],
      source: { observer: { display: 'x' } },
    },
    [200, 'error not-supported AuditEvent'],
  ],
])('of %s the answer says what would happen', async (_case, path, body, expected) => {
  expect(errors(await sent(path, body))).toEqual(expected);
});

test('the clinic’s own rules have their say, as they would on the write', async () => {
  const mislabelled = {
    ...weightOf(patientId, 70),
    meta: { security: [{ system: 'http://terminology.hl7.org/CodeSystem/v3-Confidentiality', code: 'SECRET' }] },
  };
  const write = await caller.post('/fhir/Observation', mislabelled);
  expect(write.status).toBe(422);
  const refused = (JSON.parse(write.text) as OperationOutcome).issue?.map(({ diagnostics }) => diagnostics);
  const { outcome } = await sent('Observation/$validate?mode=create', mislabelled);
  expect(outcome.issue?.map(({ diagnostics }) => diagnostics)).toEqual(expect.arrayContaining(refused ?? ['']));
});

test('nothing is stored, whatever the mode, and a deletion is only asked about', async () => {
  const count = async () =>
    (await service.clinic.database.clinicPool().query('select count(*)::int as n from resource_version')).rows[0].n;
  const before = await count();
  await sent('Patient/$validate?mode=create', patient);
  await sent('Patient/new-one/$validate?mode=update', { ...patient, id: 'new-one' });
  await sent(`Patient/${patientId}/$validate?mode=update`, { ...patient, id: patientId, gender: 'other' });
  expect(errors(await sent(`Patient/${patientId}/$validate?mode=delete`))).toEqual([200]);
  expect(await count()).toBe(before);
  expect((await caller.get(`/fhir/Patient/${patientId}`)).status).toBe(200);
  expect((await caller.get('/fhir/Patient/new-one')).status).toBe(404);
});

test('it is audited, and needs the scope of what it rehearses', async () => {
  await service.newAuditEvents();
  await sent('Patient/$validate', patient);
  expect(await service.newAuditEvents()).toHaveLength(1);
  const reader = service.as(await service.token('system/Patient.r'));
  const status = async (path: string, body: Resource | Parameters) => (await reader.post(`/fhir/${path}`, body)).status;
  expect(await status('Patient/$validate', patient)).toBe(200);
  expect(await status('Patient/$validate?mode=create', patient)).toBe(403);
  expect(await status('Device/$validate', { resourceType: 'Device' })).toBe(403);
});
