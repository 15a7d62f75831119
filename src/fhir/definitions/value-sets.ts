import type { CodeSystem, ValueSet, ValueSetComposeInclude } from '@medplum/fhirtypes';
import { Failure } from '../failure.ts';
import { type CodeSystemIndex, indexOf } from '../terminology/code-system.ts';
import { filterTest } from '../terminology/filters.ts';
import { grammarOf } from '../terminology/grammars.ts';
import { splitCanonical } from '../terminology/resources.ts';
import { entriesOf, isWhole } from '../terminology/stored-expansion.ts';

/**
 * The codes a value set allows, by code system, as far as their content is at hand: what a binding is checked by.
 *
 * It is never smaller than the value set: what cannot be known is allowed. `open` are systems from which any code must
 * be accepted because their content is not here (SNOMED CT, LOINC as a whole, UCUM, BCP 47, MIME types), but for the
 * codes in `except`, which the value set leaves out by name; a set with one is not enumerable. `unknown` is true when a
 * part of the set could not be found at all; nothing can be refused then.
 */
export type ValueSetDigest = {
  /** The canonical as it was asked for, with its version where it had one. */
  readonly url: string;
  readonly codes: Readonly<Record<string, readonly string[]>>;
  readonly open: readonly string[];
  readonly except?: Readonly<Record<string, readonly string[]>>;
  readonly unknown: boolean;
  /** Systems of which a code is the same in whatever case; their codes are as the system writes them. */
  readonly anyCase?: readonly string[];
};

/** Where definitions are found, by url: that version, or the newest where none is named. */
export type TerminologyLookup = {
  valueSet(url: string, version: string | undefined): ValueSet | undefined;
  /** With whatever content it has; never a supplement. */
  codeSystem(url: string, version: string | undefined): CodeSystem | undefined;
  /** The code system whose `valueSet` is this url: the value set of all its codes. */
  systemOfAllCodes(valueSetUrl: string): CodeSystem | undefined;
};

/** More codes are not kept of one value set: it is then as good as unknown. */
export const MAX_DIGEST_CODES = 100_000;
/** Sets within sets; deeper ones allow everything. */
const MAX_NESTING = 200;

/**
 * Digests value sets out of one state of the terminology. Each set is looked at once, so that sets which include each
 * other in every way cost the sum of their sizes.
 */
export class ValueSetDigester {
  readonly #lookup: TerminologyLookup;
  readonly #known = new Map<string, Members>();

  constructor(lookup: TerminologyLookup) {
    this.#lookup = lookup;
  }

  digest(canonical: string): ValueSetDigest {
    const { codes, open, except, unknown } = this.#members(canonical, new Set());
    const anyCase = [...new Set([...codes.keys(), ...except.keys()])].filter((system) => this.#isAnyCase(system));
    return {
      url: canonical,
      codes: asLists(codes),
      open: [...open],
      ...(except.size === 0 ? {} : { except: asLists(except) }),
      unknown,
      ...(anyCase.length === 0 ? {} : { anyCase }),
    };
  }

  #isAnyCase(system: string): boolean {
    return this.#lookup.codeSystem(system, undefined)?.caseSensitive === false;
  }

  /** Sets are compared code by code, so a system that does not mind the case has one way of writing each. */
  #asWritten(system: string, version: string | undefined, codes: Iterable<string>): ReadonlySet<string> {
    const all = new Set(codes);
    if (!this.#isAnyCase(system)) return all;
    const index = this.#completeSystem(system, version);
    return new Set([...all].map((code) => index?.concept(code)?.code ?? code.toLowerCase()));
  }

