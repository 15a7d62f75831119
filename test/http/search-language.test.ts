/** Searches of every kind over HTTP, over a small record: what each finds. @see https://hl7.org/fhir/R4/search.html */
import type { Bundle, Resource } from '@medplum/fhirtypes';
import { type Caller, startTestService, type TestService } from './service.ts';

const UCUM = 'http://unitsofmeasure.org';
const LOINC = 'http://loinc.org';

const RECORD = [
  {
    resourceType: 'Organization',
    id: 'clinic',
    name: 'Ketamine Clinic',
    partOf: { reference: 'Organization/group' },
  },
  { resourceType: 'Organization', id: 'group', name: 'Group of Clinics' },
  {
    resourceType: 'Patient',
    id: 'ann',
    identifier: [{ system: 'urn:mrn', value: '1', type: { coding: [{ system: 'http://v2', code: 'MR' }] } }],
    name: [{ family: "O'Brien", given: ['Ånn'] }],
    gender: 'female',
    birthDate: '1980-05-17',
    managingOrganization: { reference: 'Organization/clinic' },
    text: { status: 'generated', div: '<div xmlns="http://www.w3.org/1999/xhtml">A gardener from Basel</div>' },
  },
  {
    resourceType: 'Patient',
    id: 'bob',
    name: [{ family: 'Meyer', given: ['Bob'] }],
    birthDate: '1985',
    address: [{ use: 'home', city: 'Bern' }],
  },
  { resourceType: 'Practitioner', id: 'doc', name: [{ family: 'Doctor' }] },
  { resourceType: 'Practitioner', id: 'maria', name: [{ family: 'Carreño Quiñones', given: ['Maria'] }] },
  {
    resourceType: 'MedicationRequest',
    id: 'troche',
    status: 'active',
    intent: 'order',
    contained: [
      {
        resourceType: 'Medication',
        id: 'm1',
        code: { text: 'Compounded troche' },
        ingredient: [{ itemCodeableConcept: { coding: [{ system: 'http://acme.com./medications', code: 'abc' }] } }],
      },
    ],
    medicationReference: { reference: '#m1' },
    subject: { reference: 'Patient/bob' },
  },
  {
    resourceType: 'Encounter',
    id: 'visit',
    status: 'finished',
    class: { system: 'http://terminology.hl7.org/CodeSystem/v3-ActCode', code: 'AMB' },
    subject: { reference: 'Patient/ann' },
    participant: [{ individual: { reference: 'Practitioner/doc' } }],
    period: { start: '2025-03-09T09:00:00Z', end: '2025-03-09T11:00:00Z' },
  },
  {
    resourceType: 'Observation',
    id: 'dose',
    status: 'final',
    code: { coding: [{ system: LOINC, code: '1-1', display: 'Dose given' }], text: 'Ketamine' },
    subject: { reference: 'Patient/ann' },
    encounter: { reference: 'Encounter/visit' },
    effectiveDateTime: '2025-03-09T10:00:00Z',
    valueQuantity: { value: 0.0054, unit: 'g', system: UCUM, code: 'g' },
  },
  {
    resourceType: 'Observation',
    id: 'pressure',
    status: 'preliminary',
    code: { coding: [{ system: LOINC, code: '85354-9' }] },
    subject: { reference: 'Patient/bob' },
    effectivePeriod: { start: '2025-04-01' },
    component: [
      { code: { coding: [{ system: LOINC, code: '8480-6' }] }, valueQuantity: mmHg(120) },
      { code: { coding: [{ system: LOINC, code: '8462-4' }] }, valueQuantity: mmHg(80) },
    ],
  },
  {
    resourceType: 'Observation',
    id: 'foreign',
    status: 'final',
    code: { text: 'of someone known elsewhere' },
    subject: { identifier: { system: 'urn:mrn', value: '99' }, display: 'Somebody' },
  },
  {
    resourceType: 'List',
    id: 'watch',
    status: 'current',
    mode: 'working',
    entry: [{ item: { reference: 'Patient/bob' } }],
  },
  {
    resourceType: 'Questionnaire',
    id: 'q',
    status: 'active',
    url: 'http://acme.org/fhir/Questionnaire/q',
    version: '1.2',
  },
  {
    resourceType: 'QuestionnaireResponse',
    id: 'answers',
    status: 'completed',
    questionnaire: 'http://acme.org/fhir/Questionnaire/q|1.2',
    subject: { reference: 'Patient/ann' },
  },
  {
    resourceType: 'Location',
    id: 'basel',
    name: 'Basel',
    position: { latitude: 47.56, longitude: 7.59 },
  },
  {
    resourceType: 'DocumentReference',
    id: 'letter',
    status: 'current',
    subject: { reference: 'Patient/ann' },
    content: [{ attachment: { contentType: 'text/plain; charset=UTF-8', title: 'Letter' } }],
  },
] as unknown as Resource[];

