/** Drives a FHIR base with the workload: 16 connections, each sending its next request when the last was answered. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Bundle, Resource } from '@medplum/fhirtypes';
import { Client } from 'undici';
import { INFUSIONS, infusionBundle, intakeBundle, rng, sessionStart, therapyBundle } from './kap-data.ts';
import {
  type LoadRequest,
  resourcesPerRequest,
  type ScenarioName,
  type SeededPatient,
  type SeededState,
  scenarios,
} from './scenarios.ts';

/** CPU seconds used so far, by name of what used them. */
export type CpuProbe = () => Record<string, number>;

export type LoadOptions = {
  /** Absolute, with no slash at the end. */
  readonly base: string;
  /** Absent for a server that asks for none. */
  readonly token?: string;
  readonly connections: number;
  readonly warmupSeconds: number;
  readonly durationSeconds: number;
  readonly cpu: CpuProbe;
};

export type Measurement = {
  readonly scenario: string;
  readonly requests: number;
  readonly requestsPerSecond: number;
  readonly resourcesPerSecond?: number;
  /** Milliseconds. */
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly cpuMsPerRequest: Record<string, number>;
  /** Answers that were not what was asked for, of `checked` that were read. */
  readonly wrong: number;
  readonly checked: number;
  /** The first few of them. */
  readonly complaints: readonly string[];
};

const SEED = '1';
const CHECK_EVERY = 50;

export class Load {
  readonly #options: LoadOptions;
  readonly #clients: Client[];
  readonly #basePath: string;
  readonly #headers: Record<string, string>;

  constructor(options: LoadOptions) {
    const url = new URL(options.base);
    this.#options = options;
    this.#basePath = url.pathname === '/' ? '' : url.pathname;
    this.#clients = Array.from(
      { length: options.connections },
      () => new Client(url.origin, { pipelining: 1, keepAliveTimeout: 60_000, headersTimeout: 120_000 }),
    );
    this.#headers = {
      accept: 'application/fhir+json',
      ...(options.token === undefined ? {} : { authorization: `Bearer ${options.token}` }),
    };
  }

  async close(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.close()));
  }

  /**
   * Records the courses of patients, from number `from` to before `to`, as transactions.
   *
   * @throws Error at the first answer that is not a create
   */
  async seed(
    to: number,
    from = 0,
    progress?: (patients: number) => void,
  ): Promise<{ state: SeededState; measurement: Measurement; seconds: number }> {
    const seeded: SeededPatient[] = [];
    const latencies: number[] = [];
    let next = from;
    let resources = 0;
    const cpuBefore = this.#options.cpu();
    const startedAt = performance.now();
    const put = async (client: Client, bundle: Bundle) => {
      const sentAt = performance.now();
      const ids = await this.#postBundle(client, bundle);
      latencies.push(performance.now() - sentAt);
      resources += ids.length;
      return ids;
    };
    await Promise.all(
      this.#clients.map(async (client) => {
        for (let i = next++; i < to; i = next++) {
          seeded[i - from] = await seedCourse(i, (bundle) => put(client, bundle));
          progress?.(i + 1 - from);
        }
      }),
    );
    const seconds = (performance.now() - startedAt) / 1000;
    const measurement = measured(
      'seed',
      latencies,
      seconds,
      cpuBefore,
      this.#options.cpu(),
      resources / latencies.length,
    );
    return { state: { seed: SEED, patients: seeded }, measurement, seconds };
  }

  async run(name: ScenarioName, state: SeededState): Promise<Measurement> {
    const first = this.#clients[0] as Client;
    const next = await scenarios[name]({
      state,
      read: async (path) => JSON.parse(await this.#answer(first, get(path))),
    });
    return this.#measure(name, next, resourcesPerRequest[name]);
  }

  /** Path of the next page, when there is one. */
  async next(path: string): Promise<string | undefined> {
    const page = JSON.parse(await this.#answer(this.#clients[0] as Client, get(path))) as Bundle;
    return page.link?.find(({ relation }) => relation === 'next')?.url?.slice(this.#options.base.length + 1);
  }

  /** Milliseconds that half of the requests for each path take; the paths take turns, so that noise meets all alike. */
  async inTurns(paths: readonly string[], times: number): Promise<readonly number[]> {
    const client = this.#clients[0] as Client;
    const latencies = paths.map((): number[] => []);
    for (let i = 0; i < times; i++) {
      for (const [n, path] of paths.entries()) {
        const sentAt = performance.now();
        await this.#answer(client, get(path));
        latencies[n]?.push(performance.now() - sentAt);
      }
    }
    return latencies.map((each) => round(each.sort((a, b) => a - b)[Math.floor(times / 2)] as number));
  }

  /** One path again and again, for what the machine could do at best. */
  raw(name: string, path: string): Promise<Measurement> {
    return this.#measure(name, () => get(path), undefined);
  }

  async #measure(
    name: string,
    next: (r: ReturnType<typeof rng>, k: number, connections: number) => LoadRequest,
    resources: number | undefined,
  ): Promise<Measurement> {
    const latencies: number[] = [];
    const complaints: string[] = [];
    let wrong = 0;
    let checked = 0;
    let stopped = false;
    let from = Number.POSITIVE_INFINITY;
    let to = Number.POSITIVE_INFINITY;
    const complain = (complaint: string) => {
      wrong++;
      if (complaints.length < 3) complaints.push(complaint);
    };
    const running = this.#clients.map(async (client, k) => {
      const r = rng(SEED, name, k);
      for (let i = 0; !stopped; i++) {
        const request = next(r, k, this.#clients.length);
        const look = i < 3 || i % CHECK_EVERY === 0;
        const sentAt = performance.now();
        const answer = await this.#send(client, request, look).catch((error: unknown) => ({
          status: 0,
          text: String(error),
        }));
        const answeredAt = performance.now();
        const right =
          request.status === undefined ? answer.status >= 200 && answer.status < 300 : answer.status === request.status;
        if (!right) {
          complain(`${request.method} ${request.path} answered ${answer.status} ${answer.text?.slice(0, 400) ?? ''}`);
          if (answer.status === 0) await sleep(100);
        } else if (look) {
          checked++;
          const complaint = complaintAbout(request, answer.text ?? '');
          if (complaint !== undefined) complain(`${request.method} ${request.path}: ${complaint}`);
        }
        // Answers inside the window count, whenever they were asked for: unbiased even when one takes seconds.
        if (right && answeredAt >= from && answeredAt <= to) latencies.push(answeredAt - sentAt);
      }
    });
    await sleep(this.#options.warmupSeconds * 1000);
    const cpuBefore = this.#options.cpu();
    from = performance.now();
    await sleep(this.#options.durationSeconds * 1000);
    to = performance.now();
    const cpuAfter = this.#options.cpu();
    stopped = true;
    await Promise.all(running);
    return {
      ...measured(name, latencies, (to - from) / 1000, cpuBefore, cpuAfter, resources),
      wrong,
      checked,
      complaints,
    };
  }

  async #send(client: Client, request: LoadRequest, wantText: boolean): Promise<{ status: number; text?: string }> {
    const slash = request.path === '' ? '' : '/';
    const answer = await client.request({
      method: request.method,
      path: `${this.#basePath}${slash}${request.path}`,
      headers:
        request.body === undefined
          ? this.#headers
          : { ...this.#headers, 'content-type': 'application/fhir+json', prefer: 'return=representation' },
      ...(request.body === undefined ? {} : { body: request.body }),
    });
    if (wantText || answer.statusCode < 200 || answer.statusCode > 299) {
      return { status: answer.statusCode, text: await answer.body.text() };
    }
    await answer.body.dump({ limit: 1 << 30 });
    return { status: answer.statusCode };
  }

  async #answer(client: Client, request: LoadRequest): Promise<string> {
    const { status, text = '' } = await this.#send(client, request, true);
    if (status < 200 || status > 299) {
      throw new Error(`${request.method} ${request.path} answered ${status}: ${text.slice(0, 600)}`);
    }
    return text;
  }

  /** Ids of what the bundle created, in its order. */
  async #postBundle(client: Client, bundle: Bundle): Promise<string[]> {
    const text = await this.#answer(client, {
      method: 'POST',
      path: '',
      body: JSON.stringify(bundle),
      check: () => undefined,
    });
    const entries = (JSON.parse(text) as Bundle).entry ?? [];
    if (entries.length !== bundle.entry?.length) {
      throw new Error(`a transaction of ${bundle.entry?.length} entries was answered with ${entries.length}`);
    }
    return entries.map((e, i) => {
      const id = /(?:^|\/)[A-Z][A-Za-z]+\/([A-Za-z0-9.-]{1,64})(?:\/_history\/|$)/.exec(
        e.response?.location ?? '',
      )?.[1];
      if (id === undefined || !e.response?.status?.startsWith('201')) {
        throw new Error(`entry ${i} of a transaction answer was not a create: ${JSON.stringify(e.response)}`);
      }
      return id;
    });
  }
}

