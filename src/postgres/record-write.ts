/**
 * The one statement of a write: versions, current rows, search rows, audit entries, course membership, patient
 * sequence, lanes and deliveries. It commits as a whole or not at all, and costs one round trip for any number of
 * resources.
 *
 * Texts travel as one bytea with the length of each: array syntax would escape every quote of every JSON text.
 */
import pg, { type Pool, type PoolClient } from 'pg';
import { businessIdentifier, identifierToken } from '../ehr/business-identifier.ts';
import { SearchColumns } from '../record/search-rows.ts';
import type { Change, Expectation, ResourceKey } from '../record/store.ts';
import { booleanArray, numberArray, textArray } from './arrays.ts';
import { type KnownTexts, type NewTexts, newTexts, rowArrays } from './search-arrays.ts';

const WRITE = `
with
  guard as materialized (
    select
      not exists (select from course_patient where patient_id = any ($1::text[])) as outside_course,
      array(
        select wanted.type || '/' || wanted.id
          from unnest($2::text[], $3::text[]) as wanted (type, id)
         where not exists (
           select from resource r where r.type = wanted.type and r.id = wanted.id and not r.deleted)
      ) as missing
  ),
  go as materialized (
    select from guard where outside_course and cardinality(missing) = 0
  ),
  version as materialized (
    select v.*
      from unnest($4::bigint[], $5::text[], $6::text[], $7::integer[], $8::boolean[], $9::text[], $10::timestamptz[],
                  $11::text[], $12::integer[], $13::integer[], $14::text[], $15::text[])
           with ordinality
           as v (rid, type, id, version, deleted, method, last_updated, patient_id, text_at, text_bytes, intent,
                 business_identifier, ordinal),
           go
  ),
  new_version as (
    insert into resource_version (rid, version, deleted, method, last_updated, type, id, patient_id, content)
    select rid, version, deleted, method, last_updated, type, id, patient_id,
           convert_from(substr($16::bytea, text_at, text_bytes), 'UTF8')
      from version
  ),
  new_resource as (
    insert into resource (rid, type, id, version, deleted, last_updated, patient_id)
    select rid, type, id, version, deleted, last_updated, patient_id from version where version = 1
  ),
  changed_resource as (
    update resource r
       set version = v.version, deleted = v.deleted, last_updated = v.last_updated, patient_id = v.patient_id
      from version v
     where v.version > 1 and r.rid = v.rid and r.version = v.version - 1
    returning r.rid
  ),
  add_token as (
    insert into idx_token (param, element, patient_key, system_key, text_key, rid, code)
    select a.*
      from unnest($17::integer[], $18::smallint[], $19::bigint[], $20::bigint[], $21::bigint[], $22::bigint[],
                  $23::text[]) a, go
  ),
  add_reference as (
    insert into idx_reference (param, element, rid, target)
    select a.* from unnest($24::integer[], $25::smallint[], $26::bigint[], $27::text[]) a, go
  ),
  add_date as (
    insert into idx_date (param, wide, element, patient_key, rid, low, high)
    select a.*
      from unnest($28::integer[], $29::boolean[], $30::smallint[], $31::bigint[], $32::bigint[], $33::bigint[],
                  $34::bigint[]) a, go
  ),
  add_string as (
    insert into idx_string (param, element, rid, folded, exact)
    select a.* from unnest($35::integer[], $36::smallint[], $37::bigint[], $38::text[], $39::text[]) a, go
  ),
  add_quantity as (
    insert into idx_quantity (param, element, rid, low, high, system_key, canon_low, canon_high, code, unit, canon_code)
    select a.*
      from unnest($40::integer[], $41::smallint[], $42::bigint[], $43::double precision[], $44::double precision[],
                  $45::bigint[], $46::double precision[], $47::double precision[], $48::text[], $49::text[],
                  $50::text[]) a, go
  ),
  add_uri as (
    insert into idx_uri (param, element, rid, value)
    select a.* from unnest($51::integer[], $52::smallint[], $53::bigint[], $54::text[]) a, go
  ),
  add_text as (
    insert into token_text (param, system_key, text_key, code, folded)
    select a.*
      from unnest($55::integer[], $56::bigint[], $57::bigint[], $58::text[], $59::text[])
           a (param, system_key, text_key, code, folded), go
     where not exists (
       select from token_text t
        where t.param = a.param and t.text_key = a.text_key and t.code = a.code and t.system_key = a.system_key)
  ),
  unread as (
    insert into idx_text_pending (rid) select rid from version where not deleted
  ),
  new_audit as (
    insert into audit_event (event_id, recorded, patient_id, agent, type, subtype, action, outcome, request_id, body)
    select a.*
      from unnest($60::uuid[], $61::timestamptz[], $62::text[], $63::text[], $64::text[], $65::text[],
                  $66::"char"[], $67::smallint[], $68::text[], $69::text[]) a, go
  ),
  course as (
    insert into course_patient (patient_id, next_check_at)
    select c.* from unnest($70::text[], $71::timestamptz[]) c, go
    on conflict (patient_id) do update set next_check_at = excluded.next_check_at
  ),
  -- Deliveries: one for every version and every target in force, numbered in the order of commits.
  subscribed as materialized (
    select t.target_id, v.*
      from version v
      join ehr_target t on t.disabled_at is null and v.type = any (t.resource_types)
     where v.patient_id is not null
  ),
  counted as (
    select patient_id, count(distinct ordinal) as n from subscribed group by patient_id
  ),
  sequence as (
    insert into patient_sequence as p (patient_id, last)
    select patient_id, n from counted order by patient_id
    on conflict (patient_id) do update set last = p.last + excluded.last
    returning p.patient_id, p.last
  ),
  new_lane as (
    insert into lane (target_id, patient_id)
    select distinct target_id, patient_id from subscribed order by 1, 2
    on conflict do nothing
  ),
  new_delivery as (
    insert into delivery (target_id, patient_id, patient_seq, resource_type, resource_id, version_id, intent,
                          business_identifier)
    select s.target_id, s.patient_id,
           q.last - c.n + dense_rank() over (partition by s.patient_id order by s.ordinal),
           s.type, s.id, s.version, s.intent, s.business_identifier
      from subscribed s
      join counted c using (patient_id)
      join sequence q using (patient_id)
  )
select outside_course, missing, (select count(*)::integer from changed_resource) as changed from guard`;

