/** EHR targets and their revisions. Credentials are sealed here and opened here, and nowhere else. */
import { hash } from 'node:crypto';
import type { PoolClient } from 'pg';
import type { Sealing } from '../access/keys.ts';
import { type TargetChange, targetChanged } from '../audit/target-event.ts';
import { type Credentials, deliveredTypes, type EhrTargetRevision, parseDialect } from '../ehr/target.ts';
import type { NewTarget, TargetStore, TargetSummary } from '../ehr/target-store.ts';
import { Failure, issue } from '../fhir/failure.ts';
import { insertAuditRow } from './audit-rows.ts';
import type { DeliveryContext } from './deliveries.ts';
import type { Pool } from './pool.ts';
import { inTransaction } from './transaction.ts';

export function targetStore(pool: Pool, sealing: Sealing, context: DeliveryContext): TargetStore {
  const changed = (client: PoolClient, change: Omit<TargetChange, 'clinic' | 'observer'>) =>
    insertAuditRow(client, targetChanged({ ...change, ...context }, new Date()));

  const write = async (client: PoolClient, target: NewTarget, revision: number): Promise<EhrTargetRevision> => {
    const sealed = sealing.seal(JSON.stringify(target.credentials), placeOf(target.targetId, revision));
    const dialect = JSON.stringify(target.dialect);
    await client.query(ADD_REVISION, [target.targetId, revision, target.baseUrl, dialect, sealed, target.approvedBy]);
    await changed(client, {
      action: revision === 1 ? 'C' : 'U',
      targetId: target.targetId,
      what: revision === 1 ? 'added' : `revision ${revision}`,
      by: target.approvedBy,
      after: hash('sha256', `${target.baseUrl}\n${dialect}`),
    });
    return { ...target, revision };
  };

  return {
    add: (target) =>
      inTransaction(pool, async (client) => {
        const types = deliveredTypes(target.dialect);
        const { rowCount } = await client.query(ADD_TARGET, [target.targetId, types]);
        if (rowCount !== 1) {
          const words = `There is a target named ${target.targetId} already: choose another name, or revise it`;
          throw new Failure('conflict', issue('duplicate', words));
        }
        return write(client, target, 1);
      }),
    revise: (target) =>
      inTransaction(pool, async (client) => {
        const types = deliveredTypes(target.dialect);
        const { rows } = await client.query<{ active_revision: number }>(NEXT_REVISION, [target.targetId, types]);
        if (rows[0] === undefined) throw unknownTarget(target.targetId);
        return write(client, target, rows[0].active_revision);
      }),
    async list() {
      const { rows } = await pool.query<SummaryRow>(LIST);
      return rows.map(summaryOf);
    },
    async revision(targetId, revision) {
      const { rows } = await pool.query<RevisionRow>(REVISION, [targetId, revision ?? null]);
      const row = rows[0];
      if (row === undefined) throw unknownTarget(targetId);
      return {
        targetId,
        revision: row.revision,
        baseUrl: row.base_url,
        dialect: parseDialect(row.dialect),
        credentials: JSON.parse(sealing.open(row.credentials, placeOf(targetId, row.revision))) as Credentials,
      };
    },
    pause: (targetId, by) =>
      inTransaction(pool, async (client) => {
        const { rowCount } = await client.query(PAUSE, [targetId]);
        if (rowCount !== 1) throw unknownTarget(targetId);
        await changed(client, { action: 'U', targetId, what: 'paused', by });
      }),
    resume: (targetId, by) =>
      inTransaction(pool, async (client) => {
        const { rowCount } = await client.query(RESUME, [targetId]);
        if (rowCount !== 1) throw unknownTarget(targetId);
        const { rowCount: released } = await client.query(RELEASE_LANES, [targetId]);
        await changed(client, { action: 'U', targetId, what: 'resumed', by });
        return released ?? 0;
      }),
  };
}

/** A sealed credential moved to another row does not open. */
function placeOf(targetId: string, revision: number): string {
  return `ehr_target_revision|credentials|${targetId}|${revision}`;
}

