/** Loads packages into a test's clinic as `kap-bridge profiles add` does. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { OpenRecord } from '../../src/cli/clinic-record.ts';
import { type Added, addFiles } from '../../src/cli/profiles-add.ts';
import { fhir, type TestClinic, writeContext } from './clinic.ts';

export function openRecordOf({ parts }: TestClinic): OpenRecord {
  const context: OpenRecord['context'] = (by, interaction) => ({ ...writeContext(interaction), by });
  return { parts, fhir, profiles: parts.profiles, context };
}

export async function load(clinic: TestClinic, ...packages: readonly Uint8Array[]): Promise<Added> {
  const folder = mkdtempSync(join(tmpdir(), 'kap-bridge-package-'));
  try {
    const files = packages.map((bytes, at) => {
      const file = join(folder, `${at}.tgz`);
      writeFileSync(file, bytes);
      return file;
    });
    return await addFiles(files, openRecordOf(clinic), { by: 'tester', quiet: true });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
