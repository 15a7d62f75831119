/**
 * Searches over the index rows, answered with stored text.
 *
 * A search becomes one statement whose text depends on its shape alone (search-plan.ts); texts in use are prepared
 * once per connection. Includes are a second statement for the whole page.
 */
import type { Pool, PoolClient } from 'pg';
import { Failure, issue } from '../fhir/failure.ts';
import type { SearchParameterRegistry } from '../fhir/search-parameters.ts';
import {
  parseSearch,
  type SearchFilter,
  type SearchInclude,
  type SearchQuery,
  type SearchSort,
} from '../fhir/search-query.ts';
import { indexable, key64 } from '../fhir/search-values.ts';
import type { SearchPage, StoredResource } from '../record/record.ts';

import { isRowOf } from './search-conditions.ts';
import { type CursorKey, openCursor, sealCursor } from './search-cursor.ts';
import { type OrderKey, type Plan, type Position, planOf } from './search-plan.ts';
import { Statement } from './search-sql.ts';

export type { CursorKey } from './search-cursor.ts';

type Client = Pool | PoolClient;

/** Included resources of a page at most. */
const MAX_INCLUDED = 1000;

/** @throws Failure `invalid` for a cursor that is not of this search */
export async function search(
  client: Client,
  query: SearchQuery,
  options: { readonly cursorKey: CursorKey },
): Promise<SearchPage> {
  const total = query.countOnly || query.total !== 'none' ? await countOf(client, query) : undefined;
  const counted = total === undefined ? {} : { total };
  if (query.countOnly) return { matches: [], included: [], ...counted };
  const start = query.cursor === undefined ? undefined : openCursor(query.cursor, query, options.cursorKey);
  const { rows, next } = await pageFrom(client, query, start);
  const included = await includedWith(client, query.includes, rows);
  return {
    matches: rows.map(stored),
    included: included.slice(0, MAX_INCLUDED).map(stored),
    ...(included.length > MAX_INCLUDED ? { includedCut: true } : {}),
    ...(next === undefined ? {} : { next: sealCursor(next, query, options.cursorKey) }),
    ...counted,
  };
}

export type MatchedResource = { readonly rid: string; readonly id: string; readonly version: number };

export type MatchCriterion = {
  readonly type: string;
  /** The search part of a url, without '?'. */
  readonly criteria: string;
};

/** At most two resources that match, by age; two mean that there are several. @throws Failure `invalid` */
export async function matchOne(
  client: Client,
  criterion: MatchCriterion,
  registry: SearchParameterRegistry,
): Promise<readonly MatchedResource[]> {
  return (await matchMany(client, [criterion], registry))[0] as readonly MatchedResource[];
}

/**
 * matchOne for each criterion, in their order. All that ask for one token (`identifier=system|value`,
 * `_tag=system|code`) share one statement.
 */
export async function matchMany(
  client: Client,
  criteria: readonly MatchCriterion[],
  registry: SearchParameterRegistry,
): Promise<readonly (readonly MatchedResource[])[]> {
  const distinct = new Map(criteria.map((criterion) => [criterionText(criterion), criterion]));
  const parsed = [...distinct].map(([text, criterion]) => ({ text, query: conditionOf(criterion, registry) }));
  const tokens = parsed.flatMap(({ text, query }) => {
    const token = tokenOf(query);
    return token === undefined ? [] : [{ text, ...token }];
  });
  const found = await matchTokens(client, tokens);
  for (const { text, query } of parsed) {
    if (!found.has(text)) found.set(text, await matchOf(client, query));
  }
  return criteria.map((criterion) => found.get(criterionText(criterion)) as readonly MatchedResource[]);
}

// ---- one page

type Row = {
  rid: string;
  type: string;
  id: string;
  version: number;
  last_updated: string;
  method: StoredResource['method'];
  patient_id: string | null;
  content: string;
};
type KeyedRow = Row & Record<`k${number}`, string | null>;

