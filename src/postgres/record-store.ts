/** The record in PostgreSQL: single statements for reads, and the unit of work behind every locked write. */
import type { Pool, PoolClient } from 'pg';
import type { SearchParameterRegistry } from '../fhir/search/parameters.ts';
import type { SearchQuery } from '../fhir/search/query.ts';
import { searchParameterKey } from '../fhir/search/values.ts';
import type { Terminology } from '../fhir/terminology/port.ts';
import { searchTerminology } from '../fhir/terminology/search-terms.ts';
import type { StoredResource } from '../record/record.ts';
import type {
  Change,
  Criterion,
  CurrentRow,
  Expectation,
  RecordStore,
  ResourceKey,
  UnitOfWork,
} from '../record/store.ts';
import { textArray } from './arrays.ts';
import { insertAuditRow } from './audit-rows.ts';
import { everythingReader } from './everything.ts';
import { gathered } from './gathered.ts';
import { historyByTime, historyOfOne } from './history.ts';
import { metaInUse, replaceMeta } from './meta.ts';
import { addPackage, lockPackages, removePackage, setPolicy } from './profiles.ts';
import { type StraightWrite, writeAllStraight, writeChange } from './record-write.ts';
import { type CursorKey, matchMany, matchOne, type SearchOptions, search, searchText } from './search/search.ts';
import { type SharedConnections, sharedConnections } from './shared-connections.ts';
import { lastUpdatedOf, type StoredRow, stored } from './stored-row.ts';
import { terminologyOf } from './terminology.ts';
import { inTransaction } from './transaction.ts';

export type RecordStoreOptions = {
  readonly clinic: string;
  /** Connections on which single statements run. */
  readonly pool: Pool;
  /** Reads the criteria of conditional interactions. */
  readonly registry: SearchParameterRegistry;
  /** Signs the cursors of search and history. */
  readonly cursorKey: CursorKey;
  /** Told of a search for words, so that those of new texts are indexed soon. */
  readonly searchedWords?: () => void;
};

export function createRecordStore(options: RecordStoreOptions): RecordStore {
  const { clinic, pool, registry, cursorKey, searchedWords } = options;
  const terminology = terminologyFor(pool);
  const shared = sharedConnections(pool);
  const searching: SearchOptions = {
    cursorKey,
    terminology,
    shared,
    ...(searchedWords === undefined ? {} : { searchedWords }),
  };
  const readCurrent = currentReader(pool);
  const newRids = rowIds();
  const writeAll = (writes: readonly StraightWrite[]) => writeAllStraight(pool, clinic, writes);
  const weightOf = ({ change }: StraightWrite) => change.versions.length;
  const writeLarge = gathered(writeAll, TOGETHER, { weightOf, maxInFlight: 3 });
  const writeSmall = gathered(writeAll, SMALL_TOGETHER, { weightOf, maxInFlight: 1 });
  return {
    read: (type, id) => readCurrent({ type, id }),
    readVersion: (type, id, version) => readVersion(shared, type, id, version),
    history: (type, id, page) => historyOfOne(shared, type, id, page),
    historyByTime: (query) => historyByTime(pool, query, cursorKey),
    search: (query: SearchQuery) => search(pool, query, searching),
    searchText: (query: SearchQuery, base) => searchText(pool, query, base, searching),
    everything: everythingReader(pool, registry, cursorKey),
    metaInUse: (types, limit) => metaInUse(pool, registry, types, limit),
    match: (criterion: Criterion) => matchOne(pool, criterion, registry, terminology),
    newRids: (count) => newRids(pool, count),
    current: currentRowReader(pool),
    async writeStraight(change: Change, expectation: Expectation) {
      const answer = await (change.versions.length > SMALL ? writeLarge : writeSmall)({ change, expectation });
      if (answer.status === 'rejected') throw answer.reason;
      return answer.value;
    },
    transaction: (work) => inTransaction(pool, (client) => work(unitOfWork(client, options, newRids))),
    coursesDue: (now, limit) => coursesDue(pool, now, limit),
  };
}

