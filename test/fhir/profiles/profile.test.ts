import type { ElementDefinition, StructureDefinition } from '@medplum/fhirtypes';
import fc from 'fast-check';
import { packProfiles, unpackProfiles } from '../../../src/fhir/profiles/packed.ts';
import { profileOf, withoutProse } from '../../../src/fhir/profiles/profile.ts';
import { withSnapshot } from '../../../src/fhir/profiles/snapshot.ts';
import { type Change, elementAt, OURS, parentsOf, profileOn, R4, refusal } from './definition.ts';
import { wildDefinitions } from './wild-definition.ts';

const parents = parentsOf();
const vitalSigns = parents(`${R4}/vitalsigns`) as StructureDefinition;

function complete(type: string, changes: readonly Change[], over: Partial<StructureDefinition> = {}) {
  return withSnapshot(profileOn(type, changes, over), parents);
}

/** The definition with one element of its snapshot changed. */
function altered(definition: StructureDefinition, id: string, change: object): StructureDefinition {
  const element = (definition.snapshot?.element ?? []).map((each) => (each.id === id ? { ...each, ...change } : each));
  return { ...definition, snapshot: { element } };
}

describe('a profile as data', () => {
  test('has the elements of its snapshot as a tree, with slices beside the children', () => {
    const profile = profileOf(vitalSigns);
    expect(profile).toMatchObject({
      url: `${R4}/vitalsigns`,
      version: '4.0.1',
      type: 'Observation',
      kind: 'resource',
      abstract: false,
    });
    const category = elementAt(profile, 'Observation.category');
    expect(category.slicing).toMatchObject({ rules: 'open', ordered: false });
    expect(category.slices.map(({ id, min, max }) => [id, min, max])).toEqual([['Observation.category:VSCat', 1, 1]]);
    expect(elementAt(profile, 'Observation.category:VSCat.coding.code')).toMatchObject({
      name: 'code',
      path: 'Observation.category.coding.code',
      fixed: { type: 'code', value: 'vital-signs' },
    });
  });

  test('names the targets of references by type where they are base types, else by canonical', () => {
    const subject = elementAt(
      profileOf(
        complete('Observation', [
          {
            id: 'Observation.subject',
            type: [{ code: 'Reference', targetProfile: [`${R4}/Patient`, `${OURS}/my-group`] }],
          },
        ]),
      ),
      'Observation.subject',
    );
    expect(subject.types).toEqual([{ code: 'Reference', targets: ['Patient', `${OURS}/my-group`] }]);
  });

  test('says how values are written: FHIR types in the place of those of FHIRPath', () => {
    const profile = profileOf(complete('Patient', []));
    expect(elementAt(profile, 'Patient.id').types).toEqual([{ code: 'id' }]);
    expect(elementAt(profile, 'Patient.contact.id').types).toEqual([{ code: 'string' }]);
  });

  test('has no elements that the package of the definitions adds to R4', () => {
    expect(refusal(() => complete('Patient', [{ id: 'Patient.meta.project', min: 1 }]))).toHaveLength(1);
  });

  test('keeps the largest binding that may be: the extension maxValueSet', () => {
    const language = elementAt(
      profileOf(complete('Patient', [{ id: 'Patient.language', min: 1 }])),
      'Patient.language',
    );
    expect(language.binding).toMatchObject({
      strength: 'preferred',
      maxValueSet: 'http://hl7.org/fhir/ValueSet/all-languages',
    });
  });

  test('is the same whatever the ids in the list say, or without them', () => {
    const element = (vitalSigns.snapshot?.element ?? []).map(({ id: _id, ...rest }): ElementDefinition => rest);
    expect(profileOf({ ...vitalSigns, snapshot: { element } })).toEqual(profileOf(vitalSigns));
  });

  test('a choice by its shorthand in the list is a slice of the choice', () => {
    const definition = complete('Observation', [
      { id: 'Observation.valueQuantity' },
      { id: 'Observation.valueQuantity.code', min: 1 },
    ]);
    const element = (definition.snapshot?.element ?? []).map(({ id: _id, sliceName, ...each }) => ({
      ...each,
      ...(sliceName === undefined ? {} : { path: 'Observation.valueQuantity' }),
      ...(each.path.startsWith('Observation.value[x].')
        ? { path: each.path.replace('value[x]', 'valueQuantity') }
        : {}),
    }));
    expect(profileOf({ ...definition, snapshot: { element } }).root).toEqual(profileOf(definition).root);
  });
});

