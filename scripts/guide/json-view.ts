/**
 * JSON as its author wrote it, coloured by kind, with the lines of one place marked.
 *
 * It reads the text and not a parsed value, so that numbers keep their digits and lines their breaks.
 */
import { type Html, html, type Piece } from './html.ts';

type Token = { readonly text: string; readonly kind: 'key' | 'string' | 'number' | 'word' | 'sign' | 'space' };

const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null|[{}[\]:,]|\s+/y;

function* tokensOf(text: string): Generator<Token> {
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.length) {
    const at = TOKEN.lastIndex;
    const found = TOKEN.exec(text)?.[0];
    if (found === undefined) throw new Error(`not JSON at character ${at}`);
    yield { text: found, kind: kindOf(found, text, TOKEN.lastIndex) };
  }
}

function kindOf(token: string, text: string, end: number): Token['kind'] {
  const first = token[0] as string;
  if (first === '"') return /^\s*:/.test(text.slice(end, end + 8)) ? 'key' : 'string';
  if (/[-\d]/.test(first)) return 'number';
  if (/[a-z]/.test(first)) return 'word';
  return /\s/.test(first) ? 'space' : 'sign';
}

const STYLE: Readonly<Record<Token['kind'], string | undefined>> = {
  key: 'k',
  string: 's',
  number: 'n',
  word: 'w',
  sign: undefined,
  space: undefined,
};

/** @param marked FHIRPaths of issues; the lines of what they name are marked, as far down as there is something */
export function jsonView(text: string, label: string, marked: readonly string[] = []): Html {
  const trimmed = text.trim();
  const places = linesOf(trimmed);
  const isMarked = new Set(marked.flatMap((expression) => markedLines(expression, places)));
  const lines: Piece[][] = [[]];
  for (const token of tokensOf(trimmed)) {
    for (const [at, part] of token.text.split('\n').entries()) {
      if (at > 0) lines.push([]);
      const style = STYLE[token.kind];
      if (part !== '') lines.at(-1)?.push(style === undefined ? part : html`<span class="${style}">${part}</span>`);
    }
  }
  const shown = lines.map((line, at) => {
    const end = at < lines.length - 1 ? '\n' : '';
    return isMarked.has(at) ? html`<mark>${line}</mark>${end}` : [line, end];
  });
  return html`<pre class="json" tabindex="0" aria-label="${label}"><code>${shown}</code></pre>
`;
}

type Lines = { first: number; last: number };

/** First and last line of each value, by JSON pointer. */
function linesOf(text: string): Map<string, Lines> {
  const found = new Map<string, Lines>();
  const open: { pointer: string; key: string; index: number | undefined; from: number }[] = [];
  let line = 0;
  let keyLine = 0;
  const pointerHere = () => {
    const parent = open.at(-1);
    return parent === undefined ? '' : `${parent.pointer}/${parent.index ?? parent.key}`;
  };
  for (const { text: token, kind } of tokensOf(text)) {
    const parent = open.at(-1);
    const from = parent === undefined || parent.index !== undefined ? line : keyLine;
    if (kind === 'key' && parent !== undefined) {
      parent.key = JSON.parse(token) as string;
      keyLine = line;
    } else if (token === '{' || token === '[') {
      open.push({ pointer: pointerHere(), key: '', index: token === '[' ? 0 : undefined, from });
    } else if (token === '}' || token === ']') {
      const closed = open.pop();
      if (closed !== undefined) found.set(closed.pointer, { first: closed.from, last: line });
    } else if (token === ',' && parent?.index !== undefined) {
      parent.index++;
    } else if (kind === 'string' || kind === 'number' || kind === 'word') {
      found.set(pointerHere(), { first: from, last: line });
    }
    line += token.split('\n').length - 1;
  }
  return found;
}

/** More lines than this are marked by their first one. */
const MOST_MARKED = 14;

function markedLines(expression: string, places: ReadonlyMap<string, Lines>): number[] {
  let pointer = '';
  for (const candidates of stepsOf(expression)) {
    const next = candidates.map((step) => `${pointer}/${step}`).find((one) => places.has(one));
    if (next === undefined) break;
    pointer = next;
  }
  const lines = places.get(pointer);
  if (lines === undefined || pointer === '') return [];
  const count = lines.last - lines.first + 1;
  return Array.from({ length: count > MOST_MARKED ? 1 : count }, (_, at) => lines.first + at);
}

const STEP = /\.ofType\((\w+)\)|\[(\d+)\]|(?:^|\.)`?([A-Za-z_]\w*)`?/g;

/** The steps below the resource, each with the keys that it may stand for: `value.ofType(Quantity)` is valueQuantity. */
function stepsOf(expression: string): string[][] {
  const steps: string[][] = [];
  for (const [, type, index, name] of expression.matchAll(STEP)) {
    if (index !== undefined) steps.push([index]);
    else if (type !== undefined) {
      const last = steps.at(-1)?.[0];
      if (last !== undefined) steps[steps.length - 1] = [`${last}${type[0]?.toUpperCase()}${type.slice(1)}`];
    } else if (name !== undefined) steps.push([name, `_${name}`]);
  }
  return steps.slice(1); // the first step is the type of the resource
}
