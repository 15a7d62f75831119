/**
 * A search request as data: what `Type?name:modifier=value,value&…` asks for, checked against the search parameters
 * that the type has. Nothing here knows how it is answered.
 *
 * @see https://hl7.org/fhir/R4/search.html
 */
import type { Issue } from './failure.ts';
import type { TypeSearchParameter } from './search-parameters.ts';

/** One search, ready to be answered. Made by parseSearch only. */
export type SearchQuery = {
  readonly type: string;
  /** All of them must hold. */
  readonly filters: readonly SearchFilter[];
  /** In order of importance; empty leaves the order to the index that answers. */
  readonly sort: readonly SearchSort[];
  /** Matches on a page, 0 to 1000. */
  readonly count: number;
  /** Where an earlier page of the same search ended. */
  readonly cursor?: string;
  readonly total: 'none' | 'estimate' | 'accurate';
  /** `_summary=count` or `_count=0`: the total and no resource. */
  readonly countOnly: boolean;
  readonly includes: readonly SearchInclude[];
  /** What lenient handling left out, as warnings for the answer. */
  readonly ignored: readonly Issue[];
  /** Names and values as given, without those that were ignored. */
  readonly used: readonly (readonly [name: string, value: string])[];
};

/** A condition on one parameter. A chained condition or `_has` will be further kinds. */
export type SearchFilter =
  | { readonly kind: 'missing'; readonly parameter: TypeSearchParameter; readonly missing: boolean }
  /** `:not` holds where none of the values is there, a resource without any value included. */
  | {
      readonly kind: 'token';
      readonly parameter: TypeSearchParameter;
      readonly not: boolean;
      readonly values: readonly TokenValue[];
    }
  | {
      readonly kind: 'string';
      readonly parameter: TypeSearchParameter;
      readonly match: 'prefix' | 'exact' | 'contains';
      readonly values: readonly string[];
    }
  | {
      readonly kind: 'reference';
      readonly parameter: TypeSearchParameter;
      readonly not: boolean;
      /** For each value all targets that it can mean: 'Type/id', or an absolute or canonical url. */
      readonly values: readonly (readonly string[])[];
    }
  | { readonly kind: 'date'; readonly parameter: TypeSearchParameter; readonly values: readonly DateValue[] }
  | { readonly kind: 'quantity'; readonly parameter: TypeSearchParameter; readonly values: readonly QuantityValue[] }
  | {
      readonly kind: 'uri';
      readonly parameter: TypeSearchParameter;
      readonly not: boolean;
      readonly values: readonly string[];
    };

export type SearchPrefix = 'eq' | 'ne' | 'gt' | 'lt' | 'ge' | 'le' | 'sa' | 'eb' | 'ap';

/** No `system`: any system. `system` '': none. No `code`: every code of the system. */
export type TokenValue = { readonly system?: string; readonly code?: string };

/** Milliseconds since 1970, both inclusive, of the whole range that the value's precision covers. */
export type DateValue = { readonly prefix: SearchPrefix; readonly low: number; readonly high: number };

/** The range that the value's precision covers, half an unit of its last digit to each side. */
export type QuantityValue = {
  readonly prefix: SearchPrefix;
  readonly value: number;
  readonly low: number;
  readonly high: number;
  readonly system?: string;
  /** Compared with the code, and without a system also with the unit. */
  readonly code?: string;
};

export type SearchSort = { readonly parameter: TypeSearchParameter; readonly descending: boolean };

/** `forward` adds what a match refers to, `reverse` what refers to a match. */
export type SearchInclude = {
  readonly direction: 'forward' | 'reverse';
  /** The type whose parameter it is: the matches' type (forward), the included type (reverse). */
  readonly parameter: TypeSearchParameter;
  /** Only targets of this type (forward). */
  readonly target?: string;
};
