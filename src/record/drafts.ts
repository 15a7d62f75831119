/**
 * What a write request becomes before anything is looked up: validated, labelled, with an id where one can be given,
 * and with everything listed that must be looked up first.
 */
import type { Resource } from '@medplum/fhirtypes';
import { Failure, type Issue, issue } from '../fhir/failure.ts';
import { keepDigits } from '../fhir/json.ts';
import { parseReference, rewriteReferences } from '../fhir/references.ts';
import type { SearchValueSink } from '../fhir/search-values.ts';
import { uuidv7 } from '../fhir/uuid.ts';
import { EXTENSION } from '../kap/codes.ts';
import { isPsychotherapyNote, labelled, psychotherapyNotesAmong } from '../kap/labels.ts';
import { policyIssues } from '../kap/policy.ts';
import type { WriteRequest } from './record.ts';
import type { Criterion, RecordStore, ResourceKey } from './store.ts';

/** What the record is made of; main.ts joins it. */
export type RecordParts = {
  readonly clinic: string;
  readonly store: RecordStore;
  /** All that is wrong with a resource, with places that begin with `place`. */
  readonly validate: (resource: unknown, place: string) => readonly Issue[];
  readonly extract: (resource: Resource, sink: SearchValueSink) => void;
  readonly patientIdOf: (resource: Resource) => string | null;
  /** Bases under which this service is known; references to them are stored as relative ones. */
  readonly baseUrls: readonly string[];
  readonly now: () => Date;
  /** Called after each commit that may have caused deliveries. */
  readonly committed: () => void;
};

/** A write on its way. `resource` is the caller's object, which the record makes its own. */
export type Draft = {
  readonly request: WriteRequest;
  readonly method: WriteRequest['method'];
  readonly type: string;
  readonly place: string;
  /** Known at once for a POST without condition and for a write by id. */
  id: string | undefined;
  resource: Resource | undefined;
};

/** A reference that says which resource it means by a search. */
export type ConditionalReference = Criterion & { readonly reference: string; readonly place: string };

export type Prepared = {
  readonly drafts: readonly Draft[];
  readonly conditional: readonly ConditionalReference[];
  /** Local resources that are referred to and not written here. */
  readonly existing: readonly (ResourceKey & { readonly place: string })[];
  /** fullUrl → the draft it names. */
  readonly byFullUrl: ReadonlyMap<string, Draft>;
};

/**
 * Checks everything that can be checked without the database, all requests at once.
 *
 * A unit of work of several requests states a linked graph, so each of its references must lead somewhere: to another
 * entry, to a stored resource, or out of this service. A single write may refer to what is not here yet.
 *
 * @throws Failure `invalid` (FHIR's own rules) or `business-rule` (the clinic's), with every issue
 */
export function prepare(parts: RecordParts, requests: readonly WriteRequest[]): Prepared {
  const issues: Issue[] = [];
  const drafts = requests.map((request) => draftOf(parts, request, issues));
  if (issues.length > 0) throw new Failure('invalid', issues);
  applyClinicRules(drafts);
  const byFullUrl = fullUrlsOf(drafts);
  const linked = collectReferences(parts, drafts, byFullUrl);
  return { drafts, byFullUrl, ...linked };
}

function draftOf(parts: RecordParts, request: WriteRequest, issues: Issue[]): Draft {
  const { method, type, place } = request;
  const draft: Draft = { request, method, type, place, id: request.id, resource: undefined };
  if (type === 'AuditEvent') {
    throw new Failure(
      'method-not-allowed',
      issue('not-supported', 'AuditEvents are written by the service alone.', place),
    );
  }
  // What a patch makes is known when the current version is.
  if (method === 'DELETE' || method === 'PATCH') return draft;
  issues.push(...errorsIn(parts, request.resource, place));
  issues.push(...mismatches(request, request.resource));
  draft.resource = request.resource;
  if (method === 'POST' && request.ifNoneExist === undefined) draft.id = uuidv7(parts.now());
  return draft;
}

/** Everything that refuses a resource; what is only worth a warning does not. */
export function errorsIn(parts: RecordParts, resource: unknown, place: string): Issue[] {
  return parts.validate(resource, place).filter(({ severity }) => severity !== 'warning');
}

/**
 * The labels that every clinical resource carries, and a protocol whose policy can be read.
 *
 * @param among all drafts of the unit of work, where psychotherapy notes are looked for
 * @throws Failure `business-rule`
 */
export function applyClinicRules(drafts: readonly Draft[], among = drafts): void {
  const refused: Issue[] = [];
  const notes = psychotherapyNotesIn(among);
  for (const draft of drafts) {
    if (draft.resource === undefined) continue;
    const labels = labelled(draft.resource, notes);
    const found = 'issues' in labels ? labels.issues : policyFindings(draft.resource);
    refused.push(...found.map((issue) => ({ ...issue, expression: placeWithin(issue.expression, draft.place) })));
    if ('resource' in labels) draft.resource = keepDigits(draft.resource, labels.resource);
  }
  if (refused.length > 0) throw new Failure('business-rule', refused);
}

