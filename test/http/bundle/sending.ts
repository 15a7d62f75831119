/** Bundles sent to a service, and what its answers say. */
import type { Bundle, BundleEntry, OperationOutcome, Resource } from '@medplum/fhirtypes';
import type { TestService } from '../service.ts';

export type Entry = { fullUrl?: string; resource?: object; request: Record<string, string> };

export function bundle(type: 'transaction' | 'batch', entry: readonly object[]): object {
  return { resourceType: 'Bundle', type, entry };
}

export function post(resource: object, fullUrl?: string, more: Record<string, string> = {}): Entry {
  const url = (resource as Resource).resourceType;
  return { ...(fullUrl === undefined ? {} : { fullUrl }), resource, request: { method: 'POST', url, ...more } };
}

export function put(resource: object, fullUrl?: string, more: Record<string, string> = {}): Entry {
  const { resourceType, id } = resource as Resource;
  const request = { method: 'PUT', url: `${resourceType}/${id}`, ...more };
  return { ...(fullUrl === undefined ? {} : { fullUrl }), resource, request };
}

export function remove(url: string, more: Record<string, string> = {}): Entry {
  return { request: { method: 'DELETE', url, ...more } };
}

export function get(url: string, more: Record<string, string> = {}): Entry {
  return { request: { method: 'GET', url, ...more } };
}

export type Sender = {
  /** The entries of an answer with 200. */
  sent(type: 'transaction' | 'batch', entry: readonly object[], prefer?: string): Promise<BundleEntry[]>;
  /** Status and issues of a refusal. */
  refused(type: 'transaction' | 'batch', entry: readonly object[]): Promise<[number, OperationOutcome['issue']]>;
  create(resource: object): Promise<string>;
  read<T = Record<string, unknown>>(url: string): Promise<T>;
  versions(): Promise<number>;
};

export function senderOf(service: () => TestService, token: () => string): Sender {
  const as = () => service().as(token());
  return {
    sent: async (type, entry, prefer) => {
      const request = as().post('/fhir', bundle(type, entry));
      const answer = await (prefer === undefined ? request : request.set('prefer', prefer));
      if (answer.status !== 200) throw new Error(`${answer.status} ${answer.text}`);
      return (answer.body as Bundle).entry ?? [];
    },
    refused: async (type, entry) => {
      const { status, body } = await as().post('/fhir', bundle(type, entry));
      return [status, (body as OperationOutcome).issue];
    },
    create: async (resource) => {
      const { body } = await as()
        .post(`/fhir/${(resource as Resource).resourceType}`, resource)
        .expect(201);
      return body.id;
    },
    read: async (url) => (await as().get(`/fhir/${url}`).expect(200)).body,
    versions: async () => {
      const { rows } = await service()
        .clinic.database.clinicPool()
        .query<{ n: number }>('select count(*)::integer as n from resource_version');
      return rows[0]?.n ?? 0;
    },
  };
}

export function statuses(entries: readonly BundleEntry[]): string[] {
  return entries.map(({ response }) => response?.status.slice(0, 3) ?? '');
}

/** `Type/id` of what an entry of an answer wrote. */
export function nameOf(entry: BundleEntry | undefined): string {
  return /\/([A-Z][A-Za-z]+\/[^/]+)\/_history\/\d+$/.exec(entry?.response?.location ?? '')?.[1] ?? '';
}

export const someone = { resourceType: 'Patient', name: [{ family: 'Example' }], birthDate: '1986-04-12' };

export function identified(value: string, more: object = {}): object {
  return { ...someone, identifier: [{ system: 'urn:test', value }], ...more };
}

export function observation(subject: string, more: object = {}): object {
  return {
    resourceType: 'Observation',
    status: 'final',
    code: { text: 'any' },
    subject: { reference: subject },
    ...more,
  };
}