const REMOVE = `
with
  remove_token as (
    delete from idx_token i
     using unnest($1::integer[], $2::smallint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[])
           as old (param, element, patient_key, system_key, text_key, rid, code)
     where i.param = old.param and i.code = old.code and i.patient_key = old.patient_key
       and i.system_key = old.system_key and i.rid = old.rid
       and i.element = old.element and i.text_key is not distinct from old.text_key
  ),
  remove_reference as (
    delete from idx_reference i
     using unnest($8::integer[], $9::smallint[], $10::bigint[], $11::text[]) as old (param, element, rid, target)
     where i.param = old.param and i.target = old.target and i.rid = old.rid and i.element = old.element
  ),
  remove_date as (
    delete from idx_date i
     using unnest($12::integer[], $13::boolean[], $14::smallint[], $15::bigint[], $16::bigint[], $17::bigint[],
                  $18::bigint[])
           as old (param, wide, element, patient_key, rid, low, high)
     where i.param = old.param and i.patient_key = old.patient_key and i.low = old.low and i.rid = old.rid
       and i.high = old.high and i.element = old.element
  ),
  remove_string as (
    delete from idx_string i
     using unnest($19::integer[], $20::smallint[], $21::bigint[], $22::text[], $23::text[])
           as old (param, element, rid, folded, exact)
     where i.param = old.param and i.folded = old.folded and i.rid = old.rid and i.exact = old.exact
       and i.element = old.element
  ),
  remove_quantity as (
    delete from idx_quantity i
     using unnest($24::integer[], $25::smallint[], $26::bigint[], $27::double precision[], $28::double precision[],
                  $29::bigint[], $30::double precision[], $31::double precision[], $32::text[], $33::text[],
                  $34::text[])
           as old (param, element, rid, low, high, system_key, canon_low, canon_high, code, unit, canon_code)
     where i.param = old.param and i.low = old.low and i.rid = old.rid and i.high = old.high
       and i.system_key = old.system_key and i.code = old.code and i.unit = old.unit and i.element = old.element
  )
delete from idx_uri i
 using unnest($35::integer[], $36::smallint[], $37::bigint[], $38::text[]) as old (param, element, rid, value)
 where i.param = old.param and i.value = old.value and i.rid = old.rid and i.element = old.element`;

const NOTHING_EXPECTED: Expectation = { outsideCourse: [], existing: [] };

type WriteRow = { outside_course: boolean; missing: string[]; changed: number };

/** New resources, and what must hold for them to be written. */
export type NewWrite = { readonly change: Change; readonly expectation: Expectation };
export type NewWriteAnswer = 'written' | 'in-course' | { readonly missing: readonly ResourceKey[] };

/**
 * Writes of several requests in one statement, which is a transaction of its own: they share one commit. Where the
 * expectation of one does not hold, or the statement fails, each is written alone, so that nobody is refused for
 * somebody else's fault.
 */
export async function writeAllNew(
  pool: Pool,
  clinic: string,
  writes: readonly NewWrite[],
): Promise<readonly NewWriteAnswer[]> {
  const [only] = writes;
  if (only !== undefined && writes.length === 1) return [await writeNew(pool, clinic, only)];
  const together = await writeNew(pool, clinic, joined(writes)).catch((error: unknown) => {
    // Only what is surely not stored is tried again: after a lost connection nobody knows.
    if (isRefusal(error)) return undefined;
    throw error;
  });
  if (together === 'written') return writes.map(() => together);
  return Promise.all(writes.map((write) => writeNew(pool, clinic, write)));
}

