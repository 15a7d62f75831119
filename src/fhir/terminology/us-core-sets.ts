/**
 * Terminology that US Core's bindings need before anybody has loaded a package.
 *
 * Our own profiles are made on those of US Core 6.1.0 and inherit its bindings: the sets of those bindings, and the code
 * systems of US Core that they use in the edition of 7.0.0, which only adds codes. Other bindings of US Core are made of
 * value sets of VSAC that no package carries: without them race, ethnicity and birth sex could be anything. Race,
 * Ethnicity and ONC Administrative Sex are as expanded in the eCQM content of 2025, the two of null flavors as US Core
 * 6.1.0 describes the sets that include them. Larger ones (the 900 codes of detailed race) stay unknown.
 *
 * A package that a clinic has loaded comes before all of this.
 */
import type { CodeSystem, ValueSet, ValueSetComposeInclude } from '@medplum/fhirtypes';

const US_CORE = 'http://hl7.org/fhir/us/core';
const CATEGORY = `${US_CORE}/CodeSystem/us-core-category`;
const DOCUMENT_CATEGORY = `${US_CORE}/CodeSystem/us-core-documentreference-category`;
const SNOMED = 'http://snomed.info/sct';
const LOINC = 'http://loinc.org';
const CPT = 'http://www.ama-assn.org/go/cpt';
const CDC_RACE_AND_ETHNICITY = 'urn:oid:2.16.840.1.113883.6.238';
const NULL_FLAVOR = 'http://terminology.hl7.org/CodeSystem/v3-NullFlavor';

type Concepts = readonly (readonly [code: string, display: string])[];

const codeSystems: readonly CodeSystem[] = [
  codeSystem('us-core-category', 'USCoreCategory', [
    ['sdoh', 'SDOH'],
    ['functional-status', 'Functional Status'],
    ['disability-status', 'Disability Status'],
    ['cognitive-status', 'Cognitive Status'],
    ['treatment-intervention-preference', 'Treatment Intervention Preference'],
    ['care-experience-preference', 'Care Experience Preference'],
  ]),
  codeSystem('us-core-documentreference-category', 'USCoreDocumentReferencesCategoryCodes', [
    ['clinical-note', 'Clinical Note'],
  ]),
  codeSystem('careplan-category', 'USCoreCarePlanCategoryExtensionCodes', [
    ['assess-plan', 'Assessment and Plan of Treatment'],
  ]),
];

