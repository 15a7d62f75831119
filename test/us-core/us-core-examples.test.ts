/**
 * The definitions and examples of US Core against US Core, with the packages at hand: each example is valid against
 * what it claims, as its authors say. There is no exception.
 */
import { readFileSync } from 'node:fs';
import { parseStructureDefinition } from '@medplum/core';
import type { Resource, StructureDefinition } from '@medplum/fhirtypes';
import { loadDefinitions } from '../../src/fhir/definitions.ts';
import { digestPackages, packSource, unpackSource } from '../../src/fhir/profiles/load.ts';
import { type FhirPackage, readPackage } from '../../src/fhir/profiles/package.ts';
import type { Profile } from '../../src/fhir/profiles/profile.ts';
import { type Profiles, profilesOf } from '../../src/fhir/profiles/registry.ts';
import { shippedProfiles } from '../../src/fhir/profiles/shipped.ts';
import { compileProfile } from '../../src/fhir/validation/profile/profile-checks.ts';
import { createValidator, type Validator } from '../../src/fhir/validation/validator.ts';
import { differencesFromPublished, type Explanation, unexplained } from '../fhir/profiles/compare.ts';
import { parentsOf } from '../fhir/profiles/definition.ts';
import { packagesFolder, type UsCoreVersion, usCorePackage, usCoreVersions, withPackages } from './package-file.ts';

const definitions = loadDefinitions();
const US_CORE = 'http://hl7.org/fhir/us/core/StructureDefinition';

type Guide = {
  readonly package: FhirPackage;
  readonly profiles: Profiles;
  readonly validator: Validator;
  readonly text: string;
};
const guides = new Map<UsCoreVersion, Guide>();

beforeAll(async () => {
  if (packagesFolder === undefined) return;
  for (const version of usCoreVersions) {
    const read = await readPackage(readFileSync(usCorePackage(version)));
    const context = {
      definitions,
      known: shippedProfiles(),
      definition: () => undefined,
      compile: (profile: Profile, profiles: Profiles) => compileProfile(profile, profiles, definitions),
    };
    const text = digestPackages([read], context).map(({ source }) => packSource(source))[0] ?? '';
    const profiles = profilesOf([unpackSource(text)], shippedProfiles());
    guides.set(version, { package: read, profiles, validator: createValidator(definitions, profiles), text });
  }
}, 60_000);

function guide(version: UsCoreVersion): Guide {
  return guides.get(version) as Guide;
}

function structures(version: UsCoreVersion): StructureDefinition[] {
  return guide(version).package.resources.filter(
    (each): each is StructureDefinition => each.resourceType === 'StructureDefinition',
  );
}

/** Errors of all, with their places. */
function errorsIn(resources: readonly Resource[], { validator }: Guide): string[] {
  return resources.flatMap((resource) =>
    validator
      .check(resource)
      .map(({ diagnostics, expression, profile }) => `${resource.id} ${expression} ${diagnostics} ${profile}`),
  );
}

withPackages.each<[UsCoreVersion, number]>([
  ['6.1.0', 59],
  ['7.0.0', 63],
])('every profile of US Core %s compiles, and what a clinic keeps of it is small', (version, count) => {
  const { profiles, text } = guide(version);
  const own = profiles.all().filter(({ url }) => url.startsWith('http://hl7.org/fhir/us/core/'));
  expect(own).toHaveLength(count);
  expect(new Set(own.map((profile) => profile.version))).toEqual(new Set([version]));
  expect(own.flatMap((profile) => compileProfile(profile, profiles, definitions))).toEqual([]);
  expect(text.length).toBeLessThan(500_000);
});

withPackages.each(usCoreVersions)(
  'the profile of Provenance of US Core %s, which @medplum/core cannot parse, is held',
  (version) => {
    const definition = structures(version).find(({ id }) => id === 'us-core-provenance') as StructureDefinition;
    expect(() => parseStructureDefinition(definition)).toThrow();
    const [example] = guide(version).package.examples.filter(({ resourceType }) => resourceType === 'Provenance');
    const { validator } = guide(version);
    expect(validator.check(example)).toEqual([]);
    const agent = [{ ...(example as { agent: object[] }).agent[0], who: { reference: 'Medication/1' } }];
    expect(validator.check({ ...example, agent }).map(({ expression }) => expression)).toContain(
      'Provenance.agent[0].who.reference',
    );
  },
);

withPackages.each<[UsCoreVersion, number, number]>([
  ['6.1.0', 183, 170],
  ['7.0.0', 214, 200],
])('every example of US Core %s is valid against what it claims', (version, count, claims) => {
  const { examples } = guide(version).package;
  expect(examples).toHaveLength(count);
  const claimed = examples
    .flatMap(({ meta }) => meta?.profile ?? [])
    .filter((url) => guide(version).profiles.profile(url) !== undefined);
  expect(claimed.length).toBeGreaterThan(claims);
  expect(errorsIn(examples, guide(version))).toEqual([]);
});

