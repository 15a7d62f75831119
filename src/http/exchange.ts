/** What a FHIR interaction gets and gives: a request that is authenticated and read, an answer that is ready to send. */
import type { IncomingHttpHeaders } from 'node:http';
import type { Grant, TokenVerifier } from '../access/tokens.ts';
import type { AuditAction, AuditContext, AuditRow } from '../audit/event.ts';
import type { AuditReader } from '../audit/reader.ts';
import type { AuditTrail } from '../audit/trail.ts';
import type { TerminologyResources } from '../fhir/terminology/resources.ts';
import type { ClinicProfiles } from '../record/clinic-profiles.ts';
import type { CourseReader } from '../record/course-reader.ts';
import type { ClinicRecord } from '../record/record.ts';

/** One clinic as HTTP serves it. */
export type Clinic = {
  readonly name: string;
  /** Its FHIR base, absolute, without a trailing slash. */
  readonly base: string;
  readonly record: ClinicRecord;
  readonly trail: AuditTrail;
  readonly auditReader: AuditReader;
  readonly tokens: TokenVerifier;
  readonly courses: CourseReader;
  readonly terminology: ClinicTerminology;
  readonly profiles: ClinicProfiles;
};

export type ClinicTerminology = {
  /** Code systems, value sets and concept maps as they are now: the clinic's own before those that are shipped. */
  open(): Promise<TerminologyResources>;
};

export type FhirRequest = {
  readonly clinic: Clinic;
  readonly grant: Grant;
  readonly context: AuditContext;
  readonly target: Target;
  readonly headers: IncomingHttpHeaders;
  /** Empty unless the interaction takes one. */
  readonly body: Buffer;
  readonly now: Date;
  /** Documents that are no interaction, by path ('/metadata'): an entry of a batch may ask for them. */
  readonly documents?: ReadonlyMap<string, MakeDocument>;
};

type OpenDocument = { readonly body: string; readonly contentType: string; readonly etag?: string };
/** @param query of the url, as it came */
export type MakeDocument = (query: string) => OpenDocument | Promise<OpenDocument>;

/** What the url names. Parts that it does not name are ''. */
export type Target = {
  readonly method: string;
  /** As it came, below the FHIR base, with its query. */
  readonly url: string;
  readonly type: string;
  readonly id: string;
  readonly version: string;
  /** What is asked for within a compartment: a type, or '*' (`Patient/x/Observation`). */
  readonly member: string;
  /** Without '$'. */
  readonly operation: string;
  /** After '?', as it came. */
  readonly query: string;
  /** The path below the type with its ids as placeholders: '/:id/_history'; '' for the type itself. */
  readonly shape: string;
};

export type FhirAnswer = {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** JSON text, unless `headers` name another content type; bytes where they are at hand. */
  readonly body?: string | Buffer;
  /** Rows that must be durable before this leaves; none where the unit of work wrote them. */
  readonly audit: readonly AuditRow[];
  /** Faults of ours that the answer tells of, in a part of it: to be logged. */
  readonly unexpected?: readonly unknown[];
};

export type Interaction = {
  /** A code of http://hl7.org/fhir/restful-interaction, or 'operation'. */
  readonly name: string;
  readonly action: AuditAction;
  readonly takesBody: boolean;
  /** Whether the scope for `name` on the type of the url is needed; else the interaction looks itself. */
  readonly scopeOfType: boolean;
  /** It looks at Accept and Content-Type itself and takes any: its bodies may be something else than FHIR. */
  readonly negotiates?: true;
  /** Of an operation: its name without '$', and the canonical url of its OperationDefinition. */
  readonly operation?: { readonly code: string; readonly definition: string };
  handle(request: FhirRequest): Promise<FhirAnswer>;
};
