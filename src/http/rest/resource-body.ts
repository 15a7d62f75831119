import type { Resource } from '@medplum/fhirtypes';
import { Failure, issue } from '../../fhir/failure.ts';
import { parseJson } from '../../fhir/json.ts';
import type { FhirRequest } from '../exchange.ts';
import { requireJsonBody } from '../media-types.ts';

/**
 * The body as far as HTTP looks at it: a JSON object. Whether it is the resource that the url names, and a valid one, is
 * the record's to say.
 *
 * @throws Failure `unsupported-media-type`, `invalid` (with line and column for malformed JSON)
 */
export function resourceInBody(request: FhirRequest, expected: string): Resource {
  // First: who sends no body often names no type either.
  if (request.body.length === 0) {
    throw new Failure(
      'invalid',
      issue('required', `The body is empty. Send a ${expected} as JSON`, undefined, 'MSG_RESOURCE_REQUIRED'),
    );
  }
  requireJsonBody(request.headers['content-type']);
  const value = parseJson(request.body);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new Failure(
      'invalid',
      issue('structure', `The body is not a JSON object. Send a ${expected}`, undefined, 'MSG_JSON_OBJECT'),
    );
  }
  return value as Resource;
}
