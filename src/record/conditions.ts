/**
 * What the conditions of a unit of work mean: which resource each conditional interaction is about, which one each
 * conditional reference leads to, and what must hold of the current version.
 *
 * Deletions come first, so what they remove matches nothing else.
 *
 * @see https://hl7.org/fhir/R4/http.html#trules and #cond-update
 */
import type { Identifier, Resource } from '@medplum/fhirtypes';
import { Failure, type Issue, issue } from '../fhir/failure.ts';
import { uuidv7 } from '../fhir/uuid.ts';
import type { ConditionalReference, Draft, Prepared, RecordParts } from './drafts.ts';
import type { WriteRequest } from './record.ts';
import { Refusals } from './refusals.ts';
import type { Criterion, CurrentRow, Match, UnitOfWork } from './store.ts';

export type Conditions = {
  /** Drafts whose condition matched one resource, or that a new id was given. */
  readonly identities: Identities;
  /** Conditional updates that matched nothing and bring the id that they want to be created with. */
  readonly wished: readonly Draft[];
  /** The version in which each draft's condition was met. */
  readonly met: ReadonlyMap<Draft, number>;
  /** The conditional reference as it was sent → 'Type/id'. */
  readonly references: ReadonlyMap<string, string>;
};

export type Identities = ReadonlyMap<Draft, string>;

/** The search of a conditional create, update, patch or delete, in one text for all ways to write it. */
export function conditionOf({ ifNoneExist, criteria }: WriteRequest): string | undefined {
  const text = ifNoneExist ?? criteria;
  return text === undefined ? undefined : plainCriteria(text);
}

/** One text for all ways to escape and order the same parameters: conditions that mean the same exclude each other by it. */
function plainCriteria(criteria: string): string {
  const parameters = new URLSearchParams(criteria);
  parameters.sort();
  return parameters.toString();
}

const HEADERS = {
  ifMatch: 'http.If-Match',
  ifNoneMatch: 'http.If-None-Match',
  ifNoneExist: 'http.If-None-Exist',
} as const;

/** Where the sender states what must hold: in the request of an entry, or in a header; a url by itself has no place. */
export function conditionPlace({ place }: Draft, name: keyof typeof HEADERS | 'url'): string {
  const entry = /^Bundle\.entry\[\d+\]/.exec(place)?.[0];
  if (entry !== undefined) return `${entry}.request.${name}`;
  return name === 'url' ? place : HEADERS[name];
}

/** conditionPlace of the search that says which resource is meant. */
export function criteriaPlace(draft: Draft): string {
  return conditionPlace(draft, draft.request.ifNoneExist === undefined ? 'url' : 'ifNoneExist');
}

type Conditional = { readonly draft: Draft } & Criterion;

/** @throws Failure with everything that the conditions refuse */
export async function settleConditions(
  parts: RecordParts,
  unit: UnitOfWork,
  { drafts, conditional }: Prepared,
): Promise<Conditions> {
  const conditions = drafts.flatMap((draft): Conditional[] => {
    const criteria = conditionOf(draft.request);
    return criteria === undefined ? [] : [{ draft, type: draft.type, criteria }];
  });
  if (conditions.length === 0 && conditional.length === 0) {
    return { identities: new Map(), wished: [], met: new Map(), references: new Map() };
  }
  if (conditions.length > 0) await unit.lockCriteria(conditions);

  const refusals = new Refusals();
  const identities = new Map<Draft, string>();
  const met = new Map<Draft, number>();
  const deletions = conditions.filter(({ draft }) => draft.method === 'DELETE');
  const removed = await matched(unit, deletions);
  deletions.forEach(({ draft }, i) => {
    const [only] = oneOf(draft, removed[i], refusals);
    if (only === undefined) return;
    identities.set(draft, only.id);
    met.set(draft, only.version);
  });

  const others = conditions.filter(({ draft }) => draft.method !== 'DELETE');
  const deleted = deletedIds(drafts, identities);
  const found = await matched(
    unit,
    [...others, ...conditional].map((criterion) => without(criterion, deleted)),
  );
  const wished: Draft[] = [];
  others.forEach(({ draft }, i) => {
    const [only] = oneOf(draft, found[i], refusals);
    const wish = draft.method === 'PUT' ? draft.resource?.id : undefined;
    if (only !== undefined && wish !== undefined && wish !== only.id) refusals.add('invalid', otherId(draft));
    if (only === undefined && draft.method === 'PATCH') refusals.add('not-found', nothingToPatch(draft));
    if (only === undefined && wish !== undefined) wished.push(draft);
    identities.set(draft, only?.id ?? wish ?? uuidv7(parts.now()));
    if (only !== undefined) met.set(draft, only.version);
  });
  const references = conditionalTargets(conditional, found.slice(others.length), drafts, identities, refusals);
  refusals.throwIfAny();
  return { identities, wished, met, references };
}

