import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Bundle, Encounter, Patient, Resource } from '@medplum/fhirtypes';
import type { EhrMessage } from '../../../src/cli/demo/ehr-stand-in.ts';

const SECRET = 'a secret: with % and + in it';
const MRN = 'https://ehr.example.org/mrn';
const patient: Patient = {
  resourceType: 'Patient',
  identifier: [{ system: MRN, value: '1' }],
  name: [{ family: 'Example' }],
  birthDate: '1986-04-12',
};

let folder: string;
let ehr: Ehr;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'kap-ehr-'));
  writeFileSync(join(folder, 'patient.json'), JSON.stringify(patient));
  ehr = await startEhr();
});

afterEach(async () => {
  await ehr.stop();
  rmSync(folder, { recursive: true });
});

test('a client without a token, or with a wrong secret, is refused', async () => {
  expect((await fetch(`${ehr.url}/fhir/Patient`)).status).toBe(401);
  expect((await askToken(ehr.url, 'something else')).status).toBe(401);
});

test('the patient whom the EHR registered is found by identifier', async () => {
  const found = (await ehr.get(`Patient?identifier=${MRN}|1`)) as Bundle<Patient>;
  expect(found.entry?.map((e) => e.resource?.birthDate)).toEqual(['1986-04-12']);
  expect(await ehr.ledger()).toEqual({ created: 0, updated: 0 });
});

test('a conditional update sent twice makes one resource', async () => {
  const encounter = await anEncounter();
  expect((await ehr.send('PUT', 'Encounter?identifier=urn:kap|9', encounter)).status).toBe(201);
  expect((await ehr.send('PUT', 'Encounter?identifier=urn:kap|9', encounter)).status).toBe(200);
  expect(await ehr.get('Encounter?identifier=urn:kap|9')).toMatchObject({ total: 1 });
  expect(await ehr.ledger()).toEqual({ created: 1, updated: 1 });
});

test('a conditional create sent twice makes one resource', async () => {
  const encounter = await anEncounter();
  const header = { 'if-none-exist': 'identifier=urn:kap|9' };
  expect((await ehr.send('POST', 'Encounter', encounter, header)).status).toBe(201);
  expect((await ehr.send('POST', 'Encounter', encounter, header)).status).toBe(200);
  expect(await ehr.ledger()).toEqual({ created: 1, updated: 0 });
});

test.each([
  ['of an element that FHIR does not have', { foo: 1 }],
  ['without a required element', { status: undefined }],
  ['about a patient who is not there', { subject: { reference: 'Patient/nobody' } }],
])('a resource %s is refused and leaves nothing', async (_case, change) => {
  const answer = await ehr.send('POST', 'Encounter', { ...(await anEncounter()), ...change } as Encounter);
  expect(answer.status).toBe(400);
  expect(await ehr.get('Encounter')).toMatchObject({ total: 0 });
  expect(await ehr.ledger()).toEqual({ created: 0, updated: 0 });
});

test('a chart entry cannot be deleted', async () => {
  const created = await ehr.send('POST', 'Encounter', await anEncounter());
  const { id } = (await created.json()) as Encounter;
  expect((await ehr.send('DELETE', `Encounter/${id}`)).status).toBe(403);
  expect(await ehr.get('Encounter')).toMatchObject({ total: 1 });
});

test('a restart forgets nothing that was answered, and drops a line that was cut off', async () => {
  await ehr.send('POST', 'Encounter', await anEncounter());
  const before = await ehr.get('Encounter');
  await ehr.stop();
  appendFileSync(join(folder, 'ehr', 'journal.ndjson'), '{"effect":"created","resou');
  ehr = await startEhr();
  expect(await ehr.get('Encounter')).toEqual(before);
  expect((await ehr.send('PUT', 'Encounter?identifier=urn:kap|9', await anEncounter())).status).toBe(200);
  await ehr.stop();
  ehr = await startEhr();
  expect(await ehr.ledger()).toEqual({ created: 1, updated: 1 });
});

type Ehr = {
  readonly url: string;
  get(path: string): Promise<Resource>;
  send(method: string, path: string, body?: Resource, headers?: Record<string, string>): Promise<Response>;
  ledger(): Promise<unknown>;
  stop(): Promise<void>;
};

async function startEhr(): Promise<Ehr> {
  const child: ChildProcess = fork(join(import.meta.dirname, '../../../src/cli/demo/ehr-stand-in.ts'), {
    execArgv: ['--no-warnings'],
    env: {
      PATH: process.env.PATH,
      EHR_PORT: '0',
      EHR_FOLDER: join(folder, 'ehr'),
      EHR_CLIENT_ID: 'kap-bridge',
      EHR_CLIENT_SECRET: SECRET,
      EHR_PATIENT: join(folder, 'patient.json'),
    },
  });
  const [message] = (await once(child, 'message')) as [EhrMessage];
  if (!('port' in message)) throw new Error(message.failure);
  const url = `http://127.0.0.1:${message.port}`;
  const { access_token: token } = (await (await askToken(url, SECRET)).json()) as { access_token: string };
  const authorization = `Bearer ${token}`;
  return {
    url,
    get: async (path) =>
      (await fetch(`${url}/fhir/${path}`, { headers: { authorization } })).json() as Promise<Resource>,
    send: (method, path, body, headers = {}) =>
      fetch(`${url}/fhir/${path}`, {
        method,
        headers: { authorization, 'content-type': 'application/fhir+json', ...headers },
        body: body === undefined ? null : JSON.stringify(body),
      }),
    ledger: async () => (await fetch(`${url}/ledger`)).json(),
    async stop() {
      if (!child.connected) return;
      child.disconnect();
      await once(child, 'exit');
    },
  };
}

function askToken(url: string, secret: string): Promise<Response> {
  const basic = Buffer.from(`kap-bridge:${encodeURIComponent(secret)}`).toString('base64');
  return fetch(`${url}/oauth/token`, {
    method: 'POST',
    headers: { authorization: `Basic ${basic}` },
    body: new URLSearchParams({ grant_type: 'client_credentials' }),
  });
}

async function anEncounter(): Promise<Encounter> {
  const found = (await ehr.get(`Patient?identifier=${MRN}|1`)) as Bundle<Patient>;
  return {
    resourceType: 'Encounter',
    identifier: [{ system: 'urn:kap', value: '9' }],
    status: 'finished',
    class: { system: 'http://terminology.hl7.org/CodeSystem/v3-ActCode', code: 'AMB' },
    subject: { reference: `Patient/${found.entry?.[0]?.resource?.id}` },
  };
}
