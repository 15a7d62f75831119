/** What validates a clinic's resources, made from our guide and its packages; one for all clinics with the same packages. */
import type { Definitions } from '../fhir/definitions.ts';
import { Failure } from '../fhir/failure.ts';
import { unpackSource } from '../fhir/profiles/load.ts';
import { type ProfileSource, profilesOf } from '../fhir/profiles/registry.ts';
import { shippedProfiles } from '../fhir/profiles/shipped.ts';
import type { ValidatorCache } from '../fhir/validation/code-cache.ts';
import { createValidator, type Validator } from '../fhir/validation/validator.ts';
import { type CompiledProfiles, type ProfileCompiler, withoutVersion } from './clinic-profiles.ts';
import type { StoredPackage } from './packages.ts';

/** @param shipped validates with our guide alone */
export function profileCompiler(definitions: Definitions, shipped: Validator, cache: ValidatorCache): ProfileCompiler {
  const sources = new Shared<ProfileSource>();
  const sets = new Shared<CompiledProfiles>();
  let ownUrls: ReadonlySet<string> | undefined;
  return {
    async compiled(packages, digestOf, unreadable) {
      const read = await Promise.all(
        packages.map(async (one) => {
          try {
            return await sources.of(keyOf(one), async () => unpackSource(await digestOf(one)));
          } catch (error) {
            if (!(error instanceof Failure) || unreadable === undefined) throw error;
            unreadable(one);
            return undefined;
          }
        }),
      );
      const readable = packages.filter((_, at) => read[at] !== undefined);
      const guide = shippedProfiles();
      if (readable.length === 0) return { profiles: guide, contents: [], validator: shipped };
      return sets.of(readable.map(keyOf).join(' '), async () => {
        const contents = read.filter((each) => each !== undefined);
        const profiles = profilesOf(contents, guide);
        return { profiles, contents, validator: createValidator(definitions, profiles, cache) };
      });
    },
    isOwn(profile) {
      ownUrls ??= new Set(
        shippedProfiles()
          .all()
          .map(({ url }) => url),
      );
      return ownUrls.has(withoutVersion(profile));
    },
  };
}

function keyOf({ name, version, sha256 }: StoredPackage): string {
  return `${name}#${version}:${sha256}`;
}

/** Values that are made once and kept as long as somebody uses them. */
class Shared<T extends object> {
  readonly #known = new Map<string, WeakRef<T>>();
  readonly #making = new Map<string, Promise<T>>();

  of(key: string, make: () => Promise<T>): Promise<T> {
    const known = this.#known.get(key)?.deref();
    if (known !== undefined) return Promise.resolve(known);
    const making = this.#making.get(key) ?? this.#make(key, make);
    this.#making.set(key, making);
    return making;
  }

  async #make(key: string, make: () => Promise<T>): Promise<T> {
    try {
      const made = await make();
      for (const [other, reference] of this.#known) if (reference.deref() === undefined) this.#known.delete(other);
      this.#known.set(key, new WeakRef(made));
      return made;
    } finally {
      this.#making.delete(key);
    }
  }
}
