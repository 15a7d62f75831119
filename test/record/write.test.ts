import type { Encounter, Observation, Resource } from '@medplum/fhirtypes';
import type { Failure } from '../../src/fhir/failure.ts';
import type { WriteRequest, WriteResult } from '../../src/record/record.ts';
import { openTestClinic, type TestClinic, writeContext } from './clinic.ts';

let clinic: TestClinic;
beforeAll(async () => {
  clinic = await openTestClinic();
});
afterAll(() => clinic.database.drop());

const patient: Resource = { resourceType: 'Patient', name: [{ family: 'Example' }], birthDate: '1986-04-12' };

function encounter(subject: string, identifier: string): Encounter {
  return {
    resourceType: 'Encounter',
    status: 'finished',
    class: { system: 'http://terminology.hl7.org/CodeSystem/v3-ActCode', code: 'AMB' },
    identifier: [{ system: 'urn:test', value: identifier }],
    subject: { reference: subject },
    period: { start: '2026-09-01T09:00:00Z', end: '2026-09-01T11:00:00Z' },
  };
}

function observation(subject: string, encounterReference?: string): Observation {
  return {
    resourceType: 'Observation',
    status: 'final',
    code: { coding: [{ system: 'http://loinc.org', code: '8867-4' }] },
    subject: { reference: subject },
    ...(encounterReference === undefined ? {} : { encounter: { reference: encounterReference } }),
    effectiveDateTime: '2026-09-01T10:00:00Z',
    valueQuantity: { value: 72, unit: 'beats/minute', system: 'http://unitsofmeasure.org', code: '/min' },
  };
}

async function write(requests: readonly Partial<WriteRequest>[], interaction = 'transaction'): Promise<WriteResult[]> {
  const complete = requests.map((request, i) => ({
    method: 'POST' as const,
    type: request.resource?.resourceType ?? 'Encounter',
    place: `Bundle.entry[${i}].resource`,
    ...request,
  }));
  return [...(await clinic.record.write(complete, writeContext(interaction)))];
}

async function created(resource: Resource): Promise<{ id: string; reference: string }> {
  const [result] = await write([{ resource }]);
  const { type, id } = (result as WriteResult).stored as { type: string; id: string };
  return { id, reference: `${type}/${id}` };
}

async function count(table: string): Promise<number> {
  const { rows } = await clinic.database.clinicPool().query(`select count(*)::integer as n from ${table}`);
  return rows[0].n;
}

async function refusal(requests: readonly Partial<WriteRequest>[]): Promise<Failure> {
  return write(requests).then(
    () => {
      throw new Error('was not refused');
    },
    (error: Failure) => error,
  );
}

test('entries of one transaction refer to each other by fullUrl in any order', async () => {
  const { reference } = await created(patient);
  const results = await write([
    { fullUrl: 'urn:uuid:o', resource: observation(reference, 'urn:uuid:e') },
    { fullUrl: 'urn:uuid:e', resource: encounter(reference, 'any-order') },
  ]);
  const [first, second] = results.map((result) => JSON.parse(result.stored?.content ?? ''));
  expect(first.encounter.reference).toBe(`Encounter/${second.id}`);
});

test('a refused transaction leaves nothing behind', async () => {
  const { reference } = await created(patient);
  const before = await count('resource_version');
  const failure = await refusal([
    { resource: encounter(reference, 'nothing-behind') },
    { resource: observation(reference, 'Encounter/not-there') },
  ]);
  expect(failure.code).toBe('invalid');
  expect(failure.message).toContain('Encounter/not-there');
  expect(failure.issues[0]?.expression).toBe('Bundle.entry[1].resource.encounter.reference');
  expect(await count('resource_version')).toBe(before);
});

test('a fullUrl that no entry has is refused at the place of the reference', async () => {
  const failure = await refusal([{ resource: observation('urn:uuid:nobody') }]);
  expect(failure.issues).toEqual([
    expect.objectContaining({ code: 'not-found', expression: 'Bundle.entry[0].resource.subject.reference' }),
  ]);
});

