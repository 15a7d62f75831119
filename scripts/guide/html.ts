/** HTML as text that is safe to show: whatever goes into a template is escaped, unless it is HTML already. */
import { escaped } from '../../src/kap/xml-text.ts';

/** Made by `html`; made otherwise of our own words only, such as the style sheet and a picture that escapes by itself. */
export class Html {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

export type Piece = Html | string | number | undefined | false | readonly Piece[];

/** Pieces are escaped; lists are written one after the other; undefined and false are nothing. Attributes need quotes. */
export function html(strings: TemplateStringsArray, ...pieces: readonly Piece[]): Html {
  let text = strings[0] ?? '';
  pieces.forEach((piece, at) => {
    text += written(piece) + (strings[at + 1] ?? '');
  });
  return new Html(text);
}

function written(piece: Piece): string {
  if (piece instanceof Html) return piece.text;
  if (piece === undefined || piece === false) return '';
  if (typeof piece === 'string') return escaped(piece);
  if (typeof piece === 'number') return String(piece);
  return piece.map(written).join('');
}

/** The pieces with something between them. */
export function joined(pieces: readonly Piece[], between: Piece = ', '): Piece {
  return pieces.flatMap((piece, at) => (at === 0 ? [piece] : [between, piece]));
}

export type Column = {
  readonly head: string;
  /** Of the cells, for the style. */
  readonly name?: string;
};

/**
 * A table that scrolls inside where it is wider than the page; on a phone its rows are blocks of lines. The first cell of
 * a row names it. `name` is for the style.
 */
export function table(caption: string, columns: readonly Column[], rows: readonly TableRow[], name = 'list'): Html {
  return html`<div class="wide" role="region" aria-label="${caption}" tabindex="0">
<table class="${name}"><caption>${caption}</caption>
<thead><tr>${columns.map(({ head }) => html`<th scope="col">${head}</th>`)}</tr></thead>
<tbody>
${rows.map((row) => tableRow(row, columns))}</tbody></table></div>
`;
}

export type TableRow = { readonly id?: string; readonly name?: string; readonly cells: readonly Piece[] };

function tableRow({ id, name, cells }: TableRow, columns: readonly Column[]): Html {
  const attributes = [id && html` id="${id}"`, name && html` class="${name}"`];
  return html`<tr${attributes.map((one) => one || undefined)}>${cells.map((cell, at) => {
    const style = columns[at]?.name === undefined ? undefined : html` class="${columns[at].name}"`;
    return at === 0 ? html`<th scope="row"${style}>${cell}</th>` : html`<td${style}>${cell}</td>`;
  })}</tr>
`;
}

/** What is known of a thing, as names and values; what is not there is left out. */
export function facts(list: readonly (readonly [name: string, value: Piece])[]): Html {
  const known = list.filter(([, value]) => !isNothing(value));
  return html`<dl class="facts">
${known.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>\n`)}</dl>
`;
}

function isNothing(piece: Piece): boolean {
  return piece === undefined || piece === false || piece === '' || (Array.isArray(piece) && piece.every(isNothing));
}

/** A text of several paragraphs, as its author parted it. */
export function paragraphs(text: string | undefined): Piece {
  if (text === undefined) return undefined;
  return text.split(/\n\s*\n/).map((part) => html`<p>${part.trim()}</p>\n`);
}

/** A name as the target of a link: letters, digits, dots and hyphens; others by their number. */
export function anchor(...parts: readonly string[]): string {
  return parts.map((part) => part.replace(/[^A-Za-z0-9.-]/g, (sign) => `_${sign.codePointAt(0)}`)).join('-');
}
