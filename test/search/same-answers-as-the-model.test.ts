/** The service over HTTP against the naive model: the same matches, totals, order and includes. */
import type { Bundle, Resource } from '@medplum/fhirtypes';
import fc from 'fast-check';
import { BASE, type Caller, startTestService, type TestService } from '../http/service.ts';
import { type GeneratedSearch, generatedChange, generatedSearch, record } from './generated-record.ts';
import { naiveIncluded, naiveMatches, naiveOrder } from './naive-search.ts';

const SEARCHES = Number(process.env.SEARCHES ?? 250);

const nameOf = ({ resourceType, id }: Resource) => `${resourceType}/${id}`;

type Opened = { readonly service: TestService; readonly call: Caller; readonly resources: Map<string, Resource> };

async function open(seed: number): Promise<Opened> {
  const service = await startTestService();
  const call = service.as(await service.token());
  const [resources = []] = fc.sample(record, { seed, numRuns: 1 });
  const entry = resources.map((resource) => ({ resource, request: { method: 'PUT' as const, url: nameOf(resource) } }));
  const answer = await call.post('/fhir', { resourceType: 'Bundle', type: 'transaction', entry });
  expect([answer.status, answer.status === 200 ? '' : answer.text]).toEqual([200, '']);
  return { service, call, resources: new Map(resources.map((resource) => [nameOf(resource), resource])) };
}

function urlOf({ type, conditions, sort, includes }: GeneratedSearch, more: readonly [string, string][] = []): string {
  const parameters = new URLSearchParams([
    ...conditions.map(([name, value]): [string, string] => [name, value]),
    ...(sort.length === 0 ? [] : [['_sort', sort.join(',')] as [string, string]]),
    ...includes.map(({ reverse, iterate, value }): [string, string] => [
      `${reverse ? '_revinclude' : '_include'}${iterate ? ':iterate' : ''}`,
      value,
    ]),
    ...more,
  ]);
  return `/fhir/${type}?${parameters}`;
}

async function bundleAt(call: Caller, url: string): Promise<Bundle> {
  const answer = await call.get(url);
  expect([url, answer.status, answer.status === 200 ? '' : answer.text]).toEqual([url, 200, '']);
  return JSON.parse(answer.text) as Bundle;
}

const withMode = (bundle: Bundle, mode: string) =>
  (bundle.entry ?? []).filter(({ search }) => search?.mode === mode).map(({ resource }) => resource as Resource);

const nextOf = (bundle: Bundle) =>
  bundle.link?.find(({ relation }) => relation === 'next')?.url.slice(BASE.length - '/fhir'.length);

describe.each(process.env.SEEDS?.split(',').map(Number) ?? [1, 2])('A generated record (seed %i)', (seed) => {
  let opened: Opened;
  beforeAll(async () => {
    opened = await open(seed);
  });
  afterAll(() => opened.service.close());

  test('every search finds, counts, orders and includes what the model does, before and after changes', async () => {
    const { call, resources } = opened;
    await fc.assert(
      fc.asyncProperty(generatedSearch, fc.option(generatedChange, { freq: 5 }), async (search, change) => {
        const all = [...resources.values()];
        const expected = naiveMatches(all, search.type, search.conditions);
        const bundle = await bundleAt(
          call,
          urlOf(search, [
            ['_count', '200'],
            ['_total', 'accurate'],
          ]),
        );
        const found = withMode(bundle, 'match');
        const url = decodeURIComponent(urlOf(search));
        expect([url, found.map(nameOf).sort()]).toEqual([url, expected.map(nameOf).sort()]);
        expect(bundle.total).toBe(expected.length);
        const known = found.map((resource) => resources.get(nameOf(resource)) as Resource);
        for (let i = 1; i < known.length; i++) {
          const order = naiveOrder(search.sort, known[i - 1] as Resource, known[i] as Resource);
          expect([url, nameOf(known[i] as Resource), order <= 0]).toEqual([url, nameOf(known[i] as Resource), true]);
        }
        const included = naiveIncluded(all, expected, search.includes);
        expect([url, withMode(bundle, 'include').map(nameOf).sort()]).toEqual([url, included.sort()]);
        if (change !== null) await apply(opened, change);
      }),
      { numRuns: SEARCHES, seed },
    );
  }, 300_000);

  test('pages of a search repeat nothing and miss nothing that stayed, while others insert, update and delete', async () => {
    const { call, resources } = opened;
    const plain = generatedSearch.map((search) => ({
      ...search,
      includes: [],
      conditions: search.conditions.slice(0, 1),
    }));
    const changes = fc.array(generatedChange, { maxLength: 2 });
    await fc.assert(
      fc.asyncProperty(plain, fc.infiniteStream(changes), async (search, between) => {
        const before = naiveMatches([...resources.values()], search.type, search.conditions).map(nameOf);
        const touched = new Set<string>();
        const seen: string[] = [];
        let url: string | undefined = urlOf(search, [['_count', '3']]);
        while (url !== undefined) {
          const page: Bundle = await bundleAt(call, url);
          seen.push(...withMode(page, 'match').map(nameOf));
          url = nextOf(page);
          for (const change of between.next().value ?? []) {
            touched.add(`${change.type}/${change.id}`);
            await apply(opened, change);
          }
        }
        const untouched = (names: readonly string[]) => names.filter((name) => !touched.has(name)).sort();
        // A change of one resource may make another match (chains): only those that matched throughout are owed.
        const after = new Set(naiveMatches([...resources.values()], search.type, search.conditions).map(nameOf));
        const owed = untouched(before).filter((name) => after.has(name));
        expect(untouched(seen).filter((name) => owed.includes(name))).toEqual(owed);
      }),
      { numRuns: Math.ceil(SEARCHES / 6), seed },
    );
  }, 300_000);
});

async function apply(
  { call, resources }: Opened,
  { method, type, id, resource }: { method: 'PUT' | 'DELETE'; type: string; id: string; resource?: Resource },
): Promise<void> {
  const name = `${type}/${id}`;
  const answer = await (method === 'DELETE'
    ? call.delete(`/fhir/${name}`)
    : call.put(`/fhir/${name}`, resource as Resource));
  expect([name, answer.status < 300, answer.status < 300 ? '' : answer.text]).toEqual([name, true, '']);
  if (method === 'DELETE') resources.delete(name);
  else resources.set(name, resource as Resource);
}
