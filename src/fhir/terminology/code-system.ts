/**
 * A code system as a graph of concepts.
 *
 * Hierarchy comes from nesting (`concept.concept`) and from the properties `parent`, `child` and `subsumedBy`, which
 * together may form any graph: every walk is iterative and visits a code once.
 *
 * @see https://hl7.org/fhir/R4/codesystem.html#hierarchy
 */
import type { CodeSystem, CodeSystemConcept, CodeSystemConceptDesignation } from '@medplum/fhirtypes';

export type ConceptProperty = NonNullable<CodeSystemConcept['property']>[number];

export type Concept = {
  readonly code: string;
  readonly display: string | undefined;
  readonly definition: string | undefined;
  readonly designations: readonly CodeSystemConceptDesignation[];
  readonly properties: readonly ConceptProperty[];
  readonly parents: ReadonlySet<string>;
  readonly children: ReadonlySet<string>;
};

type Draft = Concept & {
  readonly designations: CodeSystemConceptDesignation[];
  readonly properties: ConceptProperty[];
  readonly parents: Set<string>;
  readonly children: Set<string>;
};

export type CodeSystemIndex = {
  readonly resource: CodeSystem;
  readonly url: string;
  readonly version: string | undefined;
  /** In the order of the definition. */
  readonly concepts: ReadonlyMap<string, Concept>;
  /** The concept, in whatever case where the system says that case does not matter. */
  concept(code: string): Concept | undefined;
  /** False for systems that publish no codes, or only some of them. */
  readonly isComplete: boolean;
  /** Grouping concepts that are no choice (`notSelectable`, `abstract`). */
  isAbstract(code: string): boolean;
  /** Retired, or marked inactive. */
  isInactive(code: string): boolean;
  /** Still allowed, and not to be used any more. */
  isDeprecated(code: string): boolean;
  /** Strictly under: a code is not under itself. */
  isUnder(code: string, ancestor: string): boolean;
  /** All below, without the code itself; in the order of a walk. */
  below(code: string): readonly string[];
  above(code: string): readonly string[];
};

const indexes = new WeakMap<CodeSystem, CodeSystemIndex>();

/** Made once for each resource object; with supplements it is made anew. */
export function indexOf(resource: CodeSystem, supplements: readonly CodeSystem[] = []): CodeSystemIndex {
  if (supplements.length > 0) return createIndex(resource, supplements);
  const known = indexes.get(resource) ?? createIndex(resource, []);
  indexes.set(resource, known);
  return known;
}

function createIndex(resource: CodeSystem, supplements: readonly CodeSystem[]): CodeSystemIndex {
  const concepts = new Map<string, Draft>();
  addAll(resource.concept ?? [], concepts, propertyCodes(resource));
  for (const supplement of supplements) addSupplement(supplement, concepts);
  const folded =
    resource.caseSensitive === false
      ? new Map([...concepts].map(([code, one]) => [code.toLowerCase(), one]))
      : undefined;
  const abstractCodes = codesOf(resource, 'notSelectable', ['notSelectable', 'abstract']);
  const inactiveCodes = codesOf(resource, 'inactive', ['inactive']);
  const statusCodes = codesOf(resource, 'status', ['status']);
  const deprecationCodes = codesOf(resource, 'deprecationDate', ['deprecationDate', 'deprecated']);
  const propertyIs = (code: string, names: ReadonlySet<string>, holds: (property: ConceptProperty) => boolean) =>
    concepts.get(code)?.properties.some((property) => names.has(property.code ?? '') && holds(property)) === true;
  return {
    resource,
    url: resource.url ?? '',
    version: resource.version,
    concepts,
    concept: (code) => concepts.get(code) ?? folded?.get(code.toLowerCase()),
    isComplete: resource.content === 'complete',
    isAbstract: (code) => propertyIs(code, abstractCodes, ({ valueBoolean }) => valueBoolean === true),
    isInactive: (code) =>
      propertyIs(code, inactiveCodes, ({ valueBoolean }) => valueBoolean === true) ||
      propertyIs(code, statusCodes, ({ valueCode }) => valueCode === 'retired' || valueCode === 'inactive'),
    isDeprecated: (code) =>
      propertyIs(code, statusCodes, ({ valueCode }) => valueCode === 'deprecated') ||
      propertyIs(
        code,
        deprecationCodes,
        ({ valueBoolean, valueDateTime }) => valueBoolean ?? valueDateTime !== undefined,
      ),
    isUnder: (code, ancestor) => reaches(concepts, code, 'parents', ancestor),
    below: (code) => walk(concepts, code, 'children'),
    above: (code) => walk(concepts, code, 'parents'),
  };
}

