/**
 * Conditions of a search as SQL, in two forms.
 *
 * `holdsFor` asks about one resource, by look-ups through the index of its rows; it nests without limit. `ridsOf`
 * goes the other way, from the index of values to the resources that have them, and gives each as soon as it is found;
 * a chain and `_has` start at the far end. Only conditions that an index answers have the second form.
 *
 * No condition is ever null, so that `not` may stand before each of them. A deleted resource has no rows; wherever a
 * resource is reached without one, `deleted` is asked.
 */
import { CANONICAL_TYPES, isCanonicalType } from '../../fhir/canonical-types.ts';
import type { TypeSearchParameter } from '../../fhir/search/parameters.ts';
import type { SearchFilter, ValueFilter } from '../../fhir/search/query.ts';
import { indexable, searchParameterKey } from '../../fhir/search/values.ts';
import {
  columnCondition,
  isRowFor,
  isRowOf,
  type RowFilter,
  rowCondition,
  tableFor,
  tableOf,
  textMatches,
} from './conditions.ts';
import type { Statement } from './sql.ts';
import { fulltextHolds, fulltextRids } from './text-conditions.ts';

type Filter<Kind extends SearchFilter['kind']> = Extract<SearchFilter, { kind: Kind }>;

/** Whether the resource `r` (a row of `resource`) meets the condition. */
export function holdsFor(filter: SearchFilter, r: string, sql: Statement): string {
  switch (filter.kind) {
    case 'any':
      return filter.filters.length === 0
        ? 'false'
        : `(${filter.filters.map((each) => holdsFor(each, r, sql)).join(' or ')})`;
    case 'all':
      return filter.filters.length === 0
        ? 'true'
        : `(${filter.filters.map((each) => holdsFor(each, r, sql)).join(' and ')})`;
    case 'not':
      return `not ${holdsFor(filter.filter, r, sql)}`;
    case 'composite':
      return compositeHolds(filter, r, sql);
    case 'chain':
      return chainHolds(filter, r, sql);
    case 'has':
      return hasHolds(filter, r, sql);
    case 'list': {
      const [i, l] = [sql.row(), sql.row()];
      return `exists (select from idx_reference ${i} cross join lateral ${resourceOf(`${i}.rid`, l)}
        where ${i}.param = ${LIST_ITEM} and ${i}.target = ${targetOf(r)} and ${isList(filter, l, sql)} offset 0)`;
    }
    case 'fulltext':
      return fulltextHolds(filter, r, sql);
    case 'terms':
      throw new Error('Terms are resolved before a search is answered');
    default:
      return valueHolds(filter, r, sql);
  }
}

/** Whether `holdsFor` names no column of the resource but `rid`. */
export function isAskedByRid(filter: SearchFilter): boolean {
  switch (filter.kind) {
    case 'any':
    case 'all':
      return filter.filters.every(isAskedByRid);
    case 'not':
      return isAskedByRid(filter.filter);
    case 'has':
    case 'list':
    case 'fulltext':
    case 'terms':
      return false;
    case 'composite':
    case 'chain':
      return true;
    default:
      return filter.parameter.stored === 'index';
  }
}

/** A query of `rid`s, some perhaps several times, that meet the condition and are of one of the types. */
export function ridsOf(filter: SearchFilter, types: readonly string[], sql: Statement): string | undefined {
  switch (filter.kind) {
    case 'any': {
      const all = filter.filters.map((each) => ridsOf(each, types, sql));
      if (all.length === 0 || all.includes(undefined)) return undefined;
      return all.join(' union all ');
    }
    case 'all': {
      const best = filter.filters.toSorted((a, b) => rankOf(a) - rankOf(b))[0];
      const rids = best && ridsOf(best, types, sql);
      if (rids === undefined) return undefined;
      const [n, s] = [sql.row(), sql.row()];
      const others = filter.filters.filter((each) => each !== best).map((each) => ` and ${holdsFor(each, s, sql)}`);
      return `select ${s}.rid from (${rids}) ${n} cross join lateral ${resourceOf(`${n}.rid`, s)}
        where not ${s}.deleted${others.join('')}`;
    }
    case 'composite':
      return filter.values.length === 0
        ? undefined
        : filter.values.map((components) => `select ${compositeRows(components, undefined, sql)}`).join(' union all ');
    case 'chain':
      return chainRids(filter, sql);
    case 'has':
      return hasRids(filter, types, sql);
    case 'list':
      return listRids(filter, types, sql);
    case 'fulltext':
      return fulltextRids(filter, types, sql);
    case 'text':
      return textRids(filter, sql);
    case 'not':
    case 'missing':
    case 'terms':
      return undefined;
    default:
      return isDrivable(filter) ? valueRids(filter, types, sql) : undefined;
  }
}

