/**
 * Searches over several types, and within a compartment: `GET /?_type=…`, `POST /_search`, `Patient/x/Observation?…`,
 * `Patient/x/*`.
 *
 * @see https://hl7.org/fhir/R4/http.html#search
 * @see https://hl7.org/fhir/R4/http.html#vsearch
 */
import { requirePermission } from '../../access/scopes.ts';
import { Failure, issue } from '../../fhir/failure.ts';
import { COMPARTMENT_TYPES } from '../../fhir/search/compartments.ts';
import type { SearchParameterRegistry } from '../../fhir/search/parameters.ts';
import type { FhirRequest, Interaction } from '../exchange.ts';
import { searchAuditEvents } from './audit-events.ts';
import { search } from './search.ts';

/** GET /?… and POST /_search; types that the token may not search are left out unless they are named. */
export function searchSystem(registry: SearchParameterRegistry, method: 'GET' | 'POST'): Interaction {
  return {
    name: 'search-system',
    action: 'E',
    takesBody: method === 'POST',
    scopeOfType: false,
    handle: (request) => search(registry, request, 'search-system'),
  };
}

/** The routes of every compartment, by pattern. */
export function compartmentRoutes(registry: SearchParameterRegistry): Record<string, Record<string, Interaction>> {
  const routes: Record<string, Record<string, Interaction>> = {};
  for (const type of COMPARTMENT_TYPES) {
    routes[`/${type}/:id/:member`] = { GET: searchCompartment(registry, 'GET') };
    routes[`/${type}/:id/:member/_search`] = { POST: searchCompartment(registry, 'POST') };
  }
  return routes;
}

function searchCompartment(registry: SearchParameterRegistry, method: 'GET' | 'POST'): Interaction {
  const auditEvents = searchAuditEvents(registry, method === 'POST');
  return {
    name: 'search-type',
    action: 'E',
    takesBody: method === 'POST',
    scopeOfType: false,
    handle: async (request) => {
      const { target, grant } = request;
      if (target.member !== '*') requirePermission(grant.scopes, target.member, 'search-type');
      if (target.member === 'AuditEvent') return auditEvents.handle(ofPatient(request));
      return search(registry, request, 'search-type');
    },
  };
}

/** AuditEvents are kept apart from the record, by the patient they are about. */
function ofPatient(request: FhirRequest): FhirRequest {
  const { type, id, query } = request.target;
  if (type !== 'Patient') {
    const diagnostics = 'AuditEvents are found by patient only: Patient/x/AuditEvent, or AuditEvent?patient=x';
    throw new Failure('invalid', issue('not-supported', diagnostics));
  }
  const asked = `patient=Patient/${id}${query === '' ? '' : `&${query}`}`;
  return { ...request, target: { ...request.target, type: 'AuditEvent', id: '', member: '', query: asked } };
}
