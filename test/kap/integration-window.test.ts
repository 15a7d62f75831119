import type { DetectedIssue, Observation, Procedure, Resource, ServiceRequest, Task } from '@medplum/fhirtypes';
import { kapConcept, RULE_FINDING } from '../../src/kap/codes.ts';
import {
  applied,
  evaluate,
  findings,
  infusion,
  kapCodeOf,
  type Options,
  only,
  order,
  plus,
  quantity,
  setting,
  therapy,
  verdict,
} from './course-builder.ts';

const START = '2026-03-05T10:00:00-08:00';
const END = '2026-03-05T10:50:00-08:00';
const AFTER = '2026-03-20T09:00:00-07:00';

const course = (...rest: readonly Resource[]): Resource[] => [...setting(), ...infusion(1, START, END), ...rest];
const run = (resources: readonly Resource[], options: Options = {}) => evaluate(resources, { now: AFTER, ...options });
const hours = (count: number): string => plus(END, count * 60);

const intervals = (resources: readonly Resource[]): Observation[] =>
  resources.filter(
    (each): each is Observation =>
      each.resourceType === 'Observation' && each.code.coding?.[0]?.code === 'infusion-to-integration-interval',
  );
const classes = (resources: readonly Resource[]): (string | undefined)[] =>
  intervals(resources).map(({ interpretation }) => interpretation?.[0]?.coding?.[0]?.code);
const tasks = (resources: readonly Resource[]): Task[] =>
  resources.filter((each): each is Task => each.resourceType === 'Task');
const withOwnTimes = (resources: readonly Resource[], id: string, start: string, end: string): Resource[] =>
  resources.map((each) => (each.id === id ? ({ ...each, performedPeriod: { start, end } } as Procedure) : each));

describe('the window is closed at both ends', () => {
  test.each([
    ['23:59:59', 24 - 1 / 3600, 'integration-early', 'TIME', 'low'],
    ['24:00:00', 24, 'in-window', undefined, undefined],
    ['48:00:00', 48, 'in-window', undefined, undefined],
    ['48:00:01', 48 + 1 / 3600, 'integration-late', 'ALRTSTRTLATE', 'moderate'],
  ])('%s h after the end', (_case, after, sessionClass, alert, severity) => {
    const { upserts } = run(course(...therapy(1, hours(after))));
    expect(classes(upserts)).toEqual([sessionClass]);
    const [issue] = findings(upserts, 'R-04');
    expect(issue?.code?.coding?.map(({ code }) => code)).toEqual(
      alert === undefined ? undefined : [alert, sessionClass],
    );
    expect(issue?.severity).toBe(severity);
  });

  test('the interval is stated whole', () => {
    const { upserts } = run(course(...therapy(1, hours(70.1))));
    const [interval] = intervals(upserts);
    expect(interval).toMatchObject({
      status: 'final',
      identifier: [{ system: RULE_FINDING, value: 'R-04|Procedure/int-1' }],
      subject: { reference: 'Patient/p' },
      encounter: { reference: 'Encounter/int-visit-1' },
      partOf: [{ reference: 'Procedure/int-1' }],
      focus: [{ reference: 'Procedure/inf-1' }],
      effectiveDateTime: hours(70.1),
      valueQuantity: { value: 70.1, code: 'h' },
      referenceRange: [{ low: { value: 24 }, high: { value: 48 } }],
    });
    const [issue] = findings(upserts, 'R-04');
    expect(issue).toMatchObject({
      identifier: [{ system: RULE_FINDING, value: 'R-04|Procedure/inf-1' }],
      identifiedDateTime: hours(70.1),
      implicated: [
        { reference: 'Procedure/inf-1' },
        { reference: 'Procedure/int-1' },
        { reference: 'Encounter/int-visit-1' },
      ],
      author: { reference: 'Device/rules' },
      evidence: [{ detail: [{ reference: `Observation/${interval?.id}` }] }],
      reference: 'https://kap.example.org/fhir/PlanDefinition/built-in-defaults|1.0.0',
    });
    expect(issue?.detail).toBe(
      `Rule R-04: infusion ended ${END}; integration session started ${hours(70.1)}; interval 70.1 h; window 24 to 48 h`,
    );
  });

  test('a second outside the window shows in the number', () => {
    const { upserts } = run(course(...therapy(1, hours(48 + 1 / 3600))));
    expect(intervals(upserts)[0]?.valueQuantity?.value).toBe(48.0003);
  });

  test('the clinic may accept any time up to 48 h', () => {
    const { upserts } = run(course(...therapy(1, hours(3))), { policy: { integrationWindowStartHours: 0 } });
    expect(classes(upserts)).toEqual(['in-window']);
  });
});

