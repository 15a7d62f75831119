/**
 * A search request as data: what `Type?name:modifier=value,value&…` asks for, checked against the search parameters
 * that the type has. Nothing here knows how it is answered.
 *
 * @see https://hl7.org/fhir/R4/search.html
 */

import { Failure, type Issue, type IssueCode, issue } from '../failure.ts';
import {
  type CompartmentType,
  compartmentMembers,
  compartmentParameters,
  isCompartmentType,
  SELF,
} from './compartments.ts';
import { type CriterionContext, criterion, MAX_CONDITIONS, MAX_VALUES, parameterOf, tooCostly } from './criterion.ts';
import { InvalidSearch, UnknownInSearch } from './escaping.ts';
import type { SearchFilter } from './filter.ts';
import { filterExpression } from './filter-expression.ts';
import { includesOf, type SearchInclude } from './includes.ts';
import { placeOf, shown } from './names.ts';
import type { SearchParameterRegistry, TypeSearchParameter } from './parameters.ts';
import { elementsView, type SearchView, summaryView } from './view.ts';

export { SUPPORTED_MODIFIERS } from './criterion.ts';
export type {
  DateValue,
  QuantityValue,
  SearchFilter,
  SearchPrefix,
  TokenValue,
  ValueFilter,
} from './filter.ts';
export type { SearchInclude } from './includes.ts';
export type { SearchView } from './view.ts';

/** One search, ready to be answered. Made by parseSearch only. */
export type SearchQuery = SearchPart & {
  /**
   * The search once for each type it is over, in the order given. One for `Type?…`, whose filters and sort are the
   * query's own; several at the system level (`_type`) and over a whole compartment (`Patient/x/*`).
   */
  readonly parts: readonly SearchPart[];
  /** The compartment that was asked for; each part already has it among its filters. */
  readonly compartment?: Compartment;
  /** Matches on a page, 0 to 1000. */
  readonly count: number;
  /** Where an earlier page of the same search ended. */
  readonly cursor?: string;
  /** `as-it-comes`, when nothing was asked: where counting costs nothing, since one page has all matches. */
  readonly total: 'as-it-comes' | 'none' | 'estimate' | 'accurate';
  /** `_summary=count` or `_count=0`: the total and no resource. */
  readonly countOnly: boolean;
  /** What of each resource the answer has (viewOf); absent: all. */
  readonly view?: SearchView;
  /** Wildcards are written out, so these may be some hundreds. */
  readonly includes: readonly SearchInclude[];
  /** What lenient handling left out, as warnings for the answer. */
  readonly ignored: readonly Issue[];
  /** Names and values as given, without the cursor and what was ignored. */
  readonly used: readonly (readonly [name: string, value: string])[];
};

/** What is asked of one type. Parameters differ by type in where their values are. */
export type SearchPart = {
  readonly type: string;
  /** All of them must hold. */
  readonly filters: readonly SearchFilter[];
  /** In order of importance; empty leaves the order to the index that answers. Of the same length in all parts. */
  readonly sort: readonly SearchSort[];
};

export type Compartment = { readonly type: string; readonly id: string };

export type SearchSort = { readonly parameter: TypeSearchParameter; readonly descending: boolean };

export type SearchOptions = {
  /** Unknown parameters are refused, otherwise left out and reported (`Prefer: handling=lenient`). */
  readonly strict: boolean;
  /** Our own base, e.g. `https://clinic.example/fhir`: an absolute reference below it is a local one. */
  readonly baseUrl?: string;
  /** For `ap`: now, in ms. */
  readonly now?: number;
  /** Only members of this compartment: `Patient/x/Observation?…`, and with type '' `Patient/x/*?…`. */
  readonly compartment?: Compartment;
};

export type SearchParams = Iterable<readonly [name: string, value: string]>;

export const DEFAULT_COUNT = 20;
export const MAX_COUNT = 1000;
/** Name of the parameter that carries SearchPage.next. */
export const CURSOR_PARAMETER = '_cursor';
const MAX_PARAMETERS = 100;
const MAX_LENGTH = 32_768;

