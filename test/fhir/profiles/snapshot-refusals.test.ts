import type { StructureDefinition } from '@medplum/fhirtypes';
import { withSnapshot } from '../../../src/fhir/profiles/snapshot.ts';
import { type Change, childOf, OURS, parentsOf, profileOn, R4, refusal } from './definition.ts';

const parents = parentsOf();

describe('what is refused', () => {
  const reasons = (type: string, changes: readonly Change[], over: Partial<StructureDefinition> = {}) =>
    refusal(() => withSnapshot(profileOn(type, changes, over), parents));

  test.each<[string, string, Change, RegExp]>([
    [
      'an unknown element',
      'Patient',
      { id: 'Patient.birthdate', min: 1 },
      /Patient has no element birthdate.*did you mean birthDate/,
    ],
    [
      'an element below one of several types',
      'Observation',
      { id: 'Observation.value[x].system', min: 1 },
      /before it is one type/,
    ],
    [
      'a choice of a type that it cannot be',
      'Observation',
      { id: 'Observation.valueAddress' },
      /has no element valueAddress/,
    ],
    ['a path of another type', 'Patient', { id: 'Person.name' }, /must start with Patient/],
    ['min below the parent', 'Observation', { id: 'Observation.code', min: 0 }, /min 0 is less than the parent's 1/],
    ['max above the parent', 'Patient', { id: 'Patient.birthDate', max: '2' }, /max 2 is more than the parent's 1/],
    ['an unbounded max', 'Patient', { id: 'Patient.birthDate', max: '*' }, /max \* is more/],
    ['min above max', 'Patient', { id: 'Patient.name', min: 3, max: '2' }, /min 3 is more than max 2/],
    [
      'a type of another kind',
      'Patient',
      { id: 'Patient.birthDate', type: [{ code: 'string' }] },
      /type string is none of the parent's \(date\)/,
    ],
    [
      'a type that is not known',
      'Observation',
      { id: 'Observation.value[x]', type: [{ code: 'Foo' }] },
      /type Foo is none/,
    ],
    [
      'a target that the parent does not have',
      'Observation',
      { id: 'Observation.encounter', type: [{ code: 'Reference', targetProfile: [`${R4}/Patient`] }] },
      /targetProfile .*Patient is none of the parent's/,
    ],
    [
      'a weaker binding',
      'Patient',
      { id: 'Patient.gender', binding: { strength: 'extensible' } },
      /extensible is weaker than the parent's required/,
    ],
    ['slices without slicing', 'Patient', { id: 'Patient.identifier:mrn' }, /identifier has slices and no slicing/],
    [
      'a slice that is not introduced',
      'Patient',
      { id: 'Patient.identifier:mrn.system', min: 1 },
      /the slice mrn is not known here/,
    ],
    [
      'a re-slice of nothing',
      'Patient',
      { id: 'Patient.identifier:a/b', slicing: { rules: 'open' } },
      /a slice of the slice a/,
    ],
    [
      'a slice that is said to be in the parent',
      'Patient',
      { id: 'Patient.extension:x', sliceIsConstraining: true },
      /the parent has no slice x/,
    ],
    [
      'id and path that differ',
      'Patient',
      { id: 'Patient.name', path: 'Patient.gender' },
      /the id does not fit the path Patient\.gender/,
    ],
    [
      'id and sliceName that differ',
      'Patient',
      { id: 'Patient.extension:a', sliceName: 'b' },
      /the id names slice a and sliceName is b/,
    ],
    [
      'a support that is taken back',
      'Patient',
      { id: 'Patient.modifierExtension', isModifier: false },
      /isModifier is true in the parent/,
    ],
    [
      'content of another element',
      'Patient',
      { id: 'Patient.name', contentReference: '#Patient.contact' },
      /leave contentReference out/,
    ],
  ])('%s, by element and place', (_case, type, change, words) => {
    const [reason = '', ...others] = reasons(type, [change]);
    expect(others).toEqual([]);
    expect(reason).toMatch(words);
    expect(reason).toContain(`${OURS}/test-${type.toLowerCase()}, element ${change.id}`);
    expect(reason).toMatch(/^StructureDefinition\.differential\.element\[1\]/);
  });

  test.each<[string, readonly Change[], readonly Change[], RegExp]>([
    [
      'another fixed value',
      [{ id: 'Patient.active', fixedBoolean: true }],
      [{ id: 'Patient.active', fixedBoolean: false }],
      /the parent fixes another value/,
    ],
    [
      'a pattern without that of the parent',
      [{ id: 'Patient.maritalStatus', patternCodeableConcept: { text: 'a' } }],
      [{ id: 'Patient.maritalStatus', patternCodeableConcept: { coding: [{ code: 'b' }] } }],
      /does not have what the parent's pattern asks for/,
    ],
    [
      'a longer text',
      [{ id: 'Patient.name.text', maxLength: 10 }],
      [{ id: 'Patient.name.text', maxLength: 20 }],
      /maxLength 20 is more/,
    ],
    [
      'another constraint with the same key',
      [
        {
          id: 'Patient.name',
          constraint: [{ key: 'x-1', severity: 'error', human: 'A', expression: 'text.exists()' }],
        },
      ],
      [{ id: 'Patient.name', constraint: [{ key: 'x-1', severity: 'error', human: 'B', expression: 'use.exists()' }] }],
      /another constraint x-1/,
    ],
    [
      'an open slicing where it was closed',
      [{ id: 'Patient.identifier', slicing: { discriminator: [{ type: 'value', path: 'system' }], rules: 'closed' } }],
      [{ id: 'Patient.identifier', slicing: { discriminator: [{ type: 'value', path: 'system' }], rules: 'open' } }],
      /open is wider than the parent's closed/,
    ],
    [
      'a slice where the parent closed them',
      [
        { id: 'Patient.identifier', slicing: { discriminator: [{ type: 'value', path: 'system' }], rules: 'closed' } },
        { id: 'Patient.identifier:a' },
      ],
      [{ id: 'Patient.identifier:b' }],
      /closed: no slice can be added/,
    ],
    [
      'slices told apart in another way',
      [{ id: 'Patient.identifier', slicing: { discriminator: [{ type: 'value', path: 'system' }], rules: 'open' } }],
      [{ id: 'Patient.identifier', slicing: { discriminator: [{ type: 'value', path: 'type' }], rules: 'open' } }],
      /tells slices apart in another way/,
    ],
  ])('%s than the parent profile has', (_case, parentChanges, changes, words) => {
    const reasonsOfChild = refusal(() => childOf('Patient', parentChanges, changes));
    expect(reasonsOfChild).toEqual([expect.stringMatching(words)]);
  });

  test('everything that is wrong is said at once', () => {
    expect(
      reasons('Patient', [
        { id: 'Patient.foo' },
        { id: 'Patient.birthDate', max: '2' },
        { id: 'Patient.gender', binding: { strength: 'example' } },
      ]),
    ).toHaveLength(3);
  });

  test('an element that comes twice', () => {
    const twice = profileOn('Patient', [{ id: 'Patient.name', min: 1 }]);
    twice.differential?.element.push({ path: 'Patient.name', min: 1 });
    expect(refusal(() => withSnapshot(twice, parents))).toEqual([
      expect.stringMatching(/element\[2\].*comes twice in the differential/),
    ]);
  });

  test.each<[string, Partial<StructureDefinition>, RegExp]>([
    ['an unknown parent', { baseDefinition: `${OURS}/nobody` }, /its parent .*nobody is not known: add the package/],
    ['no parent', { baseDefinition: undefined as never }, /it has no parent/],
    [
      'a parent of another type',
      { baseDefinition: `${R4}/Observation` },
      /type is Patient \(resource\), and that of its parent Observation/,
    ],
    ['a type of its own', { derivation: 'specialization' }, /derivation must be constraint/],
    ['itself as parent', { baseDefinition: `${OURS}/test-patient` }, /lead back to itself/],
    ['another release of FHIR', { fhirVersion: '5.0.0' as never }, /fhirVersion is 5\.0\.0/],
    ['no type', { type: undefined as never }, /type is required/],
    ['no url', { url: undefined as never }, /a StructureDefinition without url: url is required/],
    ['a logical model', { kind: 'logical' }, /kind must be/],
    ['neither snapshot nor differential', { differential: undefined as never }, /has no differential/],
    ['elements that are no list', { differential: { element: 'x' } as never }, /has no differential/],
    [
      'elements that are no objects',
      { differential: { element: [null, 1, 'x', []] } as never },
      /an element must be a JSON object/,
    ],
  ])('a definition with %s', (_case, over, words) => {
    const definition = { ...profileOn('Patient', []), ...over };
    const own = parentsOf(definition);
    expect(refusal(() => withSnapshot(definition, own))[0]).toMatch(words);
  });

  test('parents in a circle, however many there are', () => {
    const circle = Array.from({ length: 30 }, (_, at) =>
      profileOn('Patient', [], { url: `${OURS}/circle-${at}`, baseDefinition: `${OURS}/circle-${(at + 1) % 30}` }),
    );
    const [reason] = refusal(() => withSnapshot(circle[0] as StructureDefinition, parentsOf(...circle)));
    expect(reason).toMatch(/its parents lead back to itself \(.*circle-29\|1\.0\.0 -> .*circle-0\|1\.0\.0\)/);
  });

  test('an endless line of parents ends', () => {
    const endless = (canonical: string): StructureDefinition => {
      const at = Number(/\d+$/.exec(canonical)?.[0] ?? 0);
      return profileOn('Patient', [], { url: `${OURS}/line-${at}`, baseDefinition: `${OURS}/line-${at + 1}` });
    };
    expect(refusal(() => withSnapshot(endless('line-0'), endless))).toHaveLength(1);
  });

  test('an extension that needs its own snapshot to be made', () => {
    const nested = profileOn(
      'Extension',
      [
        { id: 'Extension.extension:a', type: [{ code: 'Extension', profile: [`${OURS}/self`] }] },
        { id: 'Extension.extension:a.url', min: 1 },
      ],
      { url: `${OURS}/self` },
    );
    expect(refusal(() => withSnapshot(nested, parentsOf(nested)))[0]).toMatch(/lead back to itself/);
  });

  test('extensions that each need the snapshot of the next', () => {
    const url = (at: number) => `${OURS}/needs-${at}`;
    const chain = Array.from({ length: 5_000 }, (_, at) =>
      profileOn(
        'Extension',
        [
          { id: 'Extension.extension:a', type: [{ code: 'Extension', profile: [url(at + 1)] }] },
          { id: 'Extension.extension:a.url', min: 1 },
        ],
        { url: url(at) },
      ),
    );
    const byUrl = new Map(chain.map((each) => [each.url, each]));
    const known = (canonical: string) => byUrl.get(canonical) ?? parents(canonical);
    const [reason] = refusal(() => withSnapshot(chain[0] as StructureDefinition, known));
    expect(reason).toMatch(/no more than 64 are followed/);
  });

  test('slices of slices without end', () => {
    const name = (depth: number) => Array.from({ length: depth }, (_, at) => `s${at}`).join('/');
    const slicing = { rules: 'open' as const };
    const changes = Array.from({ length: 100 }, (_, at) => ({ id: `Patient.identifier:${name(at + 1)}`, slicing }));
    const [reason] = reasons('Patient', [{ id: 'Patient.identifier', slicing }, ...changes]);
    expect(reason).toMatch(/slices of slices are no more than 32 deep/);
  });

  test('slices that would multiply without end, in bounded time', () => {
    const slicing = { discriminator: [{ type: 'value' as const, path: '$this' }], rules: 'open' as const };
    const paths = [
      'Questionnaire.item',
      'Questionnaire.item.code',
      'Questionnaire.item.item',
      'Questionnaire.item.item.item',
    ];
    const changes: Change[] = [];
    for (const path of [...paths].reverse()) {
      changes.push({ id: path, slicing });
      for (let at = 0; at < 80; at++) changes.push({ id: `${path}:s${at}` });
    }
    const start = performance.now();
    expect(reasons('Questionnaire', changes).some((reason) => /more than 50000 elements/.test(reason))).toBe(true);
    expect(performance.now() - start).toBeLessThan(5_000);
  });
});
