/**
 * The pages of `$everything` (src/record/everything.ts says what they hold).
 *
 * Three stretches one after the other, each in the order of row ids, which never change: the focus, the members, what
 * they refer to. A page is a place in a stretch, so it costs the same wherever it is. What members refer to is read
 * from their text: not every reference has a search parameter, and attachments have none.
 */
import type { Pool } from 'pg';
import { careDates } from '../fhir/care-dates.ts';
import { compartmentParameters } from '../fhir/search/compartments.ts';
import type { SearchParameterRegistry } from '../fhir/search/parameters.ts';
import { OPEN_HIGH, OPEN_LOW } from '../fhir/search/values.ts';
import type { EverythingQuery } from '../record/everything.ts';
import type { EverythingPage } from '../record/record.ts';
import { numberArray, textArray } from './arrays.ts';
import { type CursorKey, openCursor, sealCursor } from './search/cursor.ts';
import { SERVED, type ServedRow, served } from './stored-row.ts';

export type EverythingReader = (query: EverythingQuery) => Promise<EverythingPage>;

export function everythingReader(
  pool: Pool,
  registry: SearchParameterRegistry,
  cursorKey: CursorKey,
): EverythingReader {
  const keys = indexKeys(registry);
  return async (query) => {
    const bound = { type: `${query.compartment}$everything`, used: [['', query.asked] as const] };
    let place: Place =
      query.cursor === undefined ? { stretch: 0, after: '0' } : placeOf(openCursor(query.cursor, bound, cursorKey));
    const found: Found[] = [];
    for (;;) {
      // One more than the page holds tells whether there is a next one.
      found.push(...(await stretchFrom(pool, keys(), query, place, query.count + 1 - found.length)));
      if (found.length > query.count || place.stretch === LAST) break;
      place = { stretch: place.stretch + 1, after: '0' };
    }
    const page = found.slice(0, query.count);
    const last = page.at(-1);
    const resources = page.map(({ row, stretch }) => ({
      stored: served(row),
      mode: stretch === LAST ? ('include' as const) : ('match' as const),
    }));
    if (found.length <= query.count || last === undefined) return { resources };
    return { resources, next: sealCursor([String(last.stretch), last.row.rid], bound, cursorKey) };
  };
}

/** 0 the focus, 1 the members, 2 what they refer to. */
type Place = { readonly stretch: number; readonly after: string };
const LAST = 2;

function placeOf([stretch, after]: readonly (string | null)[]): Place {
  return { stretch: Number(stretch), after: String(after) };
}

// ---- the keys of index rows that a statement needs

type Keys = {
  /** Of the compartment's search parameters. */
  readonly members: Readonly<Record<EverythingQuery['compartment'], string>>;
  /** Of every reference parameter, beside the type that it may name. */
  readonly naming: { readonly types: string; readonly params: string };
  readonly security: string;
  readonly care: string;
  /** Types that no Patient compartment has. */
  readonly outside: ReadonlySet<string>;
};

function indexKeys(registry: SearchParameterRegistry): () => Keys {
  let keys: Keys | undefined;
  return () => {
    keys ??= readKeys(registry);
    return keys;
  };
}

function readKeys(registry: SearchParameterRegistry): Keys {
  const { definitions } = registry;
  const types = definitions.resourceTypes;
  const rowsOf = (codesOf: (type: string) => readonly string[]) =>
    numberArray([
      ...new Set(types.flatMap((type) => codesOf(type).flatMap((code) => registry.of(type).get(code)?.rows ?? []))),
    ]);
  const naming = types.flatMap((type) =>
    [...registry.of(type).values()]
      .filter(({ kind, stored }) => kind === 'reference' && stored === 'index')
      .flatMap(({ targets, rows }) => targets.flatMap((target) => rows.map((param) => ({ target, param })))),
  );
  return {
    members: {
      Patient: rowsOf((type) => compartmentParameters('Patient', type, definitions)),
      Encounter: rowsOf((type) => compartmentParameters('Encounter', type, definitions)),
    },
    naming: {
      types: textArray(naming.map(({ target }) => target)),
      params: numberArray(naming.map(({ param }) => param)),
    },
    outside: new Set(types.filter((type) => compartmentParameters('Patient', type, definitions).length === 0)),
    security: rowsOf(() => ['_security']),
    care: rowsOf((type) => careDates[type] ?? []),
  };
}

