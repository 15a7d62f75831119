import fc from 'fast-check';
import { canonicalUnit, canonicalValue, UCUM } from '../../src/fhir/ucum.ts';

function canonical(value: number, code: string): [number, string] | undefined {
  const unit = canonicalUnit(UCUM, code);
  return unit && [canonicalValue(value, unit), unit.code];
}

test.each([
  [5.4, 'mg', 0.0054, 'g'],
  [1, 'g/L', 100, 'mg/dL'],
  [37, 'Cel', 98.6, '[degF]'],
  [37, 'Cel', 310.15, 'K'],
  [1, 'h', 60, 'min'],
  [60, '/h', 1, '/min'],
  [80, '/min', 80, '{beats}/min'],
  [1000, 'm[iU]/mL', 1, '[iU]/mL'],
  [1, '[IU]/L', 1, '[iU]/L'],
  [10, '%', 0.1, '1'],
  [1, '[ppm]', 1, 'mg/kg'],
  [0.5, 'mg/kg/h', 500, 'ug/kg/h'],
  [1, '[lb_av]', 453.59237, 'g'],
])('%d %s is %d %s', (value, code, other, otherCode) => {
  expect(canonical(value, code)).toBeDefined();
  expect(canonical(value, code)).toEqual(canonical(other, otherCode));
});

test.each([
  ['mg', 'mL'],
  ['[iU]/mL', '10*6/mL'],
  ['[iU]/mL', '[CFU]/mL'],
  ['mL/[iU]', 'mL.[iU]'],
  ['Cel', 'Cel/h'],
])('%s is not comparable with %s', (one, other) => {
  expect(canonical(1, one)?.[1]).not.toBe(canonical(1, other)?.[1]);
});

test.each(['[pH]', 'B[SPL]', 'kCel', 'mmHg', 'tablet', '', 'm'.repeat(65), '(('])('%s is not converted', (code) => {
  expect(canonicalUnit(UCUM, code)).toBeUndefined();
});

test('codes of another system are no units', () => {
  expect(canonicalUnit('http://snomed.info/sct', 'mg')).toBeUndefined();
});

test('the same amount is the same number, whatever its unit', () => {
  const amount = fc.tuple(fc.integer({ min: 1, max: 999_999 }), fc.integer({ min: -3, max: 3 }));
  fc.assert(
    fc.property(amount, ([digits, power]) => {
      const inMg = Number(`${digits}e${power}`);
      const inG = Number(`${digits}e${power - 3}`);
      expect(canonical(inMg, 'mg/dL')).toEqual(canonical(inG, 'g/dL'));
      expect(canonical(inMg, 'mg/mL')).toEqual(canonical(inMg, 'g/L'));
    }),
  );
});

test('no text makes the conversion fail or take long', () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 70 }),
    fc
      .array(fc.constantFrom('m', '[', ']', 'iU', '/', '.', '(', ')', '10*', '-', '9', '{', '}', 'g'), {
        maxLength: 40,
      })
      .map((parts) => parts.join('')),
  );
  fc.assert(
    fc.property(text, (code) => {
      const unit = canonicalUnit(UCUM, code);
      if (unit !== undefined) expect(Number.isFinite(canonicalValue(1.5, unit))).toBe(true);
    }),
    { numRuns: 1000 },
  );
});
