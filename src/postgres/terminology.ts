/**
 * The code systems, value sets and concept maps that a clinic has stored.
 *
 * Whether something was written since is asked in the database, so that writes of other processes count as ours do: the
 * sum of the versions of all such resources grows with each of their writes and never shrinks. Only what is new is read.
 */
import type { CodeSystem, ConceptMap } from '@medplum/fhirtypes';
import { parseJson } from '../fhir/json.ts';
import {
  chosenEdition,
  type Edition,
  joined,
  type OfType,
  type TerminologyResource,
  type TerminologyResources,
  type TerminologyType,
} from '../fhir/terminology/resources.ts';
import { shippedTerminology } from '../fhir/terminology/shipped.ts';
import type { Pool } from './pool.ts';

export type TerminologyStore = {
  /** The state of now. The same object as before when nothing was written. */
  open(): Promise<TerminologyResources>;
};

const TYPES: readonly TerminologyType[] = ['CodeSystem', 'ValueSet', 'ConceptMap'];

type Row = Edition & {
  readonly rid: string;
  readonly resourceVersion: number;
  readonly id: string;
  readonly content: string | null;
  readonly about: string | null;
};

const stores = new WeakMap<Pool, TerminologyStore>();

/** What the clinic of this pool has stored, before what is shipped. One for each pool: it keeps what it has read. */
export function terminologyOf(pool: Pool): TerminologyStore {
  const known = stores.get(pool);
  if (known !== undefined) return known;
  const store = withShipped(createTerminologyStore(pool));
  stores.set(pool, store);
  return store;
}

function withShipped(stored: TerminologyStore): TerminologyStore {
  let last: { readonly own: TerminologyResources; readonly all: TerminologyResources } | undefined;
  return {
    async open() {
      const own = await stored.open();
      if (last?.own !== own) last = { own, all: joined(own, shippedTerminology()) };
      return last.all;
    },
  };
}

function createTerminologyStore(pool: Pool): TerminologyStore {
  let rows: ReadonlyMap<string, Row> = new Map();
  let revision: string | undefined;
  let current: TerminologyResources | undefined;
  let refreshing: Promise<TerminologyResources> | undefined;
  const texts = createTexts(pool);

  async function refresh(): Promise<TerminologyResources> {
    const now = await revisionOf(pool);
    if (current !== undefined && now === revision) return current;
    rows = await readRows(pool, rows);
    current = resourcesOf([...rows.values()], texts);
    revision = now;
    return current;
  }

  return {
    async open() {
      // Who comes while another asks gets an answer that was asked for after they came only if they ask again.
      const waiting = refreshing;
      if (waiting !== undefined) await waiting.catch(() => undefined);
      refreshing ??= refresh().finally(() => {
        refreshing = undefined;
      });
      return refreshing;
    },
  };
}

async function revisionOf(pool: Pool): Promise<string> {
  const { rows } = await pool.query<{ revision: string }>({
    name: 'terminology_revision',
    text: 'select coalesce(sum(version), 0)::text as revision from resource where type = any($1)',
    values: [TYPES],
  });
  return rows[0]?.revision ?? '0';
}

/** What is known of each current resource; the text of those alone is looked into that are new or changed. */
async function readRows(pool: Pool, known: ReadonlyMap<string, Row>): Promise<ReadonlyMap<string, Row>> {
  const { rows } = await pool.query<{ rid: string; version: number }>(
    'select rid, version from resource where type = any($1) and not deleted',
    [TYPES],
  );
  const isKnown = ({ rid, version }: { rid: string; version: number }) => known.get(rid)?.resourceVersion === version;
  const fresh = await readHeads(
    pool,
    rows.filter((row) => !isKnown(row)).map(({ rid }) => rid),
  );
  const all = new Map<string, Row>();
  for (const row of rows) {
    const head = isKnown(row) ? known.get(row.rid) : fresh.get(row.rid);
    if (head !== undefined) all.set(row.rid, head);
  }
  return all;
}

