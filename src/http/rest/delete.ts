/** @see https://hl7.org/fhir/R4/http.html#delete and #cdelete */
import type { WriteRequest } from '../../record/record.ts';
import type { FhirAnswer, FhirRequest, Interaction } from '../exchange.ts';
import { versionHeaders } from './version-headers.ts';
import { auditHeader, criteriaOf, effectOutcome, guards, preferredReturn, writeOne } from './written.ts';

const shared = { name: 'delete', action: 'D', takesBody: false, scopeOfType: true } as const;

/** 204 whether or not there was something: deleting twice is the same as once. */
export const deleteById: Interaction = {
  ...shared,
  handle: (request) => {
    const { type, id } = request.target;
    return remove(request, { method: 'DELETE', type, id, place: type });
  },
};

/** The one resource that the search matches; several are refused. */
export const conditionalDelete: Interaction = {
  ...shared,
  handle: (request) => {
    const { type, query } = request.target;
    return remove(request, { method: 'DELETE', type, criteria: criteriaOf(query, 'The url'), place: type });
  },
};

/** Without a body, unless an OperationOutcome is preferred. */
async function remove(request: FhirRequest, change: WriteRequest): Promise<FhirAnswer> {
  const { effect, stored, eventId } = await writeOne(request, 'delete', { ...change, ...guards(request) });
  const version = effect === 'deleted' && stored !== undefined ? versionHeaders(stored) : {};
  const headers = { ...version, ...auditHeader(eventId) };
  if (preferredReturn(request.headers.prefer) !== 'OperationOutcome') return { status: 204, headers, audit: [] };
  return { status: 200, headers, body: effectOutcome(effect, stored), audit: [] };
}
