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
import { type Change, type Expectation, OtherProfiles, type StraightAnswer } from '../record/store.ts';
import { booleanArray, numberArray, textArray } from './arrays.ts';
import { type KnownTexts, type NewTexts, newTexts, rowArrays } from './search/arrays.ts';

const WRITE = `
with
  given as materialized (
    select v.*
      from unnest($4::bigint[], $5::text[], $6::text[], $7::integer[], $8::boolean[], $9::text[], $10::timestamptz[],
                  $11::text[], $12::integer[], $13::integer[], $14::text[], $15::text[], $16::bigint[],
                  $111::boolean[])
           with ordinality
           as v (rid, type, id, version, deleted, method, last_updated, patient_id, text_at, text_bytes, intent,
                 business_identifier, seen, imported, ordinal)
  ),
  -- Deliveries: one for every version and every target in force, numbered in the order of commits. Where nothing is
  -- written after all, numbers are left out: their order counts.
  subscribed as materialized (
    select t.target_id, v.*
      from given v
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
  -- Behind the patients' places, and in the order in which units of work lock rows (lockCurrent): nobody deadlocks. A
  -- row that changed since it was read is not among them.
  unchanged as materialized (
    select r.rid
      from given v
      join resource r on r.rid = v.rid
     where v.version > 1 and r.version = v.version - 1 and (v.seen is null or r.xmin::text::bigint = v.seen)
       and (select count(*) from sequence) >= 0
     order by r.type, r.id
       for update of r
  ),
  guard as materialized (
    select
      array(select patient_id from course_patient where patient_id = any ($1::text[])) as in_course,
      array(
        select wanted.type || '/' || wanted.id
          from unnest($2::text[], $3::text[]) as wanted (type, id)
         where not exists (
           select from resource r where r.type = wanted.type and r.id = wanted.id and not r.deleted)
      ) as missing,
      array(
        select v.rid from given v where v.version > 1 and not exists (select from unchanged u where u.rid = v.rid)
      ) as changed,
      array(
        select checked.generation
          from unnest($112::bigint[]) as checked (generation)
         where checked.generation <> (select s.generation from profile_set s where s.singleton)
      ) as outdated
  ),
  go as materialized (
    select from guard
     where cardinality(in_course) = 0 and cardinality(missing) = 0 and cardinality(changed) = 0
       and cardinality(outdated) = 0
  ),
  version as materialized (
    select v.* from given v, go
  ),
  new_version as (
    insert into resource_version (rid, version, deleted, method, last_updated, type, id, patient_id, imported, content)
    select rid, version, deleted, method, last_updated, type, id, patient_id, imported,
           convert_from(substr($17::bytea, text_at, text_bytes), 'UTF8')
      from version
  ),
  new_resource as (
    insert into resource (rid, type, id, version, deleted, last_updated, patient_id)
    select rid, type, id, version, deleted, last_updated, patient_id from version where version = 1 order by type, id
  ),
  changed_resource as (
    update resource r
       set version = v.version, deleted = v.deleted, last_updated = v.last_updated, patient_id = v.patient_id
      from version v
     where v.version > 1 and r.rid = v.rid and r.version = v.version - 1
  ),
  remove_token as (
    delete from idx_token i
     using unnest($73::integer[], $74::smallint[], $75::bigint[], $76::bigint[], $77::bigint[], $78::bigint[], $79::text[])
           as old (param, element, patient_key, system_key, text_key, rid, code), go
     where i.param = old.param and i.code = old.code and i.patient_key = old.patient_key
       and i.system_key = old.system_key and i.rid = old.rid
       and i.element = old.element and i.text_key is not distinct from old.text_key
  ),
  remove_reference as (
    delete from idx_reference i
     using unnest($80::integer[], $81::smallint[], $82::bigint[], $83::text[]) as old (param, element, rid, target), go
     where i.param = old.param and i.target = old.target and i.rid = old.rid and i.element = old.element
  ),
  remove_date as (
    delete from idx_date i
     using unnest($84::integer[], $85::boolean[], $86::smallint[], $87::bigint[], $88::bigint[], $89::bigint[],
                  $90::bigint[])
           as old (param, wide, element, patient_key, rid, low, high), go
     where i.param = old.param and i.patient_key = old.patient_key and i.low = old.low and i.rid = old.rid
       and i.high = old.high and i.element = old.element
  ),
  remove_string as (
    delete from idx_string i
     using unnest($91::integer[], $92::smallint[], $93::bigint[], $94::text[], $95::text[])
           as old (param, element, rid, folded, exact), go
     where i.param = old.param and i.folded = old.folded and i.rid = old.rid and i.exact = old.exact
       and i.element = old.element
  ),
  remove_quantity as (
    delete from idx_quantity i
     using unnest($96::integer[], $97::smallint[], $98::bigint[], $99::double precision[], $100::double precision[],
                  $101::bigint[], $102::double precision[], $103::double precision[], $104::text[], $105::text[],
                  $106::text[])
           as old (param, element, rid, low, high, system_key, canon_low, canon_high, code, unit, canon_code), go
     where i.param = old.param and i.low = old.low and i.rid = old.rid and i.high = old.high
       and i.system_key = old.system_key and i.code = old.code and i.unit = old.unit and i.element = old.element
  ),
  remove_uri as (
    delete from idx_uri i
     using unnest($107::integer[], $108::smallint[], $109::bigint[], $110::text[]) as old (param, element, rid, value), go
     where i.param = old.param and i.value = old.value and i.rid = old.rid and i.element = old.element
  ),
  add_token as (
    insert into idx_token (param, element, patient_key, system_key, text_key, rid, code)
    select a.*
      from unnest($18::integer[], $19::smallint[], $20::bigint[], $21::bigint[], $22::bigint[], $23::bigint[],
                  $24::text[]) a, go
  ),
  add_reference as (
    insert into idx_reference (param, element, rid, target)
    select a.* from unnest($25::integer[], $26::smallint[], $27::bigint[], $28::text[]) a, go
  ),
  add_date as (
    insert into idx_date (param, wide, element, patient_key, rid, low, high)
    select a.*
      from unnest($29::integer[], $30::boolean[], $31::smallint[], $32::bigint[], $33::bigint[], $34::bigint[],
                  $35::bigint[]) a, go
  ),
  add_string as (
    insert into idx_string (param, element, rid, folded, exact)
    select a.* from unnest($36::integer[], $37::smallint[], $38::bigint[], $39::text[], $40::text[]) a, go
  ),
  add_quantity as (
    insert into idx_quantity (param, element, rid, low, high, system_key, canon_low, canon_high, code, unit, canon_code)
    select a.*
      from unnest($41::integer[], $42::smallint[], $43::bigint[], $44::double precision[], $45::double precision[],
                  $46::bigint[], $47::double precision[], $48::double precision[], $49::text[], $50::text[],
                  $51::text[]) a, go
  ),
  add_uri as (
    insert into idx_uri (param, element, rid, value)
    select a.* from unnest($52::integer[], $53::smallint[], $54::bigint[], $55::text[]) a, go
  ),
  add_text as (
    insert into token_text (param, system_key, text_key, code, folded)
    select a.*
      from unnest($56::integer[], $57::bigint[], $58::bigint[], $59::text[], $60::text[])
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
      from unnest($61::uuid[], $62::timestamptz[], $63::text[], $64::text[], $65::text[], $66::text[],
                  $67::"char"[], $68::smallint[], $69::text[], $70::text[]) a, go
  ),
  course as (
    insert into course_patient (patient_id, next_check_at)
    select c.* from unnest($71::text[], $72::timestamptz[]) c (patient_id, next_check_at), go order by c.patient_id
    on conflict (patient_id) do update set next_check_at = excluded.next_check_at
  ),
  new_lane as (
    insert into lane (target_id, patient_id)
    select distinct target_id, patient_id from subscribed, go where not imported order by 1, 2
    on conflict do nothing
  ),
  -- Of history from elsewhere it is written down that nobody is told (decision 0083).
  new_delivery as (
    insert into delivery (target_id, patient_id, patient_seq, resource_type, resource_id, version_id, intent,
                          business_identifier, state, state_reason, ended_at)
    select s.target_id, s.patient_id,
           q.last - c.n + dense_rank() over (partition by s.patient_id order by s.ordinal),
           s.type, s.id, s.version, s.intent, s.business_identifier,
           case when s.imported then 'withheld' else 'waiting' end,
           case when s.imported then 'imported history' end,
           case when s.imported then now() end
      from go, subscribed s
      join counted c using (patient_id)
      join sequence q using (patient_id)
  )
select in_course, missing, changed, outdated from guard`;

