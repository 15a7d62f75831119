/** What a condition says about one row of the index, or about the columns of a resource. */

import type { TypeSearchParameter } from '../../fhir/search/parameters.ts';
import type { DateValue, QuantityValue, SearchPrefix, TokenValue, ValueFilter } from '../../fhir/search/query.ts';
import { folded, indexable, key64, OPEN_HIGH, OPEN_LOW } from '../../fhir/search/values.ts';
import type { Column, SqlType, Statement } from './sql.ts';

/** A condition that a single row of the index meets or does not. */
export type RowFilter = Exclude<ValueFilter, { kind: 'missing' | 'terms' }>;

/** The index table of a parameter that has rows. */
export function tableOf(parameter: TypeSearchParameter): string {
  switch (parameter.kind) {
    case 'number':
    case 'quantity':
      return 'idx_quantity';
    case 'token':
    case 'reference':
    case 'date':
    case 'string':
    case 'uri':
      return `idx_${parameter.kind}`;
    default:
      throw new Error(`Parameters of kind ${parameter.kind} have no index rows`);
  }
}

/** Texts and identifiers of references are rows of codes, too. */
export function tableFor(filter: RowFilter): string {
  return filter.kind === 'text' || filter.kind === 'token' ? 'idx_token' : tableOf(filter.parameter);
}

// Keys of parameters are ours, and as constants they let the planner estimate.
const MOST_CONSTANTS = 8;

/** `alias` is a row of the parameter. */
export function isRowOf(parameter: TypeSearchParameter, alias: string, sql: Statement): string {
  const row = isUnder(parameter.rows, alias, sql);
  return parameter.onlyTarget === undefined
    ? row
    : `${row} and starts_with(${alias}.target, '${parameter.onlyTarget}/')`;
}

/** `alias` is a row of the filter's parameter, in the table of the filter. */
export function isRowFor(filter: RowFilter, alias: string, sql: Statement): string {
  return filter.kind === 'reference'
    ? isRowOf(filter.parameter, alias, sql)
    : isUnder(filter.parameter.rows, alias, sql);
}

function isUnder(keys: readonly number[], alias: string, sql: Statement): string {
  const [only, ...others] = keys;
  if (others.length === 0) return `${alias}.param = ${only}`;
  if (keys.length <= MOST_CONSTANTS) return `${alias}.param in (${keys.join(', ')})`;
  return `${alias}.param = any (${sql.array({ type: 'integer', values: keys })})`;
}

/** Whether the index row `alias`, which is one of the parameter, has one of the values. */
export function rowCondition(filter: RowFilter, alias: string, sql: Statement): string {
  switch (filter.kind) {
    case 'token':
      return tokenCondition(filter.values, alias, sql);
    case 'text':
      return textCondition(filter.values, alias, sql);
    case 'reference':
      return referenceCondition(filter, alias, sql);
    case 'uri':
      return uriCondition(filter, alias, sql);
    case 'string':
      return stringCondition(filter, alias, sql);
    case 'date':
      return dateCondition(filter.values, `${alias}.low`, `${alias}.high`, 'bigint', sql);
    case 'quantity':
      return quantityCondition(filter.values, alias, sql);
  }
}

// ---- columns of the resource: _id and _lastUpdated

/** Never null. `r` is the resource. */
export function columnCondition(
  filter: Exclude<ValueFilter, { kind: 'terms' | 'text' }>,
  r: string,
  sql: Statement,
): string {
  switch (filter.kind) {
    case 'missing':
      return filter.missing ? 'false' : 'true';
    case 'token': {
      const values = filter.values.map(({ code }) => code ?? '');
      const matches = sql.isOneOf(`${r}.id`, { type: 'text', values });
      return filter.not ? `not (${matches})` : matches;
    }
    case 'date':
      return dateCondition(filter.values, `${r}.last_updated`, `${r}.last_updated`, 'timestamptz', sql);
    default:
      throw new Error(`${filter.parameter.code} is no column`);
  }
}

