import { openQueue } from '../../jobs/queue.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { createTestDatabase, type TestDatabase } from '../postgres.ts';
import { type OpenStore, openStore, QUEUE_STORES } from './queue-stores.ts';
import { until } from './worker.ts';

const ignore = () => undefined;

test('a queue whose store is away is refused at once and not silently idle', async () => {
  const pool = createPool('postgres://nobody@127.0.0.1:1/none', {}, 'bullmq');
  await expect(openQueue('default', { kind: 'postgres', pool }, ignore)).rejects.toMatchObject({ code: 'transient' });
  await pool.end();
  const redis = { kind: 'redis', url: 'redis://127.0.0.1:1' } as const;
  await expect(openQueue('default', redis, ignore)).rejects.toMatchObject({ code: 'transient' });
});

describe.each(QUEUE_STORES)('on %s', (kind) => {
  let database: TestDatabase;
  let store: OpenStore;
  beforeEach(async () => {
    database = await createTestDatabase();
    store = await openStore(kind, database.url);
  });
  afterEach(async () => {
    await store.close();
    await database.drop();
  });

  test('many wakes of one lane become one look at it, and a wake while it is looked at one more', async () => {
    const queue = await openQueue('default', store.store, ignore);
    const looks: string[] = [];
    let release: () => void = ignore;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    for (let n = 0; n < 10; n += 1) await queue.wake(['1', '2']);
    const consumer = await queue.consume(async (laneId) => {
      looks.push(laneId);
      if (laneId === '1' && looks.filter((each) => each === '1').length === 1) await held;
    }, 4);
    await until('both lanes are looked at', () => looks.length === 2);
    for (let n = 0; n < 10; n += 1) await queue.wake(['1']);
    release();
    await until('the first is looked at again', () => looks.length === 3);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect([...looks].sort()).toEqual(['1', '1', '2']);
    await consumer.close();
    await queue.close();
  });

  test('a job holds a lane id and nothing else', async () => {
    const queue = await openQueue('default', store.store, ignore);
    const seen: unknown[] = [];
    const consumer = await queue.consume(async (...all) => {
      seen.push(all);
    }, 1);
    await queue.wakeLater('7', 10);
    await until('it is looked at', () => seen.length === 1);
    expect(seen).toEqual([['7']]);
    await consumer.close();
    await queue.close();
  });
});
