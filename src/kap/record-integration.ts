import type { Bundle, Coding, Encounter, Identifier, Procedure, Reference, ServiceRequest } from '@medplum/fhirtypes';
import type { Issue } from '../fhir/failure.ts';
import { claims, concept, EXTENSION, kapCoding, LOINC, SNOMED, SYSTEM } from './codes.ts';
import { millisecondsOf } from './instant.ts';
import { addScale, type RatedScale, readScores, SCORE_PARAMETER } from './instruments.ts';
import { messageDigest, messagesOf, messageTags, refuseOtherContent, repeated } from './message.ts';
import { DAY } from './moments.ts';
import {
  asBundleReference,
  fault,
  type Given,
  type ParameterDefinition,
  type Placed,
  readParameters,
} from './parameters.ts';
import type { Policy } from './policy.ts';
import { type PsychotherapyNote, psychotherapyNote, psychotherapyNoteIdentifier } from './psychotherapy-note.ts';
import { type Recorded, refused } from './recorded.ts';
import {
  minutesBetween,
  PlannedCourse,
  refersTo,
  refuseDisorder,
  type SessionRequest,
  sameInstant,
} from './session.ts';
import { chartNote, type SessionContext, SessionDrafts, sessionProvenance, ucum } from './session-resources.ts';
import { bundleReference, businessIdentifier, replaceStored, transactionOf } from './transaction.ts';

/**
 * The parameters of `POST /fhir/CarePlan/{id}/$record-integration`. Times are points in time with offset.
 * References are literal, conditional (`Practitioner?identifier=system|value`), or a type and an identifier.
 */
export const INTEGRATION_PARAMETERS: readonly ParameterDefinition[] = [
  {
    name: 'infusion',
    types: ['Reference'],
    targets: ['Procedure'],
    documentation:
      'The infusion that this session works with; unless told, the one that is running, else the latest before it that has no therapy yet.',
  },
  { name: 'identifier', types: ['Identifier'], documentation: 'The identifier of this session in the sending system.' },
  {
    name: 'correction',
    types: ['boolean'],
    documentation: 'True replaces what is recorded of this session by what is given here.',
  },
  { name: 'arrival', types: ['dateTime'], documentation: 'Start of the visit, where it differs from start.' },
  { name: 'start', types: ['dateTime'], required: true, documentation: 'Start of the therapy.' },
  { name: 'end', types: ['dateTime'], required: true, documentation: 'End of the therapy.' },
  {
    name: 'therapist',
    types: ['Reference'],
    targets: ['Practitioner', 'PractitionerRole'],
    required: true,
    documentation: 'Who held the session.',
  },
  {
    name: 'modality',
    types: ['CodeableConcept'],
    documentation: 'The kind of psychotherapy, as SNOMED CT procedure; individual psychotherapy unless told.',
  },
  { name: 'telehealth', types: ['boolean'], documentation: 'True for a session by video.' },
  { name: 'location', types: ['Reference'], targets: ['Location'], documentation: 'The room.' },
  SCORE_PARAMETER,
  { name: 'note', types: ['string'], documentation: 'The progress note, as text. Part of the chart.' },
  {
    name: 'psychotherapyNote',
    types: ['string'],
    documentation:
      'A psychotherapy note (45 CFR 164.501), as text. Kept apart from the chart; no delivery contains it.',
  },
];

/**
 * `POST /fhir/CarePlan/{id}/$record-integration`: one therapy session, from compact Parameters to linked resources.
 *
 * Encounter and Procedure name the infusion as their reason. A session held while the infusion runs has no Encounter
 * of its own: its Procedure is part of the infusion and belongs to that visit. The progress note is part of the
 * chart. A psychotherapy note is another DocumentReference whose text lies in a Binary of its own, labelled so that
 * nothing delivers it, outside the search for clinical notes, with its own Provenance; its text is in no other place.
 *
 * Identifiers, repetition and `correction` are as in $record-infusion.
 */
