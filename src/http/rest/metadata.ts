/** GET /metadata in its modes. @see https://hl7.org/fhir/R4/http.html#capabilities */
import { hash } from 'node:crypto';
import type { ProfileSet } from '../../record/clinic-profiles.ts';
import type { Clinic, MakeDocument } from '../exchange.ts';
import { FHIR_JSON } from '../media-types.ts';
import { type CapabilityMode, capabilityStatement, modeIn, type Served } from './capabilities.ts';
import { terminologyCapabilities } from './terminology-capabilities.ts';

/** Each mode is made when it is first asked for, and again when other profiles are loaded; terminology may change always. */
export function metadata(served: Served, clinic: Clinic): MakeDocument {
  let made: { readonly set: ProfileSet; readonly texts: Map<CapabilityMode, string> } | undefined;
  const statement = async (mode: Exclude<CapabilityMode, 'terminology'>) => {
    const set = await clinic.profiles.latest();
    if (made?.set !== set) made = { set, texts: new Map() };
    const { texts } = made;
    const text = texts.get(mode) ?? capabilityStatement(served, clinic, set, mode);
    texts.set(mode, text);
    return text;
  };
  return async (query) => {
    const mode = modeIn(query);
    const body =
      mode === 'terminology'
        ? terminologyCapabilities(served, clinic, await clinic.terminology.open())
        : statement(mode);
    const text = await body;
    return { body: text, contentType: FHIR_JSON, etag: hash('sha256', text).slice(0, 16) };
  };
}
