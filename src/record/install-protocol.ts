/**
 * What a clinic has from the start.
 *
 * The protocol: plans, activities and questionnaires that the product ships, and the device that signs the findings of
 * the rules. What the clinic has already, in whatever version, is left as it is: it may have made it its own.
 *
 * The guide: the definitions of what the service says on the wire. They are the product's and follow it: what validates is
 * what can be read.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Resource } from '@medplum/fhirtypes';
import { parseJson } from '../fhir/json.ts';
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
  if (requests.length > 0) await record.write(requests, { ...context, definitions: true });
  return requests.map(({ type, id }) => `${type}/${id}`);
}

/** @returns the references of what was new or changed */
export async function installGuide(
  store: RecordStore,
  record: ClinicRecord,
  guide: readonly Resource[],
  context: WriteContext,
): Promise<readonly string[]> {
  const stored = await Promise.all(guide.map(({ resourceType, id = '' }) => store.read(resourceType, id)));
  const requests = guide.flatMap((resource, at): WriteRequest[] => {
    const { resourceType: type, id } = resource;
    const row = stored[at];
    if (id === undefined || (row !== undefined && !row.deleted && saysTheSame(row.content, resource))) return [];
    return [{ method: 'PUT', type, id, resource, place: `${type}/${id}`, alone: true }];
  });
  if (requests.length > 0) await record.write(requests, { ...context, definitions: true });
  return requests.map(({ type, id }) => `${type}/${id}`);
}

function saysTheSame(content: string, resource: Resource): boolean {
  const { meta, ...rest } = parseJson(content) as Resource;
  const { versionId: _version, lastUpdated: _updated, ...kept } = meta ?? {};
  const { meta: own = {}, ...wanted } = resource;
  return isDeepStrictEqual(rest, wanted) && isDeepStrictEqual(kept, own);
}
