/**
 * Conditional create, update, delete; managing resource contention.
 *
 * @see https://hl7.org/fhir/R4/http.html#ccreate, #cond-update, #cdelete and #concurrency
 */
import type { OperationOutcome, Resource } from '@medplum/fhirtypes';
import type { Test } from 'supertest';
import { BASE, startTestService, type TestService } from '../service.ts';

let service: TestService;
let token: string;

beforeAll(async () => {
  service = await startTestService();
  token = await service.token();
});
afterAll(() => service.close());

function as() {
  return service.as(token);
}

let values = 0;

/** A patient with an identifier of its own, `matches` of whom are stored already. */
async function patients(matches: number) {
  const value = `conditional-${++values}`;
  const resource = {
    resourceType: 'Patient',
    identifier: [{ system: 'urn:test', value }],
    name: [{ family: 'Example' }],
  } as Resource;
  const ids: string[] = [];
  for (let i = 0; i < matches; i++) ids.push((await as().post('/fhir/Patient', resource).expect(201)).body.id);
  return { resource, ids, criteria: `identifier=urn:test|${value}`, url: `/fhir/Patient?identifier=urn:test|${value}` };
}

async function versionsOf(id: string): Promise<number> {
  return (await as().get(`/fhir/Patient/${id}/_history`).expect(200)).body.total;
}

describe('conditional create', () => {
  test.each([
    [0, 201],
    [1, 200],
    [2, 412],
  ])('with %i matches is answered with %i', async (matches, status) => {
    const { resource, ids, criteria } = await patients(matches);
    const answer = await as().post('/fhir/Patient', resource).set('if-none-exist', criteria).expect(status);
    if (status === 200) {
      expect(answer.body.id).toBe(ids[0]);
      expect(answer.headers).toMatchObject({ etag: 'W/"1"', location: `${BASE}/Patient/${ids[0]}/_history/1` });
      expect(await versionsOf(ids[0] as string)).toBe(1);
    }
    if (status === 412) expect((answer.body as OperationOutcome).issue[0]?.code).toBe('multiple-matches');
  });

  test.each([
    ['an empty condition', ''],
    ['no condition but a result parameter', '_count=1'],
    ['an unknown parameter', 'no-such-parameter=1'],
    ['a value that is missing', 'identifier='],
  ])('with %s is refused', async (_about, condition) => {
    const { resource } = await patients(0);
    await as().post('/fhir/Patient', resource).set('if-none-exist', condition).expect(400);
  });
});

describe('conditional update', () => {
  const cases: readonly (readonly [matches: number, id: string, status: number])[] = [
    [0, 'none', 201],
    [0, 'new', 201],
    [0, 'taken', 409],
    [1, 'none', 200],
    [1, 'same', 200],
    [1, 'other', 400],
    [2, 'none', 412],
  ];
  test.each(cases)('with %i matches and id %s is answered with %i', async (matches, wish, status) => {
    const { resource, ids, url } = await patients(matches);
    const id = {
      none: undefined,
      new: `wished-${values}`,
      taken: (await patients(1)).ids[0],
      same: ids[0],
      other: `other-${values}`,
    }[wish];
    const sent = { ...resource, gender: 'other', ...(id === undefined ? {} : { id }) };
    const answer = await as().put(url, sent).expect(status);
    if (status === 201) expect(answer.headers.location).toBe(`${BASE}/Patient/${answer.body.id}/_history/1`);
    if (wish === 'new') expect(answer.body.id).toBe(id);
    if (status === 200) expect(answer.body).toMatchObject({ id: ids[0], meta: { versionId: '2' } });
  });

  test('with If-None-Match: * creates, and never overwrites', async () => {
    const { resource, url } = await patients(0);
    await as().put(url, resource).set('if-none-match', '*').expect(201);
    await as().put(url, resource).set('if-none-match', '*').expect(412);
  });

  test('with If-Match guards what it matches', async () => {
    const { resource, url } = await patients(1);
    await as()
      .put(url, { ...resource, gender: 'male' } as Resource)
      .set('if-match', 'W/"2"')
      .expect(412);
    await as()
      .put(url, { ...resource, gender: 'male' } as Resource)
      .set('if-match', 'W/"1"')
      .expect(200);
  });

  test('that only names a format would mean any resource, and is refused', async () => {
    const { resource } = await patients(0);
    await as().put('/fhir/Patient?_format=json', resource).expect(400);
    await as().delete('/fhir/Patient?_format=json').expect(400);
  });
});

