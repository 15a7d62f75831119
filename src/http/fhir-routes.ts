/** Every interaction of the FHIR API and the path it is served on. The CapabilityStatement is made from this table. */
import { createPatchReader } from '../fhir/patch/patch-reader.ts';
import type { SearchParameterRegistry } from '../fhir/search/parameters.ts';
import { createValidator } from '../fhir/validation/validator.ts';
import type { FhirXml } from '../fhir/xml/xml.ts';
import type { Interaction } from './exchange.ts';
import { recordInfusionSession, recordIntegrationSession } from './operations/care-plan-record.ts';
import { graphqlRoutes, graphqlService } from './operations/graphql.ts';
import { withGraphql } from './operations/graphql-of-operation.ts';
import { operationRoutes } from './operations/operation-routes.ts';
import { planDefinitionApply } from './operations/plan-definition-apply.ts';
import { recordOperations } from './operations/record-operations.ts';
import { terminologyOperations } from './operations/terminology.ts';
import { validateOperation } from './operations/validate.ts';
import { readAuditEvent, searchAuditEvents } from './rest/audit-events.ts';
import { binaryRoutes } from './rest/binary.ts';
import { bundleInteraction } from './rest/bundle.ts';
import { askInBundle } from './rest/bundle-asked.ts';
import { create } from './rest/create.ts';
import { conditionalDelete, deleteById } from './rest/delete.ts';
import { historyInstance, historySystem, historyType } from './rest/history.ts';
import { conditionalPatch, patchById } from './rest/patch.ts';
import { read } from './rest/read.ts';
import { searchByGet, searchByPost } from './rest/search.ts';
import { compartmentRoutes, searchSystem } from './rest/search-everywhere.ts';
import { conditionalUpdate, update } from './rest/update.ts';
import { withView } from './rest/view.ts';
import { vread } from './rest/vread.ts';
import type { Routes } from './routes.ts';

export function createFhirRoutes(registry: SearchParameterRegistry, xml: FhirXml): Routes {
  const { definitions } = registry;
  const isResourceType = (name: string) => definitions.isResourceType(name);

  const { validate } = createValidator(definitions);
  const patches = createPatchReader(definitions, validate);
  const handling = { ask: askInBundle(() => routes, isResourceType), isResourceType, validate, patches };
  const operations = [
    ...recordOperations(registry),
    ...terminologyOperations({ definitions, validate }),
    validateOperation(definitions),
  ];
  const general: Record<string, Readonly<Record<string, Interaction>>> = {
    '/': { GET: searchSystem(registry, 'GET'), POST: bundleInteraction(handling) },
    '/_search': { POST: searchSystem(registry, 'POST') },
    '/:type': {
      GET: searchByGet(registry),
      POST: create,
      PUT: conditionalUpdate,
      PATCH: conditionalPatch(patches),
      DELETE: conditionalDelete,
    },
    '/:type/_search': { POST: searchByPost(registry) },
    '/:type/:id': { GET: withView(read, definitions), PUT: update, PATCH: patchById(patches), DELETE: deleteById },
    '/_history': { GET: historySystem(registry) },
    '/:type/_history': { GET: historyType(registry) },
    '/:type/:id/_history': { GET: historyInstance(registry) },
    '/:type/:id/_history/:version': { GET: withView(vread, definitions) },
  };
  const graphqls = graphqlService(registry);
  const routes: Routes = {
    ...general,
    ...binaryRoutes(general, xml),
    ...compartmentRoutes(registry),
    // The service alone writes AuditEvents, and there is one version of what happened.
    '/AuditEvent': { GET: searchAuditEvents(registry, false) },
    '/AuditEvent/_search': { POST: searchAuditEvents(registry, true) },
    '/AuditEvent/:id': { GET: withView(readAuditEvent, definitions) },
    '/AuditEvent/_history': {},
    '/AuditEvent/:id/_history': {},
    '/AuditEvent/:id/_history/:version': {},
    ...withGraphql(operationRoutes(operations, handling), graphqls),
    ...graphqlRoutes(graphqls),
    '/PlanDefinition/:id/$apply': { POST: planDefinitionApply(handling, registry) },
    '/CarePlan/:id/$record-infusion': { POST: recordInfusionSession(handling) },
    '/CarePlan/:id/$record-integration': { POST: recordIntegrationSession(handling) },
  };
  return routes;
}
