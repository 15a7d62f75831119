import { Failure, type FailureCode, issue } from '../../src/fhir/failure.ts';
import { outcomeText, refusalOf, statusOf } from '../../src/http/failures.ts';

test.each(Object.entries(statusOf) as [FailureCode, number][])(
  'a failure of kind %s is answered with %i',
  (code, status) => {
    const refusal = refusalOf(new Failure(code, issue('processing', 'What is wrong, and what to do')), 'req-1');
    expect(refusal.status).toBe(status);
    expect(JSON.parse(outcomeText(refusal.issues))).toMatchObject({
      resourceType: 'OperationOutcome',
      issue: [{ severity: 'error', code: 'processing', diagnostics: 'What is wrong, and what to do' }],
    });
  },
);

test.each([
  ['a refused connection', Object.assign(new Error('connect ECONNREFUSED 10.0.0.1'), { code: 'ECONNREFUSED' })],
  ['a server that shuts down', Object.assign(new Error('terminating connection'), { code: '57P01' })],
  ['too many connections', Object.assign(new Error('sorry, too many clients already'), { code: '53300' })],
  ['a connection that broke', new Error('Connection terminated unexpectedly')],
  ['a pool without a free connection', new Error('timeout exceeded when trying to connect')],
  ['a statement that took too long', Object.assign(new Error('canceling statement'), { code: '57014' })],
])('%s is 503 with Retry-After', (_about, error) => {
  const refusal = refusalOf(error, 'req-1');
  expect(refusal.status).toBe(503);
  expect(refusal.headers['retry-after']).toBeDefined();
  expect(outcomeText(refusal.issues)).not.toContain(error.message);
});

test.each([
  ['an error of ours', new TypeError('Cannot read properties of Pat Example')],
  ['an error of the database', Object.assign(new Error('value "Pat Example" is wrong'), { code: '22P02' })],
  ['something that is no error', 'Pat Example'],
])('%s is 500 with the request id and without its words', (_about, error) => {
  const refusal = refusalOf(error, 'req-1');
  expect(refusal.status).toBe(500);
  expect(outcomeText(refusal.issues)).toContain('req-1');
  expect(outcomeText(refusal.issues)).not.toContain('Pat Example');
  expect(refusal.unexpected).toBe(error);
});
