import { hash } from 'node:crypto';

/**
 * Where a compiled extractor puts what it finds in one resource. One call is one row of the search index.
 * `param` is searchParameterKey(type, code).
 *
 * `element` is n + 1 for values within the n-th repetition of an element over which R4 has composite parameters
 * (`Observation.component[n]`, `useContext[n]`), -1 for values that no composite joins, 0 for all others: what belongs
 * together in a composite has the same.
 */
export type SearchValueSink = {
  /** `system` is '' when there is none; `text` the lines that `:text` searches, joined by '\n', '' for none. */
  token(param: number, system: string, code: string, element: number, text: string): void;
  /** `target` is 'Type/id', or an absolute or canonical url. */
  reference(param: number, target: string, element: number): void;
  /** Milliseconds since 1970, both inclusive; OPEN_LOW and OPEN_HIGH for an open end. */
  date(param: number, low: number, high: number, element: number): void;
  /** `exact` as written; the sink folds it. */
  string(param: number, exact: string, element: number): void;
  /** Numbers have system, code and unit ''. */
  quantity(param: number, low: number, high: number, system: string, code: string, unit: string, element: number): void;
  uri(param: number, value: string, element: number): void;
};

/** To be raised with every change of what extractors find: the rows of a clinic are then made anew at the next start. */
export const EXTRACTION = 4;

export const OPEN_LOW = -9007199254740991;
export const OPEN_HIGH = 9007199254740991;

/**
 * The number of a search parameter in the index: 31 bits of a digest of `Type.code`, so that it never depends on
 * which other parameters are loaded. The registry refuses to start on a collision.
 */
export function searchParameterKey(type: string, code: string): number {
  return hash('sha256', `${type}.${code}`, 'buffer').readUInt32BE(0) >>> 1;
}

const keys = new Map<string, string>();

/** 64 bits of a digest, as the decimal text of a signed bigint; '' is 0. Bounded memory for repeated values. */
export function key64(value: string): string {
  if (value === '') return '0';
  let key = keys.get(value);
  if (key === undefined) {
    key = hash('sha256', value, 'buffer').readBigInt64BE(0).toString();
    if (keys.size > 50_000) keys.clear();
    keys.set(value, key);
  }
  return key;
}

const INDEXABLE_LENGTH = 256;

/** A value short enough for a btree: itself, or a prefix and a digest. Stored and asked for in the same form. */
export function indexable(value: string): string {
  if (value.length <= INDEXABLE_LENGTH) return value;
  return `${value.slice(0, INDEXABLE_LENGTH)}…${hash('sha256', value)}`;
}

/**
 * The base characters of a text: lower case, without accents, without punctuation, with single spaces.
 *
 * @see https://hl7.org/fhir/R4/search.html#string "Punctuation and non-significant whitespace should also be ignored"
 */
export function folded(value: string): string {
  const plain = value.normalize('NFKD').replace(MARKS, '').toLowerCase();
  return plain
    .replace(LETTERS, (letter) => PLAIN_LETTERS[letter] ?? letter)
    .replace(/\s+/g, ' ')
    .trim();
}

/** Accents and punctuation. */
const MARKS = /[\p{M}\p{P}]/gu;
/** Letters with a stroke of their own, which no decomposition takes away. */
const PLAIN_LETTERS: Readonly<Record<string, string>> = {
  ß: 'ss',
  æ: 'ae',
  œ: 'oe',
  ø: 'o',
  đ: 'd',
  ð: 'd',
  ł: 'l',
  ı: 'i',
  þ: 'th',
};
const LETTERS = /[ßæœøđðłıþ]/g;
