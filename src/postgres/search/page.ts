/** The rows of one page as SQL: candidates of a plan, behind the page before (keyset), in order and limited. */
import type { SearchSort } from '../../fhir/search/query.ts';
import { ridsOf } from './filters.ts';
import type { OrderKey, Position } from './order.ts';
import type { Part } from './parts.ts';
import { contentIn, countInChart, isChartByDate, type Plan, planOf, planWithin, probeOf } from './plan.ts';
import type { Statement } from './sql.ts';
import { Statement as Scratch } from './sql.ts';

const COLUMNS = ['rid', 'type', 'id', 'version', 'last_updated', 'patient_id'];

/** What a row of a page has, beside the order keys `k0`, `k1`, …; `content` is null where it has yet to be looked up. */
export const PAGE_COLUMNS = [...COLUMNS, 'content'];

export type PageText = {
  /** Of a `with`. */
  readonly parts: string;
  /** Names the rows of the page: more than the limit perhaps, and in any order. */
  readonly from: string;
  readonly order: readonly OrderKey[];
};

/** @param limit the placeholder of the number of rows */
export function pageText(
  parts: readonly Part[],
  sql: Statement,
  position: Position | undefined,
  limit: string,
): PageText {
  const [only, ...others] = parts as [Part, ...Part[]];
  if (others.length === 0) return pageOfOne(only, sql, position, limit);
  // One order for all: each part is read as a whole.
  const plans = parts.map((part) => planOf(part, sql, undefined, true));
  const branches = plans.map((plan) => partText(plan, sql, position, limit));
  return { parts: `page as (${unionOf(branches)})`, from: 'page', order: (plans[0] as Plan).order };
}

/**
 * The first page of a chart by date as long as each of its resources has one: those without, which come last, are not
 * looked for. Undefined where something else is asked for.
 *
 * @returns `inChart`: how many resources the chart has. Where the page has room and shows fewer, pageText must be asked
 */
export function datedPageText(
  parts: readonly Part[],
  sql: Statement,
  limit: string,
): (PageText & { readonly inChart: string }) | undefined {
  const [part, ...others] = parts as [Part, ...Part[]];
  if (others.length > 0 || !isChartByDate(part)) return undefined;
  const plan = planOf(part, sql, undefined);
  const inChart = countInChart(part, sql);
  return { parts: `page as (${partText(plan, sql, undefined, limit)})`, from: 'page', order: plan.order, inChart };
}

/** A probe finds that many resources at most. */
const FEW = 1000;

function pageOfOne(part: Part, sql: Statement, position: Position | undefined, limit: string): PageText {
  const probe = probeOf(part);
  // A page that begins among the last ones needs no other; the plan then only tells the order.
  const inTail = position?.[0] === null && planOf(part, new Scratch(), undefined).leavesOut !== undefined;
  const plan = planOf(part, inTail ? new Scratch() : sql, inTail ? undefined : position);
  if (probe === undefined && plan.leavesOut === undefined) {
    return { parts: `page as (${partText(plan, sql, position, limit)})`, from: 'page', order: plan.order };
  }
  const order =
    plan.leavesOut === undefined
      ? plan.order
      : plan.order.map((key, i) => (i <= (plan.more ?? 0) ? { ...key, nullable: true } : key));
  const parts: string[] = [];
  const sources: string[] = [];
  const add = (name: string, text: string) => {
    parts.push(`${name} as (${text})`);
    sources.push(name);
  };
  const many: string[] = [];
  if (probe !== undefined) {
    parts.push(`few as materialized (select n.rid from (${ridsOf(probe, part.types, sql)}) n limit ${FEW + 1})`);
    const within = planWithin('few', probe, part, order, sql);
    add('within_few', partText(gated(within, [`(select count(*) from few) <= ${FEW}`]), sql, position, limit));
    many.push(`(select count(*) from few) > ${FEW}`);
  }
  if (!inTail) add('page', partText(gated(plan, many), sql, position, limit));
  if (plan.leavesOut !== undefined) {
    const room = inTail ? many : [...many, `(select count(*) from page) < ${limit}`];
    const start = inTail ? position.slice(1 + (plan.more ?? 0)) : undefined;
    add('tail', tailText(part, plan, sql, start, limit, room));
  }
  const columns = [...PAGE_COLUMNS, ...order.map((_, i) => `k${i}`)].join(', ');
  const from =
    sources.length === 1
      ? (sources[0] as string)
      : `(${sources.map((source) => `select ${columns} from ${source}`).join(' union all ')})`;
  return { parts: parts.join(', '), from, order };
}

function gated(plan: Plan, conditions: readonly string[]): Plan {
  return { ...plan, where: [...plan.where, ...conditions] };
}

