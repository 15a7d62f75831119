/**
 * Every code system and code the clinic's domain speaks.
 *
 * Marks: V, verified in an official value set or code system file; P, found in public use, not official for its
 * system; M, from the literature or memory, to be verified with a terminology server before it is relied on outside
 * the clinic. No CPT descriptor appears here: the text is the property of the AMA.
 */
import type { CodeableConcept, Coding, Identifier } from '@medplum/fhirtypes';

/** Base of the canonical addresses of what this product defines. */
export const CANONICAL_BASE = 'https://kap.example.org/fhir';

/** Code system addresses (V, terminology.hl7.org), except KAP, which is ours. */
export const SYSTEM = {
  kap: `${CANONICAL_BASE}/CodeSystem/kap`,
  snomed: 'http://snomed.info/sct',
  loinc: 'http://loinc.org',
  rxNorm: 'http://www.nlm.nih.gov/research/umls/rxnorm',
  ndc: 'http://hl7.org/fhir/sid/ndc',
  icd10cm: 'http://hl7.org/fhir/sid/icd-10-cm',
  cpt: 'http://www.ama-assn.org/go/cpt',
  hcpcs: 'http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets',
  ucum: 'http://unitsofmeasure.org',
  nucc: 'http://nucc.org/provider-taxonomy',
  actCode: 'http://terminology.hl7.org/CodeSystem/v3-ActCode',
  actReason: 'http://terminology.hl7.org/CodeSystem/v3-ActReason',
  confidentiality: 'http://terminology.hl7.org/CodeSystem/v3-Confidentiality',
  participationType: 'http://terminology.hl7.org/CodeSystem/v3-ParticipationType',
  dataOperation: 'http://terminology.hl7.org/CodeSystem/v3-DataOperation',
  observationCategory: 'http://terminology.hl7.org/CodeSystem/observation-category',
  dataAbsentReason: 'http://terminology.hl7.org/CodeSystem/data-absent-reason',
  consentScope: 'http://terminology.hl7.org/CodeSystem/consentscope',
  goalAchievement: 'http://terminology.hl7.org/CodeSystem/goal-achievement',
  diagnosisRole: 'http://terminology.hl7.org/CodeSystem/diagnosis-role',
  dischargeDisposition: 'http://terminology.hl7.org/CodeSystem/discharge-disposition',
  administrationCategory: 'http://terminology.hl7.org/CodeSystem/medication-admin-category',
  administrationPerformer: 'http://terminology.hl7.org/CodeSystem/med-admin-perform-function',
  requestCategory: 'http://terminology.hl7.org/CodeSystem/medicationrequest-category',
  doseRateType: 'http://terminology.hl7.org/CodeSystem/dose-rate-type',
  provenanceParticipant: 'http://terminology.hl7.org/CodeSystem/provenance-participant-type',
  carePlanCategory: 'http://hl7.org/fhir/us/core/CodeSystem/careplan-category',
  documentCategory: 'http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category',
  adverseEventSeriousness: 'http://terminology.hl7.org/CodeSystem/adverse-event-seriousness',
  adverseEventSeverity: 'http://terminology.hl7.org/CodeSystem/adverse-event-severity',
  adverseEventOutcome: 'http://terminology.hl7.org/CodeSystem/adverse-event-outcome',
  adverseEventCausality: 'http://terminology.hl7.org/CodeSystem/adverse-event-causality-assess',
} as const;

/** Identifier system of a resource type: `MedicationAdministration` is `https://kap.example.org/id/medication-administration`. */
export function identifierSystem(type: string): string {
  return `https://kap.example.org/id/${kebab(type)}`;
}

/** A business identifier of ours: `identifier('care-plan', 'KAP-CP-1')`. */
export function identifier(kebabType: string, value: string): Identifier {
  return { system: `https://kap.example.org/id/${kebabType}`, value };
}

/** Identifier of everything the rules write: `R-04|Procedure/5`. One value, one resource, for ever. */
export const RULE_FINDING = 'https://kap.example.org/id/rule-finding';

/** System of `meta.tag` where a type has no identifier element (AdverseEvent, Provenance). */
export const IDEMPOTENCY_KEY = 'https://kap.example.org/id/idempotency-key';

