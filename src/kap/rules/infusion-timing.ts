/** How long an infusion runs, how far it is from the one before, and periods that run backwards. */
import type { Period, Resource } from '@medplum/fhirtypes';
import { ALERT } from '../codes.ts';
import { type Course, type Infusion, type Key, keyOf } from '../course.ts';
import { HOUR, hours, MINUTE, momentOf, rounded } from '../moments.ts';
import type { Policy } from '../policy.ts';
import { fail, indeterminate, type Outcome, pass, type Refusal, type RuleId, refused } from './outcome.ts';

/** closed interval. A stopped infusion is exempt, one that is not over is not judged. */
export function infusionDuration(infusion: Infusion, policy: Policy): Outcome | undefined {
  const { key, start, end, state } = infusion;
  if (state === 'planned' || state === 'running') return undefined;
  if (state === 'stopped') return pass('R-03', key);
  if (start === undefined || end === undefined) {
    return indeterminate('R-03', key, 'the infusion has no start and end with time and offset');
  }
  const lasted = end.at - start.at;
  const [low, high] = [policy.infusionMinimumMinutes, policy.infusionMaximumMinutes];
  if (lasted >= low * MINUTE && lasted <= high * MINUTE) return pass('R-03', key);
  const short = lasted < low * MINUTE;
  return fail(key, {
    rule: 'R-03',
    code: short ? 'infusion-short' : 'infusion-long',
    alert: short ? ALERT.durationLow : ALERT.durationHigh,
    severity: short ? 'moderate' : 'low',
    detail: `infusion from ${start.text} to ${end.text} lasted ${rounded(lasted / MINUTE, 2)} min; protocol ${low} to ${high} min`,
    identified: end.text,
    implicated: [key, ...infusion.administrations.map(keyOf)],
  });
}

/** from the end of the infusion before to the start of this one, in the same episode. */
export function infusionInterval(infusion: Infusion, course: Course, policy: Policy): Outcome | undefined {
  const { key, start, number, episode } = infusion;
  const previous = course.infusions.find((each) => each.episode === episode && each.number === number - 1);
  if (number < 2 || previous === undefined || start === undefined) return undefined;
  if (previous.end === undefined) {
    return indeterminate('R-09', key, 'the infusion before has no end with time and offset');
  }
  const interval = start.at - previous.end.at;
  const [low, high] = [policy.infusionIntervalMinimumHours, policy.infusionIntervalMaximumHours];
  const tooSoon = interval < low * HOUR;
  const tooLate = interval > high * HOUR && number <= policy.inductionInfusions;
  if (!tooSoon && !tooLate) return pass('R-09', key);
  return fail(key, {
    rule: 'R-09',
    code: 'infusion-interval',
    alert: ALERT.doseInterval,
    severity: tooSoon ? 'high' : 'low',
    detail:
      `infusion started ${start.text}, ${hours(interval, 2)} h after the end of the one before at ` +
      `${previous.end.text}; protocol ${low} to ${high} h`,
    identified: start.text,
    implicated: [key, previous.key],
  });
}

/** Infusions, administrations, sessions and their visits that end before they start: refused. */
export function backwardPeriods(course: Course): readonly Outcome[] {
  const found = new Map<Key, Refusal>();
  const look = (rule: RuleId, resource: Resource | undefined, period: Period | undefined, element: string): void => {
    const start = momentOf(period?.start);
    const end = momentOf(period?.end);
    if (resource === undefined || start === undefined || end === undefined || end.at >= start.at) return;
    const key = keyOf(resource);
    found.set(key, {
      severity: 'error',
      code: 'business-rule',
      rule,
      diagnostics: `Rule ${rule}: the period ends before it starts; correct start or end`,
      resource: key,
      expression: `${resource.resourceType}.${element}.end`,
      involved: [key],
    });
  };
  for (const { procedure, encounter, administrations } of course.infusions) {
    look('R-03', procedure, procedure.performedPeriod, 'performed.ofType(Period)');
    look('R-03', encounter, encounter?.period, 'period');
    for (const each of administrations) look('R-03', each, each.effectivePeriod, 'effective.ofType(Period)');
  }
  for (const { procedure, encounter } of course.therapies) {
    look('R-04', procedure, procedure?.performedPeriod, 'performed.ofType(Period)');
    look('R-04', encounter, encounter?.period, 'period');
  }
  return [...found.values()].map(refused);
}
