/**
 * What compiled checks call: functions by name that take their data as JSON. A name here stands in code that is kept on
 * disk, so the cache takes the text of these files into its key.
 */
import type { ConstraintDigest, Definitions } from '../definitions.ts';
import type { Typed } from '../profiles/model.ts';
import { bindingTo, boundListTo, boundTo, unknownSet, type ValueSets } from './binding.ts';
import { elementsOf } from './invariants/elements.ts';
import type { InvariantCheck } from './invariants/invariant.ts';
import { invariantOf } from './invariants/source.ts';
import { primitives } from './primitives.ts';
import { absent, counted, extended, valued } from './profile/cardinality.ts';
import { type Conformance, conformanceOf, targetProfiles } from './profile/conformance.ts';
import type { MatchSource } from './profile/matcher.ts';
import { type SlicingData, slicingOf } from './profile/slicing.ts';
import { atLeast, atMost, contains, equals, isLongerThan } from './profile/values.ts';
import type { CheckState } from './state.ts';
import { keys, pairs, primitiveItems } from './structure-findings.ts';
import { isAllowedTarget, leadsAsAllowed, typeOfTarget, type Ways } from './targets.ts';
import { errorsUnder, type Finder, TOP, type TypeCheck } from './type-check.ts';

export type RuntimeSource = {
  readonly definitions: Definitions;
  readonly state: CheckState;
  readonly valueSets: ValueSets;
  /** The check of a type, or of the path of a backbone element; loaded when it is first called. */
  typeCheck(path: string): TypeCheck;
  readonly conformance: Conformance;
  /** The base types that a canonical of a target means; undefined when it is not known. */
  typeOf(target: string): string | undefined;
};

const NEVER_BROKEN: InvariantCheck = () => true;

export function createRuntime(source: RuntimeSource) {
  const { definitions, state, valueSets, conformance } = source;
  const isBound = (url: string) => {
    const valueSet = valueSets(url);
    return valueSet === undefined ? () => true : boundTo(valueSet);
  };
  const matching: MatchSource = { state, isBound, conforms: (value, list) => conformance.meetsOne(value, list) };
  return {
    TOP,
    errorsUnder,
    state,
    formats: Object.fromEntries(
      Object.entries(primitives).flatMap(([name, primitive]) =>
        'test' in primitive ? [[name, { validate: primitive.test as (value: never) => boolean }]] : [],
      ),
    ),
    type: source.typeCheck,
    conforms: (profiles: readonly string[]): TypeCheck => conformanceOf(profiles, conformance),

    keys,
    pairs,
    absent,
    counted,
    extended,
    valued,
    primitives: primitiveItems,
    boundList: (url: string) => boundListTo(url, valueSets),

    binding: (url: string) => bindingTo(url, valueSets),
    extensible: (url: string) => bindingTo(url, valueSets),
    unknownSet: (url: string) => unknownSet(url, valueSets),
    rebound:
      (_: true): Finder =>
      () => [],
    targets: (targets: readonly string[]) => allowedTargets(targets, source),
    targetProfiles: (profiles: readonly string[]) => targetProfiles(profiles, conformance, state, source.typeOf),
    ways: (ways: Ways) => leadingOtherwise(ways, state),
    typed: (types: readonly string[]) => oneOfTypes(types),
    fixed: (value: unknown) => valueTest(equals(value), value),
    patterned: (value: unknown) => valueTest(contains(value), value),
    bare: (value: unknown) => valueTest((beside) => beside === null, value),
    atLeast: (limit: Typed) => valueTest(atLeast(limit), limit.value),
    atMost: (limit: Typed) => valueTest(atMost(limit), limit.value),
    longest:
      (limit: number): Finder =>
      (data: unknown) =>
        isLongerThan(data as string, limit) ? [limit] : undefined,

    invariant: (path: string, content: string, key: string): InvariantCheck => {
      const constraint = baseConstraint(path, key, definitions);
      return constraint === undefined
        ? NEVER_BROKEN
        : invariantOf(constraint, path, elementsOf(content, definitions), state);
    },
    constraint: (
      path: string,
      content: string,
      constraint: Pick<ConstraintDigest, 'key' | 'expression'>,
    ): InvariantCheck => invariantOf(constraint, path, elementsOf(content, definitions), state),
    slicing: (data: SlicingData) => slicingOf(data, matching),
  };
}

export type Runtime = ReturnType<typeof createRuntime>;
/** The functions of the runtime that find something wrong with a value: each is a keyword, too. */
export type Finding = {
  [Name in keyof Runtime]: Runtime[Name] extends (data: never) => Finder ? Name : never;
}[keyof Runtime];

/** The wrong value is found as the one that is expected. */
function valueTest(test: (value: unknown) => boolean, expected: unknown): Finder {
  const found = [expected];
  return (data: unknown) => (test(data) ? undefined : found);
}

/** Finds the ways that are allowed. */
function leadingOtherwise(ways: Ways, state: CheckState): Finder {
  const { aggregation = [], versioning } = ways;
  const found = [...aggregation, ...(versioning === undefined ? [] : [versioning])];
  return ({ reference }) =>
    !state.follows || typeof reference !== 'string' || leadsAsAllowed(reference, ways, state) ? undefined : found;
}

function oneOfTypes(types: readonly string[]): Finder {
  const allowed = new Set<unknown>(types);
  return ({ resourceType }) => (allowed.has(resourceType) ? undefined : types);
}

/** Finds `[type of the target, ...those that are allowed]`. */
function allowedTargets(targets: readonly string[], { definitions, state, typeOf }: RuntimeSource): Finder {
  let names: readonly string[] | undefined;
  let allowed: ReadonlySet<string> = new Set();
  return (data) => {
    const { reference } = data;
    const isLiteral = typeof reference === 'string';
    if (!isLiteral && !state.follows) return undefined;
    if (names === undefined) {
      // What a target's profile is about is not known when it is not here: anything may be meant.
      names = [...new Set(targets.map((target) => typeOf(target) ?? 'Resource'))];
      allowed = new Set(names);
    }
    if (isLiteral && !isAllowedTarget(reference, allowed)) return [typeOfTarget(data, state) ?? '', ...names];
    if (!state.follows || allowed.has('Resource')) return undefined;
    const type = typeOfTarget(data, state);
    // An absolute url that ends like one of FHIR may be of something else.
    return type === undefined || allowed.has(type) || !definitions.isResourceType(type) ? undefined : [type, ...names];
  };
}

/** The constraint that base R4 has at a type or at an element, by key. */
export function baseConstraint(path: string, key: string, definitions: Definitions) {
  const structure = definitions.structure(path) ?? definitions.structure(path.split('.')[0] ?? '');
  const own = structure?.elements.find(
    (element) => element.path === path || (element === structure.elements[0] && path === structure.name),
  );
  if (path === 'Extension' && key === 'ext-1') return EXT_1;
  return own?.constraints?.find((constraint) => constraint.key === key);
}

/** Left out of the digest of elements, since it holds for every extension. */
export const EXT_1 = {
  key: 'ext-1',
  severity: 'error',
  human: 'Must have either extensions or value[x], not both',
  expression: 'extension.exists() != value.exists()',
} as const;
