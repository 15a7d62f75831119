/**
 * What a clinic gets from fhir-profiles.
 *
 * The protocol (plans, activities, questionnaires) is the clinic's to change. The definitions of the guide are the
 * product's: they say what the service does on the wire, follow it at each start, and nothing else changes them.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Resource } from '@medplum/fhirtypes';
import { CANONICAL_BASE } from '../kap/codes.ts';

const FOLDER = join(import.meta.dirname, '..', '..', 'fhir-profiles');

const PROTOCOL = new Set(['PlanDefinition', 'ActivityDefinition', 'Questionnaire']);
const GUIDE = new Set([
  'StructureDefinition',
  'OperationDefinition',
  'SearchParameter',
  'CodeSystem',
  'ValueSet',
  'ConceptMap',
  'ImplementationGuide',
  'CapabilityStatement',
]);

export function shippedProtocol(): readonly Resource[] {
  return shipped(PROTOCOL);
}

/** Without the parts of other people's code systems, which are there for the terminology alone. */
export function guideDefinitions(): readonly Resource[] {
  return shipped(GUIDE).filter((one) => (one as { url?: string }).url?.startsWith(`${CANONICAL_BASE}/`) === true);
}

let references: ReadonlySet<string> | undefined;

/** Whether the service stores a definition of the guide under this type and id. */
export function isOfGuide(type: string, id: string): boolean {
  if (!GUIDE.has(type)) return false;
  references ??= new Set(guideDefinitions().map((one) => `${one.resourceType}/${one.id}`));
  return references.has(`${type}/${id}`);
}

/** In the order of their names. */
function shipped(types: ReadonlySet<string>): Resource[] {
  return readdirSync(FOLDER)
    .filter((file) => file.endsWith('.json') && types.has(file.slice(0, file.indexOf('-'))))
    .sort()
    .map((file) => JSON.parse(readFileSync(join(FOLDER, file), 'utf8')) as Resource);
}
