/**
 * The narrative of what our own operations and rules write: what a person without software for it can read, made from
 * the values of the resource alone. No name of a patient is among them, and no text of a note.
 *
 * What others write keeps the narrative that they gave it, or none (decision 0054).
 *
 * @see https://hl7.org/fhir/R4/narrative.html
 */
import type { Narrative, Resource } from '@medplum/fhirtypes';
import { isPsychotherapyNote } from './labels.ts';
import {
  codingWords,
  joined,
  listOf,
  nameOf,
  notesWords,
  observedWords,
  periodWords,
  quantityWords,
  rangeWords,
  timeWords,
  wordsOf,
} from './narrative-values.ts';
import { escaped } from './xml-text.ts';

/** By which a narrative of ours is known again, so that it may be made anew. */
const OURS = '<div xmlns="http://www.w3.org/1999/xhtml" class="kap-generated">';

/** The resource with a narrative of ours, unless its author gave one or its type has none. */
export function withNarrative<T extends Resource>(resource: T): T {
  const own = textOf(resource);
  if (own !== undefined && !isOurs(own)) return resource;
  const text = narrativeOf(resource);
  if (text === undefined || (own !== undefined && own.div === text.div)) return resource;
  return placed(resource, text);
}

/** The resource as it was, but that a narrative of ours says what it says now. */
export function withCurrentNarrative<T extends Resource>(resource: T): T {
  const own = textOf(resource);
  return own === undefined || !isOurs(own) ? resource : withNarrative(resource);
}

function textOf(resource: Resource): Narrative | undefined {
  return 'text' in resource ? (resource.text as Narrative | undefined) : undefined;
}

function isOurs({ div }: Narrative): boolean {
  return div?.startsWith(OURS) === true;
}

/** Where FHIR has it: behind id, meta, implicitRules and language. */
function placed<T extends Resource>(resource: T, text: Narrative): T {
  const { resourceType, id, meta, implicitRules, language, ...rest } = resource as T & { text?: Narrative };
  const head = { resourceType, id, meta, implicitRules, language };
  const present = Object.fromEntries(Object.entries(head).filter(([, value]) => value !== undefined));
  return { ...present, text, ...without(rest, 'text') } as T;
}

function without(of: object, name: string): object {
  return Object.fromEntries(Object.entries(of).filter(([key]) => key !== name));
}

type Line = readonly [label: string, words: string | undefined];
type Content = {
  readonly title: string | undefined;
  readonly status?: string | undefined;
  readonly lines: readonly Line[];
};

/** Undefined for types that no operation of ours writes. */
export function narrativeOf(resource: Resource): Narrative | undefined {
  const content = contentOf(resource);
  if (content === undefined) return undefined;
  const { title = resource.resourceType, status, lines } = content;
  const said = lines.flatMap(([label, words]) =>
    words === undefined ? [] : [`<li>${escaped(label)}: ${escaped(words)}</li>`],
  );
  const list = said.length === 0 ? '' : `<ul>${said.join('')}</ul>`;
  const head = `<p><b>${escaped(title)}</b>${status === undefined ? '' : ` (${escaped(status)})`}</p>`;
  return { status: 'generated', div: `${OURS}${head}${list}</div>` };
}

function contentOf(resource: Resource): Content | undefined {
  switch (resource.resourceType) {
    case 'AdverseEvent':
      return {
        title: wordsOf(resource.event) ?? 'Adverse event',
        status: 'adverse event',
        lines: [
          ['When', timeWords(resource.date)],
          ['Seriousness', wordsOf(resource.seriousness)],
          ['Severity', wordsOf(resource.severity)],
          ['Outcome', wordsOf(resource.outcome)],
        ],
      };
    case 'CarePlan':
      return {
        title: resource.title ?? 'Plan of care',
        status: resource.status,
        lines: [
          ['Description', resource.description],
          ['Period', periodWords(resource.period)],
          ['Protocol', joined(resource.instantiatesCanonical)],
          ['Activities', resource.activity === undefined ? undefined : String(resource.activity.length)],
        ],
      };
    case 'CareTeam':
      return {
        title: resource.name ?? 'Care team',
        status: resource.status,
        lines: [['Roles', joined(resource.participant?.map(({ role }) => listOf(role)))]],
      };
    case 'DetectedIssue':
      return {
        title: wordsOf(resource.code) ?? joined(resource.code?.coding?.map(codingWords)) ?? 'Finding',
        status: joined([resource.status, resource.severity]),
        lines: [
          ['When', timeWords(resource.identifiedDateTime)],
          ['Detail', resource.detail],
          ['Evidence', joined(resource.evidence?.map(({ code }) => listOf(code)))],
        ],
      };
    case 'DocumentReference':
      // What a psychotherapy note is about is told nowhere but in the note.
      return isPsychotherapyNote(resource)
        ? { title: 'Document kept apart from the record', status: resource.status, lines: [] }
        : {
            title: wordsOf(resource.type) ?? 'Document',
            status: resource.status,
            lines: [
              ['Title', joined(resource.content.map(({ attachment }) => attachment.title))],
              ['Written', timeWords(resource.date)],
              ['About', periodWords(resource.context?.period)],
            ],
          };
    case 'Encounter':
      return {
        title: listOf(resource.type) ?? 'Encounter',
        status: resource.status,
        lines: [
          ['When', periodWords(resource.period)],
          ['Length', quantityWords(resource.length)],
          ['Discharged to', wordsOf(resource.hospitalization?.dischargeDisposition)],
        ],
      };
    case 'EpisodeOfCare':
      return {
        title: listOf(resource.type) ?? 'Episode of care',
        status: resource.status,
        lines: [['Period', periodWords(resource.period)]],
      };
    case 'Goal':
      return {
        title: wordsOf(resource.description) ?? 'Goal',
        status: resource.lifecycleStatus,
        lines: [
          ['Achievement', wordsOf(resource.achievementStatus)],
          ['Target', joined(resource.target?.map(targetWords))],
        ],
      };
    default:
      return contentOfAct(resource);
  }
}