const terminologies = new WeakMap<Pool, Terminology>();

/** One for each pool: it keeps what it has expanded. */
function terminologyFor(pool: Pool): Terminology {
  const known = terminologies.get(pool) ?? searchTerminology(() => terminologyOf(pool).open());
  terminologies.set(pool, known);
  return known;
}

/** Versions of a write that shares its statement with whatever single writes come meanwhile: a resource or two, with their Provenance. */
const SMALL = 4;
/** Versions of single writes in one statement: for them the statement and its commit are what costs. */
const SMALL_TOGETHER = 400;
/** Versions of sessions in one statement: few enough that one statement is made while another one runs. */
const TOGETHER = 72;

type Row = StoredRow & { rid: string };
type CurrentRecord = Row & { imported: boolean };

const READ = `
select wanted.at::integer, r.type, r.id, r.version, ${lastUpdatedOf('v')}, r.deleted, v.method, r.patient_id, v.content
  from unnest($1::text[], $2::text[]) with ordinality as wanted (type, id, at)
  join resource r on r.type = wanted.type and r.id = wanted.id
  join resource_version v on v.rid = r.rid and v.version = r.version`;

const READ_CURRENT = `
select wanted.at::integer, r.rid, r.xmin::text::bigint as seen, r.type, r.id, r.version, ${lastUpdatedOf('v')}, r.deleted,
       v.method, r.patient_id, v.imported, v.content
  from unnest($1::text[], $2::text[]) with ordinality as wanted (type, id, at)
  join resource r on r.type = wanted.type and r.id = wanted.id
  join resource_version v on v.rid = r.rid and v.version = r.version`;

const READ_VERSION = `
select r.type, r.id, v.version, ${lastUpdatedOf('v')}, v.deleted, v.method, r.patient_id, v.content
  from resource r
  join resource_version v on v.rid = r.rid and v.version = $3
 where r.type = $1 and r.id = $2`;

type ReadCurrent = (key: ResourceKey) => Promise<StoredResource | undefined>;

function currentReader(pool: Pool): ReadCurrent {
  return gathered(async (keys) => {
    const { rows } = await pool.query<Row & { at: number }>({
      name: 'record-read',
      text: READ,
      values: keyArrays(keys),
    });
    const found = new Array<StoredResource | undefined>(keys.length);
    for (const row of rows) found[row.at - 1] = stored(row);
    return found;
  }, 256);
}

function currentRowReader(pool: Pool): RecordStore['current'] {
  return gathered(async (keys: readonly ResourceKey[]) => {
    const { rows } = await pool.query<CurrentRecord & { at: number; seen: string }>({
      name: 'record-current',
      text: READ_CURRENT,
      values: keyArrays(keys),
    });
    const found = new Array<CurrentRow | undefined>(keys.length);
    for (const row of rows) {
      found[row.at - 1] = { ...stored(row), rid: row.rid, seen: row.seen, imported: row.imported };
    }
    return found;
  }, 256);
}

function keyArrays(keys: readonly ResourceKey[]): [types: string, ids: string] {
  return [textArray(keys.map(({ type }) => type)), textArray(keys.map(({ id }) => id))];
}

const MAX_VERSION = 2_147_483_647;

async function readVersion(
  shared: SharedConnections,
  type: string,
  id: string,
  version: number,
): Promise<StoredResource | undefined> {
  if (version > MAX_VERSION) return undefined;
  const { rows } = await shared.query<Row>({ name: 'record-vread', text: READ_VERSION, values: [type, id, version] });
  return rows[0] && stored(rows[0]);
}

const BLOCK = 256; // the increment of resource_rid

const NEW_BLOCKS = `select nextval('resource_rid') as start from generate_series(1, $1::integer)`;

/** Asked on the connection that the caller has: whoever holds one and waits for another can wait for ever. */
type RowIds = (client: Pool | PoolClient, count: number) => Promise<readonly string[]>;

