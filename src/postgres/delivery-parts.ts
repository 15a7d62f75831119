import type { Sealing } from '../access/keys.ts';
import type { DeliveryStore, LaneFinder } from '../ehr/deliveries.ts';
import type { TargetStore } from '../ehr/target-store.ts';
import { type DeliveryContext, deliveryStore } from './deliveries.ts';
import { laneFinder, onlyOne } from './lanes.ts';
import type { Pool } from './pool.ts';
import { targetStore } from './targets.ts';

/** Everything of a clinic's database that its worker needs. */
export type DeliveryParts = {
  readonly deliveries: DeliveryStore;
  readonly lanes: LaneFinder;
  readonly targets: TargetStore;
  onlyOne(work: () => Promise<void>): Promise<boolean>;
};

/** @param pool on the clinic's schema */
export function deliveryParts(pool: Pool, sealing: Sealing, context: DeliveryContext): DeliveryParts {
  return {
    deliveries: deliveryStore(pool, context),
    lanes: laneFinder(pool),
    targets: targetStore(pool, sealing, context),
    onlyOne: (work) => onlyOne(pool, work),
  };
}
