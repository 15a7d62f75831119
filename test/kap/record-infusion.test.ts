import type { Bundle, Encounter, MedicationAdministration, Observation, Procedure } from '@medplum/fhirtypes';
import fc from 'fast-check';
import { parametersOfCsv } from '../../src/kap/csv-request.ts';
import { recordInfusion } from '../../src/kap/record-infusion.ts';
import { identifiersOf } from '../../src/kap/transaction.ts';
import { bundleOf, enrolled, infused, infusion, type Parameter, placesOf, sessionOf } from './chart.ts';
import { faultsOf } from './structure.ts';

const at = (time: string) => `2026-09-14T${time}:00-05:00`;
const vitals = (time: string, values: Record<string, number>): Parameter => ({
  name: 'vitals',
  part: [
    { name: 'at', valueDateTime: at(time) },
    ...Object.entries(values).map(([name, value]) => ({ name, valueDecimal: value })),
  ],
});
const quantity = (value: number, unit: string) => ({ value, unit, system: 'http://unitsofmeasure.org', code: unit });
const score = (instrument: string, ...rest: Parameter[]): Parameter => ({
  name: 'score',
  part: [{ name: 'instrument', valueCode: instrument }, ...rest],
});
const items = (...values: number[]): Parameter[] => values.map((value) => ({ name: 'item', valueInteger: value }));

/** Everything the operation takes, at once. */
const full = (): Record<string, Parameter | Parameter[]> => ({
  identifier: { name: 'identifier', valueIdentifier: { system: 'https://clinic.example/visit', value: 'V-77' } },
  weight: { name: 'weight', valueQuantity: quantity(68, 'kg') },
  doseConfirmedBy: { name: 'doseConfirmedBy', valueReference: { reference: 'Practitioner/doctor' } },
  medication: {
    name: 'medication',
    part: [
      { name: 'ndc', valueString: '42023-113-10' },
      { name: 'lot', valueString: 'L-1' },
      { name: 'expiry', valueDate: '2027-03-31' },
    ],
  },
  pump: { name: 'pump', valueReference: { reference: 'Device/pump' } },
  monitor: { name: 'monitor', valueReference: { reference: 'Device/pump' } },
  location: { name: 'location', valueReference: { reference: 'Location/chair' } },
  prescriber: { name: 'prescriber', valueReference: { reference: 'Practitioner/doctor' } },
  witness: { name: 'witness', valueReference: { reference: 'Practitioner/doctor' } },
  vitals: [
    vitals('09:25', {
      systolic: 121,
      diastolic: 78,
      heartRate: 70,
      spo2: 98,
      respiratoryRate: 14,
      temperature: 36.7,
      moaas: 5,
    }),
    vitals('09:50', { systolic: 136, diastolic: 84, heartRate: 82, spo2: 97 }),
  ],
  scores: [
    score('cadss', { name: 'at', valueDateTime: at('10:10') }, { name: 'total', valueInteger: 21 }),
    score('phq-9', ...items(1, 1, 2, 1, 0, 1, 1, 0, 1)),
    score('gad-7', ...items(1, 1, 1, 1, 0, 1, 1), { name: 'total', valueInteger: 6 }),
    score('c-ssrs', ...items(1, 0, 0, 0, 0, 0, 0), { name: 'riskLevel', valueCode: 'low' }),
  ],
  checklist: {
    name: 'checklist',
    part: [
      { name: 'consent-active', valueBoolean: true },
      { name: 'last-solid-food', valueDateTime: at('01:00') },
      { name: 'pregnancy-test', valueCode: 'negative' },
    ],
  },
  adverseEvent: {
    name: 'adverseEvent',
    part: [
      {
        name: 'event',
        valueCodeableConcept: { coding: [{ system: 'http://snomed.info/sct', code: '422587007' }], text: 'Nausea' },
      },
      { name: 'at', valueDateTime: at('10:05') },
      { name: 'severity', valueCode: 'mild' },
      { name: 'outcome', valueCode: 'resolved' },
      { name: 'causality', valueCode: 'Possible' },
    ],
  },
  discharge: {
    name: 'discharge',
    part: [
      { name: 'at', valueDateTime: at('11:30') },
      { name: 'ready', valueBoolean: true },
      { name: 'aldrete', valueInteger: 10 },
      { name: 'moaas', valueInteger: 5 },
      { name: 'ambulates', valueBoolean: true },
      { name: 'adultPresent', valueBoolean: true },
    ],
  },
  waste: { name: 'waste', valueQuantity: quantity(6, 'mg') },
  note: { name: 'note', valueString: 'Uneventful – nausea at 10:05, gone by 10:20.' },
});

