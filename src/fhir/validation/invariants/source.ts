/**
 * Where the check of a constraint comes from: a function written for its expression, else one compiled from it, else the
 * FHIRPath engine (decision 0084).
 */
import type { ConstraintDigest } from '../../definitions.ts';
import { compileInvariant } from './compiler.ts';
import { engineInvariant } from './engine.ts';
import type { ElementsOf, FhirNode, InvariantCheck, InvariantScope } from './invariant.ts';
import { parseInvariant } from './parser.ts';
import { invariants } from './table.ts';
import { NEEDS_ENGINE, NO_VALUE, NOT_EVALUABLE } from './values.ts';

export { expressionFault } from './text.ts';

/**
 * The check of a constraint, made on its first call.
 *
 * It holds when its expression gives true. An empty result breaks it, as in the reference validator; what cannot be
 * evaluated (several items where FHIRPath needs one, a reference that leads nowhere, an unknown function, too much to
 * look at) is undefined.
 *
 * @param path where the constraint stands in the base definition: `Observation.component`, `Observation.effective[x]`
 * @param on what the value is: for an element with a choice of types, one of them
 */
export function invariantOf(
  constraint: Pick<ConstraintDigest, 'key' | 'expression'>,
  path: string,
  on: ElementsOf,
  scope: InvariantScope,
): InvariantCheck {
  let check: InvariantCheck | undefined;
  return (value, sibling) => {
    check ??= checkOf(constraint, path, on, scope);
    return check(value, sibling);
  };
}

function checkOf(
  { expression }: Pick<ConstraintDigest, 'key' | 'expression'>,
  path: string,
  on: ElementsOf,
  scope: InvariantScope,
): InvariantCheck {
  if (expression === undefined) return () => undefined;
  const written = invariants.get(expression);
  if (written !== undefined) {
    const holds = written(on, scope);
    return (value) => holds(value as FhirNode);
  }
  const tree = parseInvariant(expression);
  const compiled = tree === undefined ? undefined : compileInvariant(tree, path, on, scope);
  const engine = engineInvariant(expression, on, scope);
  if (compiled === undefined) return engine;
  return (value, sibling) => {
    try {
      return compiled(value ?? NO_VALUE) === true;
    } catch (error) {
      if (error === NEEDS_ENGINE) return engine(value, sibling);
      if (error === NOT_EVALUABLE) return undefined;
      throw error;
    }
  };
}
