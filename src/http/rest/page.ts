/** Bundles glued from stored text: the resources in them are not parsed on the way out. */
import { randomUUID } from 'node:crypto';

export type BundleLink = { readonly relation: 'self' | 'first' | 'next'; readonly url: string };

export function bundleText(
  type: 'searchset' | 'history',
  links: readonly BundleLink[],
  entries: readonly string[],
  total?: number,
): string {
  const link = links.map(({ relation, url }) => `{"relation":"${relation}","url":${JSON.stringify(url)}}`).join(',');
  return `{"resourceType":"Bundle","id":"${randomUUID()}","type":"${type}"${total === undefined ? '' : `,"total":${total}`},"link":[${link}]${entries.length === 0 ? '' : `,"entry":[${entries.join(',')}]`}}`;
}
