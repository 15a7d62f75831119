import type { StoredResource } from '../../record/record.ts';

/** ETag, Last-Modified and Content-Location-free: what every answer that shows one version says about it. */
export function versionHeaders(stored: StoredResource): Record<string, string> {
  return { etag: `W/"${stored.version}"`, 'last-modified': new Date(stored.lastUpdated).toUTCString() };
}
