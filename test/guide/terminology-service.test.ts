/** What the guide promises about codes and searches, asked of the service over HTTP. */
import type {
  AdverseEvent,
  Bundle,
  CapabilityStatement,
  DetectedIssue,
  Encounter,
  MedicationAdministration,
  Observation,
  Parameters,
  Patient,
  Practitioner,
  Procedure,
  Resource,
  ServiceRequest,
  ValueSet,
} from '@medplum/fhirtypes';
import { ofType, readGuide } from '../../scripts/guide/source.ts';
import { type Caller, startTestService, type TestService } from '../http/service.ts';

const guide = readGuide();
const KAP = 'https://kap.example.org/fhir/CodeSystem/kap';
const KAP_SETS = 'https://kap.example.org/fhir/ValueSet';

let service: TestService;
let caller: Caller;

beforeAll(async () => {
  service = await startTestService();
  caller = service.as(await service.token());
  for (const resource of record) {
    const { status, text } = await caller.put(`/fhir/${resource.resourceType}/${resource.id}`, resource);
    expect(status === 201 ? '' : text).toBe('');
  }
});
afterAll(() => service.close());

// ---- what is recorded

const subject = { reference: 'Patient/p' };
const kap = (code: string) => ({ coding: [{ system: KAP, code }] });
const patient: Patient = { resourceType: 'Patient', id: 'p', name: [{ family: 'Rivera' }] };
const practitioner: Practitioner = { resourceType: 'Practitioner', id: 'prescriber', name: [{ family: 'Okafor' }] };
const visit: Encounter = {
  resourceType: 'Encounter',
  id: 'visit',
  status: 'finished',
  class: { system: 'http://terminology.hl7.org/CodeSystem/v3-ActCode', code: 'AMB' },
  subject,
};
const infusion: Procedure = {
  resourceType: 'Procedure',
  id: 'infusion',
  status: 'not-done',
  statusReason: { coding: [{ system: 'http://snomed.info/sct', code: '24184005' }], text: 'pressure too high' },
  code: { text: 'infusion' },
  subject,
  extension: [{ url: 'https://kap.example.org/fhir/StructureDefinition/kap-session-number', valuePositiveInt: 3 }],
};
const order: ServiceRequest = {
  resourceType: 'ServiceRequest',
  id: 'order',
  status: 'active',
  intent: 'order',
  code: { text: 'integration session' },
  subject,
  supportingInfo: [{ reference: 'Procedure/infusion' }],
};
const score: Observation = {
  resourceType: 'Observation',
  id: 'score',
  status: 'final',
  code: { text: 'a score' },
  subject,
  interpretation: [kap('response')],
};
const event: AdverseEvent = {
  resourceType: 'AdverseEvent',
  id: 'event',
  identifier: { system: 'https://clinic.example/events', value: 'AE-1' },
  actuality: 'actual',
  subject,
  encounter: { reference: 'Encounter/visit' },
};
const finding: DetectedIssue = {
  resourceType: 'DetectedIssue',
  id: 'finding',
  status: 'final',
  severity: 'high',
  patient: subject,
  code: kap('bp-stop'),
};
const dose: MedicationAdministration = {
  resourceType: 'MedicationAdministration',
  id: 'dose',
  status: 'completed',
  extension: [
    {
      url: 'https://kap.example.org/fhir/StructureDefinition/dose-confirmed-by',
      valueReference: { reference: 'Practitioner/prescriber' },
    },
  ],
  medicationCodeableConcept: {
    coding: [{ system: 'http://www.nlm.nih.gov/research/umls/rxnorm', code: '6130' }],
  },
  subject,
  effectiveDateTime: '2026-03-09T10:00:00-05:00',
  dosage: { dose: { value: 0.035, unit: 'g', system: 'http://unitsofmeasure.org', code: 'g' } },
};
const record: readonly Resource[] = [patient, practitioner, visit, infusion, order, score, event, finding, dose];

async function found(query: string): Promise<string[]> {
  const { status, body } = await caller.get(`/fhir/${query}`);
  expect(status).toBe(200);
  return ((body as Bundle).entry ?? []).map(({ resource }) => `${resource?.resourceType}/${resource?.id}`);
}

// ---- searches

