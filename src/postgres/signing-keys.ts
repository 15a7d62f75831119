/** Signing keys at rest, in the clinic's schema. */
import type { JWK } from 'jose';
import type { SigningKeyStore } from '../access/keys.ts';
import type { Pool } from './pool.ts';

export function createSigningKeyStore(pool: Pool): SigningKeyStore {
  return {
    list: async () => {
      const { rows } = await pool.query<{ key_id: string; public_jwk: JWK; sealed: Buffer }>(LIST);
      return rows.map((row) => ({ keyId: row.key_id, publicJwk: row.public_jwk, sealed: row.sealed }));
    },
    addFirst: async (key) => {
      await pool.query(ADD_FIRST, [key.keyId, JSON.stringify(key.publicJwk), key.sealed]);
    },
  };
}

const LIST = `
select key_id, public_jwk, sealed
  from signing_key
 order by replaced_at desc nulls first, created_at desc`;

const ADD_FIRST = `
insert into signing_key (key_id, public_jwk, sealed)
values ($1, $2, $3)
    on conflict do nothing`;
