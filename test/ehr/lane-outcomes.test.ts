import { deliverLane } from '../../jobs/deliver-lane.ts';
import type { WakeQueue } from '../../jobs/queue.ts';
import type { Relay } from '../../jobs/relay.ts';
import { createClinicPool } from '../../src/postgres/pool.ts';
import { encounter, MRN, observation, openClinic, patient, registered } from './clinic.ts';
import type { Json } from './ehr-stand-in.ts';
import { clinic, eachWithOneLane, ehr, ends, onFirstWrite, onWrites, patientId, states, writes } from './one-lane.ts';

eachWithOneLane();

describe('the patient', () => {
  test.each([
    ['nobody there has the identifier', () => undefined, 'identity-missing'],
    [
      'two there have the identifier',
      () => {
        ehr.register(registered('p2'));
        ehr.register(registered('p2'));
      },
      'identity-ambiguous',
    ],
    [
      'the birth date differs',
      () => void ehr.register({ ...registered('p2'), birthDate: '1990-01-01' }),
      'identity-conflict',
    ],
    [
      'the family name differs',
      () => void ehr.register({ ...registered('p2'), name: [{ family: 'Other' }] }),
      'identity-conflict',
    ],
  ])('is not written to when %s', async (_what, arrange, reason) => {
    arrange();
    await clinic.addTarget(ehr);
    await clinic.record(patient('p2'));
    await clinic.record(encounter('e2', 'p2'));
    await clinic.settle();
    expect(await states()).toEqual(['waiting']);
    expect(writes('Encounter')).toHaveLength(0);
    const { rows } = await clinic.pool.query(
      'select l.hold_reason, k.status, k.evidence::text from lane l join patient_link k using (target_id, patient_id)',
    );
    expect(rows[0]).toMatchObject({ hold_reason: reason, status: 'hold' });
    expect(rows[0]?.evidence).not.toMatch(/Example|1988|MRN-/);
  });

  test('is not taken from a search that ignores the identifier', async () => {
    ehr.options = { ignoresSearch: true };
    await clinic.addTarget(ehr);
    await clinic.record(patient('p2'));
    await clinic.record(encounter('e2', 'p2'));
    await clinic.settle();
    expect(writes('Encounter')).toHaveLength(0);
  });

  test('whose record is corrected is looked up again', async () => {
    await clinic.addTarget(ehr);
    await clinic.record(patient('p2', 'MRN-mistyped'));
    await clinic.record(encounter('e2', 'p2'));
    await clinic.settle();
    expect(await states()).toEqual(['waiting']);
    ehr.register(registered('p2'));
    await clinic.record(patient('p2'));
    expect(await clinic.parts.lanes.releaseCorrected()).toBe(1);
    await clinic.settle();
    expect(await states()).toEqual(['accepted']);
  });

  test.each(['drop-request', 'drop-answer', 'store-then-500'] as const)(
    'is created once where that is wanted (%s)',
    async (fault) => {
      onFirstWrite(fault, 'Patient');
      await clinic.addTarget(ehr, { patientIdentity: { identifierSystem: MRN, onMissing: 'create' } });
      await clinic.record(patient('p2'));
      await clinic.record(encounter('e2', 'p2'));
      await clinic.settle();
      expect(await states()).toEqual(['accepted']);
      const made = ehr.creates().filter((each) => each.type === 'Patient');
      expect(made).toHaveLength(1);
      expect(Object.keys(made[0]?.body ?? {}).sort()).toEqual(['birthDate', 'identifier', 'name', 'resourceType']);
    },
  );
});

