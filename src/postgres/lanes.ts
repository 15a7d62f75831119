/**
 * Leases and fences of lanes, and the search for lanes with something to do. Times are the database's, so that the
 * clock of a worker's host decides nothing.
 */
import type { PoolClient } from 'pg';
import type { ClaimedLane, ClaimRefusal, LaneFinder, LaneId } from '../ehr/deliveries.ts';
import type { Pool } from './pool.ts';
import { inTransaction } from './transaction.ts';

/** One claim of a target at a time, so that never more of its lanes work than it allows (decision 0032). */
export async function claimLane(pool: Pool, laneId: LaneId, leaseSeconds: number): Promise<ClaimedLane | ClaimRefusal> {
  return inTransaction(pool, async (client) => {
    const { rows: targets } = await client.query<{ held: boolean; closed: boolean }>(LOCK_TARGET, [laneId]);
    const target = targets[0];
    if (target === undefined) return 'absent';
    if (target.held) return 'held';
    if (target.closed) return 'closed';
    const { rows } = await client.query<ClaimRow>(CLAIM, [laneId, leaseSeconds]);
    const row = rows[0] as ClaimRow;
    if (row.fence === null || row.lease_token === null) return row.refusal;
    return {
      laneId,
      targetId: row.target_id,
      patientId: row.patient_id,
      fence: row.fence,
      leaseToken: row.lease_token,
    };
  });
}

type ClaimRow = {
  target_id: string;
  patient_id: string;
  fence: string | null;
  lease_token: string | null;
  refusal: 'leased' | 'saturated' | 'held';
};

const LOCK_TARGET = `
select t.hold_reason is not null or t.disabled_at is not null as held,
       coalesce((select g.not_before > now() from target_gate g where g.target_id = t.target_id), false) as closed
  from ehr_target t
 where t.target_id = (select target_id from lane where lane_id = $1)
   for no key update of t`;

const CLAIM = `
with
  wanted as (
    select l.lane_id, l.target_id, l.patient_id, l.hold_reason is not null as held,
           coalesce(l.lease_until > clock_timestamp(), false) as leased,
           (select count(*) from lane o where o.target_id = l.target_id and o.lease_until > clock_timestamp())
             >= (select (r.dialect ->> 'concurrency')::integer
                   from ehr_target t join ehr_target_revision r
                     on r.target_id = t.target_id and r.revision = t.active_revision
                  where t.target_id = l.target_id) as saturated
      from lane l
     where l.lane_id = $1
  ),
  claimed as (
    update lane
       set lease_token = gen_random_uuid(), fence = fence + 1,
           lease_until = clock_timestamp() + make_interval(secs => $2)
      from wanted
     where lane.lane_id = wanted.lane_id and not wanted.held and not wanted.leased and not wanted.saturated
    returning lane.fence, lane.lease_token
  )
select wanted.target_id, wanted.patient_id, claimed.fence::text, claimed.lease_token,
       case when wanted.held then 'held' when wanted.leased then 'leased' else 'saturated' end as refusal
  from wanted left join claimed on true`;

export async function releaseLane(pool: Pool, lane: ClaimedLane): Promise<void> {
  await pool.query(RELEASE, [lane.laneId, lane.leaseToken]);
}

const RELEASE = `update lane set lease_token = null, lease_until = null where lane_id = $1 and lease_token = $2`;

/** Runs the work if the lane is still ours, in one transaction that holds the lane's row. */
export async function fenced(
  pool: Pool,
  lane: ClaimedLane,
  leaseSeconds: number | null,
  work: (client: PoolClient) => Promise<void>,
): Promise<boolean> {
  return inTransaction(pool, async (client) => {
    const { rowCount } = await client.query(FENCE, [lane.laneId, lane.fence, lane.leaseToken, leaseSeconds]);
    if (rowCount !== 1) return false;
    await work(client);
    return true;
  });
}

const FENCE = `
update lane
   set lease_until = case when $4::double precision is null then lease_until
                          else clock_timestamp() + make_interval(secs => $4) end
 where lane_id = $1 and fence = $2 and lease_token = $3`;

