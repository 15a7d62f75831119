/**
 * One import says each resource once. Where its files hold an id twice with different content, the second would overwrite
 * the first, the first the second when the import is repeated, and so on: who sends them has to say which one is meant.
 */
import { createHash } from 'node:crypto';
import { type Issue, issue } from '../fhir/failure.ts';
import { stringifyJson } from '../fhir/json.ts';
import type { WriteRequest } from './record.ts';

/** What one import has read. Keeps an id, a digest and a place of each resource: some 200 bytes. */
export class ImportRepeats {
  /** 'Type/id' → digest of the content, a space, and where it stands. */
  readonly #read = new Map<string, string>();

  /** Remembers a resource; why it cannot be taken where another one of its id came before. The same again is no harm. */
  issueOf({ where, request }: { readonly where: string; readonly request: WriteRequest }): Issue | undefined {
    const { type, id, resource, place } = request;
    // A conditional entry has no id yet, and finds what is there.
    if (id === undefined || resource === undefined) return undefined;
    const digest = createHash('sha256').update(stringifyJson(resource)).digest('base64').slice(0, DIGEST_LENGTH);
    const key = `${type}/${id}`;
    const first = this.#read.get(key);
    if (first === undefined) this.#read.set(key, `${digest} ${where}`);
    if (first === undefined || first.startsWith(digest)) return undefined;
    const diagnostics =
      `${type} of the same id as ${first.slice(DIGEST_LENGTH + 1)}, with other content: ` +
      'an import takes a resource once. Leave out the one that is not meant';
    return issue('duplicate', diagnostics, `${place}.id`);
  }
}

const DIGEST_LENGTH = 22;