describe('what an EHR answers', () => {
  test('too many requests: the whole target waits as long as it says, and no attempt is used up', async () => {
    onFirstWrite({ status: 429, headers: { 'retry-after': '1' } });
    const target = await clinic.addTarget(ehr);
    await clinic.record(encounter('e1', patientId));
    await clinic.work(target, patientId);
    expect(await clinic.deliveries()).toMatchObject([{ state: 'waiting', attempts: 0 }]);
    expect(await clinic.work(target, patientId)).toBe('closed');
    const refusedAt = Date.now();
    await until(async () => (await clinic.work(target, patientId)) !== 'closed');
    expect(Date.now() - refusedAt).toBeGreaterThan(700);
    expect(await states()).toEqual(['accepted']);
  });

  test.each([
    ['401', 'authorization'],
    ['403', 'misconfigured'],
    ['404', 'misconfigured'],
  ])('%s holds the target and not the message', async (status, reason) => {
    onWrites({ status: Number(status) });
    const target = await clinic.addTarget(ehr);
    await clinic.record(encounter('e1', patientId));
    await clinic.record(encounter('e2', patientId));
    await clinic.settle();
    expect(await states()).toEqual(['waiting', 'waiting']);
    expect(writes('Encounter')).toHaveLength(1);
    expect((await clinic.parts.targets.list())[0]?.holdReason).toBe(reason);
    ehr.options = {};
    await clinic.parts.targets.resume(target, 'test');
    await clinic.settle();
    expect(await states()).toEqual(['accepted', 'accepted']);
  });

  test('a redirect is not followed, and the lane is held', async () => {
    onFirstWrite({ status: 307, headers: { location: `${ehr.baseUrl}/Elsewhere` } });
    await clinic.addTarget(ehr);
    await clinic.record(encounter('e1', patientId));
    await clinic.settle();
    expect(await states()).toEqual(['waiting']);
    expect(ehr.stored('Encounter')).toHaveLength(0);
    expect(ehr.ledger.some((each) => each.path.includes('Elsewhere'))).toBe(false);
  });

  test('refused content is a dead letter at once; an encounter stops its lane, an observation does not', async () => {
    ehr.options = {
      fault: ({ method, body }) =>
        method !== 'GET' && body?.status === 'bad' ? { status: 422, body: REFUSAL } : undefined,
    };
    await clinic.addTarget(ehr);
    await clinic.record({ ...observation('o1', patientId, 'e0'), status: 'bad' });
    await clinic.record(observation('o2', patientId, 'e0'));
    await clinic.record(encounter('e1', patientId, { status: 'bad' }));
    await clinic.record(encounter('e2', patientId));
    await clinic.settle();
    expect(await states()).toEqual(['dead-letter', 'accepted', 'dead-letter', 'waiting']);
    const [end] = await ends();
    expect(end?.[1]).toBe('refused HTTP 422: invalid Observation.status');
  });

  test('what refers to a dead letter waits for it, and goes when it was replaced', async () => {
    onFirstWrite({ status: 422, body: '{}' });
    await clinic.addTarget(ehr, { types: { Encounter: { whenDead: 'pass' }, Observation: {} } });
    await clinic.record(encounter('e1', patientId));
    await clinic.record(observation('o1', patientId, 'e1'));
    await clinic.record(encounter('e2', patientId));
    await clinic.settle();
    expect(await states()).toEqual(['dead-letter', 'waiting', 'accepted']);
    await clinic.record(encounter('e1', patientId));
    await clinic.settle();
    expect(await states()).toEqual(['superseded', 'accepted', 'accepted', 'accepted']);
    const visit = ehr.creates().find((each) => each.identifiers.includes('Encounter-e1'));
    expect(ehr.stored('Observation')[0]?.encounter).toEqual({ reference: `Encounter/${visit?.remoteId}` });
  });

  test('500 on one delivery alone, again and again, is a poison message and not an outage', async () => {
    ehr.options = {
      fault: ({ method, body }) => (method !== 'GET' && body?.status === 'poison' ? { status: 500 } : undefined),
    };
    ehr.register(registered('p2'));
    await clinic.record(patient('p2'));
    const target = await clinic.addTarget(ehr, { types: { Observation: {} } });
    await clinic.record({ ...observation('o1', patientId, 'e0'), status: 'poison' });
    let n = 0;
    await until(async () => {
      n += 1;
      await clinic.record(observation(`o2-${n}`, 'p2', 'e0'));
      await clinic.work(target, 'p2');
      await clinic.work(target, patientId);
      return (await clinic.deliveries()).some((each) => each.state === 'dead-letter');
    });
    const poison = (await clinic.deliveries()).find((each) => each.state === 'dead-letter');
    expect(poison?.state_reason).toMatch(/^poison/);
    expect(writes('Observation').filter((each) => each.body?.status === 'poison')).toHaveLength(5);
  });

  test('503 for longer than the give-up age makes a dead letter', async () => {
    await clinic.addTarget(ehr, { giveUpDays: 0.000_001 });
    onWrites({ status: 503 }, 'Encounter');
    await clinic.record(encounter('e1', patientId));
    await clinic.settle();
    const [end] = await ends();
    expect(end?.[0]).toBe('dead-letter');
    expect(end?.[1]).toMatch(/^gave-up/);
  });
});

