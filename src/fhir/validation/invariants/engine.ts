/**
 * The FHIRPath engine for constraints that are no functions here (decision 0084): the npm package fhirpath, loaded when
 * the first of them is evaluated.
 *
 * What comes out is true, false or undefined: the engine may fail, ask for what is not here, or take too long for a
 * hostile value or expression. It never sees a value of more than MAX_SIZE parts, walks over at most WORK of them in a
 * check, counted as far as they can be counted beforehand and else by the time they took, and is stopped after
 * TIMEOUT_MS where an expression could grow faster than its input.
 */
import { createRequire } from 'node:module';
import { createContext, Script } from 'node:vm';
import { primitives } from '../primitives.ts';
import type { ElementsOf, FhirNode, InvariantCheck, InvariantScope } from './invariant.ts';
import { linearPattern, patternTest } from './patterns.ts';
import { looked } from './values.ts';

const MAX_SIZE = 20_000;
const WORK = 1_000_000;
/** What an evaluation costs besides the size of its value. */
const WORK_OF_CALL = 20;
/** About what the engine needs for one part. */
const MICROSECONDS_OF_WORK = 3;
/** What it takes to watch the time of an evaluation. */
const WORK_OF_CLOCK = 50;
const TIMEOUT_MS = 500;
const MAX_LENGTH = 10_000;

/** A value up to here is evaluated without a clock, unless the expression is GROWING or goes back to where it came from. */
const SMALL = 500;
const GROWING = /\b(?:descendants|children|repeat|aggregate|matches|replaceMatches|matchesFull|defineVariable)\b/;
const BACK = /%/;
const BEYOND = /%|\bresolve\b/;
const CALL = /\w\s*\(/g;

type Engine = typeof import('fhirpath');
type Model = NonNullable<Parameters<Engine['compile']>[1]>;
type Functions = NonNullable<NonNullable<Parameters<Engine['compile']>[2]>['userInvocationTable']>;
type Evaluate = (value: unknown, variables: Record<string, unknown>) => unknown[];
type OwnFunction = {
  readonly fn: (...args: never[]) => unknown;
  readonly arity?: Readonly<Record<number, readonly 'String'[]>>;
  readonly internalStructures: true;
};
/** What the engine makes of a value; its class makes more of them. */
type EngineNode = { readonly constructor: { makeResNode(...args: unknown[]): EngineNode } };

/** @param on what the value is; its `type` is known to R4 */
export function engineInvariant(expression: string, on: ElementsOf, scope: InvariantScope): InvariantCheck {
  if (expression.length > MAX_LENGTH) return () => undefined;
  const isTimed = GROWING.test(expression) || BACK.test(expression);
  const looksBeyond = BEYOND.test(expression);
  const walks = walksOf(expression);
  const names = variableNames(expression);
  const asked: Asked = { isUnanswered: false };
  // A primitive is given as the value of an extension: its sibling has a place there, and the engine fails for a bare number.
  const isWrapped = on.type in primitives && on.type !== 'xhtml';
  const key = `value${on.type.charAt(0).toUpperCase()}${on.type.slice(1)}`;
  const evaluate = onFirstUse(() =>
    isWrapped
      ? compiled(`value.select(${expression})`, 'Extension', scope, asked)
      : compiled(expression, on.type, scope, asked),
  );
  return (value, sibling) => {
    // Asked first: to measure a large resource for each of its elements is quadratic as well.
    if (scope.engineWork > WORK) return undefined;
    const size = sizeOf(value, MAX_SIZE) + sizeOf(sibling, MAX_SIZE) + (looksBeyond ? sizeOf(scope.root, MAX_SIZE) : 0);
    scope.engineWork += size * walks + WORK_OF_CALL;
    if (size > MAX_SIZE || scope.engineWork > WORK) return undefined;
    asked.isUnanswered = false;
    const result = outcome(() => {
      // Loaded and compiled before the clock runs: a module that is stopped half-way stays so.
      const evaluateNow = evaluate();
      const variables = { ...names, resource: scope.resource, rootResource: scope.root };
      const given = isWrapped ? { [key]: value, [`_${key}`]: sibling ?? undefined } : value;
      const run = () => evaluateNow(given, variables);
      return isTimed || size > SMALL ? inTime(run, size * walks, scope) : run();
    });
    // A reference that leads nowhere here may well lead to what the constraint wants.
    return result !== true && asked.isUnanswered ? undefined : result;
  };
}

/**
 * What an expression selects in a resource: objects as they are there, and of primitives what stands beside them.
 * Undefined when it cannot be evaluated, as for constraints.
 */
export function selectedIn(
  resource: FhirNode,
  expression: string,
  scope: InvariantScope,
): ReadonlySet<unknown> | undefined {
  if (expression.length > MAX_LENGTH || scope.engineWork > WORK) return undefined;
  const size = sizeOf(resource, MAX_SIZE);
  const work = size * walksOf(expression);
  scope.engineWork += work + WORK_OF_CALL;
  if (size > MAX_SIZE || scope.engineWork > WORK) return undefined;
  const asked: Asked = { isUnanswered: false };
  try {
    const evaluate = compiled(expression, String(resource.resourceType), scope, asked);
    const variables = { ...variableNames(expression), resource, rootResource: scope.root };
    const found = inTime(() => evaluate(resource, variables), work, scope) as readonly Partial<Selected>[];
    return asked.isUnanswered ? undefined : new Set(found.flatMap(({ data, _data }) => [data, _data]));
  } catch {
    return undefined; // as in `outcome`
  }
}

/** A node of the engine: the value, and for a primitive its sibling. */
type Selected = { readonly data: unknown; readonly _data: unknown };

/** Whether something was asked that is not known here. */
type Asked = { isUnanswered: boolean };

function outcome(run: () => unknown[]): boolean | undefined {
  try {
    const result = run();
    const [only] = result;
    if (result.length > 1) return undefined;
    const value: unknown = result.length === 0 ? false : loaded().engine.util.valData(only as never);
    return typeof value === 'boolean' ? value : true;
  } catch {
    // Whatever the engine cannot do with an expression or a value: the caller says so, with the key of the constraint.
    return undefined;
  }
}

function onFirstUse<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}

