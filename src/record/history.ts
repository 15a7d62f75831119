/** What a history asks the record for. @see https://hl7.org/fhir/R4/http.html#history */

/** Versions of one resource, of types, or of all, newest first. */
export type HistoryQuery = {
  /** Types that may appear. */
  readonly types: readonly string[];
  /** Only of the resource with this id (and the one type). */
  readonly id?: string;
  /** Written at or after, ms. */
  readonly since?: number;
  /**
   * Current at some moment of this time, ms, both inclusive. A deletion counts where it happened in it: afterwards there
   * is nothing that could be current.
   */
  readonly at?: { readonly low: number; readonly high: number };
  /** Only these resources, or these versions of them. */
  readonly listed?: readonly ListedVersion[];
  /** 0 to 1000; with 0 the total alone. */
  readonly count: number;
  readonly cursor?: string;
};

export type ListedVersion = { readonly type: string; readonly id: string; readonly version?: number };