withPackages.each(usCoreVersions)('every definition of US Core %s is valid too', (version) => {
  expect(errorsIn(guide(version).package.resources, guide(version))).toEqual([]);
});

withPackages.each(usCoreVersions)(
  'an example of US Core %s without an element that its profile requires is refused there',
  (version) => {
    const { profiles, validator, package: read } = guide(version);
    const passed: string[] = [];
    let dropped = 0;
    for (const example of read.examples) {
      for (const canonical of example.meta?.profile ?? []) {
        for (const { name, path, min } of profiles.profile(canonical)?.root.children ?? []) {
          const keys = Object.keys(example).filter(
            (key) => key === name || key === `_${name}` || (path.endsWith('[x]') && key.startsWith(name)),
          );
          if (min === 0 || keys.length === 0) continue;
          const rest = Object.fromEntries(Object.entries(example).filter(([key]) => !keys.includes(key)));
          dropped++;
          const isFound = validator
            .check(rest)
            .some(({ expression = '', diagnostics }) => `${expression} ${diagnostics}`.includes(name));
          if (!isFound) passed.push(`${example.id} ${path}`);
        }
      }
    }
    expect(dropped).toBeGreaterThan(600);
    expect(passed).toEqual([]);
  },
);

withPackages('both versions stand side by side, each with its own parts', () => {
  const profiles = profilesOf(
    usCoreVersions.map((version) => unpackSource(guide(version).text)),
    shippedProfiles(),
  );
  const patient = `${US_CORE}/us-core-patient`;
  expect(
    [patient, `${patient}|6.1.0`, `${patient}|6.1`].map((canonical) => profiles.profile(canonical)?.version),
  ).toEqual(['7.0.0', '6.1.0', '6.1.0']);
  const validator = createValidator(definitions, profiles);
  for (const version of usCoreVersions) {
    const issues = validator.check({ resourceType: 'Patient', meta: { profile: [`${patient}|${version}`] } });
    expect(new Set(issues.map(({ profile }) => profile))).toEqual(new Set([`${patient}|${version}`]));
  }
});

/** Why a snapshot that is made of a differential differs from the published one in what validation uses. */
const EXPLANATIONS: readonly Explanation[] = [
  [
    /Observation\.component:[A-Za-z]+\.value\[x\]/,
    'below a slice the publisher takes the shorthand for one type as if no other were allowed; R4 has it as a slice for that type (profiling.html)',
  ],
  [
    /identifier:(NPI|CLIA|NAIC)[. ]/,
    'a slice has the elements that the differential speaks of below the element that it slices',
  ],
  [
    /(MedicationDispense|MedicationRequest)\.(quantity|dosageInstruction\.doseAndRate\.dose\[x\]) types$/,
    'the publisher drops the profile SimpleQuantity of the type, which the differential does not repeat: that would be wider than R4',
  ],
  [
    /us-core-patient Patient\.communication\.language binding$/,
    'the publisher drops the largest value set that R4 allows: that would be wider than R4',
  ],
  [
    /us-core-provenance Provenance\.agent:Provenance(Author|Transmitter)/,
    'a slice has what is said of the element that it slices',
  ],
  [
    /us-core-average-blood-pressure Observation\.component:(systolic|diastolic)\S* constraints$/,
    'a slice has what is said of the element that it slices',
  ],
  [
    /us-core-patient Patient\.extension:race constraints$/,
    'the publisher repeats a constraint of the profile of the extension, which is named',
  ],
];

/** Differentials that cannot be taken, though their published snapshots are. */
const REFUSED: Readonly<Record<string, RegExp>> = {
  // The package that has it is not here.
  'us-core-questionnaireresponse': /its parent http:\/\/hl7\.org\/fhir\/uv\/sdc/,
  // R4 requires UCUM codes of vital signs in components, and the guide made that extensible.
  'us-core-vital-signs': /binding extensible is weaker than the parent's required/,
};

withPackages('snapshots made of the differentials are as published, but for differences that are explained', () => {
  const differences = usCoreVersions.flatMap((version) => {
    const all = structures(version);
    const parents = parentsOf(...all);
    return all.flatMap((definition) => {
      const refused = REFUSED[definition.id ?? ''];
      if (refused === undefined) return differencesFromPublished(definition, parents);
      expect(() => differencesFromPublished(definition, parents)).toThrow(refused);
      return [];
    });
  });
  expect(unexplained(differences, EXPLANATIONS)).toEqual([]);
});
