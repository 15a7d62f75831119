/** The codes of each value set, from the guide and from what R4 publishes. */
import type { ValueSet } from '@medplum/fhirtypes';
import { Failure } from '../../src/fhir/failure.ts';
import { joined, type TerminologyResource } from '../../src/fhir/terminology/resources.ts';
import { entryOf, shippedTerminology, terminologyIn } from '../../src/fhir/terminology/shipped.ts';
import { type Member, ValueSets } from '../../src/fhir/terminology/value-set.ts';
import { type GuideSource, ofType } from './source.ts';

export type Expansion = { readonly members: readonly Member[] } | { readonly reason: string };

/** By url of the value set. */
export async function expansionsOf(source: GuideSource): Promise<ReadonlyMap<string, Expansion>> {
  const own = source.definitions
    .map(({ resource }) => resource)
    .filter((resource): resource is TerminologyResource => TERMINOLOGY.has(resource.resourceType));
  const terminology = joined(terminologyIn(own.map(entryOf)), shippedTerminology());
  const expansions = new Map<string, Expansion>();
  for (const { resource } of ofType(source, 'ValueSet')) {
    expansions.set(resource.url ?? '', await expansionOf(resource, new ValueSets(terminology)));
  }
  return expansions;
}

const TERMINOLOGY: ReadonlySet<string> = new Set(['CodeSystem', 'ValueSet', 'ConceptMap']);

async function expansionOf(valueSet: ValueSet, sets: ValueSets): Promise<Expansion> {
  try {
    return { members: await sets.members(valueSet) };
  } catch (error) {
    // All of SNOMED CT, or of a system whose codes are not published with R4.
    if (!(error instanceof Failure)) throw error;
    return { reason: error.message };
  }
}
