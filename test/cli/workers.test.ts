import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { livePostmaster } from '../../src/postgres/embedded-process.ts';
import { freePort } from '../free-port.ts';
import { command, type Ended, ended, startCommand } from './command.ts';

const dataDir = mkdtempSync(join(tmpdir(), 'kap-bridge-workers-'));
const running: ChildProcess[] = [];

afterAll(async () => {
  for (const child of running) child.kill('SIGKILL');
  rmSync(dataDir, { recursive: true, force: true });
});

type Answer = { readonly status: number; readonly body: string };

/** On a connection of its own: the parent hands connections to its children in turn. */
async function ask(url: string, token?: string): Promise<Answer> {
  const agent = new Agent();
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  // A connection that is handed to a process in the moment it is killed is not answered by anybody.
  const sent = request(url, { agent, headers, signal: AbortSignal.timeout(3_000) }).end();
  const [response] = await once(sent, 'response');
  const body = await text(response);
  agent.destroy();
  return { status: response.statusCode, body };
}

async function untilReady(service: ChildProcess, port: string): Promise<void> {
  while (service.exitCode === null) {
    const answer = await ask(`http://127.0.0.1:${port}/readyz`).catch(() => undefined);
    if (answer?.status === 200) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`the service ended with ${service.exitCode}`);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Those below `parent` that run our entry of an API process. */
function apiProcesses(parent: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const isChild = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ')[1] === String(parent);
        return isChild && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('api-process');
      } catch {
        return false; // it ended while we looked
      }
    })
    .map(Number);
}

type Started = {
  readonly service: ChildProcess;
  readonly port: string;
  readonly base: string;
  readonly token: string;
  readonly end: Promise<Ended>;
};

async function start(): Promise<Started> {
  const port = String(await freePort());
  const environment = { KAP_DATA_DIR: dataDir, KAP_PORT: port, WORKERS: '2', KAP_LOG_LEVEL: 'debug' };
  const service = startCommand(['start', '--json'], environment);
  running.push(service);
  const end = ended(service); // reads its output: a full pipe would stop it
  await untilReady(service, port);
  const token = await command(['token', '--scope', 'system/*.cruds'], environment);
  return { service, port, base: `http://127.0.0.1:${port}`, token: token.out.trim(), end };
}

test('two processes serve one port as one service, and one that is killed is replaced', async () => {
  const { service, port, base, token, end } = await start();
  const children = apiProcesses(service.pid as number);
  expect(children).toHaveLength(2);

  // A page link made by one process is served by the other, and what one writes the other reads.
  const first = await ask(`${base}/fhir/PlanDefinition?_count=1`, token);
  expect(first.status).toBe(200);
  const links = (JSON.parse((await ask(`${base}/fhir/ActivityDefinition?_count=1`, token)).body) as Bundle).link;
  const next = links.find(({ relation }) => relation === 'next')?.url as string;
  const pages = await Promise.all([0, 1, 2, 3].map(() => ask(next, token)));
  expect(pages.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
  const entries = pages.map(({ body }) => JSON.stringify((JSON.parse(body) as Bundle).entry));
  expect(new Set(entries).size).toBe(1);

  // Metrics are those of all: each process has answered some of these requests, the sum is told by any.
  const { body: metrics } = await ask(`${base}/metrics`);
  const counted = [...metrics.matchAll(/^kap_http_request_seconds_count\{interaction="search-type".*\} (\d+)$/gm)];
  expect(counted.reduce((sum, [, count]) => sum + Number(count), 0)).toBe(6);

  process.kill(children[0] as number, 'SIGKILL');
  const replaced = () => apiProcesses(service.pid as number).filter((pid) => pid !== children[0]).length === 2;
  while (!replaced()) await new Promise((resolve) => setTimeout(resolve, 20));
  await untilReady(service, port);
  expect((await ask(next, token)).status).toBe(200);

  service.kill('SIGTERM');
  const { code, out, err } = await end;
  expect({ code, err }).toEqual({ code: 0, err: '' });
  expect(out).toContain('an API process ended');
  const served = out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { pid: number; interaction?: string });
  const serving = new Set(served.filter(({ interaction }) => interaction === 'search-type').map(({ pid }) => pid));
  expect(serving.size).toBeGreaterThanOrEqual(2);
  expect(livePostmaster(join(dataDir, 'postgres', 'data'))).toBeNull();
}, 60_000);

test('children of a parent that was killed do not stay on the port', async () => {
  const { service } = await start();
  const children = apiProcesses(service.pid as number);
  expect(children).toHaveLength(2);
  service.kill('SIGKILL');
  while (children.some(isAlive)) await new Promise((resolve) => setTimeout(resolve, 20));
  const next = await start();
  next.service.kill('SIGTERM');
  expect((await next.end).code).toBe(0);
}, 60_000);

test('a port in use is told as by one process, and no child is left', async () => {
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const address = taken.address();
  const port = String(typeof address === 'object' ? address?.port : 0);
  const { code, err } = await command(['start'], { KAP_DATA_DIR: dataDir, KAP_PORT: port, WORKERS: '2' });
  taken.close();
  expect(code).toBe(5);
  expect(err).toContain(`Port ${port} is in use`);
  expect(livePostmaster(join(dataDir, 'postgres', 'data'))).toBeNull();
}, 60_000);

type Bundle = { readonly link: readonly { relation: string; url: string }[]; readonly entry: readonly object[] };
