/**
 * The protocol a clinic starts with: plans, activities and questionnaires that the product ships, and the device that
 * signs the findings of the rules. What the clinic has already, in whatever version, is left as it is.
 */
import type { Resource } from '@medplum/fhirtypes';
import type { ClinicRecord, WriteContext, WriteRequest } from './record.ts';
import { RULES_ENGINE } from './rules-engine.ts';
import type { RecordStore } from './store.ts';

const rulesEngine: Resource = {
  resourceType: 'Device',
  id: RULES_ENGINE.reference.slice('Device/'.length),
  status: 'active',
  deviceName: [{ name: RULES_ENGINE.display, type: 'user-friendly-name' }],
};

/** @returns the references of what was installed now */
export async function installProtocol(
  store: RecordStore,
  record: ClinicRecord,
  shipped: readonly Resource[],
  context: WriteContext,
): Promise<readonly string[]> {
  const requests: WriteRequest[] = [];
  for (const resource of [rulesEngine, ...shipped]) {
    const { resourceType: type, id } = resource;
    if (id === undefined || (await store.read(type, id)) !== undefined) continue;
    requests.push({ method: 'PUT', type, id, resource, place: `${type}/${id}` });
  }
  if (requests.length > 0) await record.write(requests, context);
  return requests.map(({ type, id }) => `${type}/${id}`);
}
