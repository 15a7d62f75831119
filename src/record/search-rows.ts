/**
 * The search rows of a unit of work, as columns: one array per column, ready for `unnest`.
 *
 * A new resource only adds rows. A changed one is compared with its previous version, and only the difference is
 * written, so that an update of one value touches one or two rows and leaves no garbage behind.
 */

import { folded, indexable, key64, type SearchValueSink } from '../fhir/search/values.ts';
import { type CanonicalUnit, canonicalUnit, canonicalValue } from '../fhir/ucum.ts';

/** Ranges longer than a day are indexed apart, so that a search by date can be bounded below (idx_date.wide). */
export const WIDE_MS = 86_400_000;

/** `text` is what the sink was given ('' for none); the database keeps its key, and each text once. */
export type TokenColumns = {
  param: number[];
  element: number[];
  patient: string[];
  system: string[];
  text: string[];
  rid: string[];
  code: string[];
};
export type ReferenceColumns = { param: number[]; element: number[]; rid: string[]; target: string[] };
export type DateColumns = {
  param: number[];
  wide: boolean[];
  element: number[];
  patient: string[];
  rid: string[];
  low: number[];
  high: number[];
};
export type StringColumns = { param: number[]; element: number[]; rid: string[]; folded: string[]; exact: string[] };
/** The canonical columns are null where the unit is not one of UCUM. */
export type QuantityColumns = {
  param: number[];
  element: number[];
  rid: string[];
  low: number[];
  high: number[];
  system: string[];
  canonicalLow: (number | null)[];
  canonicalHigh: (number | null)[];
  code: string[];
  unit: string[];
  canonicalCode: (string | null)[];
};
export type UriColumns = { param: number[]; element: number[]; rid: string[]; value: string[] };

/** Rows of all kinds, column by column. All arrays of one kind have the same length. */
export class SearchColumns {
  readonly token: TokenColumns = { param: [], element: [], patient: [], system: [], text: [], rid: [], code: [] };
  readonly reference: ReferenceColumns = { param: [], element: [], rid: [], target: [] };
  readonly date: DateColumns = { param: [], wide: [], element: [], patient: [], rid: [], low: [], high: [] };
  readonly string: StringColumns = { param: [], element: [], rid: [], folded: [], exact: [] };
  readonly quantity: QuantityColumns = {
    param: [],
    element: [],
    rid: [],
    low: [],
    high: [],
    system: [],
    canonicalLow: [],
    canonicalHigh: [],
    code: [],
    unit: [],
    canonicalCode: [],
  };
  readonly uri: UriColumns = { param: [], element: [], rid: [], value: [] };

  append(other: SearchColumns): void {
    appendColumns(this.token, other.token);
    appendColumns(this.reference, other.reference);
    appendColumns(this.date, other.date);
    appendColumns(this.string, other.string);
    appendColumns(this.quantity, other.quantity);
    appendColumns(this.uri, other.uri);
  }

  /** A sink that writes rows of one resource. */
  sinkFor(rid: string, patientId: string | null): SearchValueSink {
    return new ColumnSink(this, rid, patientId === null ? '0' : key64(patientId));
  }
}

function appendColumns<T extends { readonly [column: string]: unknown[] }>(to: T, from: T): void {
  for (const [column, values] of Object.entries(from)) {
    const into = to[column] as unknown[];
    for (const value of values) into.push(value);
  }
}

class ColumnSink implements SearchValueSink {
  readonly #columns: SearchColumns;
  readonly #rid: string;
  readonly #patient: string;

  constructor(columns: SearchColumns, rid: string, patient: string) {
    this.#columns = columns;
    this.#rid = rid;
    this.#patient = patient;
  }

