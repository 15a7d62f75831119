/** The slices of an element as the keywords `slicing` (which item belongs where) and `slices` (what each must be). */
import type { Discriminator, ProfileElement } from '../../profiles/model.ts';
import { contentPath } from '../place.ts';
import type { ElementForm, FormType, JsonSchema } from '../schema.ts';
import { matchOf } from './discriminators.ts';
import type { Known } from './known.ts';
import type { Match } from './matcher.ts';
import type { SliceRules, SlicingData, SlicingRules } from './slicing.ts';

/** `required`: slices that must be there, for when there is no item at all. */
export type SlicesSchema = { readonly schema?: JsonSchema; readonly required?: readonly string[] };

export function slicesOf(
  element: ProfileElement,
  form: ElementForm,
  type: FormType,
  known: Known,
  contentOf: (slice: ProfileElement) => JsonSchema,
): SlicesSchema {
  if (element.slices.length === 0 || element.slicing === undefined) return {};
  const sorted: Sorted = { contents: [], ends: [] };
  const path = contentPath(form, type.type);
  const rules = rulesOf(element, (slice, by) => matchOf(slice, path, by, known), contentOf, sorted);
  if (rules === undefined) return {};
  const slicing: SlicingData = { ...rules, ends: sorted.ends, ...(form.element.max > 1 ? {} : { single: true }) };
  return {
    schema: { slicing, slices: sorted.contents },
    required: rules.slices.filter(({ min }) => min > 0).map(({ name }) => name),
  };
}

/** Filled in the order of the tree: a slice, then its own slices. */
type Sorted = { readonly contents: JsonSchema[]; readonly ends: number[] };

function rulesOf(
  { slices, slicing }: ProfileElement,
  match: (slice: ProfileElement, by: readonly Discriminator[]) => Match | undefined,
  contentOf: (slice: ProfileElement) => JsonSchema,
  sorted: Sorted,
): SlicingRules | undefined {
  if (slicing === undefined || slicing.discriminators.length === 0) return undefined;
  let isOpen = false;
  const rules = slices.map((slice): SliceRules => {
    const at = sorted.contents.length;
    const name = slice.sliceName ?? slice.name;
    const isDefault = name === '@default';
    const meets = isDefault ? undefined : match(slice, slicing.discriminators);
    // Of a slice that cannot be told from others nothing can be asked for, and any item may be of it.
    const isKnown = isDefault || meets !== undefined;
    if (!isKnown) isOpen = true;
    sorted.contents.push(contentOf(slice));
    sorted.ends.push(at);
    const below = slice.slices.length === 0 ? undefined : rulesOf(slice, match, contentOf, sorted);
    sorted.ends[at] = sorted.contents.length - 1;
    return {
      name,
      at,
      ...(meets === undefined ? {} : { match: meets }),
      ...(isDefault ? { isDefault } : {}),
      min: isKnown ? slice.min : 0,
      max: Number.isFinite(slice.max) ? slice.max : null,
      ...(below === undefined ? {} : { below }),
    };
  });
  return { rules: isOpen ? 'open' : slicing.rules, ordered: slicing.ordered, slices: rules };
}
