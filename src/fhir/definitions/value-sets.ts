import { withoutVersion } from './structure.ts';

/**
 * The codes a value set allows, by code system, as far as their content is at hand.
 *
 * `open` are systems from which any code must be accepted because their content is not published with R4 (SNOMED CT,
 * LOINC as a whole, UCUM, BCP 47, MIME types): a set with one is not enumerable. `unknown` is true when a part of
 * the set could not be found at all; nothing can be refused then.
 */
export type ValueSetDigest = {
  readonly url: string;
  readonly codes: Readonly<Record<string, readonly string[]>>;
  readonly open: readonly string[];
  readonly unknown: boolean;
};

export type ValueSetSource = {
  readonly url: string;
  readonly compose?: { readonly include?: readonly ConceptSet[]; readonly exclude?: readonly ConceptSet[] };
};

type ConceptSet = {
  readonly system?: string;
  readonly concept?: readonly { readonly code: string }[];
  readonly filter?: readonly { readonly property: string; readonly op: string; readonly value: string }[];
  readonly valueSet?: readonly string[];
};

type Concept = {
  readonly code: string;
  readonly concept?: readonly Concept[];
  readonly property?: readonly { readonly code: string; readonly valueCode?: string }[];
};

export type CodeSystemSource = {
  readonly url: string;
  readonly content: string;
  readonly concept?: readonly Concept[];
};

/** Code systems and value sets while the digest is made; not kept afterwards. */
export class Terminology {
  readonly #valueSets = new Map<string, ValueSetSource>();
  readonly #systems = new Map<string, CodeSystem>();

  addValueSet({ url, compose }: ValueSetSource): void {
    this.#valueSets.set(url, { url, ...(compose === undefined ? {} : { compose }) });
  }

  addCodeSystem(source: CodeSystemSource): void {
    // A fragment or a supplement cannot say which codes are wrong.
    if (source.content === 'complete') this.#systems.set(source.url, new CodeSystem(source.concept ?? []));
  }

  expand(url: string): ValueSetDigest {
    const result = this.#expand(url, new Set());
    return {
      url,
      codes: Object.fromEntries([...result.codes].map(([system, codes]) => [system, [...codes]])),
      open: [...result.open],
      unknown: result.unknown,
    };
  }

  #expand(url: string, above: ReadonlySet<string>): Expansion {
    const source = this.#valueSets.get(url);
    const result: Expansion = { codes: new Map(), open: new Set(), unknown: false };
    // A set that includes itself, or one without a definition, allows nothing to be refused.
    if (source?.compose?.include === undefined || above.has(url)) return { ...result, unknown: true };
    for (const part of source.compose.include) add(result, this.#conceptSet(part, new Set([...above, url])));
    for (const part of source.compose.exclude ?? []) subtract(result, this.#conceptSet(part, new Set([...above, url])));
    return result;
  }

  #conceptSet(part: ConceptSet, above: ReadonlySet<string>): Expansion {
    const sets = (part.valueSet ?? []).map((url) => this.#expand(withoutVersion(url), above));
    if (part.system !== undefined) sets.push(this.#systemPart(part.system, part));
    const [first, ...others] = sets;
    if (first === undefined) return { codes: new Map(), open: new Set(), unknown: true };
    // Within one include, system and value sets narrow each other (https://hl7.org/fhir/R4/valueset.html#compositions).
    return others.reduce(intersection, first);
  }

  #systemPart(system: string, { concept, filter }: ConceptSet): Expansion {
    if (concept !== undefined) {
      return { codes: new Map([[system, new Set(concept.map(({ code }) => code))]]), open: new Set(), unknown: false };
    }
    const codes = this.#systems.get(system)?.select(filter ?? []);
    return codes === undefined
      ? { codes: new Map(), open: new Set([system]), unknown: false }
      : { codes: new Map([[system, codes]]), open: new Set(), unknown: false };
  }
}

type Expansion = { codes: Map<string, Set<string>>; open: Set<string>; unknown: boolean };

function add(to: Expansion, from: Expansion): void {
  for (const [system, codes] of from.codes) {
    const present = to.codes.get(system);
    to.codes.set(system, present === undefined ? new Set(codes) : present.union(codes));
  }
  for (const system of from.open) to.open.add(system);
  to.unknown ||= from.unknown;
}

function subtract(from: Expansion, what: Expansion): void {
  for (const [system, codes] of what.codes) {
    const present = from.codes.get(system);
    if (present !== undefined) from.codes.set(system, present.difference(codes));
  }
}

function intersection(a: Expansion, b: Expansion): Expansion {
  if (a.unknown) return b;
  if (b.unknown) return a;
  const codes = new Map<string, Set<string>>();
  for (const system of new Set([...a.codes.keys(), ...b.codes.keys()])) {
    const left = a.codes.get(system);
    const right = b.codes.get(system);
    if (left !== undefined && right !== undefined) codes.set(system, left.intersection(right));
    else if (left !== undefined && b.open.has(system)) codes.set(system, left);
    else if (right !== undefined && a.open.has(system)) codes.set(system, right);
  }
  return { codes, open: a.open.intersection(b.open), unknown: false };
}

class CodeSystem {
  readonly #parents = new Map<string, Set<string>>();
  readonly #properties = new Map<string, readonly { readonly code: string; readonly valueCode?: string }[]>();

  constructor(concepts: readonly Concept[]) {
    this.#index(concepts, undefined);
  }

  #index(concepts: readonly Concept[], parent: string | undefined): void {
    for (const concept of concepts) {
      const parents = this.#parents.get(concept.code) ?? new Set<string>();
      this.#parents.set(concept.code, parents);
      if (parent !== undefined) parents.add(parent);
      // v3 code systems give further parents as properties.
      for (const { code, valueCode } of concept.property ?? []) {
        if (code === 'subsumedBy' && valueCode !== undefined) parents.add(valueCode);
      }
      if (concept.property !== undefined) this.#properties.set(concept.code, concept.property);
      if (concept.concept !== undefined) this.#index(concept.concept, concept.code);
    }
  }

  /** The codes that pass all filters; undefined when a filter is not one of those R4's own value sets use. */
  select(filters: NonNullable<ConceptSet['filter']>): Set<string> | undefined {
    let codes = new Set(this.#parents.keys());
    for (const { property, op, value } of filters) {
      const passes = this.#filter(property, op, value);
      if (passes === undefined) return undefined;
      codes = new Set([...codes].filter(passes));
    }
    return codes;
  }

  #filter(property: string, op: string, value: string): ((code: string) => boolean) | undefined {
    switch (op) {
      case 'is-a':
        return (code) => code === value || this.#isUnder(code, value);
      case 'descendent-of':
        return (code) => this.#isUnder(code, value);
      case 'is-not-a':
        return (code) => code !== value && !this.#isUnder(code, value);
      case 'in':
        return property === 'code' || property === 'concept' ? (code) => value.split(',').includes(code) : undefined;
      case '=':
        return (code) =>
          this.#properties.get(code)?.some((entry) => entry.code === property && entry.valueCode === value) ?? false;
      default:
        return undefined;
    }
  }

  #isUnder(code: string, ancestor: string, seen: Set<string> = new Set()): boolean {
    seen.add(code);
    for (const parent of this.#parents.get(code) ?? []) {
      if (parent === ancestor) return true;
      if (!seen.has(parent) && this.#isUnder(parent, ancestor, seen)) return true;
    }
    return false;
  }
}
