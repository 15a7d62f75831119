/** One condition of a search, and its values as a request writes them. @see https://hl7.org/fhir/R4/search.html#ptypes */
import { dateRange } from './date-range.ts';
import type { TypeSearchParameter } from './search-parameters.ts';
import { folded } from './search-values.ts';

/** A condition on the resources of one type; it may stand within any other, and is then about the type it names there. */
export type SearchFilter = ValueFilter | FilterOfFilters;

/** A condition on the values of one parameter of the type. */
export type ValueFilter =
  | { readonly kind: 'missing'; readonly parameter: TypeSearchParameter; readonly missing: boolean }
  | TokenFilter
  | TermsFilter
  /** A text of a code (`SearchValueSink.token`) has a line that starts with one of the values, which are folded. */
  | { readonly kind: 'text'; readonly parameter: TypeSearchParameter; readonly values: readonly string[] }
  | StringFilter
  /** Targets: 'Type/id', or an absolute or canonical url. An id alone stands here once for each type it may mean. */
  | { readonly kind: 'reference'; readonly parameter: TypeSearchParameter; readonly values: readonly string[] }
  | DateFilter
  | QuantityFilter
  | UriFilter;

/** `:not` holds where none of the values is there, a resource without any value included. No value: none matches. */
export type TokenFilter = {
  readonly kind: 'token';
  readonly parameter: TypeSearchParameter;
  readonly not: boolean;
  readonly values: readonly TokenValue[];
  /** Rows under searchParameterKey(type, `code:identifier`) or `code:of-type` answer it, not those of the parameter. */
  readonly rows?: 'identifier' | 'of-type';
};

/** Becomes a `token` filter before it is answered (resolveTerms). Value sets for in and not-in, else tokens. */
export type TermsFilter = {
  readonly kind: 'terms';
  readonly parameter: TypeSearchParameter;
  /** Of the request, e.g. `http.code:in`. */
  readonly place: string;
} & (
  | { readonly relation: 'in' | 'not-in'; readonly values: readonly string[] }
  | { readonly relation: 'below' | 'above'; readonly values: readonly TokenValue[] }
);

export type StringFilter = {
  readonly kind: 'string';
  readonly parameter: TypeSearchParameter;
  /** All but `exact` compare folded texts, and their values are folded. `suffix` and `whole` come from `_filter`. */
  readonly match: 'prefix' | 'exact' | 'contains' | 'suffix' | 'whole';
  readonly values: readonly string[];
};

export type DateFilter = {
  readonly kind: 'date';
  readonly parameter: TypeSearchParameter;
  readonly values: readonly DateValue[];
};

export type QuantityFilter = {
  readonly kind: 'quantity';
  readonly parameter: TypeSearchParameter;
  readonly values: readonly QuantityValue[];
};

/** `below`: the value or what continues it behind a '/'. `above`: the value or what it continues in that way. */
export type UriFilter = {
  readonly kind: 'uri';
  readonly parameter: TypeSearchParameter;
  readonly match: 'exact' | 'below' | 'above';
  readonly values: readonly string[];
};

export type FilterOfFilters =
  /** One of `values` holds: all its filters in rows of the resource with the same `element` (SearchValueSink). */
  | {
      readonly kind: 'composite';
      readonly parameter: TypeSearchParameter;
      readonly values: readonly (readonly ValueFilter[])[];
    }
  /** The reference `parameter` names a resource of type `target` for which `filter` holds. */
  | {
      readonly kind: 'chain';
      readonly parameter: TypeSearchParameter;
      readonly target: string;
      readonly filter: SearchFilter;
    }
  /** A resource of type `parameter.type` names this one with `parameter`, and `filter` holds for it. */
  | { readonly kind: 'has'; readonly parameter: TypeSearchParameter; readonly filter: SearchFilter }
  /** An item of one of the Lists with these ids names the resource. */
  | { readonly kind: 'list'; readonly values: readonly string[] }
  /** One of the queries matches the narrative, or all texts of the resource. */
  | { readonly kind: 'fulltext'; readonly over: 'narrative' | 'content'; readonly queries: readonly string[] }
  /** `any` of none never holds, `all` of none always does. */
  | { readonly kind: 'any' | 'all'; readonly filters: readonly SearchFilter[] }
  | { readonly kind: 'not'; readonly filter: SearchFilter };

export type SearchPrefix = 'eq' | 'ne' | 'gt' | 'lt' | 'ge' | 'le' | 'sa' | 'eb' | 'ap';

