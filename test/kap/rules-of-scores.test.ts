import type { Coding, Encounter, Observation, Resource, Task } from '@medplum/fhirtypes';
import { concept, type KapCode, kapConcept, LOINC, NUCC, SYSTEM } from '../../src/kap/codes.ts';
import {
  applied,
  evaluate,
  findings,
  infusion,
  type Options,
  only,
  phq9,
  plus,
  quantity,
  setting,
  survey,
  therapy,
  verdict,
} from './course-builder.ts';

const START = '2026-03-05T10:00:00-08:00';
const END = '2026-03-05T10:50:00-08:00';
const IN_WINDOW = '2026-03-06T14:00:00-08:00';
const NOW = '2026-03-07T09:00:00-08:00';

const run = (resources: readonly Resource[], options: Options = {}) => evaluate(resources, { now: NOW, ...options });
const withInfusion = (...rest: readonly Resource[]): Resource[] => [...setting(), ...infusion(1, START, END), ...rest];

describe('R-10 response and remission, R-13 recall', () => {
  const baseline = '2026-03-01T10:00:00-08:00';
  const later = '2026-03-16T10:00:00-07:00';
  const changeOf = (from: number, to: number) => {
    const { upserts } = run(
      withInfusion(...therapy(1, IN_WINDOW), phq9('base', baseline, from), phq9('now', later, to)),
    );
    return upserts.find(
      (each): each is Observation =>
        each.resourceType === 'Observation' && each.code.coding?.[0]?.code === 'phq9-percent-change',
    );
  };

  test.each([
    [20, 10, -50, 'response'],
    [20, 11, -45, 'non-response'],
    [19, 8, -57.9, 'response'],
    [20, 5, -75, 'response'],
    [20, 4, -80, 'remission'],
    [10, 12, 20, 'non-response'],
  ])('PHQ-9 %i to %i is %d %%', (from, to, percent, interpretation) => {
    expect(changeOf(from, to)).toMatchObject({
      valueQuantity: { value: percent, code: '%' },
      interpretation: [{ coding: [{ code: interpretation }] }],
      derivedFrom: [{ reference: 'Observation/base' }, { reference: 'Observation/now' }],
    });
  });

  test('a baseline of 0 says nothing', () => {
    expect(changeOf(0, 3)).toBeUndefined();
  });

  test.each([
    ['14 days before', '2026-02-19T10:00:00-08:00', 'pass'],
    ['a second earlier', '2026-02-19T09:59:59-08:00', 'indeterminate'],
    ['after the first infusion', '2026-03-05T11:00:00-08:00', 'indeterminate'],
    ['on that day, without a time', '2026-03-05', 'indeterminate'],
  ])('a baseline rated %s', (_case, at, expected) => {
    const result = run(withInfusion(phq9('base', at, 20), phq9('now', later, 8)));
    expect(verdict(result, 'R-10', 'Observation/now')).toBe(expected);
  });

  test.each([
    ['7 d after the one before', '2026-03-08T11:00:00-07:00', false],
    ['a second less', '2026-03-08T10:59:59-07:00', true],
  ])('a rating %s', (_case, at, overlaps) => {
    const result = run(withInfusion(phq9('base', baseline, 20), phq9('now', at, 8)), { now: later });
    const score = only<Observation>(applied([phq9('now', at, 8)], result), 'Observation', 'now');
    const codes = (score.interpretation ?? []).flatMap(({ coding }) => (coding ?? []).map(({ code }) => code));
    expect(codes.includes('recall-overlap')).toBe(overlaps);
    expect(verdict(result, 'R-10', 'Observation/now')).toBe(overlaps ? undefined : 'pass');
  });

  test('a form with a short recall may be used daily', () => {
    const response: Resource = {
      resourceType: 'QuestionnaireResponse',
      id: 'qr',
      status: 'completed',
      questionnaire: 'https://kap.example.org/fhir/Questionnaire/phq-9-24h|1.0.0',
    };
    const now = phq9('now', '2026-03-06T14:00:00-08:00', 8, {
      derivedFrom: [{ reference: 'QuestionnaireResponse/qr' }],
    });
    const policy = { modifiedRecallForms: ['https://kap.example.org/fhir/Questionnaire/phq-9-24h'] };
    const result = run(withInfusion(phq9('base', baseline, 20), now, response), { policy });
    expect(verdict(result, 'R-10', 'Observation/now')).toBe('pass');
  });

  test.each([
    [4, 'achieved'],
    [9, 'improving'],
    [20, 'no-change'],
    [22, 'worsening'],
  ])('a goal of at most 4 with a score of %i is %s', (to, status) => {
    const goal: Resource = {
      resourceType: 'Goal',
      id: 'goal',
      lifecycleStatus: 'active',
      description: { text: 'remission' },
      subject: { reference: 'Patient/p' },
      target: [{ measure: concept(LOINC.phq9Total), detailRange: { high: quantity(4, '{score}') } }],
    };
    const result = run(withInfusion(phq9('base', baseline, 20), phq9('now', later, to), goal));
    expect(only(applied([goal], result), 'Goal')).toMatchObject({ achievementStatus: { coding: [{ code: status }] } });
  });
});

