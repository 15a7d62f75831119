import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { loadDefinitions } from '../../src/fhir/definitions.ts';
import { createValidator } from '../../src/fhir/validation/validator.ts';
import { applyProtocol } from '../../src/kap/enrol.ts';
import { defaultPolicy } from '../../src/kap/policy.ts';
import { recordInfusion } from '../../src/kap/record-infusion.ts';
import { recordIntegration } from '../../src/kap/record-integration.ts';
import type { Recorded } from '../../src/kap/recorded.ts';
import {
  activities,
  applyParameters,
  bundleOf,
  enrolled,
  infused,
  NOW,
  PATIENT,
  parameters,
  plan,
  sessionOf,
} from './chart.ts';

const validator = createValidator(loadDefinitions());
const example = (file: string) => JSON.parse(readFileSync(join(import.meta.dirname, '../../examples', file), 'utf8'));

const chart = enrolled();
chart.apply(bundleOf(infused(chart)));
const OPERATIONS: readonly (readonly [string, unknown, (body: unknown) => Recorded])[] = [
  [
    '$record-infusion',
    example('06-infusion-3.parameters.json'),
    (body) => recordInfusion({ ...sessionOf(chart), parameters: body }),
  ],
  [
    '$record-integration',
    example('03-integration-1.parameters.json'),
    (body) => recordIntegration({ ...sessionOf(chart), parameters: body, policy: defaultPolicy }),
  ],
  [
    '$apply',
    parameters(...applyParameters()),
    (body) =>
      applyProtocol({
        parameters: body,
        planDefinition: plan(),
        activityDefinitions: activities(),
        patient: PATIENT,
        course: [],
        newUuid: chart.newUuid,
        now: NOW,
      }),
  ],
];

test.each(OPERATIONS)('%s answers any JSON with a refusal that has a place, and never breaks', (_name, _body, run) => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 5 }), fc.boolean(), (value, wrapped) => {
      const answer = run(wrapped ? { resourceType: 'Parameters', parameter: value } : value);
      expect(answer.ok).toBe(false);
      if (answer.ok) return;
      expect(answer.issues.length).toBeGreaterThan(0);
      for (const { expression } of answer.issues) expect(expression).toMatch(/^(Parameters|CarePlan|PlanDefinition)/);
    }),
    { numRuns: 300 },
  );
});

/** Every place in a JSON value that holds something. */
function placesIn(value: unknown, path: (string | number)[] = []): (string | number)[][] {
  if (typeof value !== 'object' || value === null) return [path];
  return [
    path,
    ...Object.entries(value).flatMap(([key, inner]) =>
      placesIn(inner, [...path, Array.isArray(value) ? Number(key) : key]),
    ),
  ];
}

function replacedAt(value: unknown, [step, ...rest]: readonly (string | number)[], by: unknown): unknown {
  if (step === undefined) return by;
  const copy: Record<string | number, unknown> = (
    Array.isArray(value) ? [...value] : { ...(value as object) }
  ) as never;
  copy[step] = replacedAt(copy[step], rest, by);
  return copy;
}

test.each(OPERATIONS)('%s with one damaged place is refused, or recorded as valid resources', (_name, body, run) => {
  const places = placesIn(body).filter((path) => path.length > 1);
  const damage = fc.oneof(
    fc.constantFrom<unknown>(
      null,
      '',
      ' ',
      'x',
      0,
      -1,
      1.5,
      1e308,
      true,
      [],
      {},
      [[]],
      '2026-02-30T10:00:00Z',
      'Patient/p1',
      '\u0000',
    ),
    fc.jsonValue({ maxDepth: 2 }),
  );
  fc.assert(
    fc.property(fc.constantFrom(...places), damage, (path, by) => {
      const answer = run(replacedAt(body, path, by));
      if (!answer.ok) return;
      const faults = (answer.bundle.entry ?? []).flatMap(({ resource }) =>
        validator.validate(JSON.parse(JSON.stringify(resource))),
      );
      expect(faults).toEqual([]);
    }),
    { numRuns: 500 },
  );
});
