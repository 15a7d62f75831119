import type { ElementDefinition, ElementDefinitionType } from '@medplum/fhirtypes';
import { withoutVersion } from '../definitions/structure.ts';

/** How types and profiles are related, as far as their definitions are at hand. */
export type TypeRelation = {
  /** Whether what conforms to the first conforms to the second too; undefined when that cannot be known here. */
  derives(canonical: string, from: string): boolean | undefined;
};

const BASE = 'http://hl7.org/fhir/StructureDefinition/';

/** The types of a differential where the parent has some: each must be among the parent's, or below one of them. */
export function mergedTypes(
  { type: parent = [] }: ElementDefinition,
  change: readonly ElementDefinitionType[],
  relation: TypeRelation,
  fault: (words: string) => void,
): ElementDefinitionType[] {
  // A definition of R4 without types is the root of a type, or shares the content of another element.
  if (parent.length === 0) return [...change];
  return change.map((type) => {
    const from = parent.find(({ code }) => code === type.code) ?? parent.find((each) => isBelow(type, each, relation));
    if (from === undefined) {
      const names = parent.map(({ code }) => code).join(', ');
      fault(`type ${type.code} is none of the parent's (${names}): a profile may only leave types out`);
      return type;
    }
    listFaults('profile', type, from, relation, fault);
    listFaults('targetProfile', type, from, relation, fault);
    const { profile = from.profile, targetProfile = from.targetProfile } = type;
    return {
      ...type,
      ...(from.code === type.code && profile !== undefined ? { profile } : {}),
      ...(from.code === type.code && targetProfile !== undefined ? { targetProfile } : {}),
      ...(type.extension === undefined && from.extension !== undefined ? { extension: from.extension } : {}),
    };
  });
}

function isBelow({ code }: ElementDefinitionType, parent: ElementDefinitionType, relation: TypeRelation): boolean {
  // R4 writes the types of `id` and `url` elements as types of FHIRPath, and differentials name the FHIR type.
  if (parent.code.startsWith('http://hl7.org/fhirpath/')) return /^[a-z]/.test(code);
  return parent.code === '*' || relation.derives(`${BASE}${code}`, `${BASE}${parent.code}`) === true;
}

function listFaults(
  name: 'profile' | 'targetProfile',
  type: ElementDefinitionType,
  parent: ElementDefinitionType,
  relation: TypeRelation,
  fault: (words: string) => void,
): void {
  const allowed = parent[name] ?? [];
  if (allowed.length === 0) return;
  for (const canonical of type[name] ?? []) {
    if (typeof canonical !== 'string') continue;
    const isAllowed = allowed.some(
      (each) => withoutVersion(each) === withoutVersion(canonical) || relation.derives(canonical, each) !== false,
    );
    if (isAllowed) continue;
    fault(`${name} ${canonical} is none of the parent's, nor a profile on one of them: a profile may only narrow them`);
  }
}
