/**
 * The environment, parsed once. Each value remembers where it came from, so that `kap-bridge config` can show it.
 *
 * DATABASE_URL and REDIS_URL may be given as files (DATABASE_URL_FILE, REDIS_URL_FILE), as container secrets are.
 */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { z } from 'zod';
import { Failure, issue } from './fhir/failure.ts';

export type Role = 'all' | 'api' | 'worker';

export type Config = {
  readonly port: number;
  /** The address it listens on. Loopback, unless told otherwise: what it speaks is plain HTTP. */
  readonly host: string;
  /** Where clients reach the service, without a trailing slash: 'http://127.0.0.1:8080'. */
  readonly baseUrl: string;
  /** Absolute. Holds the embedded PostgreSQL and the service's keys. */
  readonly dataDir: string;
  readonly role: Role;
  /** API processes on the one port. */
  readonly workers: number;
  /** Absent: PostgreSQL runs embedded, in `dataDir`. */
  readonly databaseUrl?: string;
  /** Absent: the queue lives in PostgreSQL. */
  readonly redisUrl?: string;
  readonly logLevel: LogLevel;
  /** Origins of the pages that may call the service from a browser; '*' for any. */
  readonly corsOrigins: '*' | readonly string[];
};

/** One line of `kap-bridge config`. Passwords are masked. */
export type Setting = {
  readonly name: string;
  readonly value: string | null;
  /** 'environment', 'default', or 'file <path>'. */
  readonly source: string;
};

export type Environment = Readonly<Record<string, string | undefined>>;
export type LogLevel = z.infer<typeof logLevel>;

const logLevel = z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']);

const url = (protocols: RegExp, example: string) =>
  z.url({ protocol: protocols, error: () => `must be a url such as ${example}` });

const settings = {
  KAP_PORT: z.coerce
    .number({ error: 'must be a port number' })
    .int({ error: 'must be a port number' })
    .min(1, { error: 'must be a port number from 1 to 65535' })
    .max(65_535, { error: 'must be a port number from 1 to 65535' }),
  KAP_HOST: z.union([z.ipv4(), z.ipv6(), z.literal('localhost')], { error: "must be an address such as '0.0.0.0'" }),
  KAP_BASE_URL: url(/^https?$/, 'https://fhir.example.org').transform((value) => value.replace(/\/+$/, '')),
  KAP_DATA_DIR: z.string().min(1, { error: 'must be a folder' }),
  KAP_ROLE: z.enum(['all', 'api', 'worker'], { error: "must be 'all', 'api' or 'worker'" }),
  WORKERS: z.coerce
    .number({ error: 'must be a number of API processes' })
    .int({ error: 'must be a whole number of API processes' })
    .min(1, { error: 'must be at least 1 API process' })
    .max(64, { error: 'must be at most 64 API processes' }),
  DATABASE_URL: url(/^postgres(ql)?$/, 'postgres://user:password@host:5432/database'),
  REDIS_URL: url(/^rediss?$/, 'redis://host:6379'),
  KAP_LOG_LEVEL: logLevel,
  KAP_CORS_ORIGINS: z.string().transform((text, context) => {
    if (text === '*' || text === 'none') return text === '*' ? ('*' as const) : [];
    const origins = text.split(',').map((origin) => origin.trim());
    if (origins.every(isOrigin)) return origins;
    context.addIssue("must be '*', 'none', or origins such as https://app.example.org with commas between them");
    return z.NEVER;
  }),
} as const;

/** As a browser sends it: scheme, host and port, without a path. */
function isOrigin(text: string): boolean {
  return URL.canParse(text) && new URL(text).origin === text;
}

type Name = keyof typeof settings;
type Given = { readonly text: string; readonly source: string };

/** @throws Failure `invalid` with an issue for each value that cannot be used; no value is repeated in it */
export function readConfig(environment: Environment = process.env): { config: Config; settings: readonly Setting[] } {
  const issues: ReturnType<typeof issue>[] = [];
  const shown: Setting[] = [];

  function parsed<N extends Name>(name: N, fallback: string | null): z.infer<(typeof settings)[N]> | undefined {
    const given =
      givenFor(environment, name, issues) ?? (fallback === null ? null : { text: fallback, source: 'default' });
    if (given === null) {
      shown.push({ name, value: null, source: 'default' });
      return undefined;
    }
    shown.push({ name, value: withoutPassword(given.text), source: given.source });
    const result = settings[name].safeParse(given.text);
    if (!result.success) {
      issues.push(issue('value', `${name} (${given.source}) ${result.error.issues[0]?.message ?? 'is not valid'}`));
      return undefined;
    }
    return result.data as z.infer<(typeof settings)[N]>;
  }

  const port = parsed('KAP_PORT', '8080');
  const host = parsed('KAP_HOST', '127.0.0.1');
  const baseUrl = parsed('KAP_BASE_URL', `http://127.0.0.1:${port ?? 8080}`);
  const dataDir = parsed('KAP_DATA_DIR', '.kap');
  const role = parsed('KAP_ROLE', 'all');
  const workers = parsed('WORKERS', '1');
  const databaseUrl = parsed('DATABASE_URL', null);
  const redisUrl = parsed('REDIS_URL', null);
  const level = parsed('KAP_LOG_LEVEL', 'info');
  const corsOrigins = parsed('KAP_CORS_ORIGINS', '*');

  if (role === 'worker' && workers !== undefined && workers > 1) {
    issues.push(issue('value', 'WORKERS is about API processes, and KAP_ROLE worker has none: leave one of them out'));
  }
  if (issues.length > 0 || !port || !host || !baseUrl || !dataDir || !role || !workers || !level || !corsOrigins)
    throw new Failure('invalid', issues);
  return {
    config: {
      port,
      host,
      baseUrl,
      dataDir: resolve(dataDir),
      role,
      workers,
      ...(databaseUrl === undefined ? {} : { databaseUrl }),
      ...(redisUrl === undefined ? {} : { redisUrl }),
      logLevel: level,
      corsOrigins,
    },
    settings: shown,
  };
}

const FROM_FILE: readonly Name[] = ['DATABASE_URL', 'REDIS_URL'];

function givenFor(environment: Environment, name: Name, issues: ReturnType<typeof issue>[]): Given | null {
  const text = environment[name]?.trim();
  const file = FROM_FILE.includes(name) ? environment[`${name}_FILE`]?.trim() : undefined;
  if (text && file) issues.push(issue('value', `${name} and ${name}_FILE are both set: leave one of them out`));
  if (text) return { text, source: 'environment' };
  if (!file) return null;
  try {
    return { text: readFileSync(file, 'utf8').trim(), source: `file ${file}` };
  } catch (error) {
    const reason = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
    issues.push(issue('value', `${name}_FILE cannot be read (${reason}): ${file}`));
    return null;
  }
}

/** A url without what opens it; other text as it is. */
export function withoutPassword(text: string): string {
  if (!URL.canParse(text)) return text.includes('://') ? '***' : text;
  const url = new URL(text);
  if (url.password === '' && !url.searchParams.has('password')) return text;
  if (url.password !== '') url.password = '***';
  if (url.searchParams.has('password')) url.searchParams.set('password', '***');
  return url.href;
}
