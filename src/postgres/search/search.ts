/**
 * Searches over the index rows, answered with stored text.
 *
 * A search becomes one statement whose text depends on its shape alone (plan.ts); texts in use are prepared
 * once per connection. Includes are a second statement for the whole page.
 */
import { Failure, issue } from '../../fhir/failure.ts';
import type { SearchParameterRegistry } from '../../fhir/search/parameters.ts';
import { parseSearch, type SearchFilter, type SearchQuery } from '../../fhir/search/query.ts';
import { resolveTerms } from '../../fhir/search/terms.ts';
import { indexable, key64 } from '../../fhir/search/values.ts';
import type { Terminology } from '../../fhir/terminology/port.ts';
import type { SearchPage, SearchText } from '../../record/record.ts';
import type { SharedConnections } from '../shared-connections.ts';
import { CONTENT, SERVED, type ServedRow, served } from '../stored-row.ts';
import { type CursorKey, openCursor, sealCursor } from './cursor.ts';
import { includedWith } from './includes.ts';
import type { Position } from './order.ts';
import { datedPageText, orderBy, type PageText, pageText } from './page.ts';
import { asksForWords, type Part, partsOf } from './parts.ts';
import { type Client, type Run, runnerOn } from './run.ts';
import { Statement } from './sql.ts';
import { countOf, estimateOf, matchesText } from './total.ts';

export type { CursorKey } from './cursor.ts';

export type SearchOptions = {
  readonly cursorKey: CursorKey;
  /** What `:in`, `:not-in`, `:below` and `:above` mean. */
  readonly terminology: Terminology;
  /** Told of a search for words (`_text`, `_content`), before it is answered. */
  readonly searchedWords?: () => void;
  /** A search that takes longer is refused; 10 s when absent. */
  readonly limitMs?: number;
  /** For searches that an index bounds. */
  readonly shared?: SharedConnections;
};

/** @throws Failure `invalid` for a cursor that is not of this search, and with too-costly for one that takes too long */
export async function search(client: Client, query: SearchQuery, options: SearchOptions): Promise<SearchPage> {
  const run = runnerFor(client, query, options);
  const { parts, counted, start } = await beginning(run, query, options);
  if (query.countOnly) return { matches: [], included: [], ...counted };
  const { rows, next } = await pageFrom(run, parts, query.count, start);
  const included = await includedWith(run, query.includes, rows);
  return {
    ...totalOnePage(query, next, rows.length),
    matches: rows.map(served),
    included: included.rows.map(served),
    ...(included.cut ? { includedCut: true } : {}),
    ...(next === undefined ? {} : { next: sealCursor(next, query, options.cursorKey) }),
    ...counted,
  };
}

/** As search, for a query without includes; the page comes as one text, and no row of it is looked at here. */
export async function searchText(
  client: Client,
  query: SearchQuery,
  base: string,
  options: SearchOptions,
): Promise<SearchText> {
  const run = runnerFor(client, query, options);
  const { parts, counted, start } = await beginning(run, query, options);
  if (query.countOnly) return { entries: '', patientIds: [], ...counted };
  const { next, found, ...page } = await textFrom(run, parts, query.count, start, base);
  return {
    ...totalOnePage(query, next, found),
    ...page,
    ...(next === undefined ? {} : { next: sealCursor(next, query, options.cursorKey) }),
    ...counted,
  };
}

/** The total of a search whose first page is its last. */
function totalOnePage(
  { total, cursor }: SearchQuery,
  next: Position | undefined,
  found: number,
): { readonly total?: number } {
  return total === 'as-it-comes' && cursor === undefined && next === undefined ? { total: found } : {};
}

function runnerFor(client: Client, query: SearchQuery, { shared, limitMs }: SearchOptions): Run {
  return shared !== undefined && isSmall(query) ? runnerOn(shared) : runnerOn(client, limitMs);
}

/** A page of more fills the socket, and those behind it wait; it gains nothing from company either (measured). */
const SMALL_PAGE = 20;

/**
 * Whether an index bounds what is read, whatever the values are: by one chart or named resources, or, where nothing but
 * one date is asked for, by the page.
 */
function isSmall({ parts, count, total, countOnly, includes }: SearchQuery): boolean {
  const [part, ...others] = parts;
  if (part === undefined || others.length > 0 || countOnly || count > SMALL_PAGE) return false;
  if (total === 'estimate' || total === 'accurate') return false;
  if (includes.length > SMALL_INCLUDES || includes.some(({ iterate }) => iterate)) return false;
  const { filters, sort } = part;
  if (!filters.every(({ kind }) => PLAIN.has(kind))) return false;
  if (filters.some(isOfOneChart)) return true;
  const [only, ...rest] = filters;
  return rest.length === 0 && sort.length === 0 && only?.kind === 'date' && only.parameter.stored === 'index';
}

