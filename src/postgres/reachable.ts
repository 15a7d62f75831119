/** Waiting for a PostgreSQL that is not ours to start. */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { Failure, issue } from '../fhir/failure.ts';

const WITHIN_MS = 60_000;

/**
 * Resolves once a database answers. @param onRetry is told the code of each vain attempt and the pause after it
 * @throws Failure `transient` after 60 s, `invalid` at once when it answers and refuses us
 */
export async function untilReachable(url: string, onRetry: (code: string, pauseMs: number) => void): Promise<void> {
  const deadline = Date.now() + WITHIN_MS;
  for (let pauseMs = 100; ; pauseMs = Math.min(pauseMs * 2, 5_000)) {
    const code = await attempt(url);
    if (code === null) return;
    const refused = /^(28|3D)/.test(code); // authentication, or no such database
    if (refused || Date.now() + pauseMs > deadline) {
      const why = refused ? 'PostgreSQL refuses us' : `PostgreSQL was not reachable within ${WITHIN_MS / 1000} s`;
      const text = `${why} (${code}, ${new URL(url).host}). Check DATABASE_URL`;
      throw refused ? new Failure('invalid', issue('value', text)) : new Failure('transient', issue('transient', text));
    }
    onRetry(code, pauseMs);
    await sleep(pauseMs);
  }
}

/** null when it answers, otherwise the code of the error. */
async function attempt(url: string): Promise<string | null> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 });
  client.on('error', () => undefined); // the attempt itself tells
  try {
    await client.connect();
    return null;
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : 'no answer';
  } finally {
    await client.end().catch(() => undefined);
  }
}