/**
 * Whether what the conditions found is still as it was when they found it. It is locked only afterwards, so somebody may
 * have changed or deleted it meanwhile, and the conditions have to be looked up again.
 */
export function stillMet({ met }: Pick<Conditions, 'met'>, rowOf: (draft: Draft) => CurrentRow | undefined): boolean {
  return [...met].every(([draft, version]) => rowOf(draft)?.version === version);
}

async function matched(unit: UnitOfWork, criteria: readonly Criterion[]): Promise<readonly (readonly Match[])[]> {
  return criteria.length === 0 ? [] : unit.match(criteria.map(({ type, criteria }) => ({ type, criteria })));
}

function oneOf(draft: Draft, matches: readonly Match[] | undefined, refusals: Refusals): readonly Match[] {
  if (matches === undefined || matches.length <= 1) return matches ?? [];
  const diagnostics = `The condition of this ${draft.method} matches more than one ${draft.type}; nothing was changed.`;
  const message = draft.method === 'DELETE' ? 'DELETE_MULTIPLE_MATCHES' : 'UPDATE_MULTIPLE_MATCHES';
  refusals.add('precondition-failed', issue('multiple-matches', diagnostics, criteriaPlace(draft), message));
  return [];
}

/** Ids that this unit of work deletes, by type. */
function deletedIds(drafts: readonly Draft[], identities: Identities): ReadonlyMap<string, readonly string[]> {
  const deleted = new Map<string, string[]>();
  for (const draft of drafts) {
    const id = draft.method === 'DELETE' ? idOf(draft, identities) : undefined;
    if (id !== undefined) deleted.set(draft.type, [...(deleted.get(draft.type) ?? []), id]);
  }
  return deleted;
}

/** The same search as if the deletions had been done. */
function without({ type, criteria }: Criterion, deleted: ReadonlyMap<string, readonly string[]>): Criterion {
  const ids = deleted.get(type);
  return { type, criteria: ids === undefined ? criteria : `${criteria}&${ids.map((id) => `_id:not=${id}`).join('&')}` };
}

/** @see https://hl7.org/fhir/R4/http.html#patch */
function nothingToPatch(draft: Draft): Issue {
  const diagnostics = `The condition of this PATCH matches no ${draft.type}.`;
  return issue('not-found', diagnostics, criteriaPlace(draft), 'MSG_NO_MATCH');
}

/** @see https://hl7.org/fhir/R4/http.html#cond-update */
function otherId({ type, place }: Draft): Issue {
  const diagnostics = `The condition matches a ${type} with another id. Send its id, or none.`;
  return issue('value', diagnostics, `${place}.id`, 'MSG_RESOURCE_ID_MISMATCH');
}

/** The id may be another patient's: nobody's record is replaced by what its condition did not mean. */
export function refuseTaken(wished: readonly Draft[], currentRows: ReadonlyMap<string, CurrentRow>): void {
  const refusals = new Refusals();
  for (const { type, resource, place } of wished) {
    const current = currentRows.get(`${type}/${resource?.id}`);
    if (current === undefined || current.deleted) continue;
    const diagnostics = `The condition matches no ${type}, and another one has this id already. Send no id, or update by id.`;
    refusals.add('conflict', issue('conflict', diagnostics, `${place}.id`));
  }
  refusals.throwIfAny();
}

function conditionalTargets(
  conditional: readonly ConditionalReference[],
  found: readonly (readonly Match[])[],
  drafts: readonly Draft[],
  identities: Identities,
  refusals: Refusals,
): Map<string, string> {
  const meant = conditional.length === 0 ? new Map<string, readonly Draft[]>() : entriesMeant(drafts);
  const targets = new Map<string, string>();
  conditional.forEach(({ type, criteria, reference, place }, i) => {
    // Resolved as if the entries were stored already.
    const ids = new Set((found[i] as readonly Match[]).map((match) => match.id));
    for (const draft of meant.get(`${type}?${plainCriteria(criteria)}`) ?? [])
      ids.add(idOf(draft, identities) as string);
    const [id] = ids;
    if (id !== undefined && ids.size === 1) targets.set(reference, `${type}/${id}`);
    else {
      const diagnostics = `The conditional reference matches ${ids.size > 1 ? 'more than one' : 'no'} ${type}.`;
      const code = ids.size > 1 ? 'multiple-matches' : 'not-found';
      refusals.add(
        'precondition-failed',
        issue(code, diagnostics, place, ids.size > 1 ? 'SEARCH_MULTIPLE' : 'MSG_NO_MATCH'),
      );
    }
  });
  return targets;
}

