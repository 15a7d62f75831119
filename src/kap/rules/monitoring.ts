/**
 * gaps in the monitoring of blood pressure, heart rate and SpO2. One finding per gap: where the same stretch of
 * time misses several vital signs, it names them all.
 *
 * Judged once the visit is over, because readings are often recorded after the Procedure and a finding that is
 * withdrawn a minute later helps nobody.
 */
import { ALERT } from '../codes.ts';
import type { Infusion, VitalKind } from '../course.ts';
import { later, MINUTE, type Moment, momentOf, rounded } from '../moments.ts';
import type { Policy } from '../policy.ts';
import { type Finding, indeterminate, type Outcome, pass } from './outcome.ts';

const KINDS: readonly VitalKind[] = ['blood pressure', 'heart rate', 'SpO2'];

type Phase = 'baseline' | 'during' | 'after' | 'departure';

type Gap = { readonly phase: Phase; readonly from: Moment; readonly to: Moment; readonly limitMinutes: number };

export function monitoringGaps(infusion: Infusion, policy: Policy): Outcome | undefined {
  const { key, start, end, state, encounter } = infusion;
  if (state === 'planned' || state === 'running') return undefined;
  if (start === undefined || end === undefined) {
    return indeterminate('R-07', key, 'the infusion has no start and end with time and offset');
  }
  if (encounter !== undefined && encounter.status !== 'finished') {
    return indeterminate('R-07', key, 'the visit is not finished');
  }
  const departure = momentOf(encounter?.period?.end);
  const merged = new Map<string, { gap: Gap; kinds: VitalKind[] }>();
  for (const kind of KINDS) {
    const readings = infusion.readings.filter((reading) => reading.kind === kind).map(({ moment }) => moment);
    for (const gap of gapsOf(readings, start, end, departure, policy)) {
      const part = `${gap.phase}|${new Date(gap.from.at).toISOString()}|${new Date(gap.to.at).toISOString()}`;
      const same = merged.get(part);
      if (same === undefined) merged.set(part, { gap, kinds: [kind] });
      else same.kinds.push(kind);
    }
  }
  if (merged.size > 0) {
    const findings = [...merged].map(([part, { gap, kinds }]) => finding(infusion, part, gap, kinds));
    return { rule: 'R-07', subject: key, result: 'fail', findings };
  }
  if (departure === undefined) return indeterminate('R-07', key, 'the visit has no end with time and offset');
  return pass('R-07', key);
}

function gapsOf(
  readings: readonly Moment[],
  start: Moment,
  end: Moment,
  departure: Moment | undefined,
  policy: Policy,
): readonly Gap[] {
  return [
    ...baselineGap(readings, start, policy),
    ...gapsDuring(readings, start, end, policy),
    ...gapAfter(readings, end, departure, policy),
    ...departureGap(readings, end, departure, policy),
  ];
}

function baselineGap(readings: readonly Moment[], start: Moment, policy: Policy): readonly Gap[] {
  const limitMinutes = policy.monitoringBaselineMinutes;
  const from = later(start, -limitMinutes * MINUTE);
  const found = readings.some(({ at }) => at >= from.at && at <= start.at);
  return found ? [] : [{ phase: 'baseline', from, to: start, limitMinutes }];
}

/** From the start to the first reading, from reading to reading, and from the last one to the end. */
function gapsDuring(readings: readonly Moment[], start: Moment, end: Moment, policy: Policy): readonly Gap[] {
  const usual = policy.monitoringGapMinutes + policy.monitoringGapToleranceMinutes;
  const points = readings.filter(({ at }) => at > start.at && at < end.at);
  const gaps: Gap[] = [];
  let from = start;
  for (const to of [...points, end]) {
    const limitMinutes = from === start ? policy.monitoringFirstReadingMinutes : usual;
    if (to.at - from.at > limitMinutes * MINUTE) gaps.push({ phase: 'during', from, to, limitMinutes });
    from = to;
  }
  return gaps;
}

function gapAfter(
  readings: readonly Moment[],
  end: Moment,
  departure: Moment | undefined,
  policy: Policy,
): readonly Gap[] {
  const limitMinutes = policy.monitoringAfterEndMinutes;
  const next = readings.find(({ at }) => at >= end.at);
  if (next !== undefined && next.at - end.at <= limitMinutes * MINUTE) return [];
  const to = next ?? departure;
  // Whoever left sooner than the limit left without a reading; without departure the limit itself is the end.
  return [{ phase: 'after', from: end, to: to ?? later(end, limitMinutes * MINUTE), limitMinutes }];
}

function departureGap(
  readings: readonly Moment[],
  end: Moment,
  departure: Moment | undefined,
  policy: Policy,
): readonly Gap[] {
  if (departure === undefined || departure.at < end.at) return [];
  const after = readings.filter(({ at }) => at >= end.at && at <= departure.at);
  const last = after.at(-1);
  // No reading at all after the end is already the gap `after`.
  if (last === undefined) return [];
  const limitMinutes = policy.monitoringDepartureMinutes;
  return departure.at - last.at <= limitMinutes * MINUTE
    ? []
    : [{ phase: 'departure', from: last, to: departure, limitMinutes }];
}

const WORDS: Readonly<Record<Phase, string>> = {
  baseline: 'before the start',
  during: 'during the infusion',
  after: 'after the end',
  departure: 'before departure',
};

function finding(infusion: Infusion, part: string, gap: Gap, kinds: readonly VitalKind[]): Finding {
  const minutes = rounded((gap.to.at - gap.from.at) / MINUTE, 2);
  const text = `no ${kinds.join(', ')} for ${minutes} min ${WORDS[gap.phase]}, ${gap.from.text} to ${gap.to.text}; limit ${gap.limitMinutes} min`;
  return {
    rule: 'R-07',
    part,
    code: 'monitoring-gap',
    alert: ALERT.observation,
    severity: 'moderate',
    detail: text,
    identified: gap.to.text,
    implicated: [infusion.key],
    evidence: { code: 'monitoring-gap', text: `${minutes} min, limit ${gap.limitMinutes} min` },
  };
}
