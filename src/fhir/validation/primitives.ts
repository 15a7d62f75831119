/**
 * The primitive types of R4 as checks on JSON values (https://hl7.org/fhir/R4/datatypes.html#primitive).
 *
 * The published regular expressions, in forms that take time linear in the length of the value; dates are also held
 * to the calendar. Every check takes a value of the right JSON type.
 */
import { isNarrative } from './narrative.ts';

export type PrimitiveCheck =
  | { readonly json: 'string'; readonly test: (value: string) => boolean; readonly expected: string }
  | { readonly json: 'number' | 'integer'; readonly test: (value: number) => boolean; readonly expected: string }
  | { readonly json: 'boolean'; readonly expected: string };

const YEAR = '(?:[0-9](?:[0-9](?:[0-9][1-9]|[1-9]0)|[1-9]00)|[1-9]000)';
const MONTH = '(?:0[1-9]|1[0-2])';
const DAY = '(?:0[1-9]|[1-2][0-9]|3[0-1])';
const TIME = '(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\\.[0-9]+)?';
const ZONE = '(?:Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))';

const DATE = new RegExp(`^${YEAR}(?:-${MONTH}(?:-${DAY})?)?$`);
const DATE_TIME = new RegExp(`^${YEAR}(?:-${MONTH}(?:-${DAY}(?:T${TIME}${ZONE})?)?)?$`);
const INSTANT = new RegExp(`^${YEAR}-${MONTH}-${DAY}T${TIME}${ZONE}$`);
const TIME_OF_DAY = new RegExp(`^${TIME}$`);

// biome-ignore lint/suspicious/noControlCharactersInRegex: R4 refuses exactly these in a string
const CONTROL = /[\u0000-\u0008\u000b\u000c\u000e-\u001f]/;
const MAX_STRING = 1024 * 1024;
const MAX_INTEGER = 2 ** 31 - 1;

const isText = (value: string) => value.length > 0 && value.length <= MAX_STRING && !CONTROL.test(value);
const URI = /^\S+$/;

// By hand as far as it goes: every system and url is one.
function isUri(value: string): boolean {
  for (let at = 0; at < value.length; at++) {
    const char = value.charCodeAt(at);
    if (char > 126) return URI.test(value);
    if (char === 32 || (char >= 9 && char <= 13)) return false;
  }
  return value !== '';
}
const CODE = /^\S+(?: \S+)*$/;
const ID = /^[A-Za-z0-9\-.]{1,64}$/;
const OID = /^urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+$/;
const UUID = /^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

const uri: PrimitiveCheck = { json: 'string', test: isUri, expected: 'a uri without spaces' };

export const primitives: Readonly<Record<string, PrimitiveCheck>> = {
  base64Binary: { json: 'string', test: isBase64, expected: 'base64 text' },
  boolean: { json: 'boolean', expected: 'true or false' },
  canonical: uri,
  code: {
    json: 'string',
    test: (value) => CODE.test(value),
    expected: 'a code without leading, trailing or double spaces',
  },
  date: {
    json: 'string',
    test: (value) => DATE.test(value) && isOnCalendar(value),
    expected: 'a date of the calendar: YYYY, YYYY-MM or YYYY-MM-DD',
  },
  dateTime: {
    json: 'string',
    test: (value) => DATE_TIME.test(value) && isOnCalendar(value),
    expected: 'a date, or a date with time, seconds and zone: YYYY-MM-DDThh:mm:ss+zz:zz',
  },
  decimal: { json: 'number', test: Number.isFinite, expected: 'a number that a computer can hold' },
  id: { json: 'string', test: (value) => ID.test(value), expected: '1 to 64 letters, digits, hyphens and dots' },
  instant: {
    json: 'string',
    test: (value) => INSTANT.test(value) && isOnCalendar(value),
    expected: 'a date with time, seconds and zone: YYYY-MM-DDThh:mm:ss+zz:zz',
  },
  integer: {
    json: 'integer',
    test: (value) => value >= -MAX_INTEGER - 1 && value <= MAX_INTEGER && !Object.is(value, -0),
    expected: 'a whole number of 32 bits',
  },
  markdown: { json: 'string', test: isText, expected: 'text that is not empty' },
  oid: { json: 'string', test: (value) => OID.test(value), expected: 'urn:oid: and an object identifier' },
  positiveInt: {
    json: 'integer',
    test: (value) => value >= 1 && value <= MAX_INTEGER,
    expected: 'a whole number from 1 to 2147483647',
  },
  string: { json: 'string', test: isText, expected: 'text that is not empty and has no control characters' },
  time: { json: 'string', test: (value) => TIME_OF_DAY.test(value), expected: 'a time hh:mm:ss' },
  unsignedInt: {
    json: 'integer',
    test: (value) => value >= 0 && value <= MAX_INTEGER && !Object.is(value, -0),
    expected: 'a whole number from 0 to 2147483647',
  },
  uri,
  url: uri,
  uuid: { json: 'string', test: (value) => UUID.test(value), expected: 'urn:uuid: and a lower-case UUID' },
  xhtml: {
    json: 'string',
    test: isNarrative,
    expected: 'well-formed XHTML in one <div>, with content, and with formatting elements and attributes only',
  },
};

const DAYS = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/** For a value that matches the regular expression: does its day exist in its month? */
function isOnCalendar(value: string): boolean {
  if (value.length < 10) return true;
  const day = (value.charCodeAt(8) - 48) * 10 + value.charCodeAt(9) - 48;
  if (day <= 28) return true;
  const month = (value.charCodeAt(5) - 48) * 10 + value.charCodeAt(6) - 48;
  if (month === 2 && day === 29) return isLeapYear(Number(value.slice(0, 4)));
  return day <= (DAYS[month - 1] ?? 0);
}

function isLeapYear(year: number): boolean {
  return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
}

const EQUALS = 61;
const BASE64 = new Uint8Array(128);
for (const letter of 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/') {
  BASE64[letter.charCodeAt(0)] = 1;
}
for (const space of ' \t\r\n') BASE64[space.charCodeAt(0)] = 2;

// By hand: attachments have megabytes, and a regular expression would keep a backtracking point for each group.
function isBase64(value: string): boolean {
  let letters = 0;
  let padding = 0;
  for (let at = 0; at < value.length; at++) {
    const char = value.charCodeAt(at);
    const kind = BASE64[char];
    if (kind === 1 && padding === 0) letters++;
    else if (char === EQUALS) padding++;
    // R4 allows white space between groups of four, not inside one.
    else if (kind !== 2 || (letters + padding) % 4 !== 0) return false;
  }
  return letters > 0 && padding <= 2 && (letters + padding) % 4 === 0;
}
