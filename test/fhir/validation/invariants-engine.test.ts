/** The functions for constraints against the FHIRPath engine (decision 0084), on random nodes of the right shape. */
import { loadDefinitions } from '../../../src/fhir/definitions.ts';
import { compileInvariant } from '../../../src/fhir/validation/invariants/compiler.ts';
import { elementsOf } from '../../../src/fhir/validation/invariants/elements.ts';
import { parseInvariant } from '../../../src/fhir/validation/invariants/parser.ts';
import { correctedExpressions, invariants } from '../../../src/fhir/validation/invariants/table.ts';
import { agreesWithEngine, emptyScope, type Place } from './engine.ts';

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
    agreesWithEngine(place, definitions, 60);
  },
);
