/**
 * Which patient of the target is ours. A delivery to the wrong chart is worse than no delivery, so two independent
 * facts must agree: the target's own identifier, and birth date with family name.
 *
 * Nothing is taken from a search that was not checked here: a server that ignores the parameter answers with everybody.
 */
import { hash } from 'node:crypto';
import type { JsonObject } from './compile.ts';

export type IdentityHold = 'identity-missing' | 'identity-ambiguous' | 'identity-conflict';

/** What we know of our patient, as far as a match needs it. Stays in memory. */
export type PatientFacts = {
  /** Values of the target's identifier system; none that is marked `old`. */
  readonly identifiers: readonly string[];
  readonly birthDate: string | undefined;
  /** Normalised. */
  readonly families: readonly string[];
};

/** What was compared, without a name, a date or a number in it. */
export type IdentityEvidence = {
  readonly identifierSha256: string | null;
  readonly candidates: number;
  readonly birthDateAgrees: boolean | null;
  readonly familyAgrees: boolean | null;
  readonly searchIgnoredIdentifier: boolean;
  readonly truncated: boolean;
  readonly replacedByAnother: boolean;
};

export type IdentityVerdict =
  | { readonly verdict: 'confirmed'; readonly remotePatientId: string; readonly evidence: IdentityEvidence }
  | { readonly verdict: 'hold'; readonly reason: IdentityHold; readonly evidence: IdentityEvidence };

export type IdentityHeld = Extract<IdentityVerdict, { verdict: 'hold' }>;

export function patientFacts(patient: JsonObject, identifierSystem: string): PatientFacts {
  const identifiers = listOf(patient.identifier)
    .filter((each) => each.system === identifierSystem && each.use !== 'old')
    .map((each) => text(each.value).trim())
    .filter((value) => value !== '');
  return {
    identifiers: [...new Set(identifiers)],
    birthDate: typeof patient.birthDate === 'string' ? patient.birthDate : undefined,
    families: familiesOf(patient),
  };
}

/** The search for a patient by identifier, below the base URL. */
export function identitySearch(identifierSystem: string, value: string): string {
  return `Patient?identifier=${encodeURIComponent(`${identifierSystem}|${value}`)}&_count=10`;
}

/** Before anything is asked: a patient without exactly one identifier of the target cannot be looked for. */
export function searchable(facts: PatientFacts): IdentityHeld | { readonly verdict: 'search'; readonly value: string } {
  const [value, ...others] = facts.identifiers;
  if (value === undefined) return { verdict: 'hold', reason: 'identity-missing', evidence: NOTHING_ASKED };
  if (others.length > 0) return { verdict: 'hold', reason: 'identity-ambiguous', evidence: NOTHING_ASKED };
  return { verdict: 'search', value };
}

/** Judges the Bundle that the target answered to identitySearch. */
export function judgeIdentity(
  facts: PatientFacts,
  identifierSystem: string,
  value: string,
  bundle: unknown,
): IdentityVerdict {
  const found = entriesOf(bundle);
  const candidates = found.filter((patient) => hasIdentifier(patient, identifierSystem, value));
  const ids = new Set(candidates.map((patient) => text(patient.id)));
  const truncated = hasNextLink(bundle);
  const evidence: IdentityEvidence = {
    ...NOTHING_ASKED,
    identifierSha256: hash('sha256', `${identifierSystem}|${value}`),
    candidates: ids.size,
    searchIgnoredIdentifier: found.length > candidates.length,
    truncated,
  };
  const [patient] = candidates;
  if (patient === undefined || text(patient.id) === '')
    return { verdict: 'hold', reason: 'identity-missing', evidence };
  if (ids.size > 1 || truncated) return { verdict: 'hold', reason: 'identity-ambiguous', evidence };

  const theirs = familiesOf(patient);
  const compared: IdentityEvidence = {
    ...evidence,
    birthDateAgrees: facts.birthDate !== undefined && facts.birthDate === patient.birthDate,
    familyAgrees: facts.families.some((family) => theirs.includes(family)),
    replacedByAnother: listOf(patient.link).some((link) => link.type === 'replaced-by'),
  };
  if (!compared.birthDateAgrees || !compared.familyAgrees || compared.replacedByAnother) {
    return { verdict: 'hold', reason: 'identity-conflict', evidence: compared };
  }
  return { verdict: 'confirmed', remotePatientId: text(patient.id), evidence: compared };
}

/**
 * What a target is told of a patient whom it does not know and may be given: who it is, and nothing of the course.
 * Its identifier goes along, so that the next search finds the patient.
 */
export function newPatient(patient: JsonObject): JsonObject {
  const { identifier, name, gender, birthDate, telecom, address, active } = patient;
  return JSON.parse(
    JSON.stringify({ resourceType: 'Patient', active, identifier, name, gender, birthDate, telecom, address }),
  ) as JsonObject;
}

const NOTHING_ASKED: IdentityEvidence = {
  identifierSha256: null,
  candidates: 0,
  birthDateAgrees: null,
  familyAgrees: null,
  searchIgnoredIdentifier: false,
  truncated: false,
  replacedByAnother: false,
};

function familiesOf(patient: JsonObject): string[] {
  return listOf(patient.name)
    .map((name) => normalisedFamily(text(name.family)))
    .filter((family) => family !== '');
}

/** Without case, accents, spaces and punctuation: "O'Neill-Müller" and "ONEILL MULLER" agree. */
export function normalisedFamily(family: string): string {
  return family
    .normalize('NFKD')
    .replace(/\p{M}/gu, '')
    .toLowerCase()
    .replace(/ß/g, 'ss')
    .replace(/[^\p{L}\p{N}]/gu, '');
}

function hasIdentifier(patient: JsonObject, system: string, value: string): boolean {
  return listOf(patient.identifier).some((each) => each.system === system && text(each.value).trim() === value);
}

function entriesOf(bundle: unknown): JsonObject[] {
  if (!isObject(bundle) || bundle.resourceType !== 'Bundle') return [];
  return listOf(bundle.entry)
    .map((entry) => entry.resource)
    .filter((resource): resource is JsonObject => isObject(resource) && resource.resourceType === 'Patient');
}

function hasNextLink(bundle: unknown): boolean {
  return isObject(bundle) && listOf(bundle.link).some((link) => link.relation === 'next');
}

function listOf(value: unknown): JsonObject[] {
  return Array.isArray(value) ? value.filter(isObject) : [];
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
