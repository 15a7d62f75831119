/** What a Reference may lead to. @see https://hl7.org/fhir/R4/references.html */
import type { FhirNode } from './invariant.ts';
import { type CheckState, targetOf } from './state.ts';

const RELATIVE = /^(?:[A-Za-z][A-Za-z]*)\/[A-Za-z0-9\-.]{1,64}(?:\/_history\/[A-Za-z0-9\-.]{1,64})?$/;
const ABSOLUTE = /^[A-Za-z][A-Za-z0-9+.-]*:\S+$/;
const CONDITIONAL = /^[A-Z][A-Za-z]*\?\S/;
const CONTAINED = /^#[A-Za-z0-9\-.]{0,64}$/;

/**
 * Whether the literal `reference` has one of the forms R4 knows and, where it names a type, an allowed one.
 *
 * Only a relative reference and a conditional one say their type reliably: an absolute url may end in anything. Where
 * the resource itself is at hand, contained or in the Bundle around, its type is looked at.
 */
export function isAllowedTarget(reference: string, allowed: ReadonlySet<string>, state: CheckState): boolean {
  const slash = reference.indexOf('/');
  if (slash > 0 && RELATIVE.test(reference)) {
    return allowed.has('Resource') || allowed.has(reference.slice(0, slash));
  }
  if (ABSOLUTE.test(reference) || CONTAINED.test(reference)) {
    if (!state.follows || allowed.has('Resource')) return true;
    const type = targetOf(reference, state)?.resourceType;
    return typeof type !== 'string' || allowed.has(type);
  }
  if (!CONDITIONAL.test(reference)) return false;
  return allowed.has('Resource') || allowed.has(reference.slice(0, reference.indexOf('?')));
}

export function isReferenceForm(reference: string): boolean {
  return [RELATIVE, ABSOLUTE, CONTAINED, CONDITIONAL].some((form) => form.test(reference));
}

/** The type of the target, as the reference says it or, where it says none, as the resource at hand is. */
export function typeOfTarget(reference: string, target: FhirNode | undefined): string {
  if (RELATIVE.test(reference) || CONDITIONAL.test(reference)) return reference.slice(0, reference.search(/[/?]/));
  return String(target?.resourceType);
}
