/**
 * A value set with its codes listed: the answer of ValueSet/$expand.
 *
 * @see https://hl7.org/fhir/R4/valueset-operation-expand.html
 */
import type {
  CodeSystemConceptDesignation,
  ValueSet,
  ValueSetComposeIncludeConceptDesignation,
  ValueSetExpansionContains,
  ValueSetExpansionParameter,
} from '@medplum/fhirtypes';
import { Failure, issue } from '../failure.ts';
import { folded } from '../search/values.ts';
import { splitCanonical } from './resources.ts';
import { keyOf, type Member, type ValueSets } from './value-set.ts';

export type ExpansionRequest = {
  readonly valueSet: ValueSet;
  /** Words that must all occur in the code or a display. */
  readonly filter?: string | undefined;
  readonly offset?: number | undefined;
  readonly count?: number | undefined;
  readonly includeDesignations?: boolean | undefined;
  /** Languages (`de`) or uses (`system|code`) of the designations to show; none: all. */
  readonly designation: readonly string[];
  readonly includeDefinition?: boolean | undefined;
  readonly activeOnly?: boolean | undefined;
  /** False asks for the hierarchy; a list is what everybody understands, so it is the default. */
  readonly excludeNested?: boolean | undefined;
  /** Leave abstract concepts out. */
  readonly excludeNotForUI?: boolean | undefined;
  readonly excludeSystem: readonly string[];
  readonly displayLanguage?: string | undefined;
  /** The definitions as they were then. */
  readonly date?: string | undefined;
  /** What was asked, for expansion.parameter. */
  readonly parameters: readonly ValueSetExpansionParameter[];
  readonly now: Date;
  readonly identifier: string;
};

/** More than this is answered in pages only. */
export const MAX_WITHOUT_COUNT = 10_000;

/** @throws Failure `business-rule` with too-costly, and whatever ValueSets.members throws */
export async function expand(sets: ValueSets, request: ExpansionRequest): Promise<ValueSet> {
  const { valueSet, offset = 0, count } = request;
  const all = (await sets.members(valueSet)).filter(wantedIn(request));
  refuseAsOf(sets, request.date);
  const isPaged = request.offset !== undefined || count !== undefined;
  if (!isPaged && all.length > MAX_WITHOUT_COUNT) throw tooCostly(all.length);
  const page = all.slice(offset, count === undefined ? undefined : offset + count);
  const isNested = request.excludeNested === false && !isPaged && request.filter === undefined;
  const contains = isNested ? nested(page, sets, request) : page.map((member) => containsOf(member, request));
  return {
    ...(request.includeDefinition === true ? valueSet : withoutDefinition(valueSet)),
    expansion: {
      identifier: request.identifier,
      timestamp: request.now.toISOString(),
      total: all.length,
      ...(isPaged ? { offset } : {}),
      parameter: [...request.parameters, ...versionsUsed(sets)],
      ...(contains.length === 0 ? {} : { contains }),
    },
  };
}

function withoutDefinition(valueSet: ValueSet): ValueSet {
  const { compose: _compose, expansion: _expansion, text: _text, ...rest } = valueSet;
  return rest;
}

function versionsUsed({ used }: ValueSets): ValueSetExpansionParameter[] {
  return [...used].flatMap(({ url, version, resource }) => [
    { name: 'version', valueUri: version === undefined ? url : `${url}|${version}` },
    // A list that may lack codes says so.
    ...(resource.content === 'complete' ? [] : [{ name: String(resource.content), valueUri: url }]),
  ]);
}

function wantedIn(request: ExpansionRequest): (member: Member) => boolean {
  const words = folded(request.filter ?? '')
    .split(/\s+/)
    .filter((word) => word !== '');
  const systems = new Map(request.excludeSystem.map(splitCanonical).map(({ url, version }) => [url, version]));
  return (member) => {
    if (request.activeOnly === true && member.isInactive) return false;
    if (request.excludeNotForUI === true && member.isAbstract) return false;
    if (systems.has(member.system)) {
      const version = systems.get(member.system);
      if (version === undefined || version === member.version) return false;
    }
    if (words.length === 0) return true;
    const texts = [member.code, member.display ?? '', ...member.designations.map(({ value }) => value ?? '')];
    const text = folded(texts.join('\n'));
    return words.every((word) => text.includes(word));
  };
}

