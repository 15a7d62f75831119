/** @see https://hl7.org/fhir/R4/http.html#read */
import type { IncomingHttpHeaders } from 'node:http';
import { restEvent } from '../../audit/event.ts';
import type { StoredResource } from '../../record/record.ts';
import type { FhirAnswer, FhirRequest, Interaction } from '../exchange.ts';
import { versionHeaders } from './version-headers.ts';

export const read: Interaction = {
  name: 'read',
  action: 'R',
  takesBody: false,
  scopeOfType: true,
  handle: async (request) => {
    const { type, id } = request.target;
    const stored = await request.clinic.record.read(type, id);
    if (isUnmodified(request.headers, stored)) {
      return { status: 304, headers: versionHeaders(stored), audit: [readEvent(request, 'read', stored)] };
    }
    return shown(request, 'read', stored);
  },
};

/** One version as the answer, and the event that it was seen. */
export function shown(request: FhirRequest, interaction: 'read' | 'vread', stored: StoredResource): FhirAnswer {
  return {
    status: 200,
    headers: versionHeaders(stored),
    body: stored.content,
    audit: [readEvent(request, interaction, stored)],
  };
}

function readEvent(request: FhirRequest, interaction: string, stored: StoredResource) {
  const { context, now } = request;
  return restEvent(
    { context, interaction, action: 'R', outcome: 0, patientId: stored.patientId, entities: [stored] },
    now,
  );
}

/** Conditional read; If-None-Match decides alone where both headers are sent (RFC 9110, 13.2.2). */
function isUnmodified(headers: IncomingHttpHeaders, stored: StoredResource): boolean {
  const noneMatch = headers['if-none-match'];
  if (noneMatch !== undefined) {
    const tags = noneMatch.split(',').map((tag) => /^(?:\*|(?:W\/)?"(.*)")$/.exec(tag.trim()));
    return tags.some((tag) => tag !== null && (tag[0] === '*' || tag[1] === String(stored.version)));
  }
  const since = headers['if-modified-since'];
  if (since === undefined) return false;
  const seconds = Math.floor(Date.parse(stored.lastUpdated) / 1000);
  return seconds <= Date.parse(since) / 1000;
}
