/**
 * The filters of a value set: which concepts of a code system pass.
 *
 * @see https://hl7.org/fhir/R4/valueset-filter-operator.html
 */
import type { ValueSetComposeIncludeFilter } from '@medplum/fhirtypes';
import { RE2JS } from 're2js';
import { Failure, issue } from '../failure.ts';
import type { CodeSystemIndex, Concept, ConceptProperty } from './code-system.ts';

/**
 * @param place where the filter stands in what the caller sent; undefined for a value set that was stored
 * @throws Failure `business-rule` for a filter that cannot be evaluated
 */
export function filterTest(
  filter: ValueSetComposeIncludeFilter,
  system: CodeSystemIndex,
  place?: string,
): (concept: Concept) => boolean {
  const { property = '', op, value = '' } = filter;
  switch (op as string) {
    case 'is-a':
      return hierarchy(({ code }) => code === value || system.isUnder(code, value), filter, place);
    case 'descendent-of':
      return hierarchy(({ code }) => system.isUnder(code, value), filter, place);
    case 'is-not-a':
      return hierarchy(({ code }) => code !== value && !system.isUnder(code, value), filter, place);
    case 'generalizes':
      return hierarchy(({ code }) => code === value || system.isUnder(value, code), filter, place);
    case '=':
      return (concept) => valuesOf(concept, property, system).includes(value);
    case 'in':
      return among(splitList(value), property, system, true);
    case 'not-in':
      return among(splitList(value), property, system, false);
    case 'exists': {
      if (value !== 'true' && value !== 'false')
        throw unusable(`exists takes true or false, not ${shown(value)}`, place);
      return (concept) => valuesOf(concept, property, system).length > 0 === (value === 'true');
    }
    case 'regex': {
      const pattern = compiled(value, place);
      return (concept) => valuesOf(concept, property, system).some((text) => pattern.matches(text));
    }
    default:
      throw unusable(`the filter operator ${shown(String(op))} is not one of R4`, place);
  }
}

const HIERARCHIES: ReadonlySet<string> = new Set(['concept', 'code', 'parent', 'child', 'subsumedBy']);

function hierarchy(
  test: (concept: Concept) => boolean,
  { property = '', op }: ValueSetComposeIncludeFilter,
  place: string | undefined,
): (concept: Concept) => boolean {
  if (HIERARCHIES.has(property)) return test;
  throw unusable(`${op} is about the hierarchy of concepts: its property must be concept`, place);
}

function among(
  values: ReadonlySet<string>,
  property: string,
  system: CodeSystemIndex,
  wanted: boolean,
): (concept: Concept) => boolean {
  return (concept) => valuesOf(concept, property, system).some((value) => values.has(value)) === wanted;
}

function splitList(value: string): ReadonlySet<string> {
  return new Set(value.split(',').map((part) => part.trim()));
}

/** All texts that a concept has for a property, its own elements and its place in the hierarchy included. */
function valuesOf(concept: Concept, property: string, system: CodeSystemIndex): readonly string[] {
  switch (property) {
    case 'code':
    case 'concept':
      return [concept.code];
    case 'display':
      return concept.display === undefined ? [] : [concept.display];
    case 'definition':
      return concept.definition === undefined ? [] : [concept.definition];
    case 'designation':
      return concept.designations.flatMap(({ value }) => value ?? []);
    case 'parent':
      return [...concept.parents];
    case 'child':
      return [...concept.children];
    case 'inactive':
      return [String(system.isInactive(concept.code))];
    case 'notSelectable':
    case 'abstract':
      return [String(system.isAbstract(concept.code))];
    default:
      return concept.properties.filter(({ code }) => code === property).flatMap(textsOf);
  }
}

function textsOf(property: ConceptProperty): string[] {
  const { valueCoding, valueCode, valueString, valueInteger, valueBoolean, valueDateTime, valueDecimal } = property;
  const value =
    valueCode ?? valueString ?? valueInteger ?? valueBoolean ?? valueDateTime ?? valueDecimal ?? valueCoding?.code;
  return value === undefined ? [] : [String(value)];
}

const MAX_PATTERN = 1000;

/** RE2: time linear in the text, whatever the pattern; what cannot be had so (look-around, back references) is refused. */
function compiled(pattern: string, place: string | undefined): RE2JS {
  if (pattern.length > MAX_PATTERN) throw unusable(`the regular expression is longer than ${MAX_PATTERN}`, place);
  try {
    return RE2JS.compile(pattern);
  } catch (cause) {
    throw unusable('the regular expression is malformed, or needs look-around or back references', place, cause);
  }
}

function unusable(what: string, place: string | undefined, cause?: unknown): Failure {
  const words = `The value set has a filter that cannot be evaluated: ${what}`;
  return new Failure(
    'business-rule',
    issue('not-supported', words, place),
    cause === undefined ? undefined : { cause },
  );
}

function shown(text: string): string {
  return JSON.stringify(text.slice(0, 60));
}
