/**
 * What the lanes ask of the database. src/postgres/deliveries.ts provides it.
 *
 * A delivery: waiting → sending → accepted. A lost answer makes it unknown, and it stays so until somebody looked.
 * It ends accepted (later verified), superseded by a later version, withheld by a rule, cancelled, or as a dead letter
 * that waits for a person. Nothing is deleted.
 *
 * Everything that a worker writes is bound to the fence of its lane: a worker that was frozen and lost its lease
 * writes nothing more. All times are the database's.
 */

import type { AnswerClass, RemoteResource } from './classify.ts';
import type { JsonObject } from './compile.ts';
import type { IdentityEvidence, IdentityHold } from './identity.ts';
import type { ReferenceKey } from './references.ts';
import type { EhrTargetId } from './target.ts';

export type LaneId = string;
export type DeliveryId = string;

export type DeliveryState =
  | 'waiting'
  | 'sending'
  | 'unknown'
  | 'accepted'
  | 'verified'
  | 'superseded'
  | 'withheld'
  | 'cancelled'
  | 'dead-letter';

export type Intent = 'put' | 'entered-in-error';

/** `send` writes the resource, `resolve` looks for it; `identify` and `create-patient` concern the chart itself. */
export type AttemptKind = 'send' | 'resolve' | 'identify' | 'create-patient';

/** A lane under our lease. */
export type ClaimedLane = {
  readonly laneId: LaneId;
  readonly targetId: EhrTargetId;
  readonly patientId: string;
  readonly fence: string;
  readonly leaseToken: string;
};

/** `leased`: another worker has it; `saturated`: the target has its number of lanes; `closed`: not before a moment. */
export type ClaimRefusal = 'leased' | 'saturated' | 'held' | 'closed' | 'absent';

export type ResourceLink = {
  readonly remoteType: string;
  readonly remoteId: string;
  readonly remoteVersion: string | null;
  readonly remoteSha256: Buffer | null;
  readonly deliveredVersion: number;
};

/** The first delivery of a lane that may be worked on, with what is needed to decide about it. */
export type DeliveryHead = {
  readonly deliveryId: DeliveryId;
  readonly resourceType: string;
  readonly resourceId: string;
  readonly version: number;
  readonly intent: Intent;
  /** system|value */
  readonly businessIdentifier: string;
  readonly state: 'waiting' | 'sending' | 'unknown';
  readonly stateReason: string | null;
  readonly attempts: number;
  readonly ageSeconds: number;
  /** 0 or less: due. */
  readonly dueInSeconds: number;
  /** The revision it was last sent with. */
  readonly sentRevision: number | null;
  readonly activeRevision: number;
  /** Content of the pinned version; of the last version with content when that one is a deletion. */
  readonly content: string;
  /** Content of the current version where it is a later one and not a deletion. */
  readonly currentContent: string | null;
  readonly link: ResourceLink | null;
  /** The last open delivery of a later version of the same resource. */
  readonly newer: { readonly deliveryId: DeliveryId; readonly intent: Intent } | null;
  /** Dead letters of earlier versions that surely left nothing there: a later version replaces them. */
  readonly deadBefore: readonly DeliveryId[];
  /** Another dead letter stops the lane. */
  readonly blocked: boolean;
  /** The target or the lane is held, or the target is to be left alone for a while. */
  readonly closed: boolean;
  /** An attempt of this delivery may have stored it. */
  readonly maySelfBeThere: boolean;
  /** An attempt of another version may have stored the resource. */
  readonly mayOtherBeThere: boolean;
  /** Different workers that ended without recording an answer. */
  readonly unansweredWorkers: number;
  /** Attempts answered 500 and above. */
  readonly serverErrors: number;
  /** Seconds since the last attempt to send began. */
  readonly sinceLastSendSeconds: number | null;
  /** Answers 429 in a row of the whole target. */
  readonly throttles: number;
};

export type PatientAtTarget = {
  /** Content of the current Patient; undefined when there is none. */
  readonly content: string | undefined;
  readonly version: number;
  readonly confirmedRemoteId: string | null;
  /** Seconds since an attempt to create the patient there whose outcome is not known. */
  readonly sinceUnknownCreateSeconds: number | null;
};

/** What is known of a resource that another one refers to. */
export type Referenced = {
  readonly content: string | null;
  readonly link: { readonly remoteType: string; readonly remoteId: string } | null;
  /** Its first delivery in this lane that has not ended well. */
  readonly pending: { readonly deliveryId: DeliveryId; readonly waitsFor: readonly DeliveryId[] } | null;
};

export type Attempt = {
  readonly kind: AttemptKind;
  readonly revision: number;
  readonly requestSha256: Buffer | null;
  readonly worker: string;
};

