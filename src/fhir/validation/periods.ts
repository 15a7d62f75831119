/** The instants a FHIR date or dateTime may mean, in ms since 1970, both inclusive; dates as if in UTC. */
export type Bounds = { readonly low: number; readonly high: number; readonly hasZone: boolean };

const PARTS = /^(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:Z|([+-])(\d\d):(\d\d)))?)?)?$/;

/** Undefined for anything that is not a date; seconds without a fraction cover the whole second. */
export function periodBounds(value: unknown): Bounds | undefined {
  if (typeof value !== 'string' || value.length > 64) return undefined;
  const parts = PARTS.exec(value);
  if (parts === null) return undefined;
  const [, year, month, day, hour, minute, second, fraction, sign, zoneHours, zoneMinutes] = parts;
  if (hour === undefined) return dayBounds(Number(year), month, day);
  const offset = sign === undefined ? 0 : (Number(zoneHours) * 60 + Number(zoneMinutes)) * (sign === '-' ? -1 : 1);
  const at = utc(Number(year), Number(month), Number(day)) + seconds(hour, minute, second) * 1000 - offset * 60_000;
  if (fraction === undefined) return { low: at, high: at + 999, hasZone: true };
  const milliseconds = Number(fraction.slice(0, 3).padEnd(3, '0'));
  return { low: at + milliseconds, high: at + milliseconds, hasZone: true };
}

function dayBounds(year: number, month: string | undefined, day: string | undefined): Bounds {
  const low = utc(year, Number(month ?? 1), Number(day ?? 1));
  const next =
    day !== undefined ? low + 86_400_000 : month !== undefined ? utc(year, Number(month) + 1, 1) : utc(year + 1, 1, 1);
  return { low, high: next - 1, hasZone: false };
}

// Date.UTC reads years below 100 as 19xx.
function utc(year: number, month: number, day: number): number {
  return new Date(0).setUTCFullYear(year, month - 1, day);
}

function seconds(hour: string | undefined, minute: string | undefined, second: string | undefined): number {
  return Number(hour) * 3600 + Number(minute) * 60 + Number(second);
}
