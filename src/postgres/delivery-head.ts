/** What is read before a delivery is decided about: the head of its lane, its patient, what it refers to. */
import type { ClaimedLane, DeliveryHead, PatientAtTarget, Referenced } from '../ehr/deliveries.ts';
import type { Pool } from './pool.ts';

export async function laneHead(pool: Pool, lane: ClaimedLane): Promise<DeliveryHead | undefined> {
  const { rows } = await pool.query<HeadRow>({
    name: 'delivery-head',
    text: HEAD,
    values: [lane.targetId, lane.patientId, lane.laneId],
  });
  return rows[0] === undefined ? undefined : headOf(rows[0]);
}

type HeadRow = {
  delivery_id: string;
  resource_type: string;
  resource_id: string;
  version_id: number;
  intent: 'put' | 'entered-in-error';
  business_identifier: string;
  state: 'waiting' | 'sending' | 'unknown';
  state_reason: string | null;
  attempts: number;
  age_seconds: number;
  due_in_seconds: number;
  sent_revision: number | null;
  active_revision: number;
  content: string | null;
  current_content: string | null;
  remote_type: string | null;
  remote_id: string | null;
  remote_version: string | null;
  remote_sha256: Buffer | null;
  delivered_version_id: number | null;
  newer_id: string | null;
  newer_intent: 'put' | 'entered-in-error' | null;
  dead_before: string[];
  blocked: boolean;
  closed: boolean;
  may_self_be_there: boolean;
  may_other_be_there: boolean;
  unanswered_workers: number;
  server_errors: number;
  since_last_send: number | null;
  throttles: number;
};

/**
 * An attempt "may have stored it" when its answer is missing, unclear or a server error. `waits_for` sets a delivery
 * aside while what it refers to is open or dead. A dead letter of the same resource that left nothing behind, or
 * something whose id is known, does not stop a later version: that version is its correction.
 */
const HEAD = `
with
  head as (
    select d.*
      from delivery d
     where d.target_id = $1 and d.patient_id = $2 and d.ended_at is null
       and not exists (
         select from delivery p
          where p.delivery_id = d.waits_for and p.state in ('waiting', 'sending', 'unknown', 'dead-letter'))
     order by d.patient_seq
     limit 1
  ),
  tried as (
    select o.delivery_id, o.delivery_id = head.delivery_id as own, a.ended_at, a.worker, a.http_status, a.started_at,
           a.ended_at is null or a.class in ('unknown', 'unproven', 'duplicate') or a.http_status >= 500
             as may_be_there
      from head
      join delivery o on o.resource_type = head.resource_type and o.resource_id = head.resource_id
                     and o.target_id = head.target_id
      join delivery_attempt a on a.delivery_id = o.delivery_id and a.kind = 'send'
  ),
  dead as (
    select d.delivery_id, d.blocks,
           d.resource_type = head.resource_type and d.resource_id = head.resource_id
             and (exists (select from resource_link k
                           where k.target_id = d.target_id and k.resource_type = d.resource_type
                             and k.resource_id = d.resource_id)
                  or not exists (select from tried t where t.delivery_id = d.delivery_id and t.may_be_there))
             as replaceable
      from head
      join delivery d on d.target_id = $1 and d.patient_id = $2 and d.state = 'dead-letter'
                     and d.patient_seq < head.patient_seq
  )
select head.delivery_id, head.resource_type, head.resource_id, head.version_id, head.intent, head.business_identifier,
       head.state, head.state_reason, head.attempts,
       extract(epoch from clock_timestamp() - greatest(head.created_at, replayed.at))::double precision as age_seconds,
       extract(epoch from head.due_at - clock_timestamp())::double precision as due_in_seconds,
       head.revision as sent_revision, target.active_revision,
       pinned.content, later.content as current_content,
       link.remote_type, link.remote_id, link.remote_version, link.remote_sha256, link.delivered_version_id,
       newer.delivery_id as newer_id, newer.intent as newer_intent,
       array(select delivery_id::text from dead where replaceable) as dead_before,
       exists (select from dead where blocks and not replaceable) as blocked,
       target.hold_reason is not null or target.disabled_at is not null or lane.hold_reason is not null
         or coalesce(gate.not_before > clock_timestamp(), false) as closed,
       exists (select from tried where own and may_be_there) as may_self_be_there,
       exists (select from tried where not own and may_be_there) as may_other_be_there,
       (select count(distinct worker)::integer from tried
         where own and ended_at is null and started_at > coalesce(replayed.at, '-infinity')) as unanswered_workers,
       (select count(*)::integer from tried
         where own and http_status >= 500 and started_at > coalesce(replayed.at, '-infinity')) as server_errors,
       (select extract(epoch from clock_timestamp() - max(started_at))::double precision from tried where own)
         as since_last_send,
       coalesce(gate.throttles, 0) as throttles
  from head
  join ehr_target target using (target_id)
  join lane on lane.lane_id = $3
  left join target_gate gate on gate.target_id = head.target_id
  left join resource r on r.type = head.resource_type and r.id = head.resource_id
  left join lateral (
    select v.content
      from resource_version v
     where v.rid = r.rid and v.version <= head.version_id and not v.deleted
     order by v.version desc
     limit 1
  ) pinned on true
  left join resource_version later on later.rid = r.rid and later.version = r.version
                                  and r.version > head.version_id and not r.deleted
  left join resource_link link on link.target_id = head.target_id and link.resource_type = head.resource_type
                              and link.resource_id = head.resource_id
  left join lateral (
    select max(i.at) as at from delivery_intervention i where i.delivery_id = head.delivery_id
  ) replayed on true
  left join lateral (
    select n.delivery_id, n.intent
      from delivery n
     where n.resource_type = head.resource_type and n.resource_id = head.resource_id and n.target_id = head.target_id
       and n.ended_at is null and n.patient_seq > head.patient_seq
     order by n.patient_seq desc
     limit 1
  ) newer on true`;

