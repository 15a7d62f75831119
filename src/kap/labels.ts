/**
 * Security labels and the guard of the psychotherapy note.
 *
 * A clinical resource leaves the write path with exactly one code of v3-Confidentiality. Its author's labels stand and
 * are never lowered; where the author gave none, the defaults are: normal for plain vitals, people, places, devices
 * and scheduling; restricted and PSY for whatever shows the treatment; restricted, PSYTHPN, HIPAAPsyNotes and NOAUTH
 * for a psychotherapy note. Content under 42 CFR Part 2 is restricted and carries SUD and NORDSCLCD.
 */
import type {
  Appointment,
  Binary,
  CodeableConcept,
  Coding,
  DocumentReference,
  Observation,
  Reference,
  Resource,
} from '@medplum/fhirtypes';
import { hasCode, hasKapCode, LABEL, SYSTEM } from './codes.ts';

/** Why labels cannot stand. `expression` is a FHIRPath in the resource. */
export type LabelIssue = {
  readonly severity: 'error';
  readonly code: 'business-rule' | 'code-invalid';
  readonly diagnostics: string;
  readonly expression: string;
};

export type Labelled<T extends Resource> = { readonly resource: T } | { readonly issues: readonly LabelIssue[] };

const NONE: ReadonlySet<string> = new Set();

/**
 * The resource with all its labels: the same object when nothing is missing.
 *
 * @param notes references (`Type/id` or `urn:uuid:…`) of the psychotherapy notes and their Binaries of the same write
 */
export function labelled<T extends Resource>(resource: T, notes: ReadonlySet<string> = NONE): Labelled<T> {
  const type = resource.resourceType;
  if (!isClinical(type)) return { resource };
  const own = resource.meta?.security ?? [];
  const labels = type === 'DocumentReference' ? withDocumentLabels(own, resource as DocumentReference) : own;

  const given = confidentialityOf(labels);
  if (given === 'several' || given === 'unknown') return { issues: [wrongConfidentiality(type, own, given)] };

  const wanted = wantedLabels(resource, labels, given, notes);
  const missing = wanted.filter((label) => !has(labels, label));
  const raise = given !== undefined && isBelowRestricted(given) && mustBeRestricted(wanted);
  const complete =
    missing.length === 0 && !raise ? labels : [...missing, ...(raise ? withoutConfidentiality(labels) : labels)];
  return {
    resource: complete === own ? repeated(resource, own) : repeated(withSecurity(resource, complete), complete),
  };
}

/** What carries no label: definitions of the clinic, terminology, and what the service itself writes about itself. */
const NOT_CLINICAL = new Set<string>([
  'ActivityDefinition',
  'AuditEvent',
  'Bundle',
  'CapabilityStatement',
  'CodeSystem',
  'CompartmentDefinition',
  'ConceptMap',
  'Endpoint',
  'EventDefinition',
  'ExampleScenario',
  'GraphDefinition',
  'ImplementationGuide',
  'Library',
  'Measure',
  'MessageDefinition',
  'NamingSystem',
  'OperationDefinition',
  'OperationOutcome',
  'Parameters',
  'PlanDefinition',
  'Questionnaire',
  'SearchParameter',
  'StructureDefinition',
  'StructureMap',
  'Subscription',
  'TerminologyCapabilities',
  'TestReport',
  'TestScript',
  'ValueSet',
]);

/** Whether R-22 asks for a label. */
export function isClinical(type: string): boolean {
  return !NOT_CLINICAL.has(type);
}

/** People, places and things that say nothing about a treatment. */
const NORMAL = new Set<string>([
  'AppointmentResponse',
  'Device',
  'DeviceDefinition',
  'DeviceMetric',
  'HealthcareService',
  'Location',
  'Organization',
  'OrganizationAffiliation',
  'Patient',
  'Person',
  'Practitioner',
  'PractitionerRole',
  'RelatedPerson',
  'Schedule',
  'Slot',
]);

