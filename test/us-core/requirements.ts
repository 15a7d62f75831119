/**
 * What US Core asks of a server's search, restated from the CapabilityStatements of 6.1.0 and 7.0.0: single parameters,
 * combinations (`patient+status`), includes. 7.0.0 has all of 6.1.0 and what is marked `since: 7`.
 *
 * @see https://hl7.org/fhir/us/core/CapabilityStatement-us-core-server.html
 */
export type UsCoreRequirement = {
  readonly kind: 'search' | 'include' | 'revinclude';
  readonly expectation: 'SHALL' | 'SHOULD' | 'MAY';
  readonly since?: 7;
  /** With spaces between them. */
  readonly names: string;
};

export type UsCoreType = { readonly type: string; readonly requirements: readonly UsCoreRequirement[] };

export const usCoreTypes: readonly UsCoreType[] = [
  {
    type: 'AllergyIntolerance',
    requirements: [
      { kind: 'search', expectation: 'MAY', names: 'clinical-status' },
      { kind: 'search', expectation: 'SHALL', names: 'patient' },
      { kind: 'search', expectation: 'SHOULD', names: 'clinical-status+patient' },
      { kind: 'revinclude', expectation: 'SHALL', names: 'Provenance:target' },
    ],
  },
  {
    type: 'CarePlan',
    requirements: [
      { kind: 'search', expectation: 'MAY', names: 'category date patient status' },
      {
        kind: 'search',
        expectation: 'SHOULD',
        names: 'category+patient+status category+date+patient+status category+date+patient',
      },
      { kind: 'search', expectation: 'SHALL', names: 'category+patient' },
      { kind: 'revinclude', expectation: 'SHALL', names: 'Provenance:target' },
    ],
  },
  {
    type: 'CareTeam',
    requirements: [
      { kind: 'search', expectation: 'MAY', names: 'patient status' },
      { kind: 'search', expectation: 'SHOULD', names: 'role patient+role' },
      { kind: 'search', expectation: 'SHALL', names: 'patient+status' },
      {
        kind: 'include',
        expectation: 'SHOULD',
        names:
          'CareTeam:participant:PractitionerRole CareTeam:participant:Practitioner CareTeam:participant:Patient CareTeam:participant:RelatedPerson',
      },
      { kind: 'revinclude', expectation: 'SHALL', names: 'Provenance:target' },
    ],
  },
  {
    type: 'Condition',
    requirements: [
      {
        kind: 'search',
        expectation: 'MAY',
        names: 'category clinical-status onset-date asserted-date recorded-date abatement-date code encounter',
      },
      { kind: 'search', expectation: 'SHALL', names: 'patient category+patient' },
      {
        kind: 'search',
        expectation: 'SHOULD',
        names:
          'patient+recorded-date asserted-date+patient category+clinical-status+patient onset-date+patient abatement-date+patient clinical-status+patient category+encounter+patient code+patient',
      },
      { kind: 'revinclude', expectation: 'SHALL', names: 'Provenance:target' },
      { kind: 'search', expectation: 'MAY', since: 7, names: '_lastUpdated' },
      { kind: 'search', expectation: 'SHOULD', since: 7, names: '_lastUpdated+patient' },
    ],
  },
  {
    type: 'Coverage',
    requirements: [
      { kind: 'search', expectation: 'SHALL', names: 'patient' },
      { kind: 'revinclude', expectation: 'SHALL', names: 'Provenance:target' },
    ],
  },
  {
    type: 'Device',
    requirements: [
      { kind: 'search', expectation: 'SHALL', names: 'patient' },
      { kind: 'search', expectation: 'MAY', names: 'type status' },
      { kind: 'search', expectation: 'SHOULD', names: 'patient+type patient+status' },
      { kind: 'revinclude', expectation: 'SHALL', names: 'Provenance:target' },
    ],
  },
  {
    type: 'DiagnosticReport',
    requirements: [
      { kind: 'search', expectation: 'MAY', names: 'status category code date' },
      { kind: 'search', expectation: 'SHALL', names: 'patient category+date+patient category+patient code+patient' },
      { kind: 'search', expectation: 'SHOULD', names: 'code+date+patient patient+status' },
      { kind: 'revinclude', expectation: 'SHALL', names: 'Provenance:target' },
      { kind: 'search', expectation: 'MAY', since: 7, names: '_lastUpdated' },
      { kind: 'search', expectation: 'SHOULD', since: 7, names: '_lastUpdated+category+patient' },
    ],
  },
  {
    type: 'DocumentReference',
    requirements: [
      {
        kind: 'search',
        expectation: 'SHALL',
        names: '_id patient patient+type category+date+patient category+patient',
      },
      { kind: 'search', expectation: 'MAY', names: 'status category type date period' },
      { kind: 'search', expectation: 'SHOULD', names: 'patient+status patient+period+type' },
      { kind: 'revinclude', expectation: 'SHALL', names: 'Provenance:target' },
    ],
  },
  {
    type: 'Encounter',
    requirements: [
      { kind: 'search', expectation: 'SHALL', names: '_id patient date+patient' },
      { kind: 'search', expectation: 'MAY', names: 'class date location status type discharge-disposition' },
      {
        kind: 'search',
        expectation: 'SHOULD',
        names: 'identifier patient+type class+patient patient+status location+patient discharge-disposition+patient',
      },
      { kind: 'revinclude', expectation: 'SHALL', names: 'Provenance:target' },
      { kind: 'search', expectation: 'MAY', since: 7, names: '_lastUpdated' },
      { kind: 'search', expectation: 'SHOULD', since: 7, names: '_lastUpdated+patient' },
    ],
  },
  {
    type: 'Goal',
    requirements: [
      { kind: 'search', expectation: 'MAY', names: 'lifecycle-status target-date description' },
      { kind: 'search', expectation: 'SHALL', names: 'patient' },
      {
        kind: 'search',
        expectation: 'SHOULD',
        names: 'patient+target-date description+patient lifecycle-status+patient',
      },
      { kind: 'revinclude', expectation: 'SHALL', names: 'Provenance:target' },
    ],
  },
  {
    type: 'Immunization',
    requirements: [
      { kind: 'search', expectation: 'SHALL', names: 'patient' },
      { kind: 'search', expectation: 'MAY', names: 'status date' },
      { kind: 'search', expectation: 'SHOULD', names: 'date+patient patient+status' },
      { kind: 'revinclude', expectation: 'SHALL', names: 'Provenance:target' },
    ],
  },
  {
    type: 'Location',
    requirements: [
      { kind: 'search', expectation: 'SHALL', names: 'name address' },
      { kind: 'search', expectation: 'SHOULD', names: 'address-city address-state address-postalcode' },
    ],
  },
  {
    type: 'MedicationDispense',
    requirements: [
      { kind: 'search', expectation: 'MAY', names: 'status type' },
      { kind: 'search', expectation: 'SHALL', names: 'patient' },
      { kind: 'search', expectation: 'SHOULD', names: 'patient+status+type patient+status' },
      { kind: 'include', expectation: 'SHOULD', names: 'MedicationDispense:medication' },
      { kind: 'revinclude', expectation: 'SHALL', names: 'Provenance:target' },
    ],
  },
  {
    type: 'MedicationRequest',
    requirements: [
      { kind: 'search', expectation: 'MAY', names: 'status intent patient encounter authoredon' },
      { kind: 'search', expectation: 'SHOULD', names: 'encounter+intent+patient authoredon+intent+patient' },
      { kind: 'search', expectation: 'SHALL', names: 'intent+patient+status intent+patient' },
      { kind: 'include', expectation: 'SHOULD', names: 'MedicationRequest:medication' },
      { kind: 'revinclude', expectation: 'SHALL', names: 'Provenance:target' },
    ],
  },
  {
    type: 'Observation',
    requirements: [
      { kind: 'search', expectation: 'MAY', names: 'status category code date patient' },
      { kind: 'search', expectation: 'SHOULD', names: 'code+date+patient category+patient+status' },
      { kind: 'search', expectation: 'SHALL', names: 'category+date+patient category+patient code+patient' },
      { kind: 'revinclude', expectation: 'SHALL', names: 'Provenance:target' },
      { kind: 'search', expectation: 'MAY', since: 7, names: '_lastUpdated' },
      { kind: 'search', expectation: 'SHOULD', since: 7, names: '_lastUpdated+category+patient' },
    ],
  },
  {
    type: 'Organization',
    requirements: [{ kind: 'search', expectation: 'SHALL', names: 'name address' }],
  },
  {
    type: 'Patient',
    requirements: [
      { kind: 'search', expectation: 'SHALL', names: '_id identifier name birthdate+name gender+name' },
      { kind: 'search', expectation: 'MAY', names: 'birthdate death-date family gender given' },
      { kind: 'search', expectation: 'SHOULD', names: 'birthdate+family family+gender death-date+family' },
      { kind: 'revinclude', expectation: 'SHALL', names: 'Provenance:target' },
    ],
  },
  {
    type: 'Practitioner',
    requirements: [
      { kind: 'search', expectation: 'SHOULD', names: '_id' },
      { kind: 'search', expectation: 'SHALL', names: 'name identifier' },
    ],
  },
  {
    type: 'PractitionerRole',
    requirements: [
      { kind: 'search', expectation: 'SHALL', names: 'specialty practitioner' },
      { kind: 'include', expectation: 'SHOULD', names: 'PractitionerRole:endpoint PractitionerRole:practitioner' },
    ],
  },
  {
    type: 'Procedure',
    requirements: [
      { kind: 'search', expectation: 'MAY', names: 'status date code' },
      { kind: 'search', expectation: 'SHALL', names: 'patient date+patient' },
      { kind: 'search', expectation: 'SHOULD', names: 'code+date+patient patient+status' },
      { kind: 'revinclude', expectation: 'SHALL', names: 'Provenance:target' },
    ],
  },
  {
    type: 'QuestionnaireResponse',
    requirements: [
      { kind: 'search', expectation: 'SHALL', names: '_id patient' },
      { kind: 'search', expectation: 'MAY', names: 'status authored questionnaire' },
      { kind: 'search', expectation: 'SHOULD', names: 'patient+questionnaire authored+patient patient+status' },
      { kind: 'revinclude', expectation: 'SHOULD', names: 'Provenance:target' },
    ],
  },
  {
    type: 'RelatedPerson',
    requirements: [
      { kind: 'search', expectation: 'SHALL', names: '_id' },
      { kind: 'search', expectation: 'SHOULD', names: 'patient name name+patient' },
      { kind: 'revinclude', expectation: 'SHALL', names: 'Provenance:target' },
    ],
  },
  {
    type: 'ServiceRequest',
    requirements: [
      { kind: 'search', expectation: 'MAY', names: 'status category code authored' },
      {
        kind: 'search',
        expectation: 'SHALL',
        names: 'patient _id authored+category+patient category+patient code+patient',
      },
      { kind: 'search', expectation: 'SHOULD', names: 'patient+status authored+code+patient' },
      { kind: 'revinclude', expectation: 'SHALL', names: 'Provenance:target' },
    ],
  },
  {
    type: 'Specimen',
    requirements: [
      { kind: 'search', expectation: 'SHALL', names: '_id' },
      { kind: 'search', expectation: 'SHOULD', names: 'patient' },
    ],
  },
];
