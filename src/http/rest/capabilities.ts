/**
 * The CapabilityStatement, made from the routes and parameters that are served: what stands in it can be called.
 *
 * @see https://hl7.org/fhir/R4/http.html#capabilities
 * @see https://hl7.org/fhir/R4/capabilitystatement.html
 */
import type {
  CapabilityStatement,
  CapabilityStatementRest,
  CapabilityStatementRestInteraction,
  CapabilityStatementRestResourceOperation,
  CapabilityStatementRestSecurity,
} from '@medplum/fhirtypes';
import { Failure, issue } from '../../fhir/failure.ts';
import { COMPARTMENT_TYPES } from '../../fhir/search/compartments.ts';
import type { SearchParameterRegistry } from '../../fhir/search/parameters.ts';
import type { ProfileSet } from '../../record/clinic-profiles.ts';
import type { Clinic } from '../exchange.ts';
import type { Routes } from '../routes.ts';
import { capabilitiesOfType, operationsAt, searchParamsOfAll } from './capabilities-of-type.ts';
import { guidesOf, type SupportedProfiles, serversOf, supportedProfiles } from './supported-profiles.ts';

export type Served = {
  readonly routes: Routes;
  readonly searchParameters: SearchParameterRegistry;
  readonly version: string;
  readonly startedAt: Date;
};

export type CapabilityMode = 'full' | 'normative' | 'terminology';

/** @param query of the url @throws Failure `invalid` for a mode that R4 has not */
export function modeIn(query: string): CapabilityMode {
  const mode = new URLSearchParams(query).get('mode') || 'full';
  if (mode === 'full' || mode === 'normative' || mode === 'terminology') return mode;
  throw new Failure('invalid', issue('value', 'The mode is full, normative or terminology', 'http.mode'));
}

/** Resource types that are normative in R4, of all that are not abstract. */
export const NORMATIVE_TYPES: ReadonlySet<string> = new Set([
  'Binary',
  'Bundle',
  'CapabilityStatement',
  'CodeSystem',
  'Observation',
  'OperationDefinition',
  'OperationOutcome',
  'Parameters',
  'Patient',
  'StructureDefinition',
  'ValueSet',
]);

/** JSON text; the same for every request to a clinic while the process lives and the same profiles are loaded. */
export function capabilityStatement(
  served: Served,
  clinic: Clinic,
  set: ProfileSet,
  mode: 'full' | 'normative',
): string {
  const statement: CapabilityStatement = {
    resourceType: 'CapabilityStatement',
    status: 'active',
    // By the day: processes that were started together say the same.
    date: served.startedAt.toISOString().slice(0, 10),
    kind: 'instance',
    instantiates: serversOf(set),
    software: { name: 'kap-bridge', version: served.version },
    implementation: { description: `Record of the clinic ${clinic.name}`, url: clinic.base },
    fhirVersion: '4.0.1',
    format: ['application/fhir+json', 'application/fhir+xml', 'json', 'xml'],
    patchFormat: ['application/json-patch+json', 'application/fhir+json', 'application/fhir+xml'],
    implementationGuide: guidesOf(set),
    rest: [restOf(served, supportedProfiles(set), mode)],
  };
  return JSON.stringify(statement);
}

function restOf(served: Served, profiles: SupportedProfiles, mode: 'full' | 'normative'): CapabilityStatementRest {
  const { routes, searchParameters } = served;
  const { resourceTypes } = searchParameters.definitions;
  const types = mode === 'full' ? resourceTypes : resourceTypes.filter((type) => NORMATIVE_TYPES.has(type));
  const operation = operationsAt(routes, '');
  return {
    mode: 'server',
    security: SECURITY,
    resource: types.map((type) => capabilitiesOfType(type, routes, searchParameters, profiles(type))),
    interaction: systemInteractions(routes),
    searchParam: searchParamsOfAll(searchParameters),
    ...(operation.length === 0 ? {} : { operation: operation as CapabilityStatementRestResourceOperation[] }),
    compartment: COMPARTMENT_TYPES.map((type) => `http://hl7.org/fhir/CompartmentDefinition/${type.toLowerCase()}`),
  };
}

function systemInteractions(routes: Routes): CapabilityStatementRestInteraction[] {
  const names = ['/', '/_search', '/_history'].flatMap((pattern) =>
    Object.values(routes[pattern] ?? {}).map(({ name }) => name),
  );
  // One interaction takes both kinds of Bundle.
  const codes = names.flatMap((name) => (name === 'transaction' ? ['transaction', 'batch'] : [name]));
  return [...new Set(codes)].map((code) => ({ code: code as NonNullable<CapabilityStatementRestInteraction['code']> }));
}

const SECURITY: CapabilityStatementRestSecurity = {
  cors: true,
  service: [
    {
      coding: [
        {
          system: 'http://terminology.hl7.org/CodeSystem/restful-security-service',
          code: 'SMART-on-FHIR',
          display: 'SMART-on-FHIR',
        },
      ],
      text: 'SMART Backend Services',
    },
  ],
  description: 'Bearer tokens with SMART v1 and v2 system scopes, checked for each type and interaction',
};
