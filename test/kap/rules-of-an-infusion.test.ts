import type { Encounter, Observation, Procedure, Resource } from '@medplum/fhirtypes';
import { concept, EXTENSION, SYSTEM } from '../../src/kap/codes.ts';
import {
  applied,
  consent,
  consult,
  evaluate,
  findings,
  infusion,
  kapCodeOf,
  type Options,
  plus,
  pressure,
  quantity,
  setting,
  therapy,
  verdict,
  weight,
} from './course-builder.ts';

const START = '2026-03-05T10:00:00-08:00';
const END = '2026-03-05T10:50:00-08:00';
const IN_WINDOW = '2026-03-06T14:00:00-08:00';
const NOW = '2026-03-07T09:00:00-08:00';

const run = (resources: readonly Resource[], options: Options = {}) => evaluate(resources, { now: NOW, ...options });
const withInfusion = (...rest: readonly Resource[]): Resource[] => [...setting(), ...infusion(1, START, END), ...rest];
const without = (resources: readonly Resource[], id: string): Resource[] => resources.filter((each) => each.id !== id);

test('a course in order has no finding, no task and one interval', () => {
  const { upserts, refusals } = run(withInfusion(...therapy(1, IN_WINDOW)));
  expect(refusals).toEqual([]);
  expect(upserts.map(({ resourceType }) => resourceType)).toEqual(['Observation']);
});

describe('R-01 treatment consent', () => {
  const cases: [string, Partial<ReturnType<typeof consent>> | undefined, string][] = [
    ['signed before and in force', {}, 'pass'],
    ['no consent at all', undefined, 'fail'],
    ['signed a second after the start', { dateTime: '2026-03-05T10:00:01-08:00' }, 'fail'],
    ['signed at the very start', { dateTime: START }, 'pass'],
    ['signed on the same day, without a time', { dateTime: '2026-03-05' }, 'indeterminate'],
    ['signed on the day before, without a time', { dateTime: '2026-03-04' }, 'pass'],
    ['rejected', { status: 'rejected' }, 'fail'],
    ['ended the day before', { provision: { period: { start: '2026-02-17', end: '2026-03-04' } } }, 'fail'],
    ['ends on that day', { provision: { period: { start: '2026-02-17', end: '2026-03-05' } } }, 'pass'],
    ['does not say how long it holds', { provision: {} }, 'indeterminate'],
    ['withdrawn before the start', { status: 'inactive', meta: { lastUpdated: '2026-03-05T09:00:00-08:00' } }, 'fail'],
    ['withdrawn later', { status: 'inactive', meta: { lastUpdated: '2026-03-06T09:00:00-08:00' } }, 'indeterminate'],
    ['about privacy', { scope: concept({ system: SYSTEM.consentScope, code: 'patient-privacy' }) }, 'fail'],
  ];
  test.each(cases)('%s', (_case, changed, expected) => {
    const resources = without(withInfusion(), 'consent');
    const result = run(changed === undefined ? resources : [...resources, consent(changed)]);
    expect(verdict(result, 'R-01')).toBe(expected);
  });

  test('an old form does not count where the clinic names the form in force', () => {
    const policy = { consentForms: ['https://kap.example.org/policy/ketamine-informed-consent/4'] };
    expect(verdict(run(withInfusion(), { policy }), 'R-01')).toBe('fail');
  });

  test('an infusion that has happened is recorded with a high finding', () => {
    const { upserts, refusals } = run(without(withInfusion(), 'consent'));
    expect(refusals).toEqual([]);
    const [issue] = findings(upserts, 'R-01');
    expect(issue).toMatchObject({ severity: 'high', patient: { reference: 'Patient/p' } });
    expect(issue && kapCodeOf(issue)).toBe('consent-missing');
    expect(issue?.code?.coding?.[0]?.code).toBe('COMPLY');
  });
});