async function pageFrom(
  client: Client,
  query: SearchQuery,
  position: Position | undefined,
): Promise<{ rows: readonly Row[]; next?: Position }> {
  const sql = new Statement();
  const { text, order } = pageText(query, sql, position, query.count + 1);
  const rows = await run<KeyedRow>(client, text, sql);
  if (rows.length <= query.count) return { rows };
  rows.pop();
  const last = rows.at(-1) as KeyedRow;
  return { rows, next: order.map((_, i) => last[`k${i}`] as string | null) };
}

const COLUMNS = ['rid', 'type', 'id', 'version', 'last_updated', 'patient_id'];
const UTC = `to_char(p.last_updated at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as last_updated`;
const SERVED = `p.rid, p.type, p.id, p.version, ${UTC}, v.method, p.patient_id, v.content`;
const CONTENT = `cross join lateral (
    select w.method, w.content from resource_version w where w.rid = p.rid and w.version = p.version offset 0
  ) v`;

function pageText(
  query: SearchQuery,
  sql: Statement,
  position: Position | undefined,
  count: number,
): { text: string; order: readonly OrderKey[] } {
  const limit = sql.value('bigint', count);
  // A page that begins among the last ones needs no other; the plan then only tells the order.
  const inTail = position?.[0] === null && planOf(query, new Statement(), undefined).leavesOut !== undefined;
  const plan = planOf(query, inTail ? new Statement() : sql, inTail ? undefined : position);
  if (plan.leavesOut === undefined) {
    return servedText(`page as (${partText(plan, sql, position, limit)})`, 'page', plan.order, limit);
  }
  const order = plan.order.map((key, i) => (i === 0 ? { ...key, nullable: true } : key));
  if (inTail) {
    const tail = tailText(query, plan, sql, position.slice(1), limit, []);
    return servedText(`tail as (${tail})`, 'tail', order, limit);
  }
  const page = partText(plan, sql, position, limit);
  const tail = tailText(query, plan, sql, undefined, limit, [`(select count(*) from page) < ${limit}`]);
  const columns = [...COLUMNS, ...order.map((_, i) => `k${i}`)].join(', ');
  const both = `(select ${columns} from page union all select ${columns} from tail)`;
  return servedText(`page as (${page}), tail as (${tail})`, both, order, limit);
}

function servedText(parts: string, from: string, order: readonly OrderKey[], limit: string) {
  const text = `with ${parts}
select ${SERVED}, ${order.map((_, i) => `p.k${i}::text as k${i}`).join(', ')}
  from (select * from ${from} a ${orderBy(order, '')} limit ${limit}) p
  ${CONTENT}
 ${orderBy(order, 'p.')}`;
  return { text, order };
}

/** The resources that have no value of the first sort key come last; read only when the page has room for them. */
function tailText(
  query: SearchQuery,
  plan: Plan,
  sql: Statement,
  position: Position | undefined,
  limit: string,
  gate: readonly string[],
): string {
  const [{ parameter }, ...sort] = query.sort as [SearchSort, ...SearchSort[]];
  const filters: SearchFilter[] = [...query.filters, { kind: 'missing', parameter, missing: true }];
  const rest = planOf({ ...query, filters, sort }, sql, undefined, true);
  const unique = { ...(rest.order.at(-1) as OrderKey), descending: (plan.order.at(-1) as OrderKey).descending };
  const order = rest.order.with(-1, unique);
  const keys = order.map((_, i) => `t.k${i} as k${i + 1}`).join(', ');
  const first = `null::${(plan.order[0] as OrderKey).type} as k0`;
  const part = partText({ ...rest, order, where: [...rest.where, ...gate] }, sql, position, limit);
  return `select ${COLUMNS.join(', ')}, ${first}, ${keys} from (${part}) t`;
}

function partText(plan: Plan, sql: Statement, position: Position | undefined, limit: string): string {
  const after = position === undefined ? '' : `where ${isAfter(plan.order, position, 0, sql)}`;
  const tail = `${orderBy(plan.order, '')} limit ${limit}`;
  // A computed key is computed once, inside; a plain one stays visible to the index that has its order.
  const fence = plan.order.some(({ nullable }) => nullable) ? 'offset 0' : '';
  const keys = plan.order.map(({ sql: key }, i) => `${key} as k${i}`);
  const columns = [...COLUMNS.map((column) => `r.${column}`), ...keys].join(', ');
  const branches = plan.from.map(
    (from) =>
      `select * from (select ${columns} from ${from} where ${plan.where.join(' and ')} ${fence}) m ${after} ${tail}`,
  );
  return branches.length === 1 ? (branches[0] as string) : `select * from (${unionOf(branches)}) u ${tail}`;
}

