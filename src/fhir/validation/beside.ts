/**
 * The resources that a reference can reach without leaving what was sent: entries of a Bundle, or of one transaction.
 *
 * @see https://hl7.org/fhir/R4/bundle.html#references
 */
import type { FhirNode } from './invariants/invariant.ts';

export type Entry = { readonly fullUrl?: string; readonly resource: unknown };

export type Beside = {
  /** The resource that `reference` means in a resource whose own fullUrl is `from`. */
  find(reference: string, from: string | undefined): FhirNode | undefined;
  fullUrlOf(resource: FhirNode): string | undefined;
};

/** The base of a RESTful url: up to the type. */
const RESTFUL = /^(https?:\/\/\S*\/)[A-Z][A-Za-z]+\/[A-Za-z0-9\-.]{1,64}$/;
const RELATIVE = /^[A-Z][A-Za-z]+\/[A-Za-z0-9\-.]{1,64}$/;

/** Cheap: the index is made when the first reference is looked up. */
export function besides(entries: Iterable<Entry>): Beside {
  let made: Index | undefined;
  const index = () => {
    made ??= indexOf(entries);
    return made;
  };
  // One resource asks many times.
  let lastFrom: string | undefined;
  let lastBase: string | undefined;
  const baseOf = (from: string | undefined) => {
    if (from === lastFrom) return lastBase;
    lastFrom = from;
    lastBase = from === undefined ? undefined : RESTFUL.exec(withoutHistory(from))?.[1];
    return lastBase;
  };
  return {
    find(reference, from) {
      const url = withoutHistory(reference);
      const { byUrl, byTypeAndId } = index();
      if (!RELATIVE.test(url)) return byUrl.get(url);
      const base = baseOf(from);
      // Of a resource on a server, a relative reference means that server, and nothing with the same id elsewhere.
      return base === undefined ? (byTypeAndId.get(url) ?? undefined) : byUrl.get(base + url);
    },
    fullUrlOf: (resource) => index().urls.get(resource),
  };
}

type Index = {
  readonly byUrl: ReadonlyMap<string, FhirNode>;
  /** null: several resources have this type and id. */
  readonly byTypeAndId: ReadonlyMap<string, FhirNode | null>;
  readonly urls: ReadonlyMap<FhirNode, string>;
};

function indexOf(entries: Iterable<Entry>): Index {
  const byUrl = new Map<string, FhirNode>();
  const byTypeAndId = new Map<string, FhirNode | null>();
  const urls = new Map<FhirNode, string>();
  for (const { fullUrl, resource } of entries) {
    if (typeof resource !== 'object' || resource === null || Array.isArray(resource)) continue;
    const node = resource as FhirNode;
    if (typeof fullUrl === 'string') {
      const url = withoutHistory(fullUrl);
      if (!byUrl.has(url)) byUrl.set(url, node);
      urls.set(node, fullUrl);
    }
    if (typeof node.resourceType === 'string' && typeof node.id === 'string') {
      const key = `${node.resourceType}/${node.id}`;
      byTypeAndId.set(key, byTypeAndId.has(key) ? null : node);
    }
  }
  return { byUrl, byTypeAndId, urls };
}

function withoutHistory(reference: string): string {
  const at = reference.indexOf('/_history/');
  return at < 0 ? reference : reference.slice(0, at);
}

/** The entries of a Bundle, whatever its shape. */
export function* entriesOf(bundle: FhirNode): Generator<Entry> {
  if (!Array.isArray(bundle.entry)) return;
  for (const entry of bundle.entry as unknown[]) {
    if (typeof entry !== 'object' || entry === null) continue;
    const { fullUrl, resource } = entry as { fullUrl?: unknown; resource?: unknown };
    yield typeof fullUrl === 'string' ? { fullUrl, resource } : { resource };
  }
}
