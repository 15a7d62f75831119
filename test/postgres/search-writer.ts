/** Puts resources into the record's tables as the write path does, without its rules: what a search finds. */
import type { Resource } from '@medplum/fhirtypes';
import type { Pool } from 'pg';
import { loadDefinitions } from '../../src/fhir/definitions.ts';
import { Failure, issue } from '../../src/fhir/failure.ts';
import { searchExtractors } from '../../src/fhir/search/extractors.ts';
import { searchParameterRegistry } from '../../src/fhir/search/parameters.ts';
import type { Terminology } from '../../src/fhir/terminology/port.ts';
import { numberArray, textArray } from '../../src/postgres/arrays.ts';
import { newTexts, rowArrays } from '../../src/postgres/search/arrays.ts';
import { INSERT_ROWS } from '../../src/postgres/search/rebuild.ts';
import { SearchColumns } from '../../src/record/search-rows.ts';

export const registry = searchParameterRegistry(loadDefinitions());
export const extractors = searchExtractors(registry);

/** 'urn:colours' is red and blue of system 's'; below red is crimson. */
export const terminology: Terminology = {
  async members(url) {
    if (url !== 'urn:colours') throw new Failure('not-found', issue('not-found', 'There is no such value set'));
    return ['red', 'blue'].map((code) => ({ system: 's', code }));
  },
  below: async (system, code) => (system === 's' && code === 'red' ? ['red', 'crimson'] : [code]),
  above: async (system, code) => (system === 's' && code === 'crimson' ? ['crimson', 'red'] : [code]),
};

export type Written = { readonly rid: string; readonly version: number };

/** Milliseconds; the moment a resource counts as last updated. */
export type Clock = () => number;

let next = 1; // row ids, over all databases of a test file

export function searchWriter(pool: Pool, clock: Clock = () => Date.parse('2026-06-01T00:00:00Z')) {
  const current = new Map<string, Written>();

  async function write(resources: readonly Resource[]): Promise<void> {
    const columns = new SearchColumns();
    const rows = resources.map((resource) => {
      const key = `${resource.resourceType}/${resource.id}`;
      const version = (current.get(key)?.version ?? 0) + 1;
      const rid = current.get(key)?.rid ?? String(next++);
      current.set(key, { rid, version });
      const patientId = extractors.patientIdOf(resource.resourceType)(resource);
      extractors.extractorFor(resource.resourceType)(resource, columns.sinkFor(rid, patientId));
      return { rid, resource, version, patientId, at: new Date(clock()).toISOString() };
    });
    const changed = rows.filter(({ version }) => version > 1).map(({ rid }) => rid);
    await forget(pool, changed);
    await pool.query(
      `insert into resource (rid, type, id, version, last_updated, patient_id)
       select * from unnest($1::bigint[], $2::text[], $3::text[], $4::integer[], $5::timestamptz[], $6::text[])
       on conflict (rid) do update set version = excluded.version, deleted = false,
         last_updated = excluded.last_updated, patient_id = excluded.patient_id`,
      [
        numberArray(rows.map(({ rid }) => rid)),
        textArray(rows.map(({ resource }) => resource.resourceType)),
        textArray(rows.map(({ resource }) => resource.id as string)),
        numberArray(rows.map(({ version }) => version)),
        textArray(rows.map(({ at }) => at)),
        textArray(rows.map(({ patientId }) => patientId)),
      ],
    );
    await pool.query(
      `insert into resource_version (rid, version, method, last_updated, content, type, id, patient_id)
       select rid, version, 'PUT', at, content, type, id, patient_id
         from unnest($1::bigint[], $2::integer[], $3::timestamptz[], $4::text[], $5::text[], $6::text[], $7::text[])
              v (rid, version, at, content, type, id, patient_id)`,
      [
        numberArray(rows.map(({ rid }) => rid)),
        numberArray(rows.map(({ version }) => version)),
        textArray(rows.map(({ at }) => at)),
        textArray(rows.map(({ resource }) => JSON.stringify(resource))),
        textArray(rows.map(({ resource }) => resource.resourceType)),
        textArray(rows.map(({ resource }) => resource.id as string)),
        textArray(rows.map(({ patientId }) => patientId)),
      ],
    );
    await insertRows(pool, columns);
    await pool.query('insert into idx_text_pending select unnest($1::bigint[])', [
      numberArray(rows.map(({ rid }) => rid)),
    ]);
  }

  async function remove(type: string, id: string): Promise<void> {
    const { rid } = current.get(`${type}/${id}`) as Written;
    await forget(pool, [rid]);
    await pool.query('update resource set deleted = true where rid = $1', [rid]);
  }

  return { write, remove };
}

async function forget(pool: Pool, rids: readonly string[]): Promise<void> {
  if (rids.length === 0) return;
  for (const kind of ['token', 'reference', 'date', 'string', 'quantity', 'uri']) {
    await pool.query(`delete from idx_${kind} where rid = any ($1::bigint[])`, [numberArray(rids)]);
  }
}

async function insertRows(pool: Pool, columns: SearchColumns): Promise<void> {
  await pool.query(INSERT_ROWS, [...rowArrays(columns), ...newTexts(columns.token, new Set()).arrays]);
}
