/**
 * What is in a value set: all members, or whether one code is.
 *
 * Both follow the same rules (https://hl7.org/fhir/R4/valueset.html#compositions): within an include, system and value
 * sets narrow each other, includes add up, excludes take away. To ask for one code does not need the list, so it works
 * for systems whose content is not here as far as their codes are enumerated.
 */
import type {
  CodeSystemConceptDesignation,
  ValueSet,
  ValueSetComposeInclude,
  ValueSetComposeIncludeConcept,
} from '@medplum/fhirtypes';
import { Failure, issue } from '../failure.ts';
import { type CodeSystemIndex, type Concept, indexOf } from './code-system.ts';
import { filterTest } from './filters.ts';
import { grammarOf } from './grammars.ts';
import { splitCanonical, type TerminologyResources } from './resources.ts';
import { entriesOf, isWhole, type StoredExpansion } from './stored-expansion.ts';

export type Member = {
  readonly system: string;
  readonly version: string | undefined;
  readonly code: string;
  readonly display: string | undefined;
  readonly designations: readonly CodeSystemConceptDesignation[];
  readonly isAbstract: boolean;
  readonly isInactive: boolean;
};

/** `unknown`: the content that would tell is not here; the reason as a sentence. */
export type Membership =
  | { readonly is: 'in'; readonly member: Member }
  | { readonly is: 'out' }
  | { readonly is: 'unknown'; readonly reason: string };

export type Asked = { readonly system: string; readonly version?: string | undefined; readonly code: string };

/** Which version of a code system to use: by its url. */
export type SystemVersions = {
  readonly preferred: ReadonlyMap<string, string>;
  readonly forced: ReadonlyMap<string, string>;
  readonly checked: ReadonlyMap<string, string>;
};

export const ANY_VERSION: SystemVersions = { preferred: new Map(), forced: new Map(), checked: new Map() };

/** More cannot be listed in one go, and must not be held in memory. */
export const MAX_MEMBERS = 100_000;
const MAX_NESTING = 32;

export class ValueSets {
  readonly #resources: TerminologyResources;
  readonly #versions: SystemVersions;
  readonly #systems = new Map<string, CodeSystemIndex>();
  /** Code systems and value sets that were read, in order. */
  readonly used = new Set<CodeSystemIndex>();
  readonly usedValueSets = new Set<ValueSet>();

  constructor(resources: TerminologyResources, versions: SystemVersions = ANY_VERSION) {
    this.#resources = resources;
    this.#versions = versions;
  }

  /** @throws Failure `not-found` */
  async valueSet(canonical: string, place?: string): Promise<ValueSet> {
    const { url, version } = splitCanonical(canonical);
    const found = (await this.#resources.find('ValueSet', url, version)) ?? (await this.#ofWholeSystem(url, version));
    if (found !== undefined) return found;
    const which = version === undefined ? 'is' : `of the version ${version} is`;
    throw new Failure(
      'not-found',
      issue('not-found', `No value set ${url} ${which} known here. Store it, or name another one`, place),
    );
  }

  /** One that another includes: that one is known, and cannot be used. */
  async #imported(canonical: string): Promise<ValueSet> {
    try {
      return await this.valueSet(canonical);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      throw new Failure('business-rule', error.issues, { cause: error });
    }
  }

