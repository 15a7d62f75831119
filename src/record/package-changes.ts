/**
 * Packages come and go: in one unit of work their definitions as resources of the clinic, what is validated with, and the
 * audit entry. A package is loaded whole or not at all.
 *
 * The definitions go through the record like everything else, so that they are searched, versioned and told of like
 * everything else. Their ids are made from the package's name and version: two versions of one guide lie side by side.
 */
import { createHash } from 'node:crypto';
import type { Resource } from '@medplum/fhirtypes';
import { configurationChanged } from '../audit/configuration-event.ts';
import { Failure, issue } from '../fhir/failure.ts';
import { keepDigits, parseJson, stringifyJson } from '../fhir/json.ts';
import { rewriteReferences } from '../fhir/references.ts';
import { type ProfileSet, withoutVersion } from './clinic-profiles.ts';
import type { RecordParts } from './drafts.ts';
import { packageKey, type StoredPackage, type Strictness } from './packages.ts';
import type { Leniency, WriteContext, WriteRequest } from './record.ts';
import type { UnitOfWork } from './store.ts';
import { write } from './write.ts';

/** A package that can be loaded: digested, so that nothing in it is broken. */
export type LoadablePackage = {
  readonly name: string;
  readonly version: string;
  readonly title: string | null;
  readonly guide: string | null;
  /** Of the file, in hex. */
  readonly sha256: string;
  readonly digest: string;
  /** Its definitions, as they are in the file. */
  readonly resources: readonly Resource[];
  /** 'name#version' of loaded packages that it builds upon. */
  readonly needs: readonly string[];
};

export type PackageChange = {
  readonly package: string;
  /** `unchanged`: the same package is loaded already. */
  readonly effect: 'added' | 'unchanged' | 'removed';
  readonly definitions: number;
};

/** Who changes it, for the audit trail. */
export type By = WriteContext & { readonly by: string };

/**
 * Loads all of the packages, or none.
 *
 * @throws Failure `conflict` where another package has the name and version, `invalid` and `business-rule` where a
 * definition is refused as a resource
 */
export async function addPackages(
  parts: RecordParts,
  packages: readonly LoadablePackage[],
  context: By,
): Promise<readonly PackageChange[]> {
  for (;;) {
    const { packages: loaded } = await parts.profiles.latest();
    const fresh = packages.filter((one) => !isLoaded(one, loaded));
    const changes = packages.map((one): PackageChange => {
      const effect = fresh.includes(one) ? 'added' : 'unchanged';
      return { package: packageKey(one), effect, definitions: one.resources.length };
    });
    if (fresh.length === 0) return changes;
    const stored = fresh.map((one) => ({ ...one, requests: definitionsOf(one) }));
    const requests = stored.flatMap((one) => one.requests);
    // Whether a guide meets the profiles that it claims for its own definitions is for those who publish it to mend.
    const leniency: Leniency = { strictnessOf: () => 'warn', deviates: () => undefined };
    try {
      await write(
        parts,
        requests,
        { ...context, leniency, definitions: true },
        {
          async before(unit) {
            const now = await unit.lockPackages();
            if (fresh.some((one) => isLoaded(one, now))) throw new Overtaken('somebody else loaded one meanwhile');
          },
          async after(unit) {
            for (const { requests: own, ...one } of stored) {
              const resources = own.map(({ type, id }) => `${type}/${id}`);
              await unit.addPackage({ ...one, resources, addedBy: context.by });
              await tell(unit, parts, context, 'C', packageKey(one), 'profiles loaded', one.sha256);
            }
          },
        },
      );
      return changes;
    } catch (error) {
      if (!(error instanceof Overtaken)) throw error;
    }
  }
}

/** Two who load the same package at once: the second finds it loaded. */
class Overtaken extends Error {
  override readonly name = 'Overtaken';
}

/** @throws Failure `conflict` where another package has the same name and version */
function isLoaded(one: LoadablePackage, loaded: readonly StoredPackage[]): boolean {
  const same = loaded.find((other) => packageKey(other) === packageKey(one));
  if (same === undefined || same.sha256 === one.sha256) return same !== undefined;
  const diagnostics =
    `${packageKey(one)} is loaded already, from another file (sha256 ${same.sha256.slice(0, 12)}, this one ` +
    `${one.sha256.slice(0, 12)}): remove it first, or give the changed package a version of its own`;
  throw new Failure('conflict', issue('duplicate', diagnostics));
}

