/**
 * How a search is answered: which index drives it, and in which order.
 *
 * The planner knows neither the chart's size nor how common a code is, so the way is chosen here by the shape of the
 * query alone, and stated so that it cannot turn into a scan of the clinic: one index gives candidates, everything
 * else is looked up per candidate (`lateral … offset 0`). Rules, first that applies:
 *
 * - `_id`: those resources.
 * - Within a patient: a token or a reference of that patient; else dates of that patient in order; else the chart.
 * - In the whole clinic: what finds few (an identifier, a reference, a text, and a chain or `_has` that ends in one);
 *   else the sort key's index in order; else a date range, bounded below since only `wide` rows are longer than a day;
 *   else a token in the order of its index; else the type in the order of its ids.
 *
 * A walk through an order meets a rare code late, and a common code fills any list of candidates. Where a walk would
 * leave out a condition that an index answers, that index is asked first for a bounded number of resources: all of
 * them within the bound are the candidates, and only beyond it the order is walked (`probe`).
 *
 * Every order ends in a unique key, so that a page can continue behind the last row of the page before.
 */

import type { TypeSearchParameter } from '../../fhir/search/parameters.ts';
import type { SearchFilter, SearchSort } from '../../fhir/search/query.ts';
import { key64 } from '../../fhir/search/values.ts';
import { WIDE_MS } from '../../record/search-rows.ts';
import { boundsOfLow, isRowFor, isRowOf, type RowFilter, rowCondition, tableFor, tableOf } from './conditions.ts';
import { holdsFor, isAskedByRid, isCommon, isOfTypes, rankOf, ridsOf, SELECTIVE, UNRANKED } from './filters.ts';
import {
  CODE_ORDER,
  computed,
  keyOf,
  type OrderKey,
  ordered,
  type Position,
  RID,
  sortColumn,
  timeOrder,
  typeOrder,
} from './order.ts';
import type { Part } from './parts.ts';
import type { SqlType, Statement } from './sql.ts';

export type Plan = {
  /** Each gives some of the candidates as `r`, all together each once, and each is an index scan in this order. */
  readonly from: readonly string[];
  readonly where: readonly string[];
  /** The last key is unique and never null. */
  readonly order: readonly OrderKey[];
  /** Rows without a value of this parameter are not among the candidates: they come after all others. */
  readonly leavesOut?: TypeSearchParameter;
  /** Keys behind the first that are columns of the same index row, so that ties are walked in its order, too. */
  readonly more?: number;
  /** A walk whose first key does not decide alone: others are computed, for the rows that may stand on the page. */
  readonly ties?: true;
  /** The order is one for each type: each type is walked by itself (`y.type`). The placeholder of all types. */
  readonly eachOf?: string;
};

type DateFilter = Extract<SearchFilter, { kind: 'date' }>;

type Driver =
  | { readonly kind: 'ids' | 'chart' | 'times' | 'type' }
  | { readonly kind: 'rows' | 'codes'; readonly filter: RowFilter }
  | { readonly kind: 'rids'; readonly filter: SearchFilter }
  | { readonly kind: 'dates'; readonly parameter: TypeSearchParameter; readonly filters: readonly DateFilter[] }
  | { readonly kind: 'values'; readonly parameter: TypeSearchParameter };

/**
 * @param position where to continue; only of a plan of the same part
 * @param whole candidates without the first sort key are among the others, none is left out
 */
export function planOf(part: Part, sql: Statement, position: Position | undefined, whole = false): Plan {
  const patients = part.filters.filter(isPatientFilter);
  const patient = patients.find(({ values }) => values.length === 1);
  const driver = driverFor(whole ? { ...part, sort: [] } : part, patient !== undefined, whole);
  const candidates = candidatesOf(driver, part, patient && patientIdIn(patient), sql, whole ? undefined : position);
  const rest = part.filters.filter((filter) => !answers(driver, filter) && !patients.includes(filter as never));
  return {
    ...candidates,
    order: whole ? ordered(part.sort, RID) : candidates.order,
    where: [
      'not r.deleted',
      ...patients.map((filter) => isOfPatient(filter, sql)),
      ...candidates.where,
      ...rest.map((filter) => holdsFor(filter, hasRows(driver) ? rowFor(filter) : 'r', sql)),
    ],
  };
}

/** The candidates are rows of the index, `d`, for which the resource `r` is looked up. */
function hasRows({ kind }: Driver): boolean {
  return kind === 'rows' || kind === 'rids' || kind === 'codes' || kind === 'dates' || kind === 'values';
}

/** What needs no more than the row id is asked before the resource is looked up. */
function rowFor(filter: SearchFilter): 'd' | 'r' {
  return isAskedByRid(filter) ? 'd' : 'r';
}