  async #ofWholeSystem(url: string, version: string | undefined): Promise<ValueSet | undefined> {
    const system = await this.#resources.systemOfAllCodes(url);
    if (system?.url === undefined || (version !== undefined && version !== system.version)) return undefined;
    return {
      resourceType: 'ValueSet',
      url,
      status: system.status ?? 'active',
      ...(system.version === undefined ? {} : { version: system.version }),
      ...(system.name === undefined ? {} : { name: system.name }),
      compose: { include: [{ system: system.url }] },
    };
  }

  /** The code system with its supplements; undefined where it is not here. */
  async system(url: string, version?: string): Promise<CodeSystemIndex | undefined> {
    const wanted = this.#versions.forced.get(url) ?? version ?? this.#versions.preferred.get(url);
    const checked = this.#versions.checked.get(url);
    const found = await this.#resources.find('CodeSystem', url, wanted);
    if (found === undefined) {
      if (wanted === undefined || (await this.#resources.find('CodeSystem', url)) === undefined) return undefined;
      throw new Failure('not-found', issue('not-found', `The version ${wanted} of ${url} is not known here`));
    }
    if (checked !== undefined && found.version !== checked) {
      const words = `The value set uses version ${found.version ?? 'unknown'} of ${url}, not ${checked}`;
      throw new Failure('business-rule', issue('business-rule', words, 'http.check-system-version'));
    }
    const key = `${url}|${found.version ?? ''}`;
    const index = this.#systems.get(key) ?? indexOf(found, await this.#resources.supplements(url));
    this.#systems.set(key, index);
    this.used.add(index);
    return index;
  }

  /**
   * As `system`, for one code: where no version is asked for and the edition at hand has it not, a fragment of another
   * edition that has it.
   */
  async systemWith(code: string, url: string, version?: string): Promise<CodeSystemIndex | undefined> {
    const index = await this.system(url, version);
    if (version !== undefined || index?.concept(code) !== undefined || this.#versions.forced.has(url)) return index;
    const heads = await this.#resources.codeSystems();
    for (const head of heads.filter((each) => each.url === url && each.content === 'fragment')) {
      const fragment = await this.system(url, head.version);
      if (fragment?.concept(code) !== undefined) return fragment;
    }
    return index;
  }

  /** The system is here, and not in this version. */
  async lacksVersion(url: string, version: string | undefined): Promise<boolean> {
    if (version === undefined || (await this.#resources.find('CodeSystem', url, version)) !== undefined) return false;
    return (await this.#resources.find('CodeSystem', url)) !== undefined;
  }

  // ---- all members

  /**
   * Every member once, in the order of the definition.
   *
   * @throws Failure `business-rule` with too-costly, or not-supported where a system's content is needed and not here
   */
  async members(valueSet: ValueSet): Promise<readonly Member[]> {
    return [...(await this.#members(valueSet, [])).values()];
  }

  async #members(valueSet: ValueSet, above: readonly ValueSet[]): Promise<Map<string, Member>> {
    refuseCircle(valueSet, above);
    this.usedValueSets.add(valueSet);
    const { compose, expansion } = valueSet;
    if (compose?.include === undefined) return expandedMembers(expansion);
    try {
      return await this.#composedMembers(valueSet, [...above, valueSet]);
    } catch (error) {
      // Where its definition needs content that is not here, what its author found in it stands.
      if (!isOfMissingContent(error) || expansion === undefined || !isWhole(expansion)) throw error;
      return expandedMembers(expansion);
    }
  }

  async #composedMembers(valueSet: ValueSet, path: readonly ValueSet[]): Promise<Map<string, Member>> {
    const { compose } = valueSet;
    const members = new Map<string, Member>();
    for (const part of compose?.include ?? []) {
      for (const [key, member] of await this.#included(part, path)) {
        if (!members.has(key)) members.set(key, member);
        if (members.size > MAX_MEMBERS) throw tooManyMembers(valueSet);
      }
    }
    for (const [key, member] of members) {
      const isOut =
        (compose?.inactive === false && member.isInactive) || (await this.#isExcluded(member, valueSet, path));
      if (isOut) members.delete(key);
    }
    return members;
  }

  async #isExcluded(member: Member, { compose }: ValueSet, path: readonly ValueSet[]): Promise<boolean> {
    for (const part of compose?.exclude ?? []) {
      const found = await this.#holdsPart(part, member, path);
      if (found.is === 'in') return true;
      if (found.is === 'unknown') throw new Failure('business-rule', issue('not-supported', found.reason));
    }
    return false;
  }

  async #included(part: ValueSetComposeInclude, path: readonly ValueSet[]): Promise<Map<string, Member>> {
    const [first, ...others] = await Promise.all(
      (part.valueSet ?? []).map(async (canonical) => this.#members(await this.#imported(canonical), path)),
    );
    if (part.system === undefined) {
      const all = first ?? new Map<string, Member>();
      return new Map([...all].filter(([key]) => others.every((other) => other.has(key))));
    }
    const own = await this.#systemMembers(part as SystemPart);
    const sets = first === undefined ? [] : [first, ...others];
    return sets.length === 0 ? own : new Map([...own].filter(([key]) => sets.every((set) => set.has(key))));
  }

  async #systemMembers(part: SystemPart): Promise<Map<string, Member>> {
    const index = await this.system(part.system, part.version);
    const members = new Map<string, Member>();
    if (part.concept !== undefined) {
      for (const listed of part.concept) {
        const member = listedMember(part, listed, index);
        members.set(keyOf(member), member);
      }
      return members;
    }
    if (index === undefined || index.concepts.size === 0) throw contentIsMissing(part);
    const passes = testOf(part, index);
    for (const concept of index.concepts.values()) {
      if (!passes(concept)) continue;
      const member = memberOf(index, concept);
      members.set(keyOf(member), member);
    }
    return members;
  }

  // ---- one code

  async holds(valueSet: ValueSet, asked: Asked): Promise<Membership> {
    return this.#holds(valueSet, asked, []);
  }

  async #holds(valueSet: ValueSet, asked: Asked, above: readonly ValueSet[]): Promise<Membership> {
    refuseCircle(valueSet, above);
    this.usedValueSets.add(valueSet);
    const { compose, expansion } = valueSet;
    if (compose?.include === undefined) return listedIn(expansion, asked);
    const isListable = expansion !== undefined && isWhole(expansion);
    try {
      const found = await this.#composedHolds(compose, asked, [...above, valueSet]);
      return found.is === 'unknown' && isListable ? listedIn(expansion, asked) : found;
    } catch (error) {
      if (!isOfMissingContent(error) || !isListable) throw error;
      return listedIn(expansion, asked);
    }
  }

  async #composedHolds(
    compose: NonNullable<ValueSet['compose']>,
    asked: Asked,
    path: readonly ValueSet[],
  ): Promise<Membership> {
    const found = await this.#firstHolding(compose.include ?? [], asked, path);
    if (found.is === 'out' || compose.exclude === undefined) return activeOnly(found, compose.inactive);
    const excluded = await this.#firstHolding(compose.exclude, asked, path);
    if (excluded.is === 'in') return OUT;
    return excluded.is === 'unknown' ? excluded : activeOnly(found, compose.inactive);
  }

  async #firstHolding(
    parts: readonly ValueSetComposeInclude[],
    asked: Asked,
    path: readonly ValueSet[],
  ): Promise<Membership> {
    let answer: Membership = OUT;
    for (const part of parts) {
      const found = await this.#holdsPart(part, asked, path);
      if (found.is === 'in') return found;
      if (found.is === 'unknown') answer = found;
    }
    return answer;
  }

  async #holdsPart(part: ValueSetComposeInclude, asked: Asked, path: readonly ValueSet[]): Promise<Membership> {
    let answer: Membership = part.system === undefined ? OUT : await this.#holdsSystem(part as SystemPart, asked);
    if (part.system !== undefined && answer.is === 'out') return OUT;
    for (const [at, canonical] of (part.valueSet ?? []).entries()) {
      const found = await this.#holds(await this.#imported(canonical), asked, path);
      if (found.is === 'out') return OUT;
      if (found.is === 'unknown' || (at === 0 && part.system === undefined)) answer = found;
    }
    return answer;
  }

  async #holdsSystem(part: SystemPart, asked: Asked): Promise<Membership> {
    if (asked.system !== part.system) return OUT;
    if (part.version !== undefined && asked.version !== undefined && asked.version !== part.version) return OUT;
    const version = part.version ?? asked.version;
    if (version !== part.version && (await this.lacksVersion(part.system, asked.version))) {
      return { is: 'unknown', reason: `The version ${version} of ${part.system} is not known here` };
    }
    const index = await this.systemWith(asked.code, part.system, version);
    const concept = index?.concept(asked.code);
    if (part.concept !== undefined) {
      const isListed = ({ code }: ValueSetComposeIncludeConcept) => code === asked.code || code === concept?.code;
      const listed = part.concept.find(isListed);
      return listed === undefined ? OUT : { is: 'in', member: listedMember(part, listed, index) };
    }
    if (index === undefined || index.concepts.size === 0) return byGrammar(part, asked);
    if (concept === undefined) {
      if (grammarOf(part.system) !== undefined && part.filter === undefined) return byGrammar(part, asked);
      return index.isComplete ? OUT : { is: 'unknown', reason: `Only a part of ${part.system} is here` };
    }
    return testOf(part, index)(concept) ? { is: 'in', member: memberOf(index, concept) } : OUT;
  }
}

