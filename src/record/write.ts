/**
 * The write path: requests in, one transaction, results out.
 *
 * New resources of patients outside a course need no lock and nothing looked up: they are written in one round trip
 * under an expectation that the statement itself checks. Everything else (updates, conditions, courses with their
 * rules) takes its locks first, always in the same order (patients, criteria, rows; each sorted), so that two units
 * of work wait for each other and never deadlock.
 */
import type { Resource } from '@medplum/fhirtypes';
import { type AuditRow, restEvent } from '../audit/event.ts';
import { Failure, issue } from '../fhir/failure.ts';
import { parseJson, stringifyJson } from '../fhir/json.ts';
import { type Assembled, assemble, type Settled, versionMade } from './assemble.ts';
import {
  checkVersion,
  conditionOf,
  type Identities,
  idOf,
  keyOf,
  refuseTaken,
  refuseTwice,
  settleConditions,
} from './conditions.ts';
import { concernsCourse, evaluateCourses, startsCourse } from './courses.ts';
import { type Draft, type Prepared, prepare, type RecordParts } from './drafts.ts';
import { linkEntries, missingReferences } from './links.ts';
import { applyPatches } from './patched.ts';
import type { StoredResource, WriteContext, WriteRequest, WriteResult } from './record.ts';
import type { Change, CurrentRow, UnitOfWork } from './store.ts';

/** @see ClinicRecord.write */
export async function write(
  parts: RecordParts,
  requests: readonly WriteRequest[],
  context: WriteContext,
): Promise<readonly WriteResult[]> {
  const prepared = prepare(parts, requests);
  requireSearches(prepared, context);
  const results = (await writeStraight(parts, prepared, context)) ?? (await writeLocked(parts, prepared, context));
  parts.committed();
  return results;
}

function requireSearches({ drafts, conditional }: Prepared, { requireSearch }: WriteContext): void {
  if (requireSearch === undefined) return;
  for (const { request, type, place } of drafts) if (conditionOf(request) !== undefined) requireSearch(type, place);
  for (const { type, place } of conditional) requireSearch(type, place);
}

/** One round trip for new resources; undefined when something has to be looked up after all. */
async function writeStraight(
  parts: RecordParts,
  prepared: Prepared,
  context: WriteContext,
): Promise<readonly WriteResult[] | undefined> {
  const { drafts, conditional } = prepared;
  const isStraight =
    conditional.length === 0 &&
    drafts.every(({ method, id, resource }) => method === 'POST' && id !== undefined && !startsCourse(resource));
  if (!isStraight) return undefined;
  const { byFullUrl } = prepared;
  linkEntries(parts, drafts, { byFullUrl, references: new Map(), idOf: ({ id }) => id, versionOf: () => 1 });
  const now = parts.now();
  const assembled = await assemble(
    parts,
    parts.store.newRids,
    drafts.map((draft) => ({ draft, id: draft.id as string, current: undefined, keep: false })),
    now,
  );
  const outsideCourse = new Set<string>();
  for (const { type, patientId } of assembled.versions) {
    if (patientId !== null && concernsCourse(type)) outsideCourse.add(patientId);
  }
  const change = { ...changeOf(drafts, assembled, context, now), courses: [] };
  const answer = await parts.store.writeNew(change, { outsideCourse: [...outsideCourse], existing: prepared.existing });
  if (answer === 'in-course') return undefined;
  if (answer !== 'written') throw missingReferences(prepared, answer.missing);
  return resultsOf(drafts, assembled);
}

/** A race for a new id, or a deadlock with another program: the next attempt sees the other's work. */
const RETRYABLE = new Set(['23505', '40001', '40P01']);
const ATTEMPTS = 4;

async function writeLocked(
  parts: RecordParts,
  prepared: Prepared,
  context: WriteContext,
): Promise<readonly WriteResult[]> {
  const texts = prepared.drafts.map(({ resource }) => resource && stringifyJson(resource));
  for (let attempt = 1; ; attempt++) {
    try {
      return await parts.store.transaction((unit) => attemptLocked(parts, unit, prepared, context));
    } catch (error) {
      const code = (error as { code?: unknown }).code;
      if (typeof code !== 'string' || !RETRYABLE.has(code)) throw error;
      if (attempt === ATTEMPTS) {
        const diagnostics = 'Other requests changed the same resources at the same time. Send the request again.';
        throw new Failure('conflict', issue('conflict', diagnostics), { cause: error });
      }
      prepared.drafts.forEach((draft, i) => {
        const text = texts[i];
        draft.resource = text === undefined ? undefined : (parseJson(text) as Resource);
      });
    }
  }
}

