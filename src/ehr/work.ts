/** What the steps of one wake of one lane share: the lane, the ports, and how an attempt is written down. */
import type { Classified } from './classify.ts';
import { classify } from './classify.ts';
import type { JsonObject } from './compile.ts';
import { type Backoff, DEFAULT_BACKOFF, type DecisionFacts } from './decide.ts';
import type {
  AttemptKind,
  ClaimedLane,
  Consequences,
  DeliveryChange,
  DeliveryHead,
  DeliveryStore,
  DisclosureFacts,
} from './deliveries.ts';
import type { EhrClient, Exchange, RemoteRequest } from './exchange.ts';
import type { EhrTargetId, EhrTargetRevision } from './target.ts';
import { blocksWhenDead, rulesOf } from './target.ts';

/** A revision with the client that speaks to it. */
export type ReachableTarget = { readonly revision: EhrTargetRevision; readonly client: EhrClient };

/** Names no patient and carries no content. */
export type LaneLog = {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
};

export type LanePorts = {
  readonly deliveries: DeliveryStore;
  target(targetId: EhrTargetId, revision: number): Promise<ReachableTarget>;
  /** Our FHIR base, without a trailing slash. */
  readonly ownBase: string;
  readonly clinic: string;
  /** Who works: host and process, for the attempt's row. */
  readonly worker: string;
  readonly log: LaneLog;
};

export type LaneOptions = {
  readonly leaseSeconds: number;
  /** No request is pending this long before the lease ends. */
  readonly leaseMarginSeconds: number;
  /** After so many deliveries or seconds the lane steps back for others. */
  readonly maxDeliveries: number;
  readonly maxSeconds: number;
  readonly backoff: Backoff;
  /** True ends the wake after the request that is on its way. */
  readonly stopping: () => boolean;
};

export const DEFAULT_LANE_OPTIONS: LaneOptions = {
  leaseSeconds: 45,
  leaseMarginSeconds: 5,
  maxDeliveries: 20,
  maxSeconds: 30,
  backoff: DEFAULT_BACKOFF,
  stopping: () => false,
};

/** One delivery at the head of a claimed lane, and what was found out about it. */
export type Work = {
  readonly ports: LanePorts;
  readonly options: LaneOptions;
  readonly lane: ClaimedLane;
  readonly head: DeliveryHead;
  readonly target: ReachableTarget;
  /** Pinned content, numbers exact. */
  readonly resource: JsonObject;
};

/** Thrown inside a wake when the lease is gone: nothing more may be written. */
export class LeaseLost extends Error {
  override readonly name = 'LeaseLost';
}

/**
 * One request of a delivery: written down, sent, classified. What it leads to is written by `finish`, which must be
 * called once.
 *
 * @throws LeaseLost when the lane went to another worker
 */
export async function attempt(
  work: Work,
  kind: AttemptKind,
  request: RemoteRequest,
  sha256: Buffer | null = null,
): Promise<{ readonly found: Classified; readonly exchange: Exchange; finish: FinishAttempt }> {
  const { ports, options, lane, head, target } = work;
  // Before the row is written, so that the row's lease always outlives the request.
  const notAfter = new Date(Date.now() + (options.leaseSeconds - options.leaseMarginSeconds) * 1000);
  const revision = target.revision.revision;
  const row = { kind, revision, requestSha256: sha256, worker: ports.worker };
  const attemptNo = await ports.deliveries.begin(lane, head.deliveryId, row, options.leaseSeconds);
  if (attemptNo === undefined) throw new LeaseLost();
  const exchange = await target.client.send(request, notAfter);
  const found = classify(request, exchange, target.revision.dialect.vendor);
  const finish: FinishAttempt = async (change, consequences = {}, resultClass = found.class) => {
    const firstByteAt = exchange.outcome === 'no-token' ? null : exchange.firstByteAt;
    const held = await ports.deliveries.finish(
      lane,
      {
        deliveryId: head.deliveryId,
        attemptNo,
        kind,
        result: {
          class: resultClass,
          firstByteAt,
          httpStatus: found.httpStatus ?? null,
          remoteRequestId: found.remoteRequestId ?? null,
          retryAfter: found.retryAfter ?? null,
          excerpt: found.excerpt,
        },
        ...(change === undefined ? {} : { change }),
        consequences,
        disclosure: disclosureOf(work, kind, request, found, attemptNo, sha256),
      },
      options.leaseSeconds,
    );
    if (!held) throw new LeaseLost();
  };
  return { found, exchange, finish };
}

export type FinishAttempt = (
  change: DeliveryChange | undefined,
  consequences?: Consequences,
  resultClass?: Classified['class'] | 'not-found',
) => Promise<void>;

/** A change without a request. @throws LeaseLost */
export async function conclude(work: Work, change: DeliveryChange, consequences: Consequences = {}): Promise<void> {
  const { ports, lane, head } = work;
  if (!(await ports.deliveries.change(lane, [head.deliveryId], change, consequences))) throw new LeaseLost();
}

export function decisionFacts(work: Work, purpose: RemoteRequest['purpose'], attempts: number): DecisionFacts {
  const { dialect } = work.target.revision;
  return {
    purpose,
    attempts,
    ageSeconds: work.head.ageSeconds,
    giveUpSeconds: dialect.giveUpDays * 86_400,
    settleSeconds: dialect.settleSeconds,
    blocks: blocksWhenDead(dialect, work.head.resourceType),
    identifierSearch: rulesOf(dialect, work.head.resourceType)?.identifierSearch ?? false,
    throttles: work.head.throttles,
    rebased: work.head.stateReason === REBASE,
  };
}

/** state_reason of a delivery that goes on top of a version somebody else made. */
export const REBASE = 'rebase';

export function securityLabelsOf(resource: JsonObject): readonly JsonObject[] {
  const meta = resource.meta as { security?: JsonObject[] } | undefined;
  return meta?.security ?? [];
}

function disclosureOf(
  work: Work,
  kind: AttemptKind,
  request: RemoteRequest,
  found: Classified,
  attemptNo: number,
  sha256: Buffer | null,
): DisclosureFacts {
  const { head, lane, target } = work;
  const written = request.method !== 'GET';
  const sent =
    kind === 'send'
      ? `${head.resourceType}/${head.resourceId}/_history/${head.version}`
      : written
        ? `Patient/${lane.patientId}`
        : undefined;
  return {
    interaction: interactionOf(request),
    outcome: outcomeOf(found),
    description: found.httpStatus === undefined ? found.class : `${found.class}, HTTP ${found.httpStatus}`,
    targetId: lane.targetId,
    baseUrl: target.revision.baseUrl,
    patientId: lane.patientId,
    deliveryId: head.deliveryId,
    attemptNo,
    ...(sent === undefined
      ? {}
      : { sent: { reference: sent, securityLabels: kind === 'send' ? securityLabelsOf(work.resource) : [], sha256 } }),
  };
}

function interactionOf(request: RemoteRequest): DisclosureFacts['interaction'] {
  if (request.purpose === 'search') return 'search-type';
  if (request.purpose === 'read') return 'read';
  return request.method === 'POST' ? 'create' : 'update';
}

function outcomeOf(found: Classified): 0 | 4 | 8 {
  if (found.class === 'accepted') return 0;
  return found.httpStatus !== undefined && found.httpStatus >= 400 && found.httpStatus < 500 ? 4 : 8;
}