/** The next state of a delivery. */
export type DeliveryChange = {
  readonly state: Exclude<DeliveryState, 'sending' | 'verified'>;
  readonly reason: string | null;
  /** For waiting and unknown; 0 is now. */
  readonly dueInSeconds?: number;
  /** False gives the attempt back: it does not count. */
  readonly counted?: boolean;
  /** For a dead letter: it stops its lane. */
  readonly blocks?: boolean;
  readonly supersededBy?: DeliveryId;
  readonly waitsFor?: DeliveryId;
};

/** What happens to the lane, the target and the links with the change. */
export type Consequences = {
  readonly link?: {
    readonly remote: RemoteResource;
    readonly remoteSha256: Buffer | null;
    /** 0 when what lies there may be another version of ours. */
    readonly deliveredVersion: number;
  };
  readonly patientLink?: PatientLinkChange;
  readonly holdLane?: string;
  readonly holdTarget?: string;
  /** The whole target is left alone for so long. */
  readonly closeTargetSeconds?: number;
};

export type PatientLinkChange =
  | {
      readonly status: 'confirmed';
      readonly remotePatientId: string;
      readonly evidence: PatientEvidence;
      readonly by: string;
    }
  | { readonly status: 'hold'; readonly reason: IdentityHold; readonly evidence: PatientEvidence };
export type PatientEvidence = IdentityEvidence & { readonly patientVersion: number };

/** What an attempt brought. */
export type AttemptResult = {
  readonly class: AnswerClass | 'not-found';
  readonly firstByteAt: Date | null;
  readonly httpStatus: number | null;
  readonly remoteRequestId: string | null;
  readonly retryAfter: Date | null;
  readonly excerpt: string;
};

/** What the audit entry of an attempt says. */
export type DisclosureFacts = {
  readonly interaction: 'create' | 'update' | 'read' | 'search-type';
  /** 0 success, 4 refused, 8 failed or unknown. */
  readonly outcome: 0 | 4 | 8;
  readonly description: string;
  readonly targetId: EhrTargetId;
  readonly baseUrl: string;
  readonly patientId: string;
  readonly deliveryId: DeliveryId;
  readonly attemptNo: number;
  /** What was sent: 'Type/id/_history/version'. Absent when only an identifier was asked for. */
  readonly sent?: {
    readonly reference: string;
    readonly securityLabels: readonly JsonObject[];
    readonly sha256: Buffer | null;
  };
};

export type Finish = {
  readonly deliveryId: DeliveryId;
  readonly attemptNo: number;
  readonly kind: AttemptKind;
  readonly result: AttemptResult;
  /** Absent: the delivery stays as it is. */
  readonly change?: DeliveryChange;
  readonly consequences: Consequences;
  readonly disclosure: DisclosureFacts;
};

export type DeliveryStore = {
  claim(laneId: LaneId, leaseSeconds: number): Promise<ClaimedLane | ClaimRefusal>;
  release(lane: ClaimedLane): Promise<void>;
  head(lane: ClaimedLane): Promise<DeliveryHead | undefined>;
  patient(lane: ClaimedLane): Promise<PatientAtTarget>;
  referenced(lane: ClaimedLane, keys: readonly ReferenceKey[]): Promise<ReadonlyMap<ReferenceKey, Referenced>>;
  contentOf(type: string, id: string, version: number): Promise<string | undefined>;
  /** Whether the target accepted something else since this delivery's first server error. */
  acceptedOthersSinceErrors(lane: ClaimedLane, deliveryId: DeliveryId): Promise<boolean>;
  /**
   * Writes the attempt down, durably, before its request; renews the lease. A `send` makes the delivery `sending`.
   * undefined: the lane is no longer ours.
   */
  begin(lane: ClaimedLane, deliveryId: DeliveryId, attempt: Attempt, leaseSeconds: number): Promise<number | undefined>;
  /** Attempt, delivery, links, holds and audit entry in one transaction. False: the lane is no longer ours. */
  finish(lane: ClaimedLane, finish: Finish, leaseSeconds: number): Promise<boolean>;
  /** A change that no request caused. False: the lane is no longer ours. */
  change(
    lane: ClaimedLane,
    deliveryIds: readonly DeliveryId[],
    change: DeliveryChange,
    consequences?: Consequences,
  ): Promise<boolean>;
  /** A delivery found `sending`: its worker ended. It becomes unknown; its attempt counts as a disclosure. */
  abandon(
    lane: ClaimedLane,
    deliveryId: DeliveryId,
    dueInSeconds: number,
    baseUrl: string,
    securityLabels: readonly JsonObject[],
  ): Promise<boolean>;
};

/** What the relay asks: lanes with something to do, by their state and never by a cursor. */
export type LaneFinder = {
  due(limit: number): Promise<readonly LaneId[]>;
  /** Lets lanes go that were held for a patient's identity and whose Patient has changed since. */
  releaseCorrected(): Promise<number>;
};
