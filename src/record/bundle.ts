/**
 * Transaction and batch: a Bundle of requests as units of work.
 *
 * A transaction is one unit of work; its reads are answered afterwards, from what it wrote. A batch is one unit of
 * work for each entry, and one entry's refusal leaves the others alone.
 *
 * @see https://hl7.org/fhir/R4/http.html#transaction
 */
import type { Binary, Bundle, BundleEntry, Resource } from '@medplum/fhirtypes';
import { Failure, type Issue, issue } from '../fhir/failure.ts';
import type { PatchReader } from '../fhir/patch/patch-reader.ts';
import type { ResourcePatch } from '../fhir/patch/resource-patch.ts';
import type { ClinicRecord, StoredResource, WriteContext, WriteRequest, WriteResult } from './record.ts';

export type EntryAnswer =
  | { readonly kind: 'written'; readonly result: WriteResult }
  | { readonly kind: 'read'; readonly status: number; readonly body: string; readonly stored?: StoredResource }
  | { readonly kind: 'refused'; readonly failure: Failure };

export type BundleResponse = {
  readonly type: 'transaction-response' | 'batch-response';
  /** In the order of the request's entries. */
  readonly entries: readonly EntryAnswer[];
};

export type BundleOptions = {
  /** @throws Failure `forbidden` when the caller may not do this */
  readonly authorize: (type: string, interaction: 'create' | 'update' | 'patch' | 'delete' | 'read' | 'search') => void;
  /** Answers a GET of a relative url ('Patient/1', 'Observation?code=…'), with its audit entry. */
  readonly get: (url: string) => Promise<Extract<EntryAnswer, { kind: 'read' }>>;
  readonly isResourceType: (type: string) => boolean;
  readonly patches: PatchReader;
  readonly baseUrls: readonly string[];
};

type EntryRequest =
  | { readonly kind: 'write'; readonly write: WriteRequest }
  | { readonly kind: 'get'; readonly url: string; readonly type: string; readonly interaction: 'read' | 'search' };

/** @throws Failure when the Bundle itself is wrong, or when a transaction is refused: nothing is stored then */
export async function processBundle(
  record: ClinicRecord,
  bundle: Bundle,
  context: WriteContext,
  options: BundleOptions,
): Promise<BundleResponse> {
  const entries = bundle.entry ?? [];
  if (bundle.type === 'transaction') {
    return { type: 'transaction-response', entries: await transaction(record, entries, context, options) };
  }
  if (bundle.type === 'batch') {
    return { type: 'batch-response', entries: await batch(record, entries, context, options) };
  }
  const diagnostics = `A Bundle sent to the base must have type 'transaction' or 'batch'.`;
  throw new Failure('invalid', issue('value', diagnostics, 'Bundle.type'));
}

async function transaction(
  record: ClinicRecord,
  entries: readonly BundleEntry[],
  context: WriteContext,
  options: BundleOptions,
): Promise<EntryAnswer[]> {
  const requests = parseAll(entries, options);
  const writes = requests.flatMap((request) => (request.kind === 'write' ? [request.write] : []));
  const results = writes.length === 0 ? [] : await record.write(writes, context);
  const answers: EntryAnswer[] = [];
  let next = 0;
  for (const request of requests) {
    if (request.kind === 'write') answers.push({ kind: 'written', result: results[next++] as WriteResult });
    else answers.push(await options.get(request.url));
  }
  return answers;
}

/** Every entry is looked at before the first is refused, so that the sender sees all that is wrong at once. */
function parseAll(entries: readonly BundleEntry[], options: BundleOptions): EntryRequest[] {
  const requests: EntryRequest[] = [];
  const refusals: Failure[] = [];
  entries.forEach((entry, i) => {
    try {
      requests.push(authorized(parseEntry(entry, `Bundle.entry[${i}]`, options), options));
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      refusals.push(error);
    }
  });
  const [first] = refusals;
  if (first !== undefined) {
    throw new Failure(
      first.code,
      refusals.flatMap(({ issues }) => issues),
    );
  }
  return requests;
}

async function batch(
  record: ClinicRecord,
  entries: readonly BundleEntry[],
  context: WriteContext,
  options: BundleOptions,
): Promise<EntryAnswer[]> {
  const answers: EntryAnswer[] = [];
  for (const [i, entry] of entries.entries()) {
    try {
      const request = authorized(parseEntry(entry, `Bundle.entry[${i}]`, options), options);
      if (request.kind === 'get') answers.push(await options.get(request.url));
      else answers.push({ kind: 'written', result: (await record.write([request.write], context))[0] as WriteResult });
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      answers.push({ kind: 'refused', failure: error });
    }
  }
  return answers;
}

const INTERACTION = { POST: 'create', PUT: 'update', PATCH: 'patch', DELETE: 'delete' } as const;

function authorized(request: EntryRequest, options: BundleOptions): EntryRequest {
  if (request.kind === 'get') options.authorize(request.type, request.interaction);
  else options.authorize(request.write.type, INTERACTION[request.write.method]);
  return request;
}

const TARGET = /^([A-Za-z]+)(?:\/([A-Za-z0-9\-.]{1,64}))?(?:\?(.*))?$/;

