/** https://hl7.org/fhir/R4/http.html#history */
import type { Bundle, BundleEntry, Resource } from '@medplum/fhirtypes';
import { BASE, patient, startTestService, type TestService, weightOf } from '../service.ts';

let service: TestService;
let token: string;
let now = new Date('2026-03-01T10:00:00.000Z');

beforeAll(async () => {
  service = await startTestService({ recordNow: () => now });
  token = await service.token();
});
afterAll(() => service.close());

const as = () => service.as(token);
const local = (url: string) => url.replace(BASE, '/fhir');
const at = (instant: string) => {
  now = new Date(instant);
};

async function history(path: string, scope?: string): Promise<Bundle> {
  const caller = scope === undefined ? as() : service.as(await service.token(scope));
  const { body } = await caller.get(path).expect(200);
  expect(body).toMatchObject({ resourceType: 'Bundle', type: 'history' });
  return body as Bundle;
}

const linkOf = (bundle: Bundle, relation: string) => bundle.link?.find((link) => link.relation === relation)?.url;

const shown = ({ fullUrl, request, response }: BundleEntry) =>
  `${request?.method} ${request?.url.replace(/\/.*/, '/x')} ${response?.status} ${response?.etag} ${fullUrl?.startsWith(`${BASE}/`)}`;

/** The Organization lives through everything that can happen to a resource. */
async function aLife(): Promise<string> {
  const organization = { resourceType: 'Organization', name: 'One' } as const;
  at('2026-03-01T10:00:00.000Z');
  const { id } = (await as().post('/fhir/Organization', organization).expect(201)).body as { id: string };
  at('2026-03-02T10:00:00.000Z');
  await as()
    .put(`/fhir/Organization/${id}`, { ...organization, id, name: 'Two' })
    .expect(200);
  at('2026-03-03T10:00:00.000Z');
  await as().delete(`/fhir/Organization/${id}`).expect(204);
  at('2026-03-04T10:00:00.000Z');
  await as()
    .put(`/fhir/Organization/${id}`, { ...organization, id, name: 'Four' })
    .expect(201);
  return id;
}

let organization: string;
beforeAll(async () => {
  organization = await aLife();
});

test('every entry says what happened: method, url, status, tag and time; a deletion shows no resource', async () => {
  const bundle = await history(`/fhir/Organization/${organization}/_history`);
  expect(bundle.total).toBe(4);
  expect(bundle.entry?.map(shown)).toEqual([
    'PUT Organization/x 201 Created W/"4" true',
    'DELETE Organization/x 204 No Content W/"3" true',
    'PUT Organization/x 200 OK W/"2" true',
    'POST Organization 201 Created W/"1" true',
  ]);
  expect(bundle.entry?.map(({ response }) => response?.lastModified?.slice(0, 10))).toEqual([
    '2026-03-04',
    '2026-03-03',
    '2026-03-02',
    '2026-03-01',
  ]);
  expect(bundle.entry?.map(({ resource }) => (resource as { name?: string } | undefined)?.name)).toEqual([
    'Four',
    undefined,
    'Two',
    'One',
  ]);
  expect(linkOf(bundle, 'self')).toBe(`${BASE}/Organization/${organization}/_history`);
});

const tags = (bundle: Bundle) => (bundle.entry ?? []).map(({ response }) => response?.etag?.slice(3, -1)).join(' ');

test.each([
  ['_since=2026-03-02T10:00:00.000Z', '4 3 2'],
  ['_since=2026-03-02T10:00:00.001Z', '4 3'],
  ['_since=2026-03-02T12:00:00%2B02:00', '4 3 2'],
  ['_since=2026-03-02T12:00:00+02:00', '4 3 2'],
  ['_since=2026-03-03', '4 3'],
  ['_since=2026-04', ''],
  ['_since=1900', '4 3 2 1'],
  ['_at=2026-03-01', '1'],
  ['_at=2026-03-01T12:00:00Z', '1'],
  ['_at=2026-03-02', '2 1'],
  ['_at=2026-03-03T12:00:00Z', ''],
  ['_at=2026-03-03', '3 2'],
  ['_at=2026-03', '4 3 2 1'],
  ['_at=2026-02', ''],
  ['_at=2027', '4'],
  ['_since=2026-03-02&_at=2026-03-04', '4'],
  ['_count=2', '4 3'],
  ['_count=0', ''],
])('a resource, ?%s: versions %s', async (query, expected) => {
  for (const level of [`Organization/${organization}/`, 'Organization/', '']) {
    // Every change has its Provenance, which this token does not list.
    const bundle = await history(`/fhir/${level}_history?${query}`, 'system/Organization.rs');
    expect(`${level} ${tags(bundle)}`).toBe(`${level} ${expected}`);
    if (query.startsWith('_count')) expect(bundle.total).toBe(4);
    else expect(bundle.total).toBe(expected === '' ? 0 : expected.split(' ').length);
    expect(linkOf(bundle, 'self')).toBe(`${BASE}/${level}_history?${new URLSearchParams(query)}`);
  }
});

