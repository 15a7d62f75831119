/**
 * FHIRPath Patch: a Parameters resource whose operations name elements by FHIRPath.
 *
 * add, insert, replace and move need exactly one element (or list) at their path; delete takes one or none. Operations
 * are applied in their order, each to what the one before it left.
 *
 * @see https://hl7.org/fhir/R4/fhirpatch.html
 */
import type { Atom } from '@medplum/core';
import type { Definitions } from '../definitions.ts';
import { Failure, type Issue, issue } from '../failure.ts';
import { appendTo, insertInto, moveWithin, placeNew, removeAt, replaceAt } from './patch-edit.ts';
import { isObject, type JsonObject, only, PathError, PathReader, parsePath } from './patch-path.ts';
import { type PatchValue, patchValueIn } from './patch-value.ts';
import type { ResourcePatch } from './resource-patch.ts';

/** Each is looked up in the resource as it is by then. */
const MAX_OPERATIONS = 1000;

type Operation = { readonly path: Atom; readonly expression: string } & (
  | { readonly type: 'add'; readonly name: string; readonly value: PatchValue }
  | { readonly type: 'insert'; readonly index: number; readonly value: PatchValue }
  | { readonly type: 'delete' }
  | { readonly type: 'replace'; readonly value: PatchValue }
  | { readonly type: 'move'; readonly source: number; readonly destination: number }
);

/**
 * @param parameters a valid Parameters resource; `place` stands for it in expressions
 * @throws Failure `invalid` with everything that is wrong with the operations
 */
export function parseFhirPathPatch(parameters: object, place: string, definitions: Definitions): ResourcePatch {
  const { resourceType, parameter } = parameters as { resourceType?: unknown; parameter?: unknown };
  if (resourceType !== 'Parameters') {
    const diagnostics =
      'A FHIRPath Patch is a Parameters resource. A JSON Patch is sent as application/json-patch+json.';
    throw new Failure('invalid', issue('invalid', diagnostics, `${place}.resourceType`));
  }
  const list = Array.isArray(parameter) ? parameter : [];
  if (list.length > MAX_OPERATIONS) {
    const diagnostics = `The patch has more than ${MAX_OPERATIONS} operations. Send an update instead.`;
    throw new Failure('invalid', issue('too-costly', diagnostics, `${place}.parameter`));
  }
  const issues: Issue[] = [];
  const operations = list.flatMap((each: unknown, i) => parseOperation(each, `${place}.parameter[${i}]`, issues) ?? []);
  if (issues.length > 0) throw new Failure('invalid', issues);
  return (current) => applyAll(operations, current as unknown as JsonObject, definitions);
}

const NEEDS: Readonly<Record<string, readonly string[]>> = {
  add: ['path', 'name', 'value'],
  insert: ['path', 'index', 'value'],
  delete: ['path'],
  replace: ['path', 'value'],
  move: ['path', 'source', 'destination'],
};

function parseOperation(parameter: unknown, place: string, issues: Issue[]): Operation | undefined {
  const before = issues.length;
  if (!isObject(parameter) || parameter.name !== 'operation') {
    issues.push(issue('value', `Each parameter of a FHIRPath Patch is named 'operation'.`, `${place}.name`));
    return undefined;
  }
  const parts = partsOf(parameter, place, issues);
  const type = textIn(parts, 'type', issues);
  if (type === undefined || !Object.hasOwn(NEEDS, type)) {
    const at = parts.get('type')?.place ?? place;
    issues.push(issue('value', 'The type of an operation is add, insert, delete, replace or move.', at));
    return undefined;
  }
  const needs = NEEDS[type] as readonly string[];
  for (const name of needs) {
    if (!parts.has(name))
      issues.push(issue('required', `An operation of type ${type} needs the part '${name}'.`, place));
  }
  for (const [name, part] of parts) {
    if (name === 'type' || needs.includes(name) || (type === 'add' && name === 'index')) continue;
    issues.push(issue('value', `An operation of type ${type} has no part '${name}'.`, part.place));
  }
  const path = pathIn(parts, issues);
  const whole = (name: string) => (needs.includes(name) ? wholeNumberIn(parts, name, issues) : 0);
  const operation = {
    type,
    path,
    expression: place,
    name: needs.includes('name') ? textIn(parts, 'name', issues) : '',
    index: whole('index'),
    source: whole('source'),
    destination: whole('destination'),
    value: needs.includes('value') ? valueIn(parts, issues) : undefined,
  };
  return issues.length > before ? undefined : (operation as Operation); // each part was looked at above
}

type Part = { readonly part: JsonObject; readonly place: string };

