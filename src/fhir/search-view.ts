/**
 * What of a resource an answer has: `_summary` and `_elements`.
 *
 * @see https://hl7.org/fhir/R4/search.html#summary
 * @see https://hl7.org/fhir/R4/search.html#elements
 */
import type { Definitions } from './definitions.ts';

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
