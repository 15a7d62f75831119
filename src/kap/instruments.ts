import type {
  CodeableConcept,
  Coding,
  Observation,
  QuestionnaireResponse,
  Reference,
  Resource,
} from '@medplum/fhirtypes';
import type { Issue } from '../fhir/failure.ts';
import {
  CANONICAL_BASE,
  claims,
  concept,
  FREQUENCY_ANSWERS,
  GAD7_ITEMS,
  type KapProfile,
  kapCoding,
  LOINC,
  PHQ9_ITEMS,
  SYSTEM,
  usCoreProfile,
} from './codes.ts';
import { fault, type Given, type ParameterDefinition, type Placed } from './parameters.ts';
import { type SessionContext, score } from './session-resources.ts';
import { businessIdentifier } from './transaction.ts';

/**
 * Scales as they are recorded in a session.
 *
 * PHQ-9 and GAD-7 come with their items, since item 9 of the PHQ-9 decides about a suicidality screen: a
 * QuestionnaireResponse, the total and item 9 derived from it. The others come as a total. The C-SSRS screener comes
 * with its answers (1 yes, 0 no) or the risk level a clinician concluded, or both.
 */
type Instrument = {
  readonly title: string;
  readonly total?: Coding;
  /** Of the total, or of the risk level; absent where the guide has none. */
  readonly profile?: KapProfile;
  readonly highest: number;
  readonly ratedBy: 'patient' | 'clinician';
  /** It rates what the drug does, so it is part of the infusion in whose visit it is rated. */
  readonly isOfInfusion?: true;
  readonly form?: { readonly id: string; readonly items: readonly string[] };
};

const INSTRUMENTS: Readonly<Record<string, Instrument>> = {
  'phq-9': {
    title: 'PHQ-9',
    total: LOINC.phq9Total,
    profile: 'kap-phq9-score',
    highest: 27,
    ratedBy: 'patient',
    form: { id: 'phq-9', items: PHQ9_ITEMS },
  },
  'gad-7': {
    title: 'GAD-7',
    total: LOINC.gad7Total,
    profile: 'kap-gad7-score',
    highest: 21,
    ratedBy: 'patient',
    form: { id: 'gad-7', items: GAD7_ITEMS },
  },
  'pcl-5': { title: 'PCL-5', total: LOINC.pcl5Total, profile: 'kap-pcl5-score', highest: 80, ratedBy: 'patient' },
  'qids-sr16': { title: 'QIDS-SR16', total: kapCoding('qids-sr16-total'), highest: 27, ratedBy: 'patient' },
  'meq-30': { title: 'MEQ-30', total: kapCoding('meq30-total'), highest: 150, ratedBy: 'patient' },
  audit: { title: 'AUDIT', total: LOINC.auditTotal, profile: 'kap-audit-score', highest: 40, ratedBy: 'patient' },
  'dast-10': { title: 'DAST-10', total: LOINC.dast10Total, highest: 10, ratedBy: 'patient' },
  madrs: {
    title: 'MADRS',
    total: kapCoding('madrs-total'),
    profile: 'kap-madrs-score',
    highest: 60,
    ratedBy: 'clinician',
  },
  'y-bocs': {
    title: 'Y-BOCS',
    total: kapCoding('ybocs-total'),
    profile: 'kap-ybocs-score',
    highest: 40,
    ratedBy: 'clinician',
  },
  cadss: {
    title: 'CADSS',
    total: kapCoding('cadss-total'),
    profile: 'kap-dissociation-score',
    highest: 92,
    ratedBy: 'clinician',
    isOfInfusion: true,
  },
  'c-ssrs': { title: 'C-SSRS screener', profile: 'kap-cssrs-risk', highest: 1, ratedBy: 'clinician' },
};

/** The C-SSRS screener in the order of its questions. */
const CSSRS_QUESTIONS = [
  LOINC.cssrsWishDead,
  LOINC.cssrsThoughts,
  LOINC.cssrsMethod,
  LOINC.cssrsIntent,
  LOINC.cssrsPlan,
  LOINC.cssrsBehaviourLifetime,
  LOINC.cssrsBehaviourThreeMonths,
] as const;

const RISK_LEVELS: Readonly<Record<string, Coding>> = {
  low: LOINC.riskLow,
  moderate: LOINC.riskModerate,
  high: LOINC.riskHigh,
};