const PLAIN: readonly Coding[] = [LABEL.normal];
const PSYCHIATRIC: readonly Coding[] = [LABEL.restricted, LABEL.psychiatry];
const NOTE: readonly Coding[] = [
  LABEL.restricted,
  LABEL.psychotherapyNote,
  LABEL.hipaaPsychotherapyNotes,
  LABEL.noDisclosureWithoutAuthorization,
];
const PART2: readonly Coding[] = [LABEL.restricted, LABEL.substanceUse, LABEL.noRedisclosure];

function wantedLabels(
  resource: Resource,
  labels: readonly Coding[],
  confidentiality: string | undefined,
  notes: ReadonlySet<string>,
): readonly Coding[] {
  let wanted: readonly Coding[];
  if (claimsNote(labels) || isPsychotherapyNote(resource) || belongsToNote(resource, notes)) {
    wanted = isSubstanceUseNote(resource) ? [...NOTE, LABEL.substanceUse] : NOTE;
  } else if (confidentiality !== undefined) {
    wanted = [];
  } else {
    wanted = isPlain(resource) ? PLAIN : PSYCHIATRIC;
  }
  if (has(labels, LABEL.part2)) wanted = [...PART2, ...wanted.filter(isNotConfidentiality)];
  // The confidentiality that the author gave stands, unless it is raised.
  return confidentiality === undefined || (isBelowRestricted(confidentiality) && mustBeRestricted(wanted))
    ? wanted
    : wanted.filter(isNotConfidentiality);
}

function isPlain(resource: Resource): boolean {
  if (NORMAL.has(resource.resourceType)) return true;
  if (resource.resourceType === 'Observation') return isVitalSign(resource);
  if (resource.resourceType === 'Appointment') return !givesReason(resource);
  return false;
}

function isVitalSign({ category }: Observation): boolean {
  return category?.some((each) => hasCode(each, SYSTEM.observationCategory, 'vital-signs')) ?? false;
}

function givesReason({ reasonCode, reasonReference, description, comment }: Appointment): boolean {
  return (
    (reasonCode?.length ?? 0) > 0 ||
    (reasonReference?.length ?? 0) > 0 ||
    description !== undefined ||
    comment !== undefined
  );
}

/** One code of v3-Confidentiality, none, or what is wrong. */
function confidentialityOf(labels: readonly Coding[]): string | undefined | 'several' | 'unknown' {
  let found: string | undefined;
  for (const { system, code } of labels) {
    if (system !== SYSTEM.confidentiality || code === found) continue;
    if (found !== undefined) return 'several';
    if (code === undefined || !LEVELS.includes(code)) return 'unknown';
    found = code;
  }
  return found;
}

/** v3-Confidentiality from unrestricted to very restricted. */
const LEVELS = ['U', 'L', 'M', 'N', 'R', 'V'];

/** Whether one level of v3-Confidentiality protects less than R. */
export function isBelowRestricted(code: string): boolean {
  return LEVELS.indexOf(code) < LEVELS.indexOf('R');
}

function wrongConfidentiality(type: string, own: readonly Coding[], given: 'several' | 'unknown'): LabelIssue {
  const expression = wrongLabel(type, own, given);
  return given === 'several'
    ? {
        severity: 'error',
        code: 'business-rule',
        diagnostics: 'Rule R-22: more than one code of v3-Confidentiality; keep exactly one',
        expression,
      }
    : {
        severity: 'error',
        code: 'code-invalid',
        diagnostics: `Rule R-22: unknown code of v3-Confidentiality; use one of ${LEVELS.join(', ')}`,
        expression,
      };
}

/** The label that is one too many, or unknown; a document may have it among its own security labels alone. */
function wrongLabel(type: string, own: readonly Coding[], given: 'several' | 'unknown'): string {
  const at = own.flatMap((label, index) => (isNotConfidentiality(label) ? [] : [index]));
  const index = given === 'several' ? at[1] : at.find((each) => !LEVELS.includes(own[each]?.code ?? ''));
  return index === undefined ? `${type}.securityLabel` : `${type}.meta.security[${index}]`;
}

