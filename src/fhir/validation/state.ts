/**
 * What is true while one resource is checked. There is one state for all checks of a validator, since a check is
 * synchronous; entering a resource and leaving it again keeps it right.
 */
import type { ErrorObject } from 'ajv';
import { type Beside, besides, entriesOf } from './beside.ts';
import { type FhirNode, type InvariantScope, list, nodes } from './invariants/invariant.ts';

export type CheckState = InvariantScope & {
  /** Whether to look for what is worth a warning. */
  warnings: boolean;
  /** Whether references are followed to what is at hand. */
  follows: boolean;
  /** Whether resources are held to what they claim: then a target that claims a profile has a check of its own. */
  claims: boolean;
  /** Set when an extension was seen, so that most resources need no walk for them. */
  sawExtension: boolean;
  /** Set when a reference led nowhere while something was asked about its target. */
  undecided: boolean;
  beside: Beside | undefined;
  /** The fullUrl of the resource that is checked. */
  fullUrl: string | undefined;
  /** Errors of a value against a profile, by value and canonical: each is found out once per check. */
  readonly met: Map<object, Map<string, readonly ErrorObject[] | 'under way' | 'unknown'>>;
  readonly contained: Map<FhirNode, Contained>;
  /** How many references lead from the resource that is checked to the one that is looked at. */
  followed: number;
};

type Contained = { readonly byId: ReadonlyMap<unknown, FhirNode>; readonly all: ReadonlySet<unknown> };

export function createState(): CheckState {
  const state: CheckState = {
    resource: {},
    root: {},
    containedIds: undefined,
    engineWork: 0,
    warnings: false,
    follows: false,
    claims: false,
    sawExtension: false,
    undecided: false,
    beside: undefined,
    fullUrl: undefined,
    met: new Map(),
    contained: new Map(),
    followed: 0,
    resolve: (reference) => (state.follows ? targetOf(reference, state) : undefined),
  };
  return state;
}

type Saved = Pick<CheckState, 'resource' | 'root' | 'containedIds' | 'beside' | 'fullUrl'>;

/** @returns what to give to `leave` afterwards */
export function enter(state: CheckState, node: FhirNode, isContained: boolean, fullUrl?: string): Saved {
  const { resource, root, containedIds, beside } = state;
  const saved = { resource, root, containedIds, beside, fullUrl: state.fullUrl };
  state.resource = node;
  if (!isContained) {
    state.root = node;
    state.containedIds = undefined;
    state.fullUrl = fullUrl;
  }
  if (state.follows && node.resourceType === 'Bundle') state.beside = besides(entriesOf(node));
  return saved;
}

export function leave(state: CheckState, saved: Saved): void {
  // What was found out about the same container stays known.
  if (saved.root !== state.root) state.containedIds = saved.containedIds;
  state.resource = saved.resource;
  state.root = saved.root;
  state.beside = saved.beside;
  state.fullUrl = saved.fullUrl;
}

/** Forgets what was found out about the values of the last check. */
export function forget(state: CheckState): void {
  state.met.clear();
  state.contained.clear();
  state.followed = 0;
}

/** The resource that a literal reference means, where it is contained or beside. */
export function targetOf(reference: string, state: CheckState): FhirNode | undefined {
  if (!reference.startsWith('#')) return state.beside?.find(reference, state.fullUrl);
  return reference === '#' ? state.root : containedIn(state.root, state).byId.get(reference.slice(1));
}

export function isContained(node: FhirNode, state: CheckState): boolean {
  const { root } = state;
  return root !== node && root.contained !== undefined && containedIn(root, state).all.has(node);
}

function containedIn(root: FhirNode, state: CheckState): Contained {
  const present = state.contained.get(root);
  if (present !== undefined) return present;
  const byId = new Map<unknown, FhirNode>();
  const all = new Set<unknown>(list(root.contained));
  for (const node of nodes(root.contained)) if (!byId.has(node.id)) byId.set(node.id, node);
  const made = { byId, all };
  state.contained.set(root, made);
  return made;
}
