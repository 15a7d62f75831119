/**
 * Histories: of one resource by its versions, of types and of everything by time.
 *
 * Versions are never changed and never removed, so a page is continued behind the last version that was shown: each one
 * that was there when the first page was made comes exactly once, whatever is written meanwhile. Times are those of the
 * writing process; versions of the same millisecond are ordered by row id and version, which never change.
 */
import type { Pool } from 'pg';
import { Failure, issue } from '../fhir/failure.ts';
import type { HistoryQuery } from '../record/history.ts';
import type { HistoryPage, HistoryVersion } from '../record/record.ts';
import { type BoundTo, type CursorKey, openCursor, sealCursor } from './search/cursor.ts';
import { Statement } from './search/sql.ts';
import type { SharedConnections } from './shared-connections.ts';
import { lastUpdatedOf, type StoredRow, stored } from './stored-row.ts';

const MAX_VERSION = 2_147_483_647;

// Versions count from 1 without a gap: the current one is the total. One row more than the page is read, which also tells
// whether the last one on it followed a deletion.
const OF_ONE = `
select r.type, r.id, v.version, ${lastUpdatedOf('v')}, v.deleted, v.method, v.patient_id, v.content, r.version as total
  from resource r
  join resource_version v on v.rid = r.rid and v.version < $3
 where r.type = $1 and r.id = $2
 order by v.version desc
 limit $4`;

/**
 * The whole history of one resource; the cursor is the version at which the last page ended. A total of 0 says that there
 * is no such resource.
 */
export async function historyOfOne(
  shared: SharedConnections,
  type: string,
  id: string,
  { count, cursor }: { readonly count: number; readonly cursor?: string },
): Promise<HistoryPage> {
  const before = cursor === undefined ? MAX_VERSION : Number(cursor);
  if (!Number.isInteger(before) || before < 1 || before > MAX_VERSION) {
    throw new Failure('invalid', issue('value', 'The page link is damaged; start again from the first page.'));
  }
  const { rows } = await shared.query<StoredRow & { total: number }>({
    name: 'record-history',
    text: OF_ONE,
    values: [type, id, before, count + 1],
  });
  const page = rows.length > count ? rows.slice(0, count) : rows;
  const versions = page.map((row, i) => versionOf(row, row.version === 1 || rows[i + 1]?.deleted === true));
  const last = page.at(-1);
  const more = rows.length > count && last !== undefined;
  return { versions, total: rows[0]?.total ?? 0, ...(more ? { next: String(last.version) } : {}) };
}

type TimedRow = StoredRow & { rid: string; created: boolean };

/**
 * Every other history: the newest versions of each type from the index of that type, and the newest of those.
 *
 * @throws Failure `invalid` for a cursor that is not of this history
 */
export async function historyByTime(pool: Pool, query: HistoryQuery, cursorKey: CursorKey): Promise<HistoryPage> {
  const position = query.cursor === undefined ? undefined : positionIn(query.cursor, query, cursorKey);
  const total = position?.total ?? (await totalOf(pool, query));
  if (query.count === 0) return { versions: [], total };
  const sql = new Statement();
  const { rows } = await pool.query<TimedRow>({
    text: `
with page as (${pageText(query, position, sql)})
select v.type, v.id, v.version, ${lastUpdatedOf('v')}, v.deleted, v.method, v.patient_id, v.content, v.rid,
       v.version = 1 or exists (
         select from resource_version p where p.rid = v.rid and p.version = v.version - 1 and p.deleted
       ) as created
  from page p
  join resource_version v on v.rid = p.rid and v.version = p.version
 ${NEWEST_FIRST}`,
    values: sql.values,
  });
  const page = rows.slice(0, query.count);
  const last = page.at(-1);
  const versions = page.map((row) => versionOf(row, row.created));
  if (rows.length <= query.count || last === undefined) return { versions, total };
  return { versions, total, next: cursorBehind(last, total, query, cursorKey) };
}

const NEWEST_FIRST = 'order by v.last_updated desc, v.rid desc, v.version desc';

/** Keys of the versions of a page, and of one more. */
function pageText(query: HistoryQuery, position: Position | undefined, sql: Statement): string {
  const after = position === undefined ? [] : [isAfter(position, sql)];
  const where = [...conditions(query, sql), ...after];
  const limit = `limit ${sql.value('bigint', query.count + 1)}`;
  const keys = 'select v.rid, v.version, v.last_updated';
  const chosen = chosenText(query, sql);
  if (chosen !== undefined) {
    return `${keys} from ${chosen} join resource_version v on v.rid = r.rid ${whereOf(where)} ${NEWEST_FIRST} ${limit}`;
  }
  return `
  ${keys}
    from unnest(${sql.array({ type: 'text', values: query.types })}) t (type)
   cross join lateral (${keys} from resource_version v ${whereOf(['v.type = t.type', ...where])} ${NEWEST_FIRST} ${limit}) v
   ${NEWEST_FIRST} ${limit}`;
}

