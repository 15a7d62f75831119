import { c1, cases, observation, patient } from './profile-cases.ts';

describe('fixed values and patterns', () => {
  cases('Observation', [
    ['a fixed code', { path: 'Observation.status', fixedCode: 'amended' }, observation, ['value Observation.status']],
    ['a fixed code that is met', { path: 'Observation.status', fixedCode: 'final' }, observation, []],
    [
      'a fixed value has nothing beside it',
      { path: 'Observation.status', fixedCode: 'final' },
      { ...observation, _status: { extension: [{ url: 'http://x.test/y', valueCode: 'x' }] } },
      ['value Observation.status'],
    ],
    [
      'a pattern may have something beside it',
      { path: 'Observation.status', patternCode: 'final' },
      { ...observation, _status: { extension: [{ url: 'http://x.test/y', valueCode: 'x' }] } },
      [],
    ],
    [
      'a pattern asks for a value where the element is there',
      { path: 'Observation.issued', patternInstant: '2026-01-01T00:00:00Z' },
      { ...observation, _issued: { extension: [{ url: 'http://x.test/y', valueCode: 'x' }] } },
      ['value Observation.issued'],
    ],
    [
      'a fixed concept that is met',
      { path: 'Observation.code', fixedCodeableConcept: { coding: [c1] } },
      observation,
      [],
    ],
    [
      'a fixed concept with more',
      { path: 'Observation.code', fixedCodeableConcept: { coding: [c1] } },
      { ...observation, code: { coding: [c1], text: 'more' } },
      ['value Observation.code'],
    ],
    [
      'a fixed concept with more further down',
      { path: 'Observation.code', fixedCodeableConcept: { coding: [c1] } },
      { ...observation, code: { coding: [{ ...c1, display: 'more' }] } },
      ['value Observation.code'],
    ],
    [
      'a fixed concept with less',
      { path: 'Observation.code', fixedCodeableConcept: { coding: [c1], text: 'x' } },
      observation,
      ['value Observation.code'],
    ],
    [
      'a fixed list has its order',
      { path: 'Observation.code', fixedCodeableConcept: { coding: [c1, { system: 't', code: 'd' }] } },
      { ...observation, code: { coding: [{ system: 't', code: 'd' }, c1] } },
      ['value Observation.code'],
    ],
    [
      'a pattern is met by more, anywhere in a list',
      { path: 'Observation.code', patternCodeableConcept: { coding: [c1] } },
      {
        ...observation,
        code: {
          coding: [
            { system: 't', code: 'd' },
            { ...c1, display: 'x' },
          ],
          text: 'more',
        },
      },
      [],
    ],
    [
      'a pattern whose parts are in different items is not met',
      { path: 'Observation.code', patternCodeableConcept: { coding: [c1] } },
      {
        ...observation,
        code: {
          coding: [
            { system: 's', code: 'd' },
            { system: 't', code: 'c' },
          ],
        },
      },
      ['value Observation.code'],
    ],
    [
      'every item of a pattern is met',
      { path: 'Observation.code', patternCodeableConcept: { coding: [c1, { system: 't', code: 'd' }] } },
      observation,
      ['value Observation.code'],
    ],
    [
      'a pattern of an element that repeats is met by each',
      { path: 'Observation.category', patternCodeableConcept: { coding: [c1] } },
      { ...observation, category: [{ coding: [c1] }, { text: 'x' }] },
      ['value Observation.category[1]'],
    ],
    [
      'a pattern on a choice takes its type',
      { path: 'Observation.value[x]', patternQuantity: { system: 'http://unitsofmeasure.org', code: 'mg' } },
      { ...observation, valueQuantity: { value: 1, system: 'http://unitsofmeasure.org', code: 'kg' } },
      ['value Observation.value.ofType(Quantity)'],
    ],
    [
      'decimals are equal as numbers',
      { path: 'Observation.value[x]', type: [{ code: 'Quantity' }], fixedQuantity: { value: 1.5, unit: 'mg' } },
      { ...observation, valueQuantity: { unit: 'mg', value: 1.5 } },
      [],
    ],
    [
      'other decimals are not',
      { path: 'Observation.value[x]', type: [{ code: 'Quantity' }], fixedQuantity: { value: 1.5, unit: 'mg' } },
      { ...observation, valueQuantity: { unit: 'mg', value: 1.51 } },
      ['value Observation.value.ofType(Quantity)'],
    ],
  ]);
});

