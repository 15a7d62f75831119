/**
 * An EHR of another house on loopback: it stores what it is sent, keeps a ledger of every request, and fails on demand.
 * It shares no code with the service.
 */
import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export type Json = Record<string, unknown>;

export type LedgerEntry = {
  readonly method: string;
  readonly path: string;
  readonly type: string;
  readonly effect: 'created' | 'updated' | 'matched' | 'read' | 'searched' | 'refused' | 'dropped';
  /** Values of the identifiers and codes of the tags in the body. */
  readonly identifiers: readonly string[];
  readonly remoteId?: string;
  readonly headers: IncomingMessage['headers'];
  readonly body?: Json;
};

/** `drop-request`: nothing is processed. `drop-answer`: processed, then the connection breaks. */
export type Fault =
  | 'drop-request'
  | 'drop-answer'
  | 'store-then-500'
  | 'hang'
  /** Processed; the answer never comes. */
  | 'store-then-hang'
  | { readonly status: number; readonly headers?: Record<string, string>; readonly body?: string }
  /** Processed; the answer is what is given here. */
  | {
      readonly answerWith: {
        readonly status: number;
        readonly headers?: Record<string, string>;
        readonly body: string;
      };
    };

export type EhrOptions = {
  /** Decides on the fate of a request; undefined is a good day. */
  fault?: (request: { method: string; type: string; path: string; nth: number; body?: Json }) => Fault | undefined;
  /** A created resource appears in searches so much later. */
  searchLagMs?: number;
  /** If-None-Exist is ignored. */
  noConditionalCreate?: boolean;
  /** Search parameters are ignored: everything is answered. */
  ignoresSearch?: boolean;
  /** No representation in answers to writes. */
  minimal?: boolean;
  /** HTTP Basic is asked for, with this password. */
  password?: string;
  /** Time to answer. */
  delayMs?: number;
};

type Stored = { resource: Json; version: number; visibleAt: number };

export type EhrStandIn = {
  readonly baseUrl: string;
  readonly ledger: LedgerEntry[];
  options: EhrOptions;
  stored(type: string): Json[];
  /** Registers a resource as the EHR's own staff would. */
  register(resource: Json): Json;
  edit(type: string, id: string, change: (resource: Json) => Json): void;
  creates(): LedgerEntry[];
  close(): Promise<void>;
};

