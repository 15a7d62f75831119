/**
 * `_graphql` at other operations: the query is asked about what the operation answers. For operations that write nothing,
 * since a query that is wrong must not be found out after the writing.
 *
 * @see https://hl7.org/fhir/R4/graphql.html (Operations)
 */
import type { Resource } from '@medplum/fhirtypes';
import { parseJson } from '../../fhir/json.ts';
import type { FhirAnswer, FhirRequest, Interaction } from '../exchange.ts';
import { type GraphqlService, graphql } from './graphql.ts';

const PARAMETER = '_graphql';

type Routes = Record<string, Record<string, Interaction>>;

export function withGraphql(routes: Routes, service: GraphqlService): Routes {
  return Object.fromEntries(
    Object.entries(routes).map(([pattern, methods]) => {
      const writes = methods.GET === undefined;
      const asking = Object.entries(methods).map(([method, each]) => [method, asked(each, service)]);
      return [pattern, writes ? methods : Object.fromEntries(asking)];
    }),
  );
}

function asked(interaction: Interaction, service: GraphqlService): Interaction {
  return {
    ...interaction,
    handle: async (request) => {
      const parameters = new URLSearchParams(request.target.query);
      const query = parameters.get(PARAMETER);
      if (query === null) return await interaction.handle(request);
      parameters.delete(PARAMETER);
      const target = { ...request.target, query: String(parameters) };
      const answered = await interaction.handle({ ...request, target });
      const resource = resourceOf(answered);
      return resource === undefined ? answered : await about(resource, query, request, answered, service);
    },
  };
}

/** Undefined where the answer is something else than a resource. */
function resourceOf({ status, headers, body }: FhirAnswer): Resource | undefined {
  if (status >= 300 || typeof body !== 'string') return undefined;
  if (!(headers?.['content-type'] ?? 'application/fhir+json').startsWith('application/fhir+json')) return undefined;
  return parseJson(body) as Resource;
}

async function about(
  resource: Resource,
  query: string,
  request: FhirRequest,
  answered: FhirAnswer,
  service: GraphqlService,
): Promise<FhirAnswer> {
  const answer = await graphql(request, { query }, { type: resource.resourceType, id: '', resource }, service);
  // What the operation read was read, whatever of it is shown.
  return { ...answer, audit: [...answered.audit, ...answer.audit] };
}
