/** A clinic with one patient, its deliveries written as the write path writes them, and lanes worked until they rest. */
import { randomUUID } from 'node:crypto';
import { sealingWith } from '../../src/access/secrets.ts';
import { businessIdentifier, identifierToken } from '../../src/ehr/business-identifier.ts';
import { createEhrClient, type HttpEhrClient } from '../../src/ehr/client.ts';
import { type LaneOutcome, workLane } from '../../src/ehr/lane.ts';
import { type Credentials, parseDialect } from '../../src/ehr/target.ts';
import type { LaneOptions, LanePorts } from '../../src/ehr/work.ts';
import { type DeliveryParts, deliveryParts } from '../../src/postgres/delivery-parts.ts';
import type { Pool } from '../../src/postgres/pool.ts';
import type { EhrStandIn, Json } from './ehr-stand-in.ts';

export const MRN = 'https://ehr.example.org/mrn';
export const OWN_BASE = 'http://127.0.0.1:8080/fhir';
export const SEALING = sealingWith(Buffer.alloc(32, 7));
export const CONTEXT = { clinic: 'default', observer: OWN_BASE };

/** Short waits, no jitter: a test waits for a state, never for a clock. */
export const QUICK: Partial<LaneOptions> = {
  leaseSeconds: 6,
  leaseMarginSeconds: 1,
  backoff: { baseSeconds: 0.01, maxSeconds: 0.05, random: () => 1 },
};

export const quietLog: LanePorts['log'] = { info: () => undefined, warn: () => undefined, error: () => undefined };

export type Clinic = {
  readonly pool: Pool;
  readonly parts: DeliveryParts;
  readonly ports: LanePorts;
  addTarget(ehr: EhrStandIn, dialect?: Json, credentials?: Credentials): Promise<string>;
  /** Writes the next version of a resource with its deliveries, in one transaction. */
  record(resource: Json, how?: { intent?: 'put' | 'entered-in-error'; deleted?: boolean }): Promise<void>;
  /** Works on every lane until nothing is due any more. */
  settle(options?: Partial<LaneOptions>): Promise<void>;
  work(targetId: string, patientId: string, options?: Partial<LaneOptions>): Promise<LaneOutcome>;
  deliveries(): Promise<DeliveryRow[]>;
  attempts(): Promise<AttemptRow[]>;
  close(): Promise<void>;
};

export type DeliveryRow = {
  delivery_id: string;
  target_id: string;
  patient_id: string;
  resource_type: string;
  resource_id: string;
  version_id: number;
  intent: string;
  state: string;
  state_reason: string | null;
  attempts: number;
  patient_seq: string;
  superseded_by: string | null;
};
export type AttemptRow = {
  delivery_id: string;
  kind: string;
  class: string | null;
  attempt_no: number;
  ended_at: Date | null;
};

export function openClinic(pool: Pool): Clinic {
  const parts = deliveryParts(pool, SEALING, CONTEXT);
  const clients = new Map<string, HttpEhrClient>();
  const ports: LanePorts = {
    deliveries: parts.deliveries,
    async target(targetId, revision) {
      const found = await parts.targets.revision(targetId, revision);
      const key = `${targetId}@${revision}`;
      const client = clients.get(key) ?? createEhrClient(found);
      clients.set(key, client);
      return { revision: found, client };
    },
    ownBase: OWN_BASE,
    clinic: 'default',
    worker: `test:${process.pid}`,
    log: quietLog,
  };
  const work = async (targetId: string, patientId: string, options: Partial<LaneOptions> = {}) => {
    const { rows } = await pool.query('select lane_id from lane where target_id = $1 and patient_id = $2', [
      targetId,
      patientId,
    ]);
    return workLane(String(rows[0]?.lane_id), ports, { ...QUICK, ...options });
  };
  return {
    pool,
    parts,
    ports,
    work,
    async addTarget(ehr, dialect = {}, credentials = { method: 'none' }) {
      const targetId = `ehr-${randomUUID().slice(0, 8)}`;
      await parts.targets.add({
        targetId,
        baseUrl: ehr.baseUrl,
        dialect: parseDialect({
          patientIdentity: { identifierSystem: MRN },
          settleSeconds: 0.05,
          requestTimeoutSeconds: 2,
          ...dialect,
        }),
        credentials,
        approvedBy: 'test',
      });
      return targetId;
    },
    record: (resource, how) => recordVersion(pool, resource, how),
    async settle(options = {}) {
      const open = async () => (await pool.query<{ lane_id: string; open: string }>(OPEN_LANES)).rows;
      let before = '';
      for (let idle = 0; idle < 20; ) {
        const lanes = await open();
        if (lanes.length === 0) return;
        for (const { lane_id } of lanes) await workLane(lane_id, ports, { ...QUICK, ...options });
        const after = JSON.stringify(await open());
        idle = after === before ? idle + 1 : 0;
        before = after;
        await new Promise((resolve) => setTimeout(resolve, 25));
      }
    },
    async deliveries() {
      const { rows } = await pool.query<DeliveryRow>(
        'select * from delivery order by target_id, patient_id, patient_seq',
      );
      return rows;
    },
    async attempts() {
      const { rows } = await pool.query<AttemptRow>(
        'select a.* from delivery_attempt a join delivery using (delivery_id) order by a.started_at, a.attempt_no',
      );
      return rows;
    },
    async close() {
      await Promise.all([...clients.values()].map((client) => client.close()));
    },
  };
}

