import { randomUUID } from 'node:crypto';

/**
 * A UUIDv7 (RFC 9562): what is made at one time lies together in an index, which keeps inserting cheap however large
 * the clinic grows, and the order is that of time to the millisecond.
 */
export function uuidv7(now: Date): string {
  const time = now.getTime().toString(16).padStart(12, '0');
  return `${time.slice(0, 8)}-${time.slice(8)}-7${randomUUID().slice(15)}`;
}
