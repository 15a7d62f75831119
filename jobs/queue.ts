/**
 * The wake queue: BullMQ carries lane ids and nothing else. It may lose everything it holds; the sweeper finds every
 * lane again by its state in PostgreSQL.
 *
 * Two stores, one behaviour: PostgreSQL by default, Redis where it is configured. A job means "look at this lane"; a
 * second one for the same lane merges with a waiting one, and follows an active one.
 */
import {
  createPostgresBackend,
  type JobsOptions,
  type PostgresConnectionOptions,
  Queue,
  Worker,
  withBackend,
} from 'bullmq';
import { Redis } from 'ioredis';
import { Failure, issue } from '../src/fhir/failure.ts';

/** A pg.Pool, described by what tells it apart: jobs know no driver. */
export type QueuePool = { connect(): Promise<object>; query(text: string): Promise<object>; end(): Promise<void> };

/** `pool`: on BullMQ's own schema, with at least two connections; whoever made it ends it. */
export type QueueStore =
  | { readonly kind: 'postgres'; readonly pool: QueuePool }
  | { readonly kind: 'redis'; readonly url: string };

/** How soon the wakes of a crashed worker are taken over. */
export type TakeOver = { readonly lockMs: number; readonly checkMs: number };

export type WakeQueue = {
  wake(laneIds: readonly string[]): Promise<void>;
  /** A wake of its own: it does not merge with one that waits. */
  wakeLater(laneId: string, delayMs: number): Promise<void>;
  /** Calls `handle` for each wake; a rejection of it is a bug and makes a failed job. */
  consume(handle: Handle, concurrency: number, takeOver?: TakeOver): Promise<Consumer>;
  close(): Promise<void>;
};

export type Handle = (laneId: string) => Promise<void>;
export type Consumer = { close(): Promise<void> };

/** Reports of the store that concern no job, e.g. a lost connection. */
export type OnQueueError = (error: Error) => void;

const JOB = 'deliver-lane';
const JOB_OPTIONS: JobsOptions = { removeOnComplete: true, removeOnFail: true, attempts: 1 };
const READY_MS = 15_000;
/** A lane steps back after 30 s; a request ends after 30 s at the latest. */
const CLOSE_MS = 35_000;

/** A crashed worker's wakes are taken over within about 10 s. */
const TAKE_OVER: TakeOver = { lockMs: 10_000, checkMs: 5_000 };

function workerOptions({ lockMs, checkMs }: TakeOver) {
  // A wake is harmless however often it stalls: poison is found in the attempts and not here.
  return { lockDuration: lockMs, stalledInterval: checkMs, maxStalledCount: 1_000, drainDelay: 5 };
}

type WakeData = { readonly laneId: string };

/**
 * Opens the queue of a clinic and waits until its store answers: BullMQ itself would stay silent for ever when the
 * store is down at this moment.
 *
 * @throws Failure `transient` when the store does not answer in 15 s, `invalid` when Redis may evict keys
 */
export async function openQueue(clinic: string, store: QueueStore, onError: OnQueueError): Promise<WakeQueue> {
  return store.kind === 'redis' ? openOnRedis(clinic, store.url, onError) : openOnPostgres(clinic, store.pool, onError);
}

function queueName(clinic: string): string {
  return `deliver-${clinic}`;
}

async function openOnPostgres(clinic: string, pool: QueuePool, onError: OnQueueError): Promise<WakeQueue> {
  // BullMQ describes the overloads of a pg.Pool more narrowly than @types/pg does.
  const connection = pool as unknown as Extract<PostgresConnectionOptions, { connect: unknown }>;
  const postgres = withBackend(createPostgresBackend);
  const name = queueName(clinic);
  const queue = new postgres.Queue<WakeData>(name, { connection, defaultJobOptions: JOB_OPTIONS });
  queue.on('error', onError);
  await ready(queue.waitUntilReady(), 'PostgreSQL');
  return wakeQueue(queue, async (handle, concurrency, takeOver) => {
    const worker = new postgres.Worker<WakeData>(name, (job) => handle(job.data.laneId), {
      connection,
      concurrency,
      ...workerOptions(takeOver),
    });
    worker.on('error', onError);
    await ready(worker.waitUntilReady(), 'PostgreSQL');
    return worker;
  });
}

