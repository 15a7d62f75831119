/**
 * What a code is called elsewhere, by concept maps.
 *
 * @see https://hl7.org/fhir/R4/conceptmap-operation-translate.html
 */
import type {
  Coding,
  ConceptMap,
  ConceptMapGroup,
  ConceptMapGroupElementTarget,
  ConceptMapGroupElementTargetDependsOn,
} from '@medplum/fhirtypes';
import { splitCanonical, type TerminologyResources } from './resources.ts';

export type Translation = {
  readonly equivalence: string;
  readonly concept: Coding;
  readonly products: readonly { readonly element: string; readonly concept: Coding }[];
  /** Canonical url of the map. */
  readonly source: string | undefined;
};

export type Dependency = { readonly element: string; readonly concepts: readonly Coding[] };

export type TranslationRequest = {
  readonly codings: readonly Coding[];
  readonly targetSystem?: string | undefined;
  readonly reverse: boolean;
  readonly dependencies: readonly Dependency[];
};

/** Maps by the value sets they are between; in reverse, source and target change places. */
export function isBetween(
  map: ConceptMap,
  source: string | undefined,
  target: string | undefined,
  reverse: boolean,
): boolean {
  const from = map.sourceUri ?? map.sourceCanonical;
  const to = map.targetUri ?? map.targetCanonical;
  const [wantedFrom, wantedTo] = reverse ? [target, source] : [source, target];
  return isSame(from, wantedFrom) && isSame(to, wantedTo);
}

function isSame(given: string | undefined, wanted: string | undefined): boolean {
  if (wanted === undefined) return true;
  if (given === undefined) return false;
  const [have, want] = [splitCanonical(given), splitCanonical(wanted)];
  return have.url === want.url && (want.version === undefined || want.version === have.version);
}

export async function translate(
  resources: TerminologyResources,
  maps: readonly ConceptMap[],
  request: TranslationRequest,
): Promise<readonly Translation[]> {
  const found: Translation[] = [];
  for (const map of maps) {
    for (const coding of request.codings) {
      const matches = request.reverse
        ? reversed(map, coding, request)
        : await translated(resources, map, coding, request, new Set());
      found.push(...matches);
    }
  }
  return found;
}

/** A match that is one: the others say that there is none. */
export function isTranslation({ equivalence }: Translation): boolean {
  return equivalence !== 'unmatched' && equivalence !== 'disjoint';
}

async function translated(
  resources: TerminologyResources,
  map: ConceptMap,
  coding: Coding,
  request: TranslationRequest,
  seen: Set<ConceptMap>,
): Promise<readonly Translation[]> {
  // A map may send what it does not know to another map, and that one back.
  if (seen.has(map)) return [];
  seen.add(map);
  const found: Translation[] = [];
  for (const group of map.group ?? []) {
    if (!concerns(group.source, group.sourceVersion, coding)) continue;
    if (request.targetSystem !== undefined && group.target !== undefined && group.target !== request.targetSystem)
      continue;
    const targets = (group.element ?? [])
      .filter(({ code }) => code === coding.code)
      .flatMap(({ target }) => target ?? []);
    const isListed = (group.element ?? []).some(({ code }) => code === coding.code);
    if (isListed) {
      found.push(
        ...targets
          .filter((target) => dependenciesHold(target, request.dependencies))
          .map((target) => translationTo(target, group, map)),
      );
    } else found.push(...(await unmapped(resources, group, map, coding, request, seen)));
  }
  return found;
}

function concerns(system: string | undefined, version: string | undefined, coding: Coding): boolean {
  if (system !== undefined && coding.system !== undefined && system !== coding.system) return false;
  return version === undefined || coding.version === undefined || version === coding.version;
}

function translationTo(target: ConceptMapGroupElementTarget, group: ConceptMapGroup, map: ConceptMap): Translation {
  return {
    equivalence: target.equivalence ?? 'relatedto',
    concept: codingOf(group.target, group.targetVersion, target.code, target.display),
    products: (target.product ?? []).map((product) => ({
      element: product.property ?? '',
      concept: codingOf(product.system, undefined, product.value, product.display),
    })),
    source: map.url,
  };
}

function codingOf(
  system: string | undefined,
  version: string | undefined,
  code: string | undefined,
  display: string | undefined,
): Coding {
  return {
    ...(system === undefined ? {} : { system }),
    ...(version === undefined ? {} : { version }),
    ...(code === undefined ? {} : { code }),
    ...(display === undefined ? {} : { display }),
  };
}

/** All that a mapping depends on must be given, with that value. */
function dependenciesHold({ dependsOn = [] }: ConceptMapGroupElementTarget, given: readonly Dependency[]): boolean {
  return dependsOn.every((needed) =>
    given.some(({ element, concepts }) => element === needed.property && concepts.some((one) => isValue(one, needed))),
  );
}

function isValue(coding: Coding, { system, value }: ConceptMapGroupElementTargetDependsOn): boolean {
  return coding.code === value && (system === undefined || coding.system === undefined || coding.system === system);
}

async function unmapped(
  resources: TerminologyResources,
  group: ConceptMapGroup,
  map: ConceptMap,
  coding: Coding,
  request: TranslationRequest,
  seen: Set<ConceptMap>,
): Promise<readonly Translation[]> {
  const { unmapped: rule } = group;
  switch (rule?.mode) {
    case 'provided': {
      const concept = codingOf(group.target ?? coding.system, group.targetVersion, coding.code, coding.display);
      return [{ equivalence: 'equal', concept, products: [], source: map.url }];
    }
    case 'fixed': {
      const concept = codingOf(group.target, group.targetVersion, rule.code, rule.display);
      return [{ equivalence: 'inexact', concept, products: [], source: map.url }];
    }
    case 'other-map': {
      const { url, version } = splitCanonical(rule.url ?? '');
      const other = await resources.find('ConceptMap', url, version);
      return other === undefined ? [] : translated(resources, other, coding, request, seen);
    }
    default:
      return [];
  }
}

/** As seen from the target. */
const REVERSED: Readonly<Record<string, string>> = {
  wider: 'narrower',
  narrower: 'wider',
  subsumes: 'specializes',
  specializes: 'subsumes',
};

function reversed(map: ConceptMap, coding: Coding, { targetSystem, dependencies }: TranslationRequest): Translation[] {
  const found: Translation[] = [];
  for (const group of map.group ?? []) {
    if (!concerns(group.target, group.targetVersion, coding)) continue;
    if (targetSystem !== undefined && group.source !== undefined && group.source !== targetSystem) continue;
    for (const element of group.element ?? []) {
      for (const target of element.target ?? []) {
        if (target.code !== coding.code || !dependenciesHold(target, dependencies)) continue;
        const equivalence = target.equivalence ?? 'relatedto';
        found.push({
          equivalence: REVERSED[equivalence] ?? equivalence,
          concept: codingOf(group.source, group.sourceVersion, element.code, element.display),
          products: [],
          source: map.url,
        });
      }
    }
  }
  return found;
}