/** Parameter `score`, shared by both kinds of session. */
export const SCORE_PARAMETER: ParameterDefinition = {
  name: 'score',
  many: true,
  documentation: 'A scale that was rated in this session.',
  part: [
    {
      name: 'instrument',
      types: ['code'],
      required: true,
      documentation: `One of ${Object.keys(INSTRUMENTS).join(', ')}.`,
    },
    {
      name: 'at',
      types: ['dateTime'],
      documentation: 'When it was rated; the arrival, or else the start, unless told.',
    },
    {
      name: 'item',
      types: ['integer'],
      many: true,
      documentation:
        'Answers in the order of the form: 9 of 0 to 3 for phq-9, 7 of 0 to 3 for gad-7, 7 of 0 (no) or 1 (yes) for c-ssrs.',
    },
    { name: 'total', types: ['integer'], documentation: 'The total. With items it must be their sum.' },
    { name: 'riskLevel', types: ['code'], documentation: 'For c-ssrs: low, moderate or high.' },
  ],
};

export type RatedScale = {
  readonly code: string;
  /** What its identifiers end with: the instrument, and its number where it is rated more than once. */
  readonly part: string;
  readonly instrument: Instrument;
  readonly at?: string;
  readonly items: readonly number[];
  readonly total?: number;
  readonly riskLevel?: string;
};

/** The scales given, each checked against its form. */
export function readScores(given: Given, issues: Issue[]): readonly RatedScale[] {
  const seen = new Set<string>();
  const counts = new Map<string, number>();
  return given.parts('score').flatMap((part) => {
    const code = part.text('instrument');
    const instrument = INSTRUMENTS[code?.value ?? ''];
    if (code === undefined) return [];
    if (instrument === undefined) {
      issues.push(
        fault('code-invalid', `instrument must be one of ${Object.keys(INSTRUMENTS).join(', ')}.`, code.place),
      );
      return [];
    }
    const at = part.text('at');
    const once = `${code.value} ${at?.value ?? ''}`;
    if (seen.has(once))
      issues.push(fault('duplicate', 'This instrument is given twice for the same time.', code.place));
    seen.add(once);
    const items = part.numbers('item');
    const total = part.number('total');
    const riskLevel = part.text('riskLevel');
    refuseBadAnswers(code.value, instrument, { items, total, riskLevel, place: part.place }, issues);
    const count = (counts.get(code.value) ?? 0) + 1;
    counts.set(code.value, count);
    const sum = instrument.form ? items.reduce((all, { value }) => all + value, 0) : total?.value;
    return [
      {
        code: code.value,
        // Not the time: a correction of the time must find the same resources.
        part: count === 1 ? code.value : `${code.value}-${count}`,
        instrument,
        items: items.map(({ value }) => value),
        ...(at && { at: at.value }),
        ...(sum !== undefined && { total: sum }),
        ...(riskLevel && { riskLevel: riskLevel.value }),
      },
    ];
  });
}

type Answers = {
  readonly items: readonly Placed<number>[];
  readonly total: Placed<number> | undefined;
  readonly riskLevel: Placed<string> | undefined;
  readonly place: string;
};

function refuseBadAnswers(code: string, instrument: Instrument, answers: Answers, issues: Issue[]): void {
  const { items, total, riskLevel, place } = answers;
  const isScreener = code === 'c-ssrs';
  const asked = isScreener ? CSSRS_QUESTIONS.length : (instrument.form?.items.length ?? 0);
  const highest = isScreener ? 1 : 3;
  if (items.length !== asked && !(isScreener && items.length === 0)) {
    issues.push(fault('value', `${code} needs ${asked} items, ${items.length} are given.`, place));
  }
  for (const item of items) {
    if (item.value < 0 || item.value > highest)
      issues.push(fault('value', `An answer lies between 0 and ${highest}.`, item.place));
  }
  if (isScreener) {
    if (items.length === 0 && riskLevel === undefined)
      issues.push(fault('required', 'c-ssrs needs its items or a riskLevel.', place));
    if (riskLevel !== undefined && RISK_LEVELS[riskLevel.value] === undefined) {
      issues.push(fault('code-invalid', 'riskLevel must be low, moderate or high.', riskLevel.place));
    }
    if (total !== undefined) issues.push(fault('not-supported', 'c-ssrs has no total.', total.place));
    return;
  }
  if (riskLevel !== undefined) issues.push(fault('not-supported', 'Only c-ssrs has a riskLevel.', riskLevel.place));
  if (total === undefined && instrument.form === undefined)
    issues.push(fault('required', `${code} needs its total.`, place));
  if (total !== undefined && (total.value < 0 || total.value > instrument.highest)) {
    issues.push(fault('value', `The total lies between 0 and ${instrument.highest}.`, total.place));
  }
  const sum = items.reduce((all, { value }) => all + value, 0);
  if (total !== undefined && instrument.form !== undefined && items.length === asked && sum !== total.value) {
    issues.push(fault('value', 'The total is not the sum of the items.', total.place));
  }
}

