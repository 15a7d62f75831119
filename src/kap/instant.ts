/** Points in time as FHIR writes them: with seconds and an offset from UTC, so that no clock change can shift them. */

/** `2026-10-05T09:30:00-07:00`, seconds and offset required, fraction allowed. A day alone is not a point in time. */
const INSTANT = /^(?!0000)\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-](?:(?:0\d|1[0-3]):[0-5]\d|14:00))$/;

/** Milliseconds since 1970, or undefined for a day without time, a time without offset, or a day no calendar has. */
export function millisecondsOf(dateTime: string | undefined): number | undefined {
  if (dateTime === undefined || !INSTANT.test(dateTime)) return undefined;
  const parsed = Date.parse(dateTime);
  // Date.parse rolls 2026-02-30 over to March: what does not come back is not a day.
  if (Number.isNaN(parsed) || atOffset(parsed, offsetOf(dateTime)).slice(0, 19) !== dateTime.slice(0, 19))
    return undefined;
  return parsed;
}

/** The offset from UTC as it is written: `Z` or `-07:00`. */
export function offsetOf(dateTime: string): string {
  return dateTime.endsWith('Z') ? 'Z' : dateTime.slice(-6);
}

/** A point in time written at an offset, to the second. */
export function atOffset(milliseconds: number, offset: string): string {
  const local = new Date(milliseconds + offsetMinutes(offset) * 60_000).toISOString();
  return `${local.slice(0, 19)}${offset}`;
}

function offsetMinutes(offset: string): number {
  if (offset === 'Z') return 0;
  const sign = offset.startsWith('-') ? -1 : 1;
  return sign * (Number(offset.slice(1, 3)) * 60 + Number(offset.slice(4, 6)));
}