describe('a clock change does not move the window', () => {
  test.each([
    // US clocks go forward on 2026-03-08 and back on 2026-11-01, both at 02:00.
    ['24 h over the change in spring', '2026-03-07T10:50:00-08:00', '2026-03-08T11:50:00-07:00', 'in-window'],
    [
      'the same time of day in spring is 23 h',
      '2026-03-07T10:50:00-08:00',
      '2026-03-08T10:50:00-07:00',
      'integration-early',
    ],
    ['48 h over the change in spring', '2026-03-07T10:50:00-08:00', '2026-03-09T11:50:00-07:00', 'in-window'],
    ['a second more in spring', '2026-03-07T10:50:00-08:00', '2026-03-09T11:50:01-07:00', 'integration-late'],
    ['24 h over the change in autumn', '2026-10-31T10:50:00-07:00', '2026-11-01T09:50:00-08:00', 'in-window'],
    ['a second less in autumn', '2026-10-31T10:50:00-07:00', '2026-11-01T09:49:59-08:00', 'integration-early'],
    [
      'the same time of day two days later in autumn is 49 h',
      '2026-10-31T10:50:00-07:00',
      '2026-11-02T10:50:00-08:00',
      'integration-late',
    ],
  ])('%s', (_case, end, start, sessionClass) => {
    const resources = [...setting(), ...infusion(1, plus(end, -50), end), ...therapy(1, start)];
    expect(classes(run(resources, { now: plus(start, 60) }).upserts)).toEqual([sessionClass]);
  });

  test('the planned window keeps the offset of the infusion', () => {
    const end = '2026-03-07T10:50:00-08:00';
    const planned = {
      ...order('sr', 'kap-integration-session', end),
      supportingInfo: [{ reference: 'Procedure/inf-1' }],
    };
    const resources = [...setting(), ...infusion(1, plus(end, -50), end), planned];
    const settled = only<ServiceRequest>(applied(resources, run(resources)), 'ServiceRequest');
    expect(settled.occurrencePeriod).toEqual({ start: '2026-03-08T10:50:00-08:00', end: '2026-03-09T10:50:00-08:00' });
  });
});

