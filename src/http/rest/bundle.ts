/** Transaction and batch. @see https://hl7.org/fhir/R4/http.html#transaction */
import { STATUS_CODES } from 'node:http';
import type { Bundle } from '@medplum/fhirtypes';
import { requirePermission } from '../../access/scopes.ts';
import { Failure, type Issue, issue } from '../../fhir/failure.ts';
import type { PatchReader } from '../../fhir/patch/patch-reader.ts';
import { type BundleResponse, type EntryAnswer, processBundle } from '../../record/bundle.ts';
import type { StoredResource } from '../../record/record.ts';
import type { Clinic, FhirAnswer, FhirRequest, Interaction } from '../exchange.ts';
import { outcomeText, refusalOf } from '../failures.ts';
import { resourceInBody } from './resource-body.ts';
import { type PreferredReturn, preferredReturn, writeContext } from './written.ts';

/** More than any session or course needs; a larger load comes in several bundles. */
const MAX_ENTRIES = 5000;

/** What the handling of a Bundle needs from outside. */
export type BundleHandling = {
  /** Answers the GET of an entry as the url by itself is answered. */
  readonly answerGet: (request: FhirRequest, url: string) => Promise<FhirAnswer>;
  readonly isResourceType: (name: string) => boolean;
  readonly patches: PatchReader;
  /** All that is wrong with a resource, with places that begin with `place`. */
  readonly validate: (resource: unknown, place: string) => readonly Issue[];
};

export function bundleInteraction(handling: BundleHandling): Interaction {
  return {
    name: 'transaction',
    action: 'E',
    takesBody: true,
    scopeOfType: false,
    handle: (request) => {
      const bundle = bundleIn(request, handling);
      return recordBundle(request, bundle, bundle.type, handling);
    },
  };
}

/**
 * Hands a Bundle to the record with the caller's permissions; the clinic's operations send theirs the same way.
 *
 * @param interaction as the audit trail calls it: 'transaction', 'batch' or 'operation'
 */
export async function recordBundle(
  request: FhirRequest,
  bundle: Bundle,
  interaction: string,
  handling: BundleHandling,
): Promise<FhirAnswer> {
  const { clinic, grant, headers } = request;
  const response = await processBundle(clinic.record, bundle, writeContext(request, interaction), {
    authorize: (type, asked) => requirePermission(grant.scopes, type, asked === 'search' ? 'search-type' : asked),
    get: (url) => getEntry(request, url, handling),
    isResourceType: handling.isResourceType,
    patches: handling.patches,
    baseUrls: [clinic.base],
  });
  return {
    status: 200,
    body: responseText(clinic, response, preferredReturn(headers.prefer)),
    audit: [],
  };
}

/** A read that finds nothing is that entry's answer: the writes beside it are already committed. */
async function getEntry(
  request: FhirRequest,
  url: string,
  handling: BundleHandling,
): Promise<Extract<EntryAnswer, { kind: 'read' }>> {
  try {
    const answer = await handling.answerGet(request, url);
    await request.clinic.trail.record(answer.audit);
    return { kind: 'read', status: answer.status, body: String(answer.body ?? '') };
  } catch (error) {
    if (!(error instanceof Failure) || error.code === 'transient') throw error;
    const { status, issues } = refusalOf(error, request.context.requestId);
    return { kind: 'read', status, body: outcomeText(issues) };
  }
}

/** The Bundle in the body, of a shape that can be worked on: what an entry's resource is like is looked at later. */
function bundleIn(request: FhirRequest, { validate }: BundleHandling): Bundle {
  const value = resourceInBody(request, 'Bundle') as { resourceType?: unknown; entry?: unknown };
  if (value.resourceType !== 'Bundle') {
    const diagnostics =
      'Only a Bundle of type transaction or batch can be sent to the base. Send a resource to /[type]';
    throw new Failure('invalid', issue('invalid', diagnostics, 'resourceType'));
  }
  const entries = value.entry ?? [];
  if (!Array.isArray(entries)) {
    throw new Failure('invalid', issue('structure', 'Bundle.entry must be a list', 'Bundle.entry'));
  }
  if (entries.length > MAX_ENTRIES) {
    const diagnostics = `The Bundle has ${entries.length} entries, more than ${MAX_ENTRIES}. Send several smaller ones`;
    throw new Failure('too-large', issue('too-costly', diagnostics, 'Bundle.entry'));
  }
  const misshapen = entries.flatMap((entry: unknown, i) => misshapenResource(entry, `Bundle.entry[${i}].resource`));
  const envelope = { ...value, entry: entries.map(withoutResource) };
  if (entries.length === 0) Reflect.deleteProperty(envelope, 'entry');
  const issues = [...validate(envelope, 'Bundle').filter(isOfShape), ...misshapen];
  if (issues.length > 0) throw new Failure('invalid', issues);
  return value as Bundle;
}

/** An unknown element may be a misspelt condition, so it is refused; wrong values are each entry's own affair. */
function isOfShape({ code }: Issue): boolean {
  return code === 'structure' || code === 'required';
}

function withoutResource(entry: unknown): unknown {
  if (!isObject(entry)) return entry;
  const { resource: _, ...rest } = entry;
  return rest;
}

function misshapenResource(entry: unknown, place: string): Issue[] {
  const isWrong = isObject(entry) && entry.resource !== undefined && !isObject(entry.resource);
  return isWrong ? [issue('structure', 'This must be a resource', place)] : [];
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The response Bundle, glued from stored text. */
function responseText(clinic: Clinic, response: BundleResponse, preferred: PreferredReturn): string {
  const entries = response.entries.map((entry) => entryText(clinic, entry, preferred)).join(',');
  return `{"resourceType":"Bundle","type":"${response.type}"${entries === '' ? '' : `,"entry":[${entries}]`}}`;
}

function entryText(clinic: Clinic, entry: EntryAnswer, preferred: PreferredReturn): string {
  switch (entry.kind) {
    case 'refused': {
      const { status, issues } = refusalOf(entry.failure, '');
      return `{"response":{"status":"${statusText(status)}","outcome":${outcomeText(issues)}}}`;
    }
    case 'read': {
      const status = statusText(entry.status);
      if (entry.status >= 400) return `{"response":{"status":"${status}","outcome":${entry.body}}}`;
      return `{"resource":${entry.body},"response":{"status":"${status}"}}`;
    }
    case 'written':
      return writtenText(clinic, entry, preferred);
  }
}

function writtenText(
  clinic: Clinic,
  { result }: Extract<EntryAnswer, { kind: 'written' }>,
  preferred: PreferredReturn,
): string {
  const { effect, stored } = result;
  if (stored === undefined) return `{"response":{"status":"${statusText(204)}"}}`;
  const status = statusText(effect === 'created' ? 201 : effect === 'deleted' ? 204 : 200);
  const version = versionText(stored);
  if (stored.deleted) return `{"response":{"status":"${status}",${version}}}`;
  const url = `${clinic.base}/${stored.type}/${stored.id}`;
  const resource = preferred === 'representation' ? `"resource":${stored.content},` : '';
  const location = `"location":"${url}/_history/${stored.version}"`;
  return `{"fullUrl":"${url}",${resource}"response":{"status":"${status}",${location},${version}}}`;
}

function versionText(stored: StoredResource): string {
  return `"etag":"W/\\"${stored.version}\\"","lastModified":"${stored.lastUpdated}"`;
}

function statusText(status: number): string {
  return `${status} ${STATUS_CODES[status] ?? ''}`.trim();
}
