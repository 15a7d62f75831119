/** Sending the head of a lane: what it refers to, its bytes, the request, and what the answer leads to. */
import { mayLeave } from '../kap/labels.ts';
import { businessIdentifier, parseIdentifierToken } from './business-identifier.ts';
import type { Classified, RemoteResource } from './classify.ts';
import { containsContent, contentSha256 } from './compare.ts';
import {
  compile,
  hasEnteredInError,
  type JsonObject,
  markerQuery,
  type Payload,
  type ReferenceFate,
} from './compile.ts';
import { afterSend } from './decide.ts';
import type { Consequences, DeliveryChange, DeliveryId, Referenced } from './deliveries.ts';
import type { RemoteRequest } from './exchange.ts';
import { deliveryRank, type ReferenceKey, referencesOf } from './references.ts';
import { blocksWhenDead, rulesOf, type TypeRules } from './target.ts';
import { attempt, conclude, decisionFacts, type Work } from './work.ts';

/** @param theirAdditions what others added at the target, kept when we write over their version */
export async function sendHead(
  work: Work,
  rules: TypeRules,
  remotePatientId: string,
  theirAdditions: JsonObject | undefined,
): Promise<'sent' | 'again'> {
  const { head, ports } = work;
  const impossible = impossibleAt(work, rules);
  if (impossible !== undefined) {
    await conclude(work, { state: 'dead-letter', reason: impossible, blocks: blocksHere(work) });
    return 'again';
  }
  const found = await referenceFates(work, remotePatientId);
  if ('waitsFor' in found) {
    const reason = 'waits for what it refers to';
    await conclude(work, { state: head.state === 'unknown' ? 'unknown' : 'waiting', reason, waitsFor: found.waitsFor });
    return 'again';
  }
  if ('foreign' in found) {
    await conclude(work, { state: 'dead-letter', reason: 'refers to another patient', blocks: blocksHere(work) });
    return 'again';
  }
  const payload = payloadOf(work, rules, found.references, theirAdditions);
  const forbidden = new Set([...found.references].filter(([, fate]) => fate.kind === 'forbidden').map(([key]) => key));
  const verdict = mayLeave(JSON.parse(payload.body), forbidden);
  if (!verdict.ok) {
    await conclude(work, { state: 'withheld', reason: `${verdict.rule}: ${verdict.reason}` });
    return 'again';
  }

  const request = requestOf(work, rules, payload);
  const { found: answer, finish } = await attempt(work, 'send', request, payload.sha256);
  if (answer.class === 'accepted' && answer.remote !== undefined) {
    const { change, consequences } = afterAcceptance(work, rules, request, answer, answer.remote, payload);
    await finish(change, consequences);
  } else {
    const decision = afterSend(answer, decisionFacts(work, request.purpose, head.attempts + 1), work.options.backoff);
    await finish(decision.change, decision.consequences);
    if (decision.consequences.holdTarget !== undefined) {
      ports.log.warn({ target: work.lane.targetId, class: answer.class }, 'an EHR target is held until a person acts');
    }
  }
  return 'sent';
}

function blocksHere({ target, head }: Work): boolean {
  return blocksWhenDead(target.revision.dialect, head.resourceType);
}

/** What this target can never take. */
function impossibleAt({ head }: Work, rules: TypeRules): string | undefined {
  if (head.intent === 'entered-in-error' && !hasEnteredInError(head.resourceType)) {
    return `a ${head.resourceType} cannot say that it was entered in error: correct it at the target`;
  }
  if (head.link !== null && !rules.interactions.includes('update')) {
    return head.intent === 'entered-in-error' ? 'correction-not-supported' : 'update-not-supported';
  }
  return undefined;
}

/**
 * What becomes of every reference. `waitsFor`: a resource that must be there first. `foreign`: the record of another
 * patient is named, which no delivery may do.
 */
export async function referenceFates(
  work: Work,
  remotePatientId: string,
): Promise<
  | { readonly references: ReadonlyMap<ReferenceKey, ReferenceFate> }
  | { readonly waitsFor: DeliveryId }
  | { readonly foreign: true }
