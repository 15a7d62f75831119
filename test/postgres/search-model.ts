/** Search as the specification words it, over a list in memory: the naive answer that the index must agree with. */
import type { Resource } from '@medplum/fhirtypes';
import type { StringFilter } from '../../src/fhir/search-filter.ts';
import type { SearchFilter, SearchQuery, SearchSort, ValueFilter } from '../../src/fhir/search-query.ts';
import { folded, type SearchValueSink } from '../../src/fhir/search-values.ts';
import { extractors } from './search-writer.ts';

type Value =
  | { kind: 'token'; system: string; code: string }
  | { kind: 'reference'; target: string }
  | { kind: 'date'; low: number; high: number }
  | { kind: 'string'; text: string }
  | { kind: 'quantity'; low: number; high: number; system: string; code: string; unit: string }
  | { kind: 'uri'; text: string };

/** Ids of all that match, in the order of the sort keys; equal ones in any order. */
export function matchesOf(query: SearchQuery, resources: readonly Resource[]): Resource[] {
  const found = resources.filter(
    (resource) => resource.resourceType === query.type && query.filters.every((filter) => holds(filter, resource)),
  );
  return found.toSorted((a, b) => compare(query.sort, a, b));
}

/** 0 where the sort keys do not tell them apart. */
export function compare(sort: readonly SearchSort[], a: Resource, b: Resource): number {
  for (const key of sort) {
    const [left, right] = [sortKey(key, a), sortKey(key, b)];
    if (left === right) continue;
    if (left === undefined) return 1;
    if (right === undefined) return -1;
    return (left < right ? -1 : 1) * (key.descending ? -1 : 1);
  }
  return 0;
}

function sortKey({ parameter, descending }: SearchSort, resource: Resource): string | number | undefined {
  const keys = valuesOf(parameter, resource).map((value) => {
    switch (value.kind) {
      case 'token':
        return value.code;
      case 'reference':
        return value.target;
      case 'string':
        return folded(value.text);
      case 'uri':
        return value.text;
      default:
        return value.low;
    }
  });
  const sorted = keys.toSorted((a, b) => (a < b ? -1 : 1));
  return descending ? sorted.at(-1) : sorted[0];
}

function valuesOf(parameter: ValueFilter['parameter'], resource: Resource): Value[] {
  if (parameter.code === '_id') return [{ kind: 'token', system: '', code: resource.id as string }];
  const values: Value[] = [];
  const sink: SearchValueSink = {
    token: (_, system, code) => void values.push({ kind: 'token', system, code }),
    reference: (_, target) => void values.push({ kind: 'reference', target }),
    date: (_, low, high) => void values.push({ kind: 'date', low, high }),
    string: (_, text) => void values.push({ kind: 'string', text }),
    quantity: (_, low, high, system, code, unit) =>
      void values.push({ kind: 'quantity', low, high, system, code, unit }),
    uri: (_, text) => void values.push({ kind: 'uri', text }),
  };
  extractors.extractorOf(parameter)(resource, sink);
  return values;
}

function holds(filter: SearchFilter, resource: Resource): boolean {
  if (!isValueFilter(filter)) throw new Error(`${filter.kind} is not modelled`);
  const values = valuesOf(filter.parameter, resource);
  if (filter.kind === 'missing') return (values.length === 0) === filter.missing;
  if (filter.kind === 'terms' || filter.kind === 'text') throw new Error(`${filter.kind} is not modelled`);
  const found = values.some((value) => matches(filter, value));
  return filter.kind === 'token' && filter.not ? !found : found;
}

function isValueFilter(filter: SearchFilter): filter is ValueFilter {
  return 'parameter' in filter && !['composite', 'chain', 'has'].includes(filter.kind);
}

function matches(filter: Exclude<ValueFilter, { kind: 'missing' | 'terms' | 'text' }>, value: Value): boolean {
  switch (filter.kind) {
    case 'token':
      return filter.values.some(
        ({ system, code }) =>
          value.kind === 'token' &&
          (system === undefined || system === value.system) &&
          (code === undefined || code === value.code),
      );
    case 'reference':
      return value.kind === 'reference' && filter.values.includes(value.target);
    case 'uri':
      return value.kind === 'uri' && filter.values.includes(value.text);
    case 'string':
      return value.kind === 'string' && filter.values.some((wanted) => textMatches(filter.match, value.text, wanted));
    case 'date':
      return value.kind === 'date' && filter.values.some((wanted) => rangeMatches(wanted.prefix, value, wanted));
    case 'quantity':
      return (
        value.kind === 'quantity' &&
        filter.values.some(
          (wanted) =>
            (wanted.system === undefined || wanted.system === value.system) &&
            (wanted.code === undefined ||
              wanted.code === value.code ||
              (wanted.system === undefined && wanted.code === value.unit)) &&
            numberMatches(wanted, value),
        )
      );
  }
}

function textMatches(match: StringFilter['match'], text: string, wanted: string): boolean {
  if (match === 'exact') return text === wanted;
  if (match === 'whole') return folded(text) === wanted;
  if (match === 'suffix') return folded(text).endsWith(wanted);
  return match === 'prefix' ? folded(text).startsWith(wanted) : folded(text).includes(wanted);
}

type Range = { low: number; high: number };

function rangeMatches(prefix: string, target: Range, wanted: Range): boolean {
  const contained = wanted.low <= target.low && target.high <= wanted.high;
  const overlaps = target.low <= wanted.high && wanted.low <= target.high;
  switch (prefix) {
    case 'eq':
      return contained;
    case 'ne':
      return !contained;
    case 'gt':
      return target.high > wanted.high;
    case 'lt':
      return target.low < wanted.low;
    case 'ge':
      return target.high > wanted.high || overlaps;
    case 'le':
      return target.low < wanted.low || overlaps;
    case 'sa':
      return target.low > wanted.high;
    case 'eb':
      return target.high < wanted.low;
    default:
      return overlaps;
  }
}

function numberMatches(wanted: Range & { prefix: string; value: number }, target: Range): boolean {
  if (wanted.prefix === 'eq') return wanted.low <= target.low && target.high < wanted.high;
  if (wanted.prefix === 'ne') return !(wanted.low <= target.low && target.high < wanted.high);
  if (wanted.prefix === 'ap') return rangeMatches('ap', target, wanted);
  return rangeMatches(wanted.prefix, target, { low: wanted.value, high: wanted.value });
}