/** Extensions of ours. */
export const EXTENSION = {
  policyParameter: `${CANONICAL_BASE}/StructureDefinition/kap-policy-parameter`,
  doseConfirmedBy: `${CANONICAL_BASE}/StructureDefinition/dose-confirmed-by`,
  sessionNumber: `${CANONICAL_BASE}/StructureDefinition/kap-session-number`,
} as const;

/** `PlanDefinition` → `plan-definition`, `integrationWindowStart` → `integration-window-start`. */
export function kebab(name: string): string {
  return name.replace(/(?<=[a-z0-9])[A-Z]/g, '-$&').toLowerCase();
}

/** The local code system: code and display. The start set of the domain reference, then what the rules add. */
export const KAP = {
  'kap-course': 'Ketamine-assisted psychotherapy course',
  'kap-consult': 'Qualified-provider consult and medical clearance',
  'kap-preparation-session': 'Preparation psychotherapy session',
  'kap-infusion': 'Ketamine infusion',
  'kap-infusion-session': 'Ketamine infusion visit',
  'kap-integration-session': 'Integration psychotherapy session',
  'kap-reassessment': 'Re-assessment at the end of induction',
  'kap-course-discharge': 'Discharge from the course',
  'infusion-to-integration-interval': 'Interval from end of infusion to start of integration session',
  'in-window': 'Integration session in its window',
  'integration-early': 'Integration session earlier than its window',
  'integration-late': 'Integration session later than its window',
  'integration-missed': 'No integration session after an infusion',
  'integration-overdue': 'Integration session overdue',
  'during-infusion': 'Therapy during the infusion',
  'consent-missing': 'No valid treatment consent at the start of an infusion',
  'consult-missing': 'No valid provider consult before the first infusion',
  'infusion-short': 'Infusion shorter than the protocol',
  'infusion-long': 'Infusion longer than the protocol',
  'bp-hold': 'Blood pressure above the hold value before an infusion',
  'bp-stop': 'Blood pressure at the stop value during an infusion',
  'monitoring-gap': 'Gap in monitoring',
  'dose-ceiling': 'Dose above what is ordered or allowed',
  'infusion-interval': 'Interval between infusions outside the protocol',
  fasting: 'Fasting not as required',
  'discharge-readiness': 'Post-infusion discharge readiness',
  'discharge-ready': 'Ready for discharge',
  'discharge-criteria-not-met': 'Discharge criteria not met',
  'ride-home-present': 'Responsible adult present',
  ambulates: 'Ambulates without assistance',
  'moaa-s': 'MOAA/S score',
  'aldrete-modified': 'Modified Aldrete score',
  'cadss-total': 'Clinician-Administered Dissociative States Scale total score',
  'madrs-total': 'Montgomery-Asberg Depression Rating Scale total score',
  'qids-sr16-total': 'Quick Inventory of Depressive Symptomatology SR16 total score',
  'ybocs-total': 'Yale-Brown Obsessive Compulsive Scale total score',
  'meq30-total': 'Mystical Experience Questionnaire 30 total score',
  'meq30-mystical': 'MEQ-30 mystical factor score',
  'meq30-positive-mood': 'MEQ-30 positive mood factor score',
  'meq30-transcendence': 'MEQ-30 transcendence of time and space factor score',
  'meq30-ineffability': 'MEQ-30 ineffability factor score',
  'meq30-complete-experience': 'Complete mystical experience',
  'phq9-percent-change': 'PHQ-9 percent change from baseline',
  'phq9-minimal': 'minimal',
  'phq9-mild': 'mild',
  'phq9-moderate': 'moderate',
  'phq9-moderately-severe': 'moderately severe',
  'phq9-severe': 'severe',
  'gad7-minimal': 'minimal',
  'gad7-mild': 'mild',
  'gad7-moderate': 'moderate',
  'gad7-severe': 'severe',
  'qids-none': 'none',
  'qids-mild': 'mild',
  'qids-moderate': 'moderate',
  'qids-severe': 'severe',
  'qids-very-severe': 'very severe',
  'madrs-none': 'none',
  'madrs-mild': 'mild',
  'madrs-moderate': 'moderate',
  'madrs-severe': 'severe',
  'ybocs-subclinical': 'subclinical',
  'ybocs-mild': 'mild',
  'ybocs-moderate': 'moderate',
  'ybocs-severe': 'severe',
  'ybocs-extreme': 'extreme',
  'pcl5-provisional-ptsd': 'provisional PTSD',
  'audit-positive': 'positive screen',
  'dast10-positive': 'positive screen',
  'cadss-dissociation': 'dissociation present',
  response: 'response',
  'non-response': 'no response',
  remission: 'remission',
  'recall-overlap': 'recall period overlaps the rating before',
  'suicidality-follow-up': 'suicidality follow-up required',
  'review-suicidality': 'Review suicidality',
  dissociation: 'Dissociation',
  'ketamine-wasted': 'Ketamine wasted',
  'psychotherapy-note': 'Psychotherapy note (45 CFR 164.501), kept apart from the medical record',
  'sud-counseling-note': 'SUD counseling note (42 CFR 2.11), kept apart from the medical record',
  'consent-ketamine-treatment': 'Informed consent for off-label ketamine',
  'rems-monitoring': 'REMS monitoring',
  'rems-form-due': 'REMS form due',
  'closed-by-rule': 'closed by the rules engine: the reason is gone',
  'profile-not-met': 'Stored although a claimed profile is not met',
  'therapy-under-16-min': 'Therapy under 16 minutes',
  'therapy-16-to-37-min': 'Therapy of 16 to 37 minutes',
  'therapy-38-to-52-min': 'Therapy of 38 to 52 minutes',
  'therapy-53-min-or-more': 'Therapy of 53 minutes or more',
} as const;

