/**
 * which session integrates which infusion, how long after its end, and what is missing.
 *
 * A session that names an infusion belongs to it. Any other is matched to the latest infusion of its episode that
 * ended before it, at most `integrationMissedAfterDays` earlier, and has no session yet; where all have one it is an
 * extra session of the latest. Intervals are between instants and the window is closed at both ends. An infusion with
 * one session in the window has what the protocol asks for: its other sessions are extra and violate nothing.
 */
import { ALERT, type KapCode } from '../codes.ts';
import { type Course, type Infusion, type Key, keyOf, type Therapy } from '../course.ts';
import type { CoursePolicies } from '../course-policies.ts';
import { DAY, HOUR, hours, later, type Moment } from '../moments.ts';
import type { Policy } from '../policy.ts';
import { type Finding, fail, indeterminate, type Outcome, pass, type Refusal, refused } from './outcome.ts';

export type SessionClass = 'early' | 'in-window' | 'late' | 'during-infusion';

/** One session and the infusion it belongs to. Without `timing` the interval cannot be known. */
export type Session = {
  readonly therapy: Therapy;
  readonly infusion: Infusion;
  readonly timing:
    | { readonly known: true; readonly milliseconds: number; readonly class: SessionClass; readonly start: Moment }
    | { readonly known: false; readonly reason: string };
};

export type Matching = { readonly sessions: readonly Session[]; readonly outcomes: readonly Outcome[] };

/** Every session with its infusion. Outcomes are the refusals, and the sessions that cannot be matched. */
export function matchSessions(course: Course, policies: CoursePolicies): Matching {
  const sessions: Session[] = [];
  const outcomes: Outcome[] = [];
  const unnamed: Therapy[] = [];
  const byInfusion = new Map(course.infusions.map((infusion) => [infusion.key, infusion]));
  for (const therapy of course.therapies) {
    const stranger = therapy.names.find((name) => !course.byKey.has(name));
    if (stranger !== undefined) {
      outcomes.push(refused(strangerRefusal(therapy, stranger)));
      continue;
    }
    const infusion = namedInfusion(therapy, byInfusion) ?? infusionOfVisit(therapy, course);
    if (infusion === undefined) {
      unnamed.push(therapy);
      continue;
    }
    const timing = timingOf(therapy, infusion, policies.of(infusion.key));
    if (timing === 'before') outcomes.push(refused(beforeRefusal(therapy, infusion)));
    else sessions.push({ therapy, infusion, timing });
  }
  // Therapies come sorted by start, so an earlier session takes its infusion first.
  for (const therapy of unnamed) {
    const infusion = latestInfusion(therapy, course, sessions, policies);
    const timing = infusion === undefined ? undefined : timingOf(therapy, infusion, policies.of(infusion.key));
    if (infusion === undefined || timing === undefined || timing === 'before') {
      outcomes.push(indeterminate('R-04', therapy.key, unmatchedReason(therapy)));
    } else sessions.push({ therapy, infusion, timing });
  }
  return { sessions, outcomes };
}

/** The infusion it names; of several, the latest that began before it. */
function namedInfusion(therapy: Therapy, infusions: ReadonlyMap<Key, Infusion>): Infusion | undefined {
  const named = therapy.names.flatMap((name) => infusions.get(name) ?? []);
  const [first] = named;
  if (named.length < 2 || therapy.start === undefined) return first;
  const { at } = therapy.start;
  const begun = named.filter(({ start }) => start !== undefined && start.at <= at);
  return begun.reduce((a, b) => ((b.start?.at ?? 0) > (a.start?.at ?? 0) ? b : a), begun[0] ?? (first as Infusion));
}

/** Therapy within the visit of an infusion belongs to that infusion. */
function infusionOfVisit({ encounter }: Therapy, { infusions }: Course): Infusion | undefined {
  return encounter === undefined ? undefined : infusions.find((infusion) => infusion.encounter === encounter);
}

