import { CsvError, parse } from 'csv-parse/sync';
import { atOffset, millisecondsOf, offsetOf } from './instant.ts';
import { implausible, pressureProblem, type VitalSign, type VitalSigns } from './vital-signs.ts';

/**
 * The table of a monitor, as CSV.
 *
 * A header line names the columns, in any order: `time` and at least one of systolic, diastolic, heart_rate, spo2,
 * respiratory_rate, temperature, moaas. Another column refuses the table: a misspelt name must not lose a measurement.
 * `time` is a point in time with offset (2026-10-05T09:30:00-07:00), or HH:MM or HH:MM:SS on the clock that the
 * session's start was written with; past midnight it is the day that lies nearer to the start. An empty cell was not
 * measured. Comma, semicolon (then with decimal comma as well) or tab; BOM, CRLF and quotes as spreadsheets write them.
 *
 * All problems are reported together, with the row as a spreadsheet numbers it (the header is row 1) and the column.
 */
export type CsvProblem = { readonly row: number; readonly column?: string; readonly text: string };

export type VitalsTable =
  | { readonly ok: true; readonly rows: readonly { readonly row: number; readonly reading: VitalSigns }[] }
  | { readonly ok: false; readonly problems: readonly CsvProblem[] };

export const MOST_ROWS = 2_000;

const SIGN_OF_COLUMN: Readonly<Record<string, VitalSign>> = {
  systolic: 'systolic',
  diastolic: 'diastolic',
  heart_rate: 'heartRate',
  spo2: 'spo2',
  respiratory_rate: 'respiratoryRate',
  temperature: 'temperature',
  moaas: 'moaas',
};
const COLUMN_OF_SIGN = new Map(Object.entries(SIGN_OF_COLUMN).map(([column, sign]) => [sign, column]));

/** @param startedAt the start of the infusion, with offset: its clock and day place HH:MM times */
export function readVitalsCsv(text: string, startedAt: string): VitalsTable {
  const delimiter = delimiterOf(text);
  const problems: CsvProblem[] = [];
  const rows = rowsOf(text, delimiter, problems);
  if (problems.length > 0) return { ok: false, problems };
  const [header = [], ...body] = rows;
  const columns = header.map((name) => name.trim().toLowerCase());
  problems.push(...headerProblems(columns));
  if (body.length > MOST_ROWS) problems.push({ row: MOST_ROWS + 2, text: `a table holds at most ${MOST_ROWS} rows` });
  if (problems.length > 0) return { ok: false, problems };

  const readings: { row: number; reading: VitalSigns }[] = [];
  const rowOfInstant = new Map<number, number>();
  for (const [index, cells] of body.entries()) {
    const row = index + 2;
    if (cells.every((cell) => cell.trim() === '')) continue;
    if (cells.length !== columns.length) {
      const text = `has ${cells.length} cells, the header names ${columns.length} columns`;
      problems.push({ row, column: columns[Math.min(cells.length, columns.length - 1)] ?? 'time', text });
      continue;
    }
    const found = readRow(columns, cells, row, startedAt, delimiter === ';');
    problems.push(...found.problems);
    if (found.reading === undefined) continue;
    const instant = millisecondsOf(found.reading.at) ?? Number.NaN;
    const earlier = rowOfInstant.get(instant);
    if (earlier !== undefined) problems.push({ row, column: 'time', text: `repeats the time of row ${earlier}` });
    rowOfInstant.set(instant, row);
    readings.push({ row, reading: found.reading });
  }
  return problems.length > 0 ? { ok: false, problems } : { ok: true, rows: readings };
}

/** One problem in a sentence: `row 7, column spo2 must lie between …`. Repeats no cell, since a cell may hold anything. */
export function describeCsvProblem(problem: CsvProblem): string {
  return `vitals table, row ${problem.row}${problem.column === undefined ? '' : `, column ${problem.column}`}: ${problem.text}`;
}

/** The header has no number and no quoted delimiter, so the delimiter is whichever of the three it holds most of. */
function delimiterOf(text: string): string {
  const header = text.slice(0, 500).split(/[\r\n]/, 1)[0] ?? '';
  const count = (delimiter: string) => header.split(delimiter).length;
  return [',', ';', '\t'].reduce((best, candidate) => (count(candidate) > count(best) ? candidate : best));
}

