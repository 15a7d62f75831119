/**
 * Reads a tar archive as it comes, file by file: ustar with the long names of POSIX (pax) and GNU, which is all that
 * npm and the FHIR publishers write.
 *
 * Own code because it is a page: the well-kept readers bring along file systems and native parts that a package of
 * definitions must never get near.
 *
 * @see https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html#tag_20_92_13
 */
import { Failure, issue } from '../failure.ts';

export type TarFile = { readonly name: string; readonly content: Buffer };

export type TarLimits = {
  readonly unpackedBytes: number;
  readonly files: number;
  /** Names and other words about files; more are no archive of a package. */
  readonly headerBytes: number;
};

const BLOCK = 512;
const FILE_TYPES: ReadonlySet<string> = new Set(['0', '\0', '7']);
const LINK_TYPES: ReadonlySet<string> = new Set(['1', '2']);
const DIRECTORY = '5';
const PAX = 'x';
const PAX_FOR_ALL = 'g';
const GNU_LONG_NAME = 'L';

/**
 * The files that are wanted, in the order of the archive; what is not wanted is skipped and not kept.
 *
 * @throws Failure `invalid` for a damaged archive, one that ends early, one with links or devices, or with names that
 * lead out of it; `too-large` beyond a limit
 */
export async function* tarFiles(
  bytes: AsyncIterable<Buffer>,
  isWanted: (name: string) => boolean,
  limits: TarLimits,
): AsyncGenerator<TarFile> {
  const input = new Input(bytes, limits.unpackedBytes);
  let files = 0;
  let longName: string | undefined;
  for (;;) {
    const block = await input.take(BLOCK);
    // Two empty blocks end an archive; some writers leave them out.
    if (block === undefined || block.every((byte) => byte === 0)) break;
    const header = headerOf(block);
    if (++files > limits.files) throw tooLarge(`more than ${limits.files} files`);
    if (header.type === PAX || header.type === GNU_LONG_NAME || header.type === PAX_FOR_ALL) {
      if (header.size > limits.headerBytes) throw damaged('a name in it is too long');
      const content = await input.content(header);
      if (header.type === PAX) longName = paxPath(content) ?? longName;
      if (header.type === GNU_LONG_NAME) longName = textOf(content);
      continue;
    }
    const file = { ...header, name: longName ?? header.name };
    longName = undefined;
    checkName(file.name);
    checkType(file);
    if (header.type === DIRECTORY || !isWanted(file.name)) await input.skip(file);
    else yield { name: file.name, content: await input.content(file) };
  }
  await input.drain();
}

type Header = { readonly name: string; readonly size: number; readonly type: string };

function headerOf(block: Buffer): Header {
  const field = (from: number, length: number) => textOf(block.subarray(from, from + length));
  // The checksum is that of the header with blanks in its own place.
  let sum = 8 * 0x20;
  for (const [at, byte] of block.entries()) if (at < 148 || at >= 156) sum += byte;
  if (sum !== octal(field(148, 8))) throw damaged('a header in it has another checksum than it says');
  const size = octal(field(124, 12));
  if (size === undefined) throw damaged('the size of a file in it is no number');
  const isUstar = field(257, 5) === 'ustar';
  const prefix = isUstar && block[262] === 0 ? field(345, 155) : '';
  const name = field(0, 100);
  return { name: prefix === '' ? name : `${prefix}/${name}`, size, type: block.toString('latin1', 156, 157) };
}

function octal(text: string): number | undefined {
  const digits = text.trim();
  return /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : undefined;
}

function textOf(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString('utf8', 0, end < 0 ? bytes.length : end);
}

/** Records are `length key=value\n`, the length counting the whole record. */
function paxPath(content: Buffer): string | undefined {
  let path: string | undefined;
  for (let at = 0; at < content.length; ) {
    const blank = content.indexOf(0x20, at);
    const length = blank < 0 ? Number.NaN : Number(content.toString('latin1', at, blank));
    if (!Number.isInteger(length) || length <= 0) throw damaged('the name of a file in it cannot be read');
    const record = content.toString('utf8', blank + 1, at + length - 1);
    if (record.startsWith('path=')) path = record.slice('path='.length);
    // A size beyond 8 GB would be said here: the limit is far below.
    if (record.startsWith('size=')) throw tooLarge('a file that is larger than an archive of definitions may be');
    at += length;
  }
  return path;
}

