import type { ActivityDefinition, CarePlan, PlanDefinition, PlanDefinitionAction } from '@medplum/fhirtypes';
import { applyProtocol } from '../../src/kap/enrol.ts';
import {
  activities,
  applyParameters,
  bundleOf,
  Chart,
  enrolled,
  NOW,
  PATIENT,
  type Parameter,
  parameters,
  placesOf,
  plan,
  profile,
} from './chart.ts';

const apply = (
  chart: Chart,
  more: Parameter[] = [],
  protocol: PlanDefinition = plan(),
  definitions: ActivityDefinition[] = activities(),
) =>
  applyProtocol({
    parameters: parameters(...applyParameters(more)),
    planDefinition: protocol,
    activityDefinitions: definitions,
    patient: PATIENT,
    course: chart.all(),
    newUuid: chart.newUuid,
    now: NOW,
  });

test('enrolling orders every infusion and every therapy of the protocol under one requisition', () => {
  const chart = enrolled();
  const orders = chart.ofType('ServiceRequest');
  expect(orders).toHaveLength(12);
  expect(new Set(orders.map(({ requisition }) => requisition?.value)).size).toBe(1);
  const [carePlan] = chart.ofType('CarePlan') as [CarePlan];
  expect(carePlan.instantiatesCanonical).toEqual([
    'https://kap.example.org/fhir/PlanDefinition/kap-iv-induction|1.0.0',
  ]);
  expect(carePlan.activity?.map(({ reference }) => chart.resources.has(reference?.reference ?? ''))).toEqual(
    Array(13).fill(true),
  );
  expect(chart.ofType('EpisodeOfCare')).toHaveLength(1);
  expect(chart.ofType('CareTeam')).toHaveLength(1);
  expect(chart.ofType('Goal').map(({ target }) => target?.[0]?.dueDate)).toEqual(['2026-10-05', '2026-11-09']);
});

test.each([
  ['the patient and whoever orders the course', { reference: 'Practitioner/md' }, ['Patient/p1', 'Practitioner/md']],
  ['the patient', undefined, ['Patient/p1']],
])('a course for which no member is named has a care team of %s', (_, practitioner, members) => {
  const chart = new Chart();
  const named = practitioner === undefined ? [] : [{ name: 'practitioner', valueReference: practitioner }];
  const recorded = applyProtocol({
    parameters: parameters(
      { name: 'subject', valueReference: { reference: `Patient/${PATIENT.id}` } },
      { name: 'start', valueDateTime: '2026-09-14T09:30:00-05:00' },
      ...named,
    ),
    planDefinition: plan(),
    activityDefinitions: activities(),
    patient: PATIENT,
    course: [],
    newUuid: chart.newUuid,
    now: NOW,
  });
  chart.apply(bundleOf(recorded));
  const [team] = chart.ofType('CareTeam');
  expect(team?.participant?.map(({ member }) => member?.reference)).toEqual(members);
  expect(chart.ofType('CarePlan')[0]?.careTeam).toMatchObject([{ reference: `CareTeam/${team?.id}` }]);
});

test('planned infusions follow on the earliest weekday that the protocol allows, and therapies in their window', () => {
  const orders = enrolled().ofType('ServiceRequest');
  const starts = orders
    .filter(({ code }) => code?.text?.startsWith('Ketamine'))
    .map(({ occurrencePeriod }) => occurrencePeriod?.start);
  expect(starts).toEqual([
    '2026-09-14T09:30:00-05:00',
    '2026-09-17T09:30:00-05:00',
    '2026-09-21T09:30:00-05:00',
    '2026-09-24T09:30:00-05:00',
    '2026-09-28T09:30:00-05:00',
    '2026-10-01T09:30:00-05:00',
  ]);
  const therapy = orders.find(({ code }) => code?.text === 'Integration session after infusion 1');
  expect(therapy?.occurrencePeriod).toEqual({ start: '2026-09-15T10:30:00-05:00', end: '2026-09-16T10:30:00-05:00' });
  expect(therapy?.performer).toEqual([{ reference: 'Practitioner/therapist' }]);
});

