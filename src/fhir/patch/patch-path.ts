/**
 * Where a FHIRPath leads inside the JSON of a resource, so that it can be written to. The engine of @medplum/core parses
 * the path and answers its criteria; what it selects are values, of which a primitive one does not know its place, so the
 * steps along elements are walked here.
 *
 * A path may go along elements, by index, first(), last(), tail(), skip(), take(), single(), where(), extension(),
 * ofType() and as(). Criteria may use the functions in CRITERIA, none of which leaves the resource or can run for long.
 *
 * @see https://hl7.org/fhir/R4/fhirpatch.html
 */
import {
  AsAtom,
  type Atom,
  DotAtom,
  evalFhirPathTyped,
  FhirPathAtom,
  FunctionAtom,
  IndexerAtom,
  LiteralAtom,
  parseFhirPath,
  SymbolAtom,
  type TypedValue,
} from '@medplum/core';
import type { Definitions, ElementDigest } from '../definitions.ts';
import { type ElementForm, formsUnder } from '../validation/schema.ts';

export type JsonObject = Record<string, unknown>;

/** One element of a resource. */
export type Place = {
  readonly holder: JsonObject;
  readonly key: string;
  /** In a list. */
  readonly index?: number;
  /** Path under which the definitions know its content: 'HumanName', 'Patient.contact', 'date'. */
  readonly type: string;
  readonly expression: string;
  /** Absent for the resource itself. */
  readonly parent?: Place;
  readonly form?: ElementForm;
};

/** A path that cannot be used, and why. */
export class PathError extends Error {}

const MAX_PATH = 1000;
/** Elements that the criteria of one patch may be asked about. */
const MAX_ASKED = 100_000;

const CRITERIA = new Set(
  `all allTrue anyTrue allFalse anyFalse as contains count distinct empty endsWith exists extension first hasValue iif
  indexOf intersect is isDistinct last length lower not ofType select single skip startsWith subsetOf substring
  supersetOf tail take toBoolean toDate toDateTime toDecimal toInteger toQuantity toString toTime upper
  where`.split(/\s+/),
);

/** Paths are parsed once; a patch may be applied again and again. @throws PathError */
export function parsePath(text: string): Atom {
  if (text.length > MAX_PATH) throw new PathError(`is longer than ${MAX_PATH} characters`);
  let atom: Atom;
  try {
    atom = parseFhirPath(text).child;
  } catch {
    throw new PathError('is not FHIRPath');
  }
  requireKnown(atom);
  return atom;
}

/** Functions and variables that a path may not use are refused wherever they stand. */
function requireKnown(atom: unknown): void {
  if (atom instanceof SymbolAtom && atom.name.startsWith('%')) {
    throw new PathError(`uses ${atom.name.slice(0, 32)}; it must stay within the resource`);
  }
  if (atom instanceof FunctionAtom) {
    if (!CRITERIA.has(atom.name)) throw new PathError(`uses ${atom.name.slice(0, 32)}(), which is not available here`);
    atom.args.forEach(requireKnown);
    return;
  }
  if (typeof atom !== 'object' || atom === null) return;
  const { left, right, child, expr } = atom as Record<string, unknown>;
  for (const part of [left, right, child, expr]) requireKnown(part);
}

/** One reading of paths in one resource. Each method throws PathError. */
export class PathReader {
  readonly #root: Place;
  readonly #definitions: Definitions;
  readonly #budget: { asked: number };

  constructor(resource: JsonObject, definitions: Definitions, budget = { asked: 0 }) {
    const type = String(resource.resourceType);
    this.#root = { holder: { root: resource }, key: 'root', type, expression: type };
    this.#definitions = definitions;
    this.#budget = budget;
  }

  /** The elements that the path selects. */
  select(path: Atom): Place[] {
    return this.#walk(path, [this.#root], true);
  }

