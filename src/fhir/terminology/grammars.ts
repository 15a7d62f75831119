import { canonicalUnit, UCUM } from '../ucum.ts';

/**
 * Code systems that are a grammar: whether a text is a code of theirs can be told without their content, and a list of
 * their codes, where there is one (of languages), is never whole.
 *
 * @see https://hl7.org/fhir/R4/terminologies-systems.html
 */
const GRAMMARS: Readonly<Record<string, Grammar>> = {
  // Units that are not in our table may still be UCUM.
  [UCUM]: (code) => canonicalUnit(UCUM, code) !== undefined || undefined,
  'urn:ietf:bcp:47': isLanguageTag,
  'urn:ietf:bcp:13': (code) => /^[A-Za-z0-9][\w!#$&^.+-]{0,126}\/[A-Za-z0-9][\w!#$&^.+-]{0,126}(?:\s*;.*)?$/.test(code),
  'urn:ietf:rfc:3986': (code) => /^[A-Za-z][A-Za-z0-9+.-]*:\S+$/.test(code),
};

/** Undefined where it cannot tell. */
export type Grammar = (code: string) => boolean | undefined;

export function grammarOf(system: string): Grammar | undefined {
  return Object.hasOwn(GRAMMARS, system) ? GRAMMARS[system] : undefined;
}

function isLanguageTag(code: string): boolean {
  try {
    return code.length <= 64 && Intl.getCanonicalLocales(code).length === 1;
  } catch {
    return false; // Intl throws for what is no tag
  }
}
