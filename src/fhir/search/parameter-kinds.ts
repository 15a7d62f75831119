/** What is special about some parameters: for their values in resources and for those in requests alike. */
import type { TypeSearchParameter } from './parameters.ts';

/** "If the underlying data type is string then the search is not case sensitive." */
export function isCaseless({ kind, types }: TypeSearchParameter): boolean {
  return kind === 'token' && types.size === 1 && types.has('string');
}

/** Parameters on elements of MIME types, of which `:below` finds all with the same base. */
export function isMimeType({ type, code }: TypeSearchParameter): boolean {
  return MIME_TYPES.has(`${type}.${code}`);
}

const MIME_TYPES: ReadonlySet<string> = new Set([
  'DocumentReference.contenttype',
  'CapabilityStatement.format',
  'Subscription.payload',
]);

/** Parameters on whole names and on family names. */
export function hasFamilyNames({ code, kind, types }: TypeSearchParameter): boolean {
  return kind === 'string' && (types.has('HumanName') || code === 'family');
}
