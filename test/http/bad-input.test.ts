/**
 * Bad input over HTTP: each is refused or served in bounded time, never with 5xx, and the next request is served.
 *
 * The bounds are time limits of the request and not of the machine: what is slower than this is not slow but stuck.
 */
import { request as httpRequest, type Server } from 'node:http';
import { connect } from 'node:net';
import type { Resource } from '@medplum/fhirtypes';
import { close, listen, portOf } from '../../src/http/server.ts';
import { fhir } from '../record/clinic.ts';
import { patient, startTestService, type TestService, weightOf } from './service.ts';

const SECONDS = 60;

let service: TestService;
let server: Server;
let token: string;
let patientId: string;

beforeAll(async () => {
  service = await startTestService();
  token = await service.token();
  server = await listen(service.app, 0, '127.0.0.1');
  patientId = (await service.as(token).post('/fhir/Patient', patient).expect(201)).body.id;
  await service.as(token).post('/fhir/Observation', weightOf(patientId, 80)).expect(201);
});
afterAll(async () => {
  await close(server);
  await service.close();
});

type Answer = { readonly status: number; readonly text: string };

function send(
  method: string,
  path: string,
  body?: string | Buffer,
  headers: Record<string, string> = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      {
        port: portOf(server),
        host: '127.0.0.1',
        method,
        path: `/fhir${path}`,
        headers: {
          authorization: `Bearer ${token}`,
          ...(body === undefined
            ? {}
            : { 'content-type': 'application/fhir+json', 'content-length': Buffer.byteLength(body) }),
          ...headers,
        },
      },
      (response) => {
        const parts: Buffer[] = [];
        response.on('data', (part: Buffer) => parts.push(part));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(parts).toString() }));
      },
    );
    request.on('error', reject);
    request.end(body);
  });
}

/** The status, after the next request was served as well. */
async function survived(answer: Promise<Answer>): Promise<Answer> {
  const startedAt = performance.now();
  const given = await answer;
  expect(performance.now() - startedAt).toBeLessThan(SECONDS * 1000);
  expect(given.status).toBeLessThan(500);
  if (given.status >= 400 && given.status !== 431) {
    expect(JSON.parse(given.text)).toMatchObject({ resourceType: 'OperationOutcome' });
  }
  expect((await send('GET', `/Patient/${patientId}`)).status).toBe(200);
  return given;
}

// ---- bodies

const nested = (depth: number) => `${'{"extension":[{"url":"x",'.repeat(depth)}"valueString":"x"${'}]}'.repeat(depth)}`;
const resource = (members: string) => `{"resourceType":"Patient",${members}}`;
const keys = (count: number) => Array.from({ length: count }, (_, i) => `"k${i}":1`).join(',');
const xmlOf = (content: string) => `<Patient xmlns="http://hl7.org/fhir">${content}</Patient>`;
const TEN_MB = 10 * 1024 * 1024;

test.each<readonly [about: string, body: string | Buffer, status: number]>([
  ['more than 10 MB', resource(`"language":"${'x'.repeat(TEN_MB)}"`), 413],
  ['10 MB of brackets', '['.repeat(TEN_MB), 400],
  ['10 MB of objects', `[${'{},'.repeat(TEN_MB / 3 - 2)}{}]`, 400],
  ['10 MB of digits', resource(`"multipleBirthInteger":${'9'.repeat(TEN_MB - 200)}`), 400],
  ['10 MB of quotes', `"${'\\"'.repeat(TEN_MB / 2 - 2)}"`, 400],
  ['nesting of 64 in objects', nested(31).replace('{', '{"resourceType":"Patient",'), 400],
  ['nesting of 66', nested(33).replace('{', '{"resourceType":"Patient",'), 400],
  ['nesting of 100,000', nested(50_000), 400],
  ['100,000 keys', resource(keys(100_000)), 400],
  ['100,000 keys in an extension', resource(`"extension":[{"url":"x",${keys(100_000)}}]`), 400],
  ['10,000 names', resource(`"name":[${Array(10_000).fill('{"family":"x"}').join(',')}]`), 201],
  ['a key twice', resource('"active":true,"active":false'), 400],
  ['a key twice, once escaped', resource('"active":true,"\\u0061ctive":false'), 400],
  ['__proto__', resource('"__proto__":{"active":true}'), 400],
  ['constructor', resource('"constructor":{"prototype":{"active":true}}'), 400],
  ['a NUL', resource('"language":"a\\u0000b"'), 400],
  ['half a surrogate pair', resource('"language":"\\ud83d"'), 400],
  ['the other half', resource('"name":[{"family":"\\ude00"}]'), 400],
  [
    'invalid UTF-8',
    Buffer.concat([Buffer.from(resource('"language":"').slice(0, -1)), Buffer.from([0xc3, 0x28])]),
    400,
  ],
  ['UTF-16', Buffer.from(resource('"active":true'), 'utf16le'), 400],
  ['NaN', resource('"multipleBirthInteger":NaN'), 400],
  ['a number without end', resource('"multipleBirthInteger":1e999999999'), 400],
  ['an identifier that is a regular expression bomb', resource(`"id":"${'a'.repeat(60_000)}!"`), 400],
  ['a date that is one', resource(`"birthDate":"${'2020-01-'.repeat(10_000)}"`), 400],
  ['base64 that is one', resource(`"photo":[{"data":"${'AAAA '.repeat(200_000)}!"}]`), 400],
  [
    'a narrative that is one',
    resource(`"text":{"status":"generated","div":"<div>${'<p '.repeat(200_000)}</div>"}`),
    400,
  ],
  ['a code that is one', resource(`"gender":"${'x '.repeat(200_000)}"`), 400],
])('%s: %#', async (_about, body, status) => {
  const answer = await survived(send('POST', '/Patient', body).catch(cutOff));
  expect(answer.status).toBe(status);
});

