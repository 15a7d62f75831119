/** Changes at one place of a resource, in its JSON: primitive values have their extensions beside them, under `_key`. */
import type { Definitions } from '../definitions.ts';
import type { ElementForm } from '../validation/schema.ts';
import { isObject, type JsonObject, PathError, type Place, valueAt } from './patch-path.ts';
import { dropEmptyList, insertItem, keyFor, type PatchValue, writeValue } from './patch-value.ts';

export function appendTo(parent: Place, form: ElementForm, value: PatchValue, definitions: Definitions): void {
  insertInto(parent, form, Number.POSITIVE_INFINITY, value, definitions);
}

export function insertInto(
  parent: Place,
  form: ElementForm,
  index: number,
  value: PatchValue,
  definitions: Definitions,
): void {
  insertItem(holderIn(parent), keyFor(form, value), index, value, form, definitions);
}

/** @throws PathError when the element is there already, whatever its type */
export function placeNew(parent: Place, form: ElementForm, value: PatchValue, definitions: Definitions): void {
  const holder = holderIn(parent);
  const keys = form.types.flatMap(({ key, sibling }) => (sibling === undefined ? [key] : [key, sibling]));
  if (keys.some((key) => Object.hasOwn(holder, key))) {
    throw new PathError(`adds ${form.name}, which is there already and is no list; replace it`);
  }
  const key = keyFor(form, value);
  writeValue(value, form, { holder, key, beside: holder, besideKey: `_${key}` }, definitions);
}

/** What was there goes, with its extensions; a choice may change its type, and keeps its place among the elements. */
export function replaceAt(place: Place, value: PatchValue, definitions: Definitions): void {
  const { holder, key, index } = place;
  const form = place.form as ElementForm; // every element has one but the resource, which is not replaced
  const newKey = keyFor(form, value);
  if (index !== undefined) {
    const count = Math.max(lengthOf(holder[key]), lengthOf(holder[`_${key}`]));
    removeItem(holder, key, index);
    insertItem(holder, newKey, Math.min(index, count), value, form, definitions);
    return;
  }
  // Its keys anew, in their order; digits of numbers are known by key, and stay.
  const before = Object.entries(holder);
  for (const [name] of before) Reflect.deleteProperty(holder, name);
  let isWritten = false;
  for (const [name, kept] of before) {
    if (name !== key && name !== `_${key}`) holder[name] = kept;
    else if (!isWritten) {
      isWritten = true;
      writeValue(value, form, { holder, key: newKey, beside: holder, besideKey: `_${newKey}` }, definitions);
    }
  }
}

/** Takes an element out, and with it every element that has nothing left. */
export function removeAt(place: Place): void {
  const { holder, key, index, parent } = place;
  if (index !== undefined) removeItem(holder, key, index);
  else {
    Reflect.deleteProperty(holder, key);
    Reflect.deleteProperty(holder, `_${key}`);
  }
  if (Object.keys(holder).length > 0 || parent?.parent === undefined) return;
  if (isObject(valueAt(parent))) removeAt(parent);
  else removeBeside(parent);
}

function removeItem(holder: JsonObject, key: string, index: number): void {
  for (const name of [key, `_${key}`]) {
    const list = holder[name];
    if (Array.isArray(list)) list.splice(index, 1);
  }
  dropEmptyList(holder, key);
}

/** The value stays, and has nothing beside it any more. */
function removeBeside({ holder, key, index }: Place): void {
  const beside = holder[`_${key}`];
  if (index === undefined) Reflect.deleteProperty(holder, `_${key}`);
  else if (Array.isArray(beside)) {
    beside[index] = null;
    dropEmptyList(holder, key);
  }
}

export function moveWithin(parent: Place, form: ElementForm, source: number, destination: number): void {
  const holder = holderIn(parent);
  for (const { key } of form.types) {
    const count = Math.max(lengthOf(holder[key]), lengthOf(holder[`_${key}`]));
    for (const name of [key, `_${key}`]) {
      const list = holder[name];
      if (!Array.isArray(list)) continue;
      while (list.length < count) list.push(null);
      list.splice(destination, 0, ...list.splice(source, 1));
    }
  }
}

/** The object with the children of a place; that of a primitive value is made when it is not there. */
function holderIn(place: Place): JsonObject {
  const value = valueAt(place);
  if (isObject(value)) return value;
  const { holder, key, index } = place;
  const beside = `_${key}`;
  if (index === undefined) {
    holder[beside] ??= {};
    return holder[beside] as JsonObject;
  }
  holder[beside] ??= [];
  const list = holder[beside] as unknown[];
  while (list.length < Math.max(lengthOf(holder[key]), index + 1)) list.push(null);
  list[index] ??= {};
  return list[index] as JsonObject;
}

function lengthOf(value: unknown): number {
  return Array.isArray(value) ? value.length : 0;
}
