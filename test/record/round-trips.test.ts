import type { Resource } from '@medplum/fhirtypes';
import pg from 'pg';
import { kapCoding } from '../../src/kap/codes.ts';
import type { WriteRequest } from '../../src/record/record.ts';
import { openTestClinic, type TestClinic, writeContext } from './clinic.ts';

let clinic: TestClinic;
beforeAll(async () => {
  clinic = await openTestClinic();
});
afterAll(() => clinic.database.drop());

/** Statements that the driver sends while `work` runs. */
async function statementsOf(work: () => Promise<unknown>): Promise<number> {
  const send = pg.Client.prototype.query;
  let sent = 0;
  pg.Client.prototype.query = function (this: pg.Client, ...given: Parameters<typeof send>) {
    sent += 1;
    return send.apply(this, given);
  } as typeof send;
  try {
    await work();
  } finally {
    pg.Client.prototype.query = send;
  }
  return sent;
}

let sessions = 0;

/** An infusion session with that many vital signs, sent so that it can be sent again. */
function session(patients: number, vitals: number, inCourse: boolean): WriteRequest[] {
  sessions += 1;
  const type = inCourse ? { type: [{ coding: [kapCoding('kap-infusion-session')] }] } : {};
  const resources: Resource[] = [];
  for (let p = 0; p < patients; p++) {
    resources.push({
      resourceType: 'Encounter',
      status: 'finished',
      class: { code: 'AMB' },
      subject: { reference: `Patient/p${p}` },
      ...type,
    });
    for (let v = 0; v < vitals; v++) {
      resources.push({
        resourceType: 'Observation',
        status: 'final',
        identifier: [{ system: 'urn:trips', value: `${sessions}-${p}-${v}` }],
        code: { coding: [{ system: 'http://loinc.org', code: '8867-4' }] },
        subject: { reference: `Patient/p${p}` },
        effectiveDateTime: '2026-09-01T10:00:00Z',
        valueQuantity: { value: 70, unit: '/min', system: 'http://unitsofmeasure.org', code: '/min' },
      });
    }
  }
  return resources.map((resource, i): WriteRequest => {
    const condition = resource.resourceType === 'Observation' && inCourse;
    const [identifier] = (resource as { identifier?: { value: string }[] }).identifier ?? [];
    return {
      method: 'POST',
      type: resource.resourceType,
      resource,
      place: `Bundle.entry[${i}].resource`,
      ...(condition ? { ifNoneExist: `identifier=urn:trips|${identifier?.value}` } : {}),
    };
  });
}

test.each<[string, boolean]>([
  ['outside a course', false],
  ['in a course, with conditions and rules', true],
])('a transaction %s costs as many statements for 500 entries as for 5', async (_case, inCourse) => {
  for (let p = 0; p < 10; p++) {
    const resource: Resource = { resourceType: 'Patient', id: `p${p}` };
    await clinic.record.write(
      [{ method: 'PUT', type: 'Patient', id: `p${p}`, resource, place: 'Patient' }],
      writeContext(),
    );
  }
  const write = (requests: WriteRequest[]) => () => clinic.record.write(requests, writeContext('transaction'));
  await write(session(10, 49, inCourse))(); // types are compiled, and row ids are at hand, as in a service that runs
  const small = await statementsOf(write(session(1, 4, inCourse)));
  const large = await statementsOf(write(session(10, 49, inCourse)));
  // One more where the block of row ids is used up, whatever the size.
  expect(large).toBeLessThanOrEqual(small + 1);
});