describe('R-02 provider consult', () => {
  const ended = (end: string): Partial<Encounter> => ({ period: { start: '2025-01-01T09:00:00-08:00', end } });
  const cases: [string, Partial<Encounter> | undefined, string][] = [
    ['finished in time by a psychiatrist', {}, 'pass'],
    ['none', undefined, 'fail'],
    ['not finished', { status: 'in-progress' }, 'fail'],
    ['ends at the start of the infusion', ended(START), 'pass'],
    ['ends a second later', ended('2026-03-05T10:00:01-08:00'), 'fail'],
    ['exactly 90 days old', ended('2025-12-05T10:00:00-08:00'), 'pass'],
    ['90 days and a second old', ended('2025-12-05T09:59:59-08:00'), 'fail'],
    [
      'held by somebody of unknown role',
      { participant: [{ individual: { reference: 'Practitioner/x' } }] },
      'indeterminate',
    ],
    ['held by nobody', { participant: [] }, 'indeterminate'],
    ['without an end', { period: { start: '2026-02-17T09:00:00-08:00' } }, 'indeterminate'],
  ];
  test.each(cases)('%s', (_case, changed, expected) => {
    const resources = without(withInfusion(), 'consult');
    const result = run(changed === undefined ? resources : [...resources, consult(changed)]);
    expect(verdict(result, 'R-02')).toBe(expected);
  });

  test('held by a nurse whose role is known, it does not count', () => {
    const role: Resource = {
      resourceType: 'PractitionerRole',
      id: 'role',
      practitioner: { reference: 'Practitioner/rn' },
      code: [concept({ system: SYSTEM.nucc, code: '163W00000X' })],
    };
    const held = consult({ participant: [{ individual: { reference: 'Practitioner/rn' } }] });
    expect(verdict(run([...without(withInfusion(), 'consult'), held, role]), 'R-02')).toBe('fail');
  });

  test('only the first infusion asks for it', () => {
    const second = infusion(2, '2026-03-09T10:00:00-07:00', '2026-03-09T10:50:00-07:00');
    const result = run([...without(withInfusion(), 'consult'), ...second]);
    expect(verdict(result, 'R-02')).toBe('fail');
    expect(verdict(result, 'R-02', 'Procedure/inf-2')).toBeUndefined();
  });
});

describe('R-03 duration of an infusion', () => {
  test.each([
    ['44:59', 44 + 59 / 60, 'infusion-short'],
    ['45:00', 45, undefined],
    ['60:00', 60, undefined],
    ['60:01', 60 + 1 / 60, 'infusion-long'],
  ])('%s min', (_case, minutes, code) => {
    const resources = [...setting(), ...infusion(1, START, plus(START, minutes))];
    const result = run(resources);
    const [issue] = findings(result.upserts, 'R-03');
    expect(verdict(result, 'R-03')).toBe(code === undefined ? 'pass' : 'fail');
    expect(issue && kapCodeOf(issue)).toBe(code);
    if (code === 'infusion-short') expect(issue).toMatchObject({ severity: 'moderate' });
  });

  test('a stopped infusion is exempt', () => {
    const stopped = infusion(1, START, plus(START, 12), { procedure: { status: 'stopped' } });
    expect(verdict(run([...setting(), ...stopped]), 'R-03')).toBe('pass');
  });

  test('an infusion dated by day cannot be judged', () => {
    const dated = infusion(1, START, END, {
      procedure: { performedPeriod: { start: '2026-03-05', end: '2026-03-05' } },
    });
    expect(verdict(run([...setting(), ...dated]), 'R-03')).toBe('indeterminate');
  });

  test('the clinic may allow 40 min', () => {
    const resources = [...setting(), ...infusion(1, START, plus(START, 40))];
    expect(verdict(run(resources, { policy: { infusionMinimumMinutes: 40 } }), 'R-03')).toBe('pass');
  });

  test('an infusion that ends before it starts is refused at its place', () => {
    const { refusals, upserts } = run([...setting(), ...infusion(1, START, plus(START, -1))]);
    expect(refusals).toContainEqual(
      expect.objectContaining({ resource: 'Procedure/inf-1', expression: 'Procedure.performed.ofType(Period).end' }),
    );
    expect(upserts).toEqual([]);
  });

  test('a fault that is already in the record does not block another write', () => {
    const resources = [...setting(), ...infusion(1, START, plus(START, -1))];
    expect(run(resources, { written: new Set(['Observation/other']) }).refusals).toEqual([]);
    expect(run(resources, { written: new Set(['Procedure/inf-1']) }).refusals).toHaveLength(1);
  });
});

