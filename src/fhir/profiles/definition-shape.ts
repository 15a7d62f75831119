/**
 * Whether a StructureDefinition has the shape that everything here relies on: it comes from a file of somebody else,
 * so it may be any JSON at all.
 */
import type { ElementDefinition, StructureDefinition } from '@medplum/fhirtypes';
import type { Faults } from './faults.ts';

/** More elements are no profile but an attack: the largest of R4 and of US Core have some 300. */
export const MAX_ELEMENTS = 10_000;
/** Deeper paths are none of FHIR. */
export const MAX_STEPS = 32;

const KINDS: ReadonlySet<unknown> = new Set(['resource', 'complex-type', 'primitive-type']);
const R4 = /^4\.0(\.|$)/;
const STEP = '[A-Za-z][A-Za-z0-9_-]*(?:\\[x\\])?';
const PATH = new RegExp(`^${STEP}(?:\\.${STEP})*$`);
const SLICE_NAME = /^[^\s.:][^\s:]*$/;
const RULES: ReadonlySet<unknown> = new Set(['open', 'closed', 'openAtEnd']);
const DISCRIMINATORS: ReadonlySet<unknown> = new Set(['value', 'pattern', 'type', 'profile', 'exists']);
const CONTEXTS: ReadonlySet<unknown> = new Set(['element', 'extension', 'fhirpath']);
const STRENGTHS: ReadonlySet<unknown> = new Set(['required', 'extensible', 'preferred', 'example']);
/** A url with a scheme; a version is never part of it: https://hl7.org/fhir/R4/references.html#canonical. */
const URL_FORM = /^[A-Za-z][A-Za-z0-9+.-]*:[^\s|]+$/;
export const CANONICAL_URL_WORDS = 'url must be a whole address with its scheme, without blanks and without |version';

/** Each may be said once, of one type. */
const TYPED_VALUES = ['fixed', 'pattern', 'minValue', 'maxValue', 'defaultValue'] as const;

/** Adds what is wrong with the definition itself, and with the elements of `view`; true when nothing is. */
export function hasShape(definition: StructureDefinition, view: 'snapshot' | 'differential', faults: Faults): boolean {
  const before = faults.issues.length;
  topFaults(definition, faults);
  const elements: unknown = (definition[view] as { element?: unknown } | undefined)?.element;
  if (!Array.isArray(elements) || elements.length === 0) {
    faults.add(`.${view}.element`, `has no ${view}: give it at least its first element, the type itself`);
  } else if (elements.length > MAX_ELEMENTS) {
    faults.add(`.${view}.element`, `has ${elements.length} elements: no more than ${MAX_ELEMENTS} are taken`);
  } else {
    for (const [at, element] of elements.entries()) {
      const place = `.${view}.element[${at}]`;
      elementFaults(element, place, faults);
      if (view === 'snapshot' && isRecord(element) && untoldSlicing(element)) {
        const words = 'it has neither a discriminator nor a description: say how the slices are told apart';
        faults.add(`${place}.slicing`, words, isText(element.id) ? element.id : undefined);
      }
    }
    idFaults(elements, view, faults);
  }
  return faults.issues.length === before;
}

function topFaults(definition: StructureDefinition, faults: Faults): void {
  for (const name of ['url', 'name', 'type'] as const) {
    if (!isText(definition[name])) faults.add(`.${name}`, `${name} is required`);
  }
  if (isText(definition.url) && !isCanonicalUrl(definition.url)) faults.add('.url', CANONICAL_URL_WORDS);
  if (!KINDS.has(definition.kind)) {
    faults.add('.kind', 'kind must be resource, complex-type or primitive-type: logical models validate no resource');
  }
  if (definition.fhirVersion !== undefined && !(isText(definition.fhirVersion) && R4.test(definition.fhirVersion))) {
    const version = isText(definition.fhirVersion) ? definition.fhirVersion : 'of another form';
    faults.add('.fhirVersion', `fhirVersion is ${version}: this service has R4, so it must be 4.0.1`);
  }
  for (const name of ['version', 'title', 'description', 'baseDefinition'] as const) {
    if (definition[name] !== undefined && !isText(definition[name])) faults.add(`.${name}`, `${name} must be a text`);
  }
  if (!isTextsOrNone(definition.contextInvariant)) faults.add('.contextInvariant', 'contextInvariant must be texts');
  const { context } = definition;
  if (context !== undefined && !isList(context, ({ type, expression }) => CONTEXTS.has(type) && isText(expression))) {
    faults.add('.context', 'each context must have a type (element, extension, fhirpath) and an expression');
  }
}

