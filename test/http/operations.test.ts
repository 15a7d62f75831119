import type {
  Bundle,
  CarePlan,
  MedicationAdministration,
  Observation,
  OperationOutcome,
  Resource,
} from '@medplum/fhirtypes';
import { installProtocol } from '../../src/record/install-protocol.ts';
import { activities, applyParameters, infusion, type Parameter, parameters, plan } from '../kap/chart.ts';
import { writeContext } from '../record/clinic.ts';
import { startTestService, type TestService } from './service.ts';

let service: TestService;
let token: string;
let carePlanId: string;

const people: Resource[] = [
  { resourceType: 'Patient', id: 'p1', birthDate: '1988-02-03', name: [{ family: 'Test', given: ['Ines'] }] },
  { resourceType: 'Practitioner', id: 'nurse' },
  { resourceType: 'Practitioner', id: 'doctor' },
  { resourceType: 'Practitioner', id: 'therapist' },
  { resourceType: 'Organization', id: 'clinic', name: 'Clinic' },
  { resourceType: 'Condition', id: 'c1', subject: { reference: 'Patient/p1' } },
];

beforeAll(async () => {
  service = await startTestService();
  token = await service.token();
  const { record, parts } = service.clinic;
  await installProtocol(parts.store, record, [plan(), ...activities()], writeContext('update'));
  for (const person of people) await as().put(`/fhir/${person.resourceType}/${person.id}`, person).expect(201);
});
afterAll(() => service.close());

function as() {
  return service.as(token);
}

function resourcesOf<T extends Resource['resourceType']>(
  bundle: Bundle,
  type: T,
): Extract<Resource, { resourceType: T }>[] {
  return (bundle.entry ?? []).flatMap(({ resource }) =>
    resource?.resourceType === type ? [resource as Extract<Resource, { resourceType: T }>] : [],
  );
}

function statusesOf({ entry }: Bundle): Set<string | undefined> {
  return new Set(entry?.map(({ response }) => response?.status.slice(0, 3)));
}

async function numberOfVersions(): Promise<number> {
  const pool = service.clinic.database.clinicPool();
  const { rows } = await pool.query<{ n: string }>('select count(*) as n from resource_version');
  return Number(rows[0]?.n);
}

const apply = () => as().post(`/fhir/PlanDefinition/${plan().id}/$apply`, parameters(...applyParameters()));
const record = (parameter: Parameter[]) =>
  as().post(`/fhir/CarePlan/${carePlanId}/$record-infusion`, parameters(...parameter));

test('$apply takes the subject as R4 writes it, and plans from now on when no start is given', async () => {
  await as()
    .put('/fhir/Patient/p2', { ...people[0], id: 'p2' })
    .expect(201);
  const sent = parameters({ name: 'subject', valueString: 'Patient/p2' } as Parameter);
  const enrolled: Bundle = (await as().post(`/fhir/PlanDefinition/${plan().id}/$apply`, sent).expect(200)).body;
  const orders = resourcesOf(enrolled, 'ServiceRequest');
  const infusions = orders.filter(({ code }) => code?.text?.startsWith('Ketamine'));
  expect(infusions).toHaveLength(6);
  expect(infusions[0]?.occurrencePeriod?.start).toEqual(expect.any(String));
});

test('$apply enrols a patient once, however often it is sent', async () => {
  const first: Bundle = (await apply().expect(200)).body;
  expect(first.type).toBe('transaction-response');
  const [carePlan] = resourcesOf(first, 'CarePlan') as [CarePlan];
  expect(carePlan).toMatchObject({ status: 'active', subject: { reference: 'Patient/p1' } });
  expect(resourcesOf(first, 'EpisodeOfCare')).toHaveLength(1);
  carePlanId = carePlan.id as string;

  const before = await numberOfVersions();
  const again: Bundle = (await apply().expect(200)).body;
  expect(resourcesOf(again, 'CarePlan').map(({ id }) => id)).toEqual([carePlanId]);
  expect(statusesOf(again)).toEqual(new Set(['200']));
  expect(await numberOfVersions()).toBe(before);
});

