/**
 * The write path: requests in, one transaction, results out.
 *
 * Writes by id of patients outside a course need no lock: they are written under an expectation that the statement
 * itself checks (straight.ts). Everything else (conditions, courses with their rules) takes its locks first, always in
 * the same order (patients, criteria, rows; each sorted), so that two units of work wait for each other and never
 * deadlock.
 */
import type { Resource } from '@medplum/fhirtypes';
import { Failure, issue } from '../fhir/failure.ts';
import { parseJson, stringifyJson } from '../fhir/json.ts';
import { typesLookedAt } from '../fhir/search/reach.ts';
import { assemble, versionMade } from './assemble.ts';
import type { ProfileSet } from './clinic-profiles.ts';
import {
  checkVersion,
  conditionOf,
  criteriaPlace,
  idOf,
  keyOf,
  refuseTaken,
  refuseTwice,
  settleConditions,
  stillMet,
} from './conditions.ts';
import { evaluateCourses } from './courses.ts';
import { type Draft, type Prepared, prepare, prepareAgain, type RecordParts } from './drafts.ts';
import { linkEntries, missingReferences } from './links.ts';
import { applyPatches } from './patched.ts';
import { DefinitionOfPackage } from './profile-rules.ts';
import { type TellingContext, telling } from './provenance.ts';
import type { WriteContext, WriteRequest, WriteResult } from './record.ts';
import { type CurrentRow, OtherProfiles, type UnitOfWork } from './store.ts';
import { writeStraight } from './straight.ts';
import { isOfProfiles, tolerantly } from './tolerance.ts';
import { changeOf, resultsOf, settleAll } from './write-change.ts';

/** What is to commit together with the resources; tried again with them. */
export type Alongside = {
  /** Looks at what must hold, under locks of its own. */
  before(unit: UnitOfWork): Promise<void>;
  after(unit: UnitOfWork): Promise<void>;
};

/** @see ClinicRecord.write */
export async function write(
  parts: RecordParts,
  requests: readonly WriteRequest[],
  context: WriteContext,
  alongside?: Alongside,
): Promise<readonly WriteResult[]> {
  let prepared = await accepted(parts, requests, context);
  requireSearches(prepared, context);
  const told = telling(parts, context);
  for (let left = ATTEMPTS; ; left -= 1) {
    try {
      const straight = alongside === undefined ? await writeStraight(parts, prepared, told) : undefined;
      const results = straight ?? (await writeLocked(parts, prepared, told, alongside));
      parts.committed();
      return results;
    } catch (error) {
      if (!(error instanceof OtherProfiles) && !(error instanceof DefinitionOfPackage)) throw error;
      const latest = await parts.profiles.latest();
      if (error instanceof DefinitionOfPackage && latest === prepared.set) throw error;
      if (left === 1) throw unsettled(error);
      const before = prepared;
      prepared = await tolerantly(parts, requests, context, (tolerance) => prepareAgain(before, latest, tolerance));
    }
  }
}

/** Nobody is refused by profiles that are in force no more: whom they refuse is looked at with those of now. */
async function accepted(
  parts: RecordParts,
  requests: readonly WriteRequest[],
  context: WriteContext,
): Promise<Prepared> {
  const set = parts.profiles.current();
  const preparedWith = (held: ProfileSet) =>
    tolerantly(parts, requests, context, (tolerance) => prepare(parts, requests, held, tolerance));
  try {
    return await preparedWith(set);
  } catch (error) {
    const latest = isOfProfiles(error) ? await parts.profiles.latest() : set;
    if (latest === set) throw error;
    return preparedWith(latest);
  }
}

function unsettled(cause: Error): Failure {
  const diagnostics = 'The profiles of the clinic are being changed. Send the request again.';
  return new Failure('transient', issue('transient', diagnostics), { cause });
}

function requireSearches({ drafts, conditional }: Prepared, { requireSearch }: WriteContext): void {
  if (requireSearch === undefined) return;
  const requireFor = (type: string, criteria: string, place: string) => {
    requireSearch(type, place);
    for (const other of typesLookedAt(criteria)) requireSearch(other, place);
  };
  for (const draft of drafts) {
    const criteria = conditionOf(draft.request);
    if (criteria !== undefined) requireFor(draft.type, criteria, criteriaPlace(draft));
  }
  for (const { type, criteria, place } of conditional) requireFor(type, criteria, place);
}

/** A race for a new id, or a deadlock with another program: the next attempt sees the other's work. */
const RETRYABLE = new Set(['23505', '40001', '40P01']);
const ATTEMPTS = 4;

async function writeLocked(
  parts: RecordParts,
  prepared: Prepared,
  context: TellingContext,
  alongside: Alongside | undefined,
): Promise<readonly WriteResult[]> {
  const texts = prepared.drafts.map(({ resource }) => resource && stringifyJson(resource));
  for (let attempt = 1; ; attempt++) {
    try {
      return await parts.store.transaction(async (unit) => {
        await alongside?.before(unit);
        const results = await attemptLocked(parts, unit, prepared, context);
        await alongside?.after(unit);
        return results;
      });
    } catch (error) {
      const code = (error as { code?: unknown }).code;
      const isRace = typeof code === 'string' && RETRYABLE.has(code);
      if (!isRace && !(error instanceof OtherProfiles)) throw error;
      if (isRace && attempt === ATTEMPTS) {
        const diagnostics = 'Other requests changed the same resources at the same time. Send the request again.';
        throw new Failure('conflict', issue('conflict', diagnostics), { cause: error });
      }
      prepared.drafts.forEach((draft, i) => {
        const text = texts[i];
        draft.resource = text === undefined ? undefined : (parseJson(text) as Resource);
      });
      if (!isRace) throw error;
    }
  }
}

/** Somebody changed what a condition had found, before we had it locked; like a serialization failure of PostgreSQL. */
class Overtaken extends Error {
  readonly code = '40001';
}

async function attemptLocked(
  parts: RecordParts,
  unit: UnitOfWork,
  prepared: Prepared,
  context: TellingContext,
): Promise<readonly WriteResult[]> {
  const { drafts } = prepared;
  const conditions = await settleConditions(parts, unit, prepared);
  const { identities, wished, references } = conditions;
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
  if (!stillMet(conditions, rowOf)) throw new Overtaken();
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
  const settled = settleAll(drafts, identities, current);
  const evaluated = await evaluateCourses(parts, unit, settled, inCourse, now);
  const assembled = await assemble(parts, unit.newRids, [...settled, ...evaluated.settled], context, now);
  const { generation } = prepared.set;
  await unit.write({ ...changeOf(drafts, assembled, context, now), courses: evaluated.courses, generation });
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
