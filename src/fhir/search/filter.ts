/** One condition of a search, and its values as a request writes them. @see https://hl7.org/fhir/R4/search.html#ptypes */
import type { TypeSearchParameter } from './parameters.ts';

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
  | ReferenceFilter
  | DateFilter
  | QuantityFilter
  | UriFilter;

/** `:not` holds where none of the values is there, a resource without any value included. No value: none matches. */
export type TokenFilter = {
  readonly kind: 'token';
  readonly parameter: TypeSearchParameter;
  readonly not: boolean;
  readonly values: readonly TokenValue[];
  /** Rows under searchParameterKey(type, `code:rows`) answer it, not those of the parameter. */
  readonly rows?: 'identifier' | 'of-type' | 'below';
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

export type ReferenceFilter = {
  readonly kind: 'reference';
  readonly parameter: TypeSearchParameter;
  /** 'Type/id', or an absolute or canonical url. An id alone stands here once for each type it may mean. */
  readonly values: readonly string[];
  /** The values are canonical urls with part of a version: also what continues one behind a '.'. */
  readonly below?: true;
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

/** `below`: what starts with the value. `above`: what the value continues behind a '/'. */
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