/**
 * Everything that is wrong with the request is reported at once.
 *
 * @param type '' for all types, or those of `_type`: the system level and `Patient/x/*`
 * @throws Failure `invalid`; its issues name the parameter as `http.<name>`
 */
export function parseSearch(
  type: string,
  params: SearchParams,
  registry: SearchParameterRegistry,
  options: SearchOptions,
): SearchQuery {
  const given = [...params];
  if (given.length > MAX_PARAMETERS) {
    throw tooCostly(`A search has at most ${MAX_PARAMETERS} parameters`, placeOf(given[MAX_PARAMETERS]?.[0] ?? ''));
  }
  const draft = new Draft(type, registry, options);
  // The types come first: what else is said is about them.
  for (const [name, value] of given) if (name === '_type') draft.add(name, value);
  draft.enterCompartment();
  for (const [name, value] of given) if (name !== '_type') draft.add(name, value);
  return draft.finish();
}

/** The parameters that were used, in the order given, for the self link. */
export function selfLink(query: SearchQuery): URLSearchParams {
  return new URLSearchParams(query.used.map(([name, value]): [string, string] => [name, value]));
}

type Part = { readonly type: string; readonly filters: SearchFilter[]; sort: SearchSort[] };

class Draft {
  readonly #registry: SearchParameterRegistry;
  readonly #options: SearchOptions;
  readonly #context: CriterionContext;
  readonly #system: boolean;
  #parts: readonly Part[];
  readonly #includes: SearchInclude[] = [];
  readonly #used: [string, string][] = [];
  readonly #issues: Issue[] = [];
  readonly #ignored: Issue[] = [];
  readonly #once = new Set<string>();
  #count = DEFAULT_COUNT;
  #cursor: string | undefined;
  #total: SearchQuery['total'] = 'as-it-comes';
  #countOnly = false;
  #view: SearchView | undefined;

  constructor(type: string, registry: SearchParameterRegistry, options: SearchOptions) {
    this.#registry = registry;
    this.#options = options;
    this.#context = contextOf(registry, options);
    this.#system = type === '';
    this.#parts = partsOf(type === '' ? this.#allTypes() : [type]);
  }

