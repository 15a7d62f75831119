/**
 * What the CapabilityStatement says of guides: profiles by type, guides and servers that are followed.
 *
 * Profiles that are loaded are enforced. Without a package of US Core its profiles are named all the same: resources that
 * claim them are taken, kept whole and found as US Core asks, and nobody checks the claim.
 */
import { US_CORE_GUIDES, US_CORE_PACKAGE, US_CORE_SERVER, usCoreProfiles } from '../../fhir/us-core-profiles.ts';
import { CANONICAL_BASE } from '../../kap/codes.ts';
import type { ProfileSet } from '../../record/clinic-profiles.ts';

/** Canonicals of the profiles of a type, our own first; with `|version` where several versions are loaded. */
export type SupportedProfiles = (type: string) => readonly string[];

const OWN_GUIDE = `${CANONICAL_BASE}/ImplementationGuide/kap-bridge`;
const OWN_SERVER = `${CANONICAL_BASE}/CapabilityStatement/kap-server`;

export function supportedProfiles(set: ProfileSet): SupportedProfiles {
  const offered = set.profiles.all().filter(({ kind, abstract }) => kind === 'resource' && !abstract);
  const editions = Map.groupBy(offered, ({ url }) => url);
  const byType = Map.groupBy(offered, ({ type }) => type);
  const isOwn = (url: string) => url.startsWith(`${CANONICAL_BASE}/`);
  return (type) => {
    const loaded = (byType.get(type) ?? []).map(({ url, version }) =>
      (editions.get(url)?.length ?? 0) > 1 && version !== undefined ? `${url}|${version}` : url,
    );
    const sorted = [...new Set(loaded)].sort((a, b) => Number(isOwn(b)) - Number(isOwn(a)) || (a < b ? -1 : 1));
    return hasUsCore(set) ? sorted : [...sorted, ...usCoreProfiles(type)];
  };
}

/** Our own guide, those of the packages, and US Core's as long as no package says which. */
export function guidesOf(set: ProfileSet): string[] {
  const loaded = set.packages.flatMap(({ guide }) => guide ?? []);
  return [OWN_GUIDE, ...loaded, ...(hasUsCore(set) ? [] : US_CORE_GUIDES)];
}

/** Our own, and US Core's: its searches and interactions are served whether its package is loaded or not. */
export function serversOf(set: ProfileSet): string[] {
  const versions = set.packages.filter(({ name }) => name === US_CORE_PACKAGE).map(({ version }) => version);
  const usCore = versions.length === 0 ? [US_CORE_SERVER] : versions.map((version) => `${US_CORE_SERVER}|${version}`);
  return [OWN_SERVER, ...usCore];
}

function hasUsCore({ packages }: ProfileSet): boolean {
  return packages.some(({ name }) => name === US_CORE_PACKAGE);
}