let present: { readonly engine: Engine; readonly model: Model } | undefined;

// Not imported: most clinics have no constraint that needs it, and it takes 140 ms and 30 MB.
function loaded() {
  const require = createRequire(import.meta.url);
  present ??= {
    engine: require('fhirpath') as Engine,
    model: require('fhirpath/fhir-context/r4') as Model,
  };
  return present;
}

function compiled(expression: string, base: string, scope: InvariantScope, asked: Asked): Evaluate {
  const { engine, model } = loaded();
  const evaluate = engine.compile({ base, expression }, model, {
    resolveInternalTypes: false, // else it writes into what it is given
    traceFn: () => undefined,
    userInvocationTable: functionsOf(engine, scope, asked),
  });
  return evaluate as Evaluate;
}

/** Functions of the engine that would ask a server, print, or run any regular expression. */
function functionsOf(engine: Engine, scope: InvariantScope, asked: Asked): Functions {
  const known = <T>(answer: T | undefined): T[] => {
    asked.isUnanswered ||= answer === undefined;
    return answer === undefined ? [] : [answer];
  };
  const plainValue = (item: unknown): unknown => engine.util.valData(item as never);
  function resolve(this: unknown, items: EngineNode[]): EngineNode[] {
    return items.flatMap((item) => {
      const target = targetOf(plainValue(item), scope);
      return known(target).map((node) => item.constructor.makeResNode(this, node, null, null, null, null));
    });
  }
  const text = (items: readonly unknown[]) => {
    const value = items.length === 1 ? plainValue(items[0]) : undefined;
    return value === undefined || value === null ? undefined : String(value);
  };
  return {
    resolve: { fn: resolve, internalStructures: true },
    matches: {
      fn: (items: unknown[], pattern: string) => testOf(text(items), patternTest(pattern)),
      arity: { 1: ['String'] },
      internalStructures: true,
    },
    matchesFull: {
      fn: (items: unknown[], pattern: string) => testOf(text(items), patternTest(`^(?:${pattern})$`)),
      arity: { 1: ['String'] },
      internalStructures: true,
    },
    replaceMatches: {
      fn: (items: unknown[], pattern: string, other: string) => {
        const expression = linearPattern(pattern);
        if (expression === undefined) throw new Error('a pattern that is not linear');
        const value = text(items);
        return value === undefined ? [] : expression.matcher(value).replaceAll(other);
      },
      arity: { 2: ['String', 'String'] },
      internalStructures: true,
    },
    memberOf: {
      fn: (items: unknown[], valueSet: string) =>
        items.length === 0 ? [] : known(scope.memberOf?.(plainValue(items[0]), valueSet)),
      arity: { 1: ['String'] },
      internalStructures: true,
    },
    conformsTo: {
      fn: (items: unknown[], profile: string) =>
        items.length === 0 ? [] : known(scope.conformsTo?.(plainValue(items[0]) as FhirNode, profile)),
      arity: { 1: ['String'] },
      internalStructures: true,
    },
    htmlChecks: { fn: checkHtml, internalStructures: true },
    htmlchecks: { fn: checkHtml, internalStructures: true },
  } satisfies Record<string, OwnFunction> as unknown as Functions; // declared there for each number of arguments apart

  function checkHtml(items: unknown[]) {
    const { xhtml } = primitives;
    return items.every((item) => {
      const value = plainValue(item);
      return typeof value === 'string' && xhtml?.json === 'string' && xhtml.test(value);
    });
  }
}

