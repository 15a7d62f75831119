/**
 * `:in`, `:not-in`, `:below` and `:above` of tokens, wherever they stand in a search, become the codes that they mean.
 *
 * @see https://hl7.org/fhir/R4/search.html#token
 */
import { Failure } from '../failure.ts';
import type { SearchFilter, TermsFilter, TokenValue } from '../search-filter.ts';
import type { SearchPart, SearchQuery } from '../search-query.ts';
import type { Terminology } from './port.ts';

/** The query itself where it has none. @throws Failure `invalid` for a value set that is unknown or too large */
export async function resolveTerms(query: SearchQuery, terminology: Terminology): Promise<SearchQuery> {
  if (!query.parts.some(({ filters }) => filters.some(hasTerms))) return query;
  const parts = await Promise.all(
    query.parts.map(async (part): Promise<SearchPart> => ({ ...part, filters: await all(part.filters, terminology) })),
  );
  const [only, ...others] = parts;
  return { ...query, ...(only !== undefined && others.length === 0 ? { filters: only.filters } : {}), parts };
}

function hasTerms(filter: SearchFilter): boolean {
  switch (filter.kind) {
    case 'terms':
      return true;
    case 'any':
    case 'all':
      return filter.filters.some(hasTerms);
    case 'not':
    case 'chain':
    case 'has':
      return hasTerms(filter.filter);
    default:
      return false;
  }
}

function all(filters: readonly SearchFilter[], terminology: Terminology): Promise<SearchFilter[]> {
  return Promise.all(filters.map((filter) => resolved(filter, terminology)));
}

async function resolved(filter: SearchFilter, terminology: Terminology): Promise<SearchFilter> {
  switch (filter.kind) {
    case 'any':
    case 'all':
      return { ...filter, filters: await all(filter.filters, terminology) };
    case 'not':
    case 'chain':
    case 'has':
      return { ...filter, filter: await resolved(filter.filter, terminology) };
    case 'terms': {
      const { parameter, relation } = filter;
      return { kind: 'token', parameter, not: relation === 'not-in', values: await tokensOf(filter, terminology) };
    }
    default:
      return filter;
  }
}

async function tokensOf(filter: TermsFilter, terminology: Terminology): Promise<TokenValue[]> {
  try {
    const found = await meant(filter, terminology);
    // A plain code has no system of its own: that of its value set is meant.
    return filter.parameter.boundTo.length === 0
      ? found
      : found.map(({ code }) => ({ system: '', ...(code === undefined ? {} : { code }) }));
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    // What is not found is not what the url of the request names, but one of its values.
    throw new Failure(
      'invalid',
      error.issues.map((issue) => ({ ...issue, expression: filter.place })),
      { cause: error },
    );
  }
}

function meant(filter: TermsFilter, terminology: Terminology): Promise<TokenValue[]> {
  switch (filter.relation) {
    case 'in':
    case 'not-in':
      return membersOf(filter.values as readonly string[], terminology);
    case 'below':
    case 'above':
      return relativesOf(filter.relation, filter.values as readonly TokenValue[], terminology);
  }
}

async function membersOf(valueSets: readonly string[], terminology: Terminology): Promise<TokenValue[]> {
  return (await Promise.all(valueSets.map((url) => terminology.members(url)))).flat();
}

async function relativesOf(
  relation: 'below' | 'above',
  values: readonly TokenValue[],
  terminology: Terminology,
): Promise<TokenValue[]> {
  const found = values.map(async ({ system, code }): Promise<TokenValue[]> => {
    // Only a system has a hierarchy.
    if (system === undefined || code === undefined)
      return [{ ...(system === undefined ? {} : { system }), ...(code === undefined ? {} : { code }) }];
    return (await terminology[relation](system, code)).map((each) => ({ system, code: each }));
  });
  return (await Promise.all(found)).flat();
}
