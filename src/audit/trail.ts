import type { AuditRow } from './event.ts';

/**
 * Where AuditEvents go that no unit of work writes: those of reads, searches, refusals and tokens.
 *
 * `record` resolves when the rows are durable, and only then may the answer leave; it rejects when they could not be
 * written, and then the answer is 503.
 */
export type AuditTrail = {
  /** A request begins that may have rows to write: others may wait a moment to be written together with them. */
  begun(): void;
  /** It was answered. Every `begun` has one. */
  ended(): void;
  record(rows: AuditRow | readonly AuditRow[]): Promise<void>;
};
