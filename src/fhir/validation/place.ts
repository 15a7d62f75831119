import type { Definitions } from '../definitions.ts';
import { type ElementForm, type FormType, formsUnder } from './schema.ts';

/** Where a finding is: its FHIRPath, and what stands there by definition. */
export type Place = {
  readonly expression: string;
  /** Path of the type or element whose elements stand below; undefined in a primitive or beyond what is known. */
  readonly path: string | undefined;
  readonly form?: ElementForm;
  /** The type of the value, where one is defined. */
  readonly type?: string;
};

/**
 * The FHIRPath of a JSON pointer: `/component/0/valueQuantity/code` of an Observation is
 * `Observation.component[0].value.ofType(Quantity).code`. `_status` stands for the same element as `status`.
 */
export function placeOf(pointer: string, root: Place, definitions: Definitions): Place {
  let place = root;
  for (const segment of pointer.split('/').slice(1)) place = stepInto(segment, place, definitions);
  return place;
}

export function stepInto(segment: string, from: Place, definitions: Definitions): Place {
  if (/^\d+$/.test(segment)) return { ...from, expression: `${from.expression}[${segment}]` };
  const found = from.path === undefined ? undefined : keyIn(segment, formsUnder(from.path, definitions));
  if (found === undefined) return { expression: `${from.expression}${asStep(segment)}`, path: undefined };
  const { form, type, isSibling } = found;
  const expression = `${from.expression}${stepTo(form.name)}${form.types.length > 1 ? `.ofType(${type.code})` : ''}`;
  return { expression, form, type: type.code, path: isSibling ? 'Element' : contentPath(form, type) };
}

/** The one name of an element that FHIRPath reads as an operator; the specification writes it so, too (dom-6). */
const QUOTED: ReadonlyMap<string, string> = new Map([['div', '.`div`']]);

/** An element's name as a step of a path. */
export function stepTo(name: string): string {
  return QUOTED.get(name) ?? `.${name}`;
}

/** A name as a step of a path; a name that is none is left out, since it may be anything. */
export function asStep(name: string): string {
  return /^_?[A-Za-z][A-Za-z0-9]{0,63}$/.test(name) ? stepTo(name) : '';
}

function keyIn(key: string, forms: readonly ElementForm[]) {
  for (const form of forms) {
    for (const type of form.types) {
      if (type.key === key) return { form, type: { ...type.type }, isSibling: false };
      if (type.sibling === key) return { form, type: { ...type.type }, isSibling: true };
    }
  }
  return undefined;
}

export function contentPath({ element }: ElementForm, type: FormType['type']): string {
  if (type.code === 'BackboneElement' || type.code === 'Element') return element.path;
  return type.code;
}
