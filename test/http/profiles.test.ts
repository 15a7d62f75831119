import type { Bundle, CapabilityStatement, OperationOutcome, Resource } from '@medplum/fhirtypes';
import { removePackage } from '../../src/record/package-changes.ts';
import {
  BASE_URL,
  packageOf,
  WARD_EXTENSION,
  WARD_PATIENT,
  WARD_SET,
  wardFiles,
  wardPatient,
} from '../profile-package.ts';
import { load, openRecordOf } from '../record/loading.ts';
import { type Caller, startTestService, type TestService } from './service.ts';

const WARD_WEIGHT = `${BASE_URL}/StructureDefinition/ward-weight`;
/** An Observation of a Patient of a ward. */
const weightProfile = {
  resourceType: 'StructureDefinition',
  id: 'ward-weight',
  url: WARD_WEIGHT,
  version: '1.0.0',
  name: 'WardWeight',
  status: 'active',
  fhirVersion: '4.0.1',
  kind: 'resource',
  abstract: false,
  type: 'Observation',
  baseDefinition: 'http://hl7.org/fhir/StructureDefinition/Observation',
  derivation: 'constraint',
  differential: {
    element: [
      { id: 'Observation', path: 'Observation' },
      {
        id: 'Observation.subject',
        path: 'Observation.subject',
        min: 1,
        type: [{ code: 'Reference', targetProfile: [WARD_PATIENT] }],
      },
      { id: 'Observation.value[x]', path: 'Observation.value[x]', type: [{ code: 'Quantity' }] },
      {
        id: 'Observation.interpretation',
        path: 'Observation.interpretation',
        binding: { strength: 'extensible', valueSet: WARD_SET },
      },
    ],
  },
};
const ward = (version = '1.0.0') =>
  packageOf({
    version,
    files: { ...wardFiles(version), 'StructureDefinition-weight.json': { ...weightProfile, version } },
  });

let service: TestService;
let caller: Caller;
beforeAll(async () => {
  service = await startTestService();
  caller = service.as(await service.token());
  await load(service.clinic, ward());
});
afterAll(() => service.close());

type Found = { readonly status: number; readonly issues: string[]; readonly text: string };
const foundIn = ({ status, text }: { status: number; text: string }): Found => {
  const body = JSON.parse(text === '' ? '{}' : text) as Partial<OperationOutcome>;
  const issues = body.resourceType === 'OperationOutcome' ? (body.issue ?? []) : [];
  return {
    status,
    text,
    issues: issues.map(({ severity, code, expression }) => `${severity} ${code} ${expression?.[0] ?? ''}`),
  };
};
const post = async (path: string, body: object) => foundIn(await caller.post(`/fhir/${path}`, body));
const put = async (path: string, body: object) => foundIn(await caller.put(`/fhir/${path}`, body));
const patients = async () => JSON.parse((await caller.get('/fhir/Patient?_summary=count')).text).total as number;

const unmet = wardPatient({ identifier: undefined });
const MISSING = 'error required Patient.identifier';
const weight = (subject: string, more: object = {}) => ({
  resourceType: 'Observation' as const,
  meta: { profile: [WARD_WEIGHT] },
  status: 'final',
  code: { text: 'weight' },
  subject: { reference: subject },
  ...more,
});