function elementFaults(element: unknown, place: string, faults: Faults): void {
  if (!isRecord(element)) {
    faults.add(place, 'an element must be a JSON object');
    return;
  }
  const { path, id } = element;
  const name = isText(id) ? id : isText(path) ? path : undefined;
  const fault = (step: string, words: string) => faults.add(`${place}${step}`, words, name);
  if (!isText(path) || !PATH.test(path)) {
    fault('.path', 'path is required: names of elements with dots between them, such as Observation.value[x]');
  } else if (path.split('.').length > MAX_STEPS) {
    fault('.path', `path has more than ${MAX_STEPS} steps`);
  }
  if (id !== undefined && !isText(id)) fault('.id', 'id must be a text');
  const { sliceName } = element;
  if (sliceName !== undefined && !(isText(sliceName) && SLICE_NAME.test(sliceName))) {
    fault('.sliceName', 'sliceName must be a name without blanks, dots and colons');
  } else if (isText(sliceName) && sliceName.split('/').length > MAX_STEPS) {
    fault('.sliceName', `slices of slices are no more than ${MAX_STEPS} deep`);
  }
  if (element.min !== undefined && !isCount(element.min)) fault('.min', 'min must be a whole number from 0');
  if (element.max !== undefined && !(isText(element.max) && /^(\*|\d{1,9})$/.test(element.max))) {
    fault('.max', 'max must be a whole number as a text, or *');
  }
  if (element.maxLength !== undefined && !isCount(element.maxLength)) fault('.maxLength', 'maxLength must be a number');
  if (
    element.contentReference !== undefined &&
    !(isText(element.contentReference) && /#./.test(element.contentReference))
  ) {
    fault('.contentReference', 'contentReference must be # and the id of an element');
  }
  for (const prefix of TYPED_VALUES) {
    const said = Object.keys(element).filter(
      (key) => key.startsWith(prefix) && /^[A-Z]/.test(key.slice(prefix.length)),
    );
    if (said.length > 1) fault(`.${prefix}`, `${said.join(' and ')} exclude each other: leave all but one out`);
  }
  partFaults(element as Partial<ElementDefinition>, fault);
  listFaults(element, fault);
}

/** Lists and flags that are merged as they are. */
function listFaults(element: Readonly<Record<string, unknown>>, fault: (step: string, words: string) => void): void {
  for (const name of ['extension', 'mapping', 'example', 'code']) {
    if (element[name] !== undefined && !isList(element[name], () => true)) fault(`.${name}`, `${name} must be a list`);
  }
  for (const name of ['alias', 'condition']) {
    if (!isTextsOrNone(element[name])) fault(`.${name}`, `${name} must be a list of texts`);
  }
  for (const name of ['short', 'definition', 'comment']) {
    if (element[name] !== undefined && !isText(element[name])) fault(`.${name}`, `${name} must be a text`);
  }
  for (const name of ['mustSupport', 'isModifier', 'sliceIsConstraining']) {
    if (element[name] !== undefined && typeof element[name] !== 'boolean')
      fault(`.${name}`, `${name} must be a boolean`);
  }
}

function partFaults(element: Partial<ElementDefinition>, fault: (step: string, words: string) => void): void {
  const { type, constraint, binding, slicing }: Record<string, unknown> = element;
  if (type !== undefined && !isList(type, ({ code, extension }) => isText(code) && isListOrNone(extension))) {
    fault('.type', 'each type must have a code');
  } else if (
    type !== undefined &&
    !isList(type, (each) => ['profile', 'targetProfile', 'aggregation'].every((key) => isTextsOrNone(each[key])))
  ) {
    fault('.type', 'profile, targetProfile and aggregation of a type must be lists of texts');
  }
  const areConstraints =
    constraint === undefined ||
    isList(constraint, ({ key, human, severity, expression }) => {
      const isSeverity = severity === 'error' || severity === 'warning';
      return isText(key) && isText(human) && isSeverity && (expression === undefined || isText(expression));
    });
  if (!areConstraints) fault('.constraint', 'each constraint must have key, severity (error or warning) and human');
  if (binding !== undefined && !(isRecord(binding) && STRENGTHS.has(binding.strength))) {
    fault('.binding.strength', 'strength must be required, extensible, preferred or example');
  } else if (isRecord(binding) && binding.valueSet !== undefined && !isText(binding.valueSet)) {
    fault('.binding.valueSet', 'valueSet must be the canonical url of a ValueSet');
  } else if (isRecord(binding) && binding.extension !== undefined && !isList(binding.extension, () => true)) {
    fault('.binding.extension', 'extension must be a list');
  }
  if (slicing !== undefined) slicingFaults(slicing, fault);
}

function slicingFaults(slicing: unknown, fault: (step: string, words: string) => void): void {
  if (!isRecord(slicing) || !RULES.has(slicing.rules)) {
    fault('.slicing.rules', 'rules must be open, closed or openAtEnd');
    return;
  }
  const areDiscriminators =
    slicing.discriminator === undefined ||
    isList(slicing.discriminator, ({ type, path }) => DISCRIMINATORS.has(type) && isText(path));
  if (!areDiscriminators) {
    fault('.slicing.discriminator', 'each must have a type (value, pattern, type, profile, exists) and a path');
  }
}

/** Constraint eld-1. A differential may leave both to the parent. */
function untoldSlicing({ slicing }: Readonly<Record<string, unknown>>): boolean {
  if (!isRecord(slicing) || isText(slicing.description)) return false;
  return !Array.isArray(slicing.discriminator) || slicing.discriminator.length === 0;
}

function idFaults(elements: readonly unknown[], view: string, faults: Faults): void {
  const seen = new Set<string>();
  for (const [at, element] of elements.entries()) {
    const id = isRecord(element) && isText(element.id) ? element.id : undefined;
    if (id === undefined) continue;
    if (seen.has(id)) {
      faults.add(`.${view}.element[${at}].id`, 'another element has this id: give a slice a sliceName of its own', id);
    }
    seen.add(id);
  }
}

/** A definition of another form is found under no canonical. */
export function isCanonicalUrl(url: string): boolean {
  return URL_FORM.test(url);
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

function isCount(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) >= 0;
}

function isList(value: unknown, isEach: (each: Readonly<Record<string, unknown>>) => boolean): boolean {
  return Array.isArray(value) && value.every((each: unknown) => isRecord(each) && isEach(each));
}

function isListOrNone(value: unknown): boolean {
  return value === undefined || isList(value, () => true);
}

// A primitive with extensions alone has null in its place.
function isTextsOrNone(value: unknown): boolean {
  return value === undefined || (Array.isArray(value) && value.every((each) => each === null || isText(each)));
}
