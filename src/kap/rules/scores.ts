/**
 * Scores: their severity bands, ratings whose recall period overlaps the one before, and what they say
 * about response and remission. All as codes of interpretation on the score, plus the percent change.
 */
import type { Coding, Goal, Observation } from '@medplum/fhirtypes';
import { hasCode, hasKapCode, type KapCode, LOINC, SYSTEM } from '../codes.ts';
import { type Course, compareText, effectiveText, type Key, keyOf, target } from '../course.ts';
import { offsetOf } from '../instant.ts';
import { boundsOf, DAY, type Moment, rounded } from '../moments.ts';
import type { Policy } from '../policy.ts';
import { indeterminate, type Outcome, pass } from './outcome.ts';

type Instrument = {
  readonly codes: readonly Coding[];
  readonly highest: number;
  readonly bands: (value: number, policy: Policy) => KapCode | undefined;
};

/** Names of the bands, of which the policy gives the lower bounds of all but the first. */
function banded(names: readonly KapCode[], bounds: (policy: Policy) => readonly number[]): Instrument['bands'] {
  return (value, policy) => names[bounds(policy).filter((bound) => value >= bound).length];
}

function kap(code: KapCode): Coding {
  return { system: SYSTEM.kap, code };
}

/** Totals of an instrument are whole and lie between 0 and `highest`; others get no interpretation. */
const INSTRUMENTS: readonly Instrument[] = [
  {
    codes: [LOINC.phq9Total],
    highest: 27,
    bands: banded(
      ['phq9-minimal', 'phq9-mild', 'phq9-moderate', 'phq9-moderately-severe', 'phq9-severe'],
      (policy) => policy.phq9Bands,
    ),
  },
  {
    codes: [LOINC.gad7Total],
    highest: 21,
    bands: banded(['gad7-minimal', 'gad7-mild', 'gad7-moderate', 'gad7-severe'], (policy) => policy.gad7Bands),
  },
  {
    codes: [kap('qids-sr16-total')],
    highest: 27,
    bands: banded(
      ['qids-none', 'qids-mild', 'qids-moderate', 'qids-severe', 'qids-very-severe'],
      (policy) => policy.qidsBands,
    ),
  },
  {
    codes: [kap('madrs-total')],
    highest: 60,
    bands: banded(['madrs-none', 'madrs-mild', 'madrs-moderate', 'madrs-severe'], (policy) => policy.madrsBands),
  },
  {
    codes: [kap('ybocs-total')],
    highest: 40,
    bands: banded(
      ['ybocs-subclinical', 'ybocs-mild', 'ybocs-moderate', 'ybocs-severe', 'ybocs-extreme'],
      (policy) => policy.ybocsBands,
    ),
  },
  {
    codes: [LOINC.pcl5Total],
    highest: 80,
    bands: (value, policy) => (value >= policy.pcl5Positive ? 'pcl5-provisional-ptsd' : undefined),
  },
  {
    codes: [LOINC.auditTotal],
    highest: 40,
    bands: (value, policy) => (value >= policy.auditPositive ? 'audit-positive' : undefined),
  },
  {
    codes: [LOINC.dast10Total],
    highest: 10,
    bands: (value, policy) => (value >= policy.dast10Positive ? 'dast10-positive' : undefined),
  },
  {
    codes: [kap('cadss-total')],
    highest: 92,
    bands: (value, policy) => (value > policy.cadssDissociationAbove ? 'cadss-dissociation' : undefined),
  },
];

/** The factors of the MEQ-30 and the highest score of each (items of 0 to 5; from the literature). */
const MEQ30_FACTORS: readonly (readonly [KapCode, number])[] = [
  ['meq30-mystical', 75],
  ['meq30-positive-mood', 30],
  ['meq30-transcendence', 30],
  ['meq30-ineffability', 15],
];

