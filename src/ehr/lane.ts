/**
 * One wake of one lane: the deliveries of one patient to one target, in order, one at a time.
 *
 * Claimed by a lease, worked on from the head, released. A wake that comes twice, too late or to a lane that has
 * nothing to do is harmless. A crash leaves the lease, which runs out, and at most one delivery `sending`, which the
 * next wake treats as unknown: it may be there, so it is looked for before it is sent again. A worker that was frozen
 * finds another fence and writes nothing. Where the order of a lane is left, and why: decision 0031.
 */
import { mayLeave } from '../kap/labels.ts';
import type { JsonObject } from './compile.ts';
import type { ClaimedLane, ClaimRefusal, DeliveryHead, LaneId } from './deliveries.ts';
import { parseExactly } from './exact-json.ts';
import { confirmedPatient } from './patient.ts';
import { LOOKED, lookAtTarget, readAtTarget } from './resolve.ts';
import { sendHead } from './send.ts';
import { blocksWhenDead, rulesOf, type TypeRules } from './target.ts';
import {
  conclude,
  DEFAULT_LANE_OPTIONS,
  type LaneOptions,
  type LanePorts,
  LeaseLost,
  REBASE,
  securityLabelsOf,
  type Work,
} from './work.ts';

/**
 * `drained`: nothing is left. `waiting`: the head is not due, or a dead letter stops the lane. `held`: a person must
 * act. `more`: the lane stepped back for others and must be woken again. `lost`: another worker took over.
 */
export type LaneOutcome = 'drained' | 'waiting' | 'held' | 'more' | 'lost' | ClaimRefusal;

export async function workLane(
  laneId: LaneId,
  ports: LanePorts,
  given: Partial<LaneOptions> = {},
): Promise<LaneOutcome> {
  const options = { ...DEFAULT_LANE_OPTIONS, ...given };
  const lane = await ports.deliveries.claim(laneId, options.leaseSeconds);
  if (typeof lane === 'string') return lane;
  try {
    return await workClaimed(lane, ports, options);
  } catch (error) {
    if (error instanceof LeaseLost) return 'lost';
    throw error;
  } finally {
    await ports.deliveries.release(lane);
  }
}

type Next = 'again' | 'sent' | 'drained' | 'waiting' | 'held';

async function workClaimed(lane: ClaimedLane, ports: LanePorts, options: LaneOptions): Promise<LaneOutcome> {
  const until = Date.now() + options.maxSeconds * 1000;
  const theirAdditions = new Map<string, JsonObject>();
  for (let sent = 0; sent < options.maxDeliveries && Date.now() < until && !options.stopping(); ) {
    const next = await step(lane, ports, options, theirAdditions);
    if (next === 'sent') sent += 1;
    else if (next !== 'again') return next;
  }
  return 'more';
}

/** Looks at the head of the lane and does one thing about it. */
async function step(
  lane: ClaimedLane,
  ports: LanePorts,
  options: LaneOptions,
  theirAdditions: Map<string, JsonObject>,
): Promise<Next> {
  const head = await ports.deliveries.head(lane);
  if (head === undefined) return 'drained';
  if (head.closed) return 'held';
  if (head.deadBefore.length > 0) {
    const change = { state: 'superseded', reason: 'a later version', supersededBy: head.deliveryId } as const;
    if (!(await ports.deliveries.change(lane, head.deadBefore, change))) throw new LeaseLost();
    return 'again';
  }
  if (head.blocked) return 'waiting';

  // What may already be there is resolved as it was sent; everything else goes as the target is described now.
  const revision = head.state === 'waiting' ? head.activeRevision : (head.sentRevision ?? head.activeRevision);
  const target = await ports.target(lane.targetId, revision);
  const resource = parseExactly(head.content) as JsonObject;
  const work: Work = { ports, options, lane, head, target, resource };

  if (head.state === 'sending') {
    const { dialect, baseUrl } = target.revision;
    // Its worker may be frozen with the request still on its way: nothing is believed before both times have passed.
    const due = dialect.requestTimeoutSeconds + dialect.settleSeconds - (head.sinceLastSendSeconds ?? 0);
    const held = await ports.deliveries.abandon(
      lane,
      head.deliveryId,
      Math.max(0, due),
      baseUrl,
      securityLabelsOf(resource),
    );
    if (!held) throw new LeaseLost();
    return 'again';
  }
  if (head.dueInSeconds > 0) return 'waiting';
  if (head.state === 'waiting' && (await endedUnsent(work))) return 'again';

  const rules = rulesOf(target.revision.dialect, head.resourceType);
  if (rules === undefined) {
    await conclude(work, { state: 'withheld', reason: `revision ${revision} does not deliver ${head.resourceType}` });
    return 'again';
  }
  if (mustBeRead(head, theirAdditions)) {
    await readAtTarget(work, theirAdditions);
    return 'sent';
  }
  if (mustBeLookedFor(head, rules)) {
    await lookAtTarget(work, rules);
    return 'sent';
  }
  const poison = await poisonOf(work);
  if (poison !== undefined) {
    await conclude(work, {
      state: 'dead-letter',
      reason: poison,
      blocks: blocksWhenDead(target.revision.dialect, head.resourceType),
    });
    return 'again';
  }
  const remotePatientId = await confirmedPatient(work);
  if (remotePatientId === undefined) return 'held';
  return sendHead(work, rules, remotePatientId, theirAdditions.get(head.deliveryId));
}