describe('R-10 goals over time', () => {
  const goal: Resource = {
    resourceType: 'Goal',
    id: 'goal',
    lifecycleStatus: 'active',
    description: { text: 'response' },
    subject: { reference: 'Patient/p' },
    target: [
      { measure: concept(LOINC.phq9Total), detailCodeableConcept: kapConcept('response'), dueDate: '2026-03-20' },
    ],
  };
  const week = (n: number, total: number) =>
    phq9(`week-${n}`, plus('2026-03-09T10:00:00-07:00', (n - 1) * 7 * 1440), total);

  test.each<[string, Observation[], string]>([
    ['met once', [week(1, 12), week(2, 9)], 'achieved'],
    ['met twice', [week(1, 9), week(2, 8)], 'sustaining'],
    ['not met after its day', [week(1, 12), week(3, 12)], 'not-achieved'],
  ])('a response of half the baseline %s', (_case, ratings, status) => {
    const resources = withInfusion(phq9('base', '2026-03-01T10:00:00-08:00', 18), ...ratings, goal);
    const settled = applied(resources, run(resources, { now: '2026-04-01T00:00:00Z' }));
    expect(only(settled, 'Goal')).toMatchObject({ achievementStatus: { coding: [{ code: status }] } });
  });

  test('a goal that nobody pursues is left alone', () => {
    const given = { ...goal, lifecycleStatus: 'completed' } as Resource;
    const resources = withInfusion(phq9('base', '2026-03-01T10:00:00-08:00', 18), week(1, 4), given);
    expect(only(applied(resources, run(resources)), 'Goal')).toEqual(given);
  });
});

test.each([
  ['60 % of every factor', 9, 'meq30-complete-experience'],
  ['one factor below', 8, undefined],
])('R-11 MEQ-30 with %s', (_case, ineffability, expected) => {
  const factor = (code: KapCode, value: number) => ({
    code: kapConcept(code),
    valueQuantity: quantity(value, '{score}'),
  });
  const score = survey('score', NOW, {
    code: kapConcept('meq30-total'),
    component: [
      factor('meq30-mystical', 45),
      factor('meq30-positive-mood', 18),
      factor('meq30-transcendence', 18),
      factor('meq30-ineffability', ineffability),
    ],
  });
  const settled = only<Observation>(applied([score], run([...setting(), score])), 'Observation', 'score');
  expect(settled.interpretation?.[0]?.coding?.[0]?.code).toBe(expected);
});