/** What the rules may say in `interpretation` of somebody's score. Other codes there are the author's. */
export const SCORE_INTERPRETATIONS: ReadonlySet<string> = new Set<KapCode>([
  'phq9-minimal',
  'phq9-mild',
  'phq9-moderate',
  'phq9-moderately-severe',
  'phq9-severe',
  'gad7-minimal',
  'gad7-mild',
  'gad7-moderate',
  'gad7-severe',
  'qids-none',
  'qids-mild',
  'qids-moderate',
  'qids-severe',
  'qids-very-severe',
  'madrs-none',
  'madrs-mild',
  'madrs-moderate',
  'madrs-severe',
  'ybocs-subclinical',
  'ybocs-mild',
  'ybocs-moderate',
  'ybocs-severe',
  'ybocs-extreme',
  'pcl5-provisional-ptsd',
  'audit-positive',
  'dast10-positive',
  'cadss-dissociation',
  'meq30-complete-experience',
  'recall-overlap',
  'suicidality-follow-up',
]);

/** the band of a score; undefined for what is no score of a known instrument, `null` where no band applies. */
export function bandOf(observation: Observation, policy: Policy): KapCode | null | undefined {
  if (hasKapCode(observation.code, 'meq30-total'))
    return isComplete(observation, policy) ? 'meq30-complete-experience' : null;
  const instrument = instrumentOf(observation);
  if (instrument === undefined) return undefined;
  const value = scoreOf(observation);
  if (value === undefined || !Number.isInteger(value) || value < 0 || value > instrument.highest) return null;
  return instrument.bands(value, policy) ?? null;
}

const byCode = new Map(
  INSTRUMENTS.flatMap((instrument) =>
    instrument.codes.map(({ system, code }) => [`${system}|${code}`, instrument] as const),
  ),
);

