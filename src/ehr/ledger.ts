/** Deliveries as people see and mend them. src/postgres/delivery-ledger.ts provides it. */
import type { DeliveryId, DeliveryState } from './deliveries.ts';
import type { EhrTargetId } from './target.ts';

export type DeliveryFilter = {
  readonly ids?: readonly DeliveryId[];
  readonly targetId?: EhrTargetId;
  readonly states?: readonly DeliveryState[];
  /** Part of the reason. */
  readonly reason?: string;
  /** Class of the last attempt. */
  readonly class?: string;
  readonly resourceType?: string;
  readonly patientId?: string;
  /** When the delivery was made. */
  readonly from?: Date;
  readonly before?: Date;
  readonly limit: number;
};

export type DeliveryRecord = {
  readonly deliveryId: DeliveryId;
  readonly targetId: EhrTargetId;
  readonly patientId: string;
  readonly patientSeq: string;
  readonly resourceType: string;
  readonly resourceId: string;
  readonly version: number;
  readonly intent: string;
  readonly state: DeliveryState;
  readonly reason: string | null;
  readonly attempts: number;
  readonly lastClass: string | null;
  readonly blocksLane: boolean;
  readonly laneHold: string | null;
  readonly createdAt: Date;
  readonly dueAt: Date | null;
  readonly endedAt: Date | null;
  /** 'Type/id' at the target. */
  readonly remote: string | null;
};

export type AttemptRecord = {
  readonly attemptNo: number;
  readonly kind: string;
  readonly startedAt: Date;
  readonly endedAt: Date | null;
  readonly class: string | null;
  readonly httpStatus: number | null;
  readonly remoteRequestId: string | null;
  readonly excerpt: string | null;
  readonly worker: string | null;
};

export type InterventionRecord = {
  readonly action: 'replay' | 'cancel';
  readonly at: Date;
  readonly actor: string;
  readonly reason: string;
  readonly fromState: string;
};

export type DeliveryDetail = DeliveryRecord & {
  readonly businessIdentifier: string;
  readonly payloadSha256: string | null;
  readonly auditEvent: string | null;
  readonly supersededBy: DeliveryId | null;
  readonly waitsFor: DeliveryId | null;
  readonly history: readonly AttemptRecord[];
  readonly interventions: readonly InterventionRecord[];
};

/** Who mends, and why: kept with each delivery. */
export type Intervention = { readonly actor: string; readonly reason: string };

export type DeliveryLedger = {
  /** Newest first. @throws Failure `not-found`, `business-rule` when one that is named is not there, or not among them */
  list(filter: DeliveryFilter): Promise<readonly DeliveryRecord[]>;
  /** @throws Failure `not-found` */
  show(id: DeliveryId): Promise<DeliveryDetail>;
  /**
   * Dead letters and accepted deliveries go again, under the same identifier: what may be there is looked for first,
   * what is there is written over and never created anew. Others stay as they are.
   *
   * @param perMinute at most so many become due within a minute, in the order of their patients
   */
  replay(filter: DeliveryFilter, by: Intervention, perMinute: number): Promise<readonly DeliveryRecord[]>;
  /** Ends dead letters for good; their lanes go on. */
  cancel(filter: DeliveryFilter, by: Intervention): Promise<readonly DeliveryRecord[]>;
};

/** What replay takes. */
export const REPLAYABLE: readonly DeliveryState[] = ['dead-letter', 'accepted', 'verified'];
