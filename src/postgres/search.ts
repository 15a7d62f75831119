/**
 * Searches over the index rows, answered with stored text.
 *
 * A search becomes one statement whose text depends on its shape alone (search-plan.ts); texts in use are prepared
 * once per connection. Includes are a second statement for the whole page.
 */
import type { Pool, PoolClient } from 'pg';
import { Failure, issue } from '../fhir/failure.ts';
import type { SearchParameterRegistry } from '../fhir/search-parameters.ts';
import { parseSearch, type SearchFilter, type SearchInclude, type SearchQuery } from '../fhir/search-query.ts';
import { indexable, key64 } from '../fhir/search-values.ts';
import type { SearchPage, StoredResource } from '../record/record.ts';

import { isRowOf } from './search-conditions.ts';
import { type Cursor, type CursorKey, openCursor, sealCursor } from './search-cursor.ts';
import { type OrderKey, type Plan, type Position, planOf } from './search-plan.ts';
import { Statement } from './search-sql.ts';

export type { CursorKey } from './search-cursor.ts';

type Client = Pool | PoolClient;

export type SearchedPage = SearchPage & {
  /** There were more resources to include than MAX_INCLUDED. */
  readonly includedCut: boolean;
};

/** Included resources of a page at most. */
export const MAX_INCLUDED = 1000;

/** @throws Failure `invalid` for a cursor that is not of this search */
export async function search(
  client: Client,
  query: SearchQuery,
  options: { readonly cursorKey: CursorKey },
): Promise<SearchedPage> {
  const total = query.countOnly || query.total !== 'none' ? await countOf(client, query) : undefined;
  const counted = total === undefined ? {} : { total };
  if (query.countOnly) return { matches: [], included: [], includedCut: false, ...counted };
  const start = query.cursor === undefined ? { without: 0 } : openCursor(query.cursor, query, options.cursorKey);
  const { rows, next } = await pageFrom(client, query, start);
  const included = await includedWith(client, query.includes, rows);
  return {
    matches: rows.map(stored),
    included: included.slice(0, MAX_INCLUDED).map(stored),
    includedCut: included.length > MAX_INCLUDED,
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

/** Resources without a value of a sort key come last, as a search of their own behind those that have one. */
async function pageFrom(
  client: Client,
  query: SearchQuery,
  start: Cursor,
): Promise<{ rows: readonly Row[]; next?: Cursor }> {
  const rows: KeyedRow[] = [];
  let { without, position }: { without: number; position?: Position | undefined } = start;
  for (;;) {
    const wanted = query.count - rows.length + 1;
    const { found, plan } = await rowsOf(client, withoutFirst(query, without), position, wanted);
    rows.push(...found);
    if (found.length === wanted) {
      rows.pop();
      const last = found.length === 1 ? undefined : (found.at(-2) as KeyedRow);
      // The page was full exactly where this part begins.
      if (last === undefined) return { rows, next: { without, ...(position === undefined ? {} : { position }) } };
      return { rows, next: { without, position: plan.order.map((_, i) => last[`k${i}`] as string | null) } };
    }
    if (plan.leavesOut === undefined) return { rows };
    without++;
    position = undefined;
  }
}

/** The search among the resources that have no value of the first sort keys. */
function withoutFirst(query: SearchQuery, without: number): SearchQuery {
  if (without === 0) return query;
  const missing = query.sort
    .slice(0, without)
    .map(({ parameter }): SearchFilter => ({ kind: 'missing', parameter, missing: true }));
  return { ...query, filters: [...query.filters, ...missing], sort: query.sort.slice(without) };
}

async function rowsOf(
  client: Client,
  query: SearchQuery,
  position: Position | undefined,
  limit: number,
): Promise<{ found: KeyedRow[]; plan: Plan }> {
  const sql = new Statement();
  const plan = planOf(query, sql, position);
  const text = pageText(plan, sql, position, limit);
  return { found: await run<KeyedRow>(client, text, sql), plan };
}

const COLUMNS = 'r.rid, r.type, r.id, r.version, r.last_updated, r.patient_id';
const UTC = `to_char(p.last_updated at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as last_updated`;
const SERVED = `p.rid, p.type, p.id, p.version, ${UTC}, v.method, p.patient_id, v.content`;
const CONTENT = `cross join lateral (
    select w.method, w.content from resource_version w where w.rid = p.rid and w.version = p.version offset 0
  ) v`;

function pageText(plan: Plan, sql: Statement, position: Position | undefined, limit: number): string {
  const keys = plan.order.map(({ sql: key }, i) => `${key} as k${i}`).join(', ');
  const orderBy = (row: string) => plan.order.map((key, i) => `${row}k${i}${direction(key)}`).join(', ');
  const after = position === undefined ? '' : ` where ${isAfter(plan.order, position, 0, sql)}`;
  // A computed key is computed once, below; a plain one stays visible to the index that has its order.
  const fence = plan.order.some(({ nullable }) => nullable) ? ' offset 0' : '';
  return `with page as (
  select * from (
    select ${COLUMNS}, ${keys} from ${plan.from} where ${plan.where.join(' and ')}${fence}
  ) m${after}
  order by ${orderBy('')}
  limit ${sql.value('bigint', limit)}
)
select ${SERVED}, ${plan.order.map((_, i) => `p.k${i}::text as k${i}`).join(', ')}
  from page p
  ${CONTENT}
 order by ${orderBy('p.')}`;
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
  const text = `select count(*) as total from ${plan.from} where ${plan.where.join(' and ')}`;
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
  const order = plan.order.map(({ sql: key }) => key).join(', ');
  const text = `select r.rid, r.id, r.version from ${plan.from} where ${plan.where.join(' and ')} order by ${order} limit 2`;
  return run<MatchedResource>(client, text, sql);
}

// ---- prepared statements

const NAMED = 300;
const names = new Map<string, string>();

/** A text gets a name, and is prepared once per connection; after many different ones the rest go without. */
async function run<R extends object>(client: Client, text: string, { values }: Statement): Promise<R[]> {
  let name = names.get(text);
  if (name === undefined && names.size < NAMED) {
    name = `search-${names.size}`;
    names.set(text, name);
  }
  const { rows } = await client.query<R>({ ...(name === undefined ? {} : { name }), text, values: [...values] });
  return rows;
}
