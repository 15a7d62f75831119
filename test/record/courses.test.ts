import type { CarePlan, Encounter, Procedure, Resource } from '@medplum/fhirtypes';
import type { Failure } from '../../src/fhir/failure.ts';
import { parseJsonPatch } from '../../src/fhir/patch/json-patch.ts';
import { kapCoding } from '../../src/kap/codes.ts';
import { installProtocol } from '../../src/record/install-protocol.ts';
import type { WriteRequest } from '../../src/record/record.ts';
import { reviewCourses } from '../../src/record/review.ts';
import { openTestClinic, type TestClinic, writeContext } from './clinic.ts';

let now = new Date('2026-09-01T00:00:00Z');
let clinic: TestClinic;
beforeAll(async () => {
  clinic = await openTestClinic(() => now);
  await installProtocol(clinic.parts.store, clinic.record, [], writeContext('update'));
});
afterAll(() => clinic.database.drop());

async function write(...resources: Resource[]): Promise<string[]> {
  const requests = resources.map((resource, i): WriteRequest => {
    const { id, resourceType: type } = resource;
    const place = `Bundle.entry[${i}].resource`;
    return id === undefined ? { method: 'POST', type, resource, place } : { method: 'PUT', type, id, resource, place };
  });
  const results = await clinic.record.write(requests, writeContext('transaction'));
  return results.map(({ stored }) => `${stored?.type}/${stored?.id}`);
}

let patients = 0;

async function newPatient(): Promise<string> {
  const [reference] = await write({ resourceType: 'Patient', id: `p${++patients}`, birthDate: '1986-04-12' });
  return reference as string;
}

function infusion(subject: string, id: string, start: string, end: string): Procedure {
  return {
    resourceType: 'Procedure',
    id,
    status: 'completed',
    code: { coding: [kapCoding('kap-infusion')] },
    subject: { reference: subject },
    performedPeriod: { start, end },
  };
}

function therapy(subject: string, id: string, start: string, of?: string): Procedure {
  const end = new Date(Date.parse(start) + 3_600_000).toISOString();
  return {
    resourceType: 'Procedure',
    id,
    status: 'completed',
    code: { coding: [kapCoding('kap-integration-session')] },
    subject: { reference: subject },
    performedPeriod: { start, end },
    ...(of === undefined ? {} : { reasonReference: [{ reference: `Procedure/${of}` }] }),
  };
}

async function current(patient: string, type: string): Promise<{ [key: string]: unknown }[]> {
  const { rows } = await clinic.database.clinicPool().query(
    `select v.content from resource r join resource_version v using (rid, version)
      where r.patient_id = $1 and r.type = $2 and not r.deleted order by r.rid`,
    [patient.slice('Patient/'.length), type],
  );
  return rows.map(({ content }) => JSON.parse(content));
}

async function findings(patient: string, code: string): Promise<string[]> {
  const issues = await current(patient, 'DetectedIssue');
  return issues
    .filter((issue) => JSON.stringify(issue.code).includes(`"${code}"`))
    .map((issue) => String(issue.status));
}

test('an infusion that is too short gives a finding in the same transaction', async () => {
  const patient = await newPatient();
  await write(infusion(patient, 'short', '2026-09-01T10:00:00-07:00', '2026-09-01T10:44:59-07:00'));
  expect(await findings(patient, 'infusion-short')).toEqual(['final']);
});

test('a therapy in its window states the interval, one that is late gives a finding, a correction cancels it', async () => {
  const patient = await newPatient();
  await write(infusion(patient, 'i1', '2026-09-01T10:00:00-07:00', '2026-09-01T10:50:00-07:00'));
  await write(therapy(patient, 't1', '2026-09-04T10:50:00-07:00', 'i1'));
  expect(await findings(patient, 'integration-late')).toEqual(['final']);
  await write(therapy(patient, 't1', '2026-09-02T11:00:00-07:00', 'i1'));
  expect(await findings(patient, 'integration-late')).toEqual(['cancelled']);
  const intervals = (await current(patient, 'Observation')).filter((observation) =>
    JSON.stringify(observation.code).includes('infusion-to-integration-interval'),
  );
  expect(intervals.map(({ status }) => status)).toEqual(['corrected']);
});

test('a therapy before the infusion it names is refused with its place, and nothing is stored', async () => {
  const patient = await newPatient();
  await write(infusion(patient, 'i2', '2026-09-03T10:00:00-07:00', '2026-09-03T10:50:00-07:00'));
  const failure: Failure = await write(therapy(patient, 't2', '2026-09-02T10:00:00-07:00', 'i2')).then(
    () => {
      throw new Error('was not refused');
    },
    (error) => error,
  );
  expect(failure.code).toBe('business-rule');
  expect(failure.issues[0]?.expression).toMatch(/^Bundle\.entry\[0\]\.resource/);
  await expect(clinic.record.read('Procedure', 't2')).rejects.toMatchObject({ code: 'not-found' });
});

test('an infusion and its therapy written at the same time see each other', async () => {
  for (let round = 0; round < 5; round++) {
    const patient = await newPatient();
    await write(infusion(patient, `first${round}`, '2026-08-20T10:00:00-07:00', '2026-08-20T10:50:00-07:00'));
    await Promise.all([
      write(infusion(patient, `c${round}`, '2026-09-01T10:00:00-07:00', '2026-09-01T10:50:00-07:00')),
      write(therapy(patient, `s${round}`, '2026-09-02T10:50:00-07:00')),
    ]);
    const observations = await current(patient, 'Observation');
    expect(observations.filter((o) => JSON.stringify(o).includes('infusion-to-integration-interval'))).toHaveLength(1);
  }
});

