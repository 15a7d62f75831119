/** Who names whom: for each canonical url the definitions that mention it. */

import { splitCanonical } from '../../src/fhir/terminology/resources.ts';
import type { Uses } from './pages/profile.ts';
import type { DefinitionFile, GuideSource } from './source.ts';

export function usesOf({ definitions }: GuideSource): Uses {
  const known = new Set(definitions.flatMap(({ resource }) => resource.url ?? []));
  const uses = new Map<string, DefinitionFile[]>();
  for (const definition of definitions) {
    const { resource } = definition;
    for (const url of new Set(stringsIn(resource).map((text) => splitCanonical(text).url))) {
      if (!known.has(url) || url === resource.url || LISTS.has(resource.resourceType)) continue;
      const list = uses.get(url);
      if (list === undefined) uses.set(url, [definition]);
      else list.push(definition);
    }
  }
  return uses;
}

/** They name everything, and use nothing. */
const LISTS: ReadonlySet<string> = new Set(['ImplementationGuide', 'CapabilityStatement']);

function stringsIn(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  if (typeof value !== 'object' || value === null) return [];
  return Object.values(value).flatMap(stringsIn);
}
