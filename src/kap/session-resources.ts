import type {
  BundleEntry,
  CodeableConcept,
  DocumentReference,
  Observation,
  Patient,
  Provenance,
  ProvenanceAgent,
  Quantity,
  Reference,
  Resource,
} from '@medplum/fhirtypes';
import { claims, concept, IDEMPOTENCY_KEY, type KapProfile, kapCoding, LOINC, SYSTEM, usCoreProfile } from './codes.ts';
import { compact } from './session.ts';
import { businessIdentifier, createOnce, createOrReplace, type Draft, identifiersOf } from './transaction.ts';
import type { VitalSigns } from './vital-signs.ts';

/** What the resources of one session have in common. */
export type SessionContext = {
  /** What every identifier of the session begins with. */
  readonly key: string;
  readonly subject: Reference<Patient>;
  readonly encounter: Reference<never>;
  readonly procedure: Reference<never>;
  readonly organization?: Reference<never>;
  readonly correction: boolean;
  readonly newUuid: () => string;
};

/** The entries of a session in the order in which they were drafted. */
export class SessionDrafts {
  readonly #entries: BundleEntry[] = [];
  readonly #references: Reference<never>[] = [];
  readonly #correction: boolean;
  readonly #newUuid: () => string;

  constructor(correction: boolean, newUuid: () => string) {
    this.#correction = correction;
    this.#newUuid = newUuid;
  }

  /** A new resource; in a correction the next version of the one with its identifier. */
  add(resource: Resource, uuid: string = this.#newUuid()): Reference<never> {
    const draft: Draft = this.#correction ? createOrReplace(resource, uuid) : createOnce(resource, uuid);
    this.#entries.push(draft.entry);
    this.#references.push(draft.reference);
    return draft.reference;
  }

  /** A resource that never changes once it is there, such as a Provenance. */
  addOnce(resource: Resource): void {
    this.#entries.push(createOnce(resource, this.#newUuid()).entry);
  }

  /** A change of a stored resource. */
  change(entry: BundleEntry): void {
    this.#entries.push(entry);
  }

  get entries(): readonly BundleEntry[] {
    return this.#entries;
  }

  /** Values of the identifiers that were written. */
  get identifiers(): readonly string[] {
    return this.#entries.flatMap(({ resource }) =>
      resource ? identifiersOf(resource).flatMap(({ value }) => value ?? []) : [],
    );
  }

  /** All that was added, for the Provenance. */
  get references(): readonly Reference<never>[] {
    return this.#references;
  }
}

export function ucum(value: number, unit: string): Quantity {
  return { value, unit, system: SYSTEM.ucum, code: unit };
}

export function score(value: number): Quantity {
  return ucum(value, '{score}');
}

/** A reading as vital signs; MOAA/S is a scale that is observed, so it stands under both categories. */
export function vitalObservations(
  reading: VitalSigns,
  context: SessionContext,
  performer: Reference<never> | undefined,
  monitor: Reference<never> | undefined,
): Observation[] {
  const at = compact(reading.at);
  const base = (
    part: string,
    code: CodeableConcept,
    profile: KapProfile | undefined,
    usCore: string,
    category: readonly Category[] = ['vital-signs'],
  ): Observation => ({
    resourceType: 'Observation',
    meta: { profile: claims(profile, usCore) },
    identifier: [businessIdentifier('Observation', `${context.key}-${part}-${at}`)],
    partOf: [context.procedure],
    status: 'final',
    category: category.map((each) =>
      concept({ system: SYSTEM.observationCategory, code: each, display: CATEGORIES[each] }),
    ),
    code,
    subject: context.subject,
    encounter: context.encounter,
    effectiveDateTime: reading.at,
    ...(performer && { performer: [performer] }),
    ...(monitor && { device: monitor }),
  });
  const { systolic, diastolic, heartRate, spo2, respiratoryRate, temperature, moaas } = reading;
  const found: Observation[] = [];
  if (systolic !== undefined && diastolic !== undefined) {
    found.push({
      ...base('bp', concept(LOINC.bloodPressure, 'Blood pressure'), 'kap-infusion-blood-pressure', 'blood-pressure'),
      component: [
        { code: concept(LOINC.systolic), valueQuantity: ucum(systolic, 'mm[Hg]') },
        { code: concept(LOINC.diastolic), valueQuantity: ucum(diastolic, 'mm[Hg]') },
      ],
    });
  }
  if (heartRate !== undefined) {
    found.push({
      ...base('hr', concept(LOINC.heartRate, 'Heart rate'), 'kap-infusion-heart-rate', 'heart-rate'),
      valueQuantity: ucum(heartRate, '/min'),
    });
  }
  if (spo2 !== undefined) {
    const code = concept([LOINC.pulseOximetry, LOINC.oxygenSaturation], 'SpO2');
    found.push({
      ...base('spo2', code, 'kap-infusion-oxygen-saturation', 'pulse-oximetry'),
      valueQuantity: ucum(spo2, '%'),
    });
  }
  if (respiratoryRate !== undefined) {
    const code = concept(LOINC.respiratoryRate, 'Respiratory rate');
    found.push({
      ...base('rr', code, 'kap-infusion-respiratory-rate', 'respiratory-rate'),
      valueQuantity: ucum(respiratoryRate, '/min'),
    });
  }
  if (temperature !== undefined) {
    const code = concept(LOINC.temperature, 'Body temperature');
    found.push({ ...base('temp', code, undefined, 'body-temperature'), valueQuantity: ucum(temperature, 'Cel') });
  }
  if (moaas !== undefined) {
    const code = concept(kapCoding('moaa-s'), 'MOAA/S score');
    found.push({
      ...base('moaas', code, 'kap-sedation-score', 'observation-screening-assessment', ['survey', 'exam']),
      valueQuantity: score(moaas),
    });
  }
  return found;
}

