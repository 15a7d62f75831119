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

export type Gathering<K> = {
  /** How much of a statement a key takes; 1 when absent. */
  readonly weightOf?: (key: K) => number;
  readonly maxInFlight?: number;
};

/**
 * @param ask answers for each key, in their order
 * @param atMost weight of the keys that are asked together; a key that is heavier goes alone
 */
export function gathered<K, V>(
  ask: (keys: readonly K[]) => Promise<readonly V[]>,
  atMost: number,
  { weightOf = () => 1, maxInFlight = MAX_IN_FLIGHT }: Gathering<K> = {},
): (key: K) => Promise<V> {
  let waiting: Waiting<K, V>[] = [];
  let inFlight = 0;

  const nextCount = (): number => {
    let weight = 0;
    const end = waiting.findIndex(({ key }) => {
      weight += weightOf(key);
      return weight > atMost;
    });
    return end < 0 ? waiting.length : Math.max(1, end);
  };

  const pump = (): void => {
    while (inFlight < maxInFlight && waiting.length > 0) {
      const count = nextCount();
      const batch = waiting.slice(0, count);
      waiting = waiting.slice(count);
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
