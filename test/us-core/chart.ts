/** One resource of each type that US Core searches, and for each of its parameters what finds it and what does not. */
import type { Resource } from '@medplum/fhirtypes';

const LOINC = 'http://loinc.org';
const SNOMED = 'http://snomed.info/sct';
const HL7 = 'http://terminology.hl7.org/CodeSystem';
const US_CORE = 'http://hl7.org/fhir/us/core';

const concept = (system: string, code: string) => ({ coding: [{ system, code }] });
const patient = { reference: 'Patient/uc-patient' };
const practitioner = { reference: 'Practitioner/uc-practitioner' };
const encounter = { reference: 'Encounter/uc-encounter' };
const DAY = '2025-03-01';
const NOON = '2025-03-01T12:00:00Z';

export const chart: readonly Resource[] = [
  {
    resourceType: 'Patient',
    id: 'uc-patient',
    extension: [
      {
        url: `${US_CORE}/StructureDefinition/us-core-race`,
        extension: [
          { url: 'ombCategory', valueCoding: { system: 'urn:oid:2.16.840.1.113883.6.238', code: '2106-3' } },
          { url: 'text', valueString: 'White' },
        ],
      },
      {
        url: `${US_CORE}/StructureDefinition/us-core-ethnicity`,
        extension: [
          { url: 'ombCategory', valueCoding: { system: 'urn:oid:2.16.840.1.113883.6.238', code: '2186-5' } },
          { url: 'text', valueString: 'Not Hispanic or Latino' },
        ],
      },
      {
        url: `${US_CORE}/StructureDefinition/us-core-genderIdentity`,
        valueCodeableConcept: concept(SNOMED, '446141000124107'),
      },
    ],
    identifier: [{ system: 'https://kap.example.org/id/patient', value: 'UC-1' }],
    name: [{ family: 'Sample', given: ['Uma'] }],
    gender: 'female',
    birthDate: '1980-05-17',
    deceasedDateTime: '2025-04-01',
  },
  {
    resourceType: 'Practitioner',
    id: 'uc-practitioner',
    identifier: [{ system: 'http://hl7.org/fhir/sid/us-npi', value: '1234567893' }],
    name: [{ family: 'Healer', given: ['Hal'] }],
  },
  {
    resourceType: 'Endpoint',
    id: 'uc-endpoint',
    status: 'active',
    connectionType: { system: `${HL7}/endpoint-connection-type`, code: 'hl7-fhir-rest' },
    payloadType: [{ text: 'any' }],
    address: 'https://ehr.example.org/fhir',
  },
  {
    resourceType: 'PractitionerRole',
    id: 'uc-role',
    practitioner,
    specialty: [concept('http://nucc.org/provider-taxonomy', '2084P0800X')],
    endpoint: [{ reference: 'Endpoint/uc-endpoint' }],
  },
  {
    resourceType: 'Organization',
    id: 'uc-organization',
    active: true,
    name: 'Clinic of the lake',
    address: [{ line: ['1 Shore Road'], city: 'Lakeside', state: 'MN', postalCode: '55401' }],
  },
  {
    resourceType: 'Location',
    id: 'uc-location',
    name: 'Infusion room',
    address: { line: ['1 Shore Road'], city: 'Lakeside', state: 'MN', postalCode: '55401' },
  },
  {
    resourceType: 'RelatedPerson',
    id: 'uc-related',
    patient,
    name: [{ family: 'Kin', given: ['Ken'] }],
  },
  {
    resourceType: 'Encounter',
    id: 'uc-encounter',
    identifier: [{ system: 'https://kap.example.org/id/encounter', value: 'UC-E1' }],
    status: 'finished',
    class: { system: `${HL7}/v3-ActCode`, code: 'AMB' },
    type: [concept(SNOMED, '185349003')],
    subject: patient,
    period: { start: NOON, end: '2025-03-01T14:00:00Z' },
    hospitalization: { dischargeDisposition: concept(`${HL7}/discharge-disposition`, 'home') },
    location: [{ location: { reference: 'Location/uc-location' } }],
  },
  {
    resourceType: 'AllergyIntolerance',
    id: 'uc-allergy',
    clinicalStatus: concept(`${HL7}/allergyintolerance-clinical`, 'active'),
    code: { text: 'Penicillin' },
    patient,
  },
  {
    resourceType: 'CarePlan',
    id: 'uc-careplan',
    status: 'active',
    intent: 'plan',
    category: [concept(`${US_CORE}/CodeSystem/careplan-category`, 'assess-plan')],
    subject: patient,
    period: { start: DAY, end: DAY },
  },
  {
    resourceType: 'CareTeam',
    id: 'uc-careteam',
    status: 'active',
    subject: patient,
    participant: [
      { role: [concept(SNOMED, '17561000')], member: practitioner },
      { role: [concept(SNOMED, '133932002')], member: { reference: 'RelatedPerson/uc-related' } },
      { role: [concept(SNOMED, '116154003')], member: patient },
      { role: [concept(SNOMED, '309343006')], member: { reference: 'PractitionerRole/uc-role' } },
    ],
  },
  {
    resourceType: 'Condition',
    id: 'uc-condition',
    extension: [{ url: 'http://hl7.org/fhir/StructureDefinition/condition-assertedDate', valueDateTime: '2025-02-03' }],
    clinicalStatus: concept(`${HL7}/condition-clinical`, 'resolved'),
    category: [concept(`${HL7}/condition-category`, 'problem-list-item')],
    code: concept(SNOMED, '370143000'),
    subject: patient,
    encounter,
    onsetDateTime: '2025-01-02',
    abatementDateTime: '2025-02-20',
    recordedDate: DAY,
  },
  {
    resourceType: 'Coverage',
    id: 'uc-coverage',
    status: 'active',
    beneficiary: patient,
    payor: [{ reference: 'Organization/uc-organization' }],
  },
  { resourceType: 'Device', id: 'uc-device', status: 'active', type: concept(SNOMED, '43770009'), patient },
  {
    resourceType: 'DiagnosticReport',
    id: 'uc-report',
    status: 'final',
    category: [concept(`${HL7}/v2-0074`, 'LAB')],
    code: concept(LOINC, '58410-2'),
    subject: patient,
    effectiveDateTime: NOON,
  },
  {
    resourceType: 'DocumentReference',
    id: 'uc-document',
    status: 'current',
    type: concept(LOINC, '34133-9'),
    category: [concept(`${US_CORE}/CodeSystem/us-core-documentreference-category`, 'clinical-note')],
    subject: patient,
    date: NOON,
    content: [{ attachment: { contentType: 'text/plain', data: 'bm90ZQ==' } }],
    context: { period: { start: NOON, end: '2025-03-01T14:00:00Z' } },
  },
  {
    resourceType: 'Goal',
    id: 'uc-goal',
    lifecycleStatus: 'active',
    description: concept(SNOMED, '281004000'),
    subject: patient,
    target: [{ dueDate: '2025-06-01' }],
  },
  {
    resourceType: 'Immunization',
    id: 'uc-immunization',
    status: 'completed',
    vaccineCode: concept('http://hl7.org/fhir/sid/cvx', '141'),
    patient,
    occurrenceDateTime: DAY,
  },
  { resourceType: 'Medication', id: 'uc-medication', code: { text: 'Ketamine 50 mg/mL' } },
  {
    resourceType: 'MedicationDispense',
    id: 'uc-dispense',
    status: 'completed',
    type: concept(`${HL7}/v3-ActCode`, 'FF'),
    medicationReference: { reference: 'Medication/uc-medication' },
    subject: patient,
    whenHandedOver: NOON,
  },
  {
    resourceType: 'MedicationRequest',
    id: 'uc-request',
    status: 'active',
    intent: 'order',
    medicationReference: { reference: 'Medication/uc-medication' },
    subject: patient,
    encounter,
    authoredOn: DAY,
    requester: practitioner,
  },
  {
    resourceType: 'Observation',
    id: 'uc-observation',
    status: 'final',
    category: [concept(`${HL7}/observation-category`, 'vital-signs')],
    code: concept(LOINC, '29463-7'),
    subject: patient,
    effectiveDateTime: NOON,
    valueQuantity: { value: 70, unit: 'kg', system: 'http://unitsofmeasure.org', code: 'kg' },
  },
  {
    resourceType: 'Procedure',
    id: 'uc-procedure',
    status: 'completed',
    code: concept(SNOMED, '18629005'),
    subject: patient,
    performedDateTime: NOON,
  },
  {
    resourceType: 'QuestionnaireResponse',
    id: 'uc-response',
    questionnaire: 'https://kap.example.org/fhir/Questionnaire/sleep|1.0',
    status: 'completed',
    subject: patient,
    authored: NOON,
  },
  {
    resourceType: 'ServiceRequest',
    id: 'uc-service',
    status: 'active',
    intent: 'order',
    category: [concept(SNOMED, '108252007')],
    code: concept(LOINC, '58410-2'),
    subject: patient,
    authoredOn: DAY,
  },
  { resourceType: 'Specimen', id: 'uc-specimen', type: { text: 'Blood' }, subject: patient },
];

