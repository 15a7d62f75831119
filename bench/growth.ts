/**
 * What a search costs as the clinic grows: the searches of the workload at two sizes of one clinic, in one run, and the
 * pages of a long result from its first to a deep one.
 *
 * The clinic grows through the service's own write path, as transactions of the workload. Each size is vacuumed before it
 * is measured, as the autovacuum of PostgreSQL would have done by then.
 */
import pg from 'pg';
import { INFUSIONS, RESOURCES_PER_INFUSION } from './kap-data.ts';
import type { Load, Measurement } from './load.ts';
import type { ScenarioName, SeededState } from './scenarios.ts';

export type GrowthOptions = {
  readonly load: Load;
  readonly postgresUrl: string;
  /** Observations. */
  readonly small: number;
  readonly large: number;
  readonly say: (text: string) => void;
};

export type Growth = {
  readonly small: number;
  readonly large: number;
  readonly searches: readonly { readonly scenario: string; readonly small: AtSize; readonly large: AtSize }[];
  /** Milliseconds of a page, the first one and the deepest that was reached. */
  readonly pages: readonly {
    readonly search: string;
    readonly first: number;
    readonly deep: number;
    readonly page: number;
  }[];
};

/** Milliseconds: of half of the requests, and of processor time of service and PostgreSQL, which survives a busy machine. */
type AtSize = { readonly p50: number; readonly cpu: number };

/** Times that a search may take in the large clinic, and a deep page of the first one. */
const AT_MOST = 1.5;
const PAGE = 1000;
const TIMES = 300;

const SEARCHES: readonly ScenarioName[] = [
  'search-vitals',
  'search-phq9',
  'search-encounter',
  'search-procedure',
  'search-auditor',
  'search-include',
  'search-blend',
];

/** Long results, each in another way through the index. */
const RESULTS = [
  'Observation?code=http://loinc.org|8867-4&_count=10',
  'Observation?category=vital-signs&_sort=-date&_count=10',
  'Observation?date=ge2025-01-01&_count=10',
  'Observation?_count=10',
];

const OBSERVATIONS_PER_PATIENT = INFUSIONS * (RESOURCES_PER_INFUSION - 3);

export async function measureGrowth({ load, postgresUrl, small, large, say }: GrowthOptions): Promise<Growth> {
  const few = Math.max(1, Math.round(small / OBSERVATIONS_PER_PATIENT));
  const many = Math.max(few + 1, Math.round(large / OBSERVATIONS_PER_PATIENT));
  const grow = async (to: number, from: number): Promise<SeededState> => {
    const step = Math.max(1, Math.round((to - from) / 10));
    say(`recording the courses of ${to - from} patients, ${(to - from) * OBSERVATIONS_PER_PATIENT} Observations`);
    const { state, measurement } = await load.seed(to, from, (done) => {
      if (done % step === 0) say(`  ${done} of ${to - from}`);
    });
    say(`  ${measurement.resourcesPerSecond?.toFixed(0)} resources/s`);
    await vacuumed(postgresUrl);
    return state;
  };
  const measureAll = async (state: SeededState): Promise<Measurement[]> => {
    const measured: Measurement[] = [];
    for (const name of SEARCHES) {
      const m = await load.run(name, state);
      if (m.wrong > 0) throw new Error(`${name}: ${m.complaints.join('; ')}`);
      say(`${name.padEnd(20)} p50 ${m.p50} ms`);
      measured.push(m);
    }
    return measured;
  };

  const early = await grow(few, 0);
  const before = await measureAll(early);
  const late = await grow(many, few);
  const after = await measureAll({ ...early, patients: [...early.patients, ...late.patients] });
  const pages = [];
  for (const search of RESULTS) pages.push(await pagesOf(load, search, say));
  return {
    small: few * OBSERVATIONS_PER_PATIENT,
    large: many * OBSERVATIONS_PER_PATIENT,
    searches: before.map((m, i) => ({
      scenario: m.scenario,
      small: atSize(m),
      large: atSize(after[i] as Measurement),
    })),
    pages,
  };
}

function atSize({ p50, cpuMsPerRequest: { service = 0, postgres = 0 } }: Measurement): AtSize {
  return { p50, cpu: service + postgres };
}

async function vacuumed(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query('vacuum analyze');
  await client.end();
}

async function pagesOf(load: Load, search: string, say: (text: string) => void): Promise<Growth['pages'][number]> {
  let path = search;
  let page = 1;
  for (; page < PAGE; page++) {
    const next = await load.next(path);
    if (next === undefined) break;
    path = next;
  }
  const [first = 0, deep = 0] = await load.inTurns([search, path], TIMES);
  say(`${search}: page 1 ${first} ms, page ${page} ${deep} ms`);
  return { search, first, deep, page };
}

/** What grows more than it may, in words. */
export function outgrown({ searches, pages }: Growth): string[] {
  return [
    ...searches
      .filter(({ small, large }) => large.p50 > AT_MOST * small.p50)
      .map(
        ({ scenario, small, large }) => `${scenario} takes ${ratio(large.p50, small.p50)} its time in the small clinic`,
      ),
    ...pages
      .filter(({ first, deep }) => deep > AT_MOST * first)
      .map(
        ({ search, first, deep, page }) =>
          `page ${page} of ${search} takes ${ratio(deep, first)} the time of the first`,
      ),
  ];
}

export function growthTable(growth: Growth): string {
  const { small, large, searches, pages } = growth;
  const line = (name: string, ...cells: (number | string)[]) =>
    name.padEnd(68) + cells.map((cell) => String(cell).padStart(10)).join('');
  const cpu = (ms: number) => ms.toFixed(2);
  return [
    line('p50 and CPU, ms; Observations:', small, large, 'ratio', small, large, 'ratio'),
    ...searches.map((s) =>
      line(
        s.scenario,
        ...[s.small.p50, s.large.p50, ratio(s.large.p50, s.small.p50)],
        ...[cpu(s.small.cpu), cpu(s.large.cpu), ratio(s.large.cpu, s.small.cpu)],
      ),
    ),
    '',
    line('p50, ms, one request at a time:', 'page 1', 'deep page', 'ratio'),
    ...pages.map((p) => line(`${p.search} (page ${p.page})`, p.first, p.deep, ratio(p.deep, p.first))),
    ...outgrown(growth).map((words) => `MISSED: ${words}`),
  ].join('\n');
}

const ratio = (a: number, b: number) => `${(a / b).toFixed(2)}x`;
