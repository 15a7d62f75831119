/** A clinic's record on top of its store. */
import { Failure, issue } from '../fhir/failure.ts';
import { changeMeta, metaInUse } from './change-meta.ts';
import type { RecordParts } from './drafts.ts';
import type { ClinicRecord, StoredResource } from './record.ts';
import { rehearse } from './rehearse.ts';
import { write } from './write.ts';

export function createRecord(parts: RecordParts): ClinicRecord {
  const { store } = parts;
  return {
    async read(type, id) {
      return present(await store.read(type, id), type, id);
    },
    async readVersion(type, id, version) {
      return present(await store.readVersion(type, id, version), type, id);
    },
    async history(type, id, page) {
      const found = await store.history(type, id, page);
      if (found.total === 0) throw notFound(type, id);
      return found;
    },
    async historyByTime(query) {
      const {
        types: [type],
        id,
      } = query;
      // Nothing may have happened in the time that is asked about: whether there is such a resource is another question.
      if (type !== undefined && id !== undefined && (await store.read(type, id)) === undefined)
        throw notFound(type, id);
      return store.historyByTime(query);
    },
    search: (query) => store.search(query),
    searchText: (query, base) => store.searchText(query, base),
    everything: (query) => store.everything(query),
    changeMeta: (request, context) => changeMeta(parts, request, context),
    metaInUse: (types) => metaInUse(store, types),
    write: (requests, context) => write(parts, requests, context),
    rehearse: (requests, context) => rehearse(parts, requests, context),
  };
}

function present(stored: StoredResource | undefined, type: string, id: string): StoredResource {
  if (stored === undefined) throw notFound(type, id);
  if (stored.deleted)
    throw new Failure('deleted', issue('deleted', `${type}/${id} was deleted.`, undefined, 'MSG_DELETED_ID'));
  return stored;
}

/** In these words whether it never was or may not be seen: the two must not differ. */
export function notFound(type: string, id: string): Failure {
  return new Failure('not-found', issue('not-found', `${type}/${id} is not known here.`, undefined, 'MSG_NO_EXIST'));
}