function containsOf(member: Member, request: ExpansionRequest): ValueSetExpansionContains {
  const { system, version, code, isAbstract, isInactive } = member;
  const display = displayIn(member, request.displayLanguage);
  const designation = designationsFor(member.designations, request);
  return {
    system,
    ...(isAbstract ? { abstract: true } : {}),
    ...(isInactive ? { inactive: true } : {}),
    ...(version === undefined ? {} : { version }),
    code,
    ...(display === undefined ? {} : { display }),
    ...(designation.length === 0 ? {} : { designation }),
  };
}

/** The display in a language, where the concept has one; else its own. `de` also takes `de-CH` and the other way round. */
export function displayIn(
  { display, designations }: { display: string | undefined; designations: readonly CodeSystemConceptDesignation[] },
  language: string | undefined,
): string | undefined {
  if (language === undefined) return display;
  const wanted = language.toLowerCase();
  const inLanguage = designations.filter((each) => each.language?.toLowerCase() === wanted);
  const near = designations.filter((each) => primary(each.language) === primary(language));
  return (inLanguage[0] ?? near[0])?.value ?? display;
}

function primary(language: string | undefined): string | undefined {
  return language?.split('-')[0]?.toLowerCase();
}

function designationsFor(
  designations: readonly CodeSystemConceptDesignation[],
  { includeDesignations, designation: wanted }: ExpansionRequest,
): ValueSetComposeIncludeConceptDesignation[] {
  if (includeDesignations !== true && wanted.length === 0) return [];
  const isWanted = ({ language, use }: CodeSystemConceptDesignation) =>
    wanted.some((token) => {
      const bar = token.indexOf('|');
      if (bar < 0) return primary(language) === primary(token);
      const system = token.slice(0, bar);
      // `urn:ietf:bcp:47|de` names a language as well.
      if (system === 'urn:ietf:bcp:47') return primary(language) === primary(token.slice(bar + 1));
      return use?.system === system && use.code === token.slice(bar + 1);
    });
  return designations
    .filter((each) => each.value !== undefined && (wanted.length === 0 || isWanted(each)))
    .map(({ language, use, value }) => ({
      ...(language === undefined ? {} : { language }),
      ...(use === undefined ? {} : { use }),
      value: value as string,
    }));
}

/** Each member under the first of its ancestors that is a member too. */
function nested(members: readonly Member[], sets: ValueSets, request: ExpansionRequest): ValueSetExpansionContains[] {
  const nodes = new Map(members.map((member) => [keyOf(member), containsOf(member, request)]));
  const roots: ValueSetExpansionContains[] = [];
  const systems = new Map([...sets.used].map((index) => [index.url, index]));
  for (const member of members) {
    const node = nodes.get(keyOf(member)) as ValueSetExpansionContains;
    const index = systems.get(member.system);
    const parent = [...(index?.concept(member.code)?.parents ?? [])].find(
      (code) => nodes.has(keyOf({ system: member.system, code })) && index?.isUnder(code, member.code) === false,
    );
    if (parent === undefined) roots.push(node);
    else {
      const above = nodes.get(keyOf({ system: member.system, code: parent })) as ValueSetExpansionContains;
      above.contains ??= [];
      above.contains.push(node);
    }
  }
  return roots;
}

/** Published with R4; the shipped definitions say no date of their own. */
const R4_PUBLISHED = '2019-11-01';

/**
 * Only the current definitions are at hand: they are those of a date unless one of them is newer.
 *
 * @throws Failure `business-rule` where one of those that were used is
 */
export function refuseAsOf(sets: ValueSets, date: string | undefined): void {
  if (date === undefined) return;
  const used = [...sets.usedValueSets, ...[...sets.used].map(({ resource }) => resource)];
  const newer = used.find(({ meta }) => (meta?.lastUpdated ?? R4_PUBLISHED).slice(0, date.length) > date);
  if (newer === undefined) return;
  const words = `${newer.url ?? 'The value set'} has changed since ${date}: it can only be used as it is now`;
  throw new Failure('business-rule', issue('not-supported', words, 'http.date'));
}

function tooCostly(total: number): Failure {
  const words = `The expansion has ${total} codes, more than ${MAX_WITHOUT_COUNT}. Ask for pages with count and offset, or narrow it with filter`;
  return new Failure('business-rule', issue('too-costly', words));
}
