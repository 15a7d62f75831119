import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type {
  OperationDefinition,
  OperationDefinitionParameter,
  Parameters,
  ParametersParameter,
} from '@medplum/fhirtypes';
import { profile } from '../../kap/chart.ts';
import { fhir } from '../../record/clinic.ts';
import { playExampleCourse } from '../example-course.ts';
import { startTestService, type TestService } from '../service.ts';

let service: TestService;
let token: string;
let carePlan: string;

beforeAll(async () => {
  service = await startTestService({ now: () => new Date('2026-10-12T12:00:00Z') });
  token = await service.token('system/*.cruds', 86_400);
  const ids = await playExampleCourse(service);
  const [, id] = [...ids].find(([search]) => search.startsWith('CarePlan')) as [string, string];
  carePlan = `/fhir/CarePlan/${id}/$kap-timeline`;
});
afterAll(() => service.close());

const picture = join(import.meta.dirname, '../../../docs/pictures/example-course.svg');
const as = () => service.as(token);
const all = ({ parameter }: Parameters, name: string) => (parameter ?? []).filter((each) => each.name === name);
const part = ({ part: parts }: ParametersParameter, name: string) => parts?.find((each) => each.name === name);

test('the course comes as valid Parameters, with what was measured', async () => {
  const { body } = await as()
    .get(carePlan)
    .expect(200)
    .expect('content-type', /fhir\+json/);
  expect(fhir.validator.validate(body).filter(({ severity }) => severity === 'error')).toEqual([]);
  const infusions = all(body, 'infusion');
  expect(infusions).toHaveLength(4);
  const [first] = infusions as [ParametersParameter];
  expect(part(first, 'dose')?.valueQuantity).toMatchObject({ value: 34, code: 'mg' });
  expect(part(first, 'dosePerWeight')?.valueQuantity).toMatchObject({ value: 0.5, code: 'mg/kg' });
  expect(part(first, 'integrationWindow')?.valuePeriod).toEqual({
    start: '2026-09-15T10:24:00-05:00',
    end: '2026-09-16T10:24:00-05:00',
  });
  expect(first.part?.filter(({ name }) => name === 'bloodPressure').length).toBeGreaterThan(3);
  const classes = all(body, 'session').map((session) => part(session, 'class')?.valueCode);
  expect(classes).toEqual(['in-window', 'late', 'in-window', 'in-window']);
  const [phq9] = all(body, 'scale') as [ParametersParameter];
  expect(part(phq9, 'title')?.valueString).toBe('PHQ-9');
  expect(all(body, 'finding').length).toBeGreaterThan(0);
});

test('the answer is as its OperationDefinition says', async () => {
  const definition = profile<OperationDefinition>('OperationDefinition-kap-timeline');
  expect(fhir.validator.validate(definition).filter(({ severity }) => severity === 'error')).toEqual([]);
  const { body } = await as().get(carePlan).expect(200);
  const said = new Set<string>();
  const check = (
    given: readonly ParametersParameter[],
    declared: readonly OperationDefinitionParameter[],
    at: string,
  ) => {
    for (const one of given) {
      const found = declared.find(({ name }) => name === one.name);
      const value = Object.keys(one).find((key) => key.startsWith('value'));
      const type = found?.type === undefined ? undefined : `value${found.type[0]?.toUpperCase()}${found.type.slice(1)}`;
      expect([at, one.name, value]).toEqual([at, found?.name, type]);
      said.add(`${at}${one.name}`);
      check(one.part ?? [], found?.part ?? [], `${at}${one.name}.`);
    }
    for (const { name, min } of declared) {
      if (min > 0) expect([at, given.map((one) => one.name)]).toEqual([at, expect.arrayContaining([name])]);
    }
  };
  check((body as Parameters).parameter ?? [], definition.parameter ?? [], '');
  expect(said.size).toBeGreaterThan(40);
});

test.each([
  ['_format', () => as().get(`${carePlan}?_format=image/svg+xml`)],
  ['_format with the plus encoded', () => as().get(`${carePlan}?_format=image%2Fsvg%2Bxml`)],
  ['Accept', () => as().get(carePlan).set('accept', 'image/svg+xml')],
  [
    'Accept of a browser',
    () => as().get(carePlan).set('accept', 'image/avif,image/webp,image/svg+xml,image/*;q=0.8,*/*;q=0.5'),
  ],
])('%s asks for the picture', async (_way, ask) => {
  const { headers, body } = await ask().buffer(true).expect(200);
  expect(headers['content-type']).toBe('image/svg+xml');
  expect(headers['content-security-policy']).toBe("default-src 'none'; sandbox");
  expect(String(body)).toMatch(/^<svg xmlns="http:\/\/www.w3.org\/2000\/svg"/);
});

test.each([
  ['everything', '*/*', 200, /fhir\+json/],
  ['FHIR before pictures', 'application/fhir+json, image/svg+xml', 200, /fhir\+json/],
  ['XML', 'application/fhir+xml', 200, /fhir\+xml/],
  ['neither', 'image/png', 406, /fhir\+json/],
])('who accepts %s gets data or a refusal', async (_case, accept, status, type) => {
  await as().get(carePlan).set('accept', accept).expect(status).expect('content-type', type);
});

test('the picture in the documents is that of the example course', async () => {
  const { body } = await as().get(`${carePlan}?_format=image/svg+xml`).buffer(true).expect(200);
  if (process.env.WRITE_PICTURES === 'true') writeFileSync(picture, body);
  expect(String(body)).toBe(readFileSync(picture, 'utf8'));
});

test('neither data nor picture name the patient', async () => {
  for (const url of [carePlan, `${carePlan}?_format=image/svg+xml`]) {
    const answer = await as().get(url).buffer(true).expect(200);
    const text = answer.text ?? String(answer.body);
    for (const name of ['Castellanos', 'Wren', 'HL-004217']) expect(text).not.toContain(name);
  }
});

test('what the token may not read is absent', async () => {
  const few = service.as(await service.token('system/CarePlan.rs system/Procedure.rs', 86_400));
  const { body } = await few.get(carePlan).expect(200);
  expect(all(body, 'infusion')).toHaveLength(4);
  expect(all(body, 'scale')).toEqual([]);
  expect(all(body, 'finding')).toEqual([]);
  expect(JSON.stringify(body)).not.toContain('bloodPressure');
  await service
    .as(await service.token('system/Procedure.rs', 86_400))
    .get(carePlan)
    .expect(403);
});

test('an unknown plan and an unknown parameter are refused', async () => {
  await as().get('/fhir/CarePlan/none/$kap-timeline').expect(404);
  const { body } = await as().get(`${carePlan}?foo=1`).expect(400);
  expect(body.issue[0].expression).toEqual(['http.foo']);
});