export function recordIntegration(request: SessionRequest): Recorded {
  const issues: Issue[] = [];
  const course = new PlannedCourse(request.carePlan, request.course);
  const given = readParameters(request.parameters, INTEGRATION_PARAMETERS, issues);
  // Not even a digest of the psychotherapy note enters the chart: it has one of its own, beside the note.
  const digest = messageDigest(request.parameters, ['psychotherapyNote']);
  const before = repeated(course.procedures('kap-integration-session'), digest, given);
  if (issues.length === 0 && before !== undefined) {
    return before.answer.ok
      ? withNoteOf(request, course, given, before.procedure, before.answer.bundle)
      : before.answer;
  }
  course.refuseUnlessActive(issues);
  const session = readSession(given, course, request.policy, digest, issues);
  if (session === undefined || issues.length > 0) return refused(issues);
  const record = new IntegrationRecord(request, course, given, session, digest);
  const entries = record.entries();
  const note = record.note();
  return { ok: true, bundle: transactionOf([...entries, ...(note?.entries ?? [])], note?.notes) };
}

/**
 * A repeated message with a psychotherapy note: the note is not part of what made the message known, so it is looked
 * at on its own. It is there (nothing happens), it is missing (it is added), or another one is there (a conflict).
 */
function withNoteOf(
  request: SessionRequest,
  course: PlannedCourse,
  given: Given,
  procedure: Procedure,
  answer: Bundle,
): Recorded {
  const placed = given.text('psychotherapyNote');
  const therapist = given.reference('therapist');
  const { system } = businessIdentifier('Procedure', '');
  const key = procedure.identifier?.find((identifier) => identifier.system === system)?.value;
  if (placed === undefined || therapist === undefined || key === undefined) return { ok: true, bundle: answer };
  const digest = messageDigest(request.parameters);
  const stored = course.withIdentifier('DocumentReference', psychotherapyNoteIdentifier(key));
  if (stored !== undefined) {
    if (messagesOf(stored).includes(digest)) return { ok: true, bundle: answer };
    const text = 'This session has another psychotherapy note. Send correction = true to replace it.';
    return refused([fault('conflict', text, placed.place)]);
  }
  const organization = course.organization();
  const context = {
    key,
    subject: course.subject,
    encounter: procedure.encounter as Reference<never>,
    ...(organization && { organization }),
    correction: false,
    newUuid: request.newUuid,
  };
  const note = { text: placed.value, date: request.now, author: asBundleReference(therapist.value), digest };
  const { entries, notes } = psychotherapyNote(context, note, request.now);
  return { ok: true, bundle: transactionOf([...(answer.entry ?? []), ...entries], notes) };
}

type IntegrationSession = {
  readonly infusion: Procedure;
  readonly number: number;
  readonly order?: ServiceRequest;
  readonly key: string;
  /** The Procedure that is recorded for it. */
  readonly recorded?: Procedure;
  readonly identifier?: Identifier;
  readonly correction: boolean;
  readonly start: string;
  readonly end: string;
  readonly arrival?: string;
  readonly during: boolean;
  readonly therapist: Reference<never>;
  readonly scales: readonly RatedScale[];
};

function readSession(
  given: Given,
  course: PlannedCourse,
  policy: Policy,
  digest: string,
  issues: Issue[],
): IntegrationSession | undefined {
  const start = given.text('start');
  const end = given.text('end');
  const arrival = given.text('arrival');
  const therapist = given.reference('therapist');
  refuseDisorder(
    [
      { name: 'arrival', at: arrival },
      { name: 'start', at: start },
      { name: 'end', at: end, strictly: true },
    ],
    issues,
  );
  const scales = readScores(given, issues);
  const infusion = start && infusionOf(given, start, course, policy, issues);
  if (start === undefined || end === undefined || therapist === undefined || infusion === undefined) return undefined;
  const began = millisecondsOf(infusion.performedPeriod?.start);
  const ended = millisecondsOf(infusion.performedPeriod?.end);
  const at = millisecondsOf(start.value) ?? 0;
  if (began !== undefined && at < began) {
    issues.push(fault('business-rule', 'The therapy starts before the infusion that it names.', start.place));
  }
  const infusions = course.orders('kap-infusion');
  const position = infusions.findIndex(({ id }) => refersTo(infusion.basedOn, `ServiceRequest/${id}`));
  const order = orderOf(infusion, position, course);
  const identifier = given.identifier('identifier')?.value;
  const key = identifier?.value ?? keyOf(course, infusion, position);
  const correction = given.boolean('correction')?.value ?? false;
  const recorded = course.withIdentifier('Procedure', businessIdentifier('Procedure', key));
  refuseAnother(given, recorded, digest, correction, { start, end }, issues);
  return {
    infusion,
    number: position + 1,
    ...(order && { order }),
    key,
    ...(recorded && { recorded }),
    ...(identifier && { identifier }),
    correction,
    start: start.value,
    end: end.value,
    ...(arrival && { arrival: arrival.value }),
    during: ended !== undefined && at < ended,
    therapist: asBundleReference(therapist.value),
    scales,
  };
}

