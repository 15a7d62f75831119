/** The FHIRPath engine as a judge of our functions for constraints. */
import fc from 'fast-check';
import fhirpath from 'fhirpath';
import r4 from 'fhirpath/fhir-context/r4';
import type { ConstraintDigest, Definitions } from '../../../src/fhir/definitions.ts';
import { elementsOf } from '../../../src/fhir/validation/invariants/elements.ts';
import type { InvariantScope } from '../../../src/fhir/validation/invariants/invariant.ts';
import { invariantOf } from '../../../src/fhir/validation/invariants/source.ts';
import { primitives } from '../../../src/fhir/validation/primitives.ts';
import { anyNode } from './any-node.ts';

/** A constraint, the path of the element where it stands, and what stands there: a type or the path itself. */
export type Place = {
  readonly constraint: Pick<ConstraintDigest, 'key' | 'expression'>;
  readonly path: string;
  readonly content: string;
};

/** Holds our check of the constraint equal to the engine on random nodes of the right shape. */
export function agreesWithEngine(
  { constraint, path, content }: Place,
  definitions: Definitions,
  numRuns: number,
): void {
  const { expression = '' } = constraint;
  const scope = emptyScope();
  const ours = invariantOf(constraint, path, elementsOf(content, definitions), scope);
  const engine = engineOf(content, expression);
  const type = path.split('.')[0] ?? '';
  const texts = textsOf(expression);
  // Two equal codes of which one has extensions are two to the engine, and one to us.
  const siblings = !/isDistinct|linkId|%context|%resource|path = type/.test(expression);
  const node = anyNode(content, definitions, { texts, siblings });
  const looksBeyond = expression.includes('%resource') && content !== type && definitions.isResourceType(type);
  const resource = looksBeyond ? anyNode(type, definitions, { texts, depth: 2, siblings }) : fc.constant(undefined);
  fc.assert(
    fc.property(node, resource, (value, beyond) => {
      const around = (beyond ?? (content === type ? value : {})) as Readonly<Record<string, unknown>>;
      Object.assign(scope, { resource: around, root: around, containedIds: undefined, engineWork: 0 });
      const judged = engine(value, around);
      const found = ours(value);
      // What decides an `or` by itself decides it here, though the engine fails for the other side.
      if (judged === undefined && found === true && NAMES_ALONE.test(expression)) return;
      expect(found).toEqual(judged);
    }),
    { numRuns, seed: SEED },
  );
}

/** The same nodes in each run: a constraint and the engine are two texts that do not change by themselves. */
const SEED = 20261122;
const NAMES_ALONE = /^\w+(?: or \w+)+$/;

export function emptyScope(): InvariantScope {
  return { resource: {}, root: {}, containedIds: undefined, engineWork: 0 };
}

/** True, false (for an empty result, too), or undefined where the engine fails. */
function engineOf(base: string, expression: string) {
  const isPrimitive = base in primitives && base !== 'xhtml';
  const key = `value${base.charAt(0).toUpperCase()}${base.slice(1)}`;
  const path = isPrimitive ? { base: 'Extension', expression: `value.select(${expression})` } : { base, expression };
  const evaluate = fhirpath.compile(path, r4, {
    resolveInternalTypes: false,
    traceFn: () => undefined,
    // The engine gives regular expressions the flag u, which refuses the escapes of R4's own.
    userInvocationTable: {
      matches: {
        fn: (items: unknown[], pattern: string) =>
          (items[0] ?? undefined) === undefined ? [] : new RegExp(pattern, 's').test(String(items[0])),
        arity: { 1: ['String'] },
      },
    },
  });
  return (value: unknown, resource: unknown): boolean | undefined => {
    let result: readonly unknown[];
    try {
      result = evaluate(isPrimitive ? { [key]: value } : value, { resource, rootResource: resource }) as unknown[];
    } catch {
      return undefined;
    }
    if (result.length > 1) return undefined;
    return result.length === 1 && fhirpath.util.valData(result[0] as never) !== false;
  };
}

function textsOf(expression: string): string[] {
  return [...expression.matchAll(/'([^']*)'/g)].map((match) => match[1] ?? '').concat('http://unitsofmeasure.org');
}
