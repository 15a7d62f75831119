import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { jwtVerify } from 'jose';
import { createEhrClient, type HttpEhrClient } from '../../src/ehr/client.ts';
import type { RemoteRequest } from '../../src/ehr/exchange.ts';
import { type Credentials, parseDialect } from '../../src/ehr/target.ts';
import { createTransport } from '../../src/ehr/transport.ts';
import { MRN } from './clinic.ts';

type Handler = (request: IncomingMessage & { body: string }, response: ServerResponse) => void;

let server: Server;
let base: string;
let requests: (IncomingMessage & { body: string })[];
let handler: Handler;
let client: HttpEhrClient | undefined;

beforeEach(async () => {
  requests = [];
  server = createServer(async (req, res) => {
    let body = '';
    for await (const chunk of req) body += String(chunk);
    const request = Object.assign(req, { body });
    requests.push(request);
    handler(request, res);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(async () => {
  await client?.close();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

function connect(dialect: Record<string, unknown>, credentials: Credentials = { method: 'none' }): HttpEhrClient {
  client = createEhrClient({
    targetId: 't',
    revision: 1,
    baseUrl: `${base}/fhir`,
    dialect: parseDialect({ patientIdentity: { identifierSystem: MRN }, requestTimeoutSeconds: 1, ...dialect }),
    credentials,
  });
  return client;
}

const CREATE: RemoteRequest = {
  method: 'POST',
  purpose: 'create',
  type: 'Encounter',
  path: 'Encounter',
  body: '{"resourceType":"Encounter"}',
};
const soon = () => new Date(Date.now() + 5_000);
const json = (res: ServerResponse, status: number, body: object) =>
  res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
const ofPath = (path: string) => requests.filter((each) => each.url === path);

test('a write carries FHIR’s headers, a request id and no credentials where none are needed', async () => {
  handler = (_req, res) => json(res, 201, { resourceType: 'Encounter', id: '1' });
  await connect({}).send({ ...CREATE, ifNoneExist: 'identifier=a' }, soon());
  expect(requests[0]?.headers).toMatchObject({
    accept: 'application/fhir+json',
    'content-type': 'application/fhir+json; charset=utf-8',
    prefer: 'return=representation',
    'if-none-exist': 'identifier=a',
    traceparent: expect.stringMatching(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/),
  });
  expect(requests[0]?.headers['x-request-id']).toBeDefined();
  expect(requests[0]?.headers.authorization).toBeUndefined();
});

test('basic credentials go with each request', async () => {
  handler = (_req, res) => json(res, 201, {});
  const auth = { method: 'basic', username: 'kap' };
  await connect({ auth }, { method: 'basic', password: 'secret' }).send(CREATE, soon());
  expect(requests[0]?.headers.authorization).toBe(`Basic ${Buffer.from('kap:secret').toString('base64')}`);
});

describe('with a client secret', () => {
  let issued: number;
  beforeEach(() => {
    issued = 0;
  });
  const tokenServer =
    (accepts: (token: string | undefined) => boolean): Handler =>
    (req, res) => {
      if (req.url === '/fhir/.well-known/smart-configuration')
        return json(res, 200, { token_endpoint: `${base}/token` });
      if (req.url === '/token') {
        issued += 1;
        return json(res, 200, { access_token: `token-${issued}`, token_type: 'bearer', expires_in: 300 });
      }
      return accepts(req.headers.authorization)
        ? json(res, 201, { resourceType: 'Encounter', id: '1' })
        : json(res, 401, {});
    };
  const secret = { method: 'client-secret', clientSecret: 'hush' } as const;
  const auth = { method: 'client-secret', clientId: 'kap', scopes: 'system/*.cud' };

  test('the token endpoint is discovered, and many requests at once share one token', async () => {
    handler = tokenServer((token) => token === 'Bearer token-1');
    const ehr = connect({ auth }, secret);
    const answers = await Promise.all(Array.from({ length: 5 }, () => ehr.send(CREATE, soon())));
    expect(answers.every((each) => each.outcome === 'answer' && each.answer.status === 201)).toBe(true);
    expect(ofPath('/token')).toHaveLength(1);
    expect(Object.fromEntries(new URLSearchParams(ofPath('/token')[0]?.body))).toEqual({
      grant_type: 'client_credentials',
      scope: 'system/*.cud',
      client_id: 'kap',
      client_secret: 'hush',
    });
  });

  test('a refused token is renewed once within the same attempt', async () => {
    handler = tokenServer((token) => token === 'Bearer token-2');
    const ehr = connect({ auth }, secret);
    const answer = await ehr.send(CREATE, soon());
    expect(answer).toMatchObject({ outcome: 'answer', answer: { status: 201 } });
    await ehr.send(CREATE, soon());
    expect(issued).toBe(2);
  });

  test('a second refusal is the answer', async () => {
    handler = tokenServer(() => false);
    expect(await connect({ auth }, secret).send(CREATE, soon())).toMatchObject({
      outcome: 'answer',
      answer: { status: 401 },
    });
    expect(ofPath('/fhir/Encounter')).toHaveLength(2);
  });

  test.each([
    ['invalid_client', 401, 'misconfigured'],
    ['unauthorized_client', 400, 'misconfigured'],
    ['server_error', 503, 'transient'],
  ])('%s from the token endpoint sends nothing', async (error, status, refusal) => {
    handler = (_req, res) => json(res, status, { error });
    const ehr = connect({ auth: { ...auth, tokenEndpoint: `${base}/token` } }, secret);
    expect(await ehr.send(CREATE, soon())).toMatchObject({ outcome: 'no-token', refusal });
    expect(ofPath('/fhir/Encounter')).toHaveLength(0);
  });
});

test.each([
  ['ES384', generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey],
  ['RS384', generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey],
] as [string, KeyObject][])(
  'a client without a secret signs a short assertion for the token endpoint (%s)',
  async (algorithm, key) => {
    handler = (req, res) =>
      req.url === '/token'
        ? json(res, 200, { access_token: 't' })
        : json(res, 201, { resourceType: 'Encounter', id: '1' });
    const privateKey = key.export({ type: 'pkcs8', format: 'pem' }).toString();
    const auth = { method: 'private-key-jwt', clientId: 'kap', keyId: 'k1', algorithm, tokenEndpoint: `${base}/token` };
    const answer = await connect({ auth }, { method: 'private-key-jwt', privateKey }).send(CREATE, soon());
    expect(answer).toMatchObject({ outcome: 'answer', answer: { status: 201 } });
    const assertion = new URLSearchParams(requests[0]?.body).get('client_assertion') ?? '';
    const { payload, protectedHeader } = await jwtVerify(assertion, createPublicKey(key), {
      audience: `${base}/token`,
      issuer: 'kap',
      subject: 'kap',
    });
    expect(protectedHeader).toMatchObject({ alg: algorithm, kid: 'k1' });
    expect((payload.exp ?? 0) - (payload.iat ?? 0)).toBeLessThanOrEqual(300);
    expect(payload.jti).toBeDefined();
  },
);

describe('what came of a request', () => {
  test('nothing listens: no byte left', async () => {
    const transport = createTransport('http://127.0.0.1:1');
    const result = await transport.request(
      { method: 'POST', url: new URL('http://127.0.0.1:1/x'), headers: {}, body: '{}' },
      soon(),
    );
    expect(result).toEqual({ outcome: 'no-answer', firstByteAt: null, reason: 'ECONNREFUSED' });
    await transport.close();
  });

  test('a request whose time has passed before it began never begins', async () => {
    handler = (_req, res) => json(res, 200, {});
    const result = await connect({}).send(CREATE, new Date(Date.now() - 1));
    expect(result).toMatchObject({ outcome: 'no-answer', firstByteAt: null });
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(requests).toHaveLength(0);
  });

  test('no answer in time: a byte left, and the request is given up', async () => {
    handler = () => undefined;
    const started = Date.now();
    expect(await connect({ requestTimeoutSeconds: 0.3 }).send(CREATE, soon())).toMatchObject({
      outcome: 'no-answer',
      firstByteAt: expect.any(Date),
      reason: 'timeout',
    });
    expect(Date.now() - started).toBeLessThan(2_000);
  });

  test('an answer that drips without end is given up', async () => {
    handler = (_req, res) => {
      res.writeHead(201, { 'content-type': 'application/json' });
      const drip = setInterval(() => res.write(' '), 20);
      res.on('close', () => clearInterval(drip));
    };
    expect(await connect({ requestTimeoutSeconds: 0.3 }).send(CREATE, soon())).toMatchObject({
      outcome: 'no-answer',
      reason: 'timeout',
    });
  });

  test('an answer without end in size is cut and unreadable', async () => {
    handler = (_req, res) => {
      res.writeHead(200, { 'content-type': 'application/json' });
      const chunk = Buffer.alloc(256 * 1024, 0x20);
      const more = (): void => {
        while (!res.destroyed && res.write(chunk));
      };
      res.on('drain', more);
      more();
    };
    expect(await connect({}).send(CREATE, soon())).toMatchObject({ answer: { content: { kind: 'unreadable' } } });
  });

  test('a redirect is an answer', async () => {
    handler = (_req, res) => res.writeHead(307, { location: `${base}/elsewhere` }).end();
    expect(await connect({}).send(CREATE, soon())).toMatchObject({
      answer: { status: 307, location: `${base}/elsewhere` },
    });
    expect(requests).toHaveLength(1);
  });

  test('an address where a cloud keeps its credentials is never spoken to', async () => {
    const transport = createTransport('http://0.0.0.0:1');
    const result = await transport.request({ method: 'GET', url: new URL('http://0.0.0.0:1/x'), headers: {} }, soon());
    expect(result).toMatchObject({ outcome: 'no-answer', firstByteAt: null });
    await transport.close();
  });
});