function mmHg(value: number) {
  return { value, unit: 'mmHg', system: UCUM, code: 'mm[Hg]' };
}

let service: TestService;
let caller: Caller;

beforeAll(async () => {
  service = await startTestService();
  caller = service.as(await service.token());
  const entry = RECORD.map((resource) => ({
    resource,
    request: { method: 'PUT' as const, url: `${resource.resourceType}/${resource.id}` },
  }));
  const { status, text } = await caller.post('/fhir', { resourceType: 'Bundle', type: 'transaction', entry } as Bundle);
  if (status !== 200) throw new Error(text);
}, 60_000);

afterAll(() => service.close());

async function found(url: string, mode = 'match'): Promise<string[]> {
  const at = url.indexOf('?');
  const query = [...new URLSearchParams(url.slice(at + 1))].map((pair) => pair.map(encodeURIComponent).join('='));
  const { status, body, text } = await caller.get(`/fhir/${url.slice(0, at)}?${query.join('&')}`);
  if (status !== 200) throw new Error(`${status} ${text}`);
  return ((body as Bundle).entry ?? [])
    .filter(({ search, resource }) => search?.mode === mode && resource?.resourceType !== 'Provenance')
    .map(({ resource }) => resource?.id as string)
    .sort();
}

test.each<[string, string[]]>([
  ['Patient?name=obrien', ['ann']],
  ["Patient?name=O'B", ['ann']],
  ['Patient?given=ann', ['ann']],
  ['Patient?given:exact=Ann', []],
  ['Patient?given:exact=Ånn', ['ann']],
  ['Patient?family:contains=rie', ['ann']],
  ['Patient?gender:missing=true', ['bob']],
  ['Patient?gender:not=male', ['ann', 'bob']],
  ['Patient?gender=http://hl7.org/fhir/administrative-gender|female', ['ann']],
  ['Patient?gender=http://hl7.org/fhir/administrative-gender|', ['ann']],
  ['Patient?gender=http://hl7.org/fhir/address-use|', []],
  ['Patient?address-use=http://hl7.org/fhir/address-use|home', ['bob']],
  ['Patient?address-use=http://hl7.org/fhir/address-use|', ['bob']],
  ['Patient?address-use:in=http://hl7.org/fhir/ValueSet/address-use', ['bob']],
  ['Patient?birthdate=1980', ['ann']],
  ['Patient?birthdate=ge1985', ['bob']],
  ['Patient?birthdate=lt1985-06', ['ann', 'bob']],
  ['Patient?_id=ann,bob,nobody', ['ann', 'bob']],
  ['Patient?identifier=urn:mrn|1', ['ann']],
  ['Patient?identifier:of-type=http://v2|MR|1', ['ann']],
  ['Patient?identifier:of-type=http://v2|SS|1', []],
  ['Patient?_list=watch', ['bob']],
  ['Patient?_text=gardener', ['ann']],
  ['Patient?_content=basel', ['ann']],
  ['Observation?code:text=dose', ['dose']],
  ['Observation?code:text=ketamine', ['dose']],
  ['Observation?code:text=given', []],
  [`Observation?value-quantity=5.4|${UCUM}|mg`, ['dose']],
  [`Observation?value-quantity=gt5.4|${UCUM}|mg`, []],
  [`Observation?value-quantity=ge5.4|${UCUM}|mg`, ['dose']],
  ['Observation?value-quantity=0.0054||g', ['dose']],
  [`Observation?component-value-quantity=16.0|${UCUM}|kPa`, ['pressure']],
  ['Observation?date=2025-03', ['dose']],
  ['Observation?date=sa2025-03', ['pressure']],
  ['Observation?date=ge2030', ['pressure']],
  ['Observation?subject=Patient/ann', ['dose']],
  ['Observation?patient=bob', ['pressure']],
  ['Observation?subject:identifier=urn:mrn|99', ['foreign']],
  ['Observation?patient:identifier=urn:mrn|99', ['foreign']],
  ['Observation?component-code-value-quantity=8480-6$120', ['pressure']],
  ['Observation?component-code-value-quantity=8480-6$80', []],
  ['Observation?combo-code-value-quantity=8462-4$lt100,1-1$0.0054', ['dose', 'pressure']],
  ['Observation?code-value-quantity=85354-9$120', []],
  ['Observation?subject:Patient.name=obrien', ['dose']],
  ['Observation?subject.name=obrien', ['dose']],
  ['Observation?patient.organization.name=ketamine', ['dose']],
  ['Observation?patient.organization.partof.name=group', ['dose']],
  ['Observation?encounter.participant:Practitioner.name=doctor', ['dose']],
  ['Observation?encounter.patient.organization.partof.name=group', ['dose']],
  ['Observation?patient._list=watch', ['pressure']],
  ['Patient?_has:Observation:patient:status=final', ['ann']],
  ['Patient?_has:Observation:patient:code-value-quantity=1-1$0.0054', ['ann']],
  ['Organization?_has:Patient:organization:_has:Observation:patient:status=final', ['clinic']],
  ['Practitioner?_has:Encounter:practitioner:patient.birthdate=1980', ['doc']],
  ['Practitioner?family=carreno', ['maria']],
  ['Practitioner?family=quinones', ['maria']],
  ['Practitioner?name=Quiñ', ['maria']],
  ['Practitioner?family:exact=Quiñones', []],
  ['Practitioner?family:exact=Carreño Quiñones', ['maria']],
  ['MedicationRequest?medication.ingredient-code=abc', ['troche']],
  ['MedicationRequest?medication.ingredient-code=http://acme.com./medications|abc', ['troche']],
  ['MedicationRequest?medication.ingredient-code=abd', []],
  ['MedicationRequest?medication.code:text=compounded', ['troche']],
  ['Medication?ingredient-code=abc', []],
  ['Questionnaire?url=http://acme.org/fhir/Questionnaire/q', ['q']],
  ['Questionnaire?url=http://acme.org/fhir/Questionnaire/q|1.2', ['q']],
  ['Questionnaire?url=http://acme.org/fhir/Questionnaire/q|2', []],
  ['Questionnaire?url:below=http://acme.org/fhir/', ['q']],
  ['Questionnaire?url:above=http://acme.org/fhir/Questionnaire/q/_history/5', ['q']],
  ['QuestionnaireResponse?questionnaire=http://acme.org/fhir/Questionnaire/q', ['answers']],
  ['QuestionnaireResponse?questionnaire:below=http://acme.org/fhir/Questionnaire/q|1', ['answers']],
  ['QuestionnaireResponse?questionnaire:below=http://acme.org/fhir/Questionnaire/q|2', []],
  ['Location?near=47.5|7.6|20|km', ['basel']],
  ['Location?near=48.5|7.6|20|km', []],
  ['DocumentReference?contenttype=text/plain', []],
  ['DocumentReference?contenttype:below=text/plain', ['letter']],
  ['Patient?_filter=name sw "obr" and not(gender eq male)', ['ann']],
  ['Patient?_filter=birthdate lt 1981 or name eq meyer', ['ann', 'bob']],
  ['Observation?_filter=patient[gender eq female].birthdate le 1980-12-31', ['dose']],
  ['Observation?_filter=value-quantity pr false', ['foreign', 'pressure']],
  ['?_type=Patient,Organization&_id=ann,clinic', ['ann', 'clinic']],
  ['Observation?patient._id=ann', ['dose']],
  ['Observation?patient._lastUpdated=gt2020', ['dose', 'pressure']],
  ['Observation?patient.gender:missing=true', ['pressure']],
  ['Observation?patient.gender:not=male', ['dose', 'pressure']],
  ['Observation?subject:missing=true', []],
  ['MedicationRequest?medication:missing=true', []],
  ['Observation?encounter:missing=true', ['foreign', 'pressure']],
  ['Patient?_has:Observation:patient:_id=dose', ['ann']],
  ['Patient?_has:Observation:patient:_lastUpdated=gt2020', ['ann', 'bob']],
  ['Patient?_has:Observation:patient:code:text=dose', ['ann']],
  ['Patient?_has:Observation:patient:date=sa2025-03', ['bob']],
  ['Patient?_has:Observation:patient:status=final&_has:Encounter:patient:status=finished', ['ann']],
  ['Observation?status:in=http://hl7.org/fhir/ValueSet/observation-status', ['dose', 'foreign', 'pressure']],
  ['Observation?status:not-in=http://hl7.org/fhir/ValueSet/observation-status', []],
  ['Patient?gender:in=http://hl7.org/fhir/ValueSet/administrative-gender', ['ann']],
  ['Patient?_has:Observation:patient:status:in=http://hl7.org/fhir/ValueSet/observation-status', ['ann', 'bob']],
  ['Encounter?class:below=http://terminology.hl7.org/CodeSystem/v3-ActCode|_ActEncounterCode', ['visit']],
  ['Encounter?class:above=http://terminology.hl7.org/CodeSystem/v3-ActCode|AMB', ['visit']],
  ['Patient?_filter=gender in http://hl7.org/fhir/ValueSet/administrative-gender', ['ann']],
  ['Observation?_filter=code eq http://loinc.org|1-1 or component-code eq 8480-6', ['dose', 'pressure']],
  ['Observation?status=final,preliminary&patient=Patient/ann,Patient/bob', ['dose', 'pressure']],
  ['Observation?status=final&status=preliminary', []],
  ['Observation?combo-code=85354-9,8480-6', ['pressure']],
  ['Observation?combo-value-quantity=gt100||mmHg', ['pressure']],
  ['Observation?code=http://loinc.org|', ['dose', 'pressure']],
  ['Observation?code=|1-1', []],
  ['Observation?_lastUpdated=ge2020-01-01&_lastUpdated=lt2100', ['dose', 'foreign', 'pressure']],
  ['Observation?date:missing=true', ['foreign']],
  ['Observation?date=ne2025-03-09', ['pressure']],
  ['Observation?date=eb2025-04', ['dose']],
  ['Patient?organization:Organization=clinic', ['ann']],
  ['Patient?address:missing=true', ['ann']],
  ['List?item.name=bob', ['watch']],
  ['List?item:Patient.name=bob', ['watch']],
  ["Patient?name=' OR 1=1--", []],
  ["Observation?code=' OR 1=1--", []],
  ['Patient?_id=%', []],
  ['Patient/ann/Observation?', ['dose']],
  ['Patient/ann/*?_lastUpdated=gt2020', ['ann', 'answers', 'dose', 'letter', 'visit']],
  ['Patient/ann/*?_type=Observation,Encounter', ['dose', 'visit']],
  ['Practitioner/doc/Encounter?', ['visit']],
  ['Encounter/visit/*?_type=Observation,Procedure', ['dose']],
])('%s', async (url, ids) => {
  expect(await found(url)).toEqual(ids);
});