/** How few resources a condition is likely to find: the lower, the fewer; infinite where no index answers it. */
export function rankOf(filter: SearchFilter): number {
  switch (filter.kind) {
    case 'any':
      return Math.max(...(filter.filters.length === 0 ? [UNRANKED] : filter.filters.map(rankOf)));
    case 'all':
      return Math.min(UNRANKED, ...filter.filters.map(rankOf));
    case 'composite':
      return Math.max(RANK.code, ...filter.values.map((components) => Math.min(...components.map(rankOf))));
    case 'chain':
    case 'has':
      return rankOf(filter.filter) + 0.1;
    case 'list':
      return RANK.reference;
    case 'fulltext':
      return RANK.text;
    case 'text':
      return RANK.code;
    case 'not':
    case 'missing':
    case 'terms':
      return UNRANKED;
    default:
      return isDrivable(filter) ? valueRank(filter) : UNRANKED;
  }
}

export const UNRANKED = Number.POSITIVE_INFINITY;
const RANK = { id: 0, identifier: 1, reference: 2, text: 3, date: 4, code: 5, quantity: 6, common: 8 } as const;

/** A condition of this rank or less finds so few that reading them all is the best way. */
export const SELECTIVE = RANK.text + 0.9;

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
const COMMON_OF_PEOPLE = new Set(['gender', 'active', 'deceased', 'language', '_language']);
const IDENTIFYING = new Set(['identifier', 'email', 'phone', 'telecom']);

export function isCommon({ code }: TypeSearchParameter): boolean {
  return COMMON.has(code) || COMMON_OF_PEOPLE.has(code);
}

function isDrivable(filter: ValueFilter): filter is RowFilter {
  if (filter.kind === 'missing' || filter.kind === 'terms') return false;
  if (filter.parameter.stored === 'column') {
    return filter.kind === 'token' && !filter.not && filter.parameter.code === '_id';
  }
  return filter.kind !== 'token' || (!filter.not && filter.values.every(({ code }) => code !== undefined));
}

function valueRank({ kind, parameter }: RowFilter): number {
  if (parameter.stored === 'column') return RANK.id;
  if (isCommon(parameter)) return RANK.common;
  if (kind === 'token') return IDENTIFYING.has(parameter.code) ? RANK.identifier : RANK.code;
  if (kind === 'reference') return RANK.reference;
  if (kind === 'string' || kind === 'uri') return RANK.text;
  if (kind === 'quantity') return RANK.quantity;
  return kind === 'date' ? RANK.date : RANK.code;
}

// ---- values

// `offset 0` keeps each a look-up for one resource: as a join it could read all rows of the clinic.

function valueHolds(filter: Exclude<ValueFilter, { kind: 'terms' }>, r: string, sql: Statement): string {
  if (filter.kind !== 'text' && filter.parameter.stored === 'column') return columnCondition(filter, r, sql);
  const i = sql.row();
  if (filter.kind === 'missing') {
    const has = `exists (select from ${tableOf(filter.parameter)} ${i} where ${i}.rid = ${r}.rid and ${isRowOf(filter.parameter, i, sql)} offset 0)`;
    return filter.missing ? `not ${has}` : has;
  }
  const exists = `exists (select from ${tableFor(filter)} ${i} where ${i}.rid = ${r}.rid and ${isRowFor(filter, i, sql)} and ${rowCondition(filter, i, sql)} offset 0)`;
  return filter.kind === 'token' && filter.not ? `not ${exists}` : exists;
}

function valueRids(filter: RowFilter, types: readonly string[], sql: Statement): string {
  const i = sql.row();
  if (filter.kind !== 'text' && filter.parameter.stored === 'column') {
    return `select ${i}.rid from resource ${i} where ${isOfTypes(types, i, sql)} and ${columnCondition(filter, i, sql)} and not ${i}.deleted`;
  }
  return `select ${i}.rid from ${tableFor(filter)} ${i} where ${isRowFor(filter, i, sql)} and ${rowCondition(filter, i, sql)}`;
}

/** Texts first, of which there are few; then the rows that have them. */
function textRids({ parameter, values }: Filter<'text'>, sql: Statement): string {
  const [t, i, n] = [sql.row(), sql.row(), sql.row()];
  const texts = `(select distinct ${t}.param, ${t}.system_key, ${t}.text_key, ${t}.code from token_text ${t}
    where ${isRowOf(parameter, t, sql)} and ${textMatches(values, t, sql)} offset 0) ${n}`;
  const rows = (condition: string) =>
    `select ${i}.rid from ${texts} cross join lateral (
       select c.rid from idx_token c
        where c.param = ${n}.param and c.text_key = ${n}.text_key and ${condition} offset 0) ${i}`;
  return `${rows(`${n}.code <> '' and c.code = ${n}.code and c.system_key = ${n}.system_key`)}
    union all ${rows(`c.code = '' and ${n}.code = ''`)}`;
}