const PARTS: ReadonlySet<unknown> = new Set(['type', 'path', 'name', 'value', 'index', 'source', 'destination']);

function partsOf({ part }: JsonObject, place: string, issues: Issue[]): ReadonlyMap<string, Part> {
  const parts = new Map<string, Part>();
  for (const [i, each] of (Array.isArray(part) ? part : []).entries()) {
    const at = `${place}.part[${i}]`;
    const name = isObject(each) ? each.name : undefined;
    if (!PARTS.has(name)) issues.push(issue('value', 'A FHIRPath Patch has no part of this name.', `${at}.name`));
    else if (parts.has(name as string)) issues.push(issue('duplicate', `The part '${name}' stands twice.`, at));
    else parts.set(name as string, { part: each as JsonObject, place: at });
  }
  return parts;
}

/** A code or string of a part; reported when the part is there and holds another type. */
function textIn(parts: ReadonlyMap<string, Part>, name: string, issues: Issue[]): string | undefined {
  const found = parts.get(name);
  if (found === undefined) return undefined;
  const { valueCode, valueString } = found.part;
  const text = valueCode ?? valueString;
  if (typeof text === 'string') return text;
  issues.push(issue('value', `The part '${name}' has a valueString or valueCode.`, found.place));
  return undefined;
}

function pathIn(parts: ReadonlyMap<string, Part>, issues: Issue[]): Atom | undefined {
  const text = textIn(parts, 'path', issues);
  if (text === undefined) return undefined;
  try {
    return parsePath(text);
  } catch (error) {
    if (!(error instanceof PathError)) throw error;
    const at = `${parts.get('path')?.place}.value.ofType(string)`;
    issues.push(issue('value', `The path ${error.message}.`, at));
    return undefined;
  }
}

function wholeNumberIn(parts: ReadonlyMap<string, Part>, name: string, issues: Issue[]): number | undefined {
  const found = parts.get(name);
  if (found === undefined) return undefined;
  const { valueInteger, valueUnsignedInt, valuePositiveInt } = found.part;
  const number = valueInteger ?? valueUnsignedInt ?? valuePositiveInt;
  if (typeof number === 'number' && Number.isInteger(number) && number >= 0) return number;
  issues.push(issue('value', `The part '${name}' has a valueInteger from 0 on.`, found.place));
  return undefined;
}

function valueIn(parts: ReadonlyMap<string, Part>, issues: Issue[]): PatchValue | undefined {
  const found = parts.get('value');
  if (found === undefined) return undefined;
  const value = patchValueIn(found.part, found.place);
  if (value === undefined) {
    issues.push(issue('required', `The part 'value' has a value[x], a resource, or parts.`, found.place));
  }
  return value;
}

function applyAll(operations: readonly Operation[], resource: JsonObject, definitions: Definitions): JsonObject {
  const budget = { asked: 0 };
  operations.forEach((operation, i) => {
    try {
      apply(operation, new PathReader(resource, definitions, budget), definitions);
    } catch (error) {
      if (!(error instanceof PathError)) throw error;
      const diagnostics = `The ${operation.type} of operation ${i} (counted from 0) ${error.message}; nothing was changed.`;
      throw new Failure('business-rule', issue('processing', diagnostics, operation.expression));
    }
  });
  return resource;
}

function apply(operation: Operation, reader: PathReader, definitions: Definitions): void {
  switch (operation.type) {
    case 'add': {
      const place = only(reader.select(operation.path));
      const form = reader.form(place, operation.name);
      if (form.element.max > 1) appendTo(place, form, operation.value, definitions);
      else placeNew(place, form, operation.value, definitions);
      return;
    }
    case 'insert': {
      const { parent, form, items } = reader.list(operation.path);
      if (operation.index > items.length)
        throw new PathError(`names index ${operation.index} of ${items.length} items`);
      insertInto(parent, form, operation.index, operation.value, definitions);
      return;
    }
    case 'delete': {
      const places = reader.select(operation.path);
      if (places.length === 0) return;
      const place = only(places);
      if (place.parent === undefined) throw new PathError('would delete the resource itself');
      removeAt(place);
      return;
    }
    case 'replace': {
      const place = only(reader.select(operation.path));
      if (place.parent === undefined) throw new PathError('would replace the resource itself');
      replaceAt(place, operation.value, definitions);
      return;
    }
    case 'move': {
      const { parent, form, items } = reader.list(operation.path);
      for (const index of [operation.source, operation.destination]) {
        if (index >= items.length) throw new PathError(`names index ${index} of ${items.length} items`);
      }
      moveWithin(parent, form, operation.source, operation.destination);
      return;
    }
  }
}
