/** PATCH. @see https://hl7.org/fhir/R4/http.html#patch and https://hl7.org/fhir/R4/fhirpatch.html */
import type { OperationOutcome, Resource } from '@medplum/fhirtypes';
import type { Test } from 'supertest';
import { patient, startTestService, type TestService, weightOf } from '../service.ts';

let service: TestService;
let token: string;

beforeAll(async () => {
  service = await startTestService();
  token = await service.token();
});
afterAll(() => service.close());

const JSON_PATCH = 'application/json-patch+json';

function patch(url: string, document: unknown, contentType = JSON_PATCH): Test {
  const text = typeof document === 'string' || Buffer.isBuffer(document) ? document : JSON.stringify(document);
  return service.http
    .patch(`/fhir/${url}`)
    .set('authorization', `Bearer ${token}`)
    .set('content-type', contentType)
    .serialize((sent) => sent as string)
    .send(text);
}

function fhirPathPatch(url: string, ...operations: Record<string, unknown>[]): Test {
  return patch(url, parameters(...operations), 'application/fhir+json');
}

/** Operations in short: { type: 'replace', path: 'Patient.gender', valueCode: 'other' }. */
function parameters(...operations: Record<string, unknown>[]): object {
  const nameOf: Record<string, string> = { type: 'valueCode', path: 'valueString', name: 'valueString' };
  const parameter = operations.map((operation) => ({
    name: 'operation',
    part: [
      ...Object.entries(operation).flatMap(([key, value]) => {
        if (/^_?value|^resource|^part/.test(key)) return [];
        return [{ name: key, [nameOf[key] ?? 'valueInteger']: value }];
      }),
      ...valuePart(operation),
    ],
  }));
  return { resourceType: 'Parameters', parameter };
}

function valuePart(operation: Record<string, unknown>): object[] {
  const given = Object.entries(operation).filter(([key]) => /^_?value|^resource|^part/.test(key));
  return given.length === 0 ? [] : [{ name: 'value', ...Object.fromEntries(given) }];
}

async function create(resource: object): Promise<string> {
  const { body } = await service
    .as(token)
    .post(`/fhir/${(resource as Resource).resourceType}`, resource)
    .expect(201);
  return body.id;
}

const someone = {
  ...patient,
  active: true,
  name: [
    { use: 'official', family: 'Example', given: ['Pat', 'Quinn'] },
    { use: 'nickname', given: ['Pip'] },
  ],
  telecom: [{ system: 'phone', value: '+1 555 0100' }],
  contact: [{ name: { family: 'Kin' }, gender: 'female' }],
};

type Case = readonly [about: string, document: unknown, after: Record<string, unknown>];

const jsonPatches: readonly Case[] = [
  ['add an element', [{ op: 'add', path: '/gender', value: 'other' }], { gender: 'other' }],
  ['add over what is there', [{ op: 'add', path: '/birthDate', value: '1980-05-18' }], { birthDate: '1980-05-18' }],
  [
    'add into a list',
    [{ op: 'add', path: '/name/0/given/1', value: 'Max' }],
    { name: [{ given: ['Pat', 'Max', 'Quinn'] }, { given: ['Pip'] }] },
  ],
  [
    'add at the end of a list',
    [{ op: 'add', path: '/name/0/given/-', value: 'Max' }],
    { name: [{ given: ['Pat', 'Quinn', 'Max'] }, { given: ['Pip'] }] },
  ],
  ['remove an element', [{ op: 'remove', path: '/birthDate' }], { birthDate: undefined }],
  ['remove the last item of a list', [{ op: 'remove', path: '/telecom/0' }], { telecom: undefined }],
  ['replace an element', [{ op: 'replace', path: '/active', value: false }], { active: false }],
  [
    'move between lists',
    [{ op: 'move', from: '/name/0/given/1', path: '/name/1/given/0' }],
    { name: [{ given: ['Pat'] }, { given: ['Quinn', 'Pip'] }] },
  ],
  [
    'copy an element',
    [{ op: 'copy', from: '/name/0/family', path: '/name/1/family' }],
    { name: [{ family: 'Example' }, { family: 'Example' }] },
  ],
  [
    'a test that holds, with its keys in another order',
    [
      { op: 'test', path: '/telecom/0', value: { value: '+1 555 0100', system: 'phone' } },
      { op: 'add', path: '/gender', value: 'male' },
    ],
    { gender: 'male' },
  ],
  ['no operation', [], { active: true }],
  [
    'a pointer with escapes',
    [
      { op: 'add', path: '/extension', value: [{ url: 'https://example.org/a~b', valueString: 'a/b' }] },
      { op: 'test', path: '/extension/0/url', value: 'https://example.org/a~b' },
    ],
    { extension: [{ valueString: 'a/b' }] },
  ],
];