describe('which infusion a session integrates', () => {
  const second = (): Resource[] => infusion(2, '2026-03-09T10:00:00-07:00', '2026-03-09T10:50:00-07:00');
  const focusOf = (resources: readonly Resource[], therapyKey: string): string | undefined =>
    intervals(resources).find(({ partOf }) => partOf?.[0]?.reference === therapyKey)?.focus?.[0]?.reference;
  const unnamed = { reasonReference: [] };

  test('the one it names, even if another is closer', () => {
    const resources = course(...second(), ...therapy(1, '2026-03-10T14:00:00-07:00'));
    expect(focusOf(run(resources).upserts, 'Procedure/int-1')).toBe('Procedure/inf-1');
  });

  test('the one its visit names', () => {
    const named = therapy(1, hours(30), unnamed).map((each) =>
      each.resourceType === 'Encounter' ? { ...each, reasonReference: [{ reference: 'Procedure/inf-1' }] } : each,
    );
    expect(focusOf(run(course(...named)).upserts, 'Procedure/int-1')).toBe('Procedure/inf-1');
  });

  test('without a name, the latest of the episode that has none yet', () => {
    const resources = course(...second(), ...therapy(2, '2026-03-10T14:00:00-07:00', unnamed));
    expect(focusOf(run(resources).upserts, 'Procedure/int-2')).toBe('Procedure/inf-2');
  });

  test('without a name, none that ended more than 7 d before', () => {
    const result = run(course(...therapy(1, hours(7 * 24 + 1 / 3600), unnamed)));
    expect(intervals(result.upserts)).toEqual([]);
    expect(verdict(result, 'R-04', 'Procedure/int-1')).toBe('indeterminate');
    expect(intervals(run(course(...therapy(1, hours(7 * 24), unnamed))).upserts)).toHaveLength(1);
  });

  test('never one of another episode', () => {
    const elsewhere = therapy(1, hours(30), unnamed).map((each) =>
      each.resourceType === 'Encounter' ? { ...each, episodeOfCare: [{ reference: 'EpisodeOfCare/other' }] } : each,
    );
    expect(intervals(run(course(...elsewhere)).upserts)).toEqual([]);
  });

  test('a visit without a Procedure counts by its own start', () => {
    const [held] = therapy(1, hours(30));
    const { upserts } = run(course({ ...held, reasonReference: [{ reference: 'Procedure/inf-1' }] } as Resource));
    expect(intervals(upserts)).toMatchObject([{ encounter: { reference: 'Encounter/int-visit-1' } }]);
    expect(classes(upserts)).toEqual(['in-window']);
  });

  test('a second session in the window is extra and no violation', () => {
    const resources = course(
      ...therapy(1, hours(26)),
      ...therapy(9, hours(46), { reasonReference: [{ reference: 'Procedure/inf-1' }] }),
    );
    const { upserts } = run(resources);
    expect(classes(upserts)).toEqual(['in-window', 'in-window']);
    expect(findings(upserts, 'R-04')).toEqual([]);
  });

  test('a session that names the Procedure of another patient is refused', () => {
    const { refusals } = run(
      course(...therapy(1, hours(30), { reasonReference: [{ reference: 'Procedure/foreign' }] })),
    );
    expect(refusals).toMatchObject([{ resource: 'Procedure/int-1', expression: 'Procedure.reasonReference' }]);
  });

  test('a session before the infusion that it names is refused', () => {
    const { refusals, upserts } = run(course(...therapy(1, plus(START, -120))));
    expect(refusals).toMatchObject([{ rule: 'R-04', resource: 'Procedure/int-1', code: 'business-rule' }]);
    expect(upserts).toEqual([]);
  });

  test('moving the infusion behind its session is refused as well', () => {
    const moved = infusion(1, hours(40), hours(41));
    const { refusals } = run([...setting(), ...moved, ...therapy(1, hours(30))], {
      written: new Set(['Procedure/inf-1']),
    });
    expect(refusals).toHaveLength(1);
  });
});

describe('therapy while the infusion runs', () => {
  const during = (): Resource[] =>
    therapy(1, plus(START, 20), { partOf: [{ reference: 'Procedure/inf-1' }], reasonReference: [] });

  test('is classed as such', () => {
    expect(classes(run(course(...during())).upserts)).toEqual(['during-infusion']);
  });

  test('is enough where the clinic works that way, and not where it does not', () => {
    expect(verdict(run(course(...during()), { policy: { therapyModel: 'during-infusion' } }), 'R-04')).toBe('pass');
    expect(verdict(run(course(...during()), { policy: { therapyModel: 'both' } }), 'R-04')).toBe('pass');
    expect(findings(run(course(...during())).upserts, 'R-04').map(kapCodeOf)).toEqual(['integration-missed']);
  });

  test('that begins before the infusion and overlaps it is no error', () => {
    const resources = course(
      ...therapy(1, plus(START, -30), { performedPeriod: { start: plus(START, -30), end: plus(START, 30) } }),
    );
    const { refusals, upserts } = run(resources);
    expect(refusals).toEqual([]);
    expect(classes(upserts)).toEqual(['during-infusion']);
  });
});

