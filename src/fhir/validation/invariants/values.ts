/** What the parts of a compiled constraint work on: lists of JSON values whose FHIR types are known beforehand. */
import type { ElementAlternatives, ElementsOf } from './invariant.ts';

/** A primitive that has an id or extensions, and no value. */
export const NO_VALUE = Symbol('no value');
export const EMPTY: readonly unknown[] = [];

/** The constraint is not for the compiler. */
export const NOT_COMPILED = new Error('not compiled');
/** What the language makes an error, such as several items where one is needed; or too much to look at. */
export const NOT_EVALUABLE = new Error('not evaluable');

/** This value is for the engine, though the constraint is compiled. */
export const NEEDS_ENGINE = new Error('a value that only the engine compares');

export type Items = {
  readonly kind: 'items';
  /** What the items may be; none: always empty. */
  readonly on: readonly ElementsOf[];
  readonly isList: boolean;
  readonly run: (focus: unknown) => readonly unknown[];
  /** Whether there are any, where that is known without making the list. */
  readonly isThere?: (focus: unknown) => boolean;
  /**
   * An item may come twice, which a union of FHIRPath would leave out: good for what asks whether there are any and what
   * they are, not for what counts them.
   */
  readonly repeats?: boolean;
  /** The same for every focus. */
  readonly constant?: readonly unknown[];
  /** Those of a type, where types can be told apart. */
  readonly narrow?: (type: string) => Pick<Items, 'on' | 'run'> | undefined;
};

export type Truth = { readonly kind: 'truth'; readonly test: (focus: unknown) => boolean | undefined };
export type Compiled = Items | Truth;

type Kind = 'text' | 'number' | 'truth' | 'moment' | 'object';

const KINDS: ReadonlyMap<string, Kind> = new Map(
  Object.entries({
    text: 'System.String string code uri url canonical id markdown oid uuid',
    number: 'System.Integer System.Decimal integer decimal positiveInt unsignedInt',
    truth: 'System.Boolean boolean',
    moment: 'date dateTime instant',
  }).flatMap(([kind, types]) => types.split(' ').map((type) => [type, kind as Kind] as const)),
);

function kindOfType({ type }: ElementsOf): Kind | undefined {
  return KINDS.get(type) ?? (/^(?!System)[A-Z]/.test(type) ? 'object' : undefined);
}

/** What the items have in common, so that JavaScript compares them as FHIRPath does; undefined for all else. */
export function kindOf({ on, repeats }: Items): Exclude<Kind, 'object'> | undefined {
  if (repeats === true) return undefined;
  const [first, ...others] = on.map(kindOfType);
  return first !== 'object' && others.every((kind) => kind === first) ? first : undefined;
}

/** Of one kind; objects among them are equal to nothing of the other side. */
export function isComparable(left: Items, right: Items): boolean {
  if (left.repeats === true || right.repeats === true) return false;
  const kinds = [left, right].map(({ on }) => new Set(on.map(kindOfType)));
  const [a, b] = kinds.map((set) => set.delete('object'));
  if (a === true && b === true) return false;
  const [only, ...others] = new Set(kinds.flatMap((set) => [...set]));
  return only !== undefined && others.length === 0 && (only !== 'moment' || !(a === true || b === true));
}

export const NOTHING: Items = { kind: 'items', on: [], isList: false, run: () => EMPTY };

/** An element that the type does not have, or a type that the choice does not have. */
export function isNothing({ on }: Items): boolean {
  return on.length === 0;
}

export function literal(value: string | number | boolean, type: ElementsOf): Items {
  const constant = [value];
  return { kind: 'items', on: [type], isList: false, constant, run: () => constant };
}

export function asItems(compiled: Compiled, on: ElementsOf): Items {
  if (compiled.kind === 'items') return compiled;
  const { test } = compiled;
  const run = (focus: unknown) => {
    const value = test(focus);
    return value === undefined ? EMPTY : value ? TRUE : FALSE;
  };
  return { kind: 'items', on: [on.other('System.Boolean')], isList: false, run };
}

const TRUE: readonly unknown[] = [true];
const FALSE: readonly unknown[] = [false];