async function openOnRedis(clinic: string, url: string, onError: OnQueueError): Promise<WakeQueue> {
  const name = queueName(clinic);
  // A producer must not wait in memory for a Redis that is away: its wake is dropped and the sweeper's comes later.
  const producer = new Redis(url, { maxRetriesPerRequest: 1, enableOfflineQueue: false, lazyConnect: true });
  producer.on('error', onError);
  await ready(producer.connect(), 'Redis').catch((error: unknown) => {
    producer.disconnect();
    throw error;
  });
  const policy = /maxmemory_policy:(\S+)/.exec(await producer.info('memory'))?.[1];
  if (policy !== undefined && policy !== 'noeviction') {
    producer.disconnect();
    throw new Failure(
      'invalid',
      issue('value', `Redis may evict keys (maxmemory-policy ${policy}): set maxmemory-policy noeviction`),
    );
  }
  const queue = new Queue<WakeData>(name, { connection: producer, defaultJobOptions: JOB_OPTIONS });
  queue.on('error', onError);
  await ready(queue.waitUntilReady(), 'Redis');
  const consumers: Redis[] = [];
  return wakeQueue(
    queue,
    async (handle, concurrency, takeOver) => {
      const connection = new Redis(url, { maxRetriesPerRequest: null });
      connection.on('error', onError);
      consumers.push(connection);
      const worker = new Worker<WakeData>(name, (job) => handle(job.data.laneId), {
        connection,
        concurrency,
        ...workerOptions(takeOver),
      });
      worker.on('error', onError);
      await ready(worker.waitUntilReady(), 'Redis');
      return worker;
    },
    async () => {
      for (const connection of [producer, ...consumers]) connection.disconnect();
    },
  );
}

type AnyQueue = {
  addBulk(jobs: { name: string; data: WakeData; opts: JobsOptions }[]): Promise<unknown>;
  add(name: string, data: WakeData, opts: JobsOptions): Promise<unknown>;
  close(): Promise<void>;
};
type AnyWorker = { close(): Promise<void> };

function wakeQueue(
  queue: AnyQueue,
  startWorker: (handle: Handle, concurrency: number, takeOver: TakeOver) => Promise<AnyWorker>,
  afterClose: () => Promise<void> = async () => undefined,
): WakeQueue {
  return {
    async wake(laneIds) {
      const jobs = laneIds.map((laneId) => ({
        name: JOB,
        data: { laneId },
        opts: { ...JOB_OPTIONS, deduplication: { id: laneId, keepLastIfActive: true } },
      }));
      if (jobs.length > 0) await queue.addBulk(jobs);
    },
    async wakeLater(laneId, delay) {
      await queue.add(JOB, { laneId }, { ...JOB_OPTIONS, delay });
    },
    async consume(handle, concurrency, takeOver = TAKE_OVER) {
      const worker = await startWorker(handle, concurrency, takeOver);
      return { close: () => withinMs(worker.close(), CLOSE_MS) };
    },
    async close() {
      await queue.close();
      await afterClose();
    },
  };
}

async function ready(waiting: Promise<unknown>, store: string): Promise<void> {
  const unavailable = (cause?: unknown) =>
    new Failure('transient', issue('transient', `The queue's store (${store}) does not answer`), { cause });
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(unavailable()), READY_MS);
  });
  try {
    await Promise.race([waiting, late]);
  } catch (cause) {
    throw cause instanceof Failure ? cause : unavailable(cause);
  } finally {
    clearTimeout(timer);
  }
}

/** Leases and stalled jobs do the rest for what does not end in time. */
async function withinMs(work: Promise<void>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([work, late]);
  clearTimeout(timer);
}