const YEAR_1 = Date.parse('0001-01-01T00:00:00.000Z');
const YEAR_9999 = Date.parse('9999-12-31T23:59:59.999Z');

/** A time of idx_date (ms), or of resource.last_updated. */
export function timeValue(ms: number, type: 'bigint' | 'timestamptz'): string {
  return type === 'bigint' ? String(ms) : new Date(Math.min(Math.max(ms, YEAR_1), YEAR_9999)).toISOString();
}

// ---- token

function tokenCondition(values: readonly TokenValue[], alias: string, sql: Statement): string {
  if (values.length === 0) return 'false';
  const codes = values.filter(({ system }) => system === undefined).map(({ code }) => indexable(code ?? ''));
  const systems = values.filter(({ code }) => code === undefined).map(({ system }) => key64(system ?? ''));
  const both = values.filter(({ system, code }) => system !== undefined && code !== undefined);
  const found: string[] = [];
  if (codes.length > 0) found.push(sql.isOneOf(`${alias}.code`, { type: 'text', values: codes }));
  if (systems.length > 0) found.push(sql.isOneOf(`${alias}.system_key`, { type: 'bigint', values: systems }));
  if (both.length > 0) {
    const columns = {
      system: { type: 'bigint', values: both.map(({ system }) => key64(system ?? '')) },
      code: { type: 'text', values: both.map(({ code }) => indexable(code ?? '')) },
    } as const;
    const pairs = sql.anyOf(columns, (q) => `${alias}.code = ${q('code')} and ${alias}.system_key = ${q('system')}`);
    // Stated apart as well, so that many pairs are found through the index.
    found.push(both.length === 1 ? pairs : `(${sql.isOneOf(`${alias}.code`, columns.code)} and ${pairs})`);
  }
  return found.length === 1 ? (found[0] as string) : `(${found.join(' or ')})`;
}

// ---- text of a code: one of its lines starts with the value

/** `texts` is a row of token_text; each of its lines stands behind a line break. */
export function textMatches(values: readonly string[], texts: string, sql: Statement): string {
  const lines = values.map((value) => `\n${value}`);
  return sql.anyOf({ line: { type: 'text', values: lines } }, (q) => `strpos(${texts}.folded, ${q('line')}) > 0`);
}

function textCondition(values: readonly string[], alias: string, sql: Statement): string {
  const t = sql.row();
  const matches = textMatches(values, t, sql);
  // Apart by code and system only where a text is shared: it is the text that is asked for.
  return `${alias}.text_key is not null and exists (
    select from token_text ${t} where ${t}.param = ${alias}.param and ${t}.text_key = ${alias}.text_key and ${matches} offset 0)`;
}

// ---- uri

function uriCondition({ match, values }: Extract<RowFilter, { kind: 'uri' }>, alias: string, sql: Statement): string {
  const value = `${alias}.value`;
  switch (match) {
    case 'exact':
      return sql.isOneOf(value, { type: 'text', values: values.map(indexable) });
    case 'above': {
      const above = [...new Set(values.flatMap(withPartsAbove))];
      return `${value} = any (${sql.array({ type: 'text', values: above.map(indexable) })})`;
    }
    case 'below':
      return sql.anyOf(
        { low: { type: 'text', values }, high: { type: 'text', values: values.map(endOf) } },
        (q) => `${value} >= ${q('low')} and ${value} < ${q('high')}`,
      );
  }
}

/** 'http://a/b/c' and 'http://a/b', 'http://a', each with a slash at the end and without. */
function withPartsAbove(uri: string): string[] {
  const found = [uri];
  for (let at = uri.lastIndexOf('/'); at > 0; at = uri.lastIndexOf('/', at - 1)) {
    found.push(uri.slice(0, at), uri.slice(0, at + 1));
  }
  return found;
}

// ---- reference

