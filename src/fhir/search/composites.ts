/**
 * Composite parameters: which values of a resource stand together in one.
 *
 * A composite has no rows of its own. Its components are parameters of the type, and their rows say in which element
 * they stand: 0 for the resource itself, n + 1 for the n-th repetition of the composite's element, APART for values that
 * a component leaves out (R4 has the text of a concept in value-string, but not in code-value-string).
 *
 * @see https://hl7.org/fhir/R4/search.html#composite
 */
import type { Definitions, SearchParameterDigest } from '../definitions.ts';
import { alternatives, type PathStep, parseSearchExpression, type SearchExpression } from './expression.ts';
import type { CompositeComponent, TypeSearchParameter } from './parameter.ts';
import { repeats } from './paths.ts';

export type Composites = {
  /** Repeating elements of the resource over which there are composites. */
  readonly elements: ReadonlySet<string>;
  /** Whether the values of a parameter at one of its places are in no composite that has the parameter. */
  isApart(parameter: TypeSearchParameter, place: SearchExpression): boolean;
};

/** The element of values that no composite may join with others. */
export const APART = -1;

const OF_RESOURCE = '%resource.';

/** @throws Error when a component is no parameter of the type */
export function componentsOf(
  { url, component = [] }: SearchParameterDigest,
  bases: readonly SearchExpression[],
  codes: ReadonlyMap<string, string>,
): readonly CompositeComponent[] {
  return component.map(({ definition, expression }) => {
    const code = codes.get(definition);
    if (code === undefined) throw new Error(`${url} has the component ${definition}, which is not known`);
    const anywhere = expression.startsWith(OF_RESOURCE);
    const plain = anywhere ? expression.slice(OF_RESOURCE.length) : expression;
    const below = alternatives(parseSearchExpression(plain)).map(stepsOf);
    const starts = anywhere ? [[]] : bases.map(stepsOf);
    return { code, anywhere, paths: starts.flatMap((start) => below.map((steps) => [...start, ...steps])) };
  });
}

function stepsOf(expression: SearchExpression): readonly PathStep[] {
  return expression.op === 'path' ? expression.steps : [];
}

export function compositesOf(
  type: string,
  parameters: ReadonlyMap<string, TypeSearchParameter>,
  definitions: Definitions,
): Composites {
  const composites = [...parameters.values()].filter(({ stored }) => stored === 'composite');
  const components = composites.flatMap((composite) => composite.components);
  const joined = new Set(components.flatMap(({ code }) => parameters.get(code)?.rows ?? []));
  const paths = components.flatMap((component) => component.paths);
  return {
    elements: repeatingElements(type, composites, definitions),
    isApart: ({ key }, place) => {
      if (!joined.has(key) || place.op !== 'path') return false;
      return !paths.some((path) => isAmong(place.steps, path));
    },
  };
}

function repeatingElements(
  type: string,
  composites: readonly TypeSearchParameter[],
  definitions: Definitions,
): ReadonlySet<string> {
  const names = new Set<string>();
  for (const place of composites.flatMap((composite) => composite.alternatives)) {
    const steps = stepsOf(place);
    const [first] = steps;
    if (first?.step === 'element' && repeats(type, steps, definitions)) names.add(first.name);
  }
  return names;
}

/** The values at `steps` are among those at `path`: its element, or one of its types alone. */
function isAmong(steps: readonly PathStep[], path: readonly PathStep[]): boolean {
  const starts = path.every((step, i) => steps[i] !== undefined && isSame(step, steps[i]));
  return starts && steps.slice(path.length).every(({ step }) => step !== 'element');
}

/** R4 writes DateTime for dateTime in one place. */
function isSame(a: PathStep, b: PathStep): boolean {
  return JSON.stringify(a).toLowerCase() === JSON.stringify(b).toLowerCase();
}
