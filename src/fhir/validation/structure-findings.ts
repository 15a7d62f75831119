/** What JSON Schema cannot say about the shape of an object or a list of FHIR, as functions of the value. */
import { type ElementKeys, type Finder, MAX_PLACES } from './check.ts';
import { primitives } from './primitives.ts';

/** Keys that no element has. */
export function known(keys: readonly string[]): Finder {
  const all = new Set(keys);
  return (data) => {
    let unknown: string[] | undefined;
    for (const key in data) {
      if (all.has(key)) continue;
      unknown ??= [];
      if (unknown.length < MAX_PLACES) unknown.push(key);
    }
    return unknown;
  };
}

/** Content besides an id. */
export function content(): Finder {
  return (data) => {
    for (const key in data) if (key !== 'id') return undefined;
    return [];
  };
}

/** For each choice element its types, with the keys that each may stand under: at most one is there. */
export function choices(all: readonly (readonly ElementKeys[])[]): Finder {
  return (data) => {
    for (const types of all) {
      let present: string | undefined;
      for (const { name, keys } of types) {
        if (!keys.some((key) => data[key] !== undefined)) continue;
        if (present !== undefined) return [present, name];
        present = name;
      }
    }
    return undefined;
  };
}

/** Each null of a list has an entry in the list beside it. */
export function pairs(lists: readonly string[]): Finder {
  const siblings = lists.map((name) => [name, `_${name}`] as const);
  return (data) => {
    for (const [name, sibling] of siblings) {
      const values = data[name];
      const others = data[sibling];
      if (values === undefined && others === undefined) continue;
      const at = unpaired(values, others);
      if (at >= 0) return [name, at];
    }
    return undefined;
  };
}

// Padding with null is for the values of the other list (https://hl7.org/fhir/R4/json.html#primitive).
function unpaired(values: unknown, others: unknown): number {
  const left = Array.isArray(values) ? values : [];
  const right = Array.isArray(others) ? others : [];
  for (let at = 0; at < left.length; at++) if (left[at] === null && (right[at] ?? null) === null) return at;
  for (let at = 0; at < right.length; at++) if (right[at] === null && (left[at] ?? null) === null) return at;
  return -1;
}

/** Items of a list that are neither null nor a value of the primitive type. */
export function primitiveItems(type: string): Finder {
  return placesNot(primitiveTest(type));
}

/** Where a test fails in a list; null is for the other list to explain. */
export function placesNot(test: (value: unknown) => boolean): Finder {
  return (data) => {
    const list = data as unknown as readonly unknown[]; // Ajv calls it for arrays only
    let wrong: number[] | undefined;
    for (let at = 0; at < list.length; at++) {
      if (list[at] === null || test(list[at])) continue;
      wrong ??= [];
      if (wrong.push(at) === MAX_PLACES) break;
    }
    return wrong;
  };
}

function primitiveTest(type: string): (value: unknown) => boolean {
  const primitive = primitives[type];
  if (primitive?.json === 'string') return (value) => typeof value === 'string' && primitive.test(value);
  if (primitive?.json === 'boolean' || primitive === undefined) return (value) => typeof value === 'boolean';
  const isWhole = primitive.json === 'integer';
  return (value) => typeof value === 'number' && (!isWhole || Number.isInteger(value)) && primitive.test(value);
}
