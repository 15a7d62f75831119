import { type AnswerClass, classify, type Vendor } from '../../src/ehr/classify.ts';
import type { Answer, Exchange, RemoteRequest, RequestPurpose } from '../../src/ehr/exchange.ts';

const AT = new Date('2026-03-09T12:00:00Z');

function request(purpose: RequestPurpose): RemoteRequest {
  const method = purpose === 'read' || purpose === 'search' ? 'GET' : /create/.test(purpose) ? 'POST' : 'PUT';
  return { method, purpose, type: 'Encounter', path: purpose === 'update' ? 'Encounter/remote-1' : 'Encounter' };
}

function answered(status: number, more: Partial<Answer> = {}): Exchange {
  return { outcome: 'answer', firstByteAt: AT, answer: { status, content: { kind: 'empty' }, date: AT, ...more } };
}

const json = (value: unknown) => ({ content: { kind: 'json' as const, value } });
const outcome = (code: string, detail?: string) =>
  json({
    resourceType: 'OperationOutcome',
    issue: [{ severity: 'error', code, ...(detail === undefined ? {} : { details: { coding: [{ code: detail }] } }) }],
  });
const stored = json({ resourceType: 'Encounter', id: 'remote-1', meta: { versionId: '3' } });
const bundle = json({ resourceType: 'Bundle', type: 'searchset' });
const lost = (firstByteAt: Date | null): Exchange => ({ outcome: 'no-answer', firstByteAt, reason: 'ECONNRESET' });
const noToken = (refusal: Extract<Exchange, { outcome: 'no-token' }>['refusal']): Exchange => ({
  outcome: 'no-token',
  refusal,
  reason: 'token endpoint',
});

const WRITES: readonly RequestPurpose[] = ['create', 'conditional-create', 'conditional-update', 'update'];
const ALL: readonly RequestPurpose[] = [...WRITES, 'read', 'search'];
const cases: [string, readonly RequestPurpose[], Exchange, AnswerClass, Vendor?][] = [
  ['201 with the resource', WRITES, answered(201, stored), 'accepted'],
  ['200 with the resource', WRITES, answered(200, stored), 'accepted'],
  [
    '201 with a Location only',
    WRITES,
    answered(201, { location: 'https://ehr/fhir/Encounter/remote-1/_history/3' }),
    'accepted',
  ],
  [
    '201 with an OperationOutcome and a Location',
    ['create'],
    answered(201, { ...outcome('informational'), location: 'Encounter/remote-1' }),
    'accepted',
  ],
  ['204 to an update', ['update'], answered(204), 'accepted'],
  ['200 to a read or search', ['read', 'search'], answered(200, bundle), 'accepted'],
  ['201 that names nothing', ['create', 'conditional-create', 'conditional-update'], answered(201), 'unproven'],
  ['202', WRITES, answered(202, stored), 'unproven'],
  ['an HTML page with 200 after a write', WRITES, answered(200, { content: { kind: 'html' } }), 'unproven'],
  ['a truncated answer after a write', WRITES, answered(201, { content: { kind: 'unreadable' } }), 'unproven'],
  [
    'an HTML page with 200 to a read',
    ['read', 'search'],
    answered(200, { content: { kind: 'html' } }),
    'misconfigured',
  ],
  ['429', ALL, answered(429), 'throttled'],
  ['503 with Retry-After', ALL, answered(503, { retryAfter: '5' }), 'throttled'],
  ['an issue "throttled"', ALL, answered(400, outcome('throttled')), 'throttled'],
  ['Epic 4135', ALL, answered(400, outcome('processing', '4135')), 'throttled', 'epic'],
  ['no connection', ALL, lost(null), 'transient'],
  ['a reset after the first byte of a write', WRITES, lost(AT), 'unknown'],
  ['a reset after the first byte of a read', ['read', 'search'], lost(AT), 'transient'],
  ['500 after an unconditional create', ['create'], answered(500), 'unknown'],
  ['502 after an unconditional create', ['create'], answered(502), 'unknown'],
  ['503 without Retry-After after an unconditional create', ['create'], answered(503), 'unknown'],
  ['504 after an unconditional create', ['create'], answered(504), 'unknown'],
  [
    '500 to what may be repeated',
    ['conditional-create', 'conditional-update', 'update', 'read', 'search'],
    answered(500),
    'transient',
  ],
  ['408 after an unconditional create', ['create'], answered(408), 'unknown'],
  ['412 to an update', ['update'], answered(412), 'version-conflict'],
  ['409 to an update', ['update'], answered(409), 'version-conflict'],
  ['412 to a condition', ['conditional-create', 'conditional-update'], answered(412), 'duplicate'],
  ['409 to a condition', ['conditional-create', 'conditional-update'], answered(409), 'transient'],
  ['409 to a create', ['create'], answered(409), 'refused'],
  ['401', ALL, answered(401), 'authorization'],
  ['no token: refused', ALL, noToken('authorization'), 'authorization'],
  ['no token: invalid client', ALL, noToken('misconfigured'), 'misconfigured'],
  ['no token: endpoint away', ALL, noToken('transient'), 'transient'],
  ['403', ALL, answered(403), 'misconfigured'],
  ['a redirect to a login page', ALL, answered(302, { location: 'https://ehr/login?next=' }), 'misconfigured'],
  ['eCW 308', ALL, answered(308, { location: 'https://ehr/elsewhere' }), 'misconfigured', 'ecw'],
  ['a create where there is no such type', ['create', 'search'], answered(404), 'misconfigured'],
  ['405 and 501', ALL, answered(405), 'misconfigured'],
  ['400', ALL, answered(400), 'refused'],
  ['413', ALL, answered(413), 'refused'],
  ['415', ALL, answered(415), 'refused'],
  ['422', ALL, answered(422, outcome('invalid')), 'refused'],
  ['404 on a known resource', ['update', 'read'], answered(404), 'gone'],
  ['410 on a known resource', ['update', 'read'], answered(410), 'gone'],
  ['301', ALL, answered(301, { location: 'https://ehr/fhir/Encounter/other' }), 'gone'],
  ['Epic 4107, merged', ALL, answered(400, outcome('processing', '4107')), 'gone', 'epic'],
  ['423', ALL, answered(423), 'locked'],
  ['eCW 139', ALL, answered(400, outcome('processing', '139')), 'locked', 'ecw'],
  ['Epic 4130, break the glass', ALL, answered(400, outcome('processing', '4130')), 'human-policy', 'epic'],
  ['a code of Epic from another vendor', ['create'], answered(400, outcome('processing', '4130')), 'refused'],
];

