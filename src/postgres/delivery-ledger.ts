import type { PoolClient } from 'pg';
import { targetChanged } from '../audit/target-event.ts';
import type {
  AttemptRecord,
  DeliveryDetail,
  DeliveryFilter,
  DeliveryLedger,
  DeliveryRecord,
  Intervention,
  InterventionRecord,
} from '../ehr/ledger.ts';
import { REPLAYABLE } from '../ehr/ledger.ts';
import { Failure, issue } from '../fhir/failure.ts';
import { insertAuditRow } from './audit-rows.ts';
import type { DeliveryContext } from './deliveries.ts';
import type { Pool } from './pool.ts';
import { requireTarget } from './targets.ts';
import { inTransaction } from './transaction.ts';

/** Deliveries as people see and mend them. Each mending is kept with its reason, in the same transaction. */
export function deliveryLedger(pool: Pool, context: DeliveryContext): DeliveryLedger {
  const intervene = (
    action: 'replay' | 'cancel',
    change: string,
    filter: DeliveryFilter,
    by: Intervention,
    values: readonly unknown[],
  ) =>
    inTransaction(pool, async (client) => {
      const chosen = await choose(client, filter);
      const ids = chosen.map((each) => each.deliveryId);
      await client.query(KEEP_INTERVENTION, [ids, action, by.actor, by.reason]);
      await client.query(change, [ids, ...values]);
      for (const targetId of new Set(chosen.map((each) => each.targetId))) {
        const count = chosen.filter((each) => each.targetId === targetId).length;
        const what = `${action} of ${count} deliveries: ${by.reason}`;
        await insertAuditRow(
          client,
          targetChanged({ action: 'U', targetId, what, by: by.actor, ...context }, new Date()),
        );
      }
      return chosen;
    });

  return {
    list: (filter) => choose(pool, filter),
    async show(id) {
      const [record] = await select(pool, { ids: [id], limit: 1 });
      if (record === undefined) throw unknownDelivery(id);
      return detailOf(pool, record);
    },
    replay: (filter, by, perMinute) => {
      const states = (filter.states ?? ['dead-letter']).filter((state) => REPLAYABLE.includes(state));
      return intervene('replay', REPLAY, { ...filter, states }, by, [perMinute]);
    },
    cancel: (filter, by) => intervene('cancel', CANCEL, { ...filter, states: ['dead-letter'] }, by, [by.actor]),
  };
}

/** @throws Failure when the target or a delivery that the filter names does not exist, or another part excludes it */
async function choose(client: Pool | PoolClient, filter: DeliveryFilter): Promise<DeliveryRecord[]> {
  const chosen = await select(client, filter);
  if (chosen.length === 0 && filter.targetId !== undefined) await requireTarget(client, filter.targetId);
  const ids = new Set(chosen.map(({ deliveryId }) => deliveryId));
  const excluded = filter.ids?.find((id) => !ids.has(id.toLowerCase()));
  if (excluded === undefined) return chosen;
  const [record] = await select(client, { ids: [excluded], limit: 1 });
  if (record === undefined) throw unknownDelivery(excluded);
  const only = filter.states === undefined ? '' : `; only those that are ${filter.states.join(' or ')} are chosen here`;
  const words = `Delivery ${excluded} is ${record.state} and not among those chosen${only}`;
  throw new Failure('business-rule', issue('business-rule', words));
}

function unknownDelivery(id: string): Failure {
  return new Failure(
    'not-found',
    issue('not-found', `There is no delivery ${id}: kap-bridge delivery list shows them`),
  );
}

type Row = {
  delivery_id: string;
  target_id: string;
  patient_id: string;
  patient_seq: string;
  resource_type: string;
  resource_id: string;
  version_id: number;
  intent: string;
  state: DeliveryRecord['state'];
  state_reason: string | null;
  attempts: number;
  last_class: string | null;
  blocks: boolean;
  hold_reason: string | null;
  created_at: Date;
  due_at: Date;
  ended_at: Date | null;
  remote: string | null;
};

const SELECT = `
select d.delivery_id, d.target_id, d.patient_id, d.patient_seq::text, d.resource_type, d.resource_id, d.version_id,
       d.intent, d.state, d.state_reason, d.attempts, last.class as last_class, d.blocks, l.hold_reason, d.created_at,
       d.due_at, d.ended_at, k.remote_type || '/' || k.remote_id as remote
  from delivery d
  left join lane l using (target_id, patient_id)
  left join resource_link k on k.target_id = d.target_id and k.resource_type = d.resource_type
                           and k.resource_id = d.resource_id
  left join lateral (
    select a.class from delivery_attempt a where a.delivery_id = d.delivery_id order by a.attempt_no desc limit 1
  ) last on true
 where ($1::uuid[] is null or d.delivery_id = any ($1))
   and ($2::text is null or d.target_id = $2)
   and ($3::text[] is null or d.state = any ($3))
   and ($4::text is null or strpos(d.state_reason, $4) > 0)
   and ($5::text is null or last.class = $5)
   and ($6::text is null or d.resource_type = $6)
   and ($7::text is null or d.patient_id = $7)
   and ($8::timestamptz is null or d.created_at >= $8)
   and ($9::timestamptz is null or d.created_at < $9)
 order by d.created_at desc, d.patient_seq desc
 limit $10`;

