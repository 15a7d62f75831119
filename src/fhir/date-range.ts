/** Milliseconds since 1970 UTC, both inclusive. */
export type DateRange = { readonly low: number; readonly high: number };

/**
 * The time that a FHIR date, dateTime or instant covers, by its precision: `2026` is the whole year, a time without
 * seconds its minute, without fraction its second. A date, or a time without zone, is taken in UTC, so that an answer
 * never depends on where the service runs. Undefined when the text is none of them.
 *
 * @see https://hl7.org/fhir/R4/search.html#date
 */
export function dateRange(text: string): DateRange | undefined {
  const length = text.length;
  const year = digits(text, 0, 4);
  if (year < 1 || (length > 4 && text.charCodeAt(4) !== DASH)) return undefined;
  if (length === 4) return { low: utc(year, 1, 1), high: utc(year + 1, 1, 1) - 1 };
  const month = digits(text, 5, 2);
  if (month < 1 || month > 12 || (length > 7 && text.charCodeAt(7) !== DASH)) return undefined;
  if (length === 7) return { low: utc(year, month, 1), high: utc(year, month + 1, 1) - 1 };
  const day = digits(text, 8, 2);
  if (day < 1 || day > 31 || (day > 28 && day > daysOf(year, month))) return undefined;
  const midnight = utc(year, month, day);
  if (length === 10) return { low: midnight, high: midnight + DAY - 1 };
  return text.charCodeAt(10) === LETTER_T ? timeRange(text, midnight) : undefined;
}

const DASH = 45;
const LETTER_T = 84;
const LETTER_Z = 90;
const COLON = 58;
const DOT = 46;
const PLUS = 43;
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const CYCLE = 400;
const CYCLE_MS = 146_097 * DAY;

function timeRange(text: string, midnight: number): DateRange | undefined {
  const hour = digits(text, 11, 2);
  const minute = digits(text, 14, 2);
  if (hour < 0 || hour > 23 || text.charCodeAt(13) !== COLON || minute < 0 || minute > 59) return undefined;
  let low = midnight + hour * HOUR + minute * MINUTE;
  let width = MINUTE;
  let at = 16;
  if (text.charCodeAt(at) === COLON) {
    const second = digits(text, 17, 2);
    if (second < 0 || second > 60) return undefined;
    low += second * 1000;
    width = 1000;
    at = 19;
    if (text.charCodeAt(at) === DOT) {
      const from = ++at;
      while (isDigit(text.charCodeAt(at))) at++;
      if (at === from) return undefined;
      // Beyond milliseconds is cut off.
      for (let i = from, unit = 100; i < at && unit >= 1; i++, unit /= 10) {
        low += (text.charCodeAt(i) - 48) * unit;
        width = unit;
      }
    }
  }
  const offset = offsetOf(text, at);
  return offset === undefined ? undefined : { low: low - offset, high: low - offset + width - 1 };
}

/** Milliseconds east of UTC; 0 where the text ends without a zone. */
function offsetOf(text: string, at: number): number | undefined {
  if (at === text.length || (text.charCodeAt(at) === LETTER_Z && at + 1 === text.length)) return 0;
  const sign = text.charCodeAt(at);
  if ((sign !== PLUS && sign !== DASH) || text.length !== at + 6 || text.charCodeAt(at + 3) !== COLON) return undefined;
  const hours = digits(text, at + 1, 2);
  const minutes = digits(text, at + 4, 2);
  if (hours < 0 || hours > 14 || minutes < 0 || minutes > 59) return undefined;
  return (sign === PLUS ? 1 : -1) * (hours * HOUR + minutes * MINUTE);
}

function digits(text: string, from: number, count: number): number {
  let value = 0;
  for (let i = from; i < from + count; i++) {
    const code = text.charCodeAt(i);
    if (!isDigit(code)) return -1;
    value = value * 10 + code - 48;
  }
  return value;
}

function isDigit(code: number): boolean {
  return code >= 48 && code <= 57;
}

/** Date.UTC takes the years 0 to 99 for 1900 to 1999; the calendar repeats after 400 years. */
function utc(year: number, month: number, day: number): number {
  return year < 100 ? Date.UTC(year + CYCLE, month - 1, day) - CYCLE_MS : Date.UTC(year, month - 1, day);
}

function daysOf(year: number, month: number): number {
  return Math.round((utc(year, month + 1, 1) - utc(year, month, 1)) / DAY);
}
