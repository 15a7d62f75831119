/**
 * FHIRPath to functions: what most constraints are made of, with the types of the elements known beforehand.
 *
 * `compileInvariant` answers undefined for whatever would need more than plain values (dates, quantities, units,
 * arithmetic on decimals, `resolve()`, `descendants()`): the FHIRPath engine takes those. What it does take gives the
 * result of the engine for every node of the right shape, and some result for any other JSON
 * (test/fhir/validation/invariants-compiled.test.ts holds both).
 */

import { primitives } from '../primitives.ts';
import type { ElementsOf, InvariantScope } from './invariant.ts';
import { isType, narrowed, ofResourceType, sublist, WRITTEN_AS_TEXT } from './narrowing.ts';
import { comparison, concatenation, equality, LOGIC, membership, not, sum, union } from './operators.ts';
import type { Expression } from './parser.ts';
import { patternTest } from './patterns.ts';
import {
  asItems,
  type Compiled,
  children,
  EMPTY,
  type Items,
  isNothing,
  isPresent,
  kindOf,
  literal,
  looked,
  NEEDS_ENGINE,
  NO_VALUE,
  NOT_COMPILED,
  NOTHING,
  only,
  type Truth,
  truthOf,
} from './values.ts';

/** The constraint as a function: true, false, or undefined for an empty result. Throws NOT_EVALUABLE as the engine throws. */
export type CompiledInvariant = (value: unknown) => boolean | undefined;

export function compileInvariant(
  expression: Expression,
  path: string,
  on: ElementsOf,
  scope: InvariantScope,
): CompiledInvariant | undefined {
  const compiler = new Compiler(path, on, scope);
  try {
    return compiler.whole(expression);
  } catch (error) {
    if (error === NOT_COMPILED) return undefined;
    throw error;
  }
}

/** Of one check, about a second. */
const MAX_LOOKS = 5_000_000;
/** A look costs a fraction of what the engine does with a value, and is counted together with it. */
const LOOKS_OF_WORK = 5;
/** Of one evaluation, also when the work of the check is done: what a costly profile spends is not taken from the others. */
const MIN_LOOKS = 100;

type Focus = readonly ElementsOf[];

class Compiler {
  readonly #path: string;
  readonly #on: ElementsOf;
  readonly #scope: InvariantScope;
  #context: unknown;
  #goesBack = false;

  constructor(path: string, on: ElementsOf, scope: InvariantScope) {
    this.#path = path;
    this.#on = on;
    this.#scope = scope;
  }

  whole(expression: Expression): CompiledInvariant {
    const { test } = truthOf(this.#compile(expression, [this.#on]));
    if (!this.#goesBack) return test;
    const scope = this.#scope;
    return (value) => {
      this.#context = value;
      looked.items = 0;
      looked.limit = Math.max(MAX_LOOKS - scope.engineWork * LOOKS_OF_WORK, MIN_LOOKS);
      try {
        return test(value);
      } finally {
        scope.engineWork += Math.floor(looked.items / LOOKS_OF_WORK);
        looked.limit = Number.POSITIVE_INFINITY;
      }
    };
  }

  #truth(expression: Expression, focus: Focus): Truth['test'] {
    return truthOf(this.#compile(expression, focus)).test;
  }

  #items(expression: Expression, focus: Focus): Items {
    return asItems(this.#compile(expression, focus), this.#on);
  }

  /** For what counts the items, or takes one of them. */
  #counted(expression: Expression, focus: Focus): Items {
    const items = this.#items(expression, focus);
    if (items.repeats === true) throw NOT_COMPILED;
    return items;
  }

  #compile(expression: Expression, focus: Focus): Compiled {
    switch (expression.kind) {
      case 'literal':
        return literal(expression.value, this.#on.other(expression.type));
      case 'nothing':
        return NOTHING;
      case 'this':
        return this.#self(focus);
      case 'variable':
        return this.#variable(expression.name);
      case 'step':
        return this.#step(expression, focus);
      case 'call':
        return this.#call(expression, focus);
      case 'at':
        return this.#at(expression, focus);
      case 'type':
        return this.#type(expression.operator, expression.from, expression.type, focus);
      case 'negative':
        return this.#negative(expression.of);
      case 'binary':
        return this.#binary(expression, focus);
    }
  }

  #self(focus: Focus): Items {
    return {
      kind: 'items',
      on: focus,
      isList: false,
      run: (value) => [value],
      // The type of what stands there is known when there is one.
      narrow: (type) => narrowed(focus, type, (isIt) => (isIt ? (value) => [value] : () => EMPTY)),
    };
  }

