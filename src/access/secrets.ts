/**
 * Sealing of what must not be readable in the database or a backup of it: credentials of EHR targets, signing keys.
 *
 * AES-256-GCM under a key derived from the master key file of the data directory. A sealed value is bound to the
 * place it belongs to (table, column, row), so that moving it to another row makes it unopenable. The database
 * remembers a fingerprint of the key: a process that holds another key is told so before it seals or opens anything.
 *
 * Form: version (1 byte), first 4 bytes of the fingerprint, nonce (12), ciphertext, tag (16).
 */
import { createCipheriv, createDecipheriv, hash, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto';
import { chmodSync, linkSync, mkdirSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Failure, issue } from '../fhir/failure.ts';
import type { Sealing } from './keys.ts';

/** Where the fingerprint rests; src/postgres/sealing-key.ts. */
export type FingerprintStore = {
  read(): Promise<Buffer | undefined>;
  /** Keeps this one unless there is one already; answers the one that is kept. */
  keepFirst(fingerprint: Buffer): Promise<Buffer>;
};

const FORMAT = 1;
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const HINT_BYTES = 4;
const HEADER_BYTES = 1 + HINT_BYTES + NONCE_BYTES;

/**
 * The sealing of this service: `<dataDir>/master.key`, made on the very first start.
 *
 * @throws Failure `invalid` when the file is missing while the database already knows a key, holds something else
 * than 32 bytes in base64, or is another key than the one the database was sealed with
 */
export async function openSealing(dataDir: string, fingerprints: FingerprintStore): Promise<Sealing> {
  const path = join(dataDir, 'master.key');
  const known = await fingerprints.read();
  const existing = readMasterKey(path);
  if (existing === undefined && known !== undefined) {
    throw new Failure(
      'invalid',
      issue(
        'security',
        `There is no master key at ${path}, but secrets in this database are sealed with one: copy master.key from the data directory of the process that made it`,
      ),
    );
  }
  const master = existing ?? makeMasterKey(path);
  const fingerprint = fingerprintOf(master);
  if (!timingSafeEqual(known ?? (await fingerprints.keepFirst(fingerprint)), fingerprint)) {
    if (existing === undefined) unlinkSync(path);
    throw new Failure(
      'invalid',
      issue(
        'security',
        `The master key at ${path} is not the one that sealed the secrets of this database: use the master.key of the data directory of the process that made it`,
      ),
    );
  }
  return sealingWith(master);
}

/** Sealing under a given master key of 32 bytes. */
export function sealingWith(master: Buffer): Sealing {
  const key = Buffer.from(hkdfSync('sha256', master, '', 'kap-bridge sealing v1', KEY_BYTES));
  const hint = fingerprintOf(master).subarray(0, HINT_BYTES);
  return {
    derive: (purpose) => Buffer.from(hkdfSync('sha256', master, '', `kap-bridge ${purpose} v1`, KEY_BYTES)),
    seal(plain, belongsTo) {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv('aes-256-gcm', key, nonce);
      cipher.setAAD(Buffer.from(belongsTo));
      const text = Buffer.concat([cipher.update(plain, 'utf8'), cipher.final()]);
      return Buffer.concat([Buffer.from([FORMAT]), hint, nonce, text, cipher.getAuthTag()]);
    },
    open(sealed, belongsTo) {
      if (sealed.length < HEADER_BYTES + TAG_BYTES || sealed[0] !== FORMAT) throw unopenable('is not in a known form');
      if (!sealed.subarray(1, 1 + HINT_BYTES).equals(hint)) throw unopenable('was sealed with another master key');
      const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(1 + HINT_BYTES, HEADER_BYTES));
      decipher.setAAD(Buffer.from(belongsTo));
      decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
      try {
        const text = decipher.update(sealed.subarray(HEADER_BYTES, sealed.length - TAG_BYTES));
        return Buffer.concat([text, decipher.final()]).toString('utf8');
      } catch (cause) {
        throw unopenable('was altered, or belongs to another row', cause);
      }
    },
  };
}

function unopenable(why: string, cause?: unknown): Failure {
  return new Failure('invalid', issue('security', `A sealed secret ${why}`), { cause });
}

function fingerprintOf(master: Buffer): Buffer {
  return hash('sha256', Buffer.concat([Buffer.from('kap-bridge master key fingerprint\0'), master]), 'buffer');
}

function readMasterKey(path: string): Buffer | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8').trim();
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw new Failure('invalid', issue('security', `The master key at ${path} cannot be read`), { cause: error });
  }
  const key = Buffer.from(text, 'base64');
  if (key.length !== KEY_BYTES || key.toString('base64') !== text) {
    throw new Failure('invalid', issue('security', `${path} does not hold a master key: 32 bytes in base64`));
  }
  return key;
}

/** Written beside and linked into place: two processes that start at once end with the same, whole file. */
function makeMasterKey(path: string): Buffer {
  mkdirSync(join(path, '..'), { recursive: true });
  const draft = `${path}.${randomBytes(6).toString('hex')}`;
  writeFileSync(draft, `${randomBytes(KEY_BYTES).toString('base64')}\n`, { mode: 0o600, flag: 'wx', flush: true });
  chmodSync(draft, 0o600);
  try {
    linkSync(draft, path);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  } finally {
    unlinkSync(draft);
  }
  return readMasterKey(path) as Buffer;
}