async function select(client: Pool | PoolClient, filter: DeliveryFilter): Promise<DeliveryRecord[]> {
  const { rows } = await client.query<Row>(SELECT, [
    filter.ids ?? null,
    filter.targetId ?? null,
    filter.states ?? null,
    filter.reason ?? null,
    filter.class ?? null,
    filter.resourceType ?? null,
    filter.patientId ?? null,
    filter.from ?? null,
    filter.before ?? null,
    filter.limit,
  ]);
  return rows.map(recordOf);
}

function recordOf(row: Row): DeliveryRecord {
  return {
    deliveryId: row.delivery_id,
    targetId: row.target_id,
    patientId: row.patient_id,
    patientSeq: row.patient_seq,
    resourceType: row.resource_type,
    resourceId: row.resource_id,
    version: row.version_id,
    intent: row.intent,
    state: row.state,
    reason: row.state_reason,
    attempts: row.attempts,
    lastClass: row.last_class,
    blocksLane: row.blocks,
    laneHold: row.hold_reason,
    createdAt: row.created_at,
    dueAt: row.ended_at === null ? row.due_at : null,
    endedAt: row.ended_at,
    remote: row.remote,
  };
}

const DETAIL = `
select business_identifier, encode(payload_sha256, 'hex') as payload, disclosure_id, superseded_by, waits_for
  from delivery where delivery_id = $1`;

const HISTORY = `
select attempt_no as "attemptNo", kind, started_at as "startedAt", ended_at as "endedAt", class,
       http_status as "httpStatus", remote_request_id as "remoteRequestId", outcome_excerpt as excerpt, worker
  from delivery_attempt where delivery_id = $1 order by attempt_no`;

const INTERVENTIONS = `
select action, at, actor, reason, from_state as "fromState"
  from delivery_intervention where delivery_id = $1 order by intervention_id`;

async function detailOf(pool: Pool, record: DeliveryRecord): Promise<DeliveryDetail> {
  const id = [record.deliveryId];
  const [detail, history, interventions] = await Promise.all([
    pool.query<Record<string, string | null>>(DETAIL, id),
    pool.query<AttemptRecord>(HISTORY, id),
    pool.query<InterventionRecord>(INTERVENTIONS, id),
  ]);
  const row = detail.rows[0] ?? {};
  return {
    ...record,
    businessIdentifier: row.business_identifier ?? '',
    payloadSha256: row.payload ?? null,
    auditEvent: row.disclosure_id ?? null,
    supersededBy: row.superseded_by ?? null,
    waitsFor: row.waits_for ?? null,
    history: history.rows,
    interventions: interventions.rows,
  };
}

const KEEP_INTERVENTION = `
insert into delivery_intervention (delivery_id, action, from_state, from_reason, actor, reason)
select delivery_id, $2, state, state_reason, $3, $4 from delivery where delivery_id = any ($1::uuid[])`;

/** What an attempt may have left at the target is looked for before anything is sent. */
const REPLAY = `
with chosen as (
  select d.delivery_id, row_number() over (order by d.patient_id, d.patient_seq) - 1 as place,
         exists (select from delivery_attempt a
                  where a.delivery_id = d.delivery_id and a.kind = 'send'
                    and (a.ended_at is null or a.class in ('unknown', 'unproven', 'duplicate') or a.http_status >= 500))
           and not exists (select from resource_link k
                            where k.target_id = d.target_id and k.resource_type = d.resource_type
                              and k.resource_id = d.resource_id) as may_be_there
    from delivery d
   where d.delivery_id = any ($1::uuid[])
)
update delivery d
   set state = case when chosen.may_be_there then 'unknown' else 'waiting' end, state_reason = 'replayed',
       attempts = 0, blocks = false, ended_at = null, waits_for = null,
       due_at = now() + make_interval(secs => 60.0 * floor(chosen.place / $2::double precision))
  from chosen
 where d.delivery_id = chosen.delivery_id`;

const CANCEL = `
update delivery
   set state = 'cancelled', state_reason = 'by ' || $2, blocks = false, ended_at = now()
 where delivery_id = any ($1::uuid[])`;
