/**
 * What of a resource an answer has: `_summary` and `_elements`.
 *
 * @see https://hl7.org/fhir/R4/search.html#summary
 * @see https://hl7.org/fhir/R4/search.html#elements
 */

import type { Resource } from '@medplum/fhirtypes';
import type { Definitions, ElementDigest } from '../definitions.ts';
import { Failure, type Issue, issue } from '../failure.ts';
import { keepDigits } from '../json.ts';
import { memo } from '../memo.ts';
import { InvalidSearch } from './escaping.ts';
import { placeOf, shown } from './names.ts';

/** `_summary=count` and `_summary=false` are none of them: no resource, and all of it. */
export type SearchView = { readonly kind: 'summary' | 'text' | 'data' } | ElementsView;

/** Element paths below the resource (`code`, `code.coding`), for resources of all types, or of the one named. */
export type ElementsView = { readonly kind: 'elements'; readonly elements: readonly ViewedElement[] };

export type ViewedElement = { readonly type?: string; readonly path: string };

/** The elements of `_elements`, `unknown` those that no resource of the types has. */
export function elementsView(
  value: string,
  types: readonly string[],
  definitions: Definitions,
): { view: ElementsView; unknown: readonly string[] } {
  const elements: ViewedElement[] = [];
  const unknown: string[] = [];
  for (const name of value.split(',').map((each) => each.trim())) {
    const [first = '', ...rest] = name.split('.');
    const named = definitions.isResourceType(first) ? first : undefined;
    const path = named === undefined ? name : rest.join('.');
    const within = named === undefined ? types : [named];
    if (within.some((type) => hasElement(type, path, definitions))) {
      elements.push({ path, ...(named === undefined ? {} : { type: named }) });
    } else unknown.push(name);
  }
  return { view: { kind: 'elements', elements }, unknown };
}

function hasElement(type: string, path: string, definitions: Definitions): boolean {
  let paths: readonly string[] = [type];
  for (const name of path.split('.')) {
    if (name === 'resourceType' && path === name) return true;
    paths = paths.flatMap((parent) => childPaths(parent, name, definitions));
    if (paths.length === 0) return false;
  }
  return true;
}

/** Types or paths of an element under its own name, `value` of a choice, or `valueQuantity` of one of its types. */
function childPaths(parent: string, name: string, definitions: Definitions): readonly string[] {
  return definitions.elementsOf(parent).flatMap((element) => {
    const own = element.path.slice(element.path.lastIndexOf('.') + 1);
    const base = own.endsWith('[x]') ? own.slice(0, -3) : own;
    return element.types.flatMap(({ code }) => {
      const json = own === base ? base : base + code.charAt(0).toUpperCase() + code.slice(1);
      if (name !== base && name !== json) return [];
      return [code === 'BackboneElement' || code === 'Element' || code === '' ? element.path : code];
    });
  });
}

/** 'count' asks for no resource, undefined for all of it. @throws InvalidSearch */
export function summaryView(value: string): SearchView | 'count' | undefined {
  switch (value) {
    case 'true':
      return { kind: 'summary' };
    case 'text':
    case 'data':
      return { kind: value };
    case 'count':
      return 'count';
    case 'false':
      return undefined;
    default:
      throw new InvalidSearch('A summary is one of true, text, data, count, false');
  }
}

/**
 * The view that a read or a history asks for by its parameters; all other parameters are left to the caller.
 *
 * @throws Failure `invalid`; for unknown elements only when `strict`
 */
