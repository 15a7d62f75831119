/** Conditional read. @see https://hl7.org/fhir/R4/http.html#cread */
import type { IncomingHttpHeaders } from 'node:http';
import type { StoredResource } from '../../record/record.ts';

/** Whether the caller has this very version; If-None-Match decides alone where both are sent (RFC 9110, 13.2.2). */
export function isUnmodified(headers: IncomingHttpHeaders, stored: StoredResource): boolean {
  const noneMatch = headers['if-none-match'];
  if (noneMatch !== undefined) return isNoneMatch(noneMatch, String(stored.version));
  const since = headers['if-modified-since'];
  if (since === undefined) return false;
  const seconds = Math.floor(Date.parse(stored.lastUpdated) / 1000);
  return seconds <= Date.parse(since) / 1000;
}

/** Whether If-None-Match lists the tag, weak or strong, or is `*`. @param tag without quotes */
export function isNoneMatch(noneMatch: string | undefined, tag: string): boolean {
  if (noneMatch === undefined) return false;
  const listed = noneMatch.split(',').map((each) => /^(?:\*|(?:W\/)?"(.*)")$/.exec(each.trim()));
  return listed.some((found) => found !== null && (found[0] === '*' || found[1] === tag));
}
