import type {
  ActivityDefinition,
  BundleEntry,
  CareTeamParticipant,
  CodeableConcept,
  Goal,
  GoalTarget,
  Identifier,
  MedicationRequest,
  Observation,
  Patient,
  PlanDefinition,
  PlanDefinitionGoal,
  Reference,
  Resource,
  ServiceRequest,
} from '@medplum/fhirtypes';
import type { Issue } from '../fhir/failure.ts';
import { claims, concept, EXTENSION, hasCode, hasKapCode, kapCoding, LOINC, SYSTEM, usCoreProfile } from './codes.ts';
import { atOffset, millisecondsOf, offsetOf } from './instant.ts';
import { DAY } from './moments.ts';
import { asBundleReference, fault, type Given, type ParameterDefinition, readParameters } from './parameters.ts';
import { policyOf } from './policy.ts';
import { type PlannedTherapy, type Protocol, readProtocol } from './protocol.ts';
import { type Recorded, refused } from './recorded.ts';
import { startsOf } from './schedule.ts';
import {
  bundleReference,
  businessIdentifier,
  createOnce,
  type Draft,
  identifiersOf,
  transactionOf,
} from './transaction.ts';

/**
 * `POST /fhir/PlanDefinition/{id}/$apply`: enrols a patient in a protocol.
 *
 * The answer is a transaction: EpisodeOfCare (the course), CarePlan (active), CareTeam, Goals, the ketamine order, and
 * one ServiceRequest for every infusion and every therapy of the protocol, joined by one requisition. How many, how
 * long, how far apart and which dose comes from the PlanDefinition and its ActivityDefinitions alone. All identifiers
 * follow from patient, protocol and the day of the first infusion (or from the `identifier` given), and everything is created only where it is not
 * there yet: applying twice for the same start enrols once. A second course while one is active is refused.
 */
export const APPLY_PARAMETERS: readonly ParameterDefinition[] = [
  {
    name: 'identifier',
    types: ['Identifier'],
    documentation:
      'The identifier of the course in the sending system; everything of the course is named after its value.',
  },
  { name: 'authoredOn', types: ['dateTime'], documentation: 'When the course was ordered; now unless told.' },
  {
    name: 'subject',
    types: ['Reference'],
    targets: ['Patient'],
    required: true,
    documentation: 'The Patient who is enrolled.',
  },
  {
    name: 'practitioner',
    types: ['Reference'],
    targets: ['Practitioner', 'PractitionerRole'],
    documentation: 'Who orders the course. Without one the orders stay drafts.',
  },
  {
    name: 'organization',
    types: ['Reference'],
    targets: ['Organization'],
    documentation: 'The clinic that runs the course.',
  },
  {
    name: 'encounter',
    types: ['Reference'],
    targets: ['Encounter'],
    documentation: 'The consult in which the course was decided.',
  },
  {
    name: 'condition',
    types: ['Reference'],
    targets: ['Condition'],
    many: true,
    documentation: 'A Condition that the course treats, the main one first.',
  },
  {
    name: 'supportingInfo',
    types: ['Reference'],
    many: true,
    documentation: 'What the plan rests on: consent, baseline scores.',
  },
  {
    name: 'participant',
    many: true,
    documentation: 'A member of the care team. Sessions go to the member whose role the ActivityDefinition asks for.',
    part: [
      {
        name: 'role',
        types: ['CodeableConcept'],
        required: true,
        documentation: 'The role, as a NUCC provider taxonomy code.',
      },
      {
        name: 'member',
        types: ['Reference'],
        targets: ['Practitioner', 'PractitionerRole', 'Organization'],
        required: true,
        documentation: 'The Practitioner, PractitionerRole or Organization.',
      },
    ],
  },
  {
    name: 'start',
    types: ['dateTime'],
    documentation: 'Start of the first infusion; now unless told. The others follow from the protocol.',
  },
  {
    name: 'infusion',
    types: ['dateTime'],
    many: true,
    documentation: 'Start of each infusion in order, one for each of the protocol, instead of `start`.',
  },
];

