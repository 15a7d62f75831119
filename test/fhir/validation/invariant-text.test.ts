import { loadDefinitions } from '../../../src/fhir/definitions.ts';
import { expressionFault } from '../../../src/fhir/validation/invariants/text.ts';

test.each([
  ['name.(((', /no FHIRPath/],
  ['name.exists() and', /no FHIRPath/],
  ['', /no FHIRPath/],
  ["name = 'a", /no FHIRPath/],
  ['family.fooBar()', /no function fooBar/],
  ["name.where(given.guess('x'))", /no function guess/],
  ['x'.repeat(20_000), /10000 characters/],
  [`${'('.repeat(4000)}name`, /no FHIRPath/],
])('the expression %.40s can never be evaluated', (expression, words) => {
  expect(expressionFault(expression)).toMatch(words);
});

test.each([
  'birthDate <= today()',
  "value.ofType(Quantity) < 10 'mg'",
  "name.where(use = 'fooBar()').exists() // guess()",
  '(name) and (telecom) or (contact in (name))',
  'descendants().select($index).aggregate($total + $this, 0) > @2020-01-01.toString().length()',
])('the expression %s can be evaluated', (expression) => {
  expect(expressionFault(expression)).toBeUndefined();
});

test('every constraint of R4 can be evaluated', () => {
  const definitions = loadDefinitions();
  const faults = definitions.resourceTypes
    .flatMap((type) => definitions.structure(type)?.elements ?? [])
    .flatMap(({ constraints = [] }) =>
      constraints.map(({ key, expression = '' }) => [key, expressionFault(expression)]),
    )
    .filter(([, fault]) => fault !== undefined);
  expect(faults).toEqual([]);
});
