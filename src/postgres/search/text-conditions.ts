/**
 * `_text` and `_content` over idx_text. A resource whose current version is not read yet stands in idx_text_pending,
 * and its words are taken from its text: the answer is complete at every moment.
 */
import type { SearchFilter } from '../../fhir/search/query.ts';
import type { Statement } from './sql.ts';

type FulltextFilter = Extract<SearchFilter, { kind: 'fulltext' }>;

export function fulltextHolds(filter: FulltextFilter, r: string, sql: Statement): string {
  const { column, words, query } = parts(filter, sql);
  return `coalesce(
    (select coalesce(w.${column} @@ ${query}, false) from idx_text w where w.rid = ${r}.rid and w.version = ${r}.version),
    (select ${words}(v.content) @@ ${query} from resource_version v where v.rid = ${r}.rid and v.version = ${r}.version),
    false)`;
}

export function fulltextRids(filter: FulltextFilter, types: readonly string[], sql: Statement): string {
  const { column, words, query } = parts(filter, sql);
  return `select w.rid from idx_text w
    where w.${column} @@ ${query}
      and exists (select from resource s where s.rid = w.rid and s.version = w.version and not s.deleted offset 0)
    union all
    select p.rid from idx_text_pending p
      cross join lateral (select * from resource where rid = p.rid offset 0) s
      cross join lateral (select content from resource_version where rid = s.rid and version = s.version offset 0) v
    where not s.deleted and ${sql.isOneOf('s.type', { type: 'text', values: types })} and ${words}(v.content) @@ ${query}`;
}

function parts({ over, queries }: FulltextFilter, sql: Statement) {
  const text = sql.value('text', queries.map(websearch).join(' or '));
  return {
    column: over,
    words: over === 'narrative' ? 'narrative_words_of' : 'words_of',
    query: `websearch_to_tsquery('simple', ${text})`,
  };
}

const MARKS = /[\u0300-\u036f]/g;

/**
 * In the language of websearch_to_tsquery: words, "phrases", OR, and -word for NOT; AND is what stands between words
 * anyway. Accents are left out, as words_of does. Any text is a query.
 */
export function websearch(query: string): string {
  const pieces = query.normalize('NFD').replace(MARKS, '').split('"');
  // A quote that is never closed would swallow the alternatives behind it.
  if (pieces.length % 2 === 0) pieces.push('');
  return pieces
    .map((piece, i) => (i % 2 === 1 ? piece : piece.replace(/\bAND\b/g, ' ').replace(/\bNOT\s+/g, '-')))
    .join('"');
}