function unionOf(branches: readonly string[]): string {
  return branches.map((branch) => `(${branch})`).join(' union all ');
}

function orderBy(order: readonly OrderKey[], row: string): string {
  return `order by ${order.map((key, i) => `${row}k${i}${direction(key)}`).join(', ')}`;
}

/** Only where a null can be: an index does not serve `nulls last` backwards. */
function direction({ descending, nullable }: OrderKey): string {
  if (!descending) return '';
  return nullable ? ' desc nulls last' : ' desc';
}

/** Keyset: behind the row at `position` in the order of the keys from `i` on, nulls last. */
function isAfter(order: readonly OrderKey[], position: Position, i: number, sql: Statement): string {
  const key = order[i] as OrderKey;
  const at = position[i] as string | null;
  const last = i === order.length - 1;
  const compare = key.descending ? '<' : '>';
  if (at === null) return `(k${i} is null and ${isAfter(order, position, i + 1, sql)})`;
  const value = sql.value(key.type, at);
  if (last) return `k${i} ${compare} ${value}`;
  const next = order[i + 1] as OrderKey;
  if (!key.nullable && i === order.length - 2 && next.descending === key.descending) {
    return `(k${i}, k${i + 1}) ${compare} (${value}, ${sql.value(next.type, position[i + 1] as string)})`;
  }
  const beyond = key.nullable ? `(k${i} ${compare} ${value} or k${i} is null)` : `k${i} ${compare} ${value}`;
  const tied = `(${beyond} or (k${i} = ${value} and ${isAfter(order, position, i + 1, sql)}))`;
  // Said once more without `or`, for the index.
  return key.nullable ? tied : `(k${i} ${compare}= ${value} and ${tied})`;
}