/** The condition whose resources are worth a look before the order of the plan is walked. */
export function probeOf(part: Part): SearchFilter | undefined {
  const inChart = part.filters.some((filter) => isPatientFilter(filter) && filter.values.length === 1);
  if (inChart) return undefined;
  const driver = driverFor(part, false, false);
  if (driver.kind === 'dates' && (driver.filters.length > 0 || !driver.parameter.single)) return undefined;
  if (!WALKS.has(driver.kind)) return undefined;
  return bestOf(part.filters);
}

const WALKS: ReadonlySet<Driver['kind']> = new Set(['dates', 'values', 'times', 'type']);

/** The plan over the rids of `from` (a table of the statement), in the order of the part's plan. */
export function planWithin(
  from: string,
  probe: SearchFilter,
  part: Part,
  order: readonly OrderKey[],
  sql: Statement,
): Plan {
  const rest = part.filters.filter((filter) => filter !== probe);
  return {
    from: [`(select distinct rid from ${from} offset 0) d ${RESOURCE}`],
    where: [
      'not r.deleted',
      isOfTypes(part.types, 'r', sql),
      ...rest.map((filter) => holdsFor(filter, rowFor(filter), sql)),
    ],
    order: order.map((key) => computed(key, part.sort[0])),
  };
}

// ---- the patient

type PatientFilter = Extract<SearchFilter, { kind: 'reference' }>;

function isPatientFilter(filter: SearchFilter): filter is PatientFilter {
  return (
    filter.kind === 'reference' &&
    filter.parameter.namesPatient &&
    filter.values.every((target) => target.startsWith('Patient/'))
  );
}

function patientIdIn({ values }: PatientFilter): string {
  return (values[0] as string).slice('Patient/'.length);
}

/** Whether a chart is all that is asked for, in the order of a date that a resource need not have. */
export function isChartByDate({ filters, sort }: Part): boolean {
  const [filter, ...others] = filters;
  return (
    filter !== undefined &&
    others.length === 0 &&
    isPatientFilter(filter) &&
    filter.values.length === 1 &&
    datesDriver(filters, sort[0]?.parameter) !== undefined
  );
}

/** How many resources the part has in its chart, with a date and without. */
export function countInChart({ filters, types }: Part, sql: Statement): string {
  const conditions = filters.filter(isPatientFilter).map((filter) => isOfPatient(filter, sql));
  return `(select count(*) from resource r where ${[...conditions, isOfTypes(types, 'r', sql)].join(' and ')} and not r.deleted)`;
}

function isOfPatient({ values }: PatientFilter, sql: Statement): string {
  const ids = values.map((target) => target.slice('Patient/'.length));
  return sql.isOneOf('r.patient_id', { type: 'text', values: ids });
}

// ---- which index drives

function driverFor(part: Part, inChart: boolean, whole: boolean): Driver {
  const { filters, sort } = part;
  if (filters.some((filter) => filter.kind === 'token' && !filter.not && filter.parameter.code === '_id')) {
    return { kind: 'ids' };
  }
  const first = sort[0]?.parameter;
  const dates = whole ? undefined : datesDriver(filters, first);
  if (inChart) return chartDriver(filters) ?? dates ?? { kind: 'chart' };
  const best = bestOf(filters);
  if (best !== undefined && rankOf(best) <= SELECTIVE) return driverBy(best);
  if (dates !== undefined) return dates;
  const date = filters.find((filter): filter is DateFilter => filter.kind === 'date' && isIndexed(filter));
  if (first !== undefined && date === undefined && !whole) {
    if (first.code === '_lastUpdated') return { kind: 'times' };
    if (first.code === '_id') return { kind: 'type' };
    if (isStreamable(first)) return { kind: 'values', parameter: first };
  }
  if (date !== undefined) return { kind: 'rows', filter: date };
  if (whole) return best === undefined ? { kind: 'type' } : driverBy(best);
  return driverOfMany(best, part);
}

function chartDriver(filters: readonly SearchFilter[]): Driver | undefined {
  const rows = filters.filter(isRowDrivable);
  const tokens = rows.filter(({ kind }) => kind === 'token');
  const filter =
    tokens.find(({ parameter }) => !isCommon(parameter)) ??
    rows.find((each) => each.kind === 'reference' && !isPatientFilter(each)) ??
    tokens[0];
  return filter && { kind: 'rows', filter };
}

function driverOfMany(best: SearchFilter | undefined, { filters, sort }: Part): Driver {
  if (sort.length === 0) {
    if (best?.kind === 'token' && best.values.length === 1 && best.parameter.rows.length === 1 && isIndexed(best)) {
      return { kind: 'codes', filter: best };
    }
    return { kind: filters.some(isTimeFilter) ? 'times' : 'type' };
  }
  // No index has the order.
  return best === undefined ? { kind: 'type' } : driverBy(best);
}

