/** What a Reference may lead to. @see https://hl7.org/fhir/R4/references.html */
import type { FhirNode } from './invariants/invariant.ts';
import { type CheckState, targetOf } from './state.ts';

const RELATIVE = /^(?:[A-Za-z][A-Za-z]*)\/[A-Za-z0-9\-.]{1,64}(?:\/_history\/[A-Za-z0-9\-.]{1,64})?$/;
const ABSOLUTE = /^[A-Za-z][A-Za-z0-9+.-]*:\S+$/;
const CONDITIONAL = /^[A-Z][A-Za-z]*\?\S/;
const CONTAINED = /^#[A-Za-z0-9\-.]{0,64}$/;

/**
 * Whether the literal `reference` has one of the forms R4 knows and, where it names a type, an allowed one.
 *
 * Only a relative reference and a conditional one say their type reliably: an absolute url may end in anything.
 */
export function isAllowedTarget(reference: string, allowed: ReadonlySet<string>): boolean {
  const slash = reference.indexOf('/');
  if (slash > 0 && isRelative(reference, slash)) {
    return allowed.has(reference.slice(0, slash)) || allowed.has('Resource');
  }
  if (ABSOLUTE.test(reference) || CONTAINED.test(reference)) return true;
  if (!CONDITIONAL.test(reference)) return false;
  return allowed.has('Resource') || allowed.has(reference.slice(0, reference.indexOf('?')));
}

const TYPED = /^(?:https?:\/\/\S*\/)?([A-Z][A-Za-z]+)\/[A-Za-z0-9\-.]{1,64}(?:\/_history\/[A-Za-z0-9\-.]{1,64})?$/;

/**
 * The type of what a Reference leads to: that of the resource at hand, contained or in the Bundle around, else as the
 * reference says it; undefined: not known.
 */
export function typeOfTarget({ reference, type }: FhirNode, state: CheckState): string | undefined {
  if (typeof reference === 'string') {
    const target = targetOf(reference, state);
    if (typeof target?.resourceType === 'string') return target.resourceType;
    const said = TYPED.exec(reference)?.[1] ?? (CONDITIONAL.test(reference) ? reference.split('?')[0] : undefined);
    if (said !== undefined) return said;
  }
  return typeof type === 'string' && /^[A-Z][A-Za-z]+$/.test(type) ? type : undefined;
}

/** Type/id and Type/id/_history/version; most references are, so this is no regular expression. */
function isRelative(reference: string, slash: number): boolean {
  for (let at = 0; at < slash; at++) if (!isLetter(reference.charCodeAt(at))) return false;
  const end = endOfId(reference, slash + 1);
  if (end === reference.length) return true;
  return end > 0 && reference.startsWith(HISTORY, end) && endOfId(reference, end + HISTORY.length) === reference.length;
}

const HISTORY = '/_history/';
const LONGEST_ID = 64;

/** -1 where no id begins. */
function endOfId(text: string, start: number): number {
  let at = start;
  while (at < text.length && isOfId(text.charCodeAt(at))) at++;
  return at > start && at - start <= LONGEST_ID ? at : -1;
}

function isLetter(char: number): boolean {
  return (char | 32) >= 97 && (char | 32) <= 122;
}

/** Letters, digits, hyphens and dots. */
function isOfId(char: number): boolean {
  return isLetter(char) || (char >= 48 && char <= 57) || char === 45 || char === 46;
}

export function isReferenceForm(reference: string): boolean {
  return [RELATIVE, ABSOLUTE, CONTAINED, CONDITIONAL].some((form) => form.test(reference));
}

export type Ways = {
  readonly aggregation?: readonly ('contained' | 'referenced' | 'bundled')[];
  readonly versioning?: 'either' | 'independent' | 'specific';
};

/**
 * Whether a literal reference leads to its target in a way that ElementDefinition.type allows. A target beside is
 * referenced as well as bundled; where nothing is beside, whether it is bundled cannot be told.
 *
 * @see https://hl7.org/fhir/R4/elementdefinition-definitions.html#ElementDefinition.type.aggregation
 */
export function leadsAsAllowed(reference: string, { aggregation, versioning }: Ways, state: CheckState): boolean {
  const isContained = reference.startsWith('#');
  if (!isContained && versioning !== undefined && versioning !== 'either') {
    if (reference.includes(HISTORY) !== (versioning === 'specific')) return false;
  }
  if (aggregation === undefined) return true;
  if (isContained) return aggregation.includes('contained');
  if (aggregation.includes('referenced')) return true;
  return aggregation.includes('bundled') && (state.beside === undefined || targetOf(reference, state) !== undefined);
}
