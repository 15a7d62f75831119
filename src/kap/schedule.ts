import type { Issue } from '../fhir/failure.ts';
import { atOffset, millisecondsOf, offsetOf } from './instant.ts';
import { DAY } from './moments.ts';
import { fault, type Given, type Placed } from './parameters.ts';
import type { Protocol } from './protocol.ts';

/** The planned start of each infusion: one by one from `infusion`, or derived from `start`, or from now. Faults go to `issues`. */
export function startsOf(given: Given, protocol: Protocol, now: string, issues: Issue[]): readonly string[] {
  const start = given.text('start');
  const each = given.texts('infusion');
  if (start !== undefined && each.length > 0) {
    const text = 'Give either start, or infusion once for each infusion of the protocol.';
    issues.push(fault('value', text, start.place));
    return [];
  }
  if (each.length === 0) return derivedStarts(start?.value ?? now, protocol);
  if (each.length !== protocol.infusions.length) {
    const text = `The protocol has ${protocol.infusions.length} infusions, ${each.length} starts are given.`;
    issues.push(fault('value', text, each.at(-1)?.place ?? 'Parameters.parameter'));
  }
  issues.push(...each.flatMap((placed, index) => tooEarly(placed, each[index - 1], protocol, index)));
  return each.map(({ value }) => value);
}

function tooEarly(
  placed: Placed<string>,
  before: Placed<string> | undefined,
  protocol: Protocol,
  index: number,
): Issue[] {
  const apart = protocol.infusions[index]?.hoursApart;
  const minutes = protocol.infusions[index - 1]?.minutes.high ?? 0;
  if (before === undefined || apart === undefined) return [];
  const hours = ((millisecondsOf(placed.value) ?? 0) - (millisecondsOf(before.value) ?? 0)) / 3_600_000 - minutes / 60;
  if (hours >= apart.low) return [];
  return [
    fault(
      'business-rule',
      `The protocol asks for at least ${apart.low} h after the end of the infusion before.`,
      placed.place,
    ),
  ];
}

/**
 * The earliest whole days that the protocol allows, moved from a weekend to Monday where that is still in time. At
 * the offset of the first start: a course that crosses a clock change gives its starts one by one.
 */
function derivedStarts(first: string, protocol: Protocol): readonly string[] {
  const offset = offsetOf(first);
  const starts = [first];
  let previous = millisecondsOf(first) ?? 0;
  for (const [index, { hoursApart }] of protocol.infusions.entries()) {
    if (index === 0 || hoursApart === undefined) continue;
    const ended = previous + (protocol.infusions[index - 1]?.minutes.high ?? 0) * 60_000;
    const days = Math.ceil((ended + hoursApart.low * 3_600_000 - previous) / DAY);
    const earliest = previous + days * DAY;
    const weekday = weekdayFrom(earliest, offset);
    previous = weekday - ended <= hoursApart.high * 3_600_000 ? weekday : earliest;
    starts.push(atOffset(previous, offset));
  }
  return starts;
}

function weekdayFrom(milliseconds: number, offset: string): number {
  const day = new Date(`${atOffset(milliseconds, offset).slice(0, 10)}T00:00:00Z`).getUTCDay();
  return milliseconds + (day === 6 ? 2 : day === 0 ? 1 : 0) * DAY;
}
