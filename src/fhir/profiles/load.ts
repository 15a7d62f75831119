/**
 * What a clinic keeps of a package: its profiles with their snapshots, and the value sets that they bind to, as one
 * JSON text. Made once, when the package is added; a start only reads it.
 *
 * All or nothing: what is broken in any definition refuses all packages that are added together, with every reason.
 * What a package needs of others that are not here is noted where its own definitions say enough without them.
 */
import type { ElementDefinition, StructureDefinition } from '@medplum/fhirtypes';
import type { ValueSetDigest } from '../definitions/value-sets.ts';
import type { Definitions } from '../definitions.ts';
import { Failure, type Issue, issue } from '../failure.ts';
import { splitCanonical } from '../terminology/resources.ts';
import { createValidator } from '../validation/validator.ts';
import { baseFaults } from './base-faults.ts';
import { baseStructures, isVersionOfR4 } from './base-structures.ts';
import { boundValueSets } from './bindings.ts';
import { CANONICAL_URL_WORDS, hasShape, isCanonicalUrl } from './definition-shape.ts';
import { type AddedPackage, type Dependencies, dependenciesOf } from './dependencies.ts';
import { Editions } from './editions.ts';
import { Faults } from './faults.ts';
import type { Profile, ProfileElement } from './model.ts';
import type { FhirPackage } from './package.ts';
import { type PackedProfiles, packProfiles, unpackProfiles } from './packed.ts';
import { profileOf, withoutProse } from './profile.ts';
import { isLeftOut } from './published-errata.ts';
import { type ProfileSource, type Profiles, profilesOf } from './registry.ts';
import { withSnapshot } from './snapshot.ts';
import { digestValueSets, isTerminology } from './value-sets.ts';

export type LoadContext = {
  readonly definitions: Definitions;
  /** What is known already: shipped, and of packages added before. */
  readonly known: Profiles;
  /** Definitions of packages added before and of the guide, by canonical url with or without version. */
  definition(canonical: string): StructureDefinition | undefined;
  /** Packages added before: what canonicals without version mean in those that depend on them. */
  readonly added?: readonly AddedPackage[];
  /** Why the compiler cannot compile a profile; nothing when it can. `profiles` has all that the packages bring. */
  compile?(profile: Profile, profiles: Profiles): readonly Issue[];
  progress?(words: string): void;
};

export type DigestedPackage = {
  readonly source: ProfileSource;
  /** `name#version` of packages that it depends on and that are not here. */
  readonly absent: readonly string[];
  /** Canonicals that its profiles name and that nobody here has: those parts are not checked. */
  readonly unresolved: readonly string[];
  /** Definitions that are no profiles, files that are no definitions, and why they are passed over. */
  readonly passedOver: readonly string[];
};

/** @throws Failure `business-rule` with every reason of every definition */
export function digestPackages(packages: readonly FhirPackage[], context: LoadContext): readonly DigestedPackage[] {
  const issues: Issue[] = [];
  const editions = new Editions(packages.flatMap(({ resources }) => resources));
  issues.push(...editions.repeated);
  const base = baseStructures();
  const parents = (canonical: string) =>
    editions.structure(canonical) ?? context.definition(canonical) ?? base(canonical);
  const sources = packages.map((one) => {
    context.progress?.(`reading the profiles of ${one.name}#${one.version}`);
    const passedOver = (one.otherFiles ?? []).map((file) => `${file}: no resource of FHIR`);
    const dependencies = dependenciesOf(one, [...packages, ...(context.added ?? [])]);
    const profiles = profilesIn(one, { context, editions, parents, issues, passedOver, dependencies });
    return { one, passedOver, dependencies, source: sourceOf(one, profiles) };
  });
  const read = profilesOf(
    sources.map(({ source }) => source),
    context.known,
  );
  for (const { profiles } of sources.map(({ source }) => source)) {
    for (const profile of profiles) issues.push(...baseFaults(profile, context.definitions, read));
  }
  issues.push(...terminologyFaults(packages, context));
  refuse(issues);
  const digested = sources.map(({ one, passedOver, dependencies, source }) => {
    context.progress?.(`reading the value sets of ${one.name}#${one.version}`);
    const valueSets = valueSetsOf(source.profiles, one, dependencies, context);
    return { absent: dependencies.absent, passedOver, source: { ...source, valueSets } };
  });
  const all = profilesOf(
    digested.map(({ source }) => source),
    context.known,
  );
  compileAll(
    digested.map(({ source }) => source),
    all,
    context,
  );
  return digested.map(({ absent, passedOver, source }) => ({
    source,
    absent,
    unresolved: unresolvedIn(source.profiles, all, context.definitions),
    passedOver,
  }));
}

/** More reasons than anybody reads at once. */
const MAX_REASONS = 200;