function stored(row: Row): StoredResource {
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

async function countOf(client: Client, query: SearchQuery): Promise<number> {
  const sql = new Statement();
  const plan = planOf({ ...query, sort: [] }, sql, undefined);
  const text = `select count(*) as total from (${candidatesText(plan, 'r.rid')}) c`;
  const [row] = await run<{ total: string }>(client, text, sql);
  return Number(row?.total);
}

// ---- includes

async function includedWith(
  client: Client,
  includes: readonly SearchInclude[],
  matches: readonly Row[],
): Promise<readonly Row[]> {
  if (includes.length === 0 || matches.length === 0) return [];
  const sql = new Statement();
  const rids = sql.array({ type: 'bigint', values: matches.map(({ rid }) => rid) });
  const targets = () => sql.array({ type: 'text', values: matches.map(({ type, id }) => `${type}/${id}`) });
  const hops = includes.map(({ direction, parameter, target }) => {
    if (direction === 'reverse') {
      return `select i.rid from idx_reference i where i.target = any (${targets()}) and ${isRowOf(parameter, 'i')}`;
    }
    const ofType = target === undefined ? '' : ` and starts_with(i.target, ${sql.value('text', `${target}/`)})`;
    return `select t.rid from (
      select distinct i.target from idx_reference i where i.rid = any (${rids}) and ${isRowOf(parameter, 'i')}${ofType} offset 0
    ) n cross join lateral (
      select s.rid from resource s where s.type = split_part(n.target, '/', 1) and s.id = split_part(n.target, '/', 2) offset 0
    ) t`;
  });
  const text = `with added as (select rid from (${hops.join(' union ')}) h where h.rid <> all (${rids}) offset 0)
select ${SERVED}
  from added d
  cross join lateral (select * from resource s where s.rid = d.rid and not s.deleted offset 0) p
  ${CONTENT}
 order by p.rid
 limit ${MAX_INCLUDED + 1}`;
  return run<Row>(client, text, sql);
}

// ---- conditional interactions

function criterionText({ type, criteria }: MatchCriterion): string {
  return `${type}?${criteria}`;
}

function conditionOf({ type, criteria }: MatchCriterion, registry: SearchParameterRegistry): SearchQuery {
  const query = parseSearch(type, new URLSearchParams(criteria), registry, { strict: true });
  // Without a condition every resource of the type would match.
  if (query.filters.length > 0) return query;
  throw new Failure('invalid', issue('required', 'A conditional interaction needs at least one search parameter.'));
}

type TokenMatch = { readonly param: number; readonly system: string | undefined; readonly code: string };

function tokenOf({ filters: [filter, ...others] }: SearchQuery): TokenMatch | undefined {
  if (others.length > 0 || filter?.kind !== 'token' || filter.not || filter.parameter.stored !== 'index')
    return undefined;
  const [value, ...alternatives] = filter.values;
  const [param, ...parts] = filter.parameter.rows;
  if (alternatives.length > 0 || parts.length > 0 || value?.code === undefined || param === undefined) return undefined;
  return { param, system: value.system, code: value.code };
}

const MATCH_TOKENS = `
select q.n::integer as n, m.rid, m.id, m.version
  from unnest($1::integer[], $2::text[], $3::bigint[], $4::boolean[]) with ordinality q (param, code, system_key, any_system, n)
 cross join lateral (
   select distinct r.rid, r.id, r.version
     from idx_token i
     join resource r on r.rid = i.rid and not r.deleted
    where i.param = q.param and i.code = q.code and (q.any_system or i.system_key = q.system_key)
    order by r.rid
    limit 2
 ) m
 order by n, m.rid`;

async function matchTokens(
  client: Client,
  tokens: readonly (TokenMatch & { readonly text: string })[],
): Promise<Map<string, readonly MatchedResource[]>> {
  const found = new Map<string, MatchedResource[]>(tokens.map(({ text }) => [text, []]));
  if (tokens.length === 0) return found;
  const sql = new Statement();
  sql.array({ type: 'integer', values: tokens.map(({ param }) => param) });
  sql.array({ type: 'text', values: tokens.map(({ code }) => indexable(code)) });
  sql.array({ type: 'bigint', values: tokens.map(({ system }) => key64(system ?? '')) });
  sql.array({ type: 'boolean', values: tokens.map(({ system }) => system === undefined) });
  for (const { n, ...match } of await run<MatchedResource & { n: number }>(client, MATCH_TOKENS, sql)) {
    found.get((tokens[n - 1] as { text: string }).text)?.push(match);
  }
  return found;
}

async function matchOf(client: Client, query: SearchQuery): Promise<readonly MatchedResource[]> {
  const sql = new Statement();
  const plan = planOf({ ...query, sort: [] }, sql, undefined);
  const found = candidatesText(plan, 'r.rid, r.id, r.version', 'limit 2');
  return run<MatchedResource>(client, `select * from (${found}) m order by rid limit 2`, sql);
}

function candidatesText({ from, where }: Plan, columns: string, end = ''): string {
  return unionOf(from.map((each) => `select ${columns} from ${each} where ${where.join(' and ')} ${end}`));
}

// ---- prepared statements

// A prepared text holds its plan, some 50 KB, in each connection.
const NAMED = 100;
const ONCE = 1000;
const names = new Map<string, string>();
const seenOnce = new Set<string>();

/** Texts that come again get a name, under which a connection prepares them once; a rare shape goes without. */
function nameOf(text: string): string | undefined {
  const known = names.get(text);
  if (known !== undefined || names.size >= NAMED) return known;
  if (!seenOnce.delete(text)) {
    if (seenOnce.size >= ONCE) seenOnce.clear();
    seenOnce.add(text);
    return undefined;
  }
  const name = `search-${names.size}`;
  names.set(text, name);
  return name;
}

async function run<R extends object>(client: Client, text: string, { values }: Statement): Promise<R[]> {
  const name = nameOf(text);
  const { rows } = await client.query<R>({ ...(name === undefined ? {} : { name }), text, values: [...values] });
  return rows;
}
