/** The answer to a write, and what the headers of a write ask for. */
import { requirePermission } from '../../access/scopes.ts';
import { versionsNamed } from '../../fhir/entity-tags.ts';
import { Failure, issue } from '../../fhir/failure.ts';
import { searchPart } from '../../record/bundle-entries.ts';
import type { StoredResource, WriteContext, WriteRequest, WriteResult } from '../../record/record.ts';
import type { FhirAnswer, FhirRequest } from '../exchange.ts';
import { outcomeText } from '../failures.ts';
import { versionHeaders } from './version-headers.ts';

/**
 * Who writes, what their token lets them look for, and what they say of where it comes from. To state a condition is to
 * search: without the scope it would tell whether something exists, and a conditional create would show it. To state a
 * Provenance is to create one.
 *
 * @throws Failure `forbidden` for X-Provenance with a token that may not create a Provenance
 */
export function writeContext({ context, grant, headers }: FhirRequest, interaction: string): WriteContext {
  const provenance = headers['x-provenance'];
  if (provenance !== undefined) requirePermission(grant.scopes, 'Provenance', 'create');
  return {
    ...context,
    interaction,
    ...(provenance === undefined ? {} : { provenance: textOfHeader(String(provenance)) }),
    requireSearch: (type, place) => requirePermission(grant.scopes, type, 'search-type', place),
  };
}

/** What a write came to, and the event that it left. */
export type Done = WriteResult & { readonly eventId: string | undefined };

/** One change as a unit of work of its own. */
export async function writeOne(request: FhirRequest, interaction: string, change: WriteRequest): Promise<Done> {
  let eventId: string | undefined;
  const audited = (id: string) => {
    eventId = id;
  };
  const context = { ...writeContext(request, interaction), audited };
  const [result] = await request.clinic.record.write([change], context);
  return { ...(result as WriteResult), eventId };
}

/** The event of a write commits with it, so that the answer has no row to record. */
export function auditHeader(eventId: string | undefined): Record<string, string> {
  return eventId === undefined ? {} : { 'x-audit-event-id': eventId };
}

/** The bytes of a header arrive one by one; JSON is in UTF-8. */
function textOfHeader(bytes: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(bytes, 'latin1'));
  } catch (cause) {
    const diagnostics = 'X-Provenance must be JSON in UTF-8.';
    throw new Failure('invalid', issue('structure', diagnostics, 'Provenance'), { cause });
  }
}

/** 201 with Location for what is new, 200 else; the body as `Prefer` asks, the resource when it asks nothing. */
export function written({ clinic, headers: asked }: FhirRequest, done: Done): FhirAnswer {
  // A write other than a deletion always ends with a resource: the one it made, or the one that was there.
  const { effect, stored, eventId } = done as Done & { stored: StoredResource };
  const location = `${clinic.base}/${stored.type}/${stored.id}/_history/${stored.version}`;
  const headers = { ...versionHeaders(stored), location, ...auditHeader(eventId) };
  const status = effect === 'created' ? 201 : 200;
  const preferred = preferredReturn(asked.prefer);
  if (preferred === 'minimal') return { status, headers, audit: [] };
  const body = preferred === 'representation' ? stored.content : effectOutcome(effect, stored);
  return { status, headers, body, audit: [] };
}

const EFFECTS = {
  created: { word: 'created', message: 'MSG_CREATED' },
  updated: { word: 'updated', message: 'MSG_UPDATED' },
  deleted: { word: 'deleted', message: 'MSG_DELETED_DONE' },
  unchanged: { word: 'left as it is', message: undefined },
} as const;

/** What a write came to, as OperationOutcome text. @see https://hl7.org/fhir/R4/http.html#ops */
export function effectOutcome(effect: WriteResult['effect'], stored: StoredResource | undefined): string {
  const { word, message } = EFFECTS[effect];
  const diagnostics =
    stored === undefined
      ? 'There was nothing to delete.'
      : `The ${stored.type} was ${word}; its version is ${stored.version}.`;
  const issue = { severity: 'information', code: 'informational', diagnostics } as const;
  return outcomeText([message === undefined ? issue : { ...issue, message }]);
}

export type PreferredReturn = 'minimal' | 'representation' | 'OperationOutcome';

/** What `Prefer: return=…` asks for; the representation when it asks nothing. */
export function preferredReturn(prefer: string | string[] | undefined): PreferredReturn {
  const wanted = /(?:^|[,;\s])return\s*=\s*"?(minimal|OperationOutcome)\b/i.exec(String(prefer ?? ''))?.[1];
  if (wanted === undefined) return 'representation';
  return wanted.toLowerCase() === 'minimal' ? 'minimal' : 'OperationOutcome';
}

/** What the headers of an update, patch or deletion ask of the version that is there. @throws Failure `invalid` */
export function guards({ headers }: FhirRequest): Pick<WriteRequest, 'ifMatch' | 'onlyNew'> {
  return { ...expectedVersions(headers['if-match']), ...onlyWhereAbsent(headers['if-none-match']) };
}

function expectedVersions(ifMatch: string | undefined): Pick<WriteRequest, 'ifMatch'> {
  if (ifMatch === undefined) return {};
  const versions = versionsNamed(ifMatch);
  if (versions !== undefined) return { ifMatch: versions };
  const diagnostics = 'If-Match must be a tag such as W/"3", several with commas between them, or *';
  throw new Failure('invalid', issue('value', diagnostics, 'http.If-Match', 'MSG_PARAM_INVALID'));
}

/** `If-None-Match: *` on a write: only where nothing is there yet. */
function onlyWhereAbsent(ifNoneMatch: string | undefined): Pick<WriteRequest, 'onlyNew'> {
  if (ifNoneMatch === undefined) return {};
  if (ifNoneMatch.trim() === '*') return { onlyNew: true };
  throw new Failure(
    'invalid',
    issue('value', 'If-None-Match of a write must be *', 'http.If-None-Match', 'MSG_PARAM_INVALID'),
  );
}

/** A search given in a header or url, without the '?' and the type that may stand before it. @throws Failure `invalid` when it is empty */
export function criteriaOf(search: string, where: 'The url' | 'If-None-Exist'): string {
  const criteria = searchPart(search);
  if (criteria.trim() !== '') return criteria;
  const diagnostics = `${where} names no criterion, so it could mean any resource. Add one`;
  const place = where === 'The url' ? undefined : `http.${where}`;
  throw new Failure('invalid', issue('required', diagnostics, place, 'SEARCH_NONE'));
}
