/**
 * One `name=value` of a search as a condition on the resources of a type: modifiers, chains, `_has`, composites.
 *
 * @see https://hl7.org/fhir/R4/search.html#modifiers
 * @see https://hl7.org/fhir/R4/search.html#chaining
 * @see https://hl7.org/fhir/R4/search.html#has
 */
import { Failure, issue } from '../failure.ts';
import {
  areaAround,
  dateValue,
  foldedValue,
  hierarchicalUri,
  identifierOfType,
  identifierValue,
  quantityValue,
  referenceTargets,
  tokenValue,
  type ValueContext,
} from './condition-values.ts';
import { inContained } from './contained.ts';
import { InvalidSearch, splitAt, UnknownInSearch, unescaped } from './escaping.ts';
import type { SearchFilter, ValueFilter } from './filter.ts';
import { nearest, shown } from './names.ts';
import { hasFamilyNames, isMimeType } from './parameter-kinds.ts';
import type { SearchParameterRegistry, TypeSearchParameter } from './parameters.ts';
import { searchParameterKey } from './values.ts';

/** What may follow the name of a parameter of a kind. */
export const SUPPORTED_MODIFIERS: Readonly<Record<string, readonly string[]>> = {
  token: ['not', 'text', 'in', 'not-in', 'below', 'above', 'of-type', 'missing'],
  string: ['exact', 'contains', 'missing'],
  reference: ['[type]', 'identifier', 'below', 'missing'],
  date: ['missing'],
  number: ['missing'],
  quantity: ['missing'],
  uri: ['below', 'above', 'missing'],
};

export const MAX_VALUES = 500;
const MAX_LENGTH = 4096;
/** Links of a chain, forward and reverse together. */
const MAX_DEPTH = 8;
/** Conditions that one parameter may become: an untyped chain is one for each type it may lead through. */
export const MAX_CONDITIONS = 300;

/** What one search may still ask for: values in all, conditions for each parameter. */
export type Budget = { values: number; conditions: number };

export type CriterionContext = ValueContext & { readonly registry: SearchParameterRegistry; readonly budget: Budget };

/**
 * @param place of the parameter, for conditions that fail later
 * @throws InvalidSearch for what is wrong, UnknownInSearch where lenient handling may leave it out
 * @throws Failure `invalid` with too-costly
 */
export function criterion(
  type: string,
  name: string,
  value: string,
  place: string,
  context: CriterionContext,
  depth = 0,
): SearchFilter {
  if (depth > MAX_DEPTH) throw tooCostly(`A chain has at most ${MAX_DEPTH} links`, place);
  if (name.startsWith('_has:')) return has(type, name, value, place, context, depth);
  if (name === '_list') return { kind: 'list', values: valuesOf(value, place, context.budget).map(listId) };
  const dot = name.indexOf('.');
  const [code = '', ...modifiers] = (dot < 0 ? name : name.slice(0, dot)).split(':');
  const parameter = parameterOf(type, code, context.registry);
  const modifier = modifiers.length === 0 ? undefined : modifiers.join(':');
  if (dot >= 0) return chain(parameter, modifier, name.slice(dot + 1), value, place, context, depth);
  if (--context.budget.conditions < 0) {
    throw tooCostly('Through so many types this chain is too much: name the type, as in subject:Patient.name', place);
  }
  return condition(parameter, modifier, value, place, context);
}

/** @throws UnknownInSearch */
export function parameterOf(type: string, code: string, registry: SearchParameterRegistry): TypeSearchParameter {
  const parameter = registry.of(type).get(code);
  if (parameter !== undefined && parameter.stored !== 'none') return parameter;
  const known = [...registry.of(type).values()].filter(({ stored }) => stored !== 'none');
  const near = nearest(
    code,
    known.map((each) => each.code),
  );
  const words = near.length === 0 ? 'See the CapabilityStatement.' : `Did you mean ${near.join(', ')}?`;
  const message = `${type} has no search parameter '${shown(code)}'. ${words}`;
  throw new UnknownInSearch(message, 'invalid', 'MSG_PARAM_UNKNOWN');
}

