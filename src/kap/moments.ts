/**
 * FHIR dates and times as the rules see them: as instants. Local clock time is never compared, so a clock change
 * cannot move a window. What is less exact than an instant stays a range of instants and is never guessed.
 */
import { atOffset, millisecondsOf, offsetOf } from './instant.ts';

export const SECOND = 1000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

/** A point in time and how its author wrote it. */
export type Moment = { readonly at: number; readonly text: string };

/** The moment a dateTime names, or undefined for none, or for a date without time. */
export function momentOf(dateTime: string | undefined): Moment | undefined {
  const at = millisecondsOf(dateTime);
  return at === undefined ? undefined : { at, text: dateTime as string };
}

/** The moment so many milliseconds later, at the offset in which the first was written. */
export function later(moment: Moment, milliseconds: number): Moment {
  const at = moment.at + milliseconds;
  return { at, text: written(at, offsetOf(moment.text)) };
}

/** Whole seconds without a fraction, others with milliseconds. */
function written(at: number, offset: string): string {
  const text = atOffset(at, offset);
  const fraction = ((at % SECOND) + SECOND) % SECOND;
  return fraction === 0 ? text : `${text.slice(0, 19)}.${String(fraction).padStart(3, '0')}${offset}`;
}

/**
 * The instants a date or dateTime may mean: low inclusive, high exclusive. A date is that day at the offset given (the
 * clinic's, taken from the act it is compared with); a point in time is itself. Undefined for what is not a date.
 */
export function boundsOf(
  dateTime: string,
  offset: string,
): { readonly low: number; readonly high: number } | undefined {
  const at = millisecondsOf(dateTime);
  if (at !== undefined) return { low: at, high: at + 1 };
  const match = /^(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?$/.exec(dateTime);
  if (match === null) return undefined;
  const [, year, month, day] = match;
  const low = millisecondsOf(`${year}-${month ?? '01'}-${day ?? '01'}T00:00:00${offset}`);
  if (low === undefined) return undefined;
  if (day !== undefined) return { low, high: low + DAY };
  const next = month === undefined || month === '12' ? `${Number(year) + 1}-01` : `${year}-${two(Number(month) + 1)}`;
  const high = millisecondsOf(`${next}-01T00:00:00${offset}`);
  return high === undefined ? undefined : { low, high };
}

function two(value: number): string {
  return String(value).padStart(2, '0');
}

/** Hours with so many decimals, as a report shows them. */
export function hours(milliseconds: number, decimals: number): number {
  return rounded(milliseconds / HOUR, decimals);
}

/** Rounded half away from zero, and never -0. */
export function rounded(value: number, decimals: number): number {
  const factor = 10 ** decimals;
  const result = (Math.sign(value) * Math.round(Math.abs(value) * factor + Number.EPSILON)) / factor;
  return result === 0 ? 0 : result;
}
