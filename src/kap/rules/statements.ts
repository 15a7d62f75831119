/** What the rules state as Observations, on other people's scores, and on goals. */
import type { CodeableConcept, Coding, Observation, Quantity, Reference } from '@medplum/fhirtypes';
import { concept, hasKapCode, KAP, type KapCode, kapCoding, kapConcept, LABEL, SYSTEM } from '../codes.ts';
import { type Course, type Key, keyOf, target } from '../course.ts';
import { isBelowRestricted } from '../labels.ts';
import { hours } from '../moments.ts';
import type { Policy } from '../policy.ts';
import { type Changes, referenceTo, type WantedObservation } from './difference.ts';
import { intervalIdentifier, type Session, type SessionClass } from './integration-window.ts';
import { achievementOf, bandOf, type PercentChange, SCORE_INTERPRETATIONS } from './scores.ts';

const CLASS_CODE: Readonly<Record<SessionClass, KapCode>> = {
  early: 'integration-early',
  'in-window': 'in-window',
  late: 'integration-late',
  'during-infusion': 'during-infusion',
};

const CLASS_TEXT: Readonly<Record<SessionClass, string>> = {
  early: 'early',
  'in-window': 'in window',
  late: 'late',
  'during-infusion': 'during infusion',
};

/**
 * The interval from the end of the infusion to the start of the session, in hours to four decimals so that a second
 * outside the window shows; without a time on one side it says that the value is unknown.
 */
export function intervalObservation(
  { therapy, infusion, timing }: Session,
  policy: Policy,
  engine: Reference,
): WantedObservation {
  const { procedure, encounter, startText } = therapy;
  return {
    value: intervalIdentifier(therapy),
    profile: 'kap-integration-interval',
    owned: {
      category: [concept({ system: SYSTEM.observationCategory, code: 'therapy', display: 'Therapy' })],
      code: kapConcept('infusion-to-integration-interval'),
      focus: [referenceTo(infusion.key)],
      device: engine as Reference<never>,
      ...(procedure === undefined ? {} : { partOf: [referenceTo(keyOf(procedure))] }),
      ...(encounter === undefined ? {} : { encounter: referenceTo(keyOf(encounter)) }),
      ...(startText === undefined ? {} : { effectiveDateTime: startText }),
      ...(timing.known
        ? {
            valueQuantity: quantity(hours(timing.milliseconds, 4), 'h'),
            interpretation: [kapConcept(CLASS_CODE[timing.class], CLASS_TEXT[timing.class])],
          }
        : { dataAbsentReason: absent(timing.reason) }),
      referenceRange: [
        {
          low: quantity(policy.integrationWindowStartHours, 'h'),
          high: quantity(policy.integrationWindowEndHours, 'h'),
          text: `${policy.integrationWindowStartHours} to ${policy.integrationWindowEndHours} hours`,
        },
      ],
    },
    isSameStatement: (authored) =>
      hasKapCode(authored.code, 'infusion-to-integration-interval') &&
      (names(authored.partOf, therapy.key) ||
        (encounter !== undefined &&
          target(authored.encounter) === keyOf(encounter) &&
          names(authored.focus, infusion.key))),
  };
}

function quantity(value: number, unit: string): Quantity {
  return { value, unit, system: SYSTEM.ucum, code: unit };
}

function absent(reason: string): CodeableConcept {
  return concept({ system: SYSTEM.dataAbsentReason, code: 'unknown', display: 'Unknown' }, reason);
}

function names(references: readonly Reference[] | undefined, key: Key): boolean {
  return (references ?? []).some((reference) => target(reference) === key);
}

/** how far a PHQ-9 is from the baseline, in percent to one decimal. */
export function percentChangeObservation(
  { score, baseline, percent, interpretation }: PercentChange,
  engine: Reference,
): WantedObservation {
  const { encounter, effectiveDateTime, effectiveInstant, effectivePeriod, basedOn } = score.observation;
  const effective = effectiveDateTime ?? effectiveInstant ?? effectivePeriod?.start;
  return {
    value: `R-10|${score.key}`,
    owned: {
      category: [concept({ system: SYSTEM.observationCategory, code: 'survey', display: 'Survey' })],
      code: kapConcept('phq9-percent-change'),
      device: engine as Reference<never>,
      ...(basedOn === undefined ? {} : { basedOn }),
      ...(encounter === undefined ? {} : { encounter }),
      ...(effective === undefined ? {} : { effectiveDateTime: effective }),
      valueQuantity: quantity(percent, '%'),
      interpretation: [kapConcept(interpretation)],
      derivedFrom: [referenceTo(baseline.key), referenceTo(score.key)],
    },
    isSameStatement: (authored) =>
      hasKapCode(authored.code, 'phq9-percent-change') && names(authored.derivedFrom, score.key),
  };
}

