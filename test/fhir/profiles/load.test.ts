import type { Resource, StructureDefinition } from '@medplum/fhirtypes';
import fc from 'fast-check';
import { loadDefinitions } from '../../../src/fhir/definitions.ts';
import { Failure, issue } from '../../../src/fhir/failure.ts';
import { digestPackages, type LoadContext, packSource, unpackSource } from '../../../src/fhir/profiles/load.ts';
import type { FhirPackage } from '../../../src/fhir/profiles/package.ts';
import { profilesOf } from '../../../src/fhir/profiles/registry.ts';
import { shippedProfiles } from '../../../src/fhir/profiles/shipped.ts';
import { withSnapshot } from '../../../src/fhir/profiles/snapshot.ts';
import { packageOf } from './archive.ts';
import { type Change, elementAt, OURS, parentsOf, profileOn, R4, refusal } from './definition.ts';
import { wildDefinitions } from './wild-definition.ts';

const parents = parentsOf();
const context: LoadContext = { definitions: loadDefinitions(), known: shippedProfiles(), definition: () => undefined };

const patientProfile = (changes: readonly Change[] = [], over: Partial<StructureDefinition> = {}) =>
  profileOn('Patient', changes, { url: `${OURS}/my-patient`, ...over });

const colours: Resource = {
  resourceType: 'CodeSystem',
  url: 'https://example.org/colours',
  version: '1.0.0',
  status: 'active',
  content: 'complete',
  concept: [{ code: 'red' }, { code: 'green' }],
} as Resource;
const colourSet: Resource = {
  resourceType: 'ValueSet',
  url: 'https://example.org/vs/colours',
  version: '1.0.0',
  status: 'active',
  compose: { include: [{ system: 'https://example.org/colours' }] },
} as Resource;
const bound = patientProfile([
  { id: 'Patient.maritalStatus', binding: { strength: 'required', valueSet: 'https://example.org/vs/colours' } },
]);

