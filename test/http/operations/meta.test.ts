import type { Meta, Parameters, Resource } from '@medplum/fhirtypes';
import { startTestService, type TestService } from '../service.ts';

let service: TestService;
let token: string;

beforeAll(async () => {
  service = await startTestService();
  token = await service.token();
});
afterAll(() => service.close());

const as = () => service.as(token);
const tag = (code: string) => ({ system: 'http://tags.example', code });
const withMeta = (meta: Meta): Parameters => ({
  resourceType: 'Parameters',
  parameter: [{ name: 'meta', valueMeta: meta }],
});
const metaOf = (body: Parameters): Meta | undefined => body.parameter?.[0]?.valueMeta;

async function patient(id: string, meta?: Meta): Promise<void> {
  const resource: Resource = {
    resourceType: 'Patient',
    id,
    ...(meta === undefined ? {} : { meta }),
    birthDate: '1980-01-01',
  };
  await as().put(`/fhir/Patient/${id}`, resource).expect(201);
}

async function found(query: string): Promise<string[]> {
  const { body } = await as().get(`/fhir/Patient?${query}`).expect(200);
  return (body.entry ?? []).map(({ resource }: { resource: Resource }) => resource.id);
}

test('$meta-add changes the version that is there, and the search follows', async () => {
  await patient('add', { tag: [tag('one')] });
  const before = (await as().get('/fhir/Patient/add').expect(200)).body;
  const added = await as()
    .post(
      '/fhir/Patient/add/$meta-add',
      withMeta({
        tag: [tag('one'), tag('two')],
        profile: ['http://profile.example'],
        security: [{ system: 'http://labels.example', code: 'x' }],
      }),
    )
    .expect(200);
  expect(metaOf(added.body)).toMatchObject({
    versionId: '1',
    lastUpdated: before.meta.lastUpdated,
    profile: ['http://profile.example'],
    tag: [tag('one'), tag('two')],
  });
  const after = await as().get('/fhir/Patient/add').expect(200);
  expect(after.headers.etag).toBe('W/"1"');
  expect(after.body).toMatchObject({ birthDate: '1980-01-01', meta: metaOf(added.body) });
  expect((await as().get('/fhir/Patient/add/_history').expect(200)).body.entry).toHaveLength(1);
  expect(await found('_tag=http://tags.example|two')).toEqual(['add']);
  expect(await found('_profile=http://profile.example')).toEqual(['add']);
  expect(await found('_security=http://labels.example|x')).toEqual(['add']);
});

test('$meta-delete takes away what is named and leaves the rest', async () => {
  await patient('delete', { tag: [tag('stays'), tag('goes')] });
  const { body } = await as()
    .post('/fhir/Patient/delete/$meta-delete', withMeta({ tag: [tag('goes'), tag('was-never-there')] }))
    .expect(200);
  expect(metaOf(body)?.tag).toEqual([tag('stays')]);
  expect(await found('_tag=goes')).toEqual([]);
  expect(await found('_tag=stays')).toEqual(['delete']);
});

test('the next version goes on from the changed meta or states its own, as every update does', async () => {
  await patient('next');
  await as()
    .post('/fhir/Patient/next/$meta-add', withMeta({ tag: [tag('n')] }))
    .expect(200);
  const { body } = await as().get('/fhir/Patient/next').expect(200);
  await as()
    .put('/fhir/Patient/next', { ...body, birthDate: '1981-01-01' })
    .expect(200);
  expect(await found('_tag=n')).toEqual(['next']);
});

test('an older version changes by itself: neither the current one nor the search does', async () => {
  await patient('old');
  await as().put('/fhir/Patient/old', { resourceType: 'Patient', id: 'old', birthDate: '1999-09-09' }).expect(200);
  await as()
    .post('/fhir/Patient/old/_history/1/$meta-add', withMeta({ tag: [tag('older')] }))
    .expect(200);
  const { body } = await as().get('/fhir/Patient/old/_history/1/$meta').expect(200);
  expect(metaOf(body)).toMatchObject({ versionId: '1', tag: [tag('older')] });
  expect(metaOf((await as().get('/fhir/Patient/old/$meta').expect(200)).body)?.tag).toBeUndefined();
  expect(await found('_tag=older')).toEqual([]);
});

test('what stood there before is kept, and nothing but the meta can be changed', async () => {
  await patient('kept');
  await as()
    .post('/fhir/Patient/kept/$meta-add', withMeta({ tag: [tag('k')] }))
    .expect(200);
  const pool = service.clinic.database.clinicPool();
  const { rows } = await pool.query<{ content: string }>(
    `select b.content from resource_meta_before b join resource r using (rid) where r.type = 'Patient' and r.id = 'kept'`,
  );
  expect(rows).toHaveLength(1);
  expect(rows[0]?.content).not.toContain('tags.example');
  await expect(pool.query(`update resource_version set content = replace(content, '1980', '1970')`)).rejects.toThrow(
    /append only/,
  );
  await expect(pool.query('delete from resource_version')).rejects.toThrow(/append only/);
  await expect(pool.query('delete from resource_meta_before')).rejects.toThrow(/append only/);
});

