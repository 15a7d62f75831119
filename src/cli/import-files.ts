/**
 * Files of history: a Bundle, one resource, or NDJSON (a resource in each line), plain or packed with gzip. NDJSON is read
 * line by line, so that a file may be larger than memory.
 */
import { closeSync, createReadStream, existsSync, openSync, readSync, statSync } from 'node:fs';
import { createGunzip } from 'node:zlib';
import type { Bundle, Resource } from '@medplum/fhirtypes';
import { Failure, issue } from '../fhir/failure.ts';
import { parseJson } from '../fhir/json.ts';
import type { EntryRules } from '../record/bundle-entries.ts';
import { type ImportedItem, type ImportItem, type ImportUnit, itemOf, unitsOf } from '../record/import.ts';

/** What a file brings: units to write, and what cannot even be read. */
export type FromFile = { readonly unit: ImportUnit } | { readonly refused: ImportedItem };

const MAX_LINE = 10 * 1024 * 1024;
const MAX_DOCUMENT = 256 * 1024 * 1024;
/** Lines that are written at once. */
const TOGETHER = 50;

/** @throws Failure `not-found` for the first that is not there, `invalid` for a folder */
export function requireFiles(files: readonly string[]): void {
  for (const file of files) {
    if (!existsSync(file)) throw new Failure('not-found', issue('not-found', `There is no file ${file}`));
    if (!statSync(file).isFile()) throw new Failure('invalid', issue('value', `${file} is not a file`));
  }
}

/** @throws Failure `invalid` for a file that is none of these, or is damaged */
export async function* unitsOfFile(file: string, rules: EntryRules): AsyncGenerator<FromFile> {
  const { name, isPacked } = formOf(file);
  if (/\.(?:ndjson|jsonl)$/i.test(name)) {
    yield* unitsOfLines(file, isPacked);
    return;
  }
  const text = await whole(file, isPacked);
  let document: unknown;
  try {
    document = parseJson(text);
  } catch (error) {
    // Several documents one after the other: lines, whatever the file is called.
    if (!isJson(text.subarray(0, Math.max(text.indexOf(NEW_LINE), 0)))) throw named(file, error);
    yield* unitsOfLines(file, isPacked);
    return;
  }
  yield* unitsOfDocument(file, document, rules);
}

function* unitsOfDocument(file: string, document: unknown, rules: EntryRules): Generator<FromFile> {
  const resource = resourceIn(document);
  if (resource === undefined) {
    throw new Failure('invalid', issue('structure', `${file} holds neither a Bundle nor another resource`));
  }
  if (resource.resourceType !== 'Bundle') {
    yield { unit: { isTransaction: false, items: [itemOf(resource, file)] } };
    return;
  }
  const { entry } = resource as { entry?: unknown };
  if (entry !== undefined && !(Array.isArray(entry) && entry.every(isEntry))) {
    throw new Failure('invalid', issue('structure', `${file}: the entries are not a list of objects`, 'Bundle.entry'));
  }
  try {
    for (const unit of unitsOf(resource as Bundle, (at) => `${file} entry[${at}]`, rules)) yield { unit };
  } catch (error) {
    throw named(file, error);
  }
}

function isEntry(entry: unknown): boolean {
  if (typeof entry !== 'object' || entry === null || Array.isArray(entry)) return false;
  const { resource } = entry as { resource?: unknown };
  return resource === undefined || resourceIn(resource) !== undefined;
}

function resourceIn(value: unknown): Resource | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  return typeof (value as { resourceType?: unknown }).resourceType === 'string' ? (value as Resource) : undefined;
}

// ---- lines

async function* unitsOfLines(file: string, isPacked: boolean): AsyncGenerator<FromFile> {
  let items: ImportItem[] = [];
  for await (const { number, line } of linesOf(file, isPacked)) {
    const where = `${file}:${number}`;
    const read = line === undefined ? tooLong(where) : itemIn(line, where);
    if (read === undefined) continue;
    if ('effect' in read) yield { refused: read };
    else items.push(read);
    if (items.length < TOGETHER) continue;
    yield { unit: { isTransaction: false, items } };
    items = [];
  }
  if (items.length > 0) yield { unit: { isTransaction: false, items } };
}

