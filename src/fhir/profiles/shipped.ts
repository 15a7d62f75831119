/**
 * The profiles that come with the service: those of our guide in fhir-profiles, and what R4 itself publishes: vital
 * signs and other derived profiles, and its extensions.
 *
 * The guide's are digested when its files change; R4's 5 MB are digested once per version of their package, kept on
 * disk and parsed one by one when first asked for.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { StructureDefinition } from '@medplum/fhirtypes';
import { forEachResource } from '../definitions/bundle-entries.ts';
import { cached, cacheFolders } from '../definitions/cache.ts';
import { definitionsPackage } from '../definitions/package.ts';
import type { ValueSetDigest } from '../definitions/value-sets.ts';
import { boundValueSets } from './bindings.ts';
import type { Profile } from './model.ts';
import { type PackedProfiles, packProfiles, unpackProfiles } from './packed.ts';
import { profileOf } from './profile.ts';
import { corrected, isLeftOut } from './published-errata.ts';
import { type ProfileSource, type Profiles, profilesOf } from './registry.ts';
import { digestValueSets } from './value-sets.ts';

/** Raise when the form or the making of the digests changes. */
const FORMAT = 5;

const GUIDE = join(import.meta.dirname, '..', '..', '..', 'fhir-profiles');
const PUBLISHED_FILES = ['profiles-others.json', 'extension-definitions.json'];

export type ShippedOptions = {
  /** Where the digests are kept; by default beside the packages, or under the temporary directory. */
  readonly cacheFolder?: string;
};

let shipped: Profiles | undefined;

/** The same for all clinics of a process. A definition of the guide without a snapshot is no profile yet. */
export function shippedProfiles(options: ShippedOptions = {}): Profiles {
  if (options.cacheFolder !== undefined) return read(options);
  shipped ??= read(options);
  return shipped;
}

function read({ cacheFolder }: ShippedOptions): Profiles {
  const { nodeModules, version, folder } = definitionsPackage();
  const folders = cacheFolder === undefined ? cacheFolders(nodeModules) : [cacheFolder];
  const files = guideFiles();
  const guideKey = `kap-bridge-guide-${FORMAT} ${version} ${hashOf(files)}`;
  const guide = cached(folders, 'profiles-guide.json', guideKey, () => JSON.stringify(guideDigest(files)));
  const publishedKey = `kap-bridge-profiles-${FORMAT} ${version}`;
  const published = () => cached(folders, 'profiles-r4.json', publishedKey, () => publishedDigest(folder));
  return profilesOf([guideSource(JSON.parse(guide) as GuideDigest)], publishedProfiles(published));
}

// ---- the guide

type GuideFile = { readonly name: string; readonly text: string };
type GuideDigest = { readonly packed: PackedProfiles; readonly valueSets: readonly ValueSetDigest[] };

/** The value sets and code systems too: what a binding allows depends on them. */
function guideFiles(): GuideFile[] {
  return readdirSync(GUIDE)
    .filter((name) => /^(StructureDefinition|ValueSet|CodeSystem)-.+\.json$/.test(name))
    .sort()
    .map((name) => ({ name, text: readFileSync(join(GUIDE, name), 'utf8') }));
}

function hashOf(files: readonly GuideFile[]): string {
  const hash = createHash('sha256');
  for (const { name, text } of files) hash.update(`${name}\n${text}\n`);
  return hash.digest('hex');
}

function guideDigest(files: readonly GuideFile[]): GuideDigest {
  const definitions = files
    .filter(({ name }) => name.startsWith('StructureDefinition-'))
    .map(({ text }) => JSON.parse(text) as StructureDefinition);
  const profiles = definitions.filter(({ snapshot }) => snapshot !== undefined).map(profileOf);
  return { packed: packProfiles(profiles), valueSets: digestValueSets(boundValueSets(profiles), []) };
}

function guideSource({ packed, valueSets }: GuideDigest): ProfileSource {
  return { name: 'kap-bridge', version: '1.0.0', profiles: unpackProfiles(packed), valueSets };
}

// ---- what R4 publishes: an index line, then a line for each profile

type PublishedLine = { readonly packed: PackedProfiles; readonly valueSets: readonly ValueSetDigest[] };

function publishedDigest(folder: string): string {
  const profiles: Profile[] = [];
  for (const file of PUBLISHED_FILES) {
    forEachResource(join(folder, file), (resource) => {
      if (resource.resourceType !== 'StructureDefinition') return;
      const definition = resource as unknown as StructureDefinition;
      if (!isLeftOut(definition.url)) profiles.push(profileOf(corrected(definition)));
    });
  }
  const lines = profiles.map((profile) =>
    JSON.stringify({
      packed: packProfiles([profile]),
      valueSets: digestValueSets(boundValueSets([profile]), []),
    } satisfies PublishedLine),
  );
  return `${JSON.stringify(profiles.map(({ url }) => url))}\n${lines.join('\n')}`;
}

function publishedProfiles(readText: () => string): Profiles {
  let lines: Map<string, string> | undefined;
  const known = new Map<string, Profiles>();
  const valueSets = new Map<string, Profiles>();
  const lineOf = (url: string) => {
    if (lines === undefined) {
      const [index = '[]', ...texts] = readText().split('\n');
      lines = new Map((JSON.parse(index) as string[]).map((each, at) => [each, texts[at] ?? '']));
    }
    return lines.get(url);
  };
  const read = (url: string) => {
    const line = lineOf(url);
    if (line === undefined) return undefined;
    const { packed, valueSets: digests } = JSON.parse(line) as PublishedLine;
    const source = { name: 'hl7.fhir.r4.core', version: '4.0.1', profiles: unpackProfiles(packed), valueSets: digests };
    const profiles = profilesOf([source]);
    known.set(url, profiles);
    // A binding is asked for by whoever has the profile, so it is read by then.
    for (const digest of digests) valueSets.set(digest.url, profiles);
    return profiles;
  };
  return {
    profile(canonical) {
      const [url = ''] = canonical.split('|', 1);
      return (known.get(url) ?? read(url))?.profile(canonical);
    },
    valueSet: (canonical) => valueSets.get(canonical)?.valueSet(canonical),
    all: () => [],
  };
}
