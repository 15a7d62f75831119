import { createHash, randomUUID } from 'node:crypto';
import { lstatSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * A text kept on disk between starts: the key and a checksum on the first line, the text after it.
 *
 * A file that is absent, torn, altered or of another key is simply rebuilt; two processes that build at the same
 * time each rename a whole file into place.
 */
export function cached(folders: readonly string[], name: string, key: string, build: () => string): string {
  for (const folder of folders) {
    const text = read(join(folder, name), key);
    if (text !== undefined) return text;
  }
  const text = build();
  const content = `${header(key, text)}\n${text}`;
  for (const folder of folders) if (keepFile(folder, name, content, isOurs)) break;
  return text;
}

/**
 * Where to keep it: beside the packages (`node_modules/.cache`), or under the temporary directory, in a folder that
 * only this user may write, so that nobody else decides what is valid FHIR.
 */
export function cacheFolders(nodeModules: string): string[] {
  return [join(nodeModules, '.cache', 'kap-bridge'), join(tmpdir(), `kap-bridge-${process.getuid?.() ?? 'user'}`)];
}

function header(key: string, text: string): string {
  return `${key} ${createHash('sha256').update(text).digest('hex')}`;
}

function read(file: string, key: string): string | undefined {
  let content: string;
  try {
    if (!isOurs(file)) return undefined;
    content = readFileSync(file, 'utf8');
  } catch {
    return undefined; // absent or unreadable: built anew
  }
  const end = content.indexOf('\n');
  const text = content.slice(end + 1);
  return content.slice(0, Math.max(end, 0)) === header(key, text) ? text : undefined;
}

function isOurs(path: string): boolean {
  const uid = process.getuid?.();
  const owner = lstatSync(path).uid;
  return uid === undefined || owner === uid || owner === 0;
}

/**
 * A whole file in a folder that is trusted, or none: false.
 *
 * A read-only image or a full disk costs the next start some seconds, and nothing else: no failure here reaches a caller.
 */
export function keepFile(
  folder: string,
  name: string,
  content: string | Buffer,
  isTrusted: (folder: string) => boolean,
): boolean {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o755 });
    if (!isTrusted(folder)) return false;
  } catch {
    return false;
  }
  const temporary = join(folder, `.${name}.${randomUUID()}`);
  try {
    writeFileSync(temporary, content, { flag: 'wx', mode: 0o644 });
    renameSync(temporary, join(folder, name));
    return true;
  } catch {
    rmSync(temporary, { force: true });
    return false;
  }
}
