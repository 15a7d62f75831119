/** References between the entries of a transaction. @see https://hl7.org/fhir/R4/http.html#trules and bundle.html#references */
import fc from 'fast-check';
import { BASE, startTestService, type TestService } from '../service.ts';
import { type Entry, identified, nameOf, observation, post, put, senderOf, someone } from './sending.ts';

let service: TestService;
let token: string;
const { sent, refused, create, read } = senderOf(
  () => service,
  () => token,
);

beforeAll(async () => {
  service = await startTestService();
  token = await service.token();
});
afterAll(() => service.close());

const UUID = 'urn:uuid:6f8c2b1e-0d5f-4a3c-9d27-1f0f5a4f1a01';
const THEIRS = 'https://sender.example.org/fhir';

/** What the first entry, an Observation, refers to once both are stored; `target` for the name of the second. */
const forms: readonly (readonly [
  about: string,
  fullUrl: string,
  from: string | undefined,
  reference: string,
  becomes: string,
])[] = [
  ['a urn:uuid', UUID, undefined, UUID, 'target'],
  ['a urn:oid', 'urn:oid:1.2.840.113619.1', undefined, 'urn:oid:1.2.840.113619.1', 'target'],
  ['an absolute url of another server', `${THEIRS}/Patient/7`, undefined, `${THEIRS}/Patient/7`, 'target'],
  [
    'relative to the server of its own fullUrl',
    `${THEIRS}/Patient/7`,
    `${THEIRS}/Observation/8`,
    'Patient/7',
    'target',
  ],
  ['an absolute url below our own base', `${BASE}/Patient/7`, undefined, `${BASE}/Patient/7`, 'target'],
  ['relative to us, as its name below our own base', `${BASE}/Patient/7`, undefined, 'Patient/7', 'target'],
  ['relative to us, from a urn:uuid', `${BASE}/Patient/7`, UUID, 'Patient/7', 'target'],
  ['a version of an entry', `${THEIRS}/Patient/7`, undefined, `${THEIRS}/Patient/7/_history/3`, 'target/_history/1'],
  [
    'a version, relative',
    `${THEIRS}/Patient/7`,
    `${THEIRS}/Observation/8`,
    'Patient/7/_history/3',
    'target/_history/1',
  ],
  ['a fragment of an entry', UUID, undefined, `${UUID}#part`, 'target#part'],
];

test.each(forms)('a reference that is %s leads to the entry', async (_about, fullUrl, from, reference, becomes) => {
  const [first, second] = await sent('transaction', [post(observation(reference), from), post(someone, fullUrl)]);
  const stored = await read<{ subject: { reference: string } }>(nameOf(first));
  expect(stored.subject.reference).toBe(becomes.replace('target', nameOf(second)));
});

test('a name below our own base is not meant by what is relative to another server', async () => {
  const [theirs, ours, observed] = await sent('transaction', [
    post(someone, `${THEIRS}/Patient/7`),
    post(someone, `${BASE}/Patient/7`),
    post(observation('Patient/7'), `${THEIRS}/Observation/8`),
  ]);
  const stored = await read<{ subject: { reference: string } }>(nameOf(observed));
  expect(stored.subject.reference).toBe(nameOf(theirs));
  expect(nameOf(ours)).not.toBe(nameOf(theirs));
});

test('a reference below our own base becomes relative, its version kept, in a single write as well', async () => {
  const id = await create(someone);
  const own = `${BASE}/Patient/${id}`;
  const single = await create(observation(own));
  expect(await read(`Observation/${single}`)).toMatchObject({ subject: { reference: `Patient/${id}` } });
  const [entry] = await sent('transaction', [post(observation(`${own}/_history/1`))]);
  expect(await read(nameOf(entry))).toMatchObject({ subject: { reference: `Patient/${id}/_history/1` } });
});

test('a version-specific reference to an entry that is updated names the version that it makes', async () => {
  const id = await create(someone);
  const full = `${THEIRS}/Patient/${id}`;
  const changed = { ...someone, id, gender: 'other', meta: { versionId: '1' } };
  const [first, second] = await sent('transaction', [
    post(observation(`${full}/_history/1`)),
    put(changed, full),
    post(observation(`${full}/_history/5`)),
  ]);
  expect(nameOf(second)).toBe(`Patient/${id}`);
  expect(await read(nameOf(first))).toMatchObject({ subject: { reference: `Patient/${id}/_history/2` } });
});

