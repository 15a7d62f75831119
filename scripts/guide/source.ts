/** What the guide is made of: the definitions of a folder, and the examples below it. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type {
  ActivityDefinition,
  CapabilityStatement,
  CodeSystem,
  ConceptMap,
  ImplementationGuide,
  OperationDefinition,
  PlanDefinition,
  Questionnaire,
  Resource,
  SearchParameter,
  StructureDefinition,
  ValueSet,
} from '@medplum/fhirtypes';
import { Failure, issue } from '../../src/fhir/failure.ts';
import { parseJson } from '../../src/fhir/json.ts';

/** What we publish: each has a url of its own. */
export type Definition =
  | ActivityDefinition
  | CapabilityStatement
  | CodeSystem
  | ConceptMap
  | ImplementationGuide
  | OperationDefinition
  | PlanDefinition
  | Questionnaire
  | SearchParameter
  | StructureDefinition
  | ValueSet;

export type DefinitionFile<T extends Resource = Definition> = {
  /** `ValueSet-kap-scales.json` */
  readonly file: string;
  readonly text: string;
  readonly resource: T;
};

/** What an invalid example says of itself, and what may be said of a valid one. */
export type ExamplePromise = {
  /** The rule, as a sentence. */
  readonly breaks?: string;
  readonly code?: string;
  /** FHIRPath of the issue's place. */
  readonly expression?: string;
  readonly severity?: 'error' | 'warning';
  /** All issues, where there are several. */
  readonly issues?: readonly { readonly code: string; readonly expression: string; readonly severity?: string }[];
  readonly about?: string;
};

export type Example = {
  /** `invalid-no-end.json` */
  readonly file: string;
  readonly isValid: boolean;
  readonly text: string;
  readonly resource: Resource;
  readonly promise: ExamplePromise | undefined;
};

export type ExampleFolder = {
  /** Id of the profile, which is the name of the folder. */
  readonly profile: string;
  readonly examples: readonly Example[];
  /** Promised in examples.json, without a file. */
  readonly missing: readonly string[];
};

export type GuideSource = {
  readonly folder: string;
  /** By file name. */
  readonly definitions: readonly DefinitionFile[];
  readonly examples: ReadonlyMap<string, ExampleFolder>;
};

export const FHIR_PROFILES = join(import.meta.dirname, '..', '..', 'fhir-profiles');

/** @throws Failure `invalid` naming the file that cannot be read */
export function readGuide(folder: string = FHIR_PROFILES): GuideSource {
  const files = readdirSync(folder).filter((file) => /^[A-Z][A-Za-z]+-.+\.json$/.test(file));
  const definitions = files.sort().map((file): DefinitionFile => {
    const text = readFileSync(join(folder, file), 'utf8');
    return { file, text, resource: parsed(file, text) as Definition };
  });
  return { folder, definitions, examples: readExamples(join(folder, 'examples')) };
}

function readExamples(folder: string): Map<string, ExampleFolder> {
  if (!existsSync(folder)) return new Map();
  const profiles = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return new Map(profiles.map(({ name }) => [name, readExampleFolder(folder, name)]));
}

const PROMISES = 'examples.json';

function readExampleFolder(parent: string, profile: string): ExampleFolder {
  const folder = join(parent, profile);
  const read = (file: string) => readFileSync(join(folder, file), 'utf8');
  const files = readdirSync(folder).filter((file) => file.endsWith('.json'));
  const promises = files.includes(PROMISES)
    ? (parsed(join(profile, PROMISES), read(PROMISES)) as Readonly<Record<string, ExamplePromise>>)
    : {};
  const examples = files
    .filter((file) => file !== PROMISES)
    .map((file): Example => {
      const text = read(file);
      const isValid = !file.startsWith('invalid-');
      return { file, isValid, text, resource: parsed(join(profile, file), text) as Resource, promise: promises[file] };
    })
    // Valid ones first: they show what is wanted.
    .sort((a, b) => Number(b.isValid) - Number(a.isValid) || (a.file < b.file ? -1 : 1));
  return { profile, examples, missing: Object.keys(promises).filter((file) => !files.includes(file)) };
}

function parsed(file: string, text: string): unknown {
  try {
    return parseJson(text);
  } catch (cause) {
    const words = cause instanceof Error ? cause.message : 'not JSON';
    throw new Failure('invalid', issue('structure', `${file} cannot be read: ${words}`), { cause });
  }
}

/** The definitions of one type, in the order of their titles. */
export function ofType<T extends Definition['resourceType']>(
  { definitions }: GuideSource,
  type: T,
): readonly DefinitionFile<Extract<Definition, { resourceType: T }>>[] {
  const isOfType = (file: DefinitionFile): file is DefinitionFile<Extract<Definition, { resourceType: T }>> =>
    file.resource.resourceType === type;
  return definitions
    .filter(isOfType)
    .sort((a, b) => titleOf(a.resource).localeCompare(titleOf(b.resource), 'en', { numeric: true }));
}

/** Structure definitions that are no extensions: profiles of resources and of data types. */
export function profilesIn(source: GuideSource): readonly DefinitionFile<StructureDefinition>[] {
  return ofType(source, 'StructureDefinition').filter(({ resource }) => resource.type !== 'Extension');
}

export function extensionsIn(source: GuideSource): readonly DefinitionFile<StructureDefinition>[] {
  return ofType(source, 'StructureDefinition').filter(({ resource }) => resource.type === 'Extension');
}

export function titleOf(resource: Definition): string {
  if ('title' in resource && typeof resource.title === 'string') return resource.title;
  return resource.name ?? resource.id ?? resource.resourceType;
}

/** `invalid-no-end.json` is `no end`. */
export function exampleName(file: string): string {
  return file
    .replace(/^(in)?valid-/, '')
    .replace(/\.json$/, '')
    .replaceAll('-', ' ');
}
