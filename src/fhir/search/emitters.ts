/**
 * How an element of each FHIR type becomes search values, by the kind of the parameter.
 *
 * Called for every value of every write, so it works on what is there and allocates no rows. Elements come from
 * validated resources; one of another shape gives no value.
 *
 * @see https://hl7.org/fhir/R4/search.html#ptypes
 */
import type {
  Address,
  CodeableConcept,
  Coding,
  ContactPoint,
  HumanName,
  Identifier,
  Money,
  Period,
  Quantity,
  Range,
  Reference,
  SampledData,
  Timing,
} from '@medplum/fhirtypes';
import { dateRange } from '../date-range.ts';
import { hasFamilyNames, isCaseless, isMimeType } from './parameter-kinds.ts';
import type { TypeSearchParameter } from './parameters.ts';
import { OPEN_HIGH, OPEN_LOW, type SearchValueSink } from './values.ts';

/** Puts one element's values into the sink; it is never called with null or undefined. */
export type Emitter = (sink: SearchValueSink, param: number, value: never, element: number) => void;

/** Undefined where R4 gives such elements no search value. */
export function emitterFor(parameter: TypeSearchParameter, fhirType: string): Emitter | undefined {
  if (fhirType === 'string' && isCaseless(parameter)) return tokenCaseless;
  if (fhirType === 'Resource' && parameter.kind === 'reference') return entryReference(parameter.targets);
  return EMITTERS[parameter.kind]?.[fhirType];
}

/** An end without a bound, as an index row holds it. */
export const QUANTITY_LOW = -Number.MAX_VALUE;
export const QUANTITY_HIGH = Number.MAX_VALUE;

// ---- token: what is present without a code has the code '', so that it does not count as missing

function tokenCode(sink: SearchValueSink, param: number, value: string, element: number): void {
  if (typeof value === 'string') sink.token(param, '', value, element, '');
}

function tokenBoolean(sink: SearchValueSink, param: number, value: boolean, element: number): void {
  if (typeof value === 'boolean') sink.token(param, '', value ? 'true' : 'false', element, '');
}

function tokenCaseless(sink: SearchValueSink, param: number, value: string, element: number): void {
  if (typeof value === 'string') sink.token(param, '', value.toLowerCase(), element, '');
}

function tokenCoding(sink: SearchValueSink, param: number, value: Coding, element: number): void {
  sink.token(param, value.system ?? '', value.code ?? '', element, value.display ?? '');
}

function tokenCodeableConcept(sink: SearchValueSink, param: number, value: CodeableConcept, element: number): void {
  const codings = value.coding;
  const text = value.text ?? '';
  if (codings === undefined || codings.length === 0) {
    sink.token(param, '', '', element, text);
    return;
  }
  for (let i = 0; i < codings.length; i++) {
    const coding = codings[i] as Coding;
    const display = coding.display ?? '';
    const lines = display === '' || display === text ? text : text === '' ? display : `${display}\n${text}`;
    sink.token(param, coding.system ?? '', coding.code ?? '', element, lines);
  }
}

function tokenIdentifier(sink: SearchValueSink, param: number, value: Identifier, element: number): void {
  sink.token(param, value.system ?? '', value.value ?? '', element, value.type?.text ?? '');
}

function tokenContactPoint(sink: SearchValueSink, param: number, value: ContactPoint, element: number): void {
  if (value.value !== undefined) sink.token(param, '', value.value, element, '');
}

// ---- reference

const VERSION_PART = '/_history/';

function reference(sink: SearchValueSink, param: number, value: Reference, element: number): void {
  const target = value.reference;
  // A contained resource cannot be searched for.
  if (typeof target !== 'string' || target.charCodeAt(0) === 35) return;
  const version = target.indexOf(VERSION_PART);
  sink.reference(param, version < 0 ? target : target.slice(0, version), element);
}