export function parseView(
  params: Iterable<readonly [name: string, value: string]>,
  types: readonly string[],
  definitions: Definitions,
  strict: boolean,
): SearchView | undefined {
  const issues: Issue[] = [];
  const views: SearchView[] = [];
  for (const [name, value] of params) {
    if (value === '' || (name !== '_summary' && name !== '_elements')) continue;
    const place = placeOf(name);
    if (name === '_elements') {
      const { view, unknown } = elementsView(value, types, definitions);
      views.push(view);
      if (strict && unknown[0] !== undefined) {
        issues.push(issue('value', `There is no element '${shown(unknown[0])}'.`, place));
      }
    } else {
      const view = summaryOf(value, place, issues);
      if (view !== undefined) views.push(view);
    }
  }
  if (views.length > 1) issues.push(issue('invalid', 'Give _summary or _elements, and once.', placeOf('_summary')));
  if (issues.length > 0) throw new Failure('invalid', issues);
  return views[0];
}

function summaryOf(value: string, place: string, issues: Issue[]): SearchView | undefined {
  try {
    const view = summaryView(value);
    if (view !== 'count') return view;
    issues.push(issue('invalid', 'Only a search can be counted.', place));
  } catch (error) {
    if (!(error instanceof InvalidSearch)) throw error;
    issues.push(issue(error.code, `${error.message}.`, place));
  }
  return undefined;
}

// ---- the view of a resource

type Json = Record<string, unknown>;

/** Which elements of a type or path are kept, under their JSON names: whole, or as the elements of a path. */
type Kept = ReadonlyMap<string, 'whole' | { readonly of: string }>;

/**
 * What a view leaves of a resource, its decimals with the digits they were written with. It is marked as SUBSETTED, so
 * that nobody writes it back as if it were all. Parts that are kept whole are shared with the resource given.
 */
export function viewOf(view: SearchView, definitions: Definitions): (resource: Resource) => Resource {
  switch (view.kind) {
    case 'data':
      return (resource) => marked(resource, (key) => key !== 'text');
    case 'text': {
      const mandatory = new Map<string, ReadonlySet<string>>();
      return (resource) => {
        const type = resource.resourceType;
        const kept = memo(mandatory, type, () => mandatoryOf(type, definitions));
        return marked(resource, (key) => key === 'text' || ALWAYS.has(key) || kept.has(nameOf(key)));
      };
    }
    case 'summary': {
      const summary = new Summary(definitions);
      return (resource) => withMark(summary.of(resource.resourceType, resource as unknown as Json, true), resource);
    }
    case 'elements':
      return (resource) => {
        const type = resource.resourceType;
        const paths = view.elements.filter((element) => element.type === undefined || element.type === type);
        const picked = picks(paths.map(({ path }) => path.split('.')));
        return withMark(pick(type, resource as unknown as Json, picked, definitions, true), resource);
      };
  }
}

/** What changes the meaning of the rest is never left out. */
const ALWAYS: ReadonlySet<string> = new Set(['resourceType', 'id', 'meta', 'modifierExtension']);

/** `_status` carries extensions of `status`. */
function nameOf(key: string): string {
  return key.startsWith('_') ? key.slice(1) : key;
}

function mandatoryOf(path: string, definitions: Definitions): ReadonlySet<string> {
  return new Set(definitions.elementsOf(path).flatMap((element) => (element.min > 0 ? jsonNames(element) : [])));
}

function jsonNames({ path, types, contentReference }: ElementDigest): string[] {
  const own = path.slice(path.lastIndexOf('.') + 1);
  if (!own.endsWith('[x]') || contentReference !== undefined) return [own];
  return types.map(({ code }) => own.slice(0, -3) + code.charAt(0).toUpperCase() + code.slice(1));
}

function marked(resource: Resource, keeps: (key: string) => boolean): Resource {
  const kept: Json = {};
  for (const [key, value] of Object.entries(resource)) if (keeps(key)) kept[key] = value;
  return withMark(kept, resource);
}

const SUBSETTED = { system: 'http://terminology.hl7.org/CodeSystem/v3-ObservationValue', code: 'SUBSETTED' };