/** Undefined for an empty line. */
function itemIn(line: Buffer, where: string): ImportItem | ImportedItem | undefined {
  if (line.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0d)) return undefined;
  try {
    const resource = resourceIn(parseJson(line));
    if (resource !== undefined) return itemOf(resource, where);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return unread(where, error.issues);
  }
  return unread(where, [issue('structure', 'The line is not a resource: a JSON object with a resourceType')]);
}

function tooLong(where: string): ImportedItem {
  return unread(where, [issue('too-costly', `The line has more than ${MAX_LINE / 1024 / 1024} MB`)]);
}

function unread(where: string, issues: ImportedItem['issues']): ImportedItem {
  return { where, type: '-', effect: 'refused', tagged: false, issues };
}

const NEW_LINE = 0x0a;

type Line = { readonly number: number /** Undefined where it is too long. */; readonly line: Buffer | undefined };

/** By line feeds alone: a JSON text may hold the other characters that break lines. */
async function* linesOf(file: string, isPacked: boolean): AsyncGenerator<Line> {
  let number = 0;
  let kept: Buffer[] = [];
  let size = 0;
  const next = (last: Buffer): Line => {
    number += 1;
    const whole = size + last.length > MAX_LINE ? undefined : Buffer.concat([...kept, last]);
    kept = [];
    size = 0;
    return { number, line: whole };
  };
  for await (const chunk of bytesOf(file, isPacked)) {
    let from = 0;
    for (let at = chunk.indexOf(NEW_LINE); at >= 0; at = chunk.indexOf(NEW_LINE, from)) {
      yield next(chunk.subarray(from, at));
      from = at + 1;
    }
    const rest = chunk.subarray(from);
    size += rest.length;
    if (size <= MAX_LINE) kept.push(Buffer.from(rest));
    else kept = [];
  }
  if (size > 0) {
    const last = size > MAX_LINE ? undefined : Buffer.concat(kept);
    yield { number: number + 1, line: last };
  }
}

// ---- bytes

const GZIP = [0x1f, 0x8b];

function formOf(file: string): { name: string; isPacked: boolean } {
  const start = Buffer.alloc(2);
  const handle = openSync(file, 'r');
  try {
    readSync(handle, start, 0, 2, 0);
  } finally {
    closeSync(handle);
  }
  return { name: file.replace(/\.gz$/i, ''), isPacked: GZIP.every((byte, at) => start[at] === byte) };
}

async function* bytesOf(file: string, isPacked: boolean): AsyncGenerator<Buffer> {
  const packed = createReadStream(file);
  const unpacked = isPacked ? packed.pipe(createGunzip()) : packed;
  packed.on('error', (error) => unpacked.destroy(error));
  try {
    yield* unpacked as AsyncIterable<Buffer>;
  } catch (cause) {
    const { code } = cause as { code?: unknown };
    if (typeof code !== 'string' || !code.startsWith('Z_')) throw cause;
    throw new Failure('invalid', issue('structure', `${file} is damaged: it cannot be unpacked (${code})`), { cause });
  }
}

async function whole(file: string, isPacked: boolean): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of bytesOf(file, isPacked)) {
    size += chunk.length;
    if (size > MAX_DOCUMENT) {
      const words = `${file} has more than ${MAX_DOCUMENT / 1024 / 1024} MB: write it as NDJSON, a resource in each line`;
      throw new Failure('too-large', issue('too-costly', words));
    }
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks);
  if (text.length === 0) throw new Failure('invalid', issue('structure', `${file} is empty`));
  return text;
}

function isJson(text: Buffer): boolean {
  try {
    return text.length > 0 && resourceIn(parseJson(text)) !== undefined;
  } catch (error) {
    if (error instanceof Failure) return false;
    throw error;
  }
}

/** The same refusal, with the file that it is about. */
function named(file: string, error: unknown): unknown {
  if (!(error instanceof Failure)) return error;
  const issues = error.issues.map((each) => ({ ...each, diagnostics: `${file}: ${each.diagnostics}` }));
  return new Failure(error.code, issues, { cause: error });
}