test('the issues of all entries are told at once', async () => {
  const failure = await refusal([
    { resource: { ...encounter('Patient/x', 'a'), status: 'done' } as never },
    { resource: { ...observation('Patient/x'), unheardOf: 1 } as never },
  ]);
  const places = failure.issues.map(({ expression }) => expression);
  expect(places).toContain('Bundle.entry[0].resource.status');
  expect(places).toContain('Bundle.entry[1].resource.unheardOf');
});

test('a conditional create that matches one answers it and changes nothing', async () => {
  const { reference } = await created(patient);
  const resource = encounter(reference, 'once');
  const [first] = await write([{ resource, ifNoneExist: 'identifier=urn:test|once' }]);
  const before = await count('resource_version');
  const [second] = await write([{ resource: encounter(reference, 'once'), ifNoneExist: 'identifier=urn:test|once' }]);
  expect(first?.effect).toBe('created');
  expect(second).toMatchObject({ effect: 'unchanged', stored: { id: first?.stored?.id } });
  expect(await count('resource_version')).toBe(before);
});

test('of many conditional creates at once exactly one creates', async () => {
  const { reference } = await created(patient);
  const all = await Promise.all(
    Array.from({ length: 8 }, () =>
      write([{ resource: encounter(reference, 'race'), ifNoneExist: 'identifier=urn:test|race' }]),
    ),
  );
  expect(all.filter(([result]) => result?.effect === 'created')).toHaveLength(1);
  expect(new Set(all.map(([result]) => result?.stored?.id)).size).toBe(1);
});

test('conditions that mean the same exclude each other, however they are escaped and ordered', async () => {
  const { reference } = await created(patient);
  const [patientId] = reference.split('/').slice(1);
  const ways = [
    `identifier=urn:test|escaped&patient=${patientId}`,
    `identifier=urn%3Atest%7Cescaped&patient=${patientId}`,
    `patient=${patientId}&identifier=urn:test%7cescaped`,
  ];
  const all = await Promise.all(
    Array.from({ length: 12 }, (_, i) =>
      write([{ resource: encounter(reference, 'escaped'), ifNoneExist: ways[i % 3] as string }]),
    ),
  );
  expect(all.flat().filter(({ effect }) => effect === 'created')).toHaveLength(1);
});

test('of many updates to one new id each makes a version of its own', async () => {
  const { reference } = await created(patient);
  const all = await Promise.all(
    Array.from({ length: 8 }, (_, i) =>
      write([{ method: 'PUT', id: 'same', resource: { ...encounter(reference, `version-${i}`), id: 'same' } }]),
    ),
  );
  expect(all.map(([result]) => result?.stored?.version).sort()).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
});

test('deletions and updates of one chart at once wait for each other and never deadlock', async () => {
  const { reference } = await created(patient);
  const ids = ['deadlock-0', 'deadlock-1', 'deadlock-2'];
  const put = (id: string) => ({ method: 'PUT' as const, id, resource: { ...encounter(reference, id), id } });
  await write(ids.map(put));
  const { rows: before } = await deadlocks();
  await Promise.all(
    Array.from({ length: 60 }, (_, i) => {
      const id = ids[i % 3] as string;
      if (i % 2 === 0) return write([{ method: 'DELETE', id }], 'delete');
      return write((i % 4 === 1 ? ids : ids.toReversed()).map(put));
    }),
  );
  expect((await deadlocks()).rows).toEqual(before);
});

test('a unit of work that loses a deadlock with another program is tried again', async () => {
  const { reference, id: patientId } = await created(patient);
  const id = 'lost-deadlock';
  const put = { method: 'PUT' as const, id, resource: { ...encounter(reference, id), id } };
  await write([put]);
  let status: Encounter['status'] = 'cancelled';
  // PostgreSQL ends whoever looks for the deadlock first, mostly who waits first: us. Else the two meet once more.
  for (;;) {
    const resource = { ...put.resource, status };
    const { answer, weLost } = await meetAnother(id, patientId, () => write([{ ...put, resource }]));
    expect(answer).toMatchObject([{ effect: 'updated' }]);
    if (weLost) break;
    status = status === 'cancelled' ? 'finished' : 'cancelled';
  }
});

