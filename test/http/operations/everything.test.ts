import type { Bundle, BundleEntry, Resource } from '@medplum/fhirtypes';
import fc from 'fast-check';
import { careDates } from '../../../src/fhir/care-dates.ts';
import { fhir } from '../../record/clinic.ts';
import { startTestService, type TestService } from '../service.ts';

let service: TestService;
let token: string;

const subject = { reference: 'Patient/p1' };
const note = 'https://kap.example.org/fhir/CodeSystem/kap';

const chart: Resource[] = [
  { resourceType: 'Organization', id: 'clinic', name: 'Clinic' },
  { resourceType: 'Organization', id: 'unrelated', name: 'Elsewhere' },
  { resourceType: 'Practitioner', id: 'nurse' },
  { resourceType: 'Practitioner', id: 'recorder' },
  { resourceType: 'Device', id: 'pump' },
  { resourceType: 'Patient', id: 'p1', managingOrganization: { reference: 'Organization/clinic' } },
  { resourceType: 'Patient', id: 'p2' },
  {
    resourceType: 'Encounter',
    id: 'e1',
    status: 'finished',
    class: { system: 'http://terminology.hl7.org/CodeSystem/v3-ActCode', code: 'AMB' },
    subject,
    participant: [{ individual: { reference: 'Practitioner/nurse' } }],
    period: { start: '2026-03-01T09:00:00Z', end: '2026-03-01T11:00:00Z' },
  },
  {
    resourceType: 'Observation',
    id: 'o1',
    status: 'final',
    code: { text: 'x' },
    subject,
    encounter: { reference: 'Encounter/e1' },
    device: { reference: 'Device/pump' },
    effectiveDateTime: '2026-03-01T10:00:00Z',
  },
  {
    resourceType: 'Observation',
    id: 'o2',
    status: 'final',
    code: { text: 'x' },
    subject,
    effectiveDateTime: '2026-05-01',
  },
  { resourceType: 'Observation', id: 'o3', status: 'final', code: { text: 'x' }, subject: { reference: 'Patient/p2' } },
  // Its recorder has no search parameter.
  {
    resourceType: 'Procedure',
    id: 'pr1',
    status: 'completed',
    subject,
    recorder: { reference: 'Practitioner/recorder' },
    performedDateTime: '2026-03-01',
  },
  { resourceType: 'Binary', id: 'b1', contentType: 'text/plain', data: 'aGk=' },
  {
    resourceType: 'DocumentReference',
    id: 'd1',
    status: 'current',
    subject,
    content: [{ attachment: { url: 'Binary/b1' } }],
  },
  {
    resourceType: 'DocumentReference',
    id: 'note',
    status: 'current',
    subject,
    type: { coding: [{ system: note, code: 'psychotherapy-note' }] },
    content: [{ attachment: { contentType: 'text/plain', data: 'aGk=' } }],
  },
  {
    resourceType: 'AllergyIntolerance',
    id: 'a1',
    patient: subject,
    clinicalStatus: {
      coding: [{ system: 'http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical', code: 'active' }],
    },
  },
  // In the compartment of p1 as its performer, and about p2.
  {
    resourceType: 'Observation',
    id: 'o4',
    status: 'final',
    code: { text: 'x' },
    subject: { reference: 'Patient/p2' },
    performer: [subject],
    effectiveDateTime: '2026-03-02',
  },
];

beforeAll(async () => {
  service = await startTestService();
  token = await service.token();
  for (const resource of chart) {
    await service.as(token).put(`/fhir/${resource.resourceType}/${resource.id}`, resource).expect(201);
  }
});
afterAll(() => service.close());

async function pages(url: string, scope?: string): Promise<BundleEntry[]> {
  const as = service.as(scope === undefined ? token : await service.token(scope));
  const entries: BundleEntry[] = [];
  let next: string | undefined = url;
  while (next !== undefined) {
    const bundle: Bundle = (await as.get(next).expect(200)).body;
    expect(bundle).toMatchObject({ resourceType: 'Bundle', type: 'searchset' });
    entries.push(...(bundle.entry ?? []));
    next = bundle.link?.find(({ relation }) => relation === 'next')?.url.replace('http://127.0.0.1:8080', '');
  }
  return entries;
}

