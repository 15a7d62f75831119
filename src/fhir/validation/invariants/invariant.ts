/** What a constraint is here, and how its function looks into JSON of any shape. */

export type FhirNode = Readonly<Record<string, unknown>>;

/**
 * What a constraint may look at besides its node. One object for all checks; the validator sets it for each resource.
 *
 * What is absent cannot be asked: an expression that needs it is not evaluated.
 */
export type InvariantScope = {
  /** `%resource`: the resource that the node is in. */
  resource: FhirNode;
  /** `%rootResource`: the resource that contains that one, or the same. */
  root: FhirNode;
  /** Ids of the resources in the root, made when first asked for. */
  containedIds: ReadonlySet<unknown> | undefined;
  /** The resource that a literal reference means: contained, or in the Bundle around. */
  resolve?: (reference: string) => FhirNode | undefined;
  /** Whether a code, Coding or CodeableConcept is in a value set. */
  memberOf?: (value: unknown, valueSet: string) => boolean | undefined;
  conformsTo?: (node: FhirNode, profile: string) => boolean | undefined;
  /** What the FHIRPath engine has looked at since the validator set it to 0, at the start of a check. */
  engineWork: number;
};

/** What may stand in an object, by definition. */
export type ElementsOf = {
  /** A type, or the path of a backbone element. */
  readonly type: string;
  /** Undefined when there is no such element. */
  element(name: string): ElementAlternatives | undefined;
  /** By name without namespace. */
  isA(type: string): boolean;
  /** Of any other type or backbone element. */
  other(content: string): ElementsOf;
};

/** The JSON keys of one element: a choice has several, and a primitive a sibling for its id and extensions. */
export type ElementAlternatives = {
  readonly isList: boolean;
  readonly types: readonly { readonly key: string; readonly sibling?: string; readonly content: string }[];
};

/**
 * True when the constraint holds for the value, false when it is broken, undefined when that cannot be found out.
 *
 * Total: takes anything. `sibling` is what stands beside a primitive value under its name with an underscore.
 */
export type InvariantCheck = (value: unknown, sibling?: unknown) => boolean | undefined;

export type InvariantMaker = (on: ElementsOf, scope: InvariantScope) => (node: FhirNode) => boolean;

/** Whether the element is there; a choice under any of its names, a primitive also with extensions alone. */
export function presence(on: ElementsOf, name: string): (node: FhirNode) => boolean {
  const keys = keysOf(on.element(name));
  const [first = name, second, third] = keys;
  if (second === undefined) return (node) => node[first] !== undefined;
  if (third === undefined) return (node) => node[first] !== undefined || node[second] !== undefined;
  return (node) => {
    for (const key of keys) if (node[key] !== undefined) return true;
    return false;
  };
}

function keysOf(element: ElementAlternatives | undefined): readonly string[] {
  return (element?.types ?? []).flatMap(({ key, sibling }) => (sibling === undefined ? [key] : [key, sibling]));
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

export function contained(resource: unknown): readonly FhirNode[] {
  return isNode(resource) ? nodes(resource.contained) : [];
}

export function codings(concept: unknown): readonly FhirNode[] {
  return isNode(concept) ? nodes(concept.coding) : [];
}

export function isNumber(value: unknown): value is number {
  return typeof value === 'number';
}
