/** The functions for constraints against the FHIRPath engine (decision 0084), on random nodes of the right shape. */
import fc from 'fast-check';
import fhirpath from 'fhirpath';
import r4 from 'fhirpath/fhir-context/r4';
import { type ConstraintDigest, loadDefinitions } from '../../../src/fhir/definitions.ts';
import type { InvariantScope } from '../../../src/fhir/validation/invariant.ts';
import { compileInvariant } from '../../../src/fhir/validation/invariant-compiler.ts';
import { elementsOf } from '../../../src/fhir/validation/invariant-elements.ts';
import { parseInvariant } from '../../../src/fhir/validation/invariant-parser.ts';
import { invariantOf } from '../../../src/fhir/validation/invariant-source.ts';
import { correctedExpressions, invariants } from '../../../src/fhir/validation/invariant-table.ts';
import { primitives } from '../../../src/fhir/validation/primitives.ts';
import { anyNode } from './any-node.ts';

const definitions = loadDefinitions();

/** Constraints for which the engine is no judge, and why; tested by hand in invariants-words.test.ts. */
const NOT_COMPARED: ReadonlyMap<string, string> = new Map([
  ['dom-3', 'the expression asks as(canonical) of all descendants at once, which is an error in FHIRPath'],
  ['ref-1', 'the engine knows %rootResource.contained only in a resource that contains some'],
  ['ctm-1', 'resolve() asks a server'],
  ['txt-1', 'the engine has its own list of elements and attributes'],
  ['txt-2', 'as txt-1'],
  ['evv-1', 'the expression names elements of R5'],
  ['obs-7', 'equal Codings with different extensions are one to us; the engine is asked with equal ones below'],
]);

type Place = { readonly constraint: ConstraintDigest; readonly path: string; readonly content: string };

/** One place for each constraint of R4 and each kind of content. */
function places(): Place[] {
  const types =
    'Age Attachment ContactPoint Count DataRequirement Distance Duration ElementDefinition Expression Extension MoneyQuantity Narrative Period Quantity Range Ratio Reference SimpleQuantity Timing TriggerDefinition';
  const found = new Map<string, Place>();
  for (const type of [...types.split(' '), ...definitions.resourceTypes]) {
    for (const element of definitions.structure(type)?.elements ?? []) {
      for (const constraint of element.constraints ?? []) {
        for (const content of contentsOf(element.path, element.types)) {
          // What all resources have is asked of three.
          if (constraint.key.startsWith('dom-') && !['Observation', 'Patient', 'Basic'].includes(type)) continue;
          found.set(`${constraint.key} ${constraint.expression} ${content}`, {
            constraint,
            path: element.path,
            content,
          });
        }
      }
    }
  }
  return [...found.values()];
}

function contentsOf(path: string, types: readonly { readonly code: string }[]): string[] {
  if (!path.includes('.')) return [path];
  return types.map(({ code }) => (code === 'BackboneElement' || code === 'Element' ? path : code));
}

/** R4 has it at every extension; the digest leaves it out. */
const EXT_1 = {
  key: 'ext-1',
  severity: 'error',
  human: '',
  expression: 'extension.exists() != value.exists()',
} as const;

const all = [...places(), { constraint: EXT_1, path: 'Extension', content: 'Extension' }];
const comparable = all.filter(
  ({ constraint }) => !NOT_COMPARED.has(constraint.key) && !correctedExpressions.includes(constraint.expression ?? ''),
);

test('every constraint of R4 is a function: the engine is not needed for any', () => {
  const scope = emptyScope();
  const without = all.filter(({ constraint: { expression = '' }, path, content }) => {
    if (invariants.has(expression)) return false;
    const tree = parseInvariant(expression);
    return tree === undefined || compileInvariant(tree, path, elementsOf(content, definitions), scope) === undefined;
  });
  expect(without).toEqual([]);
});

test('every written function stands for an expression that R4 has', () => {
  const expressions = new Set(all.map(({ constraint }) => constraint.expression));
  expect([...invariants.keys()].filter((expression) => !expressions.has(expression))).toEqual([]);
});

test.each(comparable.map((place) => [`${place.constraint.key} of ${place.content}`, place] as const))(
  '%s gives what the engine gives',
  (_name, place) => {
    agrees(place, 60);
  },
);

function agrees({ constraint, path, content }: Place, numRuns: number): void {
  const { expression = '' } = constraint;
  const scope = emptyScope();
  const ours = invariantOf(constraint, path, elementsOf(content, definitions), scope);
  const engine = engineOf(content, expression);
  const type = path.split('.')[0] ?? '';
  const texts = textsOf(expression);
  // Two equal codes of which one has extensions are two to the engine, and one to us.
  const siblings = !/isDistinct|linkId/.test(expression);
  const node = anyNode(content, definitions, { texts, siblings });
  const looksBeyond = expression.includes('%resource') && content !== type && definitions.isResourceType(type);
  const resource = looksBeyond ? anyNode(type, definitions, { texts, depth: 2 }) : fc.constant(undefined);
  fc.assert(
    fc.property(node, resource, (value, beyond) => {
      const around = (beyond ?? (content === type ? value : {})) as Readonly<Record<string, unknown>>;
      Object.assign(scope, { resource: around, root: around, containedIds: undefined, engineWork: 0 });
      expect(ours(value)).toEqual(engine(value, around));
    }),
    { numRuns },
  );
}

function emptyScope(): InvariantScope {
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
