/**
 * One start in a process of its own (`node --expose-gc`): loads the definitions, then makes all checks ready from the
 * cache in the folder given, or without one. Prints the figures as JSON.
 */
import { loadDefinitions } from '../src/fhir/definitions.ts';
import { shippedProfiles } from '../src/fhir/profiles/shipped.ts';
import { validatorCache } from '../src/fhir/validation/code-cache.ts';
import { createValidator } from '../src/fhir/validation/validator.ts';
import { single } from './validation-data.ts';

export type StartFigures = {
  /** Until all checks of R4 and of the guide are there. */
  readonly readyMs: number;
  readonly readyCpuMs: number;
  /** Until an Observation was checked against its profile, from nothing. */
  readonly firstCheckMs: number;
  /** Of one check of each R4 type after that, most of it V8's first look at their code. */
  readonly everyTypeMs: number;
  /** What the checks keep, after a collection: heap and buffers. */
  readonly keptMB: number;
  readonly residentMB: number;
  readonly profiles: number;
};

const [folder = ''] = process.argv.slice(2);
const definitions = loadDefinitions();
const profiles = shippedProfiles();
const known = profiles.all();
const [subject] = single;
const before = memory();
const startedAt = performance.now();
const cpu = process.cpuUsage();
const validator = createValidator(definitions, profiles, validatorCache([folder]));
await validator.prepare();
const ready = performance.now();
const used = process.cpuUsage(cpu);
const found = validator.check(subject?.resource);
const first = performance.now();
for (const type of definitions.resourceTypes) validator.check({ resourceType: type });
const every = performance.now();
const after = memory();
if (found.length > 0) throw new Error(`the example is refused: ${JSON.stringify(found)}`);

const figures: StartFigures = {
  readyMs: ready - startedAt,
  readyCpuMs: (used.user + used.system) / 1000,
  firstCheckMs: first - startedAt,
  everyTypeMs: every - first,
  keptMB: (after.kept - before.kept) / 1e6,
  residentMB: (after.resident - before.resident) / 1e6,
  profiles: known.length,
};
console.log(JSON.stringify(figures));

function memory(): { kept: number; resident: number } {
  (globalThis as { gc?: () => void }).gc?.();
  const { heapUsed, external, rss } = process.memoryUsage();
  return { kept: heapUsed + external, resident: rss };
}