  #members(canonical: string, above: ReadonlySet<string>): Members {
    const known = this.#known.get(canonical);
    if (known !== undefined) return known;
    const { url, version } = splitCanonical(canonical);
    // A set that includes itself allows nothing to be refused.
    if (above.has(url) || above.size >= MAX_NESTING) return UNKNOWN;
    const source = this.#lookup.valueSet(url, version);
    const members =
      source === undefined ? this.#implied(url, version) : this.#defined(source, new Set([...above, url]));
    const kept = sizeOf(members) > MAX_DIGEST_CODES ? UNKNOWN : members;
    this.#known.set(canonical, kept);
    return kept;
  }

  /** Value sets that nobody writes down: all codes of a system, and those that SNOMED CT and LOINC say by their url. */
  #implied(url: string, version: string | undefined): Members {
    const system = this.#lookup.systemOfAllCodes(url);
    if (system?.url !== undefined && (version === undefined || version === system.version)) {
      return this.#ofSystem({ system: system.url });
    }
    const owner = IMPLIED.find(([prefix]) => url.startsWith(prefix))?.[1];
    return owner === undefined ? UNKNOWN : { ...nothing(), open: new Set([owner]) };
  }

  /**
   * By its compose; where that leads to content that is not here, or is missing, the stored expansion says what its
   * author found in the set.
   */
  #defined({ compose, expansion }: ValueSet, above: ReadonlySet<string>): Members {
    const composed = compose?.include === undefined ? UNKNOWN : this.#composed(compose, above);
    if (!composed.unknown && composed.open.size === 0) return composed;
    return this.#expanded(expansion) ?? composed;
  }

  #composed(compose: NonNullable<ValueSet['compose']>, above: ReadonlySet<string>): Members {
    let members = nothing();
    for (const part of compose.include ?? []) members = union(members, this.#part(part, above));
    for (const part of compose.exclude ?? []) members = difference(members, this.#part(part, above), wholeOf(part));
    return compose.inactive === false ? this.#activeOnly(members) : members;
  }

  #part(part: ValueSetComposeInclude, above: ReadonlySet<string>): Members {
    // A primitive with extensions alone has null in its place.
    const named = (part.valueSet ?? []).flatMap((canonical: string | null) => canonical ?? []);
    const sets = named.map((canonical) => this.#members(canonical, above));
    if (part.system !== undefined) sets.push(this.#ofSystem(part));
    const [first, ...others] = sets;
    // Within one include, system and value sets narrow each other (https://hl7.org/fhir/R4/valueset.html#compositions).
    return first === undefined ? UNKNOWN : others.reduce(intersection, first);
  }

  #ofSystem(part: ValueSetComposeInclude): Members {
    const { concept, filter = [] } = part;
    // US Core 7.0.0 has a system with its version behind a bar, as only a canonical may.
    const { url: system, version = part.version } = splitCanonical(part.system ?? '');
    if (concept !== undefined) {
      const codes = concept.flatMap(({ code }) => code ?? []);
      return listed(system, this.#asWritten(system, version, codes));
    }
    const index = this.#completeSystem(system, version);
    const passes = index === undefined ? undefined : testOf(filter, index);
    if (index === undefined || passes === undefined) return { ...nothing(), open: new Set([system]) };
    return listed(system, new Set([...index.concepts.values()].filter(passes).map(({ code }) => code)));
  }

  /** A fragment or an example cannot say which codes are wrong; of a grammar, such as languages, no list is whole. */
  #completeSystem(system: string, version: string | undefined): CodeSystemIndex | undefined {
    if (grammarOf(system) !== undefined) return undefined;
    const resource = this.#lookup.codeSystem(system, version);
    return resource?.content === 'complete' ? indexOf(resource) : undefined;
  }

  /** Undefined without an expansion that is whole. */
  #expanded(expansion: ValueSet['expansion']): Members | undefined {
    if (expansion === undefined || !isWhole(expansion)) return undefined;
    const codes = new Map<string, string[]>();
    for (const { system, code, abstract } of entriesOf(expansion)) {
      // A heading without a code, or a code that is no choice.
      if (system === undefined || code === undefined || abstract === true) continue;
      const known = codes.get(system) ?? [];
      known.push(code);
      codes.set(system, known);
    }
    const asWritten = [...codes].map(([system, all]) => [system, this.#asWritten(system, undefined, all)] as const);
    return { ...nothing(), codes: new Map(asWritten) };
  }

  #activeOnly(members: Members): Members {
    const codes = new Map<string, ReadonlySet<string>>();
    for (const [system, all] of members.codes) {
      const index = this.#completeSystem(system, undefined);
      codes.set(system, index === undefined ? all : new Set([...all].filter((code) => !index.isInactive(code))));
    }
    return { ...members, codes };
  }
}

/** Undefined for a filter that cannot be evaluated, or asks about a concept that this edition of the system has not. */
function testOf(filters: NonNullable<ValueSetComposeInclude['filter']>, index: CodeSystemIndex) {
  const tests: ReturnType<typeof filterTest>[] = [];
  for (const filter of filters) {
    if (HIERARCHICAL.has(filter.op ?? '') && index.concept(filter.value ?? '') === undefined) return undefined;
    try {
      tests.push(filterTest(filter, index));
    } catch (error) {
      if (error instanceof Failure) return undefined;
      throw error;
    }
  }
  return (concept: Parameters<(typeof tests)[number]>[0]) => tests.every((test) => test(concept));
}