describe('R-11 severity bands', () => {
  test.each<[string, Coding, number, string | undefined]>([
    ['phq9Total', LOINC.phq9Total, 4, 'phq9-minimal'],
    ['phq9Total', LOINC.phq9Total, 5, 'phq9-mild'],
    ['phq9Total', LOINC.phq9Total, 10, 'phq9-moderate'],
    ['phq9Total', LOINC.phq9Total, 15, 'phq9-moderately-severe'],
    ['phq9Total', LOINC.phq9Total, 20, 'phq9-severe'],
    ['phq9Total', LOINC.phq9Total, 28, undefined],
    ['phq9Total', LOINC.phq9Total, -1, undefined],
    ['gad7Total', LOINC.gad7Total, 9, 'gad7-mild'],
    ['gad7Total', LOINC.gad7Total, 15, 'gad7-severe'],
    ['qids-sr16-total', { system: SYSTEM.kap, code: 'qids-sr16-total' }, 21, 'qids-very-severe'],
    ['madrs-total', { system: SYSTEM.kap, code: 'madrs-total' }, 6, 'madrs-none'],
    ['madrs-total', { system: SYSTEM.kap, code: 'madrs-total' }, 35, 'madrs-severe'],
    ['ybocs-total', { system: SYSTEM.kap, code: 'ybocs-total' }, 16, 'ybocs-moderate'],
    ['pcl5Total', LOINC.pcl5Total, 32, undefined],
    ['pcl5Total', LOINC.pcl5Total, 33, 'pcl5-provisional-ptsd'],
    ['auditTotal', LOINC.auditTotal, 8, 'audit-positive'],
    ['dast10Total', LOINC.dast10Total, 2, undefined],
    ['cadss-total', { system: SYSTEM.kap, code: 'cadss-total' }, 4, undefined],
    ['cadss-total', { system: SYSTEM.kap, code: 'cadss-total' }, 5, 'cadss-dissociation'],
  ])('%s, case %#', (_instrument, code, value, band) => {
    const score = survey('score', NOW, { code: concept(code), valueQuantity: quantity(value, '{score}') });
    const settled = only<Observation>(applied([score], run([...setting(), score])), 'Observation', 'score');
    expect(settled.interpretation?.[0]?.coding?.[0]?.code).toBe(band);
  });

  test('a corrected score changes its band and keeps what its author said', () => {
    const authored = [{ text: 'seen by therapist' }, kapConcept('phq9-severe')];
    const score = phq9('score', NOW, 8, { interpretation: authored });
    const settled = only<Observation>(applied([score], run([...setting(), score])), 'Observation', 'score');
    expect(settled.interpretation).toEqual([
      { text: 'seen by therapist' },
      expect.objectContaining({ coding: [expect.objectContaining({ code: 'phq9-mild' })] }),
    ]);
  });
});

