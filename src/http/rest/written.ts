/** The answer to a write, and what the headers of a write ask for. */
import { requirePermission } from '../../access/scopes.ts';
import { Failure, issue } from '../../fhir/failure.ts';
import { searchPart } from '../../record/bundle.ts';
import type { StoredResource, WriteContext, WriteResult } from '../../record/record.ts';
import type { FhirAnswer, FhirRequest } from '../exchange.ts';
import { outcomeText } from '../failures.ts';
import { versionHeaders } from './version-headers.ts';

/**
 * Who writes, and what their token lets them look for. To state a condition is to search: without the scope it would tell
 * whether something exists, and a conditional create would show it.
 */
export function writeContext({ context, grant }: FhirRequest, interaction: string): WriteContext {
  return {
    ...context,
    interaction,
    requireSearch: (type, place) => requirePermission(grant.scopes, type, 'search-type', place),
  };
}

const effectWords = { created: 'created', updated: 'updated', deleted: 'deleted', unchanged: 'left as it is' } as const;

/** 201 with Location for what is new, 200 else; the body as `Prefer` asks, the resource when it asks nothing. */
export function written(request: FhirRequest, result: WriteResult, stored: StoredResource): FhirAnswer {
  const location = `${request.clinic.base}/${stored.type}/${stored.id}/_history/${stored.version}`;
  const headers = { ...versionHeaders(stored), location };
  const status = result.effect === 'created' ? 201 : 200;
  const body = bodyPreferred(preferredReturn(request.headers.prefer), stored, effectWords[result.effect]);
  return { status, headers, ...(body === undefined ? {} : { body }), audit: [] };
}

export type PreferredReturn = 'minimal' | 'representation' | 'OperationOutcome';

/** What `Prefer: return=…` asks for; the representation when it asks nothing. */
export function preferredReturn(prefer: string | string[] | undefined): PreferredReturn {
  const wanted = /(?:^|[,;\s])return\s*=\s*"?(minimal|OperationOutcome)\b/.exec(String(prefer ?? ''))?.[1];
  return (wanted as PreferredReturn | undefined) ?? 'representation';
}

/** @see https://hl7.org/fhir/R4/http.html#ops */
function bodyPreferred(preferred: PreferredReturn, stored: StoredResource, effect: string): string | undefined {
  if (preferred === 'minimal') return undefined;
  if (preferred === 'representation') return stored.content;
  const diagnostics = `The ${stored.type} was ${effect}; its version is ${stored.version}`;
  return outcomeText([{ severity: 'information', code: 'informational', diagnostics }]);
}

/**
 * The version that If-Match names, W/"3" being version 3.
 * @throws Failure `precondition-failed` for a tag that none of our versions can have, `invalid` when it is none
 */
export function expectedVersion(ifMatch: string | undefined): number | undefined {
  if (ifMatch === undefined) return undefined;
  const tag = /^\s*(?:W\/)?"([^"]*)"\s*$/.exec(ifMatch)?.[1];
  if (tag === undefined) throw new Failure('invalid', issue('value', 'If-Match must be one tag, such as W/"3"'));
  if (/^[1-9]\d{0,8}$/.test(tag)) return Number(tag);
  throw new Failure(
    'precondition-failed',
    issue('conflict', 'If-Match names no version of this resource; versions here are numbers from 1 on'),
  );
}

/** `If-None-Match: *` on a write: only where nothing is there yet. @throws Failure `invalid` for any other tag */
export function onlyWhereAbsent(ifNoneMatch: string | undefined): boolean {
  if (ifNoneMatch === undefined) return false;
  if (ifNoneMatch.trim() === '*') return true;
  throw new Failure('invalid', issue('value', 'If-None-Match of an update must be *'));
}

/** A search given in a header or url, without the '?' and the type that may stand before it. @throws Failure `invalid` when it is empty */
export function criteriaOf(search: string, where: string): string {
  const criteria = searchPart(search);
  if (criteria.trim() !== '') return criteria;
  throw new Failure(
    'invalid',
    issue('required', `${where} names no criterion, so it could mean any resource. Add one`),
  );
}