/** With and without its version and its fragment: all of them name it. */
function canonicalReference(sink: SearchValueSink, param: number, value: string, element: number): void {
  if (typeof value !== 'string' || value.charCodeAt(0) === 35) return;
  sink.reference(param, value, element);
  const fragment = value.indexOf('#');
  const whole = fragment < 0 ? value : value.slice(0, fragment);
  if (fragment > 0) sink.reference(param, whole, element);
  const bar = whole.indexOf('|');
  if (bar > 0) sink.reference(param, whole.slice(0, bar), element);
}

/** Bundle.entry[0].resource: the resource itself is the target. */
function entryReference(targets: readonly string[]): Emitter {
  return (sink: SearchValueSink, param: number, value: { resourceType?: string; id?: string }, element: number) => {
    if (value.id !== undefined && targets.includes(value.resourceType ?? '')) {
      sink.reference(param, `${value.resourceType}/${value.id}`, element);
    }
  };
}

// ---- date

function date(sink: SearchValueSink, param: number, value: string, element: number): void {
  const range = typeof value === 'string' ? dateRange(value) : undefined;
  if (range !== undefined) sink.date(param, range.low, range.high, element);
}

function datePeriod(sink: SearchValueSink, param: number, value: Period, element: number): void {
  const start = value.start === undefined ? undefined : dateRange(value.start);
  const end = value.end === undefined ? undefined : dateRange(value.end);
  const low = start?.low ?? OPEN_LOW;
  const high = end?.high ?? OPEN_HIGH;
  // One that ends before it starts (refused by per-1) would be found by half of the comparisons.
  if ((start !== undefined || end !== undefined) && low <= high) sink.date(param, low, high, element);
}

/** "The specified scheduling details are ignored and only the outer limits matter." */
function dateTiming(sink: SearchValueSink, param: number, value: Timing, element: number): void {
  const bounds = value.repeat?.boundsPeriod;
  const start = bounds?.start === undefined ? undefined : dateRange(bounds.start);
  const end = bounds?.end === undefined ? undefined : dateRange(bounds.end);
  let low = start?.low ?? Number.POSITIVE_INFINITY;
  let high = end?.high ?? Number.NEGATIVE_INFINITY;
  for (const event of value.event ?? []) {
    const range = dateRange(event);
    if (range === undefined) continue;
    low = Math.min(low, range.low);
    high = Math.max(high, range.high);
  }
  if (start !== undefined && end === undefined) high = OPEN_HIGH;
  if (end !== undefined && start === undefined) low = OPEN_LOW;
  if (low <= high) sink.date(param, low, high, element);
}

// ---- string

function string(sink: SearchValueSink, param: number, value: string, element: number): void {
  if (typeof value === 'string' && value !== '') sink.string(param, value, element);
}

function strings(sink: SearchValueSink, param: number, values: readonly string[] | undefined, element: number): void {
  if (values === undefined) return;
  for (let i = 0; i < values.length; i++) string(sink, param, values[i] as string, element);
}

function stringHumanName(sink: SearchValueSink, param: number, value: HumanName, element: number): void {
  string(sink, param, value.text as string, element);
  string(sink, param, value.family as string, element);
  strings(sink, param, value.given, element);
  strings(sink, param, value.prefix, element);
  strings(sink, param, value.suffix, element);
}

function stringAddress(sink: SearchValueSink, param: number, value: Address, element: number): void {
  string(sink, param, value.text as string, element);
  strings(sink, param, value.line, element);
  string(sink, param, value.city as string, element);
  string(sink, param, value.district as string, element);
  string(sink, param, value.state as string, element);
  string(sink, param, value.postalCode as string, element);
  string(sink, param, value.country as string, element);
}

// ---- number and quantity

function number(sink: SearchValueSink, param: number, value: number, element: number): void {
  const known = Number(value);
  if (Number.isFinite(known)) sink.quantity(param, known, known, '', '', '', element);
}

function quantity(sink: SearchValueSink, param: number, value: Quantity, element: number): void {
  const known = Number(value.value);
  if (value.value === undefined || !Number.isFinite(known)) return;
  const comparator = value.comparator;
  const low = comparator === '<' || comparator === '<=' ? QUANTITY_LOW : known;
  const high = comparator === '>' || comparator === '>=' ? QUANTITY_HIGH : known;
  sink.quantity(param, low, high, value.system ?? '', value.code ?? '', value.unit ?? '', element);
}

