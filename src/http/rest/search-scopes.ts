/**
 * What a token lets a search look at. To state a condition on other resources is to search them: a chain into a type that
 * the token may not search finds nothing, as if there were none of it, and so does a list of several types. Where nothing
 * is left of what was asked, it is refused with the scope that is missing.
 */
import { permits, requirePermission, type ScopeSet } from '../../access/scopes.ts';
import { Failure, issue } from '../../fhir/failure.ts';
import type { SearchFilter, SearchPart, SearchQuery } from '../../fhir/search/query.ts';

/**
 * The query as the token may ask it.
 *
 * @throws Failure `forbidden`; `invalid` for types that cannot be searched beside others
 */
export function withinScopes(query: SearchQuery, scopes: ScopeSet): SearchQuery {
  if (isSearchable(scopes, '*') && query.type !== '') return query;
  const parts = query.type === '' ? partsSeen(query, scopes) : query.parts;
  const limited = parts.map((part) => ({ ...part, filters: part.filters.map((filter) => required(filter, scopes)) }));
  const [first] = limited;
  const filters = query.type === '' ? {} : { filters: (first as SearchPart).filters };
  return { ...query, ...filters, parts: limited, includes: includesSeen(query, scopes) };
}

/** What may be shown of what a match refers to. A Binary may belong to a resource of any type, and is seen as that one. */
export function isShown(scopes: ScopeSet, type: string): boolean {
  return permits(scopes, type === 'Binary' ? '*' : type, 'read');
}

function isSearchable(scopes: ScopeSet, type: string): boolean {
  return permits(scopes, type, 'search-type');
}

// ---- types

/** AuditEvents are kept apart, and a Binary may belong to a resource of any type. */
function partsSeen({ parts, used }: SearchQuery, scopes: ScopeSet): readonly SearchPart[] {
  const isNamed = used.some(([name]) => name === '_type');
  if (isNamed && parts.some(({ type }) => type === 'AuditEvent')) {
    const diagnostics = 'AuditEvents are searched by themselves: GET AuditEvent?…';
    throw new Failure('invalid', issue('not-supported', diagnostics, 'http._type'));
  }
  if (isNamed) for (const { type } of parts) requirePermission(scopes, listed(type), 'search-type', 'http._type');
  const seen = parts.filter(({ type }) => type !== 'AuditEvent' && isSearchable(scopes, listed(type)));
  if (seen.length === 0) requirePermission(scopes, '*', 'search-system');
  return seen;
}

/** The type that a scope must name: a Binary may belong to a resource of any. */
export function listed(type: string): string {
  return type === 'Binary' ? '*' : type;
}

/** A wildcard asks for what there is to see, a name for what it names. */
function includesSeen({ includes, used }: SearchQuery, scopes: ScopeSet): SearchQuery['includes'] {
  const isWild = used.some(([name, value]) => name.startsWith('_revinclude') && value.includes('*'));
  return includes.filter(({ direction, parameter }) => {
    if (direction === 'forward') return true;
    if (!isWild) requirePermission(scopes, parameter.type, 'search-type', 'http._revinclude');
    return isSearchable(scopes, parameter.type);
  });
}

// ---- conditions on other resources

/** Holds for nothing. */
const NEVER: SearchFilter = { kind: 'any', filters: [] };

/** How much of a condition the token may look up. */
type Seen = { readonly hidden: Set<string>; count: number };

function required(filter: SearchFilter, scopes: ScopeSet): SearchFilter {
  const seen: Seen = { hidden: new Set(), count: 0 };
  const limited = limit(filter, scopes, seen);
  const [type] = seen.hidden;
  if (type !== undefined && seen.count === 0) requirePermission(scopes, type, 'search-type');
  return limited;
}

function limit(filter: SearchFilter, scopes: ScopeSet, seen: Seen): SearchFilter {
  switch (filter.kind) {
    case 'chain':
    case 'has':
      if (!maySee(filter.kind === 'chain' ? filter.target : filter.parameter.type, scopes, seen)) return NEVER;
      return { ...filter, filter: limit(filter.filter, scopes, seen) };
    case 'list':
      return maySee('List', scopes, seen) ? filter : NEVER;
    case 'any':
    case 'all':
      return { ...filter, filters: filter.filters.map((each) => limit(each, scopes, seen)) };
    case 'not':
      return { ...filter, filter: limit(filter.filter, scopes, seen) };
    default:
      return filter;
  }
}

function maySee(type: string, scopes: ScopeSet, seen: Seen): boolean {
  if (isSearchable(scopes, type)) seen.count++;
  else seen.hidden.add(type);
  return isSearchable(scopes, type);
}
