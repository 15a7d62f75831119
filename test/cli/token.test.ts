import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createTokenVerifier } from '../../src/access/tokens.ts';
import { createAuditReader } from '../../src/postgres/audit.ts';
import { createSigningKeyStore } from '../../src/postgres/signing-keys.ts';
import { createTestDatabase, type TestDatabase } from '../postgres.ts';

const COMMAND = join(import.meta.dirname, '../../bin/kap-bridge.mjs');
const BASE = 'http://127.0.0.1:18123/fhir';

let database: TestDatabase;
let folder: string;

beforeAll(async () => {
  database = await createTestDatabase();
  folder = mkdtempSync(join(tmpdir(), 'kap-bridge-token-'));
});
afterAll(async () => {
  await database.drop();
  rmSync(folder, { recursive: true });
});

type Ended = { readonly exitCode: number; readonly stdout: string; readonly stderr: string };

function kapBridge(...args: string[]): Promise<Ended> {
  const env = {
    PATH: process.env.PATH,
    KAP_DATA_DIR: folder,
    KAP_BASE_URL: 'http://127.0.0.1:18123',
    DATABASE_URL: database.url,
  };
  return new Promise((resolve) => {
    execFile(process.execPath, [COMMAND, ...args], { env }, (error, stdout, stderr) => {
      const exitCode = typeof error?.code === 'number' ? error.code : 0;
      resolve({ exitCode, stdout, stderr });
    });
  });
}

function verifier() {
  return createTokenVerifier(createSigningKeyStore(database.clinicPool()), BASE, () => new Date());
}

test('tokens of commands that run at the same time are all good at the same service', async () => {
  const ended = await Promise.all([1, 2, 3].map(() => kapBridge('token', '--scope', 'system/*.rs')));
  for (const { exitCode, stdout } of ended) {
    expect(exitCode).toBe(0);
    await expect(verifier().verify(`Bearer ${stdout.trim()}`)).resolves.toMatchObject({ clientId: 'operator' });
  }
});

test('--json gives what a token endpoint would, and the audit trail knows the token by its id', async () => {
  const { stdout } = await kapBridge(
    'token',
    '--scope',
    'system/Patient.read',
    '--ttl',
    '60',
    '--client',
    'dash',
    '--json',
  );
  const answer = JSON.parse(stdout) as { access_token: string };
  expect(answer).toMatchObject({ token_type: 'Bearer', expires_in: 60, scope: 'system/Patient.rs' });
  const grant = await verifier().verify(`Bearer ${answer.access_token}`);
  const { events } = await createAuditReader(database.clinicPool()).search({ type: '110114', count: 1 });
  expect(events[0]?.body).toContain(`urn:ietf:params:oauth:jti:${grant.tokenId}`);
  expect(events[0]?.body).not.toContain(answer.access_token);
});

test.each([
  ['a malformed scope', ['--scope', 'everything'], /system\/<Type or \*>/],
  ['no scope', [], /--scope/],
  ['a lifetime that is none', ['--scope', 'system/*.r', '--ttl', 'soon'], /--ttl/],
  ['a client id with a space', ['--scope', 'system/*.r', '--client', 'a b'], /client id/],
])('%s ends with exit code 2, says why, and prints no token', async (_about, args, says) => {
  const { exitCode, stdout, stderr } = await kapBridge('token', ...args);
  expect([exitCode, stdout]).toEqual([2, '']);
  expect(stderr).toMatch(says);
});

test('a clinic that does not exist has no tokens', async () => {
  const { exitCode, stdout } = await kapBridge('token', '--scope', 'system/*.r', '--clinic', 'elsewhere');
  expect([exitCode, stdout]).toEqual([3, '']);
});