test('a resource that does not meet a profile that it claims is refused with the place and the profile, however it comes', async () => {
  const before = await patients();
  const created = await post('Patient', unmet);
  expect(created).toMatchObject({ status: 422, issues: [MISSING] });
  const outcome = JSON.parse(created.text) as OperationOutcome;
  expect(outcome.issue?.[0]?.diagnostics).toContain(`(profile ${WARD_PATIENT}|1.0.0)`);
  expect(outcome.issue?.[0]?.extension?.[0]).toEqual({
    url: 'http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-source',
    valueString: `${WARD_PATIENT}|1.0.0`,
  });
  expect(service.clinic.parts.profiles.current().validator.validate(outcome)).toEqual([]);
  expect(await put('Patient/door', { ...unmet, id: 'door' })).toMatchObject({ status: 422, issues: [MISSING] });
  expect(await put('Patient?identifier=http://example.org/none|1', unmet)).toMatchObject({
    status: 422,
    issues: [MISSING],
  });
  expect(await patients()).toBe(before);

  expect((await put('Patient/door', wardPatient({ id: 'door' }))).status).toBe(201);
  const patched = await service.http
    .patch('/fhir/Patient/door')
    .set('authorization', `Bearer ${await service.token()}`)
    .set('content-type', 'application/json-patch+json')
    .send(JSON.stringify([{ op: 'remove', path: '/identifier' }]));
  expect(foundIn(patched)).toMatchObject({ status: 422, issues: [MISSING] });
  const parameters = {
    resourceType: 'Parameters',
    parameter: [{ name: 'meta', valueMeta: { profile: [WARD_PATIENT] } }],
  };
  expect((await put('Patient/plain', { resourceType: 'Patient', id: 'plain' })).status).toBe(201);
  expect((await post('Patient/plain/$meta-add', parameters)).status).toBe(422);
  // Both kinds of fault at once: it is no valid R4, and everything is said.
  expect(await post('Patient', { ...unmet, gender: 'm' })).toMatchObject({
    status: 400,
    issues: ['error code-invalid Patient.gender', MISSING],
  });
});

test('a transaction is refused whole, and a batch by the entry', async () => {
  const entry = [wardPatient(), unmet].map((resource) => ({ resource, request: { method: 'POST', url: 'Patient' } }));
  const before = await patients();
  const refused = await post('', { resourceType: 'Bundle', type: 'transaction', entry });
  expect(refused).toMatchObject({ status: 422, issues: ['error required Bundle.entry[1].resource.identifier'] });
  expect(await patients()).toBe(before);
  const { text } = await post('', { resourceType: 'Bundle', type: 'batch', entry });
  expect((JSON.parse(text) as Bundle).entry?.map(({ response }) => response?.status)).toEqual([
    '201 Created',
    '422 Unprocessable Entity',
  ]);
});

test('a reference to another entry of a transaction must lead to what the profile asks for', async () => {
  const UUID = 'urn:uuid:7f0b3f0a-1d1a-4a50-9d3b-6b1f0e9c2a11';
  const sent = (patient: object, observed: object) =>
    post('', {
      resourceType: 'Bundle',
      type: 'transaction',
      entry: [
        { resource: observed, request: { method: 'POST', url: 'Observation' } },
        { fullUrl: UUID, resource: patient, request: { method: 'POST', url: 'Patient' } },
      ],
    });
  expect((await sent(wardPatient(), weight(UUID))).status).toBe(200);
  const plain = await sent({ resourceType: 'Patient' }, weight(UUID));
  expect(plain.status).toBe(422);
  expect(plain.issues.join()).toMatch(/Bundle\.entry\[0\]\.resource\.subject/);
});

