/** Joins the parts of a clinic's record: the FHIR definitions, what is compiled from them, and the store. */
import type { Resource } from '@medplum/fhirtypes';
import type { Definitions } from '../fhir/definitions.ts';
import { elementTypeAt } from '../fhir/element-type.ts';
import { type SearchExtractors, searchExtractors } from '../fhir/search-extractors.ts';
import { type SearchParameterRegistry, searchParameterRegistry } from '../fhir/search-parameters.ts';
import type { SearchValueSink } from '../fhir/search-values.ts';
import { US_CORE_SEARCH_PARAMETERS } from '../fhir/us-core-search-parameters.ts';
import { createValidator, type Validator } from '../fhir/validation/validator.ts';
import type { RecordParts } from './drafts.ts';
import type { RecordStore } from './store.ts';

/** What is compiled from the definitions, once for all clinics of a process. */
export type FhirParts = {
  readonly definitions: Definitions;
  readonly registry: SearchParameterRegistry;
  readonly extractors: SearchExtractors;
  readonly validator: Validator;
};

/** Cheap: each type is compiled when it is first used. */
export function fhirParts(definitions: Definitions): FhirParts {
  const registry = searchParameterRegistry(definitions, US_CORE_SEARCH_PARAMETERS);
  return { definitions, registry, extractors: searchExtractors(registry), validator: createValidator(definitions) };
}

export type RecordOptions = {
  readonly clinic: string;
  readonly store: RecordStore;
  readonly fhir: FhirParts;
  readonly baseUrls: readonly string[];
  readonly now?: () => Date;
  /** Called after each commit. */
  readonly committed?: () => void;
};

/** @see https://hl7.org/fhir/R4/http.html#trules */
const LINK_TYPES: ReadonlySet<string> = new Set(['uri', 'url', 'oid', 'uuid']);

export function recordParts({ clinic, store, fhir, baseUrls, now, committed }: RecordOptions): RecordParts {
  const { extractors, validator } = fhir;
  return {
    clinic,
    store,
    baseUrls,
    validate: (resource: unknown, place: string) => validator.validate(resource, place),
    extract: (resource: Resource, sink: SearchValueSink) =>
      extractors.extractorFor(resource.resourceType)(resource, sink),
    patientIdOf: (resource: Resource) => extractors.patientIdOf(resource.resourceType)(resource),
    isLink: (resource, path) => LINK_TYPES.has(elementTypeAt(fhir.definitions, resource, path) ?? ''),
    now: now ?? (() => new Date()),
    committed: committed ?? (() => undefined),
  };
}