/** Without the Provenances that the service writes about each change. */
function names(entries: readonly BundleEntry[]): string[] {
  return entries
    .filter(({ resource }) => resource?.resourceType !== 'Provenance')
    .map(({ resource }) => `${resource?.resourceType}/${resource?.id}`);
}

const OWN = ['Patient/p1', 'Encounter/e1', 'Observation/o1', 'Observation/o2', 'Procedure/pr1', 'DocumentReference/d1'];
const OWN_TOO = ['AllergyIntolerance/a1', 'Observation/o4'];
const SUPPORTING = ['Organization/clinic', 'Practitioner/nurse', 'Practitioner/recorder', 'Device/pump'];
const NAMED_TOO = ['Patient/p2', 'Binary/b1'];

test('the patient comes first, then the compartment, then what it refers to, each once', async () => {
  const entries = await pages('/fhir/Patient/p1/$everything');
  expect(names(entries)).toEqual([...OWN, ...OWN_TOO, ...SUPPORTING, ...NAMED_TOO]);
  const modes = entries.flatMap(({ search, resource }) =>
    resource?.resourceType === 'Provenance' ? [] : [search?.mode],
  );
  expect(modes.slice(0, 8)).toEqual(Array(8).fill('match'));
  expect(new Set(modes.slice(8))).toEqual(new Set(['include']));
});

test.each<[string, string, string[]]>([
  [
    'start and end are dates of care; what has none is always in the period',
    'start=2026-03-01&end=2026-03-01',
    [
      'Patient/p1',
      'Encounter/e1',
      'Observation/o1',
      'Procedure/pr1',
      'DocumentReference/d1',
      'AllergyIntolerance/a1',
      ...SUPPORTING,
      'Binary/b1',
    ],
  ],
  [
    'end alone reaches back without limit',
    'end=2026-03-01T09:30:00Z',
    [
      'Patient/p1',
      'Encounter/e1',
      'Procedure/pr1',
      'DocumentReference/d1',
      'AllergyIntolerance/a1',
      'Organization/clinic',
      'Practitioner/nurse',
      'Practitioner/recorder',
      'Binary/b1',
    ],
  ],
  [
    '_type narrows all that is shown',
    '_type=Observation,Device',
    ['Observation/o1', 'Observation/o2', 'Observation/o4', 'Device/pump'],
  ],
  [
    '_type may be repeated',
    '_type=Practitioner&_type=Patient',
    ['Patient/p1', 'Practitioner/nurse', 'Practitioner/recorder', 'Patient/p2'],
  ],
  ['_since leaves out what did not change', '_since=2999-01-01T00:00:00Z', []],
])('%s', async (_title, query, expected) => {
  expect(names(await pages(`/fhir/Patient/p1/$everything?${query}`)).sort()).toEqual([...expected].sort());
});

test('a date of care that reaches into the period is in it', async () => {
  const day = names(
    await pages(
      '/fhir/Patient/p1/$everything?start=2026-03-01T10:59:00Z&end=2026-03-01T11:30:00Z&_type=Encounter,Observation,Procedure',
    ),
  );
  expect(day).toEqual(['Encounter/e1', 'Procedure/pr1']);
});

test('the Encounter comes with its compartment and what that refers to', async () => {
  const entries = await pages('/fhir/Encounter/e1/$everything');
  expect(names(entries)).toEqual(['Encounter/e1', 'Observation/o1', 'Practitioner/nurse', 'Device/pump', 'Patient/p1']);
});

test('all patients together: every compartment and what it refers to, once', async () => {
  const entries = names(await pages('/fhir/Patient/$everything?_count=3'));
  expect(entries.slice(0, 2)).toEqual(['Patient/p1', 'Patient/p2']);
  expect(new Set(entries).size).toBe(entries.length);
  expect([...entries].sort()).toEqual(
    [
      ...OWN,
      ...OWN_TOO,
      'Observation/o3',
      'Patient/p2',
      'Organization/clinic',
      'Practitioner/nurse',
      'Device/pump',
    ].sort(),
  );
});

