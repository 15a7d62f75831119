/** Packages that are broken in ways that only show where one definition is laid beside another, or beside R4. */
import type { ElementDefinition, Resource, StructureDefinition, ValueSet } from '@medplum/fhirtypes';
import fc from 'fast-check';
import { loadDefinitions } from '../../../src/fhir/definitions.ts';
import { Failure } from '../../../src/fhir/failure.ts';
import { digestPackages, type LoadContext } from '../../../src/fhir/profiles/load.ts';
import { shippedProfiles } from '../../../src/fhir/profiles/shipped.ts';
import { withSnapshot } from '../../../src/fhir/profiles/snapshot.ts';
import { packageOf } from './archive.ts';
import { type Change, OURS, parentsOf, profileOn, R4 } from './definition.ts';

const context: LoadContext = { definitions: loadDefinitions(), known: shippedProfiles(), definition: () => undefined };
const parents = parentsOf();

/** Places and words; none when the package is taken. */
async function reasons(...resources: readonly unknown[]): Promise<string[]> {
  const one = await packageOf(resources as Resource[]);
  try {
    digestPackages([one], context);
    return [];
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return error.issues.map(({ diagnostics, expression }) => `${expression}: ${diagnostics}`);
  }
}

const patient = (changes: readonly Change[], over: Partial<StructureDefinition> = {}) =>
  profileOn('Patient', changes, { url: `${OURS}/p`, ...over });

describe('of a definition', () => {
  test.each<[string, Change, RegExp]>([
    [
      'two fixed values',
      { id: 'Patient.deceased[x]', fixedBoolean: true, fixedDateTime: '2020' } as Change,
      /^StructureDefinition\.differential\.element\[1\]\.fixed: .*fixedBoolean and fixedDateTime exclude each other/,
    ],
    [
      'two patterns',
      { id: 'Patient.deceased[x]', patternBoolean: true, patternDateTime: '2020' } as Change,
      /\.pattern: .*patternBoolean and patternDateTime exclude each other/,
    ],
    [
      'two lowest values',
      { id: 'Patient.multipleBirth[x]', minValueInteger: 1, minValueDate: '2020' } as Change,
      /\.minValue: .*exclude each other/,
    ],
  ])('%s of one element are refused by their names', async (_what, change, words) => {
    expect(await reasons(patient([change]))).toEqual([expect.stringMatching(words)]);
  });

  test.each(['foo', 'https://x.example/a|1.0.0', 'https://x.example/a b', '/StructureDefinition/p', ''])(
    'the url %j is no canonical',
    async (url) => {
      const [reason, ...others] = await reasons(patient([], { url }));
      expect(others).toEqual([]);
      expect(reason).toMatch(/^StructureDefinition\.url: .*(must be a whole address with its scheme|is required)/);
    },
  );

  test.each(['urn:oid:1.2.3', 'urn:uuid:0c7a5a4e-7f4c-4f3e-8d3b-111111111111', 'HTTP://x.example/a#b'])(
    'the url %j is one',
    async (url) => {
      expect(await reasons(patient([], { url }))).toEqual([]);
    },
  );

  test.each(['5.0.0', '4.3.0', '3.0.2', '4.1'])('a parent of R4 in version %s is not known', async (version) => {
    const baseDefinition = `${R4}/Patient|${version}`;
    const words =
      /baseDefinition: .*Patient\|.* is of another release than R4: leave the version out, or take \|4\.0\.1/;
    expect(await reasons(patient([], { baseDefinition }))).toEqual([expect.stringMatching(words)]);
    const complete = { ...withSnapshot(patient([]), parents), baseDefinition };
    expect(await reasons(complete)).toEqual([expect.stringMatching(words)]);
  });

  test.each(['4.0.1', '4.0'])('a parent of R4 in version %s is', async (version) => {
    expect(await reasons(patient([], { baseDefinition: `${R4}/Patient|${version}` }))).toEqual([]);
  });

  test('slicing without discriminator and without description is refused, and one that is described is not', async () => {
    const sliced = (description?: string) =>
      patient([
        { id: 'Patient.identifier', slicing: { rules: 'open', ...(description === undefined ? {} : { description }) } },
        { id: 'Patient.identifier:mine', max: '1' },
      ]);
    expect(await reasons(sliced())).toEqual([
      expect.stringMatching(/element\[\d+\]\.slicing: .*Patient\.identifier: it has neither a discriminator/),
    ]);
    expect(await reasons(sliced('by hand'))).toEqual([]);
  });

  test('a slicing that is only closed keeps the discriminators of its parent', async () => {
    const parent = patient([
      { id: 'Patient.identifier', slicing: { discriminator: [{ type: 'value', path: 'system' }], rules: 'open' } },
      { id: 'Patient.identifier:mine', max: '1' },
      { id: 'Patient.identifier:mine.system', fixedUri: 'https://x.example' },
    ]);
    const child = patient([{ id: 'Patient.identifier', slicing: { rules: 'closed' } }], {
      url: `${OURS}/child`,
      baseDefinition: parent.url,
    });
    expect(await reasons(parent, child)).toEqual([]);
  });

  test('places without a canonical are passed over', async () => {
    const subject = { id: 'Observation.subject', type: [{ code: 'Reference', targetProfile: [null] }] };
    expect(await reasons(profileOn('Observation', [subject as unknown as Change]))).toEqual([]);
  });
});

