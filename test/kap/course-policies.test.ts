import type { CarePlan, Resource } from '@medplum/fhirtypes';
import { defaultPolicy, type Policy } from '../../src/kap/policy.ts';
import { applied, evaluate, findings, infusion, order, PATIENT, plus, setting, therapy } from './course-builder.ts';

const [OLD, NEW] = ['https://clinic.example/plan|1', 'https://clinic.example/plan|2'];
const wide: Policy = { ...defaultPolicy, integrationWindowStartHours: 12, reference: OLD };
const strict: Policy = { ...defaultPolicy, infusionMinimumMinutes: 55, reference: NEW };
const START = '2026-03-02T10:00:00-08:00';
const END = plus(START, 50);

function plan(id: string, canonical: string, status: CarePlan['status']): CarePlan {
  return {
    resourceType: 'CarePlan',
    id,
    status,
    intent: 'order',
    subject: PATIENT,
    instantiatesCanonical: [canonical],
  };
}

/** An infusion of a plan that is over, with therapy 13 h later, and one of the plan that runs now. */
function twoCourses(first: { readonly throughOrder: boolean }): Resource[] {
  const basedOn = [{ reference: first.throughOrder ? 'ServiceRequest/order-1' : 'CarePlan/old' }];
  const later = plus(START, 30 * 24 * 60);
  return [
    ...setting().filter(({ resourceType }) => resourceType !== 'CarePlan'),
    plan('old', OLD, 'completed'),
    plan('new', NEW, 'active'),
    { ...order('order-1', 'kap-infusion', START), basedOn: [{ reference: 'CarePlan/old' }] },
    ...infusion(1, START, END, { procedure: { basedOn } }),
    ...therapy(1, plus(END, 13 * 60)),
    ...infusion(2, later, plus(later, 50), { procedure: { basedOn: [{ reference: 'CarePlan/new' }] } }),
    ...therapy(2, plus(later, 50 + 30 * 60)),
  ];
}

const policies = new Map([
  [OLD, wide],
  [NEW, strict],
]);

test.each([
  ['names its plan', false],
  ['names an order of its plan', true],
])(
  'an infusion that %s stays judged by that plan when another course runs under another version',
  (_, throughOrder) => {
    const record = twoCourses({ throughOrder });
    const evaluation = evaluate(record, { policy: strict, policies, now: '2026-04-05T10:00:00-07:00' });
    const after = applied(record, evaluation);
    const tooShort = findings(after, 'R-03');
    expect(tooShort.map(({ identifier, reference }) => [identifier?.[0]?.value, reference])).toEqual([
      ['R-03|Procedure/inf-2', NEW],
    ]);
    expect(findings(after, 'R-04')).toEqual([]);
    const ranges = after.flatMap((each) =>
      each.resourceType === 'Observation' && each.identifier?.[0]?.value?.startsWith('R-04|')
        ? [each.referenceRange?.[0]?.low?.value]
        : [],
    );
    expect(ranges.sort()).toEqual([12, 24]);
  },
);

test('an infusion whose plan is not known is judged by the policy of the course that runs', () => {
  const record = twoCourses({ throughOrder: false });
  const evaluation = evaluate(record, { policy: strict, policies: new Map(), now: '2026-04-05T10:00:00-07:00' });
  const values = findings(applied(record, evaluation), 'R-03').map(({ identifier }) => identifier?.[0]?.value);
  expect(values.sort()).toEqual(['R-03|Procedure/inf-1', 'R-03|Procedure/inf-2']);
});
