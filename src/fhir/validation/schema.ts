/**
 * From the digest of a StructureDefinition to JSON Schema, one schema per type and per backbone element.
 *
 * A schema covers the direct elements only; deeper ones are named by `fhirType`, so that each is compiled once, on
 * first use, whatever number of types share it.
 */
import type { Definitions, ElementDigest, StructureDigest, TypeDigest } from '../definitions.ts';
import type { ElementKeys } from './keywords.ts';
import { primitives } from './primitives.ts';

export type JsonSchema = { readonly [keyword: string]: unknown };

/** The JSON keys of one element: `status` has `status` and `_status`; a choice has two for each primitive type. */
export type ElementForm = {
  readonly name: string;
  readonly element: ElementDigest;
  readonly types: readonly { readonly type: TypeDigest; readonly key: string; readonly sibling?: string }[];
};

/** @param path a type name, a canonical url, or the path of a backbone element */
export function schemaOf(path: string, definitions: Definitions): JsonSchema {
  const structure = definitions.structure(path);
  const self = structure?.elements[0] ?? elementAt(path, definitions);
  const forms = formsUnder(path, definitions);
  const isResource = structure?.kind === 'resource';
  const known = forms.flatMap(({ types }) => types.flatMap(({ key, sibling }) => (sibling ? [key, sibling] : [key])));
  const properties: Record<string, JsonSchema> = {};
  for (const form of forms) addProperties(properties, form, definitions);
  return {
    type: 'object',
    // Element itself stands for the id and extensions beside a primitive value, where an id alone is content.
    ...(isResource ? {} : path === 'Element' ? { minProperties: 1 } : { content: true }),
    properties,
    known: isResource ? ['resourceType', ...known] : known,
    ...optional('needs', forms.filter(({ element }) => element.min > 0).map(keysOf)),
    ...optional('choices', forms.filter(({ types }) => types.length > 1).map(choiceKeys)),
    ...optional(
      'pairs',
      forms.filter(isPrimitiveList).map(({ name }) => name),
    ),
    ...(self === undefined ? {} : invariantsOf(self, structure)),
  };
}

/** The elements that may stand in an object, with their JSON keys; those with a maximum of 0 may not. */
export function formsUnder(path: string, definitions: Definitions): readonly ElementForm[] {
  const structure = definitions.structure(path);
  const elements =
    structure?.derivation === 'constraint'
      ? structure.elements.filter((element) => element.path.split('.').length === 2)
      : definitions.elementsOf(structure?.type ?? path);
  return elements.filter(({ max }) => max > 0).map(formOf);
}

function formOf(element: ElementDigest): ElementForm {
  const last = element.path.slice(element.path.lastIndexOf('.') + 1);
  const isChoice = last.endsWith('[x]');
  const name = isChoice ? last.slice(0, -3) : last;
  const types = element.contentReference === undefined ? element.types : [{ code: element.contentReference }];
  return {
    name,
    element,
    types: types.map((type) => {
      const key = isChoice ? name + capitalized(type.code) : name;
      return hasSibling(type, element) ? { type, key, sibling: `_${key}` } : { type, key };
    }),
  };
}

function hasSibling({ code }: TypeDigest, element: ElementDigest): boolean {
  return code in primitives && code !== 'xhtml' && element.bare === undefined;
}

function capitalized(code: string): string {
  return code.charAt(0).toUpperCase() + code.slice(1);
}

function keysOf({ name, types }: ElementForm): ElementKeys {
  return { name, keys: types.flatMap(({ key, sibling }) => (sibling === undefined ? [key] : [key, sibling])) };
}

function choiceKeys({ types }: ElementForm): ElementKeys[] {
  return types.map(({ key, sibling }) => ({ name: key, keys: sibling === undefined ? [key] : [key, sibling] }));
}

function isPrimitiveList({ element, types }: ElementForm): boolean {
  return element.max > 1 && types.some(({ sibling }) => sibling !== undefined);
}

function optional(keyword: string, list: readonly unknown[]): JsonSchema {
  return list.length === 0 ? {} : { [keyword]: list };
}

function elementAt(path: string, definitions: Definitions): ElementDigest | undefined {
  const parent = path.slice(0, Math.max(path.lastIndexOf('.'), 0));
  return definitions.elementsOf(parent).find((element) => element.path === path);
}

function invariantsOf(element: ElementDigest, structure?: StructureDigest): JsonSchema {
  const keys = (element.constraints ?? []).filter(({ severity }) => severity === 'error').map(({ key }) => key);
  if (structure?.type === 'Extension') keys.push('ext-1');
  return keys.length === 0 ? {} : { invariants: { path: structure?.name ?? element.path, keys } };
}

function addProperties(properties: Record<string, JsonSchema>, form: ElementForm, definitions: Definitions): void {
  const isList = form.element.max > 1;
  for (const { type, key, sibling } of form.types) {
    const isPrimitive = type.code in primitives;
    const value = valueSchema(type, form, definitions);
    if (!isList) properties[key] = value;
    else if (isPrimitive) properties[key] = { ...listSchema(form.element), ...primitiveItems(type, form.element) };
    else properties[key] = { ...listSchema(form.element), list: value };
    if (sibling !== undefined) {
      properties[sibling] = isList ? { type: 'array', minItems: 1, list: SIBLING_OR_NULL } : SIBLING;
    }
  }
}

const SIBLING: JsonSchema = { type: 'object', fhirType: 'Element' };
const SIBLING_OR_NULL: JsonSchema = { type: ['object', 'null'], fhirType: 'Element' };

function listSchema({ max }: ElementDigest): JsonSchema {
  return { type: 'array', minItems: 1, ...(Number.isFinite(max) ? { maxItems: max } : {}) };
}

function valueSchema(type: TypeDigest, form: ElementForm, definitions: Definitions): JsonSchema {
  const { element } = form;
  const bound = bindingOf(element);
  const primitive = primitives[type.code];
  if (primitive !== undefined) {
    return { type: primitive.json, ...('test' in primitive ? { format: type.code } : {}), ...bound };
  }
  // The validator goes into them with the type they say they are.
  if (type.code === 'Resource' || definitions.isResourceType(type.code)) return { type: 'object' };
  const profile = type.profiles?.find((url) => definitions.structure(url) !== undefined);
  const isBackbone = type.code === 'BackboneElement' || type.code === 'Element';
  return {
    type: 'object',
    fhirType: profile ?? (isBackbone ? element.path : type.code),
    ...bound,
    ...(type.code === 'Reference' ? { targets: type.targets ?? ['Resource'] } : {}),
    ...(isBackbone || element.contentReference !== undefined ? {} : invariantsOf(element)),
  };
}

function bindingOf({ binding }: ElementDigest): JsonSchema {
  return binding?.strength === 'required' && binding.valueSet !== undefined ? { binding: binding.valueSet } : {};
}

function primitiveItems(type: TypeDigest, element: ElementDigest): JsonSchema {
  const { binding } = bindingOf(element);
  return { primitives: type.code, ...(binding === undefined ? {} : { boundList: binding }) };
}