test.each([
  ['DetectedIssue?severity=high', 'DetectedIssue?severity=low', 'DetectedIssue/finding'],
  [`Observation?interpretation=${KAP}|response`, `Observation?interpretation=${KAP}|remission`, 'Observation/score'],
  ['AdverseEvent?encounter=Encounter/visit', 'AdverseEvent?encounter=Encounter/other', 'AdverseEvent/event'],
  [
    'AdverseEvent?identifier=https://clinic.example/events|AE-1',
    'AdverseEvent?identifier=https://clinic.example/events|AE-2',
    'AdverseEvent/event',
  ],
  [
    'ServiceRequest?supporting-info=Procedure/infusion',
    'ServiceRequest?supporting-info=Procedure/other',
    'ServiceRequest/order',
  ],
  ['Procedure?status-reason=24184005', 'Procedure?status-reason=38341003', 'Procedure/infusion'],
  ['Procedure?session-number=3', 'Procedure?session-number=gt3', 'Procedure/infusion'],
  [
    'MedicationAdministration?dose=gt30|http://unitsofmeasure.org|mg',
    'MedicationAdministration?dose=gt40|http://unitsofmeasure.org|mg',
    'MedicationAdministration/dose',
  ],
  [
    'MedicationAdministration?dose-confirmed-by=Practitioner/prescriber',
    'MedicationAdministration?dose-confirmed-by=Practitioner/other',
    'MedicationAdministration/dose',
  ],
])('%s finds what %s does not', async (hit, miss, expected) => {
  expect(await found(hit)).toEqual([expected]);
  expect(await found(miss)).toEqual([]);
});

test.each([
  ['AdverseEvent?_include=AdverseEvent:encounter', ['AdverseEvent/event', 'Encounter/visit']],
  ['Encounter?_id=visit&_revinclude=AdverseEvent:encounter', ['Encounter/visit', 'AdverseEvent/event']],
  ['ServiceRequest?_include=ServiceRequest:supporting-info', ['ServiceRequest/order', 'Procedure/infusion']],
  [
    'MedicationAdministration?_include=MedicationAdministration:dose-confirmed-by',
    ['MedicationAdministration/dose', 'Practitioner/prescriber'],
  ],
  ['ServiceRequest?supporting-info:Procedure.status-reason=24184005', ['ServiceRequest/order']],
  ['MedicationAdministration?_sort=dose', ['MedicationAdministration/dose']],
  ['DetectedIssue?severity:missing=true', []],
  [`Observation?interpretation:in=${KAP_SETS}/kap-score-interpretation`, ['Observation/score']],
])('%s answers %j', async (query, expected) => {
  expect(await found(query)).toEqual(expected);
});

test('the CapabilityStatement of the service lists each search parameter of the guide with its definition', async () => {
  const { body } = await caller.get('/fhir/metadata');
  const resources = (body as CapabilityStatement).rest?.[0]?.resource ?? [];
  for (const { resource } of ofType(guide, 'SearchParameter')) {
    for (const type of resource.base ?? []) {
      const listed = resources.find((one) => one.type === type);
      expect(listed?.searchParam).toContainEqual(
        expect.objectContaining({ name: resource.code, definition: resource.url, type: resource.type }),
      );
      if (resource.type === 'reference') expect(listed?.searchInclude).toContain(`${type}:${resource.code}`);
    }
  }
});

// ---- codes

const named = ofType(guide, 'ValueSet').map(({ resource }) => [resource.id ?? '', resource.url ?? ''] as const);

test.each(named)('$expand of %s lists its codes', async (_id, url) => {
  const { status, body } = await caller.get(`/fhir/ValueSet/$expand?url=${url}`);
  expect(status).toBe(200);
  const { expansion } = body as ValueSet;
  expect(expansion?.total).toBeGreaterThan(0);
  expect(expansion?.contains).toHaveLength(expansion?.total ?? 0);
});

function answerOf({ parameter = [] }: Parameters, name: string): unknown {
  const { name: _name, ...value } = parameter.find((one) => one.name === name) ?? { name };
  return Object.values(value)[0];
}

