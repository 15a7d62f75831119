/** Looking at the target before anything is sent again (decision 0030). */
import { parseIdentifierToken } from './business-identifier.ts';
import type { RemoteResource } from './classify.ts';
import { additions, containsContent, contentSha256 } from './compare.ts';
import { compile, isMarked, type JsonObject, markerQuery } from './compile.ts';
import { afterFailedResolve, backoffSeconds } from './decide.ts';
import type { ResourceLink } from './deliveries.ts';
import { parseExactly } from './exact-json.ts';
import type { Exchange, RemoteRequest } from './exchange.ts';
import { referenceFates } from './send.ts';
import type { TypeRules } from './target.ts';
import { attempt, conclude, decisionFacts, REBASE, type Work } from './work.ts';

/** state_reason of a delivery that was looked for and is surely not there. */
export const LOOKED = 'not found there';

/**
 * Searches for the resource by our identifier: exactly one is adopted, none frees the way for another attempt, more
 * than one waits for a person. Only resources that carry the identifier count, whatever the search returned.
 */
export async function lookAtTarget(work: Work, rules: TypeRules): Promise<void> {
  const { head } = work;
  if (!rules.identifierSearch) {
    await conclude(work, {
      state: 'dead-letter',
      reason: 'outcome unknown, and the target cannot be searched',
      blocks: true,
    });
    return;
  }
  const identifier = parseIdentifierToken(head.businessIdentifier);
  const { found, exchange, finish } = await attempt(work, 'resolve', {
    method: 'GET',
    purpose: 'search',
    type: head.resourceType,
    path: `${head.resourceType}?${markerQuery(head.resourceType, identifier)}&_count=10`,
  });
  const facts = decisionFacts(work, 'search', head.attempts);
  if (found.class !== 'accepted') {
    const decision = afterFailedResolve(found, facts, work.options.backoff, head.stateReason ?? 'answer lost');
    await finish(decision.change, decision.consequences);
    return;
  }
  const matches = resourcesOf(exchange, head.resourceType).filter((each) => isMarked(each, identifier));
  const [match, ...others] = matches;
  if (match === undefined) {
    if (head.stateReason === 'duplicate') {
      // A conditional request said "several", a search says "none": nobody can tell what is there.
      await finish({ state: 'dead-letter', reason: 'remote-duplicate', blocks: facts.blocks }, {}, 'not-found');
      return;
    }
    const dueInSeconds = head.state === 'unknown' ? backoffSeconds(head.attempts, work.options.backoff) : 0;
    await finish({ state: 'waiting', reason: LOOKED, dueInSeconds }, {}, 'not-found');
    return;
  }
  if (others.length > 0) {
    const ids = matches.map((each) => `${head.resourceType}/${String(each.id)}`).join(', ');
    await finish({ state: 'dead-letter', reason: `remote-duplicate: ${ids}`.slice(0, 500), blocks: facts.blocks });
    return;
  }
  const remote = remoteFrom(match);
  const isThisVersion =
    head.intent === 'put' && ((head.maySelfBeThere && !head.mayOtherBeThere) || (await holdsOurs(work, match)));
  const remoteSha256 = contentSha256(match);
  if (isThisVersion) {
    await finish(
      { state: 'accepted', reason: 'found there' },
      { link: { remote, remoteSha256, deliveredVersion: head.version } },
    );
  } else {
    await finish(
      { state: 'waiting', reason: 'another version is there', dueInSeconds: 0 },
      { link: { remote, remoteSha256, deliveredVersion: 0 } },
    );
  }
}

/**
 * Reads the resource whose version is not the one we knew: our own write whose answer was lost is accepted; a version
 * with the same content, or with additions to what we had sent, is written over once with those additions kept; any
 * other edit stays and waits for a person.
 */
export async function readAtTarget(work: Work, theirAdditions: Map<string, JsonObject>): Promise<void> {
  const { head } = work;
  const link = head.link as ResourceLink;
  const { found, finish } = await attempt(work, 'resolve', {
    method: 'GET',
    purpose: 'read',
    type: head.resourceType,
    path: `${link.remoteType}/${encodeURIComponent(link.remoteId)}`,
  } satisfies RemoteRequest);
  const facts = decisionFacts(work, 'read', head.attempts);
  const theirs = found.remote?.resource;
  if (found.class !== 'accepted' || found.remote === undefined || theirs === undefined) {
    const decision = afterFailedResolve(found, facts, work.options.backoff, head.stateReason ?? 'version-conflict');
    await finish(decision.change, decision.consequences);
    return;
  }
  const remoteSha256 = contentSha256(theirs);
  const adopted = { remote: found.remote, remoteSha256 };
  if (await holdsOurs(work, theirs)) {
    await finish(
      { state: 'accepted', reason: 'found there' },
      { link: { ...adopted, deliveredVersion: head.version } },
    );
    return;
  }
  const before = await deliveredBefore(work, link);
  const untouched = link.remoteSha256?.equals(remoteSha256) ?? false;
  if (!untouched && (before === undefined || !containsContent(theirs, before))) {
    await finish({ state: 'dead-letter', reason: 'remote-edited', blocks: facts.blocks });
    return;
  }
  theirAdditions.set(head.deliveryId, before === undefined ? {} : additions(theirs, before));
  await finish(
    { state: 'waiting', reason: REBASE, dueInSeconds: 0 },
    { link: { ...adopted, deliveredVersion: link.deliveredVersion } },
  );
}

/** Whether what lies there has everything that this delivery would send. */
async function holdsOurs(work: Work, theirs: JsonObject): Promise<boolean> {
  const ours = await compiled(work, work.resource, work.head.intent);
  return ours !== undefined && containsContent(theirs, ours);
}

/** What the version that was delivered before looked like. */
async function deliveredBefore(work: Work, link: ResourceLink): Promise<JsonObject | undefined> {
  const { head, ports } = work;
  const content = await ports.deliveries.contentOf(head.resourceType, head.resourceId, link.deliveredVersion);
  if (content === undefined || content === '') return undefined;
  return compiled(work, parseExactly(content) as JsonObject, 'put');
}

async function compiled(
  work: Work,
  resource: JsonObject,
  intent: 'put' | 'entered-in-error',
): Promise<JsonObject | undefined> {
  const { ports, lane, head } = work;
  const { confirmedRemoteId } = await ports.deliveries.patient(lane);
  if (confirmedRemoteId === null) return undefined;
  const found = await referenceFates({ ...work, resource }, confirmedRemoteId);
  if (!('references' in found)) return undefined;
  const identifier = parseIdentifierToken(head.businessIdentifier);
  return compile({ resource, identifier, intent, references: found.references, ownBase: ports.ownBase }).resource;
}

function resourcesOf(exchange: Exchange, type: string): JsonObject[] {
  const bundle =
    exchange.outcome === 'answer' && exchange.answer.content.kind === 'json' ? exchange.answer.content.value : null;
  const entries = (bundle as { entry?: { resource?: JsonObject }[] } | null)?.entry;
  return (Array.isArray(entries) ? entries : [])
    .map((entry) => entry?.resource)
    .filter((each): each is JsonObject => each?.resourceType === type && typeof each.id === 'string');
}

function remoteFrom(resource: JsonObject): RemoteResource {
  const version = (resource.meta as { versionId?: unknown } | undefined)?.versionId;
  return {
    type: String(resource.resourceType),
    id: String(resource.id),
    resource,
    ...(typeof version === 'string' ? { version } : {}),
  };
}