const OPEN_LANES = `
select l.lane_id, string_agg(d.delivery_id::text || d.state || d.attempts, ',' order by d.delivery_id) as open
  from lane l
  join delivery d using (target_id, patient_id)
  join ehr_target t using (target_id)
 where d.ended_at is null and l.hold_reason is null and t.hold_reason is null
 group by l.lane_id
 order by l.lane_id`;

const RECORD = `
with
  known as (
    select rid, version + 1 as version from resource where type = $1 and id = $2 for update
  ),
  next as (
    select rid, version from known
    union all
    select nextval('resource_rid'), 1 where not exists (select from known)
  ),
  stored as (
    insert into resource (rid, type, id, version, deleted, last_updated, patient_id)
    select rid, $1, $2, version, $5, now(), $3 from next
    on conflict (rid) do update set version = excluded.version, deleted = excluded.deleted
    returning rid, version
  ),
  version as (
    insert into resource_version (rid, version, deleted, method, last_updated, content, type, id, patient_id)
    select rid, version, $5, 'PUT', now(), $4, $1, $2, $3 from stored
  ),
  sequence as (
    insert into patient_sequence as p (patient_id, last) values ($3, 1)
    on conflict (patient_id) do update set last = p.last + 1
    returning last
  ),
  subscribed as (
    select target_id from ehr_target where disabled_at is null and $1 = any (resource_types)
  ),
  lane as (
    insert into lane (target_id, patient_id) select target_id, $3 from subscribed on conflict do nothing
  )
insert into delivery (target_id, patient_id, patient_seq, resource_type, resource_id, version_id, intent, business_identifier)
select s.target_id, $3, sequence.last, $1, $2, stored.version, $6, $7 from subscribed s, sequence, stored`;

async function recordVersion(
  pool: Pool,
  resource: Json,
  { intent = 'put', deleted = false }: { intent?: 'put' | 'entered-in-error'; deleted?: boolean } = {},
): Promise<void> {
  const type = String(resource.resourceType);
  const id = String(resource.id);
  await pool.query(RECORD, [
    type,
    id,
    patientOf(resource),
    deleted ? '' : JSON.stringify({ ...resource, meta: { versionId: '1', ...(resource.meta as Json | undefined) } }),
    deleted,
    intent,
    identifierToken(businessIdentifier('default', type, id)),
  ]);
}

function patientOf(resource: Json): string {
  if (resource.resourceType === 'Patient') return String(resource.id);
  const subject = (resource.subject ?? resource.patient) as { reference: string };
  return subject.reference.split('/')[1] as string;
}

export function patient(id: string, mrn = `MRN-${id}`): Json {
  return {
    resourceType: 'Patient',
    id,
    identifier: [{ system: MRN, value: mrn }],
    name: [{ family: 'Example', given: ['Test'] }],
    birthDate: '1988-04-02',
  };
}

/** The same person as the EHR knows them. */
export function registered(id: string, mrn = `MRN-${id}`): Json {
  const { id: _ours, ...rest } = patient(id, mrn);
  return rest;
}

export function encounter(id: string, patientId: string, more: Json = {}): Json {
  return {
    resourceType: 'Encounter',
    id,
    status: 'finished',
    class: { system: 'http://terminology.hl7.org/CodeSystem/v3-ActCode', code: 'AMB' },
    subject: { reference: `Patient/${patientId}` },
    ...more,
  };
}

export function observation(id: string, patientId: string, encounterId: string, value = 120): Json {
  return {
    resourceType: 'Observation',
    id,
    status: 'final',
    code: { coding: [{ system: 'http://loinc.org', code: '8480-6' }] },
    subject: { reference: `Patient/${patientId}` },
    encounter: { reference: `Encounter/${encounterId}` },
    valueQuantity: { value, unit: 'mmHg', system: 'http://unitsofmeasure.org', code: 'mm[Hg]' },
  };
}
