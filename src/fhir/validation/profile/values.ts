/** What ElementDefinition says about a single value: fixed, pattern, minValue, maxValue, maxLength. */
import type { Typed } from '../../profiles/model.ts';
import { canonicalUnit, canonicalValue, UCUM } from '../../ucum.ts';
import { periodBounds } from '../periods.ts';

type Test = (value: unknown) => boolean;

/**
 * Exactly this value: nothing missing, nothing more, lists in this order.
 *
 * Decimals are equal when they are the same number: the digits of 1.0 and 1.00 differ, what they say does not.
 */
export function equals(expected: unknown): Test {
  if (Array.isArray(expected)) {
    const items = expected.map(equals);
    return (value) => Array.isArray(value) && value.length === items.length && items.every((is, at) => is(value[at]));
  }
  if (typeof expected !== 'object' || expected === null) return (value) => value === expected;
  const parts = Object.entries(expected).map(([key, part]) => [key, equals(part)] as const);
  return (value) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
    const node = value as Record<string, unknown>;
    for (const [key, is] of parts) if (!is(node[key])) return false;
    let count = 0;
    for (const key in node) if (node[key] !== undefined) count++;
    return count === parts.length;
  };
}

/** At least this content: of a list, each item of the pattern is met by some item of the value. */
export function contains(pattern: unknown): Test {
  if (Array.isArray(pattern)) {
    const items = pattern.map(contains);
    return (value) => Array.isArray(value) && items.every((meets) => value.some(meets));
  }
  if (typeof pattern !== 'object' || pattern === null) return (value) => value === pattern;
  const parts = Object.entries(pattern).map(([key, part]) => [key, contains(part)] as const);
  return (value) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
    const node = value as Record<string, unknown>;
    for (const [key, meets] of parts) if (!meets(node[key])) return false;
    return true;
  };
}

/** minValue; a value that cannot be compared is not refused: its type or unit is another finding. */
export function atLeast(limit: Typed): Test {
  return compared(limit, (value, bound) => value.high >= bound.low, -1);
}

/** maxValue */
export function atMost(limit: Typed): Test {
  return compared(limit, (value, bound) => value.low <= bound.high, 1);
}

type Range = { readonly low: number; readonly high: number };

function compared({ value: limit }: Typed, holds: (value: Range, bound: Range) => boolean, sign: 1 | -1): Test {
  if (typeof limit === 'object') return quantityTest(limit as Quantity, holds, sign);
  const bound = rangeOf(limit);
  if (bound === undefined) return () => true;
  return (value) => {
    const range = typeof value === typeof limit ? rangeOf(value) : undefined;
    return range === undefined || holds(range, bound);
  };
}

/** The instants that a date may mean, or a number or time of day as it is. */
function rangeOf(value: unknown): Range | undefined {
  if (typeof value === 'number') return { low: value, high: value };
  if (typeof value !== 'string') return undefined;
  const time = /^(\d\d):(\d\d):(\d\d(?:\.\d+)?)$/.exec(value);
  if (time === null) return periodBounds(value);
  const seconds = Number(time[1]) * 3600 + Number(time[2]) * 60 + Number(time[3]);
  return { low: seconds, high: seconds };
}

type Quantity = { readonly [part in 'value' | 'unit' | 'system' | 'code']?: unknown };

function quantityTest(limit: Quantity, holds: (value: Range, bound: Range) => boolean, sign: 1 | -1): Test {
  const bound = amountOf(limit);
  if (bound === undefined) return () => true;
  return (value) => {
    if (typeof value === 'string') return dateTest(value, bound, holds, sign);
    if (typeof value !== 'object' || value === null) return true;
    const amount = amountOf(value);
    if (amount === undefined || amount.unit !== bound.unit) return true;
    return holds({ low: amount.value, high: amount.value }, { low: bound.value, high: bound.value });
  };
}

/** A Quantity limits a date by its distance from now: back for the earliest, ahead for the latest. */
function dateTest(
  value: string,
  { value: seconds, unit }: Amount,
  holds: (value: Range, bound: Range) => boolean,
  sign: 1 | -1,
): boolean {
  const range = rangeOf(value);
  if (range === undefined || unit !== `${UCUM}|s`) return true;
  const instant = Date.now() + sign * Math.abs(seconds) * 1000;
  return holds(range, { low: instant, high: instant });
}

type Amount = { readonly value: number; readonly unit: string };

/** In canonical units of UCUM where they are known, else as it is written. */
function amountOf({ value, unit, system, code }: Quantity): Amount | undefined {
  if (typeof value !== 'number') return undefined;
  if (typeof code !== 'string') return { value, unit: `unit ${String(unit)}` };
  const canonical = typeof system === 'string' ? canonicalUnit(system, code) : undefined;
  if (canonical === undefined) return { value, unit: `${String(system)}|${code}` };
  return { value: canonicalValue(value, canonical), unit: `${UCUM}|${canonical.code}` };
}

/** maxLength counts characters, not the units that JavaScript keeps them in. */
export function isLongerThan(value: string, limit: number): boolean {
  if (value.length <= limit) return false;
  if (value.length > limit * 2) return true;
  let count = 0;
  for (const _character of value) if (++count > limit) return true;
  return false;
}
