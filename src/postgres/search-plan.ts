/**
 * How a search is answered: which index drives it, and in which order.
 *
 * The planner knows neither the chart's size nor how common a code is, so the way is chosen here by the shape of the
 * query alone, and stated so that it cannot turn into a scan of the clinic: one index gives candidates, everything
 * else is looked up per candidate (`lateral … offset 0`). Rules, first that applies:
 *
 * - `_id`: those resources.
 * - Within a patient: a token or a reference of that patient; else dates of that patient in order; else the chart.
 * - In the whole clinic: an identifier, a reference, a text; else the sort key's index in order; else a date range,
 *   bounded below since only `wide` rows are longer than a day; else a token in the order of its index.
 *
 * Every order ends in a unique key, so that a page can continue behind the last row of the page before.
 */

import type { TypeSearchParameter } from '../fhir/search-parameters.ts';
import type { SearchQuery, SearchSort } from '../fhir/search-query.ts';
import { key64 } from '../fhir/search-values.ts';
import { WIDE_MS } from '../record/search-rows.ts';
import {
  type AnsweredFilter,
  answered,
  boundsOfLow,
  holdsFor,
  isRowOf,
  rowCondition,
  tableOf,
} from './search-conditions.ts';
import type { SqlType, Statement } from './search-sql.ts';

export type OrderKey = {
  readonly sql: string;
  readonly type: SqlType;
  readonly descending: boolean;
  readonly nullable: boolean;
};

/** Values of the order keys at which the page before ended. */
export type Position = readonly (string | null)[];

export type Plan = {
  /** Each gives some of the candidates as `r`, all together each once, and each is an index scan in this order. */
  readonly from: readonly string[];
  readonly where: readonly string[];
  /** The last key is unique and never null. */
  readonly order: readonly OrderKey[];
  /** Rows without a value of this parameter are not among the candidates: they come after all others. */
  readonly leavesOut?: TypeSearchParameter;
};

type DateFilter = Extract<AnsweredFilter, { kind: 'date' }>;
type RowFilter = Exclude<AnsweredFilter, { kind: 'missing' }>;
/** A query of conditions that are answered. */
type AnsweredQuery = Omit<SearchQuery, 'filters'> & { readonly filters: readonly AnsweredFilter[] };

type Driver =
  | { readonly kind: 'ids' | 'chart' | 'times' | 'type' }
  | { readonly kind: 'rows' | 'codes'; readonly filter: RowFilter }
  | { readonly kind: 'dates'; readonly parameter: TypeSearchParameter; readonly filters: readonly DateFilter[] }
  | { readonly kind: 'values'; readonly parameter: TypeSearchParameter };

/**
 * @param position where to continue; only of a plan of the same query
 * @param whole candidates without the first sort key are among the others, none is left out
 */
export function planOf(asked: SearchQuery, sql: Statement, position: Position | undefined, whole = false): Plan {
  const query: AnsweredQuery = { ...asked, filters: asked.filters.map(answered) };
  const patients = query.filters.filter(isPatientFilter);
  const patient = patients.find(({ values }) => values.length === 1);
  const driver = driverFor(whole ? { ...query, sort: [] } : query, patient !== undefined, whole);
  const rest = query.filters.filter((filter) => !answers(driver, filter) && !patients.includes(filter as never));
  const where = ['not r.deleted', ...patients.map((filter) => isOfPatient(filter, sql))];
  const candidates = candidatesOf(driver, query, patient && patientIdIn(patient), sql, whole ? undefined : position);
  const order = whole ? ordered(query.sort, RID) : candidates.order;
  return {
    ...candidates,
    order,
    where: [...where, ...candidates.where, ...rest.map((filter) => holdsFor(filter, sql))],
  };
}

// ---- the patient

type PatientFilter = Extract<AnsweredFilter, { kind: 'reference' }>;

function isPatientFilter(filter: AnsweredFilter): filter is PatientFilter {
  return (
    filter.kind === 'reference' &&
    filter.parameter.namesPatient &&
    filter.values.every((target) => target.startsWith('Patient/'))
  );
}

function patientIdIn({ values }: PatientFilter): string {
  return (values[0] as string).slice('Patient/'.length);
}

function isOfPatient({ values }: PatientFilter, sql: Statement): string {
  const ids = values.map((target) => target.slice('Patient/'.length));
  return sql.isOneOf('r.patient_id', { type: 'text', values: ids });
}

// ---- which index drives