/** No `system`: any system. `system` '': none. No `code`: every code of the system. */
export type TokenValue = { readonly system?: string; readonly code?: string };

/** Milliseconds since 1970, both inclusive, of the range that the value's precision covers; for `ap` widened. */
export type DateValue = { readonly prefix: SearchPrefix; readonly low: number; readonly high: number };

/** `low` inclusive and `high` exclusive: half a unit of the value's last digit to each side; for `ap` a tenth. */
export type QuantityValue = {
  readonly prefix: SearchPrefix;
  readonly value: number;
  readonly low: number;
  readonly high: number;
  readonly system?: string;
  /** Compared with the code, and without a system also with the unit. */
  readonly code?: string;
  /** The same in the canonical unit of UCUM, where system and code are UCUM; compared with canonical rows instead. */
  readonly canonical?: { readonly code: string; readonly value: number; readonly low: number; readonly high: number };
};

/** What is wrong with a value, without repeating it; parseSearch adds the parameter. */
export class InvalidValue extends Error {
  override readonly name = 'InvalidValue';
}

export type ValueContext = {
  isResourceType(name: string): boolean;
  /** Whether a code of a system is in a value set. */
  readonly allows: (valueSet: string, system: string, code: string) => boolean;
  readonly baseUrl: string | undefined;
  /** ms */
  readonly now: number;
};

/** @throws InvalidValue */
export function parseFilterValues(
  parameter: TypeSearchParameter,
  modifier: string | undefined,
  values: readonly string[],
  context: ValueContext,
): SearchFilter {
  switch (parameter.kind) {
    case 'token':
      return { kind: 'token', parameter, not: modifier === 'not', values: values.map(tokenValue(parameter, context)) };
    case 'string': {
      const match = modifier === 'exact' || modifier === 'contains' ? modifier : 'prefix';
      return { kind: 'string', parameter, match, values: values.map((value) => stringValue(value, match)) };
    }
    case 'reference':
      return {
        kind: 'reference',
        parameter,
        values: values.flatMap((value) => referenceTargets(unescaped(value), parameter, modifier, context)),
      };
    case 'date':
      return { kind: 'date', parameter, values: values.map((value) => dateValue(value, context.now)) };
    case 'number':
    case 'quantity':
      return { kind: 'quantity', parameter, values: values.map(quantityValue(parameter.kind)) };
    case 'uri':
      return { kind: 'uri', parameter, match: 'exact', values: values.map(unescaped) };
    default:
      throw new InvalidValue(`Parameters of kind ${parameter.kind} are not supported yet`);
  }
}

// ---- escaping: \, \$ \| \\ (https://hl7.org/fhir/R4/search.html#escaping)

/** Alternatives, still escaped. */
export function splitValues(value: string): string[] {
  return split(value, ',');
}

function split(value: string, separator: string): string[] {
  if (!value.includes('\\')) return value.split(separator);
  const parts: string[] = [];
  let from = 0;
  for (let i = 0; i < value.length; i++) {
    if (value[i] === '\\') i++;
    else if (value[i] === separator) {
      parts.push(value.slice(from, i));
      from = i + 1;
    }
  }
  parts.push(value.slice(from));
  return parts;
}

function unescaped(value: string): string {
  return value.includes('\\') ? value.replace(/\\([\\,$|])/g, '$1') : value;
}

// ---- one function per kind

function tokenValue({ stored, boundTo }: TypeSearchParameter, { allows }: ValueContext): (value: string) => TokenValue {
  return (value) => {
    const [first = '', code, ...more] = split(value, '|').map(unescaped);
    if (stored === 'column' && code !== undefined) throw new InvalidValue('A logical id has no system');
    if (more.length > 0) throw new InvalidValue("A token is 'code', 'system|code', '|code' or 'system|'");
    if (code === undefined) return { code: first };
    // A plain code has no system of its own: that of its value set is meant.
    const implicit = code !== '' && boundTo.some((valueSet) => allows(valueSet, first, code));
    if (code !== '') return { system: implicit ? '' : first, code };
    if (first === '') throw new InvalidValue('A token needs a system or a code');
    return { system: first };
  };
}

// idx_string holds that much of a long value; see indexable().
const SEARCHED_LENGTH = 256;