test('links are followed in contained resources, extensions, uris and the narrative, and nowhere else', async () => {
  const document = {
    resourceType: 'DocumentReference',
    status: 'current',
    text: {
      status: 'additional',
      div: `<div xmlns="http://www.w3.org/1999/xhtml"><a href="${UUID}">x</a><img src='${UUID}' alt="${UUID}"/>${UUID}</div>`,
    },
    contained: [
      { resourceType: 'Observation', id: 'o', status: 'final', code: { text: 'x' }, subject: { reference: UUID } },
    ],
    extension: [
      { url: 'http://example.org/a', valueReference: { reference: UUID, display: UUID } },
      { url: 'http://example.org/b', valueUri: UUID },
      { url: 'http://example.org/c', valueUrl: UUID },
      { url: 'http://example.org/d', valueUuid: UUID },
      { url: 'http://example.org/e', valueCanonical: UUID },
      { url: 'http://example.org/f', valueString: UUID },
      { url: 'http://example.org/g', valueReference: { reference: '#o' } },
    ],
    identifier: [{ system: 'urn:ietf:rfc:3986', value: UUID }],
    subject: { reference: UUID },
    content: [{ attachment: { contentType: 'text/plain', url: UUID, title: UUID } }],
  };
  const [first, second] = await sent('transaction', [post(document), post(someone, UUID)]);
  const target = nameOf(second);
  const stored = await read<typeof document>(nameOf(first));
  expect(stored.text.div).toBe(
    `<div xmlns="http://www.w3.org/1999/xhtml"><a href="${target}">x</a><img src='${target}' alt="${UUID}"/>${UUID}</div>`,
  );
  expect(stored.contained[0]?.subject.reference).toBe(target);
  expect(stored.extension.map(({ url: _, ...value }) => value)).toEqual([
    { valueReference: { reference: target, display: UUID } },
    { valueUri: target },
    { valueUrl: target },
    { valueUuid: UUID.replace(UUID, target) },
    { valueCanonical: UUID },
    { valueString: UUID },
    { valueReference: { reference: '#o' } },
  ]);
  expect(stored.identifier[0]?.value).toBe(UUID);
  expect(stored.content[0]?.attachment).toMatchObject({ url: target, title: UUID });
});

test.each([
  ['an update by id', (id: string): Entry => put({ ...someone, id, gender: 'other' }, UUID)],
  [
    'a conditional create that matches',
    (id: string): Entry => post(identified(id), UUID, { ifNoneExist: `identifier=urn:test|${id}` }),
  ],
  [
    'a conditional update that matches',
    (id: string): Entry => ({
      fullUrl: UUID,
      resource: identified(id, { gender: 'other' }),
      request: { method: 'PUT', url: `Patient?identifier=urn:test|${id}` },
    }),
  ],
])('a reference to %s leads to what is there', async (_about, entryOf) => {
  const id = await create(someone);
  await sent('transaction', [put(identified(id, { id }))]);
  const [first] = await sent('transaction', [post(observation(UUID)), entryOf(id)]);
  expect(await read(nameOf(first))).toMatchObject({ subject: { reference: `Patient/${id}` } });
});

test('conditional references find what is stored, what the transaction makes, and each other’s entries', async () => {
  const id = await create(identified('stored-before'));
  const [, fresh, one, two] = await sent('transaction', [
    post(observation('Patient?identifier=urn:test|stored-before')),
    post(identified('made-with-it')),
    post(observation('Patient?identifier=urn:test|made-with-it')),
    post(observation(`${BASE}/Patient?identifier=urn:test|stored-before`)),
  ]);
  expect(await read(nameOf(one))).toMatchObject({ subject: { reference: nameOf(fresh) } });
  expect(await read(nameOf(two))).toMatchObject({ subject: { reference: `Patient/${id}` } });
});

test('entries that refer to each other, and to themselves, are stored', async () => {
  const [a, b] = ['urn:uuid:00000000-0000-4000-8000-00000000000a', 'urn:uuid:00000000-0000-4000-8000-00000000000b'];
  const link = (reference: string) => [{ url: 'http://example.org/link', valueReference: { reference } }];
  const conditional = (value: string, reference: string, fullUrl: string) =>
    post(identified(value, { extension: link(reference) }), fullUrl, { ifNoneExist: `identifier=urn:test|${value}` });
  const [first, second] = await sent('transaction', [
    conditional('circle-a', b as string, a as string),
    conditional('circle-b', a as string, b as string),
  ]);
  expect(await read(nameOf(first))).toMatchObject({ extension: link(nameOf(second)) });
  expect(await read(nameOf(second))).toMatchObject({ extension: link(nameOf(first)) });
  const [self] = await sent('transaction', [post({ ...someone, extension: link(UUID) }, UUID)]);
  expect(await read(nameOf(self))).toMatchObject({ extension: link(nameOf(self)) });
});

test.each<[string, string, string]>([
  ['a urn that no entry has', 'urn:uuid:00000000-0000-4000-8000-00000000dead', 'not-found'],
  ['a resource that is not stored', 'Patient/never-was', 'not-found'],
  ['a condition that matches nothing', 'Patient?identifier=urn:test|nobody', 'not-found'],
])('a reference to %s refuses the transaction with its place', async (_about, reference, code) => {
  const [status, issues] = await refused('transaction', [post(someone), post(observation(reference))]);
  expect(status).toBeGreaterThanOrEqual(400);
  expect(issues).toMatchObject([{ code, expression: ['Bundle.entry[1].resource.subject.reference'] }]);
});

