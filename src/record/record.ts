/**
 * The record of one clinic: what HTTP, jobs and the command line can do with it.
 *
 * Every write is one unit of work: versions, search rows, audit entry and the deliveries they cause commit together
 * or not at all. Reads answer stored text; nothing is parsed on the way out.
 */
import type { Meta, Resource } from '@medplum/fhirtypes';
import type { AuditContext } from '../audit/event.ts';
import type { Issue } from '../fhir/failure.ts';
import type { ResourcePatch } from '../fhir/patch/resource-patch.ts';
import type { SearchQuery } from '../fhir/search/query.ts';
import type { EverythingQuery } from './everything.ts';
import type { HistoryQuery } from './history.ts';
import type { MetaChange } from './meta-change.ts';
import type { Strictness } from './packages.ts';

/** One version of one resource, as it is stored and served. */
export type StoredResource = {
  readonly type: string;
  readonly id: string;
  readonly version: number;
  /** UTC with milliseconds, as in meta.lastUpdated. */
  readonly lastUpdated: string;
  readonly deleted: boolean;
  readonly method: 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** The patient it is about, where there is exactly one. */
  readonly patientId: string | null;
  /** JSON, byte for byte; '' for a deletion. */
  readonly content: string;
};

/** One change of a unit of work. */
export type WriteRequest = {
  readonly method: 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly type: string;
  /** PUT, PATCH and DELETE by id. A PUT to an id that is not there creates it. */
  readonly id?: string;
  /** Conditional PUT, PATCH or DELETE: the search part of the url, without '?'. */
  readonly criteria?: string;
  /** Conditional POST: the search, without '?'. */
  readonly ifNoneExist?: string;
  /** Versions one of which the caller changed, or any; another current version refuses with `precondition-failed`. */
  readonly ifMatch?: '*' | readonly number[];
  /** Only where nothing is there yet (`If-None-Match: *`); refuses with `precondition-failed` otherwise. */
  readonly onlyNew?: boolean;
  readonly resource?: Resource;
  /** PATCH: what is to become of the current version. */
  readonly patch?: ResourcePatch;
  /** An entry of a batch, a line of an import: like a single write, it may refer to what is not here yet. */
  readonly alone?: true;
  /** The id is the `urn:uuid` of an entry, which says nothing beyond its Bundle: an import changes nothing by it. */
  readonly idOfEntry?: true;
  /** fullUrl of a bundle entry, which other entries may refer to. */
  readonly fullUrl?: string;
  /** FHIRPath of the resource in the request: 'Observation' or 'Bundle.entry[2].resource'. */
  readonly place: string;
};

export type WriteResult = {
  /** `unchanged`: ifNoneExist matched one, or a DELETE found nothing. */
  readonly effect: 'created' | 'updated' | 'deleted' | 'unchanged';
  /** Absent only for a DELETE that found nothing. */
  readonly stored?: StoredResource;
};

export type SearchPage = {
  readonly matches: readonly StoredResource[];
  readonly included: readonly StoredResource[];
  /** There was more to include than one answer holds (1000). */
  readonly includedCut?: boolean;
  /** Opaque cursor of the next page, when there is one. */
  readonly next?: string;
  /** Where the query asks for it, or it comes by itself (SearchQuery.total). */
  readonly total?: number;
};

/** `created`: there was no such resource before this version, or it was deleted. */
export type HistoryVersion = StoredResource & { readonly created: boolean };

/** A page put together where the record is. */
export type SearchText = {
  /** The matches as entries of a searchset, with commas between them; '' where nothing matches. */
  readonly entries: string;
  /** Patients that the matches are about, each once. */
  readonly patientIds: readonly string[];
  readonly next?: string;
  readonly total?: number;
};

export type HistoryPage = {
  readonly versions: readonly HistoryVersion[];
  /** When the first page was made. */
  readonly total: number;
  readonly next?: string;
};

export type EverythingPage = {
  /** `match`: of the compartment; `include`: what its members refer to. */
  readonly resources: readonly { readonly stored: StoredResource; readonly mode: 'match' | 'include' }[];
  readonly next?: string;
};

/** @throws Failure in every case that a caller can mend; nothing is stored then. */
export type ClinicRecord = {
  /** The current version. @throws Failure `not-found`, `deleted` */
  read(type: string, id: string): Promise<StoredResource>;
  /** @throws Failure `not-found`, `deleted` (that version was the deletion) */
  readVersion(type: string, id: string, version: number): Promise<StoredResource>;
  /** Newest first. @throws Failure `not-found` */
  history(type: string, id: string, page: { readonly count: number; readonly cursor?: string }): Promise<HistoryPage>;
  /** Histories of types and of everything, and those with a condition. @throws Failure `not-found` for an unknown id */
  historyByTime(query: HistoryQuery): Promise<HistoryPage>;
  search(query: SearchQuery): Promise<SearchPage>;
  /**
   * A page whose matches are shown as they are stored, without includes.
   *
   * @param base FHIR base of the fullUrls
   */
  searchText(query: SearchQuery, base: string): Promise<SearchText>;
  /** A page of a compartment and what it refers to; empty when there is no such compartment. */
  everything(query: EverythingQuery): Promise<EverythingPage>;
  /** Tags, labels and profiles of one version, in place. @see change-meta.ts */
  changeMeta(request: MetaChange, context: WriteContext): Promise<Meta>;
  /** Tags, labels and profiles in use among these types. @throws Failure `invalid` (too-costly) for more than 1,000 */
  metaInUse(types: readonly string[]): Promise<Meta>;
  /** All changes or none, with their audit entry; results in the order of the requests. */
  write(requests: readonly WriteRequest[], context: WriteContext): Promise<readonly WriteResult[]>;
  /** Refuses what `write` would refuse, and stores nothing, not even an audit entry. */
  rehearse(requests: readonly WriteRequest[], context: WriteContext): Promise<void>;
};

/** A resource that is taken although it does not meet a profile. */
export type Deviation = {
  readonly request: WriteRequest;
  readonly strictness: Exclude<Strictness, 'reject'>;
  /** Each with its profile. */
  readonly issues: readonly Issue[];
};

/** A write that is held to profiles less strictly than what is written live. */
export type Leniency = {
  /** As the clinic's policy says, when absent. */
  readonly strictnessOf?: (profile: string) => Strictness;
  /** Told again when the unit of work is tried again. */
  readonly deviates: (deviation: Deviation) => void;
};

/** Who writes, through which interaction ('create', 'update', 'transaction', 'operation', …). */
export type WriteContext = AuditContext & {
  readonly interaction: string;
  /**
   * Asked about the type of every condition before it is looked up. Absent where nobody's permission limits the write.
   *
   * @throws Failure `forbidden` when the caller may not search that type
   */
  readonly requireSearch?: (type: string, place: string) => void;
  /** Told the id of the (first) event that the unit of work leaves; told again when it is tried again. */
  readonly audited?: (eventId: string) => void;
  /** The header X-Provenance: who changed what, in the words of the caller (provenance.ts). */
  readonly provenance?: string;
  /** Absent: whatever does not meet a profile that it claims is refused. */
  readonly leniency?: Leniency;
  /**
   * An operation of ours made the requests from what is stored. What does not meet a profile before it changes something
   * else is no reason to refuse the change (decision 0083).
   */
  readonly computed?: true;
  /** It installs what comes with the service, or loads or removes packages: definitions that nothing else may change. */
  readonly definitions?: true;
  /** It brings history from elsewhere: EHRs are not told, and nothing that was written here is overwritten (decision 0083). */
  readonly history?: true;
};