// ---- chains

function chain(
  parameter: TypeSearchParameter,
  modifier: string | undefined,
  rest: string,
  value: string,
  place: string,
  context: CriterionContext,
  depth: number,
): SearchFilter {
  const { registry } = context;
  if (parameter.kind !== 'reference') {
    throw new InvalidSearch(
      `'${parameter.code}' is no reference: nothing can be chained to it`,
      'invalid',
      'MSG_PARAM_CHAINED',
    );
  }
  if (modifier !== undefined && !registry.definitions.isResourceType(modifier)) {
    throw new InvalidSearch(
      `A chain goes through a type: '${parameter.code}:Type.…', not ':${shown(modifier)}'`,
      'invalid',
      'MSG_PARAM_MODIFIER_INVALID',
    );
  }
  const targets = modifier === undefined ? targetsOf(parameter, registry) : [modifier];
  if (modifier !== undefined && !targetsOf(parameter, registry).includes(modifier)) {
    throw new InvalidSearch(`'${parameter.code}' never refers to a ${modifier}`, 'invalid');
  }
  const filters: SearchFilter[] = [];
  let refusal: InvalidSearch | undefined;
  for (const target of targets) {
    try {
      const filter = criterion(target, rest, value, place, context, depth + 1);
      filters.push({ kind: 'chain', parameter, target, filter });
      const contained = inContained(parameter, target, filter);
      if (contained !== undefined) filters.push(contained);
    } catch (error) {
      // Of several types it is enough that one understands the rest; what most of them lack tells least.
      if (!(error instanceof InvalidSearch)) throw error;
      if (refusal === undefined || refusal instanceof UnknownInSearch) refusal = error;
    }
  }
  if (filters.length === 0) throw refusal ?? new InvalidSearch(`'${parameter.code}' refers to nothing`, 'invalid');
  return filters.length === 1 ? (filters[0] as SearchFilter) : { kind: 'any', filters };
}

/** Types that a reference may name. */
export function targetsOf(parameter: TypeSearchParameter, registry: SearchParameterRegistry): readonly string[] {
  const { targets } = parameter;
  return targets.length === 0 || targets.includes('Resource') ? registry.definitions.resourceTypes : targets;
}

/** `_has:Type:reference:rest` */
function has(
  type: string,
  name: string,
  value: string,
  place: string,
  context: CriterionContext,
  depth: number,
): SearchFilter {
  const { registry } = context;
  const [, other = '', code = '', ...parts] = name.split(':');
  const rest = parts.join(':');
  if (!registry.definitions.isResourceType(other) || code === '' || rest === '') {
    throw new InvalidSearch('_has is _has:Type:reference:parameter, e.g. _has:Observation:patient:code', 'invalid');
  }
  const parameter = parameterOf(other, code, registry);
  if (parameter.kind !== 'reference' || !targetsOf(parameter, registry).includes(type)) {
    throw new InvalidSearch(`${other}:${code} never refers to a ${type}`, 'invalid');
  }
  return { kind: 'has', parameter, filter: criterion(other, rest, value, place, context, depth + 1) };
}

// ---- one parameter

function condition(
  parameter: TypeSearchParameter,
  modifier: string | undefined,
  value: string,
  place: string,
  context: CriterionContext,
): SearchFilter {
  if (modifier === 'missing' && SUPPORTED_MODIFIERS[parameter.kind] !== undefined) {
    if (value !== 'true' && value !== 'false') throw new InvalidSearch(':missing is true or false');
    if (parameter.stored === 'text') throw notForModifier(parameter, modifier, []);
    return { kind: 'missing', parameter, missing: value === 'true' };
  }
  const values = valuesOf(value, place, context.budget);
  if (parameter.stored === 'text' || parameter.stored === 'position' || parameter.stored === 'composite') {
    if (modifier !== undefined) throw notForModifier(parameter, modifier, []);
    if (parameter.stored === 'text') return fulltext(parameter, values);
    if (parameter.stored === 'position') return anyOf(values.map((each) => near(parameter, each)));
    return composite(parameter, values, context);
  }
  return valueCondition(parameter, modifier, values, place, context);
}

