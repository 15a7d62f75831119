import type { Resource, StructureDefinition } from '@medplum/fhirtypes';
import { type Issue, issue } from '../failure.ts';
import { splitCanonical } from '../terminology/resources.ts';
import { compareVersions } from './versions.ts';

type Canonical = Resource & { readonly url?: string; readonly version?: string };

/** Definitions of packages by canonical url; of several versions the newest first. */
export class Editions {
  readonly #byUrl = new Map<string, Canonical[]>();
  /** Those that are there twice, and are not the same. */
  readonly repeated: readonly Issue[];

  constructor(resources: readonly Resource[]) {
    const repeated: Issue[] = [];
    for (const resource of resources as readonly Canonical[]) {
      const { url, version } = resource;
      // What cannot be named is found by nobody; whether it must have a name is not asked here.
      if (typeof url !== 'string' || (version !== undefined && typeof version !== 'string')) continue;
      const others = this.#byUrl.get(url) ?? [];
      const same = others.find((other) => other.version === version);
      if (same === undefined) {
        const all = [...others, resource].sort((a, b) => compareVersions(b.version, a.version));
        this.#byUrl.set(url, all);
      } else if (JSON.stringify(same) !== JSON.stringify(resource)) {
        const name = version === undefined ? url : `${url}|${version}`;
        repeated.push(issue('duplicate', `${name} is defined twice, and not in the same way: leave one out`));
      }
    }
    this.repeated = repeated;
  }

  has(canonical: string): boolean {
    return this.#find(canonical) !== undefined;
  }

  structure(canonical: string): StructureDefinition | undefined {
    const found = this.#find(canonical);
    return found?.resourceType === 'StructureDefinition' ? found : undefined;
  }

  /** With the version that is here, where it says none and one is. */
  pinned(canonical: string): string {
    if (canonical.includes('|')) return canonical;
    const version = this.#find(canonical)?.version;
    return version === undefined ? canonical : `${canonical}|${version}`;
  }

  #find(canonical: string): Canonical | undefined {
    const { url, version } = splitCanonical(canonical);
    const editions = this.#byUrl.get(url);
    return version === undefined ? editions?.[0] : editions?.find((each) => each.version === version);
  }
}
