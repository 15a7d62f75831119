/** The guide in a real browser: Debian's chromium, from the file system, as somebody opens what they were sent. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type BrowserContext, chromium, type Page } from 'playwright-core';
import { elementAnchor } from '../../scripts/guide/element-table.ts';
import { rowsOf } from '../../scripts/guide/elements.ts';
import { writeSite } from '../../scripts/guide/output.ts';
import { siteOf } from '../../scripts/guide/site.ts';
import { profilesIn, readGuide } from '../../scripts/guide/source.ts';
import { hostileGuide } from './hostile-guide.ts';

const BROWSER = process.env.KAP_CHROMIUM ?? '/usr/bin/chromium';
const hasBrowser = existsSync(BROWSER);
if (!hasBrowser) {
  process.stderr.write(
    `!!!! ${BROWSER} is not installed: the guide is NOT looked at in a browser (apt-get install chromium, or KAP_CHROMIUM)\n`,
  );
}
const browserTest = hasBrowser ? test : test.skip;

const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
const WIDTHS = [1280, 390];

const source = readGuide();
const pageNames = ['index.html', ...source.definitions.map(({ file }) => file.replace('.json', '.html'))];

/** What a page is in the browser, everything folded opened. */
type Visit = {
  /** How wide its content is, by the width of the window. */
  readonly widths: readonly { readonly window: number; readonly content: number }[];
  readonly hrefs: readonly string[];
  readonly ids: readonly string[];
  /** Rows of the tables of elements. */
  readonly rows: { readonly own: readonly string[]; readonly all: readonly string[] };
};

let folder: string;
let context: BrowserContext;
let page: Page;
const visits = new Map<string, Visit>();
/** What a page said or asked for that it should not have. */
const complaints: string[] = [];