function headOf(row: HeadRow): DeliveryHead {
  if (row.content === null) {
    throw new Error(`Delivery ${row.delivery_id} names a version that the record does not have`);
  }
  const linked = row.remote_type !== null && row.remote_id !== null && row.delivered_version_id !== null;
  return {
    deliveryId: row.delivery_id,
    resourceType: row.resource_type,
    resourceId: row.resource_id,
    version: row.version_id,
    intent: row.intent,
    businessIdentifier: row.business_identifier,
    state: row.state,
    stateReason: row.state_reason,
    attempts: row.attempts,
    ageSeconds: row.age_seconds,
    dueInSeconds: row.due_in_seconds,
    sentRevision: row.sent_revision,
    activeRevision: row.active_revision,
    content: row.content,
    currentContent: row.current_content,
    link: linked
      ? {
          remoteType: row.remote_type as string,
          remoteId: row.remote_id as string,
          remoteVersion: row.remote_version,
          remoteSha256: row.remote_sha256,
          deliveredVersion: row.delivered_version_id as number,
        }
      : null,
    newer:
      row.newer_id === null || row.newer_intent === null
        ? null
        : { deliveryId: row.newer_id, intent: row.newer_intent },
    deadBefore: row.dead_before,
    blocked: row.blocked,
    closed: row.closed,
    maySelfBeThere: row.may_self_be_there,
    mayOtherBeThere: row.may_other_be_there,
    unansweredWorkers: row.unanswered_workers,
    serverErrors: row.server_errors,
    sinceLastSendSeconds: row.since_last_send,
    throttles: row.throttles,
  };
}

export async function patientAtTarget(pool: Pool, lane: ClaimedLane): Promise<PatientAtTarget> {
  const { rows } = await pool.query<PatientRow>(PATIENT, [lane.targetId, lane.patientId]);
  return patientOf(rows[0]);
}

type PatientRow = {
  content: string | null;
  version: number | null;
  confirmed_remote_id: string | null;
  since_unknown_create: number | null;
};

