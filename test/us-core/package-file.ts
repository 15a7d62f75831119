import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';

/**
 * The packages of US Core are no part of the repository: whoever has `us_core_610.tgz` and `us_core_700.tgz` names
 * their folder in KAP_US_CORE_PACKAGES, for all tests that need them. Undefined: those are skipped.
 */
export const packagesFolder = process.env.KAP_US_CORE_PACKAGES || undefined;

export const withPackages = packagesFolder === undefined ? test.skip : test;

const files = { '6.1.0': 'us_core_610.tgz', '7.0.0': 'us_core_700.tgz' } as const;

export type UsCoreVersion = keyof typeof files;
export const usCoreVersions = Object.keys(files) as readonly UsCoreVersion[];

/** The path of the package; only in tests `withPackages`. */
export function usCorePackage(version: UsCoreVersion): string {
  if (packagesFolder === undefined) throw new Error('KAP_US_CORE_PACKAGES names no folder');
  return join(packagesFolder, files[version]);
}

/** The texts of the files of an npm package (.tgz) whose path matches. @throws Error when there is none */
export function filesInPackage(archive: string, path: RegExp): string[] {
  const bytes = gunzipSync(readFileSync(archive));
  const found: string[] = [];
  // tar: blocks of 512 bytes, a header (name at 0, size in octal at 124, prefix at 345) before the content of each file.
  for (let at = 0; at + 512 <= bytes.length; ) {
    const field = (from: number, length: number) =>
      bytes.toString('latin1', at + from, at + from + length).replace(/\0.*$/s, '');
    const size = Number.parseInt(field(124, 12), 8) || 0;
    const name = field(345, 155) === '' ? field(0, 100) : `${field(345, 155)}/${field(0, 100)}`;
    if (path.test(name)) found.push(bytes.toString('utf8', at + 512, at + 512 + size));
    at += 512 * (1 + Math.ceil(size / 512));
  }
  if (found.length === 0) throw new Error(`${archive} has no file like ${path}`);
  return found;
}
