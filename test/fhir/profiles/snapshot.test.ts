import type { ElementDefinition, StructureDefinition } from '@medplum/fhirtypes';
import { profileOf } from '../../../src/fhir/profiles/profile.ts';
import { withSnapshot } from '../../../src/fhir/profiles/snapshot.ts';
import { all, type Change, childOf, elementAt, OURS, parentsOf, profileOn, R4 } from './definition.ts';

const parents = parentsOf();

function made(type: string, changes: readonly Change[], over: Partial<StructureDefinition> = {}) {
  return profileOf(withSnapshot(profileOn(type, changes, over), parents));
}

function elements(definition: StructureDefinition): readonly ElementDefinition[] {
  return definition.snapshot?.element ?? [];
}

describe('what is inherited', () => {
  test('an element that is not spoken of is as in the parent', () => {
    const profile = made('Patient', []);
    expect(all(profile.root)).toHaveLength(elements(parents(`${R4}/Patient`) as StructureDefinition).length);
    expect(elementAt(profile, 'Patient.gender').binding?.strength).toBe('required');
    expect(elementAt(profile, 'Patient.contact').constraints.map(({ key }) => key)).toEqual(['pat-1']);
  });

  test('what is said of an element is put over the parent, and the rest of it stays', () => {
    const birthDate = elementAt(
      made('Patient', [{ id: 'Patient.birthDate', min: 1, mustSupport: true }]),
      'Patient.birthDate',
    );
    expect(birthDate).toMatchObject({ min: 1, max: 1, mustSupport: true, types: [{ code: 'date' }] });
  });

  test('a parent without a snapshot gets one first, and its parents too', () => {
    const first = profileOn('Patient', [{ id: 'Patient.birthDate', min: 1 }], { url: `${OURS}/first` });
    const second = profileOn('Patient', [{ id: 'Patient.name', min: 1 }], {
      url: `${OURS}/second`,
      baseDefinition: `${first.url}|1.0.0`,
    });
    const third = profileOn('Patient', [{ id: 'Patient.gender', min: 1 }], { baseDefinition: second.url });
    const profile = profileOf(withSnapshot(third, parentsOf(first, second)));
    const mins = ['birthDate', 'name', 'gender'].map((name) => elementAt(profile, `Patient.${name}`).min);
    expect(mins).toEqual([1, 1, 1]);
  });

  test('constraints and conditions add up, and their source is told', () => {
    const constraint = [
      { key: 'own-1', severity: 'error' as const, human: 'A name has a family', expression: 'family.exists()' },
    ];
    const definition = childOf(
      'Patient',
      [{ id: 'Patient.contact', constraint }],
      [
        {
          id: 'Patient.contact',
          constraint: [{ ...constraint[0], key: 'own-2' } as (typeof constraint)[0]],
          condition: ['own-2'],
        },
      ],
    );
    const contact = elements(definition).find(({ path }) => path === 'Patient.contact');
    expect(contact?.constraint?.map(({ key }) => key)).toEqual(['ele-1', 'pat-1', 'own-1', 'own-2']);
    expect(contact?.constraint?.slice(2).map(({ source }) => source)).toEqual([
      `${OURS}/parent`,
      `${OURS}/test-patient`,
    ]);
    expect(contact?.condition).toEqual(['own-2']);
  });

  test('text that starts with ... goes on from the parent', () => {
    const definition = withSnapshot(
      profileOn('Patient', [{ id: 'Patient.active', definition: '... And more.' }]),
      parents,
    );
    const active = elements(definition).find(({ path }) => path === 'Patient.active');
    expect(active?.definition).toMatch(/^Whether this patient record is in active use.*\nAnd more\.$/s);
  });

  test('base names the element where it was defined first, and ids and order are those of R4', () => {
    const definition = withSnapshot(profileOn('Observation', [{ id: 'Observation.code.coding', min: 1 }]), parents);
    const coding = elements(definition).find(({ id }) => id === 'Observation.code.coding');
    expect(coding).toMatchObject({
      path: 'Observation.code.coding',
      base: { path: 'CodeableConcept.coding', min: 0, max: '*' },
    });
    const ids = elements(definition).map(({ id }) => id);
    expect(ids.slice(ids.indexOf('Observation.code'), ids.indexOf('Observation.subject'))).toEqual([
      'Observation.code',
      'Observation.code.id',
      'Observation.code.extension',
      'Observation.code.coding',
      'Observation.code.text',
    ]);
  });

  test('elements in another order than the snapshot are put where they belong', () => {
    const definition = withSnapshot(
      profileOn('Patient', [
        { id: 'Patient.birthDate', min: 1 },
        { id: 'Patient.name', min: 1 },
        { id: 'Patient.name.family', min: 1 },
        { id: 'Patient.active', min: 1 },
      ]),
      parents,
    );
    const changed = elements(definition)
      .filter(({ min, base }) => min === 1 && base?.min === 0)
      .map(({ id }) => id);
    expect(changed).toEqual(['Patient.active', 'Patient.name', 'Patient.name.family', 'Patient.birthDate']);
  });

  test('a differential without ids is read by its paths and slice names', () => {
    const withoutIds = profileOn('Observation', []);
    withoutIds.differential = {
      element: [
        { path: 'Observation' },
        {
          path: 'Observation.component',
          slicing: { discriminator: [{ type: 'pattern', path: 'code' }], rules: 'open' },
        },
        { path: 'Observation.component', sliceName: 'systolic', min: 1 },
        { path: 'Observation.component.code', patternCodeableConcept: { text: 'systolic' } },
        { path: 'Observation.component', sliceName: 'diastolic' },
        { path: 'Observation.component.code', patternCodeableConcept: { text: 'diastolic' } },
      ],
    };
    const profile = profileOf(withSnapshot(withoutIds, parents));
    const patterns = ['', ':systolic', ':diastolic'].map(
      (slice) => elementAt(profile, `Observation.component${slice}.code`).pattern?.value,
    );
    expect(patterns).toEqual([undefined, { text: 'systolic' }, { text: 'diastolic' }]);
  });
});

