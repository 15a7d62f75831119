/**
 * FHIRPath as a tree: the part of the language that constraints are written in (http://hl7.org/fhirpath/N1/).
 *
 * Dates, times, quantities with units and the names `$index` and `$total` are not read: `parseInvariant` answers
 * undefined for them as for text that is no FHIRPath, and the FHIRPath engine takes over.
 */
export type Expression =
  | { readonly kind: 'literal'; readonly value: string | number | boolean; readonly type: LiteralType }
  | { readonly kind: 'nothing' }
  | { readonly kind: 'this' }
  | { readonly kind: 'variable'; readonly name: string }
  | { readonly kind: 'step'; readonly from: Expression | undefined; readonly name: string }
  | { readonly kind: 'call'; readonly from: Expression | undefined; readonly name: string; readonly args: Expression[] }
  | { readonly kind: 'at'; readonly from: Expression; readonly index: Expression }
  | { readonly kind: 'type'; readonly operator: 'is' | 'as'; readonly from: Expression; readonly type: string }
  | { readonly kind: 'negative'; readonly of: Expression }
  | { readonly kind: 'binary'; readonly operator: string; readonly left: Expression; readonly right: Expression };

export type LiteralType = 'System.String' | 'System.Integer' | 'System.Decimal' | 'System.Boolean';

type Token = { readonly kind: 'name' | 'quoted' | 'string' | 'number' | 'variable' | 'symbol' | 'end'; text: string };

/** Longer and deeper than any published constraint. */
const MAX_LENGTH = 10_000;
const MAX_DEPTH = 50;

const NOT_READ = new Error('not in this part of FHIRPath');

/** Undefined for what is not read here. */
export function parseInvariant(text: string): Expression | undefined {
  if (text.length > MAX_LENGTH) return undefined;
  try {
    return new Parser(tokensOf(text)).whole();
  } catch (error) {
    if (error === NOT_READ) return undefined;
    throw error;
  }
}

const TOKEN = new RegExp(
  [
    /(?<space>\s+|\/\/[^\n]*|\/\*[\s\S]*?\*\/)/,
    /(?<name>[A-Za-z_][A-Za-z0-9_]*)/,
    /(?<number>[0-9]+(?:\.[0-9]+)?)/,
    /'(?<string>(?:[^'\\]|\\[\s\S])*)'/,
    /`(?<quoted>(?:[^`\\]|\\[\s\S])*)`/,
    /%(?<variable>[A-Za-z_][A-Za-z0-9_-]*)/,
    /%`(?<quotedVariable>[^`\\]*)`/,
    /(?<symbol>\$this|<=|>=|!=|[-+*/&|<>=.,()[\]{}])/,
  ]
    .map(({ source }) => source)
    .join('|'),
  'y',
);

