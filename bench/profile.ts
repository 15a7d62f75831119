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

/** The functions with the most time of their own, of the longest profile in the folder, as a table. */
export function costliest(folder: string): string {
  const profiles = readdirSync(folder)
    .filter((name) => name.endsWith('.cpuprofile'))
    .map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')) as CpuProfile)
    .sort((a, b) => b.samples.length - a.samples.length);
  const profile = profiles[0];
  if (profile === undefined) return `no profile was written to ${folder}`;

  const frames = new Map(profile.nodes.map(({ id, callFrame }) => [id, callFrame]));
  const microseconds = new Map<string, number>();
  let busy = 0;
  profile.samples.forEach((id, i) => {
    const frame = frames.get(id);
    const spent = profile.timeDeltas[i] ?? 0;
    if (frame === undefined || IDLE.has(frame.functionName)) return;
    busy += spent;
    const name = `${frame.functionName || '(anonymous)'} ${placeOf(frame.url, frame.lineNumber)}`;
    microseconds.set(name, (microseconds.get(name) ?? 0) + spent);
  });
  return [...microseconds]
    .sort(([, a], [, b]) => b - a)
    .slice(0, SHOWN)
    .map(([name, spent]) => `${((100 * spent) / busy).toFixed(1).padStart(5)} %  ${name}`)
    .join('\n');
}

/** The last three parts of the path, and the line. */
function placeOf(url: string, line: number): string {
  return url === '' ? '' : `${url.replaceAll(sep, '/').split('/').slice(-3).join('/')}:${line + 1}`;
}