type SystemPart = ValueSetComposeInclude & { system: string };

const OUT: Membership = { is: 'out' };

function activeOnly(found: Membership, inactive: boolean | undefined): Membership {
  return inactive === false && found.is === 'in' && found.member.isInactive ? OUT : found;
}

/** Some systems are known by how a code is written, although nobody lists them. */
function byGrammar({ system, filter }: SystemPart, { code }: Asked): Membership {
  const isCode = filter === undefined ? grammarOf(system)?.(code) : undefined;
  if (isCode === undefined) {
    return { is: 'unknown', reason: `The content of ${system} is not here, so its codes cannot be checked` };
  }
  return isCode ? { is: 'in', member: byItsForm(system, code) } : OUT;
}

/** A code of which no more is known than that it is one. */
export function byItsForm(system: string, code: string): Member {
  const nothing = { version: undefined, display: undefined, designations: [], isAbstract: false, isInactive: false };
  return { system, code, ...nothing };
}

function testOf(part: SystemPart, index: CodeSystemIndex): (concept: Concept) => boolean {
  const tests = (part.filter ?? []).map((filter) => filterTest(filter, index));
  return (concept) => tests.every((test) => test(concept));
}

export function keyOf({ system, code }: { readonly system: string; readonly code: string }): string {
  return `${system}|${code}`;
}

