/**
 * A stored resource as one target gets it. Pure: the same version, links and revision give the same bytes.
 *
 * - References to what the target has are rewritten to its ids. What it does not have is referred to by identifier
 *   (Reference.identifier), which says as much without pointing nowhere; a Medication goes along as a contained
 *   resource, since a drug that cannot be read is worse than none; a psychotherapy note is not referred to at all.
 * - The text of an attachment that lies in a Binary of ours is put into the attachment: our urls mean nothing there.
 * - Server-owned meta stays behind; security labels, profiles and tags go along. A claim of a profile that the target
 *   does not know is an assertion it may ignore (R4, resource.html#profile), and what is sent here still keeps it.
 * - Our identifier is added. Where the type has room for one only, the clinic's own moves to an extension.
 */
import { hash } from 'node:crypto';
import type { BusinessIdentifier } from './business-identifier.ts';
import { identifierToken } from './business-identifier.ts';
import { isAttachment, ownReference, type ReferenceKey } from './references.ts';

export type JsonObject = Readonly<Record<string, unknown>>;

/** What becomes of a reference to one of our resources at one target. */
export type ReferenceFate =
  | { readonly kind: 'linked'; readonly type: string; readonly id: string }
  | { readonly kind: 'logical'; readonly identifier: BusinessIdentifier }
  | { readonly kind: 'contained'; readonly resource: JsonObject }
  /** The Binary's data goes into the attachment that names it. */
  | { readonly kind: 'inline'; readonly resource: JsonObject }
  | { readonly kind: 'forbidden' };

export type CompileInput = {
  /** Parsed with parseExactly. */
  readonly resource: JsonObject;
  readonly identifier: BusinessIdentifier;
  readonly intent: 'put' | 'entered-in-error';
  /** The id to write; absent when the target chooses. */
  readonly remoteId?: string;
  readonly references: ReadonlyMap<ReferenceKey, ReferenceFate>;
  /** Our FHIR base, without a trailing slash. */
  readonly ownBase: string;
};

export type Payload = {
  readonly resource: JsonObject;
  readonly body: string;
  /** Of the bytes of `body`. */
  readonly sha256: Buffer;
};

export const CLINIC_IDENTIFIER_EXTENSION = 'https://kap.example.org/fhir/StructureDefinition/kap-clinic-identifier';

export function compile(input: CompileInput): Payload {
  const contained: JsonObject[] = [];
  const rewritten = rewrite(input.resource, input, contained) as Record<string, unknown>;
  if (contained.length > 0) {
    rewritten.contained = [...((rewritten.contained as JsonObject[] | undefined) ?? []), ...contained];
  }
  const marked = withIdentifier(withoutServerMeta(rewritten), input.identifier);
  const stated = input.intent === 'entered-in-error' ? asEnteredInError(marked) : marked;
  const { resourceType, id: _ours, ...rest } = stated;
  const resource = { resourceType, ...(input.remoteId === undefined ? {} : { id: input.remoteId }), ...rest };
  const body = JSON.stringify(resource);
  return { resource, body, sha256: hash('sha256', body, 'buffer') };
}

/** The search that finds this resource at the target, e.g. 'identifier=system|value', encoded for a url. */
export function markerQuery(type: string, identifier: BusinessIdentifier): string {
  const name = isMarkedByTag(type) ? '_tag' : 'identifier';
  return `${name}=${encodeURIComponent(identifierToken(identifier))}`;
}

/** Whether a resource of the target carries our identifier, or our tag; never trust that a search filtered. */
export function isMarked(resource: unknown, identifier: BusinessIdentifier): boolean {
  if (!isObject(resource)) return false;
  const tags = isObject(resource.meta) && Array.isArray(resource.meta.tag) ? resource.meta.tag : [];
  const identifiers = [resource.identifier].flat();
  return (
    identifiers.some(
      (each) => isObject(each) && each.system === identifier.system && each.value === identifier.value,
    ) || tags.some((each) => isObject(each) && each.system === identifier.system && each.code === identifier.value)
  );
}

/** Whether the type can say that an entry was a mistake. */
export function hasEnteredInError(type: string): boolean {
  return !WITHOUT_ENTERED_IN_ERROR.has(type);
}

/** R4 types with one identifier at most. */
const ONE_IDENTIFIER = new Set(['AdverseEvent', 'Bundle', 'Composition', 'QuestionnaireResponse', 'TestReport']);
/** R4 types without an identifier. */
const NO_IDENTIFIER = new Set(['AuditEvent', 'Binary', 'Linkage', 'Provenance', 'Slot', 'Subscription']);
/** No search parameter `identifier` in R4, although AdverseEvent has the element. */
const isMarkedByTag = (type: string): boolean => type === 'AdverseEvent' || NO_IDENTIFIER.has(type);

