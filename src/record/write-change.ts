/** What a unit of work hands to the store and to its caller, once its resources are assembled. */
import { type AuditRow, restEvent } from '../audit/event.ts';
import type { Assembled, Settled } from './assemble.ts';
import { checkVersion, type Identities, idOf } from './conditions.ts';
import type { Draft } from './draft.ts';
import type { StoredResource, WriteContext, WriteResult } from './record.ts';
import { Refusals } from './refusals.ts';
import type { Change, CurrentRow } from './store.ts';

/**
 * Pairs each draft with its current version; one with nothing to do is left out.
 *
 * @throws Failure `precondition-failed` with every draft whose current version is not what it asks for
 */
export function settleAll(
  drafts: readonly Draft[],
  identities: Identities,
  currentRows: ReadonlyMap<string, CurrentRow>,
): Settled[] {
  const refusals = new Refusals();
  const settled = drafts.flatMap((draft) => refusals.collect(() => settle(draft, identities, currentRows)) ?? []);
  refusals.throwIfAny();
  return settled;
}

function settle(draft: Draft, identities: Identities, currentRows: ReadonlyMap<string, CurrentRow>): Settled[] {
  const id = idOf(draft, identities);
  if (id === undefined) return [];
  const current = currentRows.get(`${draft.type}/${id}`);
  checkVersion(draft, current);
  const isThere = current !== undefined && !current.deleted;
  return [{ draft, id, current, keep: draft.request.ifNoneExist !== undefined && isThere }];
}

export function changeOf(
  drafts: readonly Draft[],
  assembled: Assembled,
  context: WriteContext,
  now: Date,
): Omit<Change, 'courses'> {
  const { versions, added, removed } = assembled;
  const audit = auditOf(drafts, assembled, context, now);
  if (audit[0] !== undefined) context.audited?.(audit[0].eventId);
  return { versions, added, removed, audit };
}

/**
 * One event for each patient concerned, with what was written about that patient. What was already there is answered,
 * too: it was seen, and is audited; so is the attempt to delete what is not there.
 */
function auditOf(drafts: readonly Draft[], { outcome }: Assembled, context: WriteContext, now: Date): AuditRow[] {
  const { interaction } = context;
  const touched = Map.groupBy(
    [...outcome.values()].map(({ stored }) => stored),
    ({ patientId }) => patientId,
  );
  if (touched.size === 0) {
    const entities = drafts.flatMap(({ type, id }) => (id === undefined ? [] : [{ type, id }]));
    const action = drafts.length === 1 ? 'D' : 'E';
    return [restEvent({ context, interaction, action, outcome: 0, entities }, now)];
  }
  return [...touched].map(([patientId, entities]) =>
    restEvent({ context, interaction, action: actionOf(entities, outcome.size), outcome: 0, patientId, entities }, now),
  );
}

function actionOf([only]: readonly StoredResource[], touched: number): 'C' | 'U' | 'D' | 'E' {
  if (only === undefined || touched > 1) return 'E';
  return only.deleted ? 'D' : only.version === 1 ? 'C' : 'U';
}

export function resultsOf(drafts: readonly Draft[], { outcome }: Assembled): WriteResult[] {
  return drafts.map((draft) => outcome.get(draft) ?? { effect: 'unchanged' });
}
