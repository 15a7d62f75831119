import type { SearchParameterDigest } from '../definitions.ts';
import type { PathStep, SearchExpression } from './expression.ts';

/** A search parameter as it applies to one resource type. */
export type TypeSearchParameter = {
  readonly type: string;
  readonly code: string;
  readonly kind: SearchParameterDigest['type'];
  readonly url: string;
  /** Where its values are in a resource, each relative to the resource. */
  readonly alternatives: readonly SearchExpression[];
  /** Types a reference may name; empty for other kinds. */
  readonly targets: readonly string[];
  /** searchParameterKey(type, code). */
  readonly key: number;
  /**
   * Where its values are stored: `index` rows under `rows`, a `column` of the resource itself (`_id`,
   * `_lastUpdated`), in the rows of its components (`composite`), in the words of the resource (`text`: `_text`,
   * `_content`), as two numbers (`position`: Location.near), or nowhere (`none`: `_query`).
   */
  readonly stored: 'index' | 'column' | 'composite' | 'text' | 'position' | 'none';
  /** FHIR types of its elements, such as CodeableConcept; '' where they cannot be known. */
  readonly types: ReadonlySet<string>;
  /** Of a composite, in the order of its values. */
  readonly components: readonly CompositeComponent[];
  /**
   * Keys of the index rows that answer it. Its own, as a rule; those of its parts where it is the union of others
   * (`combo-code`), or those of a wider one (`patient` in `subject`), so that no value is stored twice.
   */
  readonly rows: readonly number[];
  /** Its rows are a wider parameter's; only those whose target has this type are its own. */
  readonly onlyTarget?: string;
  /** It names the one patient that a resource is about (patientIdOf), wherever it names a Patient. */
  readonly namesPatient: boolean;
  /** A resource has one index row of it at most: a date or a number of an element that does not repeat. */
  readonly single: boolean;
  /** Value sets of its elements, when all are plain codes: they say which system such a code is of. */
  readonly boundTo: readonly string[];
};

/** One part of the values of a composite. */
export type CompositeComponent = {
  /** A parameter of the same type. */
  readonly code: string;
  /** Its value need not stand in the same element as the others. */
  readonly anywhere: boolean;
  /** Where the values of the component are in a resource. */
  readonly paths: readonly (readonly PathStep[])[];
};