const valueSets: readonly ValueSet[] = [
  usCore('us-core-screening-assessment-observation-category', [{ system: CATEGORY }]),
  usCore('us-core-narrative-status', [
    listed('http://hl7.org/fhir/narrative-status', [
      ['additional', 'Additional'],
      ['generated', 'Generated'],
    ]),
  ]),
  usCore('us-core-documentreference-category', [{ system: DOCUMENT_CATEGORY }]),
  usCore('us-core-servicerequest-category', [
    { system: CATEGORY },
    listed(SNOMED, [
      ['386053000', 'Evaluation procedure (procedure)'],
      ['410606002', 'Social service procedure (procedure)'],
    ]),
    { valueSet: ['http://hl7.org/fhir/ValueSet/servicerequest-category'] },
  ]),
  usCore('us-core-vital-signs', [
    {
      system: LOINC,
      concept: ['59576-9', '8289-1', '77606-2', '59408-5', '3150-0', '3151-8'].map((code) => ({ code })),
    },
    { valueSet: ['http://hl7.org/fhir/ValueSet/observation-vitalsignresult'] },
  ]),
  usCore('us-core-encounter-type', [kindsOf('308335008'), { system: CPT }]),
  usCore('us-core-procedure-code', [
    { system: CPT },
    kindsOf('71388002'),
    { system: 'https://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets' },
    { system: 'http://www.cms.gov/Medicare/Coding/ICD10' },
    { system: 'http://www.ada.org/cdt' },
    { system: LOINC },
  ]),
  usCore('us-core-condition-code', [
    { system: SNOMED, concept: [{ code: '160245001' }] },
    kindsOf('404684003'),
    kindsOf('243796009'),
    kindsOf('272379006'),
    { system: 'http://hl7.org/fhir/sid/icd-10-cm' },
    { system: 'http://hl7.org/fhir/sid/icd-9-cm' },
  ]),
  usCore('us-core-usps-state', [{ system: 'https://www.usps.com/' }]),
  usCore('simple-language', [
    {
      system: 'urn:ietf:bcp:47',
      filter: ['ext-lang', 'script', 'variant', 'extension', 'private-use'].map((property) => ({
        property,
        op: 'exists',
        value: 'false',
      })),
    },
  ]),
  vsac('2.16.840.1.114222.4.11.836', 'Race', '20121025', CDC_RACE_AND_ETHNICITY, [
    ['1002-5', 'American Indian or Alaska Native'],
    ['2028-9', 'Asian'],
    ['2054-5', 'Black or African American'],
    ['2076-8', 'Native Hawaiian or Other Pacific Islander'],
    ['2106-3', 'White'],
    ['2131-1', 'Other Race'],
  ]),
  vsac('2.16.840.1.114222.4.11.837', 'Ethnicity', '20121025', CDC_RACE_AND_ETHNICITY, [
    ['2135-2', 'Hispanic or Latino'],
    ['2186-5', 'Not Hispanic or Latino'],
  ]),
  vsac(
    '2.16.840.1.113762.1.4.1',
    'ONCAdministrativeSex',
    '20150331',
    'http://terminology.hl7.org/CodeSystem/v3-AdministrativeGender',
    [
      ['F', 'Female'],
      ['M', 'Male'],
    ],
  ),
  vsac('2.16.840.1.113762.1.4.1021.102', 'UnknownOrRefusedToAnswer', undefined, NULL_FLAVOR, [
    ['ASKU', 'asked but unknown'],
    ['UNK', 'unknown'],
  ]),
  vsac('2.16.840.1.113762.1.4.1021.103', 'OtherOrUnknownOrRefusedToAnswer', undefined, NULL_FLAVOR, [
    ['ASKU', 'asked but unknown'],
    ['OTH', 'other'],
    ['UNK', 'unknown'],
  ]),
];

export const US_CORE_TERMINOLOGY: readonly (CodeSystem | ValueSet)[] = [...codeSystems, ...valueSets];

function codeSystem(id: string, name: string, concepts: Concepts): CodeSystem {
  return {
    resourceType: 'CodeSystem',
    url: `${US_CORE}/CodeSystem/${id}`,
    version: '7.0.0',
    name,
    status: 'active',
    caseSensitive: true,
    content: 'complete',
    concept: concepts.map(([code, display]) => ({ code, display })),
  };
}

function usCore(id: string, include: ValueSetComposeInclude[]): ValueSet {
  return {
    resourceType: 'ValueSet',
    url: `${US_CORE}/ValueSet/${id}`,
    version: '6.1.0',
    name: id.replace(/(^|-)(.)/g, (_all, _dash, letter: string) => letter.toUpperCase()),
    status: 'active',
    compose: { include },
  };
}

function vsac(oid: string, name: string, version: string | undefined, system: string, concepts: Concepts): ValueSet {
  return {
    resourceType: 'ValueSet',
    url: `http://cts.nlm.nih.gov/fhir/ValueSet/${oid}`,
    ...(version === undefined ? {} : { version }),
    name,
    status: 'active',
    publisher: 'National Library of Medicine',
    compose: { include: [listed(system, concepts)] },
  };
}

function listed(system: string, concepts: Concepts): ValueSetComposeInclude {
  return { system, concept: concepts.map(([code, display]) => ({ code, display })) };
}

/** The concept of SNOMED CT and all below it. */
function kindsOf(code: string): ValueSetComposeInclude {
  return { system: SNOMED, filter: [{ property: 'concept', op: 'is-a', value: code }] };
}
