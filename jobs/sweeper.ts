/**
 * Every few seconds the lanes that are due are searched and woken, whatever was lost: a wake, a job, all of Redis.
 *
 * A plain timer and no job scheduler: a wiped store would wipe the schedule with the jobs. Of all processes one sweeps
 * at a time.
 */
import type { LaneFinder } from '../src/ehr/deliveries.ts';
import type { LaneLog } from '../src/ehr/work.ts';
import { nameOf, type Relay } from './relay.ts';

/** Runs the work unless another process does at this moment. Says whether it ran. */
export type OnlyOne = (work: () => Promise<void>) => Promise<boolean>;

export type Sweeper = { close(): Promise<void> };

export function startSweeper(
  relay: Relay,
  lanes: LaneFinder,
  onlyOne: OnlyOne,
  log: LaneLog,
  { fromMs = 2_000, toMs = 5_000 } = {},
): Sweeper {
  let closed = false;
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> | undefined;

  async function sweep(): Promise<void> {
    try {
      await onlyOne(async () => {
        const released = await lanes.releaseCorrected();
        if (released > 0) log.info({ lanes: released }, 'lanes are looked at again: their patients changed');
        await relay.run();
      });
    } catch (error) {
      log.warn({ error: nameOf(error) }, 'the sweep failed; the next one tries again');
    }
  }

  // Not in step with other processes, so that the lock is rarely contended.
  function next(): void {
    if (closed) return;
    timer = setTimeout(
      () => {
        running = sweep().finally(next);
      },
      fromMs + Math.random() * (toMs - fromMs),
    );
  }
  next();

  return {
    async close() {
      closed = true;
      clearTimeout(timer);
      await running;
    },
  };
}
