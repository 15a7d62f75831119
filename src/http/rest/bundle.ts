/** Transaction and batch. @see https://hl7.org/fhir/R4/http.html#transaction */
import { STATUS_CODES } from 'node:http';
import type { Bundle, BundleEntry } from '@medplum/fhirtypes';
import { requirePermission } from '../../access/scopes.ts';
import { restEvent } from '../../audit/event.ts';
import { Failure, type Issue, issue } from '../../fhir/failure.ts';
import type { PatchReader } from '../../fhir/patch/patch-reader.ts';
import { type AskedAnswer, type BundleResponse, type EntryAnswer, processBundle } from '../../record/bundle.ts';
import type { StoredResource } from '../../record/record.ts';
import type { Clinic, FhirAnswer, FhirRequest, Interaction } from '../exchange.ts';
import { outcomeText, type Refusal, refusalOf } from '../failures.ts';
import type { AskInBundle } from './bundle-asked.ts';
import { showsPatched } from './patch.ts';
import { resourceInBody } from './resource-body.ts';
import { auditHeader, effectOutcome, type PreferredReturn, preferredReturn, writeContext } from './written.ts';

/** More than any session or course needs; a larger load comes in several bundles. */
const MAX_ENTRIES = 5000;

/** What the handling of a Bundle needs from outside. */
export type BundleHandling = {
  readonly ask: AskInBundle;
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
  const { clinic, grant, context } = request;
  let eventId: string | undefined;
  const audited = (id: string) => {
    eventId ??= id;
  };
  const computed = interaction === 'operation' ? ({ computed: true } as const) : {};
  const written = { ...writeContext(request, interaction), ...computed, audited };
  const response = await processBundle(clinic.record, bundle, written, {
    authorize: (type, asked) => requirePermission(grant.scopes, type, asked),
    ask: (asked, within) => handling.ask(request, asked, within),
    isResourceType: handling.isResourceType,
    patches: handling.patches,
    validate: (resource, place) => clinic.profiles.current().validator.check(resource, { place }),
    baseUrls: [clinic.base],
  });
  const refusals = response.entries.map((entry) =>
    entry.kind === 'refused' ? refusalOf(entry.error, context.requestId) : undefined,
  );
  const unexpected = refusals.flatMap((refusal) => refusal?.unexpected ?? []);
  return {
    status: 200,
    headers: auditHeader(eventId),
    body: responseText(clinic, response, refusals, (at) => preferredOf(request, bundle.entry?.[at])),
    audit: refusals.flatMap((refusal, at) =>
      refusal === undefined ? [] : [refusalEvent(request, bundle, at, refusal)],
    ),
    ...(unexpected.length === 0 ? {} : { unexpected }),
  };
}

/** What `Prefer` asks for, as far as the caller may see it. */
function preferredOf(request: FhirRequest, entry: BundleEntry | undefined): PreferredReturn {
  const preferred = preferredReturn(request.headers.prefer);
  if (entry?.request?.method !== 'PATCH' || preferred !== 'representation') return preferred;
  const type = /([A-Za-z]+)(?:\/[^/?]+)?(?:\?.*)?$/.exec(entry.request.url)?.[1] ?? '';
  return showsPatched(request, type) ? preferred : 'minimal';
}

/** A refused entry of a batch leaves its event, as the request by itself would. */
function refusalEvent({ context, now }: FhirRequest, bundle: Bundle, at: number, { status, issues }: Refusal) {
  const { method, url } = bundle.entry?.[at]?.request ?? {};
  const query = `${String(method)} ${String(url)}`;
  const outcome = status >= 500 ? 8 : 4;
  return restEvent(
    { context, interaction: 'batch', action: 'E', outcome, entities: [], query, outcomeIssues: issues },
    now,
  );
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
function responseText(
  clinic: Clinic,
  response: BundleResponse,
  refusals: readonly (Refusal | undefined)[],
  preferred: (at: number) => PreferredReturn,
): string {
  const entries = response.entries.map((entry, at) => entryText(clinic, entry, refusals[at], preferred(at))).join(',');
  return `{"resourceType":"Bundle","type":"${response.type}"${entries === '' ? '' : `,"entry":[${entries}]`}}`;
}

function entryText(
  clinic: Clinic,
  entry: EntryAnswer,
  refusal: Refusal | undefined,
  preferred: PreferredReturn,
): string {
  if (entry.kind === 'written') return writtenText(clinic, entry, preferred);
  if (entry.kind === 'read') return readText(entry);
  const { status, issues } = refusal as Refusal; // there is one for each that is refused
  return `{"response":{"status":"${statusText(status)}","outcome":${outcomeText(issues)}}}`;
}

function readText({ status, headers, body }: AskedAnswer): string {
  const said = `"status":"${statusText(status)}"`;
  if (status >= 400) return `{"response":{${said},"outcome":${body}}}`;
  const { etag, location } = headers;
  const more = [
    ...(location === undefined ? [] : [`"location":${JSON.stringify(location)}`]),
    ...(etag === undefined ? [] : [`"etag":${JSON.stringify(etag)}`]),
    ...lastModifiedOf(headers),
  ];
  return `{${body === undefined ? '' : `"resource":${body},`}"response":{${[said, ...more].join(',')}}}`;
}

/** As an instant; a header has whole seconds. */
function lastModifiedOf({ 'last-modified': text }: Readonly<Record<string, string>>): string[] {
  return text === undefined ? [] : [`"lastModified":"${new Date(text).toISOString()}"`];
}

function writtenText(
  clinic: Clinic,
  { result }: Extract<EntryAnswer, { kind: 'written' }>,
  preferred: PreferredReturn,
): string {
  const { effect, stored } = result;
  const outcome = preferred === 'OperationOutcome' ? `,"outcome":${effectOutcome(effect, stored)}` : '';
  if (stored === undefined || stored.deleted) {
    const status = statusText(outcome === '' ? 204 : 200);
    return `{"response":{"status":"${status}"${stored === undefined ? '' : `,${versionText(stored)}`}${outcome}}}`;
  }
  const url = `${clinic.base}/${stored.type}/${stored.id}`;
  const resource = preferred === 'representation' ? `"resource":${stored.content},` : '';
  const location = `"location":"${url}/_history/${stored.version}"`;
  const status = `"status":"${statusText(effect === 'created' ? 201 : 200)}"`;
  return `{"fullUrl":"${url}",${resource}"response":{${status},${location},${versionText(stored)}${outcome}}}`;
}

function versionText(stored: StoredResource): string {
  return `"etag":"W/\\"${stored.version}\\"","lastModified":"${stored.lastUpdated}"`;
}

function statusText(status: number): string {
  return `${status} ${STATUS_CODES[status] ?? ''}`.trim();
}