test('$validate checks what is claimed, what is asked for, and several at once, each issue with its place and profile', async () => {
  const profileOf = (text: string) =>
    (JSON.parse(text) as OperationOutcome).issue?.map(({ extension }) => extension?.[0]?.valueString ?? '-');
  const claimed = await post('Patient/$validate', unmet);
  expect(claimed.status).toBe(200);
  expect(claimed.issues).toContain(MISSING);
  const { meta: _meta, ...unclaimed } = unmet as { meta?: object };
  const asked = await post(`Patient/$validate?profile=${WARD_PATIENT}`, unclaimed);
  expect(asked.issues).toContain(MISSING);
  expect(profileOf(asked.text)).toContain(`${WARD_PATIENT}|1.0.0`);
  expect((await post('Patient/$validate', unclaimed)).issues.filter((each) => each.startsWith('error'))).toEqual([]);

  const parameters = {
    resourceType: 'Parameters',
    parameter: [
      { name: 'mode', valueCode: 'profile' },
      { name: 'profile', valueUri: `${WARD_PATIENT}|1.0.0` },
      { name: 'profile', valueUri: 'http://hl7.org/fhir/StructureDefinition/Patient' },
      { name: 'profile', valueUri: WARD_WEIGHT },
      { name: 'resource', resource: unclaimed },
    ],
  };
  const several = await post('Patient/$validate', parameters);
  const errors = several.issues.filter((each) => each.startsWith('error')).sort();
  expect(errors).toEqual([
    'error required Parameters.parameter[4].resource.identifier',
    'error structure Parameters.parameter[4].resource',
  ]);
  expect(new Set(profileOf(several.text))).toEqual(new Set([`${WARD_PATIENT}|1.0.0`, WARD_WEIGHT, '-']));
});

test('$validate refuses a profile or a version that is not loaded, and says what is', async () => {
  const asked = (profile: string) => post(`Patient/$validate?profile=${encodeURIComponent(profile)}`, wardPatient());
  const unknown = await asked('http://example.org/none');
  expect(unknown).toMatchObject({ status: 422, issues: ['error not-found http.profile'] });
  expect(unknown.text).toContain('test.clinic#1.0.0');
  const other = await asked(`${WARD_PATIENT}|9.9.9`);
  expect(other.status).toBe(422);
  expect(other.text).toContain('known in version 1.0.0');
});

test('$validate looks at the stored instance, and at the entries of a Bundle', async () => {
  expect(
    (await put('Patient/stored', { ...wardPatient(), id: 'stored', meta: undefined, identifier: undefined })).status,
  ).toBe(201);
  const stored = foundIn(await caller.get(`/fhir/Patient/stored/$validate?profile=${WARD_PATIENT}`));
  expect(stored.status).toBe(200);
  expect(stored.issues).toContain(MISSING);
  const bundle = {
    resourceType: 'Bundle',
    type: 'collection',
    entry: [{ fullUrl: 'urn:uuid:7f0b3f0a-1d1a-4a50-9d3b-6b1f0e9c2a12', resource: unmet }],
  };
  expect((await post('Bundle/$validate', bundle)).issues).toContain(
    'error required Bundle.entry[0].resource.identifier',
  );
});