/** Shared by most resources of a type: no help in finding few. */
const COMMON = new Set([
  'status',
  'category',
  'class',
  'intent',
  'priority',
  '_security',
  '_tag',
  '_profile',
  '_source',
]);
const IDENTIFYING = new Set(['identifier', 'email', 'phone', 'telecom']);

function driverFor(query: AnsweredQuery, inChart: boolean, whole: boolean): Driver {
  const { filters, sort } = query;
  const rows = filters.filter((filter): filter is RowFilter => filter.kind !== 'missing' && isDrivable(filter));
  if (filters.some((filter) => filter.parameter.code === '_id' && filter.kind === 'token' && !filter.not)) {
    return { kind: 'ids' };
  }
  const first = sort[0]?.parameter;
  const dates = whole ? undefined : datesDriver(rows, first);
  if (inChart) {
    const tokens = rows.filter(({ kind }) => kind === 'token');
    const filter =
      tokens.find(({ parameter }) => !COMMON.has(parameter.code)) ??
      rows.find((each) => each.kind === 'reference' && !isPatientFilter(each)) ??
      tokens[0];
    if (filter !== undefined) return { kind: 'rows', filter };
    return dates ?? { kind: 'chart' };
  }
  const few = rows.find(isSelective);
  if (few !== undefined) return { kind: 'rows', filter: few };
  const date = rows.find(({ kind }) => kind === 'date');
  if (dates !== undefined) return dates;
  if (first !== undefined && date === undefined) {
    if (first.code === '_lastUpdated') return { kind: 'times' };
    if (first.code === '_id') return { kind: 'type' };
    if (isStreamable(first)) return { kind: 'values', parameter: first };
  }
  return whole && date === undefined ? { kind: 'type' } : driverOfMany(date, rows, query);
}

function driverOfMany(
  date: RowFilter | undefined,
  rows: readonly RowFilter[],
  { filters, sort }: AnsweredQuery,
): Driver {
  if (date !== undefined) return { kind: 'rows', filter: date };
  const filter = rows.find(({ parameter }) => !COMMON.has(parameter.code)) ?? rows[0];
  if (filter !== undefined) {
    const one = filter.kind === 'token' && filter.values.length === 1 && filter.parameter.rows.length === 1;
    return { kind: one && sort.length === 0 ? 'codes' : 'rows', filter };
  }
  return { kind: filters.some(isTimeFilter) && sort.length === 0 ? 'times' : 'type' };
}

function isDrivable(filter: AnsweredFilter): boolean {
  if (filter.parameter.stored !== 'index') return false;
  return filter.kind !== 'token' || (!filter.not && filter.values.every(({ code }) => code !== undefined));
}

function isSelective({ kind, parameter }: RowFilter): boolean {
  if (kind === 'token') return IDENTIFYING.has(parameter.code);
  return kind === 'reference' || kind === 'string' || (kind === 'uri' && !COMMON.has(parameter.code));
}

function isTimeFilter(filter: AnsweredFilter): boolean {
  return filter.parameter.code === '_lastUpdated' && filter.kind === 'date';
}

/** Dates in order: of the sort key, or of the one date that is asked for. */
function datesDriver(rows: readonly RowFilter[], first: TypeSearchParameter | undefined): Driver | undefined {
  const filters = rows.filter((filter): filter is DateFilter => filter.kind === 'date');
  const parameter = first ?? filters[0]?.parameter;
  if (parameter?.kind !== 'date' || parameter.stored !== 'index' || parameter.rows.length !== 1) return undefined;
  const same = filters.filter((filter) => filter.parameter === parameter);
  // Another date that is asked for may bound the answer far better than the whole index of the sort key.
  if (same.length === 0 && filters.length > 0) return undefined;
  return { kind: 'dates', parameter, filters: parameter.single ? same : same.slice(0, 1) };
}

function isStreamable(parameter: TypeSearchParameter): boolean {
  return (
    parameter.stored === 'index' &&
    parameter.rows.length === 1 &&
    parameter.onlyTarget === undefined &&
    (parameter.kind === 'string' || parameter.kind === 'uri' || parameter.kind === 'reference')
  );
}

/** Whether the candidates meet the condition by themselves. */
function answers(driver: Driver, filter: AnsweredFilter): boolean {
  if (driver.kind === 'rows' || driver.kind === 'codes') return driver.filter === filter;
  return driver.kind === 'dates' && driver.filters.includes(filter as DateFilter);
}

// ---- candidates and their order