/** What is undefined in `after` is not there. */
function expectAfter(body: object, after: Record<string, unknown>): void {
  const entries = Object.entries(after);
  expect(body).toMatchObject(Object.fromEntries(entries.filter(([, value]) => value !== undefined)));
  for (const [name, value] of entries) if (value === undefined) expect(body).not.toHaveProperty(name);
}

test.each(jsonPatches)('JSON Patch: %s', async (_about, document, after) => {
  const id = await create(someone);
  const { body } = await patch(`Patient/${id}`, document).expect(200);
  expectAfter(body, after);
  const read = await service.as(token).get(`/fhir/Patient/${id}`).expect(200);
  expect(read.body).toEqual(body);
});

const fhirPathPatches: readonly Case[] = [
  ['add an element', { type: 'add', path: 'Patient', name: 'gender', valueCode: 'other' }, { gender: 'other' }],
  [
    'add an item of a list',
    { type: 'add', path: 'Patient', name: 'telecom', valueContactPoint: { system: 'email', value: 'x@example.org' } },
    { telecom: [{ system: 'phone' }, { system: 'email' }] },
  ],
  [
    'add a backbone element in parts',
    {
      type: 'add',
      path: 'Patient',
      name: 'contact',
      part: [
        { name: 'name', valueHumanName: { text: 'Next of kin' } },
        { name: 'telecom', valueContactPoint: { system: 'phone', value: '1' } },
        { name: 'telecom', valueContactPoint: { system: 'phone', value: '2' } },
        { name: 'gender', valueCode: 'male' },
      ],
    },
    { contact: [{}, { name: { text: 'Next of kin' }, telecom: [{ value: '1' }, { value: '2' }], gender: 'male' }] },
  ],
  [
    'add below a criterion',
    { type: 'add', path: `Patient.name.where(use = 'nickname')`, name: 'given', valueString: 'Pipper' },
    { name: [{}, { given: ['Pip', 'Pipper'] }] },
  ],
  [
    'insert into a list',
    { type: 'insert', path: 'Patient.name[0].given', index: 1, valueString: 'Max' },
    { name: [{ given: ['Pat', 'Max', 'Quinn'] }, {}] },
  ],
  [
    'insert into a list that is not there',
    { type: 'insert', path: 'Patient.address', index: 0, valueAddress: { city: 'Portland' } },
    { address: [{ city: 'Portland' }] },
  ],
  ['delete an element', { type: 'delete', path: 'Patient.birthDate' }, { birthDate: undefined }],
  ['delete what is not there', { type: 'delete', path: 'Patient.deceased' }, { active: true }],
  ['delete the only item', { type: 'delete', path: 'Patient.telecom[0]' }, { telecom: undefined }],
  ['delete an item', { type: 'delete', path: `Patient.name.first().given.last()` }, { name: [{ given: ['Pat'] }, {}] }],
  ['replace a primitive', { type: 'replace', path: 'Patient.active', valueBoolean: false }, { active: false }],
  [
    'replace an item of a list of primitives',
    { type: 'replace', path: 'Patient.name[0].given[1]', valueString: 'Quincy' },
    { name: [{ given: ['Pat', 'Quincy'] }, {}] },
  ],
  [
    'replace a complex element',
    { type: 'replace', path: 'Patient.contact[0].name', valueHumanName: { text: 'Kin' } },
    { contact: [{ name: { text: 'Kin' }, gender: 'female' }] },
  ],
  [
    'move within a list',
    { type: 'move', path: 'Patient.name[0].given', source: 0, destination: 1 },
    { name: [{ given: ['Quinn', 'Pat'] }, {}] },
  ],
  [
    'add an extension of a primitive',
    {
      type: 'add',
      path: 'Patient.birthDate',
      name: 'extension',
      part: [
        { name: 'url', valueUri: 'http://hl7.org/fhir/StructureDefinition/patient-birthTime' },
        { name: 'value', valueDateTime: '1980-05-17T04:00:00Z' },
      ],
    },
    { birthDate: '1980-05-17', _birthDate: { extension: [{ valueDateTime: '1980-05-17T04:00:00Z' }] } },
  ],
];

