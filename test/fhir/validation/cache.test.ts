/** Compiled checks on disk: found again by the next process, and never believed when they are not ours. */
import { execFile } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { validatorCache } from '../../../src/fhir/validation/code-cache.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'kap-checks-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const SOURCES = new Map([
  ['one', Buffer.from('function (runtime) {return () => runtime + 1;}')],
  ['ü', Buffer.from('function (runtime) {return () => "ä" + runtime;}')],
]);
type Check = () => unknown;
const store = (name = 'test', content = 'content', folders: readonly string[] = [folder]) =>
  validatorCache(folders).store(name, content);
const answers = (pack: ReturnType<ReturnType<typeof store>['read']>) =>
  pack && Object.entries(pack).map(([name, factory]) => [name, (factory(1 as never) as unknown as Check)()]);
const file = () => join(folder, readdirSync(folder).find((name) => name.startsWith('checks-')) ?? '');

test('what one wrote another reads', () => {
  expect(store().read()).toBeUndefined();
  store().write(SOURCES);
  expect(answers(store().read())).toEqual([
    ['one', 2],
    ['ü', 'ä1'],
  ]);
  expect(readdirSync(folder)).toHaveLength(1);
  expect(statSync(file()).mode & 0o022).toBe(0);
});

test('other content has a file of its own', () => {
  store().write(SOURCES);
  expect(store('test', 'other content').read()).toBeUndefined();
  expect(store('others').read()).toBeUndefined();
});

test.each<[string, () => void]>([
  ['is torn', () => writeFileSync(file(), readFileSync(file()).subarray(0, -10))],
  ['is empty', () => writeFileSync(file(), '')],
  ['is something else', () => writeFileSync(file(), 'nonsense\nmore nonsense')],
  [
    'was changed in its code',
    () => writeFileSync(file(), readFileSync(file(), 'latin1').replace('runtime + 1', 'runtime + 7'), 'latin1'),
  ],
  ['may be written by others', () => chmodSync(file(), 0o666)],
  [
    'is a link',
    () => {
      renameSync(file(), join(folder, 'elsewhere'));
      symlinkSync(join(folder, 'elsewhere'), join(folder, 'checks-link'));
      renameSync(join(folder, 'checks-link'), join(folder, NAME));
    },
  ],
])('a file that %s is not read, and made anew', (_what, spoil) => {
  store().write(SOURCES);
  NAME = readdirSync(folder)[0] ?? '';
  spoil();
  expect(store().read()).toBeUndefined();
  store().write(SOURCES);
  expect(answers(store().read())?.[0]).toEqual(['one', 2]);
});
let NAME = '';

test('a folder that others may write holds nothing, and the next one is taken', () => {
  const open = join(folder, 'open');
  const safe = join(folder, 'safe');
  mkdirSync(open);
  chmodSync(open, 0o777);
  store('test', 'content', [open, safe]).write(SOURCES);
  expect(readdirSync(open)).toEqual([]);
  expect(answers(store('test', 'content', [open, safe]).read())?.[0]).toEqual(['one', 2]);
  renameSync(join(safe, readdirSync(safe)[0] ?? ''), join(open, readdirSync(safe)[0] ?? ''));
  expect(store('test', 'content', [open]).read()).toBeUndefined();
});

test('without a place to write, nothing is kept and nothing fails', () => {
  const file = join(folder, 'file');
  writeFileSync(file, '');
  store('test', 'content', [join(file, 'below')]).write(SOURCES);
  expect(store('test', 'content', [join(file, 'below')]).read()).toBeUndefined();
});

test('the last files are kept, older ones go', () => {
  for (let at = 0; at < 12; at++) store('test', `content ${at}`).write(SOURCES);
  expect(readdirSync(folder)).toHaveLength(8);
  expect(store('test', 'content 11').read()).toBeDefined();
});

// Compiling and checking in processes of their own, as a service starts.
const START = `
  import { loadDefinitions } from '${join(import.meta.dirname, '../../../src/fhir/definitions.ts')}';
  import { validatorCache } from '${join(import.meta.dirname, '../../../src/fhir/validation/code-cache.ts')}';
  import { createChecks } from '${join(import.meta.dirname, '../../../src/fhir/validation/checks.ts')}';
  import { schemaOf } from '${join(import.meta.dirname, '../../../src/fhir/validation/schema.ts')}';
  const definitions = loadDefinitions();
  let compiled = 0;
  const checks = createChecks({
    runtime: () => { throw new Error('not here'); },
    schemaOf: (name) => { compiled++; return schemaOf(name, definitions); },
    store: validatorCache([process.argv[1]]).store('r4', 'x'),
  });
  await checks.prepare(['Period', 'Coding', 'Quantity']);
  console.log(compiled);
`;

test('two processes that start at once both have their checks, and the next compiles nothing', async () => {
  const start = async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [
      '--input-type=module',
      '--no-warnings',
      '-e',
      START,
      folder,
    ]);
    return Number(stdout);
  };
  const [one, other] = await Promise.all([start(), start()]);
  // The second may be late enough to find what the first has written.
  expect([3, 0]).toContain(one);
  expect([3, 0]).toContain(other);
  expect(Number(one) + Number(other)).toBeGreaterThan(0);
  expect(await start()).toBe(0);
  expect(readdirSync(folder)).toHaveLength(1);
});
