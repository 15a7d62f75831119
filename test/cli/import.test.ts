import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { requireFiles, unitsOfFile } from '../../src/cli/import-files.ts';
import type { ImportedItem } from '../../src/record/import.ts';
import { createTestDatabase, type TestDatabase } from '../postgres.ts';
import { command } from './command.ts';

let database: TestDatabase;
let folder: string;
beforeAll(async () => {
  database = await createTestDatabase();
  folder = mkdtempSync(join(tmpdir(), 'kap-bridge-import-'));
});
afterAll(async () => {
  await database.drop();
  rmSync(folder, { recursive: true, force: true });
});

const kap = (...args: string[]) => command(args, { DATABASE_URL: database.url, KAP_DATA_DIR: folder });

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

const rules = {
  isResourceType: () => true,
  patches: { patchIn: () => undefined } as never,
  baseUrls: [],
};

/** What a file brings, as where/type and refused. */
async function read(path: string): Promise<{ items: string[]; refused: string[] }> {
  const items: string[] = [];
  const refused: string[] = [];
  for await (const found of unitsOfFile(path, rules)) {
    if ('refused' in found) refused.push((found.refused as ImportedItem).where.replace(`${folder}/`, ''));
    else {
      for (const { where, request } of found.unit.items) {
        items.push(`${where.replace(`${folder}/`, '')} ${request.type}/${request.id}`);
      }
    }
  }
  return { items, refused };
}

const patient = (id: string) => JSON.stringify({ resourceType: 'Patient', id });

test.each<[string, string, string | Uint8Array, string[], string[]]>([
  ['lines', 'a.ndjson', `${patient('1')}\n${patient('2')}\n`, ['a.ndjson:1 Patient/1', 'a.ndjson:2 Patient/2'], []],
  [
    'lines without an end',
    'b.ndjson',
    `${patient('1')}\n${patient('2')}`,
    ['b.ndjson:1 Patient/1', 'b.ndjson:2 Patient/2'],
    [],
  ],
  [
    'lines of Windows',
    'c.ndjson',
    `${patient('1')}\r\n\r\n${patient('2')}\r\n`,
    ['c.ndjson:1 Patient/1', 'c.ndjson:3 Patient/2'],
    [],
  ],
  [
    'lines packed, whatever the name',
    'd',
    gzipSync(`${patient('1')}\n${patient('2')}\n`),
    ['d:1 Patient/1', 'd:2 Patient/2'],
    [],
  ],
  [
    'lines under another name',
    'e.json',
    `${patient('1')}\n${patient('2')}\n`,
    ['e.json:1 Patient/1', 'e.json:2 Patient/2'],
    [],
  ],
  ['one resource', 'f.json', patient('1'), ['f.json Patient/1'], []],
  [
    'lines that break in other ways than JSON',
    'g.ndjson',
    `${JSON.stringify({ resourceType: 'Patient', id: '1', name: [{ text: 'a\u2028b\u0085c' }] })}\n`,
    ['g.ndjson:1 Patient/1'],
    [],
  ],
  [
    'lines that are no resources',
    'h.ndjson',
    `${patient('1')}\n{broken\n[]\n{"id":"x"}\nnull\n${patient('2')}`,
    ['h.ndjson:1 Patient/1', 'h.ndjson:6 Patient/2'],
    ['h.ndjson:2', 'h.ndjson:3', 'h.ndjson:4', 'h.ndjson:5'],
  ],
  [
    'a line of 11 MB',
    'i.ndjson',
    `${patient('1')}\n"${'x'.repeat(11 * 1024 * 1024)}"\n${patient('2')}\n`,
    ['i.ndjson:1 Patient/1', 'i.ndjson:3 Patient/2'],
    ['i.ndjson:2'],
  ],
  ['nothing', 'j.ndjson', '', [], []],
])('%s are read', async (_what, name, content, items, refused) => {
  const found = await read(file(name, content));
  expect(found.items.sort()).toEqual(items);
  expect(found.refused).toEqual(refused);
});

test.each<[string, string, string | Uint8Array, RegExp]>([
  ['no JSON', 'a.json', 'hello', /Not acceptable JSON/],
  ['empty', 'b.json', '', /is empty/],
  ['a list', 'c.json', '[1]', /neither a Bundle nor/],
  ['a document', 'd.json', '{"resourceType":"Bundle","type":"document"}', /transaction, batch, collection, searchset/],
  ['a Bundle of no list', 'e.json', '{"resourceType":"Bundle","type":"collection","entry":{}}', /not a list/],
  ['cut short', 'f.ndjson.gz', gzipSync(`${patient('1')}\n`.repeat(1000)).subarray(0, 60), /damaged/],
  [
    'a transaction that deletes',
    'g.json',
    '{"resourceType":"Bundle","type":"transaction","entry":[{"request":{"method":"DELETE","url":"Patient/1"}}]}',
    /brings resources/,
  ],
])('a file that is %s is refused with its name and the reason', async (_what, name, content, words) => {
  const path = file(name, content);
  await expect(read(path)).rejects.toMatchObject({ code: 'invalid', message: expect.stringMatching(words) });
  await expect(read(path)).rejects.toThrow(name);
});

test('files are looked for before the first is read', () => {
  const there = file('there.ndjson', '');
  expect(() => requireFiles([there])).not.toThrow();
  expect(() => requireFiles([there, join(folder, 'none')])).toThrow(/There is no file/);
  expect(() => requireFiles([folder])).toThrow(/is not a file/);
});

test('history is imported with a report of each type and each finding; a dry run stores nothing; twice is once', async () => {
  const lines = [patient('p1'), '{broken', JSON.stringify({ resourceType: 'Patient', id: 'p2', gender: 'm' })];
  const history = file('history.ndjson.gz', gzipSync(lines.join('\n')));
  const dry = await kap('import', history, '--dry-run');
  expect(dry.code).toBe(4);
  expect(dry.out).toMatch(/^Patient +1 +0 +0 +1$/m);
  expect(dry.out).toContain('nothing was stored');
  const stored = async () => (await database.clinicPool().query("select 1 from resource where type = 'Patient'")).rows;
  expect(await stored()).toEqual([]);

  const first = await kap('import', history, '--json');
  expect(first.code).toBe(4);
  const report = JSON.parse(first.out);
  expect(report).toMatchObject({
    dryRun: false,
    resources: 3,
    total: { stored: 1, refused: 2 },
    types: { Patient: { stored: 1, refused: 1 }, '-': { refused: 1 } },
  });
  expect(report.findings).toContainEqual(
    expect.objectContaining({ where: `${history}:3`, severity: 'error', expression: 'Patient.gender' }),
  );
  expect(JSON.parse(first.err)).toMatchObject({ error: 'business-rule', exitCode: 4 });
  const again = await kap('import', file('one.ndjson', patient('p1')));
  expect(again).toMatchObject({ code: 0, err: '' });
  expect(again.out).toMatch(/^Patient +0 +0 +1 +0 +0 +0$/m);
  expect(await stored()).toHaveLength(1);

  expect(await kap('import', join(folder, 'none.json'))).toMatchObject({ code: 3 });
  expect(await kap('import', file('x.json', 'hello'))).toMatchObject({ code: 2, out: '' });
  expect(await kap('import')).toMatchObject({ code: 2 });
}, 180_000);