export type Enrolment = {
  readonly parameters: unknown;
  readonly planDefinition: PlanDefinition;
  readonly activityDefinitions: readonly ActivityDefinition[];
  /** The one that `subject` names, as stored. */
  readonly patient: Patient;
  /** What the record holds about the patient: running courses, baseline scores. */
  readonly course: readonly Resource[];
  readonly newUuid: () => string;
  /** A point in time with offset. */
  readonly now: string;
};

export function applyProtocol(enrolment: Enrolment): Recorded {
  const issues: Issue[] = [];
  const given = readParameters(enrolment.parameters, APPLY_PARAMETERS, issues);
  const read = readProtocol(enrolment.planDefinition, enrolment.activityDefinitions);
  if (!read.ok) return refused([...issues, ...read.issues]);
  const starts = startsOf(given, read.protocol, enrolment.now, issues);
  refuseOtherSubject(given, enrolment.patient, issues);
  const [first] = starts;
  if (issues.length > 0 || first === undefined) return refused(issues);
  const plan = new CoursePlan(enrolment, given, read.protocol, starts, first);
  const running = plan.otherActiveCourse();
  if (running !== undefined) return refused([running]);
  return { ok: true, bundle: transactionOf(plan.entries()) };
}

function refuseOtherSubject(given: Given, patient: Patient, issues: Issue[]): void {
  const subject = given.reference('subject');
  const literal = /^Patient\/([^/?]+)$/.exec(subject?.value.reference ?? '');
  if (subject !== undefined && literal !== null && literal[1] !== patient.id) {
    issues.push(fault('value', 'subject is another patient.', subject.place));
  }
}

class CoursePlan {
  readonly #enrolment: Enrolment;
  readonly #given: Given;
  readonly #protocol: Protocol;
  readonly #starts: readonly string[];
  /** The identifier that the sender gave the course. */
  readonly #named: Identifier | undefined;
  /** What every identifier of the course begins with. */
  readonly #key: string;
  readonly #subject: Reference<Patient>;
  readonly #requester: Reference<never> | undefined;
  readonly #organization: Reference<never> | undefined;
  readonly #conditions: readonly Reference<never>[];
  /** When it was ordered. */
  readonly #authoredOn: string;

  constructor(enrolment: Enrolment, given: Given, protocol: Protocol, starts: readonly string[], first: string) {
    this.#enrolment = enrolment;
    this.#given = given;
    this.#protocol = protocol;
    this.#starts = starts;
    this.#named = given.identifier('identifier')?.value;
    this.#key = this.#named?.value ?? `${enrolment.patient.id}-${protocol.id}-${first.slice(0, 10)}`;
    this.#subject = { reference: `Patient/${enrolment.patient.id}` };
    this.#requester = given.bundleReference('practitioner');
    this.#organization = given.bundleReference('organization');
    this.#conditions = given.references('condition').map(({ value }) => asBundleReference(value));
    this.#authoredOn = given.text('authoredOn')?.value ?? enrolment.now;
  }

  /** Two running courses would order every dose twice. */
  otherActiveCourse(): Issue | undefined {
    const own = businessIdentifier('CarePlan', this.#key);
    const other = this.#enrolment.course.find(
      (resource) =>
        resource.resourceType === 'CarePlan' &&
        (resource.status === 'active' || resource.status === 'on-hold') &&
        (resource.category ?? []).some((category) => hasKapCode(category, 'kap-course')) &&
        !identifiersOf(resource).some((found) => found.value === own.value),
    );
    if (other === undefined) return undefined;
    return fault(
      'business-rule',
      'The patient is in a running course. Complete or revoke its CarePlan first.',
      'Parameters.parameter',
    );
  }