/** What is ordered, done, given, measured. */
function contentOfAct(resource: Resource): Content | undefined {
  switch (resource.resourceType) {
    case 'MedicationAdministration':
      return {
        title: wordsOf(resource.medicationCodeableConcept) ?? containedMedication(resource) ?? 'Medication given',
        status: resource.status,
        lines: [
          ['When', periodWords(resource.effectivePeriod) ?? timeWords(resource.effectiveDateTime)],
          ['Dose', quantityWords(resource.dosage?.dose)],
          ['Dosage', resource.dosage?.text],
          ['Route', wordsOf(resource.dosage?.route)],
          ['Reason for the status', listOf(resource.statusReason)],
        ],
      };
    case 'MedicationRequest':
      return {
        title: wordsOf(resource.medicationCodeableConcept) ?? 'Medication ordered',
        status: joined([resource.status, resource.intent]),
        lines: [
          ['Ordered', timeWords(resource.authoredOn)],
          ['Dosage', joined(resource.dosageInstruction?.map(({ text }) => text))],
        ],
      };
    case 'Observation':
      return {
        title: wordsOf(resource.code) ?? 'Observation',
        status: resource.status,
        lines: [
          ['Value', observedWords(resource)],
          ...(resource.component ?? []).map((part): Line => [wordsOf(part.code) ?? 'Part', observedWords(part)]),
          ['Interpretation', listOf(resource.interpretation)],
          ['Reference range', joined(resource.referenceRange?.map((range) => range.text ?? rangeWords(range)))],
          ['When', timeWords(resource.effectiveDateTime) ?? periodWords(resource.effectivePeriod)],
          ['Note', notesWords(resource.note)],
        ],
      };
    case 'Procedure':
      return {
        title: wordsOf(resource.code) ?? 'Procedure',
        status: resource.status,
        lines: [
          ['When', periodWords(resource.performedPeriod) ?? timeWords(resource.performedDateTime)],
          ['Reason for the status', wordsOf(resource.statusReason)],
          ['Complications', listOf(resource.complication)],
          ['Outcome', wordsOf(resource.outcome)],
        ],
      };
    case 'Provenance':
      return {
        title: `Provenance: ${wordsOf(resource.activity) ?? 'recorded'}`,
        lines: [
          ['Recorded', timeWords(resource.recorded)],
          ['Resources', String(resource.target.length)],
          ['By', joined(resource.agent.map(({ who, type }) => joined([nameOf(who), wordsOf(type)], ' as ')))],
        ],
      };
    case 'QuestionnaireResponse':
      return {
        title: `Answers to ${resource.questionnaire ?? 'a questionnaire'}`,
        status: resource.status,
        lines: [
          ['When', timeWords(resource.authored)],
          ...(resource.item ?? []).map(
            ({ linkId, text, answer }): Line => [text ?? linkId, joined(answer?.map(answerWords))],
          ),
        ],
      };
    case 'ServiceRequest':
      return {
        title: wordsOf(resource.code) ?? 'Order',
        status: joined([resource.status, resource.intent]),
        lines: [['When', periodWords(resource.occurrencePeriod) ?? timeWords(resource.occurrenceDateTime)]],
      };
    case 'Task':
      return {
        title: wordsOf(resource.code) ?? 'Task',
        status: resource.status,
        lines: [
          ['What', resource.description],
          ['Reason', wordsOf(resource.reasonCode)],
          ['Period', periodWords(resource.restriction?.period)],
        ],
      };
    default:
      return undefined;
  }
}

function containedMedication({
  contained,
}: Extract<Resource, { resourceType: 'MedicationAdministration' }>): string | undefined {
  for (const each of contained ?? []) if (each.resourceType === 'Medication') return wordsOf(each.code);
  return undefined;
}

type Target = NonNullable<Extract<Resource, { resourceType: 'Goal' }>['target']>[number];

function targetWords({ measure, detailQuantity, detailRange, dueDate }: Target): string | undefined {
  const detail = quantityWords(detailQuantity) ?? (detailRange === undefined ? undefined : rangeWords(detailRange));
  return joined([wordsOf(measure), detail, dueDate === undefined ? undefined : `by ${dueDate}`], ' ');
}

type Answer = NonNullable<
  NonNullable<Extract<Resource, { resourceType: 'QuestionnaireResponse' }>['item']>[number]['answer']
>[number];

function answerWords({
  valueCoding,
  valueDecimal,
  valueInteger,
  valueString,
  valueBoolean,
  valueQuantity,
}: Answer): string | undefined {
  if (valueCoding !== undefined) return codingWords(valueCoding);
  if (valueBoolean !== undefined) return valueBoolean ? 'yes' : 'no';
  const number = valueDecimal ?? valueInteger;
  return number === undefined ? (valueString ?? quantityWords(valueQuantity)) : String(number);
}
