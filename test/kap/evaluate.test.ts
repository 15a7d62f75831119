import type { Observation, Resource } from '@medplum/fhirtypes';
import fc from 'fast-check';
import { loadDefinitions } from '../../src/fhir/definitions.ts';
import { createValidator } from '../../src/fhir/validation/validator.ts';
import { concept, kapConcept, LOINC, SYSTEM } from '../../src/kap/codes.ts';
import type { Evaluation } from '../../src/kap/evaluate.ts';
import { atOffset, millisecondsOf } from '../../src/kap/instant.ts';
import {
  applied,
  evaluate,
  findings,
  infusion,
  order,
  phq9,
  plus,
  pressure,
  setting,
  survey,
  therapy,
} from './course-builder.ts';

const FIRST = '2026-03-02T10:00:00-08:00';

/** Courses of up to four infusions, in order and out of it. */
const courses: fc.Arbitrary<Resource[]> = fc
  .array(
    fc.record({
      hoursAfterLast: fc.integer({ min: 20, max: 200 }),
      minutes: fc.integer({ min: 30, max: 75 }),
      vitalsAt: fc.uniqueArray(fc.integer({ min: -35, max: 110 }), { maxLength: 8 }),
      dose: fc.integer({ min: 20, max: 120 }),
      status: fc.constantFrom('completed', 'completed', 'stopped', 'in-progress', 'entered-in-error'),
      systolic: fc.integer({ min: 100, max: 210 }),
      sessionAfterHours: fc.option(fc.double({ min: 0, max: 180, noNaN: true })),
      named: fc.boolean(),
      score: fc.option(fc.integer({ min: 0, max: 27 })),
      answer: fc.constantFrom('LA6568-5', 'LA6569-3', 'LA6571-9'),
    }),
    { minLength: 1, maxLength: 4 },
  )
  .map((visits) => {
    const resources: Resource[] = [...setting(), phq9('base', '2026-02-28T10:00:00-08:00', 18)];
    let start = FIRST;
    visits.forEach((each, index) => {
      const n = index + 1;
      if (index > 0) start = plus(start, each.hoursAfterLast * 60);
      const end = plus(start, each.minutes);
      const status = each.status as 'completed';
      const basedOn = [{ reference: `ServiceRequest/inf-order-${n}` }];
      resources.push(
        order(`inf-order-${n}`, 'kap-infusion', start),
        order(`int-order-${n}`, 'kap-integration-session', plus(start, 1500)),
        ...infusion(n, start, end, { vitalsAt: each.vitalsAt, dose: each.dose, procedure: { status, basedOn } }),
        pressure(`peak-${n}`, n, plus(start, 25), each.systolic, 85),
      );
      if (each.sessionAfterHours === null) return;
      const held = plus(end, Math.round(each.sessionAfterHours * 60));
      resources.push(
        ...therapy(n, held, each.named ? {} : { reasonReference: [] }),
        survey(`item9-${n}`, held, {
          code: concept(LOINC.phq9Item9),
          valueCodeableConcept: { coding: [{ system: SYSTEM.loinc, code: each.answer }] },
        }),
      );
      if (each.score !== null) resources.push(phq9(`phq9-${n}`, held, each.score));
    });
    return resources;
  });

const nows = fc.integer({ min: 0, max: 40 * 24 }).map((hours) => plus(FIRST, hours * 60));

const summary = ({ outcomes }: Evaluation): string[] =>
  outcomes
    .map(({ rule, subject, result, ...rest }) => {
      const parts = 'findings' in rest ? rest.findings.map(({ part, code, severity }) => [part, code, severity]) : [];
      return JSON.stringify([rule, subject, result, parts]);
    })
    .sort();

test('evaluating the record with its upserts in it changes nothing more', () => {
  fc.assert(
    fc.property(courses, nows, (resources, now) => {
      const settled = applied(resources, evaluate(resources, { now }));
      expect(evaluate(settled, { now }).upserts).toEqual([]);
    }),
    { numRuns: 60 },
  );
});

