/**
 * What code systems know of the codings in a resource: codes that are not theirs, displays that are not the code's,
 * codes that are retired or deprecated. Nothing of it makes the resource invalid.
 *
 * Takes whatever JSON object, in bounded time: what is no coding is passed over. A write never looks at this; $validate
 * shows it. Bindings are checked by the validator, and are not repeated here.
 */
import type { Coding } from '@medplum/fhirtypes';
import type { Definitions } from '../definitions.ts';
import { type Issue, issue } from '../failure.ts';
import type { TerminologyResources } from '../terminology/resources.ts';
import { validateInSystem } from '../terminology/validate-code.ts';
import { ValueSets } from '../terminology/value-set.ts';
import type { FhirNode } from './invariants/invariant.ts';
import { type Place, stepInto } from './place.ts';
import { formsUnder } from './schema.ts';

/** More would not be read. */
const MAX_ADVICE = 100;
/** Different codings that are looked up for one resource. */
const MAX_QUESTIONS = 2000;
/** As deep as the validator goes. */
const MAX_DEPTH = 64;

const AND_MORE = 'Not all codings were looked at: this is what was found in the first ones';

/** @param terminology what is shipped, and what the clinic has stored and loaded */
export async function adviceOn(
  resource: object,
  place: string,
  definitions: Definitions,
  terminology: TerminologyResources,
): Promise<readonly Issue[]> {
  const node = resource as FhirNode;
  const type = String(node.resourceType);
  const sets = new ValueSets(terminology);
  const answers = new Map<string, string | undefined>();
  const advice: Issue[] = [];
  const codings = new CodingFinder(definitions).in(node, { expression: place, path: type, type });
  for (const { coding, expression } of codings) {
    if (advice.length >= MAX_ADVICE || answers.size >= MAX_QUESTIONS) {
      return [...advice, { ...issue('incomplete', AND_MORE, place), severity: 'information' }];
    }
    const { system, version, code, display } = coding;
    const question = JSON.stringify([system, version, code, display]);
    if (!answers.has(question)) answers.set(question, await adviceOnCoding(coding, sets));
    const words = answers.get(question);
    if (words !== undefined) advice.push({ ...issue('code-invalid', words, expression), severity: 'warning' });
  }
  return advice;
}

/** Undefined where there is nothing to say, and where the content of the system is not here. */
async function adviceOnCoding({ version, ...coding }: Coding, sets: ValueSets): Promise<string | undefined> {
  const { system, code } = coding;
  if (typeof system !== 'string' || typeof code !== 'string' || !isText(version) || !isText(coding.display)) {
    return undefined;
  }
  const index = await sets.system(system);
  // Of a version that is not here nothing can be said.
  if (index?.isComplete !== true || (version !== undefined && version !== index.version)) return undefined;
  const { result, message, display } = await validateInSystem(sets, system, undefined, {
    codings: [coding],
    abstract: true,
  });
  if (!result && display !== undefined) return `${message}: ${system} calls it ${JSON.stringify(display)}`;
  if (message !== undefined) return message;
  return index.isDeprecated(code) ? `The code ${system}|${code} is deprecated: use another one` : undefined;
}

/** What is sent need not be what the type says. */
function isText(value: unknown): value is string | undefined {
  return value === undefined || typeof value === 'string';
}

type PlacedCoding = { readonly coding: Coding; readonly expression: string };

/** Looks for codings. What stands below each key of a type is found out once. */
class CodingFinder {
  readonly #definitions: Definitions;
  readonly #children = new Map<string, ReadonlyMap<string, Place>>();

  constructor(definitions: Definitions) {
    this.#definitions = definitions;
  }

  /** All codings below, in document order, those of resources inside too. */
  *in(node: FhirNode, place: Place, depth = 0): Generator<PlacedCoding> {
    const type = typeof node.resourceType === 'string' ? node.resourceType : undefined;
    // A resource inside says its own type.
    const path = type !== undefined && this.#definitions.isResourceType(type) ? type : place.path;
    if (path === undefined || depth > MAX_DEPTH) return;
    if (path === 'Coding') yield { coding: node as Coding, expression: place.expression };
    const children = this.#childrenOf(path);
    for (const [key, value] of Object.entries(node)) {
      const step = children.get(key);
      if (step === undefined || typeof value !== 'object' || value === null) continue;
      const below = { ...step, expression: place.expression + step.expression };
      if (!Array.isArray(value)) yield* this.in(value as FhirNode, below, depth + 1);
      else {
        for (const [at, item] of value.entries()) {
          if (typeof item !== 'object' || item === null || Array.isArray(item)) continue;
          yield* this.in(item as FhirNode, { ...below, expression: `${below.expression}[${at}]` }, depth + 1);
        }
      }
    }
  }

  #childrenOf(path: string): ReadonlyMap<string, Place> {
    let children = this.#children.get(path);
    if (children === undefined) {
      const keys = formsUnder(path, this.#definitions).flatMap(({ types }) => types.map(({ key }) => key));
      children = new Map(keys.map((key) => [key, stepInto(key, { expression: '', path }, this.#definitions)]));
      this.#children.set(path, children);
    }
    return children;
  }
}
