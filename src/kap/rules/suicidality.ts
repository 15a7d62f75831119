/**
 * suicidality. An answer above 0 to item 9 of the PHQ-9 calls therapist and prescriber at once and asks for a
 * C-SSRS screener of the same visit in time; a C-SSRS of moderate or high risk calls them, too, and a high one is a
 * finding.
 */
import type { Coding, Observation, ObservationComponent, QuestionnaireResponseItem } from '@medplum/fhirtypes';
import { ALERT, FREQUENCY_ANSWERS, hasCode, LOINC, SYSTEM } from '../codes.ts';
import { type Course, effectiveOf, effectiveText, type Key, keyOf, target } from '../course.ts';
import { MINUTE, type Moment, momentOf } from '../moments.ts';
import type { Policy } from '../policy.ts';
import { type Answer, fail, indeterminate, type Outcome, pass } from './outcome.ts';
import { scoreOf } from './scores.ts';

/** Somebody must look at once. */
export type Alarm = Source & { readonly reason: string };

/** Where something was said, in which visit and when. */
type Source = {
  readonly key: Key;
  readonly visit: Key | undefined;
  /** As written: may be a date without time. */
  readonly at: string | undefined;
};

export type Suicidality = {
  readonly outcomes: readonly Outcome[];
  readonly alarms: readonly Alarm[];
  /** Scores that get the interpretation `suicidality-follow-up` and at least confidentiality R. */
  readonly positive: ReadonlySet<Key>;
  readonly checkAt: readonly number[];
};

type Screen = { readonly observation: Observation; readonly moment: Moment | undefined; readonly risk: Risk };
/** `unknown`: answered in a coding that nobody here can read. It outranks a low risk, because it may hide a high one. */
type Risk = 'none' | 'low' | 'unknown' | 'moderate' | 'high';

export function suicidalityOf(course: Course, policy: Policy, now: number): Suicidality {
  const outcomes: Outcome[] = [];
  const alarms: Alarm[] = [];
  const positive = new Set<Key>();
  const checkAt: number[] = [];
  const screens = screensOf(course);
  for (const { source, answer } of item9Answers(course)) {
    const { key } = source;
    if (answer === 'unknown') {
      outcomes.push(indeterminate('R-12', key, 'the answer to item 9 is in no known coding'));
    } else if (answer === 0) {
      outcomes.push(pass('R-12', key));
    } else {
      positive.add(key);
      alarms.push({ ...source, reason: 'PHQ-9 item 9 is positive' });
      const screened = screenedInTime(source, screens, policy, now);
      outcomes.push(screened.outcome);
      if (screened.checkAt !== undefined) checkAt.push(screened.checkAt);
    }
  }
  for (const { observation, risk } of screens) {
    const key = keyOf(observation);
    if (risk === 'none' || risk === 'low') {
      outcomes.push(pass('R-12', key));
      continue;
    }
    if (risk === 'unknown') {
      outcomes.push(indeterminate('R-12', key, 'an answer of the C-SSRS screener is in no known coding'));
      continue;
    }
    positive.add(key);
    alarms.push({ ...sourceOf(observation), reason: `C-SSRS screener: ${risk} risk` });
    outcomes.push(risk === 'high' ? highRisk(observation) : pass('R-12', key));
  }
  return { outcomes, alarms, positive, checkAt };
}

type Answered = { readonly source: Source; readonly answer: number | 'unknown' };

/** Every answer to item 9: from Observations, and from questionnaires of which nobody made an Observation. */
function item9Answers({ observations, responses }: Course): readonly Answered[] {
  const found: Answered[] = [];
  const scored = new Set<Key>();
  for (const observation of observations) {
    if (!hasCode(observation.code, SYSTEM.loinc, ITEM9)) continue;
    for (const each of observation.derivedFrom ?? []) scored.add(target(each) ?? '');
    const coding = observation.valueCodeableConcept?.coding ?? [];
    found.push({ source: sourceOf(observation), answer: scoreOf(observation) ?? answerCode(coding) });
  }
  for (const response of responses) {
    if (response.status === 'in-progress' || response.status === 'stopped' || scored.has(keyOf(response))) continue;
    const answer = item9In(response.item)?.answer?.[0];
    if (answer === undefined) continue;
    const source = { key: keyOf(response), visit: target(response.encounter), at: response.authored };
    const number = answer.valueInteger ?? answer.valueDecimal;
    found.push({ source, answer: number ?? answerCode(answer.valueCoding === undefined ? [] : [answer.valueCoding]) });
  }
  return found;
}

const ITEM9 = LOINC.phq9Item9.code as string;

function sourceOf(observation: Observation): Source {
  return { key: keyOf(observation), visit: target(observation.encounter), at: effectiveText(observation) };
}

function answerCode(codings: readonly Coding[]): number | 'unknown' {
  const index = FREQUENCY_ANSWERS.findIndex(({ code }) =>
    codings.some((each) => each.system === SYSTEM.loinc && each.code === code),
  );
  return index < 0 ? 'unknown' : index;
}

/** Questionnaires of PHQ-9 name an item by its LOINC code, often with a slash in front. */
function item9In(items: readonly QuestionnaireResponseItem[] | undefined): QuestionnaireResponseItem | undefined {
  for (const item of items ?? []) {
    if (item.linkId === ITEM9 || item.linkId.endsWith(`/${ITEM9}`)) return item;
    const inside = item9In(item.item);
    if (inside !== undefined) return inside;
  }
  return undefined;
}