/** @throws Failure `not-found`, or `conflict` where another loaded package builds upon it */
export async function removePackage(parts: RecordParts, key: string, context: By): Promise<PackageChange> {
  const set = await parts.profiles.latest();
  const { resources } = loadedPackage(set.packages, key);
  const requests = resources.map((reference): WriteRequest => {
    const [type = '', id = ''] = reference.split('/');
    return { method: 'DELETE', type, id, place: type, alone: true };
  });
  await write(
    parts,
    requests,
    { ...context, definitions: true },
    {
      async before(unit) {
        const now = await unit.lockPackages();
        loadedPackage(now, key);
        const needing = now.filter(({ needs }) => needs.includes(key)).map(packageKey);
        if (needing.length > 0) {
          const diagnostics = `${needing.join(', ')} builds upon ${key}: remove that first`;
          throw new Failure('conflict', issue('conflict', diagnostics));
        }
      },
      async after(unit) {
        const [name = '', version = ''] = key.split('#');
        await unit.removePackage(name, version, onlyIn(set, key));
        await tell(unit, parts, context, 'D', key, 'profiles removed');
      },
    },
  );
  return { package: key, effect: 'removed', definitions: resources.length };
}

function loadedPackage(loaded: readonly StoredPackage[], key: string): StoredPackage {
  const found = loaded.find((one) => packageKey(one) === key);
  if (found !== undefined) return found;
  const versions = loaded.filter(({ name }) => name === key).map(packageKey);
  const hint =
    versions.length > 0
      ? `say which version: ${versions.join(', ')}`
      : loaded.length > 0
        ? `loaded are: ${loaded.map(packageKey).join(', ')}`
        : 'none is loaded';
  throw new Failure('not-found', issue('not-found', `There is no package ${key}: ${hint}`));
}

/** Profiles that are not known any more without the package. */
function onlyIn(set: ProfileSet, key: string): readonly string[] {
  const others = new Set(
    set.contents.flatMap((one) => (packageKey(one) === key ? [] : one.profiles.map(({ url }) => url))),
  );
  const own = set.contents.find((one) => packageKey(one) === key)?.profiles ?? [];
  return [...new Set(own.map(({ url }) => url))].filter((url) => !others.has(url));
}

/** Null: back to what holds where nothing is said. @throws Failure `not-found` for a profile that is not known */
export async function setPolicy(
  parts: RecordParts,
  profile: string,
  strictness: Strictness | null,
  context: By,
): Promise<void> {
  const url = withoutVersion(profile);
  await parts.store.transaction(async (unit) => {
    await unit.lockPackages();
    await unit.setPolicy(url, strictness, context.by);
    await tell(unit, parts, context, 'U', url, `imported history: ${strictness ?? 'default'}`);
  });
}

function tell(
  unit: UnitOfWork,
  { now }: RecordParts,
  { by, clinic, observer }: By,
  action: 'C' | 'U' | 'D',
  subject: string,
  what: string,
  after?: string,
): Promise<void> {
  const change = { action, kind: 'software', subject, what, by, clinic, observer } as const;
  return unit.audit(configurationChanged({ ...change, ...(after === undefined ? {} : { after }) }, now()));
}

// ---- definitions as resources

/** What the record takes of a package: each definition under an id of its own, referring to the others by theirs. */
function definitionsOf(one: LoadablePackage): WriteRequest[] {
  const ids = new Map<string, string>();
  for (const definition of one.resources) {
    const key = `${definition.resourceType}/${ownId(definition)}`;
    if (ids.has(key)) {
      const diagnostics = `${packageKey(one)} has two definitions ${key}: its files contradict each other`;
      throw new Failure('invalid', issue('duplicate', diagnostics));
    }
    ids.set(key, definitionId(one, definition.resourceType, ownId(definition)));
  }
  return one.resources.map((definition): WriteRequest => {
    const { resourceType: type } = definition;
    const id = ids.get(`${type}/${ownId(definition)}`) as string;
    const resource = parseJson(stringifyJson(keepDigits(definition, { ...definition, id }))) as Resource;
    rewriteReferences(resource, (reference) => {
      const known = ids.get(reference);
      return known === undefined ? undefined : `${reference.slice(0, reference.indexOf('/'))}/${known}`;
    });
    // Not over something that the clinic keeps under this id.
    const place = `${type}/${definition.id ?? id}`;
    return { method: 'PUT', type, id, resource, place, onlyNew: true, alone: true };
  });
}

/** Files of packages need no id: then the end of the url names the definition. */
function ownId(definition: Resource): string {
  if (definition.id !== undefined) return definition.id;
  const { url = '', version } = definition as { readonly url?: string; readonly version?: string };
  const name = url.slice(url.lastIndexOf('/') + 1);
  return version === undefined ? name : `${name}-${version}`;
}

const ID_LENGTH = 64;
const DIGEST_LENGTH = 12;

/** The id that the package gives, as far as it fits, and what makes it another one in another package or version. */
function definitionId(one: LoadablePackage, type: string, id: string): string {
  const digest = createHash('sha256')
    .update(`${packageKey(one)} ${type}/${id}`)
    .digest('hex')
    .slice(0, DIGEST_LENGTH);
  const name = id.replace(/[^A-Za-z0-9\-.]/g, '-').slice(0, ID_LENGTH - DIGEST_LENGTH - 1);
  return name === '' ? digest : `${name}-${digest}`;
}