const HIERARCHICAL: ReadonlySet<string> = new Set(['is-a', 'descendent-of', 'is-not-a', 'generalizes']);

/** @see https://hl7.org/fhir/R4/snomedct.html#implicit and https://hl7.org/fhir/R4/loinc.html#implicit */
const IMPLIED: readonly (readonly [prefix: string, system: string])[] = [
  ['http://snomed.info/sct?fhir_vs', 'http://snomed.info/sct'],
  ['http://snomed.info/sct/', 'http://snomed.info/sct'],
  ['http://loinc.org/vs', 'http://loinc.org'],
  ['http://unitsofmeasure.org/vs', 'http://unitsofmeasure.org'],
];

// ---- sets of codes, of which a part may not be known

type CodesBySystem = ReadonlyMap<string, ReadonlySet<string>>;

type Members = {
  readonly codes: CodesBySystem;
  readonly open: ReadonlySet<string>;
  readonly except: CodesBySystem;
  readonly unknown: boolean;
};

function nothing(): Members {
  return { codes: new Map(), open: new Set(), except: new Map(), unknown: false };
}

const UNKNOWN: Members = { ...nothing(), unknown: true };

function listed(system: string, codes: ReadonlySet<string>): Members {
  return { ...nothing(), codes: new Map([[system, codes]]) };
}

function mayHold({ codes, open, except, unknown }: Members, system: string, code: string): boolean {
  if (unknown || codes.get(system)?.has(code) === true) return true;
  return open.has(system) && except.get(system)?.has(code) !== true;
}

function union(a: Members, b: Members): Members {
  if (a.unknown || b.unknown) return UNKNOWN;
  const open = a.open.union(b.open);
  return {
    codes: codesOfBoth(a.codes, b.codes),
    open,
    except: selected(
      codesOfBoth(a.except, b.except),
      (system, code) => open.has(system) && !mayHold(a, system, code) && !mayHold(b, system, code),
    ),
    unknown: false,
  };
}

/** Of a set that is not known, what the other allows is all that can be said. */
function intersection(a: Members, b: Members): Members {
  if (a.unknown) return b;
  if (b.unknown) return a;
  const open = a.open.intersection(b.open);
  return {
    codes: selected(
      codesOfBoth(a.codes, b.codes),
      (system, code) => mayHold(a, system, code) && mayHold(b, system, code),
    ),
    open,
    except: selected(codesOfBoth(a.except, b.except), (system) => open.has(system)),
    unknown: false,
  };
}

/** Only what is known to be excluded goes. */
function difference(from: Members, what: Members, whole: string | undefined): Members {
  if (from.unknown) return from;
  const codes = selected(from.codes, (system, code) => system !== whole && what.codes.get(system)?.has(code) !== true);
  const open = new Set([...from.open].filter((system) => system !== whole));
  const except = selected(codesOfBoth(from.except, what.codes), (system) => open.has(system));
  return { codes, open, except, unknown: false };
}

/** The system of which a part takes every code, whether or not they can be listed. */
function wholeOf({ system, version, concept, filter, valueSet }: ValueSetComposeInclude): string | undefined {
  const isNarrowed = [version, concept, filter, valueSet].some((by) => by !== undefined);
  return isNarrowed ? undefined : system;
}

function codesOfBoth(a: CodesBySystem, b: CodesBySystem): CodesBySystem {
  const codes = new Map(a);
  for (const [system, more] of b) codes.set(system, codes.get(system)?.union(more) ?? more);
  return codes;
}

function selected(codes: CodesBySystem, isWanted: (system: string, code: string) => boolean): CodesBySystem {
  const wanted = new Map<string, ReadonlySet<string>>();
  for (const [system, all] of codes) {
    const some = new Set([...all].filter((code) => isWanted(system, code)));
    if (some.size > 0) wanted.set(system, some);
  }
  return wanted;
}

function sizeOf({ codes, except }: Members): number {
  let size = 0;
  for (const { size: each } of [...codes.values(), ...except.values()]) size += each;
  return size;
}

function asLists(codes: CodesBySystem): Record<string, readonly string[]> {
  return Object.fromEntries([...codes].map(([system, all]) => [system, [...all]]));
}