async function attemptLocked(
  parts: RecordParts,
  unit: UnitOfWork,
  prepared: Prepared,
  context: WriteContext,
): Promise<readonly WriteResult[]> {
  const { drafts } = prepared;
  const { identities, wished, references } = await settleConditions(parts, unit, prepared);
  const targets = { byFullUrl: prepared.byFullUrl, references, idOf: (draft: Draft) => idOf(draft, identities) };
  const isLinked = linkEntries(parts, drafts, { ...targets, versionOf: () => undefined });

  const patientIds = patientsOf(parts, drafts);
  const keys = drafts.flatMap((draft) => keyOf(draft, identities) ?? []);
  refuseTwice(drafts, identities);
  const [first, rows, missing] = await inOrder([
    unit.lockPatients(patientIds, keys),
    unit.lockCurrent(keys),
    unit.missing(prepared.existing),
  ]);
  if (missing.length > 0) throw missingReferences(prepared, missing);
  const current = new Map(rows.map((row) => [`${row.type}/${row.id}`, row]));
  const rowOf = (draft: Draft) => current.get(`${draft.type}/${idOf(draft, identities)}`);
  const isPatched = await patch(parts, unit, prepared, rowOf);
  if (!isLinked || isPatched) {
    linkEntries(parts, drafts, { ...targets, versionOf: (draft) => versionMade(draft, rowOf(draft)) });
  }

  // Who it was about may have changed while we waited, or a patch changes it: rare enough for the deadlock that this can
  // lead to, and its retry.
  const concerned = new Set([...rows.flatMap(({ patientId }) => patientId ?? []), ...patientsOf(parts, drafts)]);
  const others = [...concerned].filter((patientId) => !first.locked.has(patientId));
  const late = others.length === 0 ? undefined : await unit.lockPatients(others, []);
  const inCourse = late === undefined ? first.inCourse : first.inCourse.union(late.inCourse);

  const now = parts.now();
  refuseTaken(wished, current);
  const settled = drafts.flatMap((draft) => settle(draft, identities, current));
  const evaluated = await evaluateCourses(parts, unit, settled, inCourse, now);
  const assembled = await assemble(parts, unit.newRids, [...settled, ...evaluated.settled], now);
  await unit.write({ ...changeOf(drafts, assembled, context, now), courses: evaluated.courses });
  return resultsOf(drafts, assembled);
}

/** Turns each PATCH into the resource that it makes; false where there is none. */
async function patch(
  parts: RecordParts,
  unit: UnitOfWork,
  prepared: Prepared,
  rowOf: (draft: Draft) => CurrentRow | undefined,
): Promise<boolean> {
  const patched = applyPatches(parts, prepared, (draft) => {
    const row = rowOf(draft);
    checkVersion(draft, row);
    return row;
  });
  if (patched.existing.length > 0) {
    const missing = await unit.missing(patched.existing);
    if (missing.length > 0) throw missingReferences(patched, missing);
  }
  return patched.drafts.length > 0;
}

/**
 * The answers to calls that were made together. Of several failures the first call's is thrown: the statements after a
 * failed one only say that they were not run, and a deadlock could not be told from a mistake by that.
 */
async function inOrder<T extends readonly unknown[] | []>(
  calls: T,
): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }> {
  await Promise.allSettled(calls);
  return Promise.all(calls); // all are settled, so the first in the list that failed is the one that is thrown
}

function patientsOf(parts: RecordParts, drafts: readonly Draft[]): string[] {
  const patients = new Set<string>();
  for (const { resource, type } of drafts) {
    if (resource === undefined || type === 'Patient') continue;
    const patientId = parts.patientIdOf(resource);
    if (patientId !== null) patients.add(patientId);
  }
  return [...patients].sort();
}

/** Pairs a draft with its current version; a draft with nothing to do is left out. */
function settle(draft: Draft, identities: Identities, currentRows: ReadonlyMap<string, CurrentRow>): Settled[] {
  const id = idOf(draft, identities);
  if (id === undefined) return [];
  const current = currentRows.get(`${draft.type}/${id}`);
  checkVersion(draft, current);
  const isThere = current !== undefined && !current.deleted;
  return [{ draft, id, current, keep: draft.request.ifNoneExist !== undefined && isThere }];
}

function changeOf(
  drafts: readonly Draft[],
  assembled: Assembled,
  context: WriteContext,
  now: Date,
): Omit<Change, 'courses'> {
  const { versions, added, removed } = assembled;
  return { versions, added, removed, audit: auditOf(drafts, assembled, context, now) };
}

/**
 * One event for each patient concerned, with what was written about that patient. What was already there is answered,
 * too: it was seen, and is audited; so is the attempt to delete what is not there.
 */
function auditOf(drafts: readonly Draft[], { outcome }: Assembled, context: WriteContext, now: Date): AuditRow[] {
  const { interaction } = context;
  const touched = Map.groupBy(
    [...outcome.values()].map(({ stored }) => stored),
    ({ patientId }) => patientId,
  );
  if (touched.size === 0) {
    const entities = drafts.flatMap(({ type, id }) => (id === undefined ? [] : [{ type, id }]));
    const action = drafts.length === 1 ? 'D' : 'E';
    return [restEvent({ context, interaction, action, outcome: 0, entities }, now)];
  }
  return [...touched].map(([patientId, entities]) =>
    restEvent({ context, interaction, action: actionOf(entities, outcome.size), outcome: 0, patientId, entities }, now),
  );
}

function actionOf([only]: readonly StoredResource[], touched: number): 'C' | 'U' | 'D' | 'E' {
  if (only === undefined || touched > 1) return 'E';
  return only.deleted ? 'D' : only.version === 1 ? 'C' : 'U';
}

function resultsOf(drafts: readonly Draft[], { outcome }: Assembled): WriteResult[] {
  return drafts.map((draft) => outcome.get(draft) ?? { effect: 'unchanged' });
}
