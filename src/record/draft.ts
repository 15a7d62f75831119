/** A write request on its way through the record, and what the record is made of. */
import type { Resource } from '@medplum/fhirtypes';
import type { SearchValueSink } from '../fhir/search/values.ts';
import type { ClinicProfiles, ProfileSet } from './clinic-profiles.ts';
import type { WriteRequest } from './record.ts';
import type { Criterion, RecordStore, ResourceKey } from './store.ts';

/** What the record is made of; main.ts joins it. */
export type RecordParts = {
  readonly clinic: string;
  readonly store: RecordStore;
  readonly profiles: ClinicProfiles;
  readonly extract: (resource: Resource, sink: SearchValueSink) => void;
  readonly patientIdOf: (resource: Resource) => string | null;
  /** Whether the element at this JSON path of a resource is of type uri, url, oid or uuid. */
  readonly isLink: (resource: object, path: readonly (string | number)[]) => boolean;
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
  /** What the drafts were checked with, and what patches will be. */
  readonly set: ProfileSet;
  readonly drafts: readonly Draft[];
  readonly conditional: readonly ConditionalReference[];
  /** Local resources that are referred to and not written here. */
  readonly existing: readonly (ResourceKey & { readonly place: string })[];
  /** fullUrl → the draft it names. */
  readonly byFullUrl: ReadonlyMap<string, Draft>;
};
