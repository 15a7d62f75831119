import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Observation } from '@medplum/fhirtypes';
import fc from 'fast-check';
import { FHIR_PROFILES } from '../../scripts/guide/source.ts';
import { loadDefinitions } from '../../src/fhir/definitions.ts';
import { shippedProfiles } from '../../src/fhir/profiles/shipped.ts';
import { createValidator } from '../../src/fhir/validation/validator.ts';

const validator = createValidator(loadDefinitions(), shippedProfiles());

/** Errors alone, as `code at expression`. */
function errorsOf(resource: Observation, profile: string): string[] {
  return validator
    .check(resource, { profiles: [`https://kap.example.org/fhir/StructureDefinition/${profile}`], claimed: false })
    .filter(({ severity }) => severity === 'error')
    .map(({ code, expression }) => `${code} at ${expression}`);
}

function example(profile: string, name: string): Observation {
  return JSON.parse(
    readFileSync(join(FHIR_PROFILES, 'examples', profile, `valid-${name}.json`), 'utf8'),
  ) as Observation;
}

/** A valid example with another total, and nothing said about what it means. */
function withTotal(profile: string, name: string, value: number): Observation {
  const { interpretation: _, ...rest } = example(profile, name);
  return { ...rest, valueQuantity: { ...rest.valueQuantity, value } };
}

const TOTALS: readonly [profile: string, example: string, highest: number][] = [
  ['kap-phq9-score', 'total', 27],
  ['kap-gad7-score', 'total', 21],
  ['kap-pcl5-score', 'total', 80],
  ['kap-ybocs-score', 'total', 40],
  ['kap-madrs-score', 'total', 60],
  ['kap-audit-score', 'total', 40],
  ['kap-dissociation-score', 'total', 92],
  ['kap-sedation-score', 'drowsy', 5],
];
const OUT_OF_RANGE = ['invariant at Observation.value.ofType(Quantity)'];

test.each(TOTALS)('%s takes the lowest and the highest total and none beyond', (profile, name, highest) => {
  for (const value of [0, 1, highest - 1, highest])
    expect(errorsOf(withTotal(profile, name, value), profile)).toEqual([]);
  for (const value of [-1, highest + 1, -highest, 10 * highest + 10]) {
    expect([value, errorsOf(withTotal(profile, name, value), profile)]).toEqual([value, OUT_OF_RANGE]);
  }
});

test.each(TOTALS)('%s takes whole numbers alone', (profile, name, highest) => {
  for (const value of [0.5, 1.1, highest - 0.5, highest + 0.1, -0.1]) {
    expect([value, errorsOf(withTotal(profile, name, value), profile)]).toEqual([value, OUT_OF_RANGE]);
  }
});

test.each(TOTALS)('%s takes a total exactly when it is whole and in range', (profile, name, highest) => {
  const anyNumber = fc.oneof(
    fc.integer({ min: -3, max: highest + 3 }),
    fc.double({ min: -3, max: highest + 3, noNaN: true }).map((value) => Number(value.toFixed(2))),
  );
  fc.assert(
    fc.property(anyNumber, (value) => {
      const isTotal = Number.isInteger(value) && value >= 0 && value <= highest;
      return (errorsOf(withTotal(profile, name, value), profile).length === 0) === isTotal;
    }),
    { numRuns: 200 },
  );
});

test.each(TOTALS)('%s takes a total in {score} of UCUM alone, with its number', (profile, name) => {
  const right = example(profile, name);
  const written = right.valueQuantity ?? {};
  const inUnit = (change: object) => errorsOf({ ...right, valueQuantity: { ...written, ...change } }, profile);
  expect(inUnit({ code: '%', unit: '%' })).toEqual(['value at Observation.value.ofType(Quantity)']);
  expect(inUnit({ system: 'http://example.org/units' })).not.toEqual([]);
  expect(inUnit({ comparator: '>=' })).not.toEqual([]);
  const { value: _, ...withoutValue } = written;
  expect(errorsOf({ ...right, valueQuantity: withoutValue }, profile)).toEqual([
    'required at Observation.value.ofType(Quantity).value',
  ]);
});

test.each(TOTALS)('%s takes a reason in place of a total, never both and never neither', (profile, name) => {
  const { valueQuantity, interpretation: _, ...rest } = example(profile, name);
  const reason = {
    coding: [{ system: 'http://terminology.hl7.org/CodeSystem/data-absent-reason', code: 'asked-declined' }],
  };
  expect(errorsOf({ ...rest, dataAbsentReason: reason }, profile)).toEqual([]);
  expect(errorsOf(rest, profile)).toEqual(['invariant at Observation']);
  expect(errorsOf({ ...rest, ...(valueQuantity && { valueQuantity }), dataAbsentReason: reason }, profile)).toEqual([
    'invariant at Observation',
  ]);
});

test('item 9 of the PHQ-9 takes the scores 0 to 3 and its four answers, and nothing else', () => {
  const profile = 'kap-phq9-item9';
  const { valueInteger: _, ...rest } = example(profile, 'as-integer');
  for (const valueInteger of [0, 1, 2, 3]) expect(errorsOf({ ...rest, valueInteger }, profile)).toEqual([]);
  for (const valueInteger of [-1, 4]) {
    expect(errorsOf({ ...rest, valueInteger }, profile)).toEqual(['invariant at Observation.value.ofType(integer)']);
  }
  expect(errorsOf({ ...rest, valueInteger: 1.5 }, profile)).not.toEqual([]);
  const answer = (code: string, system = 'http://loinc.org') => ({
    ...rest,
    valueCodeableConcept: { coding: [{ system, code }] },
  });
  for (const code of ['LA6568-5', 'LA6569-3', 'LA6570-1', 'LA6571-9']) {
    expect(errorsOf(answer(code), profile)).toEqual([]);
  }
  const refused = ['code-invalid at Observation.value.ofType(CodeableConcept)'];
  expect(errorsOf(answer('LA33-6'), profile)).toEqual(refused);
  expect(errorsOf(answer('LA6568-5', 'http://example.org/answers'), profile)).toEqual(refused);
  expect(errorsOf({ ...rest, valueCodeableConcept: { text: 'several days' } }, profile)).toEqual(refused);
});

