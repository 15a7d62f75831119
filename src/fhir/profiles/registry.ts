/** The profiles that are known in one place: those of our guide and of the packages that a clinic has loaded. */

import type { ValueSetDigest } from '../definitions/value-sets.ts';
import { type ValueSet, valueSetOf } from '../definitions.ts';
import type { Profile } from './model.ts';
import { compareVersions, isVersionOf } from './versions.ts';

export type Profiles = {
  /**
   * By canonical url. Without version: the newest by semantic versioning. `|6.1.0`: that one; `|6.1`: that one, or the
   * newest 6.1.x.
   */
  profile(canonical: string): Profile | undefined;
  /**
   * A value set that a binding of these profiles names, as it names it; undefined when it is not known here: ask the
   * definitions of R4.
   */
  valueSet(canonical: string): ValueSet | undefined;
  /** Every version of all profiles of the guide and of the packages; those that R4 itself publishes are not among them. */
  all(): readonly Profile[];
};

/** The digest of one package, or of the guide. */
export type ProfileSource = {
  readonly name: string;
  readonly version: string;
  readonly canonical?: string;
  readonly title?: string;
  readonly profiles: readonly Profile[];
  /** Of the bindings; `url` is the canonical as the bindings have it. */
  readonly valueSets: readonly ValueSetDigest[];
};

/**
 * Of profiles with the same url and version the later source's is taken. What the sources do not have is asked of
 * `below`, such as shippedProfiles().
 */
export function profilesOf(sources: readonly ProfileSource[], below?: Profiles): Profiles {
  const editions = new Map<string, Profile[]>();
  for (const profile of sources.flatMap(({ profiles }) => profiles)) {
    const others = (editions.get(profile.url) ?? []).filter(({ version }) => version !== profile.version);
    editions.set(profile.url, [profile, ...others].sort(newestFirst));
  }
  const digests = new Map(sources.flatMap(({ valueSets }) => valueSets).map((digest) => [digest.url, digest]));
  const valueSets = new Map<string, ValueSet>();
  const own = [...editions.values()].flat();

  return {
    profile(canonical) {
      const bar = canonical.indexOf('|');
      const url = bar < 0 ? canonical : canonical.slice(0, bar);
      const wanted = bar < 0 ? undefined : canonical.slice(bar + 1);
      return chosen(editions.get(url) ?? [], wanted) ?? below?.profile(canonical);
    },
    valueSet(canonical) {
      const present = valueSets.get(canonical);
      if (present !== undefined) return present;
      const digest = digests.get(canonical);
      if (digest === undefined || digest.unknown) return below?.valueSet(canonical);
      const valueSet = valueSetOf(digest);
      valueSets.set(canonical, valueSet);
      return valueSet;
    },
    all: () => [...own, ...(below?.all() ?? [])],
  };
}

function chosen(newest: readonly Profile[], wanted: string | undefined): Profile | undefined {
  if (wanted === undefined || wanted === '') return newest[0];
  return (
    newest.find(({ version }) => version === wanted) ??
    newest.find(({ version }) => version !== undefined && isVersionOf(version, wanted))
  );
}

function newestFirst(a: Profile, b: Profile): number {
  return compareVersions(b.version, a.version);
}
