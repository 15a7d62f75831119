/**
 * `npm run ig`: the implementation guide of fhir-profiles as static pages; `--snapshots` writes the snapshots into the
 * definitions first, `--check` says what is stale or not as promised.
 */
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { Failure } from '../../src/fhir/failure.ts';
import type { ExampleResult } from './examples.ts';
import { type GeneratedFile, generatedDefinitions } from './generated.ts';
import { refuseForeign, writeSite } from './output.ts';
import { deadLinks, siteOf } from './site.ts';
import { parentsOf, type SnapshotResult, snapshotResults, writeSnapshots } from './snapshots.ts';
import { FHIR_PROFILES, type GuideSource, readGuide } from './source.ts';

const HELP = `npm run ig -- [options]

Makes the pages of the implementation guide: static HTML that needs no server and no script.

  --out <folder>       where the pages go (build/guide); what is in it is replaced
  --definitions <dir>  the definitions and examples (fhir-profiles)
  --snapshots          write into the definitions what follows from the rest (snapshots, lists), and no pages
  --packages <dir>     FHIR packages (.tgz) with parents, such as US Core (KAP_US_CORE_PACKAGES)
  --check              write nothing; exit code 1 when a snapshot is stale, an example does not give what it
                       promises, or a link leads nowhere
  --help               this text

Examples:
  npm run ig                                          pages in build/guide; open build/guide/index.html
  npm run ig -- --out /tmp/guide                      pages elsewhere
  npm run ig -- --snapshots --packages ../packages    after a definition was changed
  npm run ig -- --check                               what CI asks

Exit codes: 0 done, 1 not as it should be, 2 wrong usage or input that cannot be read.
`;

const started = performance.now();
let told = started;

/** Somebody who waits hears every two seconds where it is. */
function progress(words: string): void {
  const now = performance.now();
  if (now - told < 2000) return;
  told = now;
  console.error(`${((now - started) / 1000).toFixed(1).padStart(5)} s  ${words}`);
}

try {
  process.exitCode = await run(optionsOf());
} catch (error) {
  if (!(error instanceof Failure)) throw error;
  for (const { diagnostics } of error.issues) console.error(`error: ${diagnostics}`);
  process.exitCode = 2;
}

type Options = ReturnType<typeof optionsOf>;

function optionsOf() {
  try {
    return parseArgs({
      options: {
        out: { type: 'string', default: join('build', 'guide') },
        definitions: { type: 'string', default: FHIR_PROFILES },
        packages: { type: 'string' },
        snapshots: { type: 'boolean', default: false },
        check: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n\n${HELP}`);
    process.exit(2);
  }
}

/** @returns the exit code */
async function run(options: Options): Promise<number> {
  if (options.help) {
    console.log(HELP);
    return 0;
  }
  const source = readGuide(resolve(options.definitions));
  const packages = options.packages ?? (process.env.KAP_US_CORE_PACKAGES || undefined);
  if (options.snapshots) return snapshots(source, packages);
  return options.check ? check(source, packages) : pages(source, resolve(options.out));
}

/** Writes what follows from the rest: snapshots, then the lists of all definitions. */
async function snapshots(source: GuideSource, packages: string | undefined): Promise<number> {
  const results = snapshotResults(source, await parentsOf(source, packages), progress);
  const written = writeSnapshots(source.folder, results);
  for (const { file, text } of staleLists(readGuide(source.folder))) {
    writeFileSync(join(source.folder, file), text);
    written.push(file);
  }
  for (const file of written) console.log(`written  ${file}`);
  const failed = tellFailed(results);
  console.log(`${results.length} definitions with a snapshot: ${written.length} files written, ${failed} not made`);
  return failed > 0 ? 1 : 0;
}

/** The definitions that list the others, where they are not as they should be. */
function staleLists(source: GuideSource): readonly GeneratedFile[] {
  const texts = new Map(source.definitions.map(({ file, text }) => [file, text]));
  return generatedDefinitions(source).filter(({ file, text }) => texts.has(file) && texts.get(file) !== text);
}

/** Those that cannot be made, with what to do. @returns how many */
function tellFailed(results: readonly SnapshotResult[]): number {
  const failed = results.filter((one) => 'reasons' in one);
  for (const { file, reasons } of failed) for (const reason of reasons) console.error(`not made ${file}: ${reason}`);
  if (failed.some(({ state }) => state === 'no-parent')) {
    console.error(
      'Parents of other guides come from their packages (.tgz): name their folder with --packages or KAP_US_CORE_PACKAGES',
    );
  }
  return failed.length;
}

async function check(source: GuideSource, packages: string | undefined): Promise<number> {
  const results = snapshotResults(source, await parentsOf(source, packages), progress);
  const stale = [...results.filter(({ state }) => state === 'stale'), ...staleLists(source)];
  const broken = results.filter((one) => one.state === 'broken');
  const unknown = results.filter(({ state }) => state === 'no-parent');
  for (const { file } of stale) console.error(`stale    ${file}: run npm run ig -- --snapshots`);
  tellFailed(broken);
  if (unknown.length > 0)
    console.error(
      `${unknown.length} snapshots were not checked: their parents are in packages that are not at hand (KAP_US_CORE_PACKAGES)`,
    );
  if (broken.length > 0) return 1;
  const site = await siteOf(source, progress);
  const faults = tellFaults(site.results);
  const dead = deadLinks(site.files);
  for (const link of dead) console.error(`no page  ${link}`);
  const count = [...source.examples.values()].flatMap(({ examples }) => examples).length;
  console.log(
    `${results.length - unknown.length} snapshots checked, ${stale.length} files stale; ${count} examples, ${faults} not as promised; ${dead.length} links lead nowhere`,
  );
  return stale.length + faults + dead.length > 0 ? 1 : 0;
}

/** @returns how many examples are not as promised */
function tellFaults(results: ReadonlyMap<string, readonly ExampleResult[]>): number {
  let count = 0;
  for (const [profile, list] of results) {
    for (const { example, faults } of list) {
      if (faults.length > 0) count++;
      for (const fault of faults) console.error(`example  ${profile}/${example.file}: ${fault}`);
    }
  }
  return count;
}

async function pages(source: GuideSource, out: string): Promise<number> {
  refuseForeign(out); // before the work
  const site = await siteOf(source, progress);
  const count = writeSite(site, out);
  const faults = tellFaults(site.results);
  if (faults > 0) console.error(`${faults} examples are not as promised: their pages say so`);
  console.log(`${count} pages: ${join(out, 'index.html')}`);
  return 0;
}
