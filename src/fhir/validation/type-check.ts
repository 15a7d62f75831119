import type { ErrorObject, ValidateFunction } from 'ajv';

/**
 * A compiled check of one type, backbone element or profile. Takes any JSON value; `errors` are those of the last call that
 * gave false.
 *
 * Paths of errors are relative to the value.
 */
export type TypeCheck = { (data: unknown, context: CallContext): boolean; errors?: readonly ErrorObject[] | null };
type CallContext = NonNullable<Parameters<ValidateFunction>[1]>;

/** The same context for every call: paths are relative to the value, and nothing else is read. */
export const TOP: CallContext = {
  instancePath: '',
  parentData: {},
  parentDataProperty: '',
  rootData: {},
  dynamicAnchors: {},
};

/** One resource or type collects no more findings than these. */
export const MAX_FINDINGS = 200;
/** Places that one finding names, and findings about one list. */
export const MAX_PLACES = 20;

/** An element that may stand under several names (`value[x]`, or `status` and `_status`). */
export type ElementKeys = { readonly name: string; readonly keys: readonly string[] };

/** What a keyword finds in a value; undefined when all is well. */
export type Finder = (data: Readonly<Record<string, unknown>>) => readonly unknown[] | undefined;

/** An error that is not made by Ajv's own code. */
export function errorAt(instancePath: string, keyword: string, found: readonly unknown[]): ErrorObject {
  return { instancePath, keyword, schemaPath: '', params: { found } };
}

/** `present`, and the errors of the value at `path`. */
export function errorsUnder(
  present: ErrorObject[] | null,
  found: readonly ErrorObject[],
  path: string,
): readonly ErrorObject[] {
  const all = present ?? [];
  for (const error of found) all.push({ ...error, instancePath: path + error.instancePath });
  return all;
}

const ADVICE: ReadonlySet<string> = new Set(['extensible', 'unknownSet', 'rebound']);

/** Errors that only say what is worth a warning: a value with no others is valid. */
export function isAdvice({ keyword, params }: ErrorObject): boolean {
  if (ADVICE.has(keyword)) return true;
  if (keyword !== 'invariants' && keyword !== 'constraints') return false;
  const [, , isWarning, isUnknown] = (params as { found: readonly unknown[] }).found;
  return isWarning === true || isUnknown === true;
}