/** Ends a waiting delivery that need not or may not go. */
async function endedUnsent(work: Work): Promise<boolean> {
  const { head } = work;
  const maySelfBeThere = head.maySelfBeThere && head.stateReason !== LOOKED;
  const nothingThere = head.link === null && !maySelfBeThere && !head.mayOtherBeThere;
  if (head.intent === 'entered-in-error' && head.link === null && (nothingThere || head.stateReason === LOOKED)) {
    await conclude(work, { state: 'cancelled', reason: 'entered in error, and nothing of it was there' });
    return true;
  }
  if (head.newer !== null && !maySelfBeThere) {
    if (head.newer.intent === 'entered-in-error' && nothingThere) {
      await conclude(work, { state: 'cancelled', reason: 'entered in error before it was sent' });
    } else {
      const supersededBy = head.newer.deliveryId;
      await conclude(work, { state: 'superseded', reason: 'a later version', supersededBy });
    }
    return true;
  }
  if (head.link !== null && head.link.deliveredVersion > head.version) {
    await conclude(work, { state: 'superseded', reason: `version ${head.link.deliveredVersion} is there` });
    return true;
  }
  const barred = barredNow(work);
  if (barred === undefined) return false;
  await conclude(work, { state: 'withheld', reason: barred });
  return true;
}

/** R-21 as of now: a note that was labelled after it was recorded does not leave either. */
function barredNow({ head, resource }: Work): string | undefined {
  const current = head.currentContent === null ? [] : [JSON.parse(head.currentContent)];
  for (const each of [resource, ...current]) {
    const verdict = mayLeave(each);
    if (!verdict.ok) return `${verdict.rule}: ${verdict.reason}`;
  }
  return undefined;
}

/** A version at the target that is not the one we knew. */
function mustBeRead(head: DeliveryHead, theirAdditions: ReadonlyMap<string, JsonObject>): boolean {
  if (head.link === null) return false;
  if (head.state === 'unknown') return head.stateReason === 'version-conflict';
  return head.stateReason === REBASE && !theirAdditions.has(head.deliveryId);
}

/** It may be there without our knowing its id. */
function mustBeLookedFor(head: DeliveryHead, rules: TypeRules): boolean {
  if (head.link !== null || head.stateReason === LOOKED) return false;
  if (head.intent === 'entered-in-error') return true;
  if (head.state === 'unknown') return rules.tier === 3 || head.stateReason === 'duplicate';
  return head.mayOtherBeThere && rules.tier !== 1 && rules.identifierSearch;
}

const CRASHES = 3;
const SERVER_ERRORS = 5;

/** A delivery that would fail for ever, and take its worker or the target's patience along. */
async function poisonOf({ ports, lane, head }: Work): Promise<string | undefined> {
  if (head.unansweredWorkers >= CRASHES) return 'poison: crashes worker';
  if (head.serverErrors < SERVER_ERRORS) return undefined;
  const othersPass = await ports.deliveries.acceptedOthersSinceErrors(lane, head.deliveryId);
  return othersPass ? 'poison: the target fails on it alone' : undefined;
}
