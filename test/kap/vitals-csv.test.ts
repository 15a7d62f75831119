import fc from 'fast-check';
import { describeCsvProblem, MOST_ROWS, readVitalsCsv } from '../../src/kap/vitals-csv.ts';

const START = '2026-09-14T09:35:00-05:00';
const read = (text: string, start = START) => {
  const table = readVitalsCsv(text, start);
  return table.ok ? table.rows.map(({ reading }) => reading) : table.problems.map(describeCsvProblem);
};

test('columns stand in any order, empty cells were not measured, and times are read on the clock of the session', () => {
  expect(
    read('spo2,time,diastolic,systolic\n98,09:25,78,121\n,2026-09-14T09:45:30-05:00,82,130\n97,9:50:10,,\n'),
  ).toEqual([
    { at: '2026-09-14T09:25:00-05:00', spo2: 98, diastolic: 78, systolic: 121 },
    { at: '2026-09-14T09:45:30-05:00', diastolic: 82, systolic: 130 },
    { at: '2026-09-14T09:50:10-05:00', spo2: 97 },
  ]);
});

test('a table as spreadsheets save it is read: BOM, CRLF, quotes, semicolons with decimal comma, blank lines', () => {
  const rows = [{ at: '2026-09-14T09:25:00-05:00', temperature: 36.8, moaas: 5 }];
  expect(read('\uFEFF"time";"temperature";"moaas"\r\n"09:25";"36,8";5\r\n\r\n;;\r\n')).toEqual(rows);
  expect(read('time\ttemperature\tmoaas\n09:25\t36.8\t5')).toEqual(rows);
});

test.each([
  ['23:40', '00:15', '2026-09-15T00:15:00-05:00'],
  ['00:20', '23:55', '2026-09-13T23:55:00-05:00'],
  ['12:00', '00:00', '2026-09-14T00:00:00-05:00'],
])('for a session that starts at %s, %s is the nearer of the two days', (start, time, at) => {
  expect(read(`time,spo2\n${time},98`, `2026-09-14T${start}:00-05:00`)).toEqual([{ at, spo2: 98 }]);
});

test('all bad rows are named at once, as a spreadsheet numbers them, and no cell is repeated', () => {
  const table = [
    'time,systolic,diastolic,heart_rate,spo2',
    '09:25,121,78,70,98',
    '09:45,12l,78,70,98',
    '25:00,121,78,70,98',
    '10:00,121,,70,198',
    '10:15,80,90,,',
    '10:30,121,78',
    '09:25,,,71,',
  ];
  expect(read(table.join('\n'))).toEqual([
    'vitals table, row 3, column systolic: is not a number',
    'vitals table, row 4, column time: is neither HH:MM nor a point in time with offset (2026-10-05T09:30:00-07:00)',
    'vitals table, row 5, column spo2: must lie between 40 and 100 %',
    'vitals table, row 6, column systolic: must be higher than the diastolic pressure',
    'vitals table, row 7, column heart_rate: has 3 cells, the header names 5 columns',
    'vitals table, row 8, column time: repeats the time of row 2',
  ]);
});

test.each([
  [
    'a misspelt column',
    'time,systollic,diastolic\n',
    [
      'vitals table, row 1, column B: is not a known column; known are time, systolic, diastolic, heart_rate, spo2, respiratory_rate, temperature, moaas',
    ],
  ],
  ['a column named twice', 'time,spo2,spo2\n', ['vitals table, row 1, column spo2: is named twice']],
  [
    'no header',
    '09:25,121\n',
    expect.arrayContaining(['vitals table, row 1, column time: is missing: the first row names the columns']),
  ],
  ['nothing at all', '', expect.arrayContaining(['vitals table, row 1: names no measurement'])],
  [
    'a quote that never ends',
    'time,spo2\n09:25,98\n09:35,"98\n09:45,97\n',
    ['vitals table, row 3, column spo2: a quote is opened and never closed'],
  ],
  [
    'a pressure without its other half',
    'time,systolic,diastolic\n09:25,121,\n',
    ['vitals table, row 2, column diastolic: is missing beside a systolic pressure: give both or neither'],
  ],
  ['half a sedation score', 'time,moaas\n09:25,4.5\n', ['vitals table, row 2, column moaas: must be a whole number']],
])('%s refuses the table', (_what, text, problems) => {
  expect(read(text)).toEqual(problems);
});