describe('R-05 blood pressure before the start', () => {
  const lastReading = (systolic: number, diastolic: number, minute = -2): Observation =>
    pressure('bp-last', 1, plus(START, minute), systolic, diastolic);
  test.each([
    [140, 90, 'pass', undefined],
    [141, 90, 'fail', 'moderate'],
    [140, 91, 'fail', 'moderate'],
    [159, 99, 'fail', 'moderate'],
    [160, 90, 'fail', 'high'],
    [130, 100, 'fail', 'high'],
  ])('%i/%i', (systolic, diastolic, expected, severity) => {
    const result = run(withInfusion(lastReading(systolic, diastolic)));
    expect(verdict(result, 'R-05')).toBe(expected);
    expect(findings(result.upserts, 'R-05')[0]?.severity).toBe(severity);
  });

  test('a good repeat ends the hold', () => {
    expect(verdict(run(withInfusion(lastReading(150, 95, -20), lastReading(138, 88))), 'R-05')).toBe('pass');
  });

  test.each([
    [-30, 'fail'],
    [-31, 'indeterminate'],
  ])('a reading %i min before the start', (minute, expected) => {
    const resources = [
      ...setting(),
      ...infusion(1, START, END, { vitalsAt: [14, 28, 42] }),
      lastReading(170, 95, minute),
    ];
    expect(verdict(run(resources), 'R-05')).toBe(expected);
  });

  test.each<[string, (reading: Observation) => Observation[]]>([
    ['entered in error', (reading) => [{ ...reading, status: 'entered-in-error' }]],
    ['deleted', () => []],
  ])('a hold is withdrawn when the only reading before the start is %s', (_case, correct) => {
    const resources = [...setting(), ...infusion(1, START, END, { vitalsAt: [14, 28, 42] }), lastReading(150, 80)];
    const held = applied(resources, run(resources));
    expect(findings(held, 'R-05')).toHaveLength(1);
    const corrected = held.flatMap((each) =>
      each.resourceType === 'Observation' && each.id === 'bp-last' ? correct(each) : [each],
    );
    const result = run(corrected);
    expect(verdict(result, 'R-05')).toBe('indeterminate');
    const after = applied(corrected, result);
    expect(findings(after, 'R-05')).toEqual([]);
    expect(run(after).upserts).toEqual([]);
  });

  test('an infusion that is only prepared is held at once', () => {
    const prepared = infusion(1, START, END, { procedure: { status: 'preparation' }, vitalsAt: [] }).map((each) => {
      if (each.resourceType !== 'Procedure') return each;
      const { performedPeriod: _none, ...rest } = each;
      return rest as Procedure;
    });
    const result = run([...without([...setting(), ...prepared], 'dose-1'), lastReading(165, 95)]);
    expect(findings(result.upserts, 'R-05')).toHaveLength(1);
  });

  test("the prescriber's override stays on the finding", () => {
    const resources = withInfusion(lastReading(165, 95));
    const once = applied(resources, run(resources));
    const [issue] = findings(once, 'R-05');
    if (issue === undefined) throw new Error('no finding');
    const mitigation = [
      { action: concept({ system: SYSTEM.actCode, code: '5' }), author: { reference: 'Practitioner/md' } },
    ];
    const overridden = applied(once, { upserts: [{ ...issue, mitigation }] });
    expect(run(overridden).upserts).toEqual([]);
  });
});

