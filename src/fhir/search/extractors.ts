/**
 * Compiled extractors: what a resource puts into the search index.
 *
 * At the first resource of a type, the expressions of all its parameters become one tree of elements (a path that
 * several parameters share is walked once), and the tree one JavaScript function. Only names of FHIR elements and
 * literals of the definitions enter its text, nothing of a resource or a request.
 */
import type { Resource } from '@medplum/fhirtypes';
import { memo } from '../memo.ts';
import { APART } from './composites.ts';
import { containedExtractor } from './contained.ts';
import { distinctSink } from './distinct-sink.ts';
import { type Emitter, emitterFor, furtherRows, isLogical } from './emitters.ts';
import { alternatives, type PathStep, type SearchExpression, withoutResolves } from './expression.ts';
import type { SearchParameterRegistry, TypeSearchParameter } from './parameters.ts';
import { placesBelow, typesAt } from './paths.ts';
import { type SearchValueSink, searchParameterKey } from './values.ts';

export type Extractor = (resource: Resource, sink: SearchValueSink) => void;

export type SearchExtractors = {
  /** Gives each value of a resource of the type to the sink once. */
  extractorFor(type: string): Extractor;
  /** Only the values of one parameter, e.g. to follow an include; under its own key. */
  extractorOf(parameter: TypeSearchParameter): Extractor;
  /** The logical id of the one Patient that a resource of the type is about; null for none and for several. */
  patientIdOf(type: string): (resource: Resource) => string | null;
  /** What of the type's definitions gives no search values, as `code: reason`. */
  unsupported(type: string): readonly string[];
};

export function searchExtractors(registry: SearchParameterRegistry): SearchExtractors {
  const compiled = new Map<string, Compiled>();
  const single = new Map<TypeSearchParameter, Compiled>();
  const patients = new Map<string, (resource: Resource) => string | null>();

  const compiledFor = (type: string): Compiled =>
    memo(compiled, type, () => {
      const parameters = [...registry.of(type).values()];
      const holders = parameters.filter(({ stored, rows, key }) => stored === 'index' && rows.includes(key));
      const { extract, problems } = compile(type, holders, parameters, registry);
      const extractContained = containedExtractor(
        parameters,
        (parameter) => valuesOf({ op: 'union', items: parameter.alternatives.map(withoutResolves) }, type, registry),
        (contained) => compiledFor(contained).extract,
      );
      return {
        problems,
        extract: (resource, sink) => {
          extract(resource, sink);
          const { contained } = resource as { contained?: readonly Resource[] };
          if (Array.isArray(contained)) extractContained(resource, contained, sink);
        },
      };
    });
  return {
    extractorFor: (type) => compiledFor(type).extract,
    extractorOf: (parameter) =>
      memo(single, parameter, () => compile(parameter.type, [parameter], [], registry)).extract,
    patientIdOf: (type) => memo(patients, type, () => patientReader(type, registry)),
    unsupported: (type) => compiledFor(type).problems,
  };
}

// ---- the tree

type Compiled = { readonly extract: Extractor; readonly problems: readonly string[] };

type Step =
  | { readonly kind: 'element'; readonly name: string; readonly repeats: boolean }
  | { readonly kind: 'at'; readonly name: string; readonly index: number }
  | { readonly kind: 'where'; readonly element: string; readonly equals: string }
  | { readonly kind: 'has'; readonly element: string }
  | { readonly kind: 'resolves' | 'mayResolve'; readonly type: string };

type Node = {
  readonly children: Map<string, { readonly step: Step; readonly node: Node }>;
  /** `apart`: of no composite, in whatever element it stands. */
  readonly emits: { readonly emitter: Emitter; readonly param: number; readonly apart?: boolean }[];
};

/** A place in the tree, and the FHIR type or element path that is there. */
type Place = { readonly node: Node; readonly path: string };

