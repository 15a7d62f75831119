/** The service as an Express application: FHIR for each clinic, health, metrics, and a clear answer everywhere else. */
import express, { type Application, type NextFunction, type Request, type Response } from 'express';
import type { JWK } from 'jose';
import type { Logger } from 'pino';
import { Failure, issue } from '../fhir/failure.ts';
import type { SearchParameterRegistry } from '../fhir/search/parameters.ts';
import { fhirXml } from '../fhir/xml/xml.ts';
import type { AllowedOrigins } from './cors.ts';
import type { Clinic, MakeDocument } from './exchange.ts';
import { outcomeText, refusalOf } from './failures.ts';
import { type FhirService, serveFhir } from './fhir.ts';
import { createFhirRoutes } from './fhir-routes.ts';
import { type Dependency, readiness } from './health.ts';
import { FHIR_JSON } from './media-types.ts';
import type { Metrics } from './metrics.ts';
import { createRequestLog, type RequestLog } from './request-log.ts';
import { metadata } from './rest/metadata.ts';
import { smartConfiguration } from './rest/smart-configuration.ts';

export type AppParts = {
  /** By name. 'default' is served at /fhir, and each one at /clinics/{name}/fhir. */
  readonly clinics: ReadonlyMap<string, Clinic>;
  /** Public signing keys of a clinic. */
  readonly jwks: (clinic: string) => Promise<{ readonly keys: readonly JWK[] }>;
  readonly searchParameters: SearchParameterRegistry;
  /** What must be in order for requests to succeed. */
  readonly dependencies: readonly Dependency[];
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Of this service, as in package.json. */
  readonly version: string;
  readonly now: () => Date;
  /** Whose pages may call the service from a browser. */
  readonly corsOrigins: AllowedOrigins;
};

export function createApp(parts: AppParts): Application {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('query parser', false);
  app.set('case sensitive routing', true);

  const log = createRequestLog(parts.logger, parts.metrics.observe);
  const services = fhirServices(parts, log);
  const fallback = services.get('default');
  if (fallback !== undefined) {
    app.use('/fhir', (request: Request, response: Response) => serveFhir(fallback, request, response));
  }
  app.use('/clinics/:clinic/fhir', (request: Request, response: Response) => {
    const service = services.get(String(request.params.clinic));
    if (service === undefined) throw new Failure('not-found', issue('not-found', 'There is no such clinic'));
    return serveFhir(service, request, response);
  });

  app.get('/healthz', (_request, response) => {
    response.json({ status: 'alive' });
  });
  app.get('/readyz', async (_request, response) => {
    const { ready, checks } = await readiness(parts.dependencies);
    response.status(ready ? 200 : 503).json({ status: ready ? 'ready' : 'not ready', checks });
  });
  app.get('/metrics', async (_request, response) => {
    response.type(parts.metrics.contentType).send(await parts.metrics.text());
  });

  app.use(() => {
    throw new Failure('not-found', issue('not-found', 'There is nothing at this url. FHIR is at /fhir'));
  });
  app.use(refuseOutsideFhir(log));
  return app;
}

const JSON_TYPE = 'application/json';

function fhirServices(parts: AppParts, log: RequestLog): ReadonlyMap<string, FhirService> {
  const { definitions } = parts.searchParameters;
  const isResourceType = (name: string) => definitions.isResourceType(name);
  const xml = fhirXml(definitions);
  const routes = createFhirRoutes(parts.searchParameters, xml);
  const served = { routes, searchParameters: parts.searchParameters, version: parts.version, startedAt: parts.now() };
  const services = new Map<string, FhirService>();
  for (const clinic of parts.clinics.values()) {
    services.set(clinic.name, {
      clinic,
      routes,
      open: new Map<string, MakeDocument>([
        ['/metadata', metadata(served, clinic)],
        ['/.well-known/smart-configuration', () => ({ body: smartConfiguration(clinic), contentType: JSON_TYPE })],
        [
          '/.well-known/jwks.json',
          async () => ({ body: JSON.stringify(await parts.jwks(clinic.name)), contentType: JSON_TYPE }),
        ],
      ]),
      isResourceType,
      xml,
      corsOrigins: parts.corsOrigins,
      log,
      now: parts.now,
    });
  }
  return services;
}

/** Express knows an error handler by its four parameters. */
function refuseOutsideFhir(log: RequestLog) {
  return (error: unknown, request: Request, response: Response, _next: NextFunction): void => {
    const requestId = crypto.randomUUID();
    const refusal = refusalOf(isMalformedUrl(error) ? malformedUrl() : error, requestId);
    if (refusal.unexpected !== undefined) log.failed(requestId, refusal.unexpected);
    response.writeHead(refusal.status, {
      ...refusal.headers,
      'x-request-id': requestId,
      'cache-control': 'no-store',
      'content-type': FHIR_JSON,
    });
    response.end(request.method === 'HEAD' ? undefined : outcomeText(refusal.issues));
  };
}

/** Express answers an undecodable parameter of a path with an error of its own. */
function isMalformedUrl(error: unknown): boolean {
  return error instanceof Error && 'status' in error && error.status === 400;
}

function malformedUrl(): Failure {
  return new Failure('invalid', issue('structure', 'The url is not validly percent-encoded'));
}
