/**
 * The relay puts the ids of due lanes into the queue: after commits of this process, and whenever a lane was freed.
 *
 * Wakes gather: however many commits ask, one search runs at a time, and the next begins no sooner than twice the
 * time the last one took. Nothing depends on a wake: the sweeper makes the same search every few seconds.
 */
import type { LaneFinder } from '../src/ehr/deliveries.ts';
import type { LaneLog } from '../src/ehr/work.ts';
import type { WakeQueue } from './queue.ts';

export type Relay = {
  /** Asks for a search soon. Returns at once and never throws: a commit must not feel the queue. */
  wake(): void;
  /** One search, now. @returns how many lanes were woken */
  run(): Promise<number>;
  close(): Promise<void>;
};

const MAX_LANES = 500;
const MIN_GAP_MS = 20;

export function createRelay(lanes: LaneFinder, queue: WakeQueue, log: LaneLog): Relay {
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<unknown> | undefined;
  let asked = false;
  let closed = false;
  let gapMs = MIN_GAP_MS;

  async function run(): Promise<number> {
    const due = await lanes.due(MAX_LANES);
    await queue.wake(due);
    return due.length;
  }

  async function runLogged(): Promise<void> {
    const started = performance.now();
    try {
      await run();
    } catch (error) {
      log.warn({ error: nameOf(error) }, 'lanes could not be woken; the sweeper tries again');
    }
    gapMs = Math.max(MIN_GAP_MS, 2 * (performance.now() - started));
  }

  function schedule(): void {
    if (timer !== undefined || running !== undefined || closed) return;
    timer = setTimeout(() => {
      timer = undefined;
      asked = false;
      running = runLogged().finally(() => {
        running = undefined;
        if (asked) schedule();
      });
    }, gapMs);
  }

  return {
    wake() {
      asked = true;
      schedule();
    },
    run,
    async close() {
      closed = true;
      clearTimeout(timer);
      await running;
    },
  };
}

/** A kind of error; its message may carry values. */
export function nameOf(error: unknown): string {
  if (!(error instanceof Error)) return typeof error;
  return 'code' in error && typeof error.code === 'string' ? `${error.name} ${error.code}` : error.name;
}