function valuesOf(value: string, place: string, budget: Budget): string[] {
  const values = splitAt(value, ',');
  budget.values -= values.length;
  if (budget.values < 0) throw tooCostly(`A search has at most ${MAX_VALUES} values; split it into several`, place);
  for (const each of values) {
    if (each === '') throw new InvalidSearch('An alternative is empty');
    if (each.length > MAX_LENGTH) throw new InvalidSearch(`A value has at most ${MAX_LENGTH} characters`);
  }
  return values;
}

/** Of a parameter with index rows, or of _id and _lastUpdated. */
export function valueCondition(
  parameter: TypeSearchParameter,
  modifier: string | undefined,
  values: readonly string[],
  place: string,
  context: ValueContext,
): SearchFilter {
  switch (parameter.kind) {
    case 'token':
      return tokenCondition(parameter, modifier, values, place, context);
    case 'reference':
      return referenceCondition(parameter, modifier, values, context);
    case 'uri':
      return uriCondition(parameter, modifier, values, context);
    case 'string':
      if (modifier === undefined) {
        return { kind: 'string', parameter: withWords(parameter), match: 'prefix', values: values.map(foldedValue) };
      }
      if (modifier === 'exact') return { kind: 'string', parameter, match: 'exact', values: values.map(unescaped) };
      if (modifier === 'contains') {
        return { kind: 'string', parameter, match: 'contains', values: values.map(foldedValue) };
      }
      throw notForModifier(parameter, modifier);
    case 'date':
      if (modifier !== undefined) throw notForModifier(parameter, modifier);
      return { kind: 'date', parameter, values: values.map((value) => dateValue(value, context.now)) };
    case 'number':
    case 'quantity': {
      const { kind } = parameter;
      if (modifier !== undefined) throw notForModifier(parameter, modifier);
      return { kind: 'quantity', parameter, values: values.map((value) => quantityValue(value, kind)) };
    }
    default:
      throw new Error(`Parameters of kind ${parameter.kind} have no values of their own`);
  }
}

/**
 * "searching either Carreno or Quinones should match a family name of Carreno Quinones": the later words of a family name
 * are rows of their own, which neither :exact nor a sort looks at.
 */
function withWords(parameter: TypeSearchParameter): TypeSearchParameter {
  if (!hasFamilyNames(parameter)) return parameter;
  const words = searchParameterKey(parameter.type, `${parameter.code}:words`);
  return { ...parameter, rows: [...parameter.rows, words] };
}

function tokenCondition(
  parameter: TypeSearchParameter,
  modifier: string | undefined,
  values: readonly string[],
  place: string,
  context: ValueContext,
): SearchFilter {
  const tokens = () => values.map((value) => tokenValue(value, parameter, context));
  switch (modifier) {
    case undefined:
      return { kind: 'token', parameter, not: false, values: tokens() };
    case 'not':
      return { kind: 'token', parameter, not: true, values: tokens() };
    case 'text':
      if (parameter.stored === 'column') throw notForModifier(parameter, modifier, ['not', 'missing']);
      return { kind: 'text', parameter, values: values.map(foldedValue) };
    case 'of-type':
      if (!parameter.types.has('Identifier')) break;
      return { kind: 'token', parameter, not: false, values: values.map(identifierOfType), rows: 'of-type' };
    case 'in':
    case 'not-in':
      if (!isCoded(parameter)) break;
      return { kind: 'terms', parameter, place, relation: modifier, values: values.map(unescaped) };
    case 'below':
    case 'above':
      if (isMimeType(parameter) && modifier === 'below') {
        return { kind: 'token', parameter, not: false, values: values.map(mimeType), rows: 'below' };
      }
      if (!isCoded(parameter)) break;
      return { kind: 'terms', parameter, place, relation: modifier, values: tokens() };
    default:
  }
  throw notForModifier(parameter, modifier, tokenModifiers(parameter));
}

