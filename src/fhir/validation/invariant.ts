/** What a constraint is here, and the forms that most of them have. */

export type FhirNode = Readonly<Record<string, unknown>>;

/** What a constraint may look at besides its node: `%resource`, and the resource that contains it. */
export type InvariantScope = {
  resource: FhirNode;
  root: FhirNode;
  /** Ids of the resources in the root, made when first asked for. */
  containedIds: ReadonlySet<unknown> | undefined;
};

export type ElementsOf = {
  /** Whether the element is there; a choice under any of its names, a primitive also with extensions alone. */
  has(name: string): (node: FhirNode) => boolean;
};

export type InvariantMaker = (on: ElementsOf, scope: InvariantScope) => (node: FhirNode) => boolean;

// The forms that most constraints have

export function some(...names: string[]): InvariantMaker {
  return (on) => {
    const tests = names.map(on.has);
    return (node) => tests.some((test) => test(node));
  };
}

export function one(left: string, right: string): InvariantMaker {
  return (on) => {
    const [hasLeft, hasRight] = [on.has(left), on.has(right)];
    return (node) => hasLeft(node) !== hasRight(node);
  };
}

export function notBoth(left: string, right: string): InvariantMaker {
  return (on) => {
    const [hasLeft, hasRight] = [on.has(left), on.has(right)];
    return (node) => !(hasLeft(node) && hasRight(node));
  };
}

export function requires(name: string, other: string): InvariantMaker {
  return (on) => {
    const [hasName, hasOther] = [on.has(name), on.has(other)];
    return (node) => !hasName(node) || hasOther(node);
  };
}

export function both(...tests: ((node: FhirNode) => boolean)[]): (node: FhirNode) => boolean {
  return (node) => tests.every((test) => test(node));
}

// Looking into nodes of any shape

export function isNode(value: unknown): value is FhirNode {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function has(value: unknown, name: string): boolean {
  return isNode(value) && (value[name] !== undefined || value[`_${name}`] !== undefined);
}

export function hasKeyStartingWith(node: FhirNode, ...starts: string[]): boolean {
  for (const key in node) if (starts.some((start) => key.startsWith(start))) return true;
  return false;
}

export function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

export function nodes(value: unknown): readonly FhirNode[] {
  return list(value).filter(isNode);
}

export function contained(resource: FhirNode): readonly FhirNode[] {
  return nodes(resource.contained);
}

export function codings(concept: unknown): readonly FhirNode[] {
  return isNode(concept) ? nodes(concept.coding) : [];
}

export function isOneOf(value: unknown, ...codes: string[]): boolean {
  return typeof value === 'string' && codes.includes(value);
}

export function isNumber(value: unknown): value is number {
  return typeof value === 'number';
}

export function distinct(values: readonly unknown[]): boolean {
  return new Set(values).size === values.length;
}
