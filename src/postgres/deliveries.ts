/**
 * Deliveries, attempts and links in PostgreSQL.
 *
 * Every write of a worker names the fence of its lane and locks the lane's row: it happens before another worker's
 * claim or not at all.
 */
import type { PoolClient } from 'pg';
import { type Disclosure, disclosureEvent } from '../audit/disclosure.ts';
import type {
  Attempt,
  ClaimedLane,
  Consequences,
  DeliveryChange,
  DeliveryId,
  DeliveryStore,
  DisclosureFacts,
  Finish,
  PatientLinkChange,
} from '../ehr/deliveries.ts';
import { insertAuditRow } from './audit-rows.ts';
import { acceptedOthersSinceErrors, contentOf, laneHead, patientAtTarget, referencedBy } from './delivery-head.ts';
import { claimLane, fenced, releaseLane } from './lanes.ts';
import type { Pool } from './pool.ts';

export type DeliveryContext = {
  readonly clinic: string;
  /** Our FHIR base: the observer of the audit entries. */
  readonly observer: string;
};

export function deliveryStore(pool: Pool, context: DeliveryContext): DeliveryStore {
  return {
    claim: (laneId, leaseSeconds) => claimLane(pool, laneId, leaseSeconds),
    release: (lane) => releaseLane(pool, lane),
    head: (lane) => laneHead(pool, lane),
    patient: (lane) => patientAtTarget(pool, lane),
    referenced: (lane, keys) => referencedBy(pool, lane, keys),
    contentOf: (type, id, version) => contentOf(pool, type, id, version),
    acceptedOthersSinceErrors: (lane, deliveryId) => acceptedOthersSinceErrors(pool, lane, deliveryId),
    begin: (lane, deliveryId, attempt, leaseSeconds) => begin(pool, lane, deliveryId, attempt, leaseSeconds),
    finish: (lane, finish, leaseSeconds) =>
      fenced(pool, lane, leaseSeconds, async (client) => {
        await endAttempt(client, finish);
        if (finish.change !== undefined)
          await applyChange(client, lane, [finish.deliveryId], finish.change, finish.kind);
        await applyConsequences(client, lane, finish.deliveryId, finish.consequences);
        await disclose(client, context, finish.disclosure);
      }),
    change: (lane, deliveryIds, change, consequences = {}) =>
      fenced(pool, lane, null, async (client) => {
        await applyChange(client, lane, deliveryIds, change, null);
        await applyConsequences(client, lane, deliveryIds[0] ?? null, consequences);
      }),
    abandon: (lane, deliveryId, dueInSeconds, baseUrl, securityLabels) =>
      fenced(pool, lane, null, async (client) => {
        const { rows } = await client.query<AbandonedRow>(ABANDON, [deliveryId, dueInSeconds]);
        const attempt = rows[0];
        if (attempt === undefined) return;
        await disclose(client, context, {
          interaction: attempt.linked ? 'update' : 'create',
          outcome: 8,
          description: 'outcome unknown, treated as disclosed',
          targetId: lane.targetId,
          baseUrl,
          patientId: lane.patientId,
          deliveryId,
          attemptNo: attempt.attempt_no,
          sent: { reference: attempt.reference, securityLabels, sha256: attempt.request_sha256 },
        });
      }),
  };
}

const BEGIN = `
with
  mine as (
    update lane set lease_until = clock_timestamp() + make_interval(secs => $4)
     where lane_id = $1 and fence = $2 and lease_token = $3
    returning fence
  ),
  sending as (
    update delivery
       set state = 'sending', attempts = attempts + 1, revision = $7, payload_sha256 = $8
      from mine
     where delivery_id = $5 and $6 = 'send'
  )
insert into delivery_attempt (delivery_id, attempt_no, kind, fence, started_at, request_sha256, worker)
select $5, (select coalesce(max(attempt_no), 0) + 1 from delivery_attempt where delivery_id = $5), $6, mine.fence,
       clock_timestamp(), $8, $9
  from mine
returning attempt_no`;

async function begin(
  pool: Pool,
  lane: ClaimedLane,
  deliveryId: DeliveryId,
  attempt: Attempt,
  leaseSeconds: number,
): Promise<number | undefined> {
  const { rows } = await pool.query<{ attempt_no: number }>({
    name: 'delivery-begin',
    text: BEGIN,
    values: [
      lane.laneId,
      lane.fence,
      lane.leaseToken,
      leaseSeconds,
      deliveryId,
      attempt.kind,
      attempt.revision,
      attempt.requestSha256,
      attempt.worker,
    ],
  });
  return rows[0]?.attempt_no;
}

const END_ATTEMPT = `
update delivery_attempt
   set ended_at = clock_timestamp(), sent_first_byte_at = $3, http_status = $4, class = $5, remote_request_id = $6,
       retry_after = $7, outcome_excerpt = $8
 where delivery_id = $1 and attempt_no = $2`;

async function endAttempt(client: PoolClient, { deliveryId, attemptNo, result }: Finish): Promise<void> {
  await client.query(END_ATTEMPT, [
    deliveryId,
    attemptNo,
    result.firstByteAt,
    result.httpStatus,
    result.class,
    result.remoteRequestId,
    result.retryAfter,
    result.excerpt,
  ]);
}