test.each(fhirPathPatches)('FHIRPath Patch: %s', async (_about, operation, after) => {
  const id = await create(someone);
  const { body } = await fhirPathPatch(`Patient/${id}`, operation as Record<string, unknown>).expect(200);
  expectAfter(body, after);
});

test('FHIRPath Patch replaces a choice by one of another type, at its place', async () => {
  const id = await create(weightOf(await create(patient), 70));
  const operation = { type: 'replace', path: 'Observation.value', valueString: 'not weighed' };
  const { body } = await fhirPathPatch(`Observation/${id}`, operation).expect(200);
  expect(body.valueString).toBe('not weighed');
  expect(body.valueQuantity).toBeUndefined();
  const back = { type: 'replace', path: 'Observation.value', valueQuantity: { value: 1, unit: 'kg' } };
  expect((await fhirPathPatch(`Observation/${id}`, back).expect(200)).body.valueQuantity.value).toBe(1);
  const within = { type: 'replace', path: '(Observation.value as Quantity).value', valueDecimal: 2 };
  expect((await fhirPathPatch(`Observation/${id}`, within).expect(200)).body.valueQuantity.value).toBe(2);
});

test('decimals keep their digits: those a patch leaves alone, and those it brings', async () => {
  const text = JSON.stringify(weightOf(await create(patient), 70)).replace('"value":70', '"value":70.50');
  const { body } = await service.http
    .post('/fhir/Observation')
    .set('authorization', `Bearer ${token}`)
    .set('content-type', 'application/fhir+json')
    .send(text)
    .expect(201);
  const url = `Observation/${body.id}`;
  const component = '{"code":{"text":"dose"},"valueQuantity":{"value":0.50,"unit":"mg"}}';
  const added = await patch(url, `[{"op":"add","path":"/component","value":[${component}]}]`).expect(200);
  expect(added.text).toContain('"value":70.50');
  expect(added.text).toContain('"value":0.50');
  const moves =
    '[{"op":"copy","from":"/component/0","path":"/component/-"},{"op":"replace","path":"/component/0/valueQuantity/value","value":1.00}]';
  const moved = await patch(url, moves).expect(200);
  expect([...moved.text.matchAll(/"value":([\d.]+)/g)].map(([, digits]) => digits)).toEqual(['70.50', '1.00', '0.50']);
  const document = JSON.stringify(parameters({ type: 'replace', path: 'Observation.component[1].value.value' }));
  const replaced = document.replace('}]}]}', '},{"name":"value","valueDecimal":0.500}]}]}');
  const last = await patch(url, replaced, 'application/fhir+json').expect(200);
  expect([...last.text.matchAll(/"value":([\d.]+)/g)].map(([, digits]) => digits)).toEqual(['70.50', '1.00', '0.500']);
});

type Refused = readonly [
  about: string,
  send: (id: string) => Test,
  status: number,
  code: string,
  expression: string | undefined,
];

