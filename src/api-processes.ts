/**
 * Several API processes on one port (WORKERS=n).
 *
 * The process that was started is the parent: it owns the embedded PostgreSQL and the background work, and hands each
 * new connection to the next child (node:cluster). A child serves HTTP and nothing else. What is told between them:
 *
 * parent -> child  start (its settings), state (how many serve), metrics (give yours), answer (those of all), stop
 * child -> parent  serving, refused (it cannot start), metrics, ask (for those of all)
 *
 * A child that ends unasked is logged and started again, after a pause that grows while it does not hold out. A child
 * whose parent is gone ends (node:cluster sees to that), so that none is left on the port.
 */
import cluster, { type Worker } from 'node:cluster';
import { once } from 'node:events';
import { extname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { Failure, type Issue, issue } from './fhir/failure.ts';
import { type MetricValues, metricsText } from './http/metrics.ts';

/** What a child is told. `config` is what the parent gave, as JSON. */
type ToChild<C> =
  | { readonly kind: 'start'; readonly config: C }
  | { readonly kind: 'state'; readonly serving: number; readonly wanted: number }
  | { readonly kind: 'metrics'; readonly ask: number }
  | { readonly kind: 'answer'; readonly ask: number; readonly text: string }
  | { readonly kind: 'stop' };

type ToParent =
  | { readonly kind: 'serving' }
  | { readonly kind: 'refused'; readonly code: Failure['code']; readonly issues: readonly Issue[] }
  | { readonly kind: 'metrics'; readonly ask: number; readonly values: MetricValues }
  | { readonly kind: 'ask'; readonly ask: number };

// ---- the parent

export type ApiProcessesOptions<C> = {
  readonly count: number;
  /** Of each child; goes through JSON. */
  readonly config: C;
  readonly logger: Logger;
  /** The parent's own part of what /metrics shows. */
  readonly ownMetrics: () => Promise<MetricValues>;
};

export type ApiProcesses = {
  /** Lets every child answer what it has begun, and waits until the last has ended. */
  close(): Promise<void>;
};

const STOP_WITHIN_MS = 20_000; // more than the 5 s in which a child lets requests end, and closing its connections
const METRICS_WITHIN_MS = 2_000;
const HELD_OUT_MS = 10_000;
const LONGEST_PAUSE_MS = 5_000;

/** Resolves when all serve. @throws Failure what the first child that cannot start says; none is left then */
export async function startApiProcesses<C>(options: ApiProcessesOptions<C>): Promise<ApiProcesses> {
  const processes = new Processes(options);
  try {
    await processes.start();
  } catch (error) {
    await processes.close();
    throw error;
  }
  return processes;
}

class Processes<C> implements ApiProcesses {
  readonly #options: ApiProcessesOptions<C>;
  readonly #serving = new Set<Worker>();
  readonly #living = new Set<Worker>();
  readonly #asked = new Map<number, (worker: Worker, values: MetricValues) => void>();
  #asks = 0;
  #pauseMs = 0;
  #stopping = false;

  constructor(options: ApiProcessesOptions<C>) {
    this.#options = options;
  }

  async start(): Promise<void> {
    cluster.setupPrimary({ exec: join(import.meta.dirname, `api-process${extname(import.meta.filename)}`), args: [] });
    await Promise.all(Array.from({ length: this.#options.count }, () => this.#startOne()));
  }

  async close(): Promise<void> {
    this.#stopping = true;
    const ended = [...this.#living].map(async (worker) => {
      const gone = once(worker.process, 'exit');
      tell(worker, { kind: 'stop' });
      const timer = setTimeout(() => worker.process.kill('SIGKILL'), STOP_WITHIN_MS);
      await gone;
      clearTimeout(timer);
    });
    await Promise.all(ended);
  }

  /** Resolves when it serves. @throws Failure when it cannot start */
  #startOne(): Promise<void> {
    const worker = cluster.fork();
    const startedAt = performance.now();
    this.#living.add(worker);
    return new Promise((resolve, reject) => {
      worker.on('message', (message: ToParent) => {
        if (message.kind === 'serving') {
          this.#serving.add(worker);
          this.#tellState();
          resolve();
        } else if (message.kind === 'refused') reject(new Failure(message.code, message.issues));
        else if (message.kind === 'metrics') this.#asked.get(message.ask)?.(worker, message.values);
        else void this.#metricsOfAll().then((text) => tell(worker, { kind: 'answer', ask: message.ask, text }));
      });
      worker.on('error', (error: Error) => this.#options.logger.warn({ error: error.name }, 'an API process'));
      worker.once('exit', (code: number | null, signal: string | null) => {
        this.#living.delete(worker);
        const served = this.#serving.delete(worker);
        this.#tellState();
        reject(endedEarly()); // the refusal that it told before comes first
        if (served && !this.#stopping) void this.#startAgain(worker, { code, signal }, performance.now() - startedAt);
      });
      tell(worker, { kind: 'start', config: this.#options.config });
    });
  }

  /** Until one serves again, or the service stops. */
  async #startAgain(
    ended: Worker,
    how: { code: number | null; signal: string | null },
    livedMs: number,
  ): Promise<void> {
    const { logger } = this.#options;
    logger.error({ child: ended.process.pid, ...how }, 'an API process ended; another one is started');
    if (livedMs > HELD_OUT_MS) this.#pauseMs = 0;
    while (!this.#stopping) {
      if (this.#pauseMs > 0) await sleep(this.#pauseMs);
      this.#pauseMs = Math.min(LONGEST_PAUSE_MS, Math.max(100, 2 * this.#pauseMs));
      if (this.#stopping) return;
      const failure = await this.#startOne().catch((error: Error) => error);
      if (failure === undefined) return;
      // Only a Failure's words are sure to name nobody.
      const error = failure instanceof Failure ? failure.message : failure.name;
      logger.error({ error }, 'an API process did not start');
    }
  }

  #tellState(): void {
    const state = { kind: 'state', serving: this.#serving.size, wanted: this.#options.count } as const;
    for (const worker of this.#living) tell(worker, state);
  }

  /** Those of a child that does not answer in time are left out. */
  async #metricsOfAll(): Promise<string> {
    const ask = ++this.#asks;
    const waited = new Set(this.#serving);
    const values: MetricValues[] = [];
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, METRICS_WITHIN_MS);
      this.#asked.set(ask, (worker, given) => {
        if (!waited.delete(worker)) return;
        values.push(given);
        if (waited.size > 0) return;
        clearTimeout(timer);
        resolve();
      });
      for (const worker of waited) tell(worker, { kind: 'metrics', ask });
    });
    this.#asked.delete(ask);
    return metricsText([...values, await this.#options.ownMetrics()]);
  }
}

function endedEarly(): Failure {
  const diagnostics = 'An API process ended while it started; the log says why';
  return new Failure('transient', issue('transient', diagnostics));
}

function tell<C>(worker: Worker, message: ToChild<C>): void {
  // One that is ending hears nothing more; its 'exit' says the rest.
  if (worker.isConnected()) worker.send(message, () => undefined);
}

// ---- a child

/** What a child knows of the others. */
export type Siblings = {
  /** @throws Error while not all serve */
  requireAll(): Promise<void>;
  /** The metrics of all processes together, as text for Prometheus. */
  metricsText(): Promise<string>;
};

export type ApiProcess = { readonly ownMetrics: () => Promise<MetricValues>; close(): Promise<void> };

/** Lives as a child: starts what its parent says, and ends when its parent says so. */
export function liveAsApiProcess<C>(start: (config: C, siblings: Siblings) => Promise<ApiProcess>): void {
  let state = { serving: 0, wanted: 1 };
  let running: Promise<ApiProcess> | undefined;
  let asks = 0;
  const answers = new Map<number, (text: string) => void>();

  const siblings: Siblings = {
    async requireAll() {
      if (state.serving === state.wanted) return;
      throw Object.assign(new Error('not all API processes serve'), { code: `${state.serving} of ${state.wanted}` });
    },
    metricsText: () =>
      new Promise((resolve) => {
        asks += 1;
        answers.set(asks, resolve);
        report({ kind: 'ask', ask: asks });
      }),
  };

  const stop = async (): Promise<void> => {
    await running?.then((service) => service.close()).catch(() => undefined); // a failed start has told its reason
    process.exit(0);
  };

  process.on('message', (message: ToChild<C>) => {
    if (message.kind === 'start') {
      running = start(message.config, siblings);
      running.then(() => report({ kind: 'serving' }), refuse);
    } else if (message.kind === 'state') state = message;
    else if (message.kind === 'stop') void stop();
    else if (message.kind === 'answer') {
      answers.get(message.ask)?.(message.text);
      answers.delete(message.ask);
    } else {
      const { ask } = message;
      void running?.then(async ({ ownMetrics }) => report({ kind: 'metrics', ask, values: await ownMetrics() }));
    }
  });
  // A terminal signals the whole group; the parent then says when to stop.
  for (const signal of ['SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined);
  process.once('SIGTERM', () => void stop());
}

function refuse(error: unknown): void {
  if (!(error instanceof Failure)) throw error;
  report({ kind: 'refused', code: error.code, issues: error.issues }, () => process.exit(1));
}

function report(message: ToParent, sent: () => void = () => undefined): void {
  process.send?.(message, undefined, undefined, sent);
}
