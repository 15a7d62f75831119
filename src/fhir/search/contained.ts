/**
 * Chains into contained resources: "A chained condition will be evaluated inside contained resources."
 *
 * A contained resource is no resource of its own, so its values are rows of its container: those that its type would
 * have, under keys of the reference that names it. `medication.code` then also asks the rows of
 * `MedicationRequest.medication#…`.
 *
 * @see https://hl7.org/fhir/R4/search.html#contained
 */
import type { Resource } from '@medplum/fhirtypes';
import type { SearchFilter, ValueFilter } from './filter.ts';
import type { TypeSearchParameter } from './parameters.ts';
import { type SearchValueSink, searchParameterKey } from './values.ts';

/** Types that are looked for within others. Patients, encounters and results have a life of their own. */
const CONTAINED_TYPES: ReadonlySet<string> = new Set([
  'Device',
  'Location',
  'Medication',
  'Organization',
  'Practitioner',
  'PractitionerRole',
  'RelatedPerson',
  'Specimen',
  'Substance',
]);

/** The key of a row of a contained resource, `row` being that of a resource of the same type by itself. */
function containedKey({ type, code }: TypeSearchParameter, row: number): number {
  return searchParameterKey(type, `${code}#${row}`);
}

/**
 * @param references gives the elements of a reference parameter
 * @param extractorFor the extractor of a contained resource
 */
export function containedExtractor(
  parameters: readonly TypeSearchParameter[],
  references: (parameter: TypeSearchParameter) => (resource: Resource) => readonly unknown[],
  extractorFor: (type: string) => (resource: Resource, sink: SearchValueSink) => void,
): (resource: Resource, contained: readonly Resource[], sink: SearchValueSink) => void {
  let readers: { readonly parameter: TypeSearchParameter; readonly read: (resource: Resource) => readonly unknown[] }[];
  return (resource, contained, sink) => {
    // Compiled at the first resource that contains another.
    readers ??= parameters
      .filter(({ kind, stored, types }) => kind === 'reference' && stored === 'index' && types.has('Reference'))
      .map((parameter) => ({ parameter, read: references(parameter) }));
    for (const inner of contained) {
      const { resourceType, id } = inner;
      if (id === undefined || !CONTAINED_TYPES.has(resourceType)) continue;
      for (const { parameter, read } of readers) {
        if (!mayName(parameter, resourceType)) continue;
        const named = read(resource).some((value) => (value as { reference?: unknown }).reference === `#${id}`);
        if (named) extractorFor(resourceType)(inner, underReference(parameter, sink));
      }
    }
  };
}

function mayName({ targets }: TypeSearchParameter, type: string): boolean {
  return targets.length === 0 || targets.includes('Resource') || targets.includes(type);
}

function underReference(parameter: TypeSearchParameter, sink: SearchValueSink): SearchValueSink {
  const key = (row: number) => containedKey(parameter, row);
  return {
    token: (param, ...row) => sink.token(key(param), ...row),
    reference: (param, ...row) => sink.reference(key(param), ...row),
    date: (param, ...row) => sink.date(key(param), ...row),
    string: (param, ...row) => sink.string(key(param), ...row),
    quantity: (param, ...row) => sink.quantity(key(param), ...row),
    uri: (param, ...row) => sink.uri(key(param), ...row),
  };
}

/**
 * The condition of a chain as one on the rows of contained resources; undefined where it has none: for a type that is
 * not looked for there, for what continues into other resources, and for what holds where there is no value.
 */
export function inContained(
  reference: TypeSearchParameter,
  target: string,
  filter: SearchFilter,
): SearchFilter | undefined {
  if (!CONTAINED_TYPES.has(target) || !reference.types.has('Reference')) return undefined;
  switch (filter.kind) {
    case 'missing':
      return filter.missing ? undefined : moved(reference, filter);
    case 'token':
      return filter.not || filter.rows !== undefined ? undefined : moved(reference, filter);
    case 'terms':
      return filter.relation === 'not-in' ? undefined : moved(reference, filter);
    case 'text':
    case 'string':
    case 'reference':
    case 'date':
    case 'quantity':
    case 'uri':
      return moved(reference, filter);
    default:
      return undefined;
  }
}

function moved(reference: TypeSearchParameter, filter: ValueFilter): ValueFilter | undefined {
  const { parameter } = filter;
  if (parameter.stored !== 'index') return undefined;
  const rows = parameter.rows.map((row) => containedKey(reference, row));
  return { ...filter, parameter: { ...parameter, type: reference.type, key: rows[0] as number, rows } };
}