  entries(): BundleEntry[] {
    const team = this.#careTeam();
    const episode = this.#create(this.#episode(team));
    const goals = this.#protocol.goals.map((goal, index) => this.#create(this.#goal(goal, index)));
    // The plan names its orders and the orders name the plan: one of the two references comes before its resource.
    const planUuid = this.#enrolment.newUuid();
    const planReference = bundleReference('CarePlan', planUuid);
    const infusions = this.#protocol.infusions.map((_, index) =>
      this.#create(this.#infusionOrder(index, planReference)),
    );
    const therapies = this.#protocol.therapies.map((therapy) =>
      this.#create(this.#therapyOrder(therapy, planReference)),
    );
    const drug = this.#protocol.order && this.#create(this.#ketamineOrder(this.#protocol.order, planReference));
    const plan = createOnce(this.#carePlan(team, goals, [...infusions, ...therapies], drug), planUuid);
    const drafts = [team, episode, ...goals, ...infusions, ...therapies, drug, plan];
    return drafts.flatMap((draft) => (draft === undefined ? [] : [draft.entry]));
  }

  #create(resource: Resource): Draft {
    return createOnce(resource, this.#enrolment.newUuid());
  }

  /** Of those named; where nobody is, of the patient and whoever orders the course, so that others can be added. */
  #careTeam(): Draft {
    const named = this.#participants();
    const participant = named.length > 0 ? named : this.#smallestTeam();
    return this.#create({
      resourceType: 'CareTeam',
      meta: { profile: [usCoreProfile('careteam')] },
      identifier: [businessIdentifier('CareTeam', this.#key)],
      status: 'active',
      name: `Care team: ${this.#protocol.title}`,
      subject: this.#subject,
      participant,
      ...(this.#organization && { managingOrganization: [this.#organization] }),
    });
  }

  #participants(): (CareTeamParticipant & { member: Reference<never> })[] {
    return this.#given.parts('participant').flatMap((part) => {
      const role = part.concept('role')?.value;
      const member = part.reference('member')?.value;
      return role && member ? [{ role: [role], member: asBundleReference(member) }] : [];
    });
  }

  #smallestTeam(): CareTeamParticipant[] {
    const orders = this.#requester && { role: [{ text: 'Orders the course' }], member: this.#requester };
    return [{ role: [{ text: 'Patient' }], member: this.#subject }, ...(orders ? [orders] : [])];
  }

  #episode(team: Draft): Resource {
    return {
      resourceType: 'EpisodeOfCare',
      meta: { profile: claims('kap-course') },
      identifier: [businessIdentifier('EpisodeOfCare', this.#key), ...(this.#named ? [this.#named] : [])],
      status: 'active',
      type: [concept(kapCoding('kap-course'), this.#protocol.title)],
      ...(this.#conditions.length > 0 && {
        diagnosis: this.#conditions.map((condition, index) => ({ condition, rank: index + 1 })),
      }),
      patient: this.#subject,
      ...(this.#organization && { managingOrganization: this.#organization }),
      period: { start: this.#firstDay() },
      ...(this.#requester && { careManager: this.#requester }),
      team: [team.reference],
    };
  }

  #firstDay(): string {
    return (this.#starts[0] ?? this.#enrolment.now).slice(0, 10);
  }

  #goal(goal: PlanDefinitionGoal, index: number): Goal {
    const target = (goal.target ?? []).map((planned): GoalTarget => {
      const { measure, detailQuantity, detailRange, detailCodeableConcept, due } = planned;
      const detail = this.#responseRange(detailCodeableConcept) ?? {
        ...(detailQuantity && { detailQuantity }),
        ...(detailRange && { detailRange }),
        ...(detailCodeableConcept && { detailCodeableConcept }),
      };
      const days = due?.code === undefined ? undefined : DAYS_OF[due.code];
      const end = due?.value === undefined || days === undefined ? undefined : this.#dayAfterStart(due.value * days);
      return { ...(measure && { measure }), ...detail, ...(end && { dueDate: end }) };
    });
    return {
      resourceType: 'Goal',
      meta: { profile: [usCoreProfile('goal')] },
      identifier: [businessIdentifier('Goal', `${this.#key}-${goal.id ?? index + 1}`)],
      lifecycleStatus: 'active',
      ...(goal.category && { category: [goal.category] }),
      description: goal.description,
      subject: this.#subject,
      startDate: this.#firstDay(),
      target,
      ...(this.#conditions.length > 0 && { addresses: [...this.#conditions] }),
    };
  }

  #dayAfterStart(days: number): string {
    return new Date(Date.parse(this.#firstDay()) + days * DAY).toISOString().slice(0, 10);
  }

  /** Response is relative: with a baseline it is a score, without one it stays in words. */
  #responseRange(detail: CodeableConcept | undefined): Pick<GoalTarget, 'detailRange'> | undefined {
    const baseline = this.#baseline();
    if (detail === undefined || !hasKapCode(detail, 'response') || baseline === undefined) return undefined;
    const fall = policyOf(this.#enrolment.planDefinition).responseFallPercent;
    const highest = Math.floor(baseline * (1 - fall / 100));
    return { detailRange: { high: { value: highest, unit: '{score}', system: SYSTEM.ucum, code: '{score}' } } };
  }

  #baseline(): number | undefined {
    const first = millisecondsOf(this.#starts[0]) ?? 0;
    const at = (score: Observation) => millisecondsOf(score.effectiveDateTime) ?? 0;
    const scores = this.#enrolment.course.filter(
      (resource): resource is Observation =>
        resource.resourceType === 'Observation' &&
        hasCode(resource.code, SYSTEM.loinc, LOINC.phq9Total.code ?? '') &&
        at(resource) < first,
    );
    return scores.sort((a, b) => at(b) - at(a))[0]?.valueQuantity?.value;
  }

  #infusionOrder(index: number, plan: Reference<never>): ServiceRequest {
    const infusion = this.#protocol.infusions[index];
    const start = this.#starts[index];
    if (infusion === undefined || start === undefined) throw new RangeError(`no infusion ${index + 1}`);
    const text = `${infusion.activity.code?.text ?? infusion.title} ${infusion.number} of ${this.#protocol.infusions.length}`;
    const period = { start, end: this.#plannedEnd(index) };
    return this.#order('inf', infusion.number, infusion.activity, text, plan, period);
  }

  #plannedEnd(index: number): string {
    const start = this.#starts[index] ?? '';
    const minutes = this.#protocol.infusions[index]?.minutes.high ?? 0;
    return atOffset((millisecondsOf(start) ?? 0) + minutes * 60_000, offsetOf(start));
  }

  #therapyOrder(therapy: PlannedTherapy, plan: Reference<never>): ServiceRequest {
    const index = therapy.infusion - 1;
    const start = this.#starts[index] ?? '';
    const end = this.#plannedEnd(index);
    const hoursAfterEnd = (hours: number) => atOffset((millisecondsOf(end) ?? 0) + hours * 3_600_000, offsetOf(end));
    const period =
      therapy.window === 'during'
        ? { start, end }
        : { start: hoursAfterEnd(therapy.window.low), end: hoursAfterEnd(therapy.window.high) };
    return this.#order('int', therapy.infusion, therapy.activity, therapy.title, plan, period);
  }

  #order(
    part: 'inf' | 'int',
    number: number,
    activity: ActivityDefinition,
    text: string,
    plan: Reference<never>,
    occurrencePeriod: { start: string; end: string },
  ): ServiceRequest {
    const performer = this.#performerOf(activity);
    return {
      resourceType: 'ServiceRequest',
      meta: { profile: claims(part === 'inf' ? 'kap-infusion-request' : 'kap-integration-request', 'servicerequest') },
      extension: [{ url: EXTENSION.sessionNumber, valuePositiveInt: number }],
      identifier: [businessIdentifier('ServiceRequest', `${this.#key}-${part}-${number}`)],
      instantiatesCanonical: [this.#protocol.canonical],
      basedOn: [plan],
      requisition: businessIdentifier('Requisition', this.#key),
      status: this.#requester ? 'active' : 'draft',
      intent: 'order',
      code: { ...activity.code, text },
      subject: this.#subject,
      occurrencePeriod,
      authoredOn: this.#authoredOn,
      ...(this.#requester && { requester: this.#requester }),
      ...(performer && { performer: [performer] }),
      ...(this.#conditions.length > 0 && { reasonReference: [...this.#conditions] }),
    };
  }

  /** The member of the team in the role that the activity asks for. */
  #performerOf(activity: ActivityDefinition): Reference<never> | undefined {
    const asked = (activity.participant ?? []).flatMap(({ role }) => role?.coding ?? []);
    const found = this.#participants().find(({ role }) =>
      asked.some(({ system, code }) => (role ?? []).some((own) => hasCode(own, system ?? '', code ?? ''))),
    );
    return found?.member;
  }

  #ketamineOrder(activity: ActivityDefinition, plan: Reference<never>): MedicationRequest {
    const encounter = this.#given.bundleReference('encounter');
    return {
      resourceType: 'MedicationRequest',
      meta: { profile: claims('kap-ketamine-order', 'medicationrequest') },
      identifier: [businessIdentifier('MedicationRequest', this.#key)],
      status: this.#requester ? 'active' : 'draft',
      // A drug that nobody ordered is a plan: US Core allows no order without its requester (us-core-21).
      intent: this.#requester ? 'order' : 'plan',
      category: [{ coding: [{ system: SYSTEM.requestCategory, code: 'outpatient', display: 'Outpatient' }] }],
      reportedBoolean: false,
      ...(activity.productCodeableConcept && { medicationCodeableConcept: activity.productCodeableConcept }),
      subject: this.#subject,
      ...(encounter && { encounter: encounter }),
      authoredOn: this.#authoredOn,
      ...(this.#requester && { requester: this.#requester }),
      ...(this.#conditions.length > 0 && { reasonReference: [...this.#conditions] }),
      instantiatesCanonical: [this.#protocol.canonical],
      basedOn: [plan],
      ...(activity.dosage && {
        dosageInstruction: activity.dosage.map((dosage) => ({
          ...dosage,
          timing: { repeat: { count: this.#starts.length } },
        })),
      }),
    };
  }

  #carePlan(team: Draft, goals: readonly Draft[], orders: readonly Draft[], drug: Draft | undefined): Resource {
    const encounter = this.#given.bundleReference('encounter');
    const supporting = this.#given.references('supportingInfo').map(({ value }) => asBundleReference(value));
    return {
      resourceType: 'CarePlan',
      meta: { profile: claims('kap-care-plan', 'careplan') },
      text: {
        status: 'generated',
        div: `<div xmlns="http://www.w3.org/1999/xhtml"><p>${xml(this.#protocol.title)}. ${xml(this.#protocol.description)}</p></div>`,
      },
      identifier: [businessIdentifier('CarePlan', this.#key)],
      instantiatesCanonical: [this.#protocol.canonical],
      status: 'active',
      intent: 'order',
      category: [
        { coding: [{ system: SYSTEM.carePlanCategory, code: 'assess-plan' }] },
        concept(kapCoding('kap-course')),
      ],
      title: this.#protocol.title,
      subject: this.#subject,
      ...(encounter && { encounter }),
      period: { start: this.#firstDay() },
      created: this.#authoredOn,
      ...(this.#requester && { author: this.#requester }),
      careTeam: [team.reference],
      ...(this.#conditions.length > 0 && { addresses: [...this.#conditions] }),
      ...(supporting.length > 0 && { supportingInfo: supporting }),
      ...(goals.length > 0 && { goal: goals.map(({ reference }) => reference) }),
      activity: [...orders, ...(drug ? [drug] : [])].map(({ reference }) => ({ reference })),
    };
  }
}

const DAYS_OF: Readonly<Record<string, number>> = { d: 1, wk: 7, mo: 30 };

function xml(text: string): string {
  return text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
}
