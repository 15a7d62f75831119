/**
 * Operations as data: what one is called, where it is served, what it takes, what it does. From the declaration come its
 * routes, the reading of its parameters, its place in the CapabilityStatement, and its audit events.
 *
 * @see https://hl7.org/fhir/R4/operations.html
 */
import { requirePermission } from '../../access/scopes.ts';
import { restEvent } from '../../audit/event.ts';
import { sharedEvent } from '../../audit/shared-event.ts';
import type { FhirAnswer, FhirRequest, Interaction } from '../exchange.ts';
import { requireBodyType } from '../media-types.ts';
import { resourceInBody } from '../rest/resource-body.ts';
import { rawRequest } from '../rest/search.ts';
import { type Given, type ParameterDeclaration, type ParameterRules, readGiven } from './operation-parameters.ts';

export type Operation = {
  /** Without '$'. */
  readonly code: string;
  /** Canonical url of its OperationDefinition. */
  readonly definition: string;
  /** Types it is served on; '*' for every type. None: at the base only. */
  readonly types: readonly string[];
  readonly levels: readonly ('system' | 'type' | 'instance' | 'version')[];
  /** It writes: POST only, and the unit of work writes the audit. */
  readonly affectsState?: boolean;
  readonly parameters: readonly ParameterDeclaration[];
  /** Names that are not declared are search parameters. */
  readonly takesSearch?: boolean;
  /** The interaction whose scope is needed on the type of the url; without it the operation asks for what it needs. */
  readonly scope?: 'read' | 'search-type' | 'update';
  /** It has answers of other formats than FHIR's, and looks at Accept and `_format` itself. */
  readonly negotiates?: true;
  handle(request: FhirRequest, given: Given): Promise<OperationResult>;
};

export type OperationResult = {
  readonly status?: number;
  /** `content-type` where it is not FHIR JSON. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Everybody about whom something is answered, without repeats; 'audited' where a unit of work wrote the events. */
  readonly patients: readonly string[] | 'audited';
};

/** What reading parameters needs from outside. */
export type ParameterHandling = Pick<ParameterRules, 'isResourceType' | 'validate'>;

type Methods = Record<string, Interaction>;

/** The routes of all operations, by pattern. */
export function operationRoutes(
  operations: readonly Operation[],
  handling: ParameterHandling,
): Record<string, Methods> {
  const routes: Record<string, Methods> = {};
  for (const operation of operations) {
    const methods: Methods = { POST: interactionOf(operation, handling, true) };
    if (operation.affectsState !== true) methods.GET = interactionOf(operation, handling, false);
    for (const pattern of patternsOf(operation)) routes[pattern] = { ...routes[pattern], ...methods };
  }
  return routes;
}

const BELOW_TYPE = { type: '', instance: '/:id', version: '/:id/_history/:version' } as const;

function patternsOf({ code, types, levels }: Operation): string[] {
  const roots = types.map((type) => (type === '*' ? '/:type' : `/${type}`));
  return levels.flatMap((level) =>
    level === 'system' ? [`/$${code}`] : roots.map((root) => `${root}${BELOW_TYPE[level]}/$${code}`),
  );
}

function interactionOf(operation: Operation, handling: ParameterHandling, takesBody: boolean): Interaction {
  const { code, definition, parameters, takesSearch = false } = operation;
  return {
    name: 'operation',
    action: 'E',
    takesBody,
    scopeOfType: false,
    operation: { code, definition },
    ...(operation.negotiates === true ? { negotiates: true } : {}),
    handle: async (request) => {
      if (operation.scope !== undefined) {
        requirePermission(request.grant.scopes, request.target.type, operation.scope);
      }
      const { query, body } = sent(request);
      const rules = { ...handling, parameters, takesSearch, type: request.target.type };
      const result = await operation.handle(request, readGiven(query, body, rules));
      return operationAnswer(request, result);
    },
  };
}

const FORM: ReadonlySet<string> = new Set(['application/x-www-form-urlencoded']);

function sent(request: FhirRequest): { query: URLSearchParams; body: unknown } {
  const query = new URLSearchParams(request.target.query);
  if (request.body.length === 0) return { query, body: undefined };
  if (/^\s*application\/x-www-form-urlencoded\b/i.test(request.headers['content-type'] ?? '')) {
    requireBodyType(request.headers['content-type'], FORM, 'application/fhir+json');
    const form = new URLSearchParams(request.body.toString('utf8'));
    return { query: new URLSearchParams([...query, ...form]), body: undefined };
  }
  return { query, body: resourceInBody(request, 'Parameters') };
}

/** The answer, and the event that it was given. */
export function operationAnswer(request: FhirRequest, result: OperationResult): FhirAnswer {
  const { status = 200, headers, body, patients } = result;
  return {
    status,
    ...(headers === undefined ? {} : { headers }),
    ...(body === undefined ? {} : { body }),
    audit: patients === 'audited' ? [] : [operationEvent(request, patients)],
  };
}

function operationEvent(request: FhirRequest, patients: readonly string[]) {
  const { context, now } = request;
  const event = { context, interaction: 'operation', action: 'E', outcome: 0, entities: [] } as const;
  const query = rawRequest(request);
  return patients.length === 0 ? restEvent({ ...event, query }, now) : sharedEvent({ ...event, query }, patients, now);
}
