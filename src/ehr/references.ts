/**
 * References inside a stored resource, and the order in which resources reach an EHR.
 *
 * A reference is one of ours when it is `Type/id`, with or without a version, relative or below our own base.
 */

/** `Type/id` */
export type ReferenceKey = string;

const OWN_REFERENCE = /^([A-Z][A-Za-z]+)\/([A-Za-z0-9\-.]{1,64})(?:\/_history\/[A-Za-z0-9\-.]{1,64})?$/;

/** `Type/id` of a reference to a resource of ours; undefined for contained, logical and foreign ones. */
export function ownReference(reference: string, ownBase: string): ReferenceKey | undefined {
  const relative = reference.startsWith(`${ownBase}/`) ? reference.slice(ownBase.length + 1) : reference;
  const match = OWN_REFERENCE.exec(relative);
  return match === null ? undefined : `${match[1]}/${match[2]}`;
}

/** Everything of ours that a resource refers to, by Reference.reference or by the url of an attachment. */
export function referencesOf(resource: unknown, ownBase: string): ReadonlySet<ReferenceKey> {
  const found = new Set<ReferenceKey>();
  visit(resource, (node) => {
    for (const text of [node.reference, isAttachment(node) ? node.url : undefined]) {
      const key = typeof text === 'string' ? ownReference(text, ownBase) : undefined;
      if (key !== undefined) found.add(key);
    }
  });
  return found;
}

/** An element with a url and what only an Attachment has beside it. */
export function isAttachment(node: Readonly<Record<string, unknown>>): boolean {
  return typeof node.url === 'string' && ('contentType' in node || 'hash' in node || /Binary\//.test(node.url));
}

function visit(value: unknown, see: (node: Readonly<Record<string, unknown>>) => void): void {
  if (Array.isArray(value)) {
    for (const each of value) visit(each, see);
  } else if (typeof value === 'object' && value !== null) {
    see(value as Readonly<Record<string, unknown>>);
    for (const each of Object.values(value)) visit(each, see);
  }
}

/**
 * What must be there before what: a resource waits for the unsent ones of a lower rank that it refers to, and refers
 * to unsent ones of a higher rank by identifier only. Encounter and Procedure refer to each other in a course; without
 * an order each would wait for the other.
 */
const RANKS: readonly (readonly string[])[] = [
  ['Patient', 'Organization', 'Location', 'Practitioner', 'PractitionerRole', 'Device', 'Medication', 'Questionnaire'],
  ['RelatedPerson', 'Condition', 'AllergyIntolerance', 'CareTeam', 'EpisodeOfCare', 'Goal', 'Consent'],
  ['CarePlan'],
  ['ServiceRequest', 'MedicationRequest', 'Appointment'],
  ['Encounter'],
  ['Procedure'],
  ['MedicationAdministration', 'MedicationStatement', 'QuestionnaireResponse'],
  ['Observation'],
  ['AdverseEvent', 'DetectedIssue', 'Flag', 'DocumentReference'],
];

const RANK: ReadonlyMap<string, number> = new Map(RANKS.flatMap((types, rank) => types.map((type) => [type, rank])));

/** 0 goes first; types of a course come before all others. */
export function deliveryRank(type: string): number {
  return RANK.get(type) ?? RANKS.length;
}
