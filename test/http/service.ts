/** The HTTP service on a record and a database of its own, without a port: supertest calls the application. */
import { randomBytes } from 'node:crypto';
import type { AuditEvent, Resource } from '@medplum/fhirtypes';
import type { Application } from 'express';
import { pino } from 'pino';
import supertest from 'supertest';
import { currentSigningKey, jwks } from '../../src/access/keys.ts';
import { sealingWith } from '../../src/access/secrets.ts';
import { createTokenVerifier, mintToken } from '../../src/access/tokens.ts';
import type { AuditTrail } from '../../src/audit/trail.ts';
import { createApp } from '../../src/http/app.ts';
import type { Dependency } from '../../src/http/health.ts';
import { createMetrics } from '../../src/http/metrics.ts';
import { createAuditReader, createAuditTrail } from '../../src/postgres/audit.ts';
import { createSigningKeyStore } from '../../src/postgres/signing-keys.ts';
import { terminologyOf } from '../../src/postgres/terminology.ts';
import { createCourseReader } from '../../src/record/course-reader.ts';
import { BASE, fhir, openTestClinic, type TestClinic } from '../record/clinic.ts';

export { BASE } from '../record/clinic.ts';

export type TestService = {
  readonly clinic: TestClinic;
  readonly app: Application;
  readonly http: ReturnType<typeof supertest>;
  /** Lines of the log. */
  readonly log: string[];
  token(scope?: string, ttlSeconds?: number): Promise<string>;
  /** A request with a token for everything. */
  as(token: string): Caller;
  /** AuditEvents written since the last call, oldest first. */
  newAuditEvents(): Promise<AuditEvent[]>;
  close(): Promise<void>;
};

export type Caller = {
  get(path: string): supertest.Test;
  delete(path: string): supertest.Test;
  post(path: string, body: Resource | object): supertest.Test;
  put(path: string, body: Resource | object): supertest.Test;
};

export type ServiceOptions = {
  /** Around the real one. */
  readonly trail?: (real: AuditTrail) => AuditTrail;
  readonly dependencies?: readonly Dependency[];
  readonly now?: () => Date;
  readonly corsOrigins?: '*' | readonly string[];
  /** What the record takes for the present, in what it writes. */
  readonly recordNow?: () => Date;
};

export async function startTestService(options: ServiceOptions = {}): Promise<TestService> {
  const clinic = await openTestClinic(options.recordNow);
  const pool = clinic.database.clinicPool();
  const now = options.now ?? (() => new Date());
  const keys = createSigningKeyStore(pool);
  const key = await currentSigningKey(keys, sealingWith(randomBytes(32)));
  const trail = createAuditTrail(pool);
  const served = {
    name: 'default',
    base: BASE,
    record: clinic.record,
    trail: options.trail?.(trail) ?? trail,
    auditReader: createAuditReader(pool),
    tokens: createTokenVerifier(keys, BASE, now),
    courses: createCourseReader(clinic.parts.store),
    terminology: terminologyOf(pool),
    profiles: clinic.parts.profiles,
  };
  const log: string[] = [];
  const app = createApp({
    clinics: new Map([['default', served]]),
    jwks: () => jwks(keys),
    searchParameters: fhir.registry,
    dependencies: options.dependencies ?? [],
    logger: pino({ level: 'debug' }, { write: (line) => void log.push(line) }),
    metrics: createMetrics(),
    version: '0.0.0-test',
    now,
    corsOrigins: options.corsOrigins ?? '*',
  });
  const http = supertest(app);
  const seen = new Set<string>();
  return {
    clinic,
    app,
    http,
    log,
    token: async (scope = 'system/*.cruds', ttlSeconds = 300) =>
      (await mintToken(key, { base: BASE, clientId: 'test-client', scope, ttlSeconds }, now())).token,
    as: (token) => {
      const sent = (test: supertest.Test) => test.set('authorization', `Bearer ${token}`);
      const withBody = (test: supertest.Test, body: object) =>
        sent(test).set('content-type', 'application/fhir+json').send(JSON.stringify(body));
      return {
        get: (path) => sent(http.get(path)),
        delete: (path) => sent(http.delete(path)),
        post: (path, body) => withBody(http.post(path), body),
        put: (path, body) => withBody(http.put(path), body),
      };
    },
    newAuditEvents: async () => {
      const { rows } = await pool.query<{ event_id: string; body: string }>(
        'select event_id, body from audit_event order by recorded, event_id',
      );
      const fresh = rows.filter(({ event_id }) => !seen.has(event_id));
      for (const { event_id } of fresh) seen.add(event_id);
      return fresh.map(({ body }) => JSON.parse(body) as AuditEvent);
    },
    close: () => clinic.database.drop(),
  };
}

export const patient: Resource = {
  resourceType: 'Patient',
  identifier: [{ system: 'https://kap.example.org/id/patient', value: 'TEST-1' }],
  name: [{ family: 'Example', given: ['Pat'] }],
  birthDate: '1980-05-17',
};

export function weightOf(patientId: string, kilograms: number): Resource {
  return {
    resourceType: 'Observation',
    status: 'final',
    category: [
      { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/observation-category', code: 'vital-signs' }] },
    ],
    code: { coding: [{ system: 'http://loinc.org', code: '29463-7', display: 'Body weight' }] },
    subject: { reference: `Patient/${patientId}` },
    effectiveDateTime: '2026-03-09T12:00:00-07:00',
    valueQuantity: { value: kilograms, unit: 'kg', system: 'http://unitsofmeasure.org', code: 'kg' },
  };
}