const CATEGORIES = { 'vital-signs': 'Vital Signs', survey: 'Survey', exam: 'Exam' } as const;

type Category = keyof typeof CATEGORIES;

/** A note in the chart: final, found by `patient+category`, its text inside. */
export function chartNote(
  context: SessionContext,
  note: {
    readonly part: string;
    readonly type: CodeableConcept;
    readonly title: string;
    readonly text: string;
    readonly date: string;
    readonly period: { readonly start: string; readonly end: string };
    readonly author: Reference<never>;
    readonly authenticator?: Reference<never>;
    readonly related: readonly Reference<never>[];
  },
): DocumentReference {
  return {
    resourceType: 'DocumentReference',
    meta: { profile: claims('kap-clinical-note', 'documentreference') },
    identifier: [businessIdentifier('DocumentReference', `${context.key}-${note.part}`)],
    status: 'current',
    docStatus: 'final',
    type: note.type,
    category: [concept({ system: SYSTEM.documentCategory, code: 'clinical-note', display: 'Clinical Note' })],
    subject: context.subject,
    date: note.date,
    author: [note.author],
    ...(note.authenticator && { authenticator: note.authenticator }),
    ...(context.organization && { custodian: context.organization }),
    content: [{ attachment: { contentType: 'text/plain; charset=utf-8', data: base64(note.text), title: note.title } }],
    context: { encounter: [context.encounter], period: { ...note.period }, related: [...note.related] },
  };
}

/** UTF-8 bytes of a text as FHIR base64Binary. */
export function base64(text: string): string {
  return Buffer.from(text, 'utf8').toString('base64');
}

/**
 * Who made these resources. With an organization it is a US Core Provenance, which asks for it.
 *
 * @param part distinguishes the Provenances of one session; one that is there already is not written again
 */
export function sessionProvenance(
  context: Pick<SessionContext, 'key' | 'organization' | 'correction'>,
  part: string,
  target: readonly Reference<never>[],
  recorded: string,
  agents: readonly { readonly type: 'author' | 'verifier'; readonly who: Reference<never> }[],
): Provenance {
  const onBehalfOf = context.organization;
  return {
    resourceType: 'Provenance',
    meta: {
      ...(onBehalfOf && { profile: [usCoreProfile('provenance')] }),
      tag: [{ system: IDEMPOTENCY_KEY, code: `${context.key}-${part}` }],
    },
    target: [...target],
    recorded,
    activity: concept(
      context.correction
        ? { system: SYSTEM.dataOperation, code: 'UPDATE', display: 'revise' }
        : { system: SYSTEM.dataOperation, code: 'CREATE', display: 'create' },
    ),
    agent: agents.map(
      ({ type, who }): ProvenanceAgent => ({
        type: concept({
          system: SYSTEM.provenanceParticipant,
          code: type,
          display: type === 'author' ? 'Author' : 'Verifier',
        }),
        who,
        ...(onBehalfOf && { onBehalfOf }),
      }),
    ),
  };
}
