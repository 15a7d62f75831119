/**
 * The write path: requests in, one transaction, results out.
 *
 * New resources of patients outside a course need no lock and nothing looked up: they are written in one round trip
 * under an expectation that the statement itself checks. Everything else (updates, conditions, courses with their
 * rules) takes its locks first, always in the same order (patients, criteria, rows; each sorted), so that two units
 * of work wait for each other and never deadlock.
 */
import type { Identifier, Resource } from '@medplum/fhirtypes';
import { type AuditRow, restEvent } from '../audit/event.ts';
import { Failure, type Issue, issue } from '../fhir/failure.ts';
import { parseJson, stringifyJson } from '../fhir/json.ts';
import { rewriteReferences } from '../fhir/references.ts';
import { uuidv7 } from '../fhir/uuid.ts';
import { type Assembled, assemble, type Settled } from './assemble.ts';
import { concernsCourse, evaluateCourses, startsCourse } from './courses.ts';
import { type Draft, entryNamed, type Prepared, prepare, type RecordParts } from './drafts.ts';
import { applyPatches } from './patched.ts';
import type { StoredResource, WriteContext, WriteRequest, WriteResult } from './record.ts';
import type { Change, Criterion, CurrentRow, Match, ResourceKey, UnitOfWork } from './store.ts';

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

function conditionOf({ ifNoneExist, criteria }: WriteRequest): string | undefined {
  const text = ifNoneExist ?? criteria;
  return text === undefined ? undefined : plainCriteria(text);
}

