/** Search as the specification words it, over a list in memory: the naive answer that the service must give, too. */

import type { TypedValue } from '@medplum/core';
import type { Identifier, Reference, Resource } from '@medplum/fhirtypes';
import {
  type Amount,
  amountsOf,
  datesOf,
  definitionOf,
  elementsOf,
  elementsWithin,
  folded,
  type Range,
  rangeOf,
  stringsOf,
  type Token,
  targetsOf,
  tokensOf,
} from './naive-values.ts';

export type Condition = readonly [name: string, value: string];

export type NaiveRecord = readonly Resource[];

const nameOf = ({ resourceType, id }: Resource) => `${resourceType}/${id}`;

/** All resources of the type that meet every condition, in no order. */
export function naiveMatches(record: NaiveRecord, type: string, conditions: readonly Condition[]): Resource[] {
  return record.filter(
    (resource) =>
      resource.resourceType === type && conditions.every(([name, value]) => holds(record, resource, name, value)),
  );
}

function holds(record: NaiveRecord, resource: Resource, name: string, value: string): boolean {
  if (name.startsWith('_has:')) {
    const [, type = '', reference = '', ...rest] = name.split(':');
    return record.some(
      (other) =>
        other.resourceType === type &&
        targetsIn(other, reference).includes(nameOf(resource)) &&
        holds(record, other, rest.join(':'), value),
    );
  }
  const dot = name.indexOf('.');
  if (dot > 0) {
    const [reference = '', type] = name.slice(0, dot).split(':');
    const targets = targetsIn(resource, reference);
    return record.some(
      (other) =>
        targets.includes(nameOf(other)) &&
        (type === undefined || other.resourceType === type) &&
        hasParameter(other.resourceType, name.slice(dot + 1)) &&
        holds(record, other, name.slice(dot + 1), value),
    );
  }
  const [code = '', modifier] = name.split(':');
  if (code === '_id') return value.split(',').includes(resource.id as string) !== (modifier === 'not');
  if (code === '_list') return lists(record, value).includes(nameOf(resource));
  if (code === '_source') return resource.meta?.source === value;
  const found = elementsIn(resource, code);
  if (modifier === 'missing') return (found.length === 0) === (value === 'true');
  const { type } = definitionOf(resource.resourceType, code);
  const any = alternativesOf(value).some((wanted) => matches(resource, code, type, modifier, found, wanted));
  return modifier === 'not' ? !any : any;
}

function hasParameter(type: string, rest: string): boolean {
  const code = rest.split(/[.:]/)[0] as string;
  if (code === '_has' || code === '_id') return true;
  try {
    return definitionOf(type, code) !== undefined;
  } catch {
    return false;
  }
}

function lists(record: NaiveRecord, id: string): string[] {
  const list = record.find((resource) => nameOf(resource) === `List/${id}`) as
    | { entry?: { item: Reference }[] }
    | undefined;
  return (list?.entry ?? []).map(({ item }) => item.reference as string);
}

export function targetsIn(resource: Resource, code: string): string[] {
  return elementsIn(resource, code).flatMap(targetsOf);
}

function elementsIn(resource: Resource, code: string): TypedValue[] {
  const { expression } = definitionOf(resource.resourceType, code);
  // The engine knows no abstract types.
  return elementsOf(resource, (expression ?? '{}').replace(/^(Domain)?Resource\b/, resource.resourceType));
}

/** Split at commas that are not escaped; the parts stay escaped. */
function alternativesOf(value: string): string[] {
  return value.match(/(?:\\.|[^,\\])+/gs) ?? [];
}

function partsOf(value: string, separator: '|' | '$'): string[] {
  const parts = [''];
  for (const piece of value.match(/\\.|[^\\]/gs) ?? []) {
    if (piece === separator) parts.push('');
    else parts[parts.length - 1] += piece;
  }
  return parts;
}

const plain = (value: string) => value.replace(/\\(.)/gs, '$1');

function matches(
  resource: Resource,
  code: string,
  type: string,
  modifier: string | undefined,
  found: readonly TypedValue[],
  wanted: string,
): boolean {
  switch (type) {
    case 'token':
      return tokenMatches(modifier, found, wanted);
    case 'string':
      return [...found.flatMap(stringsOf), ...(modifier === undefined ? laterNames(resource, code) : [])].some((text) =>
        stringMatches(modifier, text, plain(wanted)),
      );
    case 'reference':
      return modifier === 'identifier'
        ? found.some(({ value }) => isToken(identifierOf(value as Reference), wanted))
        : found.flatMap(targetsOf).some((target) => referenceMatches(modifier, target, plain(wanted)));
    case 'date':
      return found.flatMap(datesOf).some((range) => dateMatches(range, plain(wanted)));
    case 'number':
    case 'quantity':
      return found.flatMap(amountsOf).some((amount) => amountMatches(amount, wanted));
    case 'uri':
      return found.some(({ value }) => uriMatches(modifier, String(value), plain(wanted)));
    case 'composite':
      return compositeMatches(resource, code, wanted);
    default:
      throw new Error(`The model knows no ${type}`);
  }
}

