import { readFileSync } from 'node:fs';
import { checkExamples, validatorOfGuide } from '../../scripts/guide/examples.ts';
import { profilesIn, readGuide } from '../../scripts/guide/source.ts';

import { loadDefinitions } from '../../src/fhir/definitions.ts';
import { digestPackages } from '../../src/fhir/profiles/load.ts';
import { readPackage } from '../../src/fhir/profiles/package.ts';
import { profilesOf } from '../../src/fhir/profiles/registry.ts';
import { shippedProfiles } from '../../src/fhir/profiles/shipped.ts';
import { createValidator } from '../../src/fhir/validation/validator.ts';
import { usCorePackage, usCoreVersions, withPackages } from '../us-core/package-file.ts';

const source = readGuide();
const validator = validatorOfGuide(source);
const results = checkExamples(source, validator);
const folders = [...source.examples.values()];

test.each(folders.map(({ profile }) => profile))(
  'the examples of %s give what they promise, and nothing else',
  (profile) => {
    const faults = (results.get(profile) ?? []).flatMap(({ example, faults: all }) =>
      all.map((fault) => `${example.file}: ${fault}`),
    );
    expect(faults).toEqual([]);
  },
);

test('every profile has a valid example, and three invalid ones at least', () => {
  const few = profilesIn(source).flatMap(({ resource: { id = '', abstract } }) => {
    const examples = source.examples.get(id)?.examples ?? [];
    const valid = examples.filter(({ isValid }) => isValid).length;
    return valid >= 1 && examples.length - valid >= 3
      ? []
      : [`${id}: ${valid} valid, ${examples.length - valid} invalid${abstract ? ', abstract' : ''}`];
  });
  expect(few).toEqual([]);
});

test('every example is named for what it is, and what is listed is there', () => {
  for (const { profile, examples, missing } of folders) {
    expect([profile, missing]).toEqual([profile, []]);
    expect([
      profile,
      examples.map(({ file }) => file).filter((file) => !/^(in)?valid-[a-z0-9-]+\.json$/.test(file)),
    ]).toEqual([profile, []]);
  }
});

test.each(
  folders.flatMap(({ profile, examples }) => examples.map(({ file, resource }) => [profile, file, resource] as const)),
)('the example %s/%s claims its profile', (profile, _file, resource) => {
  const claims = (resource.meta?.profile ?? []).map((url) => url.split('|')[0]);
  const urls = profilesIn(source).filter(({ resource: { id, abstract } }) => id === profile && abstract !== true);
  expect(claims).toEqual(expect.arrayContaining(urls.map(({ resource: { url } }) => url)));
});

test.each(source.definitions.map(({ file, resource }) => [file, resource] as const))(
  '%s is valid R4 itself',
  (_file, resource) => {
    expect(validator.check(resource)).toEqual([]);
  },
);

withPackages.each(usCoreVersions)(
  'the valid examples of profiles on US Core are valid in US Core %s',
  async (version) => {
    const definitions = loadDefinitions();
    const known = shippedProfiles();
    const us = await readPackage(readFileSync(usCorePackage(version)));
    const [digested] = digestPackages([us], { definitions, known, definition: () => undefined });
    const profiles = profilesOf(digested === undefined ? [] : [digested.source], known);
    const usCore = createValidator(definitions, profiles);
    const checked = folders.flatMap(({ profile, examples }) => {
      const parent = usCoreParent(profile);
      if (parent === undefined) return [];
      return examples
        .filter(({ isValid }) => isValid)
        .map(({ file, resource }) => ({
          file: `${profile}/${file}`,
          issues: usCore.check(resource, { profiles: [`${parent}|${version}`], claimed: false }),
        }));
    });
    expect(checked.filter(({ issues }) => issues.length > 0)).toEqual([]);
    expect(checked.length).toBeGreaterThan(20);
  },
);

/** The nearest parent in US Core, without its version; through parents of ours. */
function usCoreParent(id: string): string | undefined {
  const base = profilesIn(source)
    .find(({ resource }) => resource.id === id)
    ?.resource.baseDefinition?.split('|')[0];
  if (base === undefined) return undefined;
  if (base.startsWith('http://hl7.org/fhir/us/core/')) return base;
  return base.startsWith('https://kap.example.org/') ? usCoreParent(base.slice(base.lastIndexOf('/') + 1)) : undefined;
}
