/**
 * What the profiles' findings do not refuse: history that is imported, as the clinic's policy says, and what was wrong
 * with a stored resource before an operation of ours changed something else of it (decision 0083).
 */
import { Failure } from '../fhir/failure.ts';
import type { Prepared, RecordParts } from './draft.ts';
import type { Leniency, WriteContext, WriteRequest } from './record.ts';
import type { CurrentRow } from './store.ts';

export type Tolerance = {
  readonly leniency?: Leniency | undefined;
  /** The writes are an operation's: what is stored already is no part of what it says. */
  readonly computed?: true | undefined;
  /** Versions that an operation's updates follow, by 'Type/id': their faults are not the operation's. */
  readonly followed?: ReadonlyMap<string, CurrentRow>;
};

/**
 * Looks at resources, and where a profile refuses what an operation wrote, again with what was stored before: only then
 * is that read.
 *
 * @throws Failure as `look` does
 */
export async function tolerantly(
  { store }: RecordParts,
  requests: readonly WriteRequest[],
  { leniency, computed }: WriteContext,
  look: (tolerance: Tolerance) => Prepared,
): Promise<Prepared> {
  try {
    return look({ leniency, computed });
  } catch (error) {
    if (computed === undefined || !isOfProfiles(error)) throw error;
    const updates = requests.filter(followsOne);
    const rows = await Promise.all(updates.map(({ type, id }) => store.current({ type, id: id as string })));
    const there = rows.filter((row) => row !== undefined && !row.deleted) as CurrentRow[];
    return look({ leniency, computed, followed: new Map(there.map((row) => [`${row.type}/${row.id}`, row])) });
  }
}

/** A change of a stored resource that is written only if nobody has changed it since it was read. */
function followsOne({ method, id, ifMatch }: WriteRequest): boolean {
  return method === 'PUT' && id !== undefined && ifMatch !== undefined && ifMatch !== '*';
}

export function isOfProfiles(error: unknown): boolean {
  return error instanceof Failure && error.issues.some(({ profile }) => profile !== undefined);
}
