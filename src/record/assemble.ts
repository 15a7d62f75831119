/** From finished drafts to what one statement writes: texts with `meta`, search rows, audit entries. */
import type { Resource } from '@medplum/fhirtypes';
import { Failure, issue } from '../fhir/failure.ts';
import { keepDigits, parseJson, stringifyJson } from '../fhir/json.ts';
import type { Draft, RecordParts } from './drafts.ts';
import { refuseDefinition } from './profile-rules.ts';
import {
  type MadeProvenance,
  type MadeVersion,
  provenancesOf,
  provenanceText,
  type TellingContext,
} from './provenance.ts';
import type { StoredResource, WriteResult } from './record.ts';
import { addDifference, SearchColumns } from './search-rows.ts';
import type { CurrentRow, NewRids, NewVersion } from './store.ts';

/** A draft whose identity is settled: a new resource, or the next version of a current one. */
export type Settled = {
  readonly draft: Draft;
  readonly id: string;
  readonly current: CurrentRow | undefined;
  /** The current version is the answer, whatever the draft says (a conditional create that matched). */
  readonly keep: boolean;
  /** Written by the service's own rules, and not by the caller. */
  readonly byService?: boolean;
};

type Outcome = { readonly effect: WriteResult['effect']; readonly stored: StoredResource };

export type Assembled = {
  /** What each draft became; `unchanged` where the stored version already says the same. */
  readonly outcome: ReadonlyMap<Draft, Outcome>;
  readonly versions: readonly NewVersion[];
  readonly added: SearchColumns;
  readonly removed: SearchColumns;
};

export async function assemble(
  parts: RecordParts,
  newRids: NewRids,
  settled: readonly Settled[],
  context: TellingContext,
  now: Date,
): Promise<Assembled> {
  const outcome = new Map<Draft, Outcome>();
  const versions: NewVersion[] = [];
  const made: MadeVersion[] = [];
  const added = new SearchColumns();
  const removed = new SearchColumns();
  const isNew = ({ draft, current, keep }: Settled) => current === undefined && !keep && draft.method !== 'DELETE';
  const rids = (await newRids(settled.filter(isNew).length)).values();
  for (const one of settled) {
    const version = versionOf(parts, one, rids, context, now);
    if (version === undefined) {
      if (one.current !== undefined) outcome.set(one.draft, { effect: 'unchanged', stored: one.current });
      continue;
    }
    versions.push(version);
    addSearchRows(parts, one, version, added, removed);
    const effect = version.deleted
      ? 'deleted'
      : one.current === undefined || one.current.deleted
        ? 'created'
        : 'updated';
    outcome.set(one.draft, { effect, stored: version });
    made.push(madeVersion(one, version, effect));
  }
  const told = (await tell(parts, newRids, provenancesOf(made, context, now), added, now)).map((version) =>
    context.history === undefined ? version : { ...version, imported: true as const },
  );
  return { outcome, versions: [...parentsFirst(versions, settled), ...told], added, removed };
}

const ACTIVITY = { created: 'CREATE', updated: 'UPDATE', deleted: 'DELETE' } as const;

function madeVersion(one: Settled, version: NewVersion, effect: keyof typeof ACTIVITY): MadeVersion {
  return {
    version,
    activity: ACTIVITY[effect],
    content: () => one.draft.resource ?? (parseJson((one.current as CurrentRow).content) as Resource),
    byService: one.byService === true,
  };
}

/** The versions of the Provenances; their search rows join the others. */
async function tell(
  parts: RecordParts,
  newRids: NewRids,
  provenances: readonly MadeProvenance[],
  added: SearchColumns,
  now: Date,
): Promise<NewVersion[]> {
  if (provenances.length === 0) return [];
  const lastUpdated = now.toISOString();
  const rids = await newRids(provenances.length);
  return provenances.map(({ resource, patientId }, i) => {
    const rid = rids[i] as string;
    parts.extract(resource, added.sinkFor(rid, patientId));
    return {
      rid,
      type: 'Provenance',
      id: resource.id as string,
      version: 1,
      lastUpdated,
      deleted: false,
      method: 'POST',
      patientId,
      content: provenanceText(resource, lastUpdated),
      intent: 'put',
    };
  });
}

function versionOf(
  parts: RecordParts,
  one: Settled,
  rids: Iterator<string>,
  { history, definitions }: TellingContext,
  now: Date,
): NewVersion | undefined {
  if (one.keep) return undefined;
  const { draft, id } = one;
  const version = draft.method === 'DELETE' ? deletion(one, now) : nextVersion(parts, one, rids, now);
  if (version !== undefined && definitions === undefined) {
    refuseDefinition(parts.profiles.current(), draft.type, id, draft.place);
  }
  return version === undefined || history === undefined ? version : asHistory(one, version);
}

/**
 * EHRs are not told of history from elsewhere, nor of what the rules find in it. A finding that they may have been told of
 * is another matter: it must not stay there as it was.
 *
 * @throws Failure `conflict` where it would overwrite what was written or deleted here
 */
