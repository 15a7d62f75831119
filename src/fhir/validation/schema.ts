/**
 * From the digest of a StructureDefinition to JSON Schema, one schema per type and per backbone element.
 *
 * A schema covers the direct elements only; deeper ones are named by `fhirType`, so that each is compiled once, on
 * first use, whatever number of types share it.
 */
import type { ConstraintDigest, Definitions, ElementDigest, TypeDigest } from '../definitions.ts';
import { primitives } from './primitives.ts';
import type { Keys } from './structure-findings.ts';
import type { ElementKeys } from './type-check.ts';

export type JsonSchema = { readonly [keyword: string]: unknown };

/** The JSON keys of one element: `status` has `status` and `_status`; a choice has two for each primitive type. */
export type ElementForm = {
  readonly name: string;
  readonly element: ElementDigest;
  readonly types: readonly FormType[];
};

/** One type of an element: the key its value stands under, and that of what stands beside a primitive value. */
export type FormType = { readonly type: TypeDigest; readonly key: string; readonly sibling?: string };

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
    ...(path === 'Element' ? { minProperties: 1 } : {}),
    ...(path === 'Extension' ? { seen: true } : {}),
    properties,
    keys: {
      known: isResource ? ['resourceType', ...known] : known,
      ...optional('choices', forms.filter(({ types }) => types.length > 1).map(choiceKeys)),
      // Element itself stands for the id and extensions beside a primitive value, where an id alone is content.
      ...(isResource || path === 'Element' ? {} : { content: true }),
    } satisfies Keys,
    ...optional('needs', forms.filter(({ element }) => element.min > 0).map(keysOf)),
    ...optional(
      'pairs',
      forms.filter(isPrimitiveList).map(({ name }) => name),
    ),
    ...(self === undefined ? {} : constraintsOf(self, structure?.name ?? self.path, path)),
  };
}

const formsByPath = new WeakMap<Definitions, Map<string, readonly ElementForm[]>>();

/** The elements that may stand in an object, with their JSON keys; those with a maximum of 0 may not. */
export function formsUnder(path: string, definitions: Definitions): readonly ElementForm[] {
  let known = formsByPath.get(definitions);
  if (known === undefined) {
    known = new Map();
    formsByPath.set(definitions, known);
  }
  let forms = known.get(path);
  if (forms === undefined) {
    forms = elementsUnder(path, definitions).map(formOf);
    // Paths that lead nowhere come with data: they are not remembered.
    if (forms.length > 0) known.set(path, forms);
  }
  return forms;
}

function elementsUnder(path: string, definitions: Definitions): readonly ElementDigest[] {
  const structure = definitions.structure(path);
  const elements =
    structure?.derivation === 'constraint'
      ? structure.elements.filter((element) => element.path.split('.').length === 2)
      : definitions.elementsOf(structure?.type ?? path);
  return elements.filter(({ max }) => max > 0);
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

function constraintsOf(element: ElementDigest, path: string, content: string, sibling?: string): JsonSchema {
  const keys = keysWith('error', element);
  if (path === 'Extension') keys.push('ext-1');
  const warnings = keysWith('warning', element);
  if (keys.length === 0 && warnings.length === 0) return {};
  return { invariants: { path, content, keys, ...optional('warnings', warnings), ...(sibling ? { sibling } : {}) } };
}

function keysWith(severity: ConstraintDigest['severity'], { constraints = [] }: ElementDigest): string[] {
  return constraints.filter((constraint) => constraint.severity === severity).map(({ key }) => key);
}

function addProperties(properties: Record<string, JsonSchema>, form: ElementForm, definitions: Definitions): void {
  const isList = form.element.max > 1;
  for (const formType of form.types) {
    const { type, key, sibling } = formType;
    const isPrimitive = type.code in primitives;
    const value = valueSchema(formType, form, definitions);
    if (!isList) properties[key] = value;
    else if (isPrimitive) properties[key] = { ...listSchema(form.element), ...primitiveItems(type, form.element) };
    else properties[key] = { ...listSchema(form.element), list: value };
    if (sibling !== undefined) {
      properties[sibling] = isList ? { type: 'array', minItems: 1, list: SIBLING_OR_NULL } : SIBLING;
    }
  }
}

const SIBLING: JsonSchema = { type: 'object', fhirType: 'Element' };
const SIBLING_OR_NULL: JsonSchema = { ...SIBLING, nullable: true };

function listSchema({ max }: ElementDigest): JsonSchema {
  return { type: 'array', minItems: 1, ...(Number.isFinite(max) ? { maxItems: max } : {}) };
}

function valueSchema({ type, sibling }: FormType, { element }: ElementForm, definitions: Definitions): JsonSchema {
  const bound = bindingOf(element);
  const primitive = primitives[type.code];
  if (primitive !== undefined) {
    return {
      type: primitive.json,
      ...('test' in primitive ? { format: type.code } : {}),
      ...bound,
      // The format of xhtml is what its constraints say.
      ...(type.code === 'xhtml' ? {} : constraintsOf(element, element.path, type.code, sibling)),
    };
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
    ...(isBackbone || element.contentReference !== undefined
      ? {}
      : constraintsOf(element, element.path, profile ?? type.code)),
  };
}

function bindingOf({ binding }: ElementDigest): JsonSchema {
  if (binding?.valueSet === undefined) return {};
  if (binding.strength === 'required') return { binding: binding.valueSet };
  return binding.strength === 'extensible' ? { extensible: binding.valueSet } : {};
}

function primitiveItems(type: TypeDigest, element: ElementDigest): JsonSchema {
  const { binding } = bindingOf(element);
  const constraints = constraintsOf(element, element.path, type.code);
  return {
    primitives: type.code,
    ...(binding === undefined ? {} : { boundList: binding }),
    ...(Object.keys(constraints).length === 0 ? {} : { list: constraints }),
  };
}
