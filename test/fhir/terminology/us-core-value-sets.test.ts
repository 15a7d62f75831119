/** What the bindings of US Core allow: what its packages say, and nothing that they only point at is refused. */
import type { Resource } from '@medplum/fhirtypes';
import { type ValueSet as BoundSet, valueSetOf } from '../../../src/fhir/definitions.ts';
import { digestValueSets } from '../../../src/fhir/profiles/value-sets.ts';
import { filesInPackage, usCorePackage, usCoreVersions, withPackages } from '../../us-core/package-file.ts';

const US_CORE = 'http://hl7.org/fhir/us/core/ValueSet/';
const NULL_FLAVOR = 'http://terminology.hl7.org/CodeSystem/v3-NullFlavor';
const CDC = 'urn:oid:2.16.840.1.113883.6.238';
const SNOMED = 'http://snomed.info/sct';

const resourcesOf = new Map<string, readonly Resource[]>();

function boundSet(version: (typeof usCoreVersions)[number], canonical: string): BoundSet {
  const resources =
    resourcesOf.get(version) ??
    filesInPackage(usCorePackage(version), /\/(ValueSet|CodeSystem)-[^/]*\.json$/).map(
      (text) => JSON.parse(text) as Resource,
    );
  resourcesOf.set(version, resources);
  const [digest] = digestValueSets([canonical], resources);
  if (digest === undefined) throw new Error('every canonical has a digest');
  return valueSetOf(digest);
}

type Case = readonly [
  id: string,
  allowed: readonly (readonly [string, string])[],
  refused: readonly (readonly [string, string])[],
];

const CATEGORY = 'http://hl7.org/fhir/us/core/CodeSystem/us-core-category';
const NOTE = 'http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category';

const CASES: readonly Case[] = [
  [
    'omb-race-category',
    [
      [CDC, '2106-3'],
      [CDC, '2131-1'],
      [NULL_FLAVOR, 'ASKU'],
    ],
    [
      [CDC, '1010-8'],
      [NULL_FLAVOR, 'OTH'],
    ],
  ],
  [
    'omb-ethnicity-category',
    [
      [CDC, '2186-5'],
      [NULL_FLAVOR, 'UNK'],
    ],
    [[CDC, '2106-3']],
  ],
  // Its 900 codes are in no package: none is refused.
  ['detailed-race', [[CDC, '1010-8']], []],
  [
    'us-core-encounter-type',
    [
      [SNOMED, '308335008'],
      ['http://www.ama-assn.org/go/cpt', '99213'],
    ],
    [['http://loinc.org', '1-8']],
  ],
  [
    'us-core-problem-or-health-concern',
    [
      ['http://terminology.hl7.org/CodeSystem/condition-category', 'problem-list-item'],
      ['http://hl7.org/fhir/us/core/CodeSystem/condition-category', 'health-concern'],
    ],
    [['http://terminology.hl7.org/CodeSystem/condition-category', 'encounter-diagnosis']],
  ],
  ['us-core-screening-assessment-observation-category', [[CATEGORY, 'sdoh']], [[CATEGORY, 'unknown']]],
  ['us-core-documentreference-category', [[NOTE, 'clinical-note']], [[NOTE, 'other']]],
  [
    'us-core-documentreference-type',
    [
      ['http://loinc.org', '34904-3'],
      [NULL_FLAVOR, 'UNK'],
    ],
    [[NULL_FLAVOR, 'OTH']],
  ],
  [
    'us-core-condition-code',
    [
      [SNOMED, '160245001'],
      ['http://hl7.org/fhir/sid/icd-10-cm', 'F33.2'],
    ],
    [['http://loinc.org', '1-8']],
  ],
  ['us-core-usps-state', [['https://www.usps.com/', 'MA']], [['https://www.usps.com/', 'XX']]],
];

withPackages.each(usCoreVersions.flatMap((version) => CASES.map((one) => [version, ...one] as const)))(
  'US Core %s, %s',
  (version, id, allowed, refused) => {
    const set = boundSet(version, US_CORE + id);
    for (const [system, code] of allowed)
      expect([system, code, set.allows(system, code)]).toEqual([system, code, true]);
    for (const [system, code] of refused)
      expect([system, code, set.allows(system, code)]).toEqual([system, code, false]);
  },
);

withPackages('a code is male, female, or why it is not known: birth sex of US Core 6.1.0', () => {
  const set = boundSet('6.1.0', `${US_CORE}birthsex`);
  expect(set.enumerable).toBe(true);
  expect([...set.codes].sort()).toEqual(['ASKU', 'F', 'M', 'OTH', 'UNK']);
});

withPackages('a code system named with its version behind a bar is that version: provenance of US Core 7.0.0', () => {
  const set = boundSet('7.0.0', `${US_CORE}us-core-provenance-participant-type`);
  expect(set.allows('http://terminology.hl7.org/CodeSystem/provenance-participant-type', 'author')).toBe(true);
  expect(set.allows('http://terminology.hl7.org/CodeSystem/provenance-participant-type', 'baker')).toBe(false);
});

withPackages.each(usCoreVersions)('no set of US Core %s that its profiles bind to is empty', (version) => {
  const structures = filesInPackage(usCorePackage(version), /\/StructureDefinition-[^/]*\.json$/);
  const bound = new Set(
    structures.flatMap((text) => [...text.matchAll(/"valueSet"\s*:\s*"([^"]+)"/g)].map(([, url]) => url ?? '')),
  );
  expect(bound.size).toBeGreaterThan(60);
  for (const canonical of bound) {
    const set = boundSet(version, canonical);
    expect([canonical, set.enumerable && set.codes.size === 0]).toEqual([canonical, false]);
  }
});
