/** JSON Pointer, the paths of JSON Patch. @see https://www.rfc-editor.org/rfc/rfc6901 */

/** Deeper than any place in a resource. */
const MAX_STEPS = 64;

/** The steps of a pointer; a text says why it is none. */
export function parsePointer(text: string): readonly string[] | string {
  if (text === '') return [];
  if (!text.startsWith('/')) return "must be '' or start with '/'";
  if (/~(?![01])/.test(text)) return "has a '~' that is neither '~0' nor '~1'";
  const steps = text
    .slice(1)
    .split('/')
    .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'));
  if (steps.length > MAX_STEPS) return `has more than ${MAX_STEPS} steps`;
  // As a key of an object it would be its prototype.
  if (steps.includes('__proto__')) return 'names __proto__, which no resource has';
  return steps;
}

/** The place in FHIRPath, as far as it can be said: 'Patient.name[0].given[1]'. */
export function expressionOf(type: string, steps: readonly string[]): string {
  let expression = type;
  for (const step of steps) {
    if (/^\d{1,9}$/.test(step)) expression += `[${step}]`;
    else if (/^_?[A-Za-z][A-Za-z0-9]{0,63}$/.test(step)) expression += `.${step.replace(/^_/, '')}`;
    else break;
  }
  return expression;
}
