/** The search parameters of every R4 type, as they apply to that type. */

export type SearchParameterKind =
  | 'number'
  | 'date'
  | 'string'
  | 'token'
  | 'reference'
  | 'composite'
  | 'quantity'
  | 'uri'
  | 'special';

/** A search parameter as it applies to one resource type. */
export type TypeSearchParameter = {
  readonly type: string;
  readonly code: string;
  readonly kind: SearchParameterKind;
  readonly url: string;
  /** FHIRPath, only the alternatives that start at this type. */
  readonly expression: string;
  /** Types a reference may name; empty for other kinds. */
  readonly targets: readonly string[];
  /** searchParameterKey(type, code). */
  readonly key: number;
  /**
   * Where its values are: `index` rows under `rows`, a `column` of the resource itself (`_id`, `_lastUpdated`), or
   * `none` while it is not supported.
   */
  readonly stored: 'index' | 'column' | 'none';
  /**
   * Keys of the index rows that answer it. Its own, as a rule; those of its parts where it is the union of others
   * (`combo-code`), or of a wider parameter (`patient` of `subject`), so that no value is stored twice.
   */
  readonly rows: readonly number[];
};