function referenceCondition(
  { values, below }: Extract<RowFilter, { kind: 'reference' }>,
  alias: string,
  sql: Statement,
): string {
  const exact = sql.isOneOf(`${alias}.target`, { type: 'text', values: values.map(indexable) });
  if (below === undefined) return exact;
  const starts = values.map((value) => `${value}.`);
  const behind = sql.anyOf(
    { low: { type: 'text', values: starts }, high: { type: 'text', values: starts.map(endOf) } },
    (q) => `${alias}.target >= ${q('low')} and ${alias}.target < ${q('high')}`,
  );
  return `(${exact} or ${behind})`;
}

// ---- string

/** Greater than every text that starts with it. */
function endOf(prefix: string): string {
  return `${prefix}\u{10FFFF}`;
}

function stringCondition(
  { match, values }: Extract<RowFilter, { kind: 'string' }>,
  alias: string,
  sql: Statement,
): string {
  switch (match) {
    case 'exact':
      return sql.anyOf(
        {
          folded: { type: 'text', values: values.map((value) => indexable(folded(value))) },
          exact: { type: 'text', values },
        },
        (q) => `${alias}.folded = ${q('folded')} and ${alias}.exact = ${q('exact')}`,
      );
    case 'prefix':
      return sql.anyOf(
        { low: { type: 'text', values }, high: { type: 'text', values: values.map(endOf) } },
        (q) => `${alias}.folded >= ${q('low')} and ${alias}.folded < ${q('high')}`,
      );
    case 'contains':
      return sql.anyOf({ part: { type: 'text', values } }, (q) => `strpos(${alias}.folded, ${q('part')}) > 0`);
    case 'suffix':
      return sql.anyOf(
        { part: { type: 'text', values } },
        (q) => `right(${alias}.folded, length(${q('part')})) = ${q('part')}`,
      );
    case 'whole':
      return sql.isOneOf(`${alias}.folded`, { type: 'text', values: values.map(indexable) });
  }
}

// ---- date

/**
 * Where the target is low to high and the value $low to $high, both inclusive. For ge and le it suffices that some
 * moment of the target is on or after (before) some moment of the value, as most servers read it.
 */
const DATE: Record<SearchPrefix, (low: string, high: string, q: (name: 'low' | 'high') => string) => string> = {
  eq: (low, high, q) => `${low} >= ${q('low')} and ${high} <= ${q('high')}`,
  ne: (low, high, q) => `(${low} < ${q('low')} or ${high} > ${q('high')})`,
  gt: (_low, high, q) => `${high} > ${q('high')}`,
  lt: (low, _high, q) => `${low} < ${q('low')}`,
  ge: (_low, high, q) => `${high} >= ${q('low')}`,
  le: (low, _high, q) => `${low} <= ${q('high')}`,
  sa: (low, _high, q) => `${low} > ${q('high')}`,
  eb: (_low, high, q) => `${high} < ${q('low')}`,
  ap: (low, high, q) => `${low} <= ${q('high')} and ${high} >= ${q('low')}`,
};

function dateCondition(
  values: readonly DateValue[],
  low: string,
  high: string,
  type: 'bigint' | 'timestamptz',
  sql: Statement,
): string {
  const found = [...Map.groupBy(values, ({ prefix }) => prefix)].map(([prefix, group]) =>
    sql.anyOf(
      {
        low: { type, values: group.map((value) => timeValue(value.low, type)) },
        high: { type, values: group.map((value) => timeValue(value.high, type)) },
      },
      (q) => DATE[prefix](low, high, q),
    ),
  );
  return found.length === 1 ? (found[0] as string) : `(${found.join(' or ')})`;
}

/** Where `low` of a row can be at all: what a scan by date must look at, for ranges up to `width` long. */
export function boundsOfLow(values: readonly DateValue[], width: number): { from: number; to: number } {
  let from = OPEN_HIGH;
  let to = OPEN_LOW;
  for (const value of values) {
    from = Math.min(from, lowFrom(value, width));
    to = Math.max(to, lowTo(value));
  }
  return { from: Math.max(from, OPEN_LOW), to };
}

