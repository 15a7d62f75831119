/**
 * `_include` and `_revinclude`: what the matches of a page refer to, and what refers to them.
 *
 * One statement for the matches, however many includes there are; `:iterate` adds one for each further step, from what
 * the step before has found, until nothing new is found. No resource comes twice, and none that is a match.
 */
import { isCanonicalType } from '../../fhir/canonical-types.ts';
import type { SearchInclude } from '../../fhir/search/query.ts';
import { CONTENT, SERVED, type ServedRow } from '../stored-row.ts';
import { namedByUrl } from './filters.ts';
import type { Run } from './run.ts';
import { Statement } from './sql.ts';

/** Included resources of a page at most. */
export const MAX_INCLUDED = 1000;

/** Steps of `:iterate` at most; a chain of references that is longer is cut, too. */
const MAX_STEPS = 20;

export type Included = { readonly rows: readonly ServedRow[]; readonly cut: boolean };

export async function includedWith(
  run: Run,
  includes: readonly SearchInclude[],
  matches: readonly ServedRow[],
): Promise<Included> {
  const again = includes.filter(({ iterate }) => iterate);
  const found: ServedRow[] = [];
  let step = includes;
  let from = matches;
  for (let steps = 0; step.length > 0 && from.length > 0; steps++) {
    if (steps === MAX_STEPS) return { rows: found, cut: true };
    const room = MAX_INCLUDED - found.length;
    from = await oneStep(run, step, from, [...matches, ...found], room + 1);
    found.push(...from.slice(0, room));
    if (from.length > room) return { rows: found, cut: true };
    step = again;
  }
  return { rows: found, cut: false };
}

async function oneStep(
  run: Run,
  includes: readonly SearchInclude[],
  from: readonly ServedRow[],
  known: readonly ServedRow[],
  limit: number,
): Promise<readonly ServedRow[]> {
  const sql = new Statement();
  const hops = [
    ...hopsOf(includes, 'forward').map((hop) => forwardText(hop, from, sql)),
    ...hopsOf(includes, 'reverse').map((hop) => reverseText(hop, from, sql)),
  ];
  const rids = sql.array({ type: 'bigint', values: known.map(({ rid }) => rid) });
  const text = `with added as (select rid from (${hops.join(' union ')}) h where h.rid <> all (${rids}) offset 0)
select ${SERVED}
  from added d
  cross join lateral (select * from resource s where s.rid = d.rid and not s.deleted offset 0) p
  ${CONTENT}
 order by p.rid
 limit ${sql.value('bigint', limit)}`;
  return run<ServedRow>(text, sql);
}

/** Includes that differ in their parameter alone are one look-up. */
type Hop = { readonly keys: readonly number[]; readonly target: string | undefined; readonly canonical: boolean };

function hopsOf(includes: readonly SearchInclude[], direction: SearchInclude['direction']): Hop[] {
  const hops = new Map<string, Hop>();
  for (const { parameter, target, direction: own } of includes) {
    if (own !== direction || parameter.rows.length === 0) continue;
    const { onlyTarget } = parameter;
    if (target !== undefined && onlyTarget !== undefined && target !== onlyTarget) continue;
    const targets = target === undefined ? parameter.targets : [target];
    const canonical = targets.length === 0 || targets.some(isCanonicalType);
    const name = `${target ?? onlyTarget} ${canonical}`;
    const keys = [...(hops.get(name)?.keys ?? []), ...parameter.rows];
    hops.set(name, { keys: [...new Set(keys)], target: target ?? onlyTarget, canonical });
  }
  return [...hops.values()];
}

function isUnder(keys: readonly number[], sql: Statement): string {
  return keys.length === 1 ? `i.param = ${keys[0]}` : `i.param = any (${sql.array({ type: 'integer', values: keys })})`;
}

function forwardText({ keys, target, canonical }: Hop, from: readonly ServedRow[], sql: Statement): string {
  const rids = sql.array({ type: 'bigint', values: from.map(({ rid }) => rid) });
  const start = target === undefined ? undefined : sql.value('text', `${target}/`);
  const ofType =
    start === undefined
      ? ''
      : ` and (starts_with(i.target, ${start})${canonical ? " or strpos(i.target, ':') > 0" : ''})`;
  const named = `select s.rid from resource s where s.type = split_part(n.target, '/', 1) and s.id = split_part(n.target, '/', 2)`;
  const byUrl = canonical ? ` union all ${namedByUrl('n', target, 's.rid')}` : '';
  return `select t.rid from (
      select distinct i.target${canonical ? ', i.rid, i.param' : ''} from idx_reference i where i.rid = any (${rids}) and ${isUnder(keys, sql)}${ofType} offset 0
    ) n cross join lateral (
      ${named}${byUrl} offset 0
    ) t`;
}

/** References to a match name it by its id, or by its url. */
function reverseText({ keys, target, canonical }: Hop, from: readonly ServedRow[], sql: Statement): string {
  const named = from.filter(({ type }) => target === undefined || type === target);
  const targets = sql.array({ type: 'text', values: named.map(({ type, id }) => `${type}/${id}`) });
  const byId = `select i.rid from idx_reference i where i.target = any (${targets}) and ${isUnder(keys, sql)}`;
  const withUrl = canonical ? named.filter(({ type }) => isCanonicalType(type)) : [];
  if (withUrl.length === 0) return byId;
  const urls = withUrl.flatMap(({ content }) => canonicalsOf(content));
  const canonicals = sql.array({ type: 'text', values: urls });
  return `${byId} union select i.rid from idx_reference i where i.target = any (${canonicals}) and ${isUnder(keys, sql)}
    and (strpos(i.target, '|') > 0 or not exists (select from idx_reference e
      where e.rid = i.rid and e.param = i.param and starts_with(e.target, i.target || '|') offset 0))`;
}

/** `url` and `url|version`. */
function canonicalsOf(content: string): string[] {
  const { url, version } = JSON.parse(content) as { readonly url?: string; readonly version?: string };
  if (url === undefined) return [];
  return version === undefined ? [url] : [url, `${url}|${version}`];
}
