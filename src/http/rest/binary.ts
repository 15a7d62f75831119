/**
 * Binary: bytes of any type, in their own form. Who does not ask for FHIR gets them as they are; what is sent in a type
 * that is not FHIR becomes the content of a Binary.
 *
 * A Binary with a securityContext is seen by whom may read the resources of that type; for others there is none. What it
 * might belong to is not known before it is read, so lists of Binaries are for those who may read everything.
 *
 * @see https://hl7.org/fhir/R4/binary.html#rest
 */
import type { Binary, Resource } from '@medplum/fhirtypes';
import { permits, requirePermission } from '../../access/scopes.ts';
import { Failure, issue } from '../../fhir/failure.ts';
import { parseJson } from '../../fhir/json.ts';
import type { FhirXml } from '../../fhir/xml/xml.ts';
import { notFound } from '../../record/create-record.ts';
import type { StoredResource } from '../../record/record.ts';
import type { FhirAnswer, FhirRequest, Interaction } from '../exchange.ts';
import { accepts, asksForFhir, isAnswerable, isXmlBody, mediaType, requireJsonBody } from '../media-types.ts';
import { shown } from './read.ts';

type Methods = Readonly<Record<string, Interaction>>;

/** @param general the routes of every type */
export function binaryRoutes(general: Readonly<Record<string, Methods>>, xml: FhirXml): Record<string, Methods> {
  const at = (pattern: string, method: string) => general[pattern]?.[method] as Interaction;
  return {
    '/Binary': {
      ...general['/:type'],
      GET: toThoseWhoReadAll(at('/:type', 'GET')),
      POST: takingBytes(at('/:type', 'POST'), xml),
    },
    '/Binary/_search': { POST: toThoseWhoReadAll(at('/:type/_search', 'POST')) },
    '/Binary/_history': { GET: toThoseWhoReadAll(at('/:type/_history', 'GET')) },
    '/Binary/:id': {
      ...general['/:type/:id'],
      GET: inOwnForm(at('/:type/:id', 'GET'), 'read'),
      PUT: takingBytes(at('/:type/:id', 'PUT'), xml),
    },
    '/Binary/:id/_history': { GET: withinContext(at('/:type/:id/_history', 'GET')) },
    '/Binary/:id/_history/:version': { GET: inOwnForm(at('/:type/:id/_history/:version', 'GET'), 'vread') },
  };
}

// ---- reading

function inOwnForm(general: Interaction, name: 'read' | 'vread'): Interaction {
  return {
    ...general,
    negotiates: true,
    handle: async (request) => {
      const stored = await storedFor(request, name);
      const binary = parseJson(stored.content) as Binary;
      const context = contextOf(binary);
      requireContext(request, context);
      const patientId = context?.startsWith('Patient/') === true ? context.slice('Patient/'.length) : null;
      const seen = { ...stored, patientId };
      return isWantedRaw(request, binary) ? raw(request, name, seen, binary) : shown(request, name, seen);
    },
  };
}

async function storedFor({ clinic, target }: FhirRequest, name: 'read' | 'vread'): Promise<StoredResource> {
  const { id, version } = target;
  if (name === 'read') return clinic.record.read('Binary', id);
  if (!/^[1-9]\d{0,8}$/.test(version)) throw notFound('Binary', id);
  return clinic.record.readVersion('Binary', id, Number(version));
}

/** FHIR is what is named; bytes are what fits Accept, or what is left when nothing does. */
function isWantedRaw({ headers, target }: FhirRequest, { contentType }: Binary): boolean {
  if (asksForFhir(headers.accept, target.query)) return false;
  return accepts(headers.accept, contentType) || !isAnswerable(headers.accept, target.query);
}

function raw(request: FhirRequest, name: 'read' | 'vread', stored: StoredResource, binary: Binary): FhirAnswer {
  const answer = shown(request, name, stored);
  if (answer.body === undefined) return answer;
  const context = contextOf(binary);
  const headers = {
    ...answer.headers,
    'content-type': isHeaderText(binary.contentType) ? binary.contentType : 'application/octet-stream',
    // Whatever it is, a browser saves it and runs nothing of it.
    'content-disposition': `attachment; filename="${stored.id}"`,
    'content-security-policy': "default-src 'none'; sandbox",
    ...(context !== undefined && isHeaderText(context) ? { 'x-security-context': context } : {}),
  };
  return { ...answer, headers, body: Buffer.from(binary.data ?? '', 'base64') };
}

