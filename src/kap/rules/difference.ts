/**
 * What the record must become, compared with what it is: only the difference is written, so that evaluating twice
 * writes once.
 *
 * Everything the rules write has one identifier for ever (`R-04|Procedure/5`). Where the author of a bundle already
 * wrote the same statement without it, that statement is taken over instead of being doubled. The rules own some
 * elements of what they write and leave all others (mitigations, notes, owners) as people set them.
 */
import type { DetectedIssue, Identifier, Observation, Reference, Resource, Task } from '@medplum/fhirtypes';
import {
  claims,
  concept,
  hasKapCode,
  type KapCode,
  type KapProfile,
  kapCoding,
  kapConcept,
  RULE_FINDING,
} from '../codes.ts';
import { type Course, compareText, type Key, keyOf, target } from '../course.ts';
import type { CoursePolicies } from '../course-policies.ts';
import { labelled } from '../labels.ts';
import { withCurrentNarrative, withNarrative } from '../narrative.ts';
import type { Finding } from './outcome.ts';

/** A resource as it is after the changes so far. Keeps the originals and gives out only what differs from them. */
export class Changes {
  readonly #originals: ReadonlyMap<Key, Resource>;
  readonly #current = new Map<Key, Resource>();
  readonly #newId: () => string;
  readonly #byRule = new Map<string, Resource>();

