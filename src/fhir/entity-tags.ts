/** Versions as HTTP names them. @see https://hl7.org/fhir/R4/http.html#concurrency and RFC 9110, 8.8.3 and 13.1 */

const TAG = /\s*(?:W\/)?"([\x21\x23-\x7e]*)"\s*(?:,|$)/y;

/**
 * The versions that If-Match names, weak and strong tags alike: a version of a resource is one text in one form. Tags
 * that no version here can have name none. Undefined when it is neither `*` nor a list of tags.
 */
export function versionsNamed(ifMatch: string): '*' | readonly number[] | undefined {
  if (ifMatch.trim() === '*') return '*';
  const versions: number[] = [];
  TAG.lastIndex = 0;
  do {
    const tag = TAG.exec(ifMatch)?.[1];
    if (tag === undefined) return undefined;
    if (/^[1-9]\d{0,8}$/.test(tag)) versions.push(Number(tag));
  } while (TAG.lastIndex < ifMatch.length);
  return versions;
}