function mustBeRestricted(wanted: readonly Coding[]): boolean {
  return wanted.some(({ code }) => code === LABEL.psychotherapyNote.code || code === LABEL.noRedisclosure.code);
}

function isNotConfidentiality({ system }: Coding): boolean {
  return system !== SYSTEM.confidentiality;
}

function withoutConfidentiality(labels: readonly Coding[]): readonly Coding[] {
  return labels.filter(isNotConfidentiality);
}

function has(labels: readonly Coding[], label: Coding): boolean {
  for (const { system, code } of labels) if (code === label.code && system === label.system) return true;
  return false;
}

function withSecurity<T extends Resource>(resource: T, labels: readonly Coding[]): T {
  return { ...resource, meta: { ...resource.meta, security: labels.map((label) => ({ ...label })) } };
}

/** A DocumentReference says its labels twice, for receivers that drop meta. */
function withDocumentLabels(own: readonly Coding[], { securityLabel }: DocumentReference): readonly Coding[] {
  const extra = (securityLabel ?? []).flatMap(({ coding }) => coding ?? []).filter((label) => !has(own, label));
  return extra.length === 0 ? own : [...own, ...extra];
}

function repeated<T extends Resource>(resource: T, labels: readonly Coding[]): T {
  if (resource.resourceType !== 'DocumentReference') return resource;
  const written = resource.securityLabel ?? [];
  const missing = labels.filter(({ system, code }) => !written.some((each) => hasCode(each, system ?? '', code ?? '')));
  const stale = written.some(({ coding }) => coding?.some((label) => !has(labels, label)));
  if (missing.length === 0 && !stale) return resource;
  // A level that was raised in meta must not stand below it here.
  const kept = stale ? [] : written;
  const added: CodeableConcept[] = (stale ? labels : missing).map((label) => ({ coding: [{ ...label }] }));
  return { ...resource, securityLabel: [...kept, ...added] };
}

function claimsNote(labels: readonly Coding[]): boolean {
  for (const { system, code } of labels) {
    if (system === SYSTEM.actCode && (code === 'PSYTHPN' || code === 'HIPAAPsyNotes')) return true;
  }
  return false;
}

/**
 * Whether the resource is a psychotherapy note (45 CFR 164.501) or an SUD counseling note (42 CFR 2.11): by its type
 * or category, or because it says so in its labels. A progress note is neither.
 */
export function isPsychotherapyNote(resource: Resource): boolean {
  if (claimsNote(resource.meta?.security ?? [])) return true;
  if (resource.resourceType !== 'DocumentReference' && resource.resourceType !== 'Composition') return false;
  return conceptsOf(resource).some(
    (each) => hasKapCode(each, 'psychotherapy-note') || hasKapCode(each, 'sud-counseling-note'),
  );
}

function isSubstanceUseNote(resource: Resource): boolean {
  return conceptsOf(resource).some((each) => hasKapCode(each, 'sud-counseling-note'));
}

function conceptsOf(resource: Resource): CodeableConcept[] {
  if (resource.resourceType !== 'DocumentReference' && resource.resourceType !== 'Composition') return [];
  return [...(resource.type === undefined ? [] : [resource.type]), ...(resource.category ?? [])];
}

/** A Binary whose context is a note of this write, or a Provenance of one. */
function belongsToNote(resource: Resource, notes: ReadonlySet<string>): boolean {
  if (notes.size === 0) return false;
  const named = (reference: Reference | undefined): boolean => notes.has(reference?.reference ?? '');
  if (resource.resourceType === 'Binary') return named(resource.securityContext) || notes.has(`Binary/${resource.id}`);
  return resource.resourceType === 'Provenance' && resource.target.some(named);
}

