/** PATCH as JSON Patch and as FHIRPath Patch. @see https://hl7.org/fhir/R4/http.html#patch */
import { permits } from '../../access/scopes.ts';
import { Failure, issue } from '../../fhir/failure.ts';
import type { PatchReader } from '../../fhir/patch/patch-reader.ts';
import type { ResourcePatch } from '../../fhir/patch/resource-patch.ts';
import type { WriteRequest } from '../../record/record.ts';
import type { FhirAnswer, FhirRequest, Interaction } from '../exchange.ts';
import { FailureWithHeaders } from '../failures.ts';
import { requireBodyType } from '../media-types.ts';
import { resourceInBody } from './resource-body.ts';
import { criteriaOf, guards, writeOne, written } from './written.ts';

const shared = { name: 'patch', action: 'U', takesBody: true, scopeOfType: true } as const;

const JSON_PATCH = 'application/json-patch+json';
/** What a PATCH may be sent as (RFC 5789, Accept-Patch). */
const PATCH_TYPES = [JSON_PATCH, 'application/fhir+json', 'application/fhir+xml'] as const;

export function patchById(read: PatchReader): Interaction {
  return {
    ...shared,
    handle: (request) => {
      const { type, id } = request.target;
      return patch(request, { method: 'PATCH', type, id, patch: patchIn(request, read), place: type });
    },
  };
}

/** The one resource that the search matches; none is 404, several are refused. */
export function conditionalPatch(read: PatchReader): Interaction {
  return {
    ...shared,
    handle: (request) => {
      const { type, query } = request.target;
      const criteria = criteriaOf(query, 'The url');
      return patch(request, { method: 'PATCH', type, criteria, patch: patchIn(request, read), place: type });
    },
  };
}

function patchIn(request: FhirRequest, read: PatchReader): ResourcePatch {
  const contentType = request.headers['content-type'];
  try {
    if (!isJsonPatch(contentType)) return read.fhirPathPatch(resourceInBody(request, 'Parameters'), 'Parameters');
    requireBodyType(contentType, new Set([JSON_PATCH]), JSON_PATCH);
  } catch (error) {
    throw error instanceof Failure && error.code === 'unsupported-media-type' ? new UnknownPatch(error) : error;
  }
  if (request.body.length === 0) {
    throw new Failure(
      'invalid',
      issue(
        'required',
        'The body is empty. Send a JSON Patch: a list of operations.',
        undefined,
        'MSG_RESOURCE_REQUIRED',
      ),
    );
  }
  return read.jsonPatch(request.body);
}

/** 415 with what would do. */
class UnknownPatch extends FailureWithHeaders {
  constructor({ code, issues }: Failure) {
    const more = 'A PATCH is application/json-patch+json, or a FHIRPath Patch in a Parameters resource.';
    const told = issues.map((each) => ({ ...each, diagnostics: `${each.diagnostics}. ${more}` }));
    super(code, told, { 'accept-patch': PATCH_TYPES.join(', ') });
  }
}

function isJsonPatch(contentType: string | undefined): boolean {
  return contentType?.split(';')[0]?.trim().toLowerCase() === JSON_PATCH;
}

async function patch(request: FhirRequest, change: WriteRequest): Promise<FhirAnswer> {
  const answer = written(request, await writeOne(request, 'patch', { ...change, ...guards(request) }));
  return showsPatched(request, change.type) ? answer : withoutBody(answer);
}

/**
 * Whether the caller may see what a patch made: it holds what they did not send. Without the scope to read it, a patch
 * of nothing would show any resource.
 */
export function showsPatched({ grant }: FhirRequest, type: string): boolean {
  return permits(grant.scopes, type, 'read');
}

function withoutBody({ body: _, ...answer }: FhirAnswer): FhirAnswer {
  return answer;
}
