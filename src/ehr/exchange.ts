/** One request to a target and what came of it, as the client reports and the classification reads it. */

/** What a request is for; it decides what its failure means. */
export type RequestPurpose =
  /** POST without a condition: repeating it makes a second resource. */
  | 'create'
  /** POST with If-None-Exist: repeating it is safe. */
  | 'conditional-create'
  /** PUT by identifier or to an id of ours: repeating it is safe. */
  | 'conditional-update'
  /** PUT to a remote id that is known. */
  | 'update'
  | 'read'
  | 'search';

export type RemoteRequest = {
  readonly method: 'GET' | 'POST' | 'PUT';
  readonly purpose: RequestPurpose;
  /** Below the base URL, with its query: 'Encounter', 'Encounter/12', 'Encounter?identifier=…'. */
  readonly path: string;
  /** FHIR resource type that is written, read or searched. */
  readonly type: string;
  readonly body?: string;
  readonly ifMatch?: string;
  /** Query of a conditional create, e.g. 'identifier=system|value'. */
  readonly ifNoneExist?: string;
};

export type AnswerContent =
  | { readonly kind: 'json'; readonly value: unknown }
  | { readonly kind: 'empty' }
  | { readonly kind: 'html' }
  /** Neither JSON nor HTML, cut off, or larger than we read. */
  | { readonly kind: 'unreadable' };

export type Answer = {
  readonly status: number;
  readonly content: AnswerContent;
  readonly location?: string;
  readonly etag?: string;
  /** As sent: seconds or an HTTP date. */
  readonly retryAfter?: string;
  /** When the answer arrived, by the target's own clock where it says so. */
  readonly date: Date;
  /** The target's name for this request, for its support line. */
  readonly remoteRequestId?: string;
};

export type Exchange =
  | { readonly outcome: 'answer'; readonly firstByteAt: Date; readonly answer: Answer }
  /** `firstByteAt` null: surely nothing reached the target. */
  | { readonly outcome: 'no-answer'; readonly firstByteAt: Date | null; readonly reason: string }
  /** The target's token endpoint did not give a token; the request itself was not sent. */
  | {
      readonly outcome: 'no-token';
      readonly refusal: 'authorization' | 'misconfigured' | 'throttled' | 'transient';
      readonly reason: string;
      readonly retryAfter?: string;
    };

/** How requests reach a target; src/ehr/client.ts over HTTP. Never throws for what the other side does. */
export type EhrClient = {
  /** @param notAfter the request is not begun after this moment, and given up when it passes */
  send(request: RemoteRequest, notAfter: Date): Promise<Exchange>;
};