describe('limits', () => {
  const mg = (value: number) => ({ value, system: 'http://unitsofmeasure.org', code: 'mg' });
  cases('Observation', [
    [
      'a quantity below the least',
      { path: 'Observation.value[x]', type: [{ code: 'Quantity' }], minValueQuantity: mg(5) },
      { ...observation, valueQuantity: mg(4.9) },
      ['value Observation.value.ofType(Quantity)'],
    ],
    [
      'the least itself',
      { path: 'Observation.value[x]', type: [{ code: 'Quantity' }], minValueQuantity: mg(5) },
      { ...observation, valueQuantity: mg(5) },
      [],
    ],
    [
      'a quantity above the most, in another unit of the same kind',
      { path: 'Observation.value[x]', type: [{ code: 'Quantity' }], maxValueQuantity: mg(5) },
      { ...observation, valueQuantity: { ...mg(0.006), code: 'g' } },
      ['value Observation.value.ofType(Quantity)'],
    ],
    [
      'a quantity of another kind cannot be compared',
      { path: 'Observation.value[x]', type: [{ code: 'Quantity' }], maxValueQuantity: mg(5) },
      { ...observation, valueQuantity: { ...mg(6), code: 'mL' } },
      [],
    ],
    [
      'an integer above the most',
      { path: 'Observation.value[x]', type: [{ code: 'integer' }], maxValueInteger: 27 },
      { ...observation, valueInteger: 28 },
      ['value Observation.value.ofType(integer)'],
    ],
    [
      'an instant before the first',
      { path: 'Observation.issued', minValueInstant: '2020-01-01T00:00:00Z' },
      { ...observation, issued: '2019-12-31T23:59:59Z' },
      ['value Observation.issued'],
    ],
    [
      'the same instant in another zone',
      { path: 'Observation.issued', minValueInstant: '2020-01-01T00:00:00Z' },
      { ...observation, issued: '2020-01-01T01:00:00+01:00' },
      [],
    ],
  ]);
  cases('Patient', [
    [
      'a date after the last',
      { path: 'Patient.birthDate', maxValueDate: '2020-06-15' },
      { ...patient, birthDate: '2020-06-16' },
      ['value Patient.birthDate'],
    ],
    [
      'a date that may be before',
      { path: 'Patient.birthDate', maxValueDate: '2020-06-15' },
      { ...patient, birthDate: '2020' },
      [],
    ],
    [
      'a year after the last',
      { path: 'Patient.birthDate', maxValueDate: '2020-06-15' },
      { ...patient, birthDate: '2021' },
      ['value Patient.birthDate'],
    ],
    [
      'a date so far back from now',
      { path: 'Patient.birthDate', minValueQuantity: { value: 120, system: 'http://unitsofmeasure.org', code: 'a' } },
      { ...patient, birthDate: '1801-01-01' },
      ['value Patient.birthDate'],
    ],
    [
      'a text that is too long',
      [{ path: 'Patient.name' }, { path: 'Patient.name.family', maxLength: 3 }],
      { ...patient, name: [{ family: 'abcd' }, { family: 'äöü' }] },
      ['too-long Patient.name[0].family'],
    ],
    [
      'characters are counted, not the bytes they take',
      [{ path: 'Patient.name' }, { path: 'Patient.name.family', maxLength: 3 }],
      { ...patient, name: [{ family: '𝒜𝒷𝒸' }] },
      [],
    ],
    [
      'each of a list is measured',
      [{ path: 'Patient.name' }, { path: 'Patient.name.given', maxLength: 3 }],
      { ...patient, name: [{ given: ['abc', 'abcd'] }] },
      ['too-long Patient.name[0].given[1]'],
    ],
  ]);
});
