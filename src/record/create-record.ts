/** A clinic's record on top of its store. */
import { Failure, issue } from '../fhir/failure.ts';
import type { RecordParts } from './drafts.ts';
import type { ClinicRecord, StoredResource } from './record.ts';
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
    search: (query) => store.search(query),
    everything: (query) => store.everything(query),
    write: (requests, context) => write(parts, requests, context),
  };
}

function present(stored: StoredResource | undefined, type: string, id: string): StoredResource {
  if (stored === undefined) throw notFound(type, id);
  if (stored.deleted) throw new Failure('deleted', issue('deleted', `${type}/${id} was deleted.`));
  return stored;
}

function notFound(type: string, id: string): Failure {
  return new Failure('not-found', issue('not-found', `${type}/${id} is not known here.`));
}
