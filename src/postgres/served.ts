/** Rows of resources with the text of their current version, as searches answer them. */
import type { StoredResource } from '../record/record.ts';

export type ServedRow = {
  rid: string;
  type: string;
  id: string;
  version: number;
  last_updated: string;
  method: StoredResource['method'];
  patient_id: string | null;
  content: string;
};

/** In the form of meta.lastUpdated. */
const UTC = `to_char(p.last_updated at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as last_updated`;

/** Columns of ServedRow, of a row `p` of `resource` and its text `v`. */
export const SERVED = `p.rid, p.type, p.id, p.version, ${UTC}, v.method, p.patient_id, v.content`;

export const CONTENT = `cross join lateral (
    select w.method, w.content from resource_version w where w.rid = p.rid and w.version = p.version offset 0
  ) v`;

export function stored(row: ServedRow): StoredResource {
  return {
    type: row.type,
    id: row.id,
    version: row.version,
    lastUpdated: row.last_updated,
    deleted: false,
    method: row.method,
    patientId: row.patient_id,
    content: row.content,
  };
}
