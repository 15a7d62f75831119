/** The definitions that `validateResource` of @medplum/core is given: those of the guide, as published. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadDataType } from '@medplum/core';
import type { StructureDefinition } from '@medplum/fhirtypes';
import { GUIDE_URL } from './validation-data.ts';

const loaded = new Map<string, StructureDefinition>();

export function definitionFile(canonical: string): StructureDefinition {
  const present = loaded.get(canonical);
  if (present !== undefined) return present;
  const file = `StructureDefinition-${canonical.slice(GUIDE_URL.length)}.json`;
  const folder = join(import.meta.dirname, '..', 'fhir-profiles');
  const definition = JSON.parse(readFileSync(join(folder, file), 'utf8')) as StructureDefinition;
  loaded.set(canonical, definition);
  loadDataType(definition);
  return definition;
}