function testOf(text: string | undefined, test: ((text: string) => boolean) | undefined): boolean | [] {
  if (test === undefined) throw new Error('a pattern that is not linear');
  return text === undefined ? [] : test(text);
}

/** Of a Reference, or of a url: what it leads to, as far as that is at hand. */
function targetOf(value: unknown, scope: InvariantScope): FhirNode | undefined {
  const url = typeof value === 'string' ? value : (value as { reference?: unknown } | null)?.reference;
  if (typeof url !== 'string') return undefined;
  if (scope.resolve !== undefined) return scope.resolve(url);
  if (url === '#') return scope.root;
  const { contained } = scope.root;
  if (!url.startsWith('#') || !Array.isArray(contained)) return undefined;
  return (contained as FhirNode[]).find((resource) => resource?.id === url.slice(1));
}

/** `%sct`, `%loinc`, and the urls that stand for names: `%`vs-name``, `%`ext-name``. */
function variableNames(expression: string): Record<string, string> {
  const names: Record<string, string> = { sct: 'http://snomed.info/sct', loinc: 'http://loinc.org' };
  for (const [, name = ''] of expression.matchAll(/%[`'"]?((?:vs|ext)-[A-Za-z0-9.-]{1,64})/g)) {
    const folder = name.startsWith('vs-') ? 'ValueSet' : 'StructureDefinition';
    names[name] = `http://hl7.org/fhir/${folder}/${name.slice(name.indexOf('-') + 1)}`;
  }
  return names;
}

/** How often an expression may go over all there is, as long as it does not do so from each of its items. */
function walksOf(expression: string): number {
  return GROWING.test(expression) ? (expression.match(CALL) ?? []).length : 1;
}

/** How many values there are, counted up to a limit. */
function sizeOf(value: unknown, limit: number): number {
  if (typeof value === 'string') return 1 + (value.length >> 7);
  if (typeof value !== 'object' || value === null) return 1;
  let size = 1;
  for (const key in value) {
    size += sizeOf((value as Record<string, unknown>)[key], limit - size);
    if (size > limit) return size;
  }
  return size;
}

const stage: { run: (() => unknown[]) | undefined } = { run: undefined };
let sandbox: { readonly script: Script; readonly context: object } | undefined;

/**
 * Stops what takes too long; nothing more is evaluated in this check then.
 *
 * @param work what was counted for it; when it took longer than that, the rest is added
 */
function inTime(run: () => unknown[], work: number, scope: InvariantScope): unknown[] {
  sandbox ??= { script: new Script('run()'), context: createContext(stage) };
  const { resource, root, containedIds } = scope;
  stage.run = run;
  const start = process.threadCpuUsage();
  try {
    return sandbox.script.runInContext(sandbox.context, { timeout: TIMEOUT_MS }) as unknown[];
  } catch (error) {
    if ((error as { code?: unknown }).code === 'ERR_SCRIPT_EXECUTION_TIMEOUT') {
      // Nothing that was under way has put back what it changed: it was stopped without its finally.
      Object.assign(scope, { resource, root, containedIds, engineWork: WORK });
      looked.limit = Number.POSITIVE_INFINITY;
    }
    throw error;
  } finally {
    stage.run = undefined;
    const { user, system } = process.threadCpuUsage(start);
    scope.engineWork += Math.max(Math.floor((user + system) / MICROSECONDS_OF_WORK) - work - WORK_OF_CLOCK, 0);
  }
}