describe('conditional delete', () => {
  test.each([
    [0, 204],
    [1, 204],
    [2, 412],
  ])('with %i matches is answered with %i', async (matches, status) => {
    const { ids, url } = await patients(matches);
    await as().delete(url).expect(status);
    for (const id of ids)
      await as()
        .get(`/fhir/Patient/${id}`)
        .expect(status === 412 ? 200 : 410);
  });
});

describe('If-Match', () => {
  const tags: readonly (readonly [about: string, tag: string, status: number])[] = [
    ['the current version, weak', 'W/"2"', 200],
    ['the current version, strong', '"2"', 200],
    ['a list with the current version', 'W/"1", W/"2"', 200],
    ['a list without it', '"1","3"', 412],
    ['any version', '*', 200],
    ['a stale version', 'W/"1"', 412],
    ['a version to come', 'W/"3"', 412],
    ['a tag of another server', 'W/"a,b"', 412],
    ['no tag', '2', 400],
    ['a tag cut short', 'W/"2', 400],
    ['an empty header', '', 400],
  ];
  const writes: readonly (readonly [method: string, send: (id: string, resource: Resource) => Test])[] = [
    ['PUT', (id, resource) => as().put(`/fhir/Patient/${id}`, { ...resource, id, gender: 'female' } as Resource)],
    ['DELETE', (id) => as().delete(`/fhir/Patient/${id}`)],
    [
      'PATCH',
      (id) =>
        service.http
          .patch(`/fhir/Patient/${id}`)
          .set('authorization', `Bearer ${token}`)
          .set('content-type', 'application/json-patch+json')
          .send('[{"op":"replace","path":"/gender","value":"female"}]'),
    ],
  ];
  const cases = writes.flatMap(([method, send]) =>
    tags.map(([about, tag, status]) => [method, about, tag, status, send] as const),
  );
  test.each(cases)('%s with %s (%s) is answered with %i', async (method, _about, tag, status, send) => {
    const { resource, ids } = await patients(1);
    const id = ids[0] as string;
    await as()
      .put(`/fhir/Patient/${id}`, { ...resource, id, gender: 'male' } as Resource)
      .expect(200);
    await send(id, resource)
      .set('if-match', tag)
      .expect(method === 'DELETE' && status === 200 ? 204 : status);
  });

  test.each(['*', 'W/"1"'])('%s never holds where nothing is, or is left', async (tag) => {
    const { resource, ids } = await patients(1);
    const id = ids[0] as string;
    const absent = { ...resource, id: 'if-match-absent' } as Resource;
    await as().put('/fhir/Patient/if-match-absent', absent).set('if-match', tag).expect(412);
    await as().delete(`/fhir/Patient/${id}`).expect(204);
    await as()
      .put(`/fhir/Patient/${id}`, { ...resource, id })
      .set('if-match', tag)
      .expect(412);
  });

  test('of many updates of one version at once exactly one wins; the others are stale or have lost the race', async () => {
    const { resource, ids } = await patients(1);
    const id = ids[0] as string;
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, i) =>
        as()
          .put(`/fhir/Patient/${id}`, { ...resource, id, birthDate: `1980-01-0${i + 1}` } as Resource)
          .set('if-match', 'W/"1"'),
      ),
    );
    const [winner, ...losers] = answers.toSorted((a, b) => a.status - b.status);
    expect(winner?.status).toBe(200);
    for (const { status, body } of losers) {
      expect([409, 412]).toContain(status);
      expect((body as OperationOutcome).issue[0]).toMatchObject({ code: 'conflict', expression: ['http.If-Match'] });
    }
    expect(await versionsOf(id)).toBe(2);
  });
});

