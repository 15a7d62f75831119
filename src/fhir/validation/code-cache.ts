/**
 * Compiled checks on disk: one file for all checks of one content, with the code that V8 has made of it.
 *
 * What is in the file is run, so it is read only from a folder and a file that belong to this user (or to root) and that
 * nobody else may write. A file that is absent, torn, altered or of another key is made anew; two processes that write
 * at the same time each rename a whole file into place. Without a folder that is safe, nothing is kept.
 */
import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Script } from 'node:vm';
import { cacheFolders, keepFile } from '../definitions/cache.ts';
import { definitionsPackage } from '../definitions/package.ts';
import { type CheckFactory, tableSource } from './compile.ts';

export type CodePack = Readonly<Record<string, CheckFactory>>;

export type CodeStore = {
  read(): CodePack | undefined;
  write(sources: ReadonlyMap<string, Buffer>): void;
};

export type ValidatorCache = {
  /** Where the checks of one content are kept: `name` says whose they are, `content` all they depend on. */
  store(name: string, content: string): CodeStore;
};

/** @param folders the first that is safe is written; by default beside the packages, or under the temporary directory */
export function validatorCache(
  folders: readonly string[] = cacheFolders(definitionsPackage().nodeModules),
): ValidatorCache {
  return {
    store(name, content) {
      const key = createHash('sha256').update(`${content}\n${versionOfCode()}`).digest('hex');
      const file = `checks-${name}-${key.slice(0, 32)}.bin`;
      return {
        read() {
          for (const folder of folders) {
            const pack = readPack(folder, file, key);
            if (pack !== undefined) return pack;
          }
          return undefined;
        },
        write(sources) {
          const content = packedContent(key, tableSource(sources));
          for (const folder of folders) {
            if (!keepFile(folder, file, content, isSafe)) continue;
            dropOld(folder, `checks-${name}-`);
            return;
          }
        },
      };
    },
  };
}

/** The text of the compiler and of its runtime, and the engine: code made by others fits them not. */
function versionOfCode(): string {
  madeBy ??= sourcesBelow(import.meta.dirname);
  return `${madeBy} ${process.version} ${process.arch} ${process.versions.v8}`;
}

let madeBy: string | undefined;

function sourcesBelow(folder: string): string {
  const hash = createHash('sha256');
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((file) => /\.[jt]s$/.test(file));
  for (const file of files.sort()) hash.update(file).update(readFileSync(join(folder, file)));
  return hash.digest('hex');
}

/** Header (`key checksum bytes-of-source`), a line feed, the source, and what V8 keeps of it. */
function packedContent(key: string, code: Buffer): Buffer {
  const script = new Script(code.toString(), { filename: FILENAME });
  const body = Buffer.concat([code, script.createCachedData()]);
  return Buffer.concat([Buffer.from(`${headerOf(key, body, code.length)}\n`), body]);
}

const FILENAME = 'kap-bridge-checks.js';

function headerOf(key: string, body: Buffer, length: number): string {
  return `${key} ${createHash('sha256').update(body).digest('hex')} ${length}`;
}

function readPack(folder: string, name: string, key: string): CodePack | undefined {
  let content: Buffer;
  try {
    if (!isSafe(folder) || !isSafe(join(folder, name))) return undefined;
    content = readFileSync(join(folder, name));
  } catch {
    return undefined; // absent or unreadable: made anew
  }
  const end = content.indexOf('\n');
  const header = content.toString('latin1', 0, Math.max(end, 0));
  const body = content.subarray(end + 1);
  const length = Number(header.split(' ')[2]);
  if (!Number.isSafeInteger(length) || length > body.length || header !== headerOf(key, body, length)) return undefined;
  const cachedData = body.subarray(length);
  const script = new Script(body.toString('utf8', 0, length), { filename: FILENAME, cachedData });
  return script.runInThisContext() as CodePack;
}

/** Of this user or of root, no link, and closed to others' writing. */
function isSafe(path: string): boolean {
  const uid = process.getuid?.();
  if (uid === undefined) return true;
  const { uid: owner, mode } = lstatSync(path);
  return (owner === uid || owner === 0) && (mode & 0o022) === 0 && (mode & 0o170_000) !== 0o120_000;
}

/** Packages come and go, and so do their checks: the last ones are kept. */
const KEPT = 8;

function dropOld(folder: string, start: string): void {
  try {
    const files = readdirSync(folder).filter((name) => name.startsWith(start));
    const byAge = files.map((name) => ({ name, at: statSync(join(folder, name)).mtimeMs })).sort((a, b) => b.at - a.at);
    for (const { name } of byAge.slice(KEPT)) rmSync(join(folder, name), { force: true });
  } catch {
    // Another process tidied up at the same time.
  }
}