export type KapCode = keyof typeof KAP;

export function kapCoding(code: KapCode): Coding {
  return { system: SYSTEM.kap, code, display: KAP[code] };
}

export function kapConcept(code: KapCode, text: string = KAP[code]): CodeableConcept {
  return { coding: [kapCoding(code)], text };
}

function coding(system: string, code: string, display?: string): Coding {
  return Object.freeze(display === undefined ? { system, code } : { system, code, display });
}

/** LOINC. V unless marked. */
export const LOINC = {
  bloodPressure: coding(SYSTEM.loinc, '85354-9', 'Blood pressure panel with all children optional'),
  systolic: coding(SYSTEM.loinc, '8480-6', 'Systolic blood pressure'),
  diastolic: coding(SYSTEM.loinc, '8462-4', 'Diastolic blood pressure'),
  meanPressure: coding(SYSTEM.loinc, '8478-0', 'Mean blood pressure'),
  heartRate: coding(SYSTEM.loinc, '8867-4', 'Heart rate'),
  respiratoryRate: coding(SYSTEM.loinc, '9279-1', 'Respiratory rate'),
  /** US Core asks for both codings of SpO2. */
  oxygenSaturation: coding(SYSTEM.loinc, '2708-6', 'Oxygen saturation in Arterial blood'),
  pulseOximetry: coding(SYSTEM.loinc, '59408-5', 'Oxygen saturation in Arterial blood by Pulse oximetry'),
  temperature: coding(SYSTEM.loinc, '8310-5', 'Body temperature'),
  weight: coding(SYSTEM.loinc, '29463-7', 'Body weight'),
  height: coding(SYSTEM.loinc, '8302-2', 'Body height'),
  phq9Panel: coding(SYSTEM.loinc, '44249-1'),
  phq9Total: coding(SYSTEM.loinc, '44261-6', 'Patient Health Questionnaire 9 item (PHQ-9) total score [Reported]'),
  phq9Item9: coding(
    SYSTEM.loinc,
    '44260-8',
    'Thoughts that you would be better off dead, or of hurting yourself in some way in last 2 weeks [Reported.PHQ]',
  ),
  gad7Panel: coding(SYSTEM.loinc, '69737-5'),
  gad7Total: coding(SYSTEM.loinc, '70274-6', 'Generalized anxiety disorder 7 item (GAD-7) total score [Reported.PHQ]'),
  /** P */
  pcl5Panel: coding(SYSTEM.loinc, '101697-1'),
  /** P */
  pcl5Total: coding(SYSTEM.loinc, '101698-9'),
  auditTotal: coding(SYSTEM.loinc, '75624-7'),
  dast10Total: coding(SYSTEM.loinc, '82667-7'),
  cssrsScreener: coding(SYSTEM.loinc, '93373-9'),
  cssrsRisk: coding(SYSTEM.loinc, '93374-7'),
  cssrsWishDead: coding(SYSTEM.loinc, '93246-7'),
  cssrsThoughts: coding(SYSTEM.loinc, '93247-5'),
  cssrsMethod: coding(SYSTEM.loinc, '93248-3'),
  cssrsIntent: coding(SYSTEM.loinc, '93249-1'),
  cssrsPlan: coding(SYSTEM.loinc, '93250-9'),
  cssrsBehaviourLifetime: coding(SYSTEM.loinc, '93267-3'),
  cssrsBehaviourThreeMonths: coding(SYSTEM.loinc, '93269-9'),
  /** P (BHP) */
  riskLow: coding(SYSTEM.loinc, 'LA9194-7', 'Low'),
  /** M */
  riskModerate: coding(SYSTEM.loinc, 'LA6751-7', 'Moderate'),
  /** M */
  riskHigh: coding(SYSTEM.loinc, 'LA9193-9', 'High'),
  /** M */
  yes: coding(SYSTEM.loinc, 'LA33-6', 'Yes'),
  no: coding(SYSTEM.loinc, 'LA32-8', 'No'),
  consultNote: coding(SYSTEM.loinc, '34785-6'),
  historyAndPhysical: coding(SYSTEM.loinc, '78306-8'),
  infusionNote: coding(SYSTEM.loinc, '78472-8'),
  procedureNote: coding(SYSTEM.loinc, '28570-0', 'Procedure note'),
  progressNote: coding(SYSTEM.loinc, '34904-3', 'Mental health Progress note'),
  dischargeSummary: coding(SYSTEM.loinc, '78263-1'),
  patientConsent: coding(SYSTEM.loinc, '59284-0', 'Patient Consent'),
} as const;

