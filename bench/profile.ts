/** Reads what `node --cpu-prof` wrote. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, sep } from 'node:path';

type CpuProfile = {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
};

const SHOWN = 40;
const IDLE = new Set(['(idle)', '(program)', '(root)']);

/**
 * The functions with the most time of their own, and the parts of the program, of the longest profile in the folder.
 *
 * @param seconds of its end that count: what comes before is the start of the service
 */
export function costliest(folder: string, seconds: number): string {
  const profiles = readdirSync(folder)
    .filter((name) => name.endsWith('.cpuprofile'))
    .map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')) as CpuProfile)
    .sort((a, b) => b.samples.length - a.samples.length);
  const profile = profiles[0];
  if (profile === undefined) return `no profile was written to ${folder}`;

  const frames = new Map(profile.nodes.map(({ id, callFrame }) => [id, callFrame]));
  const functions = new Map<string, number>();
  const parts = new Map<string, number>();
  let busy = 0;
  let left = profile.timeDeltas.reduce((sum, spent) => sum + spent, 0);
  profile.samples.forEach((id, i) => {
    const frame = frames.get(id);
    const spent = profile.timeDeltas[i] ?? 0;
    left -= spent;
    if (left > seconds * 1e6 || frame === undefined || IDLE.has(frame.functionName)) return;
    busy += spent;
    add(functions, `${frame.functionName || '(anonymous)'} ${placeOf(frame.url, frame.lineNumber)}`, spent);
    add(parts, partOf(frame.functionName, frame.url), spent);
  });
  return `${shares(parts, busy)}\n\n${shares(functions, busy)}`;
}

/** The most frequent first, as percent of all. */
export function shares(counted: ReadonlyMap<string, number>, all: number): string {
  return [...counted]
    .sort(([, a], [, b]) => b - a)
    .slice(0, SHOWN)
    .map(([name, spent]) => `${((100 * spent) / all).toFixed(1).padStart(5)} %  ${name}`)
    .join('\n');
}

export function add(to: Map<string, number>, name: string, n: number): void {
  to.set(name, (to.get(name) ?? 0) + n);
}

/** A package, a folder of ours, Node's own JavaScript, or what has no source: system calls and the collector. */
function partOf(functionName: string, url: string): string {
  if (url === '') return functionName === '(garbage collector)' ? functionName : 'native: sockets, texts, crypto';
  if (url.startsWith('node:')) return "node's own";
  const path = url.replaceAll(sep, '/');
  const inPackage = /node_modules\/((?:@[^/]+\/)?[^/]+)(?!.*node_modules)/.exec(path)?.[1];
  return inPackage ?? path.split('/').slice(-3, -1).join('/');
}

/** The last three parts of the path, and the line. */
function placeOf(url: string, line: number): string {
  return url === '' ? '' : `${url.replaceAll(sep, '/').split('/').slice(-3).join('/')}:${line + 1}`;
}
