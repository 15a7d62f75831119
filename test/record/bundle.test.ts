import type { Bundle, BundleEntry, Resource } from '@medplum/fhirtypes';
import fc from 'fast-check';
import type { Failure } from '../../src/fhir/failure.ts';
import { createPatchReader } from '../../src/fhir/patch/patch-reader.ts';
import { type BundleOptions, type BundleResponse, processBundle } from '../../src/record/bundle.ts';
import type { StoredResource, WriteResult } from '../../src/record/record.ts';
import { BASE, fhir, openTestClinic, type TestClinic, writeContext } from './clinic.ts';

let clinic: TestClinic;
beforeAll(async () => {
  clinic = await openTestClinic();
});
afterAll(() => clinic.database.drop());

const options: BundleOptions = {
  authorize: () => undefined,
  isResourceType: (type) => fhir.definitions.isResourceType(type),
  patches: createPatchReader(fhir.definitions, fhir.validator.validate),
  baseUrls: [BASE],
  validate: fhir.validator.validate,
  ask: ({ url }) => {
    const answer = async () => {
      const [type, id] = url.split('/') as [string, string];
      const stored = await clinic.record.read(type, id);
      return { kind: 'read', status: 200, headers: {}, body: stored.content } as const;
    };
    return { answer, rehearse: async () => void (await answer()) };
  },
};

function send(bundle: Bundle): Promise<BundleResponse> {
  return processBundle(clinic.record, bundle, writeContext(bundle.type), options);
}

function bundle(type: 'transaction' | 'batch', entry: BundleEntry[]): Bundle {
  return { resourceType: 'Bundle', type, entry };
}

const patient: Resource = { resourceType: 'Patient', name: [{ family: 'Example' }], birthDate: '1986-04-12' };

function post(resource: Resource, fullUrl?: string): BundleEntry {
  return { ...(fullUrl ? { fullUrl } : {}), resource, request: { method: 'POST', url: resource.resourceType } };
}

/** Of what was sent: the Provenance that tells of it is not counted. */
async function versions(): Promise<number> {
  const count = "select count(*)::integer as n from resource_version where type <> 'Provenance'";
  const { rows } = await clinic.database.clinicPool().query(count);
  return rows[0].n;
}

async function refused(sent: Bundle): Promise<Failure> {
  return send(sent).then(
    () => {
      throw new Error('was not refused');
    },
    (failure: Failure) => failure,
  );
}

test('a read in a transaction sees what the transaction wrote', async () => {
  const id = 'read-in-transaction';
  const { entries } = await send(
    bundle('transaction', [
      { request: { method: 'GET', url: `Patient/${id}` } },
      { resource: { ...patient, id } as Resource, request: { method: 'PUT', url: `Patient/${id}` } },
    ]),
  );
  expect(entries.map(({ kind }) => kind)).toEqual(['read', 'written']);
  expect(entries[0]).toMatchObject({ status: 200 });
});

test('one refused entry of a batch leaves the others alone', async () => {
  const { entries } = await send(
    bundle('batch', [post(patient), post({ ...patient, birthDate: '1986-02-30' } as Resource), post(patient)]),
  );
  expect(entries.map(({ kind }) => kind)).toEqual(['written', 'refused', 'written']);
});

test.each<[string, BundleEntry, string]>([
  ['without a request', { resource: patient }, 'Bundle.entry[0].request'],
  [
    'with an unknown type',
    { resource: patient, request: { method: 'POST', url: 'Patience' } },
    'Bundle.entry[0].request.url',
  ],
  [
    'that posts to an id',
    { resource: patient, request: { method: 'POST', url: 'Patient/1' } },
    'Bundle.entry[0].request.url',
  ],
  ['without a resource', { request: { method: 'POST', url: 'Patient' } }, 'Bundle.entry[0].resource'],
  [
    'with a damaged ifMatch',
    { resource: patient, request: { method: 'PUT', url: 'Patient/1', ifMatch: 'x' } },
    'Bundle.entry[0].request.ifMatch',
  ],
  [
    'whose url and body differ',
    { resource: patient, request: { method: 'POST', url: 'Group' } },
    'Bundle.entry[0].resource.resourceType',
  ],
])('an entry %s is refused with its place', async (_case, entry, place) => {
  const failure = await refused(bundle('transaction', [entry]));
  expect(failure.issues.map(({ expression }) => expression)).toContain(place);
});