> {
  const { ports, lane } = work;
  const references = new Map<ReferenceKey, ReferenceFate>();
  let keys = [...referencesOf(work.resource, ports.ownBase)];
  while (keys.length > 0) {
    const known = await ports.deliveries.referenced(lane, keys);
    const inside = new Set<ReferenceKey>();
    for (const key of keys) {
      if (key === `Patient/${lane.patientId}`) {
        references.set(key, { kind: 'linked', type: 'Patient', id: remotePatientId });
        continue;
      }
      if (key.startsWith('Patient/')) return { foreign: true };
      const fate = fateOf(work, key, known.get(key));
      if ('waitsFor' in fate) return fate;
      references.set(key, fate);
      if (fate.kind === 'contained') for (const each of referencesOf(fate.resource, ports.ownBase)) inside.add(each);
    }
    keys = [...inside].filter((key) => !references.has(key));
  }
  return { references };
}

function fateOf(
  work: Work,
  key: ReferenceKey,
  known: Referenced | undefined,
): ReferenceFate | { waitsFor: DeliveryId } {
  const [type = '', id = ''] = key.split('/');
  const identifier = businessIdentifier(work.ports.clinic, type, id);
  if (known === undefined || known.content === null) return { kind: 'logical', identifier };
  const resource = JSON.parse(known.content) as JsonObject;
  if (!mayLeave(resource as never).ok) return { kind: 'forbidden' };
  if (known.link !== null) return { kind: 'linked', type: known.link.remoteType, id: known.link.remoteId };
  if (type === 'Binary') return { kind: 'inline', resource };
  if (type === 'Medication' && rulesOf(work.target.revision.dialect, type) === undefined) {
    return { kind: 'contained', resource };
  }
  const { pending } = known;
  const rank = deliveryRank(type) - deliveryRank(work.head.resourceType);
  const waitsForUs = pending?.waitsFor.includes(work.head.deliveryId) ?? false;
  if (pending !== null && (rank < 0 || (rank === 0 && !waitsForUs))) return { waitsFor: pending.deliveryId };
  return { kind: 'logical', identifier };
}

function payloadOf(
  work: Work,
  rules: TypeRules,
  references: ReadonlyMap<ReferenceKey, ReferenceFate>,
  theirAdditions: JsonObject | undefined,
): Payload {
  const { head, ports } = work;
  const remoteId = head.link?.remoteId ?? (rules.tier === 1 && rules.putBy === 'id' ? head.resourceId : undefined);
  return compile({
    resource: theirAdditions === undefined ? work.resource : { ...theirAdditions, ...work.resource },
    identifier: parseIdentifierToken(head.businessIdentifier),
    intent: head.intent,
    references,
    ownBase: ports.ownBase,
    ...(remoteId === undefined ? {} : { remoteId }),
  });
}

function requestOf({ head }: Work, rules: TypeRules, payload: Payload): RemoteRequest {
  const type = head.resourceType;
  const { body } = payload;
  if (head.link !== null) {
    const { remoteType, remoteId, remoteVersion } = head.link;
    const path = `${remoteType}/${encodeURIComponent(remoteId)}`;
    const ifMatch = remoteVersion === null ? {} : { ifMatch: `W/"${remoteVersion}"` };
    return { method: 'PUT', purpose: 'update', type, path, body, ...ifMatch };
  }
  const query = markerQuery(type, parseIdentifierToken(head.businessIdentifier));
  if (rules.tier === 1) {
    const path = rules.putBy === 'id' ? `${type}/${head.resourceId}` : `${type}?${query}`;
    return { method: 'PUT', purpose: 'conditional-update', type, path, body };
  }
  if (rules.tier === 2) {
    return { method: 'POST', purpose: 'conditional-create', type, path: type, body, ifNoneExist: query };
  }
  return { method: 'POST', purpose: 'create', type, path: type, body };
}

function afterAcceptance(
  work: Work,
  rules: TypeRules,
  request: RemoteRequest,
  answer: Classified,
  remote: RemoteResource,
  payload: Payload,
): { change: DeliveryChange; consequences: Consequences } {
  const { version } = work.head;
  const remoteSha256 = remote.resource === undefined ? null : contentSha256(remote.resource);
  // 200 to a conditional create: something of ours was there already, perhaps an earlier version.
  const wasThere = request.purpose === 'conditional-create' && answer.httpStatus === 200;
  const isOurs = remote.resource !== undefined && containsContent(remote.resource, payload.resource);
  if (wasThere && !isOurs && rules.interactions.includes('update')) {
    return {
      change: { state: 'waiting', reason: 'another version is there', dueInSeconds: 0 },
      consequences: { link: { remote, remoteSha256, deliveredVersion: 0 } },
    };
  }
  return {
    change: { state: 'accepted', reason: null },
    consequences: { link: { remote, remoteSha256, deliveredVersion: version } },
  };
}