function withMark(view: Json, resource: Resource): Resource {
  const { id, meta = {}, resourceType } = resource;
  const { tag = [] } = meta;
  const isMarked = tag.some(({ system, code }) => system === SUBSETTED.system && code === SUBSETTED.code);
  const start = { resourceType, ...(id === undefined ? {} : { id }) };
  const withTag = isMarked ? meta : keepDigits(meta, { ...meta, tag: [...tag, SUBSETTED] });
  return keepDigits(resource, { ...start, ...view, meta: withTag } as Resource);
}

class Summary {
  readonly #definitions: Definitions;
  readonly #kept = new Map<string, Kept>();

  constructor(definitions: Definitions) {
    this.#definitions = definitions;
  }

  of(path: string, value: Json, isRoot = false): Json {
    const kept = memo(this.#kept, path, () => this.#keptOf(path));
    // A type without summary elements of its own (Narrative, Extension) is one piece.
    if (kept.size === 0 && !isRoot) return value;
    const view: Json = {};
    for (const [key, item] of Object.entries(value)) {
      const how = ALWAYS.has(key) ? 'whole' : kept.get(nameOf(key));
      if (how === undefined) continue;
      view[key] = how === 'whole' || key.startsWith('_') ? item : each(item, (one) => this.of(how.of, one));
    }
    return keepDigits(value, view);
  }

  #keptOf(path: string): Kept {
    const kept = new Map<string, 'whole' | { readonly of: string }>();
    const elements = this.#definitions.elementsOf(path);
    if (!elements.some(({ summary }) => summary === true)) return kept;
    for (const element of elements) {
      if (element.summary !== true && element.min === 0) continue;
      jsonNames(element).forEach((name, i) => {
        const type = element.types[i === 0 && element.types.length === 1 ? 0 : i]?.code ?? '';
        kept.set(name, WHOLE.has(type) ? 'whole' : { of: INLINE.has(type) ? element.path : type });
      });
    }
    return kept;
  }
}

const INLINE: ReadonlySet<string> = new Set(['BackboneElement', 'Element', '']);
/** A resource within a resource is shown as it is. */
const WHOLE: ReadonlySet<string> = new Set(['Resource', 'Extension', 'Narrative']);

function each(value: unknown, change: (value: Json) => Json): unknown {
  if (Array.isArray(value)) {
    return keepDigits(
      value,
      value.map((item: unknown) => each(item, change)),
    );
  }
  return typeof value === 'object' && value !== null ? change(value as Json) : value;
}

/** `name.family` as a tree; an end of a path takes the element whole. */
type Picks = Map<string, Picks | 'whole'>;

function picks(paths: readonly (readonly string[])[]): Picks {
  const tree: Picks = new Map();
  for (const path of paths) {
    let node: Picks = tree;
    path.forEach((name, i) => {
      const known = node.get(name);
      if (known === 'whole') return;
      if (i === path.length - 1) node.set(name, 'whole');
      else {
        const next: Picks = known ?? new Map();
        node.set(name, next);
        node = next;
      }
    });
  }
  return tree;
}

function pick(path: string, value: Json, wanted: Picks, definitions: Definitions, isRoot: boolean): Json {
  const view: Json = {};
  const elements = definitions.elementsOf(path);
  for (const [key, item] of Object.entries(value)) {
    const name = nameOf(key);
    const element = elements.find((each) => jsonNames(each).includes(name));
    const own = element?.path.slice(element.path.lastIndexOf('.') + 1).replace('[x]', '');
    const how = wanted.get(name) ?? wanted.get(own ?? '');
    const isKept = (isRoot && ALWAYS.has(key)) || key === 'modifierExtension' || (element?.min ?? 0) > 0;
    if (how === undefined || how === 'whole' || element === undefined) {
      if (how !== undefined || isKept) view[key] = item;
      continue;
    }
    const type =
      element.types.find(({ code }) => jsonNames({ ...element, types: [{ code }] }).includes(name))?.code ?? '';
    const below = INLINE.has(type) ? element.path : type;
    view[key] = each(item, (one) => pick(below, one, how, definitions, false));
  }
  return keepDigits(value, view);
}
