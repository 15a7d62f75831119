/**
 * The value sets that the profiles of a package bind to, digested once, when the package is added.
 *
 * A set of the package comes from its own files, then from those of its dependencies, then from the guide and R4 that
 * are shipped. Base R4's own bindings are in the digest of the definitions and are not repeated here.
 */
import type { CodeSystem, Resource, ValueSet } from '@medplum/fhirtypes';
import { type TerminologyLookup, type ValueSetDigest, ValueSetDigester } from '../definitions/value-sets.ts';
import { entryOf, lookupIn, shippedLookup } from '../terminology/shipped.ts';

/**
 * @param canonicals value sets of required and extensible bindings, as written, with or without `|version`
 * @param resources CodeSystems and ValueSets of the package, then of those that it depends on; other types do not matter
 * @returns one digest for each canonical, in order; what is not here, is of another version than the one asked for, or
 * is defined by content that is not here, allows more than the set does and never less
 */
export function digestValueSets(
  canonicals: Iterable<string>,
  resources: readonly Resource[],
): readonly ValueSetDigest[] {
  const wanted = [...new Set(canonicals)];
  if (wanted.length === 0) return [];
  // Of equal editions a lookup takes the later one, and the package's own must win.
  const own = lookupIn(resources.filter(isTerminology).toReversed().map(entryOf));
  const digester = new ValueSetDigester(firstOf(own, shippedLookup()));
  return wanted.map((canonical) => digester.digest(canonical));
}

export function isTerminology(resource: Resource): resource is CodeSystem | ValueSet {
  return resource.resourceType === 'CodeSystem' || resource.resourceType === 'ValueSet';
}

function firstOf(first: TerminologyLookup, second: TerminologyLookup): TerminologyLookup {
  return {
    valueSet: (url, version) => first.valueSet(url, version) ?? second.valueSet(url, version),
    codeSystem(url, version) {
      const own = first.codeSystem(url, version);
      // A package may carry a system by name alone, without its codes.
      return own?.content === 'complete' ? own : (second.codeSystem(url, version) ?? own);
    },
    systemOfAllCodes: (url) => first.systemOfAllCodes(url) ?? second.systemOfAllCodes(url),
  };
}