function screenedInTime(
  { key, visit, at }: Source,
  screens: readonly Screen[],
  policy: Policy,
  now: number,
): { readonly outcome: Outcome; readonly checkAt?: number } {
  const asked = momentOf(at);
  if (asked === undefined) return { outcome: indeterminate('R-12', key, 'item 9 has no time with offset') };
  const dueBy = asked.at + policy.suicidalityScreenMinutes * MINUTE;
  const answered = screens.some(({ observation, moment }) => {
    if (moment === undefined || moment.at > dueBy) return false;
    const sameVisit = visit !== undefined && target(observation.encounter) === visit;
    return sameVisit || moment.at >= asked.at;
  });
  if (answered) return { outcome: pass('R-12', key) };
  const pending = now <= dueBy && !screens.some(({ moment }) => moment !== undefined && moment.at > dueBy);
  if (pending) return { outcome: indeterminate('R-12', key, 'the C-SSRS screener is not due yet'), checkAt: dueBy + 1 };
  const detail = `PHQ-9 item 9 was positive at ${asked.text}; no C-SSRS screener within ${policy.suicidalityScreenMinutes} min`;
  return {
    outcome: fail(key, {
      rule: 'R-12',
      code: 'suicidality-follow-up',
      alert: ALERT.observation,
      severity: 'high',
      detail,
      identified: asked.text,
      implicated: [key],
      evidence: { code: 'suicidality-follow-up', text: 'PHQ-9 item 9 positive, no C-SSRS screener in time', of: [key] },
    }),
  };
}

function highRisk(observation: Observation): Outcome {
  const key = keyOf(observation);
  const at = effectiveText(observation);
  if (at === undefined) return indeterminate('R-12', key, 'the C-SSRS screener has no time');
  return fail(key, {
    rule: 'R-12',
    code: 'suicidality-follow-up',
    alert: ALERT.observation,
    severity: 'high',
    detail: `C-SSRS screener at ${at}: high risk; no discharge before the prescriber has seen the patient`,
    identified: at,
    implicated: [key],
    evidence: { code: 'suicidality-follow-up', text: 'C-SSRS screener: high risk', of: [key] },
  });
}

/** Items that raise the risk, by LOINC code. Item 3 yes is moderate; 4, 5 or behaviour in 3 months is high (triage: M). */
const RISK_OF_ITEM: Readonly<Record<string, Risk>> = {
  [LOINC.cssrsWishDead.code as string]: 'low',
  [LOINC.cssrsThoughts.code as string]: 'low',
  [LOINC.cssrsMethod.code as string]: 'moderate',
  [LOINC.cssrsIntent.code as string]: 'high',
  [LOINC.cssrsPlan.code as string]: 'high',
  [LOINC.cssrsBehaviourLifetime.code as string]: 'low',
  [LOINC.cssrsBehaviourThreeMonths.code as string]: 'high',
};

const RANK: readonly Risk[] = ['none', 'low', 'unknown', 'moderate', 'high'];

/**
 * One screen for each visit, or for each point in time outside a visit: its items and its risk level taken together,
 * shown by the Observation with the highest risk.
 */
function screensOf({ observations }: Course): readonly Screen[] {
  const screens = new Map<string, Screen>();
  for (const observation of observations) {
    const risk = riskOf(observation);
    if (risk === undefined) continue;
    const moment = effectiveOf(observation);
    const group = target(observation.encounter) ?? effectiveText(observation) ?? keyOf(observation);
    const known = screens.get(group);
    if (known === undefined || RANK.indexOf(risk) > RANK.indexOf(known.risk)) {
      screens.set(group, { observation, moment: earlier(known?.moment, moment), risk });
    } else {
      screens.set(group, { ...known, moment: earlier(known.moment, moment) });
    }
  }
  return [...screens.values()];
}

function earlier(a: Moment | undefined, b: Moment | undefined): Moment | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return b.at < a.at ? b : a;
}

function riskOf(observation: Observation): Risk | undefined {
  const risks = [riskOfPart(observation), ...(observation.component ?? []).map(riskOfPart)];
  const isPanel = hasCode(observation.code, SYSTEM.loinc, LOINC.cssrsScreener.code as string);
  return risks.reduce<Risk | undefined>(
    (a, b) => (b !== undefined && (a === undefined || RANK.indexOf(b) > RANK.indexOf(a)) ? b : a),
    isPanel ? 'none' : undefined,
  );
}

function riskOfPart(part: Observation | ObservationComponent): Risk | undefined {
  if (hasCode(part.code, SYSTEM.loinc, LOINC.cssrsRisk.code as string)) return statedRisk(part);
  for (const { system, code } of part.code.coding ?? []) {
    const risk = system === SYSTEM.loinc ? RISK_OF_ITEM[code ?? ''] : undefined;
    if (risk === undefined) continue;
    const answer = answerOf(part);
    return answer === 'yes' ? risk : answer === 'no' ? 'none' : 'unknown';
  }
  return undefined;
}

function statedRisk({ valueCodeableConcept: value }: Observation | ObservationComponent): Risk {
  if (hasCode(value, SYSTEM.loinc, LOINC.riskHigh.code as string)) return 'high';
  if (hasCode(value, SYSTEM.loinc, LOINC.riskModerate.code as string)) return 'moderate';
  return hasCode(value, SYSTEM.loinc, LOINC.riskLow.code as string) ? 'low' : 'unknown';
}

function answerOf({ valueCodeableConcept: value, valueBoolean }: Observation | ObservationComponent): Answer {
  if (valueBoolean !== undefined) return valueBoolean ? 'yes' : 'no';
  if (hasCode(value, SYSTEM.loinc, LOINC.yes.code as string)) return 'yes';
  return hasCode(value, SYSTEM.loinc, LOINC.no.code as string) ? 'no' : 'unknown';
}
