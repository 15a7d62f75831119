/**
 * PATCH inside a unit of work: once the current version is locked, the patch makes the next one from it, which from
 * then on is what an update brought.
 *
 * @see https://hl7.org/fhir/R4/http.html#patch
 */
import type { Resource } from '@medplum/fhirtypes';
import { Failure, type Issue, issue, refusalOf } from '../fhir/failure.ts';
import { parseJson } from '../fhir/json.ts';
import { rewriteReferences } from '../fhir/references.ts';
import type { ProfileSet } from './clinic-profiles.ts';
import { applyClinicRules, type Draft, errorsIn, type Prepared, type RecordParts } from './drafts.ts';
import { collectReferences } from './links.ts';
import { withoutMark } from './profile-rules.ts';
import { Refusals } from './refusals.ts';
import type { CurrentRow } from './store.ts';

export type Patched = {
  readonly drafts: readonly Draft[];
  /** Resources that a patch refers to and that its resource did not refer to before. */
  readonly existing: Prepared['existing'];
};

/**
 * Gives each PATCH of the unit of work its resource.
 *
 * @param currentOf the locked row of a draft; its version has been checked against If-Match
 * @throws Failure `not-found` or `deleted` where there is nothing to patch, `invalid` or `business-rule` when the patch
 * cannot be applied or what it makes is refused
 */
export function applyPatches(
  parts: RecordParts,
  { set, drafts, byFullUrl }: Prepared,
  currentOf: (draft: Draft) => CurrentRow | undefined,
): Patched {
  const patched = drafts.filter(({ method }) => method === 'PATCH');
  if (patched.length === 0) return { drafts: [], existing: [] };
  const before = new Set<string>();
  const refusals = new Refusals();
  for (const draft of patched) {
    const row = refusals.collect(() => present(draft, currentOf(draft)));
    if (row === undefined) continue;
    const current = parseJson(row.content) as Resource;
    rewriteReferences(current, (reference) => void before.add(reference));
    const { resourceType, id } = current;
    const result = refusals.collect(() => applied(draft, current));
    if (result === undefined) continue;
    const made = withoutMark(result.value as Resource);
    const found = faultsOf(set, made, resourceType, id);
    refusals.add(kindOf(found), ...found.map((each) => placed(each, draft)));
    draft.resource = made;
  }
  refusals.throwIfAny();
  applyClinicRules(patched, drafts);
  const { conditional, existing } = collectReferences(parts, patched, byFullUrl, drafts);
  if (conditional.length > 0) {
    const diagnostics = 'A patch cannot bring a conditional reference; refer to Type/id.';
    throw new Failure(
      'invalid',
      conditional.map(({ place }) => issue('not-supported', diagnostics, place)),
    );
  }
  return { drafts: patched, existing: existing.filter(({ type, id }) => !before.has(`${type}/${id}`)) };
}

function applied(draft: Draft, current: Resource): { readonly value: unknown } {
  const { patch } = draft.request;
  try {
    return { value: patch?.(current) };
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    throw new Failure(
      error.code,
      error.issues.map((each) => placed(each, draft)),
    );
  }
}

function present({ type, place }: Draft, current: CurrentRow | undefined): CurrentRow {
  if (current === undefined) {
    throw new Failure('not-found', issue('not-found', `There is no such ${type} to patch.`, place, 'MSG_NO_EXIST'));
  }
  if (!current.deleted) return current;
  throw new Failure('deleted', issue('deleted', `This ${type} was deleted; a patch cannot revive it.`, place));
}

/** What a patch makes that R4 does not allow is no patch; what a profile does not allow is a rule that it breaks. */
function kindOf(found: readonly Issue[]): 'invalid' | 'business-rule' {
  return found.every(({ profile }) => profile !== undefined) ? refusalOf(found) : 'invalid';
}

/** All that is wrong with the result; version and time of change are the service's own to set, whatever it says. */
function faultsOf(set: ProfileSet, result: unknown, type: string, id: string | undefined): Issue[] {
  const issues = errorsIn(set, result, type);
  const { resourceType, id: newId } = (result ?? {}) as { resourceType?: unknown; id?: unknown };
  if (resourceType !== type) issues.push(issue('invalid', 'A patch cannot change the type.', `${type}.resourceType`));
  if (newId !== id) {
    const diagnostics = 'A patch cannot change or remove the id.';
    issues.push(issue('invalid', diagnostics, `${type}.id`, 'MSG_RESOURCE_ID_MISMATCH'));
  }
  return issues;
}

/** In a Bundle the place in the request is the entry's patch; where in the result it is, the words say. */
function placed(found: Issue, { place, type }: Draft): Issue {
  if (place === type || found.expression?.startsWith('Bundle.')) return found;
  return { ...found, diagnostics: `${found.diagnostics} (${found.expression}, once patched)`, expression: place };
}
