/**
 * The worker of one clinic: it takes wakes from the queue and delivers, and sweeps for lanes that nobody woke.
 *
 * Any number of workers may run, in any number of processes. What they are given (main.ts) decides where the record
 * and the queue live.
 */
import { hostname } from 'node:os';
import { createEhrClient, type HttpEhrClient } from '../src/ehr/client.ts';
import type { DeliveryStore, LaneFinder } from '../src/ehr/deliveries.ts';
import type { EhrTargetRevision } from '../src/ehr/target.ts';
import type { LaneLog, LaneOptions, LanePorts, ReachableTarget } from '../src/ehr/work.ts';
import { deliverLane } from './deliver-lane.ts';
import { openQueue, type QueueStore, type TakeOver } from './queue.ts';
import { createRelay } from './relay.ts';
import { type OnlyOne, startSweeper } from './sweeper.ts';

export type RelayParts = {
  readonly clinic: string;
  readonly queue: QueueStore;
  readonly lanes: LaneFinder;
  readonly log: LaneLog;
};

export type WorkerParts = RelayParts & {
  /** Our FHIR base, without a trailing slash. */
  readonly ownBase: string;
  readonly deliveries: DeliveryStore;
  readonly targets: { revision(targetId: string, revision: number): Promise<EhrTargetRevision> };
  readonly onlyOne: OnlyOne;
  /** Lanes worked on at once by this process; 8 when absent. */
  readonly concurrency?: number;
  readonly sweep?: { readonly fromMs: number; readonly toMs: number };
  readonly lane?: Partial<LaneOptions>;
  readonly takeOver?: TakeOver;
};

export type Waker = {
  /** After a commit: wakes what it made due. Never throws and never waits. */
  wake(): void;
  close(): Promise<void>;
};

/** BullMQ's words name jobs and keys, which carry lane ids only. */
function onQueueError(log: LaneLog): (error: Error) => void {
  return (error) => log.warn({ error: error.message }, 'the wake queue reports a failure; the sweeper makes up for it');
}

/** For a process without a worker: puts wakes into the queue after its commits. */
export async function startRelay({ clinic, queue: store, lanes, log }: RelayParts): Promise<Waker> {
  const queue = await openQueue(clinic, store, onQueueError(log));
  const relay = createRelay(lanes, queue, log);
  return {
    wake: () => relay.wake(),
    async close() {
      await relay.close();
      await queue.close();
    },
  };
}

/** Resolves when the worker takes wakes. @throws Failure `transient` when the queue's store does not answer */
export async function startWorker(parts: WorkerParts): Promise<Waker> {
  const { clinic, lanes, log } = parts;
  const queue = await openQueue(clinic, parts.queue, onQueueError(log));
  const relay = createRelay(lanes, queue, log);
  const targets = reachableTargets(parts.targets);
  const ports: LanePorts = {
    deliveries: parts.deliveries,
    target: targets.get,
    ownBase: parts.ownBase,
    clinic,
    worker: `${hostname()}:${process.pid}`,
    log,
  };
  let stopping = false;
  const options: Partial<LaneOptions> = { ...parts.lane, stopping: () => stopping };
  const handle = (laneId: string) => deliverLane(laneId, ports, options, queue, relay);
  const consumer = await queue.consume(handle, parts.concurrency ?? 8, parts.takeOver);
  const sweeper = startSweeper(relay, lanes, parts.onlyOne, log, parts.sweep);
  relay.wake();
  return {
    wake: () => relay.wake(),
    async close() {
      stopping = true;
      await sweeper.close();
      await relay.close();
      await consumer.close();
      await queue.close();
      await targets.close();
    },
  };
}

/** One client for each revision, for as long as the worker lives: revisions are immutable. */
function reachableTargets(store: WorkerParts['targets']): {
  get(targetId: string, revision: number): Promise<ReachableTarget>;
  close(): Promise<void>;
} {
  const known = new Map<string, Promise<ReachableTarget & { client: HttpEhrClient }>>();
  return {
    get(targetId, revision) {
      const key = `${targetId}@${revision}`;
      let target = known.get(key);
      if (target === undefined) {
        target = store
          .revision(targetId, revision)
          .then((found) => ({ revision: found, client: createEhrClient(found) }));
        known.set(key, target);
        target.catch(() => known.delete(key));
      }
      return target;
    },
    async close() {
      const opened = await Promise.allSettled(known.values());
      await Promise.all(opened.map((each) => (each.status === 'fulfilled' ? each.value.client.close() : undefined)));
    },
  };
}