function tokenModifiers(parameter: TypeSearchParameter): readonly string[] {
  if (parameter.stored === 'column') return ['not', 'missing'];
  const coded = isCoded(parameter) ? ['in', 'not-in', 'below', 'above'] : isMimeType(parameter) ? ['below'] : [];
  return ['not', 'text', 'missing', ...coded, ...(parameter.types.has('Identifier') ? ['of-type'] : [])];
}

const CODED: readonly string[] = ['code', 'Coding', 'CodeableConcept'];

function isCoded(parameter: TypeSearchParameter): boolean {
  return parameter.stored === 'index' && CODED.some((type) => parameter.types.has(type)) && !isMimeType(parameter);
}

function mimeType(value: string) {
  return { code: unescaped(value).split(';', 1)[0]?.trim().toLowerCase() ?? '' };
}

function referenceCondition(
  parameter: TypeSearchParameter,
  modifier: string | undefined,
  values: readonly string[],
  context: ValueContext,
): SearchFilter {
  if (modifier === 'identifier' && parameter.types.has('Reference')) {
    return { kind: 'token', parameter, not: false, values: values.map(identifierValue), rows: 'identifier' };
  }
  if (modifier === 'below' && parameter.types.has('canonical')) {
    return { kind: 'reference', parameter, values: values.map(unescaped), below: true };
  }
  const isType = modifier !== undefined && context.isResourceType(modifier);
  if (modifier !== undefined && !isType) throw notForModifier(parameter, modifier, referenceModifiers(parameter));
  const targets = values.flatMap((value) => referenceTargets(unescaped(value), parameter, modifier, context));
  return { kind: 'reference', parameter, values: targets };
}

function referenceModifiers({ types }: TypeSearchParameter): readonly string[] {
  return [
    '[type]',
    ...(types.has('Reference') ? ['identifier'] : []),
    ...(types.has('canonical') ? ['below'] : []),
    'missing',
  ];
}

/** "servers SHOULD support automatically detecting a |[version] portion", for the canonical url of a resource itself. */
function uriCondition(
  parameter: TypeSearchParameter,
  modifier: string | undefined,
  values: readonly string[],
  context: ValueContext,
): SearchFilter {
  if (modifier === 'below' || modifier === 'above') {
    return { kind: 'uri', parameter, match: modifier, values: values.map(hierarchicalUri) };
  }
  if (modifier !== undefined) throw notForModifier(parameter, modifier);
  const version = parameter.code === 'url' ? context.versionOf(parameter.type) : undefined;
  const plain = (value: string): SearchFilter => ({
    kind: 'uri',
    parameter,
    match: 'exact',
    values: [splitAt(value, '|').map(unescaped).join('|')],
  });
  if (version === undefined || values.every((value) => splitAt(value, '|').length < 2)) {
    return {
      kind: 'uri',
      parameter,
      match: 'exact',
      values: values.map((value) => splitAt(value, '|').map(unescaped).join('|')),
    };
  }
  return anyOf(
    values.map((value) => {
      const [url = '', number, ...more] = splitAt(value, '|');
      if (number === undefined) return plain(value);
      if (number === '' || more.length > 0) throw new InvalidSearch("A canonical url is 'url' or 'url|version'");
      const tokens = [tokenValue(number, version, context)];
      return { kind: 'all', filters: [plain(url), { kind: 'token', parameter: version, not: false, values: tokens }] };
    }),
  );
}

function anyOf(filters: readonly SearchFilter[]): SearchFilter {
  return filters.length === 1 ? (filters[0] as SearchFilter) : { kind: 'any', filters };
}

// ---- composite