function lowFrom({ prefix, low, high }: DateValue, width: number): number {
  switch (prefix) {
    case 'eq':
      return low;
    case 'sa':
      return high;
    case 'gt':
      return high - width;
    case 'ge':
    case 'ap':
      return low - width;
    default:
      return OPEN_LOW;
  }
}

function lowTo({ prefix, low, high }: DateValue): number {
  switch (prefix) {
    case 'lt':
    case 'eb':
      return low;
    case 'eq':
    case 'le':
    case 'ap':
      return high;
    default:
      return OPEN_HIGH;
  }
}

// ---- number and quantity

/** Where a value of a resource is a point or a range; eq means that the value's own range contains it. */
const QUANTITY: Record<
  SearchPrefix,
  (low: string, high: string, q: (name: 'value' | 'low' | 'high') => string) => string
> = {
  eq: (low, high, q) => `${low} >= ${q('low')} and ${high} < ${q('high')}`,
  ne: (low, high, q) => `(${low} < ${q('low')} or ${high} >= ${q('high')})`,
  gt: (_low, high, q) => `${high} > ${q('value')}`,
  lt: (low, _high, q) => `${low} < ${q('value')}`,
  ge: (_low, high, q) => `${high} >= ${q('value')}`,
  le: (low, _high, q) => `${low} <= ${q('value')}`,
  sa: (low, _high, q) => `${low} > ${q('value')}`,
  eb: (_low, high, q) => `${high} < ${q('value')}`,
  ap: (low, high, q) => `${low} <= ${q('high')} and ${high} >= ${q('low')}`,
};

type QuantityColumn = 'value' | 'low' | 'high' | 'system' | 'code' | 'canonical';

function quantityCondition(values: readonly QuantityValue[], alias: string, sql: Statement): string {
  const shape = ({ prefix, system, code, canonical }: QuantityValue) =>
    canonical === undefined
      ? `${prefix}${system === undefined ? '' : ' system'}${code === undefined ? '' : ' code'}`
      : `${prefix} canonical`;
  const found = [...Map.groupBy(values, shape).values()].map((group) => quantityGroup(group, alias, sql));
  return found.length === 1 ? (found[0] as string) : `(${found.join(' or ')})`;
}

function quantityGroup(group: readonly QuantityValue[], alias: string, sql: Statement): string {
  const [{ prefix, system, code, canonical }] = group as [QuantityValue];
  const column = (type: SqlType, take: (value: QuantityValue) => string | number): Column => ({
    type,
    values: group.map(take),
  });
  const columns: Partial<Record<QuantityColumn, Column>> = {
    value: column('double precision', (each) => each.canonical?.value ?? each.value),
    low: column('double precision', (each) => each.canonical?.low ?? each.low),
    high: column('double precision', (each) => each.canonical?.high ?? each.high),
  };
  if (canonical !== undefined) {
    columns.canonical = column('text', (each) => each.canonical?.code ?? '');
    return sql.anyOf<QuantityColumn>(
      columns,
      (q) =>
        `${alias}.canon_code = ${q('canonical')} and ${QUANTITY[prefix](`${alias}.canon_low`, `${alias}.canon_high`, q)}`,
    );
  }
  if (system !== undefined) columns.system = column('bigint', (each) => key64(each.system ?? ''));
  if (code !== undefined) columns.code = column('text', (each) => indexable(each.code ?? ''));
  return sql.anyOf<QuantityColumn>(columns, (q) => {
    const found = [QUANTITY[prefix](`${alias}.low`, `${alias}.high`, q)];
    if (system !== undefined) found.push(`${alias}.system_key = ${q('system')}`);
    if (code !== undefined && system !== undefined) found.push(`${alias}.code = ${q('code')}`);
    // "If no system is specified, then the unit is matched against the code or the unit."
    else if (code !== undefined) found.push(`(${alias}.code = ${q('code')} or ${alias}.unit = ${q('code')})`);
    return found.join(' and ');
  });
}