  token(param: number, system: string, code: string, element: number, text: string): void {
    const columns = this.#columns.token;
    columns.param.push(param);
    columns.element.push(element);
    columns.patient.push(this.#patient);
    columns.system.push(key64(system));
    columns.text.push(text);
    columns.rid.push(this.#rid);
    columns.code.push(indexable(code));
  }

  reference(param: number, target: string, element: number): void {
    const columns = this.#columns.reference;
    columns.param.push(param);
    columns.element.push(element);
    columns.rid.push(this.#rid);
    columns.target.push(indexable(target));
  }

  date(param: number, low: number, high: number, element: number): void {
    const columns = this.#columns.date;
    columns.param.push(param);
    columns.wide.push(high - low > WIDE_MS);
    columns.element.push(element);
    columns.patient.push(this.#patient);
    columns.rid.push(this.#rid);
    columns.low.push(low);
    columns.high.push(high);
  }

  string(param: number, exact: string, element: number): void {
    const columns = this.#columns.string;
    columns.param.push(param);
    columns.element.push(element);
    columns.rid.push(this.#rid);
    columns.folded.push(indexable(folded(exact)));
    columns.exact.push(exact);
  }

  quantity(
    param: number,
    low: number,
    high: number,
    system: string,
    code: string,
    unit: string,
    element: number,
  ): void {
    const columns = this.#columns.quantity;
    const canonical = canonicalUnit(system, code);
    columns.param.push(param);
    columns.element.push(element);
    columns.rid.push(this.#rid);
    columns.low.push(low);
    columns.high.push(high);
    columns.system.push(key64(system));
    columns.canonicalLow.push(canonical === undefined ? null : canonicalEnd(low, canonical));
    columns.canonicalHigh.push(canonical === undefined ? null : canonicalEnd(high, canonical));
    columns.code.push(indexable(code));
    columns.unit.push(indexable(unit));
    columns.canonicalCode.push(canonical?.code ?? null);
  }

  uri(param: number, value: string, element: number): void {
    const columns = this.#columns.uri;
    columns.param.push(param);
    columns.element.push(element);
    columns.rid.push(this.#rid);
    columns.value.push(indexable(value));
  }
}

/** An open end stays one. */
function canonicalEnd(value: number, unit: CanonicalUnit): number {
  return Math.abs(value) === Number.MAX_VALUE ? value : canonicalValue(value, unit);
}

/** Calls an extractor for one version of a resource into any sink. */
export type ExtractInto = (sink: SearchValueSink) => void;

/** What to add and what to remove so that the rows of `before` become those of `after`. */
export function addDifference(
  rid: string,
  before: { readonly patientId: string | null; readonly extract: ExtractInto },
  after: { readonly patientId: string | null; readonly extract: ExtractInto },
  added: SearchColumns,
  removed: SearchColumns,
): void {
  const old = recorded(before.extract);
  const now = recorded(after.extract);
  // The patient is part of a row: where it changes, every row does.
  const samePatient = before.patientId === after.patientId;
  const into = added.sinkFor(rid, after.patientId);
  const outOf = removed.sinkFor(rid, before.patientId);
  for (const [key, replay] of now) if (!(samePatient && old.has(key))) replay(into);
  for (const [key, replay] of old) if (!(samePatient && now.has(key))) replay(outOf);
}

function recorded(extract: ExtractInto): RecordingSink['rows'] {
  const sink = new RecordingSink();
  extract(sink);
  return sink.rows;
}

/** Keeps each row under its text, with a way to write it again. */
class RecordingSink implements SearchValueSink {
  readonly rows = new Map<string, (sink: SearchValueSink) => void>();

  token(param: number, system: string, code: string, element: number, text: string): void {
    this.rows.set(`t|${element}|${param}|${system}|${code}|${text}`, (sink) =>
      sink.token(param, system, code, element, text),
    );
  }
  reference(param: number, target: string, element: number): void {
    this.rows.set(`r|${element}|${param}|${target}`, (sink) => sink.reference(param, target, element));
  }
  date(param: number, low: number, high: number, element: number): void {
    this.rows.set(`d|${element}|${param}|${low}|${high}`, (sink) => sink.date(param, low, high, element));
  }
  string(param: number, exact: string, element: number): void {
    this.rows.set(`s|${element}|${param}|${exact}`, (sink) => sink.string(param, exact, element));
  }
  quantity(
    param: number,
    low: number,
    high: number,
    system: string,
    code: string,
    unit: string,
    element: number,
  ): void {
    this.rows.set(`q|${element}|${param}|${low}|${high}|${system}|${code}|${unit}`, (sink) =>
      sink.quantity(param, low, high, system, code, unit, element),
    );
  }
  uri(param: number, value: string, element: number): void {
    this.rows.set(`u|${element}|${param}|${value}`, (sink) => sink.uri(param, value, element));
  }
}
