import type { FingerprintStore } from '../access/secrets.ts';
import type { Pool } from './pool.ts';

/** The fingerprint of the master key that sealed this clinic's secrets. */
export function sealingFingerprints(pool: Pool): FingerprintStore {
  const read = async (): Promise<Buffer | undefined> => {
    const { rows } = await pool.query<{ fingerprint: Buffer }>('select fingerprint from sealing_key');
    return rows[0]?.fingerprint;
  };
  return {
    read,
    async keepFirst(fingerprint) {
      await pool.query('insert into sealing_key (fingerprint) values ($1) on conflict do nothing', [fingerprint]);
      return (await read()) as Buffer;
    },
  };
}