test('an infusion becomes one linked visit: all references resolve and every resource is valid', () => {
  const chart = enrolled();
  const bundle = bundleOf(infused(chart, full()));
  chart.apply(bundle);
  const kinds = (bundle.entry ?? []).map(({ resource }) => resource?.resourceType);
  expect(new Set(kinds)).toEqual(
    new Set([
      'Encounter',
      'Procedure',
      'MedicationAdministration',
      'Observation',
      'QuestionnaireResponse',
      'AdverseEvent',
      'DocumentReference',
      'ServiceRequest',
      'Provenance',
    ]),
  );
  for (const resource of chart.all().filter(({ resourceType }) => kinds.includes(resourceType))) {
    expect(faultsOf(resource)).toEqual([]);
    for (const [, target] of JSON.stringify(resource).matchAll(/"reference":"([^"#][^"]*)"/g)) {
      expect(chart.resources.has(target as string)).toBe(true);
    }
  }
});

test('the Encounter lasts from arrival to departure, the Procedure and the drug from pump start to pump end', () => {
  const chart = enrolled();
  chart.apply(bundleOf(infused(chart, full())));
  const [encounter] = chart.ofType('Encounter') as [Encounter];
  const [procedure] = chart.ofType('Procedure') as [Procedure];
  const [drug] = chart.ofType('MedicationAdministration') as [MedicationAdministration];
  expect(encounter).toMatchObject({
    status: 'finished',
    period: { start: at('09:05'), end: at('11:35') },
    length: { value: 150, code: 'min' },
  });
  expect(procedure.performedPeriod).toEqual({ start: at('09:35'), end: at('10:22') });
  expect(procedure.code?.coding?.map(({ code }) => code)).toEqual(['14152002', '96365', 'kap-infusion']);
  expect(drug).toMatchObject({
    status: 'completed',
    partOf: [{ reference: `Procedure/${procedure.id}` }],
    context: { reference: `Encounter/${encounter.id}` },
    effectivePeriod: { start: at('09:35'), end: at('10:22') },
    dosage: {
      dose: { value: 34, code: 'mg' },
      rateRatio: { numerator: { value: 34, code: 'mg' }, denominator: { value: 47, code: 'min' } },
    },
    contained: [{ batch: { lotNumber: 'L-1', expirationDate: '2027-03-31' } }],
  });
  const orders = chart.ofType('ServiceRequest').map(({ status }) => status);
  expect(orders.filter((status) => status === 'completed')).toHaveLength(1);
});

test('vital signs hang from the Procedure with US Core codes, both codings of SpO2 and both pressures', () => {
  const chart = enrolled();
  chart.apply(bundleOf(infused(chart, full())));
  const [procedure] = chart.ofType('Procedure') as [Procedure];
  const own = chart
    .ofType('Observation')
    .filter(({ partOf }) => partOf?.[0]?.reference === `Procedure/${procedure.id}`);
  const codes = (observation: Observation) => observation.code.coding?.map(({ code }) => code);
  const pressure = own.find((found) => codes(found)?.includes('85354-9'));
  expect(pressure?.component?.map(({ valueQuantity }) => [valueQuantity?.value, valueQuantity?.code])).toEqual([
    [121, 'mm[Hg]'],
    [78, 'mm[Hg]'],
  ]);
  expect(own.some((found) => codes(found)?.join() === '59408-5,2708-6')).toBe(true);
  expect(pressure?.meta?.security?.map(({ code }) => code)).toEqual(['N']);
  const dissociation = own.find((found) => codes(found)?.includes('cadss-total'));
  expect(dissociation?.meta?.security?.map(({ code }) => code)).toEqual(['R', 'PSY']);
});

test('the PHQ-9 keeps its answers, its total and item 9 apart', () => {
  const chart = enrolled();
  chart.apply(bundleOf(infused(chart, full())));
  const form = chart.ofType('QuestionnaireResponse').find(({ questionnaire }) => questionnaire?.includes('phq-9'));
  const derived = chart
    .ofType('Observation')
    .filter(({ derivedFrom }) => derivedFrom?.[0]?.reference === `QuestionnaireResponse/${form?.id}`);
  expect(
    derived.map(({ code, valueQuantity, valueCodeableConcept }) => [
      code.coding?.[0]?.code,
      valueQuantity?.value ?? valueCodeableConcept?.coding?.[0]?.code,
    ]),
  ).toEqual([
    ['44261-6', 8],
    ['44260-8', 'LA6569-3'],
  ]);
});

test('readings as parts and as a table are the same resources', () => {
  const csv =
    'time,systolic,diastolic,heart_rate,spo2,respiratory_rate,temperature,moaas\n09:25,121,78,70,98,14,36.7,5\n09:50,136,84,82,97,,,\n';
  const observations = (vitalsAs: Parameter | Parameter[]) => {
    const chart = enrolled();
    return bundleOf(infused(chart, { vitals: vitalsAs })).entry?.flatMap(({ resource }) =>
      resource?.resourceType === 'Observation' ? [resource] : [],
    );
  };
  const asParts = observations(full().vitals as Parameter[]);
  expect(asParts).toHaveLength(9);
  expect(observations({ name: 'vitalsCsv', valueString: csv })).toEqual(asParts);
  expect(
    observations({
      name: 'vitalsCsv',
      valueAttachment: { contentType: 'text/csv', data: Buffer.from(csv).toString('base64') },
    }),
  ).toEqual(asParts);
});

test('the same message twice is one session, with and without its number', () => {
  for (const session of [[], [{ name: 'session', valueInteger: 1 }]]) {
    const chart = enrolled();
    chart.apply(bundleOf(infused(chart, { ...full(), session })));
    const before = JSON.stringify(chart.all());
    expect(chart.apply(bundleOf(infused(chart, { ...full(), session })))).toEqual([]);
    expect(JSON.stringify(chart.all())).toBe(before);
  }
});

test('another infusion under a number that is taken, or at a time that is taken, is a conflict', () => {
  const chart = enrolled();
  chart.apply(bundleOf(infused(chart)));
  const later = { start: { name: 'start', valueDateTime: at('09:40') } };
  expect(placesOf(infused(chart, { ...later, session: { name: 'session', valueInteger: 1 } }))).toEqual([
    'Parameters.parameter[1].value.ofType(dateTime) conflict',
  ]);
  expect(placesOf(infused(chart, later))).toEqual(['Parameters.parameter[1].value.ofType(dateTime) conflict']);
});

test('a repeated message has no effect after its session was corrected, even where its times would fit another one', () => {
  const chart = enrolled();
  chart.apply(bundleOf(infused(chart, full())));
  const correction = (time: string) => ({
    ...full(),
    ...replaced('session', { valueInteger: 1 }),
    ...replaced('correction', { valueBoolean: true }),
    ...replaced('start', { valueDateTime: at(time) }),
  });
  chart.apply(bundleOf(infused(chart, correction('09:30'))));
  chart.apply(bundleOf(infused(chart, correction('09:31'))));
  const before = JSON.stringify(chart.all());
  expect(chart.apply(bundleOf(infused(chart, full())))).toEqual([]);
  expect(chart.apply(bundleOf(infused(chart, correction('09:31'))))).toEqual([]);
  expect(placesOf(infused(chart, correction('09:30')))).toEqual([
    expect.stringMatching(/value\.ofType\(boolean\) conflict$/),
  ]);
  expect(JSON.stringify(chart.all())).toBe(before);
});

test('another dose for a recorded session is a conflict and never lost without a word', () => {
  const chart = enrolled();
  chart.apply(bundleOf(infused(chart)));
  expect(placesOf(infused(chart, replaced('dose', { valueQuantity: quantity(43, 'mg') })))).toEqual([
    'Parameters conflict',
  ]);
});

test('without a number the next open infusion of the plan is recorded', () => {
  const chart = enrolled();
  chart.apply(bundleOf(infused(chart)));
  const nextDay = infusion().map((parameter) =>
    'valueDateTime' in parameter
      ? { ...parameter, valueDateTime: String(parameter.valueDateTime).replace('09-14', '09-17') }
      : parameter,
  );
  chart.apply(bundleOf(recordInfusion(sessionOf(chart, ...nextDay))));
  const based = chart.ofType('Procedure').map(({ code }) => code?.text);
  expect(based).toEqual(['Ketamine IV infusion 1 of 6', 'Ketamine IV infusion 2 of 6']);
});

test('a correction writes the same resources again and withdraws readings at wrong times', () => {
  const chart = enrolled();
  chart.apply(bundleOf(infused(chart, full())));
  const count = chart.resources.size;
  const correction = {
    correction: { name: 'correction', valueBoolean: true },
    end: { name: 'end', valueDateTime: at('10:25') },
  };
  const moved = [vitals('09:25', { systolic: 121, diastolic: 78 }), vitals('09:55', { systolic: 136, diastolic: 84 })];
  const session = { name: 'session', valueInteger: 1 };
  chart.apply(bundleOf(infused(chart, { ...full(), ...correction, session, vitals: moved })));
  expect(chart.ofType('Procedure')).toMatchObject([{ performedPeriod: { end: at('10:25') } }]);
  expect(chart.ofType('MedicationAdministration')).toHaveLength(1);
  const withdrawn = chart.ofType('Observation').filter(({ status }) => status === 'entered-in-error');
  expect(withdrawn.map(({ effectiveDateTime }) => effectiveDateTime)).toEqual(expect.arrayContaining([at('09:50')]));
  expect(withdrawn).toHaveLength(8);
  // New are the reading at its right time and the Provenance of the correction.
  expect(chart.resources.size).toBe(count + 2);
  const again = bundleOf(infused(chart, { ...full(), ...correction, session, vitals: moved }));
  expect(chart.apply(again)).toEqual([]);
});

test('an infusion that was stopped keeps the dose that was given; one that was not done keeps its slot free', () => {
  const reason = { name: 'statusReason', valueCodeableConcept: { text: 'Blood pressure' } };
  const chart = enrolled();
  chart.apply(
    bundleOf(
      recordInfusion(
        sessionOf(chart, { name: 'status', valueCode: 'not-done' }, reason, {
          name: 'nurse',
          valueReference: { reference: 'Practitioner/nurse' },
        }),
      ),
    ),
  );
  expect(chart.ofType('Encounter')[0]?.status).toBe('cancelled');
  expect(chart.ofType('MedicationAdministration')).toEqual([]);
  chart.apply(
    bundleOf(
      infused(chart, {
        status: { name: 'status', valueCode: 'stopped' },
        statusReason: reason,
        dose: { name: 'dose', valueQuantity: quantity(20, 'mg') },
      }),
    ),
  );
  expect(chart.ofType('Procedure').map(({ status }) => status)).toEqual(['not-done', 'stopped']);
  expect(chart.ofType('MedicationAdministration')).toMatchObject([
    { status: 'stopped', dosage: { dose: { value: 20 } } },
  ]);
  for (const resource of [...chart.ofType('Encounter'), ...chart.ofType('Procedure')])
    expect(faultsOf(resource)).toEqual([]);
});

const replaced = (name: string, value: Record<`value${string}`, unknown>) => ({ [name]: { name, ...value } });

test.each<[string, Parameters<typeof infusion>[0], string[]]>([
  [
    'two values in one parameter',
    { note: { name: 'note', valueString: 'x', valueCode: 'y' } },
    ['Parameters.parameter[6] structure'],
  ],
  [
    'a drug for an infusion that was not done',
    {
      ...replaced('status', { valueCode: 'not-done' }),
      ...replaced('statusReason', { valueCodeableConcept: { text: 'x' } }),
      start: null,
      end: null,
    },
    ['Parameters.parameter[2].value.ofType(Quantity) business-rule'],
  ],
  [
    'an assessment after departure',
    {
      discharge: {
        name: 'discharge',
        part: [
          { name: 'at', valueDateTime: at('11:45') },
          { name: 'ready', valueBoolean: true },
        ],
      },
    },
    ['Parameters.parameter[6].part[0].value.ofType(dateTime) business-rule'],
  ],
  ['an unknown parameter', replaced('dosage', { valueString: '34' }), ['Parameters.parameter[6].name not-supported']],
  [
    'a parameter of the wrong type',
    replaced('start', { valueString: at('09:35') }),
    ['Parameters.parameter[1].value.ofType(string) value'],
  ],
  [
    'a time without offset',
    replaced('start', { valueDateTime: '2026-09-14T09:35:00' }),
    ['Parameters.parameter[1].value.ofType(dateTime) value'],
  ],
  [
    'a day that no calendar has',
    replaced('arrival', { valueDateTime: '2026-02-30T09:35:00Z' }),
    ['Parameters.parameter[0].value.ofType(dateTime) value'],
  ],
  ['a missing end', { end: null }, ['Parameters.parameter required']],
  ['a missing nurse', { nurse: null }, ['Parameters.parameter required']],
  [
    'a patient as the nurse',
    replaced('nurse', { valueReference: { reference: 'Patient/p1' } }),
    ['Parameters.parameter[5].value.ofType(Reference) value'],
  ],
  [
    'a dose without unit',
    replaced('dose', { valueQuantity: { value: 34 } }),
    ['Parameters.parameter[4].value.ofType(Quantity) required'],
  ],
  [
    'a dose in mL',
    replaced('dose', { valueQuantity: quantity(34, 'mL') }),
    ['Parameters.parameter[4].value.ofType(Quantity) value'],
  ],
  ['no dose', { dose: null }, ['Parameters.parameter required']],
  [
    'a weight in pounds',
    replaced('weight', { valueQuantity: quantity(150, '[lb_av]') }),
    ['Parameters.parameter[6].value.ofType(Quantity) value'],
  ],
  [
    'an infusion that ends before it starts',
    replaced('end', { valueDateTime: at('09:30') }),
    ['Parameters.parameter[2].value.ofType(dateTime) business-rule'],
  ],
  [
    'a departure before the end',
    replaced('departure', { valueDateTime: at('10:20') }),
    ['Parameters.parameter[3].value.ofType(dateTime) business-rule'],
  ],
  [
    'a start before the arrival',
    replaced('arrival', { valueDateTime: at('09:40') }),
    ['Parameters.parameter[1].value.ofType(dateTime) business-rule'],
  ],
  [
    'a number beyond the plan',
    replaced('session', { valueInteger: 7 }),
    ['Parameters.parameter[6].value.ofType(integer) business-rule'],
  ],
  [
    'an order of another plan',
    replaced('session', { valueReference: { reference: 'ServiceRequest/other' } }),
    ['Parameters.parameter[6].value.ofType(Reference) not-found'],
  ],
  [
    'a correction of nothing',
    replaced('correction', { valueBoolean: true }),
    ['Parameters.parameter[6].value.ofType(boolean) not-found'],
  ],
  [
    'a stop without a reason',
    replaced('status', { valueCode: 'stopped' }),
    ['Parameters.parameter[6].value.ofType(code) required'],
  ],
  [
    'waste that nobody witnessed',
    replaced('waste', { valueQuantity: quantity(3, 'mg') }),
    ['Parameters.parameter[6].value.ofType(Quantity) required'],
  ],
  [
    'a PHQ-9 with eight answers',
    { scores: score('phq-9', ...items(1, 1, 1, 1, 1, 1, 1, 1)) },
    ['Parameters.parameter[6] value'],
  ],
  [
    'a total that is not the sum',
    { scores: score('gad-7', ...items(1, 1, 1, 1, 1, 1, 1), { name: 'total', valueInteger: 8 }) },
    ['Parameters.parameter[6].part[8].value.ofType(integer) value'],
  ],
  [
    'an unknown instrument',
    { scores: score('phq', ...items(1)) },
    ['Parameters.parameter[6].part[0].value.ofType(code) code-invalid'],
  ],
  [
    'a heart rate of 800',
    { vitals: vitals('09:40', { heartRate: 800 }) },
    ['Parameters.parameter[6].part[1].value.ofType(decimal) value'],
  ],
  [
    'a reading of another day',
    {
      vitals: {
        name: 'vitals',
        part: [
          { name: 'at', valueDateTime: '2026-09-13T09:40:00-05:00' },
          { name: 'spo2', valueInteger: 98 },
        ],
      },
    },
    ['Parameters.parameter[6].part[0].value.ofType(dateTime) business-rule'],
  ],
  [
    'two bad rows of a table',
    replaced('vitalsCsv', { valueString: 'time,spo2\n09:40,998\nx,98\n' }),
    ['Parameters.parameter[6].value.ofType(string) value', 'Parameters.parameter[6].value.ofType(string) value'],
  ],
  [
    'a row outside of the visit',
    replaced('vitalsCsv', { valueString: 'time,spo2\n08:40,98\n' }),
    ['Parameters.parameter[6].value.ofType(string) business-rule'],
  ],
  [
    'an unknown severity',
    {
      event: {
        name: 'adverseEvent',
        part: [
          { name: 'event', valueCodeableConcept: { text: 'Nausea' } },
          { name: 'at', valueDateTime: at('10:00') },
          { name: 'severity', valueCode: 'bad' },
        ],
      },
    },
    ['Parameters.parameter[6].part[2].value.ofType(code) code-invalid'],
  ],
])('recording refuses %s at its place', (_what, changes, places) => {
  expect(placesOf(infused(enrolled(), changes))).toEqual(places);
});

test('the nurse is named in the role of the care team, and whoever is not in the team without one', () => {
  const functionOf = (reference: Record<string, unknown>) => {
    const bundle = bundleOf(infused(enrolled(), replaced('nurse', { valueReference: reference })));
    const procedure = bundle.entry
      ?.map(({ resource }) => resource)
      .find((found) => found?.resourceType === 'Procedure');
    return (procedure as Procedure).performer?.[0];
  };
  expect(functionOf({ reference: 'Practitioner/nurse' })?.function?.coding?.[0]?.code).toBe('163W00000X');
  const other = functionOf({
    type: 'Practitioner',
    identifier: { system: 'https://clinic.example/staff', value: 'RN-1' },
  });
  expect(other).toEqual({
    actor: { reference: 'Practitioner?identifier=https://clinic.example/staff|RN-1' },
    onBehalfOf: { reference: 'Organization/clinic' },
  });
});

test('all faults are named at once, and a plan that is not active is one of them', () => {
  const chart = enrolled();
  const [carePlan] = chart.ofType('CarePlan');
  if (carePlan) carePlan.status = 'revoked';
  const result = infused(chart, {
    ...replaced('dose', { valueQuantity: { value: 1 } }),
    ...replaced('end', { valueDateTime: at('09:00') }),
    ...replaced('x', { valueString: '' }),
  });
  expect(placesOf(result)).toEqual([
    'Parameters.parameter[6].name not-supported',
    'CarePlan.status business-rule',
    'Parameters.parameter[2].value.ofType(dateTime) business-rule',
    'Parameters.parameter[4].value.ofType(Quantity) required',
  ]);
});

test('refusals repeat nothing that was sent', () => {
  const secret = 'Zyxwvut';
  const results = [
    infused(enrolled(), replaced(secret, { valueString: secret })),
    infused(enrolled(), replaced('vitalsCsv', { valueString: `time,${secret}\n${secret},${secret}` })),
    infused(enrolled(), { scores: score(secret) }),
  ];
  expect(JSON.stringify(results)).not.toContain(secret);
});

test('whatever is recorded, no two resources of a type share an identifier and nothing is sent without a stable one', () => {
  const readings = fc.uniqueArray(
    fc.record({
      minute: fc.integer({ min: 0, max: 59 }),
      systolic: fc.integer({ min: 100, max: 180 }),
      spo2: fc.integer({ min: 85, max: 100 }),
    }),
    { selector: ({ minute }) => minute, maxLength: 12 },
  );
  fc.assert(
    fc.property(readings, fc.boolean(), fc.boolean(), (given, withNote, withWaste) => {
      const parts = given.map(({ minute, systolic, spo2 }) =>
        vitals(`10:${String(minute).padStart(2, '0')}`, { systolic, diastolic: 70, spo2 }),
      );
      const { note, waste, witness } = full();
      const bundle = bundleOf(
        infused(enrolled(), {
          vitals: parts,
          ...(withNote && note ? { note } : {}),
          ...(withWaste && waste && witness ? { waste, witness } : {}),
        }),
      );
      const keys = (bundle.entry ?? []).map(
        ({ resource, request }) => request?.ifNoneExist ?? `${resource?.resourceType} ${request?.url}`,
      );
      expect(new Set(bundle.entry?.map(({ resource }, index) => `${resource?.resourceType} ${keys[index]}`)).size).toBe(
        keys.length,
      );
      const identifiers = (bundle.entry ?? []).flatMap(({ resource }) =>
        resource
          ? identifiersOf(resource).map(({ system, value }) => `${resource.resourceType} ${system}|${value}`)
          : [],
      );
      expect(new Set(identifiers).size).toBe(identifiers.length);
    }),
    { numRuns: 30 },
  );
});

test('a table from a monitor with the session in the url records the same as Parameters', () => {
  const csv = 'time,systolic,diastolic\n09:25,121,78\n';
  const query = new URLSearchParams({
    session: '1',
    arrival: at('09:05'),
    start: at('09:35'),
    end: at('10:22'),
    departure: at('11:35'),
    dose: '34|http://unitsofmeasure.org|mg',
    nurse: 'Practitioner/nurse',
  });
  const table = bundleOf(recordInfusion({ ...sessionOf(enrolled()), parameters: parametersOfCsv(csv, query) }));
  const csvParameter = { name: 'vitalsCsv', valueString: csv };
  const parts = bundleOf(infused(enrolled(), { csvParameter, ...replaced('session', { valueInteger: 1 }) }));
  const summary = (bundle: Bundle) =>
    bundle.entry?.map(({ resource }) => resource && { ...resource, meta: { ...resource.meta, tag: [] } });
  expect(summary(table)).toEqual(summary(parts));
  const wrong = { ...sessionOf(enrolled()), parameters: parametersOfCsv(csv, [...query, ['weight', 'heavy']]) };
  expect(placesOf(recordInfusion(wrong))).toEqual(['Parameters.parameter[7].value.ofType(string) value']);
});
