import { encounter, observation } from './clinic.ts';
import { clinic, eachWithOneLane, ehr, ends, onFirstWrite, patientId, states, writes } from './one-lane.ts';

eachWithOneLane();

test('an encounter and its observation reach the EHR, the reference rewritten to its id', async () => {
  await clinic.addTarget(ehr);
  await clinic.record(encounter('e1', patientId));
  await clinic.record(observation('o1', patientId, 'e1'));
  await clinic.settle();
  expect(await states()).toEqual(['accepted', 'accepted']);
  const [stored] = ehr.stored('Observation');
  const [visit] = ehr.stored('Encounter');
  expect(stored?.encounter).toEqual({ reference: `Encounter/${visit?.id}` });
  expect(stored?.subject).toEqual({ reference: `Patient/${ehr.stored('Patient')[0]?.id}` });
});

describe('a lost answer', () => {
  const mishaps = [
    ['the EHR never received it', 'drop-request'],
    ['the EHR stored it but its answer was lost', 'drop-answer'],
    ['the EHR stored it and answered 500', 'store-then-500'],
    [
      'the answer was an HTML page',
      { answerWith: { status: 200, headers: { 'content-type': 'text/html' }, body: '<html>' } },
    ],
    ['the answer was 202 without content', { answerWith: { status: 202, body: '' } }],
    ['the answer was cut off', { answerWith: { status: 201, headers: { 'content-length': '999' }, body: '{"resou' } }],
  ] as const;
  const cases = ([1, 2, 3] as const).flatMap((tier) => mishaps.map(([what, fault]) => [tier, what, fault] as const));

  test.each(cases)('at tier %s a resource is stored once although %s', async (tier, _what, fault) => {
    onFirstWrite(fault);
    await clinic.addTarget(ehr, { requestTimeoutSeconds: 0.5, types: { Encounter: { tier } } });
    await clinic.record(encounter('e1', patientId));
    await clinic.settle();
    expect(await states()).toEqual(['accepted']);
    expect(ehr.creates()).toHaveLength(1);
    expect(ehr.stored('Encounter')).toHaveLength(1);
  });

  test('is waited for until a fresh resource can be found', async () => {
    ehr.options = { searchLagMs: 400 };
    onFirstWrite('drop-answer');
    await clinic.addTarget(ehr, { settleSeconds: 0.6 });
    await clinic.record(encounter('e1', patientId));
    await clinic.settle();
    expect(await states()).toEqual(['accepted']);
    expect(ehr.creates()).toHaveLength(1);
  });

  test('is never taken for found in a search that ignores its parameter', async () => {
    ehr.register(encounter('foreign', patientId));
    onFirstWrite('drop-request');
    await clinic.addTarget(ehr);
    await clinic.record(encounter('e0', patientId));
    await clinic.settle();
    ehr.options = { ...ehr.options, ignoresSearch: true };
    onFirstWrite('drop-request');
    await clinic.record(encounter('e1', patientId));
    await clinic.settle();
    expect(await states()).toEqual(['accepted', 'accepted']);
    expect(ehr.creates().map((each) => each.identifiers[0])).toEqual(['Encounter-e0', 'Encounter-e1']);
  });

  test('that finds two resources waits for a person and names both', async () => {
    onFirstWrite('drop-answer');
    await clinic.addTarget(ehr);
    await clinic.record(encounter('e1', patientId));
    await clinic.work((await clinic.deliveries())[0]?.target_id as string, patientId);
    const twin = ehr.register({ ...ehr.stored('Encounter')[0], id: 'twin' });
    await clinic.settle();
    const [end] = await ends();
    expect(end?.[0]).toBe('dead-letter');
    expect(end?.[1]).toContain('remote-duplicate');
    expect(end?.[1]).toContain(`Encounter/${twin.id}`);
  });

  test.each([1, 2] as const)('a condition that finds two resources is not tried again (tier %s)', async (tier) => {
    await clinic.addTarget(ehr, { types: { Encounter: { tier }, Observation: {} } });
    const twins = ['a', 'b'].map((id) =>
      ehr.register({
        ...encounter(id, 'x'),
        identifier: [{ system: 'https://kap-bridge.example.org/sid/default', value: 'Encounter-e1' }],
      }),
    );
    await clinic.record(encounter('e1', patientId));
    await clinic.settle();
    const [end] = await ends();
    expect(end?.[0]).toBe('dead-letter');
    for (const { id } of twins) expect(end?.[1]).toContain(`Encounter/${id}`);
    expect(writes('Encounter')).toHaveLength(1);
  });

  test('of an update is sent again and not taken for an edit by others', async () => {
    await clinic.addTarget(ehr);
    await clinic.record(encounter('e1', patientId));
    await clinic.settle();
    onFirstWrite('drop-answer');
    await clinic.record(encounter('e1', patientId, { status: 'cancelled' }));
    await clinic.settle();
    expect(await states()).toEqual(['accepted', 'accepted']);
    expect(ehr.stored('Encounter')[0]?.status).toBe('cancelled');
    expect(ehr.ledger.filter((each) => each.effect === 'updated')).toHaveLength(1);
  });
});