function withIdentifier(resource: JsonObject, { system, value }: BusinessIdentifier): JsonObject {
  const type = String(resource.resourceType);
  const own = { use: 'secondary', system, value };
  const result: Record<string, unknown> = { ...resource };
  if (isMarkedByTag(type)) {
    const meta = isObject(resource.meta) ? resource.meta : {};
    const tags = Array.isArray(meta.tag) ? meta.tag : [];
    result.meta = { ...meta, tag: [...tags, { system, code: value }] };
  }
  if (ONE_IDENTIFIER.has(type)) {
    if (resource.identifier !== undefined) {
      const extensions = Array.isArray(resource.extension) ? resource.extension : [];
      const displaced = { url: CLINIC_IDENTIFIER_EXTENSION, valueIdentifier: resource.identifier };
      result.extension = [...extensions, displaced];
    }
    result.identifier = own;
  } else if (!NO_IDENTIFIER.has(type)) {
    result.identifier = [...(Array.isArray(resource.identifier) ? resource.identifier : []), own];
  }
  if (type === 'DocumentReference' && resource.masterIdentifier === undefined)
    result.masterIdentifier = { system, value };
  return result;
}

function withoutServerMeta(resource: JsonObject): JsonObject {
  if (!isObject(resource.meta)) return resource;
  const { versionId: _version, lastUpdated: _updated, source: _source, ...kept } = resource.meta;
  if (Object.keys(kept).length > 0) return { ...resource, meta: kept };
  const { meta: _meta, ...rest } = resource;
  return rest;
}

/** R4 types of a course whose status has no `entered-in-error`. */
const WITHOUT_ENTERED_IN_ERROR = new Set([
  'AdverseEvent',
  'Binary',
  'Patient',
  'Provenance',
  'Organization',
  'Location',
]);

const VERIFICATION: Readonly<Record<string, string>> = {
  Condition: 'http://terminology.hl7.org/CodeSystem/condition-ver-status',
  AllergyIntolerance: 'http://terminology.hl7.org/CodeSystem/allergyintolerance-verification',
};

function asEnteredInError(resource: JsonObject): JsonObject {
  const type = String(resource.resourceType);
  const system = VERIFICATION[type];
  if (system !== undefined) {
    // con-5, ait-2: an entry in error has no clinical status.
    const { clinicalStatus: _status, ...rest } = resource;
    return { ...rest, verificationStatus: { coding: [{ system, code: 'entered-in-error' }] } };
  }
  if (type === 'Goal') return { ...resource, lifecycleStatus: 'entered-in-error' };
  return { ...resource, status: 'entered-in-error' };
}

/** A copy with every reference in the form its fate asks for; what becomes empty disappears. */
function rewrite(value: unknown, input: CompileInput, contained: JsonObject[]): unknown {
  if (Array.isArray(value)) {
    return nonEmpty(value.map((each) => rewrite(each, input, contained)).filter((each) => each !== undefined));
  }
  if (!isObject(value)) return value;
  const inner: Record<string, unknown> = {};
  let lost = false;
  for (const [name, each] of Object.entries(value)) {
    const kept = rewrite(each, input, contained);
    if (kept === undefined) lost = true;
    else inner[name] = kept;
  }
  if (lost && Object.keys(inner).length === 0) return undefined;
  if (typeof inner.reference === 'string') return asReference(inner, inner.reference, input, contained);
  return isAttachment(inner) ? asAttachment(inner, input) : inner;
}

function asReference(
  element: Record<string, unknown>,
  reference: string,
  input: CompileInput,
  contained: JsonObject[],
): JsonObject | undefined {
  const key = ownReference(reference, input.ownBase);
  const fate = key === undefined ? undefined : input.references.get(key);
  if (key === undefined || fate === undefined) return element;
  const { reference: _ours, ...rest } = element;
  switch (fate.kind) {
    case 'linked':
      return { ...rest, reference: `${fate.type}/${fate.id}` };
    case 'logical': {
      const type = key.slice(0, key.indexOf('/'));
      return { type, identifier: { ...fate.identifier }, ...rest };
    }
    case 'contained': {
      const id = `${key.replace('/', '-').toLowerCase()}`.slice(0, 64);
      if (contained.some((each) => each.id === id)) return { ...rest, reference: `#${id}` };
      const drug = rewrite(fate.resource, input, contained) as JsonObject;
      contained.push({ ...withoutServerMeta(drug), id });
      return { ...rest, reference: `#${id}` };
    }
    case 'inline':
    case 'forbidden':
      return undefined;
  }
}

function asAttachment(element: Record<string, unknown>, input: CompileInput): JsonObject | undefined {
  const key = ownReference(String(element.url), input.ownBase);
  const fate = key === undefined ? undefined : input.references.get(key);
  if (fate === undefined) return element;
  if (fate.kind === 'forbidden') return undefined;
  const { url: _ours, ...rest } = element;
  if (fate.kind !== 'inline' || typeof fate.resource.data !== 'string') return rest;
  return { contentType: fate.resource.contentType, ...rest, data: fate.resource.data };
}

function nonEmpty(list: unknown[]): unknown[] | undefined {
  return list.length === 0 ? undefined : list;
}

function isObject(value: unknown): value is JsonObject {
  // A number kept by parseExactly is an object without a prototype, and a leaf.
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !('rawJSON' in value);
}
