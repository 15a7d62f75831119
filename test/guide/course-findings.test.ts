/**
 * Whatever the rules find is stored, so it must be what it claims: a finding that its own profile refused would take the
 * whole visit with it. Each kind of finding is made here once.
 */
import type { Observation, Resource } from '@medplum/fhirtypes';
import { loadDefinitions } from '../../src/fhir/definitions.ts';
import { shippedProfiles } from '../../src/fhir/profiles/shipped.ts';
import { createValidator } from '../../src/fhir/validation/validator.ts';
import { ALERT, concept, LOINC, SYSTEM } from '../../src/kap/codes.ts';
import {
  evaluate,
  infusion,
  kapCodeOf,
  type Options,
  plus,
  pressure,
  setting,
  survey,
  therapy,
} from '../kap/course-builder.ts';

const validator = createValidator(loadDefinitions(), shippedProfiles());

const START = '2026-03-05T10:00:00-08:00';
const END = '2026-03-05T10:50:00-08:00';
const NOW = '2026-03-07T09:00:00-08:00';
const one = (...more: readonly Resource[]): Resource[] => [...setting(), ...infusion(1, START, END), ...more];
const without = (resources: readonly Resource[], id: string): Resource[] => resources.filter((each) => each.id !== id);
const item9: Observation = survey('item9', START, {
  code: concept(LOINC.phq9Item9),
  valueCodeableConcept: concept({ system: SYSTEM.loinc, code: 'LA6569-3' }),
});
const highRisk: Observation = survey('cssrs', START, {
  code: concept(LOINC.cssrsRisk),
  valueCodeableConcept: concept(LOINC.riskHigh),
});

const scenes: readonly [finding: string, resources: readonly Resource[], options?: Options][] = [
  ['consent-missing', without(one(), 'consent')],
  ['consult-missing', without(one(), 'consult')],
  ['infusion-short', [...setting(), ...infusion(1, START, plus(START, 30))]],
  ['infusion-long', [...setting(), ...infusion(1, START, plus(START, 70))]],
  ['bp-hold', one(pressure('before', 1, plus(START, -3), 150, 95))],
  ['bp-stop', one(pressure('during', 1, plus(START, 20), 210, 125))],
  ['monitoring-gap', [...setting(), ...infusion(1, START, END, { vitalsAt: [-10, 45, 55, 110] })]],
  ['dose-ceiling', [...setting(), ...infusion(1, START, END, { dose: 80 })]],
  ['infusion-interval', one(...infusion(2, plus(START, 24 * 60), plus(END, 24 * 60)))],
  ['infusion-interval', one(...infusion(2, plus(START, 9 * 1440), plus(END, 9 * 1440))), { now: plus(NOW, 9 * 1440) }],
  ['integration-early', one(...therapy(1, plus(END, 10 * 60)))],
  ['integration-late', one(...therapy(1, plus(END, 60 * 60))), { now: plus(NOW, 3 * 1440) }],
  ['integration-missed', one(), { now: plus(NOW, 10 * 1440) }],
  ['suicidality-follow-up', one(item9)],
  ['suicidality-follow-up', one(highRisk)],
];

/** What the rules made themselves: their statements about others' resources are those resources. */
function made(resources: readonly Resource[], options?: Options): Resource[] {
  const { upserts, refusals } = evaluate(resources, { now: NOW, ...options });
  expect(refusals).toEqual([]);
  return upserts.filter(({ id }) => id?.startsWith('new-'));
}

test.each(scenes)('a finding %s is what it claims', (finding, resources, options = {}) => {
  const own = made(resources, options);
  expect(own.flatMap((each) => (each.resourceType === 'DetectedIssue' ? kapCodeOf(each) : []))).toContain(finding);
  for (const resource of own) {
    const { resourceType: type, meta } = resource;
    const isDescribed = type === 'DetectedIssue' || type === 'Observation';
    expect([type, meta?.profile?.length]).toEqual([type, isDescribed ? 1 : undefined]);
    expect(validator.check(resource)).toEqual([]);
  }
});

test.each([
  ['in its window', therapy(1, plus(END, 30 * 60))],
  ['on the very end of its window', therapy(1, plus(END, 48 * 60))],
  ['a second beyond it', therapy(1, '2026-03-07T10:50:01-08:00')],
  ['during the infusion', therapy(1, plus(START, 10))],
  ['on a day without a time', therapy(1, '2026-03-06')],
])('the interval of a session %s is what it claims', (_case, session) => {
  const own = made(one(...session), { now: plus(NOW, 1440) });
  const intervals = own.filter(({ resourceType }) => resourceType === 'Observation');
  expect(intervals).toHaveLength(1);
  expect(intervals.map(({ meta }) => meta?.profile)).toEqual([
    ['https://kap.example.org/fhir/StructureDefinition/kap-integration-interval'],
  ]);
  expect(own.flatMap((resource) => validator.check(resource))).toEqual([]);
});

test('every standard alert that a rule can raise is one that a finding may carry', () => {
  const finding = made(without(one(), 'consent')).find(({ resourceType }) => resourceType === 'DetectedIssue');
  if (finding?.resourceType !== 'DetectedIssue') throw new Error('the rules found nothing');
  const [, kap] = finding.code?.coding ?? [];
  for (const alert of Object.values(ALERT)) {
    const raised = { ...finding, code: { coding: [{ ...alert }, { ...kap }] } };
    expect([alert.code, validator.check(raised)]).toEqual([alert.code, []]);
  }
});