/** Entries by what a conditional reference to them may say: their own condition, or one of their identifiers. */
function entriesMeant(drafts: readonly Draft[]): ReadonlyMap<string, readonly Draft[]> {
  const meant = new Map<string, Draft[]>();
  for (const draft of drafts) {
    if (draft.method === 'DELETE') continue;
    const condition = conditionOf(draft.request);
    const names = new Set(condition === undefined ? [] : [condition]);
    for (const name of identifierCriteria(draft.resource)) names.add(name);
    for (const name of names) {
      const key = `${draft.type}?${name}`;
      meant.set(key, [...(meant.get(key) ?? []), draft]);
    }
  }
  return meant;
}

/** `identifier=system|value` for each identifier that has both. */
function identifierCriteria(resource: Resource | undefined): string[] {
  const { identifier } = (resource ?? {}) as { identifier?: Identifier | Identifier[] };
  const all = Array.isArray(identifier) ? identifier : identifier === undefined ? [] : [identifier];
  return all.flatMap(({ system, value }) =>
    system === undefined || value === undefined
      ? []
      : [plainCriteria(`identifier=${encodeURIComponent(`${system}|${value}`)}`)],
  );
}

/** Known at once, or by its condition; undefined for a conditional delete that matched nothing. */
export function idOf(draft: Draft, identities: Identities): string | undefined {
  return identities.get(draft) ?? draft.id;
}

export function keyOf(draft: Draft, identities: Identities): { type: string; id: string } | undefined {
  const id = idOf(draft, identities);
  return id === undefined ? undefined : { type: draft.type, id };
}

/**
 * A transaction writes a resource once: not twice by id, nor under one condition, nor by a condition that another of its
 * entries comes to meet.
 *
 * @throws Failure `invalid`, with every entry that repeats another
 */
export function refuseTwice(drafts: readonly Draft[], identities: Identities): void {
  const refusals = new Refusals();
  const refuse = (draft: Draft, diagnostics: string) =>
    refusals.add('invalid', issue('duplicate', diagnostics, draft.place, 'MSG_TRANSACTION_DUPLICATE_ID'));
  const seen = new Set<string>();
  const isConditional = drafts.length > 1 && drafts.some((draft) => conditionOf(draft.request) !== undefined);
  const meant = isConditional ? entriesMeant(drafts) : new Map<string, readonly Draft[]>();
  for (const draft of drafts) {
    const key = idOf(draft, identities) === undefined ? undefined : `${draft.type}/${idOf(draft, identities)}`;
    const criteria = draft.method === 'DELETE' ? undefined : conditionOf(draft.request);
    const condition = criteria === undefined ? undefined : `${draft.type}?${criteria}`;
    if (key !== undefined && seen.has(key)) {
      refuse(draft, `Two entries write ${key}; a transaction may write a resource once.`);
    } else if (condition !== undefined && seen.has(condition)) {
      refuse(draft, `Two entries have the same condition for a ${draft.type}; refer to one of them by its fullUrl.`);
    } else if (condition !== undefined && meant.get(condition)?.some((other) => isAnother(other, draft, condition))) {
      refuse(draft, `Another entry writes a ${draft.type} that the condition of this one matches.`);
    }
    if (key !== undefined) seen.add(key);
    if (condition !== undefined) seen.add(condition);
  }
  refusals.throwIfAny();
}

/** Meets the condition by its identifier; one under the same condition is refused by that. */
function isAnother(other: Draft, draft: Draft, condition: string): boolean {
  return other !== draft && `${other.type}?${conditionOf(other.request)}` !== condition;
}

/** @throws Failure `precondition-failed` unless the current version is what the request's conditions ask for */
export function checkVersion(draft: Draft, current: CurrentRow | undefined): void {
  const { ifMatch, onlyNew } = draft.request;
  const isThere = current !== undefined && !current.deleted;
  if (onlyNew === true && isThere) {
    const diagnostics = `If-None-Match allows this ${draft.type} only where there is none, and there is one.`;
    throw staleVersion(diagnostics, conditionPlace(draft, 'ifNoneMatch'));
  }
  if (ifMatch === undefined) return;
  if (ifMatch === '*' ? isThere : isThere && ifMatch.includes(current.version)) return;
  const now = isThere ? `its current version is ${current.version}` : 'there is none';
  const wanted =
    ifMatch === '*' ? 'any version' : ifMatch.length === 0 ? 'no version' : `version ${ifMatch.join(', ')}`;
  const diagnostics = `If-Match names ${wanted} of this ${draft.type}, but ${now}. Read it again.`;
  throw staleVersion(diagnostics, conditionPlace(draft, 'ifMatch'));
}

function staleVersion(diagnostics: string, place: string): Failure {
  return new Failure('precondition-failed', issue('conflict', diagnostics, place, 'MSG_VERSION_AWARE_CONFLICT'));
}
