/**
 * Where a page ended, as an opaque text for the client: sealed (AES-256-GCM), since sort keys are values of the
 * record and page links stand in logs, and bound to the search it came from.
 */
import { createCipheriv, createDecipheriv, createSecretKey, hash, type KeyObject, randomBytes } from 'node:crypto';
import { Failure, issue } from '../../fhir/failure.ts';
import { CURSOR_PARAMETER, type SearchQuery } from '../../fhir/search/query.ts';
import type { Position } from './order.ts';

/** 32 secret bytes, the same in all processes of a service. */
export type CursorKey = Uint8Array;

/** What a cursor belongs to. */
export type BoundTo = Pick<SearchQuery, 'type' | 'used'>;

const NONCE = 12;
const TAG = 16;

export function sealCursor(position: Position, query: BoundTo, key: CursorKey): string {
  const nonce = randomBytes(NONCE);
  const cipher = createCipheriv('aes-256-gcm', prepared(key), nonce).setAAD(digestOf(query));
  const sealed = Buffer.concat([cipher.update(JSON.stringify(position)), cipher.final()]);
  return Buffer.concat([nonce, sealed, cipher.getAuthTag()]).toString('base64url');
}

/** @throws Failure `invalid` for one that was changed, or belongs to another search or service */
export function openCursor(text: string, query: BoundTo, key: CursorKey): Position {
  const bytes = Buffer.from(text, 'base64url');
  // Decoding passes over what is no base64.
  if (bytes.length <= NONCE + TAG || bytes.toString('base64url') !== text) throw foreign();
  const decipher = createDecipheriv('aes-256-gcm', prepared(key), bytes.subarray(0, NONCE))
    .setAAD(digestOf(query))
    .setAuthTag(bytes.subarray(-TAG));
  let plain: string;
  try {
    plain = decipher.update(bytes.subarray(NONCE, -TAG), undefined, 'utf8') + decipher.final('utf8');
  } catch (cause) {
    throw foreign(cause);
  }
  return JSON.parse(plain) as Position;
}

const preparedKeys = new WeakMap<CursorKey, KeyObject>();

/** Making a key of its bytes takes three times as long as sealing with it. */
function prepared(key: CursorKey): KeyObject {
  let known = preparedKeys.get(key);
  if (known === undefined) {
    known = createSecretKey(key);
    preparedKeys.set(key, known);
  }
  return known;
}

/** Page size, totals and includes may differ from page to page; conditions and order may not. */
const FREE = new Set(['_count', '_total', '_include', '_revinclude', '_summary']);

function digestOf(query: BoundTo): Buffer {
  const bound = query.used.filter(([name]) => !FREE.has(name));
  return hash('sha256', JSON.stringify([query.type, bound]), 'buffer');
}

function foreign(cause?: unknown): Failure {
  return new Failure(
    'invalid',
    issue(
      'value',
      'This page link is damaged or belongs to another search; start again from the first page.',
      `http.${CURSOR_PARAMETER}`,
    ),
    { cause },
  );
}