describe('what is kept of a package', () => {
  test('snapshots are made where they are absent, over parents of the same package in any order', async () => {
    const child = profileOn('Patient', [{ id: 'Patient.name', min: 1 }], {
      url: `${OURS}/child`,
      baseDefinition: `${OURS}/my-patient`,
    });
    const [digest] = digestPackages(
      [await packageOf([child, patientProfile([{ id: 'Patient.birthDate', min: 1 }])])],
      context,
    );
    const profile = digest?.source.profiles.find(({ url }) => url === `${OURS}/child`);
    expect(profile && [elementAt(profile, 'Patient.name').min, elementAt(profile, 'Patient.birthDate').min]).toEqual([
      1, 1,
    ]);
    expect(digest).toMatchObject({ absent: [], unresolved: [], passedOver: [] });
  });

  test('value sets of its bindings are expanded from its own code systems, and found by the version it has', async () => {
    const [digest] = digestPackages([await packageOf([bound, colourSet, colours])], context);
    const profiles = profilesOf(digest === undefined ? [] : [digest.source], context.known);
    const profile = profiles.profile(bound.url);
    const canonical = profile && elementAt(profile, 'Patient.maritalStatus').binding?.valueSet;
    expect(canonical).toBe('https://example.org/vs/colours|1.0.0');
    const valueSet = profiles.valueSet(canonical ?? '');
    expect(['red', 'blue'].map((code) => valueSet?.allows('https://example.org/colours', code))).toEqual([true, false]);
  });

  test('a value set that nobody has allows everything', async () => {
    const [digest] = digestPackages([await packageOf([bound])], context);
    const colour = digest?.source.valueSets.find(({ url }) => url === 'https://example.org/vs/colours');
    expect(colour).toEqual({ url: 'https://example.org/vs/colours', codes: {}, open: [], unknown: true });
  });

  test('value sets come from packages that it depends on, added with it or before, and from no others', async () => {
    const terms = await packageOf([colourSet, colours], { name: 'example.terms' });
    const allows = (digests: ReturnType<typeof digestPackages>) =>
      profilesOf(digests.map(({ source }) => source))
        .valueSet(bindingIn(digests) ?? '')
        ?.allows('https://example.org/colours', 'blue');
    const bindingIn = (digests: ReturnType<typeof digestPackages>) => {
      const profile = digests[0]?.source.profiles[0];
      return profile && elementAt(profile, 'Patient.maritalStatus').binding?.valueSet;
    };
    const needing = await packageOf([bound], { dependencies: { 'example.terms': '1.0.0' } });
    expect(allows(digestPackages([needing, terms], context))).toBe(false);
    const added = [{ name: 'example.terms', version: '1.0.0', resources: terms.resources }];
    expect(allows(digestPackages([needing], { ...context, added }))).toBe(false);
    expect(allows(digestPackages([await packageOf([bound])], { ...context, added }))).toBeUndefined();
  });

  test('it is the same after it was written as a text and read again', async () => {
    const [digest] = digestPackages([await packageOf([bound, colourSet, colours])], context);
    expect(unpackSource(packSource(digest?.source as never))).toEqual(digest?.source);
  });

  test('a text of another form is refused with what to do', () => {
    expect(refusal(() => unpackSource('{"format":99,"name":"a","version":"1"}'))).toEqual([
      expect.stringMatching(/a#1 was added by another version of kap-bridge: add the package again/),
    ]);
  });

  test('a canonical without version means the edition in the same package', async () => {
    const editions = await Promise.all(
      ['1.0.0', '2.0.0'].map((version) => {
        const target = patientProfile([], { version });
        const observation = profileOn(
          'Observation',
          [{ id: 'Observation.subject', type: [{ code: 'Reference', targetProfile: [target.url] }] }],
          { version },
        );
        return packageOf([target, observation], { version });
      }),
    );
    const profiles = profilesOf(digestPackages(editions, context).map(({ source }) => source));
    const targetOf = (version: string) => {
      const profile = profiles.profile(`${OURS}/test-observation|${version}`);
      return profile && elementAt(profile, 'Observation.subject').types[0]?.targets;
    };
    expect([targetOf('1.0.0'), targetOf('2.0.0')]).toEqual([
      [`${OURS}/my-patient|1.0.0`],
      [`${OURS}/my-patient|2.0.0`],
    ]);
  });

  test('or the edition that the package depends on, whatever else is here', async () => {
    const ofVersion = (version: string) => patientProfile([], { url: `${OURS}/theirs`, version });
    const editions = await Promise.all(
      ['1.0.0', '2.0.0'].map((version) => packageOf([ofVersion(version)], { name: 'theirs', version })),
    );
    const referring = profileOn('Observation', [
      { id: 'Observation.subject', type: [{ code: 'Reference', targetProfile: [`${OURS}/theirs`] }] },
    ]);
    const targetWith = async (version: string) => {
      const one = await packageOf([referring], { dependencies: { theirs: version } });
      const [digest] = digestPackages([one], {
        ...context,
        known: profilesOf(digestPackages(editions, context).map(({ source }) => source)),
        added: editions,
      });
      const [profile] = digest?.source.profiles ?? [];
      return [profile && elementAt(profile, 'Observation.subject').types[0]?.targets?.[0], digest?.absent];
    };
    expect(await targetWith('1.0.0')).toEqual([`${OURS}/theirs|1.0.0`, []]);
    expect(await targetWith('1.0.x')).toEqual([`${OURS}/theirs|1.0.0`, []]);
    expect(await targetWith('2.0.0')).toEqual([`${OURS}/theirs|2.0.0`, []]);
    expect(await targetWith('current')).toEqual([`${OURS}/theirs|2.0.0`, []]);
    expect(await targetWith('3.0.0')).toEqual([`${OURS}/theirs`, ['theirs#3.0.0']]);
  });

  test('a parent without version is that of the edition that the package depends on', async () => {
    const parent = (version: string, min: number) =>
      patientProfile([{ id: 'Patient.birthDate', min }], { url: `${OURS}/theirs`, version });
    const editions = await Promise.all([
      packageOf([parent('1.0.0', 1)], { name: 'theirs', version: '1.0.0' }),
      packageOf([parent('2.0.0', 0)], { name: 'theirs', version: '2.0.0' }),
    ]);
    const child = patientProfile([], { baseDefinition: `${OURS}/theirs` });
    const one = await packageOf([child], { dependencies: { theirs: '1.0.0' } });
    const [digest] = digestPackages([one, ...editions], context);
    const [profile] = digest?.source.profiles ?? [];
    expect(profile && elementAt(profile, 'Patient.birthDate').min).toBe(1);
  });

  test('definitions of types and of logical models are passed over, and told', async () => {
    const model = { ...patientProfile(), kind: 'logical' as const, url: `${OURS}/model` };
    const type = { ...patientProfile(), derivation: 'specialization' as const, url: `${OURS}/type` };
    const [digest] = digestPackages([await packageOf([model, type])], context);
    expect(digest?.source.profiles).toEqual([]);
    expect(digest?.passedOver).toEqual([
      `${OURS}/model: a logical model: no resource is validated by it`,
      expect.stringMatching(/type: a type of its own/),
    ]);
  });

  test("R4's own profiles and extensions in a package are passed over: they are here, corrected", async () => {
    const own = ['vitalsigns', 'codesystem-history'].map((id) => parents(`${R4}/${id}`) as StructureDefinition);
    const [digest] = digestPackages([await packageOf(own)], context);
    expect(digest?.passedOver).toEqual(own.map(({ url }) => `${url}: R4 itself, which is here already`));
  });

  test('dependencies that are not here, and what is named of them, are told', async () => {
    const profile = patientProfile([
      { id: 'Patient.extension:x', type: [{ code: 'Extension', profile: ['https://other.org/x'] }] },
    ]);
    const [digest] = digestPackages(
      [await packageOf([profile], { dependencies: { 'hl7.fhir.r4.core': '4.0.1', 'other.guide': '2.0.0' } })],
      context,
    );
    expect(digest).toMatchObject({ absent: ['other.guide#2.0.0'], unresolved: ['https://other.org/x'] });
  });

  test('a parent in a package that is not here is no obstacle to a definition with a snapshot', async () => {
    const complete = { ...withSnapshot(patientProfile(), parents), baseDefinition: 'https://other.org/parent' };
    const digests = digestPackages(
      [await packageOf([complete], { dependencies: { 'other.guide': '2.0.0' } })],
      context,
    );
    expect(digests[0]?.unresolved).toEqual(['https://other.org/parent']);
  });

  test('parents that were added before are found', async () => {
    const parent = patientProfile([{ id: 'Patient.birthDate', min: 1 }]);
    const child = profileOn('Patient', [], { url: `${OURS}/child`, baseDefinition: `${parent.url}|1.0.0` });
    const definition = (canonical: string) => (canonical.startsWith(parent.url) ? parent : undefined);
    const [digest] = digestPackages([await packageOf([child])], { ...context, definition });
    expect(digest?.source.profiles[0] && elementAt(digest.source.profiles[0], 'Patient.birthDate').min).toBe(1);
  });
});

describe('a package is refused whole', () => {
  const reasons = async (
    resources: readonly Resource[],
    manifest: Partial<FhirPackage> = {},
    over: Partial<LoadContext> = {},
  ) => {
    const one = await packageOf(resources, manifest);
    return refusal(() => digestPackages([one], { ...context, ...over }));
  };
  const complete = withSnapshot(patientProfile(), parents);
  const changed = (id: string, change: object): StructureDefinition => ({
    ...complete,
    snapshot: {
      element: (complete.snapshot?.element ?? []).map((each) => (each.id === id ? { ...each, ...change } : each)),
    },
  });

  test.each<[string, readonly StructureDefinition[], RegExp]>([
    [
      'an unknown parent',
      [patientProfile([], { baseDefinition: 'https://example.org/nobody' })],
      /its parent https:\/\/example\.org\/nobody is not known: add the package that has it first/,
    ],
    [
      'an unknown parent, with a snapshot',
      [{ ...complete, baseDefinition: 'https://example.org/nobody' }],
      /its parent .* is not known/,
    ],
    [
      'parents in a circle',
      [
        patientProfile([], { baseDefinition: `${OURS}/b` }),
        patientProfile([], { url: `${OURS}/b`, baseDefinition: `${OURS}/my-patient` }),
      ],
      /lead back to itself/,
    ],
    [
      'parents in a circle, with snapshots',
      [
        { ...complete, baseDefinition: `${OURS}/b` },
        { ...complete, url: `${OURS}/b`, baseDefinition: complete.url },
      ],
      /lead back to itself/,
    ],
    ['itself as parent, with a snapshot', [{ ...complete, baseDefinition: complete.url }], /lead back to itself/],
    [
      'an element that R4 has not',
      [
        {
          ...complete,
          snapshot: {
            element: [
              ...(complete.snapshot?.element ?? []),
              { id: 'Patient.foo', path: 'Patient.foo', min: 0, max: '1', type: [{ code: 'string' }] },
            ],
          },
        },
      ],
      /element Patient\.foo: Patient has no element foo in R4/,
    ],
    [
      'a wider max than R4',
      [changed('Patient.birthDate', { max: '*' })],
      /element Patient\.birthDate: max is more than R4's 1/,
    ],
    [
      'a type that R4 does not allow',
      [changed('Patient.birthDate', { type: [{ code: 'Quantity' }] })],
      /type Quantity is none of R4's \(date\)/,
    ],
    ['a type that R4 has not', [changed('Patient.birthDate', { type: [{ code: 'Foo' }] })], /type Foo is none of R4's/],
    [
      'a resource that R4 has not',
      [{ ...complete, type: 'Foo', snapshot: { element: [{ id: 'Foo', path: 'Foo', min: 0, max: '*' }] } }],
      /type Foo is no type of R4/,
    ],
    [
      'another kind than its type',
      [{ ...complete, kind: 'complex-type' }],
      /kind is complex-type, and Patient is a resource/,
    ],
    ['a broken path', [patientProfile([{ id: 'Patient..name' }])], /path is required: names of elements/],
    [
      'the same url and version twice',
      [patientProfile(), patientProfile([{ id: 'Patient.name', min: 1 }])],
      /my-patient\|1\.0\.0 is defined twice/,
    ],
    [
      'an extension that fixes another url',
      [profileOn('Extension', [{ id: 'Extension.url', fixedUri: 'https://example.org/x' }], { url: `${OURS}/y` })],
      /the fixed url https:\/\/example\.org\/x is not that of the definition/,
    ],
  ])('for %s, with the url', async (_case, resources, words) => {
    const found = await reasons(resources);
    expect(found.join('\n')).toMatch(words);
    expect(found.join('\n')).toContain(OURS);
  });

  test('with every reason of every definition', async () => {
    const found = await reasons([
      patientProfile([{ id: 'Patient.foo' }, { id: 'Patient.bar' }]),
      patientProfile([{ id: 'Patient.name', min: -1 }], { url: `${OURS}/b` }),
    ]);
    expect(found).toHaveLength(3);
  });

  test('with those that it depends on and that are not here, where its parent may be in one', async () => {
    const [reason] = await reasons([patientProfile([], { baseDefinition: 'https://other.org/parent' })], {
      dependencies: { 'other.guide': '2.0.0' },
    });
    expect(reason).toMatch(/it depends on other\.guide#2\.0\.0, which are not here/);
  });

  test('when a profile cannot be compiled', async () => {
    const compile: LoadContext['compile'] = ({ url }, profiles) => {
      expect(profiles.profile(url)).toBeDefined();
      expect(profiles.profile(`${R4}/vitalsigns`)).toBeDefined();
      return [issue('business-rule', `${url}: no`)];
    };
    expect(await reasons([patientProfile()], {}, { compile })).toEqual([expect.stringMatching(/my-patient: no/)]);
  });

  test('also those that are added with it', async () => {
    const [good, bad] = await Promise.all([
      packageOf([patientProfile()]),
      packageOf([patientProfile([{ id: 'Patient.foo' }], { url: `${OURS}/b` })], { name: 'bad' }),
    ]);
    expect(refusal(() => digestPackages([good, bad], context))).toHaveLength(1);
  });

  test('or taken, whatever JSON is in the place of its definitions', () => {
    fc.assert(
      fc.property(wildDefinitions, wildDefinitions, (first, second) => {
        const child = profileOn('Patient', [], { url: `${OURS}/child`, baseDefinition: `${OURS}/second` });
        const resources = [first, { ...second, url: `${OURS}/second` }, child];
        const one = { name: 'wild', version: '1', fhirVersions: ['4.0.1'], dependencies: {}, resources, examples: [] };
        try {
          digestPackages([one], context);
        } catch (error) {
          if (!(error instanceof Failure)) throw error;
        }
      }),
      { numRuns: 300 },
    );
  });
});
