/**
 * One HTTP/1.1 request to one origin, told apart precisely: did its first byte leave us, did an answer come, what was it.
 *
 * No redirect is followed and nothing is repeated here. A request that has not begun by its deadline is never begun:
 * after a long pause of this process (SIGSTOP, a laptop lid) another worker may hold the lane.
 */
import { BlockList, isIPv6 } from 'node:net';
import { buildConnector, type Dispatcher, Pool } from 'undici';
import type { Answer, AnswerContent } from './exchange.ts';

export type TransportOptions = {
  readonly connections: number;
  readonly connectTimeoutMs: number;
  /** Answers beyond this many bytes are cut and count as unreadable. */
  readonly maxAnswerBytes: number;
};

export type TransportRequest = {
  readonly method: 'GET' | 'POST' | 'PUT';
  /** Absolute, on this transport's origin. */
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
};

export type TransportResult =
  | { readonly outcome: 'answer'; readonly firstByteAt: Date; readonly answer: Answer }
  | { readonly outcome: 'no-answer'; readonly firstByteAt: Date | null; readonly reason: string };

export type Transport = {
  request(request: TransportRequest, notAfter: Date): Promise<TransportResult>;
  close(): Promise<void>;
};

const DEFAULTS: TransportOptions = { connections: 8, connectTimeoutMs: 5_000, maxAnswerBytes: 5 * 1024 * 1024 };

export function createTransport(origin: string, given: Partial<TransportOptions> = {}): Transport {
  const options = { ...DEFAULTS, ...given };
  const pool = new Pool(origin, {
    connections: options.connections,
    pipelining: 1,
    allowH2: false,
    connect: connectorTo(options.connectTimeoutMs),
    // Our own deadline ends a request; these only keep a socket from outliving it.
    headersTimeout: 120_000,
    bodyTimeout: 120_000,
  });
  return {
    request: (request, notAfter) => exchange(pool, request, notAfter, options.maxAnswerBytes),
    close: () => pool.destroy(),
  };
}

/**
 * Judges the address that was connected to and not the name that was looked up: a name can change its address in
 * between. Link-local addresses are where clouds keep their credentials.
 */
function connectorTo(timeout: number): buildConnector.connector {
  const connect = buildConnector({ timeout });
  return (options, callback) =>
    connect(options, (...result) => {
      const [error, socket] = result;
      const address = socket?.remoteAddress ?? '';
      if (error === null && FORBIDDEN.check(address, isIPv6(address) ? 'ipv6' : 'ipv4')) {
        socket.destroy();
        callback(new Error('address is not allowed'), null);
      } else callback(...result);
    });
}

const FORBIDDEN = new BlockList();
FORBIDDEN.addSubnet('0.0.0.0', 8);
FORBIDDEN.addSubnet('169.254.0.0', 16);
FORBIDDEN.addSubnet('224.0.0.0', 3);
FORBIDDEN.addSubnet('fe80::', 10, 'ipv6');
FORBIDDEN.addSubnet('ff00::', 8, 'ipv6');

function exchange(pool: Pool, request: TransportRequest, notAfter: Date, maxBytes: number): Promise<TransportResult> {
  return new Promise((resolve) => {
    let firstByteAt: Date | null = null;
    let abort: ((reason: Error) => void) | undefined;
    let settled = false;
    const finish = (result: TransportResult): void => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      resolve(result);
    };
    const lost = (reason: string): void => finish({ outcome: 'no-answer', firstByteAt, reason });
    const timer = setTimeout(
      () => {
        lost('timeout');
        abort?.(new Error('timeout'));
      },
      Math.max(0, notAfter.getTime() - Date.now()),
    );

    let head: Pick<Answer, 'status'> & { headers: Headers } = { status: 0, headers: {} };
    const chunks: Buffer[] = [];
    let bytes = 0;
    const answered = (content: AnswerContent): void => {
      if (firstByteAt === null) lost('answer before the request');
      else finish({ outcome: 'answer', firstByteAt, answer: answerOf(head.status, head.headers, content) });
    };

    const handler: Dispatcher.DispatchHandler = {
      onRequestStart(controller) {
        // Called right before the first byte is written; throwing keeps every byte back.
        if (settled || Date.now() >= notAfter.getTime()) throw new Error('deadline passed before the first byte');
        abort = (reason) => controller.abort(reason);
        firstByteAt = new Date();
      },
      onResponseStart(_controller, status, headers) {
        if (status < 200) return;
        head = { status, headers };
      },
      onResponseData(controller, chunk) {
        bytes += chunk.length;
        if (bytes > maxBytes) {
          answered({ kind: 'unreadable' });
          controller.abort(new Error('answer too large'));
          return;
        }
        chunks.push(chunk);
      },
      onResponseEnd() {
        answered(contentOf(Buffer.concat(chunks), head.headers['content-type']));
      },
      onResponseError(_controller, error) {
        // A status without the rest of its body: success may be claimed, but nothing in it can be read.
        if (head.status !== 0) answered({ kind: 'unreadable' });
        else lost(reasonOf(error));
      },
    };
    try {
      pool.dispatch(
        {
          method: request.method,
          path: `${request.url.pathname}${request.url.search}`,
          headers: request.headers as Record<string, string>,
          body: request.body ?? null,
        },
        handler,
      );
    } catch (error) {
      lost(reasonOf(error));
    }
  });
}

type Headers = Readonly<Record<string, string | string[] | undefined>>;

function answerOf(status: number, headers: Headers, content: AnswerContent): Answer {
  const location = first(headers.location) ?? first(headers['content-location']);
  const etag = first(headers.etag);
  const retryAfter = first(headers['retry-after']);
  const remoteRequestId = first(headers['x-request-id']) ?? first(headers['x-correlation-id']);
  const date = Date.parse(first(headers.date) ?? '');
  return {
    status,
    content,
    date: Number.isNaN(date) ? new Date() : new Date(date),
    ...(location === undefined ? {} : { location }),
    ...(etag === undefined ? {} : { etag }),
    ...(retryAfter === undefined ? {} : { retryAfter }),
    ...(remoteRequestId === undefined ? {} : { remoteRequestId: remoteRequestId.slice(0, 200) }),
  };
}

function contentOf(bytes: Buffer, contentType: string | string[] | undefined): AnswerContent {
  if (bytes.length === 0) return { kind: 'empty' };
  if (/html/i.test(first(contentType) ?? '')) return { kind: 'html' };
  const text = bytes.toString('utf8');
  try {
    return { kind: 'json', value: JSON.parse(text) };
  } catch {
    return { kind: /^\s*<(!doctype html|html)/i.test(text) ? 'html' : 'unreadable' };
  }
}

function first(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}

/** The code of a network error; its message could carry an address with a query. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'failed';
  if ('code' in error && typeof error.code === 'string') return error.code;
  return error.cause instanceof Error ? reasonOf(error.cause) : error.message.slice(0, 100);
}