test.each<[string, string[]]>([
  ['Observation?_id=dose&_include=Observation:patient', ['ann']],
  ['Observation?_id=dose&_include=Observation:patient&_include:iterate=Patient:organization', ['ann', 'clinic']],
  [
    'Observation?_id=dose&_include=Observation:patient&_include:iterate=Patient:organization&_include:iterate=Organization:partof',
    ['ann', 'clinic', 'group'],
  ],
  ['Observation?_id=dose&_include=*', ['ann', 'visit']],
  ['Observation?_id=dose&_include=Observation:subject:Device', []],
  ['Patient?_id=ann&_revinclude=Encounter:patient&_revinclude:iterate=Observation:encounter', ['dose', 'visit']],
])('%s includes', async (url, ids) => {
  expect(await found(url, 'include')).toEqual(ids);
});

test.each<[string, string[]]>([
  ['Observation?_sort=-date', ['pressure', 'dose', 'foreign']],
  ['Observation?_sort=status,-date', ['dose', 'foreign', 'pressure']],
  ['Observation?_sort=subject', ['dose', 'pressure', 'foreign']],
  ['Observation?_sort=-value-quantity', ['dose']],
  ['Patient?_sort=-birthdate', ['bob', 'ann']],
])('%s', async (url, ids) => {
  const { body } = await caller.get(`/fhir/${url}`);
  const given = ((body as Bundle).entry ?? []).map(({ resource }) => resource?.id);
  expect(given.slice(0, ids.length)).toEqual(ids);
});