const RID: OrderKey = { sql: 'r.rid', type: 'bigint', descending: false, nullable: false };

function candidatesOf(
  driver: Driver,
  query: AnsweredQuery,
  patientId: string | undefined,
  sql: Statement,
  position: Position | undefined,
): Plan {
  const { type, sort } = query;
  const ofType = `r.type = ${sql.value('text', type)}`;
  switch (driver.kind) {
    case 'ids':
    case 'chart':
      return { from: ['resource r'], where: [ofType], order: ordered(sort, RID) };
    case 'type':
      return { from: ['resource r'], where: [ofType], order: typeOrder(sort) };
    case 'times':
      return { from: ['resource r'], where: [ofType], order: timeOrder(sort) };
    case 'rows': {
      const rows = distinctRows(driver.filter, patientId, sql, sort.length === 0 ? position : undefined);
      return { from: [`${rows} d ${RESOURCE}`], where: [ofType], order: ordered(sort, { ...RID, sql: 'd.rid' }) };
    }
    case 'codes':
      return { from: [`${codeRows(driver.filter, sql, position)} d ${RESOURCE}`], where: [ofType], order: CODE_ORDER };
    case 'dates':
      return { ...dateCandidates(driver, sort, patientId, sql), where: [ofType] };
    case 'values':
      return valueCandidates(driver.parameter, sort, ofType);
  }
}

// `offset 0`: looked up for each candidate in their order, and never the start of a join.
const RESOURCE = 'cross join lateral (select * from resource s where s.rid = d.rid offset 0) r';

function ordered(sort: readonly SearchSort[], last: OrderKey): OrderKey[] {
  const descending = sort[0]?.descending ?? false;
  return [...sort.map(keyOf), { ...last, descending }];
}

function typeOrder(sort: readonly SearchSort[]): OrderKey[] {
  if (sort.length > 0 && sort[0]?.parameter.code !== '_id') return ordered(sort, RID);
  return [{ sql: 'r.id', type: 'text', descending: sort[0]?.descending ?? false, nullable: false }];
}

function timeOrder(sort: readonly SearchSort[]): OrderKey[] {
  const descending = sort[0]?.descending ?? false;
  const time: OrderKey = { sql: 'r.last_updated', type: 'timestamptz', descending, nullable: false };
  return [time, ...sort.slice(1).map(keyOf), { ...RID, descending }];
}

/** The least value of a resource where it ascends, the greatest where it descends. */
function keyOf({ parameter, descending }: SearchSort): OrderKey {
  if (parameter.code === '_id') return { sql: 'r.id', type: 'text', descending, nullable: false };
  if (parameter.code === '_lastUpdated') {
    return { sql: 'r.last_updated', type: 'timestamptz', descending, nullable: false };
  }
  const { column, type } = sortColumn(parameter);
  const value = `${descending ? 'max' : 'min'}(i.${column})`;
  const sql = `(select ${value} from ${tableOf(parameter)} i where i.rid = r.rid and ${isRowOf(parameter, 'i')})`;
  return { sql, type, descending, nullable: true };
}

function sortColumn({ kind }: TypeSearchParameter): { column: string; type: SqlType } {
  switch (kind) {
    case 'date':
      return { column: 'low', type: 'bigint' };
    case 'number':
    case 'quantity':
      return { column: 'low', type: 'double precision' };
    case 'string':
      return { column: 'folded', type: 'text' };
    case 'token':
      return { column: 'code', type: 'text' };
    case 'reference':
      return { column: 'target', type: 'text' };
    default:
      return { column: 'value', type: 'text' };
  }
}

/** Row ids of the resources with one of the values, each once, in their order. */
function distinctRows(
  filter: RowFilter,
  patientId: string | undefined,
  sql: Statement,
  position: Position | undefined,
): string {
  const { parameter } = filter;
  const after = position === undefined ? '' : ` and i.rid > ${sql.value('bigint', position[0] as string)}`;
  const ofPatient =
    patientId !== undefined && HAS_PATIENT.has(parameter.kind)
      ? ` and i.patient_key = ${sql.value('bigint', key64(patientId))}`
      : '';
  const condition = `${isRowOf(parameter, 'i')}${ofPatient} and ${rowCondition(filter, 'i', sql)}${after}`;
  if (filter.kind !== 'date' || patientId !== undefined) {
    return `(select distinct i.rid from ${tableOf(parameter)} i where ${condition} order by i.rid offset 0)`;
  }
  const rows = dateRanges('i.rid', [filter], condition, sql);
  return `(select distinct i.rid from (${rows.join(' union all ')}) i order by i.rid offset 0)`;
}

