/** The CapabilityStatement, made from the routes and parameters that are served. @see https://hl7.org/fhir/R4/http.html#capabilities */
import type {
  CapabilityStatement,
  CapabilityStatementRestResource,
  CapabilityStatementRestResourceInteraction,
  CapabilityStatementRestResourceSearchParam,
} from '@medplum/fhirtypes';
import type { SearchParameterRegistry } from '../../fhir/search-parameters.ts';
import type { Clinic } from '../exchange.ts';
import type { Routes } from '../routes.ts';
import { auditSearchCodes } from './audit-events.ts';

export type Served = {
  readonly routes: Routes;
  readonly searchParameters: SearchParameterRegistry;
  readonly version: string;
  readonly startedAt: Date;
};

/** JSON text; the same for every request to a clinic while the process lives. */
export function capabilityStatement(served: Served, clinic: Clinic): string {
  const { definitions } = served.searchParameters;
  const statement: CapabilityStatement = {
    resourceType: 'CapabilityStatement',
    status: 'active',
    date: served.startedAt.toISOString(),
    kind: 'instance',
    software: { name: 'kap-bridge', version: served.version },
    implementation: { description: `Record of the clinic ${clinic.name}`, url: clinic.base },
    fhirVersion: '4.0.1',
    format: ['application/fhir+json', 'json'],
    rest: [
      {
        mode: 'server',
        security: securityOf(),
        resource: definitions.resourceTypes.map((type) => resourceOf(served, type)),
        interaction: [{ code: 'transaction' }, { code: 'batch' }],
      },
    ],
  };
  return JSON.stringify(statement);
}

function securityOf() {
  return {
    cors: false,
    service: [
      {
        coding: [{ system: 'http://terminology.hl7.org/CodeSystem/restful-security-service', code: 'SMART-on-FHIR' }],
      },
    ],
    description: 'Bearer tokens with SMART v2 system scopes, checked for each type and interaction',
  };
}

function resourceOf({ routes, searchParameters }: Served, type: string): CapabilityStatementRestResource {
  const own = (pattern: string) => routes[`/${type}${pattern}`] ?? routes[`/:type${pattern}`] ?? {};
  const interactions = ['', '/:id', '/:id/_history', '/:id/_history/:version'].flatMap((pattern) =>
    Object.values(own(pattern)).map(({ name }) => name),
  );
  const writes = interactions.includes('update');
  const parameters = [...searchParameters.of(type).values()].filter(
    ({ stored, code }) => stored !== 'none' && (type !== 'AuditEvent' || auditSearchCodes.has(code)),
  );
  const references = parameters.filter(({ kind }) => kind === 'reference').map(({ code }) => `${type}:${code}`);
  const operations = Object.keys(routes)
    .filter((pattern) => pattern.startsWith(`/${type}/`) && pattern.includes('/$'))
    .map((pattern) => pattern.slice(pattern.indexOf('$') + 1));
  return {
    type: type as NonNullable<CapabilityStatementRestResource['type']>,
    interaction: [...new Set(interactions)].map((code) => ({
      code: code as NonNullable<CapabilityStatementRestResourceInteraction['code']>,
    })),
    versioning: writes ? 'versioned-update' : 'no-version',
    readHistory: interactions.includes('vread'),
    updateCreate: writes,
    conditionalCreate: writes,
    conditionalRead: writes ? 'full-support' : 'not-supported',
    conditionalUpdate: writes,
    conditionalDelete: writes ? 'single' : 'not-supported',
    referencePolicy: ['literal', 'local'],
    ...(references.length === 0 || !writes ? {} : { searchInclude: references }),
    searchParam: parameters.map(({ code, kind, url }) => ({
      name: code,
      definition: url,
      type: kind as NonNullable<CapabilityStatementRestResourceSearchParam['type']>,
    })),
    ...(operations.length === 0
      ? {}
      : { operation: operations.map((name) => ({ name, definition: operationUrl(type, name) })) }),
  };
}

function operationUrl(type: string, name: string): string {
  return name === 'apply'
    ? `http://hl7.org/fhir/OperationDefinition/${type}-${name}`
    : `https://kap.example.org/fhir/OperationDefinition/${type}-${name}`;
}