/** A single item stands for true where a truth is needed, unless it is one itself. */
export function truthOf(compiled: Compiled): Truth {
  if (compiled.kind === 'truth') return compiled;
  if (compiled.repeats === true) throw NOT_COMPILED;
  const { run } = compiled;
  const isTruth = kindOf(compiled) === 'truth';
  return {
    kind: 'truth',
    test: (focus) => {
      const item = only(run(focus));
      if (item === undefined) return undefined;
      return isTruth ? (typeof item === 'boolean' ? item : undefined) : true;
    },
  };
}

/** The one item; undefined when there is none. */
export function only(items: readonly unknown[]): unknown {
  if (items.length > 1) throw NOT_EVALUABLE;
  return items[0];
}

type Key = ElementAlternatives['types'][number];

/** The items under some keys of a JSON object, in their order there; none for what is no object. */
export function children(keys: readonly Key[]): (node: unknown) => readonly unknown[] {
  const [only] = keys;
  if (keys.length === 1 && only !== undefined) return (node) => childrenAt(node, only);
  if (keys.length > FEW) return childrenAmong(keys);
  return (node) => {
    for (const key of keys) {
      const found = childrenAt(node, key);
      if (found.length > 0) return found;
    }
    return EMPTY;
  };
}

/** Whether an object has an element under one of its names. */
export function isPresent(keys: readonly Key[]): (node: unknown) => boolean {
  const names = keys.flatMap(({ key, sibling }) => (sibling === undefined ? [key] : [key, sibling]));
  const [first = '', second] = names;
  const isObject = (node: unknown): node is Record<string, unknown> => typeof node === 'object' && node !== null;
  if (names.length === 1) return (node) => isObject(node) && node[first] !== undefined;
  if (names.length === 2 && second !== undefined) {
    return (node) => isObject(node) && (node[first] !== undefined || node[second] !== undefined);
  }
  return (node) => isObject(node) && names.some((name) => node[name] !== undefined);
}

const FEW = 6;

/** For Extension.value[x], which has fifty names: those that are there are fewer. */
function childrenAmong(keys: readonly Key[]): (node: unknown) => readonly unknown[] {
  const byName = new Map(
    keys.flatMap((key) => [
      [key.key, key] as const,
      ...(key.sibling === undefined ? [] : [[key.sibling, key] as const]),
    ]),
  );
  return (node) => {
    if (typeof node !== 'object' || node === null) return EMPTY;
    for (const name in node) {
      const key = byName.get(name);
      if (key !== undefined) return childrenAt(node, key);
    }
    return EMPTY;
  };
}

/**
 * List items that were looked at: an expression that goes from each item back to `%resource` looks at all of them again
 * and again, and must end.
 */
export const looked = { items: 0, limit: Number.POSITIVE_INFINITY };

function lookedAt(count: number): void {
  looked.items += count;
  if (looked.items > looked.limit) throw NOT_EVALUABLE;
}

function childrenAt(node: unknown, { key, sibling }: Key): readonly unknown[] {
  if (typeof node !== 'object' || node === null) return EMPTY;
  const value = (node as Record<string, unknown>)[key];
  if (sibling === undefined) {
    if (value === undefined || value === null) return EMPTY;
    if (!Array.isArray(value)) return [value];
    lookedAt(value.length);
    return value.filter((item) => item !== null);
  }
  const beside = (node as Record<string, unknown>)[sibling];
  if (beside === undefined && !Array.isArray(value)) return value === undefined || value === null ? EMPTY : [value];
  return withSiblings(value, beside);
}

function withSiblings(value: unknown, beside: unknown): readonly unknown[] {
  const values: unknown[] = Array.isArray(value) ? value : [value];
  const siblings: unknown[] = Array.isArray(beside) ? beside : [beside];
  const items: unknown[] = [];
  lookedAt(values.length + siblings.length);
  for (let at = 0; at < Math.max(values.length, siblings.length); at++) {
    if (values[at] !== undefined && values[at] !== null) items.push(values[at]);
    else if (siblings[at] !== undefined && siblings[at] !== null) items.push(NO_VALUE);
  }
  return items;
}
