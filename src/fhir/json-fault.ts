/** What is wrong with a text that is not acceptable JSON, and where; never quotes the text. */
export type JsonFault = { readonly at: number; readonly what: string };

const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const SPACE = /[ \t\n\r]*/y;
const LITERAL = /true|false|null/y;

/**
 * Reads `text` as JSON (RFC 8259) once more, slowly, up to the first fault. Nesting must be bounded before.
 *
 * Repeated keys, U+0000 and half surrogate pairs are faults here, although JSON.parse takes them.
 */
export function explainJson(text: string): JsonFault {
  try {
    new Reader(text).document();
  } catch (fault) {
    if (fault instanceof Fault) return fault;
    throw fault;
  }
  return { at: text.length, what: 'something the reader does not understand' };
}

class Fault extends Error {
  readonly at: number;
  readonly what: string;
  constructor(at: number, what: string) {
    super(what);
    this.at = at;
    this.what = what;
  }
}

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  document(): void {
    this.#value();
    if (this.#at < this.#text.length) throw this.#unexpected('the end of the text');
  }

  #value(): void {
    this.#skip(SPACE);
    const char = this.#text[this.#at];
    if (char === '{') this.#object();
    else if (char === '[') this.#array();
    else if (char === '"') this.#string();
    else if (!this.#skip(NUMBER) && !this.#skip(LITERAL)) throw this.#unexpected('a value');
    this.#skip(SPACE);
  }

  #object(): void {
    const keys = new Set<string>();
    this.#items('}', () => {
      this.#skip(SPACE);
      const start = this.#at;
      if (this.#text[start] !== '"') throw this.#unexpected('a key in double quotes');
      const key = this.#string();
      if (keys.has(key)) throw new Fault(start, 'a key that its object already has');
      keys.add(key);
      this.#skip(SPACE);
      this.#expect(':');
      this.#value();
    });
  }

  #array(): void {
    this.#items(']', () => this.#value());
  }

  #items(close: string, item: () => void): void {
    this.#at++;
    this.#skip(SPACE);
    if (this.#text[this.#at] === close) {
      this.#at++;
      return;
    }
    for (;;) {
      item();
      this.#skip(SPACE);
      if (this.#text[this.#at] !== ',') break;
      this.#at++;
    }
    this.#expect(close, `a comma or ${close}`);
  }

  #string(): string {
    const start = this.#at;
    for (this.#at++; this.#text[this.#at] !== '"'; this.#at++) {
      if (this.#at >= this.#text.length) throw new Fault(start, 'a string that does not end');
      if (this.#text.charCodeAt(this.#at) < 0x20) throw new Fault(this.#at, 'a control character inside a string');
      if (this.#text[this.#at] === '\\') this.#escape();
    }
    this.#at++;
    const value = JSON.parse(this.#text.slice(start, this.#at)) as string;
    if (value.includes('\u0000')) throw new Fault(start, 'a string with the character U+0000, which cannot be stored');
    if (!value.isWellFormed()) throw new Fault(start, 'a string with half of a surrogate pair');
    return value;
  }

  #escape(): void {
    const pattern = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text);
    if (found === null) throw new Fault(this.#at, 'an escape that JSON does not have');
    this.#at += found[0].length - 1;
  }

  #expect(char: string, words = `a ${char}`): void {
    if (this.#text[this.#at] !== char) throw this.#unexpected(words);
    this.#at++;
  }

  #unexpected(wanted: string): Fault {
    const what = this.#at >= this.#text.length ? 'the text ends' : 'unexpected character';
    return new Fault(this.#at, `${what} where ${wanted} is needed,`);
  }

  #skip(pattern: RegExp): boolean {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text);
    if (found === null) return false;
    this.#at += found[0].length;
    return true;
  }
}
