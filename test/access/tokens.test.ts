import { randomBytes } from 'node:crypto';
import { type CryptoKey, generateKeyPair, SignJWT } from 'jose';
import { currentSigningKey, jwks, type SigningKey } from '../../src/access/keys.ts';
import { permits } from '../../src/access/scopes.ts';
import { sealingWith } from '../../src/access/secrets.ts';
import { createTokenVerifier, mintToken } from '../../src/access/tokens.ts';
import { createSigningKeyStore } from '../../src/postgres/signing-keys.ts';
import { createTestDatabase, type TestDatabase } from '../postgres.ts';

const BASE = 'http://127.0.0.1:8080/fhir';
const NOW = new Date('2026-03-09T12:00:00Z');
const sealing = sealingWith(randomBytes(32));

let database: TestDatabase;
let key: SigningKey;

beforeAll(async () => {
  database = await createTestDatabase();
  key = await currentSigningKey(store(), sealing);
});
afterAll(() => database.drop());

function store() {
  return createSigningKeyStore(database.clinicPool());
}

function verifierAt(now: Date, base = BASE) {
  return createTokenVerifier(store(), base, () => now);
}

async function token(change: { base?: string; scope?: string; ttlSeconds?: number } = {}): Promise<string> {
  const request = { base: BASE, clientId: 'ehr-1', scope: 'system/Observation.rs', ttlSeconds: 300, ...change };
  return (await mintToken(key, request, NOW)).token;
}

function later(seconds: number): Date {
  return new Date(NOW.getTime() + seconds * 1000);
}

test('a minted token grants its client its scopes, at once when it comes again', async () => {
  const verifier = verifierAt(NOW);
  const header = `Bearer ${await token()}`;
  const grant = await verifier.verify(header);
  expect(grant).toMatchObject({ clientId: 'ehr-1', expiresAt: NOW.getTime() / 1000 + 300 });
  expect(permits(grant.scopes, 'Observation', 'read')).toBe(true);
  expect(verifier.verify(header)).toBe(grant);
});

test('a token that was remembered is refused from the second on in which it expires', async () => {
  let now = NOW;
  const verifier = createTokenVerifier(store(), BASE, () => now);
  const header = `Bearer ${await token()}`;
  await verifier.verify(header);
  now = later(299);
  expect(verifier.verify(header)).toBeDefined();
  now = later(300);
  expect(() => verifier.verify(header)).toThrow(/expired/);
});

test.each([
  ['no header', async () => undefined],
  ['another scheme', async () => 'Basic dXNlcjpwYXNz'],
  ['no token', async () => 'Bearer '],
  ['text that is no token', async () => 'Bearer abc'],
  ['three parts that are no token', async () => 'Bearer a.b.c'],
  ['a token for another base', async () => `Bearer ${await token({ base: 'http://127.0.0.1:8080/clinics/b/fhir' })}`],
  ['an altered token', async () => `Bearer ${(await token()).replace(/.{10}$/, 'AAAAAAAAAA')}`],
  ['a token signed with a key that is not ours', async () => `Bearer ${await forged()}`],
  ['a token of another type', async () => `Bearer ${await ownToken('JWT')}`],
  ['a token that is far too long', async () => `Bearer ${'a'.repeat(9000)}`],
])('%s is refused as unauthenticated', async (_case, header) => {
  const given = await header();
  await expect((async () => verifierAt(NOW).verify(given))()).rejects.toMatchObject({ code: 'unauthenticated' });
});

test('an expired token that was never seen is refused as expired', async () => {
  const given = `Bearer ${await token()}`;
  await expect((async () => verifierAt(later(400)).verify(given))()).rejects.toMatchObject({
    code: 'unauthenticated',
    issues: [{ code: 'expired' }],
  });
});

test.each([
  ['a malformed scope', { scope: 'everything' }],
  ['no lifetime', { ttlSeconds: 0 }],
  ['a lifetime of more than a year', { ttlSeconds: 31_536_001 }],
])('no token is minted with %s', async (_case, change) => {
  await expect(token(change)).rejects.toMatchObject({ code: 'invalid' });
});

test('processes that start at the same time end with one signing key, which only its own sealing opens', async () => {
  const fresh = await createTestDatabase();
  try {
    const pool = fresh.clinicPool();
    const keys = await Promise.all(
      Array.from({ length: 8 }, () => currentSigningKey(createSigningKeyStore(pool), sealing)),
    );
    expect(new Set(keys.map(({ keyId }) => keyId)).size).toBe(1);
    expect((await jwks(createSigningKeyStore(pool))).keys).toHaveLength(1);
    expect(JSON.stringify(await jwks(createSigningKeyStore(pool)))).not.toContain('"d"');
    await expect(currentSigningKey(createSigningKeyStore(pool), sealingWith(randomBytes(32)))).rejects.toThrow();
  } finally {
    await fresh.drop();
  }
});

async function forged(): Promise<string> {
  const { privateKey } = await generateKeyPair('ES384');
  return sign(privateKey, 'at+jwt');
}

function ownToken(typ: string): Promise<string> {
  return sign(key.privateKey, typ);
}

function sign(privateKey: CryptoKey, typ: string): Promise<string> {
  return new SignJWT({ scope: 'system/*.cruds', client_id: 'ehr-1' })
    .setProtectedHeader({ alg: 'ES384', typ, kid: key.keyId })
    .setIssuer(BASE)
    .setAudience(BASE)
    .setSubject('ehr-1')
    .setJti('jti-1')
    .setIssuedAt(NOW.getTime() / 1000)
    .setExpirationTime(NOW.getTime() / 1000 + 300)
    .sign(privateKey);
}
