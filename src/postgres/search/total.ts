/** How many resources match: exactly, or exactly up to a bound and beyond it as the planner estimates. */

import { unionOf } from './page.ts';
import type { Part } from './parts.ts';
import { type Plan, planOf } from './plan.ts';
import type { Run } from './run.ts';
import { Statement } from './sql.ts';

export async function countOf(run: Run, parts: readonly Part[]): Promise<number> {
  const sql = new Statement();
  const text = `select count(*) as total from (${matchesText(parts, sql, 'r.rid')}) c`;
  const [row] = await run<{ total: string }>(text, sql);
  return Number(row?.total);
}

/** Counted up to here; the page of a chart never needs an estimate. */
const EXACT = 2000;

/** Never less than what was counted. */
export async function estimateOf(run: Run, parts: readonly Part[]): Promise<number> {
  const counted = new Statement();
  const limit = counted.value('bigint', EXACT + 1);
  const some = `select count(*) as total from (${matchesText(parts, counted, 'r.rid')} limit ${limit}) c`;
  const [row] = await run<{ total: string }>(some, counted);
  const total = Number(row?.total);
  if (total <= EXACT) return total;
  const sql = new Statement();
  const text = `explain (format json) ${matchesText(parts, sql, 'r.rid')}`;
  const [answer] = await run<{ 'QUERY PLAN': readonly [{ readonly Plan: { readonly 'Plan Rows': number } }] }>(
    text,
    sql,
  );
  return Math.max(total, Math.round(answer?.['QUERY PLAN'][0].Plan['Plan Rows'] ?? 0));
}

/** Every match once. `end` closes each part, e.g. with a limit. */
export function matchesText(parts: readonly Part[], sql: Statement, columns: string, end = ''): string {
  const plans = parts.map((part) => planOf({ ...part, sort: [] }, sql, undefined, true));
  return unionOf(
    plans.flatMap(({ from, where }: Plan) =>
      from.map((each) => `select ${columns} from ${each} where ${where.join(' and ')} ${end}`),
    ),
  );
}
