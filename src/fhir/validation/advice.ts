/**
 * What code systems know of the codings in a resource: codes that are not theirs, displays that are not the code's,
 * codes that are retired or deprecated. Nothing of it makes the resource invalid.
 *
 * For a resource that is valid R4. A write never looks at this; $validate shows it. Bindings are checked by the
 * validator, and are not repeated here.
 */
import type { Coding } from '@medplum/fhirtypes';
import type { Definitions } from '../definitions.ts';
import { type Issue, issue } from '../failure.ts';
import type { TerminologyResources } from '../terminology/resources.ts';
import { validateInSystem } from '../terminology/validate-code.ts';
import { ValueSets } from '../terminology/value-set.ts';
import type { FhirNode } from './invariant.ts';
import { type Place, stepInto } from './place.ts';
import { formsUnder } from './schema.ts';

/** More would not be read. */
const MAX_ADVICE = 100;
/** Different codings that are looked up for one resource. */
const MAX_QUESTIONS = 2000;

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
  for (const { coding, expression } of codingsIn(node, { expression: place, path: type, type }, definitions)) {
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
  if (system === undefined || code === undefined) return undefined;
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

type PlacedCoding = { readonly coding: Coding; readonly expression: string };

/** All codings of a resource, in document order of the definitions, those of resources inside it too. */
function* codingsIn(node: FhirNode, place: Place, definitions: Definitions): Generator<PlacedCoding> {
  if (place.path === undefined) return;
  if (place.path === 'Coding') yield { coding: node as Coding, expression: place.expression };
  for (const { types } of formsUnder(place.path, definitions)) {
    for (const { key } of types) {
      const value = node[key];
      if (typeof value !== 'object' || value === null) continue;
      const below = stepInto(key, place, definitions);
      if (!Array.isArray(value)) yield* codingsBelow(value as FhirNode, below, definitions);
      else {
        for (const [at, item] of value.entries()) {
          if (typeof item !== 'object' || item === null) continue;
          const expression = `${below.expression}[${at}]`;
          yield* codingsBelow(item as FhirNode, { ...below, expression }, definitions);
        }
      }
    }
  }
}

function codingsBelow(value: FhirNode, place: Place, definitions: Definitions): Generator<PlacedCoding> {
  // A resource inside says its own type.
  const type = typeof value.resourceType === 'string' ? value.resourceType : undefined;
  if (type === undefined || !definitions.isResourceType(type)) return codingsIn(value, place, definitions);
  return codingsIn(value, { expression: place.expression, path: type, type }, definitions);
}
