/**
 * Fills idx_text behind the commits (`_text`, `_content`).
 *
 * Every write leaves the row ids of what it changed in idx_text_pending; a query reads the texts of those that are still
 * there itself, so that it is complete at every moment. This worker makes that part short again: a small batch now and
 * then while nobody searches for words, so that writing and reading keep the processor, and one after the other once
 * somebody does. Several processes may do so at once: each takes rows that no other has.
 */
import type { Pool } from './pool.ts';

export type TextIndexer = {
  /** Somebody searches for words: reads what is pending without a pause. */
  wake(): void;
  /** Resolves when the batch under way is done. */
  close(): Promise<void>;
};

export type TextIndexerOptions = {
  /** Between two batches while nobody searches for words; 1 s when absent. */
  readonly pauseMs?: number;
  /** Rows of a batch; 50 when absent. */
  readonly batch?: number;
};

// A row that was replaced since is pending again by its newer version, and that one wins.
const INDEX_TEXTS = `
with
  taken as (
    delete from idx_text_pending p
     where p.ctid = any (array(select ctid from idx_text_pending limit $1 for update skip locked))
    returning p.rid
  ),
  indexed as (
    insert into idx_text as t (rid, version, narrative, content)
    select r.rid, r.version,
           case when v.content like '%"div"%' then narrative_words_of(v.content) end, words_of(v.content)
      from (select distinct rid from taken) d
     cross join lateral (select * from resource where rid = d.rid offset 0) r
     cross join lateral (select content from resource_version where rid = r.rid and version = r.version offset 0) v
     where not r.deleted
     order by r.rid
    on conflict (rid) do update
       set version = excluded.version, narrative = excluded.narrative, content = excluded.content
     where t.version < excluded.version
  )
select count(*)::integer as taken from taken`;

/** Reads up to `batch` resources that are pending. Answers how many there were. */
export async function indexTexts(pool: Pool, batch: number): Promise<number> {
  const { rows } = await pool.query<{ taken: number }>({ name: 'index-texts', text: INDEX_TEXTS, values: [batch] });
  return rows[0]?.taken ?? 0;
}

const BUSY_BATCH = 500;

/** @param failed told of a batch that did not succeed; the next one tries again */
export function startTextIndexer(
  pool: Pool,
  failed: (error: unknown) => void,
  { pauseMs = 1000, batch = 50 }: TextIndexerOptions = {},
): TextIndexer {
  let closed = false;
  let hurry = false;
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> | undefined;

  const next = (ms: number): void => {
    if (closed) return;
    clearTimeout(timer);
    timer = setTimeout(() => {
      running = turn().finally(() => {
        running = undefined;
      });
    }, ms);
    timer.unref();
  };

  const turn = async (): Promise<void> => {
    const size = hurry ? BUSY_BATCH : batch;
    try {
      const taken = await indexTexts(pool, size);
      if (taken < size) hurry = false;
    } catch (error) {
      hurry = false;
      failed(error);
    }
    next(hurry ? 0 : pauseMs);
  };

  next(pauseMs);
  return {
    wake() {
      hurry = true;
      if (running === undefined) next(0);
    },
    async close() {
      closed = true;
      clearTimeout(timer);
      await running;
    },
  };
}
