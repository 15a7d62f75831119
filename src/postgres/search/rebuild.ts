/**
 * Makes the search rows of a clinic anew, where another extraction than today's made them: once, at the start after an
 * update of the service, in one transaction, so that nobody ever searches half of them.
 */
import type { Resource } from '@medplum/fhirtypes';
import type { PoolClient } from 'pg';
import { parseJson } from '../../fhir/json.ts';
import type { SearchExtractors } from '../../fhir/search/extractors.ts';
import { EXTRACTION } from '../../fhir/search/values.ts';
import { SearchColumns } from '../../record/search-rows.ts';
import type { Pool } from '../pool.ts';
import { inTransaction } from '../transaction.ts';
import { newTexts, rowArrays } from './arrays.ts';

const EXTRACTED_BY = 'select extraction from search_rows';
const CLEAR = 'truncate idx_token, idx_reference, idx_date, idx_string, idx_quantity, idx_uri, token_text';
const REMEMBER = `
insert into search_rows (extraction) values ($1)
on conflict (singleton) do update set extraction = excluded.extraction`;
const BATCH = `
select r.rid, r.patient_id, v.content
  from resource r
  join resource_version v on v.rid = r.rid and v.version = r.version
 where r.rid > $1 and not r.deleted
 order by r.rid
 limit $2`;

/** Rows of all tables of the index, and texts of codes. */
export const INSERT_ROWS = `
with
  token as (
    insert into idx_token (param, element, patient_key, system_key, text_key, rid, code)
    select * from unnest($1::integer[], $2::smallint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
                         $7::text[])
  ),
  reference as (
    insert into idx_reference (param, element, rid, target)
    select * from unnest($8::integer[], $9::smallint[], $10::bigint[], $11::text[])
  ),
  date as (
    insert into idx_date (param, wide, element, patient_key, rid, low, high)
    select * from unnest($12::integer[], $13::boolean[], $14::smallint[], $15::bigint[], $16::bigint[], $17::bigint[],
                         $18::bigint[])
  ),
  string as (
    insert into idx_string (param, element, rid, folded, exact)
    select * from unnest($19::integer[], $20::smallint[], $21::bigint[], $22::text[], $23::text[])
  ),
  quantity as (
    insert into idx_quantity (param, element, rid, low, high, system_key, canon_low, canon_high, code, unit, canon_code)
    select * from unnest($24::integer[], $25::smallint[], $26::bigint[], $27::double precision[],
                         $28::double precision[], $29::bigint[], $30::double precision[], $31::double precision[],
                         $32::text[], $33::text[], $34::text[])
  ),
  uri as (
    insert into idx_uri (param, element, rid, value)
    select * from unnest($35::integer[], $36::smallint[], $37::bigint[], $38::text[])
  )
insert into token_text (param, system_key, text_key, code, folded)
select * from unnest($39::integer[], $40::bigint[], $41::bigint[], $42::text[], $43::text[])`;

/** Resources whose rows are made together. */
const MANY = 500;

/** Answers how many resources got new rows; 0 where today's extraction made them. */
export async function rebuildSearchRows(pool: Pool, extractors: SearchExtractors): Promise<number> {
  if (await isOfToday(pool)) return 0;
  return inTransaction(pool, async (client) => {
    await client.query('lock table search_rows in exclusive mode');
    // Another process was faster.
    if (await isOfToday(client)) return 0;
    await client.query(CLEAR);
    const count = await fill(client, extractors);
    await client.query(REMEMBER, [EXTRACTION]);
    return count;
  });
}

async function isOfToday(client: Pool | PoolClient): Promise<boolean> {
  const { rows } = await client.query<{ extraction: number }>(EXTRACTED_BY);
  return rows[0]?.extraction === EXTRACTION;
}

async function fill(client: PoolClient, extractors: SearchExtractors): Promise<number> {
  const known = new Set<string>();
  let count = 0;
  let last = '0';
  for (;;) {
    const { rows } = await client.query<{ rid: string; patient_id: string | null; content: string }>(BATCH, [
      last,
      MANY,
    ]);
    if (rows.length === 0) return count;
    const columns = new SearchColumns();
    for (const { rid, patient_id: patientId, content } of rows) {
      const resource = parseJson(content) as Resource;
      extractors.extractorFor(resource.resourceType)(resource, columns.sinkFor(rid, patientId));
    }
    const texts = newTexts(columns.token, known);
    await client.query(INSERT_ROWS, [...rowArrays(columns), ...texts.arrays]);
    texts.remember();
    count += rows.length;
    last = (rows.at(-1) as { rid: string }).rid;
  }
}
