/** @see https://hl7.org/fhir/R4/http.html#update and #cond-update */
import type { WriteRequest } from '../../record/record.ts';
import type { FhirAnswer, FhirRequest, Interaction } from '../exchange.ts';
import { resourceInBody } from './resource-body.ts';
import { criteriaOf, guards, writeOne, written } from './written.ts';

const shared = { name: 'update', action: 'U', takesBody: true, scopeOfType: true } as const;

/** By id; an id that is not there yet is created with it. */
export const update: Interaction = {
  ...shared,
  handle: async (request) => {
    const { type, id } = request.target;
    const resource = resourceInBody(request, type);
    return put(request, { method: 'PUT', type, id, resource, place: type });
  },
};

/** By a search: what it matches is updated, nothing matched is created, several are refused. */
export const conditionalUpdate: Interaction = {
  ...shared,
  handle: async (request) => {
    const { type, query } = request.target;
    const resource = resourceInBody(request, type);
    return put(request, { method: 'PUT', type, criteria: criteriaOf(query, 'The url'), resource, place: type });
  },
};

async function put(request: FhirRequest, change: WriteRequest): Promise<FhirAnswer> {
  return written(request, await writeOne(request, 'update', { ...change, ...guards(request) }));
}