test('$validate warns of what is allowed and says nothing twice; in a mode it says what the interaction would', async () => {
  const narrated = { text: { status: 'generated', div: '<div xmlns="http://www.w3.org/1999/xhtml">ward</div>' } };
  expect((await post('Patient/$validate', wardPatient(narrated))).issues).toEqual(['information informational ']);
  const outside = weight('Patient/door', {
    ...narrated,
    interpretation: [
      { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation', code: 'H' }] },
    ],
  });
  const found = await post('Observation/$validate?mode=create', outside);
  expect(found.issues.filter((each) => each === 'warning code-invalid Observation.interpretation[0]')).toHaveLength(1);
  expect(new Set(found.issues).size).toBe(found.issues.length);
  expect((await post('Observation', outside)).status).toBe(201);
  const refused = await post('Patient/$validate?mode=create', unmet);
  expect(refused.issues.filter((each) => each === MISSING)).toHaveLength(1);
});

test('the CapabilityStatement names the profiles and guides that are loaded, with versions where there are several', async () => {
  const statement = async () => JSON.parse((await service.http.get('/fhir/metadata')).text) as CapabilityStatement;
  const supported = (of: CapabilityStatement, type: string) =>
    of.rest?.[0]?.resource?.find((each) => each.type === type)?.supportedProfile ?? [];
  const one = await statement();
  expect(supported(one, 'Patient')).toContain(WARD_PATIENT);
  expect(supported(one, 'Observation')).toContain(WARD_WEIGHT);
  expect(one.implementationGuide).toContain(`${BASE_URL}/ImplementationGuide/test.clinic|1.0.0`);
  await load(service.clinic, ward('1.1.0'));
  const two = await statement();
  expect(supported(two, 'Patient')).toEqual(expect.arrayContaining([`${WARD_PATIENT}|1.0.0`, `${WARD_PATIENT}|1.1.0`]));
  expect(supported(two, 'Patient')).not.toContain(WARD_PATIENT);
  expect(supported(two, 'Patient').some((url) => url.includes('us-core-patient'))).toBe(true);
  // A claim without version means the newest.
  expect((await post('Patient', unmet)).text).toContain(`${WARD_PATIENT}|1.1.0`);
  await removePackage(
    service.clinic.parts,
    'test.clinic#1.1.0',
    openRecordOf(service.clinic).context('tester', 'transaction'),
  );
  expect(supported(await statement(), 'Patient')).toContain(WARD_PATIENT);
});

test('the definitions are resources of the clinic: searched by url and version, with their codes, a Provenance and an event', async () => {
  const search = async (query: string) => JSON.parse((await caller.get(`/fhir/${query}`)).text) as Bundle<Resource>;
  const found = await search(`StructureDefinition?url=${WARD_EXTENSION}&version=1.0.0&_revinclude=Provenance:target`);
  expect(found).toMatchObject({ total: 1 });
  expect(found.entry?.map(({ resource }) => resource?.resourceType)).toEqual(['StructureDefinition', 'Provenance']);
  const expanded = await caller.get(`/fhir/ValueSet/$expand?url=${WARD_SET}`);
  expect(JSON.parse(expanded.text).expansion.contains.map(({ code }: { code: string }) => code)).toEqual([
    'north',
    'south',
  ]);
  const known = await caller.get(
    `/fhir/ValueSet/$validate-code?url=${WARD_SET}&system=${BASE_URL}/CodeSystem/wards&code=north`,
  );
  expect(JSON.parse(known.text).parameter[0]).toEqual({ name: 'result', valueBoolean: true });
  const events = (await service.newAuditEvents()).filter(({ subtype }) => subtype?.[0]?.code === '110131');
  expect(events.map(({ entity }) => entity?.[0]?.what?.identifier?.value)).toContain('test.clinic#1.0.0');
});

test('a definition of a package is not changed through the API: what is read is what is enforced', async () => {
  const { text } = await caller.get(`/fhir/StructureDefinition?url=${WARD_PATIENT}`);
  const [entry] = (JSON.parse(text) as Bundle<Resource>).entry ?? [];
  const definition = entry?.resource as Resource;
  const path = `StructureDefinition/${definition.id}`;
  const changed = await put(path, { ...definition, status: 'retired' });
  expect(changed).toMatchObject({ status: 422, issues: ['error business-rule StructureDefinition'] });
  expect(changed.text).toContain('test.clinic#1.0.0');
  expect((await caller.delete(`/fhir/${path}`)).status).toBe(422);
  expect((await caller.delete(`/fhir/StructureDefinition?url=${WARD_PATIENT}`)).status).toBe(422);
  const meta = { resourceType: 'Parameters', parameter: [{ name: 'meta', valueMeta: { tag: [{ code: 'x' }] } }] };
  expect((await post(`${path}/$meta-add`, meta)).status).toBe(422);
  expect((await put(path, definition)).status).toBe(200); // says the same
  expect((await caller.get(`/fhir/${path}`)).headers.etag).toBe('W/"1"');
});

test('a claim of a profile that is not known here is taken, and $validate says that it was not checked', async () => {
  const foreign = { resourceType: 'Patient', meta: { profile: ['http://example.org/StructureDefinition/foreign'] } };
  expect((await post('Patient', foreign)).status).toBe(201);
  expect((await post('Patient/$validate', foreign)).issues).toContain('warning not-supported Patient.meta.profile[0]');
});
