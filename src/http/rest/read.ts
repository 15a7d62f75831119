/** @see https://hl7.org/fhir/R4/http.html#read */
import { restEvent } from '../../audit/event.ts';
import type { StoredResource } from '../../record/record.ts';
import type { FhirAnswer, FhirRequest, Interaction } from '../exchange.ts';
import { isUnmodified } from './unmodified.ts';
import { versionHeaders } from './version-headers.ts';

export const read: Interaction = {
  name: 'read',
  action: 'R',
  takesBody: false,
  scopeOfType: true,
  handle: async (request) => {
    const { type, id } = request.target;
    return shown(request, 'read', await request.clinic.record.read(type, id));
  },
};

/** One version as the answer, unless the caller has it, and the event that it was seen. */
export function shown(request: FhirRequest, interaction: 'read' | 'vread', stored: StoredResource): FhirAnswer {
  const headers = versionHeaders(stored);
  const audit = [readEvent(request, interaction, stored)];
  if (isUnmodified(request.headers, stored)) return { status: 304, headers, audit };
  return { status: 200, headers, body: stored.content, audit };
}

function readEvent(request: FhirRequest, interaction: string, stored: StoredResource) {
  const { context, now } = request;
  return restEvent(
    { context, interaction, action: 'R', outcome: 0, patientId: stored.patientId, entities: [stored] },
    now,
  );
}
