import { loadDefinitions } from '../../../src/fhir/definitions.ts';
import { Failure, issue } from '../../../src/fhir/failure.ts';
import { searchParameterRegistry } from '../../../src/fhir/search/parameters.ts';
import { parseSearch } from '../../../src/fhir/search/query.ts';
import { resolveTerms } from '../../../src/fhir/search/terms.ts';
import type { Terminology } from '../../../src/fhir/terminology/port.ts';

const registry = searchParameterRegistry(loadDefinitions());

/** Two codes of which b is below a. */
const terminology: Terminology = {
  members: async (url) => {
    if (url !== 'http://vs')
      throw new Failure('not-found', issue('not-found', `The value set ${url} is not known here`));
    return [
      { system: 'http://s', code: 'a' },
      { system: 'http://s', code: 'b' },
    ];
  },
  below: async (_system, code) => (code === 'a' ? ['a', 'b'] : [code]),
  above: async (_system, code) => (code === 'b' ? ['b', 'a'] : [code]),
};

function parsed(url: string) {
  const [type = '', query = ''] = url.split('?');
  return parseSearch(type, new URLSearchParams(query), registry, { strict: true });
}

const both = [
  { system: 'http://s', code: 'a' },
  { system: 'http://s', code: 'b' },
];

test.each<[string, object]>([
  ['Observation?code:in=http://vs', { kind: 'token', not: false, values: both }],
  ['Observation?code:not-in=http://vs', { kind: 'token', not: true, values: both }],
  ['Observation?code:below=http://s|a', { kind: 'token', not: false, values: both }],
  [
    'Observation?code:above=http://s|b',
    {
      kind: 'token',
      values: [
        { system: 'http://s', code: 'b' },
        { system: 'http://s', code: 'a' },
      ],
    },
  ],
  ['Observation?code:below=a', { kind: 'token', values: [{ code: 'a' }] }],
  [
    'Encounter?status:in=http://vs',
    {
      kind: 'token',
      values: [
        { system: '', code: 'a' },
        { system: '', code: 'b' },
      ],
    },
  ],
  ['Patient?_has:Observation:patient:code:in=http://vs', { kind: 'has', filter: { kind: 'token', values: both } }],
  ['Encounter?diagnosis:Condition.code:in=http://vs', { kind: 'chain', filter: { kind: 'token', values: both } }],
  ['Observation?_filter=not(code in http://vs)', { kind: 'not', filter: { kind: 'token', values: both } }],
])('%s becomes the codes it names', async (url, expected) => {
  const { filters, parts } = await resolveTerms(parsed(url), terminology);
  expect(filters).toMatchObject([expected]);
  expect(parts[0]?.filters).toBe(filters);
});

test('a query without terms is answered as it is', async () => {
  const query = parsed('Observation?code=a');
  expect(await resolveTerms(query, terminology)).toBe(query);
});

test('an unknown value set is a fault of the request, at its parameter', async () => {
  await expect(resolveTerms(parsed('Observation?code:in=http://none'), terminology)).rejects.toMatchObject({
    code: 'invalid',
    issues: [{ code: 'not-found', expression: 'http.code:in' }],
  });
});