/** What finds the resource and what does not. */
export type Values = readonly [finds: string, misses: string];

const byDate = (day: string): Values => [day, '1999-01-01'];
const ofPatient: Values = ['Patient/uc-patient', 'Patient/somebody-else'];

/** The same for every type. */
const common: Readonly<Record<string, Values>> = { patient: ofPatient, _lastUpdated: ['ge2020-01-01', 'lt2020-01-01'] };

const special: Readonly<Record<string, Readonly<Record<string, Values>>>> = {
  AllergyIntolerance: { 'clinical-status': [`${HL7}/allergyintolerance-clinical|active`, 'inactive'] },
  CarePlan: { category: ['assess-plan', 'other'], date: byDate(DAY), status: ['active', 'draft'] },
  CareTeam: { role: [`${SNOMED}|17561000`, '1'], status: ['active', 'inactive'] },
  Condition: {
    'abatement-date': byDate('2025-02-20'),
    'asserted-date': byDate('2025-02-03'),
    category: ['problem-list-item', 'encounter-diagnosis'],
    'clinical-status': ['resolved', 'active'],
    code: [`${SNOMED}|370143000`, `${SNOMED}|1`],
    encounter: ['Encounter/uc-encounter', 'Encounter/other'],
    'onset-date': byDate('2025-01-02'),
    'recorded-date': byDate(DAY),
  },
  Device: { status: ['active', 'inactive'], type: [`${SNOMED}|43770009`, '1'] },
  DiagnosticReport: {
    category: [`${HL7}/v2-0074|LAB`, 'RAD'],
    code: [`${LOINC}|58410-2`, '1'],
    date: byDate(DAY),
    status: ['final', 'preliminary'],
  },
  DocumentReference: {
    category: ['clinical-note', 'other'],
    date: byDate(DAY),
    period: byDate(DAY),
    status: ['current', 'superseded'],
    type: [`${LOINC}|34133-9`, '1'],
  },
  Encounter: {
    class: ['AMB', 'IMP'],
    date: byDate(DAY),
    'discharge-disposition': ['home', 'hosp'],
    identifier: ['https://kap.example.org/id/encounter|UC-E1', 'UC-E2'],
    location: ['Location/uc-location', 'Location/other'],
    status: ['finished', 'planned'],
    type: [`${SNOMED}|185349003`, '1'],
  },
  Goal: {
    description: [`${SNOMED}|281004000`, '1'],
    'lifecycle-status': ['active', 'completed'],
    'target-date': byDate('2025-06-01'),
  },
  Immunization: { date: byDate(DAY), status: ['completed', 'not-done'] },
  Location: {
    address: ['1 Shore', 'Mountain'],
    'address-city': ['Lakeside', 'Hill'],
    'address-postalcode': ['55401', '99999'],
    'address-state': ['MN', 'CA'],
    name: ['Infusion', 'Therapy'],
  },
  MedicationDispense: { status: ['completed', 'cancelled'], type: ['FF', 'RF'] },
  MedicationRequest: {
    authoredon: byDate(DAY),
    encounter: ['Encounter/uc-encounter', 'Encounter/other'],
    intent: ['order', 'plan'],
    status: ['active', 'stopped'],
  },
  Observation: {
    category: ['vital-signs', 'laboratory'],
    code: [`${LOINC}|29463-7`, `${LOINC}|1`],
    date: byDate(DAY),
    status: ['final', 'amended'],
  },
  Organization: { address: ['Lakeside', 'Hill'], name: ['Clinic', 'Hospital'] },
  Patient: {
    birthdate: byDate('1980-05-17'),
    'death-date': byDate('2025-04-01'),
    ethnicity: ['2186-5', '2135-2'],
    family: ['Sample', 'Other'],
    gender: ['female', 'male'],
    'gender-identity': ['446141000124107', '1'],
    given: ['Uma', 'Other'],
    identifier: ['https://kap.example.org/id/patient|UC-1', 'UC-2'],
    name: ['Sample', 'Other'],
    race: ['2106-3', '2054-5'],
  },
  Practitioner: { identifier: ['http://hl7.org/fhir/sid/us-npi|1234567893', '1'], name: ['Healer', 'Other'] },
  PractitionerRole: {
    practitioner: ['Practitioner/uc-practitioner', 'Practitioner/other'],
    specialty: ['2084P0800X', '1'],
  },
  Procedure: { code: [`${SNOMED}|18629005`, '1'], date: byDate(DAY), status: ['completed', 'stopped'] },
  QuestionnaireResponse: {
    authored: byDate(DAY),
    questionnaire: ['https://kap.example.org/fhir/Questionnaire/sleep', 'https://kap.example.org/fhir/Questionnaire/x'],
    status: ['completed', 'stopped'],
  },
  RelatedPerson: { name: ['Kin', 'Other'] },
  ServiceRequest: {
    authored: byDate(DAY),
    category: ['108252007', '1'],
    code: ['58410-2', '1'],
    status: ['active', 'revoked'],
  },
};

/** @throws Error for a parameter that has no example here */
export function valuesOf(type: string, parameter: string): Values {
  if (parameter === '_id') return [idOf(type), 'other'];
  const values = special[type]?.[parameter] ?? common[parameter];
  if (values === undefined) throw new Error(`no example of ${type}.${parameter}`);
  return values;
}

export function idOf(type: string): string {
  const resource = chart.find(({ resourceType }) => resourceType === type);
  if (resource?.id === undefined) throw new Error(`no ${type} in the chart`);
  return resource.id;
}
