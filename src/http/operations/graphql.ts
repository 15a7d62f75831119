/**
 * `$graphql` at the base and on a resource, by GET and POST: queries over the record, answered in the form of GraphQL.
 *
 * What is wrong with the query as a whole is 400; what goes wrong while it is answered stands in `errors` beside the data
 * that could be given. Each error has an OperationOutcome in `extensions.resource`. See decision 0051.
 *
 * @see https://hl7.org/fhir/R4/graphql.html
 */
import type { Resource } from '@medplum/fhirtypes';
import { type DocumentNode, execute, GraphQLError, type GraphQLSchema, getOperationAST, validate } from 'graphql';
import { Failure, issue } from '../../fhir/failure.ts';
import { operationOutcome } from '../../fhir/outcome.ts';
import type { SearchParameterRegistry } from '../../fhir/search/parameters.ts';
import type { FhirAnswer, FhirRequest, Interaction } from '../exchange.ts';
import { refusalOf } from '../failures.ts';
import { type Asked, askedBy } from './graphql/asked.ts';
import { PartChooser } from './graphql/chosen.ts';
import { directed } from './graphql/directed.ts';
import { aboutInstance, readDocument } from './graphql/document.ts';
import { asksForSchema, Introspection } from './graphql/introspection.ts';
import { GraphReader } from './graphql/reader.ts';
import { hasReshaping, reshaped, Slices, withTypes } from './graphql/reshape.ts';
import { rulesFor } from './graphql/rules.ts';
import { type Context, elementField, schemasOf } from './graphql/schema.ts';
import { Shapes } from './graphql/shapes.ts';
import { operationAnswer } from './operation-routes.ts';

const DEFINITION = 'http://hl7.org/fhir/OperationDefinition/Resource-graphql';

export type GraphqlService = {
  readonly registry: SearchParameterRegistry;
  readonly shapes: Shapes;
  readonly schemaFor: (document: DocumentNode) => GraphQLSchema;
  readonly introspection: Introspection;
};

export function graphqlService(registry: SearchParameterRegistry): GraphqlService {
  const shapes = new Shapes(registry);
  return { registry, shapes, schemaFor: schemasOf(shapes), introspection: new Introspection(shapes) };
}

export function graphqlRoutes(service: GraphqlService): Record<string, Record<string, Interaction>> {
  const interaction = (takesBody: boolean): Interaction => ({
    name: 'operation',
    action: 'E',
    takesBody,
    scopeOfType: false,
    negotiates: true,
    operation: { code: 'graphql', definition: DEFINITION },
    handle: (request) => {
      const { type, id } = request.target;
      return graphql(request, askedBy(request), id === '' ? undefined : { type, id }, service);
    },
  });
  const methods = { GET: interaction(false), POST: interaction(true) };
  return { '/$graphql': methods, '/:type/:id/$graphql': methods };
}

/** The resource that a query is about: one of the record, or one that is at hand. */
export type About = { readonly type: string; readonly id: string; readonly resource?: Resource };

/** A valid query, ready to be run. */
type Prepared = { readonly document: DocumentNode; readonly schema: GraphQLSchema };

type Result = { readonly errors?: readonly GraphQLError[]; readonly data?: unknown };

/** Answers a query, about the whole record or one resource. @throws Failure where the record is out of reach */
export async function graphql(
  request: FhirRequest,
  asked: Asked,
  about: About | undefined,
  service: GraphqlService,
): Promise<FhirAnswer> {
  const prepared = prepare(asked, about, service);
  if ('errors' in prepared) return answer(request, prepared, 400, []);
  const { document, schema } = prepared;
  if (asksForSchema(document, asked.operationName)) {
    const text = await service.introspection.answer(document, schema, asked);
    return typeof text === 'string' ? answerText(request, text) : answer(request, text, 400, []);
  }
  const chooser = new PartChooser();
  const reader = new GraphReader(request, service.registry, chooser, about?.resource);
  const contextValue: Context = { reader, chooser, slices: new Slices() };
  const result = await run(prepared, asked, contextValue);
  // Without data at all the query could not even be begun: a variable is missing, or an operation of that name.
  if (result.data === undefined) return answer(request, result, 400, reader.patients);
  const { data, fault } = inForm(result.data, document, asked, schema, contextValue.slices);
  if (fault !== undefined) return answer(request, { errors: [fault] }, 400, reader.patients);
  if (about === undefined) return answer(request, { ...result, data }, 200, reader.patients);
  return aboutAnswer(request, result.errors, data?.[about.type], reader.patients);
}

/** A query about one resource has that resource for its data. Without it, the answer is that of reading it. */
function aboutAnswer(
  request: FhirRequest,
  given: readonly GraphQLError[] | undefined,
  data: unknown,
  patients: readonly string[],
): FhirAnswer {
  const errors = given?.map(({ message, nodes, source, positions, path, originalError }) => {
    const within = path === undefined || path.length < 2 ? {} : { path: path.slice(1) };
    return new GraphQLError(message, { nodes, source, positions, originalError, ...within });
  });
  const refusal = errors?.[0]?.originalError;
  if (data == null && refusal instanceof Failure) {
    return answer(request, { errors: errors ?? [] }, refusalOf(refusal, request.context.requestId).status, patients);
  }
  return answer(request, { ...(errors === undefined ? {} : { errors }), data }, 200, patients);
}

function prepare(
  asked: Asked,
  about: About | undefined,
  { shapes, schemaFor }: GraphqlService,
): Prepared | { errors: GraphQLError[] } {
  try {
    const read = readDocument(asked.query);
    const isAbout = about !== undefined && !asksForSchema(read, asked.operationName);
    const { document, spread } = directed(isAbout ? aboutInstance(read, about.type, about.id) : read, shapes);
    const schema = schemaFor(document);
    const errors = validate(schema, document, rulesFor(spread), { maxErrors: 20 });
    return errors.length > 0 ? { errors: [...errors] } : { document, schema };
  } catch (error) {
    if (error instanceof GraphQLError) return { errors: [error] };
    throw error;
  }
}

async function run({ document, schema }: Prepared, asked: Asked, contextValue: Context) {
  return await execute({
    schema,
    document: hasReshaping(document) ? withTypes(document) : document,
    contextValue,
    fieldResolver: elementField,
    ...(asked.operationName === undefined ? {} : { operationName: asked.operationName }),
    ...(asked.variables === undefined ? {} : { variableValues: asked.variables }),
  });
}

type Data = Readonly<Record<string, unknown>> | null;

/** The data as the query's directives want it, or what makes that impossible. */
function inForm(
  data: Data,
  document: DocumentNode,
  { operationName }: Asked,
  schema: GraphQLSchema,
  slices: Slices,
): { readonly data: Data; readonly fault?: GraphQLError } {
  const operation = getOperationAST(document, operationName);
  if (data === null || operation == null || !hasReshaping(document)) return { data };
  try {
    return { data: reshaped(data, operation, document, schema, slices) };
  } catch (error) {
    if (error instanceof GraphQLError) return { data: null, fault: error };
    throw error;
  }
}

function answer(request: FhirRequest, result: Result, status: number, patients: readonly string[]): FhirAnswer {
  const errors = result.errors?.map((error) => errorOf(error, request));
  const body = JSON.stringify({
    ...(errors === undefined ? {} : { errors }),
    ...(result.data === undefined ? {} : { data: result.data }),
  });
  return answerText(request, body, status, patients);
}

function answerText(request: FhirRequest, body: string, status = 200, patients: readonly string[] = []): FhirAnswer {
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