test('after any correction the record settles again in one step, without a second finding of the same thing', () => {
  fc.assert(
    fc.property(courses, courses, nows, nows, (before, after, then, now) => {
      const settled = applied(before, evaluate(before, { now: then }));
      // The correction: every resource of the first course that the second has, too, becomes the second's.
      const ids = new Set(before.map(({ id }) => id));
      const corrected = applied(settled, { upserts: after.filter(({ id }) => ids.has(id)) });
      const again = applied(corrected, evaluate(corrected, { now }));
      expect(evaluate(again, { now }).upserts).toEqual([]);
      const values = again.flatMap((each) =>
        each.resourceType === 'DetectedIssue' || each.resourceType === 'Task'
          ? (each.identifier?.[0]?.value ?? [])
          : [],
      );
      expect(new Set(values).size).toBe(values.length);
    }),
    { numRuns: 60 },
  );
});

test('the order of the resources does not matter', () => {
  fc.assert(
    fc.property(
      courses.chain((resources) =>
        fc.tuple(fc.constant(resources), fc.shuffledSubarray(resources, { minLength: resources.length })),
      ),
      nows,
      ([resources, shuffled], now) => {
        expect(evaluate(shuffled, { now })).toEqual(evaluate(resources, { now }));
      },
    ),
    { numRuns: 40 },
  );
});

test('the notation of the time zone does not matter to any rule', () => {
  fc.assert(
    fc.property(courses, nows, fc.constantFrom('Z', '+00:00', '+05:30', '-10:00'), (resources, now, offset) => {
      const rewritten = rewrite(resources, offset) as Resource[];
      expect(summary(evaluate(rewritten, { now }))).toEqual(summary(evaluate(resources, { now })));
    }),
    { numRuns: 40 },
  );
});

function rewrite(value: unknown, offset: string): unknown {
  if (typeof value === 'string') {
    const at = millisecondsOf(value);
    return at === undefined ? value : atOffset(at, offset);
  }
  if (Array.isArray(value)) return value.map((each) => rewrite(each, offset));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, rewrite(inner, offset)]));
}

test('a finding is never made or withdrawn by a rule that cannot decide', () => {
  fc.assert(
    fc.property(courses, nows, (resources, now) => {
      const settled = applied(resources, evaluate(resources, { now }));
      const blind = settled.filter(({ resourceType }) => resourceType !== 'CareTeam');
      const roles = (each: readonly Resource[]) => findings(each, 'R-02').length;
      expect(roles(applied(blind, evaluate(blind, { now })))).toBe(roles(settled));
    }),
    { numRuns: 25 },
  );
});

const validator = createValidator(loadDefinitions());

test('everything the rules write is valid R4 and has one identifier, a subject and its labels', () => {
  fc.assert(
    fc.property(courses, nows, (resources, now) => {
      const known = new Set(resources.map(({ resourceType, id }) => `${resourceType}/${id}`));
      for (const each of evaluate(resources, { now }).upserts) {
        if (known.has(`${each.resourceType}/${each.id}`)) continue;
        expect(validator.validate(each)).toEqual([]);
        const { identifier, meta } = each as Observation;
        expect(identifier).toHaveLength(1);
        expect(meta?.security?.map(({ code }) => code)).toEqual(['R', 'PSY']);
        expect(JSON.stringify(each)).toContain('"Patient/p"');
        expect(JSON.stringify(each)).not.toMatch(/\[\]|\{\}|null|undefined|NaN/);
      }
    }),
    { numRuns: 25 },
  );
});

test('nothing is judged for a patient without a course', () => {
  const score = survey('weight', FIRST, { code: kapConcept('kap-reassessment') });
  expect(evaluate([{ resourceType: 'Patient', id: 'p' }, score])).toEqual({ refusals: [], upserts: [], outcomes: [] });
});