  #allTypes(): readonly string[] {
    const { definitions } = this.#registry;
    const compartment = this.#options.compartment;
    if (compartment === undefined || !isCompartmentType(compartment.type)) return definitions.resourceTypes;
    return compartmentMembers(compartment.type, definitions);
  }

  get #types(): readonly string[] {
    return this.#parts.map(({ type }) => type);
  }

  add(name: string, value: string): void {
    try {
      if (name.includes('\u0000') || value.includes('\u0000'))
        throw new InvalidSearch('A NUL character is not allowed');
      if (name.length > MAX_LENGTH || value.length > MAX_LENGTH) {
        throw new InvalidSearch(`A parameter has at most ${MAX_LENGTH} characters`);
      }
      // "Empty parameters are not an error - they are just ignored by the server."
      if (value === '') this.#ignored.push(ignored('value', `Parameter '${shown(name)}' has no value.`, name));
      else if (!this.#addControl(name, value)) this.#addFilter(name, value);
    } catch (error) {
      this.#take(error, name);
    }
  }

  /** Refused when strict, a warning else for what is not known. */
  #take(error: unknown, name: string): void {
    if (!(error instanceof InvalidSearch)) throw error;
    const words = /[.?]$/.test(error.message) ? error.message : `${error.message} (parameter '${shown(name)}')`;
    const found = issue(error.code, words, placeOf(name), error.details);
    if (error instanceof UnknownInSearch && !this.#options.strict)
      this.#ignored.push({ ...found, severity: 'warning' });
    else this.#issues.push(found);
  }

  finish(): SearchQuery {
    if (this.#view?.kind === 'text' && this.#includes.length > 0) {
      const diagnostics = '_include and _revinclude cannot be mixed with _summary=text.';
      this.#issues.push(issue('invalid', diagnostics, placeOf('_summary')));
    }
    if (this.#issues.length > 0) throw new Failure('invalid', this.#issues);
    const { compartment } = this.#options;
    return {
      ...(this.#parts[0] as Part),
      ...(this.#system ? { type: '' } : {}),
      parts: this.#parts,
      ...(compartment === undefined ? {} : { compartment }),
      count: this.#count,
      ...(this.#cursor === undefined ? {} : { cursor: this.#cursor }),
      total: this.#total,
      countOnly: this.#countOnly,
      ...(this.#view === undefined ? {} : { view: this.#view }),
      includes: this.#includes,
      ignored: this.#ignored,
      used: this.#used,
    };
  }

  // ---- parameters that say how to answer

  #addControl(name: string, value: string): boolean {
    switch (name) {
      case '_format':
      case '_pretty':
        return true;
      case CURSOR_PARAMETER:
        this.#single(name);
        this.#cursor = value;
        return true;
      case '_count':
        this.#single(name);
        this.#count = countOf(value);
        if (this.#count === 0) this.#countOnly = true;
        this.#used.push([name, String(this.#count)]);
        return true;
      case '_total':
        this.#single(name);
        if (value !== 'none' && value !== 'estimate' && value !== 'accurate') {
          throw new InvalidSearch('The total is one of none, estimate, accurate');
        }
        this.#total = value;
        break;
      case '_summary':
        this.#single(name);
        this.#summary(value);
        break;
      case '_elements':
        this.#elements(value);
        return true;
      case '_sort':
        this.#addSort(value.split(',').map((key) => key.trim()));
        return true;
      case '_type':
        this.#single(name);
        this.#restrictTypes(value);
        break;
      case '_contained':
        if (value !== 'false') {
          throw new InvalidSearch('Contained resources are not searched for: only _contained=false', 'not-supported');
        }
        break;
      case '_containedType':
        if (value !== 'container' && value !== 'contained') {
          throw new InvalidSearch('It is container or contained');
        }
        break;
      case '_score':
        throw new UnknownInSearch('Matches have no score', 'not-supported');
      case '_query':
        throw new InvalidSearch('There are no named queries', 'not-supported');
      default:
        if (!/^_(?:rev)?include(?::|$)/.test(name)) return false;
        this.#include(name, value);
    }
    this.#used.push([name, value]);
    return true;
  }

  #single(name: string): void {
    if (this.#once.has(name)) throw new InvalidSearch('It may be given once', 'value', 'MSG_PARAM_NO_REPEAT');
    this.#once.add(name);
  }

  #include(name: string, value: string): void {
    const includes = includesOf(name, value, this.#types, this.#registry);
    this.#includes.push(...includes);
    if (includes.length > 0) return;
    const diagnostics = `${shown(value)} has no part in the matches; for what is included, write ${name}:iterate.`;
    this.#ignored.push(ignored('incomplete', diagnostics, name));
  }

  #summary(value: string): void {
    const view = summaryView(value);
    if (view === 'count') this.#countOnly = true;
    else if (view !== undefined) {
      if (this.#view !== undefined) throw new InvalidSearch('Give _summary or _elements, not both');
      this.#view = view;
    }
  }

  #elements(value: string): void {
    if (this.#view !== undefined && this.#view.kind !== 'elements') {
      throw new InvalidSearch('Give _summary or _elements, not both');
    }
    const { view, unknown } = elementsView(value, this.#types, this.#registry.definitions);
    for (const name of unknown) {
      this.#take(new UnknownInSearch(`There is no element '${shown(name)}'`, 'value'), '_elements');
    }
    if (view.elements.length === 0) return;
    const known = this.#view?.kind === 'elements' ? this.#view.elements : [];
    this.#view = { kind: 'elements', elements: [...known, ...view.elements] };
    const names = view.elements.map(({ type, path }) => (type === undefined ? path : `${type}.${path}`));
    this.#used.push(['_elements', names.join(',')]);
  }

  #addSort(keys: readonly string[]): void {
    const used: string[] = [];
    for (const key of keys) {
      const descending = key.startsWith('-');
      try {
        const code = descending ? key.slice(1) : key;
        const sorts = this.#types.map((type) => ({ parameter: this.#sortParameter(type, code), descending }));
        this.#parts.forEach((part, i) => {
          part.sort = [...part.sort, sorts[i] as SearchSort];
        });
        used.push(key);
      } catch (error) {
        this.#take(error, '_sort');
      }
    }
    if (used.length > 0) this.#used.push(['_sort', used.join(',')]);
  }

  #sortParameter(type: string, code: string): TypeSearchParameter {
    try {
      const parameter = parameterOf(type, code, this.#registry);
      if (parameter.stored === 'index' || parameter.stored === 'column') return parameter;
    } catch (error) {
      if (!(error instanceof UnknownInSearch)) throw error;
      throw new UnknownInSearch(`${type} cannot be sorted by that. ${error.message}`, 'invalid', 'MSG_SORT_UNKNOWN');
    }
    throw new InvalidSearch(`'${code}' has no order to sort by`, 'not-supported', 'MSG_SORT_UNKNOWN');
  }

  #restrictTypes(value: string): void {
    const types = [...new Set(value.split(',').map((type) => type.trim()))];
    const wrong = types.find((type) => !this.#registry.definitions.isResourceType(type));
    if (wrong !== undefined) {
      throw new InvalidSearch(`'${shown(wrong)}' is not a resource type`, 'value', 'MSG_UNKNOWN_TYPE');
    }
    if (this.#system) this.#parts = partsOf(types);
    else if (!types.includes(this.#types[0] as string)) {
      throw new InvalidSearch(`The search is for ${this.#types[0]} already`);
    }
  }

  // ---- conditions

  enterCompartment(): void {
    const { compartment } = this.#options;
    if (compartment === undefined) return;
    if (!isCompartmentType(compartment.type)) throw new Error(`${compartment.type} has no compartments`);
    const ofType = compartment.type;
    for (const { type, filters } of this.#parts) {
      filters.push(membership({ type: ofType, id: compartment.id }, type, this.#registry));
    }
  }

  #addFilter(name: string, value: string): void {
    const { budget } = this.#context;
    const { values } = budget;
    const place = placeOf(name);
    const made: SearchFilter[] = [];
    for (const { type } of this.#parts) {
      // One request has its values once, however many types it is over.
      budget.values = values;
      budget.conditions = MAX_CONDITIONS;
      made.push(
        name === '_filter'
          ? filterExpression(type, value, place, this.#context)
          : criterion(type, name, value, place, this.#context),
      );
    }
    for (let i = 0; i < made.length; i++) this.#parts[i]?.filters.push(made[i] as SearchFilter);
    this.#used.push([name, value]);
  }
}

function contextOf(registry: SearchParameterRegistry, { baseUrl, now = Date.now() }: SearchOptions): CriterionContext {
  const { definitions } = registry;
  return {
    registry,
    budget: { values: MAX_VALUES, conditions: MAX_CONDITIONS },
    isResourceType: (known) => definitions.isResourceType(known),
    allows: (url, system, code) => {
      const valueSet = definitions.valueSet(url);
      if (code !== undefined) return valueSet?.allows(system, code) === true;
      return valueSet?.enumerable === true && [...valueSet.codes].some((each) => valueSet.allows(system, each));
    },
    versionOf: (type) => registry.of(type).get('version'),
    baseUrl,
    now,
  };
}

function partsOf(types: readonly string[]): Part[] {
  return types.map((type) => ({ type, filters: [], sort: [] }));
}

function ignored(code: IssueCode, diagnostics: string, name: string): Issue {
  return { ...issue(code, diagnostics, placeOf(name)), severity: 'warning' };
}

function membership(
  { type: compartment, id }: { readonly type: CompartmentType; readonly id: string },
  type: string,
  registry: SearchParameterRegistry,
): SearchFilter {
  const parameters = registry.of(type);
  const filters = compartmentParameters(compartment, type, registry.definitions).map((code): SearchFilter => {
    if (code === SELF) {
      const parameter = parameters.get('_id') as TypeSearchParameter;
      return { kind: 'token', parameter, not: false, values: [{ code: id }] };
    }
    return {
      kind: 'reference',
      parameter: parameters.get(code) as TypeSearchParameter,
      values: [`${compartment}/${id}`],
    };
  });
  return filters.length === 1 ? (filters[0] as SearchFilter) : { kind: 'any', filters };
}

function countOf(value: string): number {
  if (!/^\d{1,9}$/.test(value)) throw new InvalidSearch('The count is a whole number');
  return Math.min(Number(value), MAX_COUNT);
}