const BANDS: readonly [profile: string, example: string, own: readonly string[], foreign: string][] = [
  [
    'kap-phq9-score',
    'total',
    ['phq9-minimal', 'phq9-mild', 'phq9-moderate', 'phq9-moderately-severe', 'phq9-severe', 'recall-overlap'],
    'gad7-mild',
  ],
  ['kap-gad7-score', 'total', ['gad7-minimal', 'gad7-mild', 'gad7-moderate', 'gad7-severe'], 'phq9-mild'],
  ['kap-pcl5-score', 'total', ['pcl5-provisional-ptsd'], 'audit-positive'],
  [
    'kap-ybocs-score',
    'total',
    ['ybocs-subclinical', 'ybocs-mild', 'ybocs-moderate', 'ybocs-severe', 'ybocs-extreme'],
    'madrs-mild',
  ],
  ['kap-madrs-score', 'total', ['madrs-none', 'madrs-mild', 'madrs-moderate', 'madrs-severe'], 'ybocs-mild'],
  ['kap-audit-score', 'total', ['audit-positive'], 'dast10-positive'],
  ['kap-dissociation-score', 'total', ['cadss-dissociation'], 'phq9-mild'],
];

test.each(BANDS)(
  '%s takes the bands of its own scale and codes of others, no band of another scale',
  (profile, name, own, foreign) => {
    const system = 'https://kap.example.org/fhir/CodeSystem/kap';
    const read = (coding: object) =>
      errorsOf({ ...example(profile, name), interpretation: [{ coding: [coding] }] }, profile);
    for (const code of own) expect([code, read({ system, code })]).toEqual([code, []]);
    expect(read({ system, code: foreign })).toEqual(['invariant at Observation']);
    expect(read({ system, code: `${own[0]}-more` })).toEqual(['invariant at Observation']);
    const hl7 = 'http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation';
    expect(read({ system: hl7, code: 'H' })).toEqual([]);
  },
);

test('the verdict on an interval agrees with its window, whose ends belong to it', () => {
  const profile = 'kap-integration-interval';
  const right = example(profile, 'in-window');
  const judged = (hours: number, code: string) =>
    errorsOf(
      {
        ...right,
        valueQuantity: { ...right.valueQuantity, value: hours },
        interpretation: [{ coding: [{ system: 'https://kap.example.org/fhir/CodeSystem/kap', code }] }],
      },
      profile,
    );
  for (const hours of [24, 24.0001, 36, 47.9999, 48]) expect([hours, judged(hours, 'in-window')]).toEqual([hours, []]);
  for (const hours of [-1, 0, 23.9997, 48.0003, 70]) {
    expect([hours, judged(hours, 'in-window')]).toEqual([hours, ['invariant at Observation']]);
  }
  // A fraction of a second beyond the end is late, though four decimals of an hour do not show it.
  expect(judged(48, 'integration-late')).toEqual([]);
  expect(judged(47.9999, 'integration-late')).toEqual(['invariant at Observation']);
  expect(judged(24, 'integration-early')).toEqual([]);
  expect(judged(24.0001, 'integration-early')).toEqual(['invariant at Observation']);
  expect(judged(-0.4, 'during-infusion')).toEqual([]);
  expect(judged(30, 'overdue')).toEqual(['code-invalid at Observation.interpretation[0]']);
});

test('a pressure that was not read is no contradiction, one below the other is', () => {
  const profile = 'kap-infusion-blood-pressure';
  const right = example(profile, 'peak');
  const pressures = (systolic: number, diastolic: number) =>
    errorsOf(
      {
        ...right,
        component: (right.component ?? []).map((each, at) => ({
          ...each,
          valueQuantity: { ...each.valueQuantity, value: at === 0 ? systolic : diastolic },
        })),
      },
      profile,
    );
  expect(pressures(81, 80)).toEqual([]);
  expect(pressures(300, 200)).toEqual([]);
  expect(pressures(80, 80)).toEqual(['invariant at Observation']);
  expect(pressures(80, 81)).toEqual(['invariant at Observation']);
  expect(errorsOf(example(profile, 'diastolic-not-measured'), profile)).toEqual([]);
});

test.each([
  ['2026-09-14T10:13:00-05:00', true],
  ['2026-09-14T15:13:00Z', true],
  ['2026-09-14T15:13:00.250Z', true],
  ['2026-09-14', false],
  ['2026-09', false],
  ['2026', false],
])('a vital sign of an infusion at %s is taken: %s', (effectiveDateTime, isTaken) => {
  for (const [profile, name] of [
    ['kap-infusion-blood-pressure', 'peak'],
    ['kap-infusion-heart-rate', 'reading'],
    ['kap-infusion-respiratory-rate', 'reading'],
    ['kap-infusion-oxygen-saturation', 'reading'],
    ['kap-sedation-score', 'drowsy'],
  ] as const) {
    const found = errorsOf({ ...example(profile, name), effectiveDateTime }, profile);
    const places = new Set(found);
    expect([profile, [...places]]).toEqual([
      profile,
      isTaken ? [] : ['invariant at Observation.effective.ofType(dateTime)'],
    ]);
  }
});
