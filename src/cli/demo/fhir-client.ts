/** A FHIR server as the demo asks it: ours and the EHR alike, over HTTP, with a bearer token. */
import type { Bundle, OperationOutcome, Resource } from '@medplum/fhirtypes';
import { Failure, issue } from '../../fhir/failure.ts';

export type FhirClient = {
  /** No slash at the end. */
  readonly base: string;
  get(path: string): Promise<Resource>;
  /** All matches of all pages. */
  search<T extends Resource>(path: string): Promise<T[]>;
  send(method: string, path: string, body: Buffer, contentType: string): Promise<Resource>;
};

/** @throws Failure `business-rule` from each call that is not answered with 2xx, with the server's own words */
export function fhirClient(base: string, token: string): FhirClient {
  const authorization = `Bearer ${token}`;

  async function ask(url: string, init: RequestInit & { headers: Record<string, string> }): Promise<Resource> {
    const answer = await fetch(url, init);
    const resource = (await answer.json()) as Resource;
    if (answer.ok) return resource;
    const asked = `${init.method ?? 'GET'} ${url.slice(base.length).split('?')[0] || '/'}`;
    throw new Failure('business-rule', issue('processing', `${asked} answered ${answer.status}: ${words(resource)}`));
  }

  const get = (url: string) => ask(url, { headers: { authorization, accept: 'application/fhir+json' } });

  return {
    base,
    get: (path) => get(`${base}/${path}`),
    async search<T extends Resource>(path: string) {
      const found: T[] = [];
      let next: string | undefined = `${base}/${path}`;
      while (next !== undefined) {
        const page = (await get(next)) as Bundle<T>;
        for (const { resource } of page.entry ?? []) if (resource !== undefined) found.push(resource);
        next = page.link?.find(({ relation }) => relation === 'next')?.url;
      }
      return found;
    },
    send: (method, path, body, contentType) =>
      ask(path === '' ? base : `${base}/${path}`, {
        method,
        headers: { authorization, accept: 'application/fhir+json', 'content-type': contentType },
        body: new Uint8Array(body),
      }),
  };
}

function words(answer: Resource): string {
  const issues = (answer as OperationOutcome).issue ?? [];
  return issues
    .slice(0, 5)
    .map(({ diagnostics, details, expression }) =>
      [expression?.[0], diagnostics ?? details?.text].filter((part) => part !== undefined).join(': '),
    )
    .join('; ');
}
