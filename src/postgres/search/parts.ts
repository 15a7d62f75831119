/**
 * What a search asks of each type, put together where one statement can answer several types at once: parameters of
 * the same meaning have index rows of their own in each type, so that types differ in nothing but the keys of the rows.
 */
import type { TypeSearchParameter } from '../../fhir/search/parameters.ts';
import type { SearchFilter, SearchPart, SearchQuery, SearchSort, ValueFilter } from '../../fhir/search/query.ts';
import { searchParameterKey } from '../../fhir/search/values.ts';

/** The types differ in the rows of their parameters alone, which each parameter here names together. */
export type Part = {
  readonly types: readonly string[];
  readonly filters: readonly SearchFilter[];
  readonly sort: readonly SearchSort[];
};

export function partsOf(query: SearchQuery): readonly Part[] {
  const [only, ...others] = query.parts.map(simplified);
  if (only !== undefined && others.length === 0) return [{ ...only, types: [only.type] }];
  const groups = Map.groupBy(query.parts.map(simplified), shapeOf);
  return [...groups.values()].map((parts) => ({
    types: parts.map(({ type }) => type),
    filters: zipped(parts.map(({ filters }) => filters)),
    sort: zipped(parts.map(({ sort }) => sort)),
  }));
}

/** Whether `_text` or `_content` stands anywhere in it. */
export function asksForWords(filter: SearchFilter): boolean {
  switch (filter.kind) {
    case 'fulltext':
      return true;
    case 'any':
    case 'all':
      return filter.filters.some(asksForWords);
    case 'not':
    case 'chain':
    case 'has':
      return asksForWords(filter.filter);
    default:
      return false;
  }
}

// ---- one form for what means the same

function simplified({ type, filters, sort }: SearchPart): SearchPart {
  return {
    type,
    sort,
    filters: filters.map(simple).flatMap((filter) => (filter.kind === 'all' ? filter.filters : [filter])),
  };
}

function simple(filter: SearchFilter): SearchFilter {
  switch (filter.kind) {
    case 'any':
      return combined('any', joined(filter.filters.map(simple)));
    case 'all':
      return combined('all', filter.filters.map(simple));
    case 'not':
      return { ...filter, filter: simple(filter.filter) };
    case 'chain':
    case 'has':
      return { ...filter, filter: simple(filter.filter) };
    case 'composite':
      return {
        ...filter,
        values: filter.values.map((components) => components.map((each) => simple(each) as ValueFilter)),
      };
    case 'token':
      return filter.rows === undefined ? filter : { ...filter, parameter: ofOwnRows(filter.parameter, filter.rows) };
    case 'reference':
      return onlyOwnTargets(filter);
    case 'missing':
      return filter.parameter.kind === 'reference' ? withIdentifiers(filter) : filter;
    default:
      return filter;
  }
}

function combined(kind: 'any' | 'all', filters: readonly SearchFilter[]): SearchFilter {
  const flat = filters.flatMap((filter) => (filter.kind === kind ? filter.filters : [filter]));
  return flat.length === 1 ? (flat[0] as SearchFilter) : { kind, filters: flat };
}

function ofOwnRows(parameter: TypeSearchParameter, rows: string): TypeSearchParameter {
  const { onlyTarget: _, ...rest } = parameter;
  const key = searchParameterKey(parameter.type, `${parameter.code}:${rows}`);
  return { ...rest, kind: 'token', stored: 'index', rows: [key], namesPatient: false, single: false };
}

/** A reference that has an identifier alone is there. */
function withIdentifiers({ parameter, missing }: Extract<SearchFilter, { kind: 'missing' }>): SearchFilter {
  const filters = [parameter, ofOwnRows(parameter, 'identifier')].map(
    (each): SearchFilter => ({ kind: 'missing', parameter: each, missing }),
  );
  return { kind: missing ? 'all' : 'any', filters };
}

/** Rows of a wider parameter: a value says by itself which of them are the parameter's own. */
function onlyOwnTargets(filter: Extract<SearchFilter, { kind: 'reference' }>): SearchFilter {
  const { onlyTarget, ...parameter } = filter.parameter;
  if (onlyTarget === undefined) return filter;
  const values = filter.values.filter((value) => value.startsWith(`${onlyTarget}/`));
  return values.length === 0 ? { kind: 'any', filters: [] } : { ...filter, parameter, values };
}

/** Alternatives that look for the same targets become one that looks under all their parameters (a compartment). */
function joined(filters: readonly SearchFilter[]): SearchFilter[] {
  const found: SearchFilter[] = [];
  const references = new Map<string, number>();
  for (const filter of filters) {
    if (filter.kind !== 'reference') {
      found.push(filter);
      continue;
    }
    const values = JSON.stringify([filter.values, filter.below]);
    const at = references.get(values);
    if (at === undefined) references.set(values, found.push(filter) - 1);
    else {
      const other = found[at] as Extract<SearchFilter, { kind: 'reference' }>;
      found[at] = { ...other, parameter: together([other.parameter, filter.parameter]) };
    }
  }
  return found;
}

// ---- several types

/** Equal where only rows differ. */
function shapeOf({ filters, sort }: SearchPart): string {
  return JSON.stringify([filters, sort], (name, value: unknown) =>
    name === 'parameter' ? parameterShape(value) : value,
  );
}

function parameterShape(value: unknown): unknown {
  const { kind, stored, code, onlyTarget } = value as TypeSearchParameter;
  return [kind, stored, stored === 'column' ? code : '', onlyTarget];
}

/** Lists of the same shape become one, parameter by parameter. */
function zipped<T extends SearchFilter | SearchSort>(lists: readonly (readonly T[])[]): readonly T[] {
  const [first = []] = lists;
  return lists.length === 1 ? first : first.map((_, i) => merged(lists.map((list) => list[i] as T)) as T);
}

function merged(values: readonly unknown[]): unknown {
  const [first] = values;
  if (Array.isArray(first)) {
    return first.map((_, i) => merged(values.map((value) => (value as readonly unknown[])[i])));
  }
  if (typeof first !== 'object' || first === null) return first;
  return Object.fromEntries(
    Object.keys(first).map((name) => {
      const each = values.map((value) => (value as Record<string, unknown>)[name]);
      return [name, name === 'parameter' ? together(each as TypeSearchParameter[]) : merged(each)];
    }),
  );
}

function together(parameters: readonly TypeSearchParameter[]): TypeSearchParameter {
  const [first, ...others] = parameters as [TypeSearchParameter, ...TypeSearchParameter[]];
  if (others.length === 0) return first;
  return {
    ...first,
    rows: [...new Set(parameters.flatMap(({ rows }) => rows))],
    namesPatient: parameters.every(({ namesPatient }) => namesPatient),
    single: false,
  };
}