const NOTHING_EXPECTED: Expectation = { outsideCourse: [], existing: [] };

type WriteRow = { in_course: string[]; missing: string[]; changed: string[]; outdated: string[] };

/** What one request writes without locks of its own, and what must hold for it to be written. */
export type StraightWrite = { readonly change: Change; readonly expectation: Expectation };

/**
 * Writes of several requests in one statement, which is a transaction of its own: they share one commit. Where the
 * expectation of some does not hold, the others are written without them. Where the statement fails, each is written
 * alone, so that nobody is refused for somebody else's fault; so are writes of a resource that another one writes, too.
 *
 * @returns what became of each: one may fail although another was written
 */
export async function writeAllStraight(
  pool: Pool,
  clinic: string,
  writes: readonly StraightWrite[],
): Promise<readonly PromiseSettledResult<StraightAnswer>[]> {
  const answers = new Map<StraightWrite, StraightAnswer>();
  let together = firstOfEach(writes);
  while (together.length > 1) {
    const row = await run(pool, clinic, joined(together)).catch((error: unknown) => {
      // Only what is surely not stored is tried again: after a lost connection nobody knows.
      if (isRefusal(error)) return undefined;
      throw error;
    });
    if (row === undefined) break;
    for (const write of together) answers.set(write, answerOf(row, write));
    if (isDone(row)) break;
    // Nothing was written. What is told of each of the others is settled; those without fault go again.
    together = together.filter((write) => answers.get(write) === 'written');
    for (const write of together) answers.delete(write);
  }
  return Promise.allSettled(
    writes.map(async (write) => answers.get(write) ?? answerOf(await run(pool, clinic, write), write)),
  );
}

