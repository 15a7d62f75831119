/**
 * The rules of a course, evaluated on one patient's record as it is after a write: what the write must be refused for,
 * and what the record must gain or change so that it states everything the rules find.
 *
 * The result is a difference. Evaluating the record with the upserts in it gives none, so it does not matter how often,
 * or after which of several writes, the rules run. The order of the resources does not matter either. An outcome that
 * is indeterminate changes nothing: a finding is neither made nor withdrawn on missing input. Only when the very facts
 * that it names are deleted or entered in error is it withdrawn.
 */
import type { Reference, Resource } from '@medplum/fhirtypes';
import { type Course, courseOf, type Infusion, type Key, target } from './course.ts';
import { coursePolicies } from './course-policies.ts';
import type { Policy } from './policy.ts';
import { pressureBeforeStart, pressureDuringInfusion } from './rules/blood-pressure.ts';
import { providerConsult, treatmentConsent } from './rules/clearance.ts';
import {
  Changes,
  cancelFinding,
  closeTask,
  findingValue,
  settleFinding,
  settleObservation,
  settleTask,
  type WantedTask,
  type Writer,
  withdrawObservation,
} from './rules/difference.ts';
import { dosesOf } from './rules/dose.ts';
import { backwardPeriods, infusionDuration, infusionInterval } from './rules/infusion-timing.ts';
import { integrationOf, matchSessions, type Session } from './rules/integration-window.ts';
import { monitoringGaps } from './rules/monitoring.ts';
import { settleOrders } from './rules/orders.ts';
import type { Outcome, Refusal } from './rules/outcome.ts';
import { ratingsOf } from './rules/scores.ts';
import {
  intervalObservation,
  percentChangeObservation,
  settleGoals,
  settleInterpretations,
} from './rules/statements.ts';
import { suicidalityOf } from './rules/suicidality.ts';
import { overdueTasks, stopTasks, suicidalityTasks } from './rules/tasks.ts';

export type EvaluationInput = {
  /** The current resources of one patient after the write, each with resourceType and id, references as `Type/id`. */
  readonly resources: readonly Resource[];
  /** Of the course that runs. */
  readonly policy: Policy;
  /**
   * Of the protocols that the patient's plans of care follow, by their canonical: an infusion stays judged by the one of
   * its own plan when the patient begins another course. Without an entry the running course's policy counts.
   */
  readonly policies?: ReadonlyMap<string, Policy>;
  readonly now: Date;
  /** The Device that authors what the rules write. */
  readonly engine: Reference;
  /** An id for a resource that does not exist yet; asked in a fixed order. */
  readonly newId: () => string;
  /**
   * `Type/id` of what is being written. When given, only these are refused: a fault that is already in the record must
   * not block every later write of the patient.
   */
  readonly written?: ReadonlySet<Key>;
};

export type Evaluation = {
  readonly refusals: readonly Refusal[];
  /** New and changed resources, whole. Empty when there are refusals. */
  readonly upserts: readonly Resource[];
  /** What every rule said, for reports and for the answer of an operation. */
  readonly outcomes: readonly Outcome[];
  /** When the rules may say something else although nothing is written. */
  readonly nextCheckAt?: Date;
};

export function evaluateCourse(input: EvaluationInput): Evaluation {
  const { policy, written } = input;
  const now = input.now.getTime();
  const course = courseOf(input.resources);
  const policies = coursePolicies(course, policy, input.policies ?? new Map());
  const matching = matchSessions(course, policies);
  const integrations = course.infusions.flatMap(
    (infusion) => integrationOf(infusion, matching.sessions, course, policies.of(infusion.key), now) ?? [],
  );
  const ratings = ratingsOf(course, policy);
  const suicidality = suicidalityOf(course, policy, now);
  const outcomes: readonly Outcome[] = [
    ...backwardPeriods(course),
    ...matching.outcomes,
    ...course.infusions.flatMap((infusion) => outcomesOf(infusion, course, policies.of(infusion.key))),
    ...integrations.map(({ outcome }) => outcome),
    ...dosesOf(course, policies),
    ...ratings.outcomes,
    ...suicidality.outcomes,
  ];
  const refusals = refusalsOf(outcomes, written);
  if (refusals.length > 0) return { refusals, upserts: [], outcomes };

  const changes = new Changes(course.byKey, input.newId);
  if (course.patient !== undefined) {
    const writer: Writer = { policies, engine: input.engine, subject: { reference: course.patient } };
    settleStatements(course, matching.sessions, ratings.changes, changes, writer, outcomes);
    const undecided = undecidedScopes(course, outcomes, changes);
    settleFindings(course, outcomes, undecided, changes, writer);
    const tasks = [
      ...overdueTasks(integrations, course),
      ...stopTasks(course, outcomes),
      ...suicidalityTasks(suicidality.alarms, course, policy),
    ];
    settleTasks(tasks, undecided, course, changes, writer);
    settleOrders(course, matching.sessions, changes, policies);
    settleInterpretations(course, ratings.overlapping, suicidality.positive, changes, policy);
    settleGoals(course, ratings.changes, changes, policy);
  }
  const checks = [...integrations.flatMap(({ checkAt }) => checkAt ?? []), ...suicidality.checkAt];
  return {
    refusals: [],
    upserts: changes.upserts(),
    outcomes,
    ...(checks.length === 0 ? {} : { nextCheckAt: new Date(Math.min(...checks)) }),
  };
}

