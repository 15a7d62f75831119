/**
 * What the record asks of its database. src/postgres/record-store.ts provides it.
 *
 * A unit of work is one transaction. Its number of round trips does not depend on how many resources it holds.
 */
import type { AuditRow } from '../audit/event.ts';
import type { SearchQuery } from '../fhir/search/query.ts';
import type { EverythingQuery } from './everything.ts';
import type { HistoryQuery } from './history.ts';
import type { NewPackage, StoredPackage, Strictness } from './packages.ts';
import type { EverythingPage, HistoryPage, SearchPage, SearchText, StoredResource } from './record.ts';
import type { SearchColumns } from './search-rows.ts';

export type ResourceKey = { readonly type: string; readonly id: string };

/** The current row of a resource, with the text of its current version. */
export type CurrentRow = StoredResource & {
  readonly rid: string;
  /** Another one as soon as anything of the row has changed; only where it was read without a lock. */
  readonly seen?: string;
  /** The version came as history from elsewhere. */
  readonly imported: boolean;
};

/** One version to append. Version 1 is a new resource. */
export type NewVersion = StoredResource & {
  readonly rid: string;
  /** Of the current row that this version follows: it is written only while that is unchanged. */
  readonly seen?: string;
  /** What an EHR is told: the new state, or that the entry was a mistake. */
  readonly intent: 'put' | 'entered-in-error';
  /** It comes as history from elsewhere: its deliveries are withheld. */
  readonly imported?: true;
};

/** Everything one unit of work writes. */
export type Change = {
  /** In the order in which an EHR must receive them: what is referred to first. */
  readonly versions: readonly NewVersion[];
  readonly added: SearchColumns;
  readonly removed: SearchColumns;
  readonly audit: readonly AuditRow[];
  /** Patients who are in a course from now on, and when their rules must be looked at again. */
  readonly courses: readonly { readonly patientId: string; readonly nextCheckAt: string | null }[];
  /** Of the set of profiles that the resources were checked with: under another one they are not written. */
  readonly generation?: string;
};

/**
 * Thrown where the clinic's profiles have changed since the resources were checked; nothing is written. They are to be
 * checked again.
 */
export class OtherProfiles extends Error {
  override readonly name = 'OtherProfiles';
}

/** What must hold for a change to be written without looking anything up first. */
export type Expectation = {
  /** None of these patients is in a course (their rules would have to be evaluated). */
  readonly outsideCourse: readonly string[];
  /** These resources exist. */
  readonly existing: readonly ResourceKey[];
};

/**
 * What became of a write without locks; nothing is written but for `written`. `inCourse`: the rules must be evaluated
 * first. `changed`: a current row is not what it was when it was read. `outdated`: the clinic's profiles have changed.
 */
export type StraightAnswer =
  | 'written'
  | 'changed'
  | 'outdated'
  | { readonly inCourse: readonly string[] }
  | { readonly missing: readonly ResourceKey[] };

export type Criterion = { readonly type: string; readonly criteria: string };

/** At most two resources that match; two mean "more than one". */
export type Match = {
  readonly id: string;
  /** The version that matched; another one may not. */
  readonly version: number;
};

export type LockedPatients = { readonly locked: ReadonlySet<string>; readonly inCourse: ReadonlySet<string> };

/** Calls may be made without awaiting earlier ones; they take effect in the order in which they were made. */
export type UnitOfWork = {
  readonly newRids: NewRids;
  /**
   * Locks the places, in the order of commits, of these patients and of those whom the resources are about by now; in
   * id order. Patients come before rows: whoever locks a row first and then its patient deadlocks with everybody else.
   */
  lockPatients(patientIds: readonly string[], resources: readonly ResourceKey[]): Promise<LockedPatients>;
  /** Takes the locks under which conditional interactions with the same criteria exclude each other. */
  lockCriteria(criteria: readonly Criterion[]): Promise<void>;
  match(criteria: readonly Criterion[]): Promise<readonly (readonly Match[])[]>;
  /** Current rows, locked in id order; absent ones are left out. */
  lockCurrent(keys: readonly ResourceKey[]): Promise<readonly CurrentRow[]>;
  /** Those that do not exist, or are deleted. */
  missing(keys: readonly ResourceKey[]): Promise<readonly ResourceKey[]>;
  /** Texts of all current resources of these types about the patients. */
  courseResources(
    patientIds: readonly string[],
    types: readonly string[],
  ): Promise<readonly { readonly patientId: string; readonly content: string }[]>;
  /** Texts of the Practitioners and PractitionerRoles with these references, and of the roles these Practitioners have. */
  roles(references: readonly string[]): Promise<readonly string[]>;
  /** Texts of the PlanDefinitions with these canonicals (url, or url|version): of whichever version of the resource had it. */
  planDefinitions(canonicals: readonly string[]): Promise<ReadonlyMap<string, string>>;
  /** @throws OtherProfiles */
  write(change: Change): Promise<void>;
  /** The packages of profiles that the clinic has loaded; other units of work wait with theirs until this one ends. */
  lockPackages(): Promise<readonly StoredPackage[]>;
  addPackage(added: NewPackage): Promise<void>;
  /** @param profiles canonicals without version that are known no more: their policies go, too */
  removePackage(name: string, version: string, profiles: readonly string[]): Promise<void>;
  /** Null: back to what holds where nothing is said. */
  setPolicy(profile: string, strictness: Strictness | null, by: string): Promise<void>;
  /** An audit entry beside those of the change. */
  audit(row: AuditRow): Promise<void>;
  /** An older version of a resource. */
  version(rid: string, version: number): Promise<{ readonly deleted: boolean; readonly content: string } | undefined>;
  /** Puts a text in the place of a version's; it may differ in tags, labels and profiles alone. */
  replaceMeta(rid: string, version: number, content: string): Promise<void>;
};

/** Row ids for new resources, unique over all processes. */
export type NewRids = (count: number) => Promise<readonly string[]>;

/** Texts of resources that have every tag, label and profile in use; `more`: there are others, too. */
export type MetaInUse = { readonly contents: readonly string[]; readonly more: boolean };

export type RecordStore = {
  read(type: string, id: string): Promise<StoredResource | undefined>;
  readVersion(type: string, id: string, version: number): Promise<StoredResource | undefined>;
  history(type: string, id: string, page: { count: number; cursor?: string }): Promise<HistoryPage>;
  historyByTime(query: HistoryQuery): Promise<HistoryPage>;
  search(query: SearchQuery): Promise<SearchPage>;
  searchText(query: SearchQuery, base: string): Promise<SearchText>;
  everything(query: EverythingQuery): Promise<EverythingPage>;
  metaInUse(types: readonly string[], limit: number): Promise<MetaInUse>;
  match(criterion: Criterion): Promise<readonly Match[]>;
  readonly newRids: NewRids;
  /** The current row as of now, without a lock. */
  current(key: ResourceKey): Promise<CurrentRow | undefined>;
  /** Writes in one round trip where the expectation holds and the rows read before are unchanged, else nothing. */
  writeStraight(change: Change, expectation: Expectation): Promise<StraightAnswer>;
  transaction<T>(work: (unit: UnitOfWork) => Promise<T>): Promise<T>;
  /** Patients whose rules must be looked at again, oldest first. */
  coursesDue(now: Date, limit: number): Promise<readonly string[]>;
};
