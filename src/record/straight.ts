/**
 * Writes without locks of their own: creates, and updates, patches and deletions by id, of patients outside a course.
 *
 * What is current is read (together with other requests), the change is made from it, and one statement writes it on
 * condition that those rows are unchanged, that nobody has entered a course and that every reference leads somewhere.
 * Statements of several requests share a commit. Whoever loses a race starts again from what is current by then, a few
 * times, and takes the locks after that (write.ts).
 */
import type { Resource } from '@medplum/fhirtypes';
import { Failure, issue } from '../fhir/failure.ts';
import { parseJson, stringifyJson } from '../fhir/json.ts';
import { assemble, versionMade } from './assemble.ts';
import { checkVersion, conditionOf, conditionPlace, refuseTwice } from './conditions.ts';
import { concernsCourse, startsCourse } from './courses.ts';
import type { Draft, Prepared, RecordParts } from './draft.ts';
import { linkEntries, missingReferences } from './links.ts';
import { applyPatches } from './patched.ts';
import type { TellingContext } from './provenance.ts';
import type { WriteResult } from './record.ts';
import { type CurrentRow, OtherProfiles, type RecordStore, type StraightAnswer } from './store.ts';
import { changeOf, resultsOf, settleAll } from './write-change.ts';

const ATTEMPTS = 3;

/**
 * Undefined when it has to be written under locks after all; the drafts are then as they were.
 *
 * @throws OtherProfiles
 */
export async function writeStraight(
  parts: RecordParts,
  prepared: Prepared,
  context: TellingContext,
): Promise<readonly WriteResult[] | undefined> {
  const { drafts, conditional, byFullUrl } = prepared;
  const isStraight =
    conditional.length === 0 &&
    drafts.every(({ id, request }) => id !== undefined && conditionOf(request) === undefined);
  if (!isStraight || drafts.some(({ resource }) => startsCourse(resource))) return undefined;
  if (drafts.some(({ method }) => method !== 'POST')) refuseTwice(drafts, NO_IDENTITIES);
  // Entries that are linked once cannot be linked to other versions: what was sent is needed for another attempt.
  const isLinked = byFullUrl.size > 0 && drafts.some(({ method }) => method !== 'POST');
  const sent = isLinked ? drafts.map(({ resource }) => resource && stringifyJson(resource)) : undefined;
  const restore = () => {
    for (const [i, draft] of drafts.entries()) {
      const text = sent?.[i];
      if (draft.method === 'PATCH') draft.resource = undefined;
      else if (text !== undefined) draft.resource = parseJson(text) as Resource;
    }
  };
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const results = await attemptStraight(parts, prepared, context);
    if (typeof results !== 'string') return results;
    restore();
    if (results === 'outdated') throw new OtherProfiles('the profiles changed since the resources were checked');
    if (results === 'locks') return undefined;
    refuseLostRace(drafts);
  }
  return undefined;
}

const NO_IDENTITIES: ReadonlyMap<Draft, string> = new Map();

/** @throws Failure as a write under locks would */
async function attemptStraight(
  parts: RecordParts,
  prepared: Prepared,
  context: TellingContext,
): Promise<readonly WriteResult[] | 'changed' | 'locks' | 'outdated'> {
  const { set, drafts, byFullUrl } = prepared;
  const { store } = parts;
  const rows = await currentRows(store, drafts);
  const rowOf = ({ type, id }: Draft) => rows.get(`${type}/${id}`);
  const patched = applyPatches(parts, prepared, (draft) => {
    const row = rowOf(draft);
    checkVersion(draft, row);
    return row;
  });
  if (patched.drafts.some(({ resource }) => startsCourse(resource))) return 'locks';
  const existing = [...prepared.existing, ...patched.existing];
  linkEntries(parts, drafts, {
    byFullUrl,
    references: new Map(),
    idOf: ({ id }) => id,
    versionOf: (draft) => versionMade(draft, rowOf(draft)),
  });
  const now = parts.now();
  const settled = settleAll(drafts, NO_IDENTITIES, rows);
  const assembled = await assemble(parts, store.newRids, settled, context, now);
  const outsideCourse = new Set<string>();
  for (const { type, id, patientId } of assembled.versions) {
    if (!concernsCourse(type)) continue;
    if (patientId !== null) outsideCourse.add(patientId);
    const before = rows.get(`${type}/${id}`)?.patientId ?? null;
    if (before !== null) outsideCourse.add(before);
  }
  const known = coursesKnown(store);
  for (const patientId of outsideCourse) if (known.has(patientId)) return 'locks';
  const change = { ...changeOf(drafts, assembled, context, now), courses: [], generation: set.generation };
  const answer = await store.writeStraight(change, { outsideCourse: [...outsideCourse], existing }).catch(lostRace);
  if (answer === 'written') return resultsOf(drafts, assembled);
  if (typeof answer === 'string') return answer;
  if ('missing' in answer) throw missingReferences({ existing }, answer.missing);
  remember(known, answer.inCourse);
  return 'locks';
}

async function currentRows(store: RecordStore, drafts: readonly Draft[]): Promise<ReadonlyMap<string, CurrentRow>> {
  const rows = new Map<string, CurrentRow>();
  const known = drafts.filter(({ method }) => method !== 'POST');
  if (known.length === 0) return rows;
  const found = await Promise.all(known.map(({ type, id }) => store.current({ type, id: id as string })));
  for (const row of found) if (row !== undefined) rows.set(`${row.type}/${row.id}`, row);
  return rows;
}

/** Somebody else created what we wanted to create, or a deadlock with another program: as if a row had changed. */
function lostRace(error: unknown): StraightAnswer {
  const { code } = error as { code?: unknown };
  if (typeof code === 'string' && RACES.has(code)) return 'changed';
  throw error;
}

const RACES = new Set(['23505', '40001', '40P01']);

/**
 * The version that the caller named was current when it was read, and another write came first.
 *
 * @throws Failure `conflict` where a draft names a version
 */
function refuseLostRace(drafts: readonly Draft[]): void {
  for (const draft of drafts) {
    const { request, type } = draft;
    if (request.ifMatch === undefined || request.ifMatch === '*') continue;
    const diagnostics = `Another request changed this ${type} at the same moment. Read it again.`;
    const place = conditionPlace(draft, 'ifMatch');
    throw new Failure('conflict', issue('conflict', diagnostics, place, 'MSG_VERSION_AWARE_CONFLICT'));
  }
}

/** Patients found in a course lately. Nobody leaves one, so their writes need not be tried without locks. */
const courses = new WeakMap<RecordStore, Set<string>>();
const MOST_KNOWN = 10_000;

function coursesKnown(store: RecordStore): Set<string> {
  const known = courses.get(store) ?? new Set();
  courses.set(store, known);
  return known;
}

function remember(known: Set<string>, patientIds: readonly string[]): void {
  if (known.size > MOST_KNOWN) known.clear();
  for (const patientId of patientIds) known.add(patientId);
}