/** Lanes with something to do, chosen by their state: a cursor would step over a transaction that commits late. */
export function laneFinder(pool: Pool): LaneFinder {
  return {
    async due(limit) {
      const { rows } = await pool.query<{ lane_id: string }>({ name: 'lanes-due', text: DUE, values: [limit] });
      return rows.map((row) => row.lane_id);
    },
    async releaseCorrected() {
      const { rowCount } = await pool.query(RELEASE_CORRECTED);
      return rowCount ?? 0;
    },
  };
}

/**
 * A lane is due when its first open delivery is, no dead letter stops it, and neither lane nor target is held, leased or
 * closed: exactly when work on it would find something to do (HEAD in delivery-head.ts), or it would be woken for ever.
 * Of one target
 * not more than four times its concurrency at once: the rest follow as soon as lanes are free.
 */
const DUE = `
with
  candidate as (
    select target_id, patient_id, min(due_at) as due_at
      from delivery
     where ended_at is null and due_at <= now()
     group by target_id, patient_id
  ),
  due as (
    select l.lane_id, c.due_at,
           row_number() over (partition by l.target_id order by c.due_at, l.lane_id) as place,
           4 * (r.dialect ->> 'concurrency')::integer as places
      from candidate c
      join lane l using (target_id, patient_id)
      join ehr_target t using (target_id)
      join ehr_target_revision r on r.target_id = t.target_id and r.revision = t.active_revision
      left join target_gate g on g.target_id = t.target_id
      join lateral (
        select d.due_at, d.patient_seq, d.resource_type, d.resource_id
          from delivery d
         where d.target_id = c.target_id and d.patient_id = c.patient_id and d.ended_at is null
           and not exists (
             select from delivery p
              where p.delivery_id = d.waits_for and p.state in ('waiting', 'sending', 'unknown', 'dead-letter'))
         order by d.patient_seq
         limit 1
      ) head on head.due_at <= now()
     where l.hold_reason is null and (l.lease_until is null or l.lease_until < now())
       and t.hold_reason is null and t.disabled_at is null and (g.not_before is null or g.not_before <= now())
       and not exists (
         select from delivery dead
          where dead.target_id = c.target_id and dead.patient_id = c.patient_id and dead.state = 'dead-letter'
            and dead.blocks and dead.patient_seq < head.patient_seq
            and (dead.resource_type <> head.resource_type or dead.resource_id <> head.resource_id
                 or (not exists (
                       select from resource_link k
                        where k.target_id = dead.target_id and k.resource_type = dead.resource_type
                          and k.resource_id = dead.resource_id)
                     and exists (
                       select from delivery_attempt a
                        where a.delivery_id = dead.delivery_id and a.kind = 'send'
                          and (a.ended_at is null or a.class in ('unknown', 'unproven', 'duplicate')
                               or a.http_status >= 500)))))
  )
select lane_id from due where place <= places order by due_at, lane_id limit $1`;

const RELEASE_CORRECTED = `
update lane
   set hold_reason = null
  from patient_link link
  join resource r on r.type = 'Patient' and r.id = link.patient_id
 where lane.target_id = link.target_id and lane.patient_id = link.patient_id
   and lane.hold_reason like 'identity-%' and link.status = 'hold'
   and r.version > (link.evidence ->> 'patientVersion')::integer`;

/** Runs the work in one process at a time: the others skip it. */
export async function onlyOne(pool: Pool, work: () => Promise<void>): Promise<boolean> {
  const client = await pool.connect();
  let broken: Error | undefined;
  try {
    const { rows } = await client.query<{ ours: boolean }>(TRY_LOCK);
    if (rows[0]?.ours !== true) return false;
    try {
      await work();
    } finally {
      await client.query(UNLOCK).catch((lost: Error) => {
        broken = lost;
      });
    }
    return true;
  } finally {
    client.release(broken);
  }
}

// Locks belong to the database and not to a schema: each clinic sweeps by itself.
const SWEEP = `hashtextextended('kap-bridge sweep ' || current_schema(), 0)`;
const TRY_LOCK = `select pg_try_advisory_lock(${SWEEP}) as ours`;
const UNLOCK = `select pg_advisory_unlock(${SWEEP})`;
