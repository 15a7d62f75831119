/** What `$everything` asks the record for. */
/**
 * A compartment and what it refers to, as one list in pages: what it is about (the Patient or the Encounter), then the
 * other members, then what the members refer to, each by age. So every resource that is there from the first page to
 * the last comes once, whatever is written meanwhile.
 */
export type EverythingQuery = {
  readonly compartment: 'Patient' | 'Encounter';
  /** Absent: the compartments of all patients. */
  readonly id?: string;
  /** Types that are shown of the compartment, and of what its members refer to. */
  readonly members: readonly string[];
  readonly supporting: readonly string[];
  /** Types that the caller may see at all: a member of another type refers to nothing. */
  readonly visible: readonly string[];
  /** Care dates, ms, both inclusive; absent: open. Supporting resources have none. */
  readonly start?: number;
  readonly end?: number;
  /** Changed at or after, ms. */
  readonly since?: number;
  /** 1 to 1000. */
  readonly count: number;
  readonly cursor?: string;
  /** Everything that the list depends on, by which a cursor is bound to it. */
  readonly asked: string;
};
