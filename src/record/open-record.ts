/** Joins the parts of a clinic's record: the FHIR definitions, what is compiled from them, and the store. */
import type { Resource } from '@medplum/fhirtypes';
import type { Definitions } from '../fhir/definitions.ts';
import { elementTypeAt } from '../fhir/element-type.ts';
import { shippedProfiles } from '../fhir/profiles/shipped.ts';
import { type SearchExtractors, searchExtractors } from '../fhir/search/extractors.ts';
import { furtherSearchParameters } from '../fhir/search/further-search-parameters.ts';
import { type SearchParameterRegistry, searchParameterRegistry } from '../fhir/search/parameters.ts';
import type { SearchValueSink } from '../fhir/search/values.ts';
import { validatorCache } from '../fhir/validation/code-cache.ts';
import { createValidator, type Validator } from '../fhir/validation/validator.ts';
import type { ClinicProfiles, ProfileCompiler } from './clinic-profiles.ts';
import type { RecordParts } from './drafts.ts';
import { profileCompiler } from './profile-compiler.ts';
import type { RecordStore } from './store.ts';

/** What is compiled from the definitions, once for all clinics of a process. */
export type FhirParts = {
  readonly definitions: Definitions;
  readonly registry: SearchParameterRegistry;
  readonly extractors: SearchExtractors;
  /** With our own guide. */
  readonly validator: Validator;
  readonly profiles: ProfileCompiler;
};

/** Cheap: each type is compiled when it is first used. */
export function fhirParts(definitions: Definitions): FhirParts {
  const registry = searchParameterRegistry(definitions, furtherSearchParameters());
  const cache = validatorCache();
  const validator = createValidator(definitions, shippedProfiles(), cache);
  return {
    definitions,
    registry,
    extractors: searchExtractors(registry),
    validator,
    profiles: profileCompiler(definitions, validator, cache),
  };
}

export type RecordOptions = {
  readonly clinic: string;
  readonly store: RecordStore;
  readonly fhir: FhirParts;
  readonly profiles: ClinicProfiles;
  readonly baseUrls: readonly string[];
  readonly now?: () => Date;
  /** Called after each commit. */
  readonly committed?: () => void;
};

/** @see https://hl7.org/fhir/R4/http.html#trules */
const LINK_TYPES: ReadonlySet<string> = new Set(['uri', 'url', 'oid', 'uuid']);

export function recordParts(options: RecordOptions): RecordParts {
  const { clinic, store, fhir, profiles, baseUrls, now, committed } = options;
  const { extractors } = fhir;
  return {
    clinic,
    store,
    baseUrls,
    profiles,
    extract: (resource: Resource, sink: SearchValueSink) =>
      extractors.extractorFor(resource.resourceType)(resource, sink),
    patientIdOf: (resource: Resource) => extractors.patientIdOf(resource.resourceType)(resource),
    isLink: (resource, path) => LINK_TYPES.has(elementTypeAt(fhir.definitions, resource, path) ?? ''),
    now: now ?? (() => new Date()),
    committed: committed ?? (() => undefined),
  };
}
