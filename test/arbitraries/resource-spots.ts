import type { Definitions, ElementDigest } from '../../src/fhir/definitions.ts';

/** One JSON value of a resource and what the definitions say about it. `holder[key]` is the value. */
export type Spot = {
  readonly holder: Record<string, unknown> | unknown[];
  readonly key: string | number;
  readonly type: string;
  readonly element: ElementDigest;
  /** Name of the element as a step of FHIRPath, without the type of a choice. */
  readonly name: string;
  readonly expression: string;
  /** FHIRPath of the object in which the element stands. */
  readonly parent: string;
  /** The whole element, of which the value may be one of several. */
  readonly owner: Record<string, unknown>;
  readonly property: string;
};

export type ObjectSpot = { readonly node: Record<string, unknown>; readonly expression: string };

/** Walks a valid resource along the definitions, independently of the validator. */
export function spotsOf(resource: object, definitions: Definitions): { values: Spot[]; objects: ObjectSpot[] } {
  const values: Spot[] = [];
  const objects: ObjectSpot[] = [];

  function walk(node: Record<string, unknown>, path: string, expression: string): void {
    objects.push({ node, expression });
    for (const element of definitions.elementsOf(path)) {
      const last = element.path.slice(element.path.lastIndexOf('.') + 1);
      const isChoice = last.endsWith('[x]');
      const name = isChoice ? last.slice(0, -3) : last;
      const types = element.contentReference === undefined ? element.types : [{ code: element.contentReference }];
      for (const { code } of types) {
        const property = isChoice ? name + code.charAt(0).toUpperCase() + code.slice(1) : name;
        const value = node[property];
        if (value === undefined) continue;
        const step = name === 'div' ? '`div`' : name; // an operator of FHIRPath
        const at = `${expression}.${step}${isChoice ? `.ofType(${code})` : ''}`;
        const common = { type: code, element, name: step, parent: expression, owner: node, property };
        if (Array.isArray(value)) {
          value.forEach((item, key) => {
            if (item === null) return;
            values.push({ ...common, holder: value, key, expression: `${at}[${key}]` });
            descend(item, element, code, `${at}[${key}]`);
          });
        } else {
          values.push({ ...common, holder: node, key: property, expression: at });
          descend(value, element, code, at);
        }
      }
    }
  }

  function descend(value: unknown, element: ElementDigest, code: string, expression: string): void {
    if (typeof value !== 'object' || value === null) return;
    const node = value as Record<string, unknown>;
    if (code === 'Resource') walk(node, String(node.resourceType), expression);
    else walk(node, code === 'BackboneElement' || code === 'Element' ? element.path : code, expression);
  }

  const root = resource as Record<string, unknown>;
  walk(root, String(root.resourceType), String(root.resourceType));
  return { values, objects };
}
