/** Versions of resources as rows of PostgreSQL, and as the record knows them. */
import type { StoredResource } from '../record/record.ts';

export type StoredRow = {
  type: string;
  id: string;
  version: number;
  last_updated: string;
  deleted: boolean;
  method: StoredResource['method'];
  patient_id: string | null;
  content: string;
};

/** A row of a statement that finds living resources only. */
export type ServedRow = Omit<StoredRow, 'deleted'> & { rid: string };

/** The column `last_updated` of a row `alias` in the form of meta.lastUpdated, under its own name. */
export function lastUpdatedOf(alias: string): string {
  return `to_char(${alias}.last_updated at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as last_updated`;
}

/** Columns of ServedRow, of a row `p` of `resource` and its text `v`. */
export const SERVED = `p.rid, p.type, p.id, p.version, ${lastUpdatedOf('p')}, v.method, p.patient_id, v.content`;

export const CONTENT = `cross join lateral (
    select w.method, w.content from resource_version w where w.rid = p.rid and w.version = p.version offset 0
  ) v`;

export function stored(row: StoredRow): StoredResource {
  return {
    type: row.type,
    id: row.id,
    version: row.version,
    lastUpdated: row.last_updated,
    deleted: row.deleted,
    method: row.method,
    patientId: row.patient_id,
    content: row.content,
  };
}

export function served(row: ServedRow): StoredResource {
  return stored({ ...row, deleted: false });
}