function latestInfusion(
  { start, episode }: Therapy,
  { infusions }: Course,
  sessions: readonly Session[],
  policies: CoursePolicies,
): Infusion | undefined {
  if (start === undefined) return undefined;
  const inReach = infusions.filter(
    (infusion) =>
      infusion.episode === episode &&
      infusion.end !== undefined &&
      infusion.end.at < start.at &&
      start.at - infusion.end.at <= policies.of(infusion.key).integrationMissedAfterDays * DAY,
  );
  const free = inReach.filter((infusion) => !sessions.some((session) => session.infusion === infusion));
  const candidates = free.length > 0 ? free : inReach;
  return candidates.reduce<Infusion | undefined>(
    (a, b) => (a === undefined || (b.end?.at ?? 0) > (a.end?.at ?? 0) ? b : a),
    undefined,
  );
}

function unmatchedReason({ start }: Therapy): string {
  return start === undefined
    ? 'the session has no start with time and offset, and names no infusion'
    : 'no infusion of the episode ended soon enough before the session';
}

function timingOf(therapy: Therapy, infusion: Infusion, policy: Policy): Session['timing'] | 'before' {
  const { start } = therapy;
  if (start === undefined) return { known: false, reason: 'the session has no start with time and offset' };
  if (infusion.start === undefined) return { known: false, reason: 'the infusion has no start with time and offset' };
  if ((therapy.end?.at ?? start.at) < infusion.start.at) return 'before';
  if (infusion.end === undefined) return { known: false, reason: 'the infusion has no end with time and offset' };
  const milliseconds = start.at - infusion.end.at;
  return { known: true, milliseconds, class: classOf(milliseconds, policy), start };
}

function classOf(milliseconds: number, policy: Policy): SessionClass {
  if (milliseconds < 0) return 'during-infusion';
  if (milliseconds < policy.integrationWindowStartHours * HOUR) return 'early';
  return milliseconds <= policy.integrationWindowEndHours * HOUR ? 'in-window' : 'late';
}

function beforeRefusal(therapy: Therapy, infusion: Infusion): Refusal {
  return {
    ...atNames(therapy),
    diagnostics:
      'Rule R-04: the session lies before the infusion that it names; correct its times or name the right infusion',
    involved: [...ownKeys(therapy), infusion.key, ...infusion.administrations.map(keyOf)],
  };
}

function strangerRefusal(therapy: Therapy, stranger: Key): Refusal {
  return {
    ...atNames(therapy),
    diagnostics:
      "Rule R-04: the session names a Procedure that is not in this patient's record; name the patient's own infusion",
    involved: [...ownKeys(therapy), stranger],
  };
}

function atNames({ namesIn }: Therapy): Pick<Refusal, 'severity' | 'code' | 'rule' | 'resource' | 'expression'> {
  return {
    severity: 'error',
    code: 'business-rule',
    rule: 'R-04',
    resource: keyOf(namesIn),
    expression: `${namesIn.resourceType}.reasonReference`,
  };
}

function ownKeys({ procedure, encounter }: Therapy): Key[] {
  return [procedure, encounter].flatMap((each) => (each === undefined ? [] : [keyOf(each)]));
}

/** What one infusion still needs, or how its session lies. */
export type Integration = {
  readonly infusion: Infusion;
  readonly outcome: Outcome;
  /** `open`: nobody has held the session although its window is over. `held`: one was held, whenever. */
  readonly overdue: 'open' | 'held' | 'no';
  /** Since when it is overdue; with `overdue` other than 'no' alone. */
  readonly since?: Moment;
  /** When this may change although nothing is written. */
  readonly checkAt?: number;
};

export function integrationOf(
  infusion: Infusion,
  sessions: readonly Session[],
  course: Course,
  policy: Policy,
  now: number,
): Integration | undefined {
  if (infusion.state === 'planned') return undefined;
  const own = sessions.filter((session) => session.infusion === infusion);
  const unknown = own.find(({ timing }) => !timing.known);
  if (own.some((session) => satisfies(session, policy))) {
    return { infusion, outcome: pass('R-04', infusion.key), ...held(infusion, policy) };
  }
  if (unknown?.timing.known === false) {
    return { infusion, outcome: indeterminate('R-04', infusion.key, unknown.timing.reason), overdue: 'no' };
  }
  if (policy.therapyModel === 'during-infusion') return duringOnly(infusion);
  const counted = own.find(({ timing }) => timing.known && timing.class !== 'during-infusion');
  if (counted !== undefined) {
    return { infusion, outcome: fail(infusion.key, outOfWindow(counted, policy)), ...held(infusion, policy) };
  }
  return unattended(infusion, course, policy, now);
}