/** "Carreno Quinones" is found by "Quinones", too (https://hl7.org/fhir/R4/search.html#string). */
function laterNames(resource: Resource, code: string): string[] {
  if (code !== 'name' && code !== 'family') return [];
  const { name } = resource as { name?: string | readonly { family?: string }[] };
  if (name === undefined || typeof name === 'string') return [];
  return name.flatMap(({ family = '' }) => {
    const words = family.split(/[\s-]+/);
    return words.slice(1).map((_, i) => words.slice(i + 1).join(' '));
  });
}

function identifierOf({ identifier }: Reference): Token {
  return { system: identifier?.system ?? '', code: identifier?.value ?? '\u0000', texts: [] };
}

function isToken({ system, code }: Token, wanted: string): boolean {
  const parts = partsOf(wanted, '|').map(plain);
  const [first = '', second] = parts;
  if (second === undefined) return code === first;
  return system === first && (second === '' || code === second);
}

function tokenMatches(modifier: string | undefined, found: readonly TypedValue[], wanted: string): boolean {
  if (modifier === 'text') {
    return found
      .flatMap(tokensOf)
      .some(({ texts }) => texts.some((text) => folded(text).startsWith(folded(plain(wanted)))));
  }
  if (modifier === 'of-type') {
    const [system, type, value] = partsOf(wanted, '|').map(plain);
    return found.some(({ value: identifier }) => {
      const { type: kind, value: given } = identifier as Identifier;
      return given === value && (kind?.coding ?? []).some((c) => c.system === system && c.code === type);
    });
  }
  return found.flatMap(tokensOf).some((token) => isToken(token, wanted));
}

function stringMatches(modifier: string | undefined, text: string, wanted: string): boolean {
  if (modifier === 'exact') return text === wanted;
  if (modifier === 'contains') return folded(text).includes(folded(wanted));
  return folded(text).startsWith(folded(wanted));
}

function referenceMatches(modifier: string | undefined, target: string, wanted: string): boolean {
  const full = modifier !== undefined && !wanted.includes('/') ? `${modifier}/${wanted}` : wanted;
  if (modifier !== undefined && !target.startsWith(`${modifier}/`)) return false;
  return target === full || target.split('|')[0] === full || (!full.includes('/') && target.endsWith(`/${full}`));
}

function uriMatches(modifier: string | undefined, uri: string, wanted: string): boolean {
  if (modifier === 'below') return uri.startsWith(wanted);
  if (modifier === 'above') return wanted.startsWith(uri);
  return uri === wanted || uri.split('|')[0] === wanted;
}

function prefixOf(text: string): { prefix: string; rest: string } {
  const [, prefix = 'eq', rest = ''] = /^(eq|ne|gt|lt|ge|le|sa|eb|ap)?(.*)$/s.exec(text) ?? [];
  return { prefix, rest };
}

/** ge and le as "equal or beyond": some moment of the resource is not before (after) the value. */
function dateMatches({ low, high }: Range, wanted: string): boolean {
  const { prefix, rest } = prefixOf(wanted);
  const value = rangeOf(rest);
  switch (prefix) {
    case 'eq':
      return value.low <= low && high <= value.high;
    case 'ne':
      return !(value.low <= low && high <= value.high);
    case 'gt':
      return high > value.high;
    case 'lt':
      return low < value.low;
    case 'ge':
      return high >= value.low;
    case 'le':
      return low <= value.high;
    case 'sa':
      return low > value.high;
    case 'eb':
      return high < value.low;
    default:
      throw new Error(`The model knows no ${prefix}`);
  }
}

const UCUM = 'http://unitsofmeasure.org';
/** In grams. */
const MASS: Readonly<Record<string, number>> = { mg: 0.001, g: 1, kg: 1000 };