function quantityMoney(sink: SearchValueSink, param: number, value: Money, element: number): void {
  const known = Number(value.value);
  if (value.value === undefined || !Number.isFinite(known)) return;
  const currency = value.currency ?? '';
  sink.quantity(param, known, known, currency === '' ? '' : 'urn:iso:std:iso:4217', currency, currency, element);
}

function quantityRange(sink: SearchValueSink, param: number, value: Range, element: number): void {
  const known = value.low?.value === undefined ? value.high : value.low;
  if (known?.value === undefined) return;
  const low = value.low?.value === undefined ? QUANTITY_LOW : Number(value.low.value);
  const high = value.high?.value === undefined ? QUANTITY_HIGH : Number(value.high.value);
  if (low <= high) sink.quantity(param, low, high, known.system ?? '', known.code ?? '', known.unit ?? '', element);
}

/** "just search on the bounds of the values in sampled data" */
function quantitySampled(sink: SearchValueSink, param: number, value: SampledData, element: number): void {
  const { origin, data } = value;
  const zero = Number(origin?.value);
  if (typeof data !== 'string' || !Number.isFinite(zero)) return;
  const factor = value.factor === undefined ? 1 : Number(value.factor);
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const point of data.split(' ')) {
    // E: no value; L and U: beyond the limits of the device.
    if (point === '' || point === 'E') continue;
    const beyond = point === 'L' ? value.lowerLimit : point === 'U' ? value.upperLimit : Number(point);
    const measured = zero + Number(beyond) * factor;
    if (!Number.isFinite(measured)) continue;
    low = Math.min(low, measured);
    high = Math.max(high, measured);
  }
  if (low <= high) sink.quantity(param, low, high, origin.system ?? '', origin.code ?? '', origin.unit ?? '', element);
}

function numberRange(sink: SearchValueSink, param: number, value: Range, element: number): void {
  const low = value.low?.value === undefined ? QUANTITY_LOW : Number(value.low.value);
  const high = value.high?.value === undefined ? QUANTITY_HIGH : Number(value.high.value);
  const given = value.low?.value !== undefined || value.high?.value !== undefined;
  if (given && low <= high) sink.quantity(param, low, high, '', '', '', element);
}

// ---- uri

function uri(sink: SearchValueSink, param: number, value: string, element: number): void {
  if (typeof value === 'string' && value !== '') sink.uri(param, value, element);
}

/** With and without its version: both name it. */
function uriCanonical(sink: SearchValueSink, param: number, value: string, element: number): void {
  if (typeof value !== 'string') return;
  sink.uri(param, value, element);
  const bar = value.indexOf('|');
  if (bar > 0) sink.uri(param, value.slice(0, bar), element);
}

const EMITTERS: Partial<Record<TypeSearchParameter['kind'], Readonly<Record<string, Emitter>>>> = {
  token: {
    code: tokenCode,
    string: tokenCode,
    id: tokenCode,
    uri: tokenCode,
    canonical: tokenCode,
    boolean: tokenBoolean,
    Coding: tokenCoding,
    CodeableConcept: tokenCodeableConcept,
    Identifier: tokenIdentifier,
    ContactPoint: tokenContactPoint,
  },
  reference: { Reference: reference, canonical: canonicalReference, uri: canonicalReference },
  date: { date, dateTime: date, instant: date, Period: datePeriod, Timing: dateTiming },
  string: { string, markdown: string, HumanName: stringHumanName, Address: stringAddress },
  number: { decimal: number, integer: number, positiveInt: number, unsignedInt: number, Range: numberRange },
  quantity: {
    Quantity: quantity,
    SimpleQuantity: quantity,
    MoneyQuantity: quantity,
    Age: quantity,
    Duration: quantity,
    Count: quantity,
    Distance: quantity,
    Money: quantityMoney,
    Range: quantityRange,
    SampledData: quantitySampled,
  },
  uri: { uri, url: uri, oid: uri, uuid: uri, canonical: uriCanonical },
};

