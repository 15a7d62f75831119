/**
 * What a code system says about a code, and how two of its codes are related.
 *
 * @see https://hl7.org/fhir/R4/codesystem-operation-lookup.html and codesystem-operation-subsumes.html
 */
import type { CodeSystem, ParametersParameter } from '@medplum/fhirtypes';
import { Failure, issue } from '../failure.ts';
import type { CodeSystemIndex, Concept, ConceptProperty } from './code-system.ts';
import { displayIn } from './expansion.ts';

/**
 * The parameters of the answer: name, version, display, designations, properties.
 *
 * @param wanted codes of the properties to show; none: all
 * @throws Failure `not-found` for a code that the system has not
 */
export function lookup(
  system: CodeSystemIndex,
  code: string,
  wanted: readonly string[],
  displayLanguage: string | undefined,
  place: string,
): ParametersParameter[] {
  const concept = conceptOf(system, code, place);
  const { resource, version } = system;
  const show = (name: string) => wanted.length === 0 || wanted.includes(name);
  const answer: ParametersParameter[] = [{ name: 'name', valueString: nameOf(resource) }];
  if (version !== undefined) answer.push({ name: 'version', valueString: version });
  answer.push({ name: 'display', valueString: displayIn(concept, displayLanguage) ?? concept.code });
  if (show('designation') || wanted.some((name) => name.startsWith('lang.'))) {
    answer.push(...designationsOf(concept, wanted));
  }
  return [
    ...answer,
    ...propertiesOf(system, concept)
      .filter(({ code }) => show(code))
      .map(propertyParameter),
  ];
}

function nameOf({ title, name, url }: CodeSystem): string {
  return name ?? title ?? url ?? '';
}

export function conceptOf(system: CodeSystemIndex, code: string, place: string): Concept {
  const concept = system.concept(code);
  if (concept !== undefined) return concept;
  const words = system.isComplete
    ? `The code ${code} is not in ${system.url}`
    : `The code ${code} is not in the part of ${system.url} that is here`;
  throw new Failure('not-found', issue('not-found', words, place));
}

/** `lang.de` as a property asks for the designations in a language. */
function designationsOf({ designations }: Concept, wanted: readonly string[]): ParametersParameter[] {
  const languages = wanted.flatMap((name) => (name.startsWith('lang.') ? [name.slice(5).toLowerCase()] : []));
  const isWanted = (language: string | undefined) =>
    languages.length === 0 || languages.includes(language?.toLowerCase() ?? '');
  return designations
    .filter(({ language, value }) => value !== undefined && isWanted(language))
    .map(({ language, use, value }) => ({
      name: 'designation',
      part: [
        ...(language === undefined ? [] : [{ name: 'language', valueCode: language }]),
        ...(use === undefined ? [] : [{ name: 'use', valueCoding: use }]),
        { name: 'value', valueString: value as string },
      ],
    }));
}

type Shown = {
  readonly code: string;
  readonly value: Omit<ParametersParameter, 'name'>;
  readonly description?: string;
};

function propertiesOf(system: CodeSystemIndex, concept: Concept): Shown[] {
  const { code, definition, parents, children, properties } = concept;
  const related = (name: string, codes: ReadonlySet<string>): Shown[] =>
    [...codes].map((other) => described(name, other, system));
  const own = properties.filter((property) => !DERIVED.has(property.code ?? '')).map(shownProperty);
  return [
    ...(definition === undefined ? [] : [{ code: 'definition', value: { valueString: definition } }]),
    ...(own.some((property) => property.code === 'inactive')
      ? []
      : [{ code: 'inactive', value: { valueBoolean: system.isInactive(code) } }]),
    ...related('parent', parents),
    ...related('child', children),
    ...own,
  ];
}

/** Shown from the hierarchy, wherever it comes from. */
const DERIVED: ReadonlySet<string> = new Set(['parent', 'child']);

function described(name: string, code: string, system: CodeSystemIndex): Shown {
  const display = system.concepts.get(code)?.display;
  return { code: name, value: { valueCode: code }, ...(display === undefined ? {} : { description: display }) };
}

function shownProperty({ code = '', ...value }: ConceptProperty): Shown {
  const { id: _id, extension: _extension, ...rest } = value;
  return { code, value: rest };
}

function propertyParameter({ code, value, description }: Shown): ParametersParameter {
  return {
    name: 'property',
    part: [
      { name: 'code', valueCode: code },
      { name: 'value', ...value },
      ...(description === undefined ? [] : [{ name: 'description', valueString: description }]),
    ],
  };
}

export type Subsumption = 'equivalent' | 'subsumes' | 'subsumed-by' | 'not-subsumed';

/**
 * How `codeA` is related to `codeB`.
 *
 * @throws Failure `not-found` for a code that the system has not, `business-rule` where its hierarchy means something else
 */
export function subsumes(system: CodeSystemIndex, a: AskedCode, b: AskedCode): Subsumption {
  const { hierarchyMeaning } = system.resource;
  if (hierarchyMeaning !== undefined && hierarchyMeaning !== 'is-a') {
    const words = `The hierarchy of ${system.url} means ${hierarchyMeaning}, which is no subsumption`;
    throw new Failure('business-rule', issue('not-supported', words));
  }
  const [left, right] = [conceptOf(system, a.code, a.place).code, conceptOf(system, b.code, b.place).code];
  if (left === right) return 'equivalent';
  if (system.isUnder(right, left)) return 'subsumes';
  return system.isUnder(left, right) ? 'subsumed-by' : 'not-subsumed';
}

export type AskedCode = { readonly code: string; readonly place: string };