describe('R-06 blood pressure during the infusion', () => {
  const at = (minute: number, systolic: number, diastolic: number): Observation =>
    pressure(`bp-at-${minute}`, 1, plus(START, minute), systolic, diastolic);
  test.each<[string, Observation[], string]>([
    ['once at 180', [at(20, 180, 90)], 'pass'],
    ['twice at 180, 4:59 apart', [at(20, 180, 90), at(25 - 1 / 60, 180, 90)], 'pass'],
    ['twice at 180, 5:00 apart', [at(20, 180, 90), at(25, 180, 90)], 'fail'],
    ['twice at 110 diastolic', [at(20, 150, 110), at(30, 150, 110)], 'fail'],
    ['twice at 179/109', [at(20, 179, 109), at(30, 179, 109)], 'pass'],
    ['once at 200/120', [at(20, 200, 120)], 'pass'],
    ['once at 201', [at(20, 201, 90)], 'fail'],
    ['once at 121 diastolic', [at(20, 150, 121)], 'fail'],
  ])('%s', (_case, readings, expected) => {
    expect(verdict(run(withInfusion(...readings)), 'R-06')).toBe(expected);
  });

  test('calls for a stop at once, and is done when the infusion was stopped', () => {
    const resources = withInfusion(at(20, 210, 90));
    const once = applied(resources, run(resources));
    const task = once.find((each) => each.resourceType === 'Task' && each.priority === 'stat');
    expect(task).toMatchObject({ status: 'requested', focus: { reference: 'Procedure/inf-1' } });
    const stopped = once.map((each) => (each.id === 'inf-1' ? ({ ...each, status: 'stopped' } as Procedure) : each));
    const after = applied(stopped, run(stopped));
    expect(after.find((each) => each.id === task?.id)).toMatchObject({ status: 'completed' });
  });

  test('without a reading nothing is known', () => {
    const resources = [...setting(), ...infusion(1, START, END, { vitalsAt: [-10] })];
    expect(verdict(run(resources), 'R-06')).toBe('indeterminate');
  });
});

describe('R-07 gaps in monitoring', () => {
  const gaps = (vitalsAt: readonly number[], minutes = 50) =>
    findings(run([...setting(), ...infusion(1, START, plus(START, minutes), { vitalsAt })]).upserts, 'R-07');
  const after = [60, 75, 90, 105];

  test.each<[string, number[], number]>([
    ['15:00 apart', [-10, 14, 29, 44, ...after], 0],
    ['17:00 apart', [-10, 14, 31, 45, ...after], 0],
    ['17:01 apart', [-10, 14, 31 + 1 / 60, 45, ...after], 1],
    ['first reading 15:00 after the start', [-10, 15, 30, 45, ...after], 0],
    ['first reading 15:01 after the start', [-10, 15 + 1 / 60, 30, 45, ...after], 1],
    ['baseline 30:00 before the start', [-30, 14, 29, 44, ...after], 0],
    ['baseline 30:01 before the start', [-30 - 1 / 60, 14, 29, 44, ...after], 1],
    ['20:00 after the end', [-10, 14, 29, 44, 70, 85, 100], 0],
    ['20:01 after the end', [-10, 14, 29, 44, 70 + 1 / 60, 85, 100], 1],
    ['last 15:00 before departure', [-10, 14, 29, 44, 60, 75, 100], 0],
    ['last 15:01 before departure', [-10, 14, 29, 44, 60, 75, 100 - 1 / 60], 1],
    ['two gaps', [-10, 20, 45, ...after], 2],
  ])('%s', (_case, vitalsAt, count) => {
    // Departure is 65 min after the end, 115 min after the start.
    expect(gaps(vitalsAt)).toHaveLength(count);
  });

  test('a gap names every vital sign that is missing and its length', () => {
    const [gap] = gaps([-10, 14, 40, ...after]);
    expect(gap?.detail).toContain('no blood pressure, heart rate, SpO2 for 26 min during the infusion');
    expect(gap?.detail).toContain('limit 17 min');
  });

  test('vital signs are judged one by one', () => {
    const resources = withInfusion().filter(({ id }) => !/^spo2-1-(14|28)$/.test(id ?? ''));
    const found = findings(run(resources).upserts, 'R-07');
    expect(found).toHaveLength(1);
    expect(found[0]?.detail).toContain('no SpO2 for');
  });

  test('nothing is judged before the visit is over', () => {
    const resources = [
      ...setting(),
      ...infusion(1, START, END, { vitalsAt: [], encounter: { status: 'in-progress' } }),
    ];
    expect(verdict(run(resources), 'R-07')).toBe('indeterminate');
  });

  test('a reading that arrives later closes its gap', () => {
    const resources = [...setting(), ...infusion(1, START, END, { vitalsAt: [-10, 14, 44, ...after] })];
    const once = applied(resources, run(resources));
    expect(findings(once, 'R-07')).toHaveLength(1);
    const late = infusion(1, START, END, { vitalsAt: [29] }).filter(
      ({ resourceType }) => resourceType === 'Observation',
    );
    const twice = applied([...once, ...late], run([...once, ...late]));
    expect(findings(twice, 'R-07')).toHaveLength(0);
    expect(twice.filter((each) => each.resourceType === 'DetectedIssue')).toHaveLength(1);
  });
});

