/** What an operation of FHIRPath Patch brings: a value[x], a resource, or an object in parts. */
import type { Definitions } from '../definitions.ts';
import { carryJson } from '../json.ts';
import { type ElementForm, formsUnder } from '../validation/schema.ts';
import { isObject, type JsonObject, PathError, typeUnder } from './patch-path.ts';

export type PatchValue =
  /** `part.valueDate` and what stands beside it in `part._valueDate`. */
  | { readonly kind: 'typed'; readonly part: JsonObject; readonly key: string; readonly suffix: string }
  | { readonly kind: 'resource'; readonly part: JsonObject; readonly key: 'resource' }
  /** A backbone element, child by child. */
  | { readonly kind: 'parts'; readonly children: readonly { readonly name: string; readonly value: PatchValue }[] };

/** Undefined when the part, or one inside it, has no value. */
export function patchValueIn(part: JsonObject, place: string): PatchValue | undefined {
  const found = Object.keys(part).find((name) => /^_?value[A-Z]/.test(name));
  if (found !== undefined) {
    const key = found.replace(/^_/, '');
    return { kind: 'typed', part, key, suffix: key.slice('value'.length) };
  }
  if (isObject(part.resource)) return { kind: 'resource', part, key: 'resource' };
  if (!Array.isArray(part.part) || part.part.length === 0) return undefined;
  const children: { name: string; value: PatchValue }[] = [];
  for (const [i, child] of part.part.entries()) {
    const value = isObject(child) ? patchValueIn(child, `${place}.part[${i}]`) : undefined;
    if (value === undefined || !isObject(child) || typeof child.name !== 'string') return undefined;
    children.push({ name: child.name, value });
  }
  return { kind: 'parts', children };
}

/** The JSON key under which the element takes this value. @throws PathError when a choice does not have its type */
export function keyFor(form: ElementForm, value: PatchValue): string {
  const isChoice = form.element.path.endsWith('[x]');
  if (!isChoice) return form.name;
  if (value.kind !== 'typed') throw new PathError(`needs a value[x] for ${form.name}`);
  const key = form.name + value.suffix;
  if (form.types.some((type) => type.key === key)) return key;
  throw new PathError(`brings a ${value.suffix}, which ${form.name} cannot be`);
}

/** Writes the value and what stands beside it; `besideKey` names where the latter goes. */
export function writeValue(
  value: PatchValue,
  form: ElementForm,
  to: { readonly holder: object; readonly key: string; readonly beside: object; readonly besideKey: string },
  definitions: Definitions,
): void {
  if (value.kind === 'parts') {
    const content = assembled(value, typeUnder(form.element, form.types[0]?.type.code ?? ''), definitions);
    carryJson({ content }, 'content', to.holder, to.key);
    return;
  }
  if (Object.hasOwn(value.part, value.key)) carryJson(value.part, value.key, to.holder, to.key, true);
  if (Object.hasOwn(value.part, `_${value.key}`)) {
    carryJson(value.part, `_${value.key}`, to.beside, to.besideKey, true);
  }
}

function assembled(
  { children }: Extract<PatchValue, { kind: 'parts' }>,
  type: string,
  definitions: Definitions,
): JsonObject {
  const content: JsonObject = {};
  const forms = formsUnder(type, definitions);
  for (const { name, value } of children) {
    const form = forms.find((each) => each.name === name);
    if (form === undefined) throw new PathError(`brings the part ${name.slice(0, 64)}, which ${type} does not have`);
    const key = keyFor(form, value);
    if (form.element.max > 1) insertItem(content, key, Number.POSITIVE_INFINITY, value, form, definitions);
    else if (content[key] !== undefined) throw new PathError(`brings the part ${name} twice`);
    else writeValue(value, form, { holder: content, key, beside: content, besideKey: `_${key}` }, definitions);
  }
  return content;
}

/** Inserts into a list that may not be there yet, and keeps what stands beside its items at their indexes. */
export function insertItem(
  holder: JsonObject,
  key: string,
  index: number,
  value: PatchValue,
  form: ElementForm,
  definitions: Definitions,
): void {
  const beside = `_${key}`;
  const hasBeside = value.kind === 'typed' && Object.hasOwn(value.part, `_${value.key}`);
  const values = listAt(holder, key);
  const siblings = hasBeside || holder[beside] !== undefined ? listAt(holder, beside) : undefined;
  const count = Math.max(values.length, siblings?.length ?? 0);
  const at = Math.min(index, count);
  for (const list of siblings === undefined ? [values] : [values, siblings]) {
    while (list.length < count) list.push(null);
    list.splice(at, 0, null);
  }
  const slot = { holder: values, key: String(at), beside: siblings ?? [], besideKey: String(at) };
  writeValue(value, form, slot, definitions);
  dropEmptyList(holder, key);
}

function listAt(holder: JsonObject, key: string): unknown[] {
  const present = holder[key];
  if (Array.isArray(present)) return present;
  const list: unknown[] = [];
  holder[key] = list;
  return list;
}

/** Lists with nothing in them are no elements; values that have only extensions stay as nulls beside them. */
export function dropEmptyList(holder: JsonObject, key: string): void {
  for (const name of [key, `_${key}`]) {
    const list = holder[name];
    if (!Array.isArray(list) || !list.every((item) => item === null)) continue;
    Reflect.deleteProperty(holder, name);
  }
}
