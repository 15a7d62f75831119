import { readFileSync } from 'node:fs';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/**
 * Calls `visit` with the resource of each entry of a Bundle file, one after the other.
 *
 * The published definitions are a single JSON text of 35 MB whose object tree takes some 150 MB: parsing entry by
 * entry keeps the peak at the file and one entry.
 */
export function forEachResource(file: string, visit: (resource: Record<string, unknown>) => void): void {
  const text = readFileSync(file);
  let depth = 0;
  let start = -1;
  for (let at = 0; at < text.length; at++) {
    const byte = text[at];
    if (byte === QUOTE) {
      at = endOfString(text, at);
    } else if (byte === 0x7b || byte === 0x5b) {
      depth++;
      // Bundle is depth 1, its arrays are 2, an entry is 3.
      if (depth === 3 && byte === 0x7b) start = at;
    } else if (byte === 0x7d || byte === 0x5d) {
      depth--;
      if (depth === 2 && byte === 0x7d) {
        const entry = JSON.parse(text.toString('utf8', start, at + 1)) as { resource?: Record<string, unknown> };
        if (entry.resource !== undefined) visit(entry.resource);
      }
    }
  }
}

function endOfString(text: Buffer, from: number): number {
  for (let at = text.indexOf(QUOTE, from + 1); at > 0; at = text.indexOf(QUOTE, at + 1)) {
    let escapes = 0;
    while (text[at - 1 - escapes] === BACKSLASH) escapes++;
    if (escapes % 2 === 0) return at;
  }
  throw new Error('a definitions file ends inside a string');
}