const PATIENT = `
select v.content, r.version, link.remote_patient_id as confirmed_remote_id,
       (select extract(epoch from clock_timestamp() - max(coalesce(a.ended_at, a.started_at)))::double precision
          from delivery d
          join delivery_attempt a using (delivery_id)
         where d.target_id = $1 and d.patient_id = $2 and a.kind = 'create-patient'
           and (a.ended_at is null or a.class in ('unknown', 'unproven'))) as since_unknown_create
  from (select $2::text as patient_id) wanted
  left join resource r on r.type = 'Patient' and r.id = wanted.patient_id and not r.deleted
  left join resource_version v on v.rid = r.rid and v.version = r.version
  left join patient_link link on link.target_id = $1 and link.patient_id = wanted.patient_id
                             and link.status = 'confirmed'`;

function patientOf(row: PatientRow | undefined): PatientAtTarget {
  return {
    content: row?.content ?? undefined,
    version: row?.version ?? 0,
    confirmedRemoteId: row?.confirmed_remote_id ?? null,
    sinceUnknownCreateSeconds: row?.since_unknown_create ?? null,
  };
}

type ReferencedRow = {
  type: string;
  id: string;
  content: string | null;
  remote_type: string | null;
  remote_id: string | null;
  pending_id: string | null;
  waits_for: string[] | null;
};

const REFERENCED = `
select wanted.type, wanted.id, v.content, link.remote_type, link.remote_id,
       pending.delivery_id as pending_id, chain.waits_for
  from unnest($3::text[], $4::text[]) as wanted (type, id)
  left join resource r on r.type = wanted.type and r.id = wanted.id and not r.deleted
  left join resource_version v on v.rid = r.rid and v.version = r.version
  left join resource_link link on link.target_id = $1 and link.resource_type = wanted.type
                              and link.resource_id = wanted.id
  left join lateral (
    select d.delivery_id, d.waits_for
      from delivery d
     where d.resource_type = wanted.type and d.resource_id = wanted.id and d.target_id = $1 and d.patient_id = $2
       and d.state in ('waiting', 'sending', 'unknown', 'dead-letter')
     order by d.patient_seq
     limit 1
  ) pending on link.remote_id is null
  left join lateral (
    with recursive up as (
      select pending.waits_for as delivery_id
      union
      select d.waits_for from up join delivery d on d.delivery_id = up.delivery_id
    )
    select array_agg(up.delivery_id::text) filter (where up.delivery_id is not null) as waits_for from up
  ) chain on pending.waits_for is not null`;

export async function referencedBy(
  pool: Pool,
  lane: ClaimedLane,
  keys: readonly string[],
): Promise<ReadonlyMap<string, Referenced>> {
  const parts = keys.map((key) => key.split('/'));
  const { rows } = await pool.query<ReferencedRow>({
    name: 'delivery-referenced',
    text: REFERENCED,
    values: [lane.targetId, lane.patientId, parts.map(([type]) => type), parts.map(([, id]) => id)],
  });
  return new Map(
    rows.map((row) => [
      `${row.type}/${row.id}`,
      {
        content: row.content,
        link:
          row.remote_type === null || row.remote_id === null
            ? null
            : { remoteType: row.remote_type, remoteId: row.remote_id },
        pending: row.pending_id === null ? null : { deliveryId: row.pending_id, waitsFor: row.waits_for ?? [] },
      },
    ]),
  );
}

export async function contentOf(pool: Pool, type: string, id: string, version: number): Promise<string | undefined> {
  const { rows } = await pool.query<{ content: string }>(CONTENT_OF, [type, id, version]);
  return rows[0]?.content;
}

export async function acceptedOthersSinceErrors(pool: Pool, lane: ClaimedLane, deliveryId: string): Promise<boolean> {
  const { rows } = await pool.query<{ accepted: boolean }>(ACCEPTED_OTHERS, [lane.targetId, deliveryId]);
  return rows[0]?.accepted ?? false;
}

const CONTENT_OF = `
select v.content
  from resource r
  join resource_version v using (rid)
 where r.type = $1 and r.id = $2 and v.version = $3 and not v.deleted`;

const ACCEPTED_OTHERS = `
select exists (
  select from delivery d
   where d.target_id = $1 and d.delivery_id <> $2 and d.state in ('accepted', 'verified')
     and d.ended_at > (select min(a.ended_at) from delivery_attempt a
                        where a.delivery_id = $2 and a.http_status >= 500)) as accepted`;
