/** Where an extension may stand. @see https://hl7.org/fhir/R4/defining-extensions.html#context */

import type { Definitions } from '../../definitions.ts';
import { memo } from '../../memo.ts';
import type { ExtensionContext, Profile } from '../../profiles/model.ts';
import { elementsOf } from '../invariants/elements.ts';
import { selectedIn } from '../invariants/engine.ts';
import type { FhirNode, InvariantCheck } from '../invariants/invariant.ts';
import { invariantOf } from '../invariants/source.ts';
import type { Place } from '../place.ts';
import type { CheckState } from '../state.ts';

export type ContextSource = {
  readonly definitions: Definitions;
  readonly state: CheckState;
};

/** The element that has the extension. */
export type Holder = { readonly holder: FhirNode; readonly place: Place; readonly resource: FhirNode };

/** Why an extension may not stand where it stands, or may be in the wrong place. */
export type Doubt = { readonly words: string; readonly isCertain: boolean };

/** Undefined when the extension may stand there. */
export function doubtOf(
  { context, contextInvariant = [] }: Profile,
  at: Holder,
  source: ContextSource,
): Doubt | undefined {
  if (context !== undefined && !context.some((allowed) => isIn(allowed, at, source))) {
    const words = `This extension may not stand here: expected on ${context.map(({ expression }) => expression).join(', ')}`;
    return { words, isCertain: true };
  }
  let doubt: Doubt | undefined;
  for (const expression of contextInvariant) {
    if (expression.includes('%extension')) continue;
    const holds = contextCheck(expression, at.place, source)(at.holder);
    if (holds === false) {
      return { words: `This extension may stand only where this holds: ${expression}`, isCertain: true };
    }
    if (holds === undefined) {
      doubt ??= {
        words: `It could not be found out whether this extension may stand here, only where this holds: ${expression}`,
        isCertain: false,
      };
    }
  }
  return doubt;
}

const contextChecks = new WeakMap<CheckState, Map<string, InvariantCheck>>();

/** One for all extensions of a kind: to compile an expression takes longer than to evaluate it. */
function contextCheck(expression: string, place: Place, { definitions, state }: ContextSource): InvariantCheck {
  const { path = 'Element', type = path } = place;
  const made = contextChecks.get(state) ?? new Map<string, InvariantCheck>();
  contextChecks.set(state, made);
  return memo(made, `${path} ${type} ${expression}`, () =>
    invariantOf({ key: 'context', expression }, type, elementsOf(path, definitions), state),
  );
}

function isIn({ type, expression }: ExtensionContext, at: Holder, source: ContextSource): boolean {
  switch (type) {
    case 'element':
      return isElement(expression.slice(expression.indexOf('#') + 1), at, source.definitions);
    case 'extension':
      return at.holder.url === expression.split('#')[0] && at.place.type === 'Extension';
    case 'fhirpath':
      return selects(expression, at, source.state);
  }
}

/** By a type that the element has, by its path in its type, or by its path in the resource. */
function isElement(expression: string, { place }: Holder, definitions: Definitions): boolean {
  if (expression === 'Element') return true;
  const wanted = withoutChoice(expression);
  const { form, path, type } = place;
  if (form !== undefined && withoutChoice(form.element.path) === wanted) return true;
  if (path !== undefined && path !== 'Element' && withoutChoice(path) === wanted) return true;
  if (pathInResource(place.expression) === wanted) return true;
  return [...(form?.element.types ?? []).slice(0, form?.types.length === 1 ? 1 : 0).map(({ code }) => code), type].some(
    (name) => name !== undefined && isA(name, wanted, definitions),
  );
}

function withoutChoice(path: string): string {
  return path.endsWith('[x]') ? path.slice(0, -3) : path;
}

/** `Bundle.entry[0].resource.name[1].given` of a Patient is not told by its expression alone: only what starts at a type counts. */
function pathInResource(expression: string): string {
  return expression.replace(/\[\d+\]|\.ofType\([A-Za-z]+\)/g, '');
}

function isA(type: string, wanted: string, definitions: Definitions): boolean {
  let at: string | undefined = type;
  for (let level = 0; at !== undefined && level < 10; level++) {
    if (at === wanted) return true;
    const structure = definitions.structure(at);
    at = structure?.base === undefined ? undefined : structure.base.slice(structure.base.lastIndexOf('/') + 1);
  }
  return false;
}

const selected = new WeakMap<FhirNode, Map<string, ReadonlySet<unknown> | 'unknown'>>();

/** Whether the expression, from the resource, selects the element. What cannot be evaluated refuses nothing. */
function selects(expression: string, { holder, resource }: Holder, state: CheckState): boolean {
  let byExpression = selected.get(resource);
  if (byExpression === undefined) {
    byExpression = new Map();
    selected.set(resource, byExpression);
  }
  let values = byExpression.get(expression);
  if (values === undefined) {
    values = selectedIn(resource, expression, state) ?? 'unknown';
    byExpression.set(expression, values);
  }
  return values === 'unknown' || values.has(holder);
}