  #variable(name: string): Items {
    const constant = CONSTANTS[name];
    if (constant !== undefined) return literal(constant, this.#on.other('System.String'));
    this.#goesBack = true;
    const item = (type: ElementsOf, run: () => unknown): Items => ({
      kind: 'items',
      on: [type],
      isList: false,
      run: () => [run()],
    });
    if (name === 'context') return item(this.#on, () => this.#context);
    const resource = this.#on.other(this.#path.split('.')[0] ?? '');
    if (name !== 'resource' || !resource.isA('Resource') || resource.type.includes('.')) throw NOT_COMPILED;
    return item(resource, () => this.#scope.resource);
  }

  #step({ from, name }: Extract<Expression, { kind: 'step' }>, focus: Focus): Items {
    if (from === undefined && /^[A-Z]/.test(name)) {
      // A path may start with the type of the node.
      if (focus.length === 1 && focus[0]?.isA(name) === true) return this.#self(focus);
      throw NOT_COMPILED;
    }
    const source = from === undefined ? undefined : this.#items(from, focus);
    const owners = source?.on ?? focus;
    if (owners.some(({ type }) => type === 'Resource' && !OF_ANY_RESOURCE.has(name))) throw NOT_COMPILED;
    const alternatives = owners.flatMap((on) => on.element(name) ?? []);
    // What stands below a primitive is in its sibling, which is not at hand here.
    if (BELOW_PRIMITIVE.has(name) && owners.some(({ type }) => type in primitives)) throw NOT_COMPILED;
    if (alternatives.length === 0) return NOTHING;
    const isList = source?.isList === true || alternatives.some((alternative) => alternative.isList);
    const types = alternatives.flatMap((alternative) => alternative.types);
    const stepOver = (chosen: typeof types): Items['run'] => {
      const get = children(chosen);
      if (source === undefined) return get;
      return (value) => {
        const items = source.run(value);
        return items.length === 1 ? get(items[0]) : items.flatMap((item) => get(item) as unknown[]);
      };
    };
    const other = (chosen: typeof types) => unique(chosen.map(({ content }) => this.#on.other(content)));
    return {
      kind: 'items',
      on: other(types),
      isList,
      run: stepOver(types),
      ...(source?.repeats === true ? { repeats: true } : {}),
      ...(source === undefined ? { isThere: isPresent(types) } : {}),
      narrow: (type) => {
        if (types.some(({ content }) => content === 'Resource')) return ofResourceType(type, stepOver(types), this.#on);
        const chosen = types.filter(({ content }) => isType(this.#on.other(content), type));
        return { on: other(chosen), run: stepOver(chosen) };
      },
    };
  }

  #at({ from, index }: Extract<Expression, { kind: 'at' }>, focus: Focus): Items {
    const items = this.#counted(from, focus);
    if (index.kind !== 'literal' || index.type !== 'System.Integer') throw NOT_COMPILED;
    const at = Number(index.value);
    return sublist(items, (list) => list.slice(at, at + 1), false);
  }

  #type(operator: 'is' | 'as', from: Expression, type: string, focus: Focus): Compiled {
    const items = this.#counted(from, focus);
    if (isNothing(items)) return operator === 'is' ? NEVER : NOTHING;
    const those = items.narrow?.(type);
    if (those === undefined) throw NOT_COMPILED;
    if (operator === 'as') {
      if (items.isList) throw NOT_COMPILED;
      return { kind: 'items', isList: false, ...those };
    }
    return {
      kind: 'truth',
      test: (value) => (only(items.run(value)) === undefined ? undefined : those.run(value).length === 1),
    };
  }

  #negative(of: Expression): Items {
    if (of.kind !== 'literal' || typeof of.value !== 'number') throw NOT_COMPILED;
    return literal(-of.value, this.#on.other(of.type));
  }

  #binary({ operator, left, right }: Extract<Expression, { kind: 'binary' }>, focus: Focus): Compiled {
    const logic = LOGIC[operator];
    if (logic !== undefined) return { kind: 'truth', test: logic(this.#truth(left, focus), this.#truth(right, focus)) };
    const [a, b] = [this.#items(left, focus), this.#items(right, focus)];
    switch (operator) {
      case '=':
        return { kind: 'truth', test: equality(a, b) };
      case '!=': {
        const equal = equality(a, b);
        return { kind: 'truth', test: (value) => not(equal(value)) };
      }
      case '<':
      case '>':
      case '<=':
      case '>=':
        return { kind: 'truth', test: comparison(operator, a, b) };
      case 'in':
        return { kind: 'truth', test: membership(a, b) };
      case 'contains':
        return { kind: 'truth', test: membership(b, a) };
      case '|':
        return union(a, b);
      case '+':
        return sum(a, b);
      case '&':
        return concatenation(a, b);
      default:
        throw NOT_COMPILED;
    }
  }

  #call({ from, name, args }: Extract<Expression, { kind: 'call' }>, focus: Focus): Compiled {
    const [first, second, third] = args;
    if (name === 'iif' && from === undefined && first !== undefined && second !== undefined) {
      return this.#choice(first, second, third, focus);
    }
    if (name === 'not' && from !== undefined && args.length === 0) {
      const test = this.#truth(from, focus);
      return { kind: 'truth', test: (value) => not(test(value)) };
    }
    const items = from === undefined ? this.#self(focus) : this.#items(from, focus);
    if (name === 'trace') return items;
    const typeName = first === undefined ? undefined : nameIn(first);
    if ((name === 'is' || name === 'as' || name === 'ofType') && typeName !== undefined) {
      if (name !== 'ofType') return this.#type(name, from ?? { kind: 'this' }, typeName, focus);
      if (isNothing(items)) return NOTHING;
      const those = items.narrow?.(typeName);
      if (those === undefined) throw NOT_COMPILED;
      return { kind: 'items', isList: items.isList, repeats: items.repeats === true, ...those };
    }
    if (args.length === 0) return this.#plainCall(name, items);
    if (args.length === 1 && first !== undefined) return this.#callWith(name, items, first);
    throw NOT_COMPILED;
  }

  #plainCall(name: string, items: Items): Compiled {
    if (items.repeats === true && name !== 'exists' && name !== 'empty') throw NOT_COMPILED;
    const { run } = items;
    const isThere = items.isThere ?? ((value) => run(value).length > 0);
    switch (name) {
      case 'exists':
        return { kind: 'truth', test: isThere };
      case 'empty':
        return { kind: 'truth', test: (value) => !isThere(value) };
      case 'hasValue':
        return { kind: 'truth', test: (value) => hasValue(run(value)) };
      case 'count':
        return {
          kind: 'items',
          on: [this.#on.other('System.Integer')],
          isList: false,
          run: (value) => [run(value).length],
        };
      case 'first':
        return sublist(items, (list) => list.slice(0, 1), false);
      case 'last':
        return sublist(items, (list) => list.slice(-1), false);
      case 'tail':
        return sublist(items, (list) => list.slice(1), items.isList);
      case 'isDistinct':
        if (kindOf(items) === undefined && !isNothing(items)) throw NOT_COMPILED;
        return { kind: 'truth', test: (value) => isDistinct(run(value)) };
      case 'allTrue':
        return ofTruths(items, (list) => list.every((item) => item === true));
      case 'allFalse':
        return ofTruths(items, (list) => list.every((item) => item === false));
      case 'length':
        return this.#ofText(items, 'System.Integer', (text) => text.length);
      case 'truncate':
        if (isNothing(items)) return NOTHING;
        if (kindOf(items) !== 'number') throw NOT_COMPILED;
        return this.#ofValue(items, 'System.Integer', (value) =>
          typeof value === 'number' ? Math.trunc(value) : EMPTY,
        );
      case 'toInteger':
        return this.#ofText(items, 'System.Integer', (text) => (/^[+-]?\d{1,9}$/.test(text) ? Number(text) : EMPTY));
      case 'toString':
        return this.#ofValue(items, 'System.String', (value) => {
          if (typeof value === 'string' && items.on.every(({ type }) => WRITTEN_AS_TEXT.has(type))) return value;
          if (value === undefined || value === NO_VALUE) return EMPTY;
          throw NEEDS_ENGINE;
        });
      default:
        throw NOT_COMPILED;
    }
  }

  #callWith(name: string, items: Items, argument: Expression): Compiled {
    const { run, on } = items;
    switch (name) {
      case 'exists': {
        const test = this.#truth(argument, on);
        return { kind: 'truth', test: (value) => run(value).some((item) => test(item) === true) };
      }
      case 'all': {
        const test = this.#truth(argument, on);
        return { kind: 'truth', test: (value) => run(value).every((item) => test(item) === true) };
      }
      case 'where': {
        const test = this.#truth(argument, on);
        return sublist(items, (list) => list.filter((item) => test(item) === true), items.isList);
      }
      case 'select': {
        const each = this.#items(argument, on);
        return {
          kind: 'items',
          on: each.on,
          isList: items.isList || each.isList,
          ...(items.repeats === true || each.repeats === true ? { repeats: true } : {}),
          run: (value) => run(value).flatMap((item) => each.run(item) as unknown[]),
        };
      }
      case 'extension':
        return this.#extension(items, argument);
      case 'startsWith':
      case 'endsWith':
      case 'contains':
      case 'matches':
        return this.#textTest(name, items, argument);
      default:
        throw NOT_COMPILED;
    }
  }

  #choice(condition: Expression, then: Expression, otherwise: Expression | undefined, focus: Focus): Truth {
    const test = this.#truth(condition, focus);
    const yes = this.#compile(then, focus);
    const no: Compiled = otherwise === undefined ? NEVER : this.#compile(otherwise, focus);
    if (yes.kind !== 'truth' && !isBoolean(yes)) throw NOT_COMPILED;
    if (no.kind !== 'truth' && !isBoolean(no)) throw NOT_COMPILED;
    const [left, right] = [truthOf(yes).test, truthOf(no).test];
    return { kind: 'truth', test: (value) => (test(value) === true ? left(value) : right(value)) };
  }

