import { startTestService, type TestService } from './service.ts';

let service: TestService;
let isUp = true;

beforeAll(async () => {
  service = await startTestService({
    dependencies: [
      {
        name: 'postgres',
        check: async () => {
          if (!isUp) throw Object.assign(new Error('password=secret'), { code: 'ECONNREFUSED' });
        },
      },
    ],
  });
});
afterAll(() => service.close());

test('the service is ready only while its dependencies are, and alive meanwhile', async () => {
  isUp = true;
  await service.http.get('/readyz').expect(200, { status: 'ready', checks: { postgres: 'ok' } });
  isUp = false;
  await service.http.get('/readyz').expect(503, { status: 'not ready', checks: { postgres: 'failed (ECONNREFUSED)' } });
  await service.http.get('/healthz').expect(200, { status: 'alive' });
});

test('metrics count requests by interaction and status, without a url', async () => {
  await service
    .as(await service.token())
    .get('/fhir/Patient/some-id')
    .expect(404);
  const { text } = await service.http.get('/metrics').expect(200);
  expect(text).toMatch(/kap_http_request_seconds_count\{interaction="read",status="404"\} 1/);
  expect(text).not.toContain('some-id');
});

test('an unexpected error of the database is 500, and its words reach neither the caller nor the log', async () => {
  const token = await service.token();
  await service.as(token).get('/fhir/Patient/1').expect(404);
  const pool = service.clinic.database.clinicPool();
  await pool.query('alter table resource rename to hidden');
  const broken = await service.as(token).get('/fhir/Patient/1');
  await pool.query('alter table hidden rename to resource');
  expect(broken.status).toBe(500);
  expect(broken.text).not.toMatch(/relation|resource"/);
  expect(service.log.join('')).toMatch(/42P01/);
  expect(service.log.join('')).not.toMatch(/relation/);
});
