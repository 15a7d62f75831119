/**
 * Which slice each item of a list belongs to, and what the slicing says about the list as a whole.
 *
 * An item belongs to the first slice whose discriminators all hold, and within it to the first of its own slices that
 * does. It takes time linear in the number of items.
 *
 * @see https://hl7.org/fhir/R4/profiling.html#slicing
 */
import { MAX_PLACES } from '../type-check.ts';
import { type Match, type MatchSource, matcherOf } from './matcher.ts';
import { firstMatch } from './slice-index.ts';

export type SlicingRules = {
  readonly rules: 'open' | 'closed' | 'openAtEnd';
  readonly ordered: boolean;
  readonly slices: readonly SliceRules[];
};

export type SliceRules = {
  readonly name: string;
  /** Its number in the order of the tree, from 0. */
  readonly at: number;
  /** Undefined where nothing is sorted into it: the slice `@default` takes what no other does. */
  readonly match?: Match;
  readonly isDefault?: true;
  readonly min: number;
  /** null when unbounded. */
  readonly max: number | null;
  readonly below?: SlicingRules;
};

/** What the compiled code is given: `ends` has for each slice the number of the last slice below it. */
export type SlicingData = SlicingRules & { readonly single?: true; readonly ends: readonly number[] };

export type SliceFault =
  | { readonly kind: 'min' | 'max'; readonly slice: string; readonly limit: number; readonly count: number }
  | { readonly kind: 'closed' | 'order' | 'end'; readonly at: number; readonly slice: string };

/** `of`: for each item the number of the innermost slice it belongs to, -1 for none. */
export type Sliced = { readonly of: Int32Array; readonly faults: readonly SliceFault[] | undefined };

export function slicingOf(data: SlicingData, source: MatchSource): (list: unknown) => Sliced | undefined {
  const assign = levelOf(data, source);
  return (value) => {
    const items = data.single === true ? [value] : value;
    if (!Array.isArray(items)) return undefined;
    const of = new Int32Array(items.length).fill(-1);
    const faults: SliceFault[] = [];
    assign(items, undefined, of, faults);
    return { of, faults: faults.length === 0 ? undefined : faults };
  };
}

/** Sorts the items at `places` (all when undefined) into the slices of one level. */
type Level = (
  items: readonly unknown[],
  places: readonly number[] | undefined,
  of: Int32Array,
  faults: SliceFault[],
) => void;

function levelOf(rules: SlicingRules, source: MatchSource): Level {
  const slices = rules.slices.map((slice) => ({
    ...slice,
    meets: slice.match === undefined ? undefined : matcherOf(slice.match, source),
    within: slice.below === undefined ? undefined : levelOf(slice.below, source),
  }));
  const first = firstMatch(slices);
  const byDefault = slices.findIndex(({ isDefault }) => isDefault === true);
  const { state } = source;

  return (items, places, of, faults) => {
    const counts = new Array<number>(slices.length).fill(0);
    const members = slices.map(({ within }): number[] | undefined => (within === undefined ? undefined : []));
    let undecided = 0;
    let latest = -1;
    let unmatched = -1;
    let isOrdered = true;
    const total = places?.length ?? items.length;
    for (let step = 0; step < total; step++) {
      const at = places === undefined ? step : (places[step] ?? 0);
      state.undecided = false;
      let found = first(items[at]);
      const isUndecided = found < 0 && state.undecided;
      if (isUndecided) undecided++;
      else if (found < 0) found = byDefault;
      const slice = slices[found];
      if (slice === undefined) {
        if (rules.rules === 'closed' && !isUndecided) report(faults, { kind: 'closed', at, slice: '' });
        if (!isUndecided && unmatched < 0) unmatched = at;
        continue;
      }
      of[at] = slice.at;
      counts[found] = (counts[found] ?? 0) + 1;
      members[found]?.push(at);
      if (rules.rules === 'openAtEnd' && unmatched >= 0) {
        report(faults, { kind: 'end', at: unmatched, slice: slice.name });
        unmatched = -1;
      }
      if (rules.ordered && isOrdered && found < latest) {
        report(faults, { kind: 'order', at, slice: slice.name });
        isOrdered = false;
      }
      if (found > latest) latest = found;
    }
    for (const [index, { name, min, max, within }] of slices.entries()) {
      const count = counts[index] ?? 0;
      if (count + undecided < min) report(faults, { kind: 'min', slice: name, limit: min, count });
      if (max !== null && count > max) report(faults, { kind: 'max', slice: name, limit: max, count });
      if (within !== undefined && count > 0) within(items, members[index], of, faults);
    }
  };
}

function report(faults: SliceFault[], fault: SliceFault): void {
  if (faults.length < MAX_PLACES) faults.push(fault);
}
