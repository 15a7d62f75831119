/** CPU seconds and memory of process trees, and of the whole machine, from /proc (Linux only). */
import { readdirSync, readFileSync } from 'node:fs';

const HZ = 100; // USER_HZ, fixed at 100 on the Linux ABIs that Node supports

type ProcessTimes = {
  readonly pid: number;
  readonly parent: number;
  /** Its own CPU seconds, and those of the children it has waited for. */
  readonly cpuSeconds: number;
};

/** A running process, or nothing when it ended while we looked. */
function timesOf(pid: string): ProcessTimes | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined;
  }
  // proc(5): after the command name in parentheses comes field 3; parent is field 4, utime to cstime are 14 to 17.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const ticks = [11, 12, 13, 14].reduce((sum, i) => sum + Number(fields[i]), 0);
  return { pid: Number(pid), parent: Number(fields[1]), cpuSeconds: ticks / HZ };
}

function processes(): ProcessTimes[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(timesOf)
    .filter((p) => p !== undefined);
}

function treeOf(root: number, all: readonly ProcessTimes[], without?: number): ProcessTimes[] {
  const tree = all.filter((p) => p.pid === root);
  for (const parent of tree) {
    tree.push(...all.filter((p) => p.parent === parent.pid && p.pid !== without && !tree.includes(p)));
  }
  return tree;
}

/** CPU seconds so far of a process and its descendants, except the tree below `without`. */
export function treeCpuSeconds(root: number, without?: number): number {
  return treeOf(root, processes(), without).reduce((sum, p) => sum + p.cpuSeconds, 0);
}

/** Resident memory of a process and its descendants, except the tree below `without`, in MiB. */
export function treeMemoryMiB(root: number, without?: number): number {
  let kib = 0;
  for (const { pid } of treeOf(root, processes(), without)) {
    const match = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
    kib += Number(match?.[1] ?? 0);
  }
  return kib / 1024;
}

/** Total and idle CPU seconds of the machine so far. */
export function machineCpu(): { readonly total: number; readonly idle: number } {
  const fields =
    readFileSync('/proc/stat', 'utf8').split('\n', 1)[0]?.trim().split(/\s+/).slice(1, 9).map(Number) ?? [];
  const total = fields.reduce((a, b) => a + b, 0) / HZ;
  return { total, idle: ((fields[3] ?? 0) + (fields[4] ?? 0)) / HZ };
}
