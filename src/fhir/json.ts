/**
 * JSON as FHIR wants it: numbers keep their digits (https://hl7.org/fhir/R4/json.html#decimal), and what cannot be
 * stored or read in one way only is refused.
 *
 * A number whose digits JavaScript would not write again (0.50, 1e3, 20 digits) is an ordinary number in the value; its
 * text is remembered beside the object or list that holds it, and `stringifyJson` writes it back as long as the number
 * there is the same. Most texts have none, and cost one scan and a plain JSON.parse.
 */
import { Failure, issue } from './failure.ts';
import { explainJson } from './json-fault.ts';

export const MAX_JSON_DEPTH = 64;

/** Digits by key, for each holder of a number that needs them. */
const digitsOf = new WeakMap<object, Map<string, string>>();
/** Objects and lists that hold such a number at some depth. */
const holdsDigits = new WeakSet<object>();
let digitsWereRead = false;

/**
 * @throws Failure `invalid`, with line and column: malformed JSON or UTF-8, a repeated key, nesting deeper than
 * MAX_JSON_DEPTH, U+0000 or half a surrogate pair in a string (PostgreSQL cannot hold them). A byte order mark at the
 * start is dropped.
 */
export function parseJson(source: string | Uint8Array): unknown {
  const text = typeof source === 'string' ? withoutMark(source) : decode(source);
  const { depth, colons, hasEscapes, isCanonical } = scan(text);
  if (depth > MAX_JSON_DEPTH) {
    throw new Failure(
      'invalid',
      issue(
        'too-costly',
        `The JSON is nested deeper than ${MAX_JSON_DEPTH} levels`,
        undefined,
        'MSG_CANT_PARSE_CONTENT',
      ),
    );
  }
  const value = isCanonical ? parsePlain(text) : parseWithDigits(text);
  if (countKeys(value) !== colons) throw refused(text);
  if ((hasEscapes && !hasStorableText(value)) || !text.isWellFormed()) throw refused(text);
  return value;
}

/** JSON without white space, with the digits that `parseJson` read where the number is still the same. */
export function stringifyJson(value: unknown): string {
  if (!digitsWereRead || !holds(value)) return JSON.stringify(value);
  return JSON.stringify(value, function (this: object, key: string, item: unknown) {
    if (typeof item !== 'number') return item;
    const digits = digitsOf.get(this)?.get(key);
    return digits !== undefined && Object.is(Number(digits), item) ? numberAsWritten(digits) : item;
  });
}

/** Digits of `from` hold for its shallow copy `to` as well; deeper objects are shared and need nothing. Returns `to`. */
export function keepDigits<T extends object>(from: object, to: T): T {
  const digits = digitsOf.get(from);
  if (digits !== undefined) digitsOf.set(to, new Map(digits));
  if (holdsDigits.has(from)) holdsDigits.add(to);
  return to;
}

/**
 * Puts the value at `fromKey` of `from` also at `toKey` of `to`, with the digits of a number there. An object stays the
 * same one, unless `asCopy`.
 */
export function carryJson(from: object, fromKey: string, to: object, toKey: string, asCopy = false): void {
  const value = (from as Record<string, unknown>)[fromKey];
  const isHolder = typeof value === 'object' && value !== null;
  (to as Record<string, unknown>)[toKey] = isHolder && asCopy ? parseJson(stringifyJson(value)) : value;
  const digits = digitsOf.get(from)?.get(fromKey);
  // Digits of the number that was there before would pass for those of an equal one.
  if (digits === undefined) digitsOf.get(to)?.delete(toKey);
  else {
    digitsOf.set(to, (digitsOf.get(to) ?? new Map()).set(toKey, digits));
    holdsDigits.add(to);
  }
}

/** The value at a key; a number whose digits matter as JSON.stringify writes it with them (JSON.rawJSON). */
export function writtenNumber(holder: object, key: string): unknown {
  const value = (holder as Record<string, unknown>)[key];
  const digits = typeof value === 'number' ? digitsOf.get(holder)?.get(key) : undefined;
  return digits !== undefined && Object.is(Number(digits), value) ? numberAsWritten(digits) : value;
}

/** JSON pointers of the whole numbers that `parseJson` read with a fraction or an exponent (1.0, 1e2). */
export function* wholeNumbersAsDecimals(value: object, pointer = ''): Generator<string> {
  if (!holdsDigits.has(value)) return;
  const digits = digitsOf.get(value);
  for (const [key, item] of Object.entries(value) as [string, unknown][]) {
    if (typeof item === 'object' && item !== null) yield* wholeNumbersAsDecimals(item, `${pointer}/${key}`);
    else if (Number.isInteger(item) && /[.eE]/.test(digits?.get(key) ?? '')) yield `${pointer}/${key}`;
  }
}

/** A number that JSON.stringify writes with the digits of `text`, which must be one of JSON (JSON.rawJSON). */
export function numberAsWritten(text: string): unknown {
  return raw.rawJSON(text);
}