/** The resources that have no value of the first sort key come last; read only when the page has room for them. */
function tailText(
  part: Part,
  plan: Plan,
  sql: Statement,
  position: Position | undefined,
  limit: string,
  gate: readonly string[],
): string {
  const [{ parameter }, ...sort] = part.sort as [SearchSort, ...SearchSort[]];
  const filters = [...part.filters, { kind: 'missing', parameter, missing: true } as const];
  const rest = planOf({ ...part, filters, sort }, sql, undefined, true);
  const unique = { ...(rest.order.at(-1) as OrderKey), descending: (plan.order.at(-1) as OrderKey).descending };
  const order = rest.order.with(-1, unique);
  const nulls = plan.order.slice(0, 1 + (plan.more ?? 0)).map(({ type }, i) => `null::${type} as k${i}`);
  const keys = order.map((_, i) => `t.k${i} as k${i + nulls.length}`);
  const text = partText({ ...gated(rest, gate), order }, sql, position, limit);
  return `select ${[...PAGE_COLUMNS, ...nulls, ...keys].join(', ')} from (${text}) t`;
}

function partText(plan: Plan, sql: Statement, position: Position | undefined, limit: string): string {
  const after = position === undefined ? '' : `where ${isAfter(plan.order, position, 0, sql)}`;
  const tail = `${orderBy(plan.order, '')} limit ${limit}`;
  // A computed key is computed once, inside; a plain one stays visible to the index that has its order.
  const fence = plan.order.some(({ nullable }) => nullable) ? 'offset 0' : '';
  const keys = plan.order.map(({ sql: key }, i) => `${key} as k${i}`);
  const columns = (from: string) =>
    [...COLUMNS.map((column) => `r.${column}`), `${contentIn(from)} as content`, ...keys].join(', ');
  const where = [...plan.where, ...(plan.ties === true ? boundsOf(plan, sql, position, limit) : [])].join(' and ');
  const branches = plan.from.map(
    (from) => `select * from (select ${columns(from)} from ${from} where ${where} ${fence}) m ${after} ${tail}`,
  );
  const text = branches.length === 1 ? (branches[0] as string) : `select * from (${unionOf(branches)}) u ${tail}`;
  if (plan.eachOf === undefined) return text;
  return `select e.* from unnest(${plan.eachOf}) y (type) cross join lateral (${text}) e ${tail}`;
}

/**
 * Where the first key of a page can be: from the page before to that of the last row in the order of the first key
 * alone. Of the rows of the index only these need their other keys computed.
 */
function boundsOf(plan: Plan, sql: Statement, position: Position | undefined, limit: string): string[] {
  const [{ sql: key, type, descending }] = plan.order as [OrderKey];
  const [forward, backward, down] = descending ? ['<', '>=', ' desc'] : ['>', '<=', ''];
  const start = position === undefined ? undefined : sql.value(type, position[0] as string);
  // Rows with the key of the page before may all be behind us: as many again must follow them.
  const beyond = start === undefined ? '' : ` and ${key} ${forward} ${start}`;
  const rows = plan.from.map(
    (from) =>
      `select ${key} as k0 from ${from} where ${plan.where.join(' and ')}${beyond} order by 1${down} limit ${limit}`,
  );
  const last = `(select b.k0 from (${unionOf(rows)}) b order by b.k0${down} limit 1 offset ${limit} - 1)`;
  return [
    `${key} ${backward} coalesce(${last}, ${extremeOf(type, descending)})`,
    ...(start === undefined ? [] : [`${key} ${forward}= ${start}`]),
  ];
}

/** No value comes behind it in the order. */
function extremeOf(type: OrderKey['type'], descending: boolean): string {
  switch (type) {
    case 'text':
      return descending ? "''" : 'repeat(chr(1114111), 300)';
    case 'bigint':
    case 'integer':
      return descending ? '(-9223372036854775808)::bigint' : '9223372036854775807';
    default:
      return `'${descending ? '-' : ''}infinity'::${type}`;
  }
}

export function unionOf(branches: readonly string[]): string {
  return branches.map((branch) => `(${branch})`).join(' union all ');
}

export function orderBy(order: readonly OrderKey[], row: string): string {
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
  if (!last && isOneRow(order.slice(i), position.slice(i))) {
    const keys = order.slice(i).map((_, n) => `k${i + n}`);
    const values = order.slice(i).map(({ type }, n) => sql.value(type, position[i + n] as string));
    return `(${keys.join(', ')}) ${compare} (${values.join(', ')})`;
  }
  const value = sql.value(key.type, at);
  if (last) return `k${i} ${compare} ${value}`;
  const beyond = key.nullable ? `(k${i} ${compare} ${value} or k${i} is null)` : `k${i} ${compare} ${value}`;
  const tied = `(${beyond} or (k${i} = ${value} and ${isAfter(order, position, i + 1, sql)}))`;
  // Said once more without `or`, for the index.
  return key.nullable ? tied : `(k${i} ${compare}= ${value} and ${tied})`;
}

/** Keys that compare as one row: none can be null, and all go the same way. */
function isOneRow(order: readonly OrderKey[], position: Position): boolean {
  const [first] = order as [OrderKey];
  return (
    order.every(({ nullable, descending }) => !nullable && descending === first.descending) && !position.includes(null)
  );
}
