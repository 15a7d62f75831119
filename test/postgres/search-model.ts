/** Search as the specification words it, over a list in memory: the naive answer that the index must agree with. */
import type { Resource } from '@medplum/fhirtypes';
import type { StringFilter, TokenFilter } from '../../src/fhir/search/filter.ts';
import type { QuantityValue, SearchFilter, SearchQuery, SearchSort, ValueFilter } from '../../src/fhir/search/query.ts';
import { folded, type SearchValueSink, searchParameterKey } from '../../src/fhir/search/values.ts';
import { canonicalUnit, canonicalValue } from '../../src/fhir/ucum.ts';
import { extractors, registry } from './search-writer.ts';

type Value = { readonly element: number } & (
  | { kind: 'token'; system: string; code: string; text: string }
  | { kind: 'reference'; target: string }
  | { kind: 'date'; low: number; high: number }
  | { kind: 'string'; text: string }
  | { kind: 'quantity'; low: number; high: number; system: string; code: string; unit: string }
  | { kind: 'uri'; text: string }
);

/** Ids of all that match, in the order of the sort keys; equal ones in any order. */
export function matchesOf(query: SearchQuery, resources: readonly Resource[]): Resource[] {
  const found = resources.filter((resource) =>
    query.parts.some(
      ({ type, filters }) =>
        resource.resourceType === type && filters.every((filter) => holds(filter, resource, resources)),
    ),
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

function valuesOf(parameter: ValueFilter['parameter'], resource: Resource, rows?: TokenFilter['rows']): Value[] {
  if (parameter.code === '_id') {
    return [{ kind: 'token', system: '', code: resource.id as string, text: '', element: 0 }];
  }
  // What a parameter has besides its values (identifiers of references, later words of names) is known by its rows.
  const own = registry.of(parameter.type).get(parameter.code)?.rows;
  const plain = rows === undefined && JSON.stringify(own) === JSON.stringify(parameter.rows);
  const further =
    rows === undefined ? parameter.rows : [searchParameterKey(parameter.type, `${parameter.code}:${rows}`)];
  const keys = plain ? [parameter.key] : further;
  const values: Value[] = [];
  const add = (param: number, value: Value) => {
    if (keys.includes(param)) values.push(value);
  };
  const sink: SearchValueSink = {
    token: (param, system, code, element, text) => add(param, { kind: 'token', system, code, text, element }),
    reference: (param, target, element) => add(param, { kind: 'reference', target, element }),
    date: (param, low, high, element) => add(param, { kind: 'date', low, high, element }),
    string: (param, text, element) => add(param, { kind: 'string', text, element }),
    quantity: (param, low, high, system, code, unit, element) =>
      add(param, { kind: 'quantity', low, high, system, code, unit, element }),
    uri: (param, text, element) => add(param, { kind: 'uri', text, element }),
  };
  const extract = plain ? extractors.extractorOf(parameter) : extractors.extractorFor(resource.resourceType);
  extract(resource, sink);
  return values;
}

function holds(filter: SearchFilter, resource: Resource, all: readonly Resource[]): boolean {
  switch (filter.kind) {
    case 'any':
      return filter.filters.some((each) => holds(each, resource, all));
    case 'all':
      return filter.filters.every((each) => holds(each, resource, all));
    case 'not':
      return !holds(filter.filter, resource, all);
    case 'chain':
      return targetsOf(filter.parameter, resource).some((target) =>
        all.some(
          (other) => other.resourceType === filter.target && names(target, other) && holds(filter.filter, other, all),
        ),
      );
    case 'has':
      return all.some(
        (other) =>
          other.resourceType === filter.parameter.type &&
          targetsOf(filter.parameter, other).some((target) => names(target, resource)) &&
          holds(filter.filter, other, all),
      );
    case 'list':
      return all.some(
        (other) =>
          other.resourceType === 'List' &&
          filter.values.includes(other.id as string) &&
          other.entry?.some(({ item }) => item?.reference === `${resource.resourceType}/${resource.id}`),
      );
    case 'composite':
      return filter.values.some((components) => {
        const found = components.map((each) => new Set(elementsOf(each, resource)));
        return [...(found[0] ?? [])].some((element) => found.every((elements) => elements.has(element)));
      });
    case 'fulltext':
    case 'terms':
      throw new Error(`${filter.kind} is not modelled`);
    case 'missing':
      return (
        (valuesOf(filter.parameter, resource).length === 0 &&
          valuesOf(filter.parameter, resource, 'identifier').length === 0) === filter.missing
      );
    default: {
      const found = elementsOf(filter, resource).length > 0;
      return filter.kind === 'token' && filter.not ? !found : found;
    }
  }
}

/** A canonical with a version has a second value without it, which means no other version. */
function targetsOf(parameter: ValueFilter['parameter'], resource: Resource): string[] {
  const found = valuesOf(parameter, resource).flatMap((value) => (value.kind === 'reference' ? [value.target] : []));
  return found.filter((target) => !found.some((other) => other.startsWith(`${target}|`)));
}

/** By its id, or by its url, which a version may follow. */
function names(target: string, { resourceType, id, ...content }: Resource): boolean {
  if (target === `${resourceType}/${id}`) return true;
  const { url, version } = content as { url?: string; version?: string };
  return url !== undefined && (target === url || target === `${url}|${version}`);
}

/** The `element` of each value that the condition is about and finds. */
function elementsOf(filter: ValueFilter, resource: Resource): number[] {
  return valuesOf(filter.parameter, resource, filter.kind === 'token' ? filter.rows : undefined)
    .filter((value) => matches(filter as MatchedFilter, value))
    .map(({ element }) => element);
}

type MatchedFilter = Exclude<ValueFilter, { kind: 'missing' | 'terms' }>;

function matches(filter: MatchedFilter, value: Value): boolean {
  switch (filter.kind) {
    case 'text':
      return (
        value.kind === 'token' &&
        value.text !== '' &&
        value.text.split('\n').some((line) => filter.values.some((wanted) => folded(line).startsWith(wanted)))
      );
    case 'token':
      return filter.values.some(
        ({ system, code }) =>
          value.kind === 'token' &&
          (system === undefined || system === value.system) &&
          (code === undefined || code === value.code),
      );
    case 'reference':
      return (
        value.kind === 'reference' &&
        filter.values.some(
          (wanted) => value.target === wanted || (filter.below === true && value.target.startsWith(`${wanted}.`)),
        )
      );
    case 'uri':
      return (
        value.kind === 'uri' &&
        filter.values.some((wanted) => {
          if (filter.match === 'below') return value.text.startsWith(wanted);
          if (value.text === wanted) return true;
          const above = value.text.endsWith('/') ? value.text : `${value.text}/`;
          return filter.match === 'above' && wanted.startsWith(above);
        })
      );
    case 'string':
      return value.kind === 'string' && filter.values.some((wanted) => textMatches(filter.match, value.text, wanted));
    case 'date':
      return value.kind === 'date' && filter.values.some((wanted) => rangeMatches(wanted.prefix, value, wanted));
    case 'quantity':
      return value.kind === 'quantity' && filter.values.some((wanted) => quantityMatches(wanted, value));
  }
}

function quantityMatches(wanted: QuantityValue, value: Extract<Value, { kind: 'quantity' }>): boolean {
  const { canonical } = wanted;
  if (canonical !== undefined) {
    const unit = canonicalUnit(value.system, value.code);
    if (unit?.code !== canonical.code) return false;
    const end = (each: number) => (Math.abs(each) === Number.MAX_VALUE ? each : canonicalValue(each, unit));
    return numberMatches({ ...canonical, prefix: wanted.prefix }, { low: end(value.low), high: end(value.high) });
  }
  return (
    (wanted.system === undefined || wanted.system === value.system) &&
    (wanted.code === undefined ||
      wanted.code === value.code ||
      (wanted.system === undefined && wanted.code === value.unit)) &&
    numberMatches(wanted, value)
  );
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