describe('If-None-Match on a write', () => {
  test('is * or refused', async () => {
    const { resource, ids } = await patients(1);
    const id = ids[0] as string;
    await as()
      .put(`/fhir/Patient/${id}`, { ...resource, id })
      .set('if-none-match', 'W/"1"')
      .expect(400);
    await as().delete(`/fhir/Patient/${id}`).set('if-none-match', '*').expect(412);
  });
});

describe('update as create, and revival', () => {
  test('an id of the client’s is created, and continues its versions after a deletion', async () => {
    const resource = { resourceType: 'Patient', id: 'revived', active: true } as Resource;
    await as().put('/fhir/Patient/revived', resource).expect(201);
    await as().delete('/fhir/Patient/revived').expect(204);
    await as().get('/fhir/Patient/revived').expect(410);
    const answer = await as().put('/fhir/Patient/revived', resource).expect(201);
    expect(answer.headers).toMatchObject({ etag: 'W/"3"', location: `${BASE}/Patient/revived/_history/3` });
    await as().get('/fhir/Patient/revived/_history/2').expect(410);
    expect(await versionsOf('revived')).toBe(3);
  });

  test.each([
    ['no id', {}],
    ['another id', { id: 'else' }],
  ])('a body with %s is refused', async (_about, id) => {
    await as()
      .put('/fhir/Patient/named', { resourceType: 'Patient', ...id })
      .expect(400);
  });
});

describe('what a write is answered with', () => {
  test('the id of its AuditEvent, as a read is', async () => {
    await service.newAuditEvents();
    const { headers, body } = await as().post('/fhir/Patient', { resourceType: 'Patient' }).expect(201);
    const gone = await as().delete(`/fhir/Patient/${body.id}`).expect(204);
    const ids = (await service.newAuditEvents()).map(({ id }) => id);
    expect([headers['x-audit-event-id'], gone.headers['x-audit-event-id']]).toEqual(ids);
  });

  const prefers: readonly (readonly [prefer: string | undefined, resourceType: string | undefined])[] = [
    [undefined, 'Patient'],
    ['return=representation', 'Patient'],
    ['return=minimal', undefined],
    ['return=OperationOutcome', 'OperationOutcome'],
    ['respond-async, return=minimal', undefined],
    ['Return=Minimal', undefined],
  ];
  test.each(prefers)('Prefer: %s on create and update', async (prefer, resourceType) => {
    const preferred = (test: Test) => (prefer === undefined ? test : test.set('prefer', prefer));
    const created = await preferred(as().post('/fhir/Patient', { resourceType: 'Patient' })).expect(201);
    expect(created.text === '' ? undefined : created.body.resourceType).toBe(resourceType);
    const [, id] = /Patient\/([^/]+)\/_history\/1$/.exec(String(created.headers.location)) ?? [];
    const resource = { resourceType: 'Patient', id, active: true };
    const updated = await preferred(as().put(`/fhir/Patient/${id}`, resource)).expect(200);
    expect(updated.text === '' ? undefined : updated.body.resourceType).toBe(resourceType);
    for (const { headers } of [created, updated]) {
      expect(headers.etag).toMatch(/^W\/"\d"$/);
      expect(headers['last-modified']).toMatch(/ GMT$/);
    }
  });

  test('a deletion has a body only where an OperationOutcome is preferred, there or not', async () => {
    const { ids } = await patients(1);
    for (const id of [ids[0], ids[0], 'never-was']) {
      const { body } = await as().delete(`/fhir/Patient/${id}`).set('prefer', 'return=OperationOutcome').expect(200);
      expect(body.resourceType).toBe('OperationOutcome');
      expect((await as().delete(`/fhir/Patient/${id}`).expect(204)).text).toBe('');
    }
  });
});