describe('times that are not exact', () => {
  test('a session dated by day is not classified, and says so', () => {
    const result = run(course(...therapy(1, '2026-03-06')));
    expect(verdict(result, 'R-04')).toBe('indeterminate');
    expect(findings(result.upserts, 'R-04')).toEqual([]);
    expect(intervals(result.upserts)).toMatchObject([
      { effectiveDateTime: '2026-03-06', dataAbsentReason: { coding: [{ code: 'unknown' }] } },
    ]);
  });

  test('the end of the last administration stands in for that of the Procedure', () => {
    const open = infusion(1, START, END, { procedure: { performedPeriod: { start: START } } });
    expect(classes(run([...setting(), ...open, ...therapy(1, hours(24))]).upserts)).toEqual(['in-window']);
  });

  test('a stopped infusion has an end, and a window', () => {
    const stopped = infusion(1, START, plus(START, 12), { procedure: { status: 'stopped' } });
    const resources = [...setting(), ...stopped, ...therapy(1, plus(START, 12 + 24 * 60))];
    expect(classes(run(resources).upserts)).toEqual(['in-window']);
  });
});

describe('overdue and missed', () => {
  test.each([
    ['at 48 h', hours(48), 0],
    ['a second later', hours(48 + 1 / 3600), 1],
  ])('a session is overdue %s', (_case, now, count) => {
    const { upserts } = run(course(), { now });
    expect(tasks(upserts)).toHaveLength(count);
    expect(findings(upserts, 'R-04')).toEqual([]);
  });

  test('the task says since when and about what', () => {
    expect(tasks(run(course(), { now: hours(60) }).upserts)).toMatchObject([
      {
        status: 'requested',
        code: { coding: [{ code: 'integration-overdue' }] },
        focus: { reference: 'Procedure/inf-1' },
        for: { reference: 'Patient/p' },
        authoredOn: hours(48),
      },
    ]);
  });

  test.each([
    ['at 7 d', hours(168), []],
    ['a second later', hours(168 + 1 / 3600), ['integration-missed']],
  ])('it is missed %s', (_case, now, codes) => {
    const issues = findings(run(course(), { now }).upserts, 'R-04');
    expect(issues.map(kapCodeOf)).toEqual(codes);
    if (issues[0]) expect(issues[0]).toMatchObject({ identifiedDateTime: hours(168), severity: 'moderate' });
  });

  test('it is missed when the next infusion starts', () => {
    const next = infusion(2, hours(72), plus(hours(72), 50));
    const issues = findings(run(course(...next), { now: hours(73) }).upserts, 'R-04');
    expect(issues.map(kapCodeOf)).toEqual(['integration-missed']);
    expect(issues[0]?.identifiedDateTime).toBe(hours(72));
  });

  test('says when to look again', () => {
    expect(run(course(), { now: hours(1) }).nextCheckAt?.getTime()).toBe(Date.parse(hours(48)) + 1);
    expect(run(course(), { now: hours(50) }).nextCheckAt?.getTime()).toBe(Date.parse(hours(168)) + 1);
    expect(run(course(), { now: hours(200) }).nextCheckAt).toBeUndefined();
  });

  test('a session held at last closes the task and turns missed into late', () => {
    const missed = applied(course(), run(course(), { now: hours(170) }));
    expect(findings(missed, 'R-04').map(kapCodeOf)).toEqual(['integration-missed']);
    const held = [...missed, ...therapy(1, hours(171))];
    const settled = applied(held, run(held));
    expect(findings(settled, 'R-04').map(kapCodeOf)).toEqual(['integration-late']);
    expect(tasks(settled)).toMatchObject([{ status: 'completed' }]);
  });

  test('the task opens again when the session proves to be a mistake, unless a person closed it', () => {
    const overdue = applied(course(), run(course(), { now: hours(60) }));
    const held = applied([...overdue, ...therapy(1, hours(61))], run([...overdue, ...therapy(1, hours(61))]));
    const mistaken = held.map((each) =>
      each.id === 'int-1' || each.id === 'int-visit-1' ? ({ ...each, status: 'entered-in-error' } as Resource) : each,
    );
    expect(tasks(applied(mistaken, run(mistaken)))).toMatchObject([{ status: 'requested' }]);
    const closed = overdue.map((each) =>
      each.resourceType === 'Task' ? { ...each, status: 'rejected' as const } : each,
    );
    expect(tasks(applied(closed, run(closed)))).toMatchObject([{ status: 'rejected' }]);
  });
});

