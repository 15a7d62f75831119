import type { PoolClient } from 'pg';
import type { AuditRow } from '../audit/event.ts';

const INSERT = `
insert into audit_event (event_id, recorded, patient_id, agent, type, subtype, action, outcome, request_id, body)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`;

/** Writes an audit entry inside the caller's transaction: what it tells of commits with it or not at all. */
export async function insertAuditRow(client: PoolClient, row: AuditRow): Promise<void> {
  await client.query({
    name: 'audit-row-insert',
    text: INSERT,
    values: [
      row.eventId,
      row.recorded,
      row.patientId,
      row.agent,
      row.type,
      row.subtype,
      row.action,
      row.outcome,
      row.requestId,
      row.body,
    ],
  });
}
