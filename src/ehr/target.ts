/**
 * An EHR target: another organisation's FHIR server that receives what this clinic records.
 *
 * What we know about it is a revision: immutable, numbered, approved by a person. A delivery is compiled with the
 * revision in force when it is sent; one whose outcome is unknown is resolved under the revision it was sent with.
 */
import { z } from 'zod';
import { Failure, issue } from '../fhir/failure.ts';

export type EhrTargetId = string;

/**
 * How a repeated create is kept from making a second resource; what the target was seen to do, not what it claims.
 *
 * 1: conditional PUT by our identifier (or PUT to an id that we choose): sent again after a lost answer.
 * 2: POST with If-None-Exist, seen to answer 200 the second time: sent again after a lost answer.
 * 3: POST; a search by our identifier finds a fresh resource within the settle time: searched before it is sent again.
 */
export type IdempotencyTier = 1 | 2 | 3;

const interaction = z.enum(['create', 'update', 'read', 'search']);

const typeRules = z.strictObject({
  /** What the target allows on this type; without `update` a later version is a dead letter. */
  interactions: z.array(interaction).min(1).default(['create', 'update', 'read', 'search']),
  tier: z.union([z.literal(1), z.literal(2), z.literal(3)]).default(3),
  /** Tier 1: `Type?identifier=…`, or `Type/<our id>` where the target lets the client choose ids. */
  putBy: z.enum(['identifier', 'id']).default('identifier'),
  /** A search by identifier was seen to find a fresh resource. Tier 3 cannot do without. */
  identifierSearch: z.boolean().default(true),
  /** What a dead letter does to its lane; `block` where what follows would hang in the air. */
  whenDead: z.enum(['block', 'pass']).optional(),
});

const oauth = {
  clientId: z.string().min(1),
  /** Absent: read from `<base url>/.well-known/smart-configuration`. */
  tokenEndpoint: z.url({ protocol: /^https?$/ }).optional(),
  scopes: z.string().min(1).default('system/*.cruds'),
};

const auth = z.discriminatedUnion('method', [
  z.strictObject({ method: z.literal('none') }),
  z.strictObject({ method: z.literal('basic'), username: z.string().min(1) }),
  z.strictObject({ method: z.literal('client-secret'), ...oauth }),
  z.strictObject({
    method: z.literal('private-key-jwt'),
    ...oauth,
    keyId: z.string().min(1),
    algorithm: z.enum(['ES384', 'RS384']),
  }),
]);

/** Delivered unless the operator says otherwise: the encounters of a course and what was done and seen in them. */
export const DEFAULT_DELIVERED_TYPES = [
  'Encounter',
  'Procedure',
  'MedicationAdministration',
  'Observation',
  'QuestionnaireResponse',
  'DocumentReference',
  'AdverseEvent',
] as const;

/** Dead letters of these stop their lane: what follows refers to them. */
const BLOCKING_TYPES: ReadonlySet<string> = new Set(['Patient', 'EpisodeOfCare', 'Encounter', 'Procedure']);

const seconds = (low: number, high: number) => z.number().min(low).max(high);

