/**
 * Value sets of VSAC that required bindings of US Core are made of, and that no package of US Core carries: without
 * them race, ethnicity and birth sex could be anything. Larger ones (the 900 codes of detailed race) stay unknown.
 *
 * Race, Ethnicity and ONC Administrative Sex as expanded in the eCQM content of 2025; the two of null flavors as US Core
 * 6.1.0 describes the sets that include them.
 */
import type { ValueSet } from '@medplum/fhirtypes';

const VSAC = 'http://cts.nlm.nih.gov/fhir/ValueSet/';
const CDC_RACE_AND_ETHNICITY = 'urn:oid:2.16.840.1.113883.6.238';
const NULL_FLAVOR = 'http://terminology.hl7.org/CodeSystem/v3-NullFlavor';

export const VSAC_VALUE_SETS: readonly ValueSet[] = [
  listed('2.16.840.1.114222.4.11.836', 'Race', '20121025', CDC_RACE_AND_ETHNICITY, [
    ['1002-5', 'American Indian or Alaska Native'],
    ['2028-9', 'Asian'],
    ['2054-5', 'Black or African American'],
    ['2076-8', 'Native Hawaiian or Other Pacific Islander'],
    ['2106-3', 'White'],
    ['2131-1', 'Other Race'],
  ]),
  listed('2.16.840.1.114222.4.11.837', 'Ethnicity', '20121025', CDC_RACE_AND_ETHNICITY, [
    ['2135-2', 'Hispanic or Latino'],
    ['2186-5', 'Not Hispanic or Latino'],
  ]),
  listed(
    '2.16.840.1.113762.1.4.1',
    'ONCAdministrativeSex',
    '20150331',
    'http://terminology.hl7.org/CodeSystem/v3-AdministrativeGender',
    [
      ['F', 'Female'],
      ['M', 'Male'],
    ],
  ),
  listed('2.16.840.1.113762.1.4.1021.102', 'UnknownOrRefusedToAnswer', undefined, NULL_FLAVOR, [
    ['ASKU', 'asked but unknown'],
    ['UNK', 'unknown'],
  ]),
  listed('2.16.840.1.113762.1.4.1021.103', 'OtherOrUnknownOrRefusedToAnswer', undefined, NULL_FLAVOR, [
    ['ASKU', 'asked but unknown'],
    ['OTH', 'other'],
    ['UNK', 'unknown'],
  ]),
];

function listed(
  oid: string,
  name: string,
  version: string | undefined,
  system: string,
  concepts: readonly (readonly [code: string, display: string])[],
): ValueSet {
  return {
    resourceType: 'ValueSet',
    url: `${VSAC}${oid}`,
    ...(version === undefined ? {} : { version }),
    name,
    status: 'active',
    publisher: 'National Library of Medicine',
    compose: { include: [{ system, concept: concepts.map(([code, display]) => ({ code, display })) }] },
  };
}
