/**
 * The profiles that a clinic holds its resources to: those of our own guide and of the packages that it has loaded.
 *
 * A set is one state of them. It is never changed; another one takes its place as a whole, so that nothing is validated
 * with half of a package. What is written carries the generation of the set that it was checked with, and the statement
 * that writes it looks whether that is still in force (OtherProfiles): a package that was added counts for every process
 * from its commit on, and nobody is told of it (decision 0083).
 */
import type { ProfileSource, Profiles } from '../fhir/profiles/registry.ts';
import type { Validator } from '../fhir/validation/validator.ts';
import {
  type ProfileStore,
  packageKey,
  type StoredPackage,
  type StoredPolicy,
  type StoredProfiles,
  type Strictness,
} from './packages.ts';

/** Validation with our own guide and some packages. */
export type CompiledProfiles = {
  readonly profiles: Profiles;
  /** What each package brings. */
  readonly contents: readonly ProfileSource[];
  readonly validator: Validator;
};

/** Clinics with the same packages share what is compiled from them. */
export type ProfileCompiler = {
  /**
   * @param digestOf what is stored of a package; asked only where it is not at hand
   * @param unreadable told of a package that another version of the service has stored in another form, which is left out
   * @throws Failure `conflict` for such a package where nobody is to be told
   */
  compiled(
    packages: readonly StoredPackage[],
    digestOf: (one: StoredPackage) => Promise<string>,
    unreadable?: (one: StoredPackage) => void,
  ): Promise<CompiledProfiles>;
  /** Whether a canonical, with or without version, is of our own guide. */
  isOwn(profile: string): boolean;
};

export type ProfileSet = CompiledProfiles & {
  /** Held here as long as the set is in use: other clinics with the same packages find it by that (profile-compiler.ts). */
  readonly compiled: CompiledProfiles;
  readonly generation: string;
  readonly packages: readonly StoredPackage[];
  readonly policies: readonly StoredPolicy[];
  /** The package, as `name#version`, that a resource ('Type/id') is a definition of. */
  packageOf(reference: string): string | undefined;
  /** @param profile canonical, with or without version */
  strictnessOf(profile: string): Strictness;
};

export type ClinicProfiles = {
  /** As this process knows it. Good for what is written: that is refused as OtherProfiles where it has changed. */
  current(): ProfileSet;
  /** Of now: the database is asked whether it has changed. The same object where it has not. */
  latest(): Promise<ProfileSet>;
};

export type ProfileOptions = {
  /** Told of each set that takes the place of another. */
  readonly changed?: (set: ProfileSet) => void;
  /** As for ProfileCompiler.compiled: for whoever is to remove such a package. */
  readonly unreadable?: (one: StoredPackage) => void;
};

export async function openClinicProfiles(
  store: ProfileStore,
  compiler: ProfileCompiler,
  options: ProfileOptions = {},
): Promise<ClinicProfiles> {
  let current = await load(store, compiler, options);
  let refreshing: Promise<ProfileSet> | undefined;

  const refresh = async (): Promise<ProfileSet> => {
    if ((await store.generation()) === current.generation) return current;
    current = await load(store, compiler, options);
    options.changed?.(current);
    return current;
  };

  return {
    current: () => current,
    async latest() {
      // What is under way may have asked before our caller came: it is waited for, and asked again.
      await refreshing?.catch(() => undefined);
      refreshing ??= refresh().finally(() => {
        refreshing = undefined;
      });
      return refreshing;
    },
  };
}

/** A package that goes away while its digest is read makes another generation: the whole is read anew. */
const ATTEMPTS = 5;

async function load(
  store: ProfileStore,
  compiler: ProfileCompiler,
  { unreadable }: ProfileOptions,
): Promise<ProfileSet> {
  for (let left = ATTEMPTS; ; left -= 1) {
    const stored = await store.read();
    try {
      const digestOf = async (one: StoredPackage) => {
        const digest = await store.digest(one);
        if (digest === undefined) throw new Gone(`${one.name}#${one.version} was removed`);
        return digest;
      };
      const compiled = await compiler.compiled(stored.packages, digestOf, unreadable);
      return setOf(stored, compiled, compiler);
    } catch (error) {
      if (!(error instanceof Gone) || left === 1) throw error;
    }
  }
}

class Gone extends Error {
  override readonly name = 'Gone';
}

function setOf(stored: StoredProfiles, compiled: CompiledProfiles, { isOwn }: ProfileCompiler): ProfileSet {
  const definitions = new Map(
    stored.packages.flatMap((one) => one.resources.map((reference) => [reference, packageKey(one)] as const)),
  );
  const said = new Map(stored.policies.map(({ profile, strictness }) => [profile, strictness]));
  return {
    ...compiled,
    ...stored,
    compiled,
    packageOf: (reference) => definitions.get(reference),
    strictnessOf: (profile) => said.get(withoutVersion(profile)) ?? (isOwn(profile) ? 'reject' : 'warn'),
  };
}

/** The canonical of a profile without `|version`. */
export function withoutVersion(canonical: string): string {
  const bar = canonical.indexOf('|');
  return bar < 0 ? canonical : canonical.slice(0, bar);
}