/** @throws Failure `not-found` */
export async function requireTarget(client: Pool | PoolClient, targetId: string): Promise<void> {
  const { rowCount } = await client.query('select from ehr_target where target_id = $1', [targetId]);
  if (rowCount !== 1) throw unknownTarget(targetId);
}

function unknownTarget(targetId: string): Failure {
  const words = `There is no EHR target named ${targetId}: kap-bridge target list shows those there are`;
  return new Failure('not-found', issue('not-found', words));
}

const ADD_TARGET = `
insert into ehr_target (target_id, active_revision, resource_types) values ($1, 1, $2) on conflict do nothing`;

const ADD_REVISION = `
insert into ehr_target_revision (target_id, revision, base_url, dialect, credentials, approved_by)
values ($1, $2, $3, $4, $5, $6)`;

const NEXT_REVISION = `
update ehr_target set active_revision = active_revision + 1, resource_types = $2
 where target_id = $1
returning active_revision`;

const PAUSE = `
update ehr_target set hold_reason = 'paused', held_at = now() where target_id = $1`;

const RESUME = `
update ehr_target set hold_reason = null, held_at = null where target_id = $1`;

const RELEASE_LANES = `
update lane set hold_reason = null where target_id = $1 and hold_reason is not null`;

type RevisionRow = { revision: number; base_url: string; dialect: unknown; credentials: Buffer };

const REVISION = `
select r.revision, r.base_url, r.dialect, r.credentials
  from ehr_target t
  join ehr_target_revision r on r.target_id = t.target_id and r.revision = coalesce($2, t.active_revision)
 where t.target_id = $1`;

type SummaryRow = {
  target_id: string;
  revision: number;
  base_url: string;
  authorization: string;
  resource_types: string[];
  concurrency: number;
  hold_reason: string | null;
  held_at: Date | null;
  not_before: Date | null;
  open: number;
  unknown: number;
  dead_letters: number;
  held_lanes: number;
  oldest_open_at: Date | null;
  last_accepted_at: Date | null;
};

const LIST = `
select t.target_id, r.revision, r.base_url, r.dialect -> 'auth' ->> 'method' as authorization, t.resource_types,
       (r.dialect ->> 'concurrency')::integer as concurrency, t.hold_reason, t.held_at,
       case when g.not_before > now() then g.not_before end as not_before,
       coalesce(d.open, 0)::integer as open, coalesce(d.unknown, 0)::integer as unknown,
       coalesce(d.dead_letters, 0)::integer as dead_letters, d.oldest_open_at, d.last_accepted_at,
       (select count(*)::integer from lane l where l.target_id = t.target_id and l.hold_reason is not null) as held_lanes
  from ehr_target t
  join ehr_target_revision r on r.target_id = t.target_id and r.revision = t.active_revision
  left join target_gate g on g.target_id = t.target_id
  left join (
    select target_id,
           count(*) filter (where ended_at is null) as open,
           count(*) filter (where state in ('unknown', 'sending')) as unknown,
           count(*) filter (where state = 'dead-letter') as dead_letters,
           min(created_at) filter (where ended_at is null) as oldest_open_at,
           max(ended_at) filter (where state in ('accepted', 'verified')) as last_accepted_at
      from delivery
     group by target_id
  ) d on d.target_id = t.target_id
 order by t.target_id`;

function summaryOf(row: SummaryRow): TargetSummary {
  return {
    targetId: row.target_id,
    revision: row.revision,
    baseUrl: row.base_url,
    authorization: row.authorization,
    resourceTypes: row.resource_types,
    concurrency: row.concurrency,
    holdReason: row.hold_reason,
    heldAt: row.held_at,
    notBefore: row.not_before,
    open: row.open,
    unknown: row.unknown,
    deadLetters: row.dead_letters,
    heldLanes: row.held_lanes,
    oldestOpenAt: row.oldest_open_at,
    lastAcceptedAt: row.last_accepted_at,
  };
}
