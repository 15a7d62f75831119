/**
 * The log of requests: one line each, without anything that could name a patient. No url (searches hold names), no body,
 * no id; the audit trail knows who saw whom, the log only how the service fares.
 *
 * Answers below 400 are logged at `debug`: at the default level they cost nothing, and the audit trail has them all.
 */
import type { Logger } from 'pino';

export type AnsweredRequest = {
  readonly requestId: string;
  readonly method: string;
  /** '/:type/:id', never the path itself. */
  readonly pattern: string;
  readonly interaction: string;
  readonly status: number;
  readonly milliseconds: number;
};

export type RequestLog = {
  answered(request: AnsweredRequest): void;
  /** An error of ours. Its message may quote data, so only its kind and its place are written. */
  failed(requestId: string, error: unknown): void;
};

export function createRequestLog(logger: Logger, observe: (request: AnsweredRequest) => void): RequestLog {
  return {
    answered: (request) => {
      observe(request);
      const level = request.status >= 500 ? 'error' : request.status >= 400 ? 'info' : 'debug';
      if (!logger.isLevelEnabled(level)) return;
      const { milliseconds, ...fields } = request;
      logger[level]({ ...fields, ms: Math.round(milliseconds * 10) / 10 }, 'request');
    },
    failed: (requestId, error) => {
      logger.error({ requestId, ...kindAndPlace(error) }, 'request failed');
    },
  };
}

function kindAndPlace(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) return { error: typeof error };
  const frames = (error.stack ?? '').split('\n').filter((line) => line.trimStart().startsWith('at '));
  return {
    error: error.name,
    ...('code' in error && typeof error.code === 'string' ? { code: error.code } : {}),
    at: frames.slice(0, 8).map((frame) => frame.trim()),
    ...(error.cause === undefined ? {} : { cause: kindAndPlace(error.cause) }),
  };
}
