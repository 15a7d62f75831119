/** The orders of searches: the keys by which a page is sorted and behind which the next one begins. */
import type { TypeSearchParameter } from '../../fhir/search/parameters.ts';
import type { SearchSort } from '../../fhir/search/query.ts';
import { tableOf } from './conditions.ts';
import type { Part } from './parts.ts';
import type { SqlType } from './sql.ts';

export type OrderKey = {
  readonly sql: string;
  readonly type: SqlType;
  readonly descending: boolean;
  readonly nullable: boolean;
};

/** Values of the order keys at which the page before ended. */
export type Position = readonly (string | null)[];

export const RID: OrderKey = { sql: 'r.rid', type: 'bigint', descending: false, nullable: false };

/** Of the index of codes. */
export const CODE_ORDER: OrderKey[] = [
  { sql: 'd.patient_key', type: 'bigint', descending: false, nullable: false },
  { sql: 'd.rid', type: 'bigint', descending: false, nullable: false },
];

export function ordered(sort: readonly SearchSort[], last: OrderKey): OrderKey[] {
  const descending = sort[0]?.descending ?? false;
  return [...sort.map(keyOf), { ...last, descending }];
}

export function typeOrder({ types, sort }: Part): OrderKey[] {
  if (sort.length > 0 && sort[0]?.parameter.code !== '_id') return ordered(sort, RID);
  const descending = sort[0]?.descending ?? false;
  const id: OrderKey = { sql: 'r.id', type: 'text', descending, nullable: false };
  if (types.length === 1) return [id];
  const type: OrderKey = { sql: 'r.type', type: 'text', descending, nullable: false };
  return sort.length === 0 ? [type, id] : [id, type];
}

export function timeOrder(sort: readonly SearchSort[]): OrderKey[] {
  const descending = sort[0]?.descending ?? false;
  const time: OrderKey = { sql: 'r.last_updated', type: 'timestamptz', descending, nullable: false };
  return [time, ...sort.slice(1).map(keyOf), { ...RID, descending }];
}

/** The least value of a resource where it ascends, the greatest where it descends. */
export function keyOf({ parameter, descending }: SearchSort): OrderKey {
  if (parameter.code === '_id') return { sql: 'r.id', type: 'text', descending, nullable: false };
  if (parameter.code === '_lastUpdated') {
    return { sql: 'r.last_updated', type: 'timestamptz', descending, nullable: false };
  }
  const { column, type } = sortColumn(parameter);
  const value = `${descending ? 'max' : 'min'}(i.${column})`;
  const row = isUnderAny(parameter);
  const sql = `(select ${value} from ${tableOf(parameter)} i where i.rid = r.rid and ${row})`;
  return { sql, type, descending, nullable: true };
}

/** As isRowOf, but without a parameter of the statement: a key is stated more than once. */
function isUnderAny({ rows, onlyTarget }: TypeSearchParameter): string {
  const own = onlyTarget === undefined ? '' : ` and starts_with(i.target, '${onlyTarget}/')`;
  return `i.param in (${rows.join(', ')})${own}`;
}

export function sortColumn({ kind }: TypeSearchParameter): { column: string; type: SqlType } {
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

/** A key of a walk, for a resource that was found otherwise. */
export function computed(key: OrderKey, sort: SearchSort | undefined): OrderKey {
  const column = key.sql.startsWith('d.') ? key.sql.slice(2) : '';
  if (column === '') return key;
  if (column === 'rid') return { ...key, sql: 'r.rid' };
  if (sort === undefined) throw new Error(`${key.sql} is the key of no sort`);
  return column === 'patient_key' || column === 'system_key' ? tokenKey(column, sort) : keyOf(sort);
}

/** A column of the row that decides where a resource stands in the order of its codes. */
function tokenKey(column: 'patient_key' | 'system_key', { parameter, descending }: SearchSort): OrderKey {
  const down = descending ? ' desc' : '';
  const row = `select i.${column} from idx_token i where i.rid = r.rid and ${isUnderAny(parameter)}`;
  return {
    sql: `(${row} order by i.code${down}, i.system_key${down} limit 1)`,
    type: 'bigint',
    descending,
    nullable: true,
  };
}
