import type {
  AdverseEvent,
  CodeableConcept,
  Encounter,
  EncounterParticipant,
  Medication,
  MedicationAdministration,
  Observation,
  ObservationComponent,
  Procedure,
  QuestionnaireResponse,
  QuestionnaireResponseItem,
  QuestionnaireResponseItemAnswer,
  Reference,
} from '@medplum/fhirtypes';
import type { Issue } from '../fhir/failure.ts';
import {
  CANONICAL_BASE,
  claims,
  concept,
  EXTENSION,
  IDEMPOTENCY_KEY,
  KETAMINE_CODES,
  kapCoding,
  LOINC,
  RXNORM,
  SNOMED,
  SYSTEM,
  usCoreProfile,
} from './codes.ts';
import { type InfusionAnswers, readAnswers } from './infusion-answers.ts';
import { INFUSION_PARAMETERS } from './infusion-parameters.ts';
import { type InfusionSession, readInfusionSession } from './infusion-session.ts';
import { addScale } from './instruments.ts';
import { messageDigest, messageTags, repeated } from './message.ts';
import { asBundleReference, type Given, readParameters } from './parameters.ts';
import { type Recorded, refused } from './recorded.ts';
import { minutesBetween, PlannedCourse, type SessionRequest } from './session.ts';
import {
  chartNote,
  type SessionContext,
  SessionDrafts,
  score,
  sessionProvenance,
  ucum,
  vitalObservations,
} from './session-resources.ts';
import { bundleReference, businessIdentifier, replaceStored, transactionOf } from './transaction.ts';

/**
 * `POST /fhir/CarePlan/{id}/$record-infusion`: one infusion visit, from compact Parameters to linked resources.
 *
 * The answer is a transaction with Encounter, Procedure, MedicationAdministration, vital signs, scales, checklist,
 * discharge, adverse events, procedure note, the completed order and a Provenance: what a transaction sent by hand
 * would hold. What follows from it (intervals, findings, windows, goals) is the rules' part and comes with the write.
 *
 * Every resource has an identifier that follows from the plan and the number of the infusion (or from the `identifier`
 * given), and is created only where it is not there yet: the same message twice is one session. With `correction` the
 * same identifiers are written again, and readings that the correction no longer has become entered-in-error. Another
 * session under the same number, or one that overlaps another infusion, is refused. All faults are listed at once.
 */
export function recordInfusion(request: SessionRequest): Recorded {
  const issues: Issue[] = [];
  const course = new PlannedCourse(request.carePlan, request.course);
  const given = readParameters(request.parameters, INFUSION_PARAMETERS, issues);
  const digest = messageDigest(request.parameters);
  const before = repeated(course.procedures('kap-infusion'), digest, given);
  if (issues.length === 0 && before !== undefined) return before.answer;
  course.refuseUnlessActive(issues);
  const session = readInfusionSession(given, course, digest, issues);
  const answers = readAnswers(given, issues);
  if (issues.length > 0) return refused(issues);
  return {
    ok: true,
    bundle: transactionOf(new InfusionRecord(request, course, given, session, answers, digest).entries()),
  };
}

class InfusionRecord {
  readonly #request: SessionRequest;
  readonly #course: PlannedCourse;
  readonly #given: Given;
  readonly #session: InfusionSession;
  readonly #answers: InfusionAnswers;
  readonly #digest: string;
  readonly #context: SessionContext;
  readonly #drafts: SessionDrafts;
  readonly #encounterUuid: string;
  readonly #procedureUuid: string;
  readonly #nurse: Reference<never>;
  readonly #reasons: readonly Reference<never>[];