  /** The element whose list the path names, and the list's name: it may be empty. */
  list(path: Atom): { readonly parent: Place; readonly form: ElementForm; readonly items: readonly Place[] } {
    if (!(path instanceof DotAtom ? path.right : path instanceof SymbolAtom)) {
      throw new PathError('must end with the name of a list');
    }
    const last = path instanceof DotAtom ? path.right : path;
    if (!(last instanceof SymbolAtom)) throw new PathError('must end with the name of a list');
    const parents = path instanceof DotAtom ? this.#walk(path.left, [this.#root], true) : [this.#root];
    const parent = only(parents);
    const form = this.form(parent, last.name);
    if (form.element.max <= 1) throw new PathError(`names ${last.name}, which is not a list`);
    return { parent, form, items: this.#children(parent, last.name) };
  }

  /** The definition of an element under a place. */
  form(place: Place, name: string): ElementForm {
    const forms = formsUnder(contentType(place), this.#definitions);
    const form = forms.find((each) => each.name === name);
    if (form === undefined)
      throw new PathError(`names ${name.slice(0, 64)}, which ${contentType(place)} does not have`);
    return form;
  }

  #walk(atom: Atom, from: readonly Place[], isFirst = false): Place[] {
    if (atom instanceof DotAtom) return this.#walk(atom.right, this.#walk(atom.left, from, isFirst));
    if (atom instanceof IndexerAtom) {
      const index = literalInteger(atom.expr);
      return at(this.#walk(atom.left, from, isFirst), index, index + 1);
    }
    if (atom instanceof AsAtom) return ofType(this.#walk(atom.left, from, isFirst), nameOf(atom.right));
    if (atom instanceof FunctionAtom) return this.#call(atom, from);
    if (!(atom instanceof SymbolAtom)) throw new PathError('must go along elements of the resource');
    if (atom.name === '$this') return [...from];
    if (isFirst && (atom.name === this.#root.type || atom.name === 'Resource' || atom.name === 'DomainResource')) {
      return [this.#root];
    }
    return from.flatMap((place) => this.#children(place, atom.name));
  }

  #call(atom: FunctionAtom, from: readonly Place[]): Place[] {
    const [first] = atom.args;
    switch (atom.name) {
      case 'first':
        return at(from, 0, 1);
      case 'last':
        return from.slice(-1);
      case 'tail':
        return from.slice(1);
      case 'single':
        if (from.length > 1) throw new PathError('has a single() that finds several elements');
        return [...from];
      case 'skip':
        return from.slice(Math.max(literalInteger(first), 0));
      case 'take':
        return at(from, 0, Math.max(literalInteger(first), 0));
      case 'ofType':
      case 'as':
        return ofType(from, nameOf(first));
      case 'extension': {
        if (!(first instanceof LiteralAtom)) throw new PathError('needs the url of an extension as a text');
        const url = (first.value as TypedValue).value;
        const extensions = from.flatMap((place) => this.#children(place, 'extension'));
        return extensions.filter((place) => (valueAt(place) as JsonObject | null)?.url === url);
      }
      case 'where':
        return from.filter((place) => this.#holds(atom, place));
      default:
        throw new PathError(`uses ${atom.name}(), which selects no element to change`);
    }
  }

  #holds(where: FunctionAtom, place: Place): boolean {
    if (++this.#budget.asked > MAX_ASKED) throw new PathError('asks about too many elements');
    const value = valueAt(place) ?? siblingAt(place);
    const typed: TypedValue = { type: place.type, value };
    try {
      return evalFhirPathTyped(new FhirPathAtom('where', where), [typed]).length > 0;
    } catch {
      throw new PathError('has a criterion that cannot be answered');
    }
  }

  #children(parent: Place, name: string): Place[] {
    const form = this.form(parent, name);
    const holder = contentOf(parent);
    if (holder === undefined) return [];
    return form.types.flatMap(({ type, key, sibling }) => {
      const value = own(holder, key);
      const beside = sibling === undefined ? undefined : own(holder, sibling);
      if (value === undefined && beside === undefined) return [];
      const elementType = typeUnder(form.element, type.code);
      const expression = `${parent.expression}.${name}`;
      const place = { holder, key, parent, form };
      if (!Array.isArray(value ?? beside)) {
        return [{ ...place, type: resourceTypeOf(value) ?? elementType, expression }];
      }
      const count = Math.max(lengthOf(value), lengthOf(beside));
      return Array.from({ length: count }, (_, index) => ({
        ...place,
        index,
        type: resourceTypeOf((value as unknown[] | undefined)?.[index]) ?? elementType,
        expression: `${expression}[${index}]`,
      }));
    });
  }
}

/** @throws PathError unless there is exactly one */
export function only(places: readonly Place[]): Place {
  const [first] = places;
  if (first === undefined) throw new PathError('finds no element');
  if (places.length > 1) throw new PathError(`finds ${places.length} elements, and must find one`);
  return first;
}

/** The path under which the definitions know what an element holds. */
export function typeUnder(element: ElementDigest, code: string): string {
  if (element.contentReference !== undefined) return element.contentReference;
  return code === 'BackboneElement' || code === 'Element' ? element.path : code;
}

/** What holds the children of a place: the object itself, or what stands beside a primitive value. */
function contentOf(place: Place): JsonObject | undefined {
  const value = valueAt(place);
  const content = isObject(value) ? value : siblingAt(place);
  return isObject(content) ? content : undefined;
}

/** A primitive has the children of Element: id and extension. */
function contentType(place: Place): string {
  return /^[a-z]/.test(place.type) ? 'Element' : place.type;
}

export function valueAt({ holder, key, index }: Place): unknown {
  const value = own(holder, key);
  return index === undefined ? value : (value as unknown[] | undefined)?.[index];
}

/** Id and extensions of a primitive value. */
function siblingAt({ holder, key, index }: Place): unknown {
  const value = own(holder, `_${key}`);
  return index === undefined ? value : (value as unknown[] | undefined)?.[index];
}

function own(holder: JsonObject, key: string): unknown {
  return Object.hasOwn(holder, key) ? holder[key] : undefined;
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function lengthOf(value: unknown): number {
  return Array.isArray(value) ? value.length : 0;
}

function resourceTypeOf(value: unknown): string | undefined {
  const type = isObject(value) ? own(value, 'resourceType') : undefined;
  return typeof type === 'string' ? type : undefined;
}

function at(places: readonly Place[], from: number, to: number): Place[] {
  return from < 0 ? [] : places.slice(from, to);
}

/** Type names of FHIRPath are those of FHIR, primitive ones with either case; `FHIR.` may stand before them. */
function ofType(places: readonly Place[], type: string): Place[] {
  return places.filter((place) => place.type === type || place.type === type.charAt(0).toLowerCase() + type.slice(1));
}

function nameOf(atom: Atom | undefined): string {
  if (atom instanceof SymbolAtom) return atom.name;
  if (atom instanceof DotAtom && atom.left instanceof SymbolAtom && atom.right instanceof SymbolAtom) {
    return atom.right.name;
  }
  throw new PathError('needs the name of a type');
}

function literalInteger(atom: Atom | undefined): number {
  const value: unknown = atom instanceof LiteralAtom ? (atom.value as TypedValue).value : undefined;
  if (typeof value !== 'number' || !Number.isInteger(value)) throw new PathError('needs a number as its index');
  return value;
}