/** Writes while another program takes the same locks the other way round: rows first, and the patient then. */
async function meetAnother<T>(
  id: string,
  patientId: string,
  ours: () => Promise<T>,
): Promise<{ answer: T; weLost: boolean }> {
  const other = await clinic.database.clinicPool().connect();
  try {
    await other.query('begin');
    await other.query(`select from resource where type = 'Encounter' and id = $1 for update`, [id]);
    const answer = ours();
    await somebodyWaits();
    const weLost = await other.query(`update patient_sequence set last = last where patient_id = $1`, [patientId]).then(
      () => true,
      (error: { code?: string }) => {
        if (error.code === '40P01') return false;
        throw error;
      },
    );
    await other.query(weLost ? 'commit' : 'rollback');
    return { answer: await answer, weLost };
  } finally {
    other.release(true);
  }
}

/** Resolves when a connection waits for a lock. Asked outside a transaction, which would see one moment for ever. */
async function somebodyWaits(): Promise<void> {
  const pool = clinic.database.clinicPool();
  const waits = `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
  while ((await pool.query(waits)).rows.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
}

function deadlocks() {
  // What a connection counted is told when it is idle for a moment, or asks itself.
  const pool = clinic.database.clinicPool();
  return pool.query(
    'select pg_stat_force_next_flush(), deadlocks from pg_stat_database where datname = current_database()',
  );
}

test('of many transactions at once only the one with a dangling reference is refused', async () => {
  const { reference } = await created(patient);
  const all = await Promise.allSettled(
    Array.from({ length: 24 }, (_, i) =>
      write([
        { resource: observation(reference, i === 13 ? 'Encounter/not-there' : 'urn:uuid:e') },
        { fullUrl: 'urn:uuid:e', resource: encounter(reference, `together-${i}`) },
      ]),
    ),
  );
  expect(all.flatMap(({ status }, i) => (status === 'rejected' ? [i] : []))).toEqual([13]);
  const { rows } = await clinic.database
    .clinicPool()
    .query(`select count(*)::integer as n from idx_token where code like 'together-%'`);
  expect(rows[0].n).toBe(23);
});

test('an update with the same content makes no version and no delivery', async () => {
  const { reference } = await created(patient);
  const { id } = await created(encounter(reference, 'same-content'));
  const stored = JSON.parse((await clinic.record.read('Encounter', id)).content);
  const [result] = await write([{ method: 'PUT', id, resource: stored }]);
  expect(result).toMatchObject({ effect: 'unchanged', stored: { version: 1 } });
});

test('an update that names an old version is refused and says which is current', async () => {
  const { reference } = await created(patient);
  const { id } = await created(encounter(reference, 'if-match'));
  const resource: Encounter = { ...encounter(reference, 'if-match'), id, status: 'in-progress' };
  await write([{ method: 'PUT', id, ifMatch: [1], resource }]);
  const failure = await refusal([{ method: 'PUT', id, ifMatch: [1], resource: { ...resource, status: 'finished' } }]);
  expect(failure.code).toBe('precondition-failed');
  expect(failure.message).toContain('current version is 2');
});

test('an update that may only create leaves what is there alone', async () => {
  const { reference } = await created(patient);
  const { id } = await created(encounter(reference, 'only-new'));
  const resource: Encounter = { ...encounter(reference, 'only-new'), id, status: 'in-progress' };
  const failure = await refusal([{ method: 'PUT', id, onlyNew: true, resource }]);
  expect(failure.code).toBe('precondition-failed');
  const fresh = { ...resource, id: 'only-new-fresh' };
  expect((await write([{ method: 'PUT', id: fresh.id, onlyNew: true, resource: fresh }]))[0]?.effect).toBe('created');
});

test('an update replaces only the search rows that changed, and a deletion removes them all', async () => {
  const { reference } = await created(patient);
  const { id } = await created(encounter(reference, 'rows'));
  const rowsOf = async () => {
    const { rows } = await clinic.database
      .clinicPool()
      .query(
        `select t.code from idx_token t join resource r using (rid) where r.type = 'Encounter' and r.id = $1 order by 1`,
        [id],
      );
    return rows.map(({ code }) => code);
  };
  const before = await rowsOf();
  await write([{ method: 'PUT', id, resource: { ...encounter(reference, 'rows'), id, status: 'in-progress' } }]);
  const after = await rowsOf();
  expect(before).toContain('finished');
  expect(after).toContain('in-progress');
  expect(after).not.toContain('finished');
  expect(after).toHaveLength(before.length);
  await write([{ method: 'DELETE', id }]);
  expect(await rowsOf()).toEqual([]);
});

test('a deleted resource is told from one that never was, and can come back', async () => {
  const { reference } = await created(patient);
  const { id } = await created(encounter(reference, 'comes-back'));
  expect((await write([{ method: 'DELETE', id }]))[0]?.effect).toBe('deleted');
  expect((await write([{ method: 'DELETE', id }]))[0]?.effect).toBe('unchanged');
  await expect(clinic.record.read('Encounter', id)).rejects.toMatchObject({ code: 'deleted' });
  await expect(clinic.record.read('Encounter', 'never')).rejects.toMatchObject({ code: 'not-found' });
  const [again] = await write([{ method: 'PUT', id, resource: { ...encounter(reference, 'comes-back'), id } }]);
  expect(again).toMatchObject({ effect: 'created', stored: { version: 3 } });
});

test('every version stays readable, byte for byte', async () => {
  const { reference } = await created(patient);
  const { id } = await created(encounter(reference, 'versions'));
  const first = await clinic.record.read('Encounter', id);
  await write([{ method: 'PUT', id, resource: { ...encounter(reference, 'versions'), id, status: 'in-progress' } }]);
  expect(await clinic.record.readVersion('Encounter', id, 1)).toEqual(first);
  const { versions, total } = await clinic.record.history('Encounter', id, { count: 1 });
  expect(versions.map(({ version }) => version)).toEqual([2]);
  expect(total).toBe(2);
});

test('two entries that write one resource are refused', async () => {
  const { reference } = await created(patient);
  const { id } = await created(encounter(reference, 'twice'));
  const resource = { ...encounter(reference, 'twice'), id };
  const failure = await refusal([
    { method: 'PUT', id, resource },
    { method: 'DELETE', id },
  ]);
  expect(failure.issues[0]?.code).toBe('duplicate');
});

test('two entries under one condition are refused: each would create', async () => {
  const { reference } = await created(patient);
  const condition = 'identifier=urn:test|same-condition';
  const resource = encounter(reference, 'same-condition');
  const failure = await refusal([
    { resource, ifNoneExist: condition },
    { resource: encounter(reference, 'same-condition'), method: 'PUT', criteria: condition },
  ]);
  expect(failure.issues).toMatchObject([{ code: 'duplicate', expression: 'Bundle.entry[1].resource' }]);
});

test('a conditional update writes neither over an id it did not match nor under another id', async () => {
  const { reference } = await created(patient);
  const { id: other } = await created(encounter(reference, 'somebody-else'));
  const update = (wished: string) => ({
    method: 'PUT' as const,
    criteria: 'identifier=urn:test|wished',
    resource: { ...encounter(reference, 'wished'), id: wished },
  });
  expect(await refusal([update(other)])).toMatchObject({
    code: 'conflict',
    issues: [{ expression: 'Bundle.entry[0].resource.id' }],
  });
  const [first] = await write([update('wished-1')]);
  expect(first).toMatchObject({ effect: 'created', stored: { id: 'wished-1' } });
  expect(await refusal([update('wished-2')])).toMatchObject({
    code: 'invalid',
    issues: [{ expression: 'Bundle.entry[0].resource.id' }],
  });
  expect(await write([update('wished-1')])).toMatchObject([{ stored: { id: 'wished-1' } }]);
});

test('each write leaves its audit entry in the same transaction, a refused one leaves none', async () => {
  const { reference } = await created(patient);
  const before = await count('audit_event');
  await refusal([{ resource: observation(reference, 'Encounter/not-there') }, { resource: encounter(reference, 'x') }]);
  expect(await count('audit_event')).toBe(before);
  await write([{ resource: encounter(reference, 'audited') }]);
  expect(await count('audit_event')).toBe(before + 1);
});

test('a transaction about two patients leaves one audit entry for each, with what is theirs', async () => {
  const [one, two] = [await created(patient), await created(patient)];
  await write([
    { resource: encounter(one.reference, 'audit-one') },
    { resource: encounter(two.reference, 'audit-two') },
  ]);
  const { rows } = await clinic.database
    .clinicPool()
    .query(
      `select patient_id, body from audit_event where subtype = 'transaction' and patient_id = any ($1) and body like '%Encounter/%'`,
      [[one.id, two.id]],
    );
  for (const { patient_id, body } of rows) {
    expect(body).toContain(`Patient/${patient_id}`);
    expect(body).not.toContain(patient_id === one.id ? two.id : one.id);
    expect(body.match(/Encounter\/[^/"]+\/_history\/1/g)).toHaveLength(1);
  }
  expect(rows).toHaveLength(2);
});

test('what is recorded becomes one delivery for each target in force, parents first', async () => {
  const pool = clinic.database.clinicPool();
  await pool.query(
    `insert into ehr_target (target_id, active_revision, resource_types) values ('one', 1, '{Encounter,Observation}')`,
  );
  const { reference, id } = await created(patient);
  await write([
    { fullUrl: 'urn:uuid:o', resource: observation(reference, 'urn:uuid:e') },
    { fullUrl: 'urn:uuid:e', resource: encounter(reference, 'delivered') },
  ]);
  const { rows } = await pool.query(
    'select resource_type, patient_seq, state, intent from delivery where patient_id = $1 order by patient_seq',
    [id],
  );
  expect(rows).toEqual([
    { resource_type: 'Encounter', patient_seq: '1', state: 'waiting', intent: 'put' },
    { resource_type: 'Observation', patient_seq: '2', state: 'waiting', intent: 'put' },
  ]);
  await pool.query('update ehr_target set disabled_at = now()');
});

test('a deletion tells the EHR that the entry was a mistake', async () => {
  const pool = clinic.database.clinicPool();
  await pool.query(
    `insert into ehr_target (target_id, active_revision, resource_types) values ('two', 1, '{Encounter}')`,
  );
  const { reference } = await created(patient);
  const { id } = await created(encounter(reference, 'mistake'));
  await write([{ method: 'DELETE', id }]);
  const { rows } = await pool.query(
    'select version_id, intent from delivery where resource_id = $1 order by patient_seq',
    [id],
  );
  expect(rows).toEqual([
    { version_id: 1, intent: 'put' },
    { version_id: 2, intent: 'entered-in-error' },
  ]);
  await pool.query('update ehr_target set disabled_at = now()');
});

test('many more writers than connections all come through', async () => {
  const { reference } = await created(patient);
  const all = await Promise.all(
    Array.from({ length: 60 }, (_, i) =>
      write([
        { resource: encounter(reference, `crowd-${i}`), ifNoneExist: `identifier=urn:test|crowd-${i}` },
        ...Array.from({ length: 20 }, () => ({ resource: observation(reference) })),
      ]),
    ),
  );
  expect(all.flat().filter(({ effect }) => effect === 'created')).toHaveLength(60 * 21);
});
