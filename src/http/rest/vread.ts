/** @see https://hl7.org/fhir/R4/http.html#vread */
import { Failure, issue } from '../../fhir/failure.ts';
import type { Interaction } from '../exchange.ts';
import { shown } from './read.ts';

export const vread: Interaction = {
  name: 'vread',
  action: 'R',
  takesBody: false,
  scopeOfType: true,
  handle: async (request) => {
    const { type, id, version } = request.target;
    if (!/^[1-9]\d{0,8}$/.test(version)) {
      throw new Failure(
        'not-found',
        issue('not-found', 'There is no such version: versions here are numbers from 1 on', undefined, 'MSG_NO_EXIST'),
      );
    }
    return shown(request, 'vread', await request.clinic.record.readVersion(type, id, Number(version)));
  },
};
