/** Packages and policies beside a service that runs, in several processes. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { freePort } from '../free-port.ts';
import { createTestDatabase, type TestDatabase } from '../postgres.ts';
import { packageOf, WARD_PATIENT, WARD_SET, wardFiles, wardPatient } from '../profile-package.ts';
import { command, ended, startCommand } from './command.ts';

const WORKERS = 2;

let database: TestDatabase;
let folder: string;
let environment: Record<string, string>;
let service: ChildProcess;
let end: ReturnType<typeof ended>;
let base: string;
let token: string;

beforeAll(async () => {
  database = await createTestDatabase();
  folder = mkdtempSync(join(tmpdir(), 'kap-bridge-running-'));
  const port = String(await freePort());
  environment = { DATABASE_URL: database.url, KAP_DATA_DIR: folder, KAP_PORT: port, WORKERS: String(WORKERS) };
  base = `http://127.0.0.1:${port}`;
  service = startCommand(['start'], { ...environment, KAP_LOG_LEVEL: 'debug' });
  end = ended(service);
  while ((await ask('/readyz').catch(() => undefined))?.status !== 200) {
    if (service.exitCode !== null) throw new Error(`the service ended: ${(await end).err}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  token = (await command(['token', '--scope', 'system/*.cruds'], environment)).out.trim();
}, 180_000);
afterAll(async () => {
  service?.kill('SIGTERM');
  await end;
  await database.drop();
  rmSync(folder, { recursive: true, force: true });
});

type Answer = { readonly status: number; readonly body: string };

/** On a connection of its own: the parent hands connections to its children in turn. */
async function ask(path: string, body?: object): Promise<Answer> {
  const agent = new Agent();
  const headers = {
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    ...(body === undefined ? {} : { 'content-type': 'application/fhir+json' }),
  };
  const sent = request(`${base}${path}`, { agent, headers, method: body === undefined ? 'GET' : 'POST' });
  sent.end(body === undefined ? undefined : JSON.stringify(body));
  const [response] = await once(sent, 'response');
  const answer = { status: response.statusCode as number, body: await text(response) };
  agent.destroy();
  return answer;
}

/** Of every process, twice. */
async function fromAll(path: string, body?: object): Promise<Answer[]> {
  const answers: Answer[] = [];
  for (let n = 0; n < 2 * WORKERS; n++) answers.push(await ask(path, body));
  return answers;
}

const statuses = async (path: string, body?: object) => [
  ...new Set((await fromAll(path, body)).map(({ status }) => status)),
];

test('each process holds resources to a package from the moment it is loaded, and no longer once it is removed', async () => {
  const path = join(folder, 'ward.tgz');
  writeFileSync(path, packageOf({ files: wardFiles() }));
  const unmet = wardPatient({ identifier: undefined });
  expect(await statuses('/fhir/Patient', unmet)).toEqual([201]);
  expect(await statuses(`/fhir/Patient/$validate?profile=${WARD_PATIENT}`, unmet)).toEqual([422]);

  for (let round = 0; round < 2; round++) {
    expect(await command(['profiles', 'add', path], environment)).toMatchObject({ code: 0 });
    expect(await statuses('/fhir/Patient', unmet)).toEqual([422]);
    expect(await statuses('/fhir/Patient', wardPatient())).toEqual([201]);
    expect(await statuses(`/fhir/Patient/$validate?profile=${WARD_PATIENT}`, unmet)).toEqual([200]);
    const statements = await fromAll('/fhir/metadata');
    expect(statements.every(({ body }) => body.includes(WARD_PATIENT))).toBe(true);
    const expansions = await fromAll(`/fhir/ValueSet/$expand?url=${WARD_SET}`);
    expect(expansions.map(({ body }) => JSON.parse(body).expansion.total)).toEqual(Array(2 * WORKERS).fill(2));
    expect(JSON.parse((await ask(`/fhir/StructureDefinition?url=${WARD_PATIENT}`)).body)).toMatchObject({ total: 1 });

    const removed = await command(['profiles', 'remove', 'test.clinic#1.0.0'], environment);
    expect(removed).toMatchObject({ code: 0 });
    expect(await statuses('/fhir/Patient', unmet)).toEqual([201]);
    expect((await fromAll('/fhir/metadata')).some(({ body }) => body.includes(WARD_PATIENT))).toBe(false);
    expect(JSON.parse((await ask(`/fhir/StructureDefinition?url=${WARD_PATIENT}`)).body)).toMatchObject({ total: 0 });
  }
}, 180_000);

test('requests are answered while a package is loaded, each by the whole of it or by nothing of it', async () => {
  const path = join(folder, 'ward.tgz');
  const patient = wardPatient({ identifier: undefined, extension: undefined });
  let done = false;
  const adding = command(['profiles', 'add', path], environment).finally(() => {
    done = true;
  });
  const answers: Answer[] = [];
  while (!done) answers.push(...(await Promise.all([1, 2, 3].map(() => ask('/fhir/Patient', patient)))));
  expect(await adding).toMatchObject({ code: 0 });
  answers.push(...(await fromAll('/fhir/Patient', patient)));
  const refused = answers.findIndex(({ status }) => status === 422);
  expect(answers.slice(0, 1).map(({ status }) => status)).toEqual([201]);
  // Three at a time: those of one turn may be answered in another order.
  expect(answers.slice(refused + 3).every(({ status }) => status === 422)).toBe(true);
  for (const { status, body } of answers) {
    if (status === 201) continue;
    expect(
      JSON.parse(body)
        .issue.map(({ expression }: { expression: string[] }) => expression[0])
        .sort(),
    ).toEqual(['Patient.extension', 'Patient.identifier']);
  }
}, 180_000);

test('history is imported beside the service under the policy that holds then', async () => {
  const file = join(folder, 'history.ndjson');
  writeFileSync(file, `${JSON.stringify(wardPatient({ id: 'history', identifier: undefined }))}\n`);
  const warned = await command(['import', file, '--json'], environment);
  expect(warned).toMatchObject({ code: 0, err: '' });
  expect(JSON.parse(warned.out)).toMatchObject({ total: { stored: 1, withWarnings: 1, refused: 0 } });
  await command(['profiles', 'policy', 'ward-patient', 'tag'], environment);
  const tagged = await command(['import', file], environment);
  expect(tagged.out).toMatch(/^Patient +0 +1 +0 +1 +1 +0$/m);
  expect(JSON.parse((await ask('/fhir/Patient/history')).body).meta.tag).toEqual([
    { system: 'https://kap.example.org/fhir/CodeSystem/kap', code: 'profile-not-met' },
  ]);
  await command(['profiles', 'policy', 'ward-patient', 'reject'], environment);
  const refused = await command(['import', file], environment);
  expect(refused.code).toBe(4);
  expect(refused.out).toMatch(/history\.ndjson:1 +error +Patient\.identifier/);
}, 180_000);
