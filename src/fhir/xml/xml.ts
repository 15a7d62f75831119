/**
 * FHIR XML (https://hl7.org/fhir/R4/xml.html). The service stores and works on JSON; this turns one into the other at
 * its edge, by the definitions of R4: nothing here knows a resource type.
 *
 * Both ways are exact: numbers keep their digits, the narrative its bytes, and JSON that went through XML is the same
 * JSON with its elements in the order of the standard.
 */
import type { Definitions } from '../definitions.ts';
import { xmlLayouts } from './layout.ts';
import { readXml } from './reader.ts';
import { writeXml } from './writer.ts';

export type FhirXml = {
  /**
   * A resource as JSON text. Whether its values are valid is left to the validator, which names the same places.
   *
   * @throws Failure `invalid`, with line, column and FHIRPath: XML that is not well-formed, a document type, an element
   * or attribute that R4 has not, text where none may be, another namespace, nesting deeper than MAX_JSON_DEPTH, more than
   * 500,000 elements
   */
  toJson(source: Uint8Array): string;
  /**
   * @param json of a resource that is valid
   * @throws Failure `not-acceptable` when XML has no way to say it
   */
  fromJson(json: string, pretty: boolean): string;
};

export function fhirXml(definitions: Definitions): FhirXml {
  const layouts = xmlLayouts(definitions);
  const isResourceType = (name: string) => definitions.isResourceType(name);
  return {
    toJson: (source) => readXml(source, layouts, isResourceType),
    fromJson: (json, pretty) => writeXml(json, layouts, pretty),
  };
}
