/** The guide in a real browser: Debian's chromium, from the file system, as somebody opens what they were sent. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type BrowserContext, chromium, type Page } from 'playwright-core';
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
let folder: string;
let context: BrowserContext;
let page: Page;
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
}, 120_000);

afterAll(async () => {
  await context?.close();
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
});

function address(file: string, guide = 'guide'): string {
  return pathToFileURL(join(folder, guide, file)).href;
}

function pageNames(): string[] {
  return ['index.html', ...source.definitions.map(({ file }) => file.replace('.json', '.html'))];
}

browserTest(
  'every page opens without a complaint, and never scrolls sideways on a screen or a phone',
  async () => {
    const wide: string[] = [];
    for (const name of pageNames()) {
      await page.goto(address(name));
      for (const width of WIDTHS) {
        await page.setViewportSize({ width, height: 800 });
        await page.evaluate(OPEN_ALL);
        if ((await page.evaluate(SCROLL_WIDTH)) > width) wide.push(`${name} at ${width}`);
      }
    }
    expect(complaints).toEqual([]);
    expect(wide).toEqual([]);
  },
  180_000,
);

const OPEN_ALL = 'for (const one of document.querySelectorAll("details")) one.open = true';
const SCROLL_WIDTH = 'document.documentElement.scrollWidth';

browserTest(
  'every link leads to a page of the guide and to a place in it, or to the web',
  async () => {
    const targets = new Map<string, Set<string>>();
    const addresses = new Set<string>();
    for (const name of pageNames()) {
      await page.goto(address(name));
      for (const href of (await page.evaluate(HREFS)) as string[]) addresses.add(href);
      targets.set(address(name), new Set((await page.evaluate(IDS)) as string[]));
    }
    const dead = [...addresses].filter((href) => {
      if (/^https?:\/\/[a-z0-9.-]+\.[a-z]+\//.test(href)) return false;
      const [file = '', id] = href.split('#');
      if (file.endsWith('.json')) return !existsSync(new URL(file));
      const ids = targets.get(file);
      return ids === undefined || (id !== undefined && id !== '' && !ids.has(decodeURIComponent(id)));
    });
    expect(dead).toEqual([]);
    expect(addresses.size).toBeGreaterThan(source.definitions.length);
  },
  180_000,
);

// Of a link in a picture, href is an object of its own.
const HREFS =
  '[...document.querySelectorAll("a[href]")].map((one) => new URL(one.getAttribute("href"), document.baseURI).href)';
const IDS = '[...document.querySelectorAll("[id]")].map((one) => one.id)';

browserTest('the table of each profile has its rows, and all elements open beneath', async () => {
  for (const { file, resource } of profilesIn(source)) {
    await page.goto(address(file.replace('.json', '.html')));
    const rows = page.locator('section:has(#elements) table.elements tbody tr');
    expect([file, (await rows.count()) >= (resource.differential?.element?.length ?? 0)]).toEqual([file, true]);
    const all = page.locator('section:has(#all-elements)');
    expect([file, await all.locator('tbody tr').count()]).toEqual([file, resource.snapshot?.element?.length ?? 0]);
    if (resource.snapshot === undefined) continue;
    expect(await all.locator('table').isVisible()).toBe(false);
    await all.locator('summary').focus();
    await page.keyboard.press('Enter');
    expect(await all.locator('table').isVisible()).toBe(true);
  }
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