describe('versions of one resource', () => {
  test('that wait together are sent as the last of them', async () => {
    await clinic.addTarget(ehr);
    for (const status of ['planned', 'in-progress', 'finished'])
      await clinic.record(encounter('e1', patientId, { status }));
    await clinic.settle();
    const rows = await clinic.deliveries();
    expect(rows.map((each) => each.state)).toEqual(['superseded', 'superseded', 'accepted']);
    expect(rows.slice(0, 2).map((each) => each.superseded_by)).toEqual([rows[2]?.delivery_id, rows[2]?.delivery_id]);
    expect(writes('Encounter')).toHaveLength(1);
  });

  test('reach the EHR in their order when the first one is on its way', async () => {
    onFirstWrite('drop-answer');
    const target = await clinic.addTarget(ehr);
    await clinic.record(encounter('e1', patientId, { status: 'in-progress' }));
    await clinic.work(target, patientId);
    expect(await states()).toEqual(['unknown']);
    await clinic.record(encounter('e1', patientId, { status: 'finished' }));
    await clinic.settle();
    expect(await states()).toEqual(['accepted', 'accepted']);
    expect(writes('Encounter').map((each) => each.body?.status)).toEqual(['in-progress', 'finished']);
    expect(ehr.stored('Encounter').map((each) => each.status)).toEqual(['finished']);
  });

  test('a version that corrects a refused one takes its place', async () => {
    onFirstWrite({ status: 422, body: '{}' });
    await clinic.addTarget(ehr);
    await clinic.record(encounter('e1', patientId, { status: 'triaged' }));
    await clinic.settle();
    expect(await states()).toEqual(['dead-letter']);
    await clinic.record(encounter('e1', patientId));
    await clinic.settle();
    expect(await states()).toEqual(['superseded', 'accepted']);
  });

  test('an update goes with the version it was made from, and an edit by others stays and waits for a person', async () => {
    await clinic.addTarget(ehr);
    await clinic.record(encounter('e1', patientId));
    await clinic.settle();
    const id = String(ehr.stored('Encounter')[0]?.id);
    ehr.edit('Encounter', id, (resource) => ({ ...resource, status: 'entered-in-error' }));
    await clinic.record(encounter('e1', patientId, { status: 'cancelled' }));
    await clinic.settle();
    expect(await ends()).toEqual([
      ['accepted', null],
      ['dead-letter', 'remote-edited'],
    ]);
    expect(ehr.stored('Encounter')[0]?.status).toBe('entered-in-error');
  });

  test('what others added at the EHR stays when our own part changes', async () => {
    await clinic.addTarget(ehr);
    await clinic.record(encounter('e1', patientId));
    await clinic.settle();
    const id = String(ehr.stored('Encounter')[0]?.id);
    ehr.edit('Encounter', id, (resource) => ({ ...resource, priority: { text: 'added there' } }));
    await clinic.record(encounter('e1', patientId, { status: 'cancelled' }));
    await clinic.settle();
    expect(await states()).toEqual(['accepted', 'accepted']);
    expect(ehr.stored('Encounter')[0]).toMatchObject({ status: 'cancelled', priority: { text: 'added there' } });
  });
});

describe('an entry in error', () => {
  const inError = { intent: 'entered-in-error' } as const;

  test('of what was never sent reaches nobody', async () => {
    await clinic.addTarget(ehr);
    await clinic.record(encounter('e1', patientId));
    await clinic.record(encounter('e1', patientId, { status: 'entered-in-error' }), inError);
    await clinic.settle();
    expect(await states()).toEqual(['cancelled', 'cancelled']);
    expect(writes('Encounter')).toHaveLength(0);
  });

  test.each([
    ['was delivered', undefined],
    ['is on its way', 'drop-answer'],
  ] as const)('of what %s makes it entered in error there', async (_what, fault) => {
    if (fault !== undefined) onFirstWrite(fault);
    const target = await clinic.addTarget(ehr);
    await clinic.record(encounter('e1', patientId));
    await clinic.work(target, patientId);
    await clinic.record(encounter('e1', patientId, { status: 'entered-in-error' }), inError);
    await clinic.settle();
    expect(await states()).toEqual(['accepted', 'accepted']);
    expect(ehr.stored('Encounter').map((each) => each.status)).toEqual(['entered-in-error']);
  });

  test('of what was lost on its way is looked for and then forgotten', async () => {
    onFirstWrite('drop-request');
    const target = await clinic.addTarget(ehr);
    await clinic.record(encounter('e1', patientId));
    await clinic.work(target, patientId);
    expect(await states()).toEqual(['unknown']);
    await clinic.record(encounter('e1', patientId, { status: 'entered-in-error' }), inError);
    await clinic.settle();
    expect(await states()).toEqual(['cancelled', 'cancelled']);
    expect(ehr.stored('Encounter')).toHaveLength(0);
  });

  test('a deletion tells the EHR that the entry was in error', async () => {
    await clinic.addTarget(ehr);
    await clinic.record(observation('o1', patientId, 'e1'));
    await clinic.settle();
    await clinic.record(observation('o1', patientId, 'e1'), { ...inError, deleted: true });
    await clinic.settle();
    expect(ehr.stored('Observation').map((each) => each.status)).toEqual(['entered-in-error']);
  });
});
