/**
 * Validation of a resource against base R4 and against profiles.
 *
 * Base R4 is one check per type (schema.ts); a profile is a check of what it adds (profile/profile-schema.ts). Both are
 * Ajv code, loaded from disk or compiled on first use (checks.ts). Findings come all at once, up to the first
 * MAX_FINDINGS; time and memory are bounded by the size of the input.
 */
import type { Definitions } from '../definitions.ts';
import { type Issue, issue } from '../failure.ts';
import type { Profiles } from '../profiles/registry.ts';
import { baseChecks } from './base-checks.ts';
import type { Beside } from './beside.ts';
import type { ValidatorCache } from './code-cache.ts';
import type { FhirNode } from './invariants/invariant.ts';
import { profileChecks } from './profile/profile-checks.ts';
import { Run } from './run.ts';
import { MAX_FINDINGS } from './type-check.ts';

/** Of a profile, where `profile` says which. */
export type ProfileIssue = Issue;

export type Validator = {
  /**
   * Everything that is wrong with `resource` by base R4 alone, in document order; empty when it is valid.
   *
   * Never throws for a JSON value. `place` stands for the resource in expressions ('Bundle.entry[2].resource'); by
   * default its type.
   */
  validate(resource: unknown, place?: string): readonly Issue[];
  /**
   * Base R4, the profiles asked for, and those that the resource and the resources inside it claim in meta.profile.
   * Extensions whose definition is known are held to it, and references are followed to what is at hand.
   *
   * Never throws for a JSON value. An issue that a profile makes has the profile's canonical with its version; of a
   * profile that a type or a target names below, that of the profile that was claimed or asked for.
   */
  check(resource: unknown, options?: CheckOptions): readonly Issue[];
  /** Whether all checks are on disk: to compile them takes seconds, and memory that stays with the process. */
  isKept(): boolean;
  /** Compiles what the cache does not have, a little at a time between other work, and keeps it on disk. */
  prepare(): Promise<void>;
};

export type CheckOptions = {
  readonly place?: string;
  /** Canonicals asked for, of the outermost resource; one that is not known is passed over. */
  readonly profiles?: readonly string[];
  /** Whether meta.profile counts, of the resource and of those inside it; true by default. */
  readonly claimed?: boolean;
  /** Also what is worth a warning or an information; false by default. */
  readonly warnings?: boolean;
  /** What references may lead to besides what is inside: the other resources of a transaction. */
  readonly beside?: Beside;
  /** The fullUrl of the resource among those. */
  readonly fullUrl?: string;
};

/** Deeper than any real resource, and shallow enough for every recursion here. */
export const MAX_DEPTH = 64;

const AND_MORE: Issue = {
  severity: 'information',
  code: 'incomplete',
  diagnostics: `These are the first ${MAX_FINDINGS} issues; there may be more`,
};

export function createValidator(definitions: Definitions, profiles?: Profiles, cache?: ValidatorCache): Validator {
  const base = baseChecks(definitions, cache);
  const own = profileChecks({ definitions, profiles, cache, base });
  return {
    validate(resource, place) {
      return bounded(resource, place, () => new Run({ definitions, base }).of(resource, place));
    },
    check(resource, options = {}) {
      const run = (warnings: boolean) =>
        bounded(resource, options.place, () =>
          new Run({ definitions, base, own, ...options, warnings }).of(resource, options.place),
        );
      const errors = run(false);
      if (options.warnings !== true || errors.length > MAX_FINDINGS) return errors;
      const all = run(true);
      // So many warnings that errors might be missing among them.
      return all.length > MAX_FINDINGS ? [...errors, ...all.filter(({ severity }) => severity !== 'error')] : all;
    },
    isKept: () => base.isKept() && own.isKept(),
    async prepare() {
      await base.prepare();
      await own.prepare();
    },
  };
}

function bounded(resource: unknown, place: string | undefined, run: () => readonly Issue[]): readonly Issue[] {
  if (isTooDeep(resource, MAX_DEPTH)) {
    return [issue('too-costly', `The resource is nested deeper than ${MAX_DEPTH} levels`, place)];
  }
  const issues = run();
  return issues.length < MAX_FINDINGS ? issues : [...issues.slice(0, MAX_FINDINGS), AND_MORE];
}

function isTooDeep(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (levels === 0) return true;
  if (Array.isArray(value)) {
    for (const item of value) if (isTooDeep(item, levels - 1)) return true;
    return false;
  }
  for (const key in value) if (isTooDeep((value as FhirNode)[key], levels - 1)) return true;
  return false;
}
