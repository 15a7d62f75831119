/**
 * The search parameters that US Core has beyond those of R4, the same in 6.1.0 and 7.0.0.
 *
 * Where US Core says `.value.code`, the element itself stands here: so a code is found with its system as well.
 *
 * @see https://hl7.org/fhir/us/core/search-parameters-and-operations.html
 */
import type { SearchParameterDigest } from '../definitions.ts';

const US_CORE = 'http://hl7.org/fhir/us/core';

export const US_CORE_SEARCH_PARAMETERS: readonly SearchParameterDigest[] = [
  {
    url: `${US_CORE}/SearchParameter/us-core-race`,
    code: 'race',
    base: ['Patient'],
    type: 'token',
    expression: `Patient.extension('${US_CORE}/StructureDefinition/us-core-race').extension.value.ofType(Coding)`,
  },
  {
    url: `${US_CORE}/SearchParameter/us-core-ethnicity`,
    code: 'ethnicity',
    base: ['Patient'],
    type: 'token',
    expression: `Patient.extension('${US_CORE}/StructureDefinition/us-core-ethnicity').extension.value.ofType(Coding)`,
  },
  {
    url: `${US_CORE}/SearchParameter/us-core-patient-gender-identity`,
    code: 'gender-identity',
    base: ['Patient'],
    type: 'token',
    expression: `Patient.extension('${US_CORE}/StructureDefinition/us-core-genderIdentity').value.ofType(CodeableConcept)`,
  },
  {
    url: `${US_CORE}/SearchParameter/us-core-condition-asserted-date`,
    code: 'asserted-date',
    base: ['Condition'],
    type: 'date',
    expression:
      "Condition.extension('http://hl7.org/fhir/StructureDefinition/condition-assertedDate').value.ofType(dateTime)",
  },
  {
    url: `${US_CORE}/SearchParameter/us-core-careteam-role`,
    code: 'role',
    base: ['CareTeam'],
    type: 'token',
    expression: 'CareTeam.participant.role',
  },
  {
    url: `${US_CORE}/SearchParameter/us-core-encounter-discharge-disposition`,
    code: 'discharge-disposition',
    base: ['Encounter'],
    type: 'token',
    expression: 'Encounter.hospitalization.dischargeDisposition',
  },
  {
    url: `${US_CORE}/SearchParameter/us-core-goal-description`,
    code: 'description',
    base: ['Goal'],
    type: 'token',
    expression: 'Goal.description',
  },
];