test('a clinic with four infusions, 0.75 mg/kg and another window gets what its protocol says', () => {
  const protocol = plan();
  const induction = protocol.action?.find(({ id }) => id === 'induction') as PlanDefinitionAction;
  induction.action = (induction.action ?? []).filter(({ id }) => !/-[56]$/.test(id ?? ''));
  for (const action of induction.action ?? []) {
    for (const related of action.relatedAction ?? []) {
      if (action.id?.startsWith('integration') && related.offsetRange) {
        related.offsetRange = { low: { value: 0, code: 'h' }, high: { value: 3, code: 'd' } };
      }
    }
  }
  const definitions = activities();
  const order = definitions.find(({ id }) => id === 'kap-ketamine-order');
  const dose = order?.dosage?.[0]?.doseAndRate?.[0]?.doseQuantity;
  if (dose) dose.value = 0.75;
  const chart = enrolled([], protocol, definitions);
  const orders = chart.ofType('ServiceRequest');
  expect(orders).toHaveLength(8);
  expect(orders.find(({ code }) => code?.text?.startsWith('Integration'))?.occurrencePeriod).toEqual({
    start: '2026-09-14T10:30:00-05:00',
    end: '2026-09-17T10:30:00-05:00',
  });
  expect(chart.ofType('MedicationRequest')[0]?.dosageInstruction?.[0]?.doseAndRate?.[0]?.doseQuantity?.value).toBe(
    0.75,
  );
});

test('in the protocol with therapy during the infusion both are planned for the same time', () => {
  const orders = enrolled([], profile<PlanDefinition>('PlanDefinition-kap-iv-induction-during')).ofType(
    'ServiceRequest',
  );
  expect(orders[6]?.occurrencePeriod).toEqual(orders[0]?.occurrencePeriod);
});

test('applying twice for the same start enrols once', () => {
  const chart = enrolled();
  const before = JSON.stringify(chart.all());
  expect(chart.apply(bundleOf(apply(chart)))).toEqual([]);
  expect(JSON.stringify(chart.all())).toBe(before);
});

test('a second course is refused while one is running', () => {
  const chart = enrolled();
  expect(placesOf(apply(chart, [{ name: 'start', valueDateTime: '2026-11-02T09:30:00-06:00' }]))).toEqual([
    'Parameters.parameter business-rule',
  ]);
});

test('response is a score where there is a baseline and stays in words where there is none', () => {
  expect(enrolled().ofType('Goal')[0]?.target?.[0]?.detailCodeableConcept?.text).toContain('50 percent');
  const chart = new Chart();
  chart.resources.set('Observation/b', {
    resourceType: 'Observation',
    id: 'b',
    status: 'final',
    code: { coding: [{ system: 'http://loinc.org', code: '44261-6' }] },
    effectiveDateTime: '2026-09-08T10:00:00-05:00',
    valueQuantity: { value: 19 },
  });
  const goal = bundleOf(apply(chart)).entry?.find(({ resource }) => resource?.resourceType === 'Goal')?.resource;
  expect(goal).toMatchObject({ target: [{ detailRange: { high: { value: 9, code: '{score}' } } }] });
});

test('orders stay drafts while nobody orders them', () => {
  const bundle = bundleOf(
    applyProtocol({
      parameters: parameters(
        { name: 'subject', valueReference: { reference: 'Patient/p1' } },
        { name: 'start', valueDateTime: '2026-09-14T09:30:00-05:00' },
      ),
      planDefinition: plan(),
      activityDefinitions: activities(),
      patient: PATIENT,
      course: [],
      newUuid: new Chart().newUuid,
      now: NOW,
    }),
  );
  const statuses = (bundle.entry ?? []).flatMap(({ resource }) =>
    resource?.resourceType === 'ServiceRequest' ? [resource.status] : [],
  );
  expect(new Set(statuses)).toEqual(new Set(['draft']));
});

test.each<[string, Parameter[], string[]]>([
  [
    'an infusion without a time',
    [{ name: 'infusion', valueDateTime: '2026-09-14' }],
    ['Parameters.parameter[6].value.ofType(dateTime) value'],
  ],
  [
    'too few infusions',
    ['14', '17'].map((day) => ({ name: 'infusion', valueDateTime: `2026-09-${day}T09:30:00-05:00` })),
    ['Parameters.parameter[7].value.ofType(dateTime) value'],
  ],
  [
    'infusions too close to each other',
    ['14', '16', '18', '21', '24', '28'].map((day) => ({
      name: 'infusion',
      valueDateTime: `2026-09-${day}T09:30:00-05:00`,
    })),
    [
      'Parameters.parameter[7].value.ofType(dateTime) business-rule',
      'Parameters.parameter[8].value.ofType(dateTime) business-rule',
    ],
  ],
  [
    'another patient',
    [{ name: 'subject', valueReference: { reference: 'Patient/other' } }],
    ['Parameters.parameter[6].value.ofType(Reference) value'],
  ],
])('enrolling refuses %s at its place', (_what, more, places) => {
  expect(placesOf(apply(new Chart(), more))).toEqual(places);
});

test('a protocol that is not active, or lacks its activities, is refused with the place in the PlanDefinition', () => {
  const places = placesOf(apply(new Chart(), [], { ...plan(), status: 'retired' }, []));
  expect(places).toContain('PlanDefinition.status business-rule');
  expect(places).toContain('PlanDefinition.action[2].action[1].definitionCanonical not-found');
});
