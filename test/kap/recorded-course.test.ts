import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ActivityDefinition, Bundle, CarePlan, Patient, PlanDefinition, Resource } from '@medplum/fhirtypes';
import { createPatchReader } from '../../src/fhir/patch/patch-reader.ts';
import { parametersOfCsv } from '../../src/kap/csv-request.ts';
import { applyProtocol } from '../../src/kap/enrol.ts';
import { policyOf } from '../../src/kap/policy.ts';
import { recordInfusion } from '../../src/kap/record-infusion.ts';
import { recordIntegration } from '../../src/kap/record-integration.ts';
import { processBundle } from '../../src/record/bundle.ts';
import { type CourseReader, createCourseReader } from '../../src/record/course-reader.ts';
import { installProtocol } from '../../src/record/install-protocol.ts';
import { BASE, fhir, openTestClinic, type TestClinic, writeContext } from '../record/clinic.ts';
import { bundleOf } from './chart.ts';

const ROOT = join(import.meta.dirname, '../..');
const example = (file: string) => readFileSync(join(ROOT, 'examples', file), 'utf8');
const shipped = readdirSync(join(ROOT, 'fhir-profiles'))
  .filter((file) => /^(PlanDefinition|ActivityDefinition|Questionnaire|OperationDefinition)-/.test(file))
  .map((file) => JSON.parse(readFileSync(join(ROOT, 'fhir-profiles', file), 'utf8')) as Resource);
const plan = shipped.find(({ id }) => id === 'kap-iv-induction') as PlanDefinition;
const activities = shipped.filter((found): found is ActivityDefinition => found.resourceType === 'ActivityDefinition');

type Step = { title: string; url: string; file: string; contentType: string };
const { steps } = JSON.parse(example('course.json')) as { steps: Step[] };
// The clinic's clock stands, so that what is due does not change between the two plays.
const now = new Date('2026-10-12T12:00:00Z');

let clinic: TestClinic;
let courses: CourseReader;
beforeAll(async () => {
  clinic = await openTestClinic(() => now);
  courses = createCourseReader(clinic.parts.store);
  await installProtocol(clinic.parts.store, clinic.record, shipped, writeContext('update'));
});
afterAll(() => clinic.database.drop());

let uuids = 0;
const newUuid = () => `00000000-0000-4000-8000-${String(++uuids).padStart(12, '0')}`;

async function send(bundle: Bundle): Promise<string[]> {
  const response = await processBundle(clinic.record, bundle, writeContext('transaction'), {
    authorize: () => undefined,
    ask: () => {
      throw new Error('a course reads nothing');
    },
    validate: fhir.validator.validate,
    isResourceType: () => true,
    patches: createPatchReader(fhir.definitions, fhir.validator.validate),
    baseUrls: [BASE],
  });
  return response.entries.flatMap((entry) => (entry.kind === 'written' ? [entry.result.effect] : []));
}

/** The one resource of a type whose identifier ends so. */
async function one<T extends Resource>(type: T['resourceType'], value: string): Promise<T> {
  const { rows } = await clinic.database.clinicPool().query(
    `select v.content from resource r join resource_version v using (rid, version)
        where r.type = $1 and not r.deleted and v.content like $2`,
    [type, `%"value":"${value}"%`],
  );
  return JSON.parse(rows[0]?.content as string) as T;
}

async function play({ url, file, contentType }: Step): Promise<string[]> {
  const body = contentType === 'text/csv' ? undefined : JSON.parse(example(file));
  if (url === '') return send(body as Bundle);
  const patient = await one<Patient>('Patient', 'HL-004217');
  const { resources: course } = await courses.read(patient.id as string, undefined);
  const shared = { course, newUuid, now: now.toISOString() };
  if (url.endsWith('$apply')) {
    return send(
      bundleOf(
        applyProtocol({ ...shared, parameters: body, planDefinition: plan, activityDefinitions: activities, patient }),
      ),
    );
  }
  const [, operation, query] = /\/\$([a-z-]+)(?:\?(.*))?$/.exec(url) ?? [];
  const parameters = body ?? parametersOfCsv(example(file), new URLSearchParams(query));
  const carePlan = await one<CarePlan>('CarePlan', 'HL-KAP-2026-031');
  const request = { ...shared, parameters, carePlan, policy: policyOf(plan) };
  return send(bundleOf(operation === 'record-infusion' ? recordInfusion(request) : recordIntegration(request)));
}

async function count(sql: string): Promise<number> {
  const { rows } = await clinic.database.clinicPool().query(sql);
  return Number(rows[0]?.count);
}

test('the example course is recorded in the real record with what the rules find, and playing it again changes nothing', async () => {
  for (const step of steps) {
    const effects = await play(step);
    expect([step.title, effects.includes('created') || effects.includes('updated')]).toEqual([step.title, true]);
  }
  const found = async (type: string) => {
    const { rows } = await clinic.database
      .clinicPool()
      .query('select v.content from resource r join resource_version v using (rid, version) where r.type = $1', [type]);
    return rows.map(({ content }) => JSON.parse(content as string) as { [key: string]: unknown });
  };
  const intervals = (await found('Observation')).filter((resource) =>
    JSON.stringify(resource).includes('infusion-to-integration-interval'),
  );
  expect(intervals.map((resource) => (resource.valueQuantity as { value: number }).value).sort()).toEqual([
    27.6, 28.95, 47.6667, 70.2,
  ]);
  const late = (await found('DetectedIssue')).filter(({ status }) => status === 'final');
  expect(late.map((resource) => JSON.stringify(resource).includes('integration-late'))).toEqual([true]);
  expect(await found('Binary')).toHaveLength(1);

  const versions = await count('select count(*) from resource_version');
  for (const step of steps) {
    const effects = await play(step);
    expect([step.title, new Set(effects)]).toEqual([step.title, new Set(['unchanged'])]);
  }
  expect(await count('select count(*) from resource_version')).toBe(versions);
});

test('of two different messages that race for the same infusion one is recorded and the other refused', async () => {
  const { resources: course } = await courses.read(
    (await one<Patient>('Patient', 'HL-004217')).id as string,
    undefined,
  );
  const carePlan = await one<CarePlan>('CarePlan', 'HL-KAP-2026-031');
  const message = (minute: string) =>
    JSON.parse(
      example('02-infusion-1.parameters.json')
        .replaceAll('2026-09-14', '2026-09-28')
        .replace('"valueInteger": 1', '"valueInteger": 5')
        .replace('T09:35:', `T09:${minute}:`),
    );
  const bundles = ['35', '36'].map((minute) =>
    bundleOf(
      recordInfusion({
        parameters: message(minute),
        carePlan,
        course,
        policy: policyOf(plan),
        newUuid,
        now: now.toISOString(),
      }),
    ),
  );
  const outcomes = await Promise.allSettled(bundles.map(send));
  expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
  const refused = outcomes.find((outcome) => outcome.status === 'rejected');
  expect(refused?.reason).toMatchObject({ code: 'precondition-failed' });
});