function infusionOf(
  given: Given,
  start: Placed<string>,
  course: PlannedCourse,
  policy: Policy,
  issues: Issue[],
): Procedure | undefined {
  const infusions = course
    .procedures('kap-infusion')
    .filter(({ status }) => status === 'completed' || status === 'stopped');
  const named = given.reference('infusion');
  if (named !== undefined) {
    const found = course.resolve('Procedure', named.value);
    const own = infusions.find(({ id }) => found !== undefined && id === found.id);
    if (own === undefined)
      issues.push(fault('not-found', 'This is no infusion of this course that took place.', named.place));
    return own;
  }
  const same = course
    .procedures('kap-integration-session')
    .find(({ performedPeriod }) => sameInstant(performedPeriod?.start, start.value));
  const ofSame = infusions.find(({ id }) => same !== undefined && namesInfusion(same, `Procedure/${id}`));
  const at = millisecondsOf(start.value) ?? 0;
  const running = infusions.find(
    ({ performedPeriod }) =>
      at >= (millisecondsOf(performedPeriod?.start) ?? Infinity) && at < (millisecondsOf(performedPeriod?.end) ?? 0),
  );
  const found = ofSame ?? running ?? latestWithoutTherapy(start.value, infusions, course, policy);
  if (found === undefined) {
    const text = `No infusion without therapy ended in the ${policy.integrationMissedAfterDays} days before. Name the infusion.`;
    issues.push(fault('business-rule', text, start.place));
  }
  return found;
}

/** Section 3.4 of the rules: the latest infusion before the session, not too long ago, that has no therapy yet. */
function latestWithoutTherapy(
  start: string,
  infusions: readonly Procedure[],
  course: PlannedCourse,
  policy: Policy,
): Procedure | undefined {
  const at = millisecondsOf(start) ?? 0;
  const therapies = course.procedures('kap-integration-session').filter(({ status }) => status !== 'not-done');
  const endOf = (procedure: Procedure) => millisecondsOf(procedure.performedPeriod?.end) ?? Number.NaN;
  return infusions
    .filter((infusion) => endOf(infusion) < at && at - endOf(infusion) <= policy.integrationMissedAfterDays * DAY)
    .filter(({ id }) => !therapies.some((therapy) => namesInfusion(therapy, `Procedure/${id}`)))
    .sort((a, b) => endOf(b) - endOf(a))[0];
}

function namesInfusion({ reasonReference, partOf }: Procedure, infusion: string): boolean {
  return refersTo(reasonReference, infusion) || refersTo(partOf, infusion);
}

/** The order that names the infusion, else the one at its place in the plan. */
function orderOf(infusion: Procedure, position: number, course: PlannedCourse): ServiceRequest | undefined {
  const orders = course.orders('kap-integration-session');
  return orders.find(({ supportingInfo }) => refersTo(supportingInfo, `Procedure/${infusion.id}`)) ?? orders[position];
}

function keyOf(course: PlannedCourse, infusion: Procedure, position: number): string {
  return position < 0 ? `${course.key}-int-of-${infusion.id}` : `${course.key}-int-${position + 1}`;
}

function refuseAnother(
  given: Given,
  recorded: Procedure | undefined,
  digest: string,
  correction: boolean,
  times: { start: Placed<string>; end: Placed<string> },
  issues: Issue[],
): void {
  const place = given.boolean('correction')?.place ?? given.place;
  if (correction && recorded === undefined) {
    issues.push(fault('not-found', 'There is nothing recorded of this session to correct.', place));
  }
  if (correction || recorded === undefined) return;
  const before = issues.length;
  for (const name of ['start', 'end'] as const) {
    if (sameInstant(recorded.performedPeriod?.[name], times[name].value)) continue;
    const text = `A session for this infusion is recorded with another ${name}. Send correction = true to correct it; a further session needs an identifier of its own.`;
    issues.push(fault('conflict', text, times[name].place));
  }
  if (issues.length === before) refuseOtherContent(recorded, digest, issues);
}

