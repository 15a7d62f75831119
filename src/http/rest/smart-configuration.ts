/** @see https://hl7.org/fhir/smart-app-launch/conformance.html */
import type { Clinic } from '../exchange.ts';

/**
 * What a SMART client finds out here. Tokens are issued by `kap-bridge token` so far, so no token endpoint is named:
 * discovery says what is, not what is planned.
 */
export function smartConfiguration(clinic: Clinic): string {
  return JSON.stringify({
    issuer: clinic.base,
    jwks_uri: `${clinic.base}/.well-known/jwks.json`,
    grant_types_supported: [],
    scopes_supported: ['system/*.cruds', 'system/*.rs'],
    capabilities: ['permission-v1', 'permission-v2'],
  });
}