// ---- composite: the same repetition of an element has a value for each component

function compositeHolds({ values }: Filter<'composite'>, r: string, sql: Statement): string {
  if (values.length === 0) return 'false';
  return `(${values.map((components) => `exists (select ${compositeRows(components, r, sql)} offset 0)`).join(' or ')})`;
}

/** `rid from …`, of the resource `r` alone where it is given. */
function compositeRows(components: readonly ValueFilter[], r: string | undefined, sql: Statement): string {
  const [first, ...others] = components.toSorted((a, b) => rankOf(a) - rankOf(b)) as RowFilter[];
  if (first === undefined) throw new Error('A composite has components');
  const i = sql.row();
  const ofResource = r === undefined ? '' : ` and ${i}.rid = ${r}.rid`;
  const same = others.map((other) => {
    const j = sql.row();
    return ` and exists (select from ${tableFor(other)} ${j} where ${j}.rid = ${i}.rid and ${j}.element = ${i}.element
      and ${isRowFor(other, j, sql)} and ${rowCondition(other, j, sql)} offset 0)`;
  });
  return `${i}.rid from ${tableFor(first)} ${i} where ${isRowFor(first, i, sql)} and ${rowCondition(first, i, sql)}${ofResource}${same.join('')}`;
}

// ---- references between resources

const LIST_ITEM = searchParameterKey('List', 'item');

function targetOf(r: string): string {
  return `(${r}.type || '/' || ${r}.id)`;
}

/** One resource by its row id, as `alias`: a look-up, never the start of a join. */
function resourceOf(rid: string, alias: string): string {
  return `(select * from resource where rid = ${rid} offset 0) ${alias}`;
}

export function isOfTypes(types: readonly string[], r: string, sql: Statement): string {
  return sql.isOneOf(`${r}.type`, { type: 'text', values: types });
}

/** The resources of a type that the reference row `i` names, as `alias`: by their id, or by their url. */
export function namedBy(i: string, target: string, alias: string): string {
  const byId = `select * from resource
    where type = '${target}' and id = substr(${i}.target, ${target.length + 2}) and starts_with(${i}.target, '${target}/') and not deleted`;
  if (!isCanonicalType(target)) return `(${byId} offset 0) ${alias}`;
  return `(select * from (${byId}) named union all ${namedByUrl(i, target, 's.*')} offset 0) ${alias}`;
}

const URLS: readonly number[] = CANONICAL_TYPES.map((type) => searchParameterKey(type, 'url'));

/** As it is written: the index has it in lower case. */
function versionOf(r: string): string {
  return `(select v.content::json ->> 'version' from resource_version v where v.rid = ${r}.rid and v.version = ${r}.version)`;
}

/**
 * `columns` of the resources `s`, of the type or of any, that the canonical in the reference row `i` names. A canonical
 * with a version is stored without it as well: a url alone is meant only where it was written so.
 */
export function namedByUrl(i: string, target: string | undefined, columns: string): string {
  const urls = target === undefined ? URLS : [searchParameterKey(target, 'url')];
  return `select ${columns} from idx_uri u cross join lateral (select * from resource where rid = u.rid offset 0) s
    where strpos(${i}.target, ':') > 0 and u.param in (${urls.join(', ')}) and u.value = split_part(${i}.target, '|', 1)
      and not s.deleted and case when strpos(${i}.target, '|') > 0
        then ${versionOf('s')} = substr(${i}.target, strpos(${i}.target, '|') + 1)
        else not exists (select from idx_reference e where e.rid = ${i}.rid and e.param = ${i}.param
          and starts_with(e.target, ${i}.target || '|') offset 0) end`;
}

function chainHolds({ parameter, target, filter }: Filter<'chain'>, r: string, sql: Statement): string {
  const [i, t] = [sql.row(), sql.row()];
  return `exists (select from idx_reference ${i} cross join lateral ${namedBy(i, target, t)}
    where ${i}.rid = ${r}.rid and ${isRowOf(parameter, i, sql)} and ${holdsFor(filter, t, sql)} offset 0)`;
}

function chainRids({ parameter, target, filter }: Filter<'chain'>, sql: Statement): string | undefined {
  const far = ridsOf(filter, [target], sql);
  if (far === undefined) return undefined;
  const [n, t, k, i] = [sql.row(), sql.row(), sql.row(), sql.row()];
  const canonical = isCanonicalType(target);
  return `select ${i}.rid from (${far}) ${n} cross join lateral ${resourceOf(`${n}.rid`, t)} cross join lateral ${namesOf(t, canonical, k)}
    cross join lateral (select c.* from idx_reference c where ${isRowOf(parameter, 'c', sql)} and c.target = ${k}.target offset 0) ${i}
    where ${t}.type = '${target}' and not ${t}.deleted${canonical ? canonicalMeans(k, i) : ''}`;
}

