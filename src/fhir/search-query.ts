/**
 * A search request as data: what `Type?name:modifier=value,value&…` asks for, checked against the search parameters
 * that the type has. Nothing here knows how it is answered.
 *
 * @see https://hl7.org/fhir/R4/search.html
 */
import { Failure, type Issue, issue } from './failure.ts';
import { InvalidValue, parseFilterValues, type SearchFilter, splitValues } from './search-filter.ts';
import type { SearchParameterRegistry, TypeSearchParameter } from './search-parameters.ts';
import type { SearchView } from './search-view.ts';

export type {
  DateValue,
  QuantityValue,
  SearchFilter,
  SearchPrefix,
  TokenValue,
  ValueFilter,
} from './search-filter.ts';
export type { SearchView } from './search-view.ts';

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
  readonly total: 'none' | 'estimate' | 'accurate';
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

/** `forward` adds what a match refers to, `reverse` what refers to a match. */
export type SearchInclude = {
  readonly direction: 'forward' | 'reverse';
  /** Of the matches' type (forward), or of the type that is added (reverse). */
  readonly parameter: TypeSearchParameter;
  /** Only targets of this type. */
  readonly target?: string;
  /** Also applied to what is included, again and again; else to the matches alone. */
  readonly iterate: boolean;
};

export type SearchOptions = {
  /** Unknown parameters are refused, otherwise left out and reported (`Prefer: handling=lenient`). */
  readonly strict: boolean;
  /** Our own base, e.g. `https://clinic.example/fhir`: an absolute reference below it is a local one. */
  readonly baseUrl?: string;
  /** For `ap`: now, in ms. */
  readonly now?: number;
};

export type SearchParams = Iterable<readonly [name: string, value: string]>;

export const DEFAULT_COUNT = 20;
export const MAX_COUNT = 1000;
/** Name of the parameter that carries SearchPage.next. */
export const CURSOR_PARAMETER = '_cursor';
const MAX_VALUES = 500;
const MAX_PARAMETERS = 100;
const MAX_LENGTH = 4096;

/**
 * Everything that is wrong with the request is reported at once.
 *
 * @throws Failure `invalid`; its issues name the parameter as `http.<name>`
 */
export function parseSearch(
  type: string,
  params: SearchParams,
  registry: SearchParameterRegistry,
  options: SearchOptions,
): SearchQuery {
  const draft = new Draft(type, registry, options);
  for (const [name, value] of params) draft.add(name, value);
  return draft.finish();
}

/** The parameters that were used, in the order given, for the self link. */
export function selfLink(query: SearchQuery): URLSearchParams {
  return new URLSearchParams(query.used.map(([name, value]): [string, string] => [name, value]));
}

/** What may follow the name of a parameter. */
export const SUPPORTED_MODIFIERS: Readonly<Record<string, readonly string[]>> = {
  token: ['not', 'missing'],
  string: ['exact', 'contains', 'missing'],
  reference: ['missing', '[type]'],
  date: ['missing'],
  number: ['missing'],
  quantity: ['missing'],
  uri: ['missing'],
};

class Draft {
  readonly #type: string;
  readonly #registry: SearchParameterRegistry;
  readonly #options: SearchOptions;
  readonly #filters: SearchFilter[] = [];
  readonly #includes: SearchInclude[] = [];
  readonly #used: [string, string][] = [];
  readonly #issues: Issue[] = [];
  readonly #ignored: Issue[] = [];
  readonly #once = new Set<string>();
  #sort: SearchSort[] = [];
  #count = DEFAULT_COUNT;
  #cursor: string | undefined;
  #total: SearchQuery['total'] = 'none';
  #countOnly = false;
  #values = 0;
  #parameters = 0;

  constructor(type: string, registry: SearchParameterRegistry, options: SearchOptions) {
    this.#type = type;
    this.#registry = registry;
    this.#options = options;
  }

