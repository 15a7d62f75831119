/**
 * The job of one wake: work on the lane, and see that whatever is left is woken again.
 *
 * It returns normally whatever happened: retries live in PostgreSQL, so a failed job would be a bug and not a retry.
 */
import type { LaneId } from '../src/ehr/deliveries.ts';
import { type LaneOutcome, workLane } from '../src/ehr/lane.ts';
import type { LaneOptions, LanePorts } from '../src/ehr/work.ts';
import type { WakeQueue } from './queue.ts';
import { nameOf, type Relay } from './relay.ts';

/** A lane that another worker has may get its next delivery just as that one finishes. */
const LEASED_AGAIN_MS = 3_000;

export async function deliverLane(
  laneId: LaneId,
  ports: LanePorts,
  options: Partial<LaneOptions>,
  queue: WakeQueue,
  relay: Relay,
): Promise<void> {
  try {
    const outcome = await workLane(laneId, ports, options);
    await wakeWhatIsLeft(outcome, laneId, queue, relay);
  } catch (error) {
    // The lease runs out or was released; the sweeper wakes the lane again.
    ports.log.error({ laneId, error: nameOf(error) }, 'a lane could not be worked on');
  }
}

async function wakeWhatIsLeft(outcome: LaneOutcome, laneId: LaneId, queue: WakeQueue, relay: Relay): Promise<void> {
  switch (outcome) {
    case 'more':
      await queue.wake([laneId]);
      return;
    case 'leased':
      await queue.wakeLater(laneId, LEASED_AGAIN_MS);
      return;
    case 'drained':
    case 'waiting':
    case 'held':
      // A place at the target is free again.
      relay.wake();
      return;
    case 'saturated':
    case 'closed':
    case 'absent':
    case 'lost':
      return;
  }
}