const CHANGE = `
update delivery
   set state = $2, state_reason = $3,
       due_at = clock_timestamp() + make_interval(secs => $4),
       attempts = attempts - $5::integer,
       blocks = $6,
       superseded_by = coalesce($7, superseded_by),
       waits_for = $8,
       ended_at = case when $2 in ('waiting', 'unknown') then null else clock_timestamp() end
 where delivery_id = any ($1::uuid[])`;

async function applyChange(
  client: PoolClient,
  lane: ClaimedLane,
  deliveryIds: readonly DeliveryId[],
  change: DeliveryChange,
  kind: Finish['kind'] | null,
): Promise<void> {
  await client.query(CHANGE, [
    deliveryIds,
    change.state,
    change.reason,
    change.dueInSeconds ?? 0,
    kind === 'send' && change.counted === false ? 1 : 0,
    change.blocks ?? false,
    change.supersededBy ?? null,
    change.waitsFor ?? null,
  ]);
  // The target answers again: the next 429 starts counting anew.
  if (change.state === 'accepted') await client.query(OPEN_GATE, [lane.targetId]);
}

const OPEN_GATE = `update target_gate set throttles = 0 where target_id = $1 and throttles > 0`;

type AbandonedRow = { attempt_no: number; request_sha256: Buffer | null; reference: string; linked: boolean };

const ABANDON = `
with lost as (
  update delivery
     set state = 'unknown', state_reason = 'its worker ended',
         due_at = clock_timestamp() + make_interval(secs => $2)
   where delivery_id = $1 and state = 'sending'
  returning *
)
select a.attempt_no, a.request_sha256,
       lost.resource_type || '/' || lost.resource_id || '/_history/' || lost.version_id as reference,
       exists (select from resource_link k
                where k.target_id = lost.target_id and k.resource_type = lost.resource_type
                  and k.resource_id = lost.resource_id) as linked
  from lost
  join delivery_attempt a using (delivery_id)
 where a.kind = 'send'
 order by a.attempt_no desc
 limit 1`;

async function applyConsequences(
  client: PoolClient,
  lane: ClaimedLane,
  deliveryId: DeliveryId | null,
  { link, patientLink, holdLane, holdTarget, closeTargetSeconds }: Consequences,
): Promise<void> {
  if (link !== undefined) {
    const { remote, remoteSha256, deliveredVersion } = link;
    await client.query(LINK, [
      deliveryId,
      remote.type,
      remote.id,
      remote.version ?? null,
      remoteSha256,
      deliveredVersion,
    ]);
  }
  if (patientLink !== undefined) await linkPatient(client, lane, patientLink);
  if (holdLane !== undefined) {
    await client.query('update lane set hold_reason = $2 where lane_id = $1', [lane.laneId, holdLane]);
  }
  if (holdTarget !== undefined) await client.query(HOLD_TARGET, [lane.targetId, holdTarget]);
  if (closeTargetSeconds !== undefined) await client.query(CLOSE_TARGET, [lane.targetId, closeTargetSeconds]);
}

const LINK = `
insert into resource_link as k (target_id, resource_type, resource_id, remote_type, remote_id, remote_version,
                                remote_sha256, delivered_version_id)
select d.target_id, d.resource_type, d.resource_id, $2, $3, $4, $5, $6 from delivery d where d.delivery_id = $1
on conflict (target_id, resource_type, resource_id) do update
   set remote_type = excluded.remote_type, remote_id = excluded.remote_id, remote_version = excluded.remote_version,
       remote_sha256 = excluded.remote_sha256, delivered_version_id = excluded.delivered_version_id`;

const HOLD_TARGET = `
update ehr_target set hold_reason = $2, held_at = clock_timestamp() where target_id = $1 and hold_reason is null`;

const CLOSE_TARGET = `
insert into target_gate as g (target_id, not_before, throttles)
values ($1, clock_timestamp() + make_interval(secs => $2), 1)
on conflict (target_id) do update
   set not_before = greatest(g.not_before, excluded.not_before), throttles = g.throttles + 1`;

async function linkPatient(client: PoolClient, lane: ClaimedLane, change: PatientLinkChange): Promise<void> {
  const confirmed = change.status === 'confirmed';
  await client.query(LINK_PATIENT, [
    lane.targetId,
    lane.patientId,
    confirmed ? change.remotePatientId : null,
    change.status,
    confirmed ? null : change.reason,
    JSON.stringify(change.evidence),
    confirmed ? change.by : 'system',
  ]);
}

const LINK_PATIENT = `
insert into patient_link (target_id, patient_id, remote_patient_id, status, hold_reason, evidence, linked_by, verified_at)
values ($1, $2, $3, $4, $5, $6, $7, case when $4 = 'confirmed' then clock_timestamp() end)
on conflict (target_id, patient_id) do update
   set remote_patient_id = excluded.remote_patient_id, status = excluded.status, hold_reason = excluded.hold_reason,
       evidence = excluded.evidence, linked_by = excluded.linked_by, linked_at = clock_timestamp(),
       verified_at = excluded.verified_at`;

async function disclose(client: PoolClient, context: DeliveryContext, facts: DisclosureFacts): Promise<void> {
  const disclosure: Disclosure = facts;
  const row = disclosureEvent(disclosure, context.clinic, context.observer, new Date());
  await insertAuditRow(client, row);
  await client.query('update delivery set disclosure_id = $2 where delivery_id = $1', [facts.deliveryId, row.eventId]);
}