function rowsOf(text: string, delimiter: string, problems: CsvProblem[]): string[][] {
  try {
    return parse(text, { bom: true, delimiter, relax_column_count: true, relax_quotes: true, to: MOST_ROWS + 2 });
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    // Only a quote that never ends gets here: everything after it is one cell, so no later row can be judged.
    const [header = [], last = []] = [text, text.slice(0, text.lastIndexOf('"'))].map((part) => part.split('\n'));
    const cells = (last.at(-1) ?? '').split(delimiter).length;
    const column = (header[0] ?? '')
      .replace(/^\uFEFF/, '')
      .trim()
      .toLowerCase()
      .split(delimiter)[cells - 1];
    problems.push({
      row: last.length,
      ...(column === undefined ? {} : { column }),
      text: 'a quote is opened and never closed',
    });
    return [];
  }
}

function headerProblems(columns: readonly string[]): CsvProblem[] {
  const problems: CsvProblem[] = [];
  const known = ['time', ...Object.keys(SIGN_OF_COLUMN)];
  for (const [index, column] of columns.entries()) {
    if (!known.includes(column)) {
      problems.push({ row: 1, column: letter(index), text: `is not a known column; known are ${known.join(', ')}` });
    } else if (columns.indexOf(column) !== index) {
      problems.push({ row: 1, column, text: 'is named twice' });
    }
  }
  if (!columns.includes('time'))
    problems.push({ row: 1, column: 'time', text: 'is missing: the first row names the columns' });
  if (!columns.some((column) => column in SIGN_OF_COLUMN)) problems.push({ row: 1, text: 'names no measurement' });
  return problems;
}

/** A column by its letter, as a spreadsheet shows it: an unknown name is the sender's text and is not repeated. */
function letter(index: number): string {
  return index < 26 ? String.fromCharCode(65 + index) : `number ${index + 1}`;
}

function readRow(
  columns: readonly string[],
  cells: readonly string[],
  row: number,
  startedAt: string,
  decimalComma: boolean,
): { reading?: VitalSigns; problems: CsvProblem[] } {
  const problems: CsvProblem[] = [];
  const values: Partial<Record<VitalSign, number>> = {};
  let at: string | undefined;
  for (const [index, column] of columns.entries()) {
    const cell = (cells[index] ?? '').trim();
    const sign = SIGN_OF_COLUMN[column];
    if (sign === undefined) {
      at = timeOf(cell, startedAt);
      if (at === undefined) {
        problems.push({
          row,
          column,
          text: 'is neither HH:MM nor a point in time with offset (2026-10-05T09:30:00-07:00)',
        });
      }
    } else if (cell !== '') {
      const value = numberOf(cell, decimalComma);
      const text = value === undefined ? 'is not a number' : implausible(sign, value);
      if (text !== undefined) problems.push({ row, column, text });
      else if (value !== undefined) values[sign] = value;
    }
  }
  const pressure = problems.length === 0 ? pressureProblem(values) : undefined;
  if (pressure !== undefined) {
    problems.push({ row, column: COLUMN_OF_SIGN.get(pressure.sign) ?? pressure.sign, text: pressure.text });
  }
  return at === undefined || problems.length > 0 ? { problems } : { reading: { at, ...values }, problems };
}

function numberOf(cell: string, decimalComma: boolean): number | undefined {
  const text = decimalComma ? cell.replace(',', '.') : cell;
  return /^\d{1,4}(\.\d{1,4})?$/.test(text) ? Number(text) : undefined;
}

const CLOCK = /^([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?$/;
const HALF_A_DAY = 12 * 3_600_000;

function timeOf(cell: string, startedAt: string): string | undefined {
  if (millisecondsOf(cell) !== undefined) return cell;
  const clock = CLOCK.exec(cell);
  const start = millisecondsOf(startedAt);
  if (clock === null || start === undefined) return undefined;
  const offset = offsetOf(startedAt);
  const [, hours = '', minutes = '', seconds = '00'] = clock;
  const sameDay = millisecondsOf(`${startedAt.slice(0, 10)}T${hours.padStart(2, '0')}:${minutes}:${seconds}${offset}`);
  if (sameDay === undefined) return undefined;
  const day = sameDay - start >= HALF_A_DAY ? -1 : sameDay - start < -HALF_A_DAY ? 1 : 0;
  return atOffset(sameDay + day * 86_400_000, offset);
}
