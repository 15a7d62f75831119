/**
 * What a write request becomes before anything is looked up: validated, labelled, with an id where one can be given,
 * and with everything listed that must be looked up first.
 */
import type { Resource } from '@medplum/fhirtypes';
import { Failure, type Issue, issue, refusalOf } from '../fhir/failure.ts';
import { keepDigits, parseJson } from '../fhir/json.ts';
import { uuidv7 } from '../fhir/uuid.ts';
import { type Beside, besides } from '../fhir/validation/beside.ts';
import { EXTENSION } from '../kap/codes.ts';
import { isPsychotherapyNote, labelled, psychotherapyNotesAmong } from '../kap/labels.ts';
import { policyIssues } from '../kap/policy.ts';
import type { ProfileSet } from './clinic-profiles.ts';
import type { Draft, Prepared, RecordParts } from './draft.ts';
import { collectReferences, fullUrlsOf } from './links.ts';
import { hasMark, newFaults, refusedByProfiles, withoutMark } from './profile-rules.ts';
import type { WriteRequest } from './record.ts';
import type { Tolerance } from './tolerance.ts';

export type { ConditionalReference, Draft, Prepared, RecordParts } from './draft.ts';

/**
 * Checks everything that can be checked without the database, all requests at once.
 *
 * A unit of work of several requests states a linked graph, so each of its references must lead somewhere: to another
 * entry, to a stored resource, or out of this service. A single write may refer to what is not here yet.
 *
 * @param set of the profiles that the resources are held to
 * @throws Failure `invalid` (no valid FHIR) or `business-rule` (invariants, profiles and the clinic's rules alone), with
 * every issue
 */
export function prepare(
  parts: RecordParts,
  requests: readonly WriteRequest[],
  set: ProfileSet,
  tolerance: Tolerance = {},
): Prepared {
  const issues: Issue[] = [];
  const wellFormed: Draft[] = [];
  const door: Door = { parts, set, beside: besideOf(requests, tolerance) };
  const unmet = new Map<Draft, readonly Issue[]>();
  const drafts = requests.map((request) => {
    const found: Issue[] = [];
    const draft = draftOf(door, request, found);
    const ofProfiles = found.filter(isOfProfile);
    if (ofProfiles.length > 0) unmet.set(draft, ofProfiles);
    const ofFhir = ofProfiles.length === 0 ? found : found.filter((each) => !isOfProfile(each));
    if (!ofFhir.some(({ code }) => code === 'structure' || code === 'required')) wellFormed.push(draft);
    issues.push(...ofFhir);
    return draft;
  });
  // The clinic's rules read resources of the right shape; what they find is said together with the rest.
  const broken = clinicRuleIssues(wellFormed, wellFormed);
  for (const [draft, found] of unmet) {
    issues.push(...refusing(draft, onceLabelled(door, draft, found), set, tolerance));
  }
  if (issues.length > 0) throw new Failure(refusalOf(issues), [...issues, ...broken]);
  if (broken.length > 0) throw new Failure('business-rule', broken);
  const byFullUrl = fullUrlsOf(drafts, parts.baseUrls);
  const linked = collectReferences(parts, drafts, byFullUrl);
  return { set, drafts, byFullUrl, ...linked };
}

/**
 * Looks again at drafts that were checked with another set of profiles. Those of patches are looked at when they are made.
 *
 * @throws Failure `business-rule` with every issue
 */
export function prepareAgain(prepared: Prepared, set: ProfileSet, tolerance: Tolerance = {}): Prepared {
  const { drafts } = prepared;
  const requests = drafts.map(({ request, resource }) => (resource === undefined ? request : { ...request, resource }));
  const beside = besideOf(requests, tolerance);
  const issues = drafts.flatMap((draft) => {
    if (draft.resource === undefined) return [];
    const found = errorsIn(set, draft.resource, draft.place, besideDraft(draft.request, beside)).filter(isOfProfile);
    return refusing(draft, found, set, tolerance);
  });
  if (issues.length > 0) throw new Failure('business-rule', issues);
  return { ...prepared, set };
}

/** What resources are checked with when they come in. */
type Door = { readonly parts: RecordParts; readonly set: ProfileSet; readonly beside: Beside | undefined };

function isOfProfile({ profile }: Issue): boolean {
  return profile !== undefined;
}

/** What the profiles find and nobody tolerates. */
function refusing(draft: Draft, found: readonly Issue[], set: ProfileSet, { leniency, followed }: Tolerance) {
  const before = followed?.get(`${draft.type}/${draft.id}`);
  if (before === undefined || found.length === 0) return refusedByProfiles(draft, found, set, leniency);
  const stored = parseJson(before.content) as Resource;
  const known = errorsIn(set, stored, draft.place).filter(isOfProfile);
  return refusedByProfiles(draft, newFaults(draft, found, { resource: stored, faults: known }), set, leniency);
}

/**
 * The resources of a unit of work may refer to each other. What an operation of ours changes of a stored one is left out:
 * who refers to it refers to what is stored, as in any other unit of work.
 */
function besideOf(requests: readonly WriteRequest[], { computed }: Tolerance): Beside | undefined {
  if (requests.length < 2) return undefined;
  return besides(
    requests.flatMap(({ method, id, resource, fullUrl }) => {
      const isStored = computed === true && method === 'PUT' && id !== undefined;
      return resource === undefined || isStored ? [] : [{ resource, ...(fullUrl === undefined ? {} : { fullUrl }) }];
    }),
  );
}

function besideDraft({ fullUrl }: WriteRequest, beside: Beside | undefined): CheckedBeside {
  return { ...(beside === undefined ? {} : { beside }), ...(fullUrl === undefined ? {} : { fullUrl }) };
}