test('a therapy becomes overdue, and then missed, without any write', async () => {
  now = new Date('2026-10-01T18:00:00Z');
  const patient = await newPatient();
  await write(infusion(patient, 'waits', '2026-10-01T10:00:00-07:00', '2026-10-01T10:50:00-07:00'));
  expect(await current(patient, 'Task')).toEqual([]);
  now = new Date('2026-10-03T17:50:01Z');
  await reviewCourses(clinic.parts, writeContext('update'));
  expect((await current(patient, 'Task')).map(({ status }) => status)).toEqual(['requested']);
  now = new Date('2026-10-08T17:50:01Z');
  await reviewCourses(clinic.parts, writeContext('update'));
  expect(await findings(patient, 'integration-missed')).toEqual(['final']);
  expect(await reviewCourses(clinic.parts, writeContext('update'))).toBe(0);
});

test('a running course stays on its version of the protocol', async () => {
  const patient = await newPatient();
  const url = 'https://kap.example.org/fhir/PlanDefinition/own';
  const protocol = (version: string, minutes: number): Resource => ({
    resourceType: 'PlanDefinition',
    id: 'own',
    url,
    version,
    status: 'active',
    action: [
      {
        id: 'infusion',
        code: [{ coding: [kapCoding('kap-infusion')] }],
        timingRange: {
          low: { value: minutes, unit: 'min', system: 'http://unitsofmeasure.org', code: 'min' },
          high: { value: 120, unit: 'min', system: 'http://unitsofmeasure.org', code: 'min' },
        },
      },
    ],
  });
  await write(protocol('1', 30));
  const plan: CarePlan = {
    resourceType: 'CarePlan',
    id: 'own-plan',
    status: 'active',
    intent: 'plan',
    instantiatesCanonical: [`${url}|1`],
    subject: { reference: patient },
  };
  await write(plan);
  await write(protocol('2', 90));
  await write(infusion(patient, 'own-infusion', '2026-09-01T10:00:00-07:00', '2026-09-01T10:35:00-07:00'));
  expect(await findings(patient, 'infusion-short')).toEqual([]);
});

test.each([
  ['its role resource', '2084P0800X', 0],
  ['a role that does not qualify', '101Y00000X', 1],
])('a consult is judged by what the clinician is in %s (R-02)', async (_case, taxonomy, missing) => {
  const patient = await newPatient();
  const clinician = `${patient.replace('/', '-')}-clinician`;
  const [coding] = [{ system: 'http://nucc.org/provider-taxonomy', code: taxonomy }];
  await write(
    { resourceType: 'Practitioner', id: clinician },
    {
      resourceType: 'PractitionerRole',
      practitioner: { reference: `Practitioner/${clinician}` },
      code: [{ coding: [coding] }],
    },
    {
      resourceType: 'Encounter',
      status: 'finished',
      class: { code: 'AMB' },
      type: [{ coding: [kapCoding('kap-consult')] }],
      subject: { reference: patient },
      participant: [{ individual: { reference: `Practitioner/${clinician}` } }],
      period: { start: '2026-08-27T10:00:00Z', end: '2026-08-27T11:00:00Z' },
    },
  );
  await write(infusion(patient, `after-${clinician}`, '2026-09-01T10:00:00-07:00', '2026-09-01T10:50:00-07:00'));
  expect(await findings(patient, 'consult-missing')).toHaveLength(missing);
});

test('the rules look at what a patch makes of a resource, and a patch may move it into or out of a course', async () => {
  const [inCourse, outside] = [await newPatient(), await newPatient()];
  await write(infusion(inCourse, 'patched', '2026-09-01T10:00:00-07:00', '2026-09-01T10:50:00-07:00'));
  expect(await findings(inCourse, 'infusion-short')).toEqual([]);
  const patch = (path: string, value: unknown) =>
    clinic.record.write(
      [
        {
          method: 'PATCH',
          type: 'Procedure',
          id: 'patched',
          place: 'Procedure',
          patch: parseJsonPatch(JSON.stringify([{ op: 'replace', path, value }])),
        },
      ],
      writeContext('patch'),
    );
  const [result] = await patch('/performedPeriod/end', '2026-09-01T10:20:00-07:00');
  expect(result).toMatchObject({ effect: 'updated', stored: { version: 2, method: 'PATCH' } });
  expect(await findings(inCourse, 'infusion-short')).toEqual(['final']);
  await patch('/subject/reference', outside);
  expect(await findings(inCourse, 'infusion-short')).not.toContain('final');
  expect(await findings(outside, 'infusion-short')).toEqual(['final']);
  await expect(patch('/status', 'blue')).rejects.toMatchObject({ code: 'invalid' });
});

test('a resource without labels gets them; two confidentiality codes are refused', async () => {
  const patient = await newPatient();
  const encounter: Encounter = {
    resourceType: 'Encounter',
    id: 'labels',
    status: 'finished',
    class: { code: 'AMB' },
    subject: { reference: patient },
  };
  await write(encounter);
  const [stored] = await current(patient, 'Encounter');
  expect(JSON.stringify(stored?.meta)).toContain('"R"');
  const system = 'http://terminology.hl7.org/CodeSystem/v3-Confidentiality';
  const security = [
    { system, code: 'N' },
    { system, code: 'R' },
  ];
  await expect(write({ ...encounter, meta: { security } })).rejects.toMatchObject({ code: 'business-rule' });
});
