/** What is wrong with a text that is not acceptable JSON, and where; never quotes the text. */
export type JsonFault = {
  readonly at: number;
  readonly what: string;
  /** Path of the element that was being read, `Patient.name[0].given`; undefined before the type of the resource is known. */
  readonly path?: string;
};

const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const SPACE = /[ \t\n\r]*/y;
const ELEMENT = /^_?[A-Za-z][A-Za-z0-9]{0,63}$/;
const TYPE = /^[A-Z][A-Za-z]{1,63}$/;
const LITERAL = /true|false|null/y;

/**
 * Reads `text` as JSON (RFC 8259) once more, slowly, up to the first fault. Nesting must be bounded before.
 *
 * Repeated keys, U+0000 and half surrogate pairs are faults here, although JSON.parse takes them.
 */
export function explainJson(text: string): JsonFault {
  const reader = new Reader(text);
  try {
    reader.document();
  } catch (fault) {
    if (!(fault instanceof Fault)) throw fault;
    const path = reader.path();
    return { at: fault.at, what: fault.what, ...(path === undefined ? {} : { path }) };
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
  /** Keys and indexes down to what is being read. */
  readonly #steps: (string | number)[] = [];
  #type: string | undefined;

  constructor(text: string) {
    this.#text = text;
  }

  document(): void {
    this.#value();
    if (this.#at < this.#text.length) throw this.#unexpected('the end of the text');
  }

  /** As far as the names are those of elements: others may be anything. */
  path(): string | undefined {
    let path = this.#type;
    if (path === undefined) return undefined;
    for (const step of this.#steps) {
      if (typeof step === 'number') path += `[${step}]`;
      else if (ELEMENT.test(step)) path += `.${step}`;
      else break;
    }
    return path;
  }

  #value(): void {
    this.#skip(SPACE);
    const char = this.#text[this.#at];
    if (char === '{') this.#object();
    else if (char === '[') this.#array();
    else if (char === '"') this.#stringValue();
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
      this.#steps.push(key);
      if (keys.has(key)) throw new Fault(start, 'a key that its object already has');
      keys.add(key);
      this.#skip(SPACE);
      this.#expect(':');
      this.#value();
      this.#steps.pop();
    });
  }

  #array(): void {
    let index = 0;
    this.#items(']', () => {
      this.#steps.push(index++);
      this.#value();
      this.#steps.pop();
    });
  }

  #stringValue(): void {
    const value = this.#string();
    const isType = this.#steps.length === 1 && this.#steps[0] === 'resourceType';
    if (isType && TYPE.test(value)) this.#type = value;
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