describe('late corrections', () => {
  test('a corrected start corrects the interval and withdraws the finding', () => {
    const late = course(...therapy(1, hours(70)));
    const first = applied(late, run(late));
    expect(findings(first, 'R-04')).toHaveLength(1);
    const corrected = withOwnTimes(first, 'int-1', hours(30), hours(31));
    const second = applied(corrected, run(corrected));
    expect(intervals(second)).toMatchObject([{ status: 'corrected', valueQuantity: { value: 30 } }]);
    expect(classes(second)).toEqual(['in-window']);
    const issues = second.filter((each): each is DetectedIssue => each.resourceType === 'DetectedIssue');
    expect(issues.map(({ status }) => status as string)).toEqual(['cancelled']);

    const back = withOwnTimes(second, 'int-1', hours(70), hours(71));
    const third = applied(back, run(back));
    expect(findings(third, 'R-04')).toHaveLength(1);
    expect(third.filter((each) => each.resourceType === 'DetectedIssue')).toHaveLength(1);
  });

  test('a corrected end of the infusion moves the planned window and the interval', () => {
    const planned = {
      ...order('sr', 'kap-integration-session', hours(24)),
      supportingInfo: [{ reference: 'Procedure/inf-1' }],
    };
    const resources = course(planned, ...therapy(1, hours(24)));
    const first = applied(resources, run(resources));
    const corrected = withOwnTimes(first, 'inf-1', START, plus(END, 5));
    const second = applied(corrected, run(corrected));
    expect(only<ServiceRequest>(second, 'ServiceRequest').occurrencePeriod).toEqual({
      start: plus(END, 5 + 24 * 60),
      end: plus(END, 5 + 48 * 60),
    });
    expect(classes(second)).toEqual(['integration-early']);
    expect(findings(second, 'R-04').map(kapCodeOf)).toEqual(['integration-early']);
  });

  test('a session entered in error takes its interval with it', () => {
    const resources = course(...therapy(1, hours(30)));
    const first = applied(resources, run(resources));
    const mistaken = first.map((each) =>
      each.id === 'int-1' || each.id === 'int-visit-1' ? ({ ...each, status: 'entered-in-error' } as Resource) : each,
    );
    expect(intervals(applied(mistaken, run(mistaken)))).toMatchObject([{ status: 'entered-in-error' }]);
  });

  test('a start that becomes a mere date leaves the finding and withdraws the number', () => {
    const late = course(...therapy(1, hours(70)));
    const first = applied(late, run(late));
    const vague = withOwnTimes(first, 'int-1', '2026-03-08', '2026-03-08');
    const second = applied(vague, run(vague));
    expect(findings(second, 'R-04')).toHaveLength(1);
    expect(intervals(second)[0]?.valueQuantity).toBeUndefined();
    expect(intervals(second)[0]?.dataAbsentReason).toBeDefined();
  });

  test('a finding that a person marked as entered in error stays so', () => {
    const late = course(...therapy(1, hours(70)));
    const marked = applied(late, run(late)).map((each) =>
      each.resourceType === 'DetectedIssue' ? { ...each, status: 'entered-in-error' as const } : each,
    );
    expect(run(marked).upserts).toEqual([]);
  });
});