function checkName(name: string): void {
  const steps = name.split(/[/\\]/);
  if (name.startsWith('/') || /^[A-Za-z]:/.test(name) || steps.includes('..') || name.includes('\0')) {
    const words = 'The package has a file whose name leads out of it (.. or an absolute path): it is not to be trusted';
    throw new Failure('invalid', issue('security', words));
  }
}

function checkType({ type, name }: Header): void {
  if (FILE_TYPES.has(type) || type === DIRECTORY) return;
  const kind = LINK_TYPES.has(type) ? 'a link' : 'no ordinary file';
  throw new Failure(
    'invalid',
    issue('security', `The package has ${kind}: ${shortened(name)}. It may have files alone`),
  );
}

function shortened(name: string): string {
  const printable = name.replace(/[^\x20-\x7e]/g, '?');
  return printable.length > 100 ? `${printable.slice(0, 100)}…` : printable;
}

/** The unpacked bytes, counted. */
class Input {
  readonly #source: AsyncIterator<Buffer>;
  readonly #limit: number;
  #chunks: Buffer[] = [];
  #held = 0;
  #read = 0;

  constructor(bytes: AsyncIterable<Buffer>, limit: number) {
    this.#source = bytes[Symbol.asyncIterator]();
    this.#limit = limit;
  }

  /** Undefined at the end of the archive. */
  async take(length: number): Promise<Buffer | undefined> {
    while (this.#held < length && (await this.#more()));
    if (this.#held === 0 && length > 0) return undefined;
    if (this.#held < length) throw damaged('it ends in the middle of a file');
    const whole = this.#chunks.length === 1 ? (this.#chunks[0] as Buffer) : Buffer.concat(this.#chunks);
    this.#hold(whole.subarray(length));
    return whole.subarray(0, length);
  }

  async content(header: Header): Promise<Buffer> {
    if (header.size > this.#limit) throw tooLarge(`more than ${this.#limit / MEGABYTE} MB`);
    const padded = paddedSize(header);
    const bytes = padded === 0 ? Buffer.alloc(0) : await this.take(padded);
    if (bytes === undefined) throw damaged('it ends before a file that it has a header of');
    // A copy: the whole chunk would stay in memory with it.
    return Buffer.from(bytes.subarray(0, header.size));
  }

  async skip(header: Header): Promise<void> {
    let left = paddedSize(header);
    while (left > 0) {
      if (this.#held === 0 && !(await this.#more())) throw damaged('it ends in the middle of a file');
      const step = Math.min(left, this.#held);
      await this.take(step);
      left -= step;
    }
  }

  /** To the end, so that damage there is found and the limit holds there too. */
  async drain(): Promise<void> {
    do this.#hold(Buffer.alloc(0));
    while (await this.#more());
  }

  async #more(): Promise<boolean> {
    const { value, done } = await this.#source.next();
    if (done === true) return false;
    this.#read += value.length;
    if (this.#read > this.#limit) {
      await this.#source.return?.();
      throw tooLarge(`more than ${this.#limit / MEGABYTE} MB when it is unpacked`);
    }
    this.#chunks.push(value);
    this.#held += value.length;
    return true;
  }

  #hold(rest: Buffer): void {
    this.#chunks = rest.length === 0 ? [] : [rest];
    this.#held = rest.length;
  }
}

const MEGABYTE = 1024 * 1024;

function paddedSize({ size }: Header): number {
  return Math.ceil(size / BLOCK) * BLOCK;
}

function damaged(what: string): Failure {
  const words = `The package is damaged: ${what}. Fetch it again; it must be a .tgz file as npm and FHIR registries have it`;
  return new Failure('invalid', issue('structure', words));
}

function tooLarge(what: string): Failure {
  return new Failure('too-large', issue('too-long', `The package has ${what}: it is not taken`));
}
