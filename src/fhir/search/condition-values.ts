/** The values of one condition, as a request writes them. @see https://hl7.org/fhir/R4/search.html#ptypes */
import { dateRange } from '../date-range.ts';
import { canonicalUnit, canonicalValue, UCUM } from '../ucum.ts';
import { InvalidSearch, splitAt, unescaped } from './escaping.ts';
import type { DateValue, QuantityValue, SearchPrefix, TokenValue } from './filter.ts';
import { isCaseless } from './parameter-kinds.ts';
import type { TypeSearchParameter } from './parameters.ts';
import { folded } from './values.ts';

export type ValueContext = {
  isResourceType(name: string): boolean;
  /** Whether a code of a system, or any of its codes, is in a value set. */
  readonly allows: (valueSet: string, system: string, code: string | undefined) => boolean;
  /** The parameter with the business version of a canonical resource. */
  versionOf(type: string): TypeSearchParameter | undefined;
  readonly baseUrl: string | undefined;
  /** ms */
  readonly now: number;
};

// ---- token

/** Types of elements that have a code alone. */
const WITHOUT_SYSTEM: ReadonlySet<string> = new Set(['boolean', 'uri', 'url', 'string', 'ContactPoint', 'id']);

/** @throws InvalidSearch */
export function tokenValue(value: string, parameter: TypeSearchParameter, { allows }: ValueContext): TokenValue {
  const [first = '', code, ...more] = splitAt(value, '|').map(unescaped);
  if (code !== undefined && [...parameter.types].every((type) => WITHOUT_SYSTEM.has(type))) {
    throw new InvalidSearch(`'${parameter.code}' has no system: give the value alone, with '\\|' for a '|' in it`);
  }
  if (more.length > 0) throw new InvalidSearch("A token is 'code', 'system|code', '|code' or 'system|'");
  if (code === undefined) return { code: isCaseless(parameter) ? first.toLowerCase() : first };
  // A plain code has no system of its own: that of its value set is meant.
  const implicit = parameter.boundTo.some((valueSet) => allows(valueSet, first, code === '' ? undefined : code));
  if (code !== '') return { system: implicit ? '' : first, code };
  if (first === '') throw new InvalidSearch('A token needs a system or a code');
  return { system: implicit ? '' : first };
}

/** system|code|value of Identifier.type and .value, as its index row has them. @throws InvalidSearch */
export function identifierOfType(value: string): TokenValue {
  const [system = '', code = '', number = '', ...more] = splitAt(value, '|').map(unescaped);
  if (system === '' || code === '' || number === '' || more.length > 0) {
    throw new InvalidSearch("An identifier of a type is 'system|code|value', all three given");
  }
  return { system, code: `${code}|${number}` };
}

/** @throws InvalidSearch */
export function identifierValue(value: string): TokenValue {
  const [first = '', number, ...more] = splitAt(value, '|').map(unescaped);
  if (more.length > 0) throw new InvalidSearch("An identifier is 'value', 'system|value', '|value' or 'system|'");
  if (number === undefined) return { code: first };
  if (number !== '') return { system: first, code: number };
  if (first === '') throw new InvalidSearch('An identifier needs a system or a value');
  return { system: first };
}

// ---- string

// idx_string holds that much of a long value; see indexable().
const SEARCHED_LENGTH = 256;

/** @throws InvalidSearch */
export function foldedValue(value: string): string {
  const wanted = folded(unescaped(value));
  if (wanted === '') throw new InvalidSearch('A text to search for needs a letter or a digit');
  if (wanted.length > SEARCHED_LENGTH) throw new InvalidSearch(`A text has at most ${SEARCHED_LENGTH} characters`);
  return wanted;
}

// ---- reference

const ID = /^[A-Za-z0-9.-]{1,64}$/;
const LOCAL = /^([A-Z][A-Za-z]+)\/([A-Za-z0-9.-]{1,64})(?:\/_history\/[A-Za-z0-9.-]{1,64})?$/;
const SCHEME = /^[A-Za-z][A-Za-z0-9+.-]*:/;

