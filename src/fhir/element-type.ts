import type { Definitions } from './definitions.ts';
import { formsUnder } from './validation/schema.ts';

/**
 * The type of the element at a JSON path of a resource ('date', 'HumanName'; a backbone element's own path); undefined
 * where the definitions know none. Extensions of primitive values (`_birthDate`) and contained resources are followed.
 */
export function elementTypeAt(
  definitions: Definitions,
  resource: object,
  path: readonly (string | number)[],
): string | undefined {
  let node: unknown = resource;
  let type: string | undefined = typeOfResource(resource);
  for (const step of path) {
    node = (node as Record<string | number, unknown> | undefined)?.[step];
    if (typeof step === 'number') {
      type = typeOfResource(node) ?? type;
      continue;
    }
    type = type === undefined ? undefined : typeUnder(definitions, type, step);
    type = typeOfResource(node) ?? type;
  }
  return type;
}

function typeUnder(definitions: Definitions, parent: string, key: string): string | undefined {
  for (const { element, types } of formsUnder(parent, definitions)) {
    for (const { type, key: own, sibling } of types) {
      if (sibling === key) return 'Element';
      if (own !== key) continue;
      if (element.contentReference !== undefined) return element.contentReference;
      return type.code === 'BackboneElement' || type.code === 'Element' ? element.path : type.code;
    }
  }
  return undefined;
}

function typeOfResource(node: unknown): string | undefined {
  const { resourceType } = (typeof node === 'object' && node !== null ? node : {}) as { resourceType?: unknown };
  return typeof resourceType === 'string' ? resourceType : undefined;
}
