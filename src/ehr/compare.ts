/**
 * Comparing what we sent with what a target holds. Elements that belong to the server (id, meta, narrative) do not
 * count.
 */
import { hash } from 'node:crypto';
import type { JsonObject } from './compile.ts';

const SERVER_OWNED = new Set(['id', 'meta', 'text']);

/** Of the content without server-owned elements, whatever the order of its elements. */
export function contentSha256(resource: JsonObject): Buffer {
  return hash('sha256', JSON.stringify(sorted(ownedByUs(resource))), 'buffer');
}

/** Whether everything in `part` stands in `whole` as well: the target may add, not change. */
export function containsContent(whole: JsonObject, part: JsonObject): boolean {
  return contains(whole, ownedByUs(part));
}

/** Elements that stand in `theirs` and were never sent by us. */
export function additions(theirs: JsonObject, sent: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(ownedByUs(theirs)).filter(([name]) => !Object.hasOwn(sent, name)));
}

function ownedByUs(resource: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(resource).filter(([name]) => !SERVER_OWNED.has(name)));
}

function contains(whole: unknown, part: unknown): boolean {
  if (Array.isArray(part)) {
    if (!Array.isArray(whole)) return false;
    return part.every((each) => whole.some((candidate) => contains(candidate, each)));
  }
  if (isNumber(part)) return isNumber(whole) && Number(textOf(part)) === Number(textOf(whole));
  if (typeof part === 'object' && part !== null) {
    if (typeof whole !== 'object' || whole === null) return false;
    return Object.entries(part).every(([name, each]) => contains((whole as JsonObject)[name], each));
  }
  return whole === part;
}

/** A number, or one whose digits parseExactly kept. */
function isNumber(value: unknown): boolean {
  return typeof value === 'number' || (typeof value === 'object' && value !== null && 'rawJSON' in value);
}

function textOf(value: unknown): string {
  return JSON.stringify(value);
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null || 'rawJSON' in value) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([name, each]) => [name, sorted(each)]));
}
