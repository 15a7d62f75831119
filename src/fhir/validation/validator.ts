/**
 * Validation of a resource against base R4: structure, cardinality, types, primitives, required bindings, targets of
 * references, and the constraints in the table of invariants.
 *
 * Each type and backbone element is compiled by Ajv on its first use and shared by all types. Findings come all at
 * once, up to the first MAX_FINDINGS; time and memory are bounded by the size of the input.
 */
import { Ajv, type ValidateFunction } from 'ajv';
import type { Definitions } from '../definitions.ts';
import { type Issue, issue } from '../failure.ts';
import { wholeNumbersAsDecimals } from '../json.ts';
import type { FhirNode, InvariantScope } from './invariant.ts';
import { invariants } from './invariants.ts';
import { issuesOf } from './issues.ts';
import { addFhirKeywords, type InvariantCheck, MAX_FINDINGS, TOP, type TypeCheck } from './keywords.ts';
import { nearest } from './nearest.ts';
import { asStep, type Place, placeOf } from './place.ts';
import { primitives } from './primitives.ts';
import { formsUnder, schemaOf } from './schema.ts';

export type Validator = {
  /**
   * Everything that is wrong with `resource`, in document order; empty when it is valid R4.
   *
   * Never throws for a JSON value. `place` stands for the resource in expressions ('Bundle.entry[2].resource'); by
   * default its type.
   */
  validate(resource: unknown, place?: string): readonly Issue[];
};

/** Deeper than any real resource, and shallow enough for every recursion here. */
export const MAX_DEPTH = 64;

const AND_MORE: Issue = {
  severity: 'information',
  code: 'incomplete',
  diagnostics: `These are the first ${MAX_FINDINGS} issues; there may be more`,
};

export function createValidator(definitions: Definitions): Validator {
  const scope: InvariantScope = { resource: {}, root: {}, containedIds: undefined };
  const typeCheck = compiledTypes(definitions, scope);

  function collect(resource: unknown, place: string | undefined, root: FhirNode | undefined, issues: Issue[]): void {
    const type = typeOf(resource, place, definitions, issues);
    if (type === undefined) return;
    const node = resource as FhirNode;
    const at = { expression: place ?? type, path: type, type };
    scope.resource = node;
    if (root === undefined) {
      scope.root = node;
      scope.containedIds = undefined;
    }
    const check = typeCheck(type);
    if (!check(node, TOP)) {
      for (const error of check.errors ?? []) issues.push(...issuesOf(error, node, at, definitions));
    }
    for (const findings of [decimalIntegers(node, at, definitions), repeatedIds(node, at.expression)]) {
      for (const finding of findings) {
        if (issues.length >= MAX_FINDINGS) return;
        issues.push(finding);
      }
    }
    for (const { value, step, isContained } of nestedResources(node)) {
      if (issues.length >= MAX_FINDINGS) return;
      collect(value, `${at.expression}${step}`, isContained ? (root ?? node) : undefined, issues);
    }
  }

  return {
    validate(resource, place) {
      if (isTooDeep(resource, MAX_DEPTH)) {
        return [issue('too-costly', `The resource is nested deeper than ${MAX_DEPTH} levels`, place)];
      }
      const issues: Issue[] = [];
      collect(resource, place, undefined, issues);
      return issues.length < MAX_FINDINGS ? issues : [...issues.slice(0, MAX_FINDINGS), AND_MORE];
    },
  };
}

function typeOf(
  resource: unknown,
  place: string | undefined,
  definitions: Definitions,
  issues: Issue[],
): string | undefined {
  if (typeof resource !== 'object' || resource === null || Array.isArray(resource)) {
    issues.push(issue('structure', 'Expected a resource: a JSON object with a resourceType', place, 'MSG_JSON_OBJECT'));
    return undefined;
  }
  const type: unknown = Object.hasOwn(resource, 'resourceType') ? (resource as FhirNode).resourceType : undefined;
  if (typeof type === 'string' && definitions.isResourceType(type)) return type;
  const where = place === undefined ? 'resourceType' : `${place}.resourceType`;
  if (type === undefined) {
    issues.push(issue('required', 'resourceType is required: the name of an R4 resource type', where));
  } else if (typeof type !== 'string' || asStep(type) === '') {
    issues.push(issue('structure', 'resourceType must be the name of an R4 resource type', where));
  } else {
    const suggestion = nearest(type, definitions.resourceTypes);
    const hint = suggestion === undefined ? '' : `: did you mean ${suggestion}?`;
    issues.push(issue('structure', `Unknown resource type ${type}${hint}`, where, 'MSG_UNKNOWN_TYPE'));
  }
  return undefined;
}

function compiledTypes(definitions: Definitions, scope: InvariantScope): (path: string) => TypeCheck {
  const ajv = new Ajv({
    allErrors: true,
    strict: false,
    validateSchema: false,
    addUsedSchema: false,
    messages: false,
    inlineRefs: false,
    logger: false,
    code: { optimize: false },
  });
  for (const [name, primitive] of Object.entries(primitives)) {
    if (primitive.json === 'string') ajv.addFormat(name, { type: 'string', validate: primitive.test });
    else if (primitive.json !== 'boolean') ajv.addFormat(name, { type: 'number', validate: primitive.test });
  }
  const checks = new Map<string, TypeCheck>();
  const typeCheck = (path: string): TypeCheck => {
    const present = checks.get(path);
    if (present !== undefined) return present;
    const check = onFirstUse(() => ajv.compile(schemaOf(path, definitions)));
    checks.set(path, check);
    return check;
  };
  addFhirKeywords(ajv, {
    typeCheck,
    primitiveTest,
    valueSet: definitions.valueSet,
    invariant: (key, path) => invariantCheck(key, path, definitions, scope),
  });
  return typeCheck;
}

