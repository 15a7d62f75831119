/**
 * From a profile to one JSON Schema that says what base R4 does not: a resource is checked against its type first, and
 * the schema of a profile repeats nothing of that.
 *
 * Objects are nested as in the profile, so errors have their place in the resource; other profiles that a type or a
 * target names are called by their canonical.
 */
import type { Definitions } from '../../definitions.ts';
import type { Profile, ProfileElement, ProfileType } from '../../profiles/model.ts';
import { contentPath } from '../place.ts';
import { primitives } from '../primitives.ts';
import { type ElementForm, type FormType, formsUnder, type JsonSchema } from '../schema.ts';
import type { Absent, Counted, Extended, Valued } from './cardinality.ts';
import {
  bindingsOf,
  constraintsOf,
  isKindOf,
  limitsOf,
  referencesOf,
  typeProfilesOf,
  valuesOf,
} from './element-schema.ts';
import type { Known } from './known.ts';
import { slicesOf } from './slices-schema.ts';

export function profileSchema(profile: Profile, known: Known): JsonSchema {
  const { root, type } = profile;
  return {
    ...valuesOf(root, type),
    ...limitsOf(root, type),
    ...constraintsOf(root, type, known.definitions.structure(type)?.elements[0]?.constraints ?? []),
    ...(type in primitives ? primitiveSchema(root, type) : contentSchema(root.children, type, known)),
  };
}

/** Of a primitive type: what is said of `string.value` is said of the text itself. */
function primitiveSchema({ children }: ProfileElement, type: string): JsonSchema {
  const value = children.find(({ name }) => name === 'value');
  return value === undefined ? {} : { ...valuesOf(value, type), ...limitsOf(value, type) };
}

/** Of one object: `children` are elements of the type or backbone element at `path`. */
export function contentSchema(children: readonly ProfileElement[], path: string, known: Known): JsonSchema {
  const object = new ObjectSchema();
  const forms = formsUnder(path, known.definitions);
  for (const child of children) {
    const form = forms.find(({ name }) => name === child.name);
    if (form !== undefined) addElement(object, child, form, known);
  }
  return object.schema();
}

/** The keywords of an object while its elements are looked at. */
class ObjectSchema {
  readonly #parts = new Map<string, JsonSchema[]>();
  readonly needs: { name: string; keys: readonly string[]; slice?: string }[] = [];
  readonly absent: Absent[] = [];
  readonly counted: Counted[] = [];
  readonly extended: Extended[] = [];
  readonly valued: Valued[] = [];

  add(key: string, schema: JsonSchema): void {
    if (Object.keys(schema).length === 0) return;
    this.#parts.set(key, [...(this.#parts.get(key) ?? []), schema]);
  }