const refused: readonly Refused[] = [
  [
    'a failed test',
    (id) => patch(`Patient/${id}`, [{ op: 'test', path: '/active', value: false }]),
    422,
    'processing',
    'Patient.active',
  ],
  [
    'a place that is not there',
    (id) => patch(`Patient/${id}`, [{ op: 'replace', path: '/name/7/family', value: 'x' }]),
    422,
    'processing',
    'Patient.name[7]',
  ],
  ['an unknown operation', (id) => patch(`Patient/${id}`, [{ op: 'erase', path: '/x' }]), 400, 'value', undefined],
  ['an operation without a path', (id) => patch(`Patient/${id}`, [{ op: 'remove' }]), 400, 'required', undefined],
  ['an add without a value', (id) => patch(`Patient/${id}`, [{ op: 'add', path: '/x' }]), 400, 'required', undefined],
  ['a pointer without a slash', (id) => patch(`Patient/${id}`, [{ op: 'remove', path: 'x' }]), 400, 'value', undefined],
  ['no list', (id) => patch(`Patient/${id}`, { op: 'remove', path: '/x' }), 400, 'structure', undefined],
  ['malformed JSON', (id) => patch(`Patient/${id}`, '[{'), 400, 'structure', undefined],
  ['an empty body', (id) => patch(`Patient/${id}`, ''), 400, 'required', undefined],
  [
    'a prototype',
    (id) => patch(`Patient/${id}`, [{ op: 'add', path: '/__proto__/polluted', value: 1 }]),
    400,
    'value',
    undefined,
  ],
  [
    'another id',
    (id) => patch(`Patient/${id}`, [{ op: 'replace', path: '/id', value: 'other' }]),
    400,
    'invalid',
    'Patient.id',
  ],
  ['no id', (id) => patch(`Patient/${id}`, [{ op: 'remove', path: '/id' }]), 400, 'invalid', 'Patient.id'],
  [
    'another type',
    (id) => patch(`Patient/${id}`, [{ op: 'replace', path: '/resourceType', value: 'Group' }]),
    400,
    'invalid',
    'Patient.resourceType',
  ],
  [
    'an invalid result',
    (id) => patch(`Patient/${id}`, [{ op: 'add', path: '/colour', value: 'blue' }]),
    400,
    'structure',
    'Patient.colour',
  ],
  [
    'XML Patch',
    (id) => patch(`Patient/${id}`, '<diff/>', 'application/xml-patch+xml'),
    415,
    'not-supported',
    undefined,
  ],
  [
    'a merge patch',
    (id) => patch(`Patient/${id}`, '{}', 'application/merge-patch+json'),
    415,
    'not-supported',
    undefined,
  ],
  ['a resource that never was', () => patch('Patient/never-was', []), 404, 'not-found', undefined],
  [
    'another resource than Parameters',
    (id) => patch(`Patient/${id}`, { ...someone, id }, 'application/fhir+json'),
    400,
    'invalid',
    'Parameters.resourceType',
  ],
  [
    'a path that finds two',
    (id) => fhirPathPatch(`Patient/${id}`, { type: 'delete', path: 'Patient.name' }),
    422,
    'processing',
    'Parameters.parameter[0]',
  ],
  [
    'a path that finds nothing',
    (id) => fhirPathPatch(`Patient/${id}`, { type: 'replace', path: 'Patient.gender', valueCode: 'male' }),
    422,
    'processing',
    'Parameters.parameter[0]',
  ],
  [
    'an element that is there already',
    (id) => fhirPathPatch(`Patient/${id}`, { type: 'add', path: 'Patient', name: 'active', valueBoolean: true }),
    422,
    'processing',
    'Parameters.parameter[0]',
  ],
  [
    'an index beyond the list',
    (id) =>
      fhirPathPatch(`Patient/${id}`, { type: 'insert', path: 'Patient.name', index: 3, valueHumanName: { text: 'x' } }),
    422,
    'processing',
    'Parameters.parameter[0]',
  ],
  [
    'a path that is no FHIRPath',
    (id) => fhirPathPatch(`Patient/${id}`, { type: 'delete', path: 'Patient.name[' }),
    400,
    'value',
    'Parameters.parameter[0].part[1].value.ofType(string)',
  ],
  [
    'a path that leaves the resource',
    (id) => fhirPathPatch(`Patient/${id}`, { type: 'delete', path: 'Patient.managingOrganization.resolve().name' }),
    400,
    'value',
    'Parameters.parameter[0].part[1].value.ofType(string)',
  ],
  [
    'a regular-expression bomb',
    (id) => fhirPathPatch(`Patient/${id}`, { type: 'delete', path: `Patient.name.where(family.matches('(a+)+$'))` }),
    400,
    'value',
    'Parameters.parameter[0].part[1].value.ofType(string)',
  ],
  [
    'an operation without a type',
    (id) => fhirPathPatch(`Patient/${id}`, { path: 'Patient.name[0]' }),
    400,
    'value',
    'Parameters.parameter[0]',
  ],
  [
    'an operation without its value',
    (id) => fhirPathPatch(`Patient/${id}`, { type: 'replace', path: 'Patient.active' }),
    400,
    'required',
    'Parameters.parameter[0]',
  ],
];

test.each(refused)('a patch with %s is refused and changes nothing', async (_about, send, status, code, expression) => {
  const id = await create(someone);
  const answer = await send(id);
  const outcome = answer.body as OperationOutcome;
  expect([answer.status, outcome.resourceType]).toEqual([status, 'OperationOutcome']);
  const codes = outcome.issue.map((each) => each.code);
  expect(codes).toContain(code);
  if (expression !== undefined) expect(outcome.issue.flatMap((each) => each.expression)).toContain(expression);
  expect((await service.as(token).get(`/fhir/Patient/${id}`).expect(200)).headers.etag).toBe('W/"1"');
});

