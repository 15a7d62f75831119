/**
 * `$graphql` at the base and on a resource, by GET and POST: queries over the record, answered in the form of GraphQL.
 *
 * What is wrong with the query as a whole is 400; what goes wrong while it is answered stands in `errors` beside the data
 * that could be given. Each error has an OperationOutcome in `extensions.resource`. See decision 0051.
 *
 * @see https://hl7.org/fhir/R4/graphql.html
 */
import { type DocumentNode, type ExecutionResult, execute, GraphQLError, specifiedRules, validate } from 'graphql';
import { Failure, issue } from '../../fhir/failure.ts';
import { parseJson } from '../../fhir/json.ts';
import { operationOutcome } from '../../fhir/outcome.ts';
import type { SearchParameterRegistry } from '../../fhir/search-parameters.ts';
import type { FhirAnswer, FhirRequest, Interaction } from '../exchange.ts';
import { refusalOf } from '../failures.ts';
import { requireBodyType } from '../media-types.ts';
import { aboutInstance, readDocument } from './graphql/document.ts';
import { GraphReader } from './graphql/reader.ts';
import { type Context, schemasOf } from './graphql/schema.ts';
import { operationAnswer } from './operation-routes.ts';

const DEFINITION = 'http://hl7.org/fhir/OperationDefinition/Resource-graphql';

export function graphqlRoutes(registry: SearchParameterRegistry): Record<string, Record<string, Interaction>> {
  const schemaFor = schemasOf(registry);
  const interaction = (takesBody: boolean): Interaction => ({
    name: 'operation',
    action: 'E',
    takesBody,
    scopeOfType: false,
    negotiates: true,
    operation: { code: 'graphql', definition: DEFINITION },
    handle: (request) => graphql(request, registry, schemaFor),
  });
  const methods = { GET: interaction(false), POST: interaction(true) };
  return { '/$graphql': methods, '/:type/:id/$graphql': methods };
}

type Asked = {
  readonly query: string;
  readonly operationName?: string;
  readonly variables?: Readonly<Record<string, unknown>>;
};

async function graphql(
  request: FhirRequest,
  registry: SearchParameterRegistry,
  schemaFor: ReturnType<typeof schemasOf>,
): Promise<FhirAnswer> {
  const asked = askedBy(request);
  const { type, id } = request.target;
  let document: DocumentNode;
  try {
    document = readDocument(asked.query);
  } catch (error) {
    if (error instanceof GraphQLError) return answer(request, { errors: [error] }, 400, []);
    throw error;
  }
  if (id !== '') document = aboutInstance(document, type, id);
  const schema = schemaFor(document);
  const faults = validate(schema, document, specifiedRules, { maxErrors: 20 });
  if (faults.length > 0) return answer(request, { errors: faults }, 400, []);
  const reader = new GraphReader(request, registry);
  const contextValue: Context = { reader };
  const result = await execute({
    schema,
    document,
    contextValue,
    ...(asked.operationName === undefined ? {} : { operationName: asked.operationName }),
    ...(asked.variables === undefined ? {} : { variableValues: asked.variables }),
  });
  // Without data at all the query could not even be begun: a variable is missing, or an operation of that name.
  const status = result.data === undefined ? 400 : 200;
  return answer(request, id === '' ? result : unwrapped(result, type), status, reader.patients);
}

/** A query about one resource has that resource for its data. */
function unwrapped(result: ExecutionResult, type: string): ExecutionResult {
  if (result.data == null) return result;
  return { ...result, data: result.data[type] as NonNullable<ExecutionResult['data']> };
}

const GRAPHQL: ReadonlySet<string> = new Set(['application/graphql']);
const JSON_BODY: ReadonlySet<string> = new Set(['application/json', 'application/fhir+json', 'text/json']);

/** @throws Failure `invalid`, `unsupported-media-type` */
function askedBy({ target, headers, body }: FhirRequest): Asked {
  const given = new URLSearchParams(target.query);
  const inUrl: Record<string, unknown> = {};
  for (const [name, value] of given) {
    if (name === '_format' || name === '_pretty') continue;
    if (!NAMES.includes(name)) {
      throw new Failure(
        'invalid',
        issue('not-supported', `$graphql takes ${NAMES.join(', ')}`, `http.${name.slice(0, 64)}`),
      );
    }
    inUrl[name] = name === 'variables' ? parseJson(value) : value;
  }
  const isQuery = /^\s*application\/graphql\b/i.test(headers['content-type'] ?? '');
  if (body.length > 0 && isQuery) {
    requireBodyType(headers['content-type'], GRAPHQL, 'application/graphql');
    return checked({ ...inUrl, query: body.toString('utf8') });
  }
  if (body.length === 0) return checked(inUrl);
  requireBodyType(headers['content-type'], JSON_BODY, 'application/json');
  const sent = parseJson(body);
  if (typeof sent !== 'object' || sent === null || Array.isArray(sent)) {
    throw new Failure('invalid', issue('structure', 'The body must be a JSON object with a query'));
  }
  return checked({ ...inUrl, ...sent });
}

const NAMES = ['query', 'operationName', 'variables'];

function checked({ query, operationName, variables }: Record<string, unknown>): Asked {
  if (typeof query !== 'string' || query.trim() === '') {
    throw new Failure('invalid', issue('required', 'There is no query. Send one as `query`'));
  }
  if (operationName != null && typeof operationName !== 'string') {
    throw new Failure('invalid', issue('value', 'operationName must be a string'));
  }
  if (variables != null && (typeof variables !== 'object' || Array.isArray(variables))) {
    throw new Failure('invalid', issue('value', 'variables must be an object'));
  }
  return {
    query,
    ...(operationName == null ? {} : { operationName }),
    ...(variables == null ? {} : { variables: variables as Record<string, unknown> }),
  };
}

function answer(
  request: FhirRequest,
  result: ExecutionResult,
  status: number,
  patients: readonly string[],
): FhirAnswer {
  const errors = result.errors?.map((error) => errorOf(error, request));
  const body = JSON.stringify({
    ...(errors === undefined ? {} : { errors }),
    ...(result.data === undefined ? {} : { data: result.data }),
  });
  const headers = { 'content-type': 'application/json; charset=utf-8' };
  return operationAnswer(request, { status, headers, body, patients });
}

/** @throws what was no refusal: an outage is an outage of the whole answer, and a bug is a bug */
function errorOf(error: GraphQLError, { context }: FhirRequest) {
  const { originalError, message, locations, path } = error;
  if (originalError !== undefined && !(originalError instanceof Failure) && !(originalError instanceof GraphQLError)) {
    throw originalError;
  }
  const issues =
    originalError instanceof Failure ? refusalOf(originalError, context.requestId).issues : [issue('invalid', message)];
  return {
    message,
    ...(locations === undefined ? {} : { locations }),
    ...(path === undefined ? {} : { path }),
    extensions: { resource: operationOutcome(issues) },
  };
}
