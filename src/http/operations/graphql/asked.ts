/** What a request asks `$graphql`, by GET and in the bodies that it may have. @see https://graphql.github.io/graphql-over-http/ */
import { Failure, issue } from '../../../fhir/failure.ts';
import { parseJson } from '../../../fhir/json.ts';
import type { FhirRequest } from '../../exchange.ts';
import { requireBodyType } from '../../media-types.ts';

export type Asked = {
  readonly query: string;
  readonly operationName?: string;
  readonly variables?: Readonly<Record<string, unknown>>;
};

const NAMES = ['query', 'operationName', 'variables'];
const GRAPHQL: ReadonlySet<string> = new Set(['application/graphql']);
const JSON_BODY: ReadonlySet<string> = new Set([
  'application/json',
  'application/fhir+json',
  'application/graphql+json',
  'text/json',
]);

/** @throws Failure `invalid`, `unsupported-media-type` */
export function askedBy({ target, headers, body }: FhirRequest): Asked {
  const inUrl = askedInUrl(target.query);
  if (body.length === 0) return checked(inUrl);
  if (/^\s*application\/graphql\s*(?:;|$)/i.test(headers['content-type'] ?? '')) {
    requireBodyType(headers['content-type'], GRAPHQL, 'application/graphql');
    return checked({ ...inUrl, query: body.toString('utf8') });
  }
  requireBodyType(headers['content-type'], JSON_BODY, 'application/json');
  const sent = parseJson(body);
  if (typeof sent !== 'object' || sent === null || Array.isArray(sent)) {
    throw new Failure('invalid', issue('structure', 'The body must be a JSON object with a query'));
  }
  const isParameters = (sent as { resourceType?: unknown }).resourceType === 'Parameters';
  return checked({ ...inUrl, ...(isParameters ? askedInParameters(sent) : sent) });
}

function askedInUrl(search: string): Record<string, unknown> {
  const asked: Record<string, unknown> = {};
  for (const [name, value] of new URLSearchParams(search)) {
    if (name === '_format' || name === '_pretty') continue;
    if (!NAMES.includes(name)) throw unknownName(`http.${name.slice(0, 64)}`);
    asked[name] = name === 'variables' ? parseJson(value) : value;
  }
  return asked;
}

/** As the OperationDefinition has them; variables are JSON in a string. */
function askedInParameters(sent: object): Record<string, unknown> {
  const { parameter } = sent as { parameter?: unknown };
  const asked: Record<string, unknown> = {};
  for (const [i, each] of (Array.isArray(parameter) ? parameter : []).entries()) {
    const { name, valueString } = (each ?? {}) as { name?: unknown; valueString?: unknown };
    const place = `Parameters.parameter[${i}]`;
    if (typeof name !== 'string' || !NAMES.includes(name)) throw unknownName(`${place}.name`);
    if (typeof valueString !== 'string') {
      throw new Failure('invalid', issue('value', `${name} must be given as valueString`, place));
    }
    asked[name] = name === 'variables' ? parseJson(valueString) : valueString;
  }
  return asked;
}

function unknownName(place: string): Failure {
  return new Failure('invalid', issue('not-supported', `$graphql takes ${NAMES.join(', ')}`, place));
}

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