/** How references name the resource `t`: 'Type/id', and the url with its version or without. */
function namesOf(t: string, canonical: boolean, alias: string): string {
  const id = `select ${targetOf(t)} as target`;
  if (!canonical) return `(${id}) ${alias}`;
  return `(${id} union all
    select u.value || v.suffix from idx_uri u cross join lateral (
      select '' as suffix union all select '|' || ${versionOf(t)}
    ) v where u.rid = ${t}.rid and u.param in (${URLS.join(', ')}) and v.suffix is not null offset 0) ${alias}`;
}

/** A url alone is meant only where it was not written with a version. */
function canonicalMeans(k: string, i: string): string {
  return ` and (strpos(${k}.target, '|') > 0 or not exists (select from idx_reference e
    where e.rid = ${i}.rid and e.param = ${i}.param and starts_with(e.target, ${i}.target || '|') offset 0))`;
}

function hasHolds({ parameter, filter }: Filter<'has'>, r: string, sql: Statement): string {
  const [i, t] = [sql.row(), sql.row()];
  if (isInChart(parameter, filter)) {
    // Rows of a chart carry the patient: one look-up, however long the chart is.
    return `(${r}.type = 'Patient' and exists (select from ${tableFor(filter)} ${i} where ${isRowFor(filter, i, sql)}
      and ${rowCondition(filter, i, sql)} and ${i}.patient_key = key64(${r}.id) offset 0))`;
  }
  const k = sql.row();
  const canonical = namesCanonicals(parameter);
  return `exists (select from ${namesOf(r, canonical, k)}
    cross join lateral (select c.* from idx_reference c where ${isRowOf(parameter, 'c', sql)} and c.target = ${k}.target offset 0) ${i}
    cross join lateral ${resourceOf(`${i}.rid`, t)}
    where not ${t}.deleted${canonical ? canonicalMeans(k, i) : ''} and ${holdsFor(filter, t, sql)} offset 0)`;
}

function namesCanonicals({ targets }: TypeSearchParameter): boolean {
  return targets.length === 0 || targets.some(isCanonicalType);
}

function isInChart(parameter: TypeSearchParameter, filter: SearchFilter): filter is RowFilter {
  if (!parameter.namesPatient) return false;
  if (filter.kind !== 'token' && filter.kind !== 'date') return false;
  return filter.parameter.stored === 'index' && isDrivable(filter);
}

function hasRids({ parameter, filter }: Filter<'has'>, types: readonly string[], sql: Statement): string | undefined {
  const far = ridsOf(filter, [parameter.type], sql);
  if (far === undefined) return undefined;
  const [n, i, t] = [sql.row(), sql.row(), sql.row()];
  const byUrl = namesCanonicals(parameter)
    ? ` union all ${namedByUrl(i, undefined, 's.rid')} and ${isOfTypes(types, 's', sql)}`
    : '';
  return `select ${t}.rid from (${far}) ${n}
    cross join lateral (select c.* from idx_reference c where c.rid = ${n}.rid and ${isRowOf(parameter, 'c', sql)} offset 0) ${i}
    cross join lateral (${namedOf(`${i}.target`, types, sql)}${byUrl} offset 0) ${t}`;
}

function isList({ values }: Filter<'list'>, l: string, sql: Statement): string {
  return `${l}.type = 'List' and not ${l}.deleted and ${sql.isOneOf(`${l}.id`, { type: 'text', values: values.map(indexable) })}`;
}

function listRids(filter: Filter<'list'>, types: readonly string[], sql: Statement): string {
  const [l, i, t] = [sql.row(), sql.row(), sql.row()];
  return `select ${t}.rid from resource ${l}
    cross join lateral (select c.target from idx_reference c where c.rid = ${l}.rid and c.param = ${LIST_ITEM} offset 0) ${i}
    cross join lateral (${namedOf(`${i}.target`, types, sql)} offset 0) ${t}
    where ${isList(filter, l, sql)}`;
}

/** The resource of one of the types that a target 'Type/id' names. */
function namedOf(target: string, types: readonly string[], sql: Statement): string {
  return `select s.rid from resource s
    where s.type = split_part(${target}, '/', 1) and s.id = split_part(${target}, '/', 2)
      and ${isOfTypes(types, 's', sql)} and strpos(${target}, ':') = 0 and not s.deleted`;
}
