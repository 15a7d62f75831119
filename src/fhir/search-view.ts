/**
 * What of a resource an answer has: `_summary` and `_elements`.
 *
 * @see https://hl7.org/fhir/R4/search.html#summary
 * @see https://hl7.org/fhir/R4/search.html#elements
 */

/** `_summary=count` and `_summary=false` are none of them: no resource, and all of it. */
export type SearchView =
  | { readonly kind: 'summary' | 'text' | 'data' }
  /** Element paths below the resource (`code`, `code.coding`), for resources of all types, or of the one named. */
  | { readonly kind: 'elements'; readonly elements: readonly ViewedElement[] };

export type ViewedElement = { readonly type?: string; readonly path: string };
