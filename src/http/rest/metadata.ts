/** GET /metadata in its modes. @see https://hl7.org/fhir/R4/http.html#capabilities */
import { hash } from 'node:crypto';
import type { Clinic, MakeDocument } from '../exchange.ts';
import { FHIR_JSON } from '../media-types.ts';
import { type CapabilityMode, capabilityStatement, modeIn, type Served } from './capabilities.ts';
import { terminologyCapabilities } from './terminology-capabilities.ts';

/** Each mode is made when it is first asked for; what terminology there is may change. */
export function metadata(served: Served, clinic: Clinic): MakeDocument {
  const made = new Map<CapabilityMode, string>();
  return async (query) => {
    const mode = modeIn(query);
    const body = made.get(mode) ?? (await textOf(served, clinic, mode));
    if (mode !== 'terminology') made.set(mode, body);
    return { body, contentType: FHIR_JSON, etag: hash('sha256', body).slice(0, 16) };
  };
}

async function textOf(served: Served, clinic: Clinic, mode: CapabilityMode): Promise<string> {
  if (mode !== 'terminology') return capabilityStatement(served, clinic, mode);
  return terminologyCapabilities(served, clinic, await clinic.terminology.open());
}
