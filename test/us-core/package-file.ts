import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';

/** The text of one file of an npm package (.tgz). @throws Error when it is not in it */
export function fileInPackage(archive: string, path: string): string {
  const bytes = gunzipSync(readFileSync(archive));
  // tar: blocks of 512 bytes, a header (name at 0, size in octal at 124) before the content of each file.
  for (let at = 0; at + 512 <= bytes.length; ) {
    const field = (from: number, length: number) =>
      bytes.toString('latin1', at + from, at + from + length).replace(/\0.*$/s, '');
    const size = Number.parseInt(field(124, 12), 8) || 0;
    const name = field(345, 155) === '' ? field(0, 100) : `${field(345, 155)}/${field(0, 100)}`;
    if (name === path) return bytes.toString('utf8', at + 512, at + 512 + size);
    at += 512 * (1 + Math.ceil(size / 512));
  }
  throw new Error(`${archive} has no ${path}`);
}