async function readHeads(pool: Pool, rids: readonly string[]): Promise<Map<string, Row>> {
  if (rids.length === 0) return new Map();
  const { rows } = await pool.query<Row>(
    `select r.rid, r.version as "resourceVersion", r.type, r.id,
            coalesce(j.content ->> 'url', '') as url, j.content ->> 'version' as version,
            j.content ->> 'status' as status, j.content ->> 'content' as content,
            case when j.content ->> 'content' = 'supplement' then j.content ->> 'supplements'
                 else j.content ->> 'valueSet' end as about,
            extract(epoch from r.last_updated)::float8 as "order"
       from resource r
       join resource_version v on v.rid = r.rid and v.version = r.version
      cross join lateral (select v.content::json as content) j
      where r.rid = any($1::bigint[]) and not r.deleted`,
    [rids],
  );
  return new Map(
    rows.map((row) => [row.rid, { ...row, version: row.version ?? undefined, status: row.status ?? undefined }]),
  );
}

type Texts = <T extends TerminologyType>(row: Row) => Promise<OfType<T>>;

/** Characters of stored text whose parsed form is kept. */
const MAX_KEPT = 32 * 1024 * 1024;

/** Resources by their version, parsed when first needed; the ones used longest ago are let go. */
function createTexts(pool: Pool): Texts {
  const kept = new Map<string, { readonly resource: TerminologyResource; readonly size: number }>();
  let size = 0;
  return async <T extends TerminologyType>({ rid, resourceVersion }: Row) => {
    const key = `${rid}/${resourceVersion}`;
    let entry = kept.get(key);
    if (entry === undefined) {
      const { rows } = await pool.query<{ content: string }>(
        'select content from resource_version where rid = $1 and version = $2',
        [rid, resourceVersion],
      );
      const text = rows[0]?.content ?? '';
      entry = { resource: parseJson(text) as TerminologyResource, size: text.length };
      if (!kept.has(key)) size += entry.size;
    }
    kept.delete(key);
    kept.set(key, entry);
    for (const [oldest, { size: freed }] of kept) {
      if (size <= MAX_KEPT || kept.size === 1) break;
      kept.delete(oldest);
      size -= freed;
    }
    return entry.resource as OfType<T>;
  };
}

function resourcesOf(rows: readonly Row[], text: Texts): TerminologyResources {
  const byUrl = Map.groupBy(rows, ({ type, url }) => `${type} ${url}`);
  const byId = new Map(rows.map((row) => [`${row.type}/${row.id}`, row]));
  const isSystem = ({ type, content }: Row) => type === 'CodeSystem' && content !== 'supplement';
  return {
    async find(type, url, version) {
      const editions = (byUrl.get(`${type} ${url}`) ?? []).filter(({ content }) => content !== 'supplement');
      const row = chosenEdition(editions, version);
      return row && text<typeof type>(row);
    },
    async byId(type, id) {
      const row = byId.get(`${type}/${id}`);
      return row && text<typeof type>(row);
    },
    async systemOfAllCodes(url) {
      const row = chosenEdition(
        rows.filter((each) => isSystem(each) && each.about === url),
        undefined,
      );
      return row && text<'CodeSystem'>(row);
    },
    conceptMaps: () =>
      Promise.all(
        rows.filter(({ type }) => type === 'ConceptMap').map((row): Promise<ConceptMap> => text<'ConceptMap'>(row)),
      ),
    codeSystems: async () =>
      rows
        .filter(({ type, url }) => type === 'CodeSystem' && url !== '')
        .map(({ url, version, content }) => ({ url, version, content: content ?? '' })),
    supplements: (url) =>
      Promise.all(
        rows
          .filter((row) => row.content === 'supplement' && row.about?.split('|')[0] === url)
          .map((row): Promise<CodeSystem> => text<'CodeSystem'>(row)),
      ),
  };
}
