/**
 * The clinic's rules inside a unit of work: whoever is in a KAP course has every clinical write looked at, whichever
 * way it came. The rules see the patient's record as it will be, and say what follows from it; that is written in the
 * same transaction.
 */
import type { CarePlan, PlanDefinition, Resource } from '@medplum/fhirtypes';
import { Failure, type Issue } from '../fhir/failure.ts';
import { keepDigits, parseJson } from '../fhir/json.ts';
import { uuidv7 } from '../fhir/uuid.ts';
import { SYSTEM } from '../kap/codes.ts';
import { evaluateCourse } from '../kap/evaluate.ts';
import { labelled } from '../kap/labels.ts';
import { defaultPolicy, type Policy, policyOf } from '../kap/policy.ts';
import type { Refusal } from '../kap/rules/outcome.ts';
import type { Settled } from './assemble.ts';
import type { Draft, RecordParts } from './drafts.ts';
import type { Change, UnitOfWork } from './store.ts';

/** The types that a rule reads or writes. */
export const RULE_TYPES = [
  'AdverseEvent',
  'CarePlan',
  'CareTeam',
  'Consent',
  'DetectedIssue',
  'Encounter',
  'EpisodeOfCare',
  'Goal',
  'MedicationAdministration',
  'MedicationRequest',
  'Observation',
  'Patient',
  'Procedure',
  'QuestionnaireResponse',
  'ServiceRequest',
  'Task',
];
const CONCERNS = new Set(RULE_TYPES);

/** Whether a write of this type can change what the rules say. */
export function concernsCourse(type: string): boolean {
  return CONCERNS.has(type);
}

const STARTS = new Set(['CarePlan', 'Encounter', 'EpisodeOfCare', 'Procedure', 'ServiceRequest']);

/** Whether a resource says that its patient is in a KAP course: it carries one of the clinic's own codes. */
export function startsCourse(resource: Resource | undefined): boolean {
  if (resource === undefined || !STARTS.has(resource.resourceType)) return false;
  if (resource.resourceType === 'CarePlan') return resource.instantiatesCanonical !== undefined;
  const { code, type } = resource as { code?: Coded; type?: readonly Coded[] };
  return hasKapCode(code) || (type ?? []).some(hasKapCode);
}

type Coded = { readonly coding?: readonly { readonly system?: string }[] };

function hasKapCode(concept: Coded | undefined): boolean {
  return concept?.coding?.some(({ system }) => system === SYSTEM.kap) ?? false;
}

/** Who wrote the findings; stored with the clinic's protocol. */
export const RULES_ENGINE = { reference: 'Device/kap-rules-engine', display: 'KAP rules engine' };

export type Evaluated = { readonly settled: readonly Settled[]; readonly courses: Change['courses'] };

/**
 * What the rules add to a unit of work: new and changed findings. Drafts of the unit that a rule completes (a score
 * gets its interpretation) are changed in place.
 *
 * @throws Failure `business-rule` when a rule refuses what is written
 */
export async function evaluateCourses(
  parts: RecordParts,
  unit: UnitOfWork,
  settled: readonly Settled[],
  inCourse: ReadonlySet<string>,
  now: Date,
): Promise<Evaluated> {
  const patients = new Set<string>();
  for (const { draft, current, keep } of settled) {
    if (keep || !concernsCourse(draft.type)) continue;
    const patientId = draft.resource ? patientOf(parts, draft) : (current?.patientId ?? null);
    for (const id of [patientId, current?.patientId ?? null]) {
      if (id !== null && (inCourse.has(id) || startsCourse(draft.resource))) patients.add(id);
    }
  }
  const found: Settled[] = [];
  const courses: { patientId: string; nextCheckAt: string | null }[] = [];
  for (const patientId of [...patients].sort()) {
    const course = await evaluatePatient(parts, unit, patientId, settled, now);
    found.push(...course.settled);
    courses.push({ patientId, nextCheckAt: course.nextCheckAt });
  }
  return { settled: found, courses };
}

function patientOf(parts: RecordParts, draft: Draft): string | null {
  return draft.type === 'Patient' ? (draft.id ?? null) : parts.patientIdOf(draft.resource as Resource);
}