/** A body that is too large may be cut off before the answer was read; the service is then asked again by the caller. */
function cutOff(error: unknown): Answer {
  if (error instanceof Error && 'code' in error && ['ECONNRESET', 'EPIPE'].includes(String(error.code))) {
    return { status: 413, text: '{"resourceType":"OperationOutcome"}' };
  }
  throw error;
}

test.each<readonly [about: string, body: string, status: number]>([
  ['more than 10 MB', xmlOf(`<language value="${'x'.repeat(TEN_MB)}"/>`), 413],
  ['10 MB of elements', xmlOf('<name/>'.repeat(TEN_MB / 7 - 20)), 400],
  ['10 MB of one attribute', xmlOf(`<birthDate value="${'&lt;'.repeat(TEN_MB / 4 - 100)}"/>`), 400],
  ['100,000 attributes', xmlOf(`<name ${Array.from({ length: 100_000 }, (_, i) => `a${i}=""`).join(' ')}/>`), 400],
  ['an attribute twice', xmlOf('<language value="de" value="en"/>'), 400],
  ['nesting of 100,000', xmlOf('<extension url="x">'.repeat(100_000)), 400],
  ['entities', `<!DOCTYPE x [<!ENTITY a "b">]>${xmlOf('<language value="&a;"/>')}`, 400],
  ['NUL', xmlOf('<language value="&#0;"/>'), 400],
])('XML with %s: %#', async (_about, body, status) => {
  const answer = await survived(
    send('POST', '/Patient', body, { 'content-type': 'application/fhir+xml' }).catch(cutOff),
  );
  expect(answer.status).toBe(status);
});

test('a __proto__ that was sent changed nothing in the service', async () => {
  await send('POST', '/Patient', resource('"__proto__":{"polluted":true}'));
  await send('POST', '/Patient/_search', '__proto__=x&constructor=y', {
    'content-type': 'application/x-www-form-urlencoded',
  });
  expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
});

// ---- requests

test.each<readonly [about: string, path: string, status: number]>([
  ['a url of 15,000 characters', `/Patient?name=${'a'.repeat(15_000)}`, 400],
  ['a url of 17,000 characters', `/Patient?name=${'a'.repeat(17_000)}`, 431],
  ['_count=1000000', '/Observation?_count=1000000', 200],
  ['_count=-1', '/Observation?_count=-1', 400],
  ['_count=1e9', '/Observation?_count=1e9', 400],
  ['500 alternatives', `/Observation?code=${Array.from({ length: 500 }, (_, i) => i).join(',')}`, 200],
  ['501 alternatives', `/Observation?code=${Array.from({ length: 501 }, (_, i) => i).join(',')}`, 400],
  ['100 parameters', `/Observation?${Array(100).fill('code=x').join('&')}`, 200],
  ['101 parameters', `/Observation?${Array(101).fill('code=x').join('&')}`, 400],
  ['a chain four deep', '/Observation?encounter:Encounter.subject:Patient.organization.partof.name=x', 200],
  ['a chain twenty deep', `/Organization?${'partof.'.repeat(20)}name=x`, 400],
  ['_has four deep', `/Patient?_has:Observation:patient:${'_has:Observation:has-member:'.repeat(3)}code=x`, 200],
  ['an untyped chain over everything', '/Provenance?target.target.target.target._id=x', 400],
  ['every include at once', '/Observation?_include=*&_revinclude=*', 200],
  [
    'includes that go round',
    '/Observation?_include:iterate=Observation:has-member&_revinclude:iterate=Observation:has-member',
    200,
  ],
  ['sorting by many keys', `/Observation?_sort=${Array(50).fill('date,-code').join(',')}`, 200],
  ['commas alone', `/Observation?code=${','.repeat(2000)}`, 400],
  ['a broken escape', '/Observation?code=%E0%A4%A', 200],
  ['a NUL in a name', '/Observation?co%00de=x', 400],
])('%s: %#', async (_about, path, status) => {
  expect((await survived(send('GET', path))).status).toBe(status);
});

