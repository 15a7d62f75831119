/** The Provenance of what the service writes itself, and what becomes of Provenances beyond the record. */
import type { Provenance, Resource } from '@medplum/fhirtypes';
import { kapCoding } from '../../src/kap/codes.ts';
import { installProtocol } from '../../src/record/install-protocol.ts';
import { openTestClinic, type TestClinic, writeContext } from './clinic.ts';

let clinic: TestClinic;
beforeAll(async () => {
  clinic = await openTestClinic(() => new Date('2026-09-01T20:00:00Z'));
  const own = { ...writeContext('update'), agent: { clientId: 'system' } };
  await installProtocol(clinic.parts.store, clinic.record, [], own);
});
afterAll(() => clinic.database.drop());

async function write(resource: Resource): Promise<void> {
  const { resourceType: type, id } = resource;
  await clinic.record.write(
    [{ method: 'PUT', type, ...(id ? { id } : {}), resource, place: type }],
    writeContext('update'),
  );
}

async function provenances(patientId: string | null): Promise<Provenance[]> {
  const { rows } = await clinic.database
    .clinicPool()
    .query<{ content: string }>(
      "select content from resource_version where type = 'Provenance' and patient_id is not distinct from $1 order by rid",
      [patientId],
    );
  return rows.map(({ content }) => JSON.parse(content) as Provenance);
}

const roleAndTypes = ({ agent, target }: Provenance) => [
  agent[0]?.type?.coding?.[0]?.code,
  agent[0]?.who.reference,
  [...new Set(target.map(({ reference }) => reference?.split('/')[0]))].sort(),
];

test('what the service installs it assembles', async () => {
  expect((await provenances(null)).map(roleAndTypes)).toEqual([['assembler', 'Device/kap-rules-engine', ['Device']]]);
});

test('what the rules find is told of apart from what was sent', async () => {
  await write({ resourceType: 'Patient', id: 'found' });
  await write({
    resourceType: 'Procedure',
    id: 'short',
    status: 'completed',
    code: { coding: [kapCoding('kap-infusion')] },
    subject: { reference: 'Patient/found' },
    performedPeriod: { start: '2026-09-01T10:00:00-07:00', end: '2026-09-01T10:20:00-07:00' },
  });
  const told = (await provenances('found')).map(roleAndTypes);
  expect(told).toContainEqual(['transmitter', undefined, ['Procedure']]);
  const [, , types] = told.find(([role]) => role === 'assembler') ?? [];
  expect(types).toContain('DetectedIssue');
  expect(types).not.toContain('Procedure');
});

test('an EHR is sent the Provenance of a change only where its target asks for Provenances', async () => {
  const pool = clinic.database.clinicPool();
  const target = 'insert into ehr_target (target_id, active_revision, resource_types) values ($1, 1, $2)';
  await pool.query(target, ['plain', '{Patient,Observation}']);
  await pool.query(target, ['curious', '{Observation,Provenance}']);
  await write({ resourceType: 'Patient', id: 'sent' });
  await write({
    resourceType: 'Observation',
    id: 'sent',
    status: 'final',
    code: { text: 'mood' },
    subject: { reference: 'Patient/sent' },
  });
  const { rows } = await pool.query<{ target_id: string; types: string[] }>(
    `select target_id, array_agg(resource_type order by patient_seq) as types
       from delivery where patient_id = 'sent' group by target_id order by target_id`,
  );
  expect(rows).toEqual([
    { target_id: 'curious', types: ['Provenance', 'Observation', 'Provenance'] },
    { target_id: 'plain', types: ['Patient', 'Observation'] },
  ]);
});