function parseEntry(entry: BundleEntry, place: string, options: BundleOptions): EntryRequest {
  const { request, resource, fullUrl } = entry;
  if (request === undefined) {
    throw refused('required', `${place}.request`, `This entry has no request; give its method and url.`);
  }
  const url = relativeUrl(request.url, options.baseUrls);
  if (request.method === 'GET') return getRequest(url, place, options);
  const [, type, id, criteria] = TARGET.exec(url) ?? [];
  if (type === undefined || !options.isResourceType(type)) {
    throw refused(
      'not-supported',
      `${place}.request.url`,
      `The url must be Type, Type/id or Type?search of an R4 type.`,
    );
  }
  const common = { type, place: `${place}.resource`, ...(fullUrl === undefined ? {} : { fullUrl }) };
  switch (request.method) {
    case 'POST': {
      if (id !== undefined || criteria !== undefined) {
        throw refused('value', `${place}.request.url`, 'The url of a POST must be a resource type and nothing else.');
      }
      const condition = request.ifNoneExist === undefined ? {} : { ifNoneExist: searchPart(request.ifNoneExist) };
      return { kind: 'write', write: { ...common, ...withResource(resource, place), ...condition, method: 'POST' } };
    }
    case 'PUT': {
      const write = {
        ...common,
        ...withResource(resource, place),
        ...targetOf(id, criteria, place),
        ...absence(request.ifNoneMatch, place),
        method: 'PUT',
      } as const;
      return { kind: 'write', write: { ...write, ...versionCondition(request.ifMatch, place) } };
    }
    case 'PATCH': {
      const patch = patchIn(resource, place, options);
      const write = { ...common, ...targetOf(id, criteria, place), patch, method: 'PATCH' } as const;
      return { kind: 'write', write: { ...write, ...versionCondition(request.ifMatch, place) } };
    }
    case 'DELETE': {
      const write = { ...common, ...targetOf(id, criteria, place), method: 'DELETE' } as const;
      return { kind: 'write', write: { ...write, ...versionCondition(request.ifMatch, place) } };
    }
    default:
      throw refused('not-supported', `${place}.request.method`, `The method ${request.method} is not supported here.`);
  }
}

function getRequest(url: string, place: string, options: BundleOptions): EntryRequest {
  const type = /^([A-Za-z]+)/.exec(url)?.[1] ?? '';
  if (!options.isResourceType(type)) {
    throw refused('not-supported', `${place}.request.url`, `The url must be Type/id or Type?search of an R4 type.`);
  }
  return { kind: 'get', url, type, interaction: url.includes('/') ? 'read' : 'search' };
}

function relativeUrl(url: string, baseUrls: readonly string[]): string {
  for (const base of baseUrls) if (url.startsWith(`${base}/`)) return url.slice(base.length + 1);
  return url.startsWith('/') ? url.slice(1) : url;
}

/** The search of a condition, which may come with the '?' or the type before it. */
export function searchPart(text: string): string {
  return text.replace(/^[A-Za-z]*\?/, '');
}

function targetOf(
  id: string | undefined,
  criteria: string | undefined,
  place: string,
): { id: string } | { criteria: string } {
  if (id !== undefined && criteria === undefined) return { id };
  if (id === undefined && criteria !== undefined && criteria !== '') return { criteria };
  throw refused(
    'value',
    `${place}.request.url`,
    'The url must be Type/id, or Type?search with at least one parameter.',
  );
}

function withResource(resource: Resource | undefined, place: string): { resource: Resource } {
  if (resource === undefined) throw refused('required', `${place}.resource`, 'This entry has no resource.');
  return { resource };
}

const JSON_PATCH = 'application/json-patch+json';

/** A JSON Patch comes as a Binary, a FHIRPath Patch as it is. @see https://hl7.org/fhir/R4/http.html#patch */
function patchIn(resource: Resource | undefined, place: string, { patches }: BundleOptions): ResourcePatch {
  const given = withResource(resource, place).resource as Partial<Binary>;
  const at = `${place}.resource`;
  if ((given.resourceType as string) === 'Parameters') return patches.fhirPathPatch(given, at);
  if (given.resourceType !== 'Binary') {
    throw refused('invalid', at, `A PATCH has a Binary with a JSON Patch, or Parameters with a FHIRPath Patch.`);
  }
  if (given.contentType?.split(';')[0]?.trim().toLowerCase() !== JSON_PATCH) {
    throw refused('not-supported', `${at}.contentType`, `The Binary of a PATCH has the contentType ${JSON_PATCH}.`);
  }
  if (typeof given.data !== 'string' || !/^[A-Za-z0-9+/\s]+={0,2}\s*$/.test(given.data)) {
    throw refused('value', `${at}.data`, 'The Binary of a PATCH has its document as base64 in data.');
  }
  return patches.jsonPatch(Buffer.from(given.data, 'base64'), `${at}.data`);
}

function absence(ifNoneMatch: string | undefined, place: string): { onlyNew?: true } {
  if (ifNoneMatch === undefined) return {};
  if (ifNoneMatch.trim() === '*') return { onlyNew: true };
  throw refused('value', `${place}.request.ifNoneMatch`, 'ifNoneMatch of a PUT must be *.');
}

function versionCondition(ifMatch: string | undefined, place: string): { ifMatch?: number } {
  if (ifMatch === undefined) return {};
  const version = /^(?:W\/)?"?([0-9]{1,9})"?$/.exec(ifMatch)?.[1];
  if (version === undefined) throw refused('value', `${place}.request.ifMatch`, `ifMatch must be like W/"3".`);
  return { ifMatch: Number(version) };
}

function refused(code: Issue['code'], expression: string, diagnostics: string): Failure {
  return new Failure('invalid', issue(code, diagnostics, expression));
}
