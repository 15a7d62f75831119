/**
 * A FHIR package (.tgz), as registries and implementation guides have it: read whole or refused whole.
 *
 * Nothing is written to disk: the resources are parsed out of the archive as it is unpacked, within the limits below.
 *
 * @see https://hl7.org/fhir/packages.html
 */
import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import type { Resource } from '@medplum/fhirtypes';
import { isCanonicalType } from '../canonical-types.ts';
import { Failure, issue } from '../failure.ts';
import { parseJson } from '../json.ts';
import { isRecord } from './definition-shape.ts';
import { tarFiles } from './tar.ts';

const MEGABYTE = 1024 * 1024;
/** Of the largest packages in use: 20 MB packed, 300 MB unpacked, 17,000 files. */
export const MAX_PACKED_BYTES = 64 * MEGABYTE;
export const MAX_UNPACKED_BYTES = 512 * MEGABYTE;
export const MAX_PACKAGE_FILES = 20_000;
const MAX_NAME_BYTES = 64 * 1024;

export type FhirPackage = {
  readonly name: string;
  readonly version: string;
  readonly title?: string;
  readonly description?: string;
  /** Canonical url of the guide: what its definitions' urls start with. */
  readonly canonical?: string;
  readonly fhirVersions: readonly string[];
  /** Name to version, as the package says it. */
  readonly dependencies: Readonly<Record<string, string>>;
  /** Definitions, those with a url of their own: StructureDefinition, ValueSet, … */
  readonly resources: readonly Resource[];
  readonly examples: readonly Resource[];
  /** JSON files beside the definitions that are no resources, such as those that tools leave there. */
  readonly otherFiles?: readonly string[];
};

/**
 * Reads a package from its bytes, or as they come.
 *
 * Files in `package/` and in its folders of examples are read; all others are passed over, `.index.json` too, and JSON
 * that is no resource, such as the lock files of some tools.
 *
 * @throws Failure `invalid` naming the file that is damaged, or what package.json lacks; `business-rule` for a package
 * of another release than R4; `too-large` beyond a limit
 */
export async function readPackage(bytes: Buffer | Readable): Promise<FhirPackage> {
  let manifest: Manifest | undefined;
  const resources: Resource[] = [];
  const examples: Resource[] = [];
  const otherFiles: string[] = [];
  const limits = { unpackedBytes: MAX_UNPACKED_BYTES, files: MAX_PACKAGE_FILES, headerBytes: MAX_NAME_BYTES };
  for await (const { name, content } of tarFiles(unpacked(bytes), isRead, limits)) {
    const file = withoutRoot(name);
    const value = parsed(file, content);
    if (file === MANIFEST) {
      manifest = manifestOf(value);
    } else if (isRecord(value) && typeof value.resourceType === 'string') {
      const isDefinition = EXAMPLE.test(file) ? false : isCanonicalType(value.resourceType);
      (isDefinition ? resources : examples).push(value as unknown as Resource);
    } else if (isNamedAsDefinition(file)) {
      throw new Failure('invalid', issue('structure', `${file} has no resourceType: it is no resource of FHIR`));
    } else if (!EXAMPLE.test(file)) {
      otherFiles.push(file);
    }
  }
  if (manifest === undefined) {
    const words = 'The archive has no package/package.json: it is no FHIR package. Take the .tgz file of the guide';
    throw new Failure('invalid', issue('required', words));
  }
  return { ...manifest, resources, examples, ...(otherFiles.length === 0 ? {} : { otherFiles }) };
}

type Manifest = Omit<FhirPackage, 'resources' | 'examples' | 'otherFiles'>;

const MANIFEST = 'package/package.json';
/** Definitions are directly in `package`; the folders beside them hold pictures, pages and other forms of the same. */
const DEFINITION = /^package\/[^/.][^/]*\.json$/;
const EXAMPLE = /^package\/examples?\/[^/.][^/]*\.json$/;

function isRead(name: string): boolean {
  const file = withoutRoot(name);
  return file === MANIFEST || DEFINITION.test(file) || EXAMPLE.test(file);
}

