import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { StructureDefinition, ValueSet } from '@medplum/fhirtypes';
import { elementAnchor } from '../../scripts/guide/element-table.ts';
import { jsonView } from '../../scripts/guide/json-view.ts';
import { addressOf } from '../../scripts/guide/links.ts';
import { deadLinks, type Site, siteOf } from '../../scripts/guide/site.ts';
import { extensionsIn, type GuideSource, ofType, profilesIn, readGuide } from '../../scripts/guide/source.ts';
import { STYLE } from '../../scripts/guide/style.ts';
import { HOSTILE, hostileGuide } from './hostile-guide.ts';

let source: GuideSource;
let site: Site;
const pages = () => [...site.files].filter(([name]) => name.endsWith('.html'));
const page = (name: string) => site.files.get(name) ?? '';

beforeAll(async () => {
  source = readGuide();
  site = await siteOf(source);
});

test('every definition has a page, and its JSON lies beside it', () => {
  for (const { file, text } of source.definitions) {
    expect([file, page(file.replace('.json', '.html')).startsWith('<!doctype html>')]).toEqual([file, true]);
    expect([file, site.files.get(file) === text]).toEqual([file, true]);
  }
});

test('every page has a language, a title of its own, one main heading, and no level of headings left out', () => {
  const titles = pages().map(([, text]) => /<title>(.*?)<\/title>/.exec(text)?.[1]);
  expect(titles.filter((title) => !title)).toEqual([]);
  for (const [name, text] of pages()) {
    expect([name, text.includes('<html lang="en">')]).toEqual([name, true]);
    const levels = [...text.matchAll(/<h([1-6])[ >]/g)].map(([, level]) => Number(level));
    expect([name, levels.filter((level) => level === 1)]).toEqual([name, [1]]);
    const jumps = levels.filter((level, at) => level > (levels[at - 1] ?? 0) + 1);
    expect([name, jumps]).toEqual([name, []]);
  }
});

test('no link of the guide leads to a page, or a place in one, that is not there', () => {
  expect(deadLinks(site.files)).toEqual([]);
});

test('an id occurs once in its page', () => {
  for (const [name, text] of pages()) {
    const ids = [...text.matchAll(/\sid="([^"]*)"/g)].map(([, id]) => id);
    expect([name, ids.filter((id, at) => ids.indexOf(id) !== at)]).toEqual([name, []]);
  }
});

