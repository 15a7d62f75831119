/** Packages of profiles that a clinic has loaded, and how strictly it means each profile, as they are stored. */

/**
 * What becomes of imported history that does not meet a profile that it claims: it is refused, stored with a warning, or
 * stored and tagged. What is written live is always refused.
 */
export type Strictness = 'reject' | 'warn' | 'tag';

export const STRICTNESSES: readonly Strictness[] = ['reject', 'warn', 'tag'];

export type StoredPackage = {
  readonly name: string;
  readonly version: string;
  /** Of the .tgz, in hex. */
  readonly sha256: string;
  readonly title: string | null;
  /** canonical|version of its ImplementationGuide. */
  readonly guide: string | null;
  /** 'Type/id' of its definitions in the record. */
  readonly resources: readonly string[];
  /** 'name#version' of the packages that its definitions build upon. */
  readonly needs: readonly string[];
  readonly addedAt: Date;
  readonly addedBy: string;
};

/** `digest`: what is validated with, as JSON. */
export type NewPackage = Omit<StoredPackage, 'addedAt'> & { readonly digest: string };

export type StoredPolicy = {
  /** Canonical, without version. */
  readonly profile: string;
  readonly strictness: Strictness;
  readonly setAt: Date;
  readonly setBy: string;
};

/** All of one moment. */
export type StoredProfiles = {
  /** Another one after each change of packages or policies. */
  readonly generation: string;
  readonly packages: readonly StoredPackage[];
  readonly policies: readonly StoredPolicy[];
};

/** src/postgres/profiles.ts provides it. */
export type ProfileStore = {
  generation(): Promise<string>;
  read(): Promise<StoredProfiles>;
  /** Undefined when the package is not loaded, or was replaced. */
  digest(packaged: Pick<StoredPackage, 'name' | 'version' | 'sha256'>): Promise<string | undefined>;
};

/** `name#version`, as FHIR's package tools write it. */
export function packageKey({ name, version }: { readonly name: string; readonly version: string }): string {
  return `${name}#${version}`;
}
