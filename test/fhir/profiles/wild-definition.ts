import type { StructureDefinition } from '@medplum/fhirtypes';
import fc from 'fast-check';
import { profileOn } from './definition.ts';

const NAMES = (
  'url version name type kind abstract derivation baseDefinition fhirVersion context snapshot differential element id path sliceName min max ' +
  'code profile targetProfile slicing discriminator rules constraint key binding strength valueSet extension fixedCode ' +
  'patternCoding minValueInteger maxLength contentReference alias condition mapping short definition isModifier'
).split(' ');
const WORDS = [
  null,
  true,
  0,
  -1,
  1.5,
  '',
  'Patient',
  'Patient.name',
  '*',
  '1',
  'resource',
  '4.0.1',
  'open',
  'value',
  'required',
];

const { value } = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom<unknown>(...WORDS),
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom(...NAMES), tie('value'), { maxKeys: 6 }),
  ),
}));
const elements = fc.array(fc.dictionary(fc.constantFrom(...NAMES), value, { maxKeys: 5 }), { maxLength: 4 });

/** A profile on Patient with any JSON in any place of it. */
export const wildDefinitions = fc
  .tuple(
    fc.constantFrom('snapshot', 'differential'),
    elements,
    fc.dictionary(fc.constantFrom(...NAMES), value, { maxKeys: 3 }),
  )
  .map(([view, list, over]) => {
    const root = { id: 'Patient', path: 'Patient', min: 0, max: '*' };
    return {
      ...profileOn('Patient', []),
      [view]: { element: [root, ...list] },
      ...over,
    } as unknown as StructureDefinition;
  });