class IntegrationRecord {
  readonly #request: SessionRequest;
  readonly #course: PlannedCourse;
  readonly #given: Given;
  readonly #session: IntegrationSession;
  readonly #digest: string;
  readonly #context: SessionContext;
  readonly #drafts: SessionDrafts;
  readonly #encounterUuid: string;
  readonly #procedureUuid: string;
  readonly #infusion: Reference<never>;
  readonly #conditions: readonly Reference<never>[];

  constructor(
    request: SessionRequest,
    course: PlannedCourse,
    given: Given,
    session: IntegrationSession,
    digest: string,
  ) {
    const organization = course.organization();
    const visit = session.during ? course.encounterOf(session.infusion) : undefined;
    this.#request = request;
    this.#course = course;
    this.#given = given;
    this.#session = session;
    this.#digest = digest;
    this.#encounterUuid = request.newUuid();
    this.#procedureUuid = request.newUuid();
    this.#infusion = { reference: `Procedure/${session.infusion.id}` };
    this.#conditions = (request.carePlan.addresses ?? []).map(asBundleReference);
    this.#drafts = new SessionDrafts(session.correction, request.newUuid);
    this.#context = {
      key: session.key,
      subject: course.subject,
      encounter: visit ? { reference: `Encounter/${visit.id}` } : bundleReference('Encounter', this.#encounterUuid),
      procedure: bundleReference('Procedure', this.#procedureUuid),
      ...(organization && { organization }),
      correction: session.correction,
      newUuid: request.newUuid,
    };
  }

  entries() {
    const drafts = this.#drafts;
    const { scales, therapist, arrival, start, end } = this.#session;
    const cpt = psychotherapyCpt(minutesBetween(start, end) ?? 0);
    if (this.#context.encounter.reference === `urn:uuid:${this.#encounterUuid}`) {
      drafts.add(this.#encounter(cpt), this.#encounterUuid);
    }
    drafts.add(this.#procedure(cpt), this.#procedureUuid);
    for (const scale of scales)
      addScale(scale, arrival ?? start, this.#context, therapist, (resource) => drafts.add(resource));
    this.#addProgressNote();
    this.#completeOrder();
    const author = [{ type: 'author' as const, who: therapist }];
    drafts.addOnce(
      sessionProvenance(this.#context, `provenance-${this.#digest}`, drafts.references, this.#request.now, author),
    );
    return drafts.entries;
  }

  #reasons(): Reference<never>[] {
    return [this.#infusion, ...this.#conditions];
  }

  #encounter(cpt: readonly Coding[]): Encounter {
    const { key, identifier, order, arrival, start, end, therapist } = this.#session;
    const telehealth = this.#given.boolean('telehealth')?.value ?? false;
    const location = this.#given.reference('location');
    const episode = this.#course.episode();
    const arrived = arrival ?? start;
    return {
      resourceType: 'Encounter',
      meta: { profile: claims('kap-integration-encounter', 'encounter') },
      identifier: [businessIdentifier('Encounter', key), ...(identifier ? [identifier] : [])],
      status: 'finished',
      statusHistory: [
        ...(arrived === start ? [] : [{ status: 'arrived' as const, period: { start: arrived, end: start } }]),
        { status: 'in-progress', period: { start, end } },
        { status: 'finished', period: { start: end } },
      ],
      class: telehealth
        ? { system: SYSTEM.actCode, code: 'VR', display: 'virtual' }
        : { system: SYSTEM.actCode, code: 'AMB', display: 'ambulatory' },
      type: [
        concept(
          [SNOMED.followUpEncounter, ...cpt, kapCoding('kap-integration-session')],
          'Integration psychotherapy session',
        ),
      ],
      subject: this.#context.subject,
      ...(episode && { episodeOfCare: [{ reference: `EpisodeOfCare/${episode.id}` }] }),
      ...(order && { basedOn: [{ reference: `ServiceRequest/${order.id}` }] }),
      participant: [
        {
          type: [concept({ system: SYSTEM.participationType, code: 'PPRF', display: 'primary performer' })],
          period: { start, end },
          individual: therapist,
        },
      ],
      period: { start: arrived, end },
      length: ucum(minutesBetween(arrived, end) ?? 0, 'min'),
      reasonReference: this.#reasons(),
      ...(location && { location: [{ location: asBundleReference(location.value), status: 'completed' }] }),
      ...(this.#context.organization && { serviceProvider: this.#context.organization }),
    };
  }

  #procedure(cpt: readonly Coding[]): Procedure {
    const { key, number, order, start, end, during, therapist } = this.#session;
    const { organization } = this.#context;
    const role = this.#course.roleOf(therapist);
    const modality = this.#given.concept('modality')?.value;
    const kinds = modality?.coding?.map(withoutDescriptor) ?? [SNOMED.individualPsychotherapy];
    const text =
      modality?.text ?? (during ? 'Psychotherapy during the infusion' : 'Individual psychotherapy, KAP integration');
    return {
      resourceType: 'Procedure',
      meta: {
        profile: claims('kap-integration-procedure', 'procedure'),
        tag: messageTags(this.#session.recorded, this.#digest),
      },
      ...(number > 0 && { extension: [{ url: EXTENSION.sessionNumber, valuePositiveInt: number }] }),
      identifier: [businessIdentifier('Procedure', key)],
      instantiatesCanonical: [...(this.#request.carePlan.instantiatesCanonical ?? [])],
      basedOn: [
        { reference: `CarePlan/${this.#request.carePlan.id}` },
        ...(order ? [{ reference: `ServiceRequest/${order.id}` }] : []),
      ],
      ...(during && { partOf: [this.#infusion] }),
      status: 'completed',
      category: concept(SNOMED.psychiatryService),
      code: concept([...kinds, ...cpt, kapCoding('kap-integration-session')], text),
      subject: this.#context.subject,
      encounter: this.#context.encounter,
      performedPeriod: { start, end },
      recorder: therapist,
      performer: [
        { ...(role && { function: role }), actor: therapist, ...(organization && { onBehalfOf: organization }) },
      ],
      reasonReference: this.#reasons(),
    };
  }

  #addProgressNote(): void {
    const text = this.#given.text('note')?.value;
    const { key, number, start, end, therapist } = this.#session;
    if (text === undefined) return;
    const identifier = businessIdentifier('DocumentReference', `${key}-note`);
    this.#drafts.add(
      chartNote(this.#context, {
        part: 'note',
        type: concept(LOINC.progressNote, 'Mental health progress note'),
        title: number > 0 ? `Progress note, integration session ${number}` : 'Progress note, integration session',
        text,
        date: this.#course.withIdentifier('DocumentReference', identifier)?.date ?? this.#request.now,
        period: { start, end },
        author: therapist,
        related: [this.#context.procedure, this.#infusion],
      }),
    );
  }

  #completeOrder(): void {
    const { order } = this.#session;
    if (order === undefined || order.status === 'completed') return;
    this.#drafts.change(replaceStored(order, { status: 'completed' }));
  }

  /** The psychotherapy note, when there is one. */
  note(): PsychotherapyNote | undefined {
    const text = this.#given.text('psychotherapyNote')?.value;
    if (text === undefined) return undefined;
    const stored = this.#course.withIdentifier('DocumentReference', psychotherapyNoteIdentifier(this.#session.key));
    const note = {
      text,
      date: stored?.date ?? this.#request.now,
      author: this.#session.therapist,
      digest: messageDigest(this.#request.parameters),
    };
    return psychotherapyNote(this.#context, note, this.#request.now);
  }
}

/** The text of a CPT code is the property of the AMA: it is neither kept nor passed on. */
function withoutDescriptor({ display, ...coding }: Coding): Coding {
  return coding.system === SYSTEM.cpt || display === undefined ? coding : { ...coding, display };
}

/** CPT of individual psychotherapy by its minutes (rule R-23); the ranges are those of the code set. */
function psychotherapyCpt(minutes: number): Coding[] {
  const code = minutes >= 53 ? '90837' : minutes >= 38 ? '90834' : minutes >= 16 ? '90832' : undefined;
  return code === undefined ? [] : [{ system: SYSTEM.cpt, code }];
}