/** Values of the `holders`, and the further rows of `all`. */
function compile(
  type: string,
  holders: readonly TypeSearchParameter[],
  all: readonly TypeSearchParameter[],
  registry: SearchParameterRegistry,
): Compiled {
  const root = newNode();
  const problems: string[] = [];
  const computed: Computed[] = [];
  const composites = registry.composites(type);
  for (const parameter of holders) {
    for (const alternative of parameter.alternatives) {
      try {
        if (alternative.op === 'path') {
          plant(root, type, alternative.steps, parameter, composites.isApart(parameter, alternative), registry);
        } else computed.push({ param: parameter.key, holds: condition(alternative, type, registry) });
      } catch (error) {
        if (!(error instanceof UnsupportedElement)) throw error;
        problems.push(`${parameter.code}: ${error.message}`);
      }
    }
  }
  for (const parameter of all) plantFurtherRows(root, type, parameter, registry);
  const extract = extractorOf(root, composites.elements, computed);
  return { extract, problems };
}

/** Not a Failure: a reason in the list of `unsupported`. */
class UnsupportedElement extends Error {}

function plant(
  root: Node,
  type: string,
  steps: readonly PathStep[],
  parameter: TypeSearchParameter,
  apart: boolean,
  registry: SearchParameterRegistry,
): void {
  const places = walk(root, type, steps, registry);
  if (places.length === 0) throw new UnsupportedElement('no such element');
  const refused: string[] = [];
  for (const { node, path } of places) {
    const emitter = emitterFor(parameter, path);
    if (emitter === undefined) refused.push(path);
    else if (!node.emits.some((emit) => emit.param === parameter.key))
      node.emits.push({ emitter, param: parameter.key, apart });
  }
  // Of a choice without ofType() some types may have no values of this kind (Condition.onset as a date).
  if (refused.length === places.length) {
    throw new UnsupportedElement(`${refused.join(', ')} has no values of kind ${parameter.kind}`);
  }
}

/** Of every parameter, since a narrower one (`patient` of `subject`) has identifiers of its own. */
function plantFurtherRows(
  root: Node,
  type: string,
  parameter: TypeSearchParameter,
  registry: SearchParameterRegistry,
): void {
  for (const alternative of parameter.alternatives) {
    if (alternative.op !== 'path' || !(parameter.stored === 'index' || parameter.stored === 'position')) continue;
    const types = typesAt(type, alternative.steps, registry.definitions);
    if ([...types].every((each) => furtherRows(parameter, each).length === 0)) continue;
    const steps = alternative.steps.filter(({ step }) => step !== 'resolves');
    for (const { node, path } of walk(root, type, steps, registry)) {
      for (const { rows, has, emitter } of furtherRows(parameter, path)) {
        let at = has === undefined ? node : child(node, { kind: 'has', element: has });
        for (const step of alternative.steps) {
          if (step.step === 'resolves') at = child(at, { kind: 'mayResolve', type: step.type });
        }
        at.emits.push({ emitter, param: searchParameterKey(type, `${parameter.code}:${rows}`) });
      }
    }
  }
}

function walk(root: Node, type: string, steps: readonly PathStep[], registry: SearchParameterRegistry): Place[] {
  let places: Place[] = [{ node: root, path: type }];
  for (let i = 0; i < steps.length; i++) {
    const step = steps[i] as PathStep;
    switch (step.step) {
      case 'element': {
        const next = steps[i + 1];
        const ofType = next?.step === 'ofType' ? next.type : undefined;
        const index = next?.step === 'index' ? next.index : undefined;
        if (ofType !== undefined || index !== undefined) i++;
        places = places.flatMap((place) => elementPlaces(place, step.name, ofType, index, registry));
        break;
      }
      case 'where':
        places = places.map(({ node, path }) => ({
          path,
          node: child(node, { kind: 'where', element: step.element, equals: step.equals }),
        }));
        break;
      case 'resolves':
        places = places.map(({ node, path }) => ({ path, node: child(node, { kind: 'resolves', type: step.type }) }));
        break;
      default:
        throw new UnsupportedElement(`${step.step} at this place`);
    }
  }
  return places;
}

