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
  if (slash > 0 && RELATIVE.test(reference)) {
    return allowed.has('Resource') || allowed.has(reference.slice(0, slash));
  }
  if (ABSOLUTE.test(reference) || CONTAINED.test(reference)) return true;
  if (!CONDITIONAL.test(reference)) return false;
  return allowed.has('Resource') || allowed.has(reference.slice(0, reference.indexOf('?')));
}

export function isReferenceForm(reference: string): boolean {
  return [RELATIVE, ABSOLUTE, CONTAINED, CONDITIONAL].some((form) => form.test(reference));
}