export const dialectSchema = z
  .strictObject({
    kind: z.literal('fhir').default('fhir'),
    /** Whose error codes are understood besides FHIR's own. */
    vendor: z.enum(['generic', 'epic', 'ecw', 'oracle']).default('generic'),
    auth: auth.default({ method: 'none' }),
    types: z
      .record(z.string(), typeRules)
      .default(() => Object.fromEntries(DEFAULT_DELIVERED_TYPES.map((type) => [type, typeRules.parse({})]))),
    patientIdentity: z.strictObject({
      /** System of the identifier by which that target knows a patient: its own medical record number. */
      identifierSystem: z.string().min(1),
      /** What to do for a patient whom the target does not know. */
      onMissing: z.enum(['hold', 'create']).default('hold'),
    }),
    /** How long after a lost answer a search is believed. */
    settleSeconds: seconds(0, 3600).default(10),
    requestTimeoutSeconds: seconds(0.1, 35).default(30),
    /** Lanes that may be sending to this target at once, over all processes. */
    concurrency: z.number().int().min(1).max(64).default(4),
    /** A delivery that is older becomes a dead letter. */
    giveUpDays: z.number().positive().max(90).default(14),
    /** The target answers writes with the resource it stored when asked to. */
    preferRepresentation: z.boolean().default(true),
    /** Plain http to another machine; patients' data would travel readable. */
    allowPlainHttp: z.boolean().default(false),
  })
  .superRefine((dialect, context) => {
    for (const [type, rules] of Object.entries(dialect.types)) {
      const path = ['types', type];
      if (!/^[A-Z][A-Za-z]+$/.test(type)) {
        context.addIssue({ code: 'custom', path, message: 'is not a FHIR resource type, e.g. Encounter' });
      }
      if (rules.tier === 3 && !rules.identifierSearch) {
        context.addIssue({
          code: 'custom',
          path,
          message: 'tier 3 needs identifierSearch: a lost answer is resolved by it',
        });
      }
      if (!rules.interactions.includes('create')) {
        context.addIssue({ code: 'custom', path, message: 'a type that is delivered needs the interaction create' });
      }
    }
    if ('Patient' in dialect.types) {
      context.addIssue({
        code: 'custom',
        path: ['types', 'Patient'],
        message: 'demographics belong to the target; a missing patient is governed by patientIdentity.onMissing',
      });
    }
  });

export type Dialect = z.infer<typeof dialectSchema>;
export type TypeRules = Dialect['types'][string];

/** The secret half of `auth`; sealed at rest, never shown. */
export type Credentials =
  | { readonly method: 'none' }
  | { readonly method: 'basic'; readonly password: string }
  | { readonly method: 'client-secret'; readonly clientSecret: string }
  /** PKCS #8 in PEM. */
  | { readonly method: 'private-key-jwt'; readonly privateKey: string };

export type EhrTargetRevision = {
  readonly targetId: EhrTargetId;
  readonly revision: number;
  /** FHIR base, without a trailing slash. */
  readonly baseUrl: string;
  readonly dialect: Dialect;
  readonly credentials: Credentials;
};

/** @throws Failure `invalid` naming each part of the dialect that cannot be used */
export function parseDialect(input: unknown): Dialect {
  const result = dialectSchema.safeParse(input);
  if (result.success) return result.data;
  throw new Failure(
    'invalid',
    result.error.issues.map((found) => issue('value', `dialect.${found.path.join('.')}: ${found.message}`)),
  );
}

/**
 * The FHIR base of a target, without a trailing slash.
 *
 * @throws Failure `invalid` for another scheme, user info, a query, or plain http beyond this machine unless allowed
 */
export function parseBaseUrl(text: string, allowPlainHttp: boolean): string {
  if (!URL.canParse(text)) throw new Failure('invalid', issue('value', `The base URL is not a URL: ${text}`));
  const url = new URL(text);
  const refuse = (why: string) => new Failure('invalid', issue('value', `The base URL ${why}`));
  if (url.protocol !== 'https:' && url.protocol !== 'http:') throw refuse('must start with https://');
  if (url.username !== '' || url.password !== '') throw refuse('must not carry credentials; give them separately');
  if (url.search !== '' || url.hash !== '') throw refuse('must not have a query or fragment');
  if (url.protocol === 'http:' && !allowPlainHttp && !isThisMachine(url.hostname)) {
    throw refuse('is plain http to another machine: use https, or allowPlainHttp where the network is private');
  }
  return url.href.replace(/\/+$/, '');
}

/** Rules of a type that this target receives; undefined when it does not. */
export function rulesOf(dialect: Dialect, type: string): TypeRules | undefined {
  return Object.hasOwn(dialect.types, type) ? dialect.types[type] : undefined;
}

export function blocksWhenDead(dialect: Dialect, type: string): boolean {
  return (rulesOf(dialect, type)?.whenDead ?? (BLOCKING_TYPES.has(type) ? 'block' : 'pass')) === 'block';
}

export function deliveredTypes(dialect: Dialect): string[] {
  return Object.keys(dialect.types).sort();
}

function isThisMachine(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname);
}