type CheckedBeside = { readonly beside?: Beside; readonly fullUrl?: string };

/** A profile may ask for the labels that the clinic's rules have put on by now. */
function onceLabelled({ set, beside }: Door, draft: Draft, found: readonly Issue[]): readonly Issue[] {
  const { request, resource, place } = draft;
  if (resource === undefined || resource === request.resource) return found;
  return errorsIn(set, resource, place, besideDraft(request, beside)).filter(isOfProfile);
}

function draftOf({ parts, set, beside }: Door, request: WriteRequest, issues: Issue[]): Draft {
  const { method, type, place } = request;
  const draft: Draft = { request, method, type, place, id: request.id, resource: undefined };
  if (type === 'AuditEvent') {
    throw new Failure(
      'method-not-allowed',
      issue('not-supported', 'AuditEvents are written by the service alone.', place),
    );
  }
  // What a patch makes is known when the current version is.
  if (method === 'DELETE' || method === 'PATCH') return draft;
  issues.push(...errorsIn(set, request.resource, place, besideDraft(request, beside)));
  issues.push(...mismatches(request, request.resource));
  if (method === 'PUT') issues.push(...subsetIssues(request.resource, place));
  draft.resource = request.resource && withoutMark(request.resource);
  if (method === 'POST' && request.ifNoneExist === undefined) draft.id = uuidv7(parts.now());
  return draft;
}

/**
 * A part of a resource must not take the place of the whole: what `_summary` and `_elements` leave out would be lost.
 *
 * @see https://hl7.org/fhir/R4/search.html#summary
 */
function subsetIssues(resource: Resource | undefined, place: string): Issue[] {
  const tags: unknown = resource?.meta?.tag;
  if (!Array.isArray(tags)) return [];
  return tags.flatMap((tag: { code?: unknown } | null, i) => {
    if (tag?.code !== 'SUBSETTED') return [];
    const diagnostics = 'This is a part of a resource (SUBSETTED). Read it whole, change that, and send it again';
    return [issue('business-rule', diagnostics, `${place}.meta.tag[${i}]`)];
  });
}

/** Everything that refuses a resource; what is only worth a warning does not. */
export function errorsIn(
  { validator }: ProfileSet,
  resource: unknown,
  place: string,
  among: CheckedBeside = {},
): Issue[] {
  return validator.check(resource, { place, ...among }).filter(({ severity }) => severity !== 'warning');
}

/** The tag of an import does not outlive the fault: a rule may have mended it. */
export function rightlyMarked(set: ProfileSet, resource: Resource): Resource {
  if (!hasMark(resource) || errorsIn(set, resource, resource.resourceType).some(isOfProfile)) return resource;
  return withoutMark(resource);
}

/**
 * The labels that every clinical resource carries, and a protocol whose policy can be read.
 *
 * @param among all drafts of the unit of work, where psychotherapy notes are looked for
 * @throws Failure `business-rule`
 */
export function applyClinicRules(drafts: readonly Draft[], among = drafts): void {
  const refused = clinicRuleIssues(drafts, among);
  if (refused.length > 0) throw new Failure('business-rule', refused);
}

/** Labels the drafts; what refuses them is returned. */
function clinicRuleIssues(drafts: readonly Draft[], among: readonly Draft[]): Issue[] {
  const refused: Issue[] = [];
  const notes = psychotherapyNotesIn(among);
  for (const draft of drafts) {
    if (draft.resource === undefined) continue;
    const labels = labelled(draft.resource, notes);
    const found = 'issues' in labels ? labels.issues : policyFindings(draft.resource);
    refused.push(...found.map((issue) => ({ ...issue, expression: placeWithin(issue.expression, draft.place) })));
    if ('resource' in labels) draft.resource = keepDigits(draft.resource, labels.resource);
  }
  return refused;
}

function psychotherapyNotesIn(drafts: readonly Draft[]): ReadonlySet<string> {
  const documents = drafts.filter(({ type, resource }) => type === 'DocumentReference' && resource !== undefined);
  const notes = new Set(psychotherapyNotesAmong(documents.map(({ resource }) => resource as Resource)));
  // Entries know each other by fullUrl as long as they have no id.
  for (const { resource, request } of documents) {
    if (request.fullUrl !== undefined && isPsychotherapyNote(resource as Resource)) notes.add(request.fullUrl);
  }
  return notes;
}

function policyFindings(resource: Resource): readonly Issue[] {
  const isProtocol =
    resource.resourceType === 'PlanDefinition' &&
    resource.extension?.some(({ url }) => url === EXTENSION.policyParameter);
  return isProtocol ? policyIssues(resource) : [];
}

/** What url and body say differently. */
function mismatches({ method, type, id, place }: WriteRequest, resource: Resource | undefined): Issue[] {
  if (resource?.resourceType !== undefined && resource.resourceType !== type) {
    const diagnostics = `The url says ${type}, the resource is another type.`;
    return [issue('invalid', diagnostics, `${place}.resourceType`, 'MSG_RESOURCE_TYPE_MISMATCH')];
  }
  if (method === 'PUT' && id !== undefined && resource?.id !== id) {
    const message = resource?.id === undefined ? 'MSG_RESOURCE_ID_MISSING' : 'MSG_RESOURCE_ID_MISMATCH';
    return [issue('invalid', 'The resource must have the id that the url names.', `${place}.id`, message)];
  }
  return [];
}

/** A place that begins with the type, moved to where the resource stands in the request. */
function placeWithin(expression: string | undefined, place: string): string {
  const dot = expression?.indexOf('.') ?? -1;
  return dot < 0 ? place : place + (expression as string).slice(dot);
}
