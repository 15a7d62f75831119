/**
 * One row for a search that showed several patients.
 *
 * BALP wants an AuditEvent for each patient of the page: fifty on a page of fifty Encounters, equal but for id and patient.
 * Stored one by one they would cost more than the search. So the row keeps the first event and the other patients, and
 * the others are made when they are read, always the same: event n is the first with `.n` after its id and the n-th of
 * those patients in the place of the first.
 */
import { type AuditRow, patientEntity, type RestEvent, restEvent } from './event.ts';

/** @param patientIds without repeats; at least one, or none for an event about nobody */
export function sharedEvent(event: RestEvent, patientIds: readonly string[], now: Date): AuditRow {
  const [first = null, ...others] = patientIds;
  const row = restEvent({ ...event, patientId: first }, now);
  return others.length === 0 ? row : { ...row, alsoAbout: others };
}

/** What a row holds. `patientId` is the first patient, `alsoAbout` the others. */
export type SharedRow = {
  readonly eventId: string;
  readonly patientId: string | null;
  readonly alsoAbout: readonly string[];
  readonly body: string;
};

/** Id and text of the n-th event of a row; undefined when it has no such event. 0 is the one that is stored. */
export function nthEvent(row: SharedRow, n: number): { readonly id: string; readonly body: string } | undefined {
  if (n === 0) return { id: row.eventId, body: row.body };
  const patientId = row.alsoAbout[n - 1];
  if (patientId === undefined || row.patientId === null) return undefined;
  const id = `${row.eventId}.${n}`;
  const start = idPart(row.eventId);
  const end = `${patientEntity(row.patientId)}]}`;
  if (!row.body.startsWith(start) || !row.body.endsWith(end)) {
    throw new Error(`The audit row ${row.eventId} is not in the form of a shared event`);
  }
  return { id, body: `${idPart(id)}${row.body.slice(start.length, -end.length)}${patientEntity(patientId)}]}` };
}

function idPart(id: string): string {
  return `{"resourceType":"AuditEvent","id":"${id}",`;
}
