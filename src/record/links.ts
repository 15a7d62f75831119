/**
 * How the resources of a unit of work refer to each other and to what is stored: everything that means an entry of the
 * same Bundle ends as 'Type/id' (version and fragment kept), what lies below one of our own bases as a relative
 * reference, and all else stays as it is.
 *
 * What a Bundle holds that is stored as a resource is its own affair: its references are left alone.
 *
 * @see https://hl7.org/fhir/R4/http.html#trules and https://hl7.org/fhir/R4/bundle.html#references
 */
import { Failure, type Issue, issue } from '../fhir/failure.ts';
import { parseReference, rewriteReferences } from '../fhir/references.ts';
import type { ConditionalReference, Draft, Prepared, RecordParts } from './draft.ts';
import { Refusals } from './refusals.ts';
import type { ResourceKey } from './store.ts';

type ByFullUrl = ReadonlyMap<string, Draft>;

/**
 * What the entries are called. One that is created under a name below our own bases is meant by `Type/id` too, although
 * the id that it gets is another.
 *
 * @throws Failure `invalid` where two entries have one fullUrl
 */
export function fullUrlsOf(drafts: readonly Draft[], baseUrls: readonly string[]): Map<string, Draft> {
  const refusals = new Refusals();
  const byFullUrl = new Map<string, Draft>();
  for (const draft of drafts) {
    const { fullUrl } = draft.request;
    if (fullUrl === undefined) continue;
    if (byFullUrl.has(fullUrl)) {
      const diagnostics = 'Two entries have the same fullUrl; each entry needs its own.';
      refusals.add(
        'invalid',
        issue('duplicate', diagnostics, entryOf(draft, 'fullUrl'), 'MSG_TRANSACTION_DUPLICATE_ID'),
      );
    }
    byFullUrl.set(fullUrl, draft);
    if (draft.method === 'POST') byFullUrl.set(relativeTo(baseUrls, fullUrl), draft);
  }
  refusals.throwIfAny();
  return byFullUrl;
}

function entryOf(draft: Draft, element: string): string {
  return draft.place.endsWith('.resource') ? `${draft.place.slice(0, -'resource'.length)}${element}` : draft.place;
}

const ONLY_IN_A_BUNDLE = 'A conditional reference can only be used in a transaction or batch; refer to Type/id.';

const TO_THE_DELETED = 'The reference leads to a resource that the same transaction deletes.';

/**
 * What the references of `drafts` need from the database. Those below one of our own bases are made relative.
 *
 * @param among all drafts of the unit of work, to which references may lead
 * @throws Failure `invalid` for a reference that no entry and no database can resolve
 */
