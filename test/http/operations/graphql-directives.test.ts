import type { Resource } from '@medplum/fhirtypes';
import { startTestService, type TestService } from '../service.ts';

let service: TestService;
let token: string;

/** The patient of the examples on https://hl7.org/fhir/R4/graphql.html. */
const example: Resource = {
  resourceType: 'Patient',
  id: 'example',
  active: true,
  identifier: [{ system: 'urn:oid:1.2.36.146.595.217.0.1', value: '12345' }],
  name: [
    { use: 'official', family: 'Chalmers', given: ['Peter', 'James'] },
    { use: 'usual', given: ['Jim'] },
    { use: 'maiden', family: 'Windsor', given: ['Peter', 'James'], period: { end: '2002' } },
  ],
  contact: [
    { name: { family: 'du Marché' }, telecom: [{ system: 'phone', use: 'home', value: '1' }] },
    { name: { family: 'Example' }, telecom: [{ system: 'phone', use: 'work', value: '2' }] },
  ],
  telecom: [
    { system: 'phone', use: 'home', value: '11' },
    { system: 'phone', use: 'work', value: '22' },
  ],
};

beforeAll(async () => {
  service = await startTestService();
  token = await service.token();
  await service.as(token).put('/fhir/Patient/example', example).expect(201);
});
afterAll(() => service.close());

function ask(query: string, path = '/fhir/Patient/example/$graphql', variables: object = {}) {
  return service.http
    .post(path)
    .set('authorization', `Bearer ${token}`)
    .set('content-type', 'application/json')
    .send(JSON.stringify({ query, variables }));
}

const identifier = { system: ['urn:oid:1.2.36.146.595.217.0.1'], value: ['12345'] };

test.each<[string, string, object]>([
  [
    '@flatten puts the fields in the place of their element, as lists',
    '{ identifier @flatten { system value } active name @flatten { text given family } }',
    {
      ...identifier,
      active: true,
      given: ['Peter', 'James', 'Jim', 'Peter', 'James'],
      family: ['Chalmers', 'Windsor'],
    },
  ],
  [
    '@first takes the first of each list',
    '{ identifier @flatten { system value } active name @flatten { text given @first family } }',
    { ...identifier, active: true, given: ['Peter', 'Jim', 'Peter'], family: ['Chalmers', 'Windsor'] },
  ],
  [
    '@singleton makes one value of a list',
    '{ identifier @flatten { system @singleton value @singleton } active name @flatten @first { text given family @singleton } }',
    {
      system: 'urn:oid:1.2.36.146.595.217.0.1',
      value: '12345',
      active: true,
      given: ['Peter', 'James'],
      family: 'Chalmers',
    },
  ],
  [
    '@slice by an element makes a field of each',
    '{ identifier @flatten { system value } active name @flatten @slice(path: "use") { given family @singleton } }',
    {
      ...identifier,
      active: true,
      'given.official': ['Peter', 'James'],
      'family.official': 'Chalmers',
      'given.usual': ['Jim'],
      'given.maiden': ['Peter', 'James'],
      'family.maiden': 'Windsor',
    },
  ],
  [
    '@slice by the index',
    '{ identifier @flatten { system value } active name @flatten @slice(path: "$index") { given family @singleton } }',
    {
      ...identifier,
      active: true,
      'given.0': ['Peter', 'James'],
      'family.0': 'Chalmers',
      'given.1': ['Jim'],
      'given.2': ['Peter', 'James'],
      'family.2': 'Windsor',
    },
  ],
  [
    '@slice without @flatten keeps the element, also by a name without quotes',
    '{ telecom @slice(fhirpath: use) { value } }',
    { 'telecom.home': [{ value: '11' }], 'telecom.work': [{ value: '22' }] },
  ],
  [
    'suffixes add up',
    '{ contact @flatten @slice(path: "$index") { telecom @flatten @slice(path: "use") { value @singleton } } }',
    { 'value.0.home': '1', 'value.1.work': '2' },
  ],
  [
    'all under a flattened list are lists, at any depth',
    '{ contact @flatten { name @flatten { family } } }',
    { family: ['du Marché', 'Example'] },
  ],
  [
    '@first without @flatten is no list',
    '{ name @first { given family } }',
    { name: { given: ['Peter', 'James'], family: 'Chalmers' } },
  ],
  [
    'fragments, aliases and @skip go with them',
    'query ($no: Boolean = true) { ...n contact @skip(if: $no) { id } } fragment n on Patient { name @flatten { last: family ... on HumanName { period { end } } } }',
    { last: ['Chalmers', 'Windsor'], period: [{ end: '2002' }] },
  ],
])('%s', async (_what, query, data) => {
  const { body } = await ask(query).expect(200);
  expect(body).toEqual({ data });
});

test('lists of resources are flattened too', async () => {
  const query = '{ PatientList(_id: example) @first @flatten { id name @first { given @first } } }';
  expect((await ask(query, '/fhir/$graphql').expect(200)).body).toEqual({
    data: { id: 'example', name: { given: 'Peter' } },
  });
});

test.each([
  ['@singleton where there are several values', '{ name @flatten { family @singleton } }'],
  [
    'values of different types under one name',
    '{ identifier @flatten { use value } contact @flatten { use: name { id } } }',
  ],
  ['a list that is sliced and cut', '{ name @slice(path: "use") @first { family } }'],
  ['@slice without a path', '{ name @slice { family } }'],
  ['a directive that nobody knows', '{ name @folded { family } }'],
])('%s is refused', async (_what, query) => {
  const { body } = await ask(query).expect(400);
  expect(body.data).toBeUndefined();
  expect(body.errors[0].message).not.toBe('');
  expect(body.errors[0].locations).toHaveLength(1);
  expect(body.errors[0].extensions.resource.resourceType).toBe('OperationOutcome');
});

test('a FHIRPath that cannot be used is an error of its field', async () => {
  const { body } = await ask('{ id name @slice(path: "resolve()") { family } }').expect(200);
  expect(body.data).toEqual({ id: 'example' });
  expect(body.errors[0]).toMatchObject({ path: ['name'] });
});