function instrumentOf({ code }: Observation): Instrument | undefined {
  for (const { system, code: value } of code.coding ?? []) {
    const found = byCode.get(`${system}|${value}`);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The number of a score, however it is written. */
export function scoreOf({ valueQuantity, valueInteger }: Observation): number | undefined {
  return valueQuantity?.value ?? valueInteger;
}

function isComplete({ component }: Observation, policy: Policy): boolean {
  return MEQ30_FACTORS.every(([code, highest]) => {
    const quantity = component?.find((each) => hasKapCode(each.code, code))?.valueQuantity;
    if (quantity?.value === undefined) return false;
    const percent = quantity.code === '%' ? quantity.value : (quantity.value / highest) * 100;
    return percent >= policy.meq30CompletePercent;
  });
}

/** A PHQ-9 total. A rating dated by day alone counts from the start of that day at the clinic's offset. */
type Rating = {
  readonly key: Key;
  readonly observation: Observation;
  readonly value: number;
  readonly low: number;
  readonly high: number;
};

export type PercentChange = {
  readonly score: Rating;
  readonly baseline: Rating;
  readonly percent: number;
  readonly interpretation: KapCode;
};

export type Ratings = {
  /** ratings whose recall period overlaps the rating before. */
  readonly overlapping: ReadonlySet<Key>;
  /** */
  readonly changes: readonly PercentChange[];
  readonly outcomes: readonly Outcome[];
};

/** for every PHQ-9 of the course. */
export function ratingsOf(course: Course, policy: Policy): Ratings {
  const firsts = course.infusions.filter(({ number }) => number === 1).flatMap(({ start }) => start ?? []);
  const ratings = phq9Ratings(course, firsts[0]);
  const overlapping = new Set<Key>();
  ratings.forEach((rating, index) => {
    const before = ratings[index - 1];
    if (before === undefined || hasShortRecall(rating, course, policy)) return;
    if (rating.low - before.low < policy.phq9RecallDays * DAY) overlapping.add(rating.key);
  });
  const changes: PercentChange[] = [];
  const outcomes: Outcome[] = [];
  for (const score of ratings) {
    // The last course that had begun: after a second course its own baseline counts.
    const first = firsts.findLast(({ at }) => at < score.low);
    if (first === undefined || overlapping.has(score.key)) continue;
    const baseline = baselineOf(ratings, first, policy);
    if (baseline === undefined || baseline.value === 0) {
      const reason = baseline === undefined ? 'no baseline PHQ-9 was rated in time' : 'the baseline PHQ-9 is 0';
      outcomes.push(indeterminate('R-10', score.key, reason));
      continue;
    }
    changes.push(changeOf(score, baseline, policy));
    outcomes.push(pass('R-10', score.key));
  }
  return { overlapping, changes, outcomes };
}

function phq9Ratings({ observations }: Course, clinic: Moment | undefined): Rating[] {
  const offset = clinic === undefined ? 'Z' : offsetOf(clinic.text);
  return observations
    .flatMap((observation) => {
      if (!hasCode(observation.code, SYSTEM.loinc, LOINC.phq9Total.code as string)) return [];
      const value = scoreOf(observation);
      const bounds = boundsOf(effectiveText(observation) ?? '', offset);
      if (value === undefined || !Number.isInteger(value) || value < 0 || value > 27 || bounds === undefined) return [];
      return [{ key: keyOf(observation), observation, value, ...bounds }];
    })
    .sort((a, b) => a.low - b.low || compareText(a.key, b.key));
}

/** Filled in on a form whose recall period is short: it may be repeated within the week. */
function hasShortRecall({ observation }: Rating, course: Course, policy: Policy): boolean {
  if (policy.modifiedRecallForms.length === 0) return false;
  return (observation.derivedFrom ?? []).some((reference) => {
    const response = course.byKey.get(target(reference) ?? '');
    const form = response?.resourceType === 'QuestionnaireResponse' ? response.questionnaire : undefined;
    return policy.modifiedRecallForms.some((each) => each === form || each === form?.split('|')[0]);
  });
}

/** The last rating before the first infusion, not too old. One of the same day without time may be from after it. */
function baselineOf(ratings: readonly Rating[], first: Moment, policy: Policy): Rating | undefined {
  const found = ratings.findLast(({ high }) => high - 1 <= first.at);
  return found !== undefined && first.at - found.low <= policy.baselineAgeDays * DAY ? found : undefined;
}

function changeOf(score: Rating, baseline: Rating, policy: Policy): PercentChange {
  const response = score.value * 100 <= baseline.value * (100 - policy.responseFallPercent);
  const remission = score.value < policy.remissionBelowScore;
  return {
    score,
    baseline,
    percent: rounded(((score.value - baseline.value) / baseline.value) * 100, 1),
    interpretation: remission ? 'remission' : response ? 'response' : 'non-response',
  };
}

/**
 * Goal.achievementStatus by the last usable rating: `sustaining` when the one before met the target as well. Undefined
 * for a goal that PHQ-9 does not measure, that nobody pursues now, or that no rating speaks to.
 */
export function achievementOf(goal: Goal, changes: readonly PercentChange[], policy: Policy): string | undefined {
  if (goal.lifecycleStatus !== 'active' && goal.lifecycleStatus !== 'accepted' && goal.lifecycleStatus !== 'on-hold') {
    return undefined;
  }
  const goalTarget = goal.target?.find(({ measure }) => hasCode(measure, SYSTEM.loinc, LOINC.phq9Total.code as string));
  const last = changes.at(-1);
  if (goalTarget === undefined || last === undefined) return undefined;
  const verdicts = changes.slice(-2).map((change) => meets(goalTarget, change, policy));
  if (verdicts.at(-1) === undefined) return undefined;
  if (verdicts.at(-1)) return verdicts.length > 1 && verdicts[0] ? 'sustaining' : 'achieved';
  const due = goalTarget.dueDate === undefined ? undefined : boundsOf(goalTarget.dueDate, 'Z');
  if (due !== undefined && last.score.low >= due.high) return 'not-achieved';
  if (last.percent < 0) return 'improving';
  return last.percent > 0 ? 'worsening' : 'no-change';
}

function meets(
  { detailRange, detailQuantity, detailInteger, detailCodeableConcept }: NonNullable<Goal['target']>[number],
  { score, interpretation, baseline }: PercentChange,
  policy: Policy,
): boolean | undefined {
  if (detailRange !== undefined) {
    const { low, high } = detailRange;
    if (low?.value === undefined && high?.value === undefined) return undefined;
    return score.value >= (low?.value ?? 0) && score.value <= (high?.value ?? Number.POSITIVE_INFINITY);
  }
  const highest = detailQuantity?.value ?? detailInteger;
  if (highest !== undefined) return score.value <= highest;
  if (hasKapCode(detailCodeableConcept, 'remission')) return interpretation === 'remission';
  if (!hasKapCode(detailCodeableConcept, 'response')) return undefined;
  return score.value * 100 <= baseline.value * (100 - policy.responseFallPercent);
}