// JSON.rawJSON and the reviver's third argument are in Node 22 and later, not yet in TypeScript's library.
const raw = JSON as unknown as { rawJSON(text: string): unknown };
type Reviver = (this: object, key: string, value: unknown, context: { readonly source?: string }) => unknown;

function parsePlain(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw refused(text, cause);
  }
}

function parseWithDigits(text: string): unknown {
  digitsWereRead = true;
  const remember: Reviver = function (key, value, { source }) {
    if (typeof value === 'number' && source !== undefined && String(value) !== source) {
      const digits = digitsOf.get(this) ?? new Map<string, string>();
      digitsOf.set(this, digits.set(key, source));
      holdsDigits.add(this);
    } else if (typeof value === 'object' && value !== null && holdsDigits.has(value)) {
      holdsDigits.add(this); // children come first, so this reaches the root
    }
    return value;
  };
  try {
    return JSON.parse(text, remember as Parameters<typeof JSON.parse>[1]);
  } catch (cause) {
    throw refused(text, cause);
  }
}

/** The engine's own message quotes the text, which may be about a patient: the fault is looked for again. */
function refused(text: string, cause?: unknown): Failure {
  const { at, what, path } = explainJson(text);
  const before = text.slice(0, at).split('\n');
  const place = `line ${before.length}, column ${(before.at(-1)?.length ?? 0) + 1}`;
  return new Failure(
    'invalid',
    issue('structure', `Not acceptable JSON: ${what} at ${place}`, path, 'MSG_BAD_SYNTAX'),
    { cause },
  );
}

function withoutMark(text: string): string {
  return text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

function decode(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch (cause) {
    throw new Failure('invalid', issue('structure', 'The body is not UTF-8', undefined, 'MSG_CANT_PARSE_CONTENT'), {
      cause,
    });
  }
}

type Scan = {
  readonly depth: number;
  /** Outside strings: one for each key. */
  readonly colons: number;
  /** Code points written as \\u. */
  readonly hasEscapes: boolean;
  /** JavaScript would write every number as it stands. */
  readonly isCanonical: boolean;
};

/** One pass over the text, which need not be valid JSON. */
function scan(text: string): Scan {
  let depth = 0;
  let deepest = 0;
  let colons = 0;
  let hasEscapes = false;
  let isCanonical = true;
  for (let at = 0; at < text.length; at++) {
    const char = text.charCodeAt(at);
    if (char === 0x22) {
      for (at++; at < text.length; at++) {
        const inside = text.charCodeAt(at);
        if (inside === 0x22) break;
        if (inside !== 0x5c) continue;
        at++;
        hasEscapes ||= text.charCodeAt(at) === 0x75;
      }
    } else if (char === 0x3a) colons++;
    else if (char === 0x7b || char === 0x5b) deepest = Math.max(deepest, ++depth);
    else if (char === 0x7d || char === 0x5d) depth--;
    else if (char === 0x2d || (char >= 0x30 && char <= 0x39)) {
      const end = endOfNumber(text, at);
      isCanonical &&= isShortInteger(char, at, end, text) || isCanonicalNumber(text.slice(at, end));
      at = end - 1;
    }
  }
  return { depth: deepest, colons, hasEscapes, isCanonical };
}

function endOfNumber(text: string, from: number): number {
  let at = from + 1;
  for (; at < text.length; at++) {
    const char = text.charCodeAt(at);
    const isDigit = char >= 0x30 && char <= 0x39;
    // . + - e E
    if (!isDigit && char !== 0x2e && char !== 0x2b && char !== 0x2d && (char | 0x20) !== 0x65) break;
  }
  return at;
}

function isShortInteger(first: number, from: number, end: number, text: string): boolean {
  if (first === 0x2d || end - from > 15) return false;
  for (let at = from + 1; at < end; at++) if (text.charCodeAt(at) > 0x39 || text.charCodeAt(at) === 0x2e) return false;
  return true;
}

function isCanonicalNumber(digits: string): boolean {
  return digits.length < 25 && String(Number(digits)) === digits;
}

function countKeys(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  let count = 0;
  if (Array.isArray(value)) {
    for (const item of value) count += countKeys(item);
    return count;
  }
  for (const key in value) count += 1 + countKeys((value as Record<string, unknown>)[key]);
  return count;
}

function hasStorableText(value: unknown): boolean {
  if (typeof value === 'string') return value.isWellFormed() && !value.includes('\u0000');
  if (typeof value !== 'object' || value === null) return true;
  if (Array.isArray(value)) return value.every(hasStorableText);
  return Object.entries(value).every(([key, item]) => hasStorableText(key) && hasStorableText(item));
}

// A holder that was copied or wrapped by us is not marked itself, so its parts are looked at.
function holds(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (holdsDigits.has(value)) return true;
  if (Array.isArray(value)) return value.some(holds);
  for (const key in value) if (holds((value as Record<string, unknown>)[key])) return true;
  return false;
}
