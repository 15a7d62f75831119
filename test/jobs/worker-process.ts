/**
 * A worker in a process of its own, so that it can be killed and frozen. Run by worker.ts of this folder.
 *
 * STOP_BEFORE_SEND=1 keeps it from sending: the attempt is written down, and no byte leaves.
 */
import { startWorker } from '../../jobs/worker.ts';
import { deliveryParts } from '../../src/postgres/delivery-parts.ts';
import { createClinicPool, createPool } from '../../src/postgres/pool.ts';
import { CONTEXT, OWN_BASE, QUICK, SEALING } from '../ehr/clinic.ts';

const { DATABASE_URL = '', REDIS_URL, STOP_BEFORE_SEND, LEASE_SECONDS = '2' } = process.env;

const pool = createClinicPool(DATABASE_URL, 'default', { max: 12 });
const queuePool = createPool(DATABASE_URL, { max: 8 }, 'bullmq');
const parts = deliveryParts(pool, SEALING, CONTEXT);
const say = (fields: object, message: string) => process.stderr.write(`${message} ${JSON.stringify(fields)}\n`);

const deliveries: typeof parts.deliveries = {
  ...parts.deliveries,
  async begin(lane, deliveryId, attempt, leaseSeconds) {
    const attemptNo = await parts.deliveries.begin(lane, deliveryId, attempt, leaseSeconds);
    if (STOP_BEFORE_SEND === '1' && attempt.kind === 'send') await new Promise(() => undefined);
    return attemptNo;
  },
};

await startWorker({
  clinic: 'default',
  ownBase: OWN_BASE,
  queue: REDIS_URL === undefined ? { kind: 'postgres', pool: queuePool } : { kind: 'redis', url: REDIS_URL },
  ...parts,
  deliveries,
  log: { info: () => undefined, warn: say, error: say },
  concurrency: 4,
  takeOver: { lockMs: 1_000, checkMs: 500 },
  sweep: { fromMs: 200, toMs: 400 },
  lane: { ...QUICK, leaseSeconds: Number(LEASE_SECONDS), leaseMarginSeconds: 0.2 },
});
process.stdout.write('ready\n');