function composite(parameter: TypeSearchParameter, values: readonly string[], context: CriterionContext): SearchFilter {
  const parts = values.flatMap((value) => {
    const given = splitAt(value, '$');
    if (given.length !== parameter.components.length) {
      const codes = parameter.components.map(({ code }) => code).join('$');
      throw new InvalidSearch(`A value of '${parameter.code}' is ${codes}`);
    }
    const swapped = EITHER_ORDER.has(`${parameter.type}.${parameter.code}`);
    return swapped ? [given, given.toReversed()] : [given];
  });
  const alternatives = parts.map((given) => compositeParts(parameter, given, context));
  if (alternatives.every(({ elsewhere }) => elsewhere.length === 0)) {
    return { kind: 'composite', parameter, values: alternatives.map(({ together }) => together) };
  }
  return anyOf(
    alternatives.map(({ elsewhere, together }) => ({
      kind: 'all',
      filters: [...elsewhere, { kind: 'composite', parameter, values: [together] }],
    })),
  );
}

/** R4 names the components in one order and gives their expressions in the other. */
const EITHER_ORDER: ReadonlySet<string> = new Set(['DocumentReference.relationship']);

function compositeParts(
  parameter: TypeSearchParameter,
  given: readonly string[],
  context: CriterionContext,
): { together: ValueFilter[]; elsewhere: ValueFilter[] } {
  const together: ValueFilter[] = [];
  const elsewhere: ValueFilter[] = [];
  parameter.components.forEach(({ code, anywhere }, i) => {
    const component = context.registry.of(parameter.type).get(code) as TypeSearchParameter;
    if (given[i] === '') throw new InvalidSearch('A part of a composite value is empty');
    const filter = valueCondition(component, undefined, [given[i] as string], '', context) as ValueFilter;
    (anywhere ? elsewhere : together).push(filter);
  });
  return { together, elsewhere };
}

// ---- special

const MAX_QUERY = 1000;

function fulltext({ code }: TypeSearchParameter, values: readonly string[]): SearchFilter {
  const queries = values.map(unescaped);
  if (queries.some((query) => query.length > MAX_QUERY)) {
    throw new InvalidSearch(`A query has at most ${MAX_QUERY} characters`);
  }
  return { kind: 'fulltext', over: code === '_text' ? 'narrative' : 'content', queries };
}

/** @see https://hl7.org/fhir/R4/search.html#list */
function listId(value: string): string {
  const plain = unescaped(value);
  if (plain.startsWith('$')) throw new InvalidSearch('Lists by function ($current-…) are not kept', 'not-supported');
  const id = plain.startsWith('List/') ? plain.slice('List/'.length) : plain;
  if (!/^[A-Za-z0-9.-]{1,64}$/.test(id)) throw new InvalidSearch('A list is named by its id');
  return id;
}

/** The position is in the square: its two numbers are rows of their own. */
function near(parameter: TypeSearchParameter, value: string): SearchFilter {
  const { latitude, longitudes } = areaAround(value);
  return {
    kind: 'all',
    filters: [within(parameter, 'latitude', [latitude]), within(parameter, 'longitude', longitudes)],
  };
}

function within(
  parameter: TypeSearchParameter,
  rows: 'latitude' | 'longitude',
  ranges: readonly { readonly low: number; readonly high: number }[],
): SearchFilter {
  const code = `${parameter.code}:${rows}`;
  const key = searchParameterKey(parameter.type, code);
  const number: TypeSearchParameter = { ...parameter, kind: 'number', code, key, rows: [key], stored: 'index' };
  const values = ranges.map((range) => ({ prefix: 'ap' as const, value: (range.low + range.high) / 2, ...range }));
  return { kind: 'quantity', parameter: number, values };
}

// ---- refusals

function notForModifier(
  { code, kind }: TypeSearchParameter,
  modifier: string | undefined,
  allowed: readonly string[] = SUPPORTED_MODIFIERS[kind] ?? [],
): InvalidSearch {
  const words = allowed.length === 0 ? 'It has none.' : `Supported: ${allowed.map((known) => `:${known}`).join(', ')}.`;
  return new InvalidSearch(
    `Modifier ':${shown(modifier ?? '')}' is not supported on '${code}' (${kind}). ${words}`,
    'not-supported',
    'MSG_PARAM_MODIFIER_INVALID',
  );
}

export function tooCostly(diagnostics: string, place: string): Failure {
  return new Failure('invalid', issue('too-costly', `${diagnostics}.`, place));
}
