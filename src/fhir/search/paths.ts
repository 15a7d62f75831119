/** Where the steps of a search expression lead in a resource, by the definitions of its type. */
import type { Definitions, ElementDigest } from '../definitions.ts';
import type { PathStep } from './expression.ts';

/** An element under its JSON name. `path` is its type, or its own path where its content is defined in place. */
export type Place = { readonly json: string; readonly repeats: boolean; readonly path: string };

/** The elements `name` below a type or path: of a choice one for each type, or that of `ofType` alone. */
export function placesBelow(
  path: string,
  name: string,
  ofType: string | undefined,
  definitions: Definitions,
): readonly Place[] {
  for (const element of definitions.elementsOf(path)) {
    const elementName = element.path.slice(element.path.lastIndexOf('.') + 1);
    const choice = elementName.endsWith('[x]');
    const base = choice ? elementName.slice(0, -3) : elementName;
    const places: Place[] = [];
    for (const type of typesOf(element)) {
      const json = choice ? base + type.charAt(0).toUpperCase() + type.slice(1) : base;
      if ((name !== base && name !== json) || (ofType !== undefined && ofType !== type)) continue;
      places.push({ json, repeats: element.max > 1, path: INLINE.has(type) ? element.path : type });
    }
    if (places.length > 0) return places;
  }
  return [];
}

/** The FHIR types of the values at the end of the steps. */
export function typesAt(type: string, steps: readonly PathStep[], definitions: Definitions): ReadonlySet<string> {
  let paths = new Set([type]);
  steps.forEach((step, i) => {
    if (step.step !== 'element') return;
    const next = steps[i + 1];
    const ofType = next?.step === 'ofType' ? next.type : undefined;
    paths = new Set(
      [...paths].flatMap((path) => placesBelow(path, step.name, ofType, definitions).map((place) => place.path)),
    );
  });
  return paths;
}

const INLINE: ReadonlySet<string> = new Set(['BackboneElement', 'Element', '']);

/** An element that shares the content of another has no type of its own. */
function typesOf(element: ElementDigest): readonly string[] {
  return element.contentReference === undefined ? element.types.map(({ code }) => code) : [''];
}

/** Whether a resource may have several elements at the path, as far as element names alone tell. */
export function repeats(type: string, path: readonly PathStep[], definitions: Definitions): boolean {
  return elementsAlong(type, path, definitions)?.every(({ max }) => max === 1) !== true;
}

/** The element at the end of a path of plain names, through data types too (`Patient.address.use`). */
export function elementAt(
  type: string,
  path: readonly PathStep[],
  definitions: Definitions,
): ElementDigest | undefined {
  for (let end = path.length; end > 0; end--) {
    const element = elementsAlong(type, path.slice(0, end), definitions)?.at(-1);
    if (element === undefined) continue;
    if (end === path.length) return element;
    const [only, ...others] = element.types;
    return only === undefined || others.length > 0 ? undefined : elementAt(only.code, path.slice(end), definitions);
  }
  return undefined;
}

/** The element of each step; undefined where a step is more than a name, or leads into a data type. */
export function elementsAlong(
  type: string,
  path: readonly PathStep[],
  definitions: Definitions,
): readonly ElementDigest[] | undefined {
  const elements: ElementDigest[] = [];
  for (const step of path) {
    if (step.step !== 'element') return undefined;
    const parent: string = elements.at(-1)?.path ?? type;
    const element = definitions
      .elementsOf(parent)
      .find((child) => child.path === `${parent}.${step.name}` || child.path === `${parent}.${step.name}[x]`);
    if (element === undefined) return undefined;
    elements.push(element);
  }
  return elements;
}
