/**
 * The part of FHIRPath in which R4 defines its search parameters, as a tree: paths, `|`, `ofType()`/`as`, `[n]`,
 * `.where(resolve() is T)`, `.where(element='text')`, `.extension('url')`, and the comparisons of Patient.deceased.
 * Anything else is refused when the registry compiles, never guessed at.
 *
 * @see http://hl7.org/fhirpath/N1/
 */
export type SearchExpression =
  | { readonly op: 'path'; readonly steps: readonly PathStep[] }
  | { readonly op: 'union'; readonly items: readonly SearchExpression[] }
  | { readonly op: 'exists'; readonly of: SearchExpression }
  | { readonly op: 'equals' | 'differs'; readonly left: SearchExpression; readonly right: Literal }
  | { readonly op: 'and' | 'or'; readonly left: SearchExpression; readonly right: SearchExpression };

export type PathStep =
  | { readonly step: 'element'; readonly name: string }
  | { readonly step: 'ofType'; readonly type: string }
  | { readonly step: 'index'; readonly index: number }
  | { readonly step: 'resolves'; readonly type: string }
  | { readonly step: 'where'; readonly element: string; readonly equals: string };

export type Literal = string | number | boolean;

/** @throws SyntaxError where the expression is outside of the subset */
export function parseSearchExpression(text: string): SearchExpression {
  const tokens = tokensOf(text);
  let at = 0;

  const peek = () => tokens[at];
  const accept = (token: string) => {
    if (tokens[at] !== token) return false;
    at++;
    return true;
  };
  const refuse = (): never => {
    throw new SyntaxError(`'${tokens[at] ?? 'end'}' (token ${at}) is outside of the supported FHIRPath: ${text}`);
  };
  const expect = (token: string) => accept(token) || refuse();
  const word = () => {
    const token = tokens[at];
    if (token === undefined || !/^[A-Za-z]\w*$/.test(token)) return refuse();
    at++;
    return token;
  };

  function logical(): SearchExpression {
    let left = comparison();
    for (;;) {
      if (accept('and')) left = { op: 'and', left, right: comparison() };
      else if (accept('or')) left = { op: 'or', left, right: comparison() };
      else return left;
    }
  }

  function comparison(): SearchExpression {
    const left = union();
    if (accept('=')) return { op: 'equals', left, right: literal() };
    if (accept('!=')) return { op: 'differs', left, right: literal() };
    return left;
  }

  function union(): SearchExpression {
    const items = [cast()];
    while (accept('|')) items.push(cast());
    return items.length === 1 ? (items[0] as SearchExpression) : { op: 'union', items };
  }

  function cast(): SearchExpression {
    const path = term();
    return accept('as') ? extended(path, [{ step: 'ofType', type: word() }]) : path;
  }

  function term(): SearchExpression {
    let left: SearchExpression;
    if (accept('(')) {
      left = logical();
      expect(')');
    } else left = { op: 'path', steps: [{ step: 'element', name: word() }] };
    for (;;) {
      if (accept('[')) {
        left = extended(left, [{ step: 'index', index: Number(tokens[at++]) }]);
        expect(']');
      } else if (accept('.')) left = invocation(left);
      else return left;
    }
  }

  function invocation(left: SearchExpression): SearchExpression {
    const name = word();
    if (!accept('(')) return extended(left, [{ step: 'element', name }]);
    if (name === 'exists') {
      expect(')');
      return { op: 'exists', of: left };
    }
    const steps = functionSteps(name);
    expect(')');
    return extended(left, steps);
  }

  function functionSteps(name: string): PathStep[] {
    if (name === 'ofType' || name === 'as') return [{ step: 'ofType', type: word() }];
    if (name === 'extension') {
      return [
        { step: 'element', name: 'extension' },
        { step: 'where', element: 'url', equals: quoted() },
      ];
    }
    if (name !== 'where') refuse();
    if (accept('resolve')) {
      expect('(');
      expect(')');
      expect('is');
      return [{ step: 'resolves', type: word() }];
    }
    const element = word();
    expect('=');
    return [{ step: 'where', element, equals: quoted() }];
  }

  function quoted(): string {
    const value = literal();
    return typeof value === 'string' ? value : refuse();
  }

  function literal(): Literal {
    const token = tokens[at++];
    if (token === 'true' || token === 'false') return token === 'true';
    if (token?.startsWith("'")) return token.slice(1, -1);
    if (token !== undefined && /^\d/.test(token)) return Number(token);
    at--;
    return refuse();
  }

  const expression = logical();
  if (peek() !== undefined) refuse();
  return expression;
}

/** The steps behind a path, or behind each path of a union. */
function extended(expression: SearchExpression, steps: readonly PathStep[]): SearchExpression {
  switch (expression.op) {
    case 'path':
      return { op: 'path', steps: [...expression.steps, ...steps] };
    case 'union':
      return { op: 'union', items: expression.items.map((item) => extended(item, steps)) };
    default:
      throw new SyntaxError('a path cannot follow a comparison');
  }
}

/** All alternatives of an expression, unions within unions resolved. */
export function alternatives(expression: SearchExpression): readonly SearchExpression[] {
  return expression.op === 'union' ? expression.items.flatMap(alternatives) : [expression];
}

/** A path without `.where(resolve() is T)` at its end. */
export function withoutResolves(expression: SearchExpression): SearchExpression {
  if (expression.op !== 'path' || expression.steps.at(-1)?.step !== 'resolves') return expression;
  return { op: 'path', steps: expression.steps.slice(0, -1) };
}

/** A text that is equal for equal expressions. */
export function expressionText(expression: SearchExpression): string {
  return JSON.stringify(expression);
}

function tokensOf(text: string): string[] {
  const tokens = text.match(/'[^']*'|[A-Za-z]\w*|\d+|!=|\S/g) ?? [];
  return [...tokens];
}
