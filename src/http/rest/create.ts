/** @see https://hl7.org/fhir/R4/http.html#create and #ccreate */
import type { Interaction } from '../exchange.ts';
import { resourceInBody } from './resource-body.ts';
import { criteriaOf, writeOne, written } from './written.ts';

export const create: Interaction = {
  name: 'create',
  action: 'C',
  takesBody: true,
  scopeOfType: true,
  handle: async (request) => {
    const { type } = request.target;
    const resource = resourceInBody(request, type);
    const condition = request.headers['if-none-exist'];
    const ifNoneExist = condition === undefined ? {} : { ifNoneExist: criteriaOf(String(condition), 'If-None-Exist') };
    const change = { method: 'POST', type, resource, place: type, ...ifNoneExist } as const;
    return written(request, await writeOne(request, 'create', change));
  },
};
