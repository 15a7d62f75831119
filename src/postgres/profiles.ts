/** Packages of profiles and policies of a clinic; the generation of the set grows by triggers. */
import type { PoolClient } from 'pg';
import type {
  NewPackage,
  ProfileStore,
  StoredPackage,
  StoredPolicy,
  StoredProfiles,
  Strictness,
} from '../record/packages.ts';
import type { Pool } from './pool.ts';

export function profileStore(pool: Pool): ProfileStore {
  return {
    async generation() {
      const { rows } = await pool.query<{ generation: string }>({ name: 'profile-generation', text: GENERATION });
      return (rows[0] as { generation: string }).generation;
    },
    async read() {
      const { rows } = await pool.query<StoredSetRow>({ name: 'profile-set', text: READ });
      return storedProfiles(rows[0] as StoredSetRow);
    },
    async digest({ name, version, sha256 }) {
      const { rows } = await pool.query<{ digest: string }>(DIGEST, [name, version, sha256]);
      return rows[0]?.digest;
    },
  };
}

const GENERATION = 'select generation::text from profile_set where singleton';

// One statement sees one moment: never the packages of one generation with the policies of another.
const READ = `
select s.generation::text,
       coalesce((
         select json_agg(json_build_object(
                  'name', p.name, 'version', p.version, 'sha256', p.sha256, 'title', p.title,
                  'guide', p.guide, 'resources', p.resources, 'needs', p.needs,
                  'addedAt', p.added_at, 'addedBy', p.added_by) order by p.added_at, p.name, p.version)
           from profile_package p), '[]') as packages,
       coalesce((
         select json_agg(json_build_object(
                  'profile', o.profile, 'strictness', o.strictness, 'setAt', o.set_at, 'setBy', o.set_by)
                  order by o.profile)
           from profile_policy o), '[]') as policies
  from profile_set s
 where s.singleton`;

type StoredSetRow = {
  generation: string;
  packages: (Omit<StoredPackage, 'addedAt'> & { addedAt: string })[];
  policies: (Omit<StoredPolicy, 'setAt'> & { setAt: string })[];
};

function storedProfiles({ generation, packages, policies }: StoredSetRow): StoredProfiles {
  return {
    generation,
    packages: packages.map((row) => ({ ...row, addedAt: new Date(row.addedAt) })),
    policies: policies.map((row) => ({ ...row, setAt: new Date(row.setAt) })),
  };
}

const DIGEST = 'select digest from profile_package where name = $1 and version = $2 and sha256 = $3';

// ---- inside a unit of work

/** Changes of packages and policies come one after the other; whoever reads them does not wait. */
export async function lockPackages(client: PoolClient): Promise<readonly StoredPackage[]> {
  // Read after the lock, in a statement of its own: what the holder before us committed is seen.
  const [, { rows }] = await Promise.all([
    client.query('select from profile_set where singleton for update'),
    client.query<StoredSetRow>(READ),
  ]);
  return storedProfiles(rows[0] as StoredSetRow).packages;
}

const ADD = `
insert into profile_package (name, version, sha256, title, guide, digest, resources, needs, added_by)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9)`;

export async function addPackage(client: PoolClient, added: NewPackage): Promise<void> {
  const { name, version, sha256, title, guide, digest, resources, needs, addedBy } = added;
  await client.query(ADD, [name, version, sha256, title, guide, digest, resources, needs, addedBy]);
}

export async function removePackage(
  client: PoolClient,
  name: string,
  version: string,
  profiles: readonly string[],
): Promise<void> {
  await client.query('delete from profile_package where name = $1 and version = $2', [name, version]);
  if (profiles.length > 0) await client.query('delete from profile_policy where profile = any ($1)', [profiles]);
}

const SET_POLICY = `
insert into profile_policy (profile, strictness, set_by) values ($1, $2, $3)
on conflict (profile) do update set strictness = excluded.strictness, set_at = now(), set_by = excluded.set_by`;

export async function setPolicy(
  client: PoolClient,
  profile: string,
  strictness: Strictness | null,
  by: string,
): Promise<void> {
  if (strictness === null) await client.query('delete from profile_policy where profile = $1', [profile]);
  else await client.query(SET_POLICY, [profile, strictness, by]);
}