const SMALL_INCLUDES = 4;
const PLAIN: ReadonlySet<SearchFilter['kind']> = new Set([
  'missing',
  'token',
  'string',
  'reference',
  'date',
  'quantity',
  'uri',
]);

function isOfOneChart(filter: SearchFilter): boolean {
  if (filter.kind === 'token') return filter.parameter.code === '_id' && !filter.not;
  return (
    filter.kind === 'reference' &&
    filter.parameter.namesPatient &&
    filter.values.length === 1 &&
    (filter.values[0] as string).startsWith('Patient/')
  );
}

type Beginning = { parts: readonly Part[]; counted: { total?: number }; start: Position | undefined };

async function beginning(run: Run, query: SearchQuery, options: SearchOptions): Promise<Beginning> {
  const { cursorKey, terminology, searchedWords } = options;
  const parts = partsOf(await resolveTerms(query, terminology));
  if (searchedWords !== undefined && parts.some(({ filters }) => filters.some(asksForWords))) searchedWords();
  const total = await totalOf(run, query, parts);
  const start = query.cursor === undefined ? undefined : openCursor(query.cursor, query, cursorKey);
  return { parts, counted: total === undefined ? {} : { total }, start };
}

async function totalOf(run: Run, query: SearchQuery, parts: readonly Part[]): Promise<number | undefined> {
  if (query.total === 'estimate') return estimateOf(run, parts);
  return query.countOnly || query.total === 'accurate' ? countOf(run, parts) : undefined;
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
  terminology: Terminology,
): Promise<readonly MatchedResource[]> {
  return (await matchMany(client, [criterion], registry, terminology))[0] as readonly MatchedResource[];
}

/**
 * matchOne for each criterion, in their order. All that ask for one token (`identifier=system|value`,
 * `_tag=system|code`) share one statement.
 */
export async function matchMany(
  client: Client,
  criteria: readonly MatchCriterion[],
  registry: SearchParameterRegistry,
  terminology: Terminology,
): Promise<readonly (readonly MatchedResource[])[]> {
  const distinct = new Map(criteria.map((criterion) => [criterionText(criterion), criterion]));
  const parsed = [...distinct].map(([text, criterion]) => ({ text, query: conditionOf(criterion, registry) }));
  const tokens = parsed.flatMap(({ text, query }) => {
    const token = tokenOf(query);
    return token === undefined ? [] : [{ text, ...token }];
  });
  const run = runnerOn(client);
  const found = await matchTokens(run, tokens);
  for (const { text, query } of parsed) {
    if (!found.has(text)) found.set(text, await matchOf(run, await resolveTerms(query, terminology)));
  }
  return criteria.map((criterion) => found.get(criterionText(criterion)) as readonly MatchedResource[]);
}

// ---- one page

type KeyedRow = ServedRow & Record<`k${number}`, string | null>;

async function pageFrom(
  run: Run,
  parts: readonly Part[],
  count: number,
  position: Position | undefined,
): Promise<{ rows: readonly ServedRow[]; next?: Position }> {
  const sql = new Statement();
  const limit = sql.value('bigint', count + 1);
  const { parts: ctes, from, order } = pageText(parts, sql, position, limit);
  const text = `with ${ctes}
select ${SERVED}, ${order.map((_, i) => `p.k${i}::text as k${i}`).join(', ')}
  from (select * from ${from} a ${orderBy(order, '')} limit ${limit}) p
  ${CONTENT}
 ${orderBy(order, 'p.')}`;
  const rows = await run<KeyedRow>(text, sql);
  if (rows.length <= count) return { rows };
  rows.pop();
  const last = rows.at(-1) as KeyedRow;
  return { rows, next: order.map((_, i) => last[`k${i}`] as string | null) };
}

type TextRow = {
  entries: string | null;
  patients: string | null;
  found: number;
  in_chart: number | null;
} & Record<`k${number}`, string | null>;

type TextPage = { entries: string; patientIds: readonly string[]; found: number; next?: Position };

/** The rows of pageFrom as the entries of a searchset. */
async function textFrom(
  run: Run,
  parts: readonly Part[],
  count: number,
  position: Position | undefined,
  base: string,
): Promise<TextPage> {
  if (position === undefined) {
    const page = await datedTextFrom(run, parts, count, base);
    if (page !== undefined) return page;
  }
  const sql = new Statement();
  const limit = sql.value('bigint', count + 1);
  return (await pageAsText(run, sql, pageText(parts, sql, position, limit), limit, count, base)).page;
}

