/**
 * `_summary` and `_elements` where one resource is read, and on the resources of a list.
 *
 * @see https://hl7.org/fhir/R4/search.html#summary
 */
import type { Resource } from '@medplum/fhirtypes';
import type { Definitions } from '../../fhir/definitions.ts';
import { parseJson, stringifyJson } from '../../fhir/json.ts';
import { parseView, type SearchView, viewOf } from '../../fhir/search/view.ts';
import type { FhirAnswer, FhirRequest, Interaction } from '../exchange.ts';

/** What is shown of a resource, as text from its text. */
export type Show = (content: string) => string;

export function showing(view: SearchView, definitions: Definitions): Show {
  const show = viewOf(view, definitions);
  return (content) => stringifyJson(show(parseJson(content) as Resource));
}

/** What the query of a url asks to see of resources of these types; undefined: all. @throws Failure `invalid` */
export function shownBy(request: FhirRequest, types: readonly string[], definitions: Definitions): Show | undefined {
  const { target, headers } = request;
  if (!asksForView(target.query)) return undefined;
  const strict = !/(?:^|[,;\s])handling\s*=\s*"?lenient\b/.test(String(headers.prefer ?? ''));
  const view = parseView(new URLSearchParams(target.query), types, definitions, strict);
  return view && showing(view, definitions);
}

/** A read whose answer may be a part of what is stored. */
export function withView(read: Interaction, definitions: Definitions): Interaction {
  return {
    ...read,
    handle: (request) =>
      asksForView(request.target.query) ? inPart(read, request, definitions) : read.handle(request),
  };
}

function asksForView(query: string): boolean {
  return query.includes('_summary') || query.includes('_elements');
}

async function inPart(read: Interaction, request: FhirRequest, definitions: Definitions): Promise<FhirAnswer> {
  const show = shownBy(request, [request.target.type], definitions);
  const answer = await read.handle(request);
  return show === undefined || answer.body === undefined ? answer : { ...answer, body: show(String(answer.body)) };
}