// ---- one stretch

type Found = { readonly row: ServedRow; readonly stretch: number };

async function stretchFrom(
  pool: Pool,
  keys: Keys,
  query: EverythingQuery,
  { stretch, after }: Place,
  limit: number,
): Promise<Found[]> {
  const scope = query.id === undefined ? 'all' : 'one';
  const names = ['focus', 'members', 'supporting'] as const;
  const name = names[stretch] as (typeof names)[number];
  const text = STATEMENTS[scope][name];
  const parameters: Readonly<Record<string, string | number | null>> = {
    focusType: query.compartment,
    focusId: query.id ?? '',
    target: `${query.compartment}/${query.id ?? ''}`,
    params: keys.members[query.compartment],
    security: keys.security,
    care: keys.care,
    namedTypes: keys.naming.types,
    namedParams: keys.naming.params,
    visible: textArray(query.visible),
    members: textArray(query.members),
    supporting: textArray(
      query.id === undefined ? query.supporting.filter((type) => keys.outside.has(type)) : query.supporting,
    ),
    low: query.start ?? OPEN_LOW,
    high: query.end ?? OPEN_HIGH,
    dated: query.start !== undefined || query.end !== undefined ? 1 : 0,
    since: query.since === undefined ? '-infinity' : new Date(query.since).toISOString(),
    after,
    limit,
  };
  const values = text.names.map((each) => parameters[each] ?? null);
  const { rows } = await pool.query<ServedRow>({ name: `everything-${scope}-${name}`, text: text.sql, values });
  return rows.map((row) => ({ row, stretch }));
}

const CONTENT = 'join resource_version v on v.rid = p.rid and v.version = p.version';

// `offset 0` keeps each a look-up per resource: as a join it could read all rows of the clinic.

/** Psychotherapy notes, and what is labelled as one: they leave under an authorization of their own (rule R-21). */
const NOTES = `note as materialized (
  select t.rid from idx_token t
   where t.param = any ({security}::integer[]) and t.code in ('PSYTHPN', 'HIPAAPsyNotes', 'NOAUTH')
)`;
const NO_NOTE = 'not exists (select from note n where n.rid = p.rid)';

const IN_PERIOD = `({dated}::integer = 0
  or exists (
    select from idx_date d
     where d.rid = p.rid and d.param = any ({care}::integer[]) and d.low <= {high}::bigint and d.high >= {low}::bigint
    offset 0
  )
  or not exists (select from idx_date d where d.rid = p.rid and d.param = any ({care}::integer[]) offset 0)
)`;

const SINCE = 'p.last_updated >= {since}::timestamptz';

const IS_FOCUS = 'p.type = {focusType} and p.id = {focusId}';

/** Every resource of one compartment but its focus. */
const IN_ONE = `
select distinct i.rid from idx_reference i where i.param = any ({params}::integer[]) and i.target = {target}`;

/**
 * Literal references, and attachments that are Binaries of this service, cut out of stored text: a quote within a string
 * is escaped there, so neither delimiter can be anything else. A regular expression takes fifty times as long.
 */
const NAMED = `
select piece from string_to_table(w.content, '"reference":"') with ordinality s (piece, n) where n > 1
 union all
select 'Binary/' || piece from string_to_table(w.content, '"url":"Binary/') with ordinality s (piece, n) where n > 1`;

const IN_SOME = `exists (
  select from idx_reference i
   where i.rid = p.rid and i.param = any ({params}::integer[]) and starts_with(i.target, 'Patient/')
  offset 0
)`;

