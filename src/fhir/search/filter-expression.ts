/**
 * `_filter`: conditions joined by and, or, not and parentheses.
 *
 * Left to right without precedence, as R4 has it. Names are search parameters; `subject[gender eq female].name co "an"`
 * asks both of the same subject.
 *
 * @see https://hl7.org/fhir/R4/search_filter.html
 */
import { type CriterionContext, parameterOf, targetsOf, tooCostly, valueCondition } from './criterion.ts';
import { escaped, InvalidSearch, UnknownInSearch } from './escaping.ts';
import type { SearchFilter } from './filter.ts';
import type { TypeSearchParameter } from './parameters.ts';
import { folded } from './values.ts';

const MAX_NESTING = 32;
const MAX_TOKENS = 1000;

type Token = { readonly text: string; readonly at: number; readonly quoted?: string };

/** @throws InvalidSearch with the place in the text; Failure `invalid` with too-costly */
export function filterExpression(type: string, text: string, place: string, context: CriterionContext): SearchFilter {
  const parser = new Parser(tokensOf(text), place, context);
  return parser.whole(type);
}

/** Words end at a space, a bracket or, in a path, at a dot before a name; a value is a word or a quoted text. */
function tokensOf(text: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  while (at < text.length) {
    const char = text[at] as string;
    if (/\s/.test(char)) at++;
    else if (char === '"') {
      const token = quotedToken(text, at);
      tokens.push(token);
      at += token.text.length;
    } else if ('()[]'.includes(char)) {
      tokens.push({ text: char, at });
      at++;
    } else {
      const from = at;
      while (at < text.length && !/[\s()[\]"]/.test(text[at] as string)) at++;
      tokens.push({ text: text.slice(from, at), at: from });
    }
    if (tokens.length > MAX_TOKENS) throw new InvalidSearch(`A filter has at most ${MAX_TOKENS} words`, 'too-costly');
  }
  return tokens;
}

function quotedToken(text: string, at: number): Token {
  let end = at + 1;
  while (end < text.length && text[end] !== '"') end += text[end] === '\\' ? 2 : 1;
  if (end >= text.length) throw wrong('a text without its end', at);
  const source = text.slice(at, end + 1);
  try {
    return { text: source, at, quoted: String(JSON.parse(source)) };
  } catch {
    throw wrong('a text with an escape that JSON does not have', at);
  }
}

function wrong(what: string, at: number): InvalidSearch {
  return new InvalidSearch(`The filter has ${what} at character ${at + 1}`, 'invalid', 'MSG_BAD_SYNTAX');
}

class Parser {
  readonly #tokens: readonly Token[];
  readonly #place: string;
  readonly #context: CriterionContext;
  #next = 0;
  #nesting = 0;

  constructor(tokens: readonly Token[], place: string, context: CriterionContext) {
    this.#tokens = tokens;
    this.#place = place;
    this.#context = context;
  }

  whole(type: string): SearchFilter {
    const filter = this.#logical(type);
    if (this.#next < this.#tokens.length) throw this.#wrong('something more than a condition');
    return filter;
  }

  #wrong(what: string): InvalidSearch {
    const last = this.#tokens.at(-1);
    return wrong(what, this.#tokens[this.#next]?.at ?? (last === undefined ? 0 : last.at + last.text.length));
  }

  #accept(text: string): boolean {
    const token = this.#tokens[this.#next];
    if (token?.text !== text) return false;
    this.#next++;
    return true;
  }

  #expect(text: string): void {
    if (!this.#accept(text)) throw this.#wrong(`no '${text}'`);
  }

  #logical(type: string): SearchFilter {
    if (++this.#nesting > MAX_NESTING) throw tooCostly(`A filter is nested at most ${MAX_NESTING} deep`, this.#place);
    let left = this.#term(type);
    for (;;) {
      if (this.#accept('and')) left = joined('all', left, this.#term(type));
      else if (this.#accept('or')) left = joined('any', left, this.#term(type));
      else break;
    }
    this.#nesting--;
    return left;
  }

  #term(type: string): SearchFilter {
    if (this.#accept('not')) {
      this.#expect('(');
      const filter = this.#logical(type);
      this.#expect(')');
      return { kind: 'not', filter };
    }
    if (this.#accept('(')) {
      const filter = this.#logical(type);
      this.#expect(')');
      return filter;
    }
    const token = this.#tokens[this.#next];
    if (token === undefined || token.quoted !== undefined) throw this.#wrong('no name of a parameter');
    this.#next++;
    return this.#path(type, token.text.split('.'));
  }

  /** `names` are the rest of a path up to the next bracket or the operator. */
  #path(type: string, names: readonly string[]): SearchFilter {
    const [code = '', ...rest] = names;
    const parameter = parameterOf(type, code, this.#context.registry);
    const from = this.#next;
    if (rest.length > 0) return this.#through(parameter, from, (target) => this.#path(target, rest));
    if (this.#tokens[from]?.text !== '[') return this.#condition(parameter);
    return this.#through(parameter, from, (target) => {
      this.#expect('[');
      const one = this.#logical(target);
      this.#expect(']');
      const token = this.#tokens[this.#next];
      if (token?.text.startsWith('.') !== true) throw this.#wrong("no '.parameter' behind the bracket");
      this.#next++;
      return joined('all', one, this.#path(target, token.text.slice(1).split('.')));
    });
  }

  /** The rest is read once for each type that the reference may lead to. */
  #through(parameter: TypeSearchParameter, from: number, rest: (target: string) => SearchFilter): SearchFilter {
    if (parameter.kind !== 'reference') {
      throw new InvalidSearch(
        `'${parameter.code}' is no reference: nothing follows it`,
        'invalid',
        'MSG_PARAM_CHAINED',
      );
    }
    const filters: SearchFilter[] = [];
    let refusal: InvalidSearch | undefined;
    let end = from;
    for (const target of targetsOf(parameter, this.#context.registry)) {
      this.#next = from;
      const nesting = this.#nesting;
      try {
        filters.push({ kind: 'chain', parameter, target, filter: rest(target) });
        end = this.#next;
      } catch (error) {
        if (!(error instanceof InvalidSearch)) throw error;
        if (refusal === undefined || refusal instanceof UnknownInSearch) refusal = error;
        this.#nesting = nesting;
      }
      // Each type reads the rest again: what that may come to is bounded.
      if (--this.#context.budget.conditions < 0)
        throw tooCostly('The filter leads through too many types', this.#place);
    }
    this.#next = end;
    if (filters.length === 0) throw refusal ?? this.#wrong('a reference to nothing');
    return filters.length === 1 ? (filters[0] as SearchFilter) : { kind: 'any', filters };
  }

  #condition(parameter: TypeSearchParameter): SearchFilter {
    if (--this.#context.budget.conditions < 0 || --this.#context.budget.values < 0) {
      throw tooCostly('The filter has too many conditions', this.#place);
    }
    const operator = this.#tokens[this.#next]?.text ?? '';
    if (!OPERATORS.has(operator)) throw this.#wrong(`no operator (${[...OPERATORS].join(' ')})`);
    this.#next++;
    const token = this.#tokens[this.#next];
    if (token === undefined || '()[]'.includes(token.text)) throw this.#wrong('no value');
    this.#next++;
    return this.#compared(parameter, operator, token.quoted ?? token.text);
  }

  #compared(parameter: TypeSearchParameter, operator: string, value: string): SearchFilter {
    if (operator === 'pr' && (parameter.stored === 'index' || parameter.stored === 'column')) {
      if (value !== 'true' && value !== 'false') throw new InvalidSearch('pr is true or false');
      return { kind: 'missing', parameter, missing: value === 'false' };
    }
    // Present, and nothing of it equal.
    if (operator === 'ne' && !ORDERED.has(parameter.kind)) {
      const equal = this.#compared(parameter, 'eq', value);
      return {
        kind: 'all',
        filters: [
          { kind: 'missing', parameter, missing: false },
          { kind: 'not', filter: equal },
        ],
      };
    }
    const made = this.#madeFor(parameter, operator, value);
    if (made !== undefined) return made;
    const message = `'${operator}' is not an operator of '${parameter.code}' (${parameter.kind})`;
    throw new InvalidSearch(message, 'not-supported');
  }

  #madeFor(parameter: TypeSearchParameter, operator: string, value: string): SearchFilter | undefined {
    const plain = (modifier: string | undefined, text: string) =>
      valueCondition(parameter, modifier, [text], this.#place, this.#context);
    switch (parameter.kind) {
      case 'string': {
        const match = STRING_MATCH[operator];
        const text = folded(value);
        if (text === '') throw new InvalidSearch('A text to search for needs a letter or a digit');
        return parameter.stored !== 'index' || match === undefined
          ? undefined
          : { kind: 'string', parameter, match, values: [text] };
      }
      case 'token': {
        const modifier = TOKEN_MODIFIERS[operator];
        // A bar divides system and code here as in a token; all else stands for itself.
        return modifier === undefined ? undefined : plain(modifier || undefined, withBars(value));
      }
      case 'reference':
        return operator === 'eq' || operator === 're' ? plain(undefined, escaped(value)) : undefined;
      case 'uri':
        if (operator === 'eq') return plain(undefined, withBars(value));
        return operator === 'sw' ? plain('below', escaped(value)) : undefined;
      case 'date':
        if (operator === 'po') return overlapping(plain(undefined, `eq${value}`));
        return DATE_OPERATORS.has(operator) ? plain(undefined, operator + escaped(value)) : undefined;
      case 'number':
      case 'quantity':
        return DATE_OPERATORS.has(operator) ? plain(undefined, operator + withBars(value)) : undefined;
      default:
        return undefined;
    }
  }
}

const OPERATORS: ReadonlySet<string> = new Set('eq ne co sw ew gt lt ge le ap sa eb pr po ss sb in ni re'.split(' '));
const ORDERED: ReadonlySet<string> = new Set(['date', 'number', 'quantity']);
const DATE_OPERATORS: ReadonlySet<string> = new Set('eq ne gt lt ge le ap sa eb'.split(' '));
const STRING_MATCH: Readonly<Record<string, 'whole' | 'contains' | 'prefix' | 'suffix'>> = {
  eq: 'whole',
  co: 'contains',
  sw: 'prefix',
  ew: 'suffix',
};
/** ss: the value in the resource subsumes the given one; sb: it is subsumed by it. */
const TOKEN_MODIFIERS: Readonly<Record<string, string>> = {
  eq: '',
  co: 'text',
  in: 'in',
  ni: 'not-in',
  ss: 'above',
  sb: 'below',
};

function withBars(value: string): string {
  return value.split('|').map(escaped).join('|');
}

/** As a range that shares any moment with the other. */
function overlapping(filter: SearchFilter): SearchFilter {
  if (filter.kind !== 'date') return filter;
  return { ...filter, values: filter.values.map((value) => ({ ...value, prefix: 'ap' as const })) };
}

function joined(kind: 'any' | 'all', left: SearchFilter, right: SearchFilter): SearchFilter {
  return left.kind === kind ? { kind, filters: [...left.filters, right] } : { kind, filters: [left, right] };
}
