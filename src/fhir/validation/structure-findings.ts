/** What JSON Schema cannot say about the shape of an object or a list of FHIR, as functions of the value. */

import { primitives } from './primitives.ts';
import { type ElementKeys, type Finder, MAX_PLACES } from './type-check.ts';

export type Keys = {
  readonly known: readonly string[];
  /** For each choice element its types, with the keys that each may stand under: at most one is there. */
  readonly choices?: readonly (readonly ElementKeys[])[];
  /** There must be something besides an id. */
  readonly content?: true;
};

export type KeyFault =
  | { readonly kind: 'unknown'; readonly key: string }
  | { readonly kind: 'choice'; readonly first: string; readonly second: string }
  | { readonly kind: 'empty' };

/** Which type of which choice a key is of; false: of none. */
type Choice = { readonly of: object; readonly name: string } | false;

/** All that can be told by the keys of an object alone, in one look at them. */
export function keys({ known, choices = [], content }: Keys): Finder {
  const all = new Map<string, Choice>(known.map((key) => [key, false]));
  for (const of of choices) for (const { name, keys } of of) for (const key of keys) all.set(key, { of, name });
  return (data) => {
    let found: KeyFault[] | undefined;
    let first: Choice = false;
    let others: Map<object, string> | undefined;
    let isEmpty = content === true;
    for (const key in data) {
      const choice = all.get(key);
      if (isEmpty && key !== 'id') isEmpty = false;
      if (choice === false) continue;
      if (choice === undefined) found = added(found, { kind: 'unknown', key });
      else if (data[key] === undefined) continue;
      else if (first === false) first = choice;
      else {
        others ??= new Map([[first.of, first.name]]);
        const before = others.get(choice.of);
        if (before === undefined) others.set(choice.of, choice.name);
        else if (before !== choice.name)
          found = added(found, { kind: 'choice', ...inOrder(choice.of, before, choice.name) });
      }
    }
    return isEmpty ? added(found, { kind: 'empty' }) : found;
  };
}

function added(found: KeyFault[] | undefined, fault: KeyFault): KeyFault[] {
  if (found === undefined) return [fault];
  if (found.length < MAX_PLACES) found.push(fault);
  return found;
}

/** Types of a choice are told in the order of the definition. */
function inOrder(choice: object, left: string, right: string): { first: string; second: string } {
  const names = (choice as readonly ElementKeys[]).map(({ name }) => name);
  return names.indexOf(left) < names.indexOf(right) ? { first: left, second: right } : { first: right, second: left };
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