function amountMatches(amount: Amount, wanted: string): boolean {
  const [text = '', system, code] = partsOf(wanted, '|').map(plain);
  const { prefix, rest } = prefixOf(text);
  const digits = rest.includes('.') ? rest.length - rest.indexOf('.') - 1 : 0;
  const half = 0.5 * 10 ** -digits;
  const wantedMass = MASS[code ?? ''];
  const ownMass = MASS[amount.code];
  if (system === UCUM && wantedMass !== undefined && amount.system === UCUM && ownMass !== undefined) {
    return compare(prefix, (amount.value * ownMass) / wantedMass, Number(rest), half);
  }
  if (system !== undefined && system !== '' && amount.system !== system) return false;
  if (code !== undefined && code !== '' && amount.code !== code && (system !== '' || amount.unit !== code))
    return false;
  return compare(prefix, amount.value, Number(rest), half);
}

function compare(prefix: string, own: number, value: number, half: number): boolean {
  const equal = own >= value - half - 1e-9 && own < value + half - 1e-9;
  switch (prefix) {
    case 'eq':
      return equal;
    case 'ne':
      return !equal;
    case 'gt':
    case 'sa':
      return own > value + 1e-9;
    case 'lt':
    case 'eb':
      return own < value - 1e-9;
    case 'ge':
      return own >= value - 1e-9;
    case 'le':
      return own <= value + 1e-9;
    default:
      throw new Error(`The model knows no ${prefix}`);
  }
}

function compositeMatches(resource: Resource, code: string, wanted: string): boolean {
  const { expression, component } = definitionOf(resource.resourceType, code);
  const values = partsOf(wanted, '$');
  return elementsOf(resource, expression as string).some((element) =>
    (component ?? []).every(({ definition, expression: path }, i) => {
      const part = definition.slice(definition.lastIndexOf('/') + 1);
      const type = definitionOf(resource.resourceType, part.slice(part.indexOf('-') + 1)).type;
      return matches(
        resource,
        '',
        type,
        undefined,
        elementsWithin(element, (path as string).replace('.as(', '.ofType(')),
        values[i] as string,
      );
    }),
  );
}

// ---- order

/** Of the values of a resource the least where it ascends, the greatest where it descends; none comes last. */
export function naiveOrder(sort: readonly string[], a: Resource, b: Resource): number {
  for (const key of sort) {
    const descending = key.startsWith('-');
    const code = descending ? key.slice(1) : key;
    const [left, right] = [sortKey(a, code, descending), sortKey(b, code, descending)];
    if (left === right) continue;
    if (left === undefined) return 1;
    if (right === undefined) return -1;
    return (left < right ? -1 : 1) * (descending ? -1 : 1);
  }
  return 0;
}

function sortKey(resource: Resource, code: string, descending: boolean): string | number | undefined {
  if (code === '_id') return resource.id as string;
  const found = elementsIn(resource, code);
  const keys = found.flatMap((element): (string | number)[] => {
    switch (definitionOf(resource.resourceType, code).type) {
      case 'token':
        return tokensOf(element).map((token) => token.code);
      case 'string':
        return stringsOf(element).map(folded);
      case 'date':
        return datesOf(element).map(({ low }) => low);
      case 'reference':
        return targetsOf(element);
      case 'uri':
        return [String(element.value)];
      default:
        return amountsOf(element).map(({ value }) => value);
    }
  });
  const sorted = keys.toSorted((x, y) => (x < y ? -1 : x > y ? 1 : 0));
  return descending ? sorted.at(-1) : sorted[0];
}

// ---- what is added to the matches

export type Include = { readonly reverse: boolean; readonly iterate: boolean; readonly value: string };

/** Type/id of all that the includes add; none that is a match. */
export function naiveIncluded(
  record: NaiveRecord,
  matches: readonly Resource[],
  includes: readonly Include[],
): string[] {
  const known = new Set(matches.map(nameOf));
  const added: Resource[] = [];
  let fresh: readonly Resource[] = matches;
  for (let hop = 0; fresh.length > 0; hop++) {
    const found = includes
      .filter(({ iterate }) => hop === 0 || iterate)
      .flatMap((include) => fresh.flatMap((from) => reached(record, from, include)));
    fresh = found.filter((resource, i) => !known.has(nameOf(resource)) && found.indexOf(resource) === i);
    for (const resource of fresh) {
      known.add(nameOf(resource));
      added.push(resource);
    }
  }
  return added.map(nameOf);
}

function reached(record: NaiveRecord, from: Resource, { reverse, value }: Include): Resource[] {
  const [type, code = '', target] = value.split(':');
  if (reverse) {
    if (target !== undefined && target !== from.resourceType) return [];
    return record.filter((other) => other.resourceType === type && targetsIn(other, code).includes(nameOf(from)));
  }
  if (from.resourceType !== type) return [];
  const targets = targetsIn(from, code);
  return record.filter(
    (other) => targets.includes(nameOf(other)) && (target === undefined || target === other.resourceType),
  );
}