test('the labels that the clinic needs cannot be taken away, and a second confidentiality is refused', async () => {
  await patient('label');
  const normal = { system: 'http://terminology.hl7.org/CodeSystem/v3-Confidentiality', code: 'N' };
  const { body } = await as()
    .post('/fhir/Patient/label/$meta-delete', withMeta({ security: [normal] }))
    .expect(200);
  expect(metaOf(body)?.security).toEqual([expect.objectContaining(normal)]);
  const second = { ...normal, code: 'R' };
  const refused = await as()
    .post('/fhir/Patient/label/$meta-add', withMeta({ security: [second] }))
    .expect(422);
  expect(refused.body.issue[0]).toMatchObject({
    code: 'business-rule',
    expression: ['Parameters.parameter[0].value.ofType(Meta).security'],
  });
});

test('digits are as they were', async () => {
  const observation = `{"resourceType":"Observation","id":"digits","status":"final","code":{"text":"x"},"valueQuantity":{"value":0.50}}`;
  await service.http
    .put('/fhir/Observation/digits')
    .set('authorization', `Bearer ${token}`)
    .set('content-type', 'application/fhir+json')
    .send(observation)
    .expect(201);
  await as()
    .post('/fhir/Observation/digits/$meta-add', withMeta({ tag: [tag('d')] }))
    .expect(200);
  expect((await as().get('/fhir/Observation/digits').expect(200)).text).toContain('"value":0.50');
});

test('$meta of a type and of everything lists what is in use, as far as the token may search', async () => {
  await patient('used', { tag: [tag('in-use')], profile: ['http://profile.example/used'] });
  for (const path of ['/fhir/Patient/$meta', '/fhir/$meta']) {
    const meta = metaOf((await as().get(path).expect(200)).body);
    expect(meta?.tag).toContainEqual(tag('in-use'));
    expect(meta?.profile).toContain('http://profile.example/used');
    expect(meta?.versionId).toBeUndefined();
  }
  const blind = service.as(await service.token('system/Observation.rs'));
  expect(metaOf((await blind.get('/fhir/$meta').expect(200)).body)?.tag).not.toContainEqual(tag('in-use'));
  await blind.get('/fhir/Patient/$meta').expect(403);
});

test('a change is audited for its patient', async () => {
  await patient('audited');
  await service.newAuditEvents();
  await as()
    .post('/fhir/Patient/audited/$meta-add', withMeta({ tag: [tag('a')] }))
    .expect(200);
  const events = await service.newAuditEvents();
  expect(events).toHaveLength(1);
  expect(events[0]).toMatchObject({ action: 'U', subtype: [{ code: 'operation' }] });
  expect(JSON.stringify(events[0])).toContain('Patient/audited');
});

test.each<[string, string, object | undefined, number, string | undefined]>([
  ['without meta', 'Patient/bad/$meta-add', { resourceType: 'Parameters' }, 400, 'Parameters.parameter'],
  [
    'with another type',
    'Patient/bad/$meta-add',
    { resourceType: 'Parameters', parameter: [{ name: 'meta', valueString: 'x' }] },
    400,
    'Parameters.parameter[0].value.ofType(string)',
  ],
  [
    'with a wrong meta',
    'Patient/bad/$meta-add',
    { resourceType: 'Parameters', parameter: [{ name: 'meta', valueMeta: { tag: 'x' } }] },
    400,
    undefined,
  ],
  ['of nobody', 'Patient/none/$meta-add', withMeta({ tag: [tag('x')] }), 404, undefined],
  ['of a version that is not there', 'Patient/bad/_history/9/$meta-add', withMeta({ tag: [tag('x')] }), 404, undefined],
  ['of a version that cannot be', 'Patient/bad/_history/x/$meta-add', withMeta({ tag: [tag('x')] }), 404, undefined],
  ['by GET', 'Patient/bad/$meta-add', undefined, 405, undefined],
])('a change %s is refused', async (_case, url, body, status, place) => {
  await as().put('/fhir/Patient/bad', { resourceType: 'Patient', id: 'bad' });
  const sent = body === undefined ? as().get(`/fhir/${url}`) : as().post(`/fhir/${url}`, body);
  const answer = await sent.expect(status);
  expect(answer.body.resourceType).toBe('OperationOutcome');
  if (place !== undefined) expect(answer.body.issue[0].expression).toEqual([place]);
});

test('the scope to update is needed', async () => {
  await patient('scope');
  const reader = service.as(await service.token('system/*.rs'));
  await reader.post('/fhir/Patient/scope/$meta-add', withMeta({ tag: [tag('x')] })).expect(403);
});