test('$record-infusion answers the linked resources of the session, and the same message twice is one session', async () => {
  const first: Bundle = (await record(infusion()).expect(200)).body;
  const [given] = resourcesOf(first, 'MedicationAdministration') as [MedicationAdministration];
  expect(given.dosage?.dose?.value).toBe(34);
  expect(given.subject.reference).toBe('Patient/p1');
  for (const { fullUrl, resource, response } of first.entry ?? []) {
    expect(fullUrl).toMatch(new RegExp(`/${resource?.resourceType}/${resource?.id}$`));
    expect(response?.etag).toBeDefined();
  }
  const before = await numberOfVersions();
  await service.newAuditEvents();
  const again: Bundle = (await record(infusion()).expect(200)).body;
  expect(statusesOf(again)).toEqual(new Set(['200']));
  expect(await numberOfVersions()).toBe(before);
  const events = await service.newAuditEvents();
  expect(events.map(({ subtype }) => subtype?.[0]?.code)).toEqual(['operation']);
  const { body: stored } = await as().get('/fhir/MedicationAdministration?patient=p1').expect(200);
  expect(resourcesOf(stored as Bundle, 'MedicationAdministration').map(({ id }) => id)).toEqual([given.id]);
});

test('the same message sent several times at once is one session, and everyone is answered', async () => {
  await as()
    .put('/fhir/Patient/p3', { ...people[0], id: 'p3' })
    .expect(201);
  const subject: Parameter = { name: 'subject', valueReference: { reference: 'Patient/p3' } };
  const others = applyParameters().filter(({ name }) => name !== 'subject' && name !== 'condition');
  const enrolment = as().post(`/fhir/PlanDefinition/${plan().id}/$apply`, parameters(subject, ...others));
  const [course] = resourcesOf((await enrolment.expect(200)).body, 'CarePlan');
  const send = () => as().post(`/fhir/CarePlan/${course?.id}/$record-infusion`, parameters(...infusion()));
  const answers = await Promise.all([send(), send(), send(), send()]);
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
  const { body: stored } = await as().get('/fhir/MedicationAdministration?patient=p3').expect(200);
  expect(resourcesOf(stored as Bundle, 'MedicationAdministration')).toHaveLength(1);
});

test('the table of a monitor can be the body, with the rest of the session in the url', async () => {
  const query = new URLSearchParams({
    session: '2',
    arrival: '2026-09-17T09:05:00-05:00',
    start: '2026-09-17T09:35:00-05:00',
    end: '2026-09-17T10:22:00-05:00',
    departure: '2026-09-17T11:35:00-05:00',
    dose: '34|http://unitsofmeasure.org|mg',
    nurse: 'Practitioner/nurse',
  });
  const send = (csv: string) =>
    service.http
      .post(`/fhir/CarePlan/${carePlanId}/$record-infusion?${query}`)
      .set('authorization', `Bearer ${token}`)
      .set('content-type', 'text/csv')
      .send(csv);
  const before = await numberOfVersions();
  const bad = await send('time,systolic,diastolic\n09:40,120,80\n09:45,many,82\n').expect(400);
  expect((bad.body as OperationOutcome).issue[0]?.diagnostics).toMatch(/row 3, column systolic/);
  expect(await numberOfVersions()).toBe(before);

  const { body } = await send('time,systolic,diastolic\n09:40,120,80\n09:45,124,82\n').expect(200);
  const pressures = resourcesOf(body as Bundle, 'Observation').filter(({ component }) => component?.length === 2);
  expect(pressures.map(({ component }) => component?.[0]?.valueQuantity?.value)).toEqual([120, 124]);
});

