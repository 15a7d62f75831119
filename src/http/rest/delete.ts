/** @see https://hl7.org/fhir/R4/http.html#delete and #cdelete */
import type { WriteRequest } from '../../record/record.ts';
import type { FhirAnswer, FhirRequest, Interaction } from '../exchange.ts';
import { versionHeaders } from './version-headers.ts';
import { criteriaOf, expectedVersion, writeContext } from './written.ts';

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

async function remove(request: FhirRequest, change: WriteRequest): Promise<FhirAnswer> {
  const ifMatch = expectedVersion(request.headers['if-match']);
  const [result] = await request.clinic.record.write(
    [{ ...change, ...(ifMatch === undefined ? {} : { ifMatch }) }],
    writeContext(request, 'delete'),
  );
  if (result?.stored !== undefined && result.effect === 'deleted') {
    return { status: 204, headers: versionHeaders(result.stored), audit: [] };
  }
  return { status: 204, audit: [] };
}