/** Row ids by the block, so that most writes need no round trip for them, and a large one needs one. */
function rowIds(): RowIds {
  let free: string[] = [];
  return async (client, count) => {
    while (free.length < count) {
      const blocks = Math.ceil((count - free.length) / BLOCK);
      const values = [blocks];
      const { rows } = await client.query<{ start: string }>({ name: 'new-rids', text: NEW_BLOCKS, values });
      // Appended to what is there by now: another write may have taken from it, or added to it, meanwhile.
      free = free.concat(rows.flatMap(({ start }) => blockFrom(start)));
    }
    return free.splice(0, count);
  };
}

function blockFrom(start: string): string[] {
  const first = BigInt(start);
  return Array.from({ length: BLOCK }, (_, i) => String(first + BigInt(i)));
}

const CONCERNED = `
select patient_id from unnest($1::text[]) as wanted (patient_id)
 union
select r.patient_id
  from unnest($2::text[], $3::text[]) as wanted (type, id)
  join resource r on r.type = wanted.type and r.id = wanted.id
 where r.patient_id is not null`;

const LOCK_PATIENTS = `
insert into patient_sequence as p (patient_id, last)
select patient_id, 0 from (${CONCERNED}) as concerned order by patient_id
on conflict (patient_id) do update set last = p.last
returning p.patient_id`;

// A statement of its own, after the lock: only then it sees what the holder before us committed.
const IN_COURSE = `select patient_id from course_patient where patient_id in (${CONCERNED})`;

const LOCK_CRITERIA = `
select pg_advisory_xact_lock(hashtextextended(criteria, 0))
  from (select distinct criteria from unnest($1::text[]) as wanted (criteria) order by criteria) as ordered`;

const LOCK_ROWS = `
select r.rid
  from resource r
  join unnest($1::text[], $2::text[]) as wanted (type, id) on r.type = wanted.type and r.id = wanted.id
 order by r.type, r.id
   for update of r`;

const READ_ROWS = `
select r.rid, r.type, r.id, r.version, ${lastUpdatedOf('v')}, r.deleted, v.method, r.patient_id, v.imported, v.content
  from unnest($1::text[], $2::text[]) as wanted (type, id)
  join resource r on r.type = wanted.type and r.id = wanted.id
  join resource_version v on v.rid = r.rid and v.version = r.version`;

const VERSION = 'select deleted, content from resource_version where rid = $1 and version = $2';

const MISSING = `
select wanted.type, wanted.id
  from unnest($1::text[], $2::text[]) as wanted (type, id)
 where not exists (select from resource r where r.type = wanted.type and r.id = wanted.id and not r.deleted)`;

const COURSE = `
select r.patient_id, v.content
  from unnest($1::text[]) as wanted (patient_id)
  join resource r on r.patient_id = wanted.patient_id
  join resource_version v on v.rid = r.rid and v.version = r.version
 where r.type = any ($2::text[]) and not r.deleted
 order by r.rid`;

const ROLES = `
with
  wanted as materialized (
    select reference, split_part(reference, '/', 1) as type, split_part(reference, '/', 2) as id
      from unnest($1::text[]) as given (reference)
  ),
  found as (
    select r.rid from wanted join resource r on r.type = wanted.type and r.id = wanted.id
    union
    select i.rid from wanted join idx_reference i on i.param = $2 and i.target = wanted.reference
  )
select v.content
  from found
  join resource r on r.rid = found.rid
  join resource_version v on v.rid = r.rid and v.version = r.version
 where r.type in ('Practitioner', 'PractitionerRole') and not r.deleted
 order by r.rid`;

const ROLE_OF_PRACTITIONER = searchParameterKey('PractitionerRole', 'practitioner');

// A running course stays on its version of the protocol, so older versions of the resource are looked at, too.
const PLAN_DEFINITIONS = `
select distinct on (wanted.canonical) wanted.canonical, v.content
  from unnest($1::text[]) as wanted (canonical)
  join resource r on r.type = 'PlanDefinition'
  join resource_version v on v.rid = r.rid and v.content <> ''
 where wanted.canonical in (v.content::jsonb ->> 'url', (v.content::jsonb ->> 'url') || '|' || (v.content::jsonb ->> 'version'))
 order by wanted.canonical, v.last_updated desc`;