/** Evaluates one patient's course as it will be after this unit of work. */
export async function evaluatePatient(
  parts: RecordParts,
  unit: UnitOfWork,
  patientId: string,
  settled: readonly Settled[],
  now: Date,
): Promise<{ settled: Settled[]; nextCheckAt: string | null }> {
  const resources = await recordOf(parts, unit, patientId, settled);
  const policy = await policyFor(unit, [...resources.values()]);
  const written = new Map(settled.map((one) => [`${one.draft.type}/${one.id}`, one] as const));
  const evaluation = evaluateCourse({
    resources: [...resources.values()],
    policy,
    now,
    engine: RULES_ENGINE,
    newId: () => uuidv7(now),
    written: new Set(written.keys()),
  });
  if (evaluation.refusals.length > 0) {
    throw new Failure(
      'business-rule',
      evaluation.refusals.map((refusal) => placed(refusal, written)),
    );
  }
  const added = await settleFindings(unit, evaluation.upserts, written, resources);
  return { settled: added, nextCheckAt: evaluation.nextCheckAt?.toISOString() ?? null };
}

/** The patient's record as it will be: what is stored, with the drafts of this unit laid over it. */
async function recordOf(
  parts: RecordParts,
  unit: UnitOfWork,
  patientId: string,
  settled: readonly Settled[],
): Promise<Map<string, Resource>> {
  const resources = new Map<string, Resource>();
  for (const text of await unit.courseResources(patientId, RULE_TYPES)) {
    const resource = parseJson(text) as Resource;
    resources.set(`${resource.resourceType}/${resource.id}`, resource);
  }
  for (const { draft, id, keep } of settled) {
    if (keep || !concernsCourse(draft.type)) continue;
    const key = `${draft.type}/${id}`;
    const stays =
      draft.resource !== undefined && (draft.type === 'Patient' ? id : patientOf(parts, draft)) === patientId;
    if (stays) resources.set(key, { ...(draft.resource as Resource), id });
    else resources.delete(key);
  }
  return resources;
}

/** The policy of the protocol version that the running course follows; a later version does not change it. */
async function policyFor(unit: UnitOfWork, resources: readonly Resource[]): Promise<Policy> {
  const plans = resources.filter((resource): resource is CarePlan => resource.resourceType === 'CarePlan');
  const plan = plans.find(({ status }) => status === 'active') ?? plans[0];
  const canonical = plan?.instantiatesCanonical?.[0];
  if (canonical === undefined) return defaultPolicy;
  const [url, version] = canonical.split('|') as [string, string?];
  const text = await unit.planDefinition(url, version ?? null);
  return text === undefined ? defaultPolicy : policyOf(parseJson(text) as PlanDefinition);
}

/** A refusal, at the place of the resource in the request. */
function placed(
  { severity, code, diagnostics, resource, expression }: Refusal,
  written: ReadonlyMap<string, Settled>,
): Issue {
  const place = written.get(resource)?.draft.place;
  const dot = expression.indexOf('.');
  const inRequest = place === undefined || dot < 0 ? (place ?? expression) : place + expression.slice(dot);
  return { severity, code, diagnostics, expression: inRequest };
}

async function settleFindings(
  unit: UnitOfWork,
  upserts: readonly Resource[],
  written: ReadonlyMap<string, Settled>,
  resources: ReadonlyMap<string, Resource>,
): Promise<Settled[]> {
  const stored: Resource[] = [];
  const added: Settled[] = [];
  for (const upsert of upserts) {
    const key = `${upsert.resourceType}/${upsert.id}`;
    const own = written.get(key);
    if (own !== undefined) own.draft.resource = keepDigits(own.draft.resource as Resource, upsert);
    else if (resources.has(key)) stored.push(upsert);
    else added.push({ draft: findingDraft(upsert), id: upsert.id as string, current: undefined, keep: false });
  }
  if (stored.length > 0) {
    const rows = await unit.lockCurrent(
      stored.map(({ resourceType, id }) => ({ type: resourceType, id: id as string })),
    );
    const byKey = new Map(rows.map((row) => [`${row.type}/${row.id}`, row]));
    for (const upsert of stored) {
      const current = byKey.get(`${upsert.resourceType}/${upsert.id}`);
      added.push({ draft: findingDraft(upsert), id: upsert.id as string, current, keep: false });
    }
  }
  return added;
}

function findingDraft(resource: Resource): Draft {
  const labels = labelled(resource);
  if ('issues' in labels) throw new Error(`a rule made a ${resource.resourceType} with wrong labels`);
  const type = resource.resourceType;
  return {
    request: { method: 'PUT', type, place: type },
    method: 'PUT',
    type,
    place: type,
    id: resource.id,
    resource: labels.resource,
  };
}
