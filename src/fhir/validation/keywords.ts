/**
 * The JSON Schema keywords that FHIR needs beyond the standard ones, as Ajv code.
 *
 * Hostile input must not grow the list of findings: a keyword reports what it finds once per object or list, with a
 * bounded number of places in its parameters, and `fhirType` stops descending when MAX_FINDINGS is reached. Below a
 * `fhirType`, paths start anew; they are completed only when there is something to report, so that valid data never
 * pays for a path.
 */
import { _, type Ajv, type ErrorObject, type KeywordCxt, type Name, type ValidateFunction } from 'ajv';
import { strConcat } from 'ajv/dist/compile/codegen/code.js';
import ajvNames from 'ajv/dist/compile/names.js';
import { Type } from 'ajv/dist/compile/util.js';
import type { ValueSet } from '../definitions.ts';
import { isAllowedTarget } from './targets.ts';

const names = ajvNames.default; // a CommonJS module

export const MAX_FINDINGS = 200;
const MAX_PLACES = 20;

/** A compiled validator of one type or backbone element. */
export type TypeCheck = { (data: unknown, context: CallContext): boolean; errors?: readonly ErrorObject[] | null };
type CallContext = NonNullable<Parameters<ValidateFunction>[1]>;
/** The same context for every call: paths are relative to the value (see `fhirType`), and nothing else is read. */
export const TOP: CallContext = {
  instancePath: '',
  parentData: {},
  parentDataProperty: '',
  rootData: {},
  dynamicAnchors: {},
};

/** An element that may stand under several names (`value[x]`, or `status` and `_status`). */
export type ElementKeys = { readonly name: string; readonly keys: readonly string[] };

/** A check of one object; true when it holds. Must take any JSON object, whatever else is wrong with it. */
export type InvariantCheck = (node: Readonly<Record<string, unknown>>) => boolean;

export type KeywordSource = {
  /** The validator of a type name or path, compiled on first use. */
  typeCheck(path: string): TypeCheck;
  primitiveTest(type: string): (value: unknown) => boolean;
  valueSet(url: string): ValueSet | undefined;
  invariant(key: string, path: string): InvariantCheck | undefined;
};

export function addFhirKeywords(ajv: Ajv, source: KeywordSource): void {
  addTypeKeyword(ajv, source);
  addObjectKeywords(ajv);
  addListKeywords(ajv, source);
  addBindingKeyword(ajv, source);
  addTargetsKeyword(ajv);
  addInvariantsKeyword(ajv, source);
}

/** `fhirType: path`: the value is of a complex type, or has the content of a backbone element. */
function addTypeKeyword(ajv: Ajv, source: KeywordSource): void {
  ajv.addKeyword({
    keyword: 'fhirType',
    type: 'object',
    schemaType: 'string',
    code(cxt: KeywordCxt) {
      const { gen, data } = cxt;
      const check = gen.scopeValue('func', { ref: source.typeCheck(cxt.schema as string) });
      const top = gen.scopeValue('obj', { ref: TOP });
      const under = gen.scopeValue('func', { ref: errorsUnder });
      gen.if(_`${names.errors} < ${MAX_FINDINGS} && !${check}(${data}, ${top})`, () => {
        gen.assign(names.vErrors, _`${under}(${names.vErrors}, ${check}.errors, ${pathOf(cxt)})`);
        gen.assign(names.errors, _`${names.vErrors}.length`);
      });
    },
  });
}

function pathOf(cxt: KeywordCxt): Name {
  return cxt.gen.const('path', strConcat(names.instancePath, cxt.it.errorPath));
}

function errorsUnder(present: ErrorObject[] | null, found: readonly ErrorObject[], path: string): ErrorObject[] {
  const all = present ?? [];
  for (const error of found) {
    error.instancePath = path + error.instancePath;
    all.push(error);
  }
  return all;
}

/** `known`: no other elements. `content`: not only an id. `needs`, `choices`: at least, at most one of several keys. */
function addObjectKeywords(ajv: Ajv): void {
  reporting(ajv, 'object', 'known', (keys: readonly string[]) => {
    const known = new Set(keys);
    return (data) => {
      let unknown: string[] | undefined;
      for (const key in data) {
        if (known.has(key)) continue;
        unknown ??= [];
        if (unknown.length < MAX_PLACES) unknown.push(key);
      }
      return unknown;
    };
  });
  reporting(ajv, 'object', 'content', () => (data) => {
    for (const key in data) if (key !== 'id') return undefined;
    return [];
  });
  ajv.addKeyword({
    keyword: 'needs',
    type: 'object',
    schemaType: 'array',
    error: { message: 'is missing', params: ({ params }) => _`{found: [${params.name}]}` },
    code(cxt: KeywordCxt) {
      for (const { name, keys } of cxt.schema as ElementKeys[]) {
        const absent = keys.map((key) => _`${cxt.data}[${key}] === undefined`);
        const all = absent.reduce((left, right) => _`${left} && ${right}`);
        cxt.gen.if(all, () => {
          cxt.setParams({ name });
          cxt.error(true);
        });
      }
    },
  });
  reporting(ajv, 'object', 'choices', (choices: readonly (readonly ElementKeys[])[]) => {
    // Types of one choice element, each with the keys it may stand under.
    return (data) => {
      for (const types of choices) {
        let present: string | undefined;
        for (const { name, keys } of types) {
          if (!keys.some((key) => data[key] !== undefined)) continue;
          if (present !== undefined) return [present, name];
          present = name;
        }
      }
      return undefined;
    };
  });
}