describe('R-12 suicidality', () => {
  const at = '2026-03-06T14:00:00-08:00';
  const item9 = (answer: string): Observation =>
    survey('item9', at, {
      code: concept(LOINC.phq9Item9),
      valueCodeableConcept: { coding: [{ system: SYSTEM.loinc, code: answer }] },
      encounter: { reference: 'Encounter/int-visit-1' },
    });
  const screener = (minutes: number, risk: Coding): Observation =>
    survey('cssrs', plus(at, minutes), {
      code: concept(LOINC.cssrsRisk),
      valueCodeableConcept: concept(risk),
    });
  const tasks = (resources: readonly Resource[]) =>
    resources.filter((each) => each.resourceType === 'Task' && each.priority === 'stat');

  test('item 9 of 0 is no alarm', () => {
    const result = run([...setting(), item9('LA6568-5')]);
    expect(verdict(result, 'R-12', 'Observation/item9')).toBe('pass');
    expect(tasks(result.upserts)).toEqual([]);
  });

  test('an answer in an unknown coding is never a pass', () => {
    expect(verdict(run([...setting(), item9('LA0-0')]), 'R-12', 'Observation/item9')).toBe('indeterminate');
  });

  test.each<[string, Observation | undefined, string, string]>([
    ['within the hour', screener(60, LOINC.riskLow), NOW, 'pass'],
    ['a second late', screener(60 + 1 / 60, LOINC.riskLow), NOW, 'fail'],
    ['not yet, and not due', undefined, plus(at, 60), 'indeterminate'],
    ['not at all', undefined, plus(at, 61), 'fail'],
  ])('a positive item 9 with a C-SSRS %s', (_case, screen, now, expected) => {
    const resources = [...setting(), item9('LA6569-3'), ...(screen === undefined ? [] : [screen])];
    const result = run(resources, { now });
    expect(verdict(result, 'R-12', 'Observation/item9')).toBe(expected);
    expect(tasks(result.upserts)).toHaveLength(1);
    const item = only<Observation>(applied(resources, result), 'Observation', 'item9');
    expect(item.interpretation?.[0]?.coding?.[0]?.code).toBe('suicidality-follow-up');
  });

  test('an answer that stands only in the questionnaire counts as well, and only once', () => {
    const response: Resource = {
      resourceType: 'QuestionnaireResponse',
      id: 'qr',
      status: 'completed',
      authored: at,
      item: [{ linkId: '/44260-8', answer: [{ valueCoding: { system: SYSTEM.loinc, code: 'LA6569-3' } }] }],
    };
    expect(tasks(run([...setting(), response]).upserts)).toMatchObject([
      { focus: { reference: 'QuestionnaireResponse/qr' }, authoredOn: at },
    ]);
    const scored = { ...item9('LA6569-3'), derivedFrom: [{ reference: 'QuestionnaireResponse/qr' }] };
    expect(tasks(run([...setting(), response, scored]).upserts)).toMatchObject([
      { focus: { reference: 'Observation/item9' } },
    ]);
  });

  test('says when to look again', () => {
    const { nextCheckAt } = run([...setting(), item9('LA6569-3')], { now: at });
    expect(nextCheckAt?.getTime()).toBe(Date.parse(at) + 3_600_001);
  });

  test('therapist and prescriber each get a task', () => {
    const held = therapy(1, at).map((each) =>
      each.resourceType === 'Encounter'
        ? ({
            ...each,
            participant: [
              {
                type: [concept({ system: SYSTEM.participationType, code: 'PPRF' })],
                individual: { reference: 'Practitioner/th' },
              },
            ],
          } as Encounter)
        : each,
    );
    const rx: Resource = {
      resourceType: 'MedicationRequest',
      id: 'rx',
      status: 'active',
      intent: 'order',
      medicationCodeableConcept: { text: 'ketamine' },
      subject: { reference: 'Patient/p' },
      requester: { reference: 'Practitioner/md' },
    };
    const { upserts } = run(withInfusion(...held, rx, item9('LA6571-9')));
    expect(tasks(upserts).map((each) => each.resourceType === 'Task' && each.owner?.reference)).toEqual([
      'Practitioner/th',
      'Practitioner/md',
    ]);
  });

  test.each([
    ['active', 'Practitioner/th'],
    ['inactive', undefined],
  ] as const)(
    'before any session is ordered, the therapist of a care team that is %s gets the task',
    (status, owner) => {
      const team: Resource = {
        resourceType: 'CareTeam',
        id: 'team-2',
        status,
        subject: { reference: 'Patient/p' },
        participant: [
          { role: [concept(NUCC.registeredNurse)], member: { reference: 'Practitioner/rn' } },
          { role: [concept(NUCC.psychologist)], member: { reference: 'Practitioner/th' } },
        ],
      };
      const [task] = tasks(run([...setting(), team, item9('LA6571-9')]).upserts);
      expect(task).toMatchObject({ resourceType: 'Task', focus: { reference: 'Observation/item9' } });
      expect((task as Task).owner?.reference).toBe(owner);
    },
  );

  test.each([
    ['low', LOINC.riskLow, 0, 0],
    ['moderate', LOINC.riskModerate, 1, 0],
    ['high', LOINC.riskHigh, 1, 1],
  ])('a C-SSRS of %s risk', (_case, risk, taskCount, issueCount) => {
    const { upserts } = run([...setting(), screener(0, risk)]);
    expect(tasks(upserts)).toHaveLength(taskCount);
    expect(findings(upserts, 'R-12')).toHaveLength(issueCount);
  });

  test.each([
    ['item 3', LOINC.cssrsMethod, 1, 0],
    ['item 4', LOINC.cssrsIntent, 1, 1],
    ['item 5', LOINC.cssrsPlan, 1, 1],
    ['behaviour in 3 months', LOINC.cssrsBehaviourThreeMonths, 1, 1],
    ['behaviour long ago', LOINC.cssrsBehaviourLifetime, 0, 0],
  ])('yes to %s of the C-SSRS', (_case, item, taskCount, issueCount) => {
    const yes = survey('cssrs', at, { code: concept(item), valueCodeableConcept: concept(LOINC.yes) });
    const { upserts } = run([...setting(), yes]);
    expect(tasks(upserts)).toHaveLength(taskCount);
    expect(findings(upserts, 'R-12')).toHaveLength(issueCount);
  });

  test('a positive answer is at least restricted', () => {
    const normal = { ...item9('LA6569-3'), meta: { security: [{ system: SYSTEM.confidentiality, code: 'N' }] } };
    const settled = only<Observation>(applied([normal], run([...setting(), normal])), 'Observation', 'item9');
    expect(settled.meta?.security?.map(({ code }) => code)).toEqual(['R']);
  });
});