/** Undefined where resources without a date are, or may be, on the page. */
async function datedTextFrom(
  run: Run,
  parts: readonly Part[],
  count: number,
  base: string,
): Promise<TextPage | undefined> {
  const sql = new Statement();
  const limit = sql.value('bigint', count + 1);
  const text = datedPageText(parts, sql, limit);
  if (text === undefined) return undefined;
  const { page, inChart } = await pageAsText(run, sql, text, limit, count, base);
  return inChart === null || inChart === page.found ? page : undefined;
}

/**
 * The keys of `next` are those of the last row that is shown.
 *
 * @param limit the placeholder of one more than the page shows
 * @returns `inChart`: null where it was not asked for, or does not matter since the page is full
 */
async function pageAsText(
  run: Run,
  sql: Statement,
  { parts, from, order, inChart }: PageText & { readonly inChart?: string },
  limit: string,
  count: number,
  base: string,
): Promise<{ page: TextPage; inChart: number | null }> {
  const shown = sql.value('integer', count);
  const head = sql.value('text', `{"fullUrl":"${base}/`);
  const found = '(select count(*)::integer from sorted)';
  const text = `with ${parts}, sorted as materialized (
  select * from ${from} a ${orderBy(order, '')} limit ${limit}
)
select string_agg(
         (${head} || p.type || '/' || p.id || '","resource":') ||
         case when p.content is null
              then (select w.content from resource_version w where w.rid = p.rid and w.version = p.version)
              else p.content end,
         '${MATCH}},') as entries,
       string_agg(p.patient_id, ' ') as patients,
       ${found} as found,
       ${inChart === undefined ? 'null::integer' : `case when ${found} < ${limit} then ${inChart}::integer end`} as in_chart,
       ${order.map((_, i) => `(array_agg(p.k${i}))[${shown}]::text as k${i}`).join(', ')}
  from (select * from sorted limit ${shown}) p`;
  const [row] = (await run<TextRow>(text, sql)) as [TextRow];
  const patientIds = row.patients === null ? [] : [...new Set(row.patients.split(' '))];
  const entries = row.entries === null ? '' : `${row.entries}${MATCH}}`;
  const page = { entries, patientIds, found: row.found };
  if (row.found <= count) return { page, inChart: row.in_chart };
  return { page: { ...page, next: order.map((_, i) => row[`k${i}`] as string | null) }, inChart: null };
}

const MATCH = ',"search":{"mode":"match"}';

// ---- conditional interactions

function criterionText({ type, criteria }: MatchCriterion): string {
  return `${type}?${criteria}`;
}

function conditionOf({ type, criteria }: MatchCriterion, registry: SearchParameterRegistry): SearchQuery {
  const query = parseSearch(type, new URLSearchParams(criteria), registry, { strict: true });
  // A condition that is left out, as R4 wants it of one without a value, would let the others guard alone.
  if (query.ignored.length > 0) {
    throw new Failure(
      'invalid',
      query.ignored.map((each) => ({ ...each, severity: 'error' })),
    );
  }
  // Without a condition every resource of the type would match.
  if (query.filters.length > 0) return query;
  throw new Failure('invalid', issue('required', 'A conditional interaction needs at least one search parameter.'));
}

type TokenMatch = { readonly param: number; readonly system: string | undefined; readonly code: string };

function tokenOf({ filters: [filter, ...others] }: SearchQuery): TokenMatch | undefined {
  if (others.length > 0 || filter?.kind !== 'token' || filter.not || filter.rows !== undefined) return undefined;
  if (filter.parameter.stored !== 'index') return undefined;
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
  run: Run,
  tokens: readonly (TokenMatch & { readonly text: string })[],
): Promise<Map<string, readonly MatchedResource[]>> {
  const found = new Map<string, MatchedResource[]>(tokens.map(({ text }) => [text, []]));
  if (tokens.length === 0) return found;
  const sql = new Statement();
  sql.array({ type: 'integer', values: tokens.map(({ param }) => param) });
  sql.array({ type: 'text', values: tokens.map(({ code }) => indexable(code)) });
  sql.array({ type: 'bigint', values: tokens.map(({ system }) => key64(system ?? '')) });
  sql.array({ type: 'boolean', values: tokens.map(({ system }) => system === undefined) });
  for (const { n, ...match } of await run<MatchedResource & { n: number }>(MATCH_TOKENS, sql)) {
    found.get((tokens[n - 1] as { text: string }).text)?.push(match);
  }
  return found;
}

async function matchOf(run: Run, query: SearchQuery): Promise<readonly MatchedResource[]> {
  const sql = new Statement();
  const found = matchesText(partsOf(query), sql, 'r.rid, r.id, r.version', 'limit 2');
  return run<MatchedResource>(`select * from (${found}) m order by rid limit 2`, sql);
}