test('$record-integration records the therapy of an infusion, and the rules tell its interval', async () => {
  const { body } = await as()
    .post(
      `/fhir/CarePlan/${carePlanId}/$record-integration`,
      parameters(
        { name: 'start', valueDateTime: '2026-09-15T11:00:00-05:00' },
        { name: 'end', valueDateTime: '2026-09-15T11:50:00-05:00' },
        { name: 'therapist', valueReference: { reference: 'Practitioner/therapist' } },
      ),
    )
    .expect(200);
  expect(resourcesOf(body as Bundle, 'Encounter')).toHaveLength(1);
  const { body: found } = await as().get('/fhir/Observation?patient=p1&_count=1000').expect(200);
  const intervals = resourcesOf(found as Bundle, 'Observation').filter((observation: Observation) =>
    JSON.stringify(observation.code).includes('interval'),
  );
  expect(intervals.length).toBeGreaterThan(0);
});

const MG = { unit: 'mg', system: 'http://unitsofmeasure.org', code: 'mg' };

test.each<[string, Record<string, Parameter | null>, string]>([
  ['a dose without unit', { dose: { name: 'dose', valueQuantity: { value: 34 } } }, 'dose'],
  ['an end before the start', { end: { name: 'end', valueDateTime: '2026-09-14T09:00:00-05:00' } }, 'end'],
  ['no dose', { dose: null }, 'dose'],
  ['a parameter that does not exist', { dose: { name: 'dosis', valueQuantity: { value: 34, ...MG } } }, 'parameter'],
])('$record-infusion with %s is refused with its place, and nothing is stored', async (_about, changes) => {
  const before = await numberOfVersions();
  const answer = await record([{ name: 'session', valueInteger: 3 }, ...infusion(changes)]);
  expect([400, 422]).toContain(answer.status);
  const outcome = answer.body as OperationOutcome;
  expect(outcome.issue.every(({ expression }) => expression?.[0]?.startsWith('Parameters'))).toBe(true);
  expect(await numberOfVersions()).toBe(before);
});

test.each([
  ['no body', '', 400],
  ['a body that is not Parameters', '{"resourceType":"Patient"}', 400],
])('an operation with %s is refused', async (_about, body, status) => {
  const answer = await service.http
    .post(`/fhir/CarePlan/${carePlanId}/$record-infusion`)
    .set('authorization', `Bearer ${token}`)
    .set('content-type', 'application/fhir+json')
    .send(body);
  expect(answer.status).toBe(status);
});

test.each([
  ['a plan that does not exist', '/fhir/PlanDefinition/no-such/$apply', {}, 404],
  ['no subject', `/fhir/PlanDefinition/kap-iv-induction/$apply`, {}, 400],
  ['a subject that does not exist', `/fhir/PlanDefinition/kap-iv-induction/$apply`, subject('Patient/nobody'), 422],
  [
    'a subject that no search matches',
    `/fhir/PlanDefinition/kap-iv-induction/$apply`,
    subject('Patient?identifier=x|y'),
    422,
  ],
  ['a subject that is no patient', `/fhir/PlanDefinition/kap-iv-induction/$apply`, subject('Practitioner/nurse'), 400],
  ['a course that does not exist', '/fhir/CarePlan/no-such/$record-infusion', {}, 404],
])('%s is refused', async (_about, path, given, status) => {
  const answer = await as().post(path, { resourceType: 'Parameters', ...given });
  expect([answer.status, answer.body.resourceType]).toEqual([status, 'OperationOutcome']);
});

function subject(reference: string): object {
  return {
    parameter: [
      { name: 'subject', valueReference: { reference } },
      { name: 'start', valueDateTime: '2026-09-14T09:30:00-05:00' },
    ],
  };
}

test('an operation needs the scopes that its transaction would need by hand', async () => {
  const limited = service.as(await service.token('system/*.rs'));
  const answer = await limited.post(`/fhir/CarePlan/${carePlanId}/$record-infusion`, parameters(...infusion()));
  expect(answer.status).toBe(403);
  expect((answer.body as OperationOutcome).issue[0]?.diagnostics).toMatch(/system\/[A-Z][A-Za-z]+\.[cu]/);
});