  constructor(
    request: SessionRequest,
    course: PlannedCourse,
    given: Given,
    session: InfusionSession,
    answers: InfusionAnswers,
    digest: string,
  ) {
    const nurse = given.bundleReference('nurse');
    if (nurse === undefined) throw new TypeError('a session without a nurse was let through');
    const organization = course.organization();
    this.#request = request;
    this.#course = course;
    this.#given = given;
    this.#session = session;
    this.#answers = answers;
    this.#digest = digest;
    this.#nurse = nurse;
    this.#encounterUuid = request.newUuid();
    this.#procedureUuid = request.newUuid();
    this.#reasons = (request.carePlan.addresses ?? []).map(asBundleReference);
    this.#drafts = new SessionDrafts(session.correction, request.newUuid);
    this.#context = {
      key: session.key,
      subject: course.subject,
      encounter: bundleReference('Encounter', this.#encounterUuid),
      procedure: bundleReference('Procedure', this.#procedureUuid),
      ...(organization && { organization }),
      correction: session.correction,
      newUuid: request.newUuid,
    };
  }

  entries() {
    const { readings, scales, status } = this.#session;
    const drafts = this.#drafts;
    drafts.add(this.#encounter(), this.#encounterUuid);
    const weight = this.#weight();
    const supporting = [weight, this.#waste()].flatMap((observation) => (observation ? [drafts.add(observation)] : []));
    drafts.add(this.#procedure(), this.#procedureUuid);
    const administration = status === 'not-done' ? undefined : drafts.add(this.#administration(supporting));
    const checklist = this.#checklist();
    if (checklist !== undefined) drafts.add(checklist);
    const monitor = this.#given.bundleReference('monitor');
    for (const reading of readings) {
      for (const observation of vitalObservations(reading, this.#context, this.#nurse, monitor))
        drafts.add(observation);
    }
    const { procedure: infusion } = this.#context;
    for (const scale of scales) {
      addScale(scale, this.#time(), { ...this.#context, infusion }, this.#nurse, (resource) => drafts.add(resource));
    }
    const discharge = this.#discharge();
    if (discharge !== undefined) drafts.add(discharge);
    for (const [index, event] of this.#given.parts('adverseEvent').entries()) {
      drafts.add(this.#adverseEvent(event, index + 1, administration));
    }
    this.#addNote();
    this.#withdrawStaleReadings();
    this.#completeOrder();
    this.#addProvenance();
    return drafts.entries;
  }

  /** The time of the visit that scales and weight belong to unless they say otherwise. */
  #time(): string {
    return this.#session.arrival ?? this.#session.start ?? this.#request.now;
  }

  #encounter(): Encounter {
    const { status, identifier, key, arrival, start, departure, order } = this.#session;
    const came = status !== 'not-done' || arrival !== undefined;
    const period = { ...(arrival && { start: arrival }), ...(departure && { end: departure }) };
    const minutes = minutesBetween(arrival, departure);
    const location = this.#given.bundleReference('location');
    const episode = this.#course.episode();
    return {
      resourceType: 'Encounter',
      meta: { profile: claims('kap-infusion-encounter', 'encounter') },
      identifier: [businessIdentifier('Encounter', key), ...(identifier ? [identifier] : [])],
      status: !came ? 'cancelled' : departure ? 'finished' : 'in-progress',
      ...(arrival &&
        start &&
        departure && {
          statusHistory: [
            { status: 'arrived', period: { start: arrival, end: start } },
            { status: 'in-progress', period: { start, end: departure } },
            { status: 'finished', period: { start: departure } },
          ],
        }),
      class: { system: SYSTEM.actCode, code: 'AMB', display: 'ambulatory' },
      type: [concept([SNOMED.followUpEncounter, kapCoding('kap-infusion-session')], 'Ketamine infusion visit')],
      subject: this.#context.subject,
      ...(episode && { episodeOfCare: [{ reference: `EpisodeOfCare/${episode.id}` }] }),
      ...(order && { basedOn: [{ reference: `ServiceRequest/${order.id}` }] }),
      participant: this.#participants(),
      ...(Object.keys(period).length > 0 && { period }),
      ...(minutes !== undefined && { length: ucum(minutes, 'min') }),
      ...(this.#reasons.length > 0 && { reasonReference: [...this.#reasons] }),
      ...(departure &&
        this.#given.part('discharge')?.boolean('ready')?.value && {
          hospitalization: {
            dischargeDisposition: concept({ system: SYSTEM.dischargeDisposition, code: 'home', display: 'Home' }),
          },
        }),
      ...(location && { location: [{ location, ...(departure && { status: 'completed' }) }] }),
      ...(this.#context.organization && { serviceProvider: this.#context.organization }),
    };
  }

  #participants(): EncounterParticipant[] {
    const prescriber = this.#given.bundleReference('prescriber');
    const type = (code: string, display: string) => [concept({ system: SYSTEM.participationType, code, display })];
    return [
      { type: type('PPRF', 'primary performer'), individual: this.#nurse },
      ...(prescriber ? [{ type: type('ATND', 'attender'), individual: prescriber }] : []),
    ];
  }

  #procedure(): Procedure {
    const { status, statusReason, key, start, end, order, number } = this.#session;
    const { organization } = this.#context;
    const role = this.#course.roleOf(this.#nurse);
    const pump = this.#given.bundleReference('pump');
    const location = this.#given.bundleReference('location');
    const complication = this.#given.parts('adverseEvent').flatMap((event) => event.concept('event')?.value ?? []);
    const minutes = minutesBetween(start, end);
    // CPT 96365 covers an infusion from 16 minutes; a shorter one is billed as a push, which nobody did here.
    const billed = minutes !== undefined && minutes >= 16 ? [{ system: SYSTEM.cpt, code: '96365' }] : [];
    return {
      resourceType: 'Procedure',
      meta: {
        profile: claims('kap-infusion-procedure', 'procedure'),
        tag: messageTags(this.#session.recorded, this.#digest),
      },
      extension: [{ url: EXTENSION.sessionNumber, valuePositiveInt: number }],
      identifier: [businessIdentifier('Procedure', key)],
      instantiatesCanonical: [...(this.#request.carePlan.instantiatesCanonical ?? [])],
      basedOn: this.#basedOn(),
      status,
      ...(statusReason && { statusReason }),
      code: concept(
        [SNOMED.intravenousInfusion, ...billed, kapCoding('kap-infusion')],
        order?.code?.text ?? `Ketamine IV infusion ${number}`,
      ),
      subject: this.#context.subject,
      encounter: this.#context.encounter,
      ...(start && end && { performedPeriod: { start, end } }),
      recorder: this.#nurse,
      performer: [
        { ...(role && { function: role }), actor: this.#nurse, ...(organization && { onBehalfOf: organization }) },
      ],
      ...(location && { location }),
      ...(this.#reasons.length > 0 && { reasonReference: [...this.#reasons] }),
      ...(complication.length > 0 && { complication }),
      ...(pump && { usedReference: [pump] }),
    };
  }

  #basedOn(): Reference<never>[] {
    const { order } = this.#session;
    return [
      { reference: `CarePlan/${this.#request.carePlan.id}` },
      ...(order ? [{ reference: `ServiceRequest/${order.id}` }] : []),
    ];
  }

  #administration(supportingInformation: readonly Reference<never>[]): MedicationAdministration {
    const { status, statusReason, key, start = '', end = '', doseMg = 0, weightKg } = this.#session;
    const order = this.#course.medicationRequest();
    const witness = this.#given.bundleReference('witness');
    const pump = this.#given.bundleReference('pump');
    const confirmedBy = this.#given.bundleReference('doseConfirmedBy');
    const minutes = minutesBetween(start, end) ?? 0;
    const perKg = weightKg === undefined ? '' : ` (${Number((doseMg / weightKg).toFixed(2))} mg/kg x ${weightKg} kg)`;
    const doer = (code: 'performer' | 'witness', display: string, actor: Reference<never>) => ({
      function: concept({ system: SYSTEM.administrationPerformer, code, display }),
      actor,
    });
    return {
      resourceType: 'MedicationAdministration',
      meta: { profile: claims('kap-ketamine-administration') },
      ...(confirmedBy && { extension: [{ url: EXTENSION.doseConfirmedBy, valueReference: confirmedBy }] }),
      identifier: [businessIdentifier('MedicationAdministration', key)],
      contained: [this.#vial(order?.medicationCodeableConcept)],
      partOf: [this.#context.procedure],
      status: status === 'stopped' ? 'stopped' : 'completed',
      ...(statusReason && { statusReason: [statusReason] }),
      category: concept({ system: SYSTEM.administrationCategory, code: 'outpatient', display: 'Outpatient' }),
      medicationReference: { reference: '#vial' },
      subject: this.#context.subject,
      context: this.#context.encounter,
      ...(supportingInformation.length > 0 && { supportingInformation: [...supportingInformation] }),
      effectivePeriod: { start, end },
      performer: [
        doer('performer', 'Performer', this.#nurse),
        ...(witness ? [doer('witness', 'Witness', witness)] : []),
      ],
      ...(this.#reasons.length > 0 && { reasonReference: [...this.#reasons] }),
      ...(order && { request: { reference: `MedicationRequest/${order.id}` } }),
      ...(pump && { device: [pump] }),
      dosage: {
        text: `${doseMg} mg${perKg} over ${minutes} minutes`,
        route: this.#route(order?.dosageInstruction?.[0]?.route),
        dose: ucum(doseMg, 'mg'),
        rateRatio: { numerator: ucum(doseMg, 'mg'), denominator: ucum(minutes, 'min') },
      },
    };
  }

  #route(ordered: CodeableConcept | undefined): CodeableConcept {
    return this.#given.concept('route')?.value ?? ordered ?? concept(SNOMED.intravenousRoute);
  }

  #vial(ordered: CodeableConcept | undefined): Medication {
    const part = this.#given.part('medication');
    const product = part?.concept('product')?.value ?? ordered ?? concept(RXNORM.ketamine, 'Ketamine');
    const ndc = part?.text('ndc')?.value;
    const lotNumber = part?.text('lot')?.value;
    const expirationDate = part?.text('expiry')?.value;
    const coding = [...(product.coding ?? []), ...(ndc ? [{ system: SYSTEM.ndc, code: ndc }] : [])];
    const isKetamine = coding.some(({ system, code }) => KETAMINE_CODES.has(`${system}|${code}`));
    return {
      resourceType: 'Medication',
      id: 'vial',
      code: { ...product, ...(coding.length > 0 && { coding }) },
      ...(isKetamine && { ingredient: [{ itemCodeableConcept: concept(RXNORM.ketamine, 'Ketamine') }] }),
      ...((lotNumber || expirationDate) && {
        batch: { ...(lotNumber && { lotNumber }), ...(expirationDate && { expirationDate }) },
      }),
    };
  }

  #observation(part: string, category: string, code: CodeableConcept, at: string): Observation {
    return {
      resourceType: 'Observation',
      identifier: [businessIdentifier('Observation', `${this.#session.key}-${part}`)],
      partOf: [this.#context.procedure],
      status: 'final',
      category: [concept({ system: SYSTEM.observationCategory, code: category })],
      code,
      subject: this.#context.subject,
      encounter: this.#context.encounter,
      effectiveDateTime: at,
      performer: [this.#nurse],
    };
  }

  #weight(): Observation | undefined {
    const { weightKg } = this.#session;
    if (weightKg === undefined) return undefined;
    return {
      ...this.#observation('weight', 'vital-signs', concept(LOINC.weight, 'Body weight'), this.#time()),
      meta: { profile: [usCoreProfile('body-weight')] },
      valueQuantity: ucum(weightKg, 'kg'),
    };
  }

  /** What was drawn and not given, with who discarded it and who watched. */
  #waste(): Observation | undefined {
    const { wasteMg, end } = this.#session;
    const witness = this.#given.bundleReference('witness');
    if (wasteMg === undefined || witness === undefined) return undefined;
    return {
      ...this.#observation('wasted', 'procedure', concept(kapCoding('ketamine-wasted')), end ?? this.#time()),
      performer: [this.#nurse, witness],
      valueQuantity: ucum(wasteMg, 'mg'),
    };
  }

  #checklist(): QuestionnaireResponse | undefined {
    const checklist = this.#given.part('checklist');
    if (checklist === undefined) return undefined;
    const item = checklist.names().map((linkId): QuestionnaireResponseItem => {
      const time = checklist.text(linkId)?.value;
      const flag = checklist.boolean(linkId)?.value;
      const answer: QuestionnaireResponseItemAnswer =
        linkId === 'pregnancy-test' && this.#answers.pregnancyTest
          ? { valueCoding: { ...this.#answers.pregnancyTest } }
          : flag === undefined
            ? { valueDateTime: time ?? '' }
            : { valueBoolean: flag };
      return { linkId, answer: [answer] };
    });
    return {
      resourceType: 'QuestionnaireResponse',
      identifier: businessIdentifier('QuestionnaireResponse', `${this.#session.key}-checklist`),
      questionnaire: `${CANONICAL_BASE}/Questionnaire/kap-pre-infusion-checklist|1.0.0`,
      status: 'completed',
      subject: this.#context.subject,
      encounter: this.#context.encounter,
      authored: this.#time(),
      author: this.#nurse,
      source: this.#context.subject,
      item,
    };
  }

  #discharge(): Observation | undefined {
    const part = this.#given.part('discharge');
    const at = part?.text('at')?.value;
    if (part === undefined || at === undefined) return undefined;
    const scored = (name: string, code: 'aldrete-modified' | 'moaa-s'): ObservationComponent[] => {
      const value = part.number(name)?.value;
      return value === undefined ? [] : [{ code: concept(kapCoding(code)), valueQuantity: score(value) }];
    };
    const flagged = (name: string, code: 'ambulates' | 'ride-home-present'): ObservationComponent[] => {
      const value = part.boolean(name)?.value;
      return value === undefined ? [] : [{ code: concept(kapCoding(code)), valueBoolean: value }];
    };
    const component = [
      ...scored('moaas', 'moaa-s'),
      ...scored('aldrete', 'aldrete-modified'),
      ...flagged('ambulates', 'ambulates'),
      ...flagged('adultPresent', 'ride-home-present'),
    ];
    const result = part.boolean('ready')?.value ? 'discharge-ready' : 'discharge-criteria-not-met';
    return {
      ...this.#observation('discharge', 'exam', concept(kapCoding('discharge-readiness')), at),
      valueCodeableConcept: concept(kapCoding(result)),
      ...(component.length > 0 && { component }),
    };
  }

  #adverseEvent(part: Given, index: number, administration: Reference<never> | undefined): AdverseEvent {
    const code = `${this.#session.key}-adverse-event-${index}`;
    const identifier = businessIdentifier('AdverseEvent', code);
    const at = part.text('at')?.value ?? this.#time();
    const coded = (system: string, name: string) => {
      const value = part.text(name)?.value;
      return value === undefined ? undefined : concept({ system, code: value });
    };
    const severity = coded(SYSTEM.adverseEventSeverity, 'severity');
    const outcome = coded(SYSTEM.adverseEventOutcome, 'outcome');
    const assessment = coded(SYSTEM.adverseEventCausality, 'causality');
    return {
      resourceType: 'AdverseEvent',
      meta: { profile: claims('kap-adverse-event'), tag: [{ system: IDEMPOTENCY_KEY, code }] },
      identifier,
      actuality: 'actual',
      event: part.concept('event')?.value ?? {},
      subject: this.#context.subject,
      encounter: this.#context.encounter,
      date: at,
      detected: at,
      recordedDate: this.#course.withIdentifier('AdverseEvent', identifier)?.recordedDate ?? this.#request.now,
      seriousness:
        coded(SYSTEM.adverseEventSeriousness, 'seriousness') ??
        concept({ system: SYSTEM.adverseEventSeriousness, code: 'Non-serious' }),
      ...(severity && { severity }),
      ...(outcome && { outcome }),
      recorder: this.#nurse,
      ...(administration && {
        suspectEntity: [{ instance: administration, ...(assessment && { causality: [{ assessment }] }) }],
      }),
    };
  }

  #addNote(): void {
    const text = this.#given.text('note')?.value;
    const { key, number, arrival, start, end, departure } = this.#session;
    if (text === undefined) return;
    const authenticator = this.#given.bundleReference('prescriber');
    const identifier = businessIdentifier('DocumentReference', `${key}-note`);
    const from = start ?? arrival ?? this.#time();
    this.#drafts.add(
      chartNote(this.#context, {
        part: 'note',
        type: concept([LOINC.infusionNote, LOINC.procedureNote], 'Mental health procedure note'),
        title: `Procedure note, infusion ${number}`,
        text,
        date: this.#course.withIdentifier('DocumentReference', identifier)?.date ?? this.#request.now,
        period: { start: from, end: end ?? departure ?? from },
        author: this.#nurse,
        ...(authenticator && { authenticator }),
        related: [this.#context.procedure],
      }),
    );
  }

  /** A reading at a corrected time is a new reading; the one at the wrong time must not stay in the chart. */
  #withdrawStaleReadings(): void {
    const { recorded, readings, correction } = this.#session;
    if (!correction || recorded === undefined || readings.length === 0) return;
    const written = new Set(this.#drafts.identifiers);
    for (const observation of this.#course.observationsOf(recorded)) {
      const isReading = (observation.identifier ?? []).some(({ value }) =>
        READING.test(value?.slice(this.#session.key.length) ?? ''),
      );
      const isWritten = (observation.identifier ?? []).some(({ value }) => written.has(value ?? ''));
      if (isReading && !isWritten) this.#drafts.change(replaceStored(observation, { status: 'entered-in-error' }));
    }
  }

  #completeOrder(): void {
    const { order, status } = this.#session;
    if (order === undefined || status === 'not-done' || order.status === 'completed') return;
    this.#drafts.change(replaceStored(order, { status: 'completed' }));
  }

  #addProvenance(): void {
    const verifier = this.#given.bundleReference('prescriber');
    const part = `provenance-${this.#digest}`;
    this.#drafts.addOnce(
      sessionProvenance(this.#context, part, this.#drafts.references, this.#request.now, [
        { type: 'author', who: this.#nurse },
        ...(verifier ? [{ type: 'verifier' as const, who: verifier }] : []),
      ]),
    );
  }
}

/** The end of a reading's identifier, after the key of its session. */
const READING = /^-(bp|hr|spo2|rr|temp|moaas)-\d{8}T\d{6}(\.\d{3})?Z$/;
