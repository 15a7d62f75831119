/** Where a clinic's FHIR base is: the default clinic at /fhir, others below /clinics. `baseUrl` has no trailing slash. */
export function fhirBase(baseUrl: string, clinic: string): string {
  return clinic === 'default' ? `${baseUrl}/fhir` : `${baseUrl}/clinics/${clinic}/fhir`;
}
