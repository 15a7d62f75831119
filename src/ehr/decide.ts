/**
 * From the class of an answer to the delivery's next state. Pure.
 *
 * The one rule above all: after an unconditional create whose outcome is unknown the next request is a search, never
 * another create.
 */
import type { AnswerClass, Classified } from './classify.ts';
import type { Consequences, DeliveryChange } from './deliveries.ts';
import type { RequestPurpose } from './exchange.ts';

export type DecisionFacts = {
  readonly purpose: RequestPurpose;
  /** Attempts that counted, this one included. */
  readonly attempts: number;
  readonly ageSeconds: number;
  readonly giveUpSeconds: number;
  readonly settleSeconds: number;
  /** Whether a dead letter of this type stops its lane. */
  readonly blocks: boolean;
  /** A search by our identifier can be trusted. */
  readonly identifierSearch: boolean;
  /** Answers 429 in a row, before this one. */
  readonly throttles: number;
  /** This is the second try against a version that had changed. */
  readonly rebased: boolean;
};

export type Backoff = {
  readonly baseSeconds: number;
  readonly maxSeconds: number;
  /** From 0 to 1. */
  random(): number;
};

export const DEFAULT_BACKOFF: Backoff = { baseSeconds: 2, maxSeconds: 900, random: Math.random };

export type Decision = { readonly change: DeliveryChange; readonly consequences: Consequences };

const LOCKED_SECONDS = 3600;
const THROTTLED_SECONDS = 60;
const THROTTLED_MAX_SECONDS = 3600;

/** 2 s × 2ⁿ with full jitter, at most 15 min. */
export function backoffSeconds(attempts: number, backoff: Backoff): number {
  return backoff.random() * Math.min(backoff.maxSeconds, backoff.baseSeconds * 2 ** Math.min(attempts, 30));
}

/** After a request that wrote the resource, accepted ones apart. */
export function afterSend(found: Classified, facts: DecisionFacts, backoff: Backoff): Decision {
  const later = backoffSeconds(facts.attempts, backoff);
  const waiting = (reason: string, dueInSeconds: number, counted = true) =>
    unlessTooOld({ state: 'waiting', reason, dueInSeconds, counted }, facts);
  const dead = (reason: string): Decision => ({
    change: { state: 'dead-letter', reason: withExcerpt(reason, found), blocks: facts.blocks },
    consequences: {},
  });
  const unknown = (reason: string, dueInSeconds: number) =>
    unlessTooOld({ state: 'unknown', reason, dueInSeconds }, facts);

  switch (found.class) {
    case 'accepted':
      throw new Error('An accepted answer is not decided here');
    case 'unproven':
      return unknown('success without proof', facts.settleSeconds);
    case 'unknown':
      return unknown('answer lost', facts.settleSeconds);
    case 'transient':
      return waiting(withExcerpt('transient', found), later);
    case 'throttled':
      return closing(waiting('throttled', 0, false), found, facts);
    case 'authorization':
    case 'misconfigured':
      return holding(waiting(found.class, 0, false), found.class);
    case 'version-conflict':
      return facts.rebased ? dead('remote-edited') : unknown('version-conflict', 0);
    case 'duplicate':
      return facts.identifierSearch ? unknown('duplicate', 0) : dead('remote-duplicate');
    case 'gone':
      return { ...waiting('remote-gone', 0), consequences: { holdLane: 'remote-gone' } };
    case 'locked':
      return waiting('locked', LOCKED_SECONDS);
    case 'refused':
      return dead('refused');
    case 'human-policy':
      return dead('human-policy');
  }
}

/** After a search or read that was to resolve an unknown outcome and did not bring an answer to it. */
export function afterFailedResolve(
  found: Classified,
  facts: DecisionFacts,
  backoff: Backoff,
  reason: string,
): Decision {
  const unknown = (dueInSeconds: number) => unlessTooOld({ state: 'unknown', reason, dueInSeconds }, facts);
  const failed: Exclude<AnswerClass, 'accepted'> = found.class === 'accepted' ? 'unknown' : found.class;
  switch (failed) {
    case 'throttled':
      return closing(unknown(0), found, facts);
    case 'authorization':
    case 'misconfigured':
      return holding(unknown(0), failed);
    case 'gone':
      return { ...unknown(0), consequences: { holdLane: 'remote-gone' } };
    case 'locked':
      return unknown(LOCKED_SECONDS);
    case 'refused':
    case 'human-policy':
      return {
        change: { state: 'dead-letter', reason: withExcerpt('outcome unknown, search refused', found), blocks: true },
        consequences: {},
      };
    case 'transient':
    case 'unknown':
    case 'unproven':
    case 'duplicate':
    case 'version-conflict':
      return unknown(Math.max(facts.settleSeconds, backoffSeconds(facts.attempts, backoff)));
  }
}

function unlessTooOld(change: DeliveryChange, facts: DecisionFacts): Decision {
  const due = facts.ageSeconds + (change.dueInSeconds ?? 0);
  if (due <= facts.giveUpSeconds) return { change, consequences: {} };
  const reason =
    change.state === 'unknown' ? `gave-up, outcome unknown: ${change.reason}` : `gave-up: ${change.reason}`;
  return { change: { state: 'dead-letter', reason, blocks: facts.blocks }, consequences: {} };
}

function closing(decision: Decision, found: Classified, facts: DecisionFacts): Decision {
  const told = found.retryAfter === undefined ? undefined : (found.retryAfter.getTime() - Date.now()) / 1000;
  const unsaid = Math.min(THROTTLED_MAX_SECONDS, THROTTLED_SECONDS * 2 ** Math.min(facts.throttles, 10));
  const seconds = Math.max(0, told ?? unsaid);
  return {
    change: decision.change.state === 'dead-letter' ? decision.change : { ...decision.change, dueInSeconds: seconds },
    consequences: { closeTargetSeconds: seconds },
  };
}

function holding(decision: Decision, reason: string): Decision {
  return { ...decision, consequences: { holdTarget: reason } };
}

function withExcerpt(reason: string, found: Classified): string {
  const status = found.httpStatus === undefined ? '' : ` HTTP ${found.httpStatus}`;
  return `${reason}${status}${found.excerpt === '' ? '' : `: ${found.excerpt}`}`.slice(0, 500);
}