test('415 says what a patch may be sent as', async () => {
  const answer = await patch('Patient/1', '{}', 'application/merge-patch+json').expect(415);
  expect(answer.headers['accept-patch']).toBe(
    'application/json-patch+json, application/fhir+json, application/fhir+xml',
  );
});

test('all errors of a patch document are told at once', async () => {
  const { body } = await patch('Patient/1', [{ op: 'x', path: '/a' }, { op: 'add', path: '/b' }, 7]).expect(400);
  expect((body as OperationOutcome).issue).toHaveLength(3);
});

test('a deleted resource is 410 to a patch, with or without its version', async () => {
  const id = await create(someone);
  await service.as(token).delete(`/fhir/Patient/${id}`).expect(204);
  await patch(`Patient/${id}`, []).expect(410);
});

test('If-Match guards a patch, and each kind of Prefer is honoured', async () => {
  const id = await create(someone);
  const url = `Patient/${id}`;
  const document = [{ op: 'replace', path: '/active', value: false }];
  await patch(url, document).set('if-match', 'W/"2"').expect(412);
  const answer = await patch(url, document).set('if-match', 'W/"1"').set('prefer', 'return=minimal').expect(200);
  expect([answer.text, answer.headers.etag]).toEqual(['', 'W/"2"']);
  const again = await patch(url, [{ op: 'replace', path: '/active', value: true }]).set(
    'prefer',
    'return=OperationOutcome',
  );
  expect(again.body.resourceType).toBe('OperationOutcome');
  const same = await patch(url, [{ op: 'test', path: '/active', value: true }]).expect(200);
  expect(same.headers.etag).toBe('W/"3"');
});

test('version and time of change are the service’s own, whatever a patch says', async () => {
  const id = await create(someone);
  const { body } = await patch(`Patient/${id}`, [
    { op: 'replace', path: '/meta/versionId', value: '99' },
    { op: 'replace', path: '/active', value: false },
  ]).expect(200);
  expect(body.meta.versionId).toBe('2');
});

test('a conditional patch takes one match; none is 404, several are 412', async () => {
  const identified = { ...someone, identifier: [{ system: 'urn:test', value: 'conditional-patch' }] };
  const url = 'Patient?identifier=urn:test|conditional-patch';
  const document = [{ op: 'replace', path: '/active', value: false }];
  await patch(url, document).expect(404);
  const id = await create(identified);
  const { body } = await patch(url, document).expect(200);
  expect(body).toMatchObject({ id, active: false, meta: { versionId: '2' } });
  await create(identified);
  await patch(url, document).expect(412);
  await patch('Patient', document).expect(400);
});

test('many patches of one resource at once all take effect', async () => {
  const id = await create(someone);
  await Promise.all(
    Array.from({ length: 12 }, (_, i) =>
      patch(`Patient/${id}`, [{ op: 'add', path: '/name/0/given/-', value: `n${i}` }]).expect(200),
    ),
  );
  const { body } = await service.as(token).get(`/fhir/Patient/${id}`).expect(200);
  expect(body.name[0].given).toHaveLength(14);
  expect(body.meta.versionId).toBe('13');
});

test('a patch needs the scope of an update', async () => {
  const id = await create(someone);
  const reader = await service.token('system/Patient.crds');
  await service.http
    .patch(`/fhir/Patient/${id}`)
    .set('authorization', `Bearer ${reader}`)
    .set('content-type', JSON_PATCH)
    .send('[]')
    .expect(403);
});

test('what a patch made is shown to those who may read it', async () => {
  const id = await create(someone);
  const writer = await service.token('system/Patient.u');
  const answer = await service.http
    .patch(`/fhir/Patient/${id}`)
    .set('authorization', `Bearer ${writer}`)
    .set('content-type', JSON_PATCH)
    .send('[]')
    .expect(200);
  expect([answer.text, answer.headers.etag]).toEqual(['', 'W/"1"']);
  const parametersOfNothing = {
    resource: { resourceType: 'Parameters' },
    request: { method: 'PATCH', url: `Patient/${id}` },
  };
  const bundle = { resourceType: 'Bundle', type: 'transaction', entry: [parametersOfNothing] };
  const { body } = await service.as(writer).post('/fhir', bundle).expect(200);
  expect(body.entry[0].resource).toBeUndefined();
  expect((await service.as(token).post('/fhir', bundle).expect(200)).body.entry[0].resource).toMatchObject({ id });
});
