/** How the audit trail is read; src/postgres/audit.ts provides it. */

export type RecordedEvent = { readonly id: string; readonly recorded: string; readonly body: string };

/** All that are given must hold. */
export type AuditSearch = {
  /** A UUID, with '.n' for the n-th event of a shared row. */
  readonly id?: string;
  readonly patientId?: string;
  /** 'Type/id' that the event names, in whatever version. */
  readonly entity?: string;
  /** Recorded at or after. */
  readonly from?: Date;
  /** Recorded before. */
  readonly before?: Date;
  readonly action?: string;
  readonly outcome?: number;
  readonly type?: string;
  readonly subtype?: string;
  readonly count: number;
  /** The last event of the page before. */
  readonly after?: { readonly recorded: string; readonly id: string };
};

export type AuditReader = {
  /** The AuditEvent as FHIR JSON. */
  read(id: string): Promise<string | undefined>;
  /** Newest first. `next` is the last one of the page, when there are more. */
  search(search: AuditSearch): Promise<{ readonly events: readonly RecordedEvent[]; readonly next?: RecordedEvent }>;
  /** The one patient that a resource is about. */
  patientOf(type: string, id: string): Promise<string | undefined>;
};