/** The resources that are named; undefined where the history is of whole types. */
function chosenText({ types, id, listed }: HistoryQuery, sql: Statement): string | undefined {
  if (id === undefined && listed === undefined) return undefined;
  const ofTypes = `r.type = any (${sql.array({ type: 'text', values: types })})`;
  const one = id === undefined ? '' : ` and r.id = ${sql.value('text', id)}`;
  if (listed === undefined) return `(select r.rid from resource r where ${ofTypes}${one}) r`;
  const names = sql.array({ type: 'text', values: listed.map(({ type }) => type) });
  const ids = sql.array({ type: 'text', values: listed.map((each) => each.id) });
  const list = `unnest(${names}, ${ids}) q (type, id)`;
  return `(select distinct r.rid from ${list} join resource r on r.type = q.type and r.id = q.id where ${ofTypes}${one}) r`;
}

async function totalOf(pool: Pool, query: HistoryQuery): Promise<number> {
  const sql = new Statement();
  const { types, id, since, at, listed } = query;
  const chosen = chosenText(query, sql);
  const ofTypes = () => `type = any (${sql.array({ type: 'text', values: types })})`;
  let text: string;
  if (chosen !== undefined) {
    const where = whereOf(conditions(query, sql));
    text = `select count(*) as total from ${chosen} join resource_version v on v.rid = r.rid ${where}`;
  } else if (since === undefined && at === undefined && id === undefined && listed === undefined) {
    // Without a condition on versions their numbers add up, which saves reading them.
    text = `select coalesce(sum(r.version), 0) as total from resource r where r.${ofTypes()}`;
  } else {
    text = `select count(*) as total from resource_version v ${whereOf([`v.${ofTypes()}`, ...conditions(query, sql)])}`;
  }
  const { rows } = await pool.query<{ total: string }>({ text, values: sql.values });
  return Number(rows[0]?.total);
}

/** What must hold for a version, beside being of one of the types or resources. */
function conditions({ since, at, listed }: HistoryQuery, sql: Statement): string[] {
  const where: string[] = [];
  if (since !== undefined) where.push(`v.last_updated >= ${sql.value('timestamptz', instant(since))}`);
  if (at !== undefined) {
    const low = sql.value('timestamptz', instant(at.low));
    where.push(`v.last_updated <= ${sql.value('timestamptz', instant(at.high))}`);
    where.push(`(not v.deleted or v.last_updated >= ${low})`);
    where.push(`not exists (
   select from resource_version n where n.rid = v.rid and n.version = v.version + 1 and n.last_updated <= ${low}
 )`);
  }
  if (listed !== undefined) where.push(isListed(listed, sql));
  return where;
}

/** -1 stands for every version. */
function isListed(listed: NonNullable<HistoryQuery['listed']>, sql: Statement): string {
  const types = sql.array({ type: 'text', values: listed.map(({ type }) => type) });
  const ids = sql.array({ type: 'text', values: listed.map((each) => each.id) });
  const versions = sql.array({ type: 'integer', values: listed.map(({ version }) => version ?? -1) });
  return `exists (
   select from unnest(${types}, ${ids}, ${versions}) q (type, id, version)
    where q.type = v.type and q.id = v.id and q.version in (-1, v.version)
 )`;
}

function whereOf(conditions: readonly string[]): string {
  return conditions.length === 0 ? '' : `where ${conditions.join('\n   and ')}`;
}

/** PostgreSQL has no year 0, and no history reaches back to it. */
function instant(ms: number): string {
  const bounded = Math.min(Math.max(ms, EARLIEST), LATEST);
  return new Date(bounded).toISOString();
}

const EARLIEST = Date.UTC(1970, 0, 1);
const LATEST = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

// ---- pages

type Position = { readonly at: string; readonly rid: string; readonly version: number; readonly total: number };

function isAfter({ at, rid, version }: Position, sql: Statement): string {
  const values = [sql.value('timestamptz', at), sql.value('bigint', rid), sql.value('integer', version)];
  return `(v.last_updated, v.rid, v.version) < (${values.join(', ')})`;
}

function cursorBehind(last: TimedRow, total: number, query: HistoryQuery, key: CursorKey): string {
  const position = [last.last_updated, last.rid, String(last.version), String(total)];
  return sealCursor(position, boundTo(query), key);
}

function positionIn(cursor: string, query: HistoryQuery, key: CursorKey): Position {
  const [at, rid, version, total] = openCursor(cursor, boundTo(query), key) as readonly string[];
  return { at: at as string, rid: rid as string, version: Number(version), total: Number(total) };
}

/** A page link goes with the history that it came from; types that a token may see are looked at on every page. */
function boundTo({ types, id, since, at, listed }: HistoryQuery): BoundTo {
  const asked = JSON.stringify([types, id, since, at, listed]);
  return { type: '_history', used: [['_history', asked]] };
}

function versionOf(row: StoredRow, created: boolean): HistoryVersion {
  return { ...stored(row), created };
}
