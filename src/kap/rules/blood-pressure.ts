/** Blood pressure before the start and while the infusion runs. Pressures in mm[Hg]. */
import { ALERT } from '../codes.ts';
import type { Infusion, Reading } from '../course.ts';
import { MINUTE, rounded } from '../moments.ts';
import type { Policy } from '../policy.ts';
import { type Finding, fail, indeterminate, type Outcome, pass } from './outcome.ts';

type Pressure = Reading & { readonly systolic: number; readonly diastolic: number };

/**
 * the last pressure before the start. Above the hold value the infusion waits and the reading is repeated; at
 * the no-start value only a prescriber's override (mitigation `5` of the finding, with its author) lets it begin.
 * While the infusion is only prepared, the last pressure counts whatever its age.
 */
export function pressureBeforeStart(infusion: Infusion, policy: Policy): Outcome {
  const { key, start } = infusion;
  if (start === undefined && infusion.state !== 'planned') {
    return indeterminate('R-05', key, 'the infusion has no start with time and offset');
  }
  const oldest = start === undefined ? 0 : start.at - policy.bloodPressureBaselineAgeMinutes * MINUTE;
  const newest = start?.at ?? Number.POSITIVE_INFINITY;
  const candidates = pressures(infusion).filter(({ moment }) => moment.at >= oldest && moment.at <= newest);
  const lastAt = candidates.at(-1)?.moment.at;
  if (lastAt === undefined) {
    return indeterminate('R-05', key, 'no complete blood pressure was recorded in time before the start');
  }
  // Two readings of one minute: the worse one decides.
  const last = candidates
    .filter(({ moment }) => moment.at === lastAt)
    .reduce((a, b) => (b.systolic + b.diastolic > a.systolic + a.diastolic ? b : a));
  const noStart =
    last.systolic >= policy.bloodPressureNoStartSystolic || last.diastolic >= policy.bloodPressureNoStartDiastolic;
  const hold =
    last.systolic > policy.bloodPressureHoldSystolic || last.diastolic > policy.bloodPressureHoldDiastolic || noStart;
  if (!hold) return pass('R-05', key);
  const limit = noStart
    ? `no start at ${policy.bloodPressureNoStartSystolic}/${policy.bloodPressureNoStartDiastolic} or above without the prescriber`
    : `hold above ${policy.bloodPressureHoldSystolic}/${policy.bloodPressureHoldDiastolic} and repeat`;
  return fail(key, {
    rule: 'R-05',
    code: 'bp-hold',
    alert: ALERT.observation,
    severity: noStart ? 'high' : 'moderate',
    detail: `blood pressure ${written(last)} at ${last.moment.text} was the last before the start; ${limit}`,
    identified: last.moment.text,
    implicated: [key, last.key],
    evidence: { code: 'bp-hold', text: written(last), of: [last.key] },
  });
}

/**
 * two readings far enough apart at the stop value, or one above the second limit. Symptoms are the staff's to
 * judge. Also says when it became true.
 */
export function pressureDuringInfusion(infusion: Infusion, policy: Policy): Outcome | undefined {
  const { key, start, end, state } = infusion;
  if (state === 'planned') return undefined;
  if (start === undefined) return indeterminate('R-06', key, 'the infusion has no start with time and offset');
  const during = pressures(infusion).filter(
    ({ moment }) => moment.at >= start.at && moment.at <= (end?.at ?? Number.POSITIVE_INFINITY),
  );
  if (during.length === 0)
    return indeterminate('R-06', key, 'no complete blood pressure was recorded during the infusion');
  const trigger = stopTrigger(during, policy);
  return trigger === undefined ? pass('R-06', key) : fail(key, stopFinding(infusion, trigger, policy));
}

function stopTrigger(during: readonly Pressure[], policy: Policy): readonly Pressure[] | undefined {
  const high: Pressure[] = [];
  for (const reading of during) {
    const { systolic, diastolic, moment } = reading;
    if (systolic > policy.bloodPressureStopAtOnceSystolic || diastolic > policy.bloodPressureStopAtOnceDiastolic) {
      return [reading];
    }
    if (systolic < policy.bloodPressureStopSystolic && diastolic < policy.bloodPressureStopDiastolic) continue;
    const first = high[0];
    if (first !== undefined && moment.at - first.moment.at >= policy.bloodPressureStopApartMinutes * MINUTE) {
      return [first, reading];
    }
    high.push(reading);
  }
  return undefined;
}

function stopFinding(infusion: Infusion, trigger: readonly Pressure[], policy: Policy): Finding {
  const text = trigger.map((reading) => `${written(reading)} at ${reading.moment.text}`).join(' and ');
  const limit =
    trigger.length === 1
      ? `one reading above ${policy.bloodPressureStopAtOnceSystolic}/${policy.bloodPressureStopAtOnceDiastolic}`
      : `two readings at least ${policy.bloodPressureStopApartMinutes} min apart at ` +
        `${policy.bloodPressureStopSystolic}/${policy.bloodPressureStopDiastolic} or above`;
  return {
    rule: 'R-06',
    code: 'bp-stop',
    alert: ALERT.observation,
    severity: 'high',
    detail: `blood pressure ${text} during the infusion; stop at ${limit}`,
    identified: (trigger.at(-1) as Pressure).moment.text,
    implicated: [infusion.key, ...trigger.map((reading) => reading.key)],
    evidence: { code: 'bp-stop', text, of: trigger.map((reading) => reading.key) },
  };
}

function pressures({ readings }: Infusion): readonly Pressure[] {
  return readings.filter(
    (reading): reading is Pressure => reading.systolic !== undefined && reading.diastolic !== undefined,
  );
}

function written({ systolic, diastolic }: Pressure): string {
  return `${rounded(systolic, 1)}/${rounded(diastolic, 1)} mmHg`;
}
