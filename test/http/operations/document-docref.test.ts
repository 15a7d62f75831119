import type { Bundle, DocumentReference } from '@medplum/fhirtypes';
import { startTestService, type TestService } from '../service.ts';

let service: TestService;
let token: string;

const ccd = { coding: [{ system: 'http://loinc.org', code: '34133-9' }] };
const noteType = { coding: [{ system: 'http://loinc.org', code: '34904-3' }] };
const kap = 'https://kap.example.org/fhir/CodeSystem/kap';
const PROFILE = 'http://hl7.org/fhir/us/ccda/StructureDefinition/CCD-document';

function of(id: string, more: Partial<DocumentReference>): DocumentReference {
  return {
    resourceType: 'DocumentReference',
    id,
    status: 'current',
    subject: { reference: 'Patient/p1' },
    content: [{ attachment: { contentType: 'text/plain', data: 'aGk=' } }],
    ...more,
  };
}

const documents: DocumentReference[] = [
  of('ccd-old', { type: ccd, context: { period: { start: '2025-01-01', end: '2025-06-30' } } }),
  of('ccd-new', { type: ccd, context: { period: { start: '2025-07-01', end: '2025-12-31' } } }),
  of('note', {
    type: noteType,
    date: '2025-03-03T10:00:00Z',
    content: [{ attachment: { contentType: 'text/plain', data: 'aGk=' }, format: { system: 'urn:x', code: PROFILE } }],
  }),
  of('superseded', { type: noteType, status: 'superseded', date: '2026-01-01T00:00:00Z' }),
  of('psychotherapy', {
    type: { coding: [{ system: kap, code: 'psychotherapy-note' }] },
    date: '2026-01-01T00:00:00Z',
  }),
  of('other', { type: ccd, subject: { reference: 'Patient/p2' } }),
];

beforeAll(async () => {
  service = await startTestService();
  token = await service.token();
  for (const id of ['p1', 'p2'])
    await service.as(token).put(`/fhir/Patient/${id}`, { resourceType: 'Patient', id }).expect(201);
  for (const each of documents) await service.as(token).put(`/fhir/DocumentReference/${each.id}`, each).expect(201);
});
afterAll(() => service.close());

const ids = ({ entry }: Bundle): (string | undefined)[] => (entry ?? []).map(({ resource }) => resource?.id);

test.each<[string, string, string[]]>([
  ['the current document of each kind', 'patient=p1', ['ccd-new', 'note']],
  ['all that fall into a period', 'patient=p1&start=2025-01-01&end=2025-06-30', ['ccd-old', 'note']],
  ['all from a day on', 'patient=p1&start=2025-04-01', ['ccd-new', 'ccd-old']],
  ['all until a day', 'patient=p1&end=2025-03-03', ['ccd-old', 'note']],
  ['those of a type', 'patient=p1&type=http://loinc.org|34133-9&start=2000', ['ccd-new', 'ccd-old']],
  ['those of a profile', `patient=p1&profile=${PROFILE}`, ['note']],
  ['none that is made on demand', 'patient=p1&on-demand=true', []],
  ['stable ones otherwise', 'patient=p1&on-demand=false', ['ccd-new', 'note']],
  ['none of nobody', 'patient=nobody', []],
])('$docref answers %s', async (_title, query, expected) => {
  const { body } = await service.as(token).get(`/fhir/DocumentReference/$docref?${query}`).expect(200);
  expect(body).toMatchObject({ resourceType: 'Bundle', type: 'searchset', total: expected.length });
  expect(ids(body)).toEqual(expected);
});

test('POST takes a concept as such', async () => {
  const sent = {
    resourceType: 'Parameters',
    parameter: [
      { name: 'patient', valueId: 'p1' },
      { name: 'type', valueCodeableConcept: noteType },
    ],
  };
  expect(ids((await service.as(token).post('/fhir/DocumentReference/$docref', sent).expect(200)).body)).toEqual([
    'note',
  ]);
});

test.each<[string, string, string]>([
  ['without a patient', '', 'Parameters.parameter'],
  ['with a date that is none', 'patient=p1&start=x', 'http.start'],
  ['with an unknown parameter', 'patient=p1&foo=1', 'http.foo'],
])('a request %s is refused', async (_title, query, place) => {
  const { body } = await service.as(token).get(`/fhir/DocumentReference/$docref?${query}`).expect(400);
  expect(body.issue[0].expression).toEqual([place]);
});

test('the scopes to search and read documents are needed', async () => {
  const few = await service.token('system/DocumentReference.s system/Patient.rs');
  await service.as(few).get('/fhir/DocumentReference/$docref?patient=p1').expect(403);
});