function elementPlaces(
  { node, path }: Place,
  name: string,
  ofType: string | undefined,
  index: number | undefined,
  registry: SearchParameterRegistry,
): Place[] {
  return placesBelow(path, name, ofType, registry.definitions).map((place) => ({
    path: place.path,
    node: child(
      node,
      index === undefined
        ? { kind: 'element', name: place.json, repeats: place.repeats }
        : { kind: 'at', name: place.json, index },
    ),
  }));
}

function newNode(): Node {
  return { children: new Map(), emits: [] };
}

function child(node: Node, step: Step): Node {
  const key = JSON.stringify(step);
  const known = node.children.get(key);
  if (known !== undefined) return known.node;
  const made = newNode();
  node.children.set(key, { step, node: made });
  return made;
}

// ---- the function

type Computed = { readonly param: number; readonly holds: (resource: Resource) => boolean };

function extractorOf(root: Node, counted: ReadonlySet<string>, computed: readonly Computed[]): Extractor {
  const walkTree = functionOf(root, counted);
  const sink = distinctSink();
  return (resource, target) => {
    sink.start(target);
    walkTree(resource, sink);
    for (const { param, holds } of computed) sink.token(param, '', holds(resource) ? 'true' : 'false', 0, '');
  };
}

/** @param counted names of the elements at the root whose repetitions are kept apart */
function functionOf(root: Node, counted: ReadonlySet<string>): (resource: Resource, sink: SearchValueSink) => void {
  const emitters: Emitter[] = [];
  const writer: Writer = { emitters, counted, variables: 0 };
  const body = code(root, 'r', '0', writer);
  const names = emitters.map((_, i) => `e${i}`);
  // The text is made of element names and literals of the definitions alone.
  const make = new Function(...names, 'resolvesTo', 'mayResolve', 'isLogical', `return (r, s) => {\n${body}};`);
  return make(...emitters, resolvesTo, mayResolve, isLogical) as (resource: Resource, sink: SearchValueSink) => void;
}

type Writer = { readonly emitters: Emitter[]; readonly counted: ReadonlySet<string>; variables: number };

/** `element` is the text of SearchValueSink's number for what is below the node. */
function code(node: Node, variable: string, element: string, writer: Writer): string {
  let text = '';
  for (const { emitter, param, apart } of node.emits) {
    let at = writer.emitters.indexOf(emitter);
    if (at < 0) at = writer.emitters.push(emitter) - 1;
    text += `e${at}(s, ${param}, ${variable}, ${apart === true ? APART : element});\n`;
  }
  for (const { step, node: next } of node.children.values()) {
    switch (step.kind) {
      case 'where':
        text += `if (${variable}.${step.element} === ${JSON.stringify(step.equals)}) {\n${code(next, variable, element, writer)}}\n`;
        break;
      case 'has':
        text += `if (${step.element === 'logical' ? `isLogical(${variable})` : `${variable}.${step.element} !== undefined`}) {\n${code(next, variable, element, writer)}}\n`;
        break;
      case 'resolves':
      case 'mayResolve': {
        const test = step.kind === 'resolves' ? 'resolvesTo' : 'mayResolve';
        text += `if (${test}(${variable}, ${JSON.stringify(step.type)})) {\n${code(next, variable, element, writer)}}\n`;
        break;
      }
      default:
        text += elementCode(step, next, variable, element, writer);
    }
  }
  return text;
}

function elementCode(
  step: Extract<Step, { kind: 'element' | 'at' }>,
  next: Node,
  variable: string,
  element: string,
  writer: Writer,
): string {
  const v = `v${writer.variables++}`;
  if (step.kind === 'at') {
    const inner = code(next, v, element, writer);
    return `const ${v} = ${variable}.${step.name}?.[${step.index}];\nif (${v} != null) {\n${inner}}\n`;
  }
  if (!step.repeats) {
    const inner = code(next, v, element, writer);
    return `const ${v} = ${variable}.${step.name};\nif (${v} != null) {\n${inner}}\n`;
  }
  const number = variable === 'r' && writer.counted.has(step.name) ? `i${v} + 1` : element;
  const inner = code(next, `${v}i`, number, writer);
  return `const ${v} = ${variable}.${step.name};\nif (Array.isArray(${v})) for (let i${v} = 0; i${v} < ${v}.length; i${v}++) {\nconst ${v}i = ${v}[i${v}];\nif (${v}i != null) {\n${inner}}\n}\n`;
}