function isHeaderText(text: string): boolean {
  return /^[\x21-\x7e][\x20-\x7e]*$/.test(text);
}

// ---- who may see it

function contextOf({ securityContext }: Binary): string | undefined {
  return securityContext?.reference;
}

function requireContext({ grant, target }: FhirRequest, context: string | undefined): void {
  if (context === undefined) return;
  const type = /(?:^|\/)([A-Za-z]+)\/[A-Za-z0-9.-]{1,64}(?:\/_history\/.+)?$/.exec(context)?.[1] ?? '*';
  if (!permits(grant.scopes, type, 'read')) throw notFound('Binary', target.id);
}

function withinContext(history: Interaction): Interaction {
  return {
    ...history,
    handle: async (request) => {
      // Of two versions one at least is not a deletion.
      const { versions } = await request.clinic.record.history('Binary', request.target.id, { count: 2 });
      const newest = versions.find(({ deleted }) => !deleted);
      if (newest !== undefined) requireContext(request, contextOf(parseJson(newest.content) as Binary));
      return history.handle(request);
    },
  };
}

function toThoseWhoReadAll(list: Interaction): Interaction {
  return {
    ...list,
    handle: async (request) => {
      requirePermission(request.grant.scopes, '*', list.name);
      return list.handle(request);
    },
  };
}

// ---- writing

function takingBytes(write: Interaction, xml: FhirXml): Interaction {
  return {
    ...write,
    negotiates: true,
    handle: async (request) => {
      const { json, isRaw } = binarySent(request, xml);
      // Who sends bytes has them: they come back only where they are asked for.
      const preferred = isRaw ? { prefer: 'return=minimal' } : {};
      const headers = { ...preferred, ...request.headers, 'content-type': 'application/fhir+json' };
      return write.handle({ ...request, headers, body: json });
    },
  };
}

/** The Binary in the body, or the one whose content the body is. */
function binarySent(request: FhirRequest, xml: FhirXml): { readonly json: Buffer; readonly isRaw: boolean } {
  const { headers, body, target } = request;
  const contentType = headers['content-type'] ?? '';
  const { name } = mediaType(contentType);
  if (!/^[\w.+-]+\/[\w.+-]+$/.test(name) || !isHeaderText(contentType)) {
    const diagnostics = 'Say in Content-Type what the bytes are, such as application/pdf';
    throw new Failure('unsupported-media-type', issue('not-supported', diagnostics, 'http.Content-Type'));
  }
  if (isXmlBody(contentType) && /^(?:[^<]|<[?!])*<(?:[\w.-]+:)?Binary[\s/>]/.test(body.toString('utf8', 0, 1024))) {
    return { json: Buffer.from(xml.toJson(body)), isRaw: false };
  }
  if (/^(?:application\/(?:fhir\+)?json|text\/json)$/.test(name) && isBinaryResource(body)) {
    requireJsonBody(contentType);
    return { json: body, isRaw: false };
  }
  if (body.length === 0) {
    throw new Failure('invalid', issue('required', 'The body is empty. Send the bytes, or a Binary as FHIR'));
  }
  const context = headers['x-security-context'];
  const binary = {
    resourceType: 'Binary',
    ...(target.id === '' ? {} : { id: target.id }),
    contentType: contentType.trim(),
    ...(context === undefined ? {} : { securityContext: { reference: String(context) } }),
    data: body.toString('base64'),
  } satisfies Resource;
  return { json: Buffer.from(JSON.stringify(binary)), isRaw: true };
}

/** @throws Failure `invalid` for JSON that is none: whether it was meant as a Binary cannot be known */
function isBinaryResource(body: Buffer): boolean {
  if (body.length === 0) return false;
  const value = parseJson(body);
  return typeof value === 'object' && value !== null && 'resourceType' in value && value.resourceType === 'Binary';
}
