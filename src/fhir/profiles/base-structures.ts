/**
 * The StructureDefinitions of R4 with their snapshots: parents of profiles. Read when snapshots are made (`npm run ig`,
 * `kap-bridge profiles add`), never at a start.
 */
import { join } from 'node:path';
import type { ElementDefinition, ElementDefinitionType, StructureDefinition } from '@medplum/fhirtypes';
import { forEachResource } from '../definitions/bundle-entries.ts';
import { definitionsPackage } from '../definitions/package.ts';
import { isPublished } from '../definitions/structure.ts';
import { splitCanonical } from '../terminology/resources.ts';
import { isVersionOf } from './versions.ts';

const FILES = ['profiles-types.json', 'profiles-resources.json', 'profiles-others.json', 'extension-definitions.json'];

let texts: ReadonlyMap<string, string> | undefined;

/**
 * By canonical url, with or without version: R4 has one of each, and of another version none. Elements have no mappings, examples and aliases, and
 * none that the package adds to R4.
 *
 * The first question reads 48 MB, which takes about a second; some 15 MB are kept.
 */
export function baseStructures(): (canonical: string) => StructureDefinition | undefined {
  const parsed = new Map<string, StructureDefinition>();
  return (canonical) => {
    const { url, version } = splitCanonical(canonical);
    if (version !== undefined && !isVersionOfR4(version)) return undefined;
    const known = parsed.get(url);
    if (known !== undefined) return known;
    texts ??= readTexts();
    const text = texts.get(url);
    if (text === undefined) return undefined;
    const structure = JSON.parse(text) as StructureDefinition;
    parsed.set(url, structure);
    return structure;
  };
}

/** The version of all definitions of R4 is that of R4; `4.0` means the same. */
export function isVersionOfR4(version: string): boolean {
  return version === R4_VERSION || isVersionOf(R4_VERSION, version);
}

const R4_VERSION = '4.0.1';

function readTexts(): Map<string, string> {
  const { folder } = definitionsPackage();
  const found = new Map<string, string>();
  for (const file of FILES) {
    forEachResource(join(folder, file), (resource) => {
      if (resource.resourceType !== 'StructureDefinition') return;
      const structure = resource as unknown as StructureDefinition;
      found.set(structure.url, JSON.stringify(withoutAsides(structure)));
    });
  }
  return found;
}

function withoutAsides({ snapshot, differential: _differential, text: _text, ...rest }: StructureDefinition) {
  const element = (snapshot?.element ?? []).filter(isPublished).map(elementWithoutAsides);
  return { ...rest, snapshot: { element } };
}

function elementWithoutAsides(element: ElementDefinition): ElementDefinition {
  const { mapping: _mapping, example: _example, alias: _alias, requirements: _requirements, type, ...rest } = element;
  return { ...rest, ...(type === undefined ? {} : { type: type.map(withPublishedTargets) }) };
}

/** The package has types of its own server among the targets. */
const ADDED_TARGET = 'https://medplum.com/';

function withPublishedTargets({ targetProfile, ...type }: ElementDefinitionType): ElementDefinitionType {
  if (targetProfile === undefined) return type;
  return { ...type, targetProfile: targetProfile.filter((canonical) => !canonical.startsWith(ADDED_TARGET)) };
}