/**
 * `list: schema`: like `items`, up to MAX_FINDINGS. `primitives: type`: primitives or nulls. `boundList: url`: codes of
 * a value set. `pairs`: each null has its sibling in the other list.
 */
function addListKeywords(ajv: Ajv, source: KeywordSource): void {
  ajv.addKeyword({
    keyword: 'list',
    type: 'array',
    schemaType: 'object',
    code(cxt: KeywordCxt) {
      const { gen, data } = cxt;
      gen.forRange('i', 0, _`${data}.length`, (i) => {
        gen.if(_`${names.errors} < ${MAX_FINDINGS}`, () => {
          cxt.subschema({ keyword: 'list', dataProp: i, dataPropType: Type.Num }, gen.name('valid'));
        });
      });
    },
  });
  reporting(ajv, 'array', 'primitives', (type: string) => placesNot(source.primitiveTest(type)));
  reporting(ajv, 'array', 'boundList', (url: string) => {
    const valueSet = source.valueSet(url);
    return placesNot(valueSet === undefined ? () => true : boundTo(valueSet));
  });
  reporting(ajv, 'object', 'pairs', (lists: readonly string[]) => {
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
  });
}

function placesNot(test: (value: unknown) => boolean): Finder {
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

// Padding with null is for the values of the other list (https://hl7.org/fhir/R4/json.html#primitive).
function unpaired(values: unknown, others: unknown): number {
  const left = Array.isArray(values) ? values : [];
  const right = Array.isArray(others) ? others : [];
  for (let at = 0; at < left.length; at++) if (left[at] === null && (right[at] ?? null) === null) return at;
  for (let at = 0; at < right.length; at++) if (right[at] === null && (left[at] ?? null) === null) return at;
  return -1;
}

/** `binding: url`: the code, Coding or CodeableConcept is from the value set. */
function addBindingKeyword(ajv: Ajv, source: KeywordSource): void {
  ajv.addKeyword({
    keyword: 'binding',
    schemaType: 'string',
    error: { message: 'is not in the value set' },
    code(cxt: KeywordCxt) {
      const valueSet = source.valueSet(cxt.schema as string);
      if (valueSet === undefined) return;
      const isBound = cxt.gen.scopeValue('func', { ref: boundTo(valueSet) });
      cxt.fail(_`!${isBound}(${cxt.data})`);
    },
  });
}

function boundTo(valueSet: ValueSet): (value: unknown) => boolean {
  const { codes, enumerable } = valueSet;
  return (value) => {
    if (typeof value === 'string') return !enumerable || codes.has(value);
    if (typeof value !== 'object' || value === null) return true; // of the wrong type, which is another finding
    const { coding, text } = value as { coding?: unknown; text?: unknown };
    if (Array.isArray(coding)) return coding.some((entry) => allowsCoding(valueSet, entry));
    if (typeof (value as { code?: unknown }).code === 'string') return allowsCoding(valueSet, value);
    return text === undefined;
  };
}

function allowsCoding(valueSet: ValueSet, coding: unknown): boolean {
  if (typeof coding !== 'object' || coding === null) return false;
  const { system, code } = coding as { system?: unknown; code?: unknown };
  return typeof code === 'string' && valueSet.allows(typeof system === 'string' ? system : undefined, code);
}

/** `targets: types`: what a literal Reference may point to; ['Resource'] for anything. */
function addTargetsKeyword(ajv: Ajv): void {
  reporting(ajv, 'object', 'targets', (targets: readonly string[]) => {
    const allowed = new Set(targets);
    return (data) => {
      const reference = data.reference;
      return typeof reference !== 'string' || isAllowedTarget(reference, allowed) ? undefined : [...targets];
    };
  });
}

/** `invariants: { path, keys }`: constraints of R4 that the table of invariants knows. */
function addInvariantsKeyword(ajv: Ajv, source: KeywordSource): void {
  ajv.addKeyword({
    keyword: 'invariants',
    type: 'object',
    schemaType: 'object',
    error: { message: 'does not hold', params: ({ params }) => _`{found: [${params.key}, ${params.path}]}` },
    code(cxt: KeywordCxt) {
      const { path, keys } = cxt.schema as { path: string; keys: readonly string[] };
      for (const key of keys) {
        const invariant = source.invariant(key, path);
        if (invariant === undefined) continue;
        const check = cxt.gen.scopeValue('func', { ref: invariant });
        cxt.gen.if(_`!${check}(${cxt.data})`, () => {
          cxt.setParams({ key, path });
          cxt.error(true);
        });
      }
    },
  });
}

type Finder = (data: Readonly<Record<string, unknown>>) => readonly (string | number)[] | undefined;

/** A keyword that is a function of the value and reports what it found in `params.found`. */
function reporting<T>(ajv: Ajv, type: 'object' | 'array', keyword: string, compile: (schema: T) => Finder): void {
  ajv.addKeyword({
    keyword,
    type,
    error: { message: 'is wrong', params: ({ params }) => _`{found: ${params.found}}` },
    code(cxt: KeywordCxt) {
      const find = cxt.gen.scopeValue('func', { ref: compile(cxt.schema as T) });
      const found = cxt.gen.const('found', _`${find}(${cxt.data})`);
      cxt.setParams({ found });
      cxt.fail(_`${found} !== undefined`);
    },
  });
}