test('types that the token may not see are absent, and so is what only they refer to', async () => {
  const few = 'system/Patient.rs system/Procedure.rs system/Practitioner.r system/Device.rs';
  expect(names(await pages('/fhir/Patient/p1/$everything', few))).toEqual([
    'Patient/p1',
    'Procedure/pr1',
    'Practitioner/recorder',
  ]);
  const as = service.as(await service.token('system/Observation.rs'));
  await as.get('/fhir/Patient/p1/$everything').expect(403);
});

test('POST takes the same parameters, and its links can be followed', async () => {
  const body = {
    resourceType: 'Parameters',
    parameter: [
      { name: '_type', valueCode: 'Observation' },
      { name: '_count', valueInteger: 2 },
    ],
  };
  const first: Bundle = (await service.as(token).post('/fhir/Patient/p1/$everything', body).expect(200)).body;
  expect(names(first.entry ?? [])).toEqual(['Observation/o1', 'Observation/o2']);
  const next = first.link
    ?.find(({ relation }) => relation === 'next')
    ?.url.replace('http://127.0.0.1:8080', '') as string;
  expect(names(await pages(next))).toEqual(['Observation/o4']);
});

test('in a bundle it is answered as by itself', async () => {
  const parameters = { resourceType: 'Parameters', parameter: [{ name: '_type', valueCode: 'Encounter' }] };
  const batch = {
    resourceType: 'Bundle',
    type: 'batch',
    entry: [
      { request: { method: 'GET', url: 'Patient/p1/$everything?_type=Encounter' } },
      { request: { method: 'POST', url: 'Patient/p1/$everything' }, resource: parameters },
      { request: { method: 'GET', url: 'Patient/p1/$everything?foo=1' } },
    ],
  };
  const { entry = [] } = (await service.as(token).post('/fhir', batch).expect(200)).body as Bundle;
  expect(entry.map(({ response }) => response?.status.slice(0, 3))).toEqual(['200', '200', '400']);
  for (const one of entry.slice(0, 2)) expect(names((one.resource as Bundle).entry ?? [])).toEqual(['Encounter/e1']);
});

test('who was deleted is gone', async () => {
  await service.as(token).put('/fhir/Patient/gone', { resourceType: 'Patient', id: 'gone' }).expect(201);
  await service.as(token).delete('/fhir/Patient/gone');
  await service.as(token).get('/fhir/Patient/gone/$everything').expect(410);
});

test('one event says for whom it was', async () => {
  await service.newAuditEvents();
  await pages('/fhir/Patient/p1/$everything?_type=Encounter');
  const [event, ...more] = await service.newAuditEvents();
  expect(more).toEqual([]);
  expect(event).toMatchObject({ subtype: [{ code: 'operation' }], action: 'E' });
  expect(JSON.stringify(event)).toContain('Patient/p1');
});

test.each<[string, string, number, string | undefined]>([
  ['nobody', 'Patient/none/$everything', 404, undefined],
  ['an unknown parameter', 'Patient/p1/$everything?foo=1', 400, 'http.foo'],
  ['a repeated one', 'Patient/p1/$everything?start=2026&start=2027', 400, 'http.start'],
  ['a date that is none', 'Patient/p1/$everything?start=tomorrow', 400, 'http.start'],
  ['a type that R4 has not', 'Patient/p1/$everything?_type=Foo', 400, 'http._type'],
  ['a count of nothing', 'Patient/p1/$everything?_count=0', 400, 'http._count'],
  ['a damaged page link', 'Patient/p1/$everything?_cursor=AAAA', 400, 'http._cursor'],
  ['an Encounter with dates', 'Encounter/e1/$everything?start=2026', 400, 'http.start'],
  ['an attack in a date', `Patient/p1/$everything?start=${encodeURIComponent("' OR 1=1--")}`, 400, 'http.start'],
])('%s is refused', async (_case, url, status, place) => {
  const { body } = await service.as(token).get(`/fhir/${url}`).expect(status);
  expect(body.resourceType).toBe('OperationOutcome');
  if (place !== undefined) expect(body.issue[0].expression).toEqual([place]);
});