/** One text for all ways to escape and order the same parameters: conditions that mean the same exclude each other by it. */
function plainCriteria(criteria: string): string {
  const parameters = new URLSearchParams(criteria);
  parameters.sort();
  return parameters.toString();
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
  linkEntries(prepared, new Map());
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
  linkEntries(prepared, references, identities);

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
  await patch(parts, unit, prepared, identities, current);

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

/** Turns each PATCH into the resource that it makes, with its references resolved. */
async function patch(
  parts: RecordParts,
  unit: UnitOfWork,
  prepared: Prepared,
  identities: ReadonlyMap<Draft, string>,
  current: ReadonlyMap<string, CurrentRow>,
): Promise<void> {
  const patched = applyPatches(parts, prepared, (draft) => {
    const row = current.get(`${draft.type}/${idOf(draft, identities)}`);
    checkVersion(draft, row);
    return row;
  });
  linkEntries({ drafts: patched.drafts, byFullUrl: prepared.byFullUrl }, new Map(), identities);
  if (patched.existing.length === 0) return;
  const missing = await unit.missing(patched.existing);
  if (missing.length > 0) throw missingReferences(patched, missing);
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

/** What the conditions of a unit of work mean: an existing resource, or none. */
type Conditions = {
  /** Drafts whose condition matched one resource, or that a new id was given. */
  readonly identities: ReadonlyMap<Draft, string>;
  /** Conditional updates that matched nothing and bring the id that they want to be created with. */
  readonly wished: readonly Draft[];
  /** The conditional reference as it was sent → 'Type/id'. */
  readonly references: ReadonlyMap<string, string>;
};

async function settleConditions(
  parts: RecordParts,
  unit: UnitOfWork,
  { drafts, conditional }: Prepared,
): Promise<Conditions> {
  const conditions = drafts.flatMap((draft) => {
    const criteria = conditionOf(draft.request);
    return criteria === undefined ? [] : [{ draft, type: draft.type, criteria }];
  });
  const wanted: Criterion[] = [...conditions, ...conditional].map(({ type, criteria }) => ({ type, criteria }));
  if (wanted.length === 0) return { identities: new Map(), wished: [], references: new Map() };
  if (conditions.length > 0) await unit.lockCriteria(conditions);
  const found = await unit.match(wanted);

  const identities = new Map<Draft, string>();
  const wished: Draft[] = [];
  conditions.forEach(({ draft }, i) => {
    const matches = found[i] as readonly Match[];
    if (matches.length > 1) throw tooManyMatches(draft);
    const wish = draft.method === 'PUT' ? draft.resource?.id : undefined;
    const matched = matches[0]?.id;
    if (matched !== undefined && wish !== undefined && wish !== matched) throw otherId(draft);
    if (matched === undefined && wish !== undefined) wished.push(draft);
    if (matched === undefined && draft.method === 'PATCH') throw nothingToPatch(draft);
    const id = matched ?? wish ?? newIdentity(draft, parts.now());
    if (id !== undefined) identities.set(draft, id);
  });
  return {
    identities,
    wished,
    references: conditionalTargets(conditional, found.slice(conditions.length), drafts, identities),
  };
}

/** The id of a conditional create or update that matched nothing; a conditional delete then has nothing to do. */
function newIdentity(draft: Draft, now: Date): string | undefined {
  return draft.method === 'DELETE' ? undefined : uuidv7(now);
}

/** @see https://hl7.org/fhir/R4/http.html#patch */
function nothingToPatch({ type, place }: Draft): Failure {
  const diagnostics = `The condition of this PATCH matches no ${type}.`;
  return new Failure('not-found', issue('not-found', diagnostics, place, 'MSG_NO_MATCH'));
}

/** @see https://hl7.org/fhir/R4/http.html#cond-update */
function otherId(draft: Draft): Failure {
  const diagnostics = `The condition matches a ${draft.type} with another id. Send its id, or none.`;
  return new Failure('invalid', issue('value', diagnostics, `${draft.place}.id`));
}

/** The id may be another patient's: nobody's record is replaced by what its condition did not mean. */
function refuseTaken(wished: readonly Draft[], currentRows: ReadonlyMap<string, CurrentRow>): void {
  for (const { type, resource, place } of wished) {
    const current = currentRows.get(`${type}/${resource?.id}`);
    if (current === undefined || current.deleted) continue;
    const diagnostics = `The condition matches no ${type}, and another one has this id already. Send no id, or update by id.`;
    throw new Failure('conflict', issue('conflict', diagnostics, `${place}.id`));
  }
}

function conditionalTargets(
  conditional: Prepared['conditional'],
  found: readonly (readonly Match[])[],
  drafts: readonly Draft[],
  identities: ReadonlyMap<Draft, string>,
): Map<string, string> {
  const meant = conditional.length === 0 ? new Map<string, readonly Draft[]>() : entriesMeant(drafts);
  const targets = new Map<string, string>();
  const issues: Issue[] = [];
  conditional.forEach(({ type, criteria, reference, place }, i) => {
    // Resolved as if the entries were stored already.
    const ids = new Set((found[i] as readonly Match[]).map((match) => match.id));
    for (const draft of meant.get(`${type}?${plainCriteria(criteria)}`) ?? [])
      ids.add(idOf(draft, identities) as string);
    const [id] = ids;
    if (id !== undefined && ids.size === 1) targets.set(reference, `${type}/${id}`);
    else if (ids.size > 1) {
      issues.push(issue('multiple-matches', `The conditional reference matches more than one ${type}.`, place));
    } else issues.push(issue('not-found', `The conditional reference matches no ${type}.`, place));
  });
  if (issues.length > 0) throw new Failure('precondition-failed', issues);
  return targets;
}

/** Entries by what a conditional reference to them may say: their own condition, or one of their identifiers. */
function entriesMeant(drafts: readonly Draft[]): ReadonlyMap<string, readonly Draft[]> {
  const meant = new Map<string, Draft[]>();
  for (const draft of drafts) {
    if (draft.method === 'DELETE') continue;
    const condition = conditionOf(draft.request);
    const names = new Set(condition === undefined ? [] : [condition]);
    for (const token of identifiersOf(draft.resource))
      names.add(plainCriteria(`identifier=${encodeURIComponent(token)}`));
    for (const name of names) {
      const key = `${draft.type}?${name}`;
      meant.set(key, [...(meant.get(key) ?? []), draft]);
    }
  }
  return meant;
}

/** `system|value` of each identifier that has both. */
function identifiersOf(resource: Resource | undefined): string[] {
  const { identifier } = (resource ?? {}) as { identifier?: Identifier | Identifier[] };
  const all = Array.isArray(identifier) ? identifier : identifier === undefined ? [] : [identifier];
  return all.flatMap(({ system, value }) =>
    system === undefined || value === undefined ? [] : [`${system}|${value}`],
  );
}

function tooManyMatches(draft: Draft): Failure {
  const diagnostics = `The condition of this ${draft.method} matches more than one ${draft.type}; nothing was changed.`;
  return new Failure('precondition-failed', issue('multiple-matches', diagnostics, draft.place));
}

/** Turns references to entries and conditional references into 'Type/id'. */
function linkEntries(
  { drafts, byFullUrl }: Pick<Prepared, 'drafts' | 'byFullUrl'>,
  references: ReadonlyMap<string, string>,
  identities: ReadonlyMap<Draft, string> = new Map(),
): void {
  if (byFullUrl.size === 0 && references.size === 0) return;
  const nameOf = (draft: Draft | undefined): string | undefined => {
    const id = draft && idOf(draft, identities);
    return id === undefined ? undefined : `${draft?.type}/${id}`;
  };
  const link = (url: string) => nameOf(byFullUrl.get(url));
  for (const draft of drafts) {
    if (draft.resource === undefined) continue;
    const resolve = (reference: string) => nameOf(entryNamed(byFullUrl, draft, reference)) ?? references.get(reference);
    rewriteReferences(draft.resource, resolve, draft.place, link);
  }
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

function idOf(draft: Draft, identities: ReadonlyMap<Draft, string>): string | undefined {
  return identities.get(draft) ?? draft.id;
}

function keyOf(draft: Draft, identities: ReadonlyMap<Draft, string>): { type: string; id: string } | undefined {
  const id = idOf(draft, identities);
  return id === undefined ? undefined : { type: draft.type, id };
}

function refuseTwice(drafts: readonly Draft[], identities: ReadonlyMap<Draft, string>): void {
  const seen = new Set<string>();
  for (const draft of drafts) {
    const id = idOf(draft, identities);
    if (id === undefined) continue;
    const key = `${draft.type}/${id}`;
    if (seen.has(key)) {
      const diagnostics = `Two entries write ${draft.type}/${id}; a transaction may write a resource once.`;
      throw new Failure('invalid', issue('duplicate', diagnostics, draft.place));
    }
    seen.add(key);
    const criteria = draft.method === 'DELETE' ? undefined : conditionOf(draft.request);
    if (criteria === undefined) continue;
    const condition = `${draft.type}?${criteria}`;
    if (seen.has(condition)) {
      const diagnostics = `Two entries have the same condition for a ${draft.type}; refer to one of them by its fullUrl.`;
      throw new Failure('invalid', issue('duplicate', diagnostics, draft.place));
    }
    seen.add(condition);
  }
}

/** Pairs a draft with its current version; a draft with nothing to do is left out. */
function settle(
  draft: Draft,
  identities: ReadonlyMap<Draft, string>,
  currentRows: ReadonlyMap<string, CurrentRow>,
): Settled[] {
  const id = idOf(draft, identities);
  if (id === undefined) return [];
  const current = currentRows.get(`${draft.type}/${id}`);
  checkVersion(draft, current);
  const isThere = current !== undefined && !current.deleted;
  return [{ draft, id, current, keep: draft.request.ifNoneExist !== undefined && isThere }];
}

function checkVersion(draft: Draft, current: CurrentRow | undefined): void {
  const { ifMatch, onlyNew } = draft.request;
  if (onlyNew === true && current !== undefined && !current.deleted) {
    const diagnostics = `If-None-Match allows this ${draft.type} only where there is none, and there is one.`;
    throw new Failure('precondition-failed', issue('conflict', diagnostics, draft.place));
  }
  if (ifMatch === undefined || current?.version === ifMatch) return;
  const now = current === undefined ? 'it does not exist' : `its current version is ${current.version}`;
  throw new Failure(
    'precondition-failed',
    issue(
      'conflict',
      `If-Match names version ${ifMatch} of this ${draft.type}, but ${now}. Read it again.`,
      draft.place,
    ),
  );
}

function missingReferences({ existing }: Pick<Prepared, 'existing'>, missing: readonly ResourceKey[]): Failure {
  const issues = missing.map(({ type, id }) => {
    const place = existing.find((key) => key.type === type && key.id === id)?.place;
    return issue('not-found', `The reference leads to ${type}/${id}, which is not stored here.`, place);
  });
  return new Failure('invalid', issues);
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