function onFirstUse(compile: () => ValidateFunction): TypeCheck {
  let compiled: ValidateFunction | undefined;
  const check: TypeCheck = (data, context) => {
    compiled ??= compile();
    const holds = compiled(data, context);
    check.errors = compiled.errors ?? null;
    return holds;
  };
  return check;
}

function primitiveTest(type: string): (value: unknown) => boolean {
  const primitive = primitives[type];
  if (primitive?.json === 'string') return (value) => typeof value === 'string' && primitive.test(value);
  if (primitive?.json === 'boolean' || primitive === undefined) return (value) => typeof value === 'boolean';
  const isWhole = primitive.json === 'integer';
  return (value) => typeof value === 'number' && (!isWhole || Number.isInteger(value)) && primitive.test(value);
}

function invariantCheck(
  key: string,
  path: string,
  definitions: Definitions,
  scope: InvariantScope,
): InvariantCheck | undefined {
  const forms = new Map(formsUnder(path, definitions).map((form) => [form.name, form]));
  return (invariants.get(`${path} ${key}`) ?? invariants.get(key))?.(
    { has: (name) => hasAnyOf(keysOf(name, forms.get(name))) },
    scope,
  );
}

function keysOf(name: string, form: ReturnType<typeof formsUnder>[number] | undefined): readonly string[] {
  if (form === undefined) return [name];
  return form.types.flatMap(({ key, sibling }) => (sibling === undefined ? [key] : [key, sibling]));
}

function hasAnyOf(keys: readonly string[]): (node: FhirNode) => boolean {
  const [first = '', second] = keys;
  if (second === undefined) return (node) => node[first] !== undefined;
  return (node) => {
    for (const key of keys) if (node[key] !== undefined) return true;
    return false;
  };
}

/** 1.0 and 1e2 are no integers of FHIR, and could not be said in XML. */
function* decimalIntegers(node: FhirNode, root: Place, definitions: Definitions): Generator<Issue> {
  for (const pointer of wholeNumbersAsDecimals(node)) {
    const { type = '', expression } = placeOf(pointer, root, definitions);
    if (primitives[type]?.json !== 'integer') continue;
    yield issue('value', 'A whole number is written without a fraction and without an exponent', expression);
  }
}

/** Of two contained resources with one id a reference could mean either. @see https://hl7.org/fhir/R4/references.html#contained */
function* repeatedIds({ contained }: FhirNode, place: string): Generator<Issue> {
  if (!Array.isArray(contained) || contained.length < 2) return;
  const ids = new Set<unknown>();
  for (const [at, value] of list(contained)) {
    if (!isNode(value) || value.id === undefined) continue;
    if (ids.has(value.id)) {
      yield issue('duplicate', 'Another contained resource has this id', `${place}.contained[${at}].id`);
    }
    ids.add(value.id);
  }
}

type Nested = { readonly value: unknown; readonly step: string; readonly isContained: boolean };

/** The resources inside a resource: R4 has them in `contained`, in Bundle and in Parameters, nowhere else. */
function* nestedResources(resource: FhirNode): Generator<Nested> {
  for (const [at, value] of list(resource.contained)) {
    yield { value, step: `.contained[${at}]`, isContained: true };
  }
  if (resource.resourceType === 'Bundle') yield* resourcesOfBundle(resource);
  if (resource.resourceType === 'Parameters') yield* resourcesOfParameters(resource.parameter, '.parameter');
}

function* resourcesOfBundle(bundle: FhirNode): Generator<Nested> {
  for (const [at, entry] of list(bundle.entry)) {
    if (!isNode(entry)) continue;
    if (isNode(entry.resource)) {
      yield { value: entry.resource, step: `.entry[${at}].resource`, isContained: false };
    }
    const response = entry.response;
    if (isNode(response) && isNode(response.outcome)) {
      yield { value: response.outcome, step: `.entry[${at}].response.outcome`, isContained: false };
    }
  }
}

function* resourcesOfParameters(parameters: unknown, step: string): Generator<Nested> {
  for (const [at, parameter] of list(parameters)) {
    if (!isNode(parameter)) continue;
    if (isNode(parameter.resource)) {
      yield { value: parameter.resource, step: `${step}[${at}].resource`, isContained: false };
    }
    yield* resourcesOfParameters(parameter.part, `${step}[${at}].part`);
  }
}

function list(value: unknown): Iterable<[number, unknown]> {
  return Array.isArray(value) ? value.entries() : [];
}

function isNode(value: unknown): value is FhirNode {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isTooDeep(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (levels === 0) return true;
  if (Array.isArray(value)) {
    for (const item of value) if (isTooDeep(item, levels - 1)) return true;
    return false;
  }
  for (const key in value) if (isTooDeep((value as FhirNode)[key], levels - 1)) return true;
  return false;
}