export async function startEhrStandIn(options: EhrOptions = {}): Promise<EhrStandIn> {
  const store = new Map<string, Stored>();
  const ledger: LedgerEntry[] = [];
  let nth = 0;
  const save = (resource: Json, version: number, lagMs: number): Json => {
    const meta = {
      ...(resource.meta as Json | undefined),
      versionId: String(version),
      lastUpdated: new Date().toISOString(),
    };
    const saved = { ...resource, meta };
    const key = `${resource.resourceType}/${resource.id}`;
    const visibleAt = store.get(key)?.visibleAt ?? Date.now() + lagMs;
    store.set(key, { resource: saved, version, visibleAt });
    return saved;
  };
  const all = (type: string) => [...store.values()].filter((each) => each.resource.resourceType === type);
  const search = (type: string, query: URLSearchParams, indexed: boolean): Json[] => {
    const visible = all(type).filter((each) => !indexed || each.visibleAt <= Date.now());
    if (ehr.options.ignoresSearch === true) return visible.map((each) => each.resource);
    const wanted = query.get('identifier') ?? query.get('_tag');
    const name = query.has('identifier') ? 'identifier' : '_tag';
    return visible
      .map((each) => each.resource)
      .filter((resource) => wanted === null || matches(resource, name, wanted));
  };

  async function handle(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const url = new URL(req.url ?? '/', 'http://ehr');
    const [, , type = '', id] = url.pathname.split('/');
    const body = await bodyOf(req);
    const method = req.method ?? 'GET';
    const entry = (effect: LedgerEntry['effect'], remoteId?: unknown) =>
      ledger.push({
        method,
        path: `${url.pathname}${url.search}`,
        type,
        effect,
        identifiers: body === undefined ? [] : identifiersOf(body),
        ...(typeof remoteId === 'string' ? { remoteId } : {}),
        headers: req.headers,
        ...(body === undefined ? {} : { body }),
      });
    if (ehr.options.password !== undefined && passwordOf(req) !== ehr.options.password) {
      entry('refused');
      res.writeHead(401).end();
      return;
    }
    if (type === 'metadata') {
      res.writeHead(200, { 'content-type': 'application/fhir+json' }).end(JSON.stringify(CAPABILITIES));
      return;
    }
    nth += 1;
    const fault = ehr.options.fault?.({
      method,
      type,
      path: `${url.pathname}${url.search}`,
      nth,
      ...(body === undefined ? {} : { body }),
    });
    if (fault === 'drop-request') {
      entry('dropped');
      req.socket.destroy();
      return;
    }
    if (fault === 'hang') {
      entry('dropped');
      return;
    }
    if (typeof fault === 'object' && 'status' in fault) {
      entry('refused');
      res.writeHead(fault.status, { 'content-type': 'application/fhir+json', ...fault.headers }).end(fault.body ?? '');
      return;
    }
    const [status, resource] = process(method, type, id, url, req, body, entry);
    if (ehr.options.delayMs !== undefined) await new Promise((resolve) => setTimeout(resolve, ehr.options.delayMs));
    if (fault === 'store-then-hang') return;
    if (fault === 'drop-answer') {
      req.socket.destroy();
      return;
    }
    if (fault === 'store-then-500') {
      res.writeHead(500, { 'content-type': 'application/fhir+json' }).end(outcome('exception'));
      return;
    }
    if (typeof fault === 'object') {
      res.writeHead(fault.answerWith.status, fault.answerWith.headers).end(fault.answerWith.body);
      return;
    }
    const headers: Record<string, string> = { 'content-type': 'application/fhir+json' };
    const version = (resource.meta as Json | undefined)?.versionId;
    if (version !== undefined && status < 400) {
      headers.etag = `W/"${String(version)}"`;
      headers.location = `${ehr.baseUrl}/${type}/${String(resource.id)}/_history/${String(version)}`;
    }
    const quiet = ehr.options.minimal === true && method !== 'GET' && status < 400;
    res.writeHead(status, headers).end(quiet ? '' : JSON.stringify(resource));
  }

  function process(
    method: string,
    type: string,
    id: string | undefined,
    url: URL,
    req: IncomingMessage,
    body: Json | undefined,
    entry: (effect: LedgerEntry['effect'], remoteId?: unknown) => void,
  ): [number, Json] {
    const lag = ehr.options.searchLagMs ?? 0;
    if (method === 'GET' && id === undefined) {
      entry('searched');
      const found = search(type, url.searchParams, true);
      return [
        200,
        {
          resourceType: 'Bundle',
          type: 'searchset',
          total: found.length,
          entry: found.map((resource) => ({ resource })),
        },
      ];
    }
    if (method === 'GET') {
      entry('read', id);
      const stored = store.get(`${type}/${id}`);
      return stored === undefined ? [404, JSON.parse(outcome('not-found')) as Json] : [200, stored.resource];
    }
    if (body === undefined) return [400, JSON.parse(outcome('structure')) as Json];
    if (method === 'POST') {
      const condition = req.headers['if-none-exist'];
      if (typeof condition === 'string' && ehr.options.noConditionalCreate !== true) {
        const found = search(type, new URLSearchParams(condition), false);
        if (found.length > 1) {
          entry('refused');
          return [412, JSON.parse(outcome('duplicate')) as Json];
        }
        if (found[0] !== undefined) {
          entry('matched', found[0].id);
          return [200, found[0]];
        }
      }
      const created = save({ ...body, id: randomUUID() }, 1, lag);
      entry('created', created.id);
      return [201, created];
    }
    let key = id;
    if (key === undefined) {
      const found = search(type, url.searchParams, false);
      if (found.length > 1) {
        entry('refused');
        return [412, JSON.parse(outcome('duplicate')) as Json];
      }
      key = found[0] === undefined ? undefined : String(found[0].id);
    }
    const stored = key === undefined ? undefined : store.get(`${type}/${key}`);
    if (stored === undefined) {
      if (id !== undefined && body.id !== id) {
        entry('refused');
        return [404, JSON.parse(outcome('not-found')) as Json];
      }
      const created = save({ ...body, id: id ?? randomUUID() }, 1, lag);
      entry('created', created.id);
      return [201, created];
    }
    const ifMatch = req.headers['if-match'];
    if (ifMatch !== undefined && ifMatch !== `W/"${stored.version}"`) {
      entry('refused', key);
      return [412, JSON.parse(outcome('conflict')) as Json];
    }
    const updated = save({ ...body, id: String(stored.resource.id) }, stored.version + 1, lag);
    entry('updated', updated.id);
    return [200, updated];
  }

  const server = createServer((req, res) => void handle(req, res));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const ehr: EhrStandIn = {
    baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/fhir`,
    ledger,
    options,
    stored: (type) => all(type).map((each) => each.resource),
    register: (resource) => save({ id: randomUUID(), ...resource }, 1, 0),
    edit(type, id, change) {
      const stored = store.get(`${type}/${id}`);
      if (stored === undefined) throw new Error(`The EHR has no ${type}/${id}`);
      save(change(stored.resource), stored.version + 1, 0);
    },
    creates: () => ledger.filter((each) => each.effect === 'created'),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return ehr;
}

function matches(resource: Json, name: string, token: string): boolean {
  const bar = token.indexOf('|');
  const [system, value] = [token.slice(0, bar), token.slice(bar + 1)];
  if (name === '_tag') {
    const tags = ((resource.meta as Json | undefined)?.tag ?? []) as Json[];
    return tags.some((tag) => tag.system === system && tag.code === value);
  }
  return identifierList(resource).some((each) => each.system === system && each.value === value);
}

function identifierList(resource: Json): Json[] {
  return [resource.identifier, resource.masterIdentifier].flat().filter((each) => each !== undefined) as Json[];
}

function identifiersOf(resource: Json): string[] {
  const tags = ((resource.meta as Json | undefined)?.tag ?? []) as Json[];
  return [
    ...new Set([...identifierList(resource).map((each) => String(each.value)), ...tags.map((tag) => String(tag.code))]),
  ];
}

async function bodyOf(req: IncomingMessage): Promise<Json | undefined> {
  const chunks: Buffer[] = [];
  for await (const chunk of req) chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks).toString();
  return text.startsWith('{') ? (JSON.parse(text) as Json) : undefined;
}

function outcome(code: string): string {
  return JSON.stringify({ resourceType: 'OperationOutcome', issue: [{ severity: 'error', code }] });
}

function passwordOf(req: IncomingMessage): string | undefined {
  const basic = /^Basic (.+)$/.exec(req.headers.authorization ?? '')?.[1];
  return basic === undefined ? undefined : Buffer.from(basic, 'base64').toString().split(':')[1];
}

const CAPABILITIES = {
  resourceType: 'CapabilityStatement',
  fhirVersion: '4.0.1',
  rest: [{ mode: 'server', resource: [{ type: 'Encounter', interaction: [{ code: 'create' }] }] }],
};
