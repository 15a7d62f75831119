import { Failure } from '../../../src/fhir/failure.ts';
import { type ParameterDeclaration, readGiven } from '../../../src/http/operations/operation-parameters.ts';
import { fhir } from '../../record/clinic.ts';

const parameters: readonly ParameterDeclaration[] = [
  { name: 'url', types: ['uri'] },
  { name: 'start', types: ['date'] },
  { name: 'count', types: ['integer'] },
  { name: 'flag', types: ['boolean'] },
  { name: 'kind', types: ['code'], min: 1, max: '*' },
  { name: 'coding', types: ['Coding'] },
  { name: 'concept', types: ['CodeableConcept'] },
  { name: 'resource', types: ['Resource'] },
  {
    name: 'pair',
    max: '*',
    part: [
      { name: 'left', types: ['string'], min: 1 },
      { name: 'right', types: ['string'] },
    ],
  },
];

const rules = {
  parameters,
  isResourceType: (name: string) => fhir.definitions.isResourceType(name),
  validate: (resource: unknown, place: string) => fhir.validator.validate(resource, place),
};

const read = (query: string, body?: unknown, takesSearch = false) =>
  readGiven(new URLSearchParams(query), body, { ...rules, takesSearch });

const inBody = (...parameter: object[]) => ({ resourceType: 'Parameters', parameter });

function refusal(query: string, body?: unknown): string[] {
  try {
    read(query, body);
  } catch (error) {
    if (error instanceof Failure) return error.issues.map(({ code, expression }) => `${code} ${expression}`);
    throw error;
  }
  return [];
}

test('url and body give the same values', () => {
  const query =
    'url=http%3A%2F%2Fx&start=2026-03&count=7&flag=true&kind=a&kind=b&coding=http%3A%2F%2Fs%7Cc&_format=json';
  const body = inBody(
    { name: 'url', valueUri: 'http://x' },
    { name: 'start', valueDate: '2026-03' },
    { name: 'count', valueInteger: 7 },
    { name: 'flag', valueBoolean: true },
    { name: 'kind', valueCode: 'a' },
    { name: 'kind', valueCode: 'b' },
    { name: 'coding', valueCoding: { system: 'http://s', code: 'c' } },
  );
  for (const given of [read(query), read('', body)]) {
    expect(given.text('url')).toBe('http://x');
    expect(given.text('start')).toBe('2026-03');
    expect(given.number('count')).toBe(7);
    expect(given.boolean('flag')).toBe(true);
    expect(given.texts('kind')).toEqual(['a', 'b']);
    expect(given.coding('coding')).toEqual({ system: 'http://s', code: 'c' });
  }
});

test('a resource may be the body alone, beside parameters in the url', () => {
  const patient = { resourceType: 'Patient', id: 'p' };
  expect(read('kind=a', patient).resource('resource')).toEqual(patient);
  expect(
    read('', inBody({ name: 'kind', valueCode: 'a' }, { name: 'resource', resource: patient })).resource('resource'),
  ).toEqual(patient);
});

test('a concept in a url is written as a token; parts are read as values of their own', () => {
  expect(read('kind=a&concept=http://s|c').concept('concept')).toEqual({ coding: [{ system: 'http://s', code: 'c' }] });
  const given = read(
    'kind=a',
    inBody(
      { name: 'pair', part: [{ name: 'left', valueString: 'l' }] },
      { name: 'pair', part: [{ name: 'left', valueString: 'm' }] },
    ),
  );
  expect(given.parts('pair').map((part) => part.text('left'))).toEqual(['l', 'm']);
});

test('an operation that takes a search keeps the other names with their modifiers', () => {
  expect(read('kind=a&code:not=x&date=gt2020', undefined, true).others).toEqual([
    ['code:not', 'x'],
    ['date', 'gt2020'],
  ]);
});

test.each<[string, string, unknown, string[]]>([
  ['an unknown name in the url', 'kind=a&nope=1', undefined, ['not-supported http.nope']],
  [
    'an unknown name in the body',
    '',
    inBody({ name: 'kind', valueCode: 'a' }, { name: 'nope', valueCode: 'b' }),
    ['not-supported Parameters.parameter[1].name'],
  ],
  ['a missing one', '', undefined, ['required Parameters.parameter']],
  ['a repeated one', 'kind=a&start=2026&start=2027', undefined, ['structure http.start']],
  [
    'one that is repeated in url and body',
    'kind=a&start=2026',
    inBody({ name: 'start', valueDate: '2026' }),
    ['structure Parameters.parameter[0].value.ofType(date)'],
  ],
  ['a date that is none', 'kind=a&start=2026-02-30', undefined, ['value http.start']],
  ['a number that is none', 'kind=a&count=x', undefined, ['value http.count']],
  ['a fraction of a whole number', 'kind=a&count=1.5', undefined, ['value http.count']],
  ['a boolean that is none', 'kind=a&flag=yes', undefined, ['value http.flag']],
  ['a resource in the url', 'kind=a&resource=x', undefined, ['value http.resource']],
  ['an empty value', 'kind=', undefined, ['value http.kind']],
  [
    'a value of another type',
    '',
    inBody({ name: 'kind', valueString: 'a' }),
    ['value Parameters.parameter[0].value.ofType(string)'],
  ],
  [
    'a part that is missing',
    'kind=a',
    inBody({ name: 'pair', part: [{ name: 'right', valueString: 'r' }] }),
    ['required Parameters.parameter[0].part'],
  ],
  [
    'several at once',
    'start=x&nope=1',
    undefined,
    ['value http.start', 'not-supported http.nope', 'required Parameters.parameter'],
  ],
])('%s is refused with its place', (_case, query, body, issues) => {
  expect(refusal(query, body)).toEqual(issues);
});

test('a Parameters resource that is not valid R4 is refused, whatever is wrong with a resource in it', () => {
  const wrong = { name: 'resource', resource: { resourceType: 'Patient', birthDate: 'never' } };
  expect(refusal('kind=a', inBody(wrong))).toEqual([]);
  expect(refusal('kind=a', inBody({ name: 'coding', valueCoding: { code: 5 } }))).toEqual([
    expect.stringContaining('Parameters.parameter[0]'),
  ]);
});
