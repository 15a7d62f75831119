/** @see https://hl7.org/fhir/R4/http.html#history */
import { restEvents } from '../../audit/event.ts';
import { Failure, issue } from '../../fhir/failure.ts';
import type { StoredResource } from '../../record/record.ts';
import type { Clinic, Interaction } from '../exchange.ts';
import { bundleText } from './page.ts';

const DEFAULT_COUNT = 50;
const MAX_COUNT = 1000;

export const historyInstance: Interaction = {
  name: 'history-instance',
  action: 'R',
  takesBody: false,
  scopeOfType: true,
  handle: async (request) => {
    const { clinic, context, target, now } = request;
    const { type, id, query } = target;
    const { count, cursor } = pageOf(query);
    const page = await clinic.record.history(type, id, { count, ...(cursor === undefined ? {} : { cursor }) });
    const url = `${clinic.base}/${type}/${id}/_history?_count=${count}`;
    const links = [
      { relation: 'self' as const, url: cursor === undefined ? url : `${url}&_cursor=${encodeURIComponent(cursor)}` },
      ...(page.next === undefined
        ? []
        : [{ relation: 'next' as const, url: `${url}&_cursor=${encodeURIComponent(page.next)}` }]),
    ];
    const entries = page.versions.map((version) => historyEntry(clinic, version));
    const event = {
      context,
      interaction: 'history-instance',
      action: 'R',
      outcome: 0,
      entities: [{ type, id }],
    } as const;
    return {
      status: 200,
      body: bundleText('history', links, entries, page.total),
      audit: restEvents(event, patientsOf(page.versions), now),
    };
  },
};

function pageOf(query: string): { count: number; cursor: string | undefined } {
  let count = DEFAULT_COUNT;
  let cursor: string | undefined;
  for (const [name, value] of new URLSearchParams(query)) {
    if (name === '_count' && /^\d{1,9}$/.test(value)) count = Math.min(Math.max(Number(value), 1), MAX_COUNT);
    else if (name === '_cursor') cursor = value;
    else if (name !== '_format') {
      const known =
        name === '_count' ? '_count must be a number' : 'A history takes _count, and the urls of its own links';
      const code = name === '_count' ? 'value' : 'not-supported';
      throw new Failure('invalid', issue(code, known, `http.${name.slice(0, 64)}`));
    }
  }
  return { count, cursor };
}

function historyEntry(clinic: Clinic, version: StoredResource): string {
  const { type, id, method, deleted } = version;
  const status = deleted ? '204' : version.version === 1 || method === 'POST' ? '201' : '200';
  const url = method === 'POST' ? type : `${type}/${id}`;
  const resource = deleted ? '' : `"resource":${version.content},`;
  return `{"fullUrl":"${clinic.base}/${type}/${id}",${resource}"request":{"method":"${method}","url":"${url}"},"response":{"status":"${status}","etag":"W/\\"${version.version}\\"","lastModified":"${version.lastUpdated}"}}`;
}

function patientsOf(versions: readonly StoredResource[]): (string | null)[] {
  const patients = versions.map(({ patientId }) => patientId).filter((patientId) => patientId !== null);
  return patients.length === 0 ? [null] : patients;
}