describe('slices', () => {
  const slicing = { discriminator: [{ type: 'value' as const, path: 'code' }], rules: 'open' as const };
  const component: Change = { id: 'Observation.component', slicing };

  test('a slice has everything that is said of what it slices, and is mandatory only where it says so', () => {
    const profile = made('Observation', [
      { ...component, min: 1 },
      { id: 'Observation.component.value[x]', min: 1 },
      { id: 'Observation.component:a', max: '1' },
      { id: 'Observation.component:b', min: 1 },
    ]);
    expect(elementAt(profile, 'Observation.component:a')).toMatchObject({ min: 0, max: 1 });
    expect(elementAt(profile, 'Observation.component:a.value[x]').min).toBe(1);
    expect(elementAt(profile, 'Observation.component').slices.map(({ sliceName, min }) => [sliceName, min])).toEqual([
      ['a', 0],
      ['b', 1],
    ]);
  });

  test('a child may constrain a slice of its parent, add slices, and slice a slice again', () => {
    const definition = childOf(
      'Observation',
      [component, { id: 'Observation.component:a' }],
      [
        {
          id: 'Observation.component:a',
          min: 1,
          slicing: { discriminator: [{ type: 'exists', path: 'value' }], rules: 'closed' },
        },
        { id: 'Observation.component:a/with', min: 1 },
        { id: 'Observation.component:a/with.value[x]', min: 1 },
        { id: 'Observation.component:a/without' },
        { id: 'Observation.component:a/without.value[x]', max: '0' },
        { id: 'Observation.component:b' },
      ],
    );
    const sliced = elementAt(profileOf(definition), 'Observation.component');
    expect(sliced.slices.map(({ id }) => id)).toEqual(['Observation.component:a', 'Observation.component:b']);
    const [a] = sliced.slices;
    expect(a).toMatchObject({ min: 1, slicing: { rules: 'closed' } });
    expect(a?.slices.map(({ id, min }) => [id, min])).toEqual([
      ['Observation.component:a/with', 1],
      ['Observation.component:a/without', 0],
    ]);
    expect(
      elements(definition)
        .map(({ id }) => id)
        .filter((id) => /component(:[^.]+)?$/.test(id ?? '')),
    ).toEqual([
      'Observation.component',
      'Observation.component:a',
      'Observation.component:a/with',
      'Observation.component:a/without',
      'Observation.component:b',
    ]);
  });

  test('slices of the parent are no longer than what a child leaves of the list', () => {
    const profile = profileOf(
      childOf(
        'Observation',
        [component, { id: 'Observation.component:a' }],
        [{ id: 'Observation.component', max: '2' }],
      ),
    );
    expect(elementAt(profile, 'Observation.component:a').max).toBe(2);
  });

  test('an element that the parent has not sliced can be sliced below a slice of the parent', () => {
    const definition = childOf(
      'Observation',
      [component, { id: 'Observation.component:a' }],
      [
        {
          id: 'Observation.component:a.code.coding',
          slicing: { discriminator: [{ type: 'value', path: 'system' }], rules: 'open' },
        },
        { id: 'Observation.component:a.code.coding:loinc', min: 1 },
        { id: 'Observation.component:a.code.coding:loinc.system', fixedUri: 'http://loinc.org' },
      ],
    );
    const profile = profileOf(definition);
    expect(elementAt(profile, 'Observation.component:a.code.coding:loinc.system').fixed).toEqual({
      type: 'uri',
      value: 'http://loinc.org',
    });
    expect(elementAt(profile, 'Observation.component.code').children).toEqual([]);
  });

  test('extensions are sliced by their url without saying so', () => {
    const profile = made('Patient', [
      { id: 'Patient.extension:race', type: [{ code: 'Extension', profile: [`${OURS}/race`] }] },
    ]);
    expect(elementAt(profile, 'Patient.extension').slicing).toEqual({
      discriminators: [{ type: 'value', path: 'url' }],
      rules: 'open',
      ordered: false,
    });
  });

  test('the elements of an extension come from its profile where it is known', () => {
    const extension = profileOn(
      'Extension',
      [
        { id: 'Extension.url', fixedUri: `${OURS}/shade` },
        { id: 'Extension.value[x]', min: 1, type: [{ code: 'code' }] },
      ],
      { url: `${OURS}/shade` },
    );
    const profile = profileOf(
      withSnapshot(
        profileOn('Patient', [
          { id: 'Patient.extension:shade', type: [{ code: 'Extension', profile: [extension.url] }] },
          { id: 'Patient.extension:shade.value[x]', fixedCode: 'dark' },
        ]),
        parentsOf(extension),
      ),
    );
    expect(elementAt(profile, 'Patient.extension:shade.url').fixed?.value).toBe(`${OURS}/shade`);
    expect(elementAt(profile, 'Patient.extension:shade.value[x]')).toMatchObject({
      min: 1,
      types: [{ code: 'code' }],
      fixed: { type: 'code', value: 'dark' },
    });
  });
});

