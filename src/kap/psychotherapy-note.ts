import type { Binary, BundleEntry, DocumentReference, Patient, Reference, Resource } from '@medplum/fhirtypes';
import { claims, concept, IDEMPOTENCY_KEY, kapCoding } from './codes.ts';
import { MESSAGE } from './message.ts';
import { base64, type SessionContext, SessionDrafts, sessionProvenance } from './session-resources.ts';
import { bundleReference, businessIdentifier } from './transaction.ts';

/**
 * A psychotherapy note (45 CFR 164.501), kept apart from the chart: a DocumentReference that no search for clinical
 * notes finds, its text in a Binary of its own, and a Provenance of both. Nothing of the chart refers to them, so that
 * a delivery without them has no loose end. The labels follow from `notes`, which names the note and its text.
 */
export type PsychotherapyNote = { readonly entries: readonly BundleEntry[]; readonly notes: ReadonlySet<string> };

const PART = 'psychotherapy-note';

/** The identifier of the note of a session. */
export function psychotherapyNoteIdentifier(key: string) {
  return businessIdentifier('DocumentReference', `${key}-${PART}`);
}

/** @param digest of the message with the note, which stays with the note; date: that of the stored note, or now */
export function psychotherapyNote(
  context: Pick<SessionContext, 'key' | 'encounter' | 'organization' | 'correction' | 'newUuid'> & {
    readonly subject: Reference<Patient>;
  },
  note: { readonly text: string; readonly date: string; readonly author: Reference<never>; readonly digest: string },
  now: string,
): PsychotherapyNote {
  const [noteUuid, binaryUuid] = [context.newUuid(), context.newUuid()];
  const contentType = 'text/plain; charset=utf-8';
  const binary: Binary = {
    resourceType: 'Binary',
    meta: { tag: [{ system: IDEMPOTENCY_KEY, code: `${context.key}-${PART}` }] },
    contentType,
    securityContext: bundleReference('DocumentReference', noteUuid),
    data: base64(note.text),
  };
  const document: DocumentReference = {
    resourceType: 'DocumentReference',
    meta: { profile: claims('kap-psychotherapy-note'), tag: [{ system: MESSAGE, code: note.digest }] },
    identifier: [psychotherapyNoteIdentifier(context.key)],
    status: 'current',
    docStatus: 'final',
    type: concept(kapCoding('psychotherapy-note')),
    category: [concept(kapCoding('psychotherapy-note'))],
    subject: context.subject,
    date: note.date,
    author: [note.author],
    ...(context.organization && { custodian: context.organization }),
    content: [{ attachment: { contentType, url: `urn:uuid:${binaryUuid}`, title: 'Psychotherapy note' } }],
    context: { encounter: [context.encounter] },
  };
  const drafts = new SessionDrafts(context.correction, context.newUuid);
  const targets = [drafts.add(binary, binaryUuid), drafts.add(document, noteUuid)];
  drafts.addOnce(provenance(context, targets, note, now));
  return { entries: drafts.entries, notes: new Set(targets.flatMap(({ reference }) => reference ?? [])) };
}

function provenance(
  context: Pick<SessionContext, 'key' | 'organization' | 'correction'>,
  targets: readonly Reference<never>[],
  note: { readonly author: Reference<never>; readonly digest: string },
  now: string,
): Resource {
  return sessionProvenance(context, `${PART}-${note.digest}`, targets, now, [{ type: 'author', who: note.author }]);
}