  schema(): JsonSchema {
    const properties: Record<string, JsonSchema> = {};
    for (const [key, [first = {}, ...others]] of this.#parts) {
      properties[key] = others.length === 0 ? first : { allOf: [first, ...others] };
    }
    return {
      ...(this.#parts.size === 0 ? {} : { properties }),
      ...(this.needs.length === 0 ? {} : { needs: this.needs }),
      ...(this.absent.length === 0 ? {} : { absent: this.absent }),
      ...(this.counted.length === 0 ? {} : { counted: this.counted }),
      ...(this.extended.length === 0 ? {} : { extended: this.extended }),
      ...(this.valued.length === 0 ? {} : { valued: this.valued }),
    };
  }
}

function addElement(object: ObjectSchema, element: ProfileElement, form: ElementForm, known: Known): void {
  const { name } = form;
  if (element.max === 0) {
    object.absent.push({ name, keys: form.types.flatMap(keysOf) });
    return;
  }
  const slicesByType = isSlicedByType(element, form) ? element.slices : [];
  const types = narrowedTypes(element, form, slicesByType);
  const left = form.types.filter((type) => !types.includes(type));
  if (left.length > 0) {
    const allowed = types.map(({ type }) => type.code);
    for (const type of left) object.absent.push({ name: type.key, keys: keysOf(type), types: allowed });
  }
  addCardinality(object, element, form);
  for (const type of types) {
    addValue(object, element, form, type, known);
    for (const slice of slicesByType) if (isOfSlice(type, slice)) addValue(object, slice, form, type, known);
  }
  for (const slice of slicesByType) addNeedOfSlice(object, slice, types);
}

/** Slices of a choice are its types; anything else is sorted when the value is there. */
function isSlicedByType({ slicing, slices }: ProfileElement, { types }: ElementForm): boolean {
  if (slices.length === 0 || types.length < 2) return false;
  return slicing?.discriminators.every(({ type, path }) => type === 'type' && path === '$this') ?? true;
}

function isOfSlice({ type }: FormType, slice: ProfileElement): boolean {
  return slice.types.some(({ code }) => code === type.code);
}

function narrowedTypes(
  element: ProfileElement,
  form: ElementForm,
  slices: readonly ProfileElement[],
): readonly FormType[] {
  if (form.types.length < 2) return form.types;
  const codes = new Set(element.types.map(({ code }) => code));
  const isClosed = slices.length > 0 && element.slicing?.rules === 'closed';
  return form.types.filter((type) => {
    if (codes.size > 0 && !codes.has(type.type.code)) return false;
    const own = slices.filter((slice) => isOfSlice(type, slice));
    if (own.length > 0) return own.some(({ max }) => max > 0);
    return !isClosed && !isOfAnotherValue(element, type);
  });
}

/** A fixed value or a pattern has one type, and with it the choice. */
function isOfAnotherValue({ fixed, pattern }: ProfileElement, { type }: FormType): boolean {
  const said = fixed ?? pattern;
  return said !== undefined && !isKindOf(said.type, type.code);
}

function keysOf({ key, sibling }: FormType): readonly string[] {
  return sibling === undefined ? [key] : [key, sibling];
}

function addCardinality(
  object: ObjectSchema,
  element: ProfileElement,
  { name, element: base, types }: ElementForm,
): void {
  // A type that is left out is an error of its own: the element is there all the same.
  const keys = types.flatMap(keysOf);
  if (element.min > 0 && base.min === 0) object.needs.push({ name, keys });
  if (base.max > 1 && (element.min > Math.max(base.min, 1) || element.max < base.max)) {
    object.counted.push({ name, keys, min: element.min, max: element.max < base.max ? element.max : null });
  }
}

function addNeedOfSlice(object: ObjectSchema, slice: ProfileElement, types: readonly FormType[]): void {
  if (slice.min === 0) return;
  const own = types.filter((type) => isOfSlice(type, slice));
  const [only] = own;
  const name = own.length === 1 && only !== undefined ? only.key : slice.name;
  const keys = own.flatMap(keysOf);
  // The element itself may have no other type left.
  if (own.length === types.length && object.needs.some((need) => need.name === slice.name)) return;
  object.needs.push({ name, keys, slice: slice.sliceName ?? name });
}

function addValue(
  object: ObjectSchema,
  element: ProfileElement,
  form: ElementForm,
  type: FormType,
  known: Known,
): void {
  const isList = form.element.max > 1;
  const { key, sibling } = type;
  const value = valueSchema(element, form, type, known);
  const slices = isSlicedByType(element, form)
    ? {}
    : slicesOf(element, form, type, known, (slice) => valueSchema(slice, form, type, known));
  if (slices.required !== undefined && element.min === 0) {
    for (const slice of slices.required) object.needs.push({ name: form.name, keys: keysOf(type), slice });
  }
  object.add(
    key,
    isList ? { ...(isEmpty(value) ? {} : { list: value }), ...slices.schema } : merged(value, slices.schema),
  );
  if (sibling === undefined) return;
  const beside = contentSchema(element.children, 'Element', known);
  const fixed = isKindOf(element.fixed?.type, type.type.code) ? { bare: element.fixed?.value } : {};
  const { constraints } = value as { constraints?: object };
  const alone = constraints === undefined ? {} : { constraints: { ...constraints, valueless: key } };
  const all = { ...beside, ...fixed, ...alone };
  if (!isEmpty(all)) object.add(sibling, isList ? { list: all } : all);
  const { needs = [] } = beside as { needs?: readonly { name: string }[] };
  for (const { name } of needs) object.extended.push({ key, sibling, name });
  if (isList || !isKindOf(element.pattern?.type, type.type.code)) return;
  object.valued.push({ key, sibling, value: element.pattern?.value });
}

function merged(value: JsonSchema, slices: JsonSchema | undefined): JsonSchema {
  if (slices === undefined) return value;
  return isEmpty(value) ? slices : { allOf: [value, slices] };
}

function isEmpty(schema: JsonSchema): boolean {
  return Object.keys(schema).length === 0;
}

/** Of one value of the type: of an item, where the element repeats. */
export function valueSchema(element: ProfileElement, form: ElementForm, type: FormType, known: Known): JsonSchema {
  const { code } = type.type;
  const isPrimitive = code in primitives;
  const path = contentPath(form, type.type);
  const own = element.types.find((candidate) => candidate.code === code) ?? soleType(element);
  return {
    ...valuesOf(element, code),
    ...limitsOf(element, code),
    ...bindingsOf(element, form, code),
    ...(own === undefined ? {} : referencesOf(own, type.type)),
    ...(own === undefined ? {} : typeProfilesOf(element, own, type.type, known)),
    ...constraintsOf(element, path, inherited(form, path, known.definitions), type.sibling, form.element.max > 1),
    ...(isPrimitive || code === 'Resource' ? {} : contentSchema(element.children, path, known)),
  };
}

/** Where the base has one type, the profile may name it otherwise: `Resource` becomes `Patient`, an id a string. */
function soleType({ types }: ProfileElement): ProfileType | undefined {
  return types.length === 1 ? types[0] : undefined;
}

/** What base R4 checks at the element and at its type. */
function inherited({ element }: ElementForm, path: string, definitions: Definitions) {
  return [...(element.constraints ?? []), ...(definitions.structure(path)?.elements[0]?.constraints ?? [])];
}
