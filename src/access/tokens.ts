/**
 * Access tokens: JWTs of type `at+jwt` (RFC 9068), signed ES384 with the clinic's own key, for one FHIR base.
 *
 * An ES384 verification costs about a millisecond, a request a fraction of that. So a verified token is remembered by its
 * digest until it expires; what is remembered is a digest and a grant, never the token.
 */
import { hash, randomUUID } from 'node:crypto';
import { type CryptoKey, decodeProtectedHeader, errors, importJWK, jwtVerify, SignJWT } from 'jose';
import { Failure, issue } from '../fhir/failure.ts';
import { SIGNING_ALGORITHM, type SigningKey, type SigningKeyStore } from './keys.ts';
import { parseScopes, type ScopeSet } from './scopes.ts';

/** What a verified token allows, and to whom. */
export type Grant = {
  readonly clientId: string;
  /** jti */
  readonly tokenId: string;
  readonly scopes: ScopeSet;
  /** Seconds since 1970. */
  readonly expiresAt: number;
};

export type MintedToken = Grant & { readonly token: string };

/** Client ids stay short and printable: they appear in every audit row. */
const CLIENT_ID = /^[A-Za-z0-9][A-Za-z0-9._:@/-]{0,127}$/;
const MAX_TOKEN_LENGTH = 8192;
const MAX_REMEMBERED = 10_000;
const KEY_RELOAD_MS = 5_000;

/**
 * @param base the FHIR base the token is for, its issuer and its audience
 * @throws Failure `invalid` for a malformed scope, client id or a lifetime that is not 1 s to 1 year
 */
export async function mintToken(
  key: SigningKey,
  request: { readonly base: string; readonly clientId: string; readonly scope: string; readonly ttlSeconds: number },
  now: Date,
): Promise<MintedToken> {
  const scopes = parseScopes(request.scope);
  if (!CLIENT_ID.test(request.clientId)) {
    throw new Failure('invalid', issue('value', 'A client id is 1 to 128 of the characters A-Z a-z 0-9 . _ : @ / -'));
  }
  if (!Number.isInteger(request.ttlSeconds) || request.ttlSeconds < 1 || request.ttlSeconds > 31_536_000) {
    throw new Failure('invalid', issue('value', 'A token lives 1 to 31536000 seconds'));
  }
  const issuedAt = Math.floor(now.getTime() / 1000);
  const grant = {
    clientId: request.clientId,
    tokenId: randomUUID(),
    scopes,
    expiresAt: issuedAt + request.ttlSeconds,
  };
  const token = await new SignJWT({ scope: scopes.text, client_id: grant.clientId })
    .setProtectedHeader({ alg: SIGNING_ALGORITHM, typ: 'at+jwt', kid: key.keyId })
    .setIssuer(request.base)
    .setAudience(request.base)
    .setSubject(grant.clientId)
    .setJti(grant.tokenId)
    .setIssuedAt(issuedAt)
    .setExpirationTime(grant.expiresAt)
    .sign(key.privateKey);
  return { ...grant, token };
}

export type TokenVerifier = {
  /**
   * What the Authorization header grants: at once when the token was seen before.
   * @throws Failure `unauthenticated` when it is missing, not ours, not for this base, or expired
   */
  verify(authorization: string | undefined): Grant | Promise<Grant>;
};

/** @param base the FHIR base that tokens must be for */
export function createTokenVerifier(store: SigningKeyStore, base: string, now: () => Date): TokenVerifier {
  const remembered = new Map<string, Grant>();
  const publicKeys = createPublicKeys(store, now);

  const verifyAnew = async (token: string, digest: string): Promise<Grant> => {
    const grant = await grantOf(token, base, publicKeys, now());
    if (remembered.size >= MAX_REMEMBERED) remembered.delete(remembered.keys().next().value as string);
    remembered.set(digest, grant);
    return grant;
  };

  return {
    verify: (authorization) => {
      const token = bearerToken(authorization);
      const digest = hash('sha256', token, 'base64');
      const known = remembered.get(digest);
      if (known === undefined) return verifyAnew(token, digest);
      if (known.expiresAt * 1000 > now().getTime()) return known;
      remembered.delete(digest);
      throw unauthenticated('expired', 'The token has expired. Ask for a new one');
    },
  };
}

function bearerToken(authorization: string | undefined): string {
  if (authorization === undefined) {
    throw unauthenticated('login', 'There is no token. Send one as "Authorization: Bearer <token>"');
  }
  const token = /^Bearer +([A-Za-z0-9._~+/-]+=*)$/i.exec(authorization)?.[1];
  if (token === undefined || token.length > MAX_TOKEN_LENGTH) {
    throw unauthenticated('login', 'The Authorization header is not of the form "Bearer <token>"');
  }
  return token;
}

async function grantOf(token: string, base: string, keys: PublicKeys, now: Date): Promise<Grant> {
  try {
    const { kid } = decodeProtectedHeader(token);
    const key = kid === undefined ? undefined : await keys.byId(kid);
    if (key === undefined) throw unauthenticated('login', 'The token was not issued by this service');
    const { payload } = await jwtVerify(token, key, {
      algorithms: [SIGNING_ALGORITHM],
      typ: 'at+jwt',
      issuer: base,
      audience: base,
      currentDate: now,
      requiredClaims: ['exp', 'iat', 'jti', 'sub', 'scope', 'client_id'],
    });
    const { client_id: clientId, scope, jti, exp } = payload;
    if (typeof clientId !== 'string' || typeof scope !== 'string' || jti === undefined || exp === undefined) {
      throw unauthenticated('login', 'The token lacks a claim that this service needs');
    }
    return { clientId, tokenId: jti, scopes: parseScopes(scope), expiresAt: exp };
  } catch (error) {
    if (error instanceof errors.JWTExpired) {
      throw unauthenticated('expired', 'The token has expired. Ask for a new one', error);
    }
    if (error instanceof errors.JOSEError || error instanceof TypeError) {
      throw unauthenticated('login', 'The token is not one of this service for this address', error);
    }
    throw error;
  }
}

type PublicKeys = { byId(keyId: string): Promise<CryptoKey | undefined> };

/** Keys by id; an unknown id looks again, at most every 5 s, so that a key made by another process is found. */
function createPublicKeys(store: SigningKeyStore, now: () => Date): PublicKeys {
  const known = new Map<string, CryptoKey>();
  let loadedAt = Number.NEGATIVE_INFINITY;
  let loading: Promise<void> | undefined;
  const load = async (): Promise<void> => {
    for (const { keyId, publicJwk } of await store.list()) {
      if (!known.has(keyId)) known.set(keyId, (await importJWK(publicJwk, SIGNING_ALGORITHM)) as CryptoKey);
    }
    loadedAt = now().getTime();
  };
  return {
    byId: async (keyId) => {
      if (!known.has(keyId) && now().getTime() - loadedAt > KEY_RELOAD_MS) {
        loading ??= load().finally(() => {
          loading = undefined;
        });
        await loading;
      }
      return known.get(keyId);
    },
  };
}

function unauthenticated(code: 'login' | 'expired', diagnostics: string, cause?: unknown): Failure {
  return new Failure('unauthenticated', issue(code, diagnostics), cause === undefined ? undefined : { cause });
}
