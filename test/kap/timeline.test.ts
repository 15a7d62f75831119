import type { CarePlan, DetectedIssue, Observation, Resource } from '@medplum/fhirtypes';
import fc from 'fast-check';
import { kapConcept, LOINC } from '../../src/kap/codes.ts';
import { defaultPolicy, type Policy } from '../../src/kap/policy.ts';
import { type Timeline, timelineOf } from '../../src/kap/timeline.ts';
import { timelineParameters } from '../../src/kap/timeline-parameters.ts';
import { timelinePicture } from '../../src/kap/timeline-picture.ts';
import { fhir } from '../record/clinic.ts';
import { infusion, PATIENT, plus, setting, therapy } from './course-builder.ts';
import { elementsOf } from './well-formed.ts';

const PLAN: CarePlan = {
  resourceType: 'CarePlan',
  id: 'plan',
  status: 'active',
  intent: 'order',
  subject: PATIENT,
  title: 'KAP',
};
const START = '2026-03-02T09:00:00-08:00';
const END = '2026-03-02T09:50:00-08:00';

function timeline(resources: readonly Resource[], policy: Policy = defaultPolicy, plan: CarePlan = PLAN): Timeline {
  return timelineOf(plan, resources, policy, new Map());
}

function phq9(id: string, value: number, at: string): Observation {
  return {
    resourceType: 'Observation',
    id,
    status: 'final',
    code: { coding: [LOINC.phq9Total] },
    subject: PATIENT,
    effectiveDateTime: at,
    valueQuantity: { value, code: '{score}', system: 'http://unitsofmeasure.org' },
  };
}

const withSession = (hours: number) => [...setting(), ...infusion(1, START, END), ...therapy(1, plus(END, hours * 60))];

test('an infusion comes with its dose, its pressures and the window of its policy', () => {
  const [found] = timeline([...setting(), ...infusion(1, START, END)]).infusions;
  expect(found).toMatchObject({ number: 1, state: 'completed', doseMg: 35 });
  expect(found?.bloodPressure.length).toBeGreaterThan(4);
  expect(found?.window?.from.text).toBe(plus(END, 24 * 60));
  const later = { ...defaultPolicy, integrationWindowStartHours: 36, integrationWindowEndHours: 72 };
  const [moved] = timeline([...setting(), ...infusion(1, START, END)], later).infusions;
  expect(moved?.window).toMatchObject({ from: { text: plus(END, 36 * 60) }, to: { text: plus(END, 72 * 60) } });
});

test.each([
  [12, 'early'],
  [24, 'in-window'],
  [48, 'in-window'],
  [60, 'late'],
])('a session %i h after the end is %s', (hours, expected) => {
  const [session] = timeline(withSession(hours)).sessions;
  expect(session).toMatchObject({ infusion: 'Procedure/inf-1', hoursAfter: hours, class: expected });
});

test('half a dose is not shown as a dose', () => {
  const resources = infusion(1, START, END).map((each) =>
    each.resourceType === 'MedicationAdministration' ? { ...each, dosage: { dose: { value: 35, unit: 'mL' } } } : each,
  );
  expect(timeline([...setting(), ...resources]).infusions[0]?.doseMg).toBeUndefined();
});

test('scores come by time, with their band, and without what was entered in error', () => {
  const wrong = { ...phq9('c', 3, '2026-03-05T09:00:00-08:00'), status: 'entered-in-error' } as const;
  const resources = [
    ...setting(),
    phq9('b', 12, '2026-03-04T09:00:00-08:00'),
    phq9('a', 21, '2026-03-01T09:00:00-08:00'),
    wrong,
  ];
  const [scale] = timeline(resources).scales;
  expect(scale).toMatchObject({ title: 'PHQ-9', highest: 27 });
  expect(scale?.points.map(({ value, band }) => [value, band])).toEqual([
    [21, 'severe'],
    [12, 'moderate'],
  ]);
});

