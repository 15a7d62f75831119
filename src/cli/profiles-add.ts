/** `kap-bridge profiles add`: files read, digested and compiled before anything is stored. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import type { ImplementationGuide, Resource, StructureDefinition } from '@medplum/fhirtypes';
import type { Definitions } from '../fhir/definitions.ts';
import { Failure, type Issue, issue } from '../fhir/failure.ts';
import { parseJson } from '../fhir/json.ts';
import { type AddedPackage, isMeant } from '../fhir/profiles/dependencies.ts';
import { type DigestedPackage, digestPackages, packSource } from '../fhir/profiles/load.ts';
import { type FhirPackage, MAX_PACKED_BYTES, readPackage } from '../fhir/profiles/package.ts';
import { type ProfileSource, profilesOf } from '../fhir/profiles/registry.ts';
import { shippedProfiles } from '../fhir/profiles/shipped.ts';
import { validatorCache } from '../fhir/validation/code-cache.ts';
import { compileProfile } from '../fhir/validation/profile/profile-checks.ts';
import { createValidator, type Validator } from '../fhir/validation/validator.ts';
import { addPackages, type LoadablePackage, type PackageChange } from '../record/package-changes.ts';
import { packageKey, type StoredPackage } from '../record/packages.ts';
import { type Allowed, withoutReserved } from '../record/reserved-definitions.ts';
import type { RecordStore } from '../record/store.ts';
import type { OpenRecord } from './clinic-record.ts';
import { startProgress } from './progress.ts';

export type Added = {
  readonly packages: readonly PackageChange[];
  /** What a person should know: what is not here and therefore not checked. */
  readonly notes: readonly string[];
};

type Given = FhirPackage & { readonly sha256: string };

/** @throws Failure with everything that is wrong with any of them; nothing is stored then */
export async function addFiles(
  files: readonly string[],
  { parts, fhir, profiles, context }: OpenRecord,
  { by, quiet }: { readonly by: string; readonly quiet: boolean },
): Promise<Added> {
  const progress = startProgress(quiet);
  try {
    const set = await profiles.latest();
    const { packages: loaded, contents } = set;
    progress.at(() => `reading ${files.length} files`);
    const given = distinct(await readAll(files));
    // What is loaded already is not looked at again: it says so, or is refused, when it is added.
    const fresh = given.filter((one) => !loaded.some((other) => isSame(one, other)));
    for (const one of fresh) refuseOther(one, loaded);
    progress.at(() => 'checking the definitions');
    refuseInvalid(fresh, fhir.validator);
    const checked = allAllowed(fresh, fhir.definitions);
    const before = await definitionsOf(loaded, parts.store);
    const digested = digestPackages(
      checked.map(({ allowed }) => allowed),
      {
        definitions: fhir.definitions,
        known: set.profiles,
        definition: (canonical) => before.structures.get(canonical),
        added: before.packages,
        compile: (profile, all) => compileProfile(profile, all, fhir.definitions),
        progress: (words) => progress.at(() => words),
      },
    );
    const sources = digested.map(({ source }) => source);
    refuseContradictions([...contents, ...sources]);
    if (fresh.length > 0) {
      progress.at(() => 'compiling');
      const all = profilesOf([...contents, ...sources], shippedProfiles());
      await compiled(createValidator(fhir.definitions, all, validatorCache()), fresh);
    }
    progress.at(() => 'storing');
    const loadable = fresh.map((one, at): LoadablePackage => {
      const { source } = digested[at] as DigestedPackage; // one for each, in their order
      return {
        name: one.name,
        version: one.version,
        title: one.title ?? null,
        guide: guideOf(one),
        sha256: one.sha256,
        digest: packSource(source),
        resources: one.resources,
        needs: neededBy(one, [...loaded, ...fresh]),
      };
    });
    const changes = await addPackages(parts, loadable, context(by, 'transaction'));
    const unchanged = given.filter((one) => !fresh.includes(one));
    return {
      packages: [...unchanged.map((one) => asUnchanged(one, loaded)), ...changes],
      notes: [...checked.flatMap(notesOnR4), ...digested.flatMap(notesOn)],
    };
  } finally {
    progress.done();
  }
}