test('a searchset sent to the base is refused', async () => {
  const failure = await refused({ resourceType: 'Bundle', type: 'searchset' });
  expect(failure.issues[0]).toMatchObject({ expression: 'Bundle.type' });
});

test('a relative reference means the entry of the sender’s own server, not ours of the same id', async () => {
  const id = 'of-two-servers';
  await send(
    bundle('transaction', [{ resource: { ...patient, id }, request: { method: 'PUT', url: `Patient/${id}` } }]),
  );
  const observation = {
    resourceType: 'Observation',
    status: 'final',
    code: { text: 'any' },
    subject: { reference: `Patient/${id}` },
  } as Resource;
  const theirs = 'https://sender.example.org/fhir';
  const { entries } = await send(
    bundle('transaction', [post(observation, `${theirs}/Observation/1`), post(patient, `${theirs}/Patient/${id}`)]),
  );
  const [written, subject] = entries.map((entry) => (entry as { result: WriteResult }).result.stored as StoredResource);
  expect(JSON.parse(written?.content ?? '').subject.reference).toBe(`Patient/${subject?.id}`);
  expect(subject?.id).not.toBe(id);
});

test.each([
  ['relative', 'Patient?identifier=urn:test|conditional-reference'],
  ['below our own base', `${BASE}/Patient?identifier=urn:test|conditional-reference`],
])('a conditional reference, %s, finds the one resource it means', async (_case, reference) => {
  const identifier = [{ system: 'urn:test', value: 'conditional-reference' }];
  const entry = post({ ...patient, identifier } as Resource);
  await send(
    bundle('transaction', [
      {
        ...entry,
        request: { method: 'POST', url: 'Patient', ifNoneExist: 'identifier=urn:test|conditional-reference' },
      },
    ]),
  );
  const observation = {
    resourceType: 'Observation',
    status: 'final',
    code: { text: 'any' },
    subject: { reference },
  } as Resource;
  const { entries } = await send(bundle('transaction', [post(observation)]));
  const content = JSON.parse((entries[0] as { result: { stored: { content: string } } }).result.stored.content);
  expect(content.subject.reference).toMatch(/^Patient\/[A-Za-z0-9.-]+$/);
});

test.each(['POST', 'PUT'] as const)(
  'a conditional reference finds the entry that a %s creates under the same condition',
  async (method) => {
    const criteria = `identifier=urn:test|created-beside-${method}`;
    const identifier = [{ system: 'urn:test', value: `created-beside-${method}` }];
    const observation = {
      resourceType: 'Observation',
      status: 'final',
      code: { text: 'any' },
      subject: { reference: `Patient?${criteria}` },
    } as Resource;
    const request =
      method === 'POST' ? { method, url: 'Patient', ifNoneExist: criteria } : { method, url: `Patient?${criteria}` };
    const { entries } = await send(
      bundle('transaction', [post(observation), { resource: { ...patient, identifier } as Resource, request }]),
    );
    const [written, subject] = entries.map(
      (entry) => (entry as { result: WriteResult }).result.stored as StoredResource,
    );
    expect(JSON.parse(written?.content ?? '').subject.reference).toBe(`Patient/${subject?.id}`);
  },
);

