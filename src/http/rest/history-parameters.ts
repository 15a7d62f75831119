/** The parameters of a history. @see https://hl7.org/fhir/R4/http.html#history */
import { dateRange } from '../../fhir/date-range.ts';
import { Failure, type IssueCode, issue } from '../../fhir/failure.ts';
import type { FhirRequest } from '../exchange.ts';

const DEFAULT_COUNT = 50;
const MAX_COUNT = 1000;

export type HistoryParameters = {
  /** 0 to 1000; 0 asks for the total alone. */
  readonly count: number;
  readonly cursor?: string;
  /** ms, inclusive. */
  readonly since?: number;
  /** ms, both inclusive. */
  readonly at?: { readonly low: number; readonly high: number };
  /** Id of a List. */
  readonly list?: string;
  /** Names and values as given, without the cursor and what lenient handling left out. */
  readonly used: readonly (readonly [name: string, value: string])[];
};

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** @throws Failure `invalid` for an unknown parameter too, unless the caller prefers `handling=lenient` */
export function historyParameters({ target, headers }: FhirRequest): HistoryParameters {
  const isLenient = /(?:^|[,;\s])handling\s*=\s*"?lenient\b/.test(String(headers.prefer ?? ''));
  const used: [string, string][] = [];
  const asked: Mutable<HistoryParameters> = { count: DEFAULT_COUNT, used };
  const seen = new Set<string>();
  for (const [name, value] of new URLSearchParams(target.query)) {
    if (LAYOUT.has(name) || value === '') continue;
    if (VIEW.has(name)) {
      if (value === 'count') asked.count = 0;
      used.push([name, value]);
      continue;
    }
    if (!KNOWN.has(name)) {
      if (isLenient) continue;
      throw refused('not-supported', `A history takes ${[...KNOWN].join(', ')}, and the urls of its own links`, name);
    }
    if (seen.has(name)) throw refused('value', `${name} may be given once`, name);
    seen.add(name);
    read(asked, name, value);
    if (name !== '_cursor') used.push([name, value]);
  }
  return asked;
}

/** How the answer is written, or which part of each resource: looked at elsewhere. */
const LAYOUT: ReadonlySet<string> = new Set(['_format', '_pretty']);
const VIEW: ReadonlySet<string> = new Set(['_summary', '_elements']);
const KNOWN: ReadonlySet<string> = new Set(['_count', '_since', '_at', '_list', '_cursor']);

function read(asked: Mutable<HistoryParameters>, name: string, value: string): void {
  switch (name) {
    case '_count':
      if (!/^\d{1,9}$/.test(value)) throw refused('value', '_count must be a whole number', name);
      asked.count = Math.min(Number(value), MAX_COUNT);
      return;
    case '_since':
      asked.since = timeIn(value, name).low;
      return;
    case '_at':
      asked.at = timeIn(value, name);
      return;
    case '_list':
      if (!/^[A-Za-z0-9.-]{1,64}$/.test(value)) {
        throw refused('not-supported', '_list takes the id of a List of this service', name);
      }
      asked.list = value;
      return;
    case '_cursor':
      asked.cursor = value;
  }
}

/** A '+' that was not percent-encoded reads as a space: 2026-03-09T10:00:00+02:00. */
function timeIn(value: string, name: string) {
  const range = dateRange(value.replace(/ (?=\d\d:\d\d$)/, '+'));
  if (range !== undefined) return range;
  throw refused('value', `${name} must be an instant, or a date such as 2026, 2026-03 or 2026-03-09`, name);
}

function refused(code: IssueCode, diagnostics: string, name: string): Failure {
  return new Failure('invalid', issue(code, diagnostics, `http.${name.slice(0, 64)}`));
}
