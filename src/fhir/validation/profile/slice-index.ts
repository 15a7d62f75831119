/**
 * The first of many slices that an item meets, without asking each.
 *
 * Most discriminators ask for some text at a path (a code, a url): only slices whose text is there are asked. So a list
 * of very many items against a profile of very many slices takes no longer than the items are.
 */
import type { Match, Matcher } from './matcher.ts';

export type Candidate = { readonly match?: Match; readonly meets: Matcher | undefined };

/** Fewer are asked one by one. */
const WORTH_AN_INDEX = 8;

/** @returns the place of the first slice that an item meets, or -1 */
export function firstMatch(slices: readonly Candidate[]): (item: unknown) => number {
  if (slices.length < WORTH_AN_INDEX) return (item) => slices.findIndex(({ meets }) => meets?.(item) === true);
  const { paths, always } = indexed(slices);
  return (item) => {
    const asked = new Set(always);
    for (const { path, places } of paths) addCandidates(item, path, 0, places, asked);
    for (const at of [...asked].sort((a, b) => a - b)) if (slices[at]?.meets?.(item) === true) return at;
    return -1;
  };
}

type Indexed = {
  readonly paths: readonly {
    readonly path: readonly string[];
    readonly places: ReadonlyMap<string, readonly number[]>;
  }[];
  /** Slices that no text tells. */
  readonly always: readonly number[];
};

function indexed(slices: readonly Candidate[]): Indexed {
  const byPath = new Map<string, { path: readonly string[]; places: Map<string, number[]> }>();
  const always: number[] = [];
  for (const [at, { match }] of slices.entries()) {
    if (match === undefined) continue;
    const needed = neededText(match);
    if (needed === undefined) {
      always.push(at);
      continue;
    }
    const key = needed.path.join('.');
    const of = byPath.get(key) ?? { path: needed.path, places: new Map<string, number[]>() };
    byPath.set(key, of);
    const places = of.places.get(needed.text);
    if (places === undefined) of.places.set(needed.text, [at]);
    else places.push(at);
  }
  return { paths: [...byPath.values()], always };
}

function addCandidates(
  value: unknown,
  path: readonly string[],
  from: number,
  places: ReadonlyMap<string, readonly number[]>,
  found: Set<number>,
): void {
  if (Array.isArray(value)) {
    for (const item of value) addCandidates(item, path, from, places, found);
  } else if (from === path.length) {
    if (typeof value === 'string') for (const at of places.get(value) ?? []) found.add(at);
  } else if (typeof value === 'object' && value !== null) {
    addCandidates((value as Record<string, unknown>)[path[from] ?? ''], path, from + 1, places, found);
  }
}

type Needed = { readonly path: readonly string[]; readonly text: string };

/** A text without which nothing meets `match`, lists on the way left out of the path. */
function neededText(match: Match): Needed | undefined {
  if ('all' in match) return firstOf(match.all, neededText);
  if ('fixed' in match) return textIn(match.fixed);
  if ('pattern' in match) return textIn(match.pattern);
  if (!('keys' in match) || match.match === true) return undefined;
  const [key, ...others] = match.keys.filter((name) => !name.startsWith('_'));
  const below = key === undefined || others.length > 0 ? undefined : neededText(match.match);
  return below === undefined || key === undefined ? undefined : { path: [key, ...below.path], text: below.text };
}

/** What tells most: a code before its system. */
const TELLING = ['code', 'coding', 'value', 'url'];

function textIn(value: unknown): Needed | undefined {
  if (typeof value === 'string') return { path: [], text: value };
  if (Array.isArray(value)) return firstOf(value, textIn);
  if (typeof value !== 'object' || value === null) return undefined;
  const keys = [...TELLING.filter((key) => key in value), ...Object.keys(value)];
  return firstOf(keys, (key) => {
    const below = textIn((value as Record<string, unknown>)[key]);
    return below === undefined ? undefined : { path: [key, ...below.path], text: below.text };
  });
}

function firstOf<T>(values: readonly T[], find: (value: T) => Needed | undefined): Needed | undefined {
  for (const value of values) {
    const found = find(value);
    if (found !== undefined) return found;
  }
  return undefined;
}