function outcomesOf(infusion: Infusion, course: Course, policy: Policy): readonly Outcome[] {
  if (infusion.state === 'planned') return [pressureBeforeStart(infusion, policy)];
  return [
    treatmentConsent(infusion, course, policy),
    providerConsult(infusion, course, policy),
    infusionDuration(infusion, policy),
    pressureBeforeStart(infusion, policy),
    pressureDuringInfusion(infusion, policy),
    monitoringGaps(infusion, policy),
    infusionInterval(infusion, course, policy),
  ].filter((outcome) => outcome !== undefined);
}

function refusalsOf(outcomes: readonly Outcome[], written: ReadonlySet<Key> | undefined): readonly Refusal[] {
  return outcomes
    .flatMap((outcome) => (outcome.result === 'refused' ? outcome.refusals : []))
    .filter(({ involved }) => written === undefined || involved.some((key) => written.has(key)));
}

function settleStatements(
  course: Course,
  sessions: readonly Session[],
  percentChanges: ReturnType<typeof ratingsOf>['changes'],
  changes: Changes,
  { policies, engine, subject }: Writer,
  outcomes: readonly Outcome[],
): void {
  const wanted = [
    ...sessions.map((session) => intervalObservation(session, policies.of(session.infusion.key), engine)),
    ...percentChanges.map((change) => percentChangeObservation(change, engine)),
  ];
  const values = new Set(wanted.map(({ value }) => value));
  for (const each of wanted) settleObservation(each, course, changes, subject);
  // A number without its facts is withdrawn even where the rule is undecided; only a refused fact leaves it alone.
  const refused = scopesOf(outcomes.filter(({ result }) => result === 'refused'));
  for (const value of changes.writtenValues()) {
    const found = changes.written(value);
    if (found?.resourceType !== 'Observation' || values.has(value) || refused.has(value)) continue;
    withdrawObservation(found, changes);
  }
}

function settleFindings(
  course: Course,
  outcomes: readonly Outcome[],
  undecided: ReadonlySet<string>,
  changes: Changes,
  writer: Writer,
): void {
  const wanted = new Set<string>();
  for (const outcome of outcomes) {
    if (outcome.result !== 'fail') continue;
    for (const finding of outcome.findings) {
      wanted.add(findingValue(outcome.subject, finding));
      settleFinding(outcome.subject, finding, course, changes, writer);
    }
  }
  for (const value of changes.writtenValues()) {
    const found = changes.written(value);
    if (found?.resourceType !== 'DetectedIssue' || wanted.has(value) || undecided.has(scopeOf(value))) continue;
    cancelFinding(found, changes);
  }
}

function settleTasks(
  tasks: readonly WantedTask[],
  undecided: ReadonlySet<string>,
  course: Course,
  changes: Changes,
  writer: Writer,
): void {
  const values = new Set(tasks.map(({ value }) => value));
  for (const task of tasks) settleTask(task, course, changes, writer);
  for (const value of changes.writtenValues()) {
    const found = changes.written(value);
    if (found?.resourceType !== 'Task' || values.has(value) || undecided.has(scopeOf(value))) continue;
    closeTask(found, 'cancelled', changes);
  }
}

/** `R-07|Procedure/5` of `R-07|Procedure/5|during|…`. */
function scopeOf(value: string): string {
  return value.split('|', 2).join('|');
}

/**
 * Where what stands stays, because the rule cannot decide. A finding that rests on a fact which was deleted or entered
 * in error is not kept for that: nothing shows it any more.
 */
function undecidedScopes({ byKey }: Course, outcomes: readonly Outcome[], changes: Changes): ReadonlySet<string> {
  const isGone = (reference: Reference): boolean => {
    const fact = byKey.get(target(reference) ?? '') as { readonly status?: string } | undefined;
    return fact === undefined || fact.status === 'entered-in-error';
  };
  const unfounded = changes.writtenValues().filter((value) => {
    const found = changes.written(value);
    return found?.resourceType === 'DetectedIssue' && found.status === 'final' && found.implicated?.some(isGone);
  });
  const scopes = new Set(scopesOf(outcomes));
  for (const value of unfounded) scopes.delete(scopeOf(value));
  return scopes;
}

/** Rule and subject of whatever could not be decided. */
function scopesOf(outcomes: readonly Outcome[]): ReadonlySet<string> {
  const scopes = new Set<string>();
  for (const outcome of outcomes) {
    if (outcome.result === 'indeterminate') scopes.add(`${outcome.rule}|${outcome.subject}`);
    if (outcome.result !== 'refused') continue;
    for (const { rule, involved } of outcome.refusals) for (const key of involved) scopes.add(`${rule}|${key}`);
  }
  return scopes;
}