/** An id alone stands for each type it may mean. @throws InvalidSearch */
export function referenceTargets(
  value: string,
  parameter: TypeSearchParameter,
  type: string | undefined,
  { isResourceType, baseUrl }: ValueContext,
): string[] {
  const base = baseUrl === undefined ? undefined : `${baseUrl.replace(/\/$/, '')}/`;
  const relative = base !== undefined && value.startsWith(base) ? value.slice(base.length) : value;
  const [, named, id] = LOCAL.exec(relative) ?? [];
  if (named !== undefined && isResourceType(named)) {
    if (type !== undefined && type !== named) throw new InvalidSearch(`The modifier says ${type}, the value ${named}`);
    return [`${named}/${id}`];
  }
  if (ID.test(relative)) {
    const types = type === undefined ? parameter.targets : [type];
    return types.map((each) => `${each}/${relative}`);
  }
  if (SCHEME.test(relative)) return [relative];
  throw new InvalidSearch("A reference is 'id', 'Type/id' or a url");
}

// ---- date

const PREFIX = /^(eq|ne|gt|lt|ge|le|sa|eb|ap)(?=[\d+.-])/;

function prefixed(value: string): { prefix: SearchPrefix; rest: string } {
  const prefix = PREFIX.exec(value)?.[1];
  return prefix === undefined
    ? { prefix: 'eq', rest: value }
    : { prefix: prefix as SearchPrefix, rest: value.slice(2) };
}

/** @throws InvalidSearch */
export function dateValue(value: string, now: number): DateValue {
  const { prefix, rest } = prefixed(unescaped(value));
  // A plus sign that was not encoded arrives as a space.
  const range = dateRange(rest.replace(' ', '+'));
  if (range === undefined) {
    throw new InvalidSearch(
      'A date is YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm[:ss[.sss]][Z|+hh:mm], with a prefix',
      'value',
      'MSG_DATE_FORMAT',
    );
  }
  if (prefix !== 'ap') return { prefix, ...range };
  // "10% of the gap between now and the date"
  const gap = Math.round(Math.abs(now - range.low) / 10);
  return { prefix, low: range.low - gap, high: range.high + gap };
}

// ---- number and quantity

const NUMBER = /^([+-]?)(\d{1,40})(?:\.(\d{1,40}))?(?:[eE]([+-]?\d{1,3}))?$/;

/** @throws InvalidSearch */
export function quantityValue(value: string, kind: 'number' | 'quantity'): QuantityValue {
  const [text = '', system = '', code = '', ...more] = splitAt(value, '|').map(unescaped);
  if (kind === 'number' && splitAt(value, '|').length > 1) throw new InvalidSearch('A number stands alone');
  if (more.length > 0) throw new InvalidSearch("A quantity is 'number' or 'number|system|code'");
  const { prefix, rest } = prefixed(text);
  const exact = precisionRange(rest);
  if (exact === undefined) throw new InvalidSearch('A number has digits, a dot and an exponent, with a prefix');
  const tenth = Math.abs(exact.value) / 10;
  const range = prefix === 'ap' ? { ...exact, low: exact.value - tenth, high: exact.value + tenth } : exact;
  const canonical = system === UCUM && code !== '' ? canonicalRange(range, code) : undefined;
  return {
    prefix,
    ...range,
    ...(system === '' ? {} : { system }),
    ...(code === '' ? {} : { code }),
    ...(canonical === undefined ? {} : { canonical }),
  };
}

type NumberRange = { readonly value: number; readonly low: number; readonly high: number };

function canonicalRange({ value, low, high }: NumberRange, code: string): QuantityValue['canonical'] {
  const unit = canonicalUnit(UCUM, code);
  if (unit === undefined) return undefined;
  return {
    code: unit.code,
    value: canonicalValue(value, unit),
    low: canonicalValue(low, unit),
    high: canonicalValue(high, unit),
  };
}

