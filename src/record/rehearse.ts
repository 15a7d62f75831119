/** A write up to the moment before it writes: everything that would refuse it has its say, and nothing stays. */
import type { RecordParts } from './drafts.ts';
import type { WriteContext, WriteRequest } from './record.ts';
import type { RecordStore } from './store.ts';
import { write } from './write.ts';

/**
 * Its locks are held until then, as those of a write.
 *
 * @throws Failure as `write` would
 */
export async function rehearse(
  parts: RecordParts,
  requests: readonly WriteRequest[],
  context: WriteContext,
): Promise<void> {
  try {
    await write({ ...parts, store: stoppedBeforeWriting(parts.store), committed: () => undefined }, requests, context);
  } catch (error) {
    if (!(error instanceof Rehearsed)) throw error;
  }
}

/** Thrown where a write would begin; it rolls the transaction back. */
class Rehearsed extends Error {
  override readonly name = 'Rehearsed';
}

function stoppedBeforeWriting(store: RecordStore): RecordStore {
  return {
    ...store,
    // As if something had to be looked up: the transaction below looks at everything.
    writeStraight: async () => ({ inCourse: [] }),
    transaction: (work) =>
      store.transaction((unit) =>
        work({
          ...unit,
          write: async () => {
            throw new Rehearsed('nothing was wrong');
          },
        }),
      ),
  };
}