  #extension(items: Items, argument: Expression): Items {
    if (argument.kind !== 'literal' || items.on.some(({ type }) => type in primitives || type === 'Resource')) {
      throw NOT_COMPILED;
    }
    const url = argument.value;
    const extensions = children([{ key: 'extension', content: 'Extension' }]);
    return {
      kind: 'items',
      on: [this.#on.other('Extension')],
      isList: true,
      ...(items.repeats === true ? { repeats: true } : {}),
      run: (value) =>
        items
          .run(value)
          .flatMap((item) => extensions(item) as unknown[])
          .filter((extension) => (extension as { url?: unknown }).url === url),
    };
  }

  #textTest(name: 'startsWith' | 'endsWith' | 'contains' | 'matches', items: Items, argument: Expression): Truth {
    if (argument.kind !== 'literal' || typeof argument.value !== 'string') throw NOT_COMPILED;
    const test = textTest(name, argument.value);
    if (isNothing(items)) return NEVER;
    if (kindOf(items) !== 'text') throw NOT_COMPILED;
    return {
      kind: 'truth',
      test: (value) => {
        const item = only(items.run(value));
        return typeof item === 'string' ? test(item) : undefined;
      },
    };
  }

  #ofText(items: Items, type: string, map: (text: string) => unknown): Items {
    if (isNothing(items)) return NOTHING;
    if (kindOf(items) !== 'text') throw NOT_COMPILED;
    return this.#ofValue(items, type, (value) => (typeof value === 'string' ? map(value) : EMPTY));
  }

  #ofValue(items: Items, type: string, map: (value: unknown) => unknown): Items {
    return {
      kind: 'items',
      on: [this.#on.other(type)],
      isList: false,
      run: (value) => {
        const mapped = map(only(items.run(value)));
        return mapped === EMPTY ? EMPTY : [mapped];
      },
    };
  }
}

