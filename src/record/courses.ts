/**
 * The clinic's rules inside a unit of work: whoever is in a KAP course has every clinical write looked at, whichever
 * way it came. The rules see the patient's record as it will be, and say what follows from it; that is written in the
 * same transaction.
 */
import type { CarePlan, PlanDefinition, Resource } from '@medplum/fhirtypes';
import { Failure, type Issue } from '../fhir/failure.ts';
import { keepDigits, parseJson } from '../fhir/json.ts';
import { uuidv7 } from '../fhir/uuid.ts';
import { hasKapCode, SYSTEM } from '../kap/codes.ts';
import { evaluateCourse } from '../kap/evaluate.ts';
import { labelled } from '../kap/labels.ts';
import { defaultPolicy, type Policy, policyOf } from '../kap/policy.ts';
import type { Refusal } from '../kap/rules/outcome.ts';
import type { Settled } from './assemble.ts';
import { type Draft, type RecordParts, rightlyMarked } from './drafts.ts';
import { RULES_ENGINE } from './rules-engine.ts';
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
  return isOurs(code) || (type ?? []).some(isOurs);
}

type Coded = { readonly coding?: readonly { readonly system?: string }[] };

function isOurs(concept: Coded | undefined): boolean {
  return concept?.coding?.some(({ system }) => system === SYSTEM.kap) ?? false;
}

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
  for (const one of settled) {
    if (one.keep || !concernsCourse(one.draft.type)) continue;
    for (const id of [patientAfter(parts, one), one.current?.patientId ?? null]) {
      if (id !== null && (inCourse.has(id) || startsCourse(one.draft.resource))) patients.add(id);
    }
  }
  return evaluatePatients(parts, unit, [...patients].sort(), settled, now);
}

/** The patient it is about once it is written; null for a deletion. */
function patientAfter(parts: RecordParts, { draft, id }: Settled): string | null {
  if (draft.resource === undefined) return null;
  return draft.type === 'Patient' ? id : parts.patientIdOf(draft.resource);
}

/** Evaluates patients' courses as they will be after this unit of work, in a fixed number of round trips. */
export async function evaluatePatients(
  parts: RecordParts,
  unit: UnitOfWork,
  patientIds: readonly string[],
  settled: readonly Settled[],
  now: Date,
): Promise<Evaluated> {
  if (patientIds.length === 0) return { settled: [], courses: [] };
  const records = await recordsOf(parts, unit, patientIds, settled);
  const rulesOf = await policiesOf(unit, [...records.values()], now);
  const written = new Map(settled.map((one) => [`${one.draft.type}/${one.id}`, one] as const));
  const refusals: Issue[] = [];
  const upserts: Resource[] = [];
  const courses: { patientId: string; nextCheckAt: string | null }[] = [];
  for (const [patientId, record] of records) {
    const evaluation = evaluateCourse({
      resources: [...record.values()],
      ...rulesOf(record),
      now,
      engine: RULES_ENGINE,
      newId: () => uuidv7(now),
      written: new Set(written.keys()),
    });
    refusals.push(...evaluation.refusals.map((refusal) => placed(refusal, written)));
    upserts.push(...evaluation.upserts);
    courses.push({ patientId, nextCheckAt: evaluation.nextCheckAt?.toISOString() ?? null });
  }
  if (refusals.length > 0) throw new Failure('business-rule', refusals);
  const set = parts.profiles.current();
  const marked = (upsert: Resource) => rightlyMarked(set, upsert);
  return { settled: await settleFindings(unit, upserts.map(marked), written, records), courses };
}

/** What is known of one patient, by 'Type/id'. */
type PatientRecord = ReadonlyMap<string, Resource>;