function asHistory({ draft, current, byService }: Settled, version: NewVersion): NewVersion {
  const isLive = current !== undefined && !current.imported;
  const isTaken = draft.request.idOfEntry === true && current !== undefined && !current.deleted;
  if (!isLive && !isTaken) return { ...version, imported: true };
  if (byService === true) return version;
  const what = current.deleted
    ? 'was deleted here'
    : isLive
      ? `was written here (version ${current.version}) and says something else`
      : `came with an entry of another Bundle (version ${current.version}) that has the same urn:uuid, and says something else`;
  const diagnostics = `${draft.type}/${current.id} ${what}: an import does not overwrite it. Leave it out, or write it through the API.`;
  throw new Failure('conflict', issue('conflict', diagnostics, draft.place));
}

function deletion({ draft, current }: Settled, now: Date): NewVersion | undefined {
  if (current === undefined || current.deleted) return undefined;
  return {
    rid: current.rid,
    ...seenOf(current),
    type: draft.type,
    id: current.id,
    version: current.version + 1,
    lastUpdated: later(now, current),
    deleted: true,
    method: 'DELETE',
    patientId: current.patientId,
    content: '',
    intent: 'entered-in-error',
  };
}

function nextVersion(
  parts: RecordParts,
  { draft, id, current }: Settled,
  rids: Iterator<string>,
  now: Date,
): NewVersion | undefined {
  const resource = draft.resource as Resource;
  if (current !== undefined && !current.deleted) {
    // The same content is no new version: a replayed message leaves no trace in the chart or at an EHR.
    if (textOf(resource, id, current.version, current.lastUpdated) === current.content) return undefined;
  }
  const version = (current?.version ?? 0) + 1;
  const lastUpdated = current === undefined ? now.toISOString() : later(now, current);
  return {
    rid: current?.rid ?? (rids.next().value as string),
    ...seenOf(current),
    type: draft.type,
    id,
    version,
    lastUpdated,
    deleted: false,
    method: draft.method,
    patientId: draft.type === 'Patient' ? id : parts.patientIdOf(resource),
    content: textOf(resource, id, version, lastUpdated),
    intent: (resource as { status?: string }).status === 'entered-in-error' ? 'entered-in-error' : 'put',
  };
}

function seenOf(current: CurrentRow | undefined): Pick<NewVersion, 'seen'> {
  return current?.seen === undefined ? {} : { seen: current.seen };
}

/** The number of the version that a draft ends with. */
export function versionMade({ request, method, resource }: Draft, current: CurrentRow | undefined): number {
  if (current === undefined) return 1;
  const { id, version, lastUpdated, content, deleted } = current;
  if (deleted || method === 'DELETE') return version + 1;
  const stays = request.ifNoneExist !== undefined || textOf(resource as Resource, id, version, lastUpdated) === content;
  return stays ? version : version + 1;
}

/** Versions of one resource never share a time, whatever the clocks of two processes say. */
function later(now: Date, current: CurrentRow): string {
  return new Date(Math.max(now.getTime(), Date.parse(current.lastUpdated) + 1)).toISOString();
}

/** The stored text: the caller's elements in the caller's order, behind id and meta. */
function textOf(resource: Resource, id: string, version: number, lastUpdated: string): string {
  const { resourceType, id: _id, meta, ...rest } = resource;
  const { versionId: _version, lastUpdated: _lastUpdated, ...tags } = meta ?? {};
  const complete = { resourceType, id, meta: { versionId: String(version), lastUpdated, ...tags }, ...rest };
  return stringifyJson(keepDigits(resource, complete));
}

function addSearchRows(
  parts: RecordParts,
  { draft, id, current }: Settled,
  version: NewVersion,
  added: SearchColumns,
  removed: SearchColumns,
): void {
  // Extractors read id and meta too.
  const after = draft.resource && ({ ...draft.resource, id, meta: { ...draft.resource.meta } } as Resource);
  const extract = (resource: Resource) => (sink: Parameters<RecordParts['extract']>[1]) =>
    parts.extract(resource, sink);
  if (current === undefined || current.deleted) {
    if (after) parts.extract(after, added.sinkFor(version.rid, version.patientId));
    return;
  }
  const before = { patientId: current.patientId, extract: extract(parseJson(current.content) as Resource) };
  const next = { patientId: version.patientId, extract: version.deleted || !after ? () => {} : extract(after) };
  addDifference(version.rid, before, next, added, removed);
}

/** An EHR must know what is referred to before what refers to it; otherwise the order of the request stays. */
function parentsFirst(versions: readonly NewVersion[], settled: readonly Settled[]): readonly NewVersion[] {
  if (versions.length < 2) return versions;
  const byKey = new Map(versions.map((version) => [`${version.type}/${version.id}`, version]));
  const resourceOf = new Map(settled.map(({ draft, id }) => [`${draft.type}/${id}`, draft.resource]));
  const ordered: NewVersion[] = [];
  const seen = new Set<string>();
  const visit = (key: string): void => {
    const version = byKey.get(key);
    // Marked before its parents are visited: a circle of references ends here.
    if (version === undefined || seen.has(key)) return;
    seen.add(key);
    for (const parent of localReferences(resourceOf.get(key))) visit(parent);
    ordered.push(version);
  };
  for (const key of byKey.keys()) visit(key);
  return ordered;
}

function localReferences(value: unknown, found: string[] = []): string[] {
  if (Array.isArray(value)) {
    for (const item of value) localReferences(item, found);
  } else if (typeof value === 'object' && value !== null) {
    for (const name in value) {
      const child = (value as Record<string, unknown>)[name];
      if (name === 'reference' && typeof child === 'string') found.push(child);
      else if (typeof child === 'object') localReferences(child, found);
    }
  }
  return found;
}