export function memberOf(index: CodeSystemIndex, concept: Concept): Member {
  return {
    system: index.url,
    version: index.version,
    code: concept.code,
    display: concept.display,
    designations: concept.designations,
    isAbstract: index.isAbstract(concept.code),
    isInactive: index.isInactive(concept.code),
  };
}

/** A code that the value set lists; its own words for it come before those of the system. */
function listedMember(
  { system, version }: SystemPart,
  listed: ValueSetComposeIncludeConcept,
  index: CodeSystemIndex | undefined,
): Member {
  const code = listed.code ?? '';
  const concept = index?.concept(code);
  const known = index !== undefined && concept !== undefined ? memberOf(index, concept) : undefined;
  return {
    system,
    version: version ?? known?.version,
    code,
    display: listed.display ?? known?.display,
    designations: [...(listed.designation ?? []), ...(known?.designations ?? [])],
    isAbstract: known?.isAbstract ?? false,
    isInactive: known?.isInactive ?? false,
  };
}

/** A value set without a definition is what its stored expansion says. */
function expandedMembers(expansion: StoredExpansion | undefined): Map<string, Member> {
  const members = new Map<string, Member>();
  for (const entry of expansion === undefined ? [] : entriesOf(expansion)) {
    if (entry.system === undefined || entry.code === undefined) continue;
    const member: Member = {
      system: entry.system,
      version: entry.version,
      code: entry.code,
      display: entry.display,
      designations: entry.designation ?? [],
      isAbstract: entry.abstract === true,
      isInactive: entry.inactive === true,
    };
    members.set(keyOf(member), member);
  }
  return members;
}

function listedIn(expansion: StoredExpansion | undefined, asked: Asked): Membership {
  const member = expandedMembers(expansion).get(keyOf(asked));
  return member === undefined ? OUT : { is: 'in', member };
}

const MISSING: ReadonlySet<string> = new Set(['not-supported', 'not-found']);

/** A system or a set that the definition needs is not here, or cannot be looked into. */
function isOfMissingContent(error: unknown): boolean {
  return error instanceof Failure && error.issues.every(({ code }) => MISSING.has(code));
}

function refuseCircle(valueSet: ValueSet, above: readonly ValueSet[]): void {
  const isAbove = above.some((one) => one === valueSet || (one.url !== undefined && one.url === valueSet.url));
  if (!isAbove && above.length < MAX_NESTING) return;
  const what = isAbove ? 'includes itself' : `is nested more than ${MAX_NESTING} deep`;
  throw new Failure('business-rule', issue('processing', `The value set ${valueSet.url ?? ''} ${what}`));
}

function tooManyMembers({ url }: ValueSet): Failure {
  const words = `The value set ${url ?? ''} has more than ${MAX_MEMBERS} codes: ask about one code with $validate-code`;
  return new Failure('business-rule', issue('too-costly', words));
}

function contentIsMissing({ system, filter }: SystemPart): Failure {
  const why = filter === undefined ? 'all its codes' : 'a filter over its content';
  const words = `The value set asks for ${why} of ${system}, and the content of ${system} is not here`;
  return new Failure('business-rule', issue('not-supported', words));
}
