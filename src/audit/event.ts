/** Who asks, from where, in which request: what every AuditEvent says. */
export type AuditContext = {
  /** X-Request-Id, ours or the caller's. */
  readonly requestId: string;
  readonly clinic: string;
  /** The FHIR base that answers, e.g. 'http://127.0.0.1:8080/fhir'. */
  readonly observer: string;
  readonly agent: {
    /** Client id of the token; 'system' for the service itself. */
    readonly clientId: string;
    /** jti of the token. */
    readonly tokenId?: string;
    /** Network address of the caller. */
    readonly address?: string;
  };
};

/** One row of audit_event; `body` is the AuditEvent as FHIR JSON. */
export type AuditRow = {
  readonly eventId: string;
  readonly recorded: string;
  readonly patientId: string | null;
  readonly agent: string;
  readonly type: string;
  readonly subtype: string;
  readonly action: 'C' | 'R' | 'U' | 'D' | 'E';
  readonly outcome: 0 | 4 | 8 | 12;
  readonly requestId: string;
  readonly body: string;
};