const HAS_PATIENT: ReadonlySet<string> = new Set(['token', 'date']);

const CODE_ORDER: OrderKey[] = [
  { sql: 'd.patient_key', type: 'bigint', descending: false, nullable: false },
  { sql: 'd.rid', type: 'bigint', descending: false, nullable: false },
];

/** As distinctRows, in the order of the index, so that a page reads no more rows than it has. */
function codeRows(filter: RowFilter, sql: Statement, position: Position | undefined): string {
  const after =
    position === undefined
      ? ''
      : ` and (i.patient_key, i.rid) > (${sql.value('bigint', position[0] as string)}, ${sql.value('bigint', position[1] as string)})`;
  const condition = `${isRowOf(filter.parameter, 'i')} and ${rowCondition(filter, 'i', sql)}${after}`;
  return `(select distinct i.patient_key, i.rid from idx_token i where ${condition} order by i.patient_key, i.rid offset 0)`;
}

function dateCandidates(
  { parameter, filters }: Extract<Driver, { kind: 'dates' }>,
  sort: readonly SearchSort[],
  patientId: string | undefined,
  sql: Statement,
): Omit<Plan, 'where'> {
  const descending = sort[0]?.descending ?? false;
  const conditions = (alias: string) => filters.map((filter) => ` and ${rowCondition(filter, alias, sql)}`).join('');
  let condition = `${isRowOf(parameter, 'i')}${conditions('i')}`;
  if (!parameter.single) {
    // Of several dates that match the one that decides the order.
    const sooner = `(e.low, e.high) ${descending ? '>' : '<'} (i.low, i.high)`;
    const same = `e.rid = i.rid and ${isRowOf(parameter, 'e')}${conditions('e')}`;
    condition += ` and not exists (select from idx_date e where ${same} and ${sooner} offset 0)`;
  }
  const rows =
    patientId === undefined
      ? dateRanges('i.low, i.rid', filters, condition, sql)
      : [
          `select i.low, i.rid from idx_date i where i.patient_key = ${sql.value('bigint', key64(patientId))} and ${condition}`,
        ];
  const low: OrderKey = { sql: 'd.low', type: 'bigint', descending, nullable: false };
  const order = [low, ...sort.slice(1).map(keyOf), { ...RID, sql: 'd.rid', descending }];
  return {
    from: rows.map((each) => `(${each}) d ${RESOURCE}`),
    order,
    ...(sort.length > 0 && filters.length === 0 ? { leavesOut: parameter } : {}),
  };
}

/** Rows by date in the whole clinic: the short ones between two bounds, and the few long ones that may reach in. */
function dateRanges(columns: string, filters: readonly DateFilter[], condition: string, sql: Statement): string[] {
  const branch = (wide: boolean) => {
    const bounds = filters.map(({ values }) => boundsOfLow(values, wide ? Number.POSITIVE_INFINITY : WIDE_MS));
    const from = Math.max(...bounds.map((bound) => bound.from));
    const to = Math.min(...bounds.map((bound) => bound.to));
    const between =
      filters.length === 0
        ? ''
        : ` and i.low >= ${sql.value('bigint', String(from))} and i.low <= ${sql.value('bigint', String(to))}`;
    return `select ${columns} from idx_date i where i.wide = ${wide}${between} and ${condition}`;
  };
  return [branch(false), branch(true)];
}

function valueCandidates(parameter: TypeSearchParameter, sort: readonly SearchSort[], ofType: string): Plan {
  const descending = sort[0]?.descending ?? false;
  const { column } = sortColumn(parameter);
  const table = tableOf(parameter);
  const whole = (alias: string) =>
    parameter.kind === 'string' ? `(${alias}.folded, ${alias}.exact)` : `${alias}.${column}`;
  const sooner = `${whole('e')} ${descending ? '>' : '<'} ${whole('d')}`;
  const only = `not exists (select from ${table} e where e.rid = d.rid and e.param = d.param and ${sooner} offset 0)`;
  const key: OrderKey = { sql: `d.${column}`, type: 'text', descending, nullable: false };
  return {
    from: [`${table} d ${RESOURCE}`],
    where: [ofType, isRowOf(parameter, 'd'), only],
    order: [key, ...sort.slice(1).map(keyOf), { ...RID, sql: 'd.rid', descending }],
    leavesOut: parameter,
  };
}
