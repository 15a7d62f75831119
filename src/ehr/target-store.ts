/** Targets as the command line and the workers see them. src/postgres/targets.ts provides it. */
import type { Credentials, Dialect, EhrTargetId, EhrTargetRevision } from './target.ts';

export type NewTarget = {
  readonly targetId: EhrTargetId;
  /** As parseBaseUrl gives it. */
  readonly baseUrl: string;
  readonly dialect: Dialect;
  readonly credentials: Credentials;
  /** Who says so. */
  readonly approvedBy: string;
};

/** For people: no credential in it. */
export type TargetSummary = {
  readonly targetId: EhrTargetId;
  readonly revision: number;
  readonly baseUrl: string;
  readonly authorization: string;
  readonly resourceTypes: readonly string[];
  readonly concurrency: number;
  /** Why nothing is sent; null when it is. */
  readonly holdReason: string | null;
  readonly heldAt: Date | null;
  readonly notBefore: Date | null;
  readonly open: number;
  readonly unknown: number;
  readonly deadLetters: number;
  readonly heldLanes: number;
  readonly oldestOpenAt: Date | null;
  readonly lastAcceptedAt: Date | null;
};

export type TargetStore = {
  /** @throws Failure `conflict` when there is a target of that name */
  add(target: NewTarget): Promise<EhrTargetRevision>;
  /** A new revision, in force at once. @throws Failure `not-found` */
  revise(target: NewTarget): Promise<EhrTargetRevision>;
  list(): Promise<readonly TargetSummary[]>;
  /** The active revision when none is named. @throws Failure `not-found` */
  revision(targetId: EhrTargetId, revision?: number): Promise<EhrTargetRevision>;
  /** Nothing more is sent; what is on its way ends. @throws Failure `not-found` */
  pause(targetId: EhrTargetId, by: string): Promise<void>;
  /**
   * Sends again, and lets go of the lanes that were held: identities are looked up anew.
   * @returns how many lanes were held
   */
  resume(targetId: EhrTargetId, by: string): Promise<number>;
};