describe('what must not leave', () => {
  const note = (id: string): Json => ({
    resourceType: 'DocumentReference',
    id,
    status: 'current',
    meta: { security: [{ system: 'http://terminology.hl7.org/CodeSystem/v3-ActCode', code: 'PSYTHPN' }] },
    subject: { reference: `Patient/${patientId}` },
    content: [{ attachment: { contentType: 'text/plain', url: 'Binary/text-1' } }],
  });

  test('a psychotherapy note is withheld, and nothing that leaves refers to it', async () => {
    await clinic.addTarget(ehr);
    await clinic.record(note('n1'));
    await clinic.record({
      ...observation('o1', patientId, 'e0'),
      derivedFrom: [{ reference: 'DocumentReference/n1' }],
      focus: [{ reference: `Patient/${patientId}` }, { reference: 'DocumentReference/n1/_history/1' }],
    });
    await clinic.settle();
    expect(await states()).toEqual(['withheld', 'accepted']);
    expect((await ends())[0]?.[1]).toMatch(/^R-21/);
    const sent = JSON.stringify(ehr.ledger.map((each) => [each.path, each.body]));
    expect(sent).not.toContain('n1');
    expect(ehr.stored('Observation')[0]).not.toHaveProperty('derivedFrom');
    expect(ehr.stored('Observation')[0]?.focus).toHaveLength(1);
  });

  test('a document that was labelled as a note after it was recorded is withheld too', async () => {
    const target = await clinic.addTarget(ehr);
    await clinic.parts.targets.pause(target, 'test');
    const { meta: _labels, ...plain } = note('n1');
    await clinic.record(plain);
    await clinic.pool.query("update ehr_target set resource_types = array['Encounter']");
    await clinic.record(note('n1'));
    await clinic.parts.targets.resume(target, 'test');
    await clinic.settle();
    expect(await states()).toEqual(['withheld']);
    expect(writes('DocumentReference')).toHaveLength(0);
  });

  test('a resource that refers to another patient is not sent', async () => {
    await clinic.record(patient('p2'));
    await clinic.addTarget(ehr);
    await clinic.record({ ...observation('o1', patientId, 'e0'), performer: [{ reference: 'Patient/p2' }] });
    await clinic.settle();
    expect(await ends()).toEqual([['dead-letter', 'refers to another patient']]);
  });
});

test('every request leaves an audit entry of what was disclosed about whom to whom', async () => {
  await clinic.addTarget(ehr);
  await clinic.record(encounter('e1', patientId));
  await clinic.settle();
  const { rows } = await clinic.pool.query(
    "select patient_id, subtype, outcome, body, request_id from audit_event where type = '110106' order by recorded, event_id",
  );
  expect(rows).toHaveLength((await clinic.attempts()).length);
  expect(rows).toHaveLength(ehr.ledger.length);
  const body = JSON.parse(rows[1]?.body) as { subtype: { code: string }[]; agent: { network: Json }[]; entity: Json[] };
  expect(rows[1]).toMatchObject({ patient_id: patientId, subtype: 'disclose', outcome: 0 });
  expect(body.subtype.map(({ code }) => code)).toEqual(['disclose', 'create']);
  expect(body.agent[1]?.network).toEqual({ address: ehr.baseUrl, type: '5' });
  expect(body.entity[1]).toMatchObject({ what: { reference: 'Encounter/e1/_history/1' } });
  const [delivery] = await clinic.deliveries();
  expect(rows[1]?.request_id).toBe(`${delivery?.delivery_id}.2`);
});

const REFUSAL = JSON.stringify({
  resourceType: 'OperationOutcome',
  issue: [
    {
      severity: 'error',
      code: 'invalid',
      diagnostics: 'Status of Jane Doe is bad',
      expression: ['Observation.status'],
    },
  ],
});

async function until(holds: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + 20_000;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error('Not within 20 s');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test('a job returns normally although the database is away, and says so in the log', async () => {
  const gone = createClinicPool('postgres://nobody@127.0.0.1:1/none', 'default');
  const { ports } = openClinic(gone);
  const errors: object[] = [];
  const log = { ...ports.log, error: (fields: object) => void errors.push(fields) };
  const queue = { wake: never, wakeLater: never, consume: never, close: never } as unknown as WakeQueue;
  await deliverLane('1', { ...ports, log }, {}, queue, { wake: never, run: never, close: never } as unknown as Relay);
  expect(errors).toEqual([{ laneId: '1', error: 'Error ECONNREFUSED' }]);
  await gone.end();
});

function never(): never {
  throw new Error('not expected');
}