/** The patients' records as they will be: what is stored, with the drafts of this unit laid over it. */
async function recordsOf(
  parts: RecordParts,
  unit: UnitOfWork,
  patientIds: readonly string[],
  settled: readonly Settled[],
): Promise<ReadonlyMap<string, PatientRecord>> {
  const records = new Map(patientIds.map((id) => [id, new Map<string, Resource>()] as const));
  for (const { patientId, content } of await unit.courseResources(patientIds, RULE_TYPES)) {
    const resource = parseJson(content) as Resource;
    records.get(patientId)?.set(`${resource.resourceType}/${resource.id}`, resource);
  }
  for (const one of settled) {
    const { draft, id, current, keep } = one;
    if (keep || !concernsCourse(draft.type)) continue;
    const key = `${draft.type}/${id}`;
    if (current?.patientId) records.get(current.patientId)?.delete(key);
    const patientId = patientAfter(parts, one);
    if (patientId !== null) records.get(patientId)?.set(key, { ...(draft.resource as Resource), id });
  }
  await addConsultRoles(unit, records, settled);
  return records;
}

const ROLE_TYPES = new Set(['Practitioner', 'PractitionerRole']);

/** Who held a consult may say what they are in a resource of their own, about no patient. */
async function addConsultRoles(
  unit: UnitOfWork,
  records: ReadonlyMap<string, Map<string, Resource>>,
  settled: readonly Settled[],
): Promise<void> {
  const people = new Set([...records.values()].flatMap((record) => [...record.values()].flatMap(consultants)));
  if (people.size === 0) return;
  const stored = (await unit.roles([...people])).map((text) => parseJson(text) as Resource);
  const written = settled.flatMap(({ draft, id, keep }) =>
    draft.resource === undefined || keep || !ROLE_TYPES.has(draft.type) ? [] : [{ ...draft.resource, id }],
  );
  for (const record of records.values()) {
    for (const role of [...stored, ...written]) record.set(`${role.resourceType}/${role.id}`, role);
  }
}

function consultants(resource: Resource): string[] {
  if (resource.resourceType !== 'Encounter' || !resource.type?.some((each) => hasKapCode(each, 'kap-consult')))
    return [];
  return (resource.participant ?? []).flatMap(({ individual }) => individual?.reference ?? []);
}

type CourseRules = { readonly policy: Policy; readonly policies: ReadonlyMap<string, Policy> };

/** The policies of the protocol versions that the patients' courses follow; a later version does not change them. */
async function policiesOf(
  unit: UnitOfWork,
  records: readonly PatientRecord[],
  now: Date,
): Promise<(record: PatientRecord) => CourseRules> {
  const canonicals = new Set(records.flatMap(protocolsOf));
  const texts = canonicals.size === 0 ? new Map<string, string>() : await unit.planDefinitions([...canonicals]);
  const policies = new Map(
    [...texts].map(([canonical, text]) => [canonical, policyOf(parseJson(text) as PlanDefinition, now)] as const),
  );
  return (record) => ({ policy: policies.get(protocolsOf(record)[0] ?? '') ?? defaultPolicy, policies });
}

/** Canonicals of the protocols that the patient's plans of care follow, that of the running one first. */
function protocolsOf(record: PatientRecord): string[] {
  const plans = [...record.values()].filter((resource): resource is CarePlan => resource.resourceType === 'CarePlan');
  const running = plans.filter(({ status }) => status === 'active');
  return [...running, ...plans].flatMap(({ instantiatesCanonical }) => instantiatesCanonical?.[0] ?? []);
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
  records: ReadonlyMap<string, PatientRecord>,
): Promise<Settled[]> {
  const isStored = (key: string): boolean => [...records.values()].some((record) => record.has(key));
  const stored: Resource[] = [];
  const added: Settled[] = [];
  for (const upsert of upserts) {
    const key = `${upsert.resourceType}/${upsert.id}`;
    const own = written.get(key);
    if (own !== undefined) own.draft.resource = keepDigits(own.draft.resource as Resource, upsert);
    else if (isStored(key)) stored.push(upsert);
    else
      added.push({
        draft: findingDraft(upsert),
        id: upsert.id as string,
        current: undefined,
        keep: false,
        byService: true,
      });
  }
  if (stored.length > 0) {
    const rows = await unit.lockCurrent(
      stored.map(({ resourceType, id }) => ({ type: resourceType, id: id as string })),
    );
    const byKey = new Map(rows.map((row) => [`${row.type}/${row.id}`, row]));
    for (const upsert of stored) {
      const current = byKey.get(`${upsert.resourceType}/${upsert.id}`);
      added.push({ draft: findingDraft(upsert), id: upsert.id as string, current, keep: false, byService: true });
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
