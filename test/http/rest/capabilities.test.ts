/** https://hl7.org/fhir/R4/http.html#capabilities: what is claimed is called. */
import type { Server } from 'node:http';
import type {
  CapabilityStatement,
  CapabilityStatementRestResource,
  OperationOutcome,
  TerminologyCapabilities,
} from '@medplum/fhirtypes';
import { close, listen, portOf } from '../../../src/http/server.ts';
import { fhir } from '../../record/clinic.ts';
import { BASE, startTestService, type TestService } from '../service.ts';

let service: TestService;
let server: Server;
let token: string;
let statement: CapabilityStatement;

beforeAll(async () => {
  service = await startTestService();
  token = await service.token();
  server = await listen(service.app, 0, '127.0.0.1');
  statement = (await service.http.get('/fhir/metadata').expect(200)).body;
});
afterAll(async () => {
  await close(server);
  await service.close();
});

const rest = () => statement.rest?.[0];
const resources = () => (rest()?.resource ?? []) as CapabilityStatementRestResource[];
const ofType = (type: string) => resources().find((each) => each.type === type);
const codes = (type: string) =>
  ofType(type)
    ?.interaction?.map(({ code }) => code)
    .sort();

async function ask(
  method: string,
  path: string,
  body?: object,
): Promise<{ status: number; outcome: OperationOutcome | undefined }> {
  const response = await fetch(`http://127.0.0.1:${portOf(server)}/fhir${path}`, {
    method,
    headers: {
      authorization: `Bearer ${token}`,
      ...(body === undefined ? {} : { 'content-type': 'application/fhir+json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  const answered = text === '' ? undefined : (JSON.parse(text) as OperationOutcome);
  return { status: response.status, outcome: response.status >= 400 ? answered : undefined };
}

/** What a request that is not supported is answered with; the others fail for their content at most. */
function isUnsupported({ status, outcome }: { status: number; outcome: OperationOutcome | undefined }): boolean {
  return status === 405 || (outcome?.issue ?? []).some(({ code }) => code === 'not-supported');
}

test('the statement is valid, and says the same in XML', async () => {
  expect(fhir.validator.validate(statement, 'CapabilityStatement')).toEqual([]);
  const { text } = await service.http.get('/fhir/metadata?_format=xml').expect(200).buffer(true);
  expect(text).toMatch(/^<\?xml[^>]*><CapabilityStatement xmlns="http:\/\/hl7.org\/fhir">/);
});

test('the statement names formats, guides, security, compartments and what concerns all types', () => {
  expect(statement).toMatchObject({
    fhirVersion: '4.0.1',
    kind: 'instance',
    implementation: { url: BASE },
    instantiates: [
      'https://kap.example.org/fhir/CapabilityStatement/kap-server',
      'http://hl7.org/fhir/us/core/CapabilityStatement/us-core-server',
    ],
    format: ['application/fhir+json', 'application/fhir+xml', 'json', 'xml'],
  });
  expect(statement.patchFormat).toContain('application/json-patch+json');
  expect(statement.implementationGuide).toHaveLength(3);
  expect(rest()?.security?.cors).toBe(true);
  expect(rest()?.security?.service?.[0]?.coding?.[0]?.code).toBe('SMART-on-FHIR');
  expect(
    rest()
      ?.interaction?.map(({ code }) => code)
      .sort(),
  ).toEqual(['batch', 'history-system', 'search-system', 'transaction']);
  expect(rest()?.compartment).toHaveLength(5);
  expect(rest()?.searchParam?.map(({ name }) => name)).toEqual(expect.arrayContaining(['_id', '_lastUpdated', '_tag']));
});

test('every type is there with its interactions; AuditEvents are only read', () => {
  expect(resources().map(({ type }) => type)).toEqual(fhir.definitions.resourceTypes);
  const all = [
    'create',
    'delete',
    'history-instance',
    'history-type',
    'patch',
    'read',
    'search-type',
    'update',
    'vread',
  ];
  expect(codes('Observation')).toEqual(all);
  expect(codes('Binary')).toEqual(all);
  expect(codes('AuditEvent')).toEqual(['read', 'search-type']);
  expect(ofType('Observation')).toMatchObject({
    versioning: 'versioned-update',
    readHistory: true,
    updateCreate: true,
    conditionalCreate: true,
    conditionalRead: 'full-support',
    conditionalUpdate: true,
    conditionalDelete: 'single',
  });
  expect(ofType('Observation')?.supportedProfile).toContain(
    'http://hl7.org/fhir/us/core/StructureDefinition/us-core-blood-pressure',
  );
  expect(ofType('CarePlan')?.operation?.map(({ name }) => name)).toEqual(
    expect.arrayContaining(['record-infusion', 'record-integration']),
  );
  for (const { searchParam } of resources()) {
    for (const { documentation } of searchParam ?? []) expect(documentation).not.toBe('');
  }
});

test('the modes are full, normative and terminology', async () => {
  const full = await service.http.get('/fhir/metadata?mode=full').expect(200);
  expect(full.body).toEqual(statement);
  const normative = (await service.http.get('/fhir/metadata?mode=normative').expect(200)).body as CapabilityStatement;
  expect(normative.rest?.[0]?.resource?.map(({ type }) => type)).toEqual([
    'Binary',
    'Bundle',
    'CapabilityStatement',
    'CodeSystem',
    'Observation',
    'OperationDefinition',
    'OperationOutcome',
    'Parameters',
    'Patient',
    'StructureDefinition',
    'ValueSet',
  ]);
  const terminology = (await service.http.get('/fhir/metadata?mode=terminology').expect(200))
    .body as TerminologyCapabilities;
  expect(fhir.validator.validate(terminology, 'TerminologyCapabilities')).toEqual([]);
  expect(terminology.codeSystem?.map(({ uri }) => uri)).toContain('http://hl7.org/fhir/administrative-gender');
  await service.http.get('/fhir/metadata?mode=other').expect(400);
});

test('who has the statement is told that it is the same', async () => {
  for (const mode of ['full', 'normative', 'terminology']) {
    const { headers } = await service.http.get(`/fhir/metadata?mode=${mode}`).expect(200);
    expect(headers.etag).toMatch(/^W\/"[0-9a-f]+"$/);
    await service.http
      .get(`/fhir/metadata?mode=${mode}`)
      .set('if-none-match', headers.etag as string)
      .expect(304);
  }
});

const VALUES: Readonly<Record<string, string>> = {
  token: 'x',
  string: 'x',
  uri: 'http://example.org/x',
  date: '2026-03',
  number: '1',
  quantity: '1',
  special: 'x',
};

/** A value that the parameter may have. */
function valueFor(type: string, name: string): string {
  const parameter = fhir.registry.of(type).get(name);
  if (parameter === undefined) throw new Error(`${type} has no ${name}`);
  if (type === 'AuditEvent') return AUDIT_VALUES[name] ?? 'x';
  if (parameter.stored === 'position') return '42.3|-71.1|5|km';
  if (name === '_lastUpdated') return '2026';
  if (parameter.components.length > 0) return parameter.components.map(({ code }) => valueFor(type, code)).join('$');
  if (parameter.kind === 'reference') return `${parameter.targets[0] ?? 'Patient'}/x`;
  return VALUES[parameter.kind] ?? 'x';
}

const AUDIT_VALUES: Readonly<Record<string, string>> = {
  date: '2026',
  entity: 'Patient/1',
  patient: '1',
  action: 'R',
  outcome: '0',
};

test('every search parameter of every type is answered', async () => {
  const refused: string[] = [];
  for (const { type, searchParam } of resources()) {
    const bounded = type === 'AuditEvent' ? 'date=ge2026&' : '';
    const answers = (searchParam ?? []).map(async ({ name = '' }) => {
      const path = `/${type}?${bounded}${name}=${encodeURIComponent(valueFor(String(type), name))}&_count=1`;
      const { status, outcome } = await ask('GET', path);
      if (status !== 200) refused.push(`${path}: ${outcome?.issue[0]?.diagnostics}`);
    });
    await Promise.all(answers);
  }
  expect(refused).toEqual([]);
}, 120_000);

test('every include is answered', async () => {
  const refused: string[] = [];
  for (const { type, searchInclude = [], searchRevInclude = [] } of resources()) {
    const asked = [
      ...searchInclude.map((include) => `_include=${include}`),
      // Those of one parameter are alike for every type that it may name.
      ...searchRevInclude
        .filter((include) => include === '*' || include.endsWith(':subject'))
        .map((include) => `_revinclude=${include}`),
    ];
    await Promise.all(
      asked.map(async (include) => {
        const { status, outcome } = await ask('GET', `/${type}?_id=x&${include}`);
        if (status !== 200) refused.push(`${type}?${include}: ${outcome?.issue[0]?.diagnostics}`);
      }),
    );
  }
  expect(refused).toEqual([]);
}, 120_000);

const CALLS: Readonly<Record<string, readonly [method: string, path: string, body?: object]>> = {
  read: ['GET', '/x'],
  vread: ['GET', '/x/_history/1'],
  'history-instance': ['GET', '/x/_history'],
  'history-type': ['GET', '/_history'],
  'search-type': ['GET', '?date=2026&_count=1'],
  create: ['POST', '', {}],
  update: ['PUT', '/x', {}],
  patch: ['PATCH', '/x', {}],
  delete: ['DELETE', '/x'],
};

test('every interaction is there', async () => {
  const missing: string[] = [];
  for (const { type, interaction } of resources()) {
    const answers = (interaction ?? []).map(async ({ code }) => {
      const [method, path, body] = CALLS[String(code)] as (typeof CALLS)[string];
      const url = `/${type}${type === 'AuditEvent' ? path : path.replace('date=2026', '_id=x')}`;
      const sent = body === undefined ? undefined : { resourceType: type, id: 'x', ...body };
      const answer = await ask(method, url, sent);
      if (isUnsupported(answer) || answer.status >= 500) missing.push(`${method} ${url}: ${answer.status}`);
    });
    await Promise.all(answers);
  }
  expect(missing).toEqual([]);
}, 120_000);

test('every operation is there', async () => {
  const missing: string[] = [];
  const known = ({ status, outcome }: Awaited<ReturnType<typeof ask>>) =>
    status < 500 &&
    !(outcome?.issue ?? []).some(({ diagnostics }) => diagnostics?.startsWith('There is nothing at this url'));
  for (const { name } of rest()?.operation ?? []) {
    if (!known(await ask('POST', `/$${name}`, { resourceType: 'Parameters' }))) missing.push(`$${name}`);
  }
  for (const { type, operation } of resources()) {
    for (const { name, definition } of operation ?? []) {
      expect(definition).toMatch(/^https?:\/\/\S+\/OperationDefinition\/\S+$/);
      const at = await Promise.all(
        [`/${type}/$${name}`, `/${type}/x/$${name}`].map((path) => ask('POST', path, { resourceType: 'Parameters' })),
      );
      if (!at.some(known)) missing.push(`${type}/$${name}`);
    }
  }
  expect(missing).toEqual([]);
}, 120_000);
