/** Which elements a profile leaves out, and how often the others repeat. */
import { type ElementKeys, type Finder, MAX_PLACES } from '../type-check.ts';

/** An element, or one type of a choice, that may not be there: `types` are those that may be instead. */
export type Absent = ElementKeys & { readonly types?: readonly string[] };

/** Finds `[key, name, ...types]` of the first such element. */
export function absent(elements: readonly Absent[]): Finder {
  const byKey = new Map<string, readonly string[]>();
  for (const { name, keys, types = [] } of elements) for (const key of keys) byKey.set(key, [key, name, ...types]);
  return (data) => {
    let found: (readonly string[])[] | undefined;
    for (const key in data) {
      const fault = byKey.get(key);
      if (fault === undefined || data[key] === undefined) continue;
      found ??= [];
      found.push(fault);
    }
    return found;
  };
}

/** A list with the keys of its values and of what stands beside primitive ones: it is as long as the longer of the two. */
export type Counted = ElementKeys & { readonly min: number; readonly max: number | null };

/** Finds `['min' | 'max', name, limit]` for each list that is too short or too long. */
export function counted(elements: readonly Counted[]): Finder {
  return (data) => {
    let found: (string | number)[][] | undefined;
    for (const { name, keys, min, max } of elements) {
      let length = 0;
      for (const key of keys) {
        const value = data[key];
        if (Array.isArray(value) && value.length > length) length = value.length;
      }
      // What is not there at all is for `needs` to say.
      const fault =
        length === 0
          ? undefined
          : length < min
            ? ['min', name, min]
            : max !== null && length > max
              ? ['max', name, max]
              : undefined;
      if (fault === undefined) continue;
      found ??= [];
      found.push(fault);
    }
    return found;
  };
}

/** A primitive element, and where its id and extensions stand. */
type Primitive = { readonly key: string; readonly sibling: string };

/** It needs `name`, an id or extensions of its own. */
export type Extended = Primitive & { readonly name: string };

/** Finds `[key, name]` of values that have nothing beside them, `[key, name, index]` where they are in a list. */
export function extended(elements: readonly Extended[]): Finder {
  return (data) => {
    let found: (readonly (string | number)[])[] | undefined;
    for (const { key, sibling, name } of elements) {
      const value = data[key];
      if (Array.isArray(value)) {
        const beside: unknown = data[sibling];
        for (let at = 0; at < value.length; at++) {
          if (Array.isArray(beside) && (beside[at] ?? undefined) !== undefined) continue;
          found ??= [];
          if (found.length < MAX_PLACES) found.push([key, name, at]);
        }
      } else if (value !== undefined && data[sibling] === undefined) {
        found ??= [];
        found.push([key, name]);
      }
    }
    return found;
  };
}

/** A primitive element whose value is said: it may not be left open. */
export type Valued = Primitive & { readonly value: unknown };

/** Finds `[key, value]` of elements that are there without a value. */
export function valued(elements: readonly Valued[]): Finder {
  return (data) => {
    let found: (readonly [string, unknown])[] | undefined;
    for (const { key, sibling, value } of elements) {
      if (data[sibling] === undefined || data[key] !== undefined) continue;
      found ??= [];
      found.push([key, value]);
    }
    return found;
  };
}
