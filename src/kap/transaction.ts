import type { Bundle, BundleEntry, Identifier, Reference, Resource } from '@medplum/fhirtypes';
import { IDEMPOTENCY_KEY, identifierSystem } from './codes.ts';
import { labelled } from './labels.ts';
import { withCurrentNarrative, withNarrative } from './narrative.ts';

/**
 * A transaction that can be sent twice: every resource is found again by its stable identifier, or by the tag
 * `idempotency-key` where R4 has no search by identifier (AdverseEvent, Provenance, Binary).
 */
export type Draft = { readonly entry: BundleEntry; readonly reference: Reference<never> };

/**
 * All entries with their security labels, and with the narratives of what is ours.
 *
 * @param notes references of the psychotherapy notes in it and of their texts
 */
export function transactionOf(entries: readonly BundleEntry[], notes: ReadonlySet<string> = new Set()): Bundle {
  return { resourceType: 'Bundle', type: 'transaction', entry: entries.map((entry) => withLabels(entry, notes)) };
}

function withLabels(entry: BundleEntry, notes: ReadonlySet<string>): BundleEntry {
  if (entry.resource === undefined) return entry;
  const result = labelled(entry.resource, notes);
  // Our own resources carry no label of an author that could contradict the rule.
  if (!('resource' in result)) throw new TypeError(result.issues.map((issue) => issue.diagnostics).join('; '));
  return {
    ...entry,
    resource: isReplaced(entry) ? withCurrentNarrative(result.resource) : withNarrative(result.resource),
  };
}

/** A stored resource, by its id: whoever wrote it, its narrative is that author's. */
function isReplaced({ request }: BundleEntry): boolean {
  return request?.method === 'PUT' && !request.url.includes('?');
}

/** Created unless it is there already. Others in the bundle refer to it by `reference`. */
export function createOnce(resource: Resource, uuid: string): Draft {
  const request = { method: 'POST', url: resource.resourceType, ifNoneExist: criteriaOf(resource) } as const;
  return {
    entry: { fullUrl: `urn:uuid:${uuid}`, resource, request },
    reference: bundleReference(resource.resourceType, uuid),
  };
}

/** Replaced where it is there, else created: a correction. */
export function createOrReplace(resource: Resource, uuid: string): Draft {
  const request = { method: 'PUT', url: `${resource.resourceType}?${criteriaOf(resource)}` } as const;
  return {
    entry: { fullUrl: `urn:uuid:${uuid}`, resource, request },
    reference: bundleReference(resource.resourceType, uuid),
  };
}

/**
 * The next version of a resource that is in the record, and of the version that was read: when somebody else changed
 * it since, the whole transaction is refused (412) and the caller decides again on what then stands.
 */
export function replaceStored<T extends Resource>(stored: T, change: Partial<T>): BundleEntry {
  const { meta, ...rest } = stored;
  const kept = { ...meta, versionId: undefined, lastUpdated: undefined };
  const url = `${stored.resourceType}/${stored.id}`;
  // A new version of it carries labels and profiles on; version and time are the server's to give.
  const resource = JSON.parse(JSON.stringify({ ...rest, meta: kept, ...change })) as Resource;
  const ifMatch = meta?.versionId === undefined ? {} : { ifMatch: `W/"${meta.versionId}"` };
  // Without a fullUrl, which would have to be absolute: entries refer to it as to any stored resource.
  return { resource, request: { method: 'PUT', url, ...ifMatch } };
}

/** How entries of one bundle refer to each other. */
export function bundleReference(type: Resource['resourceType'], uuid: string): Reference<never> {
  return { reference: `urn:uuid:${uuid}`, type } as Reference as Reference<never>;
}

function criteriaOf(resource: Resource): string {
  const key = resource.meta?.tag?.find((tag) => tag.system === IDEMPOTENCY_KEY);
  if (key !== undefined) return `_tag=${token(IDEMPOTENCY_KEY, key.code ?? '')}`;
  const identifier = identifiersOf(resource)[0];
  if (identifier?.system === undefined || identifier.value === undefined) {
    throw new TypeError(`${resource.resourceType} of a transaction has no stable identifier`);
  }
  return `identifier=${token(identifier.system, identifier.value)}`;
}

/** system|value as a search value: `\ , | $` escaped for FHIR, the rest for a url. */
function token(system: string, value: string): string {
  const escaped = (text: string) =>
    encodeURIComponent(text.replace(/[\\,|$]/g, '\\$&'))
      .replace(/%3A/g, ':')
      .replace(/%2F/g, '/');
  return `${escaped(system)}|${escaped(value)}`;
}

/** What a resource of ours is known by outside: `https://kap.example.org/id/care-plan|…`. */
export function businessIdentifier(type: string, value: string): Identifier {
  return { system: identifierSystem(type), value };
}

/** Business identifiers, whether the type has one or many. */
export function identifiersOf(resource: Resource): readonly Identifier[] {
  const identifier =
    'identifier' in resource ? (resource.identifier as Identifier | Identifier[] | undefined) : undefined;
  if (identifier === undefined) return [];
  return Array.isArray(identifier) ? identifier : [identifier];
}
