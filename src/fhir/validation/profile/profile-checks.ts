/** The checks of the profiles that are known in one place, above those of base R4. */
import { createHash } from 'node:crypto';
import type { Definitions, ValueSet } from '../../definitions.ts';
import { type Issue, issue } from '../../failure.ts';
import type { Profile, ProfileElement } from '../../profiles/model.ts';
import type { Profiles } from '../../profiles/registry.ts';
import { usCoreType } from '../../us-core-profiles.ts';
import type { BaseChecks } from '../base-checks.ts';
import { createChecks, sharedCompiler } from '../checks.ts';
import type { ValidatorCache } from '../code-cache.ts';
import { evaluate } from '../compile.ts';
import { createRuntime, type Runtime } from '../runtime.ts';
import type { TypeCheck } from '../type-check.ts';
import { type Conformance, createConformance } from './conformance.ts';
import { definitionFaults } from './definition-faults.ts';
import type { Known } from './known.ts';
import { profileSchema } from './profile-schema.ts';

export type ProfileChecks = {
  profile(canonical: string): Profile | undefined;
  valueSet(url: string): ValueSet | undefined;
  readonly conformance: Conformance;
  /** The sentence of a constraint by its key and the id of its element. */
  constraint(profile: Profile, key: string, id: string): string | undefined;
  /** Whether all of them are on disk. */
  isKept(): boolean;
  prepare(): Promise<void>;
};

export type ProfileChecksSource = {
  readonly definitions: Definitions;
  readonly profiles: Profiles | undefined;
  readonly cache: ValidatorCache | undefined;
  readonly base: BaseChecks;
};

/** `url|version`, or the url alone where there is no version. */
export function canonicalOf({ url, version }: Profile): string {
  return version === undefined ? url : `${url}|${version}`;
}

export function profileChecks({ definitions, profiles, cache, base }: ProfileChecksSource): ProfileChecks {
  const { state } = base;
  const profile = (canonical: string) => profiles?.profile(canonical);
  const valueSet = (url: string) => profiles?.valueSet(url) ?? definitions.valueSet(url);
  const known: Known = { definitions, profile };
  const byName = new Map<string, Profile>();
  let runtime: Runtime | undefined;
  let isListed = false;

  function named(name: string): Profile {
    const found = byName.get(name) ?? profile(name);
    if (found === undefined) throw new Error(`no profile ${name}`);
    return found;
  }

  const checks = createChecks({
    runtime: () => {
      runtime ??= createRuntime({
        definitions,
        state,
        valueSets: valueSet,
        typeCheck: base.check,
        conformance,
        typeOf: (target) => typeOfTarget(target, known),
      });
      return runtime;
    },
    schemaOf: (name) => profileSchema(named(name), known),
    store: profiles === undefined ? undefined : cache?.store('profiles', contentOf(definitions, profiles)),
  });
  const conformance = createConformance({
    definitions,
    profile,
    state,
    typeCheck: base.check,
    profileCheck: (wanted): TypeCheck => {
      const name = canonicalOf(wanted);
      byName.set(name, wanted);
      return checks.check(name);
    },
  });

  return {
    profile,
    valueSet,
    conformance,
    constraint: (of, key, id) => elementWithId(of.root, id)?.constraints.find((entry) => entry.key === key)?.human,
    isKept: () => profiles === undefined || checks.isKept(),
    async prepare() {
      if (profiles === undefined || isListed) return;
      isListed = true;
      await checks.prepare(reachable(profiles, byName));
    },
  };
}

/**
 * Compiles a profile that may be broken in ways that only show then; empty when it can be used.
 *
 * `profiles` knows it and those that it names.
 */
export function compileProfile(profile: Profile, profiles: Profiles, definitions: Definitions): readonly Issue[] {
  const known: Known = { definitions, profile: (canonical) => profiles.profile(canonical) };
  const faults = definitionFaults(profile, known);
  if (faults.length > 0) return faults;
  try {
    evaluate(sharedCompiler()(profileSchema(profile, known)));
    return [];
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return [issue('processing', `The profile ${canonicalOf(profile)} cannot be compiled: ${reason}`)];
  }
}

/** The type of the resources that a target means; undefined when its profile is not known, or is on resources of many. */
function typeOfTarget(target: string, { definitions, profile }: Known): string | undefined {
  const type = definitions.structure(target)?.type ?? profile(target)?.type ?? usCoreType(target);
  if (type !== undefined && definitions.structure(type)?.abstract === true) return undefined;
  // A type that R4 does not have is no other type.
  return type ?? (target.includes('/') ? undefined : target);
}

/** All that the code of these profiles is made from. */
function contentOf({ hash }: Definitions, profiles: Profiles): string {
  const names = profiles.all().map((profile) => `${canonicalOf(profile)} ${profile.hash}`);
  return createHash('sha256')
    .update(`${hash}\n${names.sort().join('\n')}`)
    .digest('hex');
}

/** All profiles, and those of R4 itself that their types name. */
function reachable(profiles: Profiles, byName: Map<string, Profile>): readonly string[] {
  const names = new Set<string>();
  const open = [...profiles.all()];
  for (let profile = open.pop(); profile !== undefined; profile = open.pop()) {
    const name = canonicalOf(profile);
    if (names.has(name)) continue;
    names.add(name);
    byName.set(name, profile);
    for (const canonical of typeProfiles(profile.root)) {
      const named = profiles.profile(canonical);
      if (named !== undefined) open.push(named);
    }
  }
  return [...names].sort();
}

function* typeProfiles(element: ProfileElement): Generator<string> {
  for (const { profiles = [] } of element.types) yield* profiles;
  for (const below of [...element.children, ...element.slices]) yield* typeProfiles(below);
}

function elementWithId(element: ProfileElement, id: string): ProfileElement | undefined {
  if (element.id === id) return element;
  for (const below of [...element.children, ...element.slices]) {
    // An id begins with those of the elements above it.
    const found = id.startsWith(below.id) ? elementWithId(below, id) : undefined;
    if (found !== undefined) return found;
  }
  return undefined;
}