/** Which properties give a hierarchy: by the standard's uri, or by their usual name. */
type PropertyCodes = { readonly parent: ReadonlySet<string>; readonly child: ReadonlySet<string> };

function propertyCodes(resource: CodeSystem): PropertyCodes {
  return {
    parent: codesOf(resource, 'parent', ['parent', 'subsumedBy']),
    child: codesOf(resource, 'child', ['child']),
  };
}

const STANDARD = 'http://hl7.org/fhir/concept-properties#';

/** The property codes that mean a standard property in this system. */
function codesOf({ property = [] }: CodeSystem, name: string, usual: readonly string[]): ReadonlySet<string> {
  const declared = property.filter(({ uri }) => uri === STANDARD + name).flatMap(({ code }) => code ?? []);
  return new Set([...usual, ...declared]);
}

function addAll(concepts: readonly CodeSystemConcept[], into: Map<string, Draft>, names: PropertyCodes): void {
  // Depth first in document order, without recursion.
  const waiting: { concept: CodeSystemConcept; parent: string | undefined }[] = [];
  const queue = (list: readonly CodeSystemConcept[], parent: string | undefined) => {
    for (const concept of list.toReversed()) waiting.push({ concept, parent });
  };
  queue(concepts, undefined);
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { concept, parent } = next;
    if (typeof concept.code !== 'string') continue;
    const draft = into.get(concept.code) ?? draftOf(concept.code, concept.display, concept.definition);
    into.set(concept.code, draft);
    draft.designations.push(...(concept.designation ?? []));
    draft.properties.push(...(concept.property ?? []));
    if (parent !== undefined) draft.parents.add(parent);
    queue(concept.concept ?? [], concept.code);
  }
  link(into, names);
}

function draftOf(code: string, display: string | undefined, definition: string | undefined): Draft {
  return { code, display, definition, designations: [], properties: [], parents: new Set(), children: new Set() };
}

function link(concepts: ReadonlyMap<string, Draft>, { parent, child }: PropertyCodes): void {
  for (const concept of concepts.values()) {
    for (const { code = '', valueCode } of concept.properties) {
      if (valueCode === undefined) continue;
      if (parent.has(code)) concept.parents.add(valueCode);
      if (child.has(code)) concepts.get(valueCode)?.parents.add(concept.code);
    }
  }
  for (const concept of concepts.values()) {
    concept.parents.delete(concept.code);
    for (const code of concept.parents) concepts.get(code)?.children.add(concept.code);
  }
}

/** A supplement adds designations and properties, never codes. */
function addSupplement(supplement: CodeSystem, concepts: ReadonlyMap<string, Draft>): void {
  const added = new Map<string, Draft>();
  addAll(supplement.concept ?? [], added, propertyCodes(supplement));
  for (const { code, designations, properties } of added.values()) {
    const concept = concepts.get(code);
    concept?.designations.push(...designations);
    concept?.properties.push(...properties);
  }
}

type Direction = 'parents' | 'children';

function walk(concepts: ReadonlyMap<string, Concept>, start: string, direction: Direction): string[] {
  const seen = new Set([start]);
  const waiting = [start];
  for (let code = waiting.pop(); code !== undefined; code = waiting.pop()) {
    const next = [...(concepts.get(code)?.[direction] ?? [])].filter((each) => !seen.has(each));
    for (const each of next) seen.add(each);
    waiting.push(...next.toReversed());
  }
  seen.delete(start);
  return [...seen].filter((code) => concepts.has(code));
}

function reaches(concepts: ReadonlyMap<string, Concept>, start: string, direction: Direction, wanted: string): boolean {
  if (start === wanted) return false;
  const seen = new Set([start]);
  const waiting = [start];
  for (let code = waiting.pop(); code !== undefined; code = waiting.pop()) {
    for (const next of concepts.get(code)?.[direction] ?? []) {
      if (next === wanted) return true;
      if (seen.has(next)) continue;
      seen.add(next);
      waiting.push(next);
    }
  }
  return false;
}