/** Writes that touch no row that one before them touches. */
function firstOfEach(writes: readonly StraightWrite[]): readonly StraightWrite[] {
  const touched = new Set<string>();
  return writes.filter(({ change: { versions } }) => {
    const isFirst = versions.every(({ rid, version }) => version === 1 || !touched.has(rid));
    for (const { rid, version } of versions) if (version > 1) touched.add(rid);
    return isFirst;
  });
}

function isDone({ in_course, missing, changed, outdated }: WriteRow): boolean {
  return in_course.length === 0 && missing.length === 0 && changed.length === 0 && outdated.length === 0;
}

function answerOf(row: WriteRow, { change, expectation }: StraightWrite): StraightAnswer {
  if (isDone(row)) return 'written';
  const { in_course, missing, changed, outdated } = row;
  if (change.generation !== undefined && outdated.includes(change.generation)) return 'outdated';
  if (change.versions.some(({ rid, version }) => version > 1 && changed.includes(rid))) return 'changed';
  const inCourse = expectation.outsideCourse.filter((patientId) => in_course.includes(patientId));
  if (inCourse.length > 0) return { inCourse };
  const absent = expectation.existing.filter(({ type, id }) => missing.includes(`${type}/${id}`));
  return absent.length > 0 ? { missing: absent } : 'written';
}

/** Data, integrity, rollback or limit: PostgreSQL has answered, and the transaction is undone. */
function isRefusal(error: unknown): boolean {
  return error instanceof pg.DatabaseError && /^(22|23|40|54)/.test(error.code ?? '');
}

/** Several writes, some of which may have been checked with other profiles than the rest. */
type JoinedWrite = StraightWrite & { readonly generations: readonly string[] };

function joined(writes: readonly StraightWrite[]): JoinedWrite {
  const added = new SearchColumns();
  const removed = new SearchColumns();
  for (const { change } of writes) {
    added.append(change.added);
    removed.append(change.removed);
  }
  return {
    change: {
      versions: writes.flatMap(({ change }) => change.versions),
      added,
      removed,
      audit: writes.flatMap(({ change }) => change.audit),
      courses: [],
    },
    expectation: {
      outsideCourse: writes.flatMap(({ expectation }) => expectation.outsideCourse),
      existing: writes.flatMap(({ expectation }) => expectation.existing),
    },
    generations: [...new Set(writes.flatMap(({ change }) => change.generation ?? []))],
  };
}

async function run(pool: Pool, clinic: string, write: StraightWrite | JoinedWrite): Promise<WriteRow> {
  const { change, expectation } = write;
  const generations = 'generations' in write ? write.generations : generationsOf(change);
  const texts = newTexts(change.added.token, knownTextsOf(pool));
  const { rows } = await pool.query<WriteRow>({
    name: 'record-write',
    text: WRITE,
    values: writeValues(clinic, change, expectation, texts, generations),
  });
  const row = rows[0] as WriteRow;
  if (isDone(row)) texts.remember();
  return row;
}

const knownTexts = new WeakMap<Pool, KnownTexts>();

function knownTextsOf(pool: Pool): KnownTexts {
  const known = knownTexts.get(pool) ?? new Set();
  knownTexts.set(pool, known);
  return known;
}

/** Writes a change inside the caller's transaction, whose locks make every expectation true. */
export async function writeChange(client: PoolClient, clinic: string, change: Change): Promise<void> {
  const { rows } = await client.query<WriteRow>({
    name: 'record-write',
    text: WRITE,
    // Nothing is remembered: the transaction may yet be rolled back.
    values: writeValues(
      clinic,
      change,
      NOTHING_EXPECTED,
      newTexts(change.added.token, new Set()),
      generationsOf(change),
    ),
  });
  const { changed, outdated } = rows[0] as WriteRow;
  if (outdated.length > 0)
    throw new OtherProfiles('the profiles of the clinic changed since the resources were checked');
  if (changed.length > 0)
    throw new Error(`record-write found ${changed.length} current rows changed under their locks`);
}

function generationsOf({ generation }: Change): readonly string[] {
  return generation === undefined ? [] : [generation];
}

function writeValues(
  clinic: string,
  change: Change,
  expectation: Expectation,
  texts: NewTexts,
  generations: readonly string[],
): unknown[] {
  const { versions, added, removed, audit, courses } = change;
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
    numberArray(versions.map((version) => version.seen ?? 'NULL')),
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
    ...rowArrays(removed),
    booleanArray(versions.map((version) => version.imported === true)),
    numberArray(generations),
  ];
}