test('of two plans each has its own infusions, scores and findings', () => {
  const plan = (id: string, start: string, end?: string): CarePlan => ({
    ...PLAN,
    id,
    instantiatesCanonical: ['http://plan|1'],
    period: { start, ...(end === undefined ? {} : { end }) },
  });
  const first = plan('one', '2026-01-01T00:00:00Z', '2026-02-28T00:00:00Z');
  const second = plan('two', '2026-03-01T00:00:00Z');
  const resources = [
    ...setting(),
    first,
    second,
    ...infusion(1, '2026-01-10T09:00:00-08:00', '2026-01-10T09:50:00-08:00'),
    ...infusion(2, START, END),
    phq9('old', 20, '2026-01-05T09:00:00-08:00'),
    phq9('new', 10, '2026-03-05T09:00:00-08:00'),
  ];
  const keys = (of: CarePlan) => timeline(resources, defaultPolicy, of).infusions.map(({ key }) => key);
  const scores = (of: CarePlan) => timeline(resources, defaultPolicy, of).scales[0]?.points.map(({ value }) => value);
  expect([keys(first), keys(second)]).toEqual([['Procedure/inf-1'], ['Procedure/inf-2']]);
  expect([scores(first), scores(second)]).toEqual([[20], [10]]);
});

const finding = (text: string): DetectedIssue => ({
  resourceType: 'DetectedIssue',
  id: 'found',
  status: 'final',
  severity: 'high',
  code: { ...kapConcept('bp-stop'), text },
  patient: PATIENT,
  identifiedDateTime: START,
  implicated: [{ reference: 'Procedure/inf-1' }],
});

const courses: [string, Resource[]][] = [
  ['no fact at all', setting()],
  ['one infusion', [...setting(), ...infusion(1, START, END)]],
  ['an infusion without any reading', [...setting(), ...infusion(1, START, END, { vitalsAt: [] })]],
  ['a score alone', [...setting(), phq9('a', 20, START)]],
  ['a planned infusion', [...setting(), ...infusion(1, START, END, { procedure: { status: 'preparation' } })]],
  ['a session after weeks', withSession(160)],
  ['a hundred infusions', [...setting(), ...many(100)]],
  ['words that are markup', [...withSession(30), finding('<script>alert("1")</script> & \u0000\ud800')]],
];

function many(count: number): Resource[] {
  return Array.from({ length: count }, (_, i) => {
    const start = plus(START, i * 7 * 24 * 60);
    return [
      ...infusion(i + 1, start, plus(start, 50)),
      ...therapy(i + 1, plus(start, 50 + 30 * 60)),
      phq9(`s${i}`, (i * 7) % 28, plus(start, -60)),
    ];
  }).flat();
}

test.each(courses)(
  'the picture of %s is well-formed, labelled, and holds nothing that runs or loads',
  (_case, resources) => {
    const picture = timelinePicture(timeline(resources));
    const names = new Set(elementsOf(picture));
    const harmless = ['svg', 'title', 'desc', 'g', 'text', 'line', 'rect', 'circle', 'path'];
    expect([...names].filter((name) => !harmless.includes(name))).toEqual([]);
    expect(picture).toMatch(/role="img" aria-labelledby="course-title course-description"/);
    expect(/NaN|Infinity|undefined|href|\sstyle=|\son[a-z]+=/.exec(picture)).toBeNull();
    expect(timelinePicture(timeline(resources.toReversed())) === picture).toBe(true);
  },
);

test.each(courses)('the data of %s are valid Parameters', (_case, resources) => {
  // What JSON cannot hold does not come out of the record either.
  const given = resources.map((each) => JSON.parse(JSON.stringify(each).replace(/\\u0000|\\ud800/g, '')) as Resource);
  const faults = fhir.validator.validate(timelineParameters(timeline(given)));
  expect(faults.filter(({ severity }) => severity !== 'information')).toEqual([]);
});

test('whatever the words of a finding, the picture stays well-formed', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 80 }), (words) => {
      const resources = [...setting(), ...infusion(1, START, END), finding(words)];
      elementsOf(timelinePicture(timeline(resources, defaultPolicy, { ...PLAN, title: words })));
    }),
    { numRuns: 40 },
  );
});
