/** Tags, labels and profiles: changed in place in one version, and listed as they are in use. */
import type { Pool, PoolClient } from 'pg';
import type { SearchParameterRegistry } from '../fhir/search/parameters.ts';
import { key64 } from '../fhir/search/values.ts';
import { IDEMPOTENCY_KEY } from '../kap/codes.ts';
import type { MetaInUse } from '../record/store.ts';
import { numberArray } from './arrays.ts';

// The trigger of the table keeps what stood there, and lets nothing else be changed.
// The current row is written anew, so that whoever read it before notices (CurrentRow.seen).
const REPLACE = `
with current as (update resource set version = version where rid = $1)
update resource_version set content = $3 where rid = $1 and version = $2`;

export async function replaceMeta(client: PoolClient, rid: string, version: number, content: string): Promise<void> {
  await client.query({ name: 'replace-meta', text: REPLACE, values: [rid, version, content] });
}

const NOTES = `
select t.rid from idx_token t
 where t.param = any ($3::integer[]) and t.code in ('PSYTHPN', 'HIPAAPsyNotes', 'NOAUTH')`;

/** One resource for each value in use; its text says system and display. */
const IN_USE = `
with
  note as materialized (${NOTES}),
  found as (
    select min(t.rid) as rid
      from idx_token t
     where t.param = any ($1::integer[]) and t.system_key <> $4::bigint and not exists (select from note n where n.rid = t.rid)
     group by t.code, t.system_key
     union
    select min(u.rid)
      from idx_uri u
     where u.param = any ($2::integer[]) and not exists (select from note n where n.rid = u.rid)
     group by u.value
  ),
  chosen as (select rid from found limit $5::bigint)
select v.content
  from chosen c
  join resource r on r.rid = c.rid and not r.deleted
  join resource_version v on v.rid = r.rid and v.version = r.version
 order by r.rid`;

/**
 * Texts of resources whose tags, labels and profiles together are all that are in use among these types.
 * Idempotency keys are left out: each names one resource, and they are no labels.
 */
export async function metaInUse(
  pool: Pool,
  registry: SearchParameterRegistry,
  types: readonly string[],
  limit: number,
): Promise<MetaInUse> {
  const rows = (codes: readonly string[]) =>
    numberArray([
      ...new Set(types.flatMap((type) => codes.flatMap((code) => registry.of(type).get(code)?.rows ?? []))),
    ]);
  const values = [
    rows(['_tag', '_security']),
    rows(['_profile']),
    rows(['_security']),
    key64(IDEMPOTENCY_KEY),
    limit + 1,
  ];
  const found = await pool.query<{ content: string }>({ name: 'meta-in-use', text: IN_USE, values });
  return { contents: found.rows.slice(0, limit).map(({ content }) => content), more: found.rows.length > limit };
}