test('a page link belongs to its request', async () => {
  const { body } = await service.as(token).get('/fhir/Patient/p1/$everything?_count=1').expect(200);
  const cursor = new URL(body.link[1].url).searchParams.get('_cursor') as string;
  await service.as(token).get(`/fhir/Patient/p2/$everything?_count=1&_cursor=${cursor}`).expect(400);
  await service.as(token).get(`/fhir/Patient/p1/$everything?_count=2&_cursor=${cursor}`).expect(200);
});

test('in pages of any size it is the same as whole, and the same as the compartment worked out by hand', async () => {
  const whole = names(await pages('/fhir/Patient/p1/$everything'));
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 20 }), async (count) => {
      expect(names(await pages(`/fhir/Patient/p1/$everything?_count=${count}`))).toEqual(whole);
    }),
    { numRuns: 12 },
  );
  expect([...whole].sort()).toEqual(naive('p1').sort());
});

/** A member has a reference to the patient under a parameter of the compartment; here: at an element of that name. */
function naive(patientId: string): string[] {
  const name = (resource: Resource) => `${resource.resourceType}/${resource.id}`;
  const isNote = ({ id }: Resource) => id === 'note';
  const referred = (value: unknown): string[] =>
    typeof value !== 'object' || value === null
      ? []
      : Object.entries(value).flatMap(([key, inner]) =>
          (key === 'reference' || key === 'url') && typeof inner === 'string' ? [inner] : referred(inner),
        );
  // The parameter `patient` is about an element `patient` or `subject`.
  const elements = (code: string) => (code === 'patient' ? ['patient', 'subject'] : [code]);
  const members = chart.filter(
    (resource) =>
      !isNote(resource) &&
      (name(resource) === `Patient/${patientId}` ||
        fhir.definitions
          .patientCompartment(resource.resourceType)
          .flatMap(elements)
          .some((name) =>
            referred((resource as unknown as Record<string, unknown>)[name]).includes(`Patient/${patientId}`),
          )),
  );
  const all = new Set(members.map(name));
  const known = new Set(chart.map(name));
  for (const member of members) for (const target of referred(member)) if (known.has(target)) all.add(target);
  return [...all];
}

test('complete and without repeats while others write', async () => {
  const as = service.as(token);
  const patient = { resourceType: 'Patient', id: 'busy' } as const;
  await as.put('/fhir/Patient/busy', patient).expect(201);
  const observation = (n: number, text: string): Resource => ({
    resourceType: 'Observation',
    id: `busy-${n}`,
    status: 'final',
    code: { text },
    subject: { reference: 'Patient/busy' },
  });
  for (let n = 0; n < 12; n++) await as.put(`/fhir/Observation/busy-${n}`, observation(n, 'first')).expect(201);
  const seen: string[] = [];
  let next: string | undefined = '/fhir/Patient/busy/$everything?_count=3';
  for (let n = 0; next !== undefined && n < 40; n++) {
    const bundle: Bundle = (await as.get(next).expect(200)).body;
    seen.push(...names(bundle.entry ?? []));
    next = bundle.link?.find(({ relation }) => relation === 'next')?.url.replace('http://127.0.0.1:8080', '');
    await as.put(`/fhir/Observation/busy-${n % 12}`, observation(n % 12, `again ${n}`)).expect(200);
    if (n < 6)
      await as.put(`/fhir/Observation/busy-new-${n}`, { ...observation(n, 'new'), id: `busy-new-${n}` }).expect(201);
  }
  expect(new Set(seen).size).toBe(seen.length);
  for (let n = 0; n < 12; n++) expect(seen).toContain(`Observation/busy-${n}`);
});

test('every date of care is a search parameter of R4', () => {
  for (const [type, codes] of Object.entries(careDates)) {
    for (const code of codes)
      expect([type, code, fhir.registry.of(type).get(code)?.kind]).toEqual([type, code, 'date']);
  }
});