test.each<[string, number | undefined]>([
  ['Observation?', 3],
  ['Observation?patient=ann', 1],
  ['Observation?patient=ann&_include=Observation:patient', 1],
  ['Observation?patient=nobody', 0],
  ['Observation?_count=3', 3],
  ['Observation?_count=2', undefined],
  ['Observation?_count=2&_total=accurate', 3],
  ['Observation?_total=none', undefined],
])('the total of %s is %s: without being asked for where one page has all matches', async (url, total) => {
  const { body } = await caller.get(`/fhir/${url}`);
  expect((body as Bundle).total).toBe(total);
});

test('a summary, and elements, are marked as part of the whole', async () => {
  const { body } = await caller.get('/fhir/Patient?_id=ann&_elements=birthDate');
  expect((body as Bundle).entry?.[0]?.resource).toEqual({
    resourceType: 'Patient',
    id: 'ann',
    meta: expect.objectContaining({ tag: [expect.objectContaining({ code: 'SUBSETTED' })] }),
    birthDate: '1980-05-17',
  });
  const text = await caller.get('/fhir/Patient?_id=ann&_summary=text');
  expect(Object.keys((text.body as Bundle).entry?.[0]?.resource ?? {})).toEqual(['resourceType', 'id', 'meta', 'text']);
});

test('an unknown value set is a fault of the request', async () => {
  const { status, body } = await caller.get('/fhir/Observation?code:in=http://nowhere/ValueSet/x');
  expect(status).toBe(400);
  expect(body).toMatchObject({ issue: [{ code: 'not-found', expression: ['http.code:in'] }] });
});