  constructor(originals: ReadonlyMap<Key, Resource>, newId: () => string) {
    this.#originals = originals;
    this.#newId = newId;
    for (const resource of originals.values()) {
      const value = ruleIdentifier(resource);
      // Sorted by reference: were there ever two, all evaluations agree on the first.
      if (value !== undefined && !this.#byRule.has(value)) this.#byRule.set(value, resource);
    }
  }

  get<T extends Resource>(original: T): T {
    return (this.#current.get(keyOf(original)) as T | undefined) ?? original;
  }

  /** The resource the rules wrote under this identifier. */
  written(value: string): Resource | undefined {
    const found = this.#byRule.get(value);
    return found === undefined ? undefined : this.get(found);
  }

  writtenValues(): readonly string[] {
    return [...this.#byRule.keys()];
  }

  put(resource: Resource): void {
    const key = keyOf(resource);
    const before = this.#current.get(key) ?? this.#originals.get(key);
    const lost = before === undefined ? undefined : ruleIdentifier(before);
    this.#current.set(key, resource);
    const value = ruleIdentifier(resource);
    if (lost !== undefined && lost !== value) this.#byRule.delete(lost);
    if (value !== undefined) this.#byRule.set(value, resource);
  }

  /** Stores a resource that does not exist yet, under an id of its own and with its labels. */
  create<T extends Resource>(resource: T): T {
    const labels = labelled({ ...resource, id: this.#newId() });
    if (!('resource' in labels)) throw new TypeError(`${resource.resourceType} of the rules has wrong labels`);
    this.put(labels.resource);
    return labels.resource;
  }

  /** Everything new or different, by reference. */
  upserts(): Resource[] {
    return [...this.#current]
      .filter(([key, resource]) => !isSame(this.#originals.get(key), resource))
      .map(([key, resource]) => (this.#originals.has(key) ? withCurrentNarrative(resource) : withNarrative(resource)));
  }
}

/**
 * R4 binds DetectedIssue.status to observation-status, which has `cancelled`
 * (https://hl7.org/fhir/R4/detectedissue.html); the types at hand carry the value set of R5, which has not.
 */
const CANCELLED: string = 'cancelled';

function isCancelled({ status }: DetectedIssue): boolean {
  return status === CANCELLED;
}

function ruleIdentifier(resource: Resource): string | undefined {
  const { identifier } = resource as { identifier?: Identifier | Identifier[] };
  const list = Array.isArray(identifier) ? identifier : [];
  return list.find(({ system }) => system === RULE_FINDING)?.value;
}

/** Whether two JSON values say the same; the order of properties does not matter, an absent one is undefined. */
export function isSame(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) || Array.isArray(b)) {
    return Array.isArray(a) && Array.isArray(b) && a.length === b.length && a.every((each, i) => isSame(each, b[i]));
  }
  const [left, right] = [a as Record<string, unknown>, b as Record<string, unknown>];
  const names = new Set([...Object.keys(left), ...Object.keys(right)]);
  for (const name of names) if (!isSame(left[name], right[name])) return false;
  return true;
}

export function referenceTo(key: Key): Reference<never> {
  return { reference: key };
}

function identified(value: string, existing?: readonly Identifier[]): Identifier[] {
  const own = { system: RULE_FINDING, value };
  if (existing === undefined) return [own];
  return existing.some((each) => each.system === RULE_FINDING) ? [...existing] : [...existing, own];
}

/** An Observation of the rules. `owned` holds every element that follows from the facts. */
export type WantedObservation = {
  readonly value: string;
  /** What one of our own making claims; what an author wrote keeps the author's claims. */
  readonly profile?: KapProfile;
  readonly owned: Omit<Observation, 'resourceType' | 'status' | 'id' | 'meta' | 'identifier' | 'subject'>;
  /** Whether a statement of the author is this one. */
  readonly isSameStatement: (authored: Observation) => boolean;
};

/**
 * The Observation that now makes the statement: the rules' own, the author's, or a new one. Where the author states it
 * after the rules did, the author's stands and the rules' own is withdrawn, so that the chart says it once.
 */
export function settleObservation(
  wanted: WantedObservation,
  course: Course,
  changes: Changes,
  subject: Reference<never>,
): Observation {
  const own = changes.written(wanted.value);
  const authored = course.observations.find(
    (each) => ruleIdentifier(each) === undefined && wanted.isSameStatement(each),
  );
  const existing = authored ?? (own?.resourceType === 'Observation' ? own : undefined);
  if (existing === undefined) {
    return changes.create<Observation>({
      resourceType: 'Observation',
      ...(wanted.profile === undefined ? {} : { meta: { profile: claims(wanted.profile) } }),
      identifier: identified(wanted.value),
      status: 'final',
      ...wanted.owned,
      subject,
    });
  }
  if (authored !== undefined && own?.resourceType === 'Observation') giveWay(own, changes);
  if (existing === authored && agrees(existing, wanted.owned)) return existing;
  const { valueQuantity: _value, dataAbsentReason: _reason, interpretation: _said, ...rest } = existing;
  const merged: Observation = {
    ...rest,
    ...wanted.owned,
    identifier: identified(wanted.value, existing.identifier ?? []),
  };
  const stands = existing.status !== 'entered-in-error' && existing.status !== 'cancelled' && isSame(existing, merged);
  const settled: Observation = stands ? existing : { ...merged, status: 'corrected' };
  changes.put(settled);
  return settled;
}

/** The rules' own statement, withdrawn for good: the identifier goes to the author's. */
function giveWay({ identifier, ...own }: Observation, changes: Changes): void {
  const kept = (identifier ?? []).filter(({ system }) => system !== RULE_FINDING);
  changes.put({ ...own, ...(kept.length === 0 ? {} : { identifier: kept }), status: 'entered-in-error' });
}

/** Whether the author's number is ours within its rounding, and its interpretation ours. */
function agrees(authored: Observation, owned: WantedObservation['owned']): boolean {
  const [a, b] = [authored.valueQuantity, owned.valueQuantity];
  const codes = (of: Pick<Observation, 'interpretation'>): string[] =>
    (of.interpretation ?? []).flatMap(({ coding }) => (coding ?? []).map(({ code }) => code ?? '')).sort(compareText);
  return (
    a?.value !== undefined &&
    b?.value !== undefined &&
    a.code === b.code &&
    Math.abs(a.value - b.value) < 0.01 &&
    isSame(codes(authored), codes(owned))
  );
}

/** An Observation of the rules whose facts are gone. */
export function withdrawObservation(observation: Observation, changes: Changes): void {
  if (observation.status !== 'entered-in-error') changes.put({ ...observation, status: 'entered-in-error' });
}

/** Identifier of a finding: rule, subject, and the part where there may be several. */
export function findingValue(subject: Key, { rule, part }: Finding): string {
  return part === undefined ? `${rule}|${subject}` : `${rule}|${subject}|${part}`;
}

export type Writer = {
  readonly policies: CoursePolicies;
  readonly engine: Reference;
  readonly subject: Reference<never>;
};

/**
 * The DetectedIssue of a finding. One that was cancelled becomes final again; one that a person marked as entered in
 * error stays so.
 */
export function settleFinding(
  subject: Key,
  finding: Finding,
  course: Course,
  changes: Changes,
  { policies, engine, subject: patient }: Writer,
): void {
  const value = findingValue(subject, finding);
  const own = changes.written(value);
  if (own === undefined && isAuthored(finding, course)) return;
  const { reference } = policies.of(subject);
  const { evidence, severity, detail } = finding;
  const shown = [...(evidence?.of ?? []), ...shownByRule(evidence?.ofRule, changes)];
  const owned = {
    code: concept([finding.alert, kapCoding(finding.code)]),
    severity,
    identifiedDateTime: finding.identified,
    implicated: finding.implicated.map(referenceTo),
    detail: `Rule ${finding.rule}: ${detail}`,
    ...(reference === '' ? {} : { reference }),
    ...(evidence === undefined
      ? {}
      : {
          evidence: [
            {
              code: [kapConcept(evidence.code, evidence.text)],
              ...(shown.length === 0 ? {} : { detail: shown.map(referenceTo) }),
            },
          ],
        }),
  } satisfies Partial<DetectedIssue>;
  if (own?.resourceType !== 'DetectedIssue') {
    changes.create<DetectedIssue>({
      resourceType: 'DetectedIssue',
      meta: { profile: claims('kap-rule-finding') },
      identifier: identified(value),
      status: 'final',
      patient,
      author: engine as Reference<never>,
      ...owned,
    });
    return;
  }
  if (own.status === 'entered-in-error') return;
  const { evidence: _old, ...rest } = own;
  changes.put({ ...rest, ...owned, status: isCancelled(own) ? 'final' : own.status });
}

function shownByRule(value: string | undefined, changes: Changes): readonly Key[] {
  const found = value === undefined ? undefined : changes.written(value);
  return found === undefined ? [] : [keyOf(found)];
}

/** Whether the author of the record already stated this finding about the same act. */
function isAuthored(finding: Finding, { byKey }: Course): boolean {
  const [act] = finding.implicated;
  if (finding.part !== undefined || act === undefined) return false;
  for (const resource of byKey.values()) {
    if (resource.resourceType !== 'DetectedIssue' || ruleIdentifier(resource) !== undefined) continue;
    if (isCancelled(resource) || resource.status === 'entered-in-error') continue;
    if (!hasKapCode(resource.code, finding.code)) continue;
    if (resource.implicated?.some((each) => target(each) === act)) return true;
  }
  return false;
}

/** A DetectedIssue of the rules that is no longer true. */
export function cancelFinding(issue: DetectedIssue, changes: Changes): void {
  if (isCancelled(issue) || issue.status === 'entered-in-error') return;
  changes.put({ ...issue, status: CANCELLED as DetectedIssue['status'] });
}

/** Work that a rule asks a person to do. */
export type WantedTask = {
  readonly value: string;
  readonly code: KapCode;
  /** `done`: what it asked for has happened. Then it is never created, only closed. */
  readonly state: 'open' | 'done';
  readonly priority: NonNullable<Task['priority']>;
  readonly description: string;
  readonly focus: Key;
  readonly encounter: Key | undefined;
  readonly owner: Key | undefined;
  readonly authoredOn: string;
  readonly dueBy?: string;
};

const WAITING = new Set(['draft', 'requested', 'received', 'accepted', 'ready', 'in-progress', 'on-hold']);

/**
 * The Task of a rule. While it is open the rules keep it in step with the facts; once a person has closed it, it stays
 * closed. One that the rules closed themselves opens again when its reason returns.
 */
export function settleTask(wanted: WantedTask, course: Course, changes: Changes, { engine, subject }: Writer): void {
  const own = changes.written(wanted.value);
  // Priority and words are set once: whoever works on it may change them.
  const owned = {
    focus: referenceTo(wanted.focus),
    authoredOn: wanted.authoredOn,
    ...(wanted.encounter === undefined ? {} : { encounter: referenceTo(wanted.encounter) }),
    ...(wanted.dueBy === undefined ? {} : { restriction: { period: { end: wanted.dueBy } } }),
  } satisfies Partial<Task>;
  if (own?.resourceType !== 'Task') {
    if (wanted.state === 'done' || isAsked(wanted, course)) return;
    changes.create<Task>({
      resourceType: 'Task',
      identifier: identified(wanted.value),
      status: 'requested',
      intent: 'order',
      priority: wanted.priority,
      code: kapConcept(wanted.code),
      description: wanted.description,
      for: subject,
      requester: engine as Reference<never>,
      ...(wanted.owner === undefined ? {} : { owner: referenceTo(wanted.owner) }),
      ...owned,
    });
    return;
  }
  if (WAITING.has(own.status)) {
    if (wanted.state === 'done') closeTask(own, 'completed', changes);
    else changes.put({ ...own, ...owned });
  } else if (wanted.state === 'open' && isClosedByRule(own)) {
    const { businessStatus: _closed, ...rest } = own;
    changes.put({ ...rest, ...owned, status: 'requested' });
  }
}

/** A Task of the rules whose reason is gone. */
export function closeTask(task: Task, status: 'completed' | 'cancelled', changes: Changes): void {
  if (WAITING.has(task.status)) changes.put({ ...task, status, businessStatus: kapConcept('closed-by-rule') });
}

function isClosedByRule({ businessStatus }: Task): boolean {
  return hasKapCode(businessStatus, 'closed-by-rule');
}

/** Whether somebody already asks the same of the same person, or of nobody in particular. */
function isAsked(wanted: WantedTask, { byKey }: Course): boolean {
  for (const resource of byKey.values()) {
    if (resource.resourceType !== 'Task' || ruleIdentifier(resource) !== undefined) continue;
    if (resource.status === 'entered-in-error' || !hasKapCode(resource.code, wanted.code)) continue;
    if (target(resource.focus) !== wanted.focus) continue;
    const owner = target(resource.owner);
    if (owner === undefined || wanted.owner === undefined || owner === wanted.owner) return true;
  }
  return false;
}