/** The PHQ-9 items 1 to 9 in the order of the form (V). */
export const PHQ9_ITEMS = [
  '44250-9',
  '44255-8',
  '44259-0',
  '44254-1',
  '44251-7',
  '44258-2',
  '44252-5',
  '44253-3',
  '44260-8',
] as const;

/** The GAD-7 items 1 to 7 in the order of the form (V, LOINC 2.68). */
export const GAD7_ITEMS = ['69725-0', '68509-9', '69733-4', '69734-2', '69735-9', '69689-8', '69736-7'] as const;

/** The answers of PHQ-9 and GAD-7 in the order of their score 0 to 3 (V). */
export const FREQUENCY_ANSWERS = [
  coding(SYSTEM.loinc, 'LA6568-5', 'Not at all'),
  coding(SYSTEM.loinc, 'LA6569-3', 'Several days'),
  coding(SYSTEM.loinc, 'LA6570-1', 'More than half the days'),
  coding(SYSTEM.loinc, 'LA6571-9', 'Nearly every day'),
] as const;

/** SNOMED CT. V unless marked. */
export const SNOMED = {
  /** P */
  intravenousInfusion: coding(SYSTEM.snomed, '14152002', 'Intravenous infusion (procedure)'),
  individualPsychotherapy: coding(SYSTEM.snomed, '18512000', 'Individual psychotherapy (regime/therapy)'),
  groupPsychotherapy: coding(SYSTEM.snomed, '76168009'),
  initialEvaluation: coding(SYSTEM.snomed, '165171009', 'Initial psychiatric evaluation (procedure)'),
  followUpEncounter: coding(SYSTEM.snomed, '390906007', 'Follow-up encounter (procedure)'),
  psychiatryService: coding(SYSTEM.snomed, '24642003', 'Psychiatry procedure or service'),
  counselling: coding(SYSTEM.snomed, '409063005', 'Counselling'),
  intravenousRoute: coding(SYSTEM.snomed, '47625008', 'Intravenous route (qualifier value)'),
  intramuscularRoute: coding(SYSTEM.snomed, '78421000'),
  subcutaneousRoute: coding(SYSTEM.snomed, '34206005'),
  sublingualRoute: coding(SYSTEM.snomed, '37839007'),
  nasalRoute: coding(SYSTEM.snomed, '46713006'),
  treatmentResistantDepression: coding(SYSTEM.snomed, '1153570009', 'Treatment resistant depression (disorder)'),
  successful: coding(SYSTEM.snomed, '385669000'),
  /** P */
  nausea: coding(SYSTEM.snomed, '422587007', 'Nausea (finding)'),
  /** P */
  ketamineSubstance: coding(SYSTEM.snomed, '373464007'),
} as const;

