import type { Bundle, Observation } from '@medplum/fhirtypes';
import { startTestService, type TestService } from '../service.ts';

let service: TestService;
let token: string;

const category = [
  { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/observation-category', code: 'vital-signs' }] },
];
const a = { system: 'http://codes.example', code: 'a' };
const b = { system: 'http://codes.example', code: 'b' };
const c = { system: 'http://other.example', code: 'c' };

const observations: Observation[] = [
  { ...of('a1', [a]), effectiveDateTime: '2026-01-01' },
  { ...of('a2', [a]), effectiveDateTime: '2026-01-03' },
  { ...of('a3', [a, c]), effectivePeriod: { start: '2026-01-01', end: '2026-01-05' } },
  { ...of('c1', [c]), effectiveDateTime: '2026-01-04' },
  { ...of('b1', [b]), effectiveDateTime: '2026-02-01T10:00:00Z' },
  { ...of('b2', [b]), effectiveDateTime: '2026-02-01T11:00:00+01:00' },
  { ...of('b3', [b]), effectiveDateTime: '2026-01-01' },
  { ...of('b4', [b]), effectiveDateTime: '2026-03-01', status: 'entered-in-error' },
  { ...of('t1', []), code: { text: 'By text' } },
  { ...of('t2', []), code: { text: 'by text ' }, effectiveDateTime: '2020' },
];

function of(id: string, coding: Observation['code']['coding']): Observation {
  return {
    resourceType: 'Observation',
    id,
    status: 'final',
    category,
    code: { ...(coding?.length ? { coding } : { text: 'x' }) },
    subject: { reference: 'Patient/p1' },
  } as Observation;
}

beforeAll(async () => {
  service = await startTestService();
  token = await service.token();
  await service.as(token).put('/fhir/Patient/p1', { resourceType: 'Patient', id: 'p1' }).expect(201);
  for (const each of observations) await service.as(token).put(`/fhir/Observation/${each.id}`, each).expect(201);
});
afterAll(() => service.close());

const ids = ({ entry }: Bundle): (string | undefined)[] => (entry ?? []).map(({ resource }) => resource?.id);

test.each<[string, string, string[]]>([
  ['one of each kind, and all of the same moment', 'patient=p1&category=vital-signs', ['a3', 'b1', 'b2', 't2']],
  ['two of each kind', 'patient=p1&category=vital-signs&max=2', ['a3', 'c1', 'b1', 'b2', 't2', 't1']],
  ['a kind by its code', 'subject=Patient/p1&code=http://codes.example|b&max=3', ['b1', 'b2', 'b3']],
  [
    'further conditions of a search',
    'patient=p1&category=vital-signs&date=lt2026-01-02&max=9',
    ['a1', 'a3', 'b3', 't2'],
  ],
  ['what was entered in error, when it is asked for', 'patient=p1&code=b&status=entered-in-error', ['b4']],
  ['nothing of somebody else', 'patient=p2&category=vital-signs', []],
])('$lastn answers %s', async (_title, query, expected) => {
  const { body } = await service.as(token).get(`/fhir/Observation/$lastn?${query}`).expect(200);
  expect(body).toMatchObject({ resourceType: 'Bundle', type: 'searchset', total: expected.length });
  expect(ids(body).sort()).toEqual([...expected].sort());
});

test('within a kind the newest comes first', async () => {
  const { body } = await service.as(token).get('/fhir/Observation/$lastn?patient=p1&code=a&max=9').expect(200);
  expect(ids(body)).toEqual(['a3', 'a2', 'a1']);
});

test('POST takes the same in Parameters, search parameters as strings', async () => {
  const sent = {
    resourceType: 'Parameters',
    parameter: [
      { name: 'max', valuePositiveInt: 1 },
      { name: 'patient', valueString: 'p1' },
      { name: 'code', valueString: 'b' },
    ],
  };
  const { body } = await service.as(token).post('/fhir/Observation/$lastn', sent).expect(200);
  expect(ids(body)).toEqual(['b1', 'b2']);
});

test.each<[string, string, string]>([
  ['without a subject', 'code=a', 'http.patient'],
  ['without a code or category', 'patient=p1', 'http.code'],
  ['with a max of nothing', 'patient=p1&code=a&max=0', 'http.max'],
  ['with an order of its own', 'patient=p1&code=a&_sort=date', 'http._sort'],
  ['with an unknown parameter', 'patient=p1&code=a&foo=1', 'http.foo'],
])('a request %s is refused', async (_title, query, place) => {
  const { body } = await service.as(token).get(`/fhir/Observation/$lastn?${query}`).expect(400);
  expect(body.issue[0].expression).toEqual([place]);
});

test('the scope to search Observations is needed', async () => {
  await service
    .as(await service.token('system/Patient.rs'))
    .get('/fhir/Observation/$lastn?patient=p1&code=a')
    .expect(403);
});