function stringValue(value: string, match: 'prefix' | 'exact' | 'contains'): string {
  const plain = unescaped(value);
  if (match === 'exact') return plain;
  const wanted = folded(plain);
  if (wanted === '') throw new InvalidValue('A text to search for needs a letter or a digit');
  if (wanted.length > SEARCHED_LENGTH) throw new InvalidValue(`A text has at most ${SEARCHED_LENGTH} characters`);
  return wanted;
}

const ID = /^[A-Za-z0-9.-]{1,64}$/;
const LOCAL = /^([A-Z][A-Za-z]+)\/([A-Za-z0-9.-]{1,64})(?:\/_history\/[A-Za-z0-9.-]{1,64})?$/;
const SCHEME = /^[A-Za-z][A-Za-z0-9+.-]*:/;

function referenceTargets(
  value: string,
  parameter: TypeSearchParameter,
  type: string | undefined,
  { isResourceType, baseUrl }: ValueContext,
): string[] {
  const base = baseUrl === undefined ? undefined : `${baseUrl.replace(/\/$/, '')}/`;
  const relative = base !== undefined && value.startsWith(base) ? value.slice(base.length) : value;
  const [, named, id] = LOCAL.exec(relative) ?? [];
  if (named !== undefined && isResourceType(named)) {
    if (type !== undefined && type !== named) throw new InvalidValue(`The modifier says ${type}, the value ${named}`);
    return [`${named}/${id}`];
  }
  if (ID.test(relative)) {
    const types = type === undefined ? parameter.targets : [type];
    return types.map((each) => `${each}/${relative}`);
  }
  if (SCHEME.test(relative)) return [relative];
  throw new InvalidValue("A reference is 'id', 'Type/id' or a url");
}

const PREFIX = /^(eq|ne|gt|lt|ge|le|sa|eb|ap)(?=[\d+.-])/;

function prefixed(value: string): { prefix: SearchPrefix; rest: string } {
  const prefix = PREFIX.exec(value)?.[1];
  return prefix === undefined
    ? { prefix: 'eq', rest: value }
    : { prefix: prefix as SearchPrefix, rest: value.slice(2) };
}

function dateValue(value: string, now: number): DateValue {
  const { prefix, rest } = prefixed(value);
  // A plus sign that was not encoded arrives as a space.
  const range = dateRange(rest.replace(' ', '+'));
  if (range === undefined) {
    throw new InvalidValue(
      'A date is YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm[:ss[.sss]][Z|+hh:mm], with a prefix',
    );
  }
  if (prefix !== 'ap') return { prefix, ...range };
  // "10% of the gap between now and the date"
  const gap = Math.round(Math.abs(now - range.low) / 10);
  return { prefix, low: range.low - gap, high: range.high + gap };
}

const NUMBER = /^([+-]?)(\d{1,40})(?:\.(\d{1,40}))?(?:[eE]([+-]?\d{1,3}))?$/;

function quantityValue(kind: 'number' | 'quantity'): (value: string) => QuantityValue {
  return (value) => {
    const [text = '', system, code, ...more] = split(value, '|').map(unescaped);
    if (kind === 'number' && system !== undefined) throw new InvalidValue('A number stands alone');
    if (more.length > 0) throw new InvalidValue("A quantity is 'number' or 'number|system|code'");
    const { prefix, rest } = prefixed(text);
    const range = precisionRange(rest);
    if (range === undefined) throw new InvalidValue('A number has digits, a dot and an exponent, with a prefix');
    const tenth = Math.abs(range.value) / 10;
    return {
      prefix,
      ...range,
      ...(prefix === 'ap' ? { low: range.value - tenth, high: range.value + tenth } : {}),
      ...(system === undefined || system === '' ? {} : { system }),
      ...(code === undefined || code === '' ? {} : { code }),
    };
  };
}

/** 5.40 is 5.395 to 5.405, 100 is 99.5 to 100.5, 1e2 is 50 to 150: exact in decimals before they become a double. */
function precisionRange(text: string): { value: number; low: number; high: number } | undefined {
  const [, sign, whole, fraction = '', exponent = '0'] = NUMBER.exec(text) ?? [];
  if (whole === undefined) return undefined;
  const tenfold = BigInt(`${whole}${fraction}0`) * (sign === '-' ? -1n : 1n);
  const scale = Number(exponent) - fraction.length - 1;
  const [value, low, high] = [tenfold, tenfold - 5n, tenfold + 5n].map((digits) => Number(`${digits}e${scale}`));
  if (!Number.isFinite(value) || !Number.isFinite(low) || !Number.isFinite(high)) return undefined;
  return { value: value as number, low: low as number, high: high as number };
}
