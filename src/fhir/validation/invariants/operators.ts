/** The operators of FHIRPath on what the compiler takes: plain values of one kind, and moments of one precision. */
import {
  EMPTY,
  type Items,
  isComparable,
  isNothing,
  kindOf,
  NEEDS_ENGINE,
  NO_VALUE,
  NOT_COMPILED,
  NOTHING,
  only,
  type Truth,
} from './values.ts';

// Three-valued logic

export function not(value: boolean | undefined): boolean | undefined {
  return value === undefined ? undefined : !value;
}

type Test = Truth['test'];

export const LOGIC: Readonly<Record<string, (left: Test, right: Test) => Test>> = {
  and: (left, right) => (value) => {
    const a = left(value);
    if (a === false) return false;
    const b = right(value);
    return b === false ? false : a === true && b === true ? true : undefined;
  },
  or: (left, right) => (value) => {
    const a = left(value);
    if (a === true) return true;
    const b = right(value);
    return b === true ? true : a === false && b === false ? false : undefined;
  },
  xor: (left, right) => (value) => {
    const [a, b] = [left(value), right(value)];
    return a === undefined || b === undefined ? undefined : a !== b;
  },
  implies: (left, right) => (value) => {
    const a = left(value);
    if (a === false) return true;
    const b = right(value);
    return b === true ? true : a === true ? b : undefined;
  },
};

// Values of one kind: text, numbers, truths, moments

const UNKNOWN: Test = () => undefined;

export function equality(left: Items, right: Items): Test {
  if (isNothing(left) || isNothing(right)) return UNKNOWN;
  if (!isComparable(left, right)) throw NOT_COMPILED;
  const isSame = kindOf(left) === 'moment' ? isSameMoment : Object.is;
  return (value) => {
    const [a, b] = [left.run(value), right.run(value)];
    if (a.length === 0 || b.length === 0) return undefined;
    return a.length === b.length && a.every((item, at) => isSame(item, b[at]));
  };
}

export function comparison(operator: '<' | '>' | '<=' | '>=', left: Items, right: Items): Test {
  if (isNothing(left) || isNothing(right)) return UNKNOWN;
  const kind = kindOf(left);
  if (kind !== kindOf(right) || (kind !== 'number' && kind !== 'moment')) throw NOT_COMPILED;
  const holds = HOLDS[operator];
  return (value) => {
    const [a, b] = [only(left.run(value)), only(right.run(value))];
    if (a === undefined || b === undefined || a === NO_VALUE || b === NO_VALUE) return undefined;
    return holds(kind === 'number' ? Number(a) - Number(b) : difference(a, b));
  };
}

const HOLDS = {
  '<': (difference: number) => difference < 0,
  '>': (difference: number) => difference > 0,
  '<=': (difference: number) => difference <= 0,
  '>=': (difference: number) => difference >= 0,
};

export function membership(item: Items, collection: Items): Test {
  if (isNothing(item)) return UNKNOWN;
  if (!isNothing(collection) && !isComparable(item, collection)) throw NOT_COMPILED;
  if (kindOf(item) === 'moment') throw NOT_COMPILED;
  const { constant } = collection;
  if (constant !== undefined) {
    const members = new Set(constant);
    return (value) => {
      const one = only(item.run(value));
      return one === undefined ? undefined : members.has(one);
    };
  }
  return (value) => {
    const one = only(item.run(value));
    return one === undefined ? undefined : collection.run(value).includes(one);
  };
}

export function union(left: Items, right: Items): Items {
  if (isNothing(left)) return right;
  if (isNothing(right)) return left;
  const kind = kindOf(left);
  const on = [...new Set([...left.on, ...right.on])];
  if (kind === undefined || kind === 'moment' || kind !== kindOf(right)) {
    return {
      kind: 'items',
      on,
      isList: true,
      repeats: true,
      run: (value) => [...left.run(value), ...right.run(value)],
    };
  }
  if (left.constant !== undefined && right.constant !== undefined) {
    const constant = [...new Set([...left.constant, ...right.constant])];
    return { kind: 'items', on, isList: true, constant, run: () => constant };
  }
  return { kind: 'items', on, isList: true, run: (value) => [...new Set([...left.run(value), ...right.run(value)])] };
}

/** Of whole numbers; decimals have digits that the engine minds. */
export function sum(left: Items, right: Items): Items {
  if (isNothing(left) || isNothing(right)) return NOTHING;
  if (![...left.on, ...right.on].every(({ type }) => type === 'System.Integer')) throw NOT_COMPILED;
  return {
    kind: 'items',
    on: left.on,
    isList: false,
    run: (value) => {
      const [a, b] = [only(left.run(value)), only(right.run(value))];
      return typeof a === 'number' && typeof b === 'number' ? [a + b] : EMPTY;
    },
  };
}

export function concatenation(left: Items, right: Items): Items {
  if ([left, right].some((items) => kindOf(items) !== 'text')) throw NOT_COMPILED;
  const text = (items: Items, value: unknown) => {
    const item = only(items.run(value));
    return typeof item === 'string' ? item : '';
  };
  return { kind: 'items', on: left.on, isList: false, run: (value) => [text(left, value) + text(right, value)] };
}

// Moments

function isSameMoment(left: unknown, right: unknown): boolean {
  return left === right || difference(left, right) === 0;
}

/** Negative when the left is earlier. Of different precision, or one with a zone and one without: the engine knows. */
function difference(left: unknown, right: unknown): number {
  if (typeof left !== 'string' || typeof right !== 'string') throw NEEDS_ENGINE;
  if (DAY.test(left) && DAY.test(right) && left.length === right.length)
    return left < right ? -1 : left > right ? 1 : 0;
  if (INSTANT.test(left) && INSTANT.test(right)) return Date.parse(left) - Date.parse(right);
  throw NEEDS_ENGINE;
}

const DAY = /^\d{4}(?:-\d\d(?:-\d\d)?)?$/;
const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:[0-5]\d(?:\.\d{1,3})?(?:Z|[+-]\d\d:\d\d)$/;