test('a page loads nothing and runs nothing', () => {
  for (const [name, text] of pages()) {
    expect([name, /<script|<iframe|<img|<object|\ssrc=|@import|url\(|\son[a-z]+="/i.exec(text)?.[0]]).toEqual([
      name,
      undefined,
    ]);
  }
});

test('every table cell belongs to a column, and every table has a caption and heads', () => {
  for (const [name, text] of pages()) {
    for (const [whole] of text.matchAll(/<table[\s\S]*?<\/table>/g)) {
      const heads = [...whole.matchAll(/<th scope="col">/g)].length;
      const rows =
        whole
          .split('<tbody>')[1]
          ?.split(/<tr[ >]/)
          .slice(1) ?? [];
      expect([name, whole.includes('<caption>'), heads > 0]).toEqual([name, true, true]);
      for (const row of rows) expect([name, row.match(/<t[hd][ >]/g)?.length]).toEqual([name, heads]);
    }
  }
});

test('the table of a profile has a row for each element that it constrains, and one for each above these', () => {
  for (const { file, resource } of profilesIn(source)) {
    const text = page(file.replace('.json', '.html'));
    const wanted = new Set(longIds(resource).flatMap((id) => [id, ...above(id)]));
    const shown = [...text.matchAll(/<tr id="(el-[^"]*)"/g)].map(([, id]) => id);
    expect(shown.toSorted()).toEqual([...wanted].map((id) => elementAnchor('el', id)).toSorted());
  }
});

test('the table of all elements has a row for each element of the snapshot, in its order', () => {
  for (const { file, resource } of profilesIn(source)) {
    const shown = [...page(file.replace('.json', '.html')).matchAll(/<tr id="(all-[^"]*)"/g)].map(([, id]) => id);
    expect(shown).toEqual((resource.snapshot?.element ?? []).map(({ id = '' }) => elementAnchor('all', id)));
  }
});

/** Ids of the differential that the snapshot has too, and others as they are. */
function longIds({ differential }: StructureDefinition): string[] {
  return (differential?.element ?? []).map(({ id = '' }) => id);
}

function above(id: string): string[] {
  const cut = Math.max(id.lastIndexOf('.'), id.lastIndexOf(':'));
  return cut < 0 ? [] : [id.slice(0, cut), ...above(id.slice(0, cut))];
}

test('an element that we constrain says why in a sentence', () => {
  const silent = profilesIn(source).flatMap(({ file, resource }) =>
    (resource.differential?.element ?? [])
      .filter(
        ({ definition, comment, short }) => definition === undefined && comment === undefined && short === undefined,
      )
      // The url of an extension and a fixed part of a pattern speak for themselves.
      .filter((element) => !Object.keys(element).some((key) => /^(fixed|pattern)/.test(key)))
      .map(({ id }) => `${file} ${id}`),
  );
  expect(silent).toEqual([]);
});

test('no extension of the guide changes the meaning of what it stands at, as the first page says', () => {
  const modifiers = extensionsIn(source).filter(
    ({ resource }) => resource.differential?.element?.[0]?.isModifier === true,
  );
  expect(modifiers.map(({ file }) => file)).toEqual([]);
});

test('an invalid example is shown with the rule that it breaks and with what the validator says', () => {
  for (const [profile, results] of site.results) {
    const text = page(`StructureDefinition-${profile}.html`);
    for (const { example, issues } of results.filter(({ example: { isValid } }) => !isValid)) {
      const name = example.file.replace('.json', '');
      const shown = text.split(`id="example-${name}"`)[1]?.split('<pre')[0] ?? '';
      const wanted = [example.promise?.breaks ?? 'no promise', ...issues.map(({ diagnostics }) => diagnostics)];
      const absent = wanted.filter((words) => !shown.includes(inHtml(words)));
      expect([profile, name, absent]).toEqual([profile, name, []]);
    }
  }
});

function inHtml(text: string): string {
  return text.replace(/[&<>"']/g, (sign) => `&${{ '&': 'amp', '<': 'lt', '>': 'gt', '"': 'quot', "'": '#39' }[sign]};`);
}

test('the page of a value set lists its codes', () => {
  for (const { file, resource } of ofType(source, 'ValueSet')) {
    const text = page(file.replace('.json', '.html'));
    expect([file, listedCodes(resource).filter((code) => !text.includes(`>${code}<`))]).toEqual([file, []]);
  }
});

function listedCodes({ compose }: ValueSet): string[] {
  const taken = new Set((compose?.exclude ?? []).flatMap(({ concept = [] }) => concept.map(({ code }) => code)));
  return (compose?.include ?? [])
    .flatMap(({ concept = [] }) => concept.map(({ code = '' }) => code))
    .filter((code) => !taken.has(code));
}

test('the first page leads to every other page', () => {
  const index = page('index.html');
  const names = pages().map(([name]) => name);
  expect(names.filter((name) => name !== 'index.html' && !index.includes(`href="${name}"`))).toEqual([]);
});

test('every profile that a resource can claim is a box of the picture', () => {
  const picture = page('index.html').split('<svg')[1]?.split('</svg>')[0] ?? '';
  const claimed = profilesIn(source).filter(({ resource }) => resource.abstract !== true);
  const absent = claimed.filter(({ file }) => !picture.includes(`href="${file.replace('.json', '.html')}"`));
  expect(absent.map(({ file }) => file)).toEqual([]);
});

test('the same definitions give the same pages', async () => {
  const again = await siteOf(readGuide());
  expect([...again.files].filter(([name, text]) => site.files.get(name) !== text).map(([name]) => name)).toEqual([]);
});

test('what a definition or an example says is shown as words, wherever it stands', async () => {
  const folder = hostileGuide();
  try {
    const { files } = await siteOf(readGuide(folder));
    for (const [name, text] of files) {
      if (!name.endsWith('.html')) continue;
      expect([name, /<script|<img|onclick='|href="javascript:|<\/style>(?!\s*<\/head>)/.exec(text)?.[0]]).toEqual([
        name,
        undefined,
      ]);
    }
    expect(files.get('StructureDefinition-hostile.html')?.includes(inHtml(HOSTILE))).toBe(true);
    expect(deadLinks(files)).toEqual([]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('JSON is shown with its digits, and the place of an issue is marked', () => {
  const text =
    '{\n  "resourceType": "Observation",\n  "valueQuantity": {\n    "value": 1.50,\n    "unit": "<b>"\n  },\n  "note": [{ "text": "a" }]\n}\n';
  const { text: shown } = jsonView(text, 'an example', ['Observation.value.ofType(Quantity).value']);
  const words = shown.replace(/<[^>]+>/g, '');
  expect(words).toContain('&quot;value&quot;: 1.50');
  expect(words).toContain('&lt;b&gt;');
  expect(marked(shown)).toEqual(['    &quot;value&quot;: 1.50,']);
  expect(marked(jsonView(text, '', ['Observation.value.ofType(Quantity)']).text)).toHaveLength(4);
  expect(marked(jsonView(text, '', ['Observation.note[0].text']).text)).toHaveLength(1);
  // What is not there is looked for above it; a missing element of the resource itself marks nothing.
  expect(marked(jsonView(text, '', ['Observation.note[0].time']).text)).toHaveLength(1);
  expect(marked(jsonView(text, '', ['Observation.status', 'Observation']).text)).toEqual([]);
});

function marked(shown: string): string[] {
  return [...shown.matchAll(/<mark>(.*?)<\/mark>/g)].map(([, line = '']) => line.replace(/<[^>]+>/g, ''));
}

test.each([
  ['http://hl7.org/fhir/StructureDefinition/Observation', 'https://hl7.org/fhir/R4/observation.html'],
  ['http://hl7.org/fhir/StructureDefinition/Quantity', 'https://hl7.org/fhir/R4/datatypes.html#Quantity'],
  ['http://hl7.org/fhir/ValueSet/observation-status|4.0.1', 'https://hl7.org/fhir/R4/valueset-observation-status.html'],
  [
    'http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient|6.1.0',
    'https://hl7.org/fhir/us/core/STU6.1/StructureDefinition-us-core-patient.html',
  ],
  [
    'http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient|7.0.0',
    'https://hl7.org/fhir/us/core/STU7/StructureDefinition-us-core-patient.html',
  ],
])('%s is to be read at %s', (canonical, address) => {
  expect(addressOf(canonical)).toBe(address);
});

test('text and links have a contrast of 4.5 to 1 at least, in light and in dark', () => {
  for (const palette of palettes()) {
    for (const [text, ground] of ON_GROUND) {
      const ratio = contrast(palette.get(text) ?? '', palette.get(ground) ?? '');
      expect({ text, ground, enough: ratio >= 4.5 }).toEqual({ text, ground, enough: true });
    }
  }
});

const ON_GROUND = ['paper', 'shade', 'ours', 'mark']
  .flatMap((ground) => ['ink', 'soft', 'link', 'key', 'string', 'number'].map((text) => [text, ground] as const))
  .filter(([text, ground]) => !(ground === 'mark' && text === 'soft'))
  .concat([
    ['bad', 'paper'],
    ['bad', 'bad-shade'],
    ['ink', 'bad-shade'],
    ['paper', 'bad'],
    ['good', 'paper'],
  ]);

/** The colours of the style sheet by name: light, and dark over them. */
function palettes(): ReadonlyMap<string, string>[] {
  const [light = '', dark = ''] = [...STYLE.matchAll(/:root\{([^}]*)\}/g)].map(([, body = '']) => body);
  const read = (body: string) =>
    [...body.matchAll(/--([a-z-]+):(#[0-9a-f]+)/g)].map(([, name = '', hex = '']) => [name, hex] as const);
  return [new Map(read(light)), new Map([...read(light), ...read(dark)])];
}

/** @see https://www.w3.org/TR/WCAG21/#dfn-contrast-ratio */
function contrast(a: string, b: string): number {
  const [low = 0, high = 0] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (high + 0.05) / (low + 0.05);
}

function luminance(hex: string): number {
  const full = hex.length === 4 ? hex.replace(/[0-9a-f]/g, '$&$&') : hex;
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => {
    const part = Number.parseInt(full.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

type Ran = { readonly code: number; readonly out: string; readonly err: string };

function ig(...args: string[]): Promise<Ran> {
  const script = join(import.meta.dirname, '../../scripts/guide/main.ts');
  return new Promise((done) => {
    execFile(process.execPath, ['--no-warnings', script, ...args], (error, out, err) => {
      done({ code: error === null ? 0 : Number(error.code), out, err });
    });
  });
}

test('npm run ig writes the pages, replaces its own folder, and leaves a folder of somebody else alone', async () => {
  const [guide, out] = [hostileGuide(), mkdtempSync(join(tmpdir(), 'kap-guide-'))];
  try {
    for (let times = 0; times < 2; times++) {
      const { code, out: said } = await ig('--definitions', guide, '--out', out);
      expect({ code, said }).toEqual({ code: 0, said: `4 pages: ${join(out, 'index.html')}\n` });
    }
    expect(existsSync(join(out, 'StructureDefinition-hostile.html'))).toBe(true);
    rmSync(join(out, '.kap-guide'));
    writeFileSync(join(out, 'mine.txt'), 'mine');
    const { code, err } = await ig('--definitions', guide, '--out', out);
    expect({ code, err }).toEqual({ code: 2, err: expect.stringContaining('holds something else') });
    expect(existsSync(join(out, 'mine.txt'))).toBe(true);
  } finally {
    for (const folder of [guide, out]) rmSync(folder, { recursive: true });
  }
});

test('npm run ig explains itself, and a wrong option', async () => {
  expect(await ig('--help')).toEqual({ code: 0, out: expect.stringContaining('npm run ig -- --check'), err: '' });
  expect(await ig('--wrong')).toEqual({ code: 2, out: '', err: expect.stringContaining("Unknown option '--wrong'") });
});
