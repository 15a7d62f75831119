import { createHash } from 'node:crypto';
import {
  infusionBundle,
  intakeBundle,
  rng,
  sessionStart,
  singleObservation,
  therapyBundle,
} from '../../bench/kap-data.ts';

test('the workload is the one that the figures of the peer were measured with', () => {
  const digest = createHash('sha256');
  const add = (value: unknown) => digest.update(`${JSON.stringify(value)}\n`);
  for (let patient = 0; patient < 5; patient++) {
    add(intakeBundle('1', patient));
    for (let session = 0; session < 6; session++) {
      const infusionAt = sessionStart('1', patient, 'infusion', session);
      add(infusionBundle('Patient/p', infusionAt, rng('1', 'inf', patient, session), session));
      const therapyAt = sessionStart('1', patient, 'therapy', session);
      add(therapyBundle('Patient/p', therapyAt, rng('1', 'ther', patient, session)));
    }
  }
  const r = rng('1', 'create-pool');
  for (let i = 0; i < 100; i++) add(singleObservation('Patient/p', r.int(0, 300_000), r));
  expect(digest.digest('hex')).toBe('b3370436aeea553cd798457dcda98110e7533da400f6b6a755168b5bf43518d5');
});
