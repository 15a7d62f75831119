import {
  buildClientSchema,
  getIntrospectionQuery,
  type IntrospectionQuery,
  parse,
  printSchema,
  validate,
} from 'graphql';
import { startTestService, type TestService } from '../service.ts';

let service: TestService;
let token: string;

beforeAll(async () => {
  service = await startTestService();
  token = await service.token('system/Patient.rs');
});
afterAll(() => service.close());

function ask(query: string, variables: object = {}, path = '/fhir/$graphql') {
  return service.http.post(path).set('authorization', `Bearer ${token}`).send({ query, variables });
}

test('tools get a schema that they can use, and that knows what R4 writes', async () => {
  const { body } = await ask(
    getIntrospectionQuery({ inputValueDeprecation: true, directiveIsRepeatable: true }),
  ).expect(200);
  const schema = buildClientSchema(body.data as IntrospectionQuery);
  const text = printSchema(schema);
  expect(text).toContain('type Patient implements Resource');
  expect(text).toContain('active: [token]');
  expect(text).toContain('_birthDate: ElementBase');
  expect(text).toContain('directive @flatten on FIELD');
  const query = parse(`{
    PatientList(name: "Pat", _count: 2) {
      id _birthDate { extension { url valueDateTime } }
      name(use: "official", _offset: 1) @flatten { given @first }
      ObservationList(_reference: "subject", code: "1") { subject { resource { ... on Patient { id } } } }
    }
    ConditionConnection(clinical_status: ["active"]) { count next edges { mode resource { id } } }
  }`);
  expect(validate(schema, query)).toEqual([]);
});

test('one type is described by its name, also at a resource', async () => {
  const query =
    'query ($n: String!) { __typename t: __type(name: $n) { ...f } none: __type(name: "Nothing") { name } } fragment f on __Type { kind name fields { name type { kind ofType { name } } } interfaces { name } }';
  for (const path of ['/fhir/$graphql', '/fhir/Patient/p/$graphql']) {
    const { body } = await ask(query, { n: 'HumanName' }, path).expect(200);
    expect(body.data.__typename).toBe('Query');
    expect(body.data.none).toBeNull();
    expect(body.data.t).toMatchObject({ kind: 'OBJECT', name: 'HumanName', interfaces: [] });
    expect(body.data.t.fields).toContainEqual({ name: 'given', type: { kind: 'LIST', ofType: { name: 'String' } } });
  }
});

test('parts of the schema can be left out, and asking is an event of the audit trail', async () => {
  await service.newAuditEvents();
  const { body } = await ask(
    '{ __schema { queryType { name fields @skip(if: true) { name } } mutationType { name } } }',
  ).expect(200);
  expect(body).toEqual({ data: { __schema: { queryType: { name: 'Query' }, mutationType: null } } });
  expect(await service.newAuditEvents()).toHaveLength(1);
});

test.each([
  ['what is no field of a schema', '{ __schema { colour } }'],
  ['data in the same query', '{ __schema { queryType { name } } PatientList { id } }'],
  ['a variable that is missing', 'query ($n: String!) { __type(name: $n) { name } }'],
  [
    'more than one answer holds',
    `{ ${Array.from({ length: 9 }, (_, i) => `s${i}: __schema { types { name fields { name args { name description defaultValue type { kind name ofType { kind name } } } } } }`).join(' ')} }`,
  ],
])('%s is refused in the form of GraphQL', async (_what, query) => {
  const { body } = await ask(query).expect(400);
  expect(body.errors[0].extensions.resource.resourceType).toBe('OperationOutcome');
});
