import type { PoolClient } from 'pg';
import type { Pool } from './pool.ts';

/**
 * Runs the work in a transaction: committed when it returns, rolled back when it throws.
 *
 * Statements go out without waiting for earlier answers where the work does not need them (a clinic's pool pipelines);
 * PostgreSQL runs them in the order in which they were sent, and after a failure none of the rest.
 */
export async function inTransaction<T>(pool: Pool, work: (client: PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  let broken: Error | undefined;
  try {
    const begun = client.query('begin');
    const [result] = await Promise.all([work(client), begun]);
    await client.query('commit');
    return result;
  } catch (error) {
    await client.query('rollback').catch((lost: Error) => {
      broken = lost;
    });
    throw error;
  } finally {
    client.release(broken);
  }
}