/** @throws Failure `business-rule` when there are issues */
function refuse(issues: readonly Issue[]): void {
  if (issues.length === 0) return;
  const more = issues.length - MAX_REASONS;
  if (more <= 0) throw new Failure('business-rule', issues);
  const rest: Issue = { severity: 'information', code: 'incomplete', diagnostics: `There are ${more} more reasons` };
  throw new Failure('business-rule', [...issues.slice(0, MAX_REASONS), rest]);
}

type Reading = {
  readonly context: LoadContext;
  readonly editions: Editions;
  readonly parents: (canonical: string) => StructureDefinition | undefined;
  readonly dependencies: Dependencies;
  readonly issues: Issue[];
  readonly passedOver: string[];
};

function profilesIn(one: FhirPackage, reading: Reading): Profile[] {
  const profiles: Profile[] = [];
  for (const resource of one.resources) {
    if (resource.resourceType !== 'StructureDefinition') continue;
    const reason = noProfile(resource, reading.context);
    if (reason !== undefined) {
      reading.passedOver.push(`${typeof resource.url === 'string' ? resource.url : 'without url'}: ${reason}`);
      continue;
    }
    try {
      profiles.push(withoutProse(profileIn(resource, reading)));
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      reading.issues.push(...error.issues);
    }
  }
  return profiles;
}

const R4_VERSION = '4.0.1';
const R4_BASE = 'http://hl7.org/fhir/StructureDefinition/';

/** Only where it says so itself: what is neither is refused later. */
function noProfile(
  { url, version, kind, derivation }: StructureDefinition,
  { known }: LoadContext,
): string | undefined {
  if (kind === 'logical') return 'a logical model: no resource is validated by it';
  const isOfR4 = version === R4_VERSION && typeof url === 'string' && url.startsWith(R4_BASE);
  if (isOfR4 && (isLeftOut(url) || known.profile(`${url}|${version}`) !== undefined)) {
    return 'R4 itself, which is here already';
  }
  return derivation === 'specialization' ? 'a type of its own: R4 has all types of resources' : undefined;
}

function profileIn(definition: StructureDefinition, reading: Reading): Profile {
  const { parents, dependencies } = reading;
  const pin = (canonical: string) => dependencies.pinned(canonical);
  refuseShape(definition);
  parentFaults(definition, reading);
  const complete =
    definition.snapshot === undefined ? withSnapshot(definition, (canonical) => parents(pin(canonical))) : definition;
  return profileOf(pinned(complete, pin));
}

/** What is wrong with the code systems and value sets by R4: whoever reads them further relies on their form. */
function terminologyFaults(packages: readonly FhirPackage[], { definitions }: LoadContext): Issue[] {
  const { validate } = createValidator(definitions);
  return packages
    .flatMap(({ resources }) => resources)
    .filter(isTerminology)
    .flatMap((resource) => {
      const { resourceType, url }: { resourceType: string; url?: unknown } = resource;
      const name = typeof url === 'string' ? url : `a ${resourceType} without url`;
      const faults = validate(resource).map((each) => ({ ...each, diagnostics: `${name}: ${each.diagnostics}` }));
      if (faults.length > 0 || typeof url !== 'string' || isCanonicalUrl(url)) return faults;
      return [issue('value', `${name}: ${CANONICAL_URL_WORDS}`, `${resourceType}.url`)];
    });
}

/** It may be any JSON so far. */
function refuseShape(definition: StructureDefinition): void {
  const faults = new Faults(typeof definition.url === 'string' ? definition.url : 'a StructureDefinition without url');
  hasShape(definition, definition.snapshot === undefined ? 'differential' : 'snapshot', faults);
  faults.refuse();
}

/**
 * A definition with a snapshot says all that is needed, so its parent may be in a package that it depends on and that
 * is not here. A parent that nobody can have, or parents in a circle, are a mistake all the same.
 */
function parentFaults(definition: StructureDefinition, reading: Reading): void {
  const { context, editions, dependencies } = reading;
  const { absent } = dependencies;
  const way: string[] = [];
  for (let at: StructureDefinition | undefined = definition; at !== undefined; ) {
    const key: string = `${at.url}|${at.version ?? ''}`;
    const isCircle = way.includes(key);
    way.push(key);
    if (isCircle) {
      const names = way.slice(-MAX_NAMED).join(' -> ');
      refuse([fault(definition, `its parents lead back to itself (${names}): one of them needs another parent`)]);
    }
    if (typeof at.baseDefinition !== 'string') break;
    const base: string = dependencies.pinned(at.baseDefinition);
    const parent: StructureDefinition | undefined = editions.structure(base) ?? context.definition(base);
    const isKnown = parent !== undefined || isKnownHere(base, context);
    if (!isKnown && context.definitions.structure(base) !== undefined) {
      const words = `its parent ${base} is of another release than R4: leave the version out, or take |4.0.1`;
      refuse([fault(definition, words)]);
    }
    if (!isKnown && (definition.snapshot === undefined || absent.length === 0)) {
      const hint = absent.length === 0 ? '' : ` (it depends on ${absent.join(', ')}, which are not here)`;
      const words = `its parent ${base} is not known${hint}: add the package that has it first, or together with this one`;
      refuse([fault(definition, words)]);
    }
    at = parent;
  }
}