describe('R-08 dose', () => {
  const requested = (value: number, unit: string): Resource => ({
    resourceType: 'MedicationRequest',
    id: 'rx',
    status: 'active',
    intent: 'order',
    medicationCodeableConcept: { text: 'ketamine' },
    subject: { reference: 'Patient/p' },
    dosageInstruction: [{ doseAndRate: [{ doseQuantity: quantity(value, unit) }] }],
  });
  const given = (dose: number, administration: object = {}): Resource[] => [
    ...setting(),
    ...infusion(1, START, END, {
      dose,
      administration: {
        request: { reference: 'MedicationRequest/rx' },
        dosage: { dose: quantity(dose, 'mg') },
        ...administration,
      },
    }),
  ];

  test.each<[string, number, Resource, string, string | undefined]>([
    ['as ordered per kg', 35, requested(0.5, 'mg/kg'), 'pass', undefined],
    ['10 % above the order', 38.5, requested(0.5, 'mg/kg'), 'pass', undefined],
    ['more than 10 % above the order', 38.6, requested(0.5, 'mg/kg'), 'fail', 'moderate'],
    ['more than 10 % above an order in mg', 39, requested(35, 'mg'), 'fail', 'moderate'],
    ['1.0 mg/kg', 70, requested(1, 'mg/kg'), 'pass', undefined],
    ['above 1.0 mg/kg against an order of 1.0', 70.1, requested(1, 'mg/kg'), 'fail', 'high'],
    ['above 1.0 mg/kg as ordered', 84, requested(1.2, 'mg/kg'), 'pass', undefined],
    ['2.0 mg/kg as ordered', 140, requested(2, 'mg/kg'), 'pass', undefined],
  ])('%s', (_case, dose, order, expected, severity) => {
    const result = run([...given(dose), order]);
    expect(verdict(result, 'R-08')).toBe(expected);
    expect(findings(result.upserts, 'R-08')[0]?.severity).toBe(severity);
  });

  test('above 2.0 mg/kg the write is refused as a probable unit error', () => {
    const { refusals } = run(given(140.1));
    expect(refusals).toMatchObject([
      { rule: 'R-08', resource: 'MedicationAdministration/dose-1', expression: 'MedicationAdministration.dosage.dose' },
    ]);
  });

  test('a prescriber who confirms it turns the refusal into a high finding', () => {
    const extension = [{ url: EXTENSION.doseConfirmedBy, valueReference: { reference: 'Practitioner/md' } }];
    const result = run(given(150, { extension }));
    expect(result.refusals).toEqual([]);
    expect(findings(result.upserts, 'R-08')).toMatchObject([{ severity: 'high' }]);
  });

  test('a dose without unit is refused', () => {
    const { refusals } = run(given(35, { dosage: { dose: { value: 35 } } }));
    expect(refusals).toMatchObject([{ code: 'value', expression: 'MedicationAdministration.dosage.dose' }]);
  });

  test.each([
    ['14 days old', '2026-02-19T10:00:00-08:00', 'pass'],
    ['a second older', '2026-02-19T09:59:59-08:00', 'indeterminate'],
  ])('a weight %s', (_case, at, expected) => {
    const resources = [...without(withInfusion(), 'weight-1'), weight('old', at, 70)];
    expect(verdict(run(resources), 'R-08')).toBe(expected);
  });

  test('rate segments of one infusion are added up', () => {
    const [segment] = infusion(1, START, END, { dose: 110 }).filter(({ id }) => id === 'dose-1');
    const { refusals } = run([...given(40), { ...(segment as Resource), id: 'dose-1b' } as Resource]);
    expect(refusals).toMatchObject([{ resource: 'MedicationAdministration/dose-1b' }]);
  });

  test('another drug given during the infusion is not added', () => {
    const [other] = infusion(1, START, END, {
      dose: 4000,
      administration: {
        medicationCodeableConcept: { coding: [{ system: SYSTEM.rxNorm, code: '26225' }], text: 'ondansetron' },
      },
    }).filter(({ id }) => id === 'dose-1');
    expect(verdict(run(withInfusion({ ...(other as Resource), id: 'other' } as Resource)), 'R-08')).toBe('pass');
  });

  test.each([
    [56, 'pass'],
    [60, 'fail'],
  ])('esketamine %i mg', (dose, expected) => {
    const medicationCodeableConcept = { coding: [{ system: SYSTEM.rxNorm, code: '2201623' }] };
    const result = run(given(dose, { medicationCodeableConcept }));
    expect(verdict(result, 'R-08')).toBe(expected);
  });
});