export function collectReferences(
  parts: RecordParts,
  drafts: readonly Draft[],
  byFullUrl: ByFullUrl,
  among = drafts,
): Pick<Prepared, 'conditional' | 'existing'> {
  const issues: Issue[] = [];
  const conditional: ConditionalReference[] = [];
  const existing = new Map<string, ResourceKey & { readonly place: string }>();
  const known = among.filter(({ id }) => id !== undefined);
  const written = new Set(known.map(({ type, id }) => `${type}/${id}`));
  const deleted = new Set(known.filter(({ method }) => method === 'DELETE').map(({ type, id }) => `${type}/${id}`));
  const isOfBundle = among.some(({ place }) => place.startsWith('Bundle'));
  const isGraph = !among.some(({ request }) => request.alone) && (among.length > 1 || isOfBundle);
  for (const draft of drafts) {
    if (!hasOwnReferences(draft)) continue;
    rewriteReferences(
      draft.resource,
      (reference, place) => {
        const named = entryNamed(byFullUrl, draft, reference);
        if (named?.draft.method === 'DELETE') issues.push(issue('not-found', TO_THE_DELETED, place));
        if (named !== undefined) return undefined;
        const parsed = parseReference(reference, parts.baseUrls);
        if (parsed?.kind === 'conditional') {
          if (!isOfBundle && !isGraph) issues.push(issue('not-supported', ONLY_IN_A_BUNDLE, place));
          conditional.push({ type: parsed.type, criteria: parsed.criteria, reference, place });
        } else if (parsed?.kind === 'urn') {
          issues.push(issue('not-found', `No entry of this Bundle has the fullUrl '${reference}'.`, place));
        } else if (parsed?.kind === 'local') {
          const { type, id } = parsed;
          const key = `${type}/${id}`;
          if (deleted.has(key)) issues.push(issue('not-found', TO_THE_DELETED, place));
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

function hasOwnReferences(draft: Draft): draft is Draft & { resource: NonNullable<Draft['resource']> } {
  return draft.resource !== undefined && draft.type !== 'Bundle';
}

const RESTFUL = /^(https?:\/\/.+\/)[A-Z][A-Za-z]+\/[A-Za-z0-9\-.]{1,64}$/;
const PARTS = /^([^#]*?)(?:\/_history\/([A-Za-z0-9\-.]{1,64}))?(#.*)?$/;

/** An entry as a reference names it. */
type Named = { readonly draft: Draft; readonly version?: string; readonly fragment: string };

/** The entry that a reference in `from` means: by its fullUrl, or relative to the server that the fullUrl of `from` names. */
function entryNamed(byFullUrl: ByFullUrl, from: Draft, reference: string): Named | undefined {
  if (byFullUrl.size === 0) return undefined;
  const whole = byFullUrl.get(reference);
  if (whole !== undefined) return { draft: relatively(byFullUrl, from, reference) ?? whole, fragment: '' };
  // Asked about every text that may be a link, and most have neither version nor fragment.
  if (!reference.includes('#') && !reference.includes('/_history/')) {
    const draft = relatively(byFullUrl, from, reference);
    return draft && { draft, fragment: '' };
  }
  const [, url = '', version, fragment = ''] = PARTS.exec(reference) ?? [];
  if (url === '') return undefined;
  const draft = relatively(byFullUrl, from, url) ?? byFullUrl.get(url);
  return draft && { draft, ...(version === undefined ? {} : { version }), fragment };
}

function relatively(byFullUrl: ByFullUrl, from: Draft, url: string): Draft | undefined {
  const { fullUrl = '' } = from.request;
  if (fullUrl.startsWith('urn:') || parseReference(url)?.kind !== 'local') return undefined;
  const root = RESTFUL.exec(fullUrl)?.[1];
  return root === undefined ? undefined : byFullUrl.get(root + url);
}

function relativeTo(baseUrls: readonly string[], reference: string): string {
  for (const base of baseUrls) {
    if (reference.startsWith(`${base}/`)) return reference.slice(base.length + 1);
  }
  return reference;
}

export type Targets = {
  readonly byFullUrl: ByFullUrl;
  /** The conditional reference as it was sent → 'Type/id'. */
  readonly references: ReadonlyMap<string, string>;
  readonly idOf: (draft: Draft) => string | undefined;
  /**
   * The version that an entry makes; undefined as long as it is not known. A reference to the version that the entry
   * itself states becomes one to this, a reference to another version stays one to that.
   */
  readonly versionOf: (draft: Draft) => number | undefined;
};

/**
 * Turns references to entries and conditional references into 'Type/id'.
 *
 * @returns false when one waits for the version that its entry makes
 */
export function linkEntries(parts: RecordParts, drafts: readonly Draft[], targets: Targets): boolean {
  const { byFullUrl, references } = targets;
  let isComplete = true;
  if (byFullUrl.size === 0 && references.size === 0) return isComplete;
  for (const draft of drafts) {
    if (!hasOwnReferences(draft)) continue;
    const { resource } = draft;
    const link = (url: string) => {
      const named = entryNamed(byFullUrl, draft, url);
      const name = named && nameOf(named, targets);
      if (named?.version !== undefined && name === undefined) isComplete = false;
      return name;
    };
    rewriteReferences(resource, (reference) => link(reference) ?? references.get(reference), draft.place, {
      resolve: link,
      isLink: (path) => parts.isLink(resource, path),
    });
  }
  return isComplete;
}

function nameOf(named: Named, { idOf, versionOf }: Targets): string | undefined {
  const { draft, version, fragment } = named;
  const id = idOf(draft);
  if (id === undefined) return undefined;
  if (version === undefined) return `${draft.type}/${id}${fragment}`;
  const isOther = draft.method === 'PUT' && draft.resource?.meta?.versionId !== version;
  const meant = isOther ? version : versionOf(draft);
  return meant === undefined ? undefined : `${draft.type}/${id}/_history/${meant}${fragment}`;
}

export function missingReferences({ existing }: Pick<Prepared, 'existing'>, missing: readonly ResourceKey[]): Failure {
  const issues = missing.map(({ type, id }) => {
    const place = existing.find((key) => key.type === type && key.id === id)?.place;
    const diagnostics = `The reference leads to ${type}/${id}, which is not stored here.`;
    return issue('not-found', diagnostics, place, 'MSG_LOCAL_FAIL');
  });
  return new Failure('invalid', issues);
}
