/** What must stand before an infusion: a treatment consent and, before the first, a provider's consult. */
import type { Consent, Encounter } from '@medplum/fhirtypes';
import { ALERT, hasCode, SYSTEM } from '../codes.ts';
import { type Course, type Infusion, keyOf, target, taxonomyOf } from '../course.ts';
import { offsetOf } from '../instant.ts';
import { boundsOf, DAY, type Moment } from '../moments.ts';
import type { Policy } from '../policy.ts';
import { type Answer, every, fail, indeterminate, type Outcome, pass, some } from './outcome.ts';

const NO_START = 'the infusion has no start with time and offset';

/**
 * a treatment consent, signed before the start and in force at it. A consent that is inactive today counts as
 * withdrawn if its last version is older than the start; otherwise nobody can say from the current record.
 */
export function treatmentConsent(infusion: Infusion, course: Course, policy: Policy): Outcome {
  const { key, start } = infusion;
  if (start === undefined) return indeterminate('R-01', key, NO_START);
  const treatment = course.consents.filter(({ scope }) => hasCode(scope, SYSTEM.consentScope, 'treatment'));
  const answer = some(treatment.map((consent) => covers(consent, start, policy)));
  if (answer === 'yes') return pass('R-01', key);
  if (answer === 'unknown') {
    return indeterminate('R-01', key, 'a treatment consent does not say exactly when it was signed, or holds');
  }
  return fail(key, {
    rule: 'R-01',
    code: 'consent-missing',
    alert: ALERT.compliance,
    severity: 'high',
    detail: `infusion started ${start.text}; no treatment consent was signed before and in force then`,
    identified: start.text,
    implicated: [key, ...treatment.map(keyOf)],
  });
}

function covers(consent: Consent, start: Moment, policy: Policy): Answer {
  const current =
    policy.consentForms.length === 0 ||
    (consent.policy ?? []).some(({ uri }) => uri !== undefined && policy.consentForms.includes(uri));
  return every([
    inForce(consent, start),
    current ? 'yes' : 'no',
    before(consent.dateTime, start),
    within(consent, start),
  ]);
}

function inForce({ status, meta }: Consent, start: Moment): Answer {
  if (status === 'active') return 'yes';
  if (status !== 'inactive') return 'no';
  const since = meta?.lastUpdated === undefined ? Number.NaN : Date.parse(meta.lastUpdated);
  return since < start.at ? 'no' : 'unknown';
}

function before(dateTime: string | undefined, start: Moment): Answer {
  const bounds = dateTime === undefined ? undefined : boundsOf(dateTime, offsetOf(start.text));
  if (bounds === undefined) return 'unknown';
  if (bounds.high - 1 <= start.at) return 'yes';
  return bounds.low > start.at ? 'no' : 'unknown';
}

/** Both ends of a Period are inclusive; the end of a day is its last millisecond. */
function within({ provision }: Consent, start: Moment): Answer {
  const period = provision?.period;
  if (period?.start === undefined && period?.end === undefined) return 'unknown';
  const offset = offsetOf(start.text);
  const low = period.start === undefined ? undefined : boundsOf(period.start, offset);
  const high = period.end === undefined ? undefined : boundsOf(period.end, offset);
  return (low === undefined || low.low <= start.at) && (high === undefined || start.at < high.high) ? 'yes' : 'no';
}

/** R-02, for the first infusion of an episode alone: others return undefined. */
export function providerConsult(infusion: Infusion, course: Course, policy: Policy): Outcome | undefined {
  const { key, start } = infusion;
  if (infusion.number !== 1) return undefined;
  if (start === undefined) return indeterminate('R-02', key, NO_START);
  const answer = some(course.consults.map((consult) => clears(consult, start, course, policy)));
  if (answer === 'yes') return pass('R-02', key);
  if (answer === 'unknown') {
    return indeterminate('R-02', key, 'a consult does not say exactly when it ended, or in which role it was held');
  }
  return fail(key, {
    rule: 'R-02',
    code: 'consult-missing',
    alert: ALERT.compliance,
    severity: 'high',
    detail:
      `first infusion started ${start.text}; no consult by a qualified provider was finished before, ` +
      `at most ${policy.consultValidDays} d earlier`,
    identified: start.text,
    implicated: [key, ...course.consults.map(keyOf)],
  });
}

function clears(consult: Encounter, start: Moment, course: Course, policy: Policy): Answer {
  const end = consult.period?.end;
  return every([before(end, start), recent(end, start, policy), qualified(consult, course, policy)]);
}

function recent(dateTime: string | undefined, start: Moment, policy: Policy): Answer {
  const bounds = dateTime === undefined ? undefined : boundsOf(dateTime, offsetOf(start.text));
  if (bounds === undefined) return 'unknown';
  const oldest = start.at - policy.consultValidDays * DAY;
  if (bounds.low >= oldest) return 'yes';
  return bounds.high - 1 < oldest ? 'no' : 'unknown';
}

function qualified({ participant }: Encounter, course: Course, policy: Policy): Answer {
  const people = (participant ?? []).flatMap(({ individual }) => target(individual) ?? []);
  if (people.length === 0) return 'unknown';
  return some(
    people.map((person) => {
      const roles = taxonomyOf(person, course.byKey);
      if (policy.consultRoles.some((role) => roles.has(role))) return 'yes';
      return roles.size === 0 ? 'unknown' : 'no';
    }),
  );
}