/** Kept on disk too: a service of this user finds it there. */
async function compiled(validator: Validator, packages: readonly Given[]): Promise<void> {
  try {
    await validator.prepare();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const words = `The profiles of ${packages.map(packageKey).join(', ')} cannot be compiled: ${reason.slice(0, 500)}`;
    throw new Failure('business-rule', issue('business-rule', words), { cause });
  }
}

// ---- files

async function readAll(files: readonly string[]): Promise<Given[]> {
  const issues: Issue[] = [];
  const found: Given[] = [];
  let code: Failure['code'] | undefined;
  for (const file of files) {
    try {
      found.push(await readOne(file));
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      code ??= error.code;
      issues.push(...error.issues.map((each) => ({ ...each, diagnostics: `${file}: ${each.diagnostics}` })));
    }
  }
  if (code !== undefined) throw new Failure(code, issues);
  return found;
}

async function readOne(file: string): Promise<Given> {
  if (!existsSync(file)) throw new Failure('not-found', issue('not-found', 'There is no such file'));
  const { size } = statSync(file);
  if (!statSync(file).isFile()) throw new Failure('invalid', issue('value', 'This is not a file'));
  if (size > MAX_PACKED_BYTES) {
    const words = `The file has more than ${MAX_PACKED_BYTES / 1024 / 1024} MB: it is not taken`;
    throw new Failure('too-large', issue('too-costly', words));
  }
  const bytes = readFileSync(file);
  const read = await readPackage(bytes);
  if (BUILT_IN.test(read.name)) {
    throw new Failure('business-rule', issue('business-rule', 'R4 itself is built in: it cannot be loaded'));
  }
  return { ...read, sha256: createHash('sha256').update(bytes).digest('hex') };
}

const BUILT_IN = /^hl7\.fhir\.(?:r4\.(?:core|expansions|elements|examples)|core)$/;

/** The same file twice is one package. @throws Failure `conflict` for two files of one name and version */
function distinct(given: readonly Given[]): Given[] {
  const byKey = new Map<string, Given>();
  for (const one of given) {
    const other = byKey.get(packageKey(one));
    if (other !== undefined && other.sha256 !== one.sha256) {
      const words = `Two of the files are ${packageKey(one)} and differ: give one of them`;
      throw new Failure('conflict', issue('duplicate', words));
    }
    byKey.set(packageKey(one), one);
  }
  return [...byKey.values()];
}

function isSame(one: Given, other: StoredPackage): boolean {
  return packageKey(one) === packageKey(other) && one.sha256 === other.sha256;
}

function asUnchanged(one: Given, loaded: readonly StoredPackage[]): PackageChange {
  const definitions = loaded.find((other) => isSame(one, other))?.resources.length ?? 0;
  return { package: packageKey(one), effect: 'unchanged', definitions };
}

/** @throws Failure `conflict` where two packages mean different profiles by one url and version: only one could count */
function refuseContradictions(sources: readonly ProfileSource[]): void {
  const seen = new Map<string, { readonly hash: string; readonly by: string }>();
  const issues: Issue[] = [];
  for (const source of sources) {
    for (const { url, version, hash } of source.profiles) {
      const key = `${url}|${version ?? ''}`;
      const other = seen.get(key);
      seen.set(key, other ?? { hash, by: packageKey(source) });
      if (other === undefined || other.hash === hash) continue;
      const words = `${packageKey(source)} and ${other.by} mean different profiles by ${key}: one of them needs another version`;
      issues.push(issue('duplicate', words));
    }
  }
  if (issues.length > 0) throw new Failure('conflict', issues);
}

// ---- what they build upon

type Before = {
  /** By url and by url|version; of a url the newest package's. */
  readonly structures: ReadonlyMap<string, StructureDefinition>;
  readonly packages: readonly AddedPackage[];
};

/**
 * What packages were loaded with before, as the record has it: whoever deletes a definition through the API takes it away
 * from those that would build upon it.
 */