function psychotherapyNotesIn(drafts: readonly Draft[]): ReadonlySet<string> {
  const documents = drafts.filter(({ type, resource }) => type === 'DocumentReference' && resource !== undefined);
  const notes = new Set(psychotherapyNotesAmong(documents.map(({ resource }) => resource as Resource)));
  // Entries know each other by fullUrl as long as they have no id.
  for (const { resource, request } of documents) {
    if (request.fullUrl !== undefined && isPsychotherapyNote(resource as Resource)) notes.add(request.fullUrl);
  }
  return notes;
}

function policyFindings(resource: Resource): readonly Issue[] {
  const isProtocol =
    resource.resourceType === 'PlanDefinition' &&
    resource.extension?.some(({ url }) => url === EXTENSION.policyParameter);
  return isProtocol ? policyIssues(resource) : [];
}

/** What url and body say differently. */
function mismatches({ method, type, id, place }: WriteRequest, resource: Resource | undefined): Issue[] {
  if (resource?.resourceType !== undefined && resource.resourceType !== type) {
    return [issue('invalid', `The url says ${type}, the resource is another type.`, `${place}.resourceType`)];
  }
  if (method === 'PUT' && id !== undefined && resource?.id !== id) {
    return [issue('invalid', `The resource must have the id that the url names.`, `${place}.id`)];
  }
  return [];
}

/** A place that begins with the type, moved to where the resource stands in the request. */
function placeWithin(expression: string | undefined, place: string): string {
  const dot = expression?.indexOf('.') ?? -1;
  return dot < 0 ? place : place + (expression as string).slice(dot);
}

function fullUrlsOf(drafts: readonly Draft[]): Map<string, Draft> {
  const byFullUrl = new Map<string, Draft>();
  for (const draft of drafts) {
    const { fullUrl } = draft.request;
    if (fullUrl === undefined) continue;
    if (byFullUrl.has(fullUrl)) {
      throw new Failure(
        'invalid',
        issue('duplicate', `Two entries have the same fullUrl; each entry needs its own.`, entryOf(draft, 'fullUrl')),
      );
    }
    byFullUrl.set(fullUrl, draft);
  }
  return byFullUrl;
}

function entryOf(draft: Draft, element: string): string {
  return draft.place.endsWith('.resource') ? `${draft.place.slice(0, -'resource'.length)}${element}` : draft.place;
}

const ONLY_IN_A_TRANSACTION = 'A conditional reference can only be used in a transaction; refer to Type/id.';

/**
 * What the references of `drafts` need from the database. Those below one of our own bases are made relative.
 *
 * @param among all drafts of the unit of work, to which references may lead
 * @throws Failure `invalid` for a reference that no entry and no database can resolve
 */
export function collectReferences(
  parts: RecordParts,
  drafts: readonly Draft[],
  byFullUrl: ReadonlyMap<string, Draft>,
  among = drafts,
): Pick<Prepared, 'conditional' | 'existing'> {
  const issues: Issue[] = [];
  const conditional: ConditionalReference[] = [];
  const existing = new Map<string, ResourceKey & { readonly place: string }>();
  const written = new Set(among.filter(({ id }) => id !== undefined).map(({ type, id }) => `${type}/${id}`));
  const isGraph = among.length > 1 || among.some(({ place }) => place.startsWith('Bundle'));
  for (const draft of drafts) {
    if (draft.resource === undefined) continue;
    rewriteReferences(
      draft.resource,
      (reference, place) => {
        if (entryNamed(byFullUrl, draft, reference) !== undefined) return undefined;
        const parsed = parseReference(reference, parts.baseUrls);
        if (parsed?.kind === 'conditional') {
          if (!isGraph) issues.push(issue('not-supported', ONLY_IN_A_TRANSACTION, place));
          conditional.push({ type: parsed.type, criteria: parsed.criteria, reference, place });
        } else if (parsed?.kind === 'urn') {
          issues.push(issue('not-found', `No entry of this Bundle has the fullUrl '${reference}'.`, place));
        } else if (parsed?.kind === 'local') {
          const { type, id } = parsed;
          const key = `${type}/${id}`;
          if (isGraph && !written.has(key) && !existing.has(key)) existing.set(key, { type, id, place });
          const relative = relativeTo(parts.baseUrls, reference);
          if (relative !== reference) return relative;
        }
        return undefined;
      },
      draft.place,
    );
  }
  if (issues.length > 0) throw new Failure('invalid', issues);
  return { conditional, existing: [...existing.values()] };
}

const RESTFUL = /^(https?:\/\/.+\/)[A-Z][A-Za-z]+\/[A-Za-z0-9\-.]{1,64}$/;

/**
 * The entry that a reference in `draft` means: by its fullUrl, or relative to the server that the fullUrl of `draft` names.
 *
 * @see https://hl7.org/fhir/R4/bundle.html#references
 */
export function entryNamed(byFullUrl: ReadonlyMap<string, Draft>, draft: Draft, reference: string): Draft | undefined {
  if (byFullUrl.size === 0) return undefined;
  const named = byFullUrl.get(reference);
  if (named !== undefined || parseReference(reference)?.kind !== 'local') return named;
  const root = RESTFUL.exec(draft.request.fullUrl ?? '')?.[1];
  return root === undefined ? undefined : byFullUrl.get(root + reference);
}

function relativeTo(baseUrls: readonly string[], reference: string): string {
  for (const base of baseUrls) {
    if (reference.startsWith(`${base}/`)) return reference.slice(base.length + 1);
  }
  return reference;
}
