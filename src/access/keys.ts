/**
 * The clinic's own ES384 signing keys: with them the service signs access tokens and, at EHRs, its own assertions.
 *
 * A key lives in the database, sealed, so that every process of the service and `kap-bridge token` beside it use the
 * same one. Whoever comes first makes it; the database lets one key be the current one.
 */
import { type CryptoKey, calculateJwkThumbprint, exportJWK, generateKeyPair, importJWK, type JWK } from 'jose';

export const SIGNING_ALGORITHM = 'ES384';

export type SigningKey = { readonly keyId: string; readonly privateKey: CryptoKey; readonly publicJwk: JWK };

/** A key at rest. `sealed` is the private JWK as JSON, encrypted. */
export type StoredSigningKey = { readonly keyId: string; readonly publicJwk: JWK; readonly sealed: Buffer };

/** Where keys rest; src/postgres/signing-keys.ts. */
export type SigningKeyStore = {
  /** The current key first, then earlier ones whose tokens may still be alive. */
  list(): Promise<readonly StoredSigningKey[]>;
  /** Keeps the key as the current one, unless another process was first. */
  addFirst(key: StoredSigningKey): Promise<void>;
};

/** Encryption at rest, bound to the row it belongs to: a sealed value moved elsewhere does not open. */
export type Sealing = {
  seal(plain: string, belongsTo: string): Buffer;
  open(sealed: Buffer, belongsTo: string): string;
  /** 32 secret bytes for one purpose, the same in every process with this master key. */
  derive(purpose: string): Buffer;
};

/** The current key, made on first use. */
export async function currentSigningKey(store: SigningKeyStore, sealing: Sealing): Promise<SigningKey> {
  const stored = (await store.list())[0] ?? (await makeFirstKey(store, sealing));
  const jwk = JSON.parse(sealing.open(stored.sealed, placeOf(stored.keyId))) as JWK;
  const privateKey = (await importJWK(jwk, SIGNING_ALGORITHM)) as CryptoKey;
  return { keyId: stored.keyId, privateKey, publicJwk: stored.publicJwk };
}

/** The public keys as a JSON Web Key Set (RFC 7517). */
export async function jwks(store: SigningKeyStore): Promise<{ readonly keys: readonly JWK[] }> {
  return { keys: (await store.list()).map((key) => key.publicJwk) };
}

async function makeFirstKey(store: SigningKeyStore, sealing: Sealing): Promise<StoredSigningKey> {
  const { privateKey, publicKey } = await generateKeyPair(SIGNING_ALGORITHM, { extractable: true });
  const publicPart = await exportJWK(publicKey);
  const keyId = (await calculateJwkThumbprint(publicPart)).slice(0, 16);
  const publicJwk = { ...publicPart, kid: keyId, alg: SIGNING_ALGORITHM, use: 'sig' };
  const sealed = sealing.seal(JSON.stringify(await exportJWK(privateKey)), placeOf(keyId));
  await store.addFirst({ keyId, publicJwk, sealed });
  const current = (await store.list())[0];
  if (current === undefined) throw new Error('The signing key was stored and is not there');
  return current;
}

function placeOf(keyId: string): string {
  return `signing_key|private|${keyId}`;
}
