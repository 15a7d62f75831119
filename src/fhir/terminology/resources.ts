/**
 * The code systems, value sets and concept maps that questions are answered from, by canonical url.
 *
 * A url without version means its newest active version; `url|version` means that one. What a clinic has stored comes
 * before what is shipped.
 */
import type { CodeSystem, ConceptMap, ValueSet } from '@medplum/fhirtypes';

export type TerminologyResource = CodeSystem | ValueSet | ConceptMap;
export type TerminologyType = TerminologyResource['resourceType'];
export type OfType<T extends TerminologyType> = Extract<TerminologyResource, { resourceType: T }>;

/** A state of the terminology: the same object as long as nothing was written, so what is made from it may be kept. */
export type TerminologyResources = {
  find<T extends TerminologyType>(type: T, url: string, version?: string): Promise<OfType<T> | undefined>;
  /** A stored one, by its id. */
  byId<T extends TerminologyType>(type: T, id: string): Promise<OfType<T> | undefined>;
  /** The code system whose `valueSet` is this url: the value set of all its codes. */
  systemOfAllCodes(valueSetUrl: string): Promise<CodeSystem | undefined>;
  /** Every concept map, the clinic's own first. */
  conceptMaps(): Promise<readonly ConceptMap[]>;
  /** What is known of every code system, supplements too, without reading them. */
  codeSystems(): Promise<readonly CodeSystemHead[]>;
  /** Code systems with `content` supplement that add to this one. */
  supplements(systemUrl: string): Promise<readonly CodeSystem[]>;
};

export type CodeSystemHead = {
  readonly url: string;
  readonly version: string | undefined;
  /** 'complete', 'not-present', … */
  readonly content: string;
};

/** What is known of a resource without reading it. */
export type Edition = {
  readonly type: TerminologyType;
  readonly url: string;
  readonly version: string | undefined;
  readonly status: string | undefined;
  /** Larger is newer where versions do not say. */
  readonly order: number;
};

/** The edition that a canonical means; undefined where there is none. */
export function chosenEdition<E extends Edition>(editions: readonly E[], version: string | undefined): E | undefined {
  const candidates = version === undefined ? editions : editions.filter((edition) => edition.version === version);
  return [...candidates].sort(newestFirst)[0];
}

const STATUS_RANK: Readonly<Record<string, number>> = { active: 0, draft: 1, unknown: 2, retired: 3 };

function newestFirst(a: Edition, b: Edition): number {
  const byStatus = (STATUS_RANK[a.status ?? ''] ?? 2) - (STATUS_RANK[b.status ?? ''] ?? 2);
  return byStatus || compareVersions(b.version, a.version) || b.order - a.order;
}

/** Parts that are numbers compare as numbers: 10.0 is after 9.1. */
function compareVersions(a = '', b = ''): number {
  return a.localeCompare(b, 'en', { numeric: true });
}

export function splitCanonical(canonical: string): { url: string; version: string | undefined } {
  const bar = canonical.indexOf('|');
  if (bar < 0) return { url: canonical, version: undefined };
  return { url: canonical.slice(0, bar), version: canonical.slice(bar + 1) || undefined };
}

/** First what `first` has, then what `second` has. */
export function joined(first: TerminologyResources, second: TerminologyResources): TerminologyResources {
  return {
    find: async (type, url, version) => (await first.find(type, url, version)) ?? second.find(type, url, version),
    byId: async (type, id) => (await first.byId(type, id)) ?? second.byId(type, id),
    systemOfAllCodes: async (url) => (await first.systemOfAllCodes(url)) ?? second.systemOfAllCodes(url),
    conceptMaps: async () => [...(await first.conceptMaps()), ...(await second.conceptMaps())],
    codeSystems: async () => [...(await first.codeSystems()), ...(await second.codeSystems())],
    supplements: async (url) => [...(await first.supplements(url)), ...(await second.supplements(url))],
  };
}
