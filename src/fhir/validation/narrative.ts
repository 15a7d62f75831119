/**
 * Narrative.div: constraints txt-1 (basic formatting alone, nothing active) and txt-2 (some content), and that it is
 * well-formed XML, since it is written as such in XML (https://hl7.org/fhir/R4/narrative.html#xhtml).
 *
 * One pass over the text, in time linear in its length.
 */

/** Chapters 7 to 11 and 15 of HTML 4.0, links and images; as the XPath of txt-1 lists them, with what its words add. */
const ELEMENTS = wordsIn(
  'a abbr acronym address area b bdo big blockquote br caption cite code col colgroup dd dfn div dl dt em h1 h2 h3 ' +
    'h4 h5 h6 hr i img kbd li map ol p pre q samp small span strong sub sup table tbody td tfoot th thead tr tt ul var',
);
const ATTRIBUTES = wordsIn(
  'abbr accesskey align alt axis bgcolor border cellhalign cellpadding cellspacing cellvalign char charoff charset cite ' +
    'class colspan compact coords dir frame headers height href hreflang hspace id lang longdesc name nowrap rel rev ' +
    'rowspan rules scope shape span src start style summary tabindex title type usemap valign value vspace width xmlns ' +
    'xml:lang xml:space',
);

function wordsIn(text: string): ReadonlySet<string> {
  return new Set(text.split(' '));
}

const XHTML = 'http://www.w3.org/1999/xhtml';
const NAME = /[A-Za-z][A-Za-z0-9:-]*/y;
const SPACE = /[ \t\r\n]*/y;
/** A value has no < in it; either quote goes. */
const VALUE = /[ \t\r\n]*=[ \t\r\n]*(?:"([^"<]*)"|'([^'<]*)')/y;
const REFERENCE = /&(?:amp|lt|gt|quot|apos|#[0-9]{1,7}|#x[0-9A-Fa-f]{1,6});/y;
// biome-ignore lint/suspicious/noControlCharactersInRegex: XML has no place for these
const NOT_IN_XML = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/;
/** Of a link or image; white space and control characters before or in the scheme do not hide it from a browser. */
const ACTIVE = /^(?:javascript|vbscript|data:text\/html)/i;

/** Whether a text is one `div` of XHTML with some content, and without anything active. */
export function isNarrative(text: string): boolean {
  if (PLAIN.test(text)) return true;
  const whole = text.trim();
  if (!/^<div[\s>]/.test(whole) || NOT_IN_XML.test(whole)) return false;
  return new Scan(whole).isNarrative();
}

/** What most systems write: a paragraph, or text alone. */
const PLAIN =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: XML has no place for these
  /^<div(?: xmlns="http:\/\/www\.w3\.org\/1999\/xhtml")?>(?:<p>[A-Za-z0-9][^<&\u0000-\u001f\ufffe\uffff]*<\/p>|[A-Za-z0-9][^<&\u0000-\u001f\ufffe\uffff]*)<\/div>$/;

class Scan {
  readonly #text: string;
  readonly #open: string[] = [];
  #at = 0;
  #hasContent = false;

  constructor(text: string) {
    this.#text = text;
  }

  isNarrative(): boolean {
    do {
      const next = this.#text.indexOf('<', this.#at);
      if (next < 0 || !this.#isText(this.#at, next)) return false;
      this.#at = next;
      if (!(this.#text.startsWith('<!--', next) ? this.#comment() : this.#tag())) return false;
    } while (this.#open.length > 0);
    return this.#hasContent && this.#at === this.#text.length;
  }

  /** Text between tags: no & but in a reference. */
  #isText(from: number, to: number): boolean {
    const part = this.#text.slice(from, to);
    this.#hasContent ||= part.trim() !== '';
    return areReferences(part);
  }

  #comment(): boolean {
    const end = this.#text.indexOf('--', this.#at + 4);
    if (end < 0 || this.#text.charAt(end + 2) !== '>') return false;
    this.#at = end + 3;
    return true;
  }

  #tag(): boolean {
    const isEnd = this.#text.charAt(this.#at + 1) === '/';
    this.#at += isEnd ? 2 : 1;
    const name = this.#take(NAME);
    if (name === undefined || !ELEMENTS.has(name)) return false;
    if (isEnd) {
      this.#take(SPACE);
      return this.#open.pop() === name && this.#takeText('>');
    }
    if (!this.#attributes()) return false;
    const isEmpty = this.#takeText('/');
    if (!isEmpty) this.#open.push(name);
    this.#hasContent ||= name === 'img';
    return this.#takeText('>');
  }

  #attributes(): boolean {
    if (this.#text.charAt(this.#at) === '>') return true;
    const seen = new Set<string>();
    for (;;) {
      const hasSpace = this.#take(SPACE) !== '';
      const next = this.#text.charAt(this.#at);
      if (next === '>' || next === '/') return true;
      const name = hasSpace ? this.#take(NAME) : undefined;
      if (name === undefined || seen.has(name) || !(ATTRIBUTES.has(name) || name.startsWith('data-'))) return false;
      seen.add(name);
      VALUE.lastIndex = this.#at;
      const found = VALUE.exec(this.#text);
      const value = found?.[1] ?? found?.[2];
      if (value === undefined || !areReferences(value)) return false;
      if (name === 'xmlns' ? value !== XHTML : ADDRESSES.has(name) && isActive(value)) return false;
      this.#at = VALUE.lastIndex;
    }
  }

  #take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    if (found !== undefined) this.#at += found.length;
    return found;
  }

  #takeText(text: string): boolean {
    const isThere = this.#text.startsWith(text, this.#at);
    if (isThere) this.#at += text.length;
    return isThere;
  }
}

const ADDRESSES = wordsIn('href src cite longdesc usemap');

function isActive(address: string): boolean {
  const plain = address
    .slice(0, 200)
    .replace(/&#(?:x([0-9A-Fa-f]{1,6})|([0-9]{1,7}));/g, (_whole, hex?: string, decimal?: string) =>
      character(hex === undefined ? Number(decimal) : Number.parseInt(hex, 16)),
    );
  // biome-ignore lint/suspicious/noControlCharactersInRegex: browsers skip them
  return ACTIVE.test(plain.replace(/[\u0000-\u0020]/g, ''));
}

function character(code: number): string {
  return code <= 0x10ffff ? String.fromCodePoint(code) : '';
}

/** XML knows five entities, and characters by number. */
function areReferences(text: string): boolean {
  for (let at = text.indexOf('&'); at >= 0; at = text.indexOf('&', at + 1)) {
    REFERENCE.lastIndex = at;
    if (!REFERENCE.test(text)) return false;
  }
  return true;
}
