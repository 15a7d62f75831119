/**
 * The profiles of US Core 6.1.0 and 7.0.0 by the type they are of, for a clinic that has loaded no package of US Core.
 * Resources that claim them are taken, kept whole and found by the search parameters that US Core asks for; whether they
 * meet them is checked where the package is loaded.
 *
 * @see https://hl7.org/fhir/us/core/profiles-and-extensions.html
 */
const BASE = 'http://hl7.org/fhir/us/core';

export const US_CORE_PACKAGE = 'hl7.fhir.us.core';
export const US_CORE_SERVER = `${BASE}/CapabilityStatement/us-core-server`;
export const US_CORE_GUIDES = ['6.1.0', '7.0.0'].map(
  (version) => `${BASE}/ImplementationGuide/hl7.fhir.us.core|${version}`,
);

/** Canonical urls without version: the same in both. Empty for a type that US Core says nothing about. */
export function usCoreProfiles(type: string): readonly string[] {
  const urlOf = (name: string) => `${BASE}/StructureDefinition/${UNPREFIXED.has(name) ? name : `us-core-${name}`}`;
  return (PROFILES[type]?.split(' ') ?? []).map(urlOf);
}

const UNPREFIXED: ReadonlySet<string> = new Set([
  'head-occipital-frontal-circumference-percentile',
  'pediatric-bmi-for-age',
  'pediatric-weight-for-height',
]);

const PROFILES: Readonly<Record<string, string>> = {
  AllergyIntolerance: 'allergyintolerance',
  CarePlan: 'careplan',
  CareTeam: 'careteam',
  Condition: 'condition-encounter-diagnosis condition-problems-health-concerns',
  Coverage: 'coverage',
  Device: 'implantable-device',
  DiagnosticReport: 'diagnosticreport-lab diagnosticreport-note',
  DocumentReference: 'documentreference',
  Encounter: 'encounter',
  Goal: 'goal',
  Immunization: 'immunization',
  Location: 'location',
  Medication: 'medication',
  MedicationDispense: 'medicationdispense',
  MedicationRequest: 'medicationrequest',
  Observation:
    'average-blood-pressure blood-pressure bmi body-height body-temperature body-weight care-experience-preference ' +
    'head-circumference head-occipital-frontal-circumference-percentile heart-rate observation-clinical-result ' +
    'observation-lab observation-occupation observation-pregnancyintent observation-pregnancystatus ' +
    'observation-screening-assessment observation-sexual-orientation pediatric-bmi-for-age ' +
    'pediatric-weight-for-height pulse-oximetry respiratory-rate simple-observation smokingstatus ' +
    'treatment-intervention-preference vital-signs',
  Organization: 'organization',
  Patient: 'patient',
  Practitioner: 'practitioner',
  PractitionerRole: 'practitionerrole',
  Procedure: 'procedure',
  Provenance: 'provenance',
  QuestionnaireResponse: 'questionnaireresponse',
  RelatedPerson: 'relatedperson',
  ServiceRequest: 'servicerequest',
  Specimen: 'specimen',
};

/** The type that a profile of US Core is of, with or without version. */
export function usCoreType(canonical: string): string | undefined {
  if (!canonical.startsWith(BASE)) return undefined;
  typeByProfile ??= new Map(Object.keys(PROFILES).flatMap((type) => usCoreProfiles(type).map((url) => [url, type])));
  return typeByProfile.get(canonical.split('|')[0] ?? '');
}

let typeByProfile: ReadonlyMap<string, string> | undefined;
