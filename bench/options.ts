/** What `npm run bench` is asked for. What is not understood is told, and nothing is started. */
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { type ScenarioName, scenarios } from './scenarios.ts';

const HELP = `npm run bench -- [options]: the workload, the limits of this machine and the ratios
  --quick                     40 patients, 3 s each: about 2 minutes instead of 7
  --duration, --warmup S      seconds of each scenario; --patients N; --connections N (16)
  --scenarios a,b             some of ${Object.keys(scenarios).join(', ')}
  --no-limits                 without the limits of the machine
  --json FILE                 the figures as JSON
  --require                   exit 1 below what is promised
  --profile                   where the time goes, by part and function
  --growth                    searches in a small and in a large clinic; --small, --large: Observations (10000, 1000000)
  --keep                      leave the data folder
for example: npm run bench -- --scenarios read,search-vitals --duration 5 --no-limits`;

const OPTIONS = {
  quick: { type: 'boolean', default: false },
  duration: { type: 'string' },
  warmup: { type: 'string' },
  patients: { type: 'string' },
  connections: { type: 'string', default: '16' },
  scenarios: { type: 'string' },
  'no-limits': { type: 'boolean', default: false },
  json: { type: 'string' },
  require: { type: 'boolean', default: false },
  profile: { type: 'boolean', default: false },
  growth: { type: 'boolean', default: false },
  small: { type: 'string', default: '10000' },
  large: { type: 'string', default: '1000000' },
  keep: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false },
} as const satisfies ParseArgsConfig['options'];

export type BenchOptions = ReturnType<typeof benchOptions>;

/** Ends the process where help was asked for (0), or something is wrong (2). */
export function benchOptions(argv: readonly string[] = process.argv.slice(2)) {
  const args = parsed(argv);
  if (args.help) {
    console.log(HELP);
    process.exit(0);
  }
  const { quick } = args;
  return {
    ...args,
    names: namesIn(args.scenarios),
    conditions: {
      patients: whole('patients', args.patients ?? (quick ? '40' : '500'), 1),
      durationSeconds: whole('duration', args.duration ?? (quick ? '3' : '20'), 1),
      warmupSeconds: whole('warmup', args.warmup ?? (quick ? '1' : '5'), 0),
      connections: whole('connections', args.connections, 1),
    },
    small: whole('small', args.small, 1000),
    large: whole('large', args.large, 1000),
  };
}

function parsed(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options: OPTIONS }).values;
  } catch (error) {
    return refuse((error as Error).message);
  }
}

function whole(name: string, text: string, least: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(value) && value >= least) return value;
  return refuse(`--${name} ${text} is no whole number from ${least} on`);
}

function namesIn(text: string | undefined): readonly ScenarioName[] {
  const names = text?.split(',') ?? Object.keys(scenarios);
  const unknown = names.filter((name) => !Object.hasOwn(scenarios, name));
  if (unknown.length === 0) return names as ScenarioName[];
  return refuse(`no such scenario: ${unknown.join(', ')}; there are ${Object.keys(scenarios).join(', ')}`);
}

function refuse(words: string): never {
  console.error(`error: ${words}\n(npm run bench -- --help shows how)`);
  process.exit(2);
}
