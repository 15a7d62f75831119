/** What each entry of a transaction or batch asks for. @see https://hl7.org/fhir/R4/http.html#trules */
import type { Binary, BundleEntry, BundleEntryRequest, Resource } from '@medplum/fhirtypes';
import { versionsNamed } from '../fhir/entity-tags.ts';
import { Failure, type Issue, issue } from '../fhir/failure.ts';
import type { PatchReader } from '../fhir/patch/patch-reader.ts';
import type { ResourcePatch } from '../fhir/patch/resource-patch.ts';
import type { WriteRequest } from './record.ts';

/** What an entry asks that no unit of work answers: a read, a search, an operation. */
export type AskedEntry = {
  readonly method: 'GET' | 'HEAD' | 'POST';
  /** Relative to our base: 'Patient/1', 'Observation?code=…', 'Patient/1/$everything'. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly resource?: Resource;
  readonly place: string;
};

export type EntryRequest =
  | { readonly kind: 'write'; readonly write: WriteRequest }
  | { readonly kind: 'ask'; readonly ask: AskedEntry };

export type EntryRules = {
  readonly isResourceType: (type: string) => boolean;
  readonly patches: PatchReader;
  readonly baseUrls: readonly string[];
};

const CONDITIONS = ['ifMatch', 'ifNoneMatch', 'ifNoneExist', 'ifModifiedSince'] as const;

type Condition = (typeof CONDITIONS)[number];

/** A condition that a method does not know would be passed over, and the write done that it was to prevent. */
const KNOWN: Readonly<Record<string, readonly Condition[]>> = {
  GET: ['ifNoneMatch', 'ifModifiedSince'],
  HEAD: ['ifNoneMatch', 'ifModifiedSince'],
  POST: ['ifNoneExist'],
  PUT: ['ifMatch', 'ifNoneMatch'],
  PATCH: ['ifMatch', 'ifNoneMatch'],
  DELETE: ['ifMatch', 'ifNoneMatch'],
};

const TARGET = /^([A-Za-z]+)(?:\/([A-Za-z0-9\-.]{1,64}))?(?:\?(.*))?$/s;

/**
 * @param place of the entry, e.g. `Bundle.entry[3]`
 * @throws Failure `invalid` with its place, for the first thing that is wrong
 */
export function parseEntry(entry: BundleEntry, place: string, rules: EntryRules): EntryRequest {
  const { request, resource, fullUrl } = entry;
  if (request === undefined) {
    throw refused('required', `${place}.request`, 'This entry has no request; give its method and url.');
  }
  requireKnownConditions(request, place);
  requireFullUrl(entry, place);
  const url = relativeUrl(request.url, rules.baseUrls);
  if (request.method === 'GET' || request.method === 'HEAD' || asksByPost(request.method, url)) {
    const headers = readConditions(request);
    const method = request.method as AskedEntry['method'];
    return { kind: 'ask', ask: { method, url, headers, place, ...(resource === undefined ? {} : { resource }) } };
  }
  const [, type, id, criteria] = TARGET.exec(url) ?? [];
  if (type === undefined || !rules.isResourceType(type)) {
    const diagnostics = 'The url must be Type, Type/id or Type?search of an R4 type.';
    throw refused('not-supported', `${place}.request.url`, diagnostics);
  }
  const common = { type, place: `${place}.resource`, ...(fullUrl === undefined ? {} : { fullUrl }) };
  const guarded = { ...versionCondition(request.ifMatch, place), ...absence(request.ifNoneMatch, place) };
  switch (request.method) {
    case 'POST': {
      if (id !== undefined || criteria !== undefined) {
        throw refused('value', `${place}.request.url`, 'The url of a POST must be a resource type and nothing else.');
      }
      const condition = creationCondition(request.ifNoneExist, place);
      return { kind: 'write', write: { ...common, ...withResource(resource, place), ...condition, method: 'POST' } };
    }
    case 'PUT': {
      const target = targetOf(id, criteria, place);
      return {
        kind: 'write',
        write: { ...common, ...withResource(resource, place), ...target, ...guarded, method: 'PUT' },
      };
    }
    case 'PATCH': {
      const patch = patchIn(resource, place, rules);
      return {
        kind: 'write',
        write: { ...common, ...targetOf(id, criteria, place), ...guarded, patch, method: 'PATCH' },
      };
    }
    case 'DELETE':
      return { kind: 'write', write: { ...common, ...targetOf(id, criteria, place), ...guarded, method: 'DELETE' } };
    default: {
      const diagnostics = 'The method of an entry is GET, HEAD, POST, PUT, PATCH or DELETE.';
      throw refused('not-supported', `${place}.request.method`, diagnostics);
    }
  }
}

/** A search or an operation is no creation, although it is sent with POST. */
function asksByPost(method: unknown, url: string): boolean {
  return method === 'POST' && /^(?:[^?]*\/)?(?:_search|\$[^/?]+)(?:\?|$)/.test(url);
}

function requireKnownConditions(request: BundleEntryRequest, place: string): void {
  const known = KNOWN[request.method] ?? CONDITIONS;
  const other = CONDITIONS.find((name) => request[name] !== undefined && !known.includes(name));
  if (other === undefined) return;
  throw refused('value', `${place}.request.${other}`, `A ${request.method} has no condition ${other}.`);
}

const RESTFUL = /\/([A-Z][A-Za-z]+)\/([A-Za-z0-9\-.]{1,64})$/;

/** @see https://hl7.org/fhir/R4/bundle-definitions.html#Bundle.entry.fullUrl (bdl-8 too) */
function requireFullUrl({ fullUrl, resource, request }: BundleEntry, place: string): void {
  if (fullUrl === undefined) return;
  const at = `${place}.fullUrl`;
  if (!/^[A-Za-z][A-Za-z0-9+.-]*:\S+$/.test(fullUrl)) {
    throw refused(
      'value',
      at,
      'A fullUrl is an absolute url, such as urn:uuid:… or https://server.example.org/fhir/Patient/1.',
    );
  }
  if (fullUrl.includes('/_history/')) {
    throw refused('invariant', at, 'A fullUrl names no version (bdl-8).');
  }
  const [, type, id] = /^https?:/.test(fullUrl) ? (RESTFUL.exec(fullUrl) ?? []) : [];
  if (type === undefined || request?.method === 'PATCH' || type !== resource?.resourceType) return;
  if (resource.id !== undefined && resource.id !== id) {
    throw refused('value', at, 'The fullUrl names another id than the resource has.');
  }
}

function relativeUrl(url: unknown, baseUrls: readonly string[]): string {
  if (typeof url !== 'string') return '';
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
  const diagnostics = 'The url must be Type/id, or Type?search with at least one parameter.';
  throw refused('value', `${place}.request.url`, diagnostics);
}

function withResource(resource: Resource | undefined, place: string): { resource: Resource } {
  if (resource === undefined) throw refused('required', `${place}.resource`, 'This entry has no resource.');
  return { resource };
}

const JSON_PATCH = 'application/json-patch+json';

/** A JSON Patch comes as a Binary, a FHIRPath Patch as it is. @see https://hl7.org/fhir/R4/http.html#patch */
function patchIn(resource: Resource | undefined, place: string, { patches }: EntryRules): ResourcePatch {
  const given = withResource(resource, place).resource as Partial<Binary>;
  const at = `${place}.resource`;
  if ((given.resourceType as string) === 'Parameters') return patches.fhirPathPatch(given, at);
  if (given.resourceType !== 'Binary') {
    throw refused('invalid', at, 'A PATCH has a Binary with a JSON Patch, or Parameters with a FHIRPath Patch.');
  }
  const { contentType, data } = given as { contentType?: unknown; data?: unknown };
  if (typeof contentType !== 'string' || contentType.split(';')[0]?.trim().toLowerCase() !== JSON_PATCH) {
    throw refused('not-supported', `${at}.contentType`, `The Binary of a PATCH has the contentType ${JSON_PATCH}.`);
  }
  if (typeof data !== 'string' || !/^[A-Za-z0-9+/\s]+={0,2}\s*$/.test(data)) {
    throw refused('value', `${at}.data`, 'The Binary of a PATCH has its document as base64 in data.');
  }
  return patches.jsonPatch(Buffer.from(data, 'base64'), `${at}.data`);
}

function readConditions({ ifNoneMatch, ifModifiedSince }: BundleEntryRequest): Record<string, string> {
  const since = typeof ifModifiedSince === 'string' ? new Date(ifModifiedSince) : undefined;
  return {
    ...(typeof ifNoneMatch === 'string' ? { 'if-none-match': ifNoneMatch } : {}),
    ...(since === undefined || Number.isNaN(since.getTime()) ? {} : { 'if-modified-since': since.toUTCString() }),
  };
}

function creationCondition(ifNoneExist: unknown, place: string): { ifNoneExist?: string } {
  if (ifNoneExist === undefined) return {};
  const criteria = typeof ifNoneExist === 'string' ? searchPart(ifNoneExist) : '';
  if (criteria.trim() !== '') return { ifNoneExist: criteria };
  const diagnostics = 'ifNoneExist names no criterion, so it could mean any resource. Add one.';
  throw refused('required', `${place}.request.ifNoneExist`, diagnostics);
}

function absence(ifNoneMatch: unknown, place: string): { onlyNew?: true } {
  if (ifNoneMatch === undefined) return {};
  if (typeof ifNoneMatch === 'string' && ifNoneMatch.trim() === '*') return { onlyNew: true };
  throw refused('value', `${place}.request.ifNoneMatch`, 'ifNoneMatch of a write must be *.');
}

function versionCondition(ifMatch: unknown, place: string): Pick<WriteRequest, 'ifMatch'> {
  if (ifMatch === undefined) return {};
  // Some senders leave the quotes out, which a header could not.
  const text = String(ifMatch).replace(/^\s*(?:W\/)?(\d{1,9})\s*$/, '"$1"');
  const versions = versionsNamed(text);
  if (versions === undefined) {
    throw refused('value', `${place}.request.ifMatch`, 'ifMatch must be a version such as W/"3", several, or *.');
  }
  return { ifMatch: versions };
}

/**
 * What is wrong with an entry's request, at its place in the Bundle: the url and the headers of a request are in
 * `request` here, and its body is the entry's resource.
 */
export function placedInEntry(issues: readonly Issue[], place: string, hasResource: boolean): Issue[] {
  return issues.map((each) => ({ ...each, expression: placeInEntry(each.expression ?? '', place, hasResource) }));
}

function placeInEntry(expression: string, place: string, hasResource: boolean): string {
  if (expression.startsWith('Bundle.entry[')) return expression;
  const inBody = hasResource && expression !== '' && !expression.startsWith('http.');
  if (inBody) return expression.replace(/^[A-Za-z]*/, `${place}.resource`);
  return `${place}.request.${CONDITION_OF_HEADER[expression] ?? 'url'}`;
}

const CONDITION_OF_HEADER: Readonly<Record<string, Condition>> = {
  'http.If-None-Match': 'ifNoneMatch',
  'http.If-Modified-Since': 'ifModifiedSince',
};

function refused(code: Issue['code'], expression: string, diagnostics: string): Failure {
  return new Failure('invalid', issue(code, diagnostics, expression));
}