describe('the hash of a profile', () => {
  const hashOf = (definition: StructureDefinition) => profileOf(definition).hash;

  test('does not change with prose, names and what no resource is held to', () => {
    const prose = altered({ ...vitalSigns, title: 'Other', description: 'Other', name: 'Other' }, 'Observation.code', {
      short: 'x',
      definition: 'y',
      comment: 'z',
      mapping: [],
      example: [],
    });
    expect(hashOf(prose)).toBe(hashOf(vitalSigns));
  });

  test.each<[string, object]>([
    ['min', { min: 0 }],
    ['max', { max: '5' }],
    ['a pattern', { patternCodeableConcept: { text: 'definition' } }],
    ['a binding', { binding: { strength: 'required', valueSet: 'https://example.org/vs' } }],
    ['a constraint', { constraint: [{ key: 'a-1', severity: 'error', human: 'A', expression: 'text.exists()' }] }],
  ])('changes with %s', (_case, change) => {
    expect(hashOf(altered(vitalSigns, 'Observation.code', change))).not.toBe(hashOf(vitalSigns));
  });

  test('changes with a word inside of a fixed value that prose has the name of', () => {
    const fixed = (text: string) =>
      altered(vitalSigns, 'Observation.code', { patternCodeableConcept: { definition: text } });
    expect(hashOf(fixed('a'))).not.toBe(hashOf(fixed('b')));
  });
});

describe('what is refused', () => {
  test.each<[string, string, object, RegExp]>([
    ['min above max', 'Observation.code', { min: 2 }, /min 2 is more than max 1/],
    [
      'fixed and pattern',
      'Observation.status',
      { fixedCode: 'final', patternCode: 'final' },
      /both a fixed value and a pattern/,
    ],
    [
      'a fixed value of another type',
      'Observation.status',
      { fixedBoolean: true },
      /a value of type boolean is asked for, and its types are code/,
    ],
    ['a pattern of another type', 'Observation.code', { patternQuantity: { value: 1 } }, /type Quantity is asked for/],
    ['no type', 'Observation.code', { type: undefined }, /it has no type/],
    [
      'slices that need more than may be',
      'Observation.category',
      { max: '0', min: 0 },
      /its slices need 1 and no more than 0/,
    ],
    [
      'minValue above maxValue',
      'Observation.value[x]',
      { minValueInteger: 3, maxValueInteger: 2 },
      /minValue is more than maxValue/,
    ],
  ])('%s, by element and place', (_case, id, change, words) => {
    const definition = altered(vitalSigns, id, change);
    const reasons = refusal(() => profileOf(definition));
    expect(reasons.join('\n')).toMatch(words);
    const at = vitalSigns.snapshot?.element.findIndex((each) => each.id === id);
    expect(reasons[0]).toContain(`StructureDefinition.snapshot.element[${at}]`);
    expect(reasons[0]).toContain(`${R4}/vitalsigns, element ${id}`);
  });

  test.each<[string, (elements: ElementDefinition[]) => ElementDefinition[], RegExp]>([
    [
      'an element before its parent',
      ([root, ...rest]) => [root as ElementDefinition, ...rest.reverse()],
      /the element that it is under does not come before it|the element that it is a slice of/,
    ],
    ['another first element', (list) => list.slice(1), /the first element must be Observation itself/],
    [
      'a path that comes twice',
      (list) => [...list, { ...(list[1] as ElementDefinition), id: 'again' }],
      /its path comes twice/,
    ],
    [
      'an id that comes twice',
      (list) => [...list, { ...(list[1] as ElementDefinition), path: 'Observation.other' }],
      /another element has this id/,
    ],
    [
      'a slice of nothing',
      (list) => [...list, { path: 'Observation.foo', sliceName: 'x', min: 0, max: '1' }],
      /a slice of does not come before it/,
    ],
    ['no elements', () => [], /has no snapshot/],
  ])('a snapshot with %s', (_case, change, words) => {
    const element = change([...(vitalSigns.snapshot?.element ?? [])]);
    expect(refusal(() => profileOf({ ...vitalSigns, snapshot: { element } })).join('\n')).toMatch(words);
  });

  test('a slice that may come more often than its element', () => {
    const once = altered(vitalSigns, 'Observation.category', { max: '1' });
    const [reason] = refusal(() => profileOf(altered(once, 'Observation.category:VSCat', { max: '*' })));
    expect(reason).toMatch(/element Observation\.category:VSCat: max \* of the slice is more than max 1/);
  });

  test('more elements than a definition has, at once', () => {
    const element = Array.from({ length: 20_000 }, (_, at) => ({ path: `Patient.e${at}` }));
    expect(refusal(() => profileOf({ ...vitalSigns, type: 'Patient', snapshot: { element } }))).toEqual([
      expect.stringMatching(/has 20000 elements/),
    ]);
  });

  test('any JSON in the place of a definition, without any other error', () => {
    fc.assert(
      fc.property(wildDefinitions, (wild) => {
        const use = () => profileOf(withSnapshot(wild, parents));
        try {
          use();
        } catch {
          expect(refusal(use).length).toBeGreaterThan(0);
        }
      }),
      { numRuns: 500 },
    );
  });
});

test('profiles are the same after they were written as JSON and read again', () => {
  const profiles = [vitalSigns, parents(`${R4}/bp`), parents(`${R4}/patient-birthPlace`)].map((each) =>
    profileOf(each as StructureDefinition),
  );
  const text = JSON.stringify(packProfiles(profiles));
  expect(unpackProfiles(JSON.parse(text))).toEqual(profiles.map(withoutProse));
});
