/** A SearchParameter without prose. @see https://hl7.org/fhir/R4/searchparameter.html */
export type SearchParameterDigest = {
  readonly url: string;
  readonly code: string;
  readonly base: readonly string[];
  readonly type: 'number' | 'date' | 'string' | 'token' | 'reference' | 'composite' | 'quantity' | 'uri' | 'special';
  /** FHIRPath; absent for parameters of the server itself such as `_query`. */
  readonly expression?: string;
  /** Types a reference parameter may point to. */
  readonly target?: readonly string[];
  /** Absent where the definition says nothing: R4 then allows both. */
  readonly multipleOr?: boolean;
  readonly multipleAnd?: boolean;
  readonly comparator?: readonly string[];
  readonly modifier?: readonly string[];
  /** Parts of a composite: canonical url of the parameter, and its expression below the composite's. */
  readonly component?: readonly { readonly definition: string; readonly expression: string }[];
};

const KEPT = [
  'url',
  'code',
  'base',
  'type',
  'expression',
  'target',
  'multipleOr',
  'multipleAnd',
  'comparator',
  'modifier',
] as const;

export function digestSearchParameter(source: Record<string, unknown>): SearchParameterDigest {
  const digest: Record<string, unknown> = {};
  for (const key of KEPT) if (source[key] !== undefined) digest[key] = source[key];
  const component = source.component as { definition: string; expression: string }[] | undefined;
  if (component !== undefined) {
    digest.component = component.map(({ definition, expression }) => ({ definition, expression }));
  }
  return digest as SearchParameterDigest;
}