describe('choices', () => {
  test.each([
    ['by the shorthand of one type', 'Observation.valueQuantity', 'Observation.valueQuantity'],
    ['as a slice', 'Observation.value[x]:valueQuantity', 'Observation.value[x]'],
    ['as a slice with the shorthand as path', 'Observation.value[x]:valueQuantity', 'Observation.valueQuantity'],
  ])('an element of a choice %s is a slice for that type, and other types stay allowed', (_case, id, path) => {
    const profile = made('Observation', [
      { id, path },
      { id: `${id}.code`, path: `${path}.code`, min: 1 },
    ]);
    const value = elementAt(profile, 'Observation.value[x]');
    expect(value).toMatchObject({
      min: 0,
      slicing: { discriminators: [{ type: 'type', path: '$this' }], rules: 'open' },
    });
    expect(value.types.length).toBeGreaterThan(5);
    expect(value.slices.map(({ id: slice, types }) => [slice, types.map(({ code }) => code)])).toEqual([
      ['Observation.value[x]:valueQuantity', ['Quantity']],
    ]);
    expect(elementAt(profile, 'Observation.value[x]:valueQuantity.code').min).toBe(1);
  });

  test('a choice that must be of one type can be of no other', () => {
    const value = elementAt(
      made('Observation', [{ id: 'Observation.valueCodeableConcept', min: 1 }]),
      'Observation.value[x]',
    );
    expect(value).toMatchObject({ min: 1, types: [{ code: 'CodeableConcept' }], slicing: { rules: 'closed' } });
  });

  test('a choice of one type has the elements of that type', () => {
    const profile = made('Observation', [
      { id: 'Observation.value[x]', type: [{ code: 'Quantity' }] },
      { id: 'Observation.value[x].system', min: 1 },
    ]);
    expect(elementAt(profile, 'Observation.value[x].system')).toMatchObject({ min: 1, types: [{ code: 'uri' }] });
  });
});

describe('content from elsewhere', () => {
  test('elements of a data type are those of the type, or of its profile', () => {
    const profile = made('Observation', [{ id: 'Observation.referenceRange.low.value', min: 1 }]);
    expect(elementAt(profile, 'Observation.referenceRange.low.value').min).toBe(1);
    expect(elementAt(profile, 'Observation.referenceRange.low.comparator').max).toBe(0);
  });

  test('an element that shares the content of another has its elements, as the base type has them', () => {
    const profile = made('Observation', [
      { id: 'Observation.referenceRange.text', min: 1 },
      { id: 'Observation.component.referenceRange.type', min: 1 },
    ]);
    expect(elementAt(profile, 'Observation.component.referenceRange')).toMatchObject({
      contentReference: 'Observation.referenceRange',
      types: [],
    });
    expect(elementAt(profile, 'Observation.component.referenceRange.type').min).toBe(1);
    expect(elementAt(profile, 'Observation.component.referenceRange.text').min).toBe(0);
  });

  test('an element may be walked into as deep as its types go', () => {
    const id = 'Patient.contact.name.period.start.extension';
    expect(elementAt(made('Patient', [{ id, max: '0' }]), id).max).toBe(0);
  });

  test('types may be narrowed to types below them, and references to profiles on their targets', () => {
    const patient = profileOn('Patient', [], { url: `${OURS}/some-patient` });
    const profile = profileOf(
      withSnapshot(
        profileOn('Observation', [
          { id: 'Observation.subject', type: [{ code: 'Reference', targetProfile: [patient.url] }] },
          { id: 'Observation.performer', type: [{ code: 'Reference' }] },
        ]),
        parentsOf(patient),
      ),
    );
    expect(elementAt(profile, 'Observation.subject').types).toEqual([{ code: 'Reference', targets: [patient.url] }]);
    expect(elementAt(profile, 'Observation.performer').types[0]?.targets).toContain('Practitioner');
  });
});
