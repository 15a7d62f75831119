/**
 * Requests that arrive together are asked together: one statement for many keys costs little more than for one, and
 * far fewer trips between the processes. Nothing waits for company: the first key goes at once, and what comes while
 * two statements are under way goes with the next.
 */
const MAX_IN_FLIGHT = 2;

type Waiting<K, V> = {
  readonly key: K;
  readonly resolve: (value: V) => void;
  readonly reject: (error: unknown) => void;
};

/**
 * @param ask answers for each key, in their order
 * @param atMost keys that are asked together
 */
export function gathered<K, V>(
  ask: (keys: readonly K[]) => Promise<readonly V[]>,
  atMost: number,
): (key: K) => Promise<V> {
  let waiting: Waiting<K, V>[] = [];
  let inFlight = 0;

  const pump = (): void => {
    while (inFlight < MAX_IN_FLIGHT && waiting.length > 0) {
      const batch = waiting.slice(0, atMost);
      waiting = waiting.slice(atMost);
      inFlight += 1;
      void ask(batch.map(({ key }) => key))
        .then(
          (values) => {
            for (const [i, { resolve }] of batch.entries()) resolve(values[i] as V);
          },
          (error: unknown) => {
            for (const { reject } of batch) reject(error);
          },
        )
        .finally(() => {
          inFlight -= 1;
          pump();
        });
    }
  };

  return (key) =>
    new Promise((resolve, reject) => {
      waiting.push({ key, resolve, reject });
      // After the current turn, so that what arrived in one packet is asked for in one statement.
      if (waiting.length === 1) setImmediate(pump);
    });
}