// ---- rows under keys of their own: searchParameterKey(type, `code:rows`)

/** What a parameter has besides its values. `has`: of which elements, those with that child, or references isLogical. */
export type FurtherRows = {
  readonly rows: 'identifier' | 'of-type' | 'below' | 'latitude' | 'longitude' | 'words';
  readonly has?: string;
  readonly emitter: Emitter;
};

export function furtherRows(parameter: TypeSearchParameter, fhirType: string): readonly FurtherRows[] {
  if (parameter.kind === 'reference' && fhirType === 'Reference') return [BY_IDENTIFIER];
  if (parameter.kind === 'token' && fhirType === 'Identifier') return [BY_TYPE];
  if (parameter.kind === 'token' && fhirType === 'code' && isMimeType(parameter)) return [BY_BASE];
  if (hasFamilyNames(parameter)) return [fhirType === 'HumanName' ? BY_WORDS_OF_FAMILY : BY_WORDS];
  return parameter.stored === 'position' ? [BY_LATITUDE, BY_LONGITUDE] : [];
}

/** One without identifier and without a resource that can be searched for has '', so that it does not count as missing. */
const BY_IDENTIFIER: FurtherRows = {
  rows: 'identifier',
  has: 'logical',
  emitter: (sink: SearchValueSink, param: number, { identifier }: Reference, element: number) => {
    sink.token(param, identifier?.system ?? '', identifier?.value ?? '', element, '');
  },
};

/** Whether a Reference says something beside what its literal reference says: an identifier, or nothing to search for. */
export function isLogical({ identifier, reference }: Reference): boolean {
  return identifier !== undefined || typeof reference !== 'string' || reference.charCodeAt(0) === 35;
}

const BY_TYPE: FurtherRows = {
  rows: 'of-type',
  has: 'type',
  emitter: (sink: SearchValueSink, param: number, { type, value }: Identifier, element: number) => {
    if (value === undefined) return;
    for (const { system, code } of type?.coding ?? []) {
      if (code !== undefined) sink.token(param, system ?? '', `${code}|${value}`, element, '');
    }
  },
};

const BY_BASE: FurtherRows = {
  rows: 'below',
  emitter: (sink: SearchValueSink, param: number, value: string, element: number) => {
    if (typeof value !== 'string') return;
    const end = value.indexOf(';');
    sink.token(param, '', (end < 0 ? value : value.slice(0, end)).trim().toLowerCase(), element, '');
  },
};

type Position = { readonly latitude?: number; readonly longitude?: number };

const BY_LATITUDE: FurtherRows = {
  rows: 'latitude',
  emitter: (sink: SearchValueSink, param: number, { latitude }: Position, element: number) => {
    if (latitude !== undefined) number(sink, param, latitude, element);
  },
};

const BY_LONGITUDE: FurtherRows = {
  rows: 'longitude',
  emitter: (sink: SearchValueSink, param: number, { longitude }: Position, element: number) => {
    if (longitude !== undefined) number(sink, param, longitude, element);
  },
};

const BETWEEN_WORDS = /[\s\p{Pd}]/u;
const MAX_WORDS = 8;

/** What begins with each word of a family name but the first. */
function laterWords(sink: SearchValueSink, param: number, family: string, element: number): void {
  if (typeof family !== 'string' || !BETWEEN_WORDS.test(family)) return;
  let from = 0;
  for (let words = 0; words < MAX_WORDS; words++) {
    const end = family.slice(from).search(BETWEEN_WORDS);
    if (end < 0) return;
    from += end + 1;
    const rest = family.slice(from).trim();
    if (rest !== '') sink.string(param, rest, element);
  }
}

const BY_WORDS: FurtherRows = { rows: 'words', emitter: laterWords };
const BY_WORDS_OF_FAMILY: FurtherRows = {
  rows: 'words',
  has: 'family',
  emitter: (sink: SearchValueSink, param: number, { family }: HumanName, element: number) => {
    if (family !== undefined) laterWords(sink, param, family, element);
  },
};
