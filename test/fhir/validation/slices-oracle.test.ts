/** Slices of any shape against a few lines that say the same without an index, a tree or a compiler. */
import fc from 'fast-check';
import { type Match, type MatchSource, matcherOf } from '../../../src/fhir/validation/profile/matcher.ts';
import { firstMatch } from '../../../src/fhir/validation/profile/slice-index.ts';
import { type SlicingData, slicingOf } from '../../../src/fhir/validation/profile/slicing.ts';
import { contains, equals } from '../../../src/fhir/validation/profile/values.ts';
import { createState } from '../../../src/fhir/validation/state.ts';
import { checker, definitionOf, type Json } from './profiled.ts';

const source: MatchSource = { state: createState(), isBound: () => () => true, conforms: () => true };
const text = fc.constantFrom('a', 'b', 'c', 'd', 'e');
const coding = fc.record({ system: text, code: text }, { requiredKeys: ['code'] });
const item = fc.record(
  { code: fc.record({ coding: fc.array(coding, { minLength: 1, maxLength: 3 }) }), url: text },
  { requiredKeys: [] },
);
const match: fc.Arbitrary<Match> = fc.oneof(
  text.map((fixed) => ({ keys: ['url', '_url'], match: { fixed } })),
  coding.map((pattern) => ({ keys: ['code'], match: { pattern: { coding: [pattern] } } })),
  coding.map((pattern) => ({ keys: ['code'], match: { keys: ['coding'], match: { pattern } } })),
  fc.constant({ not: { keys: ['url'], match: true } } as const),
);

test('the index finds the slice that asking each in turn finds', () => {
  fc.assert(
    fc.property(fc.array(match, { maxLength: 20 }), fc.array(item), (matches, items) => {
      const slices = matches.map((match) => ({ match, meets: matcherOf(match, source) }));
      const first = firstMatch(slices);
      for (const one of items) expect(first(one)).toBe(slices.findIndex(({ meets }) => meets(one)));
    }),
  );
});

type Slice = { readonly code: string; readonly min: number; readonly max: number | null };
const slices = fc.uniqueArray(fc.record({ code: text, min: fc.nat(2), max: fc.option(fc.nat(3), { nil: null }) }), {
  selector: ({ code }) => code,
  minLength: 1,
  maxLength: 4,
});
const rules = fc.constantFrom('open', 'closed', 'openAtEnd');

/** What R4 says, in its own order of words. */
function naive(all: readonly Slice[], kind: string, ordered: boolean, codes: readonly string[]): Set<string> {
  const of = codes.map((code) => all.findIndex((slice) => slice.code === code));
  const faults = new Set<string>();
  for (const [at, { code, min, max }] of all.entries()) {
    const count = of.filter((slice) => slice === at).length;
    if (count < min) faults.add(`min ${code}`);
    if (max !== null && count > max) faults.add(`max ${code}`);
  }
  if (kind === 'closed' && of.includes(-1)) faults.add('closed');
  const lastOfSlice = of.findLastIndex((slice) => slice >= 0);
  const firstOther = of.indexOf(-1);
  if (kind === 'openAtEnd' && firstOther >= 0 && firstOther < lastOfSlice) faults.add('end');
  const inSlices = of.filter((slice) => slice >= 0);
  if (ordered && inSlices.some((slice, at) => at > 0 && slice < Math.max(...inSlices.slice(0, at))))
    faults.add('order');
  return faults;
}

test('a list is sliced as R4 says it', () => {
  fc.assert(
    fc.property(slices, rules, fc.boolean(), fc.array(text, { maxLength: 8 }), (all, kind, ordered, codes) => {
      const data: SlicingData = {
        rules: kind,
        ordered,
        ends: all.map((_slice, at) => at),
        slices: all.map(({ code, min, max }, at) => ({
          name: code,
          at,
          min,
          max,
          match: { keys: ['code'], match: { fixed: code } },
        })),
      };
      const sliced = slicingOf(data, source)(codes.map((code) => ({ code })));
      const faults = (sliced?.faults ?? []).map((fault) =>
        'limit' in fault ? `${fault.kind} ${fault.slice}` : fault.kind,
      );
      expect(new Set(faults)).toEqual(naive(all, kind, ordered, codes));
      expect([...(sliced?.of ?? [])]).toEqual(codes.map((code) => all.findIndex((slice) => slice.code === code)));
    }),
    { numRuns: 500 },
  );
});

const json = fc.letrec((tie) => ({
  value: fc.oneof({ maxDepth: 3 }, fc.integer({ min: 0, max: 2 }), text, fc.boolean(), tie('list'), tie('object')),
  list: fc.array(tie('value'), { maxLength: 3 }),
  object: fc.dictionary(text, tie('value'), { maxKeys: 3 }),
})).value;

test('a value is exactly itself, and has at least itself', () => {
  fc.assert(
    fc.property(json, json, (left, right) => {
      const isSame = fc.stringify(sorted(left)) === fc.stringify(sorted(right));
      expect(equals(left)(right)).toBe(isSame);
      expect(contains(left)(left)).toBe(true);
      if (isSame) expect(contains(left)(right)).toBe(true);
    }),
  );
});

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, part]) => [key, sorted(part)]),
  );
}

test('very many slices and items take the time of the items', () => {
  const names = Array.from({ length: 1000 }, (_, at) => `n${at}`);
  const profile = definitionOf('p', 'Observation', {
    elements: [
      {
        path: 'Observation.component',
        slicing: { discriminator: [{ type: 'pattern', path: 'code' }], rules: 'closed' },
      },
      ...names.flatMap((name) => [
        { id: `Observation.component:${name}`, path: 'Observation.component', sliceName: name },
        {
          id: `Observation.component:${name}.code`,
          path: 'Observation.component.code',
          patternCodeableConcept: { coding: [{ system: 's', code: name }] },
        },
      ]),
    ],
  });
  const component = Array.from(
    { length: 20_000 },
    (_, at): Json => ({ code: { coding: [{ system: 's', code: `n${at % 1000}` }] } }),
  );
  const { findings } = checker([profile]);
  const resource = { resourceType: 'Observation', status: 'final', code: { text: 'x' }, component };
  expect(findings(resource)).toEqual([]);
  const { user } = process.cpuUsage();
  expect(findings(resource)).toEqual([]);
  expect((process.cpuUsage().user - user) / 1000).toBeLessThan(2000);
});