const get = (path: string): LoadRequest => ({ method: 'GET', path, check: () => undefined });

async function seedCourse(i: number, put: (bundle: Bundle) => Promise<string[]>): Promise<SeededPatient> {
  const [id = ''] = await put(intakeBundle(SEED, i));
  const patientRef = `Patient/${id}`;
  const infusions: SeededPatient['infusions'][number][] = [];
  for (let s = 0; s < INFUSIONS; s++) {
    const at = sessionStart(SEED, i, 'infusion', s);
    const ids = await put(infusionBundle(patientRef, at, rng(SEED, 'inf', i, s), s));
    infusions.push({ at, encounter: ids[0] as string, observations: ids.slice(3) });
    await put(therapyBundle(patientRef, sessionStart(SEED, i, 'therapy', s), rng(SEED, 'ther', i, s)));
  }
  return { id, infusions };
}

function complaintAbout(request: LoadRequest, text: string): string | undefined {
  let answer: Resource;
  try {
    answer = JSON.parse(text) as Resource;
  } catch {
    return `the answer is not JSON: ${text.slice(0, 200)}`;
  }
  return request.check(answer);
}

function measured(
  scenario: string,
  latencies: number[],
  seconds: number,
  cpuBefore: Record<string, number>,
  cpuAfter: Record<string, number>,
  resources: number | undefined,
): Measurement {
  const requests = latencies.length;
  latencies.sort((a, b) => a - b);
  const at = (share: number) => round(latencies[Math.min(requests - 1, Math.floor(share * requests))] ?? 0);
  const cpu = Object.entries(cpuAfter).map(([name, used]) => [
    name,
    round((1000 * (used - (cpuBefore[name] ?? 0))) / Math.max(1, requests)),
  ]);
  return {
    scenario,
    requests,
    requestsPerSecond: round(requests / seconds),
    ...(resources === undefined ? {} : { resourcesPerSecond: round((requests * resources) / seconds) }),
    p50: at(0.5),
    p95: at(0.95),
    p99: at(0.99),
    cpuMsPerRequest: Object.fromEntries(cpu),
    wrong: 0,
    checked: 0,
    complaints: [],
  };
}

export const round = (x: number) => Math.round(x * 100) / 100;
