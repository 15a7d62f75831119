import { hash } from 'node:crypto';
import type { Bundle, Coding, Procedure, Resource } from '@medplum/fhirtypes';
import type { Issue } from '../fhir/failure.ts';
import { fault, type Given } from './parameters.ts';
import { type Recorded, refused } from './recorded.ts';
import { createOnce, transactionOf } from './transaction.ts';

/**
 * A message is known again by a digest of its content, which stays as a tag on the Procedure it recorded. The same
 * message has no second effect, not even after its session was corrected, when its times would fit another session.
 * Another message for a recorded session is a conflict unless it says that it is a correction.
 */
export const MESSAGE = 'https://kap.example.org/id/message';

/** A digest of the content, whatever the order of the keys. @param without parameters that leave no trace in it */
export function messageDigest(parameters: unknown, without: readonly string[] = []): string {
  const { parameter } = (parameters ?? {}) as { parameter?: unknown };
  const named = Array.isArray(parameter) ? (parameter as ({ name?: string } | null)[]) : [];
  const kept = named.filter((found) => !without.includes(found?.name ?? ''));
  return hash('sha256', JSON.stringify(sorted(kept))).slice(0, 32);
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, inner]) => [key, sorted(inner)]));
}

/** The messages a resource came from, the last one last. */
export function messagesOf(resource: Resource | undefined): readonly string[] {
  return (resource?.meta?.tag ?? []).flatMap(({ system, code }) =>
    system === MESSAGE && code !== undefined ? [code] : [],
  );
}

/** The tags of the next version: those before it, and this message. */
export function messageTags(before: Resource | undefined, digest: string): Coding[] {
  return [...messagesOf(before).filter((code) => code !== digest), digest].map((code) => ({ system: MESSAGE, code }));
}

/**
 * What a message comes to that was recorded before, or undefined for a new one. The answer to a repetition is a
 * transaction that finds the Procedure and changes nothing.
 */
export function repeated(
  procedures: readonly Procedure[],
  digest: string,
  given: Given,
): { procedure: Procedure; answer: Recorded } | undefined {
  const procedure = procedures.find((found) => messagesOf(found).includes(digest));
  if (procedure === undefined) return undefined;
  const correction = given.boolean('correction');
  if (correction?.value && messagesOf(procedure).at(-1) !== digest) {
    const text =
      'This very correction is recorded and was corrected since. To return to it, give the session another note or identifier.';
    return { procedure, answer: refused([fault('conflict', text, correction.place)]) };
  }
  return { procedure, answer: { ok: true, bundle: found(procedure) } };
}

function found(procedure: Procedure): Bundle {
  const { id, ...content } = procedure;
  return transactionOf([createOnce(content, id ?? '').entry]);
}

/** Content that differs from what is recorded, with no time to point at. */
export function refuseOtherContent(recorded: Resource, digest: string, issues: Issue[]): void {
  if (messagesOf(recorded).includes(digest)) return;
  const text =
    'This session is recorded with another content. Send correction = true to replace it, or name another session.';
  issues.push(fault('conflict', text, 'Parameters'));
}