function held(infusion: Infusion, policy: Policy): Pick<Integration, 'overdue' | 'since'> {
  return infusion.end === undefined
    ? { overdue: 'no' }
    : { overdue: 'held', since: later(infusion.end, policy.integrationWindowEndHours * HOUR) };
}

function satisfies({ timing }: Session, { therapyModel }: Policy): boolean {
  if (!timing.known) return false;
  if (timing.class === 'in-window') return therapyModel !== 'during-infusion';
  return timing.class === 'during-infusion' && therapyModel !== 'post-infusion';
}

/** Where therapy is held while the infusion runs, it is missed when the visit is over without it. */
function duringOnly(infusion: Infusion): Integration {
  const { key, end, encounter, state } = infusion;
  if (state === 'running' || end === undefined || encounter?.status !== 'finished') {
    return { infusion, outcome: indeterminate('R-04', key, 'the visit is not finished'), overdue: 'no' };
  }
  const detail = `infusion ended ${end.text}; no therapy session was held while it ran`;
  return { infusion, outcome: fail(key, missed(infusion, detail, end)), overdue: 'no' };
}

function unattended(infusion: Infusion, course: Course, policy: Policy, now: number): Integration {
  const { key, end } = infusion;
  if (end === undefined) {
    return {
      infusion,
      outcome: indeterminate('R-04', key, 'the infusion has no end with time and offset'),
      overdue: 'no',
    };
  }
  const dueBy = later(end, policy.integrationWindowEndHours * HOUR);
  const lostAt = later(end, policy.integrationMissedAfterDays * DAY);
  const next = course.infusions.find(
    (each) => each.episode === infusion.episode && each.number === infusion.number + 1,
  );
  const nextStart = next?.start;
  const overdue = now > dueBy.at ? ({ overdue: 'open', since: dueBy } as const) : ({ overdue: 'no' } as const);
  if (nextStart !== undefined && nextStart.at <= lostAt.at) {
    const detail = `infusion ended ${end.text}; the next one started ${nextStart.text} and no session was held between`;
    return {
      infusion,
      outcome: fail(key, missed(infusion, detail, nextStart, next?.key)),
      ...overdue,
      ...check(dueBy, now),
    };
  }
  if (now > lostAt.at) {
    const detail = `infusion ended ${end.text}; no session was held within ${policy.integrationMissedAfterDays} d`;
    return { infusion, outcome: fail(key, missed(infusion, detail, lostAt)), ...overdue };
  }
  return { infusion, outcome: pass('R-04', key), ...overdue, ...check(now > dueBy.at ? lostAt : dueBy, now) };
}

/** One millisecond after the end of a closed window it is over. */
function check({ at }: Moment, now: number): Pick<Integration, 'checkAt'> {
  return at >= now ? { checkAt: at + 1 } : {};
}

function outOfWindow({ therapy, infusion, timing }: Session, policy: Policy): Finding {
  if (!timing.known || infusion.end === undefined) throw new TypeError('a session without interval has no finding');
  const early = timing.class === 'early';
  const code: KapCode = early ? 'integration-early' : 'integration-late';
  const window = `${policy.integrationWindowStartHours} to ${policy.integrationWindowEndHours} h`;
  const interval = hours(timing.milliseconds, 2);
  return {
    rule: 'R-04',
    code,
    alert: early ? ALERT.timing : ALERT.startTooLate,
    severity: early ? 'low' : 'moderate',
    detail:
      `infusion ended ${infusion.end.text}; integration session started ${timing.start.text}; ` +
      `interval ${interval} h; window ${window}`,
    identified: timing.start.text,
    implicated: [infusion.key, ...ownKeys(therapy)],
    evidence: {
      code: 'infusion-to-integration-interval',
      text: `Interval ${interval} h, window ${window}`,
      ofRule: intervalIdentifier(therapy),
    },
  };
}

function missed(infusion: Infusion, detail: string, at: Moment, next?: Key): Finding {
  return {
    rule: 'R-04',
    code: 'integration-missed',
    alert: ALERT.compliance,
    severity: 'moderate',
    detail,
    identified: at.text,
    implicated: [infusion.key, ...(next === undefined ? [] : [next])],
  };
}

/** Identifier of the interval Observation of a session. */
export function intervalIdentifier({ key }: Therapy): string {
  return `R-04|${key}`;
}
