/** Requests parsed as the service does, with a clock that stands still. */
import { loadDefinitions } from '../../../src/fhir/definitions.ts';
import { Failure } from '../../../src/fhir/failure.ts';
import { furtherSearchParameters } from '../../../src/fhir/search/further-search-parameters.ts';
import { searchParameterRegistry } from '../../../src/fhir/search/parameters.ts';
import { type Compartment, parseSearch, type SearchFilter, type SearchQuery } from '../../../src/fhir/search/query.ts';

export const registry = searchParameterRegistry(loadDefinitions(), furtherSearchParameters());
export const now = Date.parse('2026-01-01T00:00:00Z');
export const baseUrl = 'https://clinic.example/fhir';

type Handling = { readonly strict?: boolean; readonly compartment?: Compartment };

/** `Type?name=value&…`, or `?…` for the system level. Values are as in a url, but '+' and ' ' need no care. */
export function parsed(url: string, { strict = true, compartment }: Handling = {}): SearchQuery {
  const at = url.indexOf('?');
  const type = at < 0 ? url : url.slice(0, at);
  const params = new URLSearchParams(at < 0 ? '' : url.slice(at + 1));
  return parseSearch(type, params, registry, {
    strict,
    now,
    baseUrl,
    ...(compartment === undefined ? {} : { compartment }),
  });
}

/** The only condition of `Type?name=value`; the value needs no url encoding. */
export function filter(name: string, value: string): SearchFilter {
  const at = name.indexOf('?');
  const query = parseSearch(name.slice(0, at), [[name.slice(at + 1), value]], registry, { strict: true, now, baseUrl });
  const [only, ...others] = query.filters;
  expect(others).toEqual([]);
  return only as SearchFilter;
}

export function refusal(url: string, handling: Handling = {}): Failure {
  try {
    parsed(url, handling);
  } catch (error) {
    if (error instanceof Failure) return error;
    throw error;
  }
  throw new Error(`${url} was not refused`);
}

/** A condition without its parameters, for comparison. */
export function plain(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (key, item: unknown) => {
      if (key !== 'parameter') return item;
      const { type, code } = item as { type: string; code: string };
      return `${type}.${code}`;
    }),
  );
}