test('what a stored Bundle holds is left as it is', async () => {
  const inner = [
    { fullUrl: UUID, resource: { ...someone } },
    { fullUrl: 'urn:uuid:00000000-0000-4000-8000-0000000000ff', resource: observation(UUID) },
    { fullUrl: `${BASE}/Observation/x`, resource: { ...observation(`${BASE}/Patient/never-was`), id: 'x' } },
  ];
  const document = { resourceType: 'Bundle', type: 'collection', entry: inner };
  const id = await create(document);
  expect(await read(`Bundle/${id}`)).toMatchObject({ entry: inner });
  const [entry] = await sent('transaction', [post(document), post(someone, UUID)]);
  expect(await read(nameOf(entry))).toMatchObject({ entry: inner });
});

/** Texts of an Observation that mean entry `n`, and texts that look like it and mean nothing. */
const leaves = fc.record({
  member: fc.nat(3),
  links: fc.array(fc.tuple(fc.constantFrom('valueReference', 'valueUri', 'valueUrl'), fc.nat(3)), { maxLength: 6 }),
  others: fc.array(fc.tuple(fc.constantFrom('valueString', 'valueCanonical', 'valueMarkdown'), fc.nat(3)), {
    maxLength: 6,
  }),
});

function extensions(values: readonly object[]): { extension?: object[] } {
  if (values.length === 0) return {};
  return { extension: values.map((value, i) => ({ url: `http://example.org/${i}`, ...value })) };
}

test('rewriting leaves no link to an entry behind, and touches nothing else', async () => {
  const fullUrlOf = (n: number) => `urn:uuid:00000000-0000-4000-8000-00000000000${n}`;
  await fc.assert(
    fc.asyncProperty(fc.array(leaves, { minLength: 4, maxLength: 4 }), async (nodes) => {
      const elementOf = (type: string, text: string) =>
        type === 'valueReference' ? { [type]: { reference: text, display: text } } : { [type]: text };
      const made = nodes.map(({ member, links, others }) =>
        observation('Patient/nobody', {
          subject: undefined,
          hasMember: [{ reference: fullUrlOf(member) }],
          ...extensions([...links, ...others].map(([type, n]) => elementOf(type, fullUrlOf(n)))),
        }),
      );
      const entries = await sent(
        'transaction',
        made.map((resource, n) => post(resource, fullUrlOf(n))),
      );
      const names = entries.map(nameOf);
      const rename = (n: number) => names[n] as string;
      nodes.forEach(({ member, links, others }, n) => {
        const stored = entries[n]?.resource;
        expect(stored).toMatchObject({ hasMember: [{ reference: rename(member) }] });
        const expected = [
          ...links.map(([type, to]) =>
            type === 'valueReference'
              ? { [type]: { reference: rename(to), display: fullUrlOf(to) } }
              : { [type]: rename(to) },
          ),
          ...others.map(([type, to]) => ({ [type]: fullUrlOf(to) })),
        ];
        expect(stored).toMatchObject(extensions(expected));
      });
    }),
    { numRuns: 25 },
  );
});

test('the order of the entries of a transaction does not matter to what is stored', async () => {
  let run = 0;
  const subject = { reference: 'urn:uuid:00000000-0000-4000-8000-000000000001' };
  await fc.assert(
    fc.asyncProperty(fc.shuffledSubarray([0, 1, 2, 3, 4, 5], { minLength: 6 }), async (order) => {
      run++;
      const gone = await create(identified(`gone-${run}`));
      const kept = await create(identified(`kept-${run}`));
      const entries: Entry[] = [
        post(identified(`fresh-${run}`), subject.reference),
        post(observation(subject.reference)),
        // What is deleted here does not meet the condition of what is created here.
        post(identified(`gone-${run}`), undefined, { ifNoneExist: `identifier=urn:test|gone-${run}` }),
        { request: { method: 'DELETE', url: `Patient?identifier=urn:test|gone-${run}` } },
        put({ ...identified(`kept-${run}`), id: kept, gender: 'other' }),
        { request: { method: 'GET', url: `Patient/${kept}` } },
      ];
      const answers = await sent(
        'transaction',
        order.map((n) => entries[n] as Entry),
      );
      const answerTo = (n: number) => answers[order.indexOf(n)];
      expect([0, 1, 2, 3, 4, 5].map((n) => answerTo(n)?.response?.status.slice(0, 3))).toEqual([
        '201',
        '201',
        '201',
        '204',
        '200',
        '200',
      ]);
      expect(nameOf(answerTo(2))).not.toBe(`Patient/${gone}`);
      expect(answerTo(1)?.resource).toMatchObject({ subject: { reference: nameOf(answerTo(0)) } });
      expect(answerTo(5)?.resource).toMatchObject({ gender: 'other' });
    }),
    { numRuns: 20 },
  );
});