/**
 * Half of the last digit to each side: 5.40 is 5.395 to 5.405, 100 and 1.00e2 are 99.5 to 100.5. An exponent without
 * decimals counts as with one, since R4 says 95 to 105 for 1e2. Exact in decimals before they become a double.
 */
function precisionRange(text: string): NumberRange | undefined {
  const [, sign, whole, decimals, power] = NUMBER.exec(text) ?? [];
  if (whole === undefined) return undefined;
  const fraction = decimals ?? (power === undefined ? '' : '0');
  const tenfold = BigInt(`${whole}${fraction}0`) * (sign === '-' ? -1n : 1n);
  const scale = Number(power ?? '0') - fraction.length - 1;
  const [value, low, high] = [tenfold, tenfold - 5n, tenfold + 5n].map((digits) => Number(`${digits}e${scale}`));
  if (!Number.isFinite(value) || !Number.isFinite(low) || !Number.isFinite(high)) return undefined;
  return { value: value as number, low: low as number, high: high as number };
}

// ---- uri

const MAX_SEGMENTS = 64;

/** A url, whose parts can be counted. URNs have none. @throws InvalidSearch */
export function hierarchicalUri(value: string): string {
  const url = unescaped(value);
  if (url.startsWith('urn:'))
    throw new InvalidSearch(':below and :above are for urls, which have parts; a urn has none');
  if (url.split('/').length > MAX_SEGMENTS) throw new InvalidSearch(`A url has at most ${MAX_SEGMENTS} segments`);
  return url;
}

// ---- position: latitude|longitude|distance|units

const KM: Readonly<Record<string, number>> = {
  km: 1,
  m: 0.001,
  '[mi_i]': 1.609344,
  '[mi_us]': 1.6093472,
  '[nmi_i]': 1.852,
  '[ft_i]': 0.0003048,
};
const NEAR_BY_KM = 50;
const KM_PER_DEGREE = 111.195;

/** Two or three ranges in degrees: one of latitude, and one of longitude or two where it crosses the date line. */
export type Area = {
  readonly latitude: { readonly low: number; readonly high: number };
  readonly longitudes: readonly { readonly low: number; readonly high: number }[];
};

/** The square around a circle: R4 leaves the accuracy to the server. @throws InvalidSearch */
export function areaAround(value: string): Area {
  const [lat = '', lon = '', distance = '', unit = '', ...more] = splitAt(value, '|').map(unescaped);
  const latitude = degrees(lat, 90);
  const longitude = degrees(lon, 180);
  const far = distance === '' ? NEAR_BY_KM : Number(NUMBER.test(distance) ? distance : Number.NaN);
  const factor = unit === '' || distance === '' ? 1 : KM[unit];
  if (latitude === undefined || longitude === undefined || !(far >= 0) || more.length > 0) {
    throw new InvalidSearch("A place is 'latitude|longitude|distance|units' in degrees");
  }
  if (factor === undefined) throw new InvalidSearch(`A distance is in ${Object.keys(KM).join(', ')}`);
  const tall = (far * factor) / KM_PER_DEGREE;
  const narrow = Math.cos((Math.min(Math.abs(latitude) + tall, 90) * Math.PI) / 180);
  const wide = narrow < 1e-6 ? 180 : Math.min(tall / narrow, 180);
  return {
    latitude: { low: latitude - tall, high: latitude + tall },
    longitudes: wrapped(longitude - wide, longitude + wide),
  };
}

function degrees(text: string, most: number): number | undefined {
  const value = NUMBER.test(text) ? Number(text) : Number.NaN;
  return Math.abs(value) <= most ? value : undefined;
}

function wrapped(low: number, high: number): Area['longitudes'] {
  if (high - low >= 360) return [{ low: -180, high: 180 }];
  if (low < -180)
    return [
      { low: -180, high },
      { low: low + 360, high: 180 },
    ];
  if (high > 180)
    return [
      { low, high: 180 },
      { low: -180, high: high - 360 },
    ];
  return [{ low, high }];
}