describe('R-09 interval between infusions', () => {
  test.each<[string, number, string, string | undefined]>([
    ['47:59:59', 48 - 1 / 3600, 'fail', 'high'],
    ['48:00:00', 48, 'pass', undefined],
    ['168:00:00', 168, 'pass', undefined],
    ['168:00:01', 168 + 1 / 3600, 'fail', 'low'],
  ])('%s h', (_case, hours, expected, severity) => {
    const start = plus(END, hours * 60);
    const result = run(withInfusion(...infusion(2, start, plus(start, 50))), { now: '2026-03-20T00:00:00Z' });
    expect(verdict(result, 'R-09', 'Procedure/inf-2')).toBe(expected);
    expect(findings(result.upserts, 'R-09')[0]?.severity).toBe(severity);
  });

  test('after the induction a long interval is no finding', () => {
    const start = plus(END, 400 * 60);
    const resources = withInfusion(...infusion(2, start, plus(start, 50)));
    const policy = { inductionInfusions: 1 };
    expect(verdict(run(resources, { policy }), 'R-09', 'Procedure/inf-2')).toBe('pass');
  });

  test('without the end of the infusion before, nothing is known', () => {
    const open = infusion(1, START, END, {
      procedure: { performedPeriod: { start: START } },
      administration: { effectivePeriod: { start: START } },
    });
    const result = run([
      ...setting(),
      ...open,
      ...infusion(2, '2026-03-09T10:00:00-07:00', '2026-03-09T10:50:00-07:00'),
    ]);
    expect(verdict(result, 'R-09', 'Procedure/inf-2')).toBe('indeterminate');
  });
});