const MAX_NAMED = 6;

function fault({ url }: StructureDefinition, words: string): Issue {
  return issue('business-rule', `${url}: ${words}`, 'StructureDefinition.baseDefinition');
}

/** R4's types in its own version, and profiles. */
function isKnownHere(canonical: string, { definitions, known }: Pick<LoadContext, 'definitions' | 'known'>): boolean {
  const { version } = splitCanonical(canonical);
  const isOfR4 = version === undefined || isVersionOfR4(version);
  return (isOfR4 && definitions.structure(canonical) !== undefined) || known.profile(canonical) !== undefined;
}

/** With the edition of everything that it names. */
function pinned(definition: StructureDefinition, pin: (canonical: string) => string): StructureDefinition {
  const element = (definition.snapshot?.element ?? []).map((each) => pinnedElement(each, pin));
  return { ...definition, snapshot: { ...definition.snapshot, element } };
}

function pinnedElement(element: ElementDefinition, pin: (canonical: string) => string): ElementDefinition {
  const { type, binding } = element;
  // A primitive with extensions alone has null in its place.
  const pinAll = (list: readonly string[]) =>
    list.map((each: string | null) => (each === null ? each : pin(each)) as string);
  const types = type?.map(({ profile, targetProfile, ...rest }) => ({
    ...rest,
    ...(profile === undefined ? {} : { profile: pinAll(profile) }),
    ...(targetProfile === undefined ? {} : { targetProfile: pinAll(targetProfile) }),
  }));
  const valueSet = binding?.valueSet;
  return {
    ...element,
    ...(types === undefined ? {} : { type: types }),
    ...(binding !== undefined && valueSet !== undefined ? { binding: { ...binding, valueSet: pin(valueSet) } } : {}),
  };
}

function sourceOf({ name, version, canonical, title }: FhirPackage, profiles: readonly Profile[]): ProfileSource {
  return {
    name,
    version,
    ...(canonical === undefined ? {} : { canonical }),
    ...(title === undefined ? {} : { title }),
    profiles,
    valueSets: [],
  };
}

/** Those that R4 itself binds to are at hand anyway, unless the package or what it depends on defines them anew. */
function valueSetsOf(
  profiles: readonly Profile[],
  one: FhirPackage,
  dependencies: Dependencies,
  { definitions }: LoadContext,
): readonly ValueSetDigest[] {
  const bound = boundValueSets(profiles).filter(
    (url) => dependencies.has(url) || definitions.valueSet(url) === undefined,
  );
  return digestValueSets(bound, [...one.resources, ...dependencies.resources]);
}

function compileAll(sources: readonly ProfileSource[], all: Profiles, context: LoadContext): void {
  if (context.compile === undefined) return;
  const issues: Issue[] = [];
  for (const { name, version, profiles } of sources) {
    context.progress?.(`compiling ${profiles.length} profiles of ${name}#${version}`);
    for (const profile of profiles) issues.push(...context.compile(profile, all));
  }
  refuse(issues);
}

function unresolvedIn(profiles: readonly Profile[], all: Profiles, definitions: Definitions): string[] {
  const named = new Set<string>();
  for (const { root, base } of profiles) {
    named.add(base);
    collectNamed(root, named);
  }
  return [...named].filter((each) => !isKnownHere(each, { definitions, known: all })).sort();
}

function collectNamed({ types, children, slices }: ProfileElement, named: Set<string>): void {
  for (const { profiles = [], targets = [] } of types) for (const each of [...profiles, ...targets]) named.add(each);
  for (const below of children) collectNamed(below, named);
  for (const slice of slices) collectNamed(slice, named);
}

// ---- as a text

/** Raise when what is stored can no longer be read by older readers, or lacks what newer ones need. */
const FORMAT = 1;

type Packed = Omit<ProfileSource, 'profiles'> & { readonly format: number; readonly packed: PackedProfiles };

export function packSource({ profiles, ...source }: ProfileSource): string {
  return JSON.stringify({ format: FORMAT, ...source, packed: packProfiles(profiles) } satisfies Packed);
}

/** @throws Failure `conflict` for a text that another version of the service wrote in another form */
export function unpackSource(text: string): ProfileSource {
  const { format, packed, ...source } = JSON.parse(text) as Packed;
  if (format !== FORMAT) {
    const words = `${source.name}#${source.version} was added by another version of kap-bridge: add the package again`;
    throw new Failure('conflict', issue('business-rule', words));
  }
  return { ...source, profiles: unpackProfiles(packed) };
}
