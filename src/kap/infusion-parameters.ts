import { SCORE_PARAMETER } from './instruments.ts';
import type { ParameterDefinition } from './parameters.ts';
import { PLAUSIBLE, VITAL_SIGNS } from './vital-signs.ts';

const PRACTITIONER = ['Practitioner', 'PractitionerRole'] as const;

/**
 * The parameters of `POST /fhir/CarePlan/{id}/$record-infusion`. Times are points in time with offset.
 * References are literal, conditional (`Practitioner?identifier=system|value`), or a type and an identifier.
 */
export const INFUSION_PARAMETERS: readonly ParameterDefinition[] = [
  {
    name: 'session',
    types: ['positiveInt', 'integer', 'Reference'],
    targets: ['ServiceRequest'],
    documentation:
      'Which infusion of the plan: its number from 1, or its ServiceRequest. The first open one unless told.',
  },
  { name: 'identifier', types: ['Identifier'], documentation: 'The identifier of this session in the sending system.' },
  { name: 'status', types: ['code'], documentation: 'completed (unless told), stopped, or not-done.' },
  { name: 'statusReason', types: ['CodeableConcept'], documentation: 'Why it was stopped or not done. Required then.' },
  {
    name: 'correction',
    types: ['boolean'],
    documentation: 'True replaces what is recorded of this session by what is given here.',
  },
  { name: 'arrival', types: ['dateTime'], documentation: 'Start of the visit. Required unless not done.' },
  { name: 'start', types: ['dateTime'], documentation: 'Start of the pump. Required unless not done.' },
  { name: 'end', types: ['dateTime'], documentation: 'End of the pump. Required unless not done.' },
  { name: 'departure', types: ['dateTime'], documentation: 'End of the visit. Required unless not done.' },
  { name: 'dose', types: ['Quantity'], documentation: 'What was given, in mg (UCUM). Required unless not done.' },
  {
    name: 'doseConfirmedBy',
    types: ['Reference'],
    targets: PRACTITIONER,
    documentation: 'The prescriber who confirmed a dose above the ceiling (rule R-08).',
  },
  { name: 'weight', types: ['Quantity'], documentation: 'Body weight of the day, in kg (UCUM).' },
  { name: 'route', types: ['CodeableConcept'], documentation: 'SNOMED CT route; that of the drug order unless told.' },
  {
    name: 'medication',
    documentation: 'What the dose was drawn from.',
    part: [
      {
        name: 'product',
        types: ['CodeableConcept'],
        documentation: 'The product; that of the drug order unless told.',
      },
      { name: 'ndc', types: ['string'], documentation: 'National Drug Code of the vial.' },
      { name: 'lot', types: ['string'], documentation: 'Lot number of the vial.' },
      { name: 'expiry', types: ['date'], documentation: 'Expiry of the vial.' },
    ],
  },
  { name: 'pump', types: ['Reference'], targets: ['Device'], documentation: 'The infusion pump.' },
  {
    name: 'monitor',
    types: ['Reference'],
    targets: ['Device'],
    documentation: 'The monitor that measured the vital signs.',
  },
  { name: 'location', types: ['Reference'], targets: ['Location'], documentation: 'The chair or room.' },
  {
    name: 'nurse',
    types: ['Reference'],
    targets: PRACTITIONER,
    required: true,
    documentation: 'Who gave the infusion, or decided against it.',
  },
  { name: 'prescriber', types: ['Reference'], targets: PRACTITIONER, documentation: 'The prescriber in attendance.' },
  { name: 'witness', types: ['Reference'], targets: PRACTITIONER, documentation: 'Who witnessed dose and waste.' },
  {
    name: 'vitals',
    many: true,
    documentation: 'One reading. What was not measured is left out.',
    part: [
      { name: 'at', types: ['dateTime'], required: true, documentation: 'When it was measured.' },
      ...VITAL_SIGNS.map(
        (name): ParameterDefinition => ({
          name,
          types: ['decimal', 'integer'],
          documentation: `In ${PLAUSIBLE[name].unit}, ${PLAUSIBLE[name].low} to ${PLAUSIBLE[name].high}.`,
        }),
      ),
    ],
  },
  {
    name: 'vitalsCsv',
    types: ['string', 'Attachment'],
    documentation:
      'The readings as CSV: a header line with time and any of systolic, diastolic, heart_rate, spo2, respiratory_rate, temperature, moaas. Instead of vitals.',
  },
  SCORE_PARAMETER,
  {
    name: 'checklist',
    documentation: 'What was asked before the infusion. A part is named by the linkId of kap-pre-infusion-checklist.',
    part: [
      { name: 'consent-active', types: ['boolean'], documentation: 'Treatment consent in force.' },
      { name: 'last-solid-food', types: ['dateTime'], documentation: 'Last solid food.' },
      { name: 'last-clear-fluid', types: ['dateTime'], documentation: 'Last clear fluid.' },
      { name: 'pregnancy-test', types: ['code'], documentation: 'negative, positive or not-applicable.' },
      { name: 'ride-home', types: ['boolean'], documentation: 'Responsible adult or ride arranged.' },
      { name: 'benzodiazepine-24h', types: ['boolean'], documentation: 'Benzodiazepine in the last 24 hours.' },
      { name: 'new-contraindication', types: ['boolean'], documentation: 'New contraindication since the last visit.' },
    ],
  },
  {
    name: 'adverseEvent',
    many: true,
    documentation: 'An adverse event of the visit.',
    part: [
      { name: 'event', types: ['CodeableConcept'], required: true, documentation: 'What happened, coded or as text.' },
      { name: 'at', types: ['dateTime'], required: true, documentation: 'When it began.' },
      { name: 'severity', types: ['code'], documentation: 'mild, moderate or severe.' },
      {
        name: 'seriousness',
        types: ['code'],
        documentation: 'A code of adverse-event-seriousness; Non-serious unless told.',
      },
      { name: 'outcome', types: ['code'], documentation: 'A code of adverse-event-outcome.' },
      { name: 'causality', types: ['code'], documentation: 'A code of adverse-event-causality-assess.' },
    ],
  },
  {
    name: 'discharge',
    documentation: 'The assessment before departure.',
    part: [
      { name: 'at', types: ['dateTime'], required: true, documentation: 'When it was made.' },
      {
        name: 'ready',
        types: ['boolean'],
        required: true,
        documentation: 'Whether the criteria of the clinic are met.',
      },
      { name: 'aldrete', types: ['integer'], documentation: 'Modified Aldrete score, 0 to 10.' },
      { name: 'moaas', types: ['integer'], documentation: 'MOAA/S score, 0 to 5.' },
      { name: 'ambulates', types: ['boolean'], documentation: 'Walks without help.' },
      { name: 'adultPresent', types: ['boolean'], documentation: 'A responsible adult is there.' },
    ],
  },
  { name: 'waste', types: ['Quantity'], documentation: 'Ketamine discarded from the vial, in mg. Needs a witness.' },
  { name: 'note', types: ['string'], documentation: 'The procedure note, as text.' },
];