async function definitionsOf(loaded: readonly StoredPackage[], store: RecordStore): Promise<Before> {
  const structures = new Map<string, StructureDefinition>();
  const packages: AddedPackage[] = [];
  for (const { name, version, resources } of loaded.toReversed()) {
    const keys = resources.flatMap((reference) => {
      const [type = '', id = ''] = reference.split('/');
      return READ_BEFORE.has(type) ? [{ type, id }] : [];
    });
    const rows = await Promise.all(keys.map(({ type, id }) => store.read(type, id)));
    const found = rows.flatMap((row) => (row === undefined || row.deleted ? [] : [parseJson(row.content) as Resource]));
    for (const each of found) {
      if (each.resourceType !== 'StructureDefinition') continue;
      for (const key of [`${each.url}|${each.version}`, each.url]) if (!structures.has(key)) structures.set(key, each);
    }
    packages.push({ name, version, resources: found });
  }
  return { structures, packages };
}

const READ_BEFORE: ReadonlySet<string> = new Set(['StructureDefinition', 'CodeSystem', 'ValueSet']);

function neededBy({ dependencies }: Given, present: readonly { name: string; version: string }[]): string[] {
  return Object.entries(dependencies).flatMap(([name, version]) =>
    present.filter((other) => isMeant(other, name, version)).map(packageKey),
  );
}

/** What reads them counts on their being R4. @throws Failure `invalid` with every issue */
function refuseInvalid(fresh: readonly Given[], validator: Validator): void {
  const issues = fresh.flatMap((one) =>
    one.resources.flatMap((resource) => {
      const { resourceType, id } = resource;
      const found = validator.validate(resource, `${resourceType}/${id ?? 'without id'}`);
      return found.filter(({ severity }) => severity === 'error' || severity === 'fatal');
    }),
  );
  if (issues.length > 0) throw new Failure('invalid', issues);
}

/** @throws Failure `business-rule` with what any of them may not define */
function allAllowed(fresh: readonly Given[], definitions: Definitions): readonly Allowed<Given>[] {
  const issues: Issue[] = [];
  const found = fresh.flatMap((one) => {
    try {
      return [withoutReserved(one, definitions)];
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      issues.push(...error.issues);
      return [];
    }
  });
  if (issues.length > 0) throw new Failure('business-rule', issues);
  return found;
}

function notesOnR4({ allowed, ofR4 }: Allowed<Given>): string[] {
  if (ofR4.length === 0) return [];
  const named = ofR4.length > 5 ? `${ofR4.slice(0, 5).join(', ')} and ${ofR4.length - 5} more` : ofR4.join(', ');
  return [`${packageKey(allowed)} has definitions that R4 itself publishes, and R4's stay in force: ${named}`];
}

function notesOn({ source, absent, unresolved, passedOver }: DigestedPackage): string[] {
  const key = packageKey(source);
  return [
    ...(absent.length === 0 ? [] : [`${key} names packages that are not loaded: ${absent.join(', ')}`]),
    ...(unresolved.length === 0 ? [] : [`${key} names profiles that nobody here has: ${unresolved.join(', ')}`]),
    ...passedOver.map((one) => `${key}: ${one}`),
  ];
}

function guideOf({ resources }: Given): string | null {
  const isGuide = (resource: Resource): resource is ImplementationGuide =>
    resource.resourceType === 'ImplementationGuide';
  const guide = resources.find(isGuide);
  if (guide?.url === undefined) return null;
  return guide.version === undefined ? guide.url : `${guide.url}|${guide.version}`;
}

/** @throws Failure `conflict` where another file has been loaded under the same name and version */
function refuseOther(one: Given, loaded: readonly StoredPackage[]): void {
  const other = loaded.find((each) => packageKey(each) === packageKey(one));
  if (other === undefined) return;
  const words =
    `${packageKey(one)} is loaded already, from another file (sha256 ${other.sha256.slice(0, 12)}, this one ` +
    `${one.sha256.slice(0, 12)}): remove it first, or give the changed package a version of its own`;
  throw new Failure('conflict', issue('duplicate', words));
}
