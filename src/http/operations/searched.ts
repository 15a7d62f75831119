/** For operations that choose among the matches of a search: all of them, and the Bundle of those that were chosen. */
import type { Resource } from '@medplum/fhirtypes';
import { Failure, issue } from '../../fhir/failure.ts';
import { parseJson } from '../../fhir/json.ts';
import type { SearchParameterRegistry } from '../../fhir/search/parameters.ts';
import { parseSearch, type SearchParams } from '../../fhir/search/query.ts';
import { SYSTEM } from '../../kap/codes.ts';
import { isPsychotherapyNote } from '../../kap/labels.ts';
import type { StoredResource } from '../../record/record.ts';
import type { FhirRequest } from '../exchange.ts';
import { bundleText } from '../rest/page.ts';
import type { OperationResult } from './operation-routes.ts';

export type Searched<T extends Resource> = { readonly resource: T; readonly stored: StoredResource };

const NOTE_LABELS = ['PSYTHPN', 'HIPAAPsyNotes', 'NOAUTH'].map((code) => `${SYSTEM.actCode}|${code}`).join(',');

/** The condition that keeps psychotherapy notes out of a search, of its pages and of its total (rule R-21). */
export const NO_NOTES = ['_security:not', NOTE_LABELS] as const;

/** Matches that one operation looks through at most. */
const MAX_MATCHES = 20_000;
const PAGE = 1000;

/**
 * Every match, without psychotherapy notes.
 *
 * @throws Failure `invalid` for a search that is none, or has more than 20,000 matches (`too-costly`)
 */
export async function searchAll<T extends Resource>(
  { clinic, now }: FhirRequest,
  registry: SearchParameterRegistry,
  type: T['resourceType'],
  params: SearchParams,
): Promise<readonly Searched<T>[]> {
  const options = { strict: true, baseUrl: clinic.base, now: now.getTime() };
  const query = { ...parseSearch(type, [...params, NO_NOTES], registry, options), count: PAGE, countOnly: false };
  const found: Searched<T>[] = [];
  let cursor: string | undefined;
  do {
    const { matches, next } = await clinic.record.search({ ...query, ...(cursor === undefined ? {} : { cursor }) });
    for (const stored of matches) {
      const resource = parseJson(stored.content) as T;
      if (!isPsychotherapyNote(resource)) found.push({ resource, stored });
    }
    if (found.length > MAX_MATCHES) {
      throw new Failure('invalid', issue('too-costly', `More than ${MAX_MATCHES} ${type} match. Narrow the search`));
    }
    cursor = next;
  } while (cursor !== undefined);
  return found;
}

/** A searchset of all that was chosen, in this order. */
export function chosenBundle(
  request: FhirRequest,
  given: SearchParams,
  chosen: readonly StoredResource[],
): OperationResult {
  const { base } = request.clinic;
  const { type, operation } = request.target;
  const used = new URLSearchParams([...given].map(([name, value]): [string, string] => [name, value]));
  const url = `${base}/${type}/$${operation}${used.size === 0 ? '' : `?${used}`}`;
  const entries = chosen.map(
    ({ id, content }) => `{"fullUrl":"${base}/${type}/${id}","resource":${content},"search":{"mode":"match"}}`,
  );
  const patients = new Set(chosen.flatMap(({ patientId }) => (patientId === null ? [] : [patientId])));
  return {
    body: bundleText('searchset', [{ relation: 'self', url }], entries, chosen.length),
    patients: [...patients],
  };
}