beforeAll(async () => {
  if (!hasBrowser) return;
  folder = mkdtempSync(join(tmpdir(), 'kap-guide-browser-'));
  writeSite(await siteOf(source), join(folder, 'guide'));
  const userData = join(folder, 'user-data');
  context = await chromium.launchPersistentContext(userData, { executablePath: BROWSER, args: FLAGS, headless: true });
  page = context.pages()[0] ?? (await context.newPage());
  page.on('console', (message) => complaints.push(`${message.type()}: ${message.text()}`));
  page.on('pageerror', (error) => complaints.push(`error: ${error.message}`));
  page.on('requestfailed', (request) => complaints.push(`failed: ${request.url()}`));
  page.on('request', (request) => {
    if (!/^(file|data):/.test(request.url())) complaints.push(`asked the network: ${request.url()}`);
  });
  page.on('dialog', (dialog) => {
    complaints.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  for (const name of pageNames) visits.set(address(name), await visit(name));
}, 300_000);

afterAll(async () => {
  await context?.close();
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
});

function address(file: string, guide = 'guide'): string {
  return pathToFileURL(join(folder, guide, file)).href;
}

async function visit(name: string): Promise<Visit> {
  await page.goto(address(name));
  const seen = (await page.evaluate(LOOK_AROUND)) as Omit<Visit, 'widths'>;
  const widths: Visit['widths'][number][] = [];
  for (const window of WIDTHS) {
    await page.setViewportSize({ width: window, height: 800 });
    widths.push({ window, content: Number(await page.evaluate('document.documentElement.scrollWidth')) });
  }
  return { ...seen, widths };
}

// Of a link in a picture, href is an object of its own.
const LOOK_AROUND = `(() => {
  for (const one of document.querySelectorAll('details')) one.open = true;
  const all = (selector, what) => [...document.querySelectorAll(selector)].map(what);
  return {
    hrefs: all('a[href]', (one) => new URL(one.getAttribute('href'), document.baseURI).href),
    ids: all('[id]', (one) => one.id),
    rows: {
      own: all('section:has(#elements) table.elements tbody tr', (one) => one.id),
      all: all('section:has(#all-elements) table.elements tbody tr', (one) => one.id),
    },
  };
})()`;

browserTest('every page opens without a complaint', () => {
  expect(complaints).toEqual([]);
  expect(visits.size).toBe(source.definitions.length + 1);
});

browserTest('no page scrolls sideways, on a screen or on a phone', () => {
  const wide = [...visits].flatMap(([url, { widths }]) =>
    widths.filter(({ window, content }) => content > window).map(({ window }) => `${url} at ${window}`),
  );
  expect(wide).toEqual([]);
});

browserTest('every link leads to a page of the guide and to a place in it, or to the web', () => {
  const addresses = new Set([...visits.values()].flatMap(({ hrefs }) => hrefs));
  const dead = [...addresses].filter((href) => {
    if (/^https?:\/\/[a-z0-9.-]+\.[a-z]+\//.test(href)) return false;
    const [file = '', id] = href.split('#');
    if (file.endsWith('.json')) return !existsSync(new URL(file));
    const ids = visits.get(file)?.ids;
    return ids === undefined || (id !== undefined && id !== '' && !ids.includes(decodeURIComponent(id)));
  });
  expect(dead).toEqual([]);
  expect(addresses.size).toBeGreaterThan(source.definitions.length);
});

browserTest('the tables of each profile have their rows', () => {
  for (const { file, resource } of profilesIn(source)) {
    const { rows } = visits.get(address(file.replace('.json', '.html'))) as Visit;
    const { differential, snapshot } = rowsOf(resource, source);
    expect([file, rows.own]).toEqual([file, differential.map(({ id }) => elementAnchor('el', id))]);
    expect([file, rows.all]).toEqual([file, snapshot.map(({ id }) => elementAnchor('all', id))]);
    expect(rows.own.length).toBeGreaterThanOrEqual(resource.differential?.element?.length ?? 0);
  }
});

browserTest('all elements open by the keyboard', async () => {
  const [first] = profilesIn(source);
  await page.goto(address((first?.file ?? '').replace('.json', '.html')));
  const all = page.locator('section:has(#all-elements)');
  expect(await all.locator('table').isVisible()).toBe(false);
  await all.locator('summary').focus();
  await page.keyboard.press('Enter');
  expect(await all.locator('table').isVisible()).toBe(true);
});

browserTest('the keyboard reaches the content first, and then every link of the picture', async () => {
  await page.goto(address('index.html'));
  await page.keyboard.press('Tab');
  expect(await page.evaluate('document.activeElement.textContent')).toBe('To the content');
  await page.keyboard.press('Enter');
  expect(page.url()).toContain('#content');
  const first = page.locator('.picture a').first();
  await first.focus();
  await page.keyboard.press('Enter');
  await page.waitForURL(/StructureDefinition-/);
});

browserTest('on paper the way around is gone and everything folded is open', async () => {
  const [first] = profilesIn(source);
  await page.goto(address((first?.file ?? '').replace('.json', '.html')));
  await page.emulateMedia({ media: 'print' });
  expect(await page.locator('header nav').isVisible()).toBe(false);
  expect((await page.pdf({ format: 'A4' })).length).toBeGreaterThan(10_000);
  await page.emulateMedia({ media: 'screen' });
});

browserTest('what an example says stays text in a browser that would run it', async () => {
  const hostile = hostileGuide();
  try {
    writeSite(await siteOf(readGuide(hostile)), join(folder, 'hostile'));
    for (const name of ['index', 'StructureDefinition-hostile', 'ValueSet-hostile', 'Questionnaire-hostile']) {
      await page.goto(address(`${name}.html`, 'hostile'));
      expect(await page.evaluate('[document.scripts.length, document.images.length, window.ran ?? false]')).toEqual([
        0,
        0,
        false,
      ]);
    }
    await page.goto(address('StructureDefinition-hostile.html', 'hostile'));
    expect(await page.locator('pre.json').first().textContent()).toContain('<script>window.ran = true</script>');
    expect(complaints).toEqual([]);
  } finally {
    rmSync(hostile, { recursive: true });
  }
});