  add(name: string, value: string): void {
    if (++this.#parameters > MAX_PARAMETERS)
      throw tooCostly(`A search has at most ${MAX_PARAMETERS} parameters.`, name);
    if (name.includes('\u0000') || value.includes('\u0000')) {
      this.#refuse('value', 'A NUL character is not allowed.', placeOf(name));
    } else if (value.length > MAX_LENGTH * 8) {
      this.#refuse('value', `The values of one parameter have at most ${MAX_LENGTH * 8} characters.`, placeOf(name));
    } else if (value === '')
      this.#leaveOut('value', `Parameter '${shown(name)}' has no value; give one or leave it out.`, name);
    else {
      try {
        if (!this.#addControl(name, value)) this.#addFilter(name, value);
      } catch (error) {
        if (!(error instanceof InvalidValue)) throw error;
        this.#refuse('value', `${error.message} (parameter '${shown(name)}')`, placeOf(name));
      }
    }
  }

  finish(): SearchQuery {
    if (this.#issues.length > 0) throw new Failure('invalid', this.#issues);
    const part = { type: this.#type, filters: this.#filters, sort: this.#sort };
    return {
      ...part,
      parts: [part],
      count: this.#count,
      ...(this.#cursor === undefined ? {} : { cursor: this.#cursor }),
      total: this.#total,
      countOnly: this.#countOnly,
      includes: this.#includes,
      ignored: this.#ignored,
      used: this.#used,
    };
  }

  #refuse(code: Issue['code'], diagnostics: string, place: string): void {
    this.#issues.push(issue(code, diagnostics, place));
  }

  /** Refused when strict; else a warning. */
  #leaveOut(code: Issue['code'], diagnostics: string, name: string): void {
    const found = issue(code, diagnostics, placeOf(name));
    if (this.#options.strict) this.#issues.push(found);
    else this.#ignored.push({ ...found, severity: 'warning' });
  }

  // ---- parameters that say how to answer

  #addControl(name: string, value: string): boolean {
    switch (name) {
      case '_format':
      case '_pretty':
        return true;
      case '_count':
        this.#single(name);
        this.#count = countOf(value);
        if (this.#count === 0) this.#countOnly = true;
        break;
      case CURSOR_PARAMETER:
        this.#single(name);
        this.#cursor = value;
        return true;
      case '_total':
        this.#single(name);
        if (value !== 'none' && value !== 'estimate' && value !== 'accurate') {
          throw new InvalidValue('The total is one of none, estimate, accurate');
        }
        this.#total = value;
        break;
      case '_summary':
        this.#single(name);
        if (value === 'count') this.#countOnly = true;
        else if (value !== 'false') {
          this.#leaveOut('not-supported', 'Only _summary=count and _summary=false are supported so far.', name);
          return true;
        }
        break;
      case '_sort':
        this.#single(name);
        this.#sort = value.split(',').flatMap((key) => this.#sortOf(key.trim()) ?? []);
        break;
      case '_include':
      case '_revinclude': {
        const include = this.#includeOf(name, value);
        if (include !== undefined) this.#includes.push(include);
        break;
      }
      default:
        return this.#refusedControl(name);
    }
    this.#used.push([name, value]);
    return true;
  }

  #refusedControl(name: string): boolean {
    const [base, ...modifiers] = name.split(':');
    if ((base === '_include' || base === '_revinclude') && modifiers.length > 0) {
      this.#refuse('not-supported', `${base}:${shown(modifiers.join(':'))} is not supported yet.`, placeOf(name));
      return true;
    }
    if (base !== undefined && NOT_YET.has(base)) {
      this.#leaveOut('not-supported', `Parameter '${base}' is not supported yet.`, name);
      return true;
    }
    return false;
  }

  #single(name: string): void {
    if (this.#once.has(name)) throw new InvalidValue('It may be given once');
    this.#once.add(name);
  }

  #sortOf(key: string): SearchSort | undefined {
    const descending = key.startsWith('-');
    const code = descending ? key.slice(1) : key;
    const parameter = this.#registry.of(this.#type).get(code);
    if (parameter === undefined) {
      this.#leaveOut('invalid', `${this.#type} cannot be sorted by '${shown(code)}'. ${this.#near(code)}`, '_sort');
      return undefined;
    }
    if (parameter.stored === 'none') {
      this.#refuse('not-supported', `Sorting by '${code}' is not supported.`, placeOf('_sort'));
      return undefined;
    }
    return { parameter, descending };
  }

  #includeOf(name: string, value: string): SearchInclude | undefined {
    const [type = '', code = '', target, ...more] = value.split(':');
    const direction = name === '_include' ? 'forward' : 'reverse';
    if (type === '*' || code === '*') {
      this.#refuse('not-supported', `${name}=${shown(value)}: the wildcard is not supported yet.`, placeOf(name));
      return undefined;
    }
    const parameter = this.#registry.definitions.isResourceType(type) ? this.#registry.of(type).get(code) : undefined;
    if (more.length > 0 || parameter?.kind !== 'reference' || parameter.stored === 'none') {
      throw new InvalidValue(
        `'${shown(value)}' is not Type:parameter or Type:parameter:Target of a reference parameter`,
      );
    }
    if (target !== undefined && !this.#registry.definitions.isResourceType(target)) {
      throw new InvalidValue(`'${shown(target)}' is not a resource type`);
    }
    if (direction === 'forward' && type !== this.#type) {
      throw new InvalidValue(
        `Matches are of type ${this.#type}; ${type} would need :iterate, which is not supported yet`,
      );
    }
    if (direction === 'reverse' && !mayName(parameter, target ?? this.#type, this.#type)) {
      throw new InvalidValue(`${type}:${code} never refers to a ${this.#type}`);
    }
    return { direction, parameter, iterate: false, ...(target === undefined ? {} : { target }) };
  }

  // ---- conditions

  #addFilter(name: string, value: string): void {
    const colon = name.indexOf(':');
    const base = colon < 0 ? name : name.slice(0, colon);
    const modifier = colon < 0 ? undefined : name.slice(colon + 1);
    const code = base.split('.', 1)[0] as string;
    const parameter = this.#registry.of(this.#type).get(code);
    if (name.startsWith('_has:') || (parameter?.kind === 'reference' && name.includes('.'))) {
      this.#refuse('not-supported', 'Chained parameters and _has are not supported yet.', placeOf(name));
    } else if (parameter === undefined || code !== base) {
      this.#leaveOut('invalid', `${this.#type} has no search parameter '${shown(base)}'. ${this.#near(base)}`, name);
    } else if (parameter.stored === 'none') {
      this.#refuse('not-supported', `Parameter '${code}' (${parameter.kind}) is not supported yet.`, placeOf(name));
    } else {
      const filter = this.#filterOf(parameter, modifier, value, name);
      if (filter === undefined) return;
      this.#filters.push(filter);
      this.#used.push([name, value]);
    }
  }

  #filterOf(
    parameter: TypeSearchParameter,
    modifier: string | undefined,
    value: string,
    name: string,
  ): SearchFilter | undefined {
    if (modifier === 'missing') {
      if (value !== 'true' && value !== 'false') throw new InvalidValue(':missing is true or false');
      return { kind: 'missing', parameter, missing: value === 'true' };
    }
    const isType = parameter.kind === 'reference' && this.#registry.definitions.isResourceType(modifier ?? '');
    if (modifier !== undefined && !isType && !SUPPORTED_MODIFIERS[parameter.kind]?.includes(modifier)) {
      const allowed = SUPPORTED_MODIFIERS[parameter.kind]?.map((known) => `:${known}`).join(', ');
      const words = `Modifier ':${shown(modifier)}' is not supported on '${parameter.code}' (${parameter.kind}).`;
      this.#refuse('not-supported', `${words} Supported: ${allowed}.`, placeOf(name));
      return undefined;
    }
    const values = splitValues(value);
    this.#values += values.length;
    if (this.#values > MAX_VALUES) {
      throw tooCostly(`A search has at most ${MAX_VALUES} values; split it into several.`, name);
    }
    for (const each of values) {
      if (each === '') throw new InvalidValue('An alternative is empty');
      if (each.length > MAX_LENGTH) throw new InvalidValue(`A value has at most ${MAX_LENGTH} characters`);
    }
    return parseFilterValues(parameter, modifier, values, {
      isResourceType: (known) => this.#registry.definitions.isResourceType(known),
      allows: (url, system, code) => this.#registry.definitions.valueSet(url)?.allows(system, code) === true,
      baseUrl: this.#options.baseUrl,
      now: this.#options.now ?? Date.now(),
    });
  }