const CONSTANTS: Readonly<Record<string, string>> = {
  ucum: 'http://unitsofmeasure.org',
  sct: 'http://snomed.info/sct',
  loinc: 'http://loinc.org',
};
const NEVER: Truth = { kind: 'truth', test: () => undefined };

/** Of a primitive; its `value` is what the engine makes of it. */
const BELOW_PRIMITIVE = new Set(['id', 'extension', 'value']);
/** What a resource has, whatever its type is. */
const OF_ANY_RESOURCE = new Set(['id', 'meta', 'implicitRules', 'language']);

function isBoolean(items: Items): boolean {
  return kindOf(items) === 'truth' && !items.isList;
}

function nameIn(expression: Expression): string | undefined {
  if (expression.kind !== 'step') return undefined;
  if (expression.from === undefined) return expression.name;
  const { from, name } = expression;
  return from.kind === 'step' && from.from === undefined && from.name === 'FHIR' ? name : undefined;
}

function unique(types: readonly ElementsOf[]): readonly ElementsOf[] {
  return [...new Set(types)];
}

function hasValue(list: readonly unknown[]): boolean {
  const [item] = list;
  return list.length === 1 && item !== NO_VALUE && typeof item !== 'object';
}

// What has no value differs in its extensions.
function isDistinct(list: readonly unknown[]): boolean {
  const values = list.filter((item) => item !== NO_VALUE);
  return new Set(values).size === values.length;
}

function ofTruths(items: Items, test: (list: readonly unknown[]) => boolean): Truth {
  if (kindOf(items) !== 'truth' && !isNothing(items)) throw NOT_COMPILED;
  return { kind: 'truth', test: (value) => test(items.run(value)) };
}

function textTest(name: 'startsWith' | 'endsWith' | 'contains' | 'matches', wanted: string): (text: string) => boolean {
  if (name === 'startsWith') return (text) => text.startsWith(wanted);
  if (name === 'endsWith') return (text) => text.endsWith(wanted);
  if (name === 'contains') return (text) => text.includes(wanted);
  const test = patternTest(wanted);
  if (test === undefined) throw NOT_COMPILED;
  return test;
}
