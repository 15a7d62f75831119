import type { Definitions } from '../../definitions.ts';
import { formsUnder } from '../schema.ts';
import type { ElementAlternatives, ElementsOf } from './invariant.ts';

const known = new WeakMap<Definitions, Map<string, ElementsOf>>();

/**
 * What may stand below, by the definitions; made when first asked for.
 *
 * @param content a type (`Period`), a primitive type (`dateTime`) or the path of a backbone element (`Observation.component`)
 */
export function elementsOf(content: string, definitions: Definitions): ElementsOf {
  let ofDefinitions = known.get(definitions);
  if (ofDefinitions === undefined) {
    ofDefinitions = new Map();
    known.set(definitions, ofDefinitions);
  }
  let on = ofDefinitions.get(content);
  if (on === undefined) {
    on = makeElements(content, definitions);
    ofDefinitions.set(content, on);
  }
  return on;
}

function makeElements(content: string, definitions: Definitions): ElementsOf {
  let forms: Map<string, ElementAlternatives> | undefined;
  const type = definitions.structure(content)?.type ?? content;
  return {
    type,
    element(name) {
      forms ??= alternativesUnder(type, definitions);
      return forms.get(name);
    },
    isA: (wanted) => isA(type, wanted, definitions),
    other: (other) => elementsOf(other, definitions),
  };
}

function alternativesUnder(content: string, definitions: Definitions): Map<string, ElementAlternatives> {
  return new Map(
    formsUnder(content, definitions).map(({ name, element, types }) => [
      name,
      {
        isList: element.max > 1,
        types: types.map(({ type: { code }, key, sibling }) => ({
          key,
          ...(sibling === undefined ? {} : { sibling }),
          content: code === 'BackboneElement' || code === 'Element' ? element.path : code,
        })),
      },
    ]),
  );
}

/** Whether a value of the type is one of the wanted type: a `code` is a `string`, an `Age` a `Quantity`. */
function isA(type: string, wanted: string, definitions: Definitions): boolean {
  // The content of a backbone element has no type with a name; all we can say is what it is made of.
  let at: string | undefined = type.includes('.') ? 'BackboneElement' : type;
  for (let level = 0; at !== undefined && level < 10; level++) {
    if (at === wanted) return true;
    const base: string | undefined = definitions.structure(at)?.base;
    at = base?.slice(base.lastIndexOf('/') + 1);
  }
  return false;
}