/** `package/ValueSet-colours.json`: what is in it was meant to be one. */
function isNamedAsDefinition(file: string): boolean {
  const [, type] = /^package\/([A-Za-z]+)-[^/]*$/.exec(file) ?? [];
  return type !== undefined && isCanonicalType(type);
}

/** Some writers start names with `./`. */
function withoutRoot(name: string): string {
  return name.replace(/^(?:\.\/)+/, '');
}

async function* unpacked(bytes: Buffer | Readable): AsyncGenerator<Buffer> {
  const gunzip = createGunzip();
  const packed = Readable.from(counted(bytes));
  packed.on('error', (error) => gunzip.destroy(error));
  try {
    yield* packed.pipe(gunzip) as AsyncIterable<Buffer>;
  } catch (error) {
    if (error instanceof Failure) throw error;
    const code = (error as NodeJS.ErrnoException).code ?? '';
    // What the caller's stream failed with is not about the package.
    if (!code.startsWith('Z_')) throw error;
    const words =
      'The file is no whole gzip archive: it is damaged or cut short. Fetch it again; it must be a .tgz file';
    throw new Failure('invalid', issue('structure', words), { cause: error });
  } finally {
    packed.destroy();
  }
}

const CHUNK = 64 * 1024;

async function* counted(bytes: Buffer | Readable): AsyncGenerator<Buffer> {
  let read = 0;
  for await (const chunk of Buffer.isBuffer(bytes) ? chunks(bytes) : bytes) {
    const buffer = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk as Uint8Array);
    read += buffer.length;
    if (read > MAX_PACKED_BYTES) {
      const words = `The file is larger than ${MAX_PACKED_BYTES / MEGABYTE} MB: it is not taken`;
      throw new Failure('too-large', issue('too-long', words));
    }
    yield buffer;
  }
}

function* chunks(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += CHUNK) yield bytes.subarray(at, at + CHUNK);
}

function parsed(file: string, content: Buffer): unknown {
  try {
    return parseJson(content);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    const issues = error.issues.map((each) => ({ ...each, diagnostics: `${file}: ${each.diagnostics}` }));
    throw new Failure('invalid', issues, { cause: error });
  }
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$/;
const VERSION = /^[A-Za-z0-9][A-Za-z0-9.+_-]{0,99}$/;
const R4 = /^4\.0(\.\d+)?$/;

function manifestOf(value: unknown): Manifest {
  if (!isRecord(value)) throw invalid('it must be a JSON object');
  const { name, version, title, description, canonical, dependencies = {} } = value;
  if (typeof name !== 'string' || !NAME.test(name))
    throw invalid('name is required: letters, digits, dots and hyphens');
  if (typeof version !== 'string' || !VERSION.test(version)) throw invalid('version is required, such as 6.1.0');
  // Packages before 2020 have the list under its older name.
  const fhirVersions: unknown = value.fhirVersions ?? value['fhir-version-list'];
  if (!Array.isArray(fhirVersions) || !fhirVersions.every((each) => typeof each === 'string')) {
    throw invalid('fhirVersions is required: the releases of FHIR it is for, such as ["4.0.1"]');
  }
  if (!fhirVersions.some((each: string) => R4.test(each))) {
    const words = `${name}#${version} is for FHIR ${fhirVersions.join(', ')}: this service has R4, so it needs the edition for 4.0.1`;
    throw new Failure('business-rule', issue('not-supported', words));
  }
  if (!isRecord(dependencies) || !Object.values(dependencies).every((each) => typeof each === 'string')) {
    throw invalid('dependencies must have a version for each name');
  }
  return {
    name,
    version,
    ...(typeof title === 'string' ? { title } : {}),
    ...(typeof description === 'string' ? { description } : {}),
    ...(typeof canonical === 'string' ? { canonical } : {}),
    fhirVersions,
    dependencies: dependencies as Readonly<Record<string, string>>,
  };
}

function invalid(words: string): Failure {
  return new Failure('invalid', issue('value', `${MANIFEST}: ${words}`));
}
