/** Reads, searches and operations as entries of a Bundle: answered as the url by itself is answered. */
import type { IncomingHttpHeaders } from 'node:http';
import { requirePermission } from '../../access/scopes.ts';
import { Failure, issue } from '../../fhir/failure.ts';
import { stringifyJson } from '../../fhir/json.ts';
import type { Asked, AskedAnswer } from '../../record/bundle.ts';
import { type AskedEntry, placedInEntry } from '../../record/bundle-entries.ts';
import type { FhirAnswer, FhirRequest, Interaction } from '../exchange.ts';
import { outcomeText, refusalOf } from '../failures.ts';
import { FHIR_JSON } from '../media-types.ts';
import { type Routes, routeOf, targetOf } from '../routes.ts';

/** @see BundleOptions.ask */
export type AskInBundle = (request: FhirRequest, asked: AskedEntry, within: 'transaction' | 'batch') => Asked;

/** @param routesOf gives the table of routes, which this is a part of itself */
export function askInBundle(routesOf: () => Routes, isResourceType: (name: string) => boolean): AskInBundle {
  return (request, asked, within) => {
    const routes = routesOf();
    const target = targetOf(asked.method, `/${asked.url}`);
    const document = target.type === '' && target.method === 'GET' ? request.documents?.get(target.shape) : undefined;
    if (document !== undefined) {
      const answer = async () => {
        const { body, contentType } = await document(target.query);
        return shownIn(asked, { status: 200, headers: { 'content-type': contentType }, body, audit: [] });
      };
      return { answer, rehearse: async () => void (await answer()) };
    }
    const { pattern, interaction } = routeOf(routes, target, isResourceType);
    if (interaction.name === 'transaction') throw notHere('A Bundle cannot be an entry of another one.');
    const isSafe = asked.method !== 'POST' || pattern.endsWith('/_search') || routes[pattern]?.GET !== undefined;
    if (within === 'transaction' && !isSafe) {
      throw notHere('An operation that writes cannot be part of a transaction. Send it by itself, or in a batch.');
    }
    if (interaction.scopeOfType) requirePermission(request.grant.scopes, target.type, interaction.name);
    const sentAlone = { ...request, target, ...sent(asked) };
    return {
      answer: () => answered(interaction, sentAlone, asked),
      rehearse: async () => void (await interaction.handle(sentAlone)),
    };
  };
}

function notHere(diagnostics: string): Failure {
  return new Failure('invalid', issue('not-supported', diagnostics));
}

/** The entry as a request: what it asks with is in its url, its conditions and its resource. */
function sent({ headers, resource, method }: AskedEntry): { headers: IncomingHttpHeaders; body: Buffer } {
  const accept = 'application/fhir+json';
  if (method !== 'POST' || resource === undefined) return { headers: { accept, ...headers }, body: Buffer.alloc(0) };
  const body = Buffer.from(stringifyJson(resource));
  return { headers: { accept, 'content-type': accept, ...headers }, body };
}

/** A refusal is that entry's answer: in a transaction, which has tried it, the writes beside it are already committed. */
async function answered(interaction: Interaction, request: FhirRequest, asked: AskedEntry): Promise<AskedAnswer> {
  try {
    const answer = await interaction.handle(request);
    await request.clinic.trail.record(answer.audit);
    return shownIn(asked, answer);
  } catch (error) {
    if (!(error instanceof Failure) || error.code === 'transient') throw error;
    const { status, issues } = refusalOf(error, request.context.requestId);
    const placed = placedInEntry(issues, asked.place, asked.resource !== undefined);
    return { kind: 'read', status, headers: {}, body: outcomeText(placed) };
  }
}

const NO_CONTENT: ReadonlySet<number> = new Set([204, 304]);

/** What is not FHIR comes as a Binary: an entry has room for a resource only. */
function shownIn({ method }: AskedEntry, { status, headers = {}, body }: FhirAnswer): AskedAnswer {
  const shown = { kind: 'read', status, headers } as const;
  if (body === undefined || method === 'HEAD' || NO_CONTENT.has(status)) return shown;
  const contentType = headers['content-type'] ?? FHIR_JSON;
  if (contentType.startsWith('application/fhir+json')) return { ...shown, body: String(body) };
  const data = Buffer.from(body).toString('base64');
  return { ...shown, body: JSON.stringify({ resourceType: 'Binary', contentType, data }) };
}
