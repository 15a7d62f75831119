/** The AuditEvent of a change to an EHR target: of the network's configuration. */
import { configurationChanged } from './configuration-event.ts';
import type { AuditRow } from './event.ts';

export type TargetChange = {
  readonly action: 'C' | 'U';
  readonly targetId: string;
  /** 'added', 'revised', 'paused', 'resumed', or a replay of its deliveries. */
  readonly what: string;
  readonly by: string;
  readonly clinic: string;
  /** Our FHIR base. */
  readonly observer: string;
  /** SHA-256 of the configuration without credentials, in hex. */
  readonly after?: string;
};

export function targetChanged({ targetId, ...change }: TargetChange, now: Date): AuditRow {
  return configurationChanged({ ...change, kind: 'network', subject: targetId }, now);
}