describe('a profile that a type names', () => {
  const quantity = profileOn('Quantity', [{ id: 'Quantity.code', min: 1 }], { url: `${OURS}/q` });
  const naming = (id: string, type: NonNullable<ElementDefinition['type']>, of = 'Observation') =>
    profileOn(of, [{ id, type }]);

  test('of another type is refused with both types', async () => {
    const type = [{ code: 'Identifier', profile: [quantity.url] }];
    expect(await reasons(quantity, naming('Patient.identifier', type, 'Patient'))).toEqual([
      expect.stringMatching(
        /element Patient\.identifier: profile .*\/q\|1\.0\.0 is of Quantity, and the type is Identifier/,
      ),
    ]);
    const published = [{ code: 'CodeableConcept', profile: [`${R4}/SimpleQuantity`] }];
    expect(await reasons(naming('Observation.code', published))).toEqual([
      expect.stringMatching(/SimpleQuantity is of Quantity, and the type is CodeableConcept/),
    ]);
  });

  test.each<[string, string, NonNullable<ElementDefinition['type']>, string]>([
    ['the type itself', 'Observation.value[x]', [{ code: 'Quantity', profile: [quantity.url] }], 'Observation'],
    ['a type below it', 'Encounter.length', [{ code: 'Duration', profile: [quantity.url] }], 'Encounter'],
    ['a resource', 'Patient.contained', [{ code: 'Resource', profile: [`${R4}/vitalsigns`] }], 'Patient'],
    [
      'one that nobody has',
      'Patient.identifier',
      [{ code: 'Identifier', profile: ['https://x.example/i'] }],
      'Patient',
    ],
  ])('of %s is taken', async (_what, id, type, of) => {
    expect(await reasons(quantity, naming(id, type, of))).toEqual([]);
  });

  test('as a target of a type that R4 does not allow there is refused', async () => {
    const type = [{ code: 'Reference', targetProfile: [`${R4}/vitalsigns`] }];
    const complete = withSnapshot(naming('Observation.subject', [{ code: 'Reference' }]), parents);
    const element = (complete.snapshot?.element ?? []).map((each) =>
      each.id === 'Observation.subject' ? { ...each, type } : each,
    );
    expect(await reasons({ ...complete, snapshot: { element } })).toEqual([
      expect.stringMatching(
        /Observation\.subject: target .*vitalsigns is of Observation, and R4 allows Patient, Group, Device, Location/,
      ),
    ]);
  });
});

describe('of terminology', () => {
  const set = (over: object) => ({ resourceType: 'ValueSet', url: 'https://x.example/vs', status: 'active', ...over });
  const system = (over: object) => ({
    resourceType: 'CodeSystem',
    url: 'https://x.example/cs',
    status: 'active',
    content: 'complete',
    ...over,
  });
  const bound = patient([
    { id: 'Patient.maritalStatus', binding: { strength: 'required', valueSet: 'https://x.example/vs' } },
  ]);

  test.each<[string, object, RegExp]>([
    [
      'an include that is a number',
      set({ compose: { include: 5 } }),
      /^ValueSet\.compose\.include: .*x\.example\/vs: /,
    ],
    ['an include that is null', set({ compose: { include: [null] } }), /^ValueSet\.compose\.include\[0\]: /],
    [
      'a code that is a number',
      set({ compose: { include: [{ system: 'https://x.example/cs', concept: [{ code: 5 }] }] } }),
      /^ValueSet\.compose\.include\[0\]\.concept\[0\]\.code: /,
    ],
    ['an expansion that is a text', set({ expansion: 'x' }), /^ValueSet\.expansion: /],
    ['concepts that are no list', system({ concept: 'x' }), /^CodeSystem\.concept: .*x\.example\/cs: /],
    ['a property of a concept that is null', system({ concept: [{ code: 'a', property: [null] }] }), /property\[0\]: /],
    ['no content', system({ content: undefined }), /^CodeSystem\.content: /],
    ['a url without scheme', set({ url: 'vs' }), /^ValueSet\.url: .*must be a whole address/],
  ])('%s is refused with url and place', async (_what, resource, words) => {
    expect(await reasons(bound, resource)).toContainEqual(expect.stringMatching(words));
  });

  test('any JSON is refused or taken', async () => {
    const sound = () => [
      bound,
      set({
        compose: {
          include: [
            { system: 'https://x.example/cs', filter: [{ property: 'concept', op: 'is-a', value: 'a' }] },
            { valueSet: ['https://x.example/other'] },
          ],
          exclude: [{ system: 'https://x.example/cs', concept: [{ code: 'b' }] }],
        },
      }),
      set({
        url: 'https://x.example/other',
        expansion: { timestamp: '2020', contains: [{ system: 'https://x.example/z', code: 'z', contains: [] }] },
      }),
      system({ concept: [{ code: 'a', concept: [{ code: 'b', property: [{ code: 'kind', valueCode: 'q' }] }] }] }),
    ];
    const odd = fc.oneof(fc.jsonValue({ maxDepth: 2 }), fc.constantFrom(null, 5, '', [null], [[]], {}, '__proto__'));
    const places = placesIn(sound().slice(1) as ValueSet[]);
    await fc.assert(
      fc.asyncProperty(fc.nat(places.length - 1), odd, async (at, value) => {
        const resources = sound();
        replace(resources.slice(1), places[at] ?? [], value);
        await reasons(...resources.filter((each) => typeof each === 'object' && each !== null));
      }),
      { numRuns: 200 },
    );
  });
});

type Path = readonly (string | number)[];

function placesIn(value: unknown, above: Path = []): Path[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, below]) => {
    const path = [...above, Array.isArray(value) ? Number(key) : key];
    const own = key === 'resourceType' || path.length === 1 ? [] : [path];
    return [...own, ...placesIn(below, path)];
  });
}

function replace(root: unknown, path: Path, value: unknown): void {
  let at = root as Record<string | number, unknown>;
  for (const step of path.slice(0, -1)) at = at[step] as Record<string | number, unknown>;
  at[path.at(-1) ?? ''] = value;
}
