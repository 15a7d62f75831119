/** Work for people: a session that is overdue, an infusion to stop, a patient to look after at once. */
import type { CodeableConcept, Encounter, Reference } from '@medplum/fhirtypes';
import { hasCode, hasKapCode, SYSTEM } from '../codes.ts';
import { type Course, type Infusion, type Key, keyOf, target } from '../course.ts';
import { later, MINUTE, momentOf } from '../moments.ts';
import type { Policy } from '../policy.ts';
import type { WantedTask } from './difference.ts';
import type { Integration } from './integration-window.ts';
import type { Outcome } from './outcome.ts';
import type { Alarm } from './suicidality.ts';

/** nobody has held the session and its window is over. Held at last, the Task is done. */
export function overdueTasks(integrations: readonly Integration[], course: Course): readonly WantedTask[] {
  return integrations.flatMap(({ infusion, overdue, since }) => {
    if (overdue === 'no' || since === undefined) return [];
    return {
      value: `R-04|${infusion.key}|overdue`,
      code: 'integration-overdue',
      state: overdue === 'open' ? 'open' : 'done',
      priority: 'urgent',
      description:
        'Rule R-04: no integration session was held in the window after the infusion; hold it, or confirm that it is missed',
      focus: infusion.key,
      encounter: infusion.encounter === undefined ? undefined : keyOf(infusion.encounter),
      owner: therapistOf(infusion, course),
      authoredOn: since.text,
    } satisfies WantedTask;
  });
}

/** the infusion is to be stopped. Once it is `stopped`, that was done. */
export function stopTasks(course: Course, outcomes: readonly Outcome[]): readonly WantedTask[] {
  const triggers = new Map(
    outcomes.flatMap((outcome) =>
      outcome.rule === 'R-06' && outcome.result === 'fail'
        ? outcome.findings.map(({ identified }) => [outcome.subject, identified] as const)
        : [],
    ),
  );
  return course.infusions.flatMap((infusion) => {
    const authoredOn = triggers.get(infusion.key);
    if (authoredOn === undefined) return [];
    return {
      value: `R-06|${infusion.key}|stop`,
      code: 'bp-stop',
      state: infusion.state === 'stopped' ? 'done' : 'open',
      priority: 'stat',
      description:
        'Rule R-06: blood pressure reached the stop value during the infusion; stop it and call the prescriber',
      focus: infusion.key,
      encounter: infusion.encounter === undefined ? undefined : keyOf(infusion.encounter),
      owner: target(infusion.procedure.performer?.[0]?.actor),
      authoredOn,
    } satisfies WantedTask;
  });
}

/** one Task each for therapist and prescriber; one for nobody in particular where neither is known. */
export function suicidalityTasks(alarms: readonly Alarm[], course: Course, policy: Policy): readonly WantedTask[] {
  return alarms.flatMap(({ key, visit, at, reason }) => {
    if (at === undefined) return [];
    const moment = momentOf(at);
    const dueBy = moment === undefined ? undefined : later(moment, policy.suicidalityScreenMinutes * MINUTE).text;
    return recipients(visit, course).map(
      ({ role, owner }): WantedTask => ({
        value: `R-12|${key}|${role}`,
        code: 'review-suicidality',
        state: 'open',
        priority: 'stat',
        description: `Rule R-12: ${reason}; see the patient now`,
        focus: key,
        encounter: visit,
        owner,
        authoredOn: at,
        ...(dueBy === undefined ? {} : { dueBy }),
      }),
    );
  });
}

type Recipient = { readonly role: 'therapist' | 'prescriber' | 'staff'; readonly owner: Key | undefined };

function recipients(visit: Key | undefined, course: Course): readonly Recipient[] {
  const therapist = visitTherapist(visit, course) ?? orderedTherapist(course);
  const prescriber = prescriberOf(course);
  const found: Recipient[] = [];
  if (therapist !== undefined) found.push({ role: 'therapist', owner: therapist });
  if (prescriber !== undefined && prescriber !== therapist) found.push({ role: 'prescriber', owner: prescriber });
  return found.length > 0 ? found : [{ role: 'staff', owner: undefined }];
}

/** Who holds the session in whose visit the score was taken. */
function visitTherapist(visit: Key | undefined, { byKey }: Course): Key | undefined {
  const encounter = byKey.get(visit ?? '');
  return encounter?.resourceType === 'Encounter' ? primaryPerformer(encounter) : undefined;
}

function primaryPerformer({ participant }: Encounter): Key | undefined {
  const primary = participant?.find(({ type }) =>
    type?.some((each) => hasCode(each, SYSTEM.participationType, 'PPRF')),
  );
  return person(primary?.individual);
}

function person(reference: Reference | undefined): Key | undefined {
  const key = target(reference);
  return key !== undefined && /^(Practitioner|PractitionerRole)\//.test(key) ? key : undefined;
}

/** Who is asked to hold the integration sessions; before anybody is, the therapist of the care team. */
function orderedTherapist({ orders, byKey }: Course): Key | undefined {
  for (const { code, performer } of orders) {
    if (!hasKapCode(code, 'kap-integration-session')) continue;
    const found = person(performer?.[0]);
    if (found !== undefined) return found;
  }
  for (const resource of byKey.values()) {
    if (resource.resourceType !== 'CareTeam' || !TEAM_AT_WORK.has(resource.status ?? 'active')) continue;
    const therapist = resource.participant?.find(({ role, member }) => person(member) && role?.some(isTherapist));
    if (therapist !== undefined) return person(therapist.member);
  }
  return undefined;
}

const TEAM_AT_WORK = new Set(['proposed', 'active', 'suspended']);

/** NUCC: counselors, psychologists, social workers, and marriage and family therapists, with their specialties. */
const THERAPISTS = /^(101Y|103T|1041|106H)/;

function isTherapist({ coding }: CodeableConcept): boolean {
  return (coding ?? []).some(({ system, code }) => system === SYSTEM.nucc && THERAPISTS.test(code ?? ''));
}

/** Who ordered the infusions. */
function prescriberOf({ orders, byKey }: Course): Key | undefined {
  for (const { code, requester } of orders) {
    const found = hasKapCode(code, 'kap-infusion') ? person(requester) : undefined;
    if (found !== undefined) return found;
  }
  for (const resource of byKey.values()) {
    if (resource.resourceType !== 'MedicationRequest' || resource.status === 'entered-in-error') continue;
    const found = person(resource.requester);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The performer of the infusion's own integration order, else of any. */
function therapistOf(infusion: Infusion, course: Course): Key | undefined {
  const own = course.orders.find(
    ({ code, supportingInfo }) =>
      hasKapCode(code, 'kap-integration-session') && supportingInfo?.some((each) => target(each) === infusion.key),
  );
  return person(own?.performer?.[0]) ?? orderedTherapist(course);
}