function tokensOf(text: string): Token[] {
  const tokens: Token[] = [];
  for (let at = 0; at < text.length; ) {
    TOKEN.lastIndex = at;
    const groups = TOKEN.exec(text)?.groups;
    if (groups === undefined) throw NOT_READ;
    at = TOKEN.lastIndex;
    if (groups.space !== undefined) continue;
    if (groups.name !== undefined) tokens.push({ kind: 'name', text: groups.name });
    else if (groups.number !== undefined) tokens.push({ kind: 'number', text: groups.number });
    else if (groups.string !== undefined) tokens.push({ kind: 'string', text: unescaped(groups.string) });
    else if (groups.quoted !== undefined) tokens.push({ kind: 'quoted', text: unescaped(groups.quoted) });
    else if (groups.symbol !== undefined) tokens.push({ kind: 'symbol', text: groups.symbol });
    else tokens.push({ kind: 'variable', text: groups.variable ?? groups.quotedVariable ?? '' });
  }
  tokens.push({ kind: 'end', text: '' });
  return tokens;
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', f: '\f' };

function unescaped(text: string): string {
  return text.replace(/\\(?:u([0-9a-fA-F]{4})|([\s\S]))/g, (_whole, code?: string, char?: string) => {
    if (code !== undefined) return String.fromCharCode(Number.parseInt(code, 16));
    if (char === undefined || !/[nrtf'"`\\/]/.test(char)) throw NOT_READ;
    return ESCAPES[char] ?? char;
  });
}

/** From the loosest operator to the tightest; each is read from the left. */
const OPERATORS: readonly (readonly string[])[] = [
  ['implies'],
  ['or', 'xor'],
  ['and'],
  ['in', 'contains'],
  ['=', '!='],
  ['<', '>', '<=', '>='],
  ['|'],
  ['is', 'as'],
  ['+', '-', '&'],
  ['*', '/', 'div', 'mod'],
];
/** Words that are elements as well: `contains` after a dot, `as` nowhere else. */
const WORDS = new Set(['implies', 'or', 'xor', 'and', 'is', 'div', 'mod', 'true', 'false']);

class Parser {
  readonly #tokens: readonly Token[];
  #at = 0;
  #depth = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  whole(): Expression {
    const expression = this.#expression();
    if (this.#next().kind !== 'end') throw NOT_READ;
    return expression;
  }

  #expression(level = 0): Expression {
    const operators = OPERATORS[level];
    if (operators === undefined) return this.#signed();
    if (level === 0 && ++this.#depth > MAX_DEPTH) throw NOT_READ;
    let left = this.#expression(level + 1);
    for (;;) {
      const operator = this.#takeOneOf(operators);
      if (operator === undefined) break;
      left =
        operator === 'is' || operator === 'as'
          ? { kind: 'type', operator, from: left, type: this.#typeName() }
          : { kind: 'binary', operator, left, right: this.#expression(level + 1) };
    }
    if (level === 0) this.#depth--;
    return left;
  }

  #signed(): Expression {
    if (this.#take('-')) return { kind: 'negative', of: this.#signed() };
    if (this.#take('+')) return this.#signed();
    return this.#path();
  }

  #path(): Expression {
    let from = this.#term();
    for (;;) {
      if (this.#take('.')) from = this.#invocation(from);
      else if (this.#take('[')) {
        from = { kind: 'at', from, index: this.#expression() };
        this.#expect(']');
      } else return from;
    }
  }

  #term(): Expression {
    const token = this.#next();
    switch (token.kind) {
      case 'string':
        return { kind: 'literal', value: token.text, type: 'System.String' };
      case 'number':
        return this.#number(token.text);
      case 'variable':
        return { kind: 'variable', name: token.text };
      case 'name':
        if (token.text === 'true' || token.text === 'false') {
          return { kind: 'literal', value: token.text === 'true', type: 'System.Boolean' };
        }
        break;
      case 'symbol':
        if (token.text === '$this') return { kind: 'this' };
        if (token.text === '(') return this.#inParentheses();
        if (token.text === '{') {
          this.#expect('}');
          return { kind: 'nothing' };
        }
        throw NOT_READ;
    }
    this.#at--;
    return this.#invocation(undefined);
  }

  #number(text: string): Expression {
    // A number before a string or a calendar word is a quantity.
    if (this.#peek().kind === 'string' || /^(?:year|month|week|day|hour|minute|second)/.test(this.#peek().text)) {
      throw NOT_READ;
    }
    const type = text.includes('.') ? 'System.Decimal' : 'System.Integer';
    return { kind: 'literal', value: Number(text), type };
  }

  #inParentheses(): Expression {
    const expression = this.#expression();
    this.#expect(')');
    return expression;
  }

  #invocation(from: Expression | undefined): Expression {
    const { kind, text } = this.#next();
    if (kind === 'symbol' && text === '$this' && from !== undefined) throw NOT_READ;
    if (kind !== 'name' && kind !== 'quoted') throw NOT_READ;
    if (kind === 'name' && WORDS.has(text) && this.#peek().text !== '(') throw NOT_READ;
    if (!this.#take('(')) return { kind: 'step', from, name: text };
    const args: Expression[] = [];
    if (!this.#take(')')) {
      do args.push(this.#expression());
      while (this.#take(','));
      this.#expect(')');
    }
    return { kind: 'call', from, name: text, args };
  }

  /** `Quantity`, `FHIR.Quantity`, `System.String`. */
  #typeName(): string {
    const { kind, text } = this.#next();
    if (kind !== 'name' && kind !== 'quoted') throw NOT_READ;
    if (!(text === 'FHIR' || text === 'System') || !this.#take('.')) return text;
    return `${text}.${this.#next().text}`;
  }

  #takeOneOf(operators: readonly string[]): string | undefined {
    const { kind, text } = this.#peek();
    if ((kind !== 'symbol' && kind !== 'name') || !operators.includes(text)) return undefined;
    this.#at++;
    return text;
  }

  #take(symbol: string): boolean {
    const { kind, text } = this.#peek();
    if (kind !== 'symbol' || text !== symbol) return false;
    this.#at++;
    return true;
  }

  #expect(symbol: string): void {
    if (!this.#take(symbol)) throw NOT_READ;
  }

  #peek(): Token {
    return this.#tokens[this.#at] ?? { kind: 'end', text: '' };
  }

  #next(): Token {
    const token = this.#peek();
    this.#at++;
    return token;
  }
}