/** References of the psychotherapy notes among these resources, and of the Binaries that hold their text. */
export function psychotherapyNotesAmong(resources: readonly Resource[]): ReadonlySet<string> {
  const notes = new Set<string>();
  for (const resource of resources) {
    if (!isPsychotherapyNote(resource)) continue;
    if (resource.id !== undefined) notes.add(`${resource.resourceType}/${resource.id}`);
    if (resource.resourceType !== 'DocumentReference') continue;
    for (const { attachment } of resource.content) if (attachment.url !== undefined) notes.add(attachment.url);
  }
  return notes;
}

export type MayLeave = { readonly ok: true } | { readonly ok: false; readonly rule: 'R-21'; readonly reason: string };

const MAY: MayLeave = { ok: true };

/**
 * whether a resource, or everything in a Bundle, may be part of a delivery. Nothing labelled as a psychotherapy
 * note, no Binary in the context of one, and no reference to one may. The reason names no patient and no id.
 *
 * @param forbidden references (`Type/id`) of the notes and their Binaries, as psychotherapyNotesAmong gives them
 */
export function mayLeave(resource: Resource, forbidden: ReadonlySet<string> = NONE): MayLeave {
  if (isPsychotherapyNote(resource) || isBarred(resource))
    return barred(resource, 'is labelled as a psychotherapy note');
  if (resource.id !== undefined && forbidden.has(`${resource.resourceType}/${resource.id}`)) {
    return barred(resource, 'is a psychotherapy note or its text');
  }
  if (resource.resourceType === 'Binary' && inForbiddenContext(resource, forbidden)) {
    return barred(resource, 'is the text of a psychotherapy note');
  }
  const inside =
    resource.resourceType === 'Bundle' ? (resource.entry ?? []).map((entry) => entry.resource) : contained(resource);
  for (const each of inside) {
    const verdict = each === undefined ? MAY : mayLeave(each, forbidden);
    if (!verdict.ok) return verdict;
  }
  return forbidden.size > 0 && refersTo(resource, forbidden) ? barred(resource, 'refers to a psychotherapy note') : MAY;
}

function contained(resource: Resource): readonly Resource[] {
  return 'contained' in resource ? (resource.contained ?? []) : [];
}

function barred(resource: Resource, why: string): MayLeave {
  return { ok: false, rule: 'R-21', reason: `a ${resource.resourceType} ${why}` };
}

const BARRED = new Set(['PSYTHPN', 'HIPAAPsyNotes', 'NOAUTH']);

function isBarred(resource: Resource): boolean {
  const barredLabel = ({ system, code }: Coding): boolean => system === SYSTEM.actCode && BARRED.has(code ?? '');
  if (resource.meta?.security?.some(barredLabel)) return true;
  if (resource.resourceType !== 'DocumentReference') return false;
  return resource.securityLabel?.some(({ coding }) => coding?.some(barredLabel)) ?? false;
}

function inForbiddenContext({ securityContext }: Binary, forbidden: ReadonlySet<string>): boolean {
  return forbidden.has(securityContext?.reference ?? '');
}

/** Every `reference` and every attachment `url`, however deep; a version or an absolute base in front does not hide it. */
function refersTo(value: unknown, forbidden: ReadonlySet<string>): boolean {
  if (Array.isArray(value)) return value.some((each) => refersTo(each, forbidden));
  if (typeof value !== 'object' || value === null) return false;
  for (const [name, inner] of Object.entries(value)) {
    if (typeof inner === 'string') {
      if ((name === 'reference' || name === 'url') && names(inner, forbidden)) return true;
    } else if (refersTo(inner, forbidden)) return true;
  }
  return false;
}

function names(reference: string, forbidden: ReadonlySet<string>): boolean {
  if (forbidden.has(reference)) return true;
  const match = /([A-Za-z]+\/[A-Za-z0-9\-.]{1,64})(?:\/_history\/[A-Za-z0-9\-.]{1,64})?$/.exec(reference);
  return match?.[1] !== undefined && forbidden.has(match[1]);
}