const COURSES_DUE = `
select patient_id from course_patient where next_check_at <= $1 order by next_check_at limit $2`;

function patientsOf(rows: readonly { readonly patient_id: string }[]): ReadonlySet<string> {
  return new Set(rows.map((row) => row.patient_id));
}

function unitOfWork(client: PoolClient, { clinic, pool, registry }: RecordStoreOptions, newRids: RowIds): UnitOfWork {
  return {
    newRids: (count) => newRids(client, count),
    async lockPatients(patientIds, resources) {
      if (patientIds.length === 0 && resources.length === 0) return { locked: new Set(), inCourse: new Set() };
      const values = [textArray(patientIds), ...keyArrays(resources)];
      const [locked, inCourse] = await Promise.all([
        client.query<{ patient_id: string }>({ name: 'lock-patients', text: LOCK_PATIENTS, values }),
        client.query<{ patient_id: string }>({ name: 'in-course', text: IN_COURSE, values }),
      ]);
      return { locked: patientsOf(locked.rows), inCourse: patientsOf(inCourse.rows) };
    },
    async lockCriteria(criteria) {
      const values = [textArray(criteria.map(({ type, criteria: text }) => `${clinic} ${type}?${text}`))];
      await client.query({ name: 'lock-criteria', text: LOCK_CRITERIA, values });
    },
    match: (criteria) => matchMany(client, criteria, registry, terminologyFor(pool)),
    async lockCurrent(keys) {
      if (keys.length === 0) return [];
      const values = keyArrays(keys);
      // Read after the lock, in a statement of its own: a row that we waited for has a newer version by then.
      const [, { rows }] = await Promise.all([
        client.query({ name: 'lock-rows', text: LOCK_ROWS, values }),
        client.query<CurrentRecord>({ name: 'read-rows', text: READ_ROWS, values }),
      ]);
      return rows.map((row): CurrentRow => ({ ...stored(row), rid: row.rid, imported: row.imported }));
    },
    async missing(keys) {
      if (keys.length === 0) return [];
      return (await client.query<ResourceKey>({ name: 'missing', text: MISSING, values: keyArrays(keys) })).rows;
    },
    async courseResources(patientIds, types) {
      const values = [textArray(patientIds), textArray(types)];
      const { rows } = await client.query<{ patient_id: string; content: string }>({
        name: 'course',
        text: COURSE,
        values,
      });
      return rows.map((row) => ({ patientId: row.patient_id, content: row.content }));
    },
    async roles(references) {
      if (references.length === 0) return [];
      const values = [textArray(references), ROLE_OF_PRACTITIONER];
      const { rows } = await client.query<{ content: string }>({ name: 'roles', text: ROLES, values });
      return rows.map((row) => row.content);
    },
    async planDefinitions(canonicals) {
      if (canonicals.length === 0) return new Map();
      const { rows } = await client.query<{ canonical: string; content: string }>({
        name: 'plans',
        text: PLAN_DEFINITIONS,
        values: [textArray(canonicals)],
      });
      return new Map(rows.map((row) => [row.canonical, row.content]));
    },
    async version(rid, version) {
      const { rows } = await client.query<{ deleted: boolean; content: string }>({
        name: 'version',
        text: VERSION,
        values: [rid, version],
      });
      return rows[0];
    },
    replaceMeta: (rid, version, content) => replaceMeta(client, rid, version, content),
    write: (change) => writeChange(client, clinic, change),
    lockPackages: () => lockPackages(client),
    addPackage: (added) => addPackage(client, added),
    removePackage: (name, version, profiles) => removePackage(client, name, version, profiles),
    setPolicy: (profile, strictness, by) => setPolicy(client, profile, strictness, by),
    audit: (row) => insertAuditRow(client, row),
  };
}

async function coursesDue(pool: Pool, now: Date, limit: number): Promise<readonly string[]> {
  const values = [now.toISOString(), limit];
  return (await pool.query<{ patient_id: string }>(COURSES_DUE, values)).rows.map((row) => row.patient_id);
}