/** Data, integrity, rollback or limit: PostgreSQL has answered, and the transaction is undone. */
function isRefusal(error: unknown): boolean {
  return error instanceof pg.DatabaseError && /^(22|23|40|54)/.test(error.code ?? '');
}

function joined(writes: readonly NewWrite[]): NewWrite {
  const added = new SearchColumns();
  for (const { change } of writes) added.append(change.added);
  return {
    change: {
      versions: writes.flatMap(({ change }) => change.versions),
      added,
      removed: new SearchColumns(),
      audit: writes.flatMap(({ change }) => change.audit),
      courses: [],
    },
    expectation: {
      outsideCourse: writes.flatMap(({ expectation }) => expectation.outsideCourse),
      existing: writes.flatMap(({ expectation }) => expectation.existing),
    },
  };
}

async function writeNew(pool: Pool, clinic: string, { change, expectation }: NewWrite): Promise<NewWriteAnswer> {
  const texts = newTexts(change.added.token, knownTextsOf(pool));
  const { rows } = await pool.query<WriteRow>({
    name: 'record-write',
    text: WRITE,
    values: writeValues(clinic, change, expectation, texts),
  });
  const row = rows[0] as WriteRow;
  if (!row.outside_course) return 'in-course';
  if (row.missing.length > 0) return { missing: row.missing.map(keyOf) };
  texts.remember();
  return 'written';
}

const knownTexts = new WeakMap<Pool, KnownTexts>();

function knownTextsOf(pool: Pool): KnownTexts {
  const known = knownTexts.get(pool) ?? new Set();
  knownTexts.set(pool, known);
  return known;
}

/** Writes a change inside the caller's transaction, whose locks make every expectation true. */
export async function writeChange(client: PoolClient, clinic: string, change: Change): Promise<void> {
  const removing = isEmpty(change.removed)
    ? undefined
    : client.query({ name: 'record-remove', text: REMOVE, values: rowArrays(change.removed) });
  const writing = client.query<WriteRow>({
    name: 'record-write',
    text: WRITE,
    // Nothing is remembered: the transaction may yet be rolled back.
    values: writeValues(clinic, change, NOTHING_EXPECTED, newTexts(change.added.token, new Set())),
  });
  const [, { rows }] = await Promise.all([removing, writing]);
  const expected = change.versions.filter((version) => version.version > 1).length;
  if ((rows[0] as WriteRow).changed !== expected) {
    throw new Error(`record-write changed ${(rows[0] as WriteRow).changed} current rows of ${expected}`);
  }
}

function keyOf(text: string): ResourceKey {
  const slash = text.indexOf('/');
  return { type: text.slice(0, slash), id: text.slice(slash + 1) };
}

function isEmpty(columns: Change['removed']): boolean {
  return (
    columns.token.rid.length === 0 &&
    columns.reference.rid.length === 0 &&
    columns.date.rid.length === 0 &&
    columns.string.rid.length === 0 &&
    columns.quantity.rid.length === 0 &&
    columns.uri.rid.length === 0
  );
}

function writeValues(clinic: string, change: Change, expectation: Expectation, texts: NewTexts): unknown[] {
  const { versions, added, audit, courses } = change;
  const contents = Buffer.from(versions.map((version) => version.content).join(''));
  let at = 1;
  const textAt: number[] = [];
  const textBytes: number[] = [];
  for (const version of versions) {
    const bytes = Buffer.byteLength(version.content);
    textAt.push(at);
    textBytes.push(bytes);
    at += bytes;
  }
  return [
    textArray(expectation.outsideCourse),
    textArray(expectation.existing.map((key) => key.type)),
    textArray(expectation.existing.map((key) => key.id)),
    numberArray(versions.map((version) => version.rid)),
    textArray(versions.map((version) => version.type)),
    textArray(versions.map((version) => version.id)),
    numberArray(versions.map((version) => version.version)),
    booleanArray(versions.map((version) => version.deleted)),
    textArray(versions.map((version) => version.method)),
    textArray(versions.map((version) => version.lastUpdated)),
    textArray(versions.map((version) => version.patientId)),
    numberArray(textAt),
    numberArray(textBytes),
    textArray(versions.map((version) => version.intent)),
    textArray(versions.map(({ type, id }) => identifierToken(businessIdentifier(clinic, type, id)))),
    contents,
    ...rowArrays(added),
    ...texts.arrays,
    textArray(audit.map((row) => row.eventId)),
    textArray(audit.map((row) => row.recorded)),
    textArray(audit.map((row) => row.patientId)),
    textArray(audit.map((row) => row.agent)),
    textArray(audit.map((row) => row.type)),
    textArray(audit.map((row) => row.subtype)),
    textArray(audit.map((row) => row.action)),
    numberArray(audit.map((row) => row.outcome)),
    textArray(audit.map((row) => row.requestId)),
    textArray(audit.map((row) => row.body)),
    textArray(courses.map((course) => course.patientId)),
    textArray(courses.map((course) => course.nextCheckAt)),
  ];
}