test('a deleted resource has a history, an unknown one has none', async () => {
  const { id } = (
    await as()
      .post('/fhir/Basic', { resourceType: 'Basic', code: { text: 'x' } })
      .expect(201)
  ).body;
  await as().delete(`/fhir/Basic/${id}`).expect(204);
  expect(tags(await history(`/fhir/Basic/${id}/_history`))).toBe('2 1');
  await as().get('/fhir/Basic/never-was/_history').expect(404);
  await as().get('/fhir/Basic/never-was/_history?_since=2026').expect(404);
  await as().get('/fhir/Nothing/_history').expect(404);
  await as().get('/fhir/AuditEvent/_history').expect(404);
});

test('pages of the history of a type hold every version once, newest first, while others write', async () => {
  const ids: string[] = [];
  for (let i = 0; i < 5; i++) {
    const body = { resourceType: 'Location', name: `L${i}` } as const;
    const { id } = (await as().post('/fhir/Location', body).expect(201)).body;
    await as()
      .put(`/fhir/Location/${id}`, { ...body, id, status: 'active' })
      .expect(200);
    ids.push(id);
  }
  const seen: string[] = [];
  const times: string[] = [];
  let url: string | undefined = '/fhir/Location/_history?_count=3';
  for (let page = 0; url !== undefined; page++) {
    const bundle = await history(url);
    expect(bundle.total).toBe(10);
    for (const { resource, response } of bundle.entry ?? []) {
      seen.push(`${resource?.id} ${response?.etag}`);
      times.push(response?.lastModified ?? '');
    }
    // A version that comes in between is newer than all that is still to come.
    now = new Date(now.getTime() + 1000);
    await as().put(`/fhir/Location/${ids[page % 5]}`, { resourceType: 'Location', id: ids[page % 5] } as Resource);
    const next = linkOf(bundle, 'next');
    url = next === undefined ? undefined : local(next);
  }
  expect(new Set(seen)).toEqual(new Set(ids.flatMap((id) => [`${id} W/"1"`, `${id} W/"2"`])));
  expect(seen).toHaveLength(10);
  expect(times).toEqual([...times].sort().reverse());
});

test('the history of everything holds the types that the token may list, and their total', async () => {
  const all = await history('/fhir/_history?_count=1000');
  const types = (bundle: Bundle) =>
    new Set((bundle.entry ?? []).map(({ request }) => request?.url.replace(/\/.*/, '')));
  expect(types(all).size).toBeGreaterThan(2);
  const some = await history('/fhir/_history?_count=1000', 'system/Organization.rs system/Location.r');
  expect([...types(some)]).toEqual(['Organization']);
  expect(some.total).toBe(4);
  const none = service.as(await service.token('system/Location.r'));
  await none.get('/fhir/_history').expect(403);
  await none.get('/fhir/Location/_history').expect(403);
});

test('what a List names is shown of a history: resources, or versions of them', async () => {
  const list = {
    resourceType: 'List',
    status: 'current',
    mode: 'working',
    entry: [{ item: { reference: `Organization/${organization}/_history/2` } }],
  } as const;
  const { id } = (await as().post('/fhir/List', list).expect(201)).body;
  expect(tags(await history(`/fhir/Organization/_history?_list=${id}`))).toBe('2');
  await as().get('/fhir/Organization/_history?_list=never-was').expect(404);
  await service
    .as(await service.token('system/Organization.rs'))
    .get(`/fhir/Organization/_history?_list=${id}`)
    .expect(403);
});

test.each([
  ['_sort=_lastUpdated', /takes _count/],
  ['_since=yesterday', /_since/],
  ['_at=2026-13', /_at/],
  ['_at=ge2026', /_at/],
  ['_since=2026&_since=2027', /once/],
  ['_count=-1', /_count/],
  ['_count=many', /_count/],
  ['_cursor=x', /page link/],
  ['name=x', /takes _count/],
])('?%s is refused', async (query, words) => {
  const { body } = await as().get(`/fhir/Organization/_history?${query}`).expect(400);
  expect(body.issue[0].diagnostics).toMatch(words);
  expect(body.issue[0].expression[0]).toBe(`http.${query.replace(/=.*/, '')}`);
});

test('a page link belongs to its history, and an unknown parameter is left out where the caller prefers', async () => {
  const next = linkOf(await history('/fhir/Location/_history?_count=1'), 'next') ?? '';
  await as().get(local(next).replace('Location', 'Organization')).expect(400);
  await as().get('/fhir/Location/_history?name=x').set('prefer', 'handling=lenient').expect(200);
});

test('a history is written down for every patient that it showed', async () => {
  const { id } = (await as().post('/fhir/Patient', patient).expect(201)).body;
  await as().post('/fhir/Observation', weightOf(id, 80)).expect(201);
  await service.newAuditEvents();
  await as().get('/fhir/Observation/_history').expect(200);
  const [event] = await service.newAuditEvents();
  expect(event?.subtype?.[0]?.code).toBe('history-type');
  expect(event?.entity?.some(({ what }) => what?.reference === `Patient/${id}`)).toBe(true);
});
