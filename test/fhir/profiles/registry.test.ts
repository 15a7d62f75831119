import fc from 'fast-check';
import type { ValueSetDigest } from '../../../src/fhir/definitions/value-sets.ts';
import { profileOf } from '../../../src/fhir/profiles/profile.ts';
import { type ProfileSource, profilesOf } from '../../../src/fhir/profiles/registry.ts';
import { shippedProfiles } from '../../../src/fhir/profiles/shipped.ts';
import { withSnapshot } from '../../../src/fhir/profiles/snapshot.ts';
import { compareVersions } from '../../../src/fhir/profiles/versions.ts';
import { OURS, parentsOf, profileOn, R4 } from './definition.ts';

const parents = parentsOf();
const URL = `${OURS}/versioned`;

function source(version: string, valueSets: readonly ValueSetDigest[] = []): ProfileSource {
  const definition = withSnapshot(profileOn('Patient', [], { url: URL, version }), parents);
  return { name: 'test', version, profiles: [profileOf(definition)], valueSets };
}

const shipped = shippedProfiles();

describe('of several versions', () => {
  const profiles = profilesOf(['6.1.0', '10.0.0', '6.1.4', '7.0.0-ballot', '7.0.0'].map((version) => source(version)));
  const versionOf = (canonical: string) => profiles.profile(canonical)?.version;

  test.each([
    [URL, '10.0.0'],
    [`${URL}|`, '10.0.0'],
    [`${URL}|6.1.0`, '6.1.0'],
    [`${URL}|6.1`, '6.1.4'],
    [`${URL}|6`, '6.1.4'],
    [`${URL}|7`, '7.0.0'],
    [`${URL}|7.0.0-ballot`, '7.0.0-ballot'],
    [`${URL}|6.2`, undefined],
    [`${URL}|6.1.00`, undefined],
    [`${URL}x`, undefined],
  ])('%s is version %s', (canonical, version) => {
    expect(versionOf(canonical)).toBe(version);
  });

  test('all of them are listed', () => {
    expect(profiles.all().map(({ version }) => version)).toEqual(['10.0.0', '7.0.0', '7.0.0-ballot', '6.1.4', '6.1.0']);
  });

  test('the last source with a version has it', () => {
    const [first, second] = [source('1.0.0'), source('1.0.0')];
    expect(profilesOf([first, second]).profile(URL)).toBe(second.profiles[0]);
  });
});

test('versions are in the order of semantic versioning', () => {
  const ordered = [
    undefined,
    'draft',
    '0.9',
    '1.0.0-alpha',
    '1.0.0-alpha.1',
    '1.0.0-alpha.beta',
    '1.0.0-beta',
    '1.0.0-beta.2',
    '1.0.0-beta.11',
    '1.0.0-rc.1',
    '1.0.0',
    '2.0',
    '2.1.1',
    '10.0.0',
  ];
  fc.assert(
    fc.property(fc.shuffledSubarray(ordered, { minLength: ordered.length }), (shuffled) => {
      // Array.sort leaves undefined at the end whatever it is told.
      const sorted = shuffled.map((version) => ({ version })).sort((a, b) => compareVersions(a.version, b.version));
      expect(sorted.map(({ version }) => version)).toEqual(ordered);
    }),
  );
});

describe('what is shipped', () => {
  test('has the profiles that R4 itself publishes, by canonical, though they are not listed', () => {
    expect(shipped.profile(`${R4}/vitalsigns`)).toMatchObject({ version: '4.0.1', type: 'Observation' });
    expect(shipped.profile(`${R4}/bp|4.0.1`)?.root.children.length).toBeGreaterThan(20);
    expect(shipped.profile(`${R4}/bp|5.0.0`)).toBeUndefined();
    expect(shipped.profile(`${R4}/patient-birthPlace`)).toMatchObject({
      type: 'Extension',
      context: [{ type: 'element', expression: 'Patient' }],
    });
    expect(shipped.profile(`${R4}/Patient`)).toBeUndefined();
    expect(shipped.all().some(({ url }) => url.startsWith(R4))).toBe(false);
  });

  test('has the value sets that their bindings name', () => {
    const bodyWeight = shipped.profile(`${R4}/bodyweight`);
    const code = bodyWeight?.root.children
      .find(({ name }) => name === 'value')
      ?.slices[0]?.children.find(({ name }) => name === 'code');
    const url = code?.binding?.valueSet ?? '';
    expect(shipped.valueSet(url)?.allows('http://unitsofmeasure.org', 'kg')).toBe(true);
    expect(shipped.valueSet(url)?.allows('http://unitsofmeasure.org', 'parsec')).toBe(false);
  });

  test('has the profiles of our guide, each with all of its snapshot', () => {
    const urls = shipped.all().map(({ url }) => url);
    expect(urls).toContain('https://kap.example.org/fhir/StructureDefinition/kap-patient');
    for (const { root } of shipped.all()) expect(root.children.length).toBeGreaterThan(0);
  });

  test('a package has the word before it, and does not hide what it has not', () => {
    const profiles = profilesOf([source('1.0.0')], shipped);
    expect(profiles.profile(`${R4}/vitalsigns`)).toBe(shipped.profile(`${R4}/vitalsigns`));
    expect(profiles.all()).toHaveLength(shipped.all().length + 1);
  });
});

test('value sets of packages are found as bindings name them', () => {
  const digest: ValueSetDigest = {
    url: 'https://example.org/vs|1.0.0',
    codes: { 'https://example.org/cs': ['a'] },
    open: [],
    unknown: false,
  };
  const profiles = profilesOf([source('1.0.0', [digest])]);
  expect(profiles.valueSet('https://example.org/vs|1.0.0')?.allows('https://example.org/cs', 'a')).toBe(true);
  expect(profiles.valueSet('https://example.org/vs')).toBeUndefined();
  const unknown = profilesOf([source('1.0.0', [{ ...digest, codes: {}, unknown: true }])]);
  expect(unknown.valueSet(digest.url)).toBeUndefined();
});