  #near(code: string): string {
    const names = [...this.#registry.of(this.#type).values()].filter(({ stored }) => stored !== 'none');
    const near = nearest(
      code,
      names.map((parameter) => parameter.code),
    );
    return near.length === 0 ? 'See the CapabilityStatement.' : `Did you mean ${near.join(', ')}?`;
  }
}

/** Answering parameters of R4 that are still to come. */
const NOT_YET: ReadonlySet<string> = new Set([
  '_elements',
  '_contained',
  '_containedType',
  '_score',
  '_filter',
  '_list',
  '_type',
  '_query',
]);

function countOf(value: string): number {
  if (!/^\d{1,9}$/.test(value)) throw new InvalidValue('The count is a whole number');
  return Math.min(Number(value), MAX_COUNT);
}

function mayName(parameter: TypeSearchParameter, wanted: string, matches: string): boolean {
  return wanted === matches && (parameter.targets.length === 0 || parameter.targets.includes(matches));
}

function tooCostly(diagnostics: string, name: string): Failure {
  return new Failure('invalid', issue('too-costly', diagnostics, placeOf(name)));
}

/** An answer repeats little of what it refuses. */
function shown(text: string): string {
  return text.length > 64 ? `${text.slice(0, 64)}…` : text;
}

function placeOf(name: string): string {
  return `http.${shown(name)}`;
}

/** Up to five names that differ in few letters, or contain or continue what was given. */
function nearest(given: string, names: readonly string[]): readonly string[] {
  const wanted = given.slice(0, 32).toLowerCase();
  return names
    .map((name) => ({ name, distance: farness(wanted, name) }))
    .filter((found) => found.distance <= Math.max(1, Math.floor(wanted.length / 3)))
    .sort((a, b) => a.distance - b.distance || a.name.length - b.name.length || (a.name < b.name ? -1 : 1))
    .slice(0, 5)
    .map(({ name }) => name);
}

function farness(wanted: string, name: string): number {
  if (name.startsWith(wanted) || wanted.startsWith(name)) return 0;
  return wanted.length > 2 && name.includes(wanted) ? 1 : distance(wanted, name);
}

/** Levenshtein. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substituted = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next[j] = Math.min((row[j] as number) + 1, (next[j - 1] as number) + 1, substituted);
    }
    row = next;
  }
  return row[b.length] as number;
}