describe('what the author of a bundle already stated is not doubled', () => {
  const authored = (value: number, code: 'in-window' | 'integration-early'): Observation => ({
    resourceType: 'Observation',
    id: 'authored',
    status: 'final',
    code: kapConcept('infusion-to-integration-interval'),
    subject: { reference: 'Patient/p' },
    partOf: [{ reference: 'Procedure/int-1' }],
    valueQuantity: quantity(value, 'h'),
    interpretation: [kapConcept(code)],
  });

  test('a right interval stands as it is', () => {
    expect(run(course(...therapy(1, plus(hours(28), 5)), authored(28.08, 'in-window'))).upserts).toEqual([]);
  });

  test('a wrong one is corrected in place', () => {
    const resources = course(...therapy(1, hours(30)), authored(20, 'integration-early'));
    const settled = intervals(applied(resources, run(resources)));
    expect(settled).toMatchObject([{ id: 'authored', status: 'corrected', valueQuantity: { value: 30 } }]);
  });

  test.each([
    ['agrees', 28.08, 'in-window', 'final'],
    ['differs', 20, 'integration-early', 'corrected'],
  ] as const)(
    'an interval of the author that comes after that of the rules and %s stands alone',
    (_case, value, code, status) => {
      const before = course(...therapy(1, plus(hours(28), 5)));
      const first = applied(before, run(before));
      const resources = [...first, authored(value, code)];
      const after = applied(resources, run(resources));
      const standing = intervals(after).filter((each) => each.status !== 'entered-in-error');
      expect(intervals(after)).toHaveLength(2);
      expect(standing).toMatchObject([{ id: 'authored', status }]);
      expect(run(after).upserts).toEqual([]);
    },
  );
});

describe('orders', () => {
  test('an order is completed with its Procedure, not before', () => {
    const planned = order('sr', 'kap-infusion', START);
    const basedOn = [{ reference: 'ServiceRequest/sr' }];
    const done = [...setting(), planned, ...infusion(1, START, END, { procedure: { basedOn } })];
    const running = [
      ...setting(),
      planned,
      ...infusion(1, START, END, { procedure: { basedOn, status: 'in-progress' } }),
    ];
    expect(only<ServiceRequest>(applied(done, run(done)), 'ServiceRequest').status).toBe('completed');
    expect(only<ServiceRequest>(applied(running, run(running)), 'ServiceRequest').status).toBe('active');
    const settled = applied(done, run(done));
    const mistaken = settled.map((each) =>
      each.id === 'inf-1' ? ({ ...each, status: 'entered-in-error' } as Procedure) : each,
    );
    expect(only<ServiceRequest>(applied(mistaken, run(mistaken)), 'ServiceRequest').status).toBe('active');
  });

  test('orders planned in advance find their infusion by their place in the plan', () => {
    const orders = [
      order('inf-order-1', 'kap-infusion', START),
      order('int-order-1', 'kap-integration-session', plus(START, 25 * 60)),
      order('inf-order-2', 'kap-infusion', '2026-03-09T10:00:00-07:00'),
      order('int-order-2', 'kap-integration-session', '2026-03-10T11:00:00-07:00'),
    ];
    // The infusion runs a day later than planned.
    const [start, end] = ['2026-03-10T10:00:00-07:00', '2026-03-10T10:50:00-07:00'];
    const resources = [
      ...setting(),
      ...orders,
      ...infusion(2, start, end, { procedure: { basedOn: [{ reference: 'ServiceRequest/inf-order-2' }] } }),
    ];
    const settled = applied(resources, run(resources, { now: end }));
    expect(only<ServiceRequest>(settled, 'ServiceRequest', 'int-order-2')).toMatchObject({
      occurrencePeriod: { start: plus(end, 24 * 60), end: plus(end, 48 * 60) },
      supportingInfo: [{ reference: 'Procedure/inf-2' }],
    });
    expect(only<ServiceRequest>(settled, 'ServiceRequest', 'int-order-1')).toEqual(orders[1]);
  });
});