/** the codes of the rules in `interpretation`; codes of the author are left. R-12: at least R. */
export function settleInterpretations(
  course: Course,
  overlapping: ReadonlySet<Key>,
  positive: ReadonlySet<Key>,
  changes: Changes,
  policy: Policy,
): void {
  for (const observation of course.observations) {
    const key = keyOf(observation);
    const band = bandOf(observation, policy);
    if (band === undefined && !positive.has(key) && !carriesOurs(observation)) continue;
    const wanted: KapCode[] = [];
    if (typeof band === 'string') wanted.push(band);
    if (overlapping.has(key)) wanted.push('recall-overlap');
    if (positive.has(key)) wanted.push('suicidality-follow-up');
    const current = changes.get(observation);
    const interpreted = withInterpretations(current, wanted);
    const settled = positive.has(key) ? restricted(interpreted) : interpreted;
    if (settled !== current) changes.put(settled);
  }
}

function isOurs({ system, code }: Coding): boolean {
  return system === SYSTEM.kap && SCORE_INTERPRETATIONS.has(code ?? '');
}

function carriesOurs({ interpretation }: Observation): boolean {
  return (interpretation ?? []).some(({ coding }) => coding?.some(isOurs));
}

function withInterpretations(observation: Observation, wanted: readonly KapCode[]): Observation {
  const written = observation.interpretation ?? [];
  const has = (code: KapCode): boolean => written.some((each) => hasKapCode(each, code));
  const stale = written.some(({ coding }) =>
    coding?.some((each) => isOurs(each) && !(wanted as readonly string[]).includes(each.code ?? '')),
  );
  const missing = wanted.filter((code) => !has(code));
  if (!stale && missing.length === 0) return observation;
  const kept = stale ? written.flatMap((each) => withoutOurs(each, wanted)) : written;
  const { interpretation: _old, ...rest } = observation;
  const settled = [...kept, ...missing.map((code) => concept(kapCoding(code), KAP[code]))];
  return settled.length === 0 ? rest : { ...rest, interpretation: settled };
}

/** A concept that says only what is no longer true is dropped whole; beside other codings only our coding goes. */
function withoutOurs(written: CodeableConcept, wanted: readonly string[]): CodeableConcept[] {
  const codings = written.coding ?? [];
  const kept = codings.filter((each) => !isOurs(each) || wanted.includes(each.code ?? ''));
  if (kept.length === codings.length) return [written];
  return kept.length === 0 ? [] : [{ ...written, coding: kept }];
}

/** a positive answer is at least restricted, whatever its author said. */
function restricted(observation: Observation): Observation {
  const labels = observation.meta?.security ?? [];
  const low = labels.some(({ system, code }) => system === SYSTEM.confidentiality && isBelowRestricted(code ?? ''));
  if (!low) return observation;
  const others = labels.filter(({ system }) => system !== SYSTEM.confidentiality);
  return { ...observation, meta: { ...observation.meta, security: [{ ...LABEL.restricted }, ...others] } };
}

const ACHIEVEMENT: Readonly<Record<string, string>> = {
  improving: 'Improving',
  worsening: 'Worsening',
  'no-change': 'No Change',
  achieved: 'Achieved',
  sustaining: 'Sustaining',
  'not-achieved': 'Not Achieved',
};

/** achievementStatus of the goals that PHQ-9 measures. */
export function settleGoals(
  course: Course,
  percentChanges: readonly PercentChange[],
  changes: Changes,
  policy: Policy,
): void {
  for (const goal of course.goals) {
    const code = achievementOf(goal, percentChanges, policy);
    if (code === undefined) continue;
    const same = goal.achievementStatus?.coding?.some(
      (each) => each.system === SYSTEM.goalAchievement && each.code === code,
    );
    if (same) continue;
    const display = ACHIEVEMENT[code] ?? code;
    changes.put({ ...goal, achievementStatus: concept({ system: SYSTEM.goalAchievement, code, display }, display) });
  }
}