test(`a table of more than ${MOST_ROWS} rows is refused`, () => {
  const row = (index: number) => `2026-09-14T09:${String(index % 60).padStart(2, '0')}:00-05:00,98`;
  const text = ['time,spo2', ...Array.from({ length: MOST_ROWS + 1 }, (_, index) => row(index))].join('\n');
  expect(read(text)).toEqual([`vitals table, row ${MOST_ROWS + 2}: a table holds at most ${MOST_ROWS} rows`]);
});

const COLUMNS = {
  systolic: [120, 300],
  diastolic: [20, 119],
  heart_rate: [20, 300],
  spo2: [40, 100],
  respiratory_rate: [1, 80],
  moaas: [0, 5],
} as const;
const arbitraryRow = fc.record({
  minute: fc.integer({ min: 0, max: 150 }),
  pressure: fc.option(fc.tuple(fc.integer({ min: 120, max: 300 }), fc.integer({ min: 20, max: 119 }))),
  ...Object.fromEntries(
    Object.entries(COLUMNS)
      .slice(2)
      .map(([name, [min, max]]) => [name, fc.option(fc.integer({ min, max }))]),
  ),
}) as fc.Arbitrary<{ minute: number; pressure: [number, number] | null; [column: string]: unknown }>;
const arbitraryTable = fc.uniqueArray(arbitraryRow, { selector: ({ minute }) => minute, minLength: 1, maxLength: 20 });
const names = Object.keys(COLUMNS);
const cellsOf = (row: { minute: number; pressure: [number, number] | null; [column: string]: unknown }) => {
  const at = new Date(Date.parse(START) + row.minute * 60_000 - 5 * 3_600_000).toISOString().slice(11, 19);
  return [at, row.pressure?.[0] ?? '', row.pressure?.[1] ?? '', ...names.slice(2).map((name) => row[name] ?? '')].map(
    String,
  );
};
const csvOf = (cells: string[][], delimiter: string) =>
  [['time', ...names], ...cells].map((row) => row.join(delimiter)).join('\r\n');

test('what is written as a table is read back, whatever the delimiter and the measurements', () => {
  fc.assert(
    fc.property(arbitraryTable, fc.constantFrom(',', ';', '\t'), (rows, delimiter) => {
      const readings = read(csvOf(rows.map(cellsOf), delimiter)) as unknown as Record<string, unknown>[];
      expect(readings).toHaveLength(rows.length);
      for (const [index, row] of rows.entries()) {
        const found = readings[index] ?? {};
        expect(Date.parse(String(found.at))).toBe(Date.parse(START) + row.minute * 60_000);
        const values = [
          found.systolic,
          found.diastolic,
          found.heartRate,
          found.spo2,
          found.respiratoryRate,
          found.moaas,
        ];
        expect(values.map((value) => String(value ?? ''))).toEqual(cellsOf(row).slice(1));
      }
    }),
  );
});

test('whatever cell is damaged, its row and column are named', () => {
  const damage = fc.constantFrom('x', '12O', '1e3', '-5', '9999', '12.', '0x40', '99 %', 'n/a', '=A1', '<script>');
  fc.assert(
    fc.property(arbitraryTable, fc.nat(), fc.nat(), damage, (rows, rowSeed, columnSeed, text) => {
      const cells = rows.map(cellsOf);
      const row = rowSeed % cells.length;
      const column = columnSeed % (names.length + 1);
      (cells[row] as string[])[column] = text;
      const name = ['time', ...names][column];
      expect(read(csvOf(cells, ','))).toEqual([
        expect.stringMatching(`^vitals table, row ${row + 2}, column ${name}: `),
      ]);
    }),
  );
});
