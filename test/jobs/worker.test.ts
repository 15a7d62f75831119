import { startWorker, type Waker } from '../../jobs/worker.ts';
import {
  type Clinic,
  encounter,
  OWN_BASE,
  observation,
  openClinic,
  patient,
  QUICK,
  quietLog,
  registered,
} from '../ehr/clinic.ts';
import { type EhrStandIn, startEhrStandIn } from '../ehr/ehr-stand-in.ts';
import { createTestDatabase, type TestDatabase } from '../postgres.ts';
import { type OpenStore, openStore, QUEUE_STORES } from './queue-stores.ts';
import { startWorkerProcess, until, type WorkerProcess } from './worker.ts';

describe.each(QUEUE_STORES)('with the queue on %s', (kind) => {
  let database: TestDatabase;
  let store: OpenStore;
  let clinic: Clinic;
  let ehr: EhrStandIn;
  const processes: WorkerProcess[] = [];
  const wakers: Waker[] = [];

  beforeEach(async () => {
    database = await createTestDatabase();
    store = await openStore(kind, database.url);
    clinic = openClinic(database.clinicPool());
    ehr = await startEhrStandIn();
  });
  afterEach(async () => {
    for (const each of processes.splice(0)) {
      await each.kill('SIGCONT');
      await each.kill('SIGKILL');
    }
    for (const each of wakers.splice(0)) await each.close();
    await clinic.close();
    await ehr.close();
    await store.close();
    await database.drop();
  });

  const worker = async (environment: Record<string, string> = {}) => {
    const started = await startWorkerProcess(database.url, store, environment);
    processes.push(started);
    return started;
  };
  const workerHere = async (sweep = { fromMs: 200, toMs: 400 }) => {
    const waker = await startWorker({
      clinic: 'default',
      ownBase: OWN_BASE,
      queue: store.store,
      ...clinic.parts,
      log: quietLog,
      sweep,
      takeOver: { lockMs: 1_000, checkMs: 500 },
      lane: QUICK,
    });
    wakers.push(waker);
    return waker;
  };
  const states = async () => (await clinic.deliveries()).map((each) => each.state);
  const allAccepted = async () => (await states()).every((state) => state === 'accepted');
  const createsPerIdentifier = () => {
    const counts = new Map<string, number>();
    for (const { identifiers } of ehr.creates()) {
      for (const each of identifiers) counts.set(each, (counts.get(each) ?? 0) + 1);
    }
    return [...counts.values()];
  };
  const onePatient = async (id: string) => {
    ehr.register(registered(id));
    await clinic.record(patient(id));
  };

  /** Keeps back the answers to writes until told otherwise; resolves with the first write that was stored. */
  const holdAnswers = () =>
    new Promise<void>((resolve) => {
      ehr.options = {
        fault({ method }) {
          if (method === 'GET') return undefined;
          resolve();
          return 'store-then-hang';
        },
      };
    });

  test('a delivery is stored once although its worker is killed after the EHR accepted it', async () => {
    await clinic.addTarget(ehr);
    await onePatient('p1');
    await clinic.record(encounter('e1', 'p1'));
    const accepted = holdAnswers();
    const first = await worker();
    await accepted;
    await first.kill('SIGKILL');
    ehr.options = {};
    await worker();
    await until('the delivery is accepted', allAccepted);

    expect(ehr.creates()).toHaveLength(1);
    expect((await clinic.deliveries())[0]?.attempts).toBe(1);
    const attempts = await clinic.attempts();
    expect(attempts.map((each) => [each.kind, each.class])).toEqual([
      ['identify', 'accepted'],
      ['send', null],
      ['resolve', 'accepted'],
    ]);
    expect(await disclosures()).toEqual(['0', '8', '0']);
  });

  test('a delivery is sent once although its worker is killed before the first byte left', async () => {
    await clinic.addTarget(ehr);
    await onePatient('p1');
    await clinic.record(encounter('e1', 'p1'));
    const first = await worker({ STOP_BEFORE_SEND: '1' });
    await until('the attempt is written down', async () =>
      (await clinic.attempts()).some((each) => each.kind === 'send'),
    );
    await first.kill('SIGKILL');
    expect(ehr.creates()).toHaveLength(0);
    await worker();
    await until('the delivery is accepted', allAccepted);
    expect(ehr.creates()).toHaveLength(1);
    expect((await clinic.attempts()).map((each) => each.kind)).toEqual(['identify', 'send', 'resolve', 'send']);
  });

  test('a worker that was frozen while it sent writes nothing when it goes on', async () => {
    await clinic.addTarget(ehr);
    await onePatient('p1');
    await clinic.record(encounter('e1', 'p1'));
    const accepted = holdAnswers();
    const frozen = await worker();
    await accepted;
    frozen.child.kill('SIGSTOP');
    ehr.options = {};
    await worker();
    await until('the delivery is accepted', allAccepted);
    const before = await clinic.attempts();
    frozen.child.kill('SIGCONT');
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(await clinic.attempts()).toEqual(before);
    expect(await states()).toEqual(['accepted']);
    expect(ehr.creates()).toHaveLength(1);
  });

  test('nothing is lost or sent twice when the queue forgets everything', async () => {
    await clinic.addTarget(ehr);
    ehr.options = { delayMs: 5 };
    for (let n = 0; n < 12; n += 1) await onePatient(`p${n}`);
    await workerHere();
    for (let n = 0; n < 12; n += 1) {
      await clinic.record(encounter(`e${n}`, `p${n}`));
      await clinic.record(observation(`o${n}`, `p${n}`, `e${n}`));
      if (n % 4 === 3) await store.wipe();
    }
    await until('everything is accepted', allAccepted);
    expect(createsPerIdentifier()).toEqual(Array(24).fill(1));
  });

  test('two workers and ten wakes of each lane send nothing twice and keep the order of each patient', async () => {
    await clinic.addTarget(ehr);
    for (let n = 0; n < 6; n += 1) {
      await onePatient(`p${n}`);
      for (let visit = 0; visit < 4; visit += 1) await clinic.record(encounter(`e${n}-${visit}`, `p${n}`));
    }
    const [one, two] = [await workerHere(), await workerHere()];
    for (let wake = 0; wake < 10; wake += 1) {
      one.wake();
      two.wake();
    }
    await until('everything is accepted', allAccepted);
    expect(createsPerIdentifier()).toEqual(Array(24).fill(1));
    for (let n = 0; n < 6; n += 1)
      expect(orderOf(`e${n}-`)).toEqual([0, 1, 2, 3].map((visit) => `Encounter-e${n}-${visit}`));
  });

  test('workers killed at random moments lose nothing, send nothing twice and keep the order', async () => {
    await clinic.addTarget(ehr);
    let writes = 0;
    ehr.options = {
      delayMs: 3,
      fault({ method }) {
        if (method === 'GET') return undefined;
        writes += 1;
        if (writes % 11 === 0) return 'store-then-500';
        if (writes % 17 === 0) return 'drop-answer';
        return writes % 23 === 0 ? { status: 503 } : undefined;
      },
    };
    for (let n = 0; n < 8; n += 1) {
      await onePatient(`p${n}`);
      for (let visit = 0; visit < 5; visit += 1) await clinic.record(encounter(`e${n}-${visit}`, `p${n}`));
    }
    for (let kill = 0; kill < 3; kill += 1) {
      const victim = await worker({ LEASE_SECONDS: '1' });
      const before = ehr.ledger.length;
      await until('it works', () => ehr.ledger.length >= before + 6);
      await victim.kill('SIGKILL');
    }
    await worker({ LEASE_SECONDS: '1' });
    await until('everything is accepted', allAccepted, 45);
    expect(createsPerIdentifier()).toEqual(Array(40).fill(1));
    for (let n = 0; n < 8; n += 1) {
      expect(orderOf(`e${n}-`)).toEqual([0, 1, 2, 3, 4].map((visit) => `Encounter-e${n}-${visit}`));
    }
  });

  test('a commit is delivered at once and does not wait for the sweeper', async () => {
    await clinic.addTarget(ehr);
    await onePatient('p1');
    const waker = await workerHere({ fromMs: 3_600_000, toMs: 3_600_000 });
    await clinic.record(encounter('e1', 'p1'));
    waker.wake();
    await until('the delivery is accepted', allAccepted, 5);
    expect(ehr.creates()).toHaveLength(1);
  });

  // The record's own database is away with its queue: that is another story.
  const whereItCanBeAway = kind === 'redis' ? test : test.skip;
  whereItCanBeAway(
    'a store of the queue that is away for a while and comes back empty costs nothing but time',
    async () => {
      await clinic.addTarget(ehr);
      for (let n = 0; n < 3; n += 1) await onePatient(`p${n}`);
      const waker = await workerHere();
      await clinic.record(encounter('e0', 'p0'));
      await until('the first is accepted', allAccepted);
      await store.outage?.(async () => {
        await clinic.record(encounter('e1', 'p1'));
        const started = performance.now();
        waker.wake();
        expect(performance.now() - started).toBeLessThan(50);
        await new Promise((resolve) => setTimeout(resolve, 600));
      });
      await clinic.record(encounter('e2', 'p2'));
      await until('everything is accepted', allAccepted);
      expect(createsPerIdentifier()).toEqual([1, 1, 1]);
    },
  );

  test('one EHR is never sent more patients at once than it allows, and none is forgotten', async () => {
    await clinic.addTarget(ehr, { concurrency: 2 });
    let now = 0;
    let most = 0;
    ehr.options = {
      delayMs: 20,
      fault() {
        now += 1;
        most = Math.max(most, now);
        setTimeout(() => {
          now -= 1;
        }, 18);
        return undefined;
      },
    };
    for (let n = 0; n < 10; n += 1) {
      await onePatient(`p${n}`);
      await clinic.record(encounter(`e${n}`, `p${n}`));
    }
    const waker = await workerHere({ fromMs: 3_600_000, toMs: 3_600_000 });
    waker.wake();
    await until('everything is accepted', allAccepted);
    expect(most).toBeLessThanOrEqual(2);
  });

  const disclosures = async () => {
    const { rows } = await clinic.pool.query<{ body: string }>(
      "select body from audit_event where type = '110106' order by recorded, event_id",
    );
    return rows.map(({ body }) => (JSON.parse(body) as { outcome: string }).outcome);
  };
  const orderOf = (prefix: string) =>
    ehr
      .creates()
      .flatMap((each) => each.identifiers)
      .filter((each) => each.startsWith(`Encounter-${prefix}`));
});