/** As resolvesTo, and where the Reference says nothing of its type. */
function mayResolve(value: { reference?: unknown; type?: unknown }, type: string): boolean {
  const { reference } = value;
  const isOpen = typeof reference !== 'string' || reference.charCodeAt(0) === 35;
  return isOpen && value.type === undefined ? true : resolvesTo(value, type);
}

/** Whether a Reference names a resource of the type, as far as its text tells: nothing is looked up. */
function resolvesTo(value: { reference?: unknown; type?: unknown }, type: string): boolean {
  const { reference } = value;
  if (typeof reference !== 'string') return value.type === type;
  if (reference.startsWith(type) && reference.charCodeAt(type.length) === 47) return true;
  return value.type === type || reference.includes(`/${type}/`);
}

// ---- conditions (Patient.deceased)

function condition(
  expression: SearchExpression,
  type: string,
  registry: SearchParameterRegistry,
): (resource: Resource) => boolean {
  switch (expression.op) {
    case 'and':
    case 'or': {
      const left = condition(expression.left, type, registry);
      const right = condition(expression.right, type, registry);
      return expression.op === 'and' ? (r) => left(r) && right(r) : (r) => left(r) || right(r);
    }
    case 'exists': {
      const values = valuesOf(expression.of, type, registry);
      return (r) => values(r).length > 0;
    }
    case 'equals':
    case 'differs': {
      const values = valuesOf(expression.left, type, registry);
      const { right } = expression;
      return expression.op === 'equals'
        ? (r) => values(r).some((value) => value === right)
        : (r) => values(r).some((value) => value !== right);
    }
    default:
      throw new UnsupportedElement(`${expression.op} as a condition`);
  }
}

function valuesOf(
  expression: SearchExpression,
  type: string,
  registry: SearchParameterRegistry,
): (resource: Resource) => readonly unknown[] {
  const root = newNode();
  let found: unknown[] = [];
  for (const path of alternatives(expression)) {
    if (path.op !== 'path') throw new UnsupportedElement(`${path.op} within a condition`);
    for (const { node } of walk(root, type, path.steps, registry)) {
      node.emits.push({ emitter: (_sink, _param, value) => void found.push(value), param: 0 });
    }
  }
  const collect = functionOf(root, NONE_COUNTED);
  return (resource) => {
    found = [];
    collect(resource, NO_SINK);
    return found;
  };
}

const NONE_COUNTED: ReadonlySet<string> = new Set();

const NO_SINK: SearchValueSink = {
  token() {},
  reference() {},
  date() {},
  string() {},
  quantity() {},
  uri() {},
};

// ---- the patient

const PATIENT_REFERENCE = /(?:^|\/)Patient\/([A-Za-z0-9.-]{1,64})(?:\/_history\/[^/]+)?$/;

function patientReader(type: string, registry: SearchParameterRegistry): (resource: Resource) => string | null {
  if (type === 'Patient') return (resource) => resource.id ?? null;
  const readers = registry.patientPaths(type).map((path) => valuesOf(path, type, registry));
  if (readers.length === 0) return () => null;
  return (resource) => {
    let patient: string | null = null;
    for (const read of readers) {
      for (const value of read(resource)) {
        const id = localPatient((value as { reference?: unknown }).reference);
        if (id === null || id === patient) continue;
        if (patient !== null) return null;
        patient = id;
      }
    }
    return patient;
  };
}

/** Absolute references to the own base are local by the time a resource is stored; others name foreign patients. */
function localPatient(reference: unknown): string | null {
  if (typeof reference !== 'string' || !reference.startsWith('Patient/')) return null;
  return PATIENT_REFERENCE.exec(reference)?.[1] ?? null;
}