const HOSTILE = [
  "' OR 1=1--",
  '"; drop table resource; --',
  '$1',
  '%',
  '\\',
  '\\\\,',
  '|',
  '||',
  '$',
  '*',
  '(a+)+$',
  `${'a'.repeat(2000)}!`,
  '\u0000',
  '\ud83d\ude00',
  '9'.repeat(400),
  '1e400',
  '-1',
  'ge',
  'ap2026-02-30',
  'NaN',
  '2026-13-45T99:99:99+99:99',
  'Patient/../../x',
  'http://[::1',
  'true" and 1=1',
  '<script>',
  '../../etc/passwd',
];

const sampled: readonly (readonly [type: string, name: string, kind: string])[] = [
  ['Observation', 'code', 'token'],
  ['Observation', 'date', 'date'],
  ['Observation', 'patient', 'reference'],
  ['Observation', 'value-quantity', 'quantity'],
  ['Observation', 'code-value-quantity', 'composite'],
  ['Observation', '_id', 'token'],
  ['Observation', '_lastUpdated', 'date'],
  ['Observation', '_content', 'string'],
  ['Observation', '_text', 'string'],
  ['Observation', '_list', 'special'],
  ['Observation', '_filter', 'special'],
  ['Observation', '_sort', 'control'],
  ['Observation', '_include', 'control'],
  ['Observation', '_elements', 'control'],
  ['Observation', '_cursor', 'control'],
  ['Patient', 'name', 'string'],
  ['RiskAssessment', 'probability', 'number'],
  ['ValueSet', 'url', 'uri'],
  ['Location', 'near', 'special'],
  ['Patient', '_has:Observation:patient:code', 'token'],
  ['Observation', 'subject:Patient.name', 'string'],
  ['AuditEvent', 'date', 'date'],
];

test.each(sampled)('hostile values of %s?%s (%s) are values like others', async (type, name, kind) => {
  const modifiers = ['', ...(MODIFIERS[kind] ?? [])];
  for (const modifier of modifiers) {
    for (const value of HOSTILE) {
      const { status } = await send('GET', `/${type}?${name}${modifier}=${encodeURIComponent(value)}`);
      expect([`${modifier} ${value.slice(0, 30)}`, status < 500]).toEqual([`${modifier} ${value.slice(0, 30)}`, true]);
    }
  }
  await survived(send('GET', `/${type}?_count=1${type === 'AuditEvent' ? '&date=ge2026' : ''}`));
});

const MODIFIERS: Readonly<Record<string, readonly string[]>> = {
  token: [':not', ':text', ':in', ':below', ':of-type', ':missing'],
  string: [':exact', ':contains'],
  reference: [':identifier', ':Patient'],
  uri: [':below', ':above'],
};

test('every kind of search parameter is among those that are tried', () => {
  const kinds = new Set(fhir.definitions.searchParameters.map(({ type }) => type));
  const tried = new Set(sampled.map(([, , kind]) => kind));
  expect([...kinds].filter((kind) => !tried.has(kind))).toEqual([]);
});

// ---- connections

test('headers without end are refused before they are kept', async () => {
  const many = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`x-${i}`, 'a'.repeat(30)]));
  expect((await survived(send('GET', '/metadata', undefined, many))).status).toBe(431);
});

test('a body that does not come ends with the time of its connection, and holds nobody up', async () => {
  expect(server.requestTimeout).toBe(30_000);
  expect(server.headersTimeout).toBe(15_000);
  const sockets = Array.from({ length: 50 }, () => {
    const socket = connect(portOf(server), '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(
      `POST /fhir/Patient HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${token}\r\ncontent-type: application/fhir+json\r\ncontent-length: 1000\r\n\r\n{`,
    );
    return socket;
  });
  expect((await survived(send('GET', '/metadata'))).status).toBe(200);
  for (const socket of sockets) socket.destroy();
});

test('a large batch of bad requests is answered entry by entry', async () => {
  const entry = Array.from({ length: 200 }, (_, i) => ({
    request: { method: 'GET', url: `Patient?name=${encodeURIComponent(HOSTILE[i % HOSTILE.length] ?? '')}` },
  }));
  const bundle = { resourceType: 'Bundle', type: 'batch', entry } as unknown as Resource;
  const answer = await survived(send('POST', '', JSON.stringify(bundle)));
  expect(answer.status).toBe(200);
  expect(answer.text).not.toContain('"status":"5');
});
