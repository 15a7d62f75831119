/** Where the pages go. */
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Failure, issue } from '../../src/fhir/failure.ts';
import type { Site } from './site.ts';

/** In a folder that was written here, and may be replaced. */
const MARK = '.kap-guide';

/**
 * Replaces the folder. @returns how many pages were written
 * @throws Failure `conflict` for a folder with something in it that was not written here
 */
export function writeSite({ files }: Site, out: string): number {
  refuseForeign(out);
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  writeFileSync(join(out, MARK), 'Made by npm run ig, which replaces this folder.\n');
  for (const [name, text] of files) writeFileSync(join(out, name), text);
  return [...files.keys()].filter((name) => name.endsWith('.html')).length;
}

export function refuseForeign(out: string): void {
  if (!existsSync(out) || existsSync(join(out, MARK)) || readdirSync(out).length === 0) return;
  const words = `${out} holds something else: name an empty folder, or one that was made here`;
  throw new Failure('conflict', issue('conflict', words));
}
