import { type SearchOptions, search, searchText } from '../../src/postgres/search/search.ts';

type Client = Parameters<typeof search>[0];
type Query = Parameters<typeof search>[1];

const BASE = 'http://test/fhir';

/** The page of a search, after its other form, the text of its entries, has been seen to say the same. */
export async function searched(client: Client, query: Query, options: SearchOptions) {
  const page = await search(client, query, options);
  if (query.includes.length > 0) return page;
  const text = await searchText(client, query, BASE, options);
  const entries = JSON.parse(`[${text.entries}]`) as { fullUrl: string }[];
  expect(entries.map(({ fullUrl }) => fullUrl)).toEqual(page.matches.map(({ type, id }) => `${BASE}/${type}/${id}`));
  expect(text.next === undefined).toBe(page.next === undefined);
  expect(text.total).toBe(page.total);
  return page;
}