/**
 * How a scale goes into the bundle: its resources in order, each added through `add`, which gives its reference.
 *
 * @param context with the infusion, where the session is one
 */
export function addScale(
  scale: RatedScale,
  sessionTime: string,
  context: SessionContext & { readonly infusion?: Reference<never> },
  clinician: Reference<never>,
  add: (resource: Resource) => Reference<never>,
): void {
  const at = scale.at ?? sessionTime;
  const rater = scale.instrument.ratedBy === 'patient' ? context.subject : clinician;
  const partOf = scale.instrument.isOfInfusion && context.infusion;
  const observe: Observe = (suffix, code, profile) => ({
    resourceType: 'Observation',
    ...(profile.length > 0 && { meta: { profile } }),
    identifier: [businessIdentifier('Observation', `${context.key}-${scale.part}${suffix}`)],
    ...(partOf && { partOf: [partOf] }),
    status: 'final',
    category: [concept({ system: SYSTEM.observationCategory, code: 'survey', display: 'Survey' })],
    code,
    subject: context.subject,
    encounter: context.encounter,
    effectiveDateTime: at,
    performer: [rater],
  });
  if (scale.code === 'c-ssrs') {
    addScreener(scale, observe, add);
    return;
  }
  const { total, title, form, profile } = scale.instrument;
  if (total === undefined || scale.total === undefined) return;
  const answers = form && add(answersOf(scale, form, total, at, context));
  const derivedFrom = answers ? { derivedFrom: [answers] } : {};
  // Without a profile of ours: US Core alone, for the scales that have a code of LOINC.
  const isClaimed = profile !== undefined || total.system === SYSTEM.loinc;
  add({
    ...observe('', concept(total, `${title} total score`), isClaimed ? claims(profile, SCREENING) : []),
    valueQuantity: score(scale.total),
    ...derivedFrom,
  });
  if (scale.code === 'phq-9') {
    const answer = FREQUENCY_ANSWERS[scale.items[8] ?? -1];
    if (answer === undefined) throw new RangeError('a PHQ-9 without item 9 was let through');
    add({
      ...observe('-item-9', concept(LOINC.phq9Item9, 'PHQ-9 item 9'), claims('kap-phq9-item9', SCREENING)),
      valueCodeableConcept: concept(answer),
      ...derivedFrom,
    });
  }
}

const SCREENING = 'observation-screening-assessment';

type Observe = (suffix: string, code: CodeableConcept, profile: string[]) => Observation;

function addScreener(
  { items, riskLevel, instrument }: RatedScale,
  observe: Observe,
  add: (resource: Resource) => Reference<never>,
): void {
  const answers = items.map((item, index) => {
    const question = CSSRS_QUESTIONS[index];
    if (question === undefined) throw new RangeError('a C-SSRS screener with too many items was let through');
    const answer = concept(item === 1 ? LOINC.yes : LOINC.no);
    return add({
      ...observe(
        `-${index + 1}`,
        concept(question, `C-SSRS screener question ${index + 1}`),
        claims(undefined, SCREENING),
      ),
      valueCodeableConcept: answer,
    });
  });
  const risk = RISK_LEVELS[riskLevel ?? ''];
  if (risk === undefined) return;
  add({
    ...observe(
      '',
      concept(LOINC.cssrsRisk, 'C-SSRS screener: suicide risk level'),
      claims(instrument.profile, SCREENING),
    ),
    valueCodeableConcept: concept(risk, risk.display),
    ...(answers.length > 0 && { derivedFrom: answers }),
  });
}

function answersOf(
  scale: RatedScale,
  form: NonNullable<Instrument['form']>,
  total: Coding,
  at: string,
  context: SessionContext,
): QuestionnaireResponse {
  return {
    resourceType: 'QuestionnaireResponse',
    meta: { profile: [usCoreProfile('questionnaireresponse')] },
    identifier: businessIdentifier('QuestionnaireResponse', `${context.key}-${scale.part}`),
    questionnaire: `${CANONICAL_BASE}/Questionnaire/${form.id}|1.0.0`,
    status: 'completed',
    subject: context.subject,
    encounter: context.encounter,
    authored: at,
    author: context.subject,
    source: context.subject,
    item: [
      ...form.items.map((code, index) => ({
        linkId: `/${code}`,
        answer: [{ valueCoding: { ...FREQUENCY_ANSWERS[scale.items[index] ?? -1] } }],
      })),
      { linkId: `/${total.code}`, answer: [{ valueDecimal: scale.total ?? 0 }] },
    ],
  };
}