const STATEMENTS = {
  one: {
    focus: statement(`
with ${NOTES}
select ${SERVED}
  from resource p
  ${CONTENT}
 where ${IS_FOCUS} and p.rid > {after}::bigint and not p.deleted
   and p.type = any ({members}::text[]) and ${SINCE} and ${NO_NOTE}
 limit {limit}::bigint`),
    members: statement(`
with ${NOTES}, member as (${IN_ONE} and i.rid > {after}::bigint)
select ${SERVED}
  from member m
  join resource p on p.rid = m.rid
  ${CONTENT}
 where not p.deleted and not (${IS_FOCUS}) and p.type = any ({members}::text[]) and ${SINCE} and ${NO_NOTE} and ${IN_PERIOD}
 order by p.rid
 limit {limit}::bigint`),
    supporting: statement(`
with
  ${NOTES},
  member as materialized (
    select p.rid, p.version
      from (${IN_ONE} union select p.rid from resource p where ${IS_FOCUS}) m
      join resource p on p.rid = m.rid
     where not p.deleted and p.type = any ({visible}::text[]) and ${NO_NOTE} and (${IN_PERIOD} or ${IS_FOCUS})
  ),
  named as materialized (
    select distinct split_part(found.piece, '"', 1) as name
      from member m
      join resource_version w on w.rid = m.rid and w.version = m.version
     cross join lateral (${NAMED}) found
  )
select ${SERVED}
  from (select distinct split_part(name, '/', 1) as type, split_part(name, '/', 2) as id from named) n
  join resource p on p.type = n.type and p.id = n.id
  ${CONTENT}
 where p.rid > {after}::bigint and not p.deleted and p.type = any ({supporting}::text[]) and ${SINCE} and ${NO_NOTE}
   and not exists (select from member m where m.rid = p.rid)
 order by p.rid
 limit {limit}::bigint`),
  },
  all: {
    focus: statement(`
with ${NOTES}
select ${SERVED}
  from resource p
  ${CONTENT}
 where p.type = 'Patient' and p.rid > {after}::bigint and not p.deleted
   and p.type = any ({members}::text[]) and ${SINCE} and ${NO_NOTE}
 order by p.rid
 limit {limit}::bigint`),
    // A walk along the row ids that ends with the page: whatever else has an index would be read to its end first.
    members: statement(`
with
  ${NOTES},
  page as materialized (
    select p.*
      from (select * from resource r where r.rid > {after}::bigint order by r.rid offset 0) p
     where not p.deleted and p.type <> 'Patient' and p.type = any ({members}::text[])
       and ${IN_SOME} and ${SINCE} and ${NO_NOTE} and ${IN_PERIOD}
     order by p.rid
     limit {limit}::bigint
  )
select ${SERVED}
  from page p
  ${CONTENT}
 order by p.rid`),
    // Of types that are in no chart, and by the index: to read every chart for one page would be too much.
    supporting: statement(`
with ${NOTES}
select ${SERVED}
  from resource p
  ${CONTENT}
 where p.rid > {after}::bigint and not p.deleted and p.type = any ({supporting}::text[]) and ${SINCE} and ${NO_NOTE}
   and exists (
     select
       from unnest({namedTypes}::text[], {namedParams}::integer[]) k (type, param)
       join idx_reference i on i.param = k.param and i.target = p.type || '/' || p.id
       join resource m on m.rid = i.rid and not m.deleted and m.type = any ({visible}::text[])
      where k.type = p.type and (m.type = 'Patient' or exists (
        select from idx_reference j
         where j.rid = m.rid and j.param = any ({params}::integer[]) and starts_with(j.target, 'Patient/')
      ))
   )
 order by p.rid
 limit {limit}::bigint`),
  },
};

/** Numbers the named parameters of a statement in the order of their first use. */
function statement(named: string): { readonly sql: string; readonly names: readonly string[] } {
  const names: string[] = [];
  const sql = named.replace(/\{([a-zA-Z]+)\}/g, (_whole, name: string) => {
    if (!names.includes(name)) names.push(name);
    return `$${names.indexOf(name) + 1}`;
  });
  return { sql, names };
}