test.each([
  ['kap-encounter-type', KAP, 'kap-infusion-session', true],
  ['kap-encounter-type', KAP, 'kap-infusion', false],
  ['kap-ketamine-product', 'http://www.nlm.nih.gov/research/umls/rxnorm', '2201623', true],
  ['kap-ketamine-product', 'http://www.nlm.nih.gov/research/umls/rxnorm', '2201624', false],
  ['kap-security-label', 'http://terminology.hl7.org/CodeSystem/v3-Confidentiality', 'R', true],
  ['kap-security-label', 'http://terminology.hl7.org/CodeSystem/v3-ActCode', 'PROCESSINLINELABEL', true],
])('$validate-code of %s says of %s %s: %s', async (id, system, code, expected) => {
  const query = `url=${KAP_SETS}/${id}&system=${system}&code=${code}`;
  const { body } = await caller.get(`/fhir/ValueSet/$validate-code?${query}`);
  expect(answerOf(body as Parameters, 'result')).toBe(expected);
});

test.each([
  ['kap-adverse-event#AdverseEvent.event', 'kap-adverse-event'],
  ['kap-adverse-event#event', 'kap-adverse-event'],
  ['kap-rule-finding#DetectedIssue.code.coding:finding', 'kap-rule-finding'],
])('the value set of an element of a profile is found by its context: %s', async (context, expected) => {
  const profile = 'https://kap.example.org/fhir/StructureDefinition';
  const { status, body } = await caller.get(
    `/fhir/ValueSet/$expand?context=${encodeURIComponent(`${profile}/${context}`)}`,
  );
  expect([status, (body as ValueSet).url]).toEqual([200, `${KAP_SETS}/${expected}`]);
});

test('$lookup tells what a local code means, what it is for, and which rule gives it', async () => {
  const { status, body } = await caller.get(`/fhir/CodeSystem/$lookup?system=${KAP}&code=integration-late`);
  expect(status).toBe(200);
  const { parameter = [] } = body as Parameters;
  expect(answerOf(body as Parameters, 'display')).toBe('Integration session later than its window');
  const properties = parameter
    .filter(({ name }) => name === 'property')
    .map(({ part = [] }) => [part[0]?.valueCode, part[1]?.valueString ?? part[1]?.valueCoding?.code]);
  expect(properties).toEqual(
    expect.arrayContaining([
      ['kind', 'interval'],
      ['kind', 'finding'],
      ['rule', 'R-04'],
    ]),
  );
});

test('$lookup finds a code that only a newer edition of its system has', async () => {
  const system = 'http://terminology.hl7.org/CodeSystem/v3-ActCode';
  const { body } = await caller.get(`/fhir/CodeSystem/$lookup?system=${system}&code=42CFRPart2CD`);
  expect(answerOf(body as Parameters, 'version')).toBe('11.0.0');
  const old = await caller.get(`/fhir/CodeSystem/$lookup?system=${system}&code=PSYTHPN`);
  expect(answerOf(old.body as Parameters, 'version')).toBe('2018-08-12');
});

test('$translate bills 45 minutes of therapy, and says that a scale has no code of LOINC', async () => {
  const map = 'https://kap.example.org/fhir/ConceptMap';
  const billed = await caller.get(
    `/fhir/ConceptMap/$translate?url=${map}/kap-therapy-duration-to-cpt&system=${KAP}&code=therapy-38-to-52-min`,
  );
  expect(answerOf(billed.body as Parameters, 'result')).toBe(true);
  const none = await caller.get(`/fhir/ConceptMap/$translate?url=${map}/kap-to-loinc&system=${KAP}&code=cadss-total`);
  expect(none.status).toBe(200);
  expect(answerOf(none.body as Parameters, 'result')).toBe(false);
});

test('$validate warns of what code systems know is wrong, and of each once', async () => {
  const wrong: Observation = {
    ...score,
    code: { coding: [{ system: KAP, code: 'cadss-totals' }] },
    category: [
      {
        coding: [
          {
            system: 'http://terminology.hl7.org/CodeSystem/observation-category',
            code: 'survey',
            display: 'Questions',
          },
        ],
      },
    ],
  };
  const { body } = await caller.post('/fhir/Observation/$validate', wrong);
  const issues = (body as { issue: { severity: string; expression?: string[]; diagnostics?: string }[] }).issue;
  const of = (expression: string) => issues.filter((one) => one.expression?.includes(expression));
  expect(of('Observation.code.coding[0]')).toEqual([
    expect.objectContaining({ severity: 'warning', diagnostics: expect.stringContaining('cadss-totals') }),
  ]);
  expect(of('Observation.category[0].coding[0]')).toEqual([
    expect.objectContaining({ severity: 'warning', diagnostics: expect.stringContaining('calls it "Survey"') }),
  ]);
});