test('a conditional reference finds what the same transaction creates, by its identifier', async () => {
  const identifier = [{ system: 'urn:test', value: 'created-with-it' }];
  const observation = {
    resourceType: 'Observation',
    status: 'final',
    code: { text: 'any' },
    subject: { reference: 'Patient?identifier=urn:test|created-with-it' },
  } as Resource;
  const { entries } = await send(
    bundle('transaction', [post(observation), post({ ...patient, identifier } as Resource)]),
  );
  const [first, second] = contents({ type: 'transaction-response', entries }).map((text) => JSON.parse(text));
  expect(first.subject.reference).toBe(`Patient/${second.id}`);
  const again = bundle('transaction', [
    post(structuredClone(observation)),
    post({ ...patient, identifier } as Resource),
  ]);
  again.entry?.forEach(({ resource }) => {
    if (resource?.resourceType === 'Observation')
      resource.subject = { reference: 'Patient?identifier=urn:test|created-with-it' };
  });
  const failure = await refused(again);
  expect(failure.issues[0]?.code).toBe('multiple-matches');
});

test('a conditional reference that matches nothing refuses the transaction with its place', async () => {
  const before = await versions();
  const observation = {
    resourceType: 'Observation',
    status: 'final',
    code: { text: 'any' },
    subject: { reference: 'Patient?identifier=urn:test|nobody' },
  } as Resource;
  const failure = await refused(bundle('transaction', [post(patient), post(observation)]));
  expect(failure.issues[0]?.expression).toBe('Bundle.entry[1].resource.subject.reference');
  expect(await versions()).toBe(before);
});

/** A transaction as a graph: entry i refers to the entries in links[i]; -1 is a fullUrl that no entry has. */
const graphs = fc
  .array(
    fc.record({
      type: fc.constantFrom('Encounter', 'Procedure', 'Observation'),
      links: fc.array(fc.nat(9), { maxLength: 3 }),
    }),
    {
      minLength: 1,
      maxLength: 8,
    },
  )
  .chain((nodes) =>
    fc.record({ nodes: fc.constant(nodes), dangling: fc.option(fc.nat(nodes.length - 1), { freq: 3 }) }),
  );

let run = 0;

test('a transaction stores its whole graph with every link resolved, or nothing', async () => {
  await fc.assert(
    fc.asyncProperty(graphs, async ({ nodes, dangling }) => {
      run++;
      const entries = nodes.map(({ type, links }, i): BundleEntry => {
        const targets = links.map((link) => `urn:uuid:${link % nodes.length}`);
        if (dangling === i) targets.push('urn:uuid:nobody');
        const identifier = { system: 'urn:graph', value: `${run}-${i}` };
        const resource = graphNode(type, identifier, targets);
        const request = { method: 'POST', url: type, ifNoneExist: `identifier=urn:graph|${identifier.value}` } as const;
        return { fullUrl: `urn:uuid:${i}`, resource, request };
      });
      const before = await versions();
      if (dangling !== null) {
        await refused(bundle('transaction', entries));
        expect(await versions()).toBe(before);
        return;
      }
      const first = contents(await send(bundle('transaction', structuredClone(entries))));
      expect(await versions()).toBe(before + nodes.length);
      expect(first.join()).not.toContain('urn:uuid:');
      const ids = new Set(first.map((text) => `${JSON.parse(text).resourceType}/${JSON.parse(text).id}`));
      for (const reference of first.join().matchAll(/"reference":"([^"]+)"/g)) expect(ids).toContain(reference[1]);
      // Sent again, it finds what it made and changes nothing.
      const second = contents(await send(bundle('transaction', structuredClone(entries))));
      expect(second).toEqual(first);
      expect(await versions()).toBe(before + nodes.length);
    }),
    { numRuns: 40 },
  );
});

function graphNode(type: string, identifier: { system: string; value: string }, targets: readonly string[]): Resource {
  const links = targets.map((reference) => ({
    url: 'https://example.org/link',
    valueReference: { reference },
  }));
  const common = { resourceType: type, identifier: [identifier], ...(links.length > 0 ? { extension: links } : {}) };
  const own: Record<string, object> = {
    Encounter: { status: 'finished', class: { code: 'AMB' } },
    Procedure: { status: 'completed', subject: { display: 'nobody' } },
    Observation: { status: 'final', code: { text: 'any' } },
  };
  return { ...common, ...own[type] } as Resource;
}

function contents({ entries }: BundleResponse): string[] {
  return entries.map((entry) => (entry.kind === 'written' ? (entry.result.stored?.content ?? '') : ''));
}
