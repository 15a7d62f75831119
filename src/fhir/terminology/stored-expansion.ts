/** The expansion that a value set carries: what its author found in it, at a time and in editions that were theirs. */
import type { ValueSet, ValueSetExpansionContains } from '@medplum/fhirtypes';

export type StoredExpansion = NonNullable<ValueSet['expansion']>;

/** All entries, those within others too, in the order of the document. */
export function* entriesOf({ contains = [] }: StoredExpansion): Generator<ValueSetExpansionContains> {
  const waiting = contains.toReversed();
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    waiting.push(...(next.contains ?? []).toReversed());
    yield next;
  }
}

const NOT_WHOLE: ReadonlySet<string> = new Set([
  'http://hl7.org/fhir/StructureDefinition/valueset-toocostly',
  'http://hl7.org/fhir/StructureDefinition/valueset-unclosed',
]);
/** What passed a filter, or was as much as somebody wanted. */
const NARROWING: ReadonlySet<string> = new Set(['limitedExpansion', 'filter']);

/** False for one that says itself, or shows, that it is a part only. */
export function isWhole(expansion: StoredExpansion): boolean {
  const { contains, extension = [], offset = 0, total, parameter = [] } = expansion;
  if (contains === undefined || offset > 0 || extension.some(({ url }) => NOT_WHOLE.has(url))) return false;
  if (parameter.some(({ name, valueBoolean }) => NARROWING.has(name) && valueBoolean !== false)) return false;
  // A page whose length nobody compares with the whole.
  if (total === undefined) return !parameter.some(({ name }) => name === 'count');
  return total <= [...entriesOf(expansion)].length;
}