/** What is likely to find fewest, of the conditions that an index answers. */
function bestOf(filters: readonly SearchFilter[]): SearchFilter | undefined {
  let best: SearchFilter | undefined;
  for (const filter of filters) {
    if (rankOf(filter) < (best === undefined ? UNRANKED : rankOf(best))) best = filter;
  }
  return best;
}

function driverBy(filter: SearchFilter): Driver {
  return isRowDrivable(filter) ? { kind: 'rows', filter } : { kind: 'rids', filter };
}

function isRowDrivable(filter: SearchFilter): filter is RowFilter {
  switch (filter.kind) {
    case 'token':
    case 'string':
    case 'reference':
    case 'date':
    case 'quantity':
    case 'uri':
      return isIndexed(filter) && rankOf(filter) < UNRANKED;
    default:
      return false;
  }
}

function isIndexed({ parameter }: { readonly parameter: TypeSearchParameter }): boolean {
  return parameter.stored === 'index';
}

function isTimeFilter(filter: SearchFilter): boolean {
  return filter.kind === 'date' && filter.parameter.code === '_lastUpdated';
}

/** Dates in order: of the sort key, or of the one date that is asked for. */
function datesDriver(all: readonly SearchFilter[], first: TypeSearchParameter | undefined): Driver | undefined {
  const filters = all.filter((filter): filter is DateFilter => filter.kind === 'date' && isIndexed(filter));
  const parameter = first ?? filters[0]?.parameter;
  if (parameter?.kind !== 'date' || !isIndexed({ parameter }) || parameter.rows.length !== 1) return undefined;
  const same = filters.filter((filter) => filter.parameter === parameter);
  // Another date that is asked for may bound the answer far better than the whole index of the sort key.
  if (same.length === 0 && filters.length > 0) return undefined;
  return { kind: 'dates', parameter, filters: parameter.single ? same : same.slice(0, 1) };
}

function isStreamable(parameter: TypeSearchParameter): boolean {
  return isIndexed({ parameter }) && parameter.rows.length === 1 && parameter.kind !== 'date';
}

/** Whether the candidates meet the condition by themselves. */
function answers(driver: Driver, filter: SearchFilter): boolean {
  if (driver.kind === 'rows' || driver.kind === 'codes' || driver.kind === 'rids') return driver.filter === filter;
  return driver.kind === 'dates' && driver.filters.includes(filter as DateFilter);
}

// ---- candidates and their order

function candidatesOf(
  driver: Driver,
  part: Part,
  patientId: string | undefined,
  sql: Statement,
  position: Position | undefined,
): Plan {
  const { types, sort } = part;
  if (driver.kind === 'times') {
    return { from: ['resource r'], ...walked(part, sql), order: timeOrder(sort), ...withTies(sort) };
  }
  const ofType = isOfTypes(types, 'r', sql);
  const after = sort.length === 0 ? position : undefined;
  switch (driver.kind) {
    case 'ids':
    case 'chart':
      return { from: ['resource r'], where: [ofType], order: ordered(sort, RID) };
    case 'type':
      return { from: ['resource r'], where: [ofType], order: typeOrder(part) };
    case 'rows': {
      const rows = distinctRows(driver.filter, patientId, sql, after);
      return { from: [`${rows} d ${RESOURCE}`], where: [ofType], order: ordered(sort, { ...RID, sql: 'd.rid' }) };
    }
    case 'rids': {
      const behind = after === undefined ? '' : ` where n.rid > ${sql.value('bigint', after[0] as string)}`;
      const rids = `(select distinct n.rid from (${ridsOf(driver.filter, types, sql)}) n${behind} order by n.rid offset 0)`;
      return { from: [`${rids} d ${RESOURCE}`], where: [ofType], order: ordered(sort, { ...RID, sql: 'd.rid' }) };
    }
    case 'codes':
      return { from: [`${codeRows(driver.filter, sql, position)} d ${RESOURCE}`], where: [ofType], order: CODE_ORDER };
    case 'dates':
      return { ...dateCandidates(driver, sort, patientId, sql), where: [ofType] };
    case 'values':
      return valueCandidates(driver.parameter, sort, ofType, sql);
  }
}

// The current version is the last one: one look into the primary key of the versions, which know what they are of. The
// limit keeps it a look-up for each candidate in their order, and never the start of a join.
const RESOURCE =
  'cross join lateral (select * from resource_version s where s.rid = d.rid order by s.version desc limit 1) r';