/** RxNorm. Ingredient V, products P. */
export const RXNORM = {
  ketamine: coding(SYSTEM.rxNorm, '6130', 'Ketamine'),
  ketamine10MgPerMl: coding(SYSTEM.rxNorm, '238082'),
  ketamine50MgPerMl: coding(SYSTEM.rxNorm, '238084'),
  ketamine100MgPerMl: coding(SYSTEM.rxNorm, '238083'),
  esketamineNasal: coding(SYSTEM.rxNorm, '2201623'),
  esketamineNasalBrand: coding(SYSTEM.rxNorm, '2201625'),
} as const;

/** Codes that mean esketamine (P). */
export const ESKETAMINE_CODES: ReadonlySet<string> = new Set([
  `${SYSTEM.rxNorm}|2201623`,
  `${SYSTEM.rxNorm}|2201625`,
  `${SYSTEM.ndc}|50458-028-02`,
  `${SYSTEM.ndc}|50458-028-03`,
]);

/** Codes that mean racemic ketamine (RxNorm 6130 V, others P). */
export const KETAMINE_CODES: ReadonlySet<string> = new Set([
  ...['6130', '238082', '238083', '238084', '206967', '206970', '206972'].map((code) => `${SYSTEM.rxNorm}|${code}`),
  `${SYSTEM.snomed}|373464007`,
  `${SYSTEM.ndc}|42023-113-10`,
]);

/** Provider taxonomy (V unless marked). */
export const NUCC = {
  registeredNurse: coding(SYSTEM.nucc, '163W00000X', 'Registered Nurse'),
  psychologist: coding(SYSTEM.nucc, '103T00000X', 'Psychologist'),
  socialWorker: coding(SYSTEM.nucc, '104100000X'),
  counselor: coding(SYSTEM.nucc, '101Y00000X'),
  nursePractitioner: coding(SYSTEM.nucc, '363L00000X'),
  nurseAnesthetist: coding(SYSTEM.nucc, '367500000X'),
  anesthesiology: coding(SYSTEM.nucc, '207L00000X'),
  /** M */
  psychiatry: coding(SYSTEM.nucc, '2084P0800X', 'Psychiatry Physician'),
} as const;

/** Security labels of v3-ActCode (V). */
export const LABEL = {
  psychiatry: coding(SYSTEM.actCode, 'PSY', 'psychiatry disorder information sensitivity'),
  psychotherapyNote: coding(SYSTEM.actCode, 'PSYTHPN', 'psychotherapy note information sensitivity'),
  hipaaPsychotherapyNotes: coding(SYSTEM.actCode, 'HIPAAPsyNotes', 'HIPAA psychotherapy notes'),
  noDisclosureWithoutAuthorization: coding(SYSTEM.actCode, 'NOAUTH', 'no disclosure without subject authorization'),
  substanceUse: coding(SYSTEM.actCode, 'SUD', 'substance use disorder information sensitivity'),
  part2: coding(SYSTEM.actCode, '42CFRPart2', '42 CFR Part2'),
  noRedisclosure: coding(SYSTEM.actCode, 'NORDSCLCD', 'no redisclosure without consent directive'),
  normal: coding(SYSTEM.confidentiality, 'N', 'normal'),
  restricted: coding(SYSTEM.confidentiality, 'R', 'restricted'),
} as const;

