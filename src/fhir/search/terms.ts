/** What a search asks of the terminology, answered before it is asked of the index. */
import { Failure } from '../failure.ts';
import type { Terminology } from '../terminology/port.ts';
import type { SearchFilter, TermsFilter, TokenValue } from './filter.ts';
import type { SearchPart, SearchQuery } from './query.ts';

/**
 * The query with tokens in place of what `:in`, `:not-in`, `:below` and `:above` name; itself where it has none.
 *
 * @throws Failure of the terminology, at the place of the parameter: `not-found` for an unknown value set becomes
 * `invalid` with not-found, since the request is at fault
 */
export async function resolveTerms(query: SearchQuery, terminology: Terminology): Promise<SearchQuery> {
  if (!query.parts.some(({ filters }) => filters.some(hasTerms))) return query;
  // The same terms stand in each part of a search over several types.
  const known = new Map<string, Promise<readonly TokenValue[]>>();
  const parts: SearchPart[] = [];
  for (const part of query.parts) {
    const filters: SearchFilter[] = [];
    for (const filter of part.filters) filters.push(await resolved(filter, terminology, known));
    parts.push({ ...part, filters });
  }
  return { ...query, filters: parts[0]?.filters ?? [], parts };
}

function hasTerms(filter: SearchFilter): boolean {
  switch (filter.kind) {
    case 'terms':
      return true;
    case 'chain':
    case 'has':
    case 'not':
      return hasTerms(filter.filter);
    case 'any':
    case 'all':
      return filter.filters.some(hasTerms);
    default:
      return false;
  }
}

async function resolved(
  filter: SearchFilter,
  terminology: Terminology,
  known: Map<string, Promise<readonly TokenValue[]>>,
): Promise<SearchFilter> {
  if (!hasTerms(filter)) return filter;
  switch (filter.kind) {
    case 'terms': {
      const { parameter, relation, values } = filter;
      const key = JSON.stringify([relation, values]);
      const asked = known.get(key) ?? tokensOf(filter, terminology);
      known.set(key, asked);
      return { kind: 'token', parameter, not: relation === 'not-in', values: await asked };
    }
    case 'chain':
    case 'has':
    case 'not':
      return { ...filter, filter: await resolved(filter.filter, terminology, known) };
    case 'any':
    case 'all': {
      const filters: SearchFilter[] = [];
      for (const each of filter.filters) filters.push(await resolved(each, terminology, known));
      return { ...filter, filters };
    }
    default:
      return filter;
  }
}

async function tokensOf(filter: TermsFilter, terminology: Terminology): Promise<readonly TokenValue[]> {
  try {
    return distinct(await termsOf(filter, terminology));
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    const issues = error.issues.map((found) => ({ ...found, expression: filter.place }));
    throw new Failure(error.code === 'not-found' ? 'invalid' : error.code, issues, { cause: error });
  }
}

async function termsOf(filter: TermsFilter, terminology: Terminology): Promise<TokenValue[]> {
  const { parameter, relation } = filter;
  const found: TokenValue[] = [];
  for (const value of filter.values) {
    if (typeof value === 'string') {
      // A plain code has no system of its own.
      const isPlain = parameter.boundTo.length > 0;
      for (const { system, code } of await terminology.members(value))
        found.push({ system: isPlain ? '' : system, code });
    } else {
      found.push(value);
      const { system, code } = value;
      if (system === undefined || system === '' || code === undefined) continue;
      const codes =
        relation === 'below' ? await terminology.below(system, code) : await terminology.above(system, code);
      for (const other of codes) found.push({ system, code: other });
    }
  }
  return found;
}

function distinct(values: readonly TokenValue[]): TokenValue[] {
  return [...new Map(values.map((value) => [`${value.system ?? '*'}|${value.code ?? '*'}`, value])).values()];
}