/** The text of `r` in a part of a plan; null where `r` is a row of `resource`, which has none. */
export function contentIn(from: string): string {
  return from.endsWith(RESOURCE) ? 'r.content' : 'null::text';
}

function withTies(sort: readonly SearchSort[]): Pick<Plan, 'ties'> {
  return sort.length > 1 ? { ties: true } : {};
}

/** Of several types each is walked by itself: an index has one order for each. */
function walked({ types }: Part, sql: Statement): Pick<Plan, 'where' | 'eachOf'> {
  if (types.length === 1) return { where: [isOfTypes(types, 'r', sql)] };
  return { where: ['r.type = y.type'], eachOf: sql.array({ type: 'text', values: types }) };
}

/** Row ids of the resources with one of the values, each once, in their order. */
function distinctRows(
  filter: RowFilter,
  patientId: string | undefined,
  sql: Statement,
  position: Position | undefined,
): string {
  const after = position === undefined ? '' : ` and i.rid > ${sql.value('bigint', position[0] as string)}`;
  const ofPatient =
    patientId !== undefined && HAS_PATIENT.has(filter.kind)
      ? ` and i.patient_key = ${sql.value('bigint', key64(patientId))}`
      : '';
  const condition = `${isRowFor(filter, 'i', sql)}${ofPatient} and ${rowCondition(filter, 'i', sql)}${after}`;
  if (filter.kind !== 'date' || patientId !== undefined) {
    return `(select distinct i.rid from ${tableFor(filter)} i where ${condition} order by i.rid offset 0)`;
  }
  const rows = dateRanges('i.rid', [filter], condition, sql);
  return `(select distinct i.rid from (${rows.join(' union all ')}) i order by i.rid offset 0)`;
}

const HAS_PATIENT: ReadonlySet<RowFilter['kind']> = new Set(['token', 'date']);

/** As distinctRows, in the order of the index, so that a page reads no more rows than it has. */
function codeRows(filter: RowFilter, sql: Statement, position: Position | undefined): string {
  const after =
    position === undefined
      ? ''
      : ` and (i.patient_key, i.rid) > (${sql.value('bigint', position[0] as string)}, ${sql.value('bigint', position[1] as string)})`;
  const condition = `${isRowFor(filter, 'i', sql)} and ${rowCondition(filter, 'i', sql)}${after}`;
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
  let condition = `${isRowOf(parameter, 'i', sql)}${conditions('i')}`;
  if (!parameter.single) {
    // Of several dates that match the one that decides the order.
    const sooner = `(e.low, e.ctid) ${descending ? '>' : '<'} (i.low, i.ctid)`;
    const same = `e.rid = i.rid and ${isRowOf(parameter, 'e', sql)}${conditions('e')}`;
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
    ...withTies(sort),
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

/** As a range, where the walk begins and ends. */
function onlyTargets({ onlyTarget }: TypeSearchParameter): string[] {
  // '0' follows '/'.
  return onlyTarget === undefined ? [] : [`d.target >= '${onlyTarget}/' and d.target < '${onlyTarget}0'`];
}

/** A walk through the index of the first sort key; of several rows of a resource the one that decides counts. */
function valueCandidates(
  parameter: TypeSearchParameter,
  sort: readonly SearchSort[],
  ofType: string,
  sql: Statement,
): Plan {
  const descending = sort[0]?.descending ?? false;
  const { column, type } = sortColumn(parameter);
  const table = tableOf(parameter);
  const alone = sort.length === 1 && parameter.kind === 'token';
  const deciding = (row: string) =>
    parameter.kind === 'token' ? `(${row}.code, ${row}.system_key, ${row}.ctid)` : `(${row}.${column}, ${row}.ctid)`;
  const sooner = `${deciding('e')} ${descending ? '>' : '<'} ${deciding('d')}`;
  const only = `not exists (select from ${table} e where e.rid = d.rid and ${isRowOf(parameter, 'e', sql)} and ${sooner} offset 0)`;
  const plain = (name: string, of: SqlType): OrderKey => ({ sql: `d.${name}`, type: of, descending, nullable: false });
  // Many resources share a code: with the rest of the index's columns a page need not read all of them.
  const ties = alone ? [plain('patient_key', 'bigint'), plain('system_key', 'bigint')] : [];
  return {
    from: [`${table} d ${RESOURCE}`],
    where: [ofType, isRowOf(parameter, 'd', sql), ...onlyTargets(parameter), only],
    order: [plain(column, type), ...ties, ...sort.slice(1).map(keyOf), { ...RID, sql: 'd.rid', descending }],
    leavesOut: parameter,
    ...(alone ? { more: ties.length } : {}),
    ...withTies(sort),
  };
}