/** DetectedIssue codes of v3-ActCode (V). Too coarse to query: a KAP code always stands beside them. */
export const ALERT = {
  timing: coding(SYSTEM.actCode, 'TIME', 'timing detected issue'),
  startTooLate: coding(SYSTEM.actCode, 'ALRTSTRTLATE', 'start too late alert'),
  highDose: coding(SYSTEM.actCode, 'DOSEHIND', 'High Dose for Indication Alert'),
  doseInterval: coding(SYSTEM.actCode, 'DOSEIVL', 'Dose-Interval Alert'),
  durationLow: coding(SYSTEM.actCode, 'DOSEDURL', 'Dose-Duration Low Alert'),
  durationHigh: coding(SYSTEM.actCode, 'DOSEDURH', 'Dose-Duration High Alert'),
  observation: coding(SYSTEM.actCode, 'OBSA', 'Observation Alert'),
  compliance: coding(SYSTEM.actCode, 'COMPLY', 'Compliance Alert'),
} as const;

/** US Core profile addresses (6.1.0 and 7.0.0). */
export function usCoreProfile(name: string): string {
  return `http://hl7.org/fhir/us/core/StructureDefinition/us-core-${name}`;
}

/** The profiles of the guide (fhir-profiles) that what is written here claims. */
export type KapProfile =
  | 'kap-course'
  | 'kap-care-plan'
  | 'kap-infusion-request'
  | 'kap-integration-request'
  | 'kap-ketamine-order'
  | 'kap-infusion-encounter'
  | 'kap-infusion-procedure'
  | 'kap-ketamine-administration'
  | 'kap-integration-encounter'
  | 'kap-integration-procedure'
  | 'kap-infusion-blood-pressure'
  | 'kap-infusion-heart-rate'
  | 'kap-infusion-respiratory-rate'
  | 'kap-infusion-oxygen-saturation'
  | 'kap-integration-interval'
  | 'kap-sedation-score'
  | 'kap-dissociation-score'
  | 'kap-phq9-score'
  | 'kap-phq9-item9'
  | 'kap-gad7-score'
  | 'kap-pcl5-score'
  | 'kap-cssrs-risk'
  | 'kap-ybocs-score'
  | 'kap-madrs-score'
  | 'kap-audit-score'
  | 'kap-clinical-note'
  | 'kap-psychotherapy-note'
  | 'kap-rule-finding'
  | 'kap-adverse-event';

/** Its address, as a claim in meta.profile. Without a version: whoever claims it means the one that is loaded. */
export function kapProfile(name: KapProfile): string {
  return `${CANONICAL_BASE}/StructureDefinition/${name}`;
}

/**
 * What a resource claims in meta.profile. The US Core profile stands beside ours although ours is built on it: a client
 * searches `_profile` by the one it knows.
 */
export function claims(ours: KapProfile | undefined, usCore?: string): string[] {
  return [...(ours === undefined ? [] : [kapProfile(ours)]), ...(usCore === undefined ? [] : [usCoreProfile(usCore)])];
}

/** Whether a concept carries this code of this system. */
export function hasCode(concept: CodeableConcept | undefined, system: string, code: string): boolean {
  const codings = concept?.coding;
  if (codings === undefined) return false;
  for (const each of codings) if (each.code === code && each.system === system) return true;
  return false;
}

/** Whether a concept carries this code of ours. */
export function hasKapCode(concept: CodeableConcept | undefined, code: KapCode): boolean {
  return hasCode(concept, SYSTEM.kap, code);
}

/** Whether one of the concepts carries this code of this system. */
export function anyHasCode(concepts: readonly CodeableConcept[] | undefined, system: string, code: string): boolean {
  if (concepts === undefined) return false;
  for (const each of concepts) if (hasCode(each, system, code)) return true;
  return false;
}

/** A concept of one or more codings. Codings are copied: what is stored never shares the constants above. */
export function concept(codings: Coding | readonly Coding[], text?: string): CodeableConcept {
  const list = (Array.isArray(codings) ? codings : [codings]) as readonly Coding[];
  return { coding: list.map((each) => ({ ...each })), ...(text === undefined ? {} : { text }) };
}