test.each(
  cases.flatMap(([what, purposes, exchange, expected, vendor]) =>
    purposes.map((purpose) => ({ what, purpose, exchange, expected, vendor })),
  ),
)('$what ($purpose) is $expected', ({ purpose, exchange, expected, vendor }) => {
  expect(classify(request(purpose), exchange, vendor).class).toBe(expected);
});

test('the id and version come from the resource, else from Location and ETag, and may be longer than 64 characters', () => {
  const long = 'e'.repeat(200);
  expect(classify(request('create'), answered(201, stored)).remote).toMatchObject({ id: 'remote-1', version: '3' });
  const located = answered(201, { location: `https://ehr/fhir/Encounter/${long}`, etag: 'W/"7"' });
  expect(classify(request('create'), located).remote).toEqual({ type: 'Encounter', id: long, version: '7' });
  expect(classify(request('update'), answered(204, { etag: 'W/"8"' })).remote).toEqual({
    type: 'Encounter',
    id: 'remote-1',
    version: '8',
  });
});

test('Retry-After is read as seconds or as a date by the clock of the EHR', () => {
  const inSeconds = (exchange: Exchange) =>
    ((classify(request('create'), exchange).retryAfter as Date).getTime() - Date.now()) / 1000;
  expect(inSeconds(answered(429, { retryAfter: '90' }))).toBeCloseTo(90, 0);
  expect(inSeconds(answered(429, { retryAfter: 'Mon, 09 Mar 2026 12:01:30 GMT' }))).toBeCloseTo(90, 0);
});

test('the excerpt keeps codes and places and no words of the EHR, which quote content', () => {
  const refused = answered(
    422,
    json({
      resourceType: 'OperationOutcome',
      issue: [
        {
          severity: 'error',
          code: 'value',
          diagnostics: 'Jane Doe, born 1988-04-02, has no status',
          details: { text: 'Jane Doe', coding: [{ code: 'MSG_PARAM_INVALID', display: 'Jane' }] },
          expression: ['Encounter.status', "Patient.name.where(family='Doe')"],
        },
      ],
    }),
  );
  expect(classify(request('create'), refused).excerpt).toBe('value MSG_PARAM_INVALID Encounter.status');
});
